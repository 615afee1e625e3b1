package audit

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/google/uuid"

	"github.com/dlai-sd/plant/shared/event"
	"github.com/dlai-sd/plant/shared/job"
	"github.com/dlai-sd/plant/shared/store"
	"github.com/dlai-sd/plant/shared/web"
)

const (
	// chunk is how many entities are judged at once: some seconds' work at most.
	chunk = 250
	// EventContinued brings the next part of a run.
	EventContinued = "plant.audit.continued"
	system         = "system"
)

// Worker carries runs on. Whatever it does is written down with where it goes on, so
// it may die at any line; several may have the same run, and one of them gets on.
type Worker struct {
	*Auditor
	job.Desk
}

// Start begins a run, which somebody of a tenant asked for, or the clock. Of the whole
// platform it begins with the log.
func (w *Worker) Start(ctx context.Context, r store.Run, tenant string) (store.Run, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return r, err
	}
	r.ID, r.Phase = id.String(), store.PhaseEntities
	if r.GovernanceAgent == "" && r.EntityID == "" && r.Kind == "" {
		r.Phase = store.PhaseLog
	}
	next, err := w.Next(r.ID)
	if err != nil {
		return r, err
	}
	if err := w.DB.AddRun(ctx, tenant, r, next); err != nil {
		return r, err
	}
	w.Announce(ctx, []store.Event{next})
	return w.DB.ReadRun(ctx, "", r.ID)
}

// Daily begins the run of this day. While batch work is held it begins none: what is
// lifted is not followed by a run for every day that it was held.
func (w *Worker) Daily(ctx context.Context) error {
	if held, err := w.OnHold(ctx, "the daily audit"); held || err != nil {
		return err
	}
	_, err := w.Start(ctx, store.Run{}, "")
	return err
}

// Next is the event that brings a run's next chunk.
func (w *Worker) Next(run string) (store.Event, error) {
	return w.Event(EventContinued, run, "audit_run", system)
}

// Continue works on a run until it is done or the time is up; then the rest comes
// with an event of its own.
func (w *Worker) Continue(ctx context.Context, id string) error {
	ctx, cancel := context.WithCancel(ctx)
	r := &reader{db: w.DB}
	defer r.wait()
	defer cancel()
	return job.Continue(ctx, w.Desk, job.Steps[store.Run]{
		Read: func(ctx context.Context, id string) (run store.Run, err error) {
			run, err = w.DB.ReadRun(ctx, "", id)
			r.filter = run.RunFilter
			return run, err
		},
		Done: func(run store.Run) bool { return run.Phase == store.PhaseDone },
		Chunk: func(ctx context.Context, run store.Run, handOn bool) (store.Run, error) {
			return w.step(ctx, r, run, handOn)
		},
	}, id)
}

// step does one chunk.
func (w *Worker) step(ctx context.Context, r *reader, run store.Run, handOn bool) (store.Run, error) {
	next, findings, err := w.chunk(ctx, r, run, !handOn)
	if err != nil {
		return run, err
	}
	events, err := w.alarms(findings)
	if err != nil {
		return run, err
	}
	if handOn && next.Phase != store.PhaseDone {
		more, err := w.Next(run.ID)
		if err != nil {
			return run, err
		}
		events = append(events, more)
	}
	for i := range findings {
		id, err := uuid.NewV7()
		if err != nil {
			return run, err
		}
		findings[i].ID = id.String()
	}
	next.Findings += int64(len(findings))
	if err := w.DB.Advance(ctx, run, next, findings, events); err != nil {
		return run, err
	}
	for _, f := range findings {
		if tampering(f) {
			w.Logger.Log(ctx, web.LevelAlert, "what is stored is not what was signed: "+f.Reason,
				"run", run.ID, "entity_id", f.EntityID, "entity_type", f.EntityType, "seq", f.Seq)
		}
	}
	w.Announce(ctx, events)
	return next, nil
}

// chunk judges what comes next, and says where the run then stands; with more, what
// is behind it is read meanwhile.
func (w *Worker) chunk(ctx context.Context, r *reader, run store.Run, more bool) (store.Run, []store.Finding, error) {
	next := run
	if run.Phase == store.PhaseLog {
		return w.logChunk(ctx, next)
	}
	ids, held, err := r.chunk(ctx, run.Position, more)
	if err != nil {
		return run, nil, err
	}
	if len(ids) == 0 {
		next.Phase, next.Position = store.PhaseDone, ""
		return next, nil, nil
	}
	done := w.judge(held)
	next.Position = ids[len(ids)-1]
	next.Entities += done.Entities
	next.Amendments += done.Amendments
	return next, done.Findings, nil
}

func (w *Worker) logChunk(ctx context.Context, next store.Run) (store.Run, []store.Finding, error) {
	var from int64
	if next.Position != "" {
		var err error
		if from, err = strconv.ParseInt(next.Position, 10, 64); err != nil {
			return next, nil, event.Permanent(fmt.Errorf("position of a run: %w", err))
		}
	}
	part, err := w.LogFrom(ctx, from)
	if err != nil {
		return next, nil, err
	}
	next.Entries += part.Entries
	found := part.Findings
	if part.More {
		next.Position = number(part.Next)
		return next, found, nil
	}
	more, err := w.LogEnd(ctx)
	if err != nil {
		return next, nil, err
	}
	next.Phase, next.Position = store.PhaseEntities, ""
	return next, append(found, more...), nil
}

// tampering reports whether a finding means that somebody changed what was signed: a
// rule that is broken was so from the start, and a vector can be made again.
func tampering(f store.Finding) bool {
	return f.Reason != string(ReasonRuleViolated) && f.Reason != string(ReasonVectorMissing)
}

// Tampering reports whether any of the findings means that.
func Tampering(findings []store.Finding) bool {
	return slices.ContainsFunc(findings, tampering)
}

// alarms are the events of what was found: one for each entity.
func (w *Worker) alarms(findings []store.Finding) (events []store.Event, err error) {
	said := map[string]bool{}
	for _, f := range findings {
		if said[f.EntityID] || !tampering(f) {
			continue
		}
		said[f.EntityID] = true
		kind, owner, id := f.EntityType, f.GovernanceAgent, f.EntityID
		if id == "" {
			kind, id = "log", "00000000-0000-0000-0000-000000000000"
		}
		if kind == "" {
			kind = "entity"
		}
		if owner == "" {
			owner = system
		}
		e, err := w.Event("plant."+kind+".tampered", id, kind, owner)
		if err != nil {
			return nil, err
		}
		events = append(events, e)
	}
	return events, nil
}
