// Package proc starts child processes, keeps their last words, and ends them.
//
// On Linux a child does not outlive this process, even if that is killed with
// signal 9. macOS has no such means: there only an ordinary end is clean.
package proc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// drain bounds the wait for output that outlives the process in a grandchild.
const drain = time.Second

// Spec says what to start.
type Spec struct {
	Name       string // prefix of its lines
	Path       string
	Args       []string // without the program's name
	Env        []string // whole; nil: an empty environment
	Dir        string
	Output     io.Writer           // gets its lines, prefixed; nil: nobody. One Write per line.
	Stdout     *os.File            // if set, passed on as it is instead of Output
	Stderr     *os.File            // likewise
	Credential *syscall.Credential // run as this user; nil: as we
	// OrphanSignal is what the child gets on Linux when this process dies;
	// 0: SIGKILL.
	OrphanSignal syscall.Signal
}

// Process is a started child. It leads its own process group, so that Ctrl-C
// in a terminal reaches only us and we end the children in order.
type Process struct {
	pid   int
	lines *lines
	done  chan struct{}
	err   error // once done is closed
}

// Start starts a process. Its owner is a goroutine that ends with it: Linux
// ties a child's life to the thread that made it, so that goroutine keeps its
// thread.
func Start(spec Spec) (*Process, error) {
	p := &Process{lines: newLines(spec.Name, spec.Output), done: make(chan struct{})}
	cmd := exec.Command(spec.Path, spec.Args...)
	cmd.Env = append([]string{}, spec.Env...)
	cmd.Dir = spec.Dir
	cmd.Stdout, cmd.Stderr = p.lines, p.lines
	if spec.Stdout != nil {
		cmd.Stdout = spec.Stdout
	}
	if spec.Stderr != nil {
		cmd.Stderr = spec.Stderr
	}
	cmd.WaitDelay = drain
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: spec.Credential}
	dieWithParent(cmd.SysProcAttr, spec.OrphanSignal)
	started := make(chan error)
	go p.own(cmd, started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", spec.Name, err)
	}
	return p, nil
}

func (p *Process) own(cmd *exec.Cmd, started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		started <- err
		return
	}
	p.pid = cmd.Process.Pid
	started <- nil
	p.err = cmd.Wait()
	if errors.Is(p.err, exec.ErrWaitDelay) {
		p.err = nil
	}
	p.lines.flush()
	close(p.done)
}

// PID is the process id; it also names the process group.
func (p *Process) PID() int { return p.pid }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err says how the process ended, once Done is closed: nil for exit code 0,
// else an *exec.ExitError.
func (p *Process) Err() error {
	<-p.done
	return p.err
}

// While returns a context that ends with the process, so that nobody waits for
// an answer of a process that is gone. release ends it and must be called.
func (p *Process) While(parent context.Context) (ctx context.Context, release func()) {
	ctx, cancel := context.WithCancel(parent)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-p.done:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		cancel()
		<-watched
	}
}

// Ended reports whether the process has ended.
func (p *Process) Ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// Tail returns the last lines that the process wrote, at most 50.
func (p *Process) Tail() []string { return p.lines.tail() }

// Signal sends sig to the process alone. A process that has ended is no error.
func (p *Process) Signal(sig syscall.Signal) error { return p.send(p.pid, sig) }

// SignalGroup sends sig to the process and everything it started that did not
// leave its group.
func (p *Process) SignalGroup(sig syscall.Signal) error { return p.send(-p.pid, sig) }

func (p *Process) send(to int, sig syscall.Signal) error {
	if p.Ended() {
		return nil
	}
	if err := syscall.Kill(to, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("signal %s to process %d: %w", sig, p.pid, err)
	}
	return nil
}

// Step is one way to ask a process to end, and how long to wait for it.
type Step struct {
	Signal syscall.Signal
	Wait   time.Duration
}

// Stop sends the steps' signals one after the other until the process has
// ended; SIGKILL to its group is the last step always, and the only one left
// once ctx has ended. It fails only if a signal cannot be sent.
func (p *Process) Stop(ctx context.Context, steps ...Step) error {
	for _, s := range steps {
		if err := p.Signal(s.Signal); err != nil {
			return err
		}
		timer := time.NewTimer(s.Wait)
		select {
		case <-p.done:
			timer.Stop()
			return nil
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return p.Kill()
		}
	}
	return p.Kill()
}

// Kill ends the process, its group and its direct children at once and waits
// for its end. PostgreSQL's children each lead a session of their own: the
// group alone would not reach them.
func (p *Process) Kill() error {
	if p.Ended() {
		return nil
	}
	if err := p.Signal(syscall.SIGSTOP); err != nil { // or it has more children when we have counted
		return err
	}
	kids, listed := children(p.pid)
	err := p.SignalGroup(syscall.SIGKILL)
	for _, kid := range kids {
		if e := syscall.Kill(kid, syscall.SIGKILL); e != nil && !errors.Is(e, syscall.ESRCH) {
			err = errors.Join(err, fmt.Errorf("kill child %d: %w", kid, e))
		}
	}
	if err := errors.Join(listed, err); err != nil {
		return err
	}
	<-p.done
	return nil
}
