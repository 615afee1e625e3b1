//go:build !linux

package proc

import (
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// dieWithParent does nothing here: orphans of a killed parent are prevented on
// Linux only.
func dieWithParent(*syscall.SysProcAttr, syscall.Signal) {}

// children lists the processes whose parent is pid.
func children(pid int) ([]int, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "ps", "-A", "-o", "pid=,ppid=").Output()
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var kids []int
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		if len(fields) != 2 || fields[1] != strconv.Itoa(pid) {
			continue
		}
		kid, err := strconv.Atoi(fields[0])
		if err != nil {
			return nil, fmt.Errorf("read ps: %w", err)
		}
		kids = append(kids, kid)
	}
	return kids, nil
}
