package secrets

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
)

// secret is one file of the folder.
type secret struct {
	Name     string            `json:"name"`
	Created  time.Time         `json:"created"`
	Labels   map[string]string `json:"labels,omitempty"`
	Versions []version         `json:"versions"`
}

type version struct {
	Data      []byte    `json:"data"` // base64
	CRC32C    int64     `json:"crc32c"`
	State     string    `json:"state"`
	Created   time.Time `json:"created"`
	Destroyed time.Time `json:"destroyed,omitzero"`
}

func (s *secret) clone() *secret {
	c := *s
	c.Labels, c.Versions = maps.Clone(s.Labels), slices.Clone(s.Versions)
	return &c
}

// store is a folder with a file for each secret: <project>.<secret>.json.
// Neither name can hold a dot.
type store struct{ folder string }

func openStore(folder string) (store, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return store{}, fmt.Errorf("create the folder of secrets: %w", err)
	}
	if err := os.Chmod(folder, 0o700); err != nil { // #nosec -- a folder needs its x bit
		return store{}, fmt.Errorf("close the folder of secrets: %w", err)
	}
	unfinished, err := filepath.Glob(filepath.Join(folder, ".new-*"))
	if err != nil {
		return store{}, fmt.Errorf("list the secrets: %w", err)
	}
	for _, file := range unfinished {
		if err := os.Remove(file); err != nil {
			return store{}, fmt.Errorf("remove an unfinished secret: %w", err)
		}
	}
	return store{folder: folder}, nil
}

func (st store) file(name string) string {
	parts := strings.Split(name, "/") // projects/P/secrets/S
	return filepath.Join(st.folder, parts[1]+"."+parts[3]+".json")
}

func (st store) readAll() (map[string]*secret, error) {
	files, err := filepath.Glob(filepath.Join(st.folder, "*.json"))
	if err != nil {
		return nil, fmt.Errorf("list the secrets: %w", err)
	}
	all := map[string]*secret{}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read a secret: %w", err)
		}
		s := &secret{}
		if err := json.Unmarshal(b, s); err != nil {
			return nil, fmt.Errorf("%s is damaged: restore it, or remove it to start with new keys", file)
		}
		all[s.Name] = s
	}
	return all, nil
}

// write replaces the secret's file in one step, and returns when it is on
// disk.
func (st store) write(s *secret) (failed error) {
	b, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("write a secret: %w", err)
	}
	f, err := os.CreateTemp(st.folder, ".new-*") // mode 0600
	if err != nil {
		return fmt.Errorf("write a secret: %w", err)
	}
	defer func() {
		if failed != nil {
			failed = errors.Join(failed, os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(b)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write a secret: %w", err)
	}
	if err := os.Rename(f.Name(), st.file(s.Name)); err != nil {
		return fmt.Errorf("write a secret: %w", err)
	}
	return syncFolder(st.folder)
}

func syncFolder(folder string) error {
	d, err := os.Open(folder)
	if err != nil {
		return fmt.Errorf("write a secret: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("write a secret: %w", err)
	}
	return nil
}
