package parts

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// watchEvery is how often a download's size is looked at.
const watchEvery = 100 * time.Millisecond

// download runs pip and returns the path of the wheel. pip's temporary files
// are put into the stage as well: their growing size is the progress shown.
func (f Fetcher) download(ctx context.Context, stage string, part Part, wheel Wheel) (string, error) {
	python, err := f.python()
	if err != nil {
		return "", err
	}
	temp, dest := filepath.Join(stage, "tmp"), filepath.Join(stage, "wheel")
	requirements := filepath.Join(stage, "requirements.txt")
	for _, dir := range []string{temp, dest} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return "", fmt.Errorf("create a folder for the download: %w", err)
		}
	}
	line := fmt.Sprintf("%s==%s --hash=sha256:%s\n", part.Distribution, part.Version, wheel.SHA256)
	if err := os.WriteFile(requirements, []byte(line), 0o600); err != nil {
		return "", fmt.Errorf("write pip's requirements: %w", err)
	}
	args := append(pipArguments(wheel, dest, requirements), f.PipArgs...)
	cmd := exec.CommandContext(ctx, python, args...)
	cmd.WaitDelay = time.Second
	cmd.Env = append(os.Environ(), "TMPDIR="+temp, "PIP_REQUIRE_VIRTUALENV=0", "LC_ALL=C", "PYTHONIOENCODING=utf-8")
	stop := f.watch(part.Name, wheel.Bytes, temp, dest)
	output, err := cmd.CombinedOutput()
	stop()
	if ctx.Err() != nil {
		return "", fmt.Errorf("download: %w", context.Cause(ctx))
	}
	if err != nil {
		return "", explainPip(err, string(output))
	}
	return onlyWheel(dest)
}

func pipArguments(wheel Wheel, dest, requirements string) []string {
	args := []string{
		"-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check", "--no-cache-dir",
		"--progress-bar", "off", "--retries", "2", "--require-hashes", "--no-deps", "--only-binary=:all:",
	}
	if len(wheel.Tags) > 0 {
		args = append(args, "--python-version", "3.12", "--implementation", "cp")
	}
	for _, tag := range wheel.Tags {
		args = append(args, "--platform", tag)
	}
	return append(args, "-d", dest, "-r", requirements)
}

func (f Fetcher) python() (string, error) {
	if f.Python != "" {
		return f.Python, nil
	}
	for _, name := range []string{"python3", "python"} {
		path, err := exec.LookPath(name)
		if err == nil {
			return path, nil
		}
		if !errors.Is(err, exec.ErrNotFound) {
			return "", fmt.Errorf("look for %s: %w", name, err)
		}
	}
	return "", ErrNoPython
}

// watch reports the growing size of the folders until the returned function
// is called, which waits for the watcher's end.
func (f Fetcher) watch(name string, total int64, dirs ...string) (stop func()) {
	f.report(Event{Part: name, Step: Download, Total: total})
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(watchEvery)
		defer tick.Stop()
		for {
			select {
			case <-quit:
				return
			case <-tick.C:
				f.report(Event{Part: name, Step: Download, Bytes: min(size(dirs), total), Total: total})
			}
		}
	}()
	return func() {
		close(quit)
		<-done
	}
}

// size sums what is in the folders; files that vanish meanwhile count nothing.
func size(dirs []string) int64 {
	var sum int64
	for _, dir := range dirs {
		_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return nil
			}
			if info, err := d.Info(); err == nil {
				sum += info.Size()
			}
			return nil
		})
	}
	return sum
}

func onlyWheel(dir string) (string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", fmt.Errorf("read the download folder: %w", err)
	}
	if len(entries) != 1 || !strings.HasSuffix(entries[0].Name(), ".whl") {
		return "", fmt.Errorf("%w: expected one wheel, found %d files", ErrHashMismatch, len(entries))
	}
	return filepath.Join(dir, entries[0].Name()), nil
}
