// Package drift finds what has moved away from what was signed without anybody's
// doing: vectors from their texts, entities from the rules in force, certifications
// from their dates, work from its next step. It mends what is derived, marks what
// somebody must decide, and reports.
package drift

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/embedding"
	"github.com/dlai-sd/plant/shared/job"
	"github.com/dlai-sd/plant/shared/registry"
	"github.com/dlai-sd/plant/shared/store"
	"github.com/dlai-sd/plant/shared/web"
)

// What a run finds of an entity.
const (
	ReasonVectorDrifted = "vector_drifted"       // its vector no longer stands for its text, and was made again
	ReasonVectorDiffers = "vector_differs"       // its vector was not the one that was signed: tampering. It was made again
	ReasonVectorMissing = "vector_missing"       // it had none, and was given one
	ReasonShort         = "falls_short"          // it does not pass the constitution in force
	ReasonEnded         = "certification_ended"  // and it went under review
	ReasonEnding        = "certification_ending" // soon
	ReasonStalled       = "manufacture_stalled"  // the platform's next step was not taken, and was asked for again
	ReasonUndecided     = "undecided"            // it waits for a decision
	ReasonTampered      = "tampering_undecided"  // it waits for its governor's decision
	ReasonUnsound       = "unsound"              // its row, state or history is not what was signed: nothing was written
	FigureChecked       = "vectors_checked"
	FigureReaffirm      = "to_reaffirm" // passed under another constitution; certify says so
	FigureUnsent        = "events_unsent"
	FigureDead          = "dead_letters"
	System              = "system" // under which the platform's own figures are
	EventContinued      = "plant.drift.continued"
	EventReaffirm       = "plant.reaffirmation.due"
	EventEnacted        = "plant.constitution.enacted" // the registry's, of the amendment that says so
	chunk               = 128                          // entities at once: some seconds' work at most
	staleTries          = 3                            // of a chunk that somebody's change overtook
	endingWithin        = 30 * 24 * time.Hour
	stalledFor          = time.Hour
	undecidedFor        = 72 * time.Hour
	unsentFor           = 30 * time.Second
	worker              = "drift-check"
)

// Figures are all that a report counts, in the order in which it shows them.
func Figures() []string {
	return []string{
		FigureChecked, ReasonVectorDrifted, ReasonVectorDiffers, ReasonVectorMissing, FigureReaffirm, ReasonShort, ReasonEnded,
		ReasonEnding, ReasonStalled, ReasonUndecided, ReasonTampered, ReasonUnsound, FigureUnsent, FigureDead,
	}
}

// Checker carries runs on.
type Checker struct {
	job.Desk
	DB       *store.DB // as plant_drift
	Registry *registry.Service
	Embedder *embedding.Embedder // without a cache: a cache can be written to by others
	// Letters counts the dead letters; nil: they are not counted.
	Letters func(context.Context) (int64, error)
}

// Start begins a run, which somebody of a tenant asked for. It begins where its phase
// says; none: with the first.
func (c *Checker) Start(ctx context.Context, r store.DriftRun, tenant string) (store.DriftRun, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return r, err
	}
	r.ID, r.Phase = id.String(), cmp.Or(r.Phase, store.PhaseVectors)
	next, err := c.next(r.ID)
	if err != nil {
		return r, err
	}
	if err := c.DB.AddDriftRun(ctx, tenant, r, next); err != nil {
		return r, err
	}
	c.Announce(ctx, []store.Event{next})
	return c.DB.DriftRun(ctx, "", r.ID)
}

// Daily begins the run of this day, or goes on with it: the clock may call as often as
// it likes. While batch work is held it begins none: what is lifted is not followed by a
// run for every day that it was held.
func (c *Checker) Daily(ctx context.Context) error {
	if held, err := c.OnHold(ctx, "the daily drift check"); held || err != nil {
		return err
	}
	_, err := c.Start(ctx, store.DriftRun{}, "")
	if !errors.Is(err, store.ErrAlready) {
		return err
	}
	open, err := c.DB.OpenDriftRun(ctx)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return c.Continue(ctx, open.ID)
}

// Enacted begins the run of the newest enactment, or goes on with it: everything is
// judged by what came into force, and what follows from that is seen to at once. What
// the last enactment would change, the newest one's run changes; so it is with an event
// that comes late.
func (c *Checker) Enacted(ctx context.Context) error {
	e, err := c.DB.InForce(ctx)
	if err != nil || e.N == 0 {
		return err // what a deployment is founded on changes nothing
	}
	_, err = c.Start(ctx, store.DriftRun{Phase: store.PhaseConstitution, Enactment: &e.N}, "")
	if !errors.Is(err, store.ErrAlready) {
		return err
	}
	run, err := c.DB.EnactmentRun(ctx, e.N)
	if err != nil || run.Phase == store.PhaseDone {
		return err
	}
	return c.Continue(ctx, run.ID)
}

// Continue works on a run until it is done or the time is up; then the rest comes
// with an event of its own.
func (c *Checker) Continue(ctx context.Context, id string) error {
	return job.Continue(ctx, c.Desk, job.Steps[store.DriftRun]{
		Read:  func(ctx context.Context, id string) (store.DriftRun, error) { return c.DB.DriftRun(ctx, "", id) },
		Done:  func(r store.DriftRun) bool { return r.Phase == store.PhaseDone },
		Chunk: c.step,
	}, id)
}

// Mark marks an entity that an audit found tampered with.
func (c *Checker) Mark(ctx context.Context, eventID, requestID string, id domain.ID) error {
	return c.Registry.Suspect(ctx, registry.Request{
		Who: registry.System(worker), RequestID: requestID, Receipt: &store.Receipt{Consumer: worker, EventID: eventID},
	}, id, c.Now())
}

