package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/dlai-sd/plant/scripts/localstack/port"
	"github.com/dlai-sd/plant/scripts/localstack/proc"
	"github.com/dlai-sd/plant/shared/domain"
)

const (
	startDeadline = 30 * time.Second
	askEvery      = 500 * time.Microsecond
)

// function is a function's process.
type function struct {
	url     string
	process *proc.Process

	listening, ready time.Duration // since exec
}

// roles says as which database role each function works.
func roles() map[string]string {
	return map[string]string{
		"create-skill": writer, "certify": certifier, "audit-run": "plant_auditor", "embed": "plant_embedder",
	}
}

// startFunction starts a function and waits until /ready answers 200.
func (w *world) startFunction(ctx context.Context, name string, connections int) (*function, error) {
	ports, err := port.Free(1)
	if err != nil {
		return nil, err
	}
	address := "127.0.0.1:" + strconv.Itoa(ports[0])
	f := &function{url: "http://" + address}
	began := time.Now()
	f.process, err = proc.Start(proc.Spec{
		Name: name, Path: w.opts.Functions, Env: w.environment(name, ports[0], connections), Output: io.Discard,
	})
	if err != nil {
		return nil, fmt.Errorf("start %s: %w: run make build first", name, err)
	}
	if err := f.await(ctx, began, address); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w: %s", name, err, strings.Join(f.process.Tail(), " ")), f.process.Kill())
	}
	return f, nil
}

func (w *world) environment(name string, listen, connections int) []string {
	return []string{
		"FUNCTION_TARGET=" + name, "HOST=127.0.0.1", "PORT=" + strconv.Itoa(listen),
		"PLANT_ORIGIN=" + origin, "GOOGLE_CLOUD_PROJECT=" + project,
		"DATABASE_URL=" + w.url(roles()[name], mainDatabase), "DB_POOL=" + strconv.Itoa(connections),
		"SECRET_MANAGER_ENDPOINT=" + w.manager.Addr(), "AMENDMENT_KEY=" + w.versions[domain.UseAmendment],
		"CERTIFICATION_KEY=" + w.versions[domain.UseCertification],
		"CHECKPOINT_KEY=" + w.versions[domain.UseCheckpoint], "HEADS_KEY=" + w.versions[domain.UseHeads], "CHECKPOINT_DIR=" + w.dir,
		"JWT_KEYS=" + w.tokenKeys, "TOKEN_ISSUER=" + issuer, "TOKEN_AUDIENCE=" + audience,
		"PUBSUB_EMULATOR_HOST=" + w.pubsub.Addr(), "PUBSUB_TOPIC=" + topic,
		"OIDC_ISSUER=" + w.oidc.URL(), "PUSH_AUDIENCE=" + audience, "PUSH_SERVICE_ACCOUNT=" + pusher,
		"MODEL_DIR=" + w.modelDir,
	}
}

// await notes when the process listens and when it is ready.
func (f *function) await(ctx context.Context, began time.Time, address string) error {
	ctx, cancel := context.WithTimeout(ctx, startDeadline)
	defer cancel()
	alive, release := f.process.While(ctx)
	defer release()
	ask := time.NewTicker(askEvery)
	defer ask.Stop()
	var dialer net.Dialer
	for {
		if conn, err := dialer.DialContext(alive, "tcp", address); err == nil {
			_ = conn.Close() // it answered
			break
		}
		select {
		case <-ask.C:
		case <-alive.Done():
			return context.Cause(alive)
		}
	}
	f.listening = time.Since(began)
	client := &http.Client{Timeout: startDeadline}
	defer client.CloseIdleConnections()
	request, err := http.NewRequestWithContext(alive, http.MethodGet, f.url+"/ready", nil)
	if err != nil {
		return err
	}
	if err := expect(client, request, http.StatusOK); err != nil {
		return err
	}
	f.ready = time.Since(began)
	return nil
}

// stop ends the process; a run that is over has nothing to say about how.
func (f *function) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), startDeadline)
	defer cancel()
	_ = f.process.Stop(ctx, proc.Step{Signal: syscall.SIGTERM, Wait: 10 * time.Second})
}

// errNoProc says that this system does not tell about processes.
var errNoProc = errors.New("needs /proc")

// resident is the memory of a process in MiB.
func (f *function) resident() (float64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", f.process.PID()))
	if err != nil {
		return 0, errNoProc
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 64)
			return kib / 1024, err
		}
	}
	return 0, errNoProc
}

// cpu is the processor time that a process has used, user and system.
func (f *function) cpu() (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", f.process.PID()))
	if err != nil {
		return 0, errNoProc
	}
	// The name, in parentheses, may hold anything; utime and stime are the 14th
	// and 15th field (proc_pid_stat(5)), in hundredths of a second.
	_, after, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(after)
	if len(fields) < 13 {
		return 0, errNoProc
	}
	user, err := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * 10 * time.Millisecond, errors.Join(err, err2)
}
