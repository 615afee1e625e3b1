package parts

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
)

// What can be wrong with the machine or the network, each with its remedy.
var (
	ErrNoPython     = errors.New("python 3 was not found, and it is needed to download (once): install it (apt install python3 python3-pip, dnf install python3-pip, brew install python) and run again")
	ErrNoPip        = errors.New("python 3 is here but has no pip, which is needed to download (once): install it (apt install python3-pip, or python3 -m ensurepip --user) and run again")
	ErrOffline      = errors.New("the package index cannot be reached: check the network and the proxy (HTTPS_PROXY; python3 -m pip config list shows pip's index) and run again; what is already downloaded works offline")
	ErrDiskFull     = errors.New("the disk is full")
	ErrUnsupported  = errors.New("this machine is not supported")
	ErrHashMismatch = errors.New("the download is not the file that was pinned, and was thrown away: run again, and if it happens again distrust the package index or proxy between you and pypi.org")
	ErrNotOffered   = errors.New("the package index does not offer the pinned file: check which index pip uses (python3 -m pip config list) and that pip is 20.3 or newer (python3 -m pip install --upgrade pip)")
)

// causes maps what pip prints to what is wrong. The order matters: without a
// network pip also complains that it found no version.
var causes = []struct {
	text string
	err  error
}{
	{"No module named pip", ErrNoPip},
	{"DO NOT MATCH THE HASHES", ErrHashMismatch},
	{"No space left on device", ErrDiskFull},
	{"Errno 28", ErrDiskFull},
	{"Failed to establish a new connection", ErrOffline},
	{"Temporary failure in name resolution", ErrOffline},
	{"Name or service not known", ErrOffline},
	{"nodename nor servname", ErrOffline},
	{"Network is unreachable", ErrOffline},
	{"Connection refused", ErrOffline},
	{"ConnectTimeout", ErrOffline},
	{"ReadTimeout", ErrOffline},
	{"Read timed out", ErrOffline},
	{"ProxyError", ErrOffline},
	{"Connection broken", ErrOffline},
	{"Max retries exceeded", ErrOffline},
	{"CERTIFICATE_VERIFY_FAILED", ErrOffline},
	{"No matching distribution found", ErrNotOffered},
	{"Could not find a version", ErrNotOffered},
	{"no such option", ErrNotOffered},
}

// explainPip turns pip's failure into a sentence. What pip said last stays in
// it, for whoever has to look further.
func explainPip(err error, output string) error {
	last := lastLines(output, 4)
	for _, c := range causes {
		if strings.Contains(output, c.text) {
			return fmt.Errorf("%w (pip: %s)", c.err, last)
		}
	}
	return fmt.Errorf("pip failed: %w: %s", err, last)
}

// explainDisk adds the remedy when the disk was full or is not ours to write.
func explainDisk(dir string, err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w: choose a cache folder that you may write", err)
	}
	if !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EDQUOT) && !errors.Is(err, ErrDiskFull) {
		return err
	}
	return fmt.Errorf("%w: free about 400 MB where %s is, or choose another cache folder: %w", ErrDiskFull, dir, err)
}

func lastLines(s string, n int) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	if len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return strings.Join(lines, "; ")
}
