package proc_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/scripts/localstack/port"
	"github.com/dlai-sd/plant/scripts/localstack/proc"
)

// roleEnv tells this program to play a child instead of running tests.
const roleEnv = "PROC_TEST_ROLE"

func TestMain(m *testing.M) {
	if role := os.Getenv(roleEnv); role != "" {
		os.Exit(play(role))
	}
	os.Exit(m.Run())
}

func play(role string) int {
	name, arg, _ := strings.Cut(role, ":")
	switch name {
	case "parent": // starts a child and tells its number
		child, err := proc.Start(spec("quiet"))
		if err != nil {
			fmt.Println(err)
			return 1
		}
		fmt.Println(child.PID())
		<-child.Done()
	case "ignore": // ends only by force
		signal.Ignore(syscall.SIGTERM)
		fmt.Println("ready")
		<-time.After(time.Minute)
	case "quiet": // writes nothing: a broken pipe would end it
		<-time.After(time.Minute)
	case "serve": // is ready on a port
		http.HandleFunc("/ready", func(http.ResponseWriter, *http.Request) {})
		fmt.Println(http.ListenAndServe("127.0.0.1:"+arg, nil)) // #nosec -- a test's
	case "unready":
		http.HandleFunc("/ready", func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "no keys", http.StatusServiceUnavailable)
		})
		fmt.Println("I have no keys")
		fmt.Println(http.ListenAndServe("127.0.0.1:"+arg, nil)) // #nosec -- a test's
	case "once": // is ready the first time, and never again
		if _, err := os.Stat(arg); err == nil {
			fmt.Println("not again")
			return 3
		}
		if err := os.WriteFile(arg, nil, 0o600); err != nil {
			return 1
		}
		_, p, _ := strings.Cut(os.Getenv("PROC_TEST_PORT"), ":")
		return play("serve:" + p)
	case "say":
		fmt.Print(arg)
		fmt.Fprint(os.Stderr, "err")
		return 4
	}
	return 0
}

func spec(role string, env ...string) proc.Spec {
	return proc.Spec{Name: "child", Path: os.Args[0], Env: append([]string{roleEnv + "=" + role}, env...)}
}

// buffer is a writer that several may use.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func TestOutputIsPrefixedAndRemembered(t *testing.T) {
	t.Parallel()
	out := &buffer{}
	s := spec("say:one\ntwo\r\n" + strings.Repeat("x", 8200) + "\n")
	s.Output = out
	s.Env = append(s.Env, "GOCOVERDIR="+t.TempDir()) // or a covered child has more to say
	p, err := proc.Start(s)
	require.NoError(t, err)
	var exit *exec.ExitError
	require.ErrorAs(t, p.Err(), &exit)
	require.Equal(t, 4, exit.ExitCode())
	require.Equal(t, []string{"one", "two", strings.Repeat("x", 8192), "xxxxxxxx", "err"}, p.Tail())
	require.True(t, strings.HasPrefix(out.String(), "[child] one\n[child] two\n[child] x"))
}

func TestStartOfNothingFails(t *testing.T) {
	t.Parallel()
	_, err := proc.Start(proc.Spec{Name: "nothing", Path: "/does/not/exist"})
	require.ErrorContains(t, err, "start nothing")
}

func TestStopEndsByForceWhatDoesNotListen(t *testing.T) {
	t.Parallel()
	ready := make(chan struct{}, 1)
	s := spec("ignore")
	s.Output = writerFunc(func() { ready <- struct{}{} })
	p, err := proc.Start(s)
	require.NoError(t, err)
	<-ready
	require.NoError(t, p.Stop(t.Context(), proc.Step{Signal: syscall.SIGTERM, Wait: 10 * time.Millisecond}))
	require.ErrorContains(t, p.Err(), "killed")
	require.NoError(t, p.Kill(), "it is gone already")
	require.NoError(t, p.Signal(syscall.SIGTERM))
}

type writerFunc func()

func (f writerFunc) Write(p []byte) (int, error) { f(); return len(p), nil }

func TestNoOrphanOfAKilledParent(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("orphans are prevented on Linux only")
	}
	lines := make(chan struct{}, 8)
	s := spec("parent")
	s.Output = writerFunc(func() { lines <- struct{}{} })
	parent, err := proc.Start(s)
	require.NoError(t, err)
	<-lines
	child, err := strconv.Atoi(parent.Tail()[0])
	require.NoError(t, err)
	require.True(t, alive(child))
	require.NoError(t, syscall.Kill(parent.PID(), syscall.SIGKILL)) // the parent alone
	<-parent.Done()
	require.Eventually(t, func() bool { return !alive(child) }, 10*time.Second, 5*time.Millisecond)
}

func alive(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	state := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))[0]
	return state != "Z" && state != "X"
}

func service(t *testing.T, role string) proc.Service {
	t.Helper()
	free, err := port.Free(1)
	require.NoError(t, err)
	p := strconv.Itoa(free[0])
	return proc.Service{
		Spec: spec(role+":"+p, "PROC_TEST_PORT=:"+p), ReadyURL: "http://127.0.0.1:" + p + "/ready",
		MinBackoff: time.Millisecond, MaxBackoff: 4 * time.Millisecond, Logger: slog.New(slog.DiscardHandler),
	}
}

func TestServiceIsRestartedWhenItDies(t *testing.T) {
	t.Parallel()
	s, err := proc.Supervise(t.Context(), service(t, "serve"))
	require.NoError(t, err)
	first := s.PID()
	for n := 1; n <= 3; n++ {
		if n == 2 {
			require.NoError(t, syscall.Kill(s.PID(), syscall.SIGTERM))
		} else {
			require.NoError(t, s.Kill())
		}
		require.Eventually(t, func() bool { return s.Restarts() == n }, 20*time.Second, 2*time.Millisecond)
		require.NoError(t, s.Ready(t.Context()))
	}
	require.NotEqual(t, first, s.PID())
	require.NoError(t, s.Stop(t.Context()))
	require.NoError(t, s.Err())
	require.Error(t, s.Ready(t.Context()))
	require.Equal(t, 3, s.Restarts())
}

func TestServiceThatNeverGetsReadyQuotesItsLines(t *testing.T) {
	t.Parallel()
	for role, want := range map[string][]string{
		"unready": {"not ready in time", "no keys", "I have no keys"},
		"say":     {"ended before it was ready", "exit status 4"},
	} {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			s := service(t, role)
			s.ReadyWait = time.Second
			_, err := proc.Supervise(t.Context(), s)
			for _, text := range want {
				require.ErrorContains(t, err, text)
			}
		})
	}
}

func TestServiceThatDoesNotComeBackIsGivenUp(t *testing.T) {
	t.Parallel()
	s := service(t, "once")
	s.Env[0] = roleEnv + "=once:" + t.TempDir() + "/marker"
	s.GiveUp = 2
	supervised, err := proc.Supervise(t.Context(), s)
	require.NoError(t, err)
	require.NoError(t, supervised.Kill())
	<-supervised.Done()
	require.ErrorContains(t, supervised.Err(), "not again")
	require.NoError(t, supervised.Stop(context.Background()))
}