func (c *Checker) next(run string) (store.Event, error) { return Next(c.Desk, run) }

// Next is the event that brings a run's next chunk.
func Next(d job.Desk, run string) (store.Event, error) {
	return d.Event(EventContinued, run, "drift_run", System)
}

// step does one chunk. What somebody changed between the look and the write is looked
// at again; what turns out not to be what was signed is then among the unsound.
func (c *Checker) step(ctx context.Context, run store.DriftRun, handOn bool) (store.DriftRun, error) {
	var err error
	unsound := map[domain.ID]bool{}
	for range staleTries {
		var next store.DriftRun
		next, err = c.tryStep(ctx, run, handOn, unsound)
		var unsigned *registry.UnsignedError
		switch {
		case errors.As(err, &unsigned):
			for _, id := range unsigned.IDs {
				unsound[id] = true
			}
		case !errors.Is(err, store.ErrStale):
			return next, err
		}
	}
	return run, err
}

func (c *Checker) tryStep(ctx context.Context, run store.DriftRun, handOn bool, unsound map[domain.ID]bool) (store.DriftRun, error) {
	n := &notes{unsound: unsound, Step: store.Step{From: run, Phase: run.Phase, Position: run.Position, Counts: map[string]map[string]int64{}}}
	var err error
	if n.law, err = c.Registry.Law(ctx); err != nil {
		return run, err
	}
	if err := c.look(ctx, run, n); err != nil {
		return run, err
	}
	if handOn && n.Phase != store.PhaseDone {
		more, err := c.next(run.ID)
		if err != nil {
			return run, err
		}
		n.Events = append(n.Events, more)
	}
	if err := c.Registry.Record(ctx, registry.Request{Who: registry.System(worker)}, n.law, n.changes, &n.Step); err != nil {
		return run, err
	}
	for _, f := range n.Findings {
		if f.Reason == ReasonVectorDiffers {
			c.Logger.Log(ctx, web.LevelAlert, "what is stored is not what was signed: "+f.Reason,
				"run", run.ID, "entity_id", f.EntityID, "entity_type", f.EntityType)
		}
	}
	c.Announce(ctx, n.Events)
	run.Phase, run.Position = n.Phase, n.Position
	return run, nil
}

// notes are what a chunk finds and does.
type notes struct {
	store.Step
	law     domain.Constitution // that it judges by
	changes []registry.Found
	unsound map[domain.ID]bool // beside those that are so at the first look
}

func (n *notes) count(owner, figure string, by int64) {
	if n.Counts[owner] == nil {
		n.Counts[owner] = map[string]int64{}
	}
	n.Counts[owner][figure] += by
}

// found notes a finding about an entity, and counts it.
func (n *notes) found(e domain.Entity, kind domain.Kind, reason, detail string, stability *int64) error {
	id, err := uuid.NewV7()
	if err != nil {
		return err
	}
	n.count(e.GovernanceAgentID, reason, 1)
	n.Findings = append(n.Findings, store.DriftFinding{
		ID: id.String(), GovernanceAgent: e.GovernanceAgentID, EntityID: string(e.ID), EntityType: string(kind), Reason: reason,
		Detail: detail, StabilityPPM: stability,
	})
	return nil
}

// look does what the run's phase is about with the next entities, and says where the
// run then stands.
func (c *Checker) look(ctx context.Context, run store.DriftRun, n *notes) error {
	now, owner := c.Now(), run.GovernanceAgent
	var list []store.Candidate
	var err error
	var judge func(context.Context, []store.Candidate, *notes) error
	var then string
	switch run.Phase {
	case store.PhaseVectors:
		list, err = c.DB.EmbeddedBehind(ctx, owner, run.Position, chunk)
		judge, then = c.vectors, store.PhaseConstitution
	case store.PhaseConstitution:
		list, err = c.DB.OutdatedBehind(ctx, owner, run.Position, chunk, n.law.Sum())
		judge, then = c.constitution, store.PhaseCertifications
	case store.PhaseCertifications:
		list, err = c.DB.EndingBehind(ctx, owner, run.Position, chunk, now.Add(endingWithin))
		judge, then = c.certifications, store.PhaseWorkflows
	default:
		list, err = c.DB.WaitingBehind(ctx, owner, run.Position, chunk, now.Add(-undecidedFor), now.Add(-stalledFor))
		judge, then = c.workflows, store.PhaseDone
	}
	if err != nil {
		return err
	}
	if len(list) == 0 {
		n.Phase, n.Position = then, ""
		if then == store.PhaseDone && owner == "" {
			return c.platform(ctx, n)
		}
		return nil
	}
	n.Position = string(list[len(list)-1].Entity.ID)
	sound := make([]store.Candidate, 0, len(list))
	for _, one := range list {
		if one.Sound && !n.unsound[one.Entity.ID] {
			sound = append(sound, one)
		} else if err := n.found(one.Entity, one.Kind, ReasonUnsound, "Its row, state or history is not what was signed.", nil); err != nil {
			return err
		}
	}
	return judge(ctx, sound, n)
}

// platform counts what is nobody's own.
func (c *Checker) platform(ctx context.Context, n *notes) error {
	unsent, err := c.DB.Unsent(ctx, c.Now().Add(-unsentFor))
	if err != nil {
		return err
	}
	n.count(System, FigureUnsent, unsent)
	if c.Letters == nil {
		return nil
	}
	dead, err := c.Letters(ctx)
	if err != nil {
		return err
	}
	n.count(System, FigureDead, dead)
	return nil
}
