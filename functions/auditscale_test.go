package main

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"io"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

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

// TestAuditAtScale measures: amendments audited in a second against raw VerifyPSS on
// the same cores in the same run, and an export's time and peak memory. AUDIT_ROWS says
// how many amendments, most of them signed in batches.
func TestAuditAtScale(t *testing.T) {
	rows := 1000
	if n, err := strconv.Atoi(os.Getenv("AUDIT_ROWS")); err == nil {
		rows = n
	}
	k := newKit(t)
	k.bulk(t, rows)
	db := k.Open(t, "plant_auditor", 2)
	folder, err := checkpoints.NewFolder(k.checkpoints)
	require.NoError(t, err)
	log := sequencer.New(sequencer.Config{
		DB: db, Store: folder, Origin: harness.Origin, Now: time.Now,
		Checkpoint: k.Secrets.Hold(keys.Pinned(k.Keys[domain.UseCheckpoint]), time.Now), Heads: k.Secrets.Hold(keys.Pinned(k.Keys[domain.UseHeads]), time.Now),
	})
	began := time.Now()
	cut, err := log.Seal(t.Context())
	require.NoError(t, err)
	sealed := time.Since(began)

	auditor := &audit.Auditor{DB: db, Log: log, Origin: harness.Origin}
	began = time.Now()
	var amendments int64
	for after := ""; ; {
		ids, err := db.AuditIDs(t.Context(), store.RunFilter{}, after, 250)
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
	audited := float64(amendments) / time.Since(began).Seconds()

	x := &export.Exporter{DB: db, Log: log, Origin: harness.Origin, Now: time.Now}
	peak := peakOf(func() {
		began = time.Now()
		plan, err := x.Prepare(t.Context(), export.Order{Scope: bundle.Scope{Type: bundle.ScopeAll}, At: time.Now()}, cut)
		require.NoError(t, err)
		require.NoError(t, plan.Write(context.WithoutCancel(t.Context()), io.Discard))
	})
	exported := time.Since(began)
	raw := rawVerify(t, k)
	t.Logf("%d amendments: sealed in %s; audited %.0f/s, raw VerifyPSS %.0f/s, ratio %.2f; exported in %s (%.0f/s), peak heap %.1f MiB",
		amendments, sealed.Round(time.Millisecond), audited, raw, audited/raw, exported.Round(time.Millisecond),
		float64(amendments)/exported.Seconds(), float64(peak)/(1<<20))
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
