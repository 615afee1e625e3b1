package main

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/dlai-sd/plant/shared/audit"
	"github.com/dlai-sd/plant/shared/bundle"
	"github.com/dlai-sd/plant/shared/checkpoints"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/event"
	"github.com/dlai-sd/plant/shared/export"
	"github.com/dlai-sd/plant/shared/job"
	"github.com/dlai-sd/plant/shared/keys"
	"github.com/dlai-sd/plant/shared/sequencer"
	"github.com/dlai-sd/plant/shared/store"
	"github.com/dlai-sd/plant/shared/testkit/harness"
)

// TestAuditAtScale measures, of AUDIT_ROWS amendments, three in a hundred signed
// directly and the rest in batches: how fast the log takes them; time and peak memory
// of an export and of plant-verify at a fifth of the size and at the whole, which is to
// be flat; and amendments audited in a second against two bounds of the same cores in
// the same run: VerifyPSS once for each amendment, and once for each signature.
func TestAuditAtScale(t *testing.T) {
	rows := 1000
	if n, err := strconv.Atoi(os.Getenv("AUDIT_ROWS")); err == nil {
		rows = n
	}
	m := newWeighed(t)
	m.build(t)
	for _, part := range []int{rows / 5, rows - rows/5} {
		m.bulk(t, part-part*3/100)
		m.direct(t, part*3/100)
		cut := m.sealed(t)
		m.verified(t, m.exported(t, cut))
	}
	m.audited(t)
}

// weighed is a deployment whose log is kept by hand.
type weighed struct {
	*kit
	db   *store.DB
	log  *sequencer.Sequencer
	size int64

	program, trust string // plant-verify, and the root that it is given
}

func newWeighed(t *testing.T) *weighed {
	t.Helper()
	k := newKit(t)
	db := k.Open(t, "plant_auditor", 2)
	folder, err := checkpoints.NewFolder(k.checkpoints)
	require.NoError(t, err)
	return &weighed{kit: k, db: db, log: sequencer.New(sequencer.Config{
		DB: db, Store: folder, Origin: harness.Origin, Now: time.Now,
		Checkpoint: k.Secrets.Hold(keys.Pinned(k.Keys[domain.UseCheckpoint]), time.Now), Heads: k.Secrets.Hold(keys.Pinned(k.Keys[domain.UseHeads]), time.Now),
	})}
}

// build makes plant-verify, and the file of the root that it is to trust.
func (m *weighed) build(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	m.program, m.trust = filepath.Join(dir, "plant-verify"), filepath.Join(dir, "root.pem")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", m.program, "../scripts/plant-verify").CombinedOutput()
	require.NoError(t, err, "%s", out)
	spki, err := x509.MarshalPKIXPublicKey(m.auditor(t).Trust)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(m.trust, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki}), 0o600))
}

// direct writes n skills one by one, each with a signature of its own.
func (m *weighed) direct(t *testing.T, n int) {
	t.Helper()
	service, who := m.Service(t, 2), m.kit.Principal(t, "acme", domain.Author)
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for range n {
		group.Go(func() error {
			_, err := service.Create(t.Context(), requestOf(who), domain.Skill{Name: "Skill " + uuid.NewString(), Description: "Does it.", Category: "technical"}, domain.Settable{})
			return err
		})
	}
	require.NoError(t, group.Wait())
}

// sealed puts what waits into the log, and cuts it.
func (m *weighed) sealed(t *testing.T) store.Noted {
	t.Helper()
	began := time.Now()
	cut, err := m.log.Seal(t.Context())
	require.NoError(t, err)
	took := time.Since(began)
	t.Logf("%d entries sequenced and sealed in %s: %.0f/s", cut.Size-m.size, took.Round(time.Millisecond), float64(cut.Size-m.size)/took.Seconds())
	m.size = cut.Size
	return cut
}

// exported writes a bundle of everything to a file.
func (m *weighed) exported(t *testing.T, cut store.Noted) string {
	t.Helper()
	x := &export.Exporter{DB: m.db, Log: m.log, Origin: harness.Origin, Now: time.Now}
	f, err := os.Create(filepath.Join(t.TempDir(), "bundle.zip"))
	require.NoError(t, err)
	var took time.Duration
	peak := peakOf(func() {
		began := time.Now()
		plan, err := x.Prepare(t.Context(), export.Order{Scope: bundle.Scope{Type: bundle.ScopeAll}, At: time.Now()}, cut)
		require.NoError(t, err)
		require.NoError(t, plan.Write(context.WithoutCancel(t.Context()), f))
		took = time.Since(began)
	})
	info, err := f.Stat()
	require.NoError(t, err)
	require.NoError(t, f.Close())
	t.Logf("%d entries exported in %s: %.0f/s, %.1f MiB, peak heap %.1f MiB",
		cut.Size, took.Round(time.Millisecond), float64(cut.Size)/took.Seconds(), mebi(info.Size()), mebi(peak))
	return f.Name()
}

// verified gives a bundle to plant-verify, a process of its own.
func (m *weighed) verified(t *testing.T, file string) {
	t.Helper()
	began := time.Now()
	run := exec.CommandContext(t.Context(), m.program, file, "--trust", m.trust, "--origin", harness.Origin, "--scope", "all")
	out, err := run.CombinedOutput()
	took := time.Since(began)
	require.NoError(t, err, "%s", out)
	usage := run.ProcessState.SysUsage().(*syscall.Rusage)
	t.Logf("%d entries verified by plant-verify in %s: %.0f/s, peak resident %.1f MiB",
		m.size, took.Round(time.Millisecond), float64(m.size)/took.Seconds(), mebi(usage.Maxrss<<10))
}

