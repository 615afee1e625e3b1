package bench

import (
	"context"
	"fmt"

	"github.com/dlai-sd/plant/shared/registry"
)

// grown is how many rows the fuller database has.
const grown = 20_000

// measureFlat compares creates in a database with a few rows with creates in one
// with twenty thousand, in turns.
func measureFlat(ctx context.Context, w *world) ([]Row, error) {
	few, err := w.service(fewDatabase, 1)
	if err != nil {
		return nil, err
	}
	many, err := w.service(fullDatabase, 1)
	if err != nil {
		return nil, err
	}
	if err := w.fill(ctx, many, grown); err != nil {
		return nil, err
	}
	times, err := interleave(ctx, w.rounds(60), w.creates(few, 1, 4), w.creates(many, 1, 4))
	if err != nil {
		return nil, err
	}
	name := fmt.Sprintf("create with %d rows", grown)
	return []Row{compared(name, "ms", "with few rows", scaled(times[1], 1e3), scaled(times[0], 1e3), atMost(1.1))}, nil
}

func (w *world) fill(ctx context.Context, service *registry.Service, n int) error {
	for range n / registry.MaxBulk {
		if _, err := w.createAlls(service, typical, registry.MaxBulk)(ctx); err != nil {
			return err
		}
	}
	return nil
}
