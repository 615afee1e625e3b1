package auditrun

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/dlai-sd/plant/shared/event"
	"github.com/dlai-sd/plant/shared/hold"
)

// budgetEvents takes what Cloud Billing says of the budget, and throws the switch that
// holds batch work when it is spent.
func budgetEvents(s hold.Switch, log *slog.Logger, dead event.DeadLetter) http.Handler {
	return event.Pushed("budget", func(ctx context.Context, push event.Push) error {
		n, thrown, err := s.Hear(ctx, push.Message)
		if thrown {
			log.WarnContext(ctx, "batch work is held: the budget of the month since "+n.Period.Format(time.DateOnly)+
				" is spent; plant hold off lifts it")
		}
		return err
	}, dead)
}
