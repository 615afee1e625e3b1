package auditrun

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/dlai-sd/plant/shared/auth"
	"github.com/dlai-sd/plant/shared/bundle"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/export"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/store"
	"github.com/dlai-sd/plant/shared/web"
)

// AtOnce is how many records an export may have to be sent in the answer.
const AtOnce = 5000

const (
	exportsPath = "/api/v1/audit/exports/"
	mediaZip    = "application/zip"
	statusReady = "ready"
)

// Exported is an export that can be fetched.
type Exported struct {
	ID         string       `json:"id"`
	Scope      bundle.Scope `json:"scope"`
	Status     string       `json:"status"`
	Records    int64        `json:"records"`
	LogSize    int64        `json:"log_size"`
	Checkpoint int64        `json:"checkpoint"`
	CreatedAt  string       `json:"created_at"`
	Bundle     string       `json:"bundle"` // path of the file

	status int
}

// StatusCode is 202 for whoever asked for the export, 200 for whoever looks.
func (e Exported) StatusCode() int { return e.status }

// SetHeaders says where the export is.
func (e Exported) SetHeaders(h http.Header) {
	if e.status == http.StatusAccepted {
		h.Set("Location", exportsPath+e.ID)
	}
}

// asked is what a caller wants to have.
type asked struct {
	who   auth.Principal
	scope bundle.Scope
	seen  int64
}

type exports struct {
	*export.Exporter
	db *store.DB
}

// direct sends a bundle at once, or, of more than AtOnce records, does as POST does.
func (x exports) direct(w http.ResponseWriter, r *http.Request) {
	in, err := decodeExport(r, x.Now())
	if err != nil {
		web.Fail(w, r, err)
		return
	}
	e, cut, err := x.cut(r.Context(), in)
	if err != nil {
		web.Fail(w, r, err)
		return
	}
	if e.Records > AtOnce {
		web.WriteJSON(w, r, exported(e, in.scope, cut, http.StatusAccepted))
		return
	}
	x.send(w, r, e, cut)
}

func (x exports) order(ctx context.Context, in asked) (Exported, error) {
	e, cut, err := x.cut(ctx, in)
	return exported(e, in.scope, cut, http.StatusAccepted), err
}

func (x exports) look(w http.ResponseWriter, r *http.Request) {
	e, scope, cut, err := x.find(r)
	if err != nil {
		web.Fail(w, r, err)
		return
	}
	web.WriteJSON(w, r, exported(e, scope, cut, http.StatusOK))
}

func (x exports) fetch(w http.ResponseWriter, r *http.Request) {
	e, _, cut, err := x.find(r)
	if err != nil {
		web.Fail(w, r, err)
		return
	}
	x.send(w, r, e, cut)
}

func exported(e store.Export, scope bundle.Scope, cut store.Noted, status int) Exported {
	return Exported{
		ID: e.ID, Scope: scope, Status: statusReady, Records: e.Records, LogSize: cut.Size, Checkpoint: cut.N,
		CreatedAt: e.CreatedAt.UTC().Format(ledger.TimeLayout), Bundle: exportsPath + e.ID + "/bundle", status: status,
	}
}

// cut decides whether the caller may have the scope, cuts, and writes it down: who
// took what home is history too.
func (x exports) cut(ctx context.Context, in asked) (store.Export, store.Noted, error) {
	viewer, err := x.viewer(ctx, in.who, in.scope)
	if err != nil {
		return store.Export{}, store.Noted{}, err
	}
	at, _ := time.Parse(ledger.TimeLayout, in.scope.At) // the zero time for other scopes
	cut, err := x.Cut(ctx, at)
	if err != nil {
		return store.Export{}, cut, later(err)
	}
	order := export.Order{Scope: in.scope, Viewer: viewer, Seen: in.seen}
	n, err := x.Count(ctx, order, cut, 1<<53)
	if errors.Is(err, export.ErrNothing) && in.scope.Type == bundle.ScopeAgent { // it is there: the viewer was found by it
		return store.Export{}, cut, notThere("This agent was not born yet at the time that at names.")
	}
	if errors.Is(err, export.ErrNothing) {
		return store.Export{}, cut, nothingThere()
	}
	if err != nil {
		return store.Export{}, cut, err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return store.Export{}, cut, err
	}
	e, err := x.db.AddExport(ctx, store.Export{
		ID: id.String(), GovernanceAgent: in.who.GovernanceAgent, Principal: in.who.ID, Scope: in.scope.String(),
		Viewer: viewer, Seen: in.seen, Checkpoint: cut.N, Records: n,
	})
	if errors.Is(err, store.ErrPrincipal) {
		err = web.Refuse(domain.CodeForbidden, "The principal was disabled.")
	}
	return e, cut, err
}

// later: what did not work now may work in a moment, but for a log that is stopped.
func later(err error) error {
	return &domain.Error{Code: domain.CodeUnavailable, Detail: "The log cannot be sealed now; try again in a moment.", Err: err}
}

func nothingThere() error {
	return notThere("There is nothing of this scope that you may export.")
}

