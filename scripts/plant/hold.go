package main

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/dlai-sd/plant/shared/store"
)

type holdCmd struct {
	On   holdOnCmd   `cmd:"" help:"Hold batch work: no audit, drift check or backfill does another chunk."`
	Off  holdOffCmd  `cmd:"" help:"Let it go on, also where a budget held it; runs that wait go on within a minute or two."`
	Show holdShowCmd `cmd:"" help:"Whether batch work is held, since when and why, and the last changes."`
}

type holdOnCmd struct {
	Reason string `help:"Why, for everybody who looks at a run that waits: one line." required:""`
}

type holdOffCmd struct {
	Reason string `help:"Why, for who asks later: one line." required:""`
}

type holdShowCmd struct {
	Limit int `help:"Show so many changes at most." default:"10"`
}

// holdView is how the switch stands.
type holdView struct {
	Held    bool         `json:"held"`
	Since   time.Time    `json:"since,omitzero"`
	Changes []holdChange `json:"changes"` // newest first
}

type holdChange struct {
	Held     bool      `json:"held"`
	By       string    `json:"by"`
	Reason   string    `json:"reason"`
	At       time.Time `json:"at"`
	BudgetID string    `json:"budget_id,omitzero"`
	Period   time.Time `json:"period_start,omitzero"`
	Cost     float64   `json:"cost,omitzero"`
	Budget   float64   `json:"budget,omitzero"`
	Currency string    `json:"currency,omitzero"`
}

// Run throws the switch.
func (c holdOnCmd) Run(a *app) error { return a.setHold(true, c.Reason) }

// Run lifts the hold.
func (c holdOffCmd) Run(a *app) error { return a.setHold(false, c.Reason) }

func (a *app) setHold(on bool, reason string) error {
	return a.withPrincipals(func(ctx context.Context, db *store.DB) error {
		err := db.SetHold(ctx, on, reason)
		if errors.Is(err, store.ErrReason) {
			return advise(err, "--reason 'The import runs; audits can wait until tomorrow.'")
		}
		if err != nil {
			return err
		}
		return a.printHold(ctx, db, 1)
	})
}

// Run says how the switch stands.
func (c holdShowCmd) Run(a *app) error {
	if c.Limit < 1 {
		return advise(errors.New("--limit is at least 1"), "plant hold show")
	}
	return a.withPrincipals(func(ctx context.Context, db *store.DB) error { return a.printHold(ctx, db, c.Limit) })
}

func (a *app) printHold(ctx context.Context, db *store.DB, limit int) error {
	list, err := db.Holds(ctx, limit)
	if err != nil {
		return err
	}
	out := holdView{Changes: []holdChange{}}
	for _, h := range list {
		out.Changes = append(out.Changes, holdChange{h.On, h.By, h.Reason, h.At.UTC(), h.BudgetID, h.Period.UTC(), h.Cost, h.Budget, h.Currency})
	}
	if len(list) > 0 && list[0].On {
		out.Held, out.Since = true, list[0].Since.UTC()
	}
	return a.print(out, func() {
		if out.Held {
			fmt.Fprintf(a.stdout, "Batch work is held since %s by the %s: %s\n", out.Since.Format(time.RFC3339), list[0].By, list[0].Reason)
		} else {
			fmt.Fprintln(a.stdout, "Batch work is not held.")
		}
		if limit == 1 {
			return
		}
		table := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
		for _, h := range list {
			state := map[bool]string{true: "on", false: "off"}[h.On]
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", h.At.UTC().Format(time.RFC3339), state, h.By, h.Reason)
		}
		_ = table.Flush() // it writes where the line above went
	})
}
