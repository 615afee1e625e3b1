package auditrun

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/dlai-sd/plant/shared/audit"
	"github.com/dlai-sd/plant/shared/auth"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/event"
	"github.com/dlai-sd/plant/shared/job"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/store"
	"github.com/dlai-sd/plant/shared/web"
)

const (
	runsPath    = "/api/v1/audit/runs/"
	maxFindings = 100
	scopeAll    = "all"
	scopeTenant = "governance_agent"
	scopeKind   = "kind"
	scopeEntity = "entity"
)

type audits struct {
	*audit.Worker
	db *store.DB
}

// Run is how a run of the audit stands.
type Run struct {
	ID         string    `json:"id"`
	Scope      string    `json:"scope"`
	Of         string    `json:"of,omitzero"` // the governance agent, kind or entity
	Since      string    `json:"since,omitzero"`
	Status     string    `json:"status"`
	Entries    int64     `json:"entries"`
	Entities   int64     `json:"entities"`
	Amendments int64     `json:"amendments"`
	Count      int64     `json:"findings_count"`
	Findings   []Finding `json:"findings"` // the first of them, or those behind after
	StartedAt  string    `json:"started_at"`
	UpdatedAt  string    `json:"updated_at"`
	FinishedAt string    `json:"finished_at,omitzero"`
	Hold       *job.Hold `json:"hold,omitzero"` // while the status is held

	status int
}

// StatusCode is 202 for whoever asked for the run, 200 for whoever looks.
func (r Run) StatusCode() int { return r.status }

// SetHeaders says where the run is.
func (r Run) SetHeaders(h http.Header) {
	if r.status == http.StatusAccepted {
		h.Set("Location", runsPath+r.ID)
	}
}

// Finding is something that is not as it was signed.
type Finding struct {
	ID                string `json:"id,omitzero"`
	GovernanceAgentID string `json:"governance_agent_id,omitzero"`
	EntityID          string `json:"entity_id,omitzero"`
	EntityType        string `json:"entity_type,omitzero"`
	Seq               int64  `json:"seq,omitzero"`
	Reason            string `json:"reason"`
	Expected          string `json:"expected"`
	Found             string `json:"found"`
}

// Tampering is what is found of one entity now.
type Tampering struct {
	EntityID   string    `json:"entity_id"`
	Tampered   bool      `json:"tampered"`
	Amendments int64     `json:"amendments"`
	Findings   []Finding `json:"findings"`
}

func findingsOf(list []store.Finding) []Finding {
	out := make([]Finding, len(list))
	for i, f := range list {
		out[i] = Finding{f.ID, f.GovernanceAgent, f.EntityID, f.EntityType, f.Seq, f.Reason, f.Expected, f.Found}
	}
	return out
}

func runOf(r store.Run, findings []store.Finding, status int) Run {
	out := Run{
		ID: r.ID, Scope: scopeAll, Status: "running", Entries: r.Entries, Entities: r.Entities, Amendments: r.Amendments,
		Count: r.Findings, Findings: findingsOf(findings), status: status,
		StartedAt: r.StartedAt.UTC().Format(ledger.TimeLayout), UpdatedAt: r.UpdatedAt.UTC().Format(ledger.TimeLayout),
	}
	switch {
	case r.EntityID != "":
		out.Scope, out.Of = scopeEntity, r.EntityID
	case r.Kind != "":
		out.Scope, out.Of = scopeKind, r.Kind
	case r.GovernanceAgent != "":
		out.Scope, out.Of = scopeTenant, r.GovernanceAgent
	}
	if !r.Since.IsZero() {
		out.Since = r.Since.UTC().Format(ledger.TimeLayout)
	}
	if r.FinishedAt != nil {
		out.Status, out.FinishedAt = "finished", r.FinishedAt.UTC().Format(ledger.TimeLayout)
	}
	return out
}

// order is a run that somebody asks for.
type order struct {
	who   auth.Principal
	scope string
	id    string
	since time.Time
}

type orderText struct {
	Scope string `json:"scope"`
	ID    string `json:"id"`
	Since string `json:"since"`
}

func decodeRun(r *http.Request) (order, error) {
	who, err := auth.FromContext(r.Context())
	if err != nil {
		return order{}, err
	}
	if _, err := web.Query(r); err != nil {
		return order{}, err
	}
	in, _, err := web.Body[orderText](r, web.LimitBody)
	if err != nil {
		return order{}, err
	}
	o := order{who: who, scope: in.Scope, id: in.ID}
	ok := in.Scope == scopeAll && in.ID == "" || in.Scope == scopeTenant && in.ID != "" ||
		in.Scope == scopeKind && slices.Contains(domain.Kinds(), domain.Kind(in.ID)) || in.Scope == scopeEntity && domain.ID(in.ID).Valid()
	if !ok {
		return o, web.Refuse(domain.CodeMalformed, "scope is all, governance_agent, kind or entity, with an id but for all.")
	}
	if in.Since != "" {
		if o.since, err = time.Parse(time.RFC3339Nano, in.Since); err != nil {
			return o, web.Refuse(domain.CodeMalformed, "since is a time of RFC 3339.")
		}
	}
	return o, nil
}

