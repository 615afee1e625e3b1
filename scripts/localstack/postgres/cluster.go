package postgres

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/dlai-sd/plant/scripts/localstack/proc"
)

// VersionError says that a data folder was made by another major version.
type VersionError struct {
	Folder     string
	Data, Want string // major versions
}

// Error says what to do.
func (e *VersionError) Error() string {
	return fmt.Sprintf("the data folder %s holds data of PostgreSQL %s, and this is PostgreSQL %s: "+
		"start with version %s, choose another data folder, or remove this one to start afresh", e.Folder, e.Data, e.Want, e.Data)
}

// prepare makes the cluster unless there is one, and returns the superuser's
// password.
func (s *Server) prepare(ctx context.Context) (string, error) {
	want, err := major(s.opts.Install)
	if err != nil {
		return "", err
	}
	have, err := os.ReadFile(filepath.Join(s.cluster(), "PG_VERSION"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return s.initialise(ctx, want)
	case err != nil:
		return "", fmt.Errorf("read the data folder: %w: run as the user who made it, or choose another", err)
	}
	if got := strings.TrimSpace(string(have)); got != want {
		return "", &VersionError{Folder: s.opts.Data, Data: got, Want: want}
	}
	password, err := os.ReadFile(s.passwordFile())
	if err != nil {
		return "", fmt.Errorf("read the password of the data folder: %w: remove the folder to start afresh, or choose another", err)
	}
	return strings.TrimSpace(string(password)), nil
}

func (s *Server) passwordFile() string { return filepath.Join(s.opts.Data, "admin-password") }

// initialise runs initdb in a folder beside the cluster and renames it when it
// is complete, so that a kill in between leaves nothing that looks like one.
func (s *Server) initialise(ctx context.Context, version string) (string, error) {
	if err := s.onlyOurs(); err != nil {
		return "", err
	}
	if err := s.user.makeOwn(s.opts.Data); err != nil {
		return "", fmt.Errorf("create the data folder: %w", err)
	}
	password := rand.Text()
	if err := s.user.writeOwn(s.passwordFile(), password+"\n"); err != nil {
		return "", fmt.Errorf("write the password of the data folder: %w", err)
	}
	unfinished := filepath.Join(s.opts.Data, "cluster.new")
	if err := os.RemoveAll(unfinished); err != nil {
		return "", fmt.Errorf("remove an unfinished cluster: %w", err)
	}
	if err := s.initdb(ctx, unfinished, version); err != nil {
		return "", err
	}
	if err := os.Rename(unfinished, s.cluster()); err != nil {
		return "", fmt.Errorf("put the new cluster in place: %w", err)
	}
	return password, nil
}

// onlyOurs refuses a folder with other things in it: we would take it over.
func (s *Server) onlyOurs() error {
	entries, err := os.ReadDir(s.opts.Data)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read the data folder: %w", err)
	}
	for _, e := range entries {
		if e.Name() != "admin-password" && e.Name() != "cluster.new" {
			return fmt.Errorf("the data folder %s holds no cluster but other things (%s): choose an empty or a new folder", s.opts.Data, e.Name())
		}
	}
	return nil
}

func (s *Server) initdb(ctx context.Context, folder, version string) error {
	args := []string{
		"-D", folder, "-U", superuser, "--auth=scram-sha-256", "--pwfile=" + s.passwordFile(),
		"--encoding=UTF8", "--data-checksums", "--no-instructions",
	}
	args = append(args, locale(version)...)
	if s.opts.Unsafe {
		args = append(args, "--no-sync")
	}
	process, err := proc.Start(proc.Spec{
		Name: "initdb", Path: s.binary("initdb"), Args: args, Dir: s.opts.Data,
		Env: environment(), Output: s.opts.Log, Credential: s.user.credential,
	})
	if err != nil {
		return fmt.Errorf("make the database cluster%s: %w", s.user.note(), err)
	}
	select {
	case <-process.Done():
	case <-ctx.Done():
		return errors.Join(fmt.Errorf("make the database cluster: %w", context.Cause(ctx)), process.Kill())
	}
	if err := process.Err(); err != nil {
		return fmt.Errorf("make the database cluster: %w; initdb's last lines:\n  %s", err, lastWords(process.Tail()))
	}
	return nil
}

// locale sorts by code point everywhere and knows upper and lower case beyond
// ASCII, from PostgreSQL itself where it can: the machine's locales differ.
func locale(version string) []string {
	switch {
	case version >= "17":
		return []string{"--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"}
	case runtime.GOOS == "linux":
		return []string{"--locale=C.UTF-8"}
	default:
		return []string{"--locale=C"}
	}
}
