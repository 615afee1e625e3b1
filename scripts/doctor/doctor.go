// Package doctor looks at a deployment, local or in the cloud, and says what is wrong
// with it and what to do. It changes nothing.
package doctor

import (
	"context"
	"errors"
	"slices"
	"time"

	"cloud.google.com/go/pubsub/v2"
	secretmanager "cloud.google.com/go/secretmanager/apiv1"

	"github.com/dlai-sd/plant/shared/checkpoints"
	"github.com/dlai-sd/plant/shared/store"
)

// Severity says how soon somebody has to act.
type Severity string

// The severities.
const (
	Critical Severity = "critical" // what the platform promises does not hold, or may not
	Warning  Severity = "warning"  // it will not, if nobody acts
)

// Finding is something that is not as it should be.
type Finding struct {
	Check    string   `json:"check"`
	Severity Severity `json:"severity"`
	What     string   `json:"what"`
	Fix      string   `json:"fix"` // a command, or a heading of infra/RUNBOOK.md
}

// Outcome is what one check came to.
type Outcome struct {
	Check    string    `json:"check"`
	About    string    `json:"about"`
	Findings []Finding `json:"findings"`
	// Unknown says why the check could not look; Skipped, why there is nothing to look at.
	Unknown string `json:"unknown,omitzero"`
	Skipped string `json:"skipped,omitzero"`
}

// Report is the outcome of every check, in their order.
type Report struct {
	Outcomes []Outcome `json:"checks"`
}

// Findings are those of all checks.
func (r Report) Findings() (all []Finding) {
	for _, o := range r.Outcomes {
		all = append(all, o.Findings...)
	}
	return all
}

// Code is the exit code: 2 where a check could not look, else 1 where something was
// found, else 0.
func (r Report) Code() int {
	code := min(len(r.Findings()), 1)
	for _, o := range r.Outcomes {
		if o.Unknown != "" {
			return 2
		}
	}
	return code
}

// Subscription is one that functions rely on.
type Subscription struct {
	Name   string // its id
	Topic  string
	Filter string // "": any
}

// Deployment is what is looked at. A nil client means that there is nothing of its kind.
type Deployment struct {
	DB            *store.DB // as plant_operator
	Origin        string
	Project       string
	Secrets       *secretmanager.Client
	Checkpoints   checkpoints.Store
	PubSub        *pubsub.Client
	Topics        []string
	Subscriptions []Subscription
	DeadLetters   string            // id of the subscription where they wait
	Pinned        map[string]string // secret versions that settings name, by variable
	Now           func() time.Time
}

// errSkipped says that there is nothing to look at.
type errSkipped string

func (e errSkipped) Error() string { return string(e) }

// check is one line of the table.
type check struct {
	name, about string
	run         func(context.Context, Deployment) ([]Finding, error)
}

// checks are in the order in which they are read: what others rest on comes first.
func checks() []check {
	return []check{
		{"database", "PostgreSQL and pgvector are new enough", checkServer},
		{"schema", "every migration of this binary is applied", checkSchema},
		{"guards", "row-level security, policies, privileges, triggers and roles are as the migrations made them", checkGuards},
		{"constitution", "the constitution in force is known to this binary", checkConstitution},
		{"clock", "this clock and the database's agree", checkClock},
		{"keys", "each use has one key in force, whose private half is in Secret Manager", checkKeys},
		{"rotation", "no key is older than its rotation", checkRotation},
		{"secrets", "the secrets that settings name can be read", checkSecrets},
		{"log", "the database continues what was published", checkLog},
		{"checkpoint", "the newest checkpoint covers what is there", checkCheckpoint},
		{"sequencer", "no amendment waits for its place", checkWaiting},
		{"outbox", "no event waits to be sent", checkOutbox},
		{"embedding", "no entity waits for its vector", checkEmbedding},
		{"audit", "the nightly audit ended, and found nothing", checkAudit},
		{"topics", "the topics are there", checkTopics},
		{"subscriptions", "the subscriptions are there, with the filters that functions want", checkSubscriptions},
		{"dead letters", "no event was given up", checkDeadLetters},
		{"hold", "no batch work is held", checkHold},
		{"budget", "the month's cost is below the budget", checkBudget},
	}
}

// timeout bounds one check.
const timeout = 30 * time.Second

// Examine runs every check, or only those named, one after the other: a deployment that
// is ill is not asked everything at once.
func Examine(ctx context.Context, d Deployment, only ...string) Report {
	if d.Now == nil {
		d.Now = time.Now
	}
	var r Report
	for _, c := range checks() {
		if len(only) > 0 && !slices.Contains(only, c.name) {
			continue
		}
		r.Outcomes = append(r.Outcomes, c.look(ctx, d))
	}
	return r
}

func (c check) look(ctx context.Context, d Deployment) Outcome {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	found, err := c.run(ctx, d)
	o := Outcome{Check: c.name, About: c.about, Findings: []Finding{}}
	for _, f := range found {
		f.Check = c.name
		o.Findings = append(o.Findings, f)
	}
	var skipped errSkipped
	switch {
	case errors.As(err, &skipped):
		o.Skipped = skipped.Error()
	case err != nil:
		o.Unknown = err.Error()
	}
	return o
}

func one(s Severity, what, fix string) []Finding {
	return []Finding{{Severity: s, What: what, Fix: fix}}
}

// Sections of the runbook that fixes name.
const (
	runbookTamper  = "infra/RUNBOOK.md#a-tamper-alert"
	runbookRestore = "infra/RUNBOOK.md#restore-from-a-backup-without-breaking-the-log"
	runbookQueue   = "infra/RUNBOOK.md#a-poisoned-queue"
	runbookHold    = "infra/RUNBOOK.md#the-budget-has-stopped-batch-work"
	runbookKeys    = "infra/RUNBOOK.md#key-rotation"
)