func platform(who auth.Principal) bool {
	return who.HoldsOnPlatform(domain.Auditor) || who.HoldsOnPlatform(domain.Operator)
}

// start begins a run: over everything and everybody's for auditors and operators of
// the platform, over what a governance agent owns for its own.
func (a audits) start(ctx context.Context, o order) (Run, error) {
	if !o.who.Holds(domain.Auditor) && !o.who.Holds(domain.Operator) {
		return Run{}, web.Refuse(domain.CodeForbidden, "An audit is for auditors and operators.")
	}
	r := store.Run{Principal: o.who.ID, RunFilter: store.RunFilter{GovernanceAgent: o.who.GovernanceAgent, Since: o.since}}
	if platform(o.who) {
		r.GovernanceAgent = ""
	}
	switch o.scope {
	case scopeAll:
		if !platform(o.who) {
			return Run{}, web.Refuse(domain.CodeForbidden, "Everything is audited for auditors and operators of the platform.")
		}
	case scopeTenant:
		if o.id != o.who.GovernanceAgent && !platform(o.who) {
			return Run{}, notThere("There is nothing of this scope that you may audit.")
		}
		r.GovernanceAgent = o.id
	case scopeKind:
		r.Kind = o.id
	case scopeEntity:
		owner, err := a.owner(ctx, o.who, o.id)
		if err != nil {
			return Run{}, err
		}
		r.EntityID, r.GovernanceAgent = o.id, owner
	}
	r, err := a.Start(ctx, r, o.who.GovernanceAgent)
	if errors.Is(err, store.ErrPrincipal) {
		err = web.Refuse(domain.CodeForbidden, "The principal was disabled.")
	}
	if err != nil {
		return Run{}, err
	}
	return a.stands(ctx, runOf(r, nil, http.StatusAccepted))
}

// stands adds what a run cannot know: that it is held.
func (a audits) stands(ctx context.Context, r Run) (Run, error) {
	if r.FinishedAt != "" {
		return r, nil
	}
	hold, err := a.OpenHold(ctx)
	if hold != nil {
		r.Status, r.Hold = job.StatusHeld, hold
	}
	return r, err
}

// owner returns whose an entity is, if the caller may have it audited: whose own any of
// its records is, may, whatever somebody wrote beside them.
func (a audits) owner(ctx context.Context, who auth.Principal, id string) (string, error) {
	owners, err := a.db.OwnersOf(ctx, domain.ID(id))
	own := slices.Contains(owners, who.GovernanceAgent)
	switch {
	case errors.Is(err, store.ErrNotFound) || err == nil && !own && !platform(who):
		return "", notThere("There is nothing of this id that you may audit.")
	case err != nil:
		return "", err
	case own:
		return who.GovernanceAgent, nil
	}
	return owners[0], nil
}

type lookAt struct {
	who       auth.Principal
	id, after string
}

func decodeRunID(r *http.Request) (lookAt, error) {
	return decodeLook(r, "There is no run of this id.", "after")
}

func decodeEntityID(r *http.Request) (lookAt, error) {
	return decodeLook(r, "There is nothing of this id that you may audit.")
}

func decodeLook(r *http.Request, gone string, names ...string) (lookAt, error) {
	who, err := auth.FromContext(r.Context())
	if err != nil {
		return lookAt{}, err
	}
	q, err := web.Query(r, names...)
	if err != nil {
		return lookAt{}, err
	}
	in := lookAt{who, r.PathValue("id"), q.Get("after")}
	if !domain.ID(in.id).Valid() {
		return in, notThere(gone)
	}
	if q.Has("after") && !domain.ID(in.after).Valid() {
		return in, web.Refuse(domain.CodeMalformed, "after is the id of a finding.")
	}
	return in, nil
}

func (a audits) look(ctx context.Context, in lookAt) (Run, error) {
	as := in.who.GovernanceAgent
	if platform(in.who) {
		as = ""
	}
	run, err := a.db.ReadRun(ctx, as, in.id)
	if errors.Is(err, store.ErrNotFound) {
		return Run{}, notThere("There is no run of this id.")
	}
	if err != nil {
		return Run{}, err
	}
	findings, err := a.db.Findings(ctx, as, in.id, in.after, maxFindings)
	if err != nil {
		return Run{}, err
	}
	return a.stands(ctx, runOf(run, findings, http.StatusOK))
}

// tampering judges one entity while the caller waits.
func (a audits) tampering(ctx context.Context, in lookAt) (Tampering, error) {
	if _, err := a.owner(ctx, in.who, in.id); err != nil {
		return Tampering{}, err
	}
	done, err := a.Entities(ctx, []string{in.id})
	return Tampering{in.id, audit.Tampering(done.Findings), done.Amendments, findingsOf(done.Findings)}, err
}

// events takes the clock's call, which has no body and begins the daily run, and
// Pub/Sub's, which brings the next part of one.
func (a audits) events(dead event.DeadLetter) http.Handler {
	return event.OrClock(a.Daily, event.Handler("audit", func(ctx context.Context, e event.Event) error {
		if e.Type != audit.EventContinued {
			return nil
		}
		return a.Continue(ctx, e.Data.EntityID)
	}, dead))
}