func mebi[N int64 | uint64](bytes N) float64 { return float64(bytes) / (1 << 20) }

// audited carries a run over everything to its end, as one call of its event would
// that had the time.
func (m *weighed) audited(t *testing.T) {
	t.Helper()
	client, err := pubsub.NewClient(t.Context(), harness.Project)
	require.NoError(t, err)
	defer func() { require.NoError(t, client.Close()) }()
	topic := event.NewPublisher(client, m.topic)
	defer topic.Stop()
	w := &audit.Worker{
		Auditor: &audit.Auditor{DB: m.db, Log: m.log, Origin: harness.Origin},
		Desk: job.Desk{
			Outbox: event.NewOutbox(m.db, topic, "//"+harness.Origin), Logger: slog.New(slog.DiscardHandler), Now: time.Now,
			Budget: time.Hour, Held: m.db.Held,
		},
	}
	raw, each := rawVerify(t, m.kit)
	run, err := w.Start(t.Context(), store.Run{}, "")
	require.NoError(t, err)
	began, spent, served := time.Now(), processTime(t), m.serverTime(t)
	require.NoError(t, w.Continue(t.Context(), run.ID))
	took := time.Since(began)
	spent, served = processTime(t)-spent, m.serverTime(t)-served
	again, eachAgain := rawVerify(t, m.kit)
	raw, each = (raw+again)/2, (each+eachAgain)/2
	run, err = m.db.ReadRun(t.Context(), "", run.ID)
	require.NoError(t, err)
	require.NotNil(t, run.FinishedAt)
	require.Zero(t, run.Findings)
	require.EqualValues(t, m.count(t, "amendment"), run.Amendments)
	n, signatures := time.Duration(run.Amendments), time.Duration(m.count(t, "amendment WHERE signature IS NOT NULL")+m.count(t, "signature_batch"))
	t.Logf("%d amendments and %d entries of the log audited in %s: %.0f/s, raw VerifyPSS %.0f/s before and after, ratio %.2f",
		run.Amendments, run.Entries, took.Round(time.Millisecond), float64(n)/took.Seconds(), raw, float64(n)/took.Seconds()/raw)
	t.Logf("processor time: %s here and %s in the database, %s an amendment; %s for VerifyPSS, ratio %.2f; %s for the %d signatures there are",
		spent.Round(time.Millisecond), served, ((spent + served) / n).Round(time.Microsecond), each.Round(time.Microsecond),
		float64(each)/float64((spent+served)/n), (each * signatures).Round(time.Millisecond), signatures)
}

// processTime is the processor time that this process has used.
func processTime(t *testing.T) time.Duration {
	t.Helper()
	var usage syscall.Rusage
	require.NoError(t, syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// serverTime is the processor time that the auditor's connections have used in the
// server, where it runs on this machine and that is told; else 0.
func (m *weighed) serverTime(t *testing.T) (total time.Duration) {
	t.Helper()
	for _, pid := range m.rows(t, `SELECT pid::text FROM pg_stat_activity WHERE datname = current_database() AND usename = 'plant_auditor'`) {
		stat, err := os.ReadFile("/proc/" + pid + "/stat")
		if err != nil {
			return 0
		}
		_, rest, _ := strings.Cut(string(stat), ") ")
		for _, ticks := range strings.Fields(rest)[11:13] { // user and system
			n, err := strconv.ParseInt(ticks, 10, 64)
			require.NoError(t, err)
			total += time.Duration(n) * 10 * time.Millisecond
		}
	}
	return total
}

// rawVerify is how many RSA-4096 PSS signatures all cores verify in a second, and the
// processor time that each one takes.
func rawVerify(t *testing.T, k *kit) (perSecond float64, each time.Duration) {
	t.Helper()
	key, err := k.Secrets.Key(t.Context(), k.Keys[domain.UseAmendment])
	require.NoError(t, err)
	digest := sha256.Sum256([]byte("x"))
	options := &rsa.PSSOptions{SaltLength: 32, Hash: crypto.SHA256}
	signature, err := key.Sign(rand.Reader, digest[:], options)
	require.NoError(t, err)
	public := key.Public().(*rsa.PublicKey)
	var n atomic.Int64
	var group sync.WaitGroup
	began, spent := time.Now(), processTime(t)
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() {
			for time.Since(began) < time.Second {
				if rsa.VerifyPSS(public, crypto.SHA256, digest[:], signature, options) == nil {
					n.Add(1)
				}
			}
		})
	}
	group.Wait()
	return float64(n.Load()) / time.Since(began).Seconds(), (processTime(t) - spent) / time.Duration(n.Load())
}

// peakOf is the largest heap that is seen while f runs.
func peakOf(f func()) uint64 {
	runtime.GC()
	var peak atomic.Uint64
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		var m runtime.MemStats
		for tick := time.NewTicker(20 * time.Millisecond); ; {
			select {
			case <-stop:
				tick.Stop()
				return
			case <-tick.C:
				if runtime.ReadMemStats(&m); m.HeapAlloc > peak.Load() {
					peak.Store(m.HeapAlloc)
				}
			}
		}
	}()
	f()
	close(stop)
	<-stopped
	return peak.Load()
}