// viewer decides whose eyes an export has. Everything is for platform-wide auditors
// and operators; a governance agent's for its own, and for them; an entity or an agent
// for whoever belongs to its owner, since they read all of it anyway.
func (x exports) viewer(ctx context.Context, who auth.Principal, scope bundle.Scope) (string, error) {
	platform := platform(who)
	switch scope.Type {
	case bundle.ScopeAll:
		if !platform {
			return "", web.Refuse(domain.CodeForbidden, "Everything is exported for auditors and operators of the platform.")
		}
		return "", nil
	case bundle.ScopeGovernanceAgent:
		if scope.ID != who.GovernanceAgent && !platform || scope.ID == domain.KeyringAgent {
			return "", nothingThere()
		}
		if !who.Holds(domain.Auditor) && !who.Holds(domain.Operator) {
			return "", web.Refuse(domain.CodeForbidden, "What a governance agent owns is exported for its auditors and operators.")
		}
		return scope.ID, nil
	}
	as := who.GovernanceAgent
	if platform {
		as = ""
	}
	kind, owner, err := x.db.OwnerOf(ctx, as, domain.ID(scope.ID))
	if errors.Is(err, store.ErrNotFound) {
		return "", nothingThere()
	}
	if err != nil {
		return "", err
	}
	if owner != who.GovernanceAgent && !platform || owner == domain.KeyringAgent || scope.Type == bundle.ScopeAgent && kind != domain.KindAgent {
		return "", nothingThere()
	}
	return owner, nil
}

// find reads an export that the caller's governance agent asked for; the caller must
// be one who could ask for it.
func (x exports) find(r *http.Request) (store.Export, bundle.Scope, store.Noted, error) {
	var e store.Export
	var cut store.Noted
	var scope bundle.Scope
	who, err := auth.FromContext(r.Context())
	if err != nil {
		return e, scope, cut, err
	}
	if _, err := web.Query(r); err != nil {
		return e, scope, cut, err
	}
	gone := notThere("There is no export of this id.")
	id := r.PathValue("id")
	if !domain.ID(id).Valid() {
		return e, scope, cut, gone
	}
	e, cut, err = x.db.Export(r.Context(), who.GovernanceAgent, id)
	if errors.Is(err, store.ErrNotFound) {
		return e, scope, cut, gone
	}
	if err != nil {
		return e, scope, cut, err
	}
	if scope, err = bundle.ParseScope(e.Scope); err == nil {
		_, err = x.viewer(r.Context(), who, scope)
	}
	return e, scope, cut, err
}

func (x exports) send(w http.ResponseWriter, r *http.Request, e store.Export, cut store.Noted) {
	scope, err := bundle.ParseScope(e.Scope)
	if err != nil {
		web.Fail(w, r, err)
		return
	}
	plan, err := x.Prepare(r.Context(), export.Order{Scope: scope, Viewer: e.Viewer, Seen: e.Seen, At: e.CreatedAt}, cut)
	if err != nil {
		web.Fail(w, r, err)
		return
	}
	w.Header().Set("Content-Location", exportsPath+e.ID+"/bundle")
	web.Stream(w, r, mediaZip, "plant-"+e.ID+".zip", func(ctx context.Context, to io.Writer) error { return plan.Write(ctx, to) })
}

func decodeExport(r *http.Request, now time.Time) (asked, error) {
	q, err := web.Query(r, "scope", "id", "at", "seen")
	if err != nil {
		return asked{}, err
	}
	in := askedText{Scope: q.Get("scope"), ID: q.Get("id"), At: q.Get("at")}
	if q.Has("seen") {
		var ok bool
		if in.Seen, ok = web.ParseNumber(q.Get("seen")); !ok {
			return asked{}, web.Refuse(domain.CodeMalformed, "seen is the size of a checkpoint.")
		}
	}
	return in.read(r, now)
}

func decodeOrder(now func() time.Time) func(*http.Request) (asked, error) {
	return func(r *http.Request) (asked, error) {
		if _, err := web.Query(r); err != nil {
			return asked{}, err
		}
		in, _, err := web.Body[askedText](r, web.LimitBody)
		if err != nil {
			return asked{}, err
		}
		return in.read(r, now())
	}
}

// askedText is an order as it is sent.
type askedText struct {
	Scope string `json:"scope"`
	ID    string `json:"id"`
	At    string `json:"at"`
	Seen  int64  `json:"seen"`
}

func (a askedText) read(r *http.Request, now time.Time) (asked, error) {
	who, err := auth.FromContext(r.Context())
	if err != nil {
		return asked{}, err
	}
	text := a.Scope
	if a.ID != "" {
		text += ":" + a.ID
	}
	if a.At != "" {
		text += "@" + a.At
	} else if a.Scope == bundle.ScopeAgent {
		text += "@" + now.UTC().Format(time.RFC3339Nano)
	}
	scope, err := bundle.ParseScope(text)
	if err != nil || scope.ID != a.ID {
		return asked{}, web.Refuse(domain.CodeMalformed,
			"scope is all, governance_agent, entity or agent, with an id but for all, and for an agent with a date (at).")
	}
	if at, err := time.Parse(ledger.TimeLayout, scope.At); err == nil && at.After(now) {
		return asked{}, web.Refuse(domain.CodeMalformed, "at lies ahead: nobody can say what will have been.")
	}
	if a.Seen < 0 || (scope.Type == bundle.ScopeEntity || scope.Type == bundle.ScopeAgent) && !domain.ID(scope.ID).Valid() {
		return asked{}, web.Refuse(domain.CodeMalformed, "id is an entity's UUID, and seen the size of a checkpoint.")
	}
	return asked{who, scope, a.Seen}, nil
}
