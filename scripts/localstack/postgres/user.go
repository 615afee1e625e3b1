package postgres

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// runAs is the user that PostgreSQL runs as, which refuses to run as root.
type runAs struct {
	name       string
	credential *syscall.Credential // nil: as we
}

// chooseUser returns ourselves, or for root the owner of an existing data
// folder, else nobody. That user must be able to reach both folders.
func chooseUser(data, install string) (runAs, error) {
	if os.Geteuid() != 0 {
		return runAs{}, nil
	}
	as, err := ownerOf(filepath.Join(data, "cluster"))
	if err != nil {
		return runAs{}, err
	}
	if as.credential == nil {
		if as, err = nobody(); err != nil {
			return runAs{}, err
		}
	}
	if err := as.canReach(filepath.Dir(data)); err != nil {
		return runAs{}, fmt.Errorf("%w: choose a data folder elsewhere, such as /var/lib/plant", err)
	}
	if err := as.canReach(filepath.Join(install, "bin")); err != nil {
		return runAs{}, fmt.Errorf("%w: choose a cache folder elsewhere, such as /var/cache/plant", err)
	}
	return as, nil
}

func ownerOf(folder string) (runAs, error) {
	info, err := os.Stat(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return runAs{}, nil
	}
	if err != nil {
		return runAs{}, fmt.Errorf("look at the data folder: %w", err)
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || st.Uid == 0 {
		return runAs{}, nil
	}
	return runAs{
		name:       "user " + strconv.FormatUint(uint64(st.Uid), 10),
		credential: &syscall.Credential{Uid: st.Uid, Gid: st.Gid, Groups: []uint32{}},
	}, nil
}

func nobody() (runAs, error) {
	u, err := user.Lookup("nobody")
	if err != nil {
		return runAs{}, fmt.Errorf("PostgreSQL does not run as root, and there is no user nobody to run it as (%w): run as an ordinary user", err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return runAs{}, fmt.Errorf("user nobody: %w", err)
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return runAs{}, fmt.Errorf("user nobody: %w", err)
	}
	return runAs{name: "nobody", credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid), Groups: []uint32{}}}, nil
}

// canReach fails if the user may not enter a folder on the way to dir. What
// does not exist yet we shall make, and enterable.
func (r runAs) canReach(dir string) error {
	for {
		info, err := os.Stat(dir)
		if err == nil && !r.mayEnter(info) {
			return fmt.Errorf("PostgreSQL does not run as root, and %s, which it runs as instead, may not enter %s", r.name, dir)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("look at %s: %w", dir, err)
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return nil
		}
		dir = parent
	}
}

func (r runAs) mayEnter(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return true
	}
	bit := fs.FileMode(0o001)
	switch {
	case st.Uid == r.credential.Uid:
		bit = 0o100
	case st.Gid == r.credential.Gid:
		bit = 0o010
	}
	return info.Mode().Perm()&bit != 0
}

// makeOwn creates dir, for that user alone.
func (r runAs) makeOwn(dir string) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if r.credential == nil {
		return nil
	}
	return os.Lchown(dir, int(r.credential.Uid), int(r.credential.Gid))
}

// writeOwn writes a file that only that user can read. It follows no link:
// the folder is that user's, and we may be root.
func (r runAs) writeOwn(path, text string) (failed error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { failed = errors.Join(failed, f.Close()) }()
	if _, err := f.WriteString(text); err != nil {
		return err
	}
	if r.credential == nil {
		return nil
	}
	return f.Chown(int(r.credential.Uid), int(r.credential.Gid))
}

// note is for errors of starting a program: a machine may lack the right to
// change users, a container without CAP_SETUID for instance.
func (r runAs) note() string {
	if r.credential == nil {
		return ""
	}
	return " as " + r.name
}
