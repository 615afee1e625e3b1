package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/dlai-sd/plant/scripts/bench/rawrows"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/registry"
)

// measureSeal measures what a signature costs an amendment under a batch
// signature: everything that sealing does, the records and their hashes
// included, against one raw signature.
func measureSeal(ctx context.Context, w *world) ([]Row, error) {
	_, drafts, err := w.drafts(typical, registry.MaxBulk)
	if err != nil {
		return nil, err
	}
	seal := func() error {
		_, err := w.sealer(w.signer).Seal(drafts)
		return err
	}
	rounds := w.rounds(24)
	times, err := interleave(ctx, rounds, repeated(5, w.rawSignature), repeated(1, seal))
	if err != nil {
		return nil, err
	}
	each := scaled(times[1], 1e6/float64(len(drafts)))
	name := fmt.Sprintf("seal in a batch of %d, each amendment", len(drafts))
	row := compared(name, "µs", "one signature", each, scaled(times[0], 1e6), nil)
	ratios := perRound(rounds, func(r int) float64 { return times[0][r] * 1e6 / each[r] })
	row.Ratio, row.Low, row.High = median(ratios), quantile(ratios, 0.25), quantile(ratios, 0.75)
	row.Quiet = quantile(times[0], 0.1) * 1e6 / quantile(each, 0.1)
	row.Goal = atLeast(100)
	return []Row{row}, nil
}

// measureBulk compares CreateAll with multi-row inserts of the same rows.
func measureBulk(ctx context.Context, w *world) ([]Row, error) {
	service, err := w.service(mainDatabase, 1)
	if err != nil {
		return nil, err
	}
	conn, err := w.connect(ctx, writer, mainDatabase)
	if err != nil {
		return nil, err
	}
	var rows []Row
	for _, c := range []struct {
		size size
		name string
		goal *Goal
	}{{imported, "as imported", atLeast(0.8)}, {typical, "of 2 KB", nil}} {
		times, err := interleave(ctx, w.rounds(24),
			w.rawBulks(conn, c.size, registry.MaxBulk), w.createAlls(service, c.size, registry.MaxBulk))
		if err != nil {
			return rows, err
		}
		name := fmt.Sprintf("batch create, %d at once, %s", registry.MaxBulk, c.name)
		rows = append(rows, compared(name, perSecond, "raw unnest inserts", rates(times[1]), rates(times[0]), c.goal))
	}
	return rows, nil
}

func (w *world) rawBulks(conn *pgx.Conn, s size, n int) arm {
	return func(ctx context.Context) (time.Duration, error) {
		rows, err := w.together(s, n)
		if err != nil {
			return 0, err
		}
		b, err := rawrows.Bulk(w.who.ID, rows)
		if err != nil {
			return 0, err
		}
		began := time.Now()
		err = rawrows.Send(ctx, conn, b)
		return time.Since(began) / time.Duration(n), err
	}
}

func (w *world) createAlls(service *registry.Service, s size, n int) arm {
	return func(ctx context.Context) (time.Duration, error) {
		items := make([]registry.Candidate, n)
		for i := range items {
			items[i].Facts, items[i].Settable = w.skill(s)
		}
		request := w.request()
		began := time.Now()
		answer, err := service.CreateAll(ctx, request, domain.KindSkill, items)
		took := time.Since(began) / time.Duration(n)
		for _, o := range answer.Outcomes {
			if o.Code != "" {
				err = errors.Join(err, fmt.Errorf("an item was refused: %s: %s", o.Code, o.Detail))
				break
			}
		}
		return took, err
	}
}
