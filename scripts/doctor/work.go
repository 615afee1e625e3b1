package doctor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/dlai-sd/plant/shared/checkpoints"
	"github.com/dlai-sd/plant/shared/sequencer"
	"github.com/dlai-sd/plant/shared/store"
)

// How long work may wait. The sequencer and the sweep run every minute, the audit
// every night.
const (
	waitingLimit   = 5 * time.Minute
	outboxLimit    = 5 * time.Minute
	embeddingLimit = 30 * time.Minute
	auditLimit     = 26 * time.Hour
	headsLimit     = 26 * time.Hour // a verifier takes no older one
)

func (d Deployment) log() *sequencer.Sequencer {
	return sequencer.New(sequencer.Config{DB: d.DB, Store: d.Checkpoints, Origin: d.Origin, Now: d.Now})
}

func checkLog(ctx context.Context, d Deployment) ([]Finding, error) {
	if d.Checkpoints == nil {
		return nil, errors.New("CHECKPOINT_BUCKET is not set: where checkpoints are published is not known")
	}
	status, err := d.log().Status(ctx)
	if err != nil {
		return nil, err
	}
	what := fmt.Sprintf("checkpoint %d covers %d entries, the database has %d", status.Published, status.PublishedSize, status.Size)
	if status.ForkedTo != "" {
		return one(Critical, fmt.Sprintf("the log of %s was forked to %s, and nothing goes on until the functions work for that", d.Origin, status.ForkedTo),
			fmt.Sprintf("start the functions with PLANT_ORIGIN=%[1]s; locally: stop make run, then PLANT_ORIGIN=%[1]s make run", status.ForkedTo)), nil
	}
	switch status.Halted {
	case "":
		return nil, nil
	case sequencer.ReasonRolledBack:
		return one(Critical, "the database is older than what was published: "+what,
			"restore a newer backup ("+runbookRestore+"); if there is none: plant log fork NEW-ORIGIN"), nil
	case sequencer.ReasonDiverged:
		return one(Critical, "the database holds another log than what was published: "+what, runbookTamper), nil
	default:
		return one(Critical, fmt.Sprintf("the log is stopped (%s): %s", status.Halted, what), "plant log status; "+runbookTamper), nil
	}
}

// checkCheckpoint looks at what is published, and how old the newest heads record is.
// Without a published checkpoint nothing can be proved to anybody.
func checkCheckpoint(ctx context.Context, d Deployment) ([]Finding, error) {
	if d.Checkpoints == nil {
		return nil, errors.New("CHECKPOINT_BUCKET is not set: where checkpoints are published is not known")
	}
	_, _, err := d.Checkpoints.Newest(ctx, 0)
	if errors.Is(err, checkpoints.ErrNone) {
		return one(Critical, "no checkpoint was ever published", "gcloud scheduler jobs run plant-sequence --location=us-central1"), nil
	}
	if err != nil {
		return nil, err
	}
	state, err := d.DB.LogState(ctx)
	if err != nil {
		return nil, err
	}
	if age := d.Now().Sub(state.HeadsAt); age > headsLimit {
		return one(Warning, fmt.Sprintf("the newest heads record is %s old: verifiers call bundles stale", age.Round(time.Minute)), "gcloud scheduler jobs run plant-sequence --location=us-central1"), nil
	}
	return nil, nil
}

// noun is what is counted, of one and of more.
type noun struct{ one, more string }

func counted(n int64, what noun) string {
	if n == 1 {
		return "1 " + what.one
	}
	return fmt.Sprintf("%d %s", n, what.more)
}

// late is a finding where something has waited for longer than it may.
func late(h store.Health, n int64, since *time.Time, limit time.Duration, what noun, fix string) []Finding {
	if n == 0 || since == nil || h.Now.Sub(*since) <= limit {
		return nil
	}
	return one(Warning, fmt.Sprintf("%s, the oldest for %s", counted(n, what), h.Now.Sub(*since).Round(time.Second)), fix)
}

func checkWaiting(ctx context.Context, d Deployment) ([]Finding, error) {
	h, err := d.DB.Health(ctx)
	return late(h, h.Waiting, h.WaitingSince, waitingLimit, noun{"amendment waits for its place in the log", "amendments wait for their place in the log"},
		"plant log status; gcloud scheduler jobs run plant-sequence --location=us-central1"), err
}

func checkOutbox(ctx context.Context, d Deployment) ([]Finding, error) {
	h, err := d.DB.Health(ctx)
	return late(h, h.Unsent, h.UnsentSince, outboxLimit, noun{"event waits to be sent", "events wait to be sent"},
		"gcloud scheduler jobs run plant-sequence --location=us-central1; "+runbookQueue), err
}

func checkEmbedding(ctx context.Context, d Deployment) ([]Finding, error) {
	h, err := d.DB.Health(ctx)
	return late(h, h.Unembedded, h.UnembeddedSince, embeddingLimit, noun{"entity waits for its vector", "entities wait for their vector"}, "plant embed backfill"), err
}

func checkAudit(ctx context.Context, d Deployment) ([]Finding, error) {
	h, err := d.DB.Health(ctx)
	if err != nil {
		return nil, err
	}
	const again = "gcloud scheduler jobs run plant-audit --location=us-central1"
	switch {
	case h.AuditedAt == nil:
		keys, err := d.DB.SigningKeys(ctx)
		if err != nil {
			return nil, err
		}
		// A deployment begins with its root key.
		if len(keys) == 0 || h.Now.Sub(keys[0].Since) <= auditLimit {
			return nil, errSkipped("no audit has ended yet; the first is due within a day of the deployment")
		}
		return one(Warning, "no audit of the platform has ever ended", again), nil
	case h.AuditFindings > 0:
		return one(Critical, "the newest audit found "+counted(h.AuditFindings, noun{"thing that is not as it was signed", "things that are not as they were signed"}), runbookTamper), nil
	case h.Now.Sub(*h.AuditedAt) > auditLimit:
		return one(Warning, fmt.Sprintf("the newest audit ended %s ago", h.Now.Sub(*h.AuditedAt).Round(time.Minute)), again), nil
	}
	return nil, nil
}

// checkHold says that batch work is held: nobody is told of it otherwise but by what
// does not happen.
func checkHold(ctx context.Context, d Deployment) ([]Finding, error) {
	h, held, err := d.DB.Held(ctx)
	if err != nil || !held {
		return nil, err
	}
	return one(Warning, fmt.Sprintf("audits, drift checks and backfills are held since %s by the %s: %s", h.Since.UTC().Format(time.RFC3339), h.By, h.Reason),
		"plant hold off --reason …, once that is over; "+runbookHold), nil
}

func checkBudget(context.Context, Deployment) ([]Finding, error) {
	return nil, errSkipped("only the billing account knows: https://console.cloud.google.com/billing/budgets; its alerts at 50, 80 and 100 % go out by mail, and infra/PRICES.md says what a month costs")
}
