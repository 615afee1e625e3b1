package bench

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/dlai-sd/plant/scripts/bench/rawrows"
	"github.com/dlai-sd/plant/shared/registry"
)

// pool is how many connections the product gets where several writers work.
const pool = 4

// measureCreate compares whole creates with 1 / (1/sign + 1/tx): a raw signature
// by the same key and a raw pgx.Batch of the same rows, with as many workers.
func measureCreate(ctx context.Context, w *world) ([]Row, error) {
	service, err := w.service(mainDatabase, pool)
	if err != nil {
		return nil, err
	}
	inProcess, err := w.serveHere(service)
	if err != nil {
		return nil, err
	}
	function, err := w.startFunction(ctx, "create-skill", pool)
	if err != nil {
		return nil, err
	}
	defer function.stop()
	conns := make([]*pgx.Conn, pool)
	for i := range conns {
		if conns[i], err = w.connect(ctx, writer, mainDatabase); err != nil {
			return nil, err
		}
	}
	var rows []Row
	for _, writers := range []int{1, pool} {
		n := 4 * writers
		more, err := w.createRows(ctx, writers, []arm{
			w.rawSignatures(writers, n), w.rawTransactions(conns, writers, n), w.creates(service, writers, n),
			w.posts(inProcess, writers, n), w.posts(function.url, writers, n),
		})
		rows = append(rows, more...)
		if err != nil {
			return rows, err
		}
	}
	return rows, nil
}

func (w *world) createRows(ctx context.Context, writers int, arms []arm) ([]Row, error) {
	rounds := w.rounds(60)
	times, err := interleave(ctx, rounds, arms...)
	if err != nil {
		return nil, err
	}
	bound := perRound(rounds, func(r int) float64 { return 1 / (times[0][r] + times[1][r]) })
	name := func(what string) string { return fmt.Sprintf("create, %d writers: %s", writers, what) }
	if writers == 1 {
		name = func(what string) string { return "create, 1 writer: " + what }
	}
	goal := atLeast(0.9)
	return []Row{
		told(name("one signature"), "ms", scaled(times[0], 1e3)),
		told(name("one raw transaction"), "ms", scaled(times[1], 1e3)),
		compared(name("registry"), perSecond, "1/(1/sign+1/tx)", rates(times[2]), bound, goal),
		compared(name("over HTTP"), perSecond, "1/(1/sign+1/tx)", rates(times[3]), bound, goal),
		compared(name("function, publishing"), perSecond, "1/(1/sign+1/tx)", rates(times[4]), bound, goal),
	}, nil
}

// rawSignatures signs as the product does, with nothing around it.
func (w *world) rawSignatures(writers, n int) arm {
	return func(ctx context.Context) (time.Duration, error) {
		return spread(ctx, writers, n, func(context.Context, int, int) error { return w.rawSignature() })
	}
}

func (w *world) rawSignature() error {
	digest := sha256.Sum256([]byte("plant"))
	_, err := rsa.SignPSS(rand.Reader, w.private, crypto.SHA256, digest[:], &rsa.PSSOptions{SaltLength: 32, Hash: crypto.SHA256})
	return err
}

func (w *world) rawTransactions(conns []*pgx.Conn, writers, n int) arm {
	return func(ctx context.Context) (time.Duration, error) {
		rows, err := w.separate(n)
		if err != nil {
			return 0, err
		}
		batches := make([]*pgx.Batch, n)
		for i, r := range rows {
			batches[i] = rawrows.Single(w.who.ID, r)
		}
		return spread(ctx, writers, n, func(ctx context.Context, worker, i int) error {
			return rawrows.Send(ctx, conns[worker], batches[i])
		})
	}
}

func (w *world) creates(service *registry.Service, writers, n int) arm {
	return func(ctx context.Context) (time.Duration, error) {
		requests := make([]registry.Request, n)
		items := make([]registry.Candidate, n)
		for i := range n {
			requests[i] = w.request()
			items[i].Facts, items[i].Settable = w.skill(typical)
		}
		return spread(ctx, writers, n, func(ctx context.Context, _, i int) error {
			_, err := service.Create(ctx, requests[i], items[i].Facts, items[i].Settable)
			return err
		})
	}
}
