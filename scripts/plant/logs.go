package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// logs are the parts' logs, a file each, begun anew with every run.
type logs struct {
	folder string
	files  map[string]*os.File
}

func openLogs(folder string) (*logs, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, fmt.Errorf("folder for the logs: %w", err)
	}
	return &logs{folder: folder, files: map[string]*os.File{}}, nil
}

// writer is a part's log. Where it cannot be opened the part runs without.
func (l *logs) writer(name string) io.Writer {
	if open, ok := l.files[name]; ok {
		return open
	}
	file, err := os.OpenFile(filepath.Join(l.folder, name+".log"), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return io.Discard
	}
	l.files[name] = file
	return file
}

func (l *logs) close() error {
	var errs []error
	for _, f := range l.files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}
