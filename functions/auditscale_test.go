package main

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/dlai-sd/plant/shared/audit"
	"github.com/dlai-sd/plant/shared/bundle"
	"github.com/dlai-sd/plant/shared/checkpoints"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/export"
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
	dir := t.TempDir()
	program := filepath.Join(dir, "plant-verify")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "../scripts/plant-verify").CombinedOutput()
	require.NoError(t, err, "%s", out)
	trust := filepath.Join(dir, "root.pem")
	spki, err := x509.MarshalPKIXPublicKey(m.auditor(t).Trust)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(trust, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki}), 0o600))
	began := time.Now()
	run := exec.CommandContext(t.Context(), program, file, "--trust", trust, "--origin", harness.Origin, "--scope", "all")
	out, err = run.CombinedOutput()
	took := time.Since(began)
	require.NoError(t, err, "%s", out)
	usage := run.ProcessState.SysUsage().(*syscall.Rusage)
	t.Logf("%d entries verified by plant-verify in %s: %.0f/s, peak resident %.1f MiB",
		m.size, took.Round(time.Millisecond), float64(m.size)/took.Seconds(), mebi(usage.Maxrss<<10))
}

func mebi[N int64 | uint64](bytes N) float64 { return float64(bytes) / (1 << 20) }

// audited judges everything, chunk after chunk as a run does.
func (m *weighed) audited(t *testing.T) {
	t.Helper()
	auditor := &audit.Auditor{DB: m.db, Log: m.log, Origin: harness.Origin}
	var amendments int64
	began := time.Now()
	for after := ""; ; {
		ids, err := m.db.AuditIDs(t.Context(), store.RunFilter{}, after, 250)
		require.NoError(t, err)
		if len(ids) == 0 {
			break
		}
		done, err := auditor.Entities(t.Context(), ids)
		require.NoError(t, err)
		require.Empty(t, done.Findings)
		amendments += done.Amendments
		after = ids[len(ids)-1]
	}
	took := time.Since(began)
	require.EqualValues(t, m.count(t, "amendment"), amendments)
	signatures := m.count(t, "amendment WHERE signature IS NOT NULL") + m.count(t, "signature_batch")
	audited, raw := float64(amendments)/took.Seconds(), rawVerify(t, m.kit)
	t.Logf("%d amendments audited in %s: %.0f/s", amendments, took.Round(time.Millisecond), audited)
	t.Logf("raw VerifyPSS %.0f/s: %s for one each (ratio %.2f), %s for the %d signatures there are", raw,
		(time.Duration(float64(amendments)/raw*1e9) * time.Nanosecond).Round(time.Millisecond), audited/raw,
		(time.Duration(float64(signatures)/raw*1e9) * time.Nanosecond).Round(time.Millisecond), signatures)
}

// rawVerify is how many RSA-4096 PSS signatures all cores verify in a second.
func rawVerify(t *testing.T, k *kit) float64 {
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
	began := time.Now()
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
	return float64(n.Load()) / time.Since(began).Seconds()
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
