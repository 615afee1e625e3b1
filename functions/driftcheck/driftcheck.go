// Package driftcheck serves the drift check: runs that somebody asks for or the clock
// begins, their reports, and the marks on what an audit found tampered with.
package driftcheck

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/dlai-sd/plant/shared/auth"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/drift"
	"github.com/dlai-sd/plant/shared/event"
	"github.com/dlai-sd/plant/shared/job"
	"github.com/dlai-sd/plant/shared/registry"
	"github.com/dlai-sd/plant/shared/registry/api"
	"github.com/dlai-sd/plant/shared/store"
	"github.com/dlai-sd/plant/shared/web"
)

// Budget is what one call works on a run, of a request of 25 s.
const Budget = 12 * time.Second

const (
	reportsPath = "/api/v1/drift/reports/"
	consumer    = "drift-check"
	maxFindings = 100
	scopeAll    = "all"
	scopeTenant = "governance_agent"
	newestFirst = "-started_at"
)

// Service is what the handlers rest on.
type Service struct {
	Checker *drift.Checker
	Dead    event.DeadLetter
}

// Handlers returns the function's operations by their id.
func (s Service) Handlers() map[string]http.Handler {
	return map[string]http.Handler{
		"runDrift":         web.Endpoint(decodeOrder, s.start),
		"listDriftReports": web.Endpoint(api.DecodePage(newestFirst), s.list),
		"getDriftReport":   web.Endpoint(decodeLook, s.look),
		"driftEvent":       s.events(),
	}
}

// Report is how a run stands and what it counted, as far as the reader may see it.
type Report struct {
	ID         string           `json:"id"`
	Scope      string           `json:"scope"`
	Of         string           `json:"of,omitzero"` // the governance agent
	Status     string           `json:"status"`
	Phase      string           `json:"phase"`
	Figures    map[string]int64 `json:"figures"`
	StartedAt  domain.Time      `json:"started_at"`
	UpdatedAt  domain.Time      `json:"updated_at"`
	FinishedAt domain.Time      `json:"finished_at,omitzero"`
	Hold       *job.Hold        `json:"hold,omitzero"`     // while the status is held
	Findings   []Finding        `json:"findings,omitzero"` // of one report: the first, or those behind after

	status int
}

// StatusCode is 202 for whoever asked for the run, 200 for whoever looks.
func (r Report) StatusCode() int { return cmp.Or(r.status, http.StatusOK) }

// SetHeaders says where the report is.
func (r Report) SetHeaders(h http.Header) {
	if r.status == http.StatusAccepted {
		h.Set("Location", reportsPath+r.ID)
	}
}

// Finding is something about an entity that its owner should know.
type Finding struct {
	ID                string      `json:"id"`
	GovernanceAgentID string      `json:"governance_agent_id"`
	EntityID          string      `json:"entity_id"`
	EntityType        string      `json:"entity_type"`
	Reason            string      `json:"reason"`
	Detail            string      `json:"detail"`
	StabilityPPM      *int64      `json:"stability_ppm,omitzero"`
	FoundAt           domain.Time `json:"found_at"`
}

// reportOf shows a run that goes on as held where there is a hold.
func reportOf(r store.DriftRun, hold *job.Hold) Report {
	out := Report{
		ID: r.ID, Scope: scopeAll, Of: r.GovernanceAgent, Status: "running", Phase: r.Phase, Figures: map[string]int64{},
		StartedAt: domain.Time(r.StartedAt), UpdatedAt: domain.Time(r.UpdatedAt),
	}
	for _, figure := range drift.Figures() {
		out.Figures[figure] = r.Figures[figure]
	}
	if r.GovernanceAgent != "" {
		out.Scope = scopeTenant
	}
	if r.FinishedAt != nil {
		out.Status, out.FinishedAt = "finished", domain.Time(*r.FinishedAt)
	} else if hold != nil {
		out.Status, out.Hold = job.StatusHeld, hold
	}
	return out
}

type order struct {
	who   auth.Principal
	scope string
	id    string
}

func decodeOrder(r *http.Request) (order, error) {
	who, err := auth.FromContext(r.Context())
	if err != nil {
		return order{}, err
	}
	if _, err := web.Query(r); err != nil {
		return order{}, err
	}
	in, _, err := web.Body[struct {
		Scope string `json:"scope"`
		ID    string `json:"id"`
	}](r, web.LimitBody)
	if err != nil {
		return order{}, err
	}
	o := order{who, in.Scope, in.ID}
	if !(in.Scope == scopeAll && in.ID == "" || in.Scope == scopeTenant && in.ID != "") {
		return o, web.Refuse(domain.CodeMalformed, "scope is all, or governance_agent with an id.")
	}
	return o, nil
}

// may are the authorities that ask for runs; held platform-wide, they and the auditor's
// see all reports.
func may() []domain.Authority {
	return []domain.Authority{domain.Guardian, domain.Governor, domain.Operator}
}

// start begins a run: over everything for those who hold an authority on the platform,
// over what a governance agent owns for its own.
func (s Service) start(ctx context.Context, o order) (Report, error) {
	if !slices.ContainsFunc(may(), o.who.Holds) {
		return Report{}, web.Refuse(domain.CodeForbidden, "A drift check is for guardians, governors and operators.")
	}
	wide := slices.ContainsFunc(may(), o.who.HoldsOnPlatform)
	switch {
	case o.scope == scopeAll && !wide:
		return Report{}, web.Refuse(domain.CodeForbidden, "Everything is checked for those who hold an authority on the platform.")
	case o.scope == scopeTenant && o.id != o.who.GovernanceAgent && !wide:
		return Report{}, web.Refuse(domain.CodeNotFound, "There is no governance agent of this name that you may check.")
	}
	run, err := s.Checker.Start(ctx, store.DriftRun{Principal: o.who.ID, GovernanceAgent: o.id}, o.who.GovernanceAgent)
	if errors.Is(err, store.ErrPrincipal) {
		err = web.Refuse(domain.CodeForbidden, "The principal was disabled.")
	}
	if err != nil {
		return Report{}, err
	}
	hold, err := s.Checker.OpenHold(ctx)
	out := reportOf(run, hold)
	out.status = http.StatusAccepted
	return out, err
}

// reader is as whom a principal reads reports, "" for all of them.
func reader(who auth.Principal) string {
	if slices.ContainsFunc(append(may(), domain.Auditor), who.HoldsOnPlatform) {
		return ""
	}
	return who.GovernanceAgent
}

func (s Service) list(ctx context.Context, in api.PageIn) (web.List[Report], error) {
	before, err := in.Page.AfterID()
	if err != nil {
		return web.List[Report]{}, err
	}
	runs, err := s.Checker.DB.DriftRuns(ctx, reader(in.Who), string(before), in.Page.Limit+1)
	if err != nil {
		return web.List[Report]{}, err
	}
	hold, err := s.Checker.OpenHold(ctx)
	if err != nil {
		return web.List[Report]{}, err
	}
	runs, next := web.Cut(in.Page, runs, func(r store.DriftRun) web.Cursor {
		return web.Cursor{Order: newestFirst, Key: r.StartedAt.UTC().Format(domain.TimeLayout), ID: r.ID}
	})
	items := make([]Report, len(runs))
	for i, r := range runs {
		items[i] = reportOf(r, hold)
	}
	return web.NewList(in.URL, items, next), nil
}

type lookAt struct {
	who       auth.Principal
	id, after string
}

func noReport() error { return web.Refuse(domain.CodeNotFound, "There is no report of this id.") }

func decodeLook(r *http.Request) (lookAt, error) {
	who, err := auth.FromContext(r.Context())
	if err != nil {
		return lookAt{}, err
	}
	q, err := web.Query(r, "after")
	if err != nil {
		return lookAt{}, err
	}
	in := lookAt{who, r.PathValue("id"), q.Get("after")}
	if !domain.ID(in.id).Valid() {
		return in, noReport()
	}
	if q.Has("after") && !domain.ID(in.after).Valid() {
		return in, web.Refuse(domain.CodeMalformed, "after is the id of a finding.")
	}
	return in, nil
}

func (s Service) look(ctx context.Context, in lookAt) (Report, error) {
	as := reader(in.who)
	run, err := s.Checker.DB.DriftRun(ctx, as, in.id)
	if errors.Is(err, store.ErrNotFound) {
		return Report{}, noReport()
	}
	if err != nil {
		return Report{}, err
	}
	list, err := s.Checker.DB.DriftFindings(ctx, as, in.id, in.after, maxFindings)
	if err != nil {
		return Report{}, err
	}
	hold, err := s.Checker.OpenHold(ctx)
	if err != nil {
		return Report{}, err
	}
	out := reportOf(run, hold)
	out.Findings = make([]Finding, len(list))
	for i, f := range list {
		out.Findings[i] = Finding{f.ID, f.GovernanceAgent, f.EntityID, f.EntityType, f.Reason, f.Detail, f.StabilityPPM, domain.Time(f.At)}
	}
	return out, nil
}

// events takes the clock's call, which has no body and begins the daily run, and
// Pub/Sub's: the next part of a run, that another constitution came into force, and what
// an audit found tampered with.
func (s Service) events() http.Handler {
	return event.OrClock(s.Checker.Daily, event.Handler(consumer, s.handle, s.Dead))
}

func (s Service) handle(ctx context.Context, e event.Event) error {
	switch {
	case e.Type == drift.EventContinued:
		return s.Checker.Continue(ctx, e.Data.EntityID)
	case e.Type == drift.EventEnacted:
		return s.Checker.Enacted(ctx)
	case strings.HasSuffix(e.Type, ".tampered"):
		err := s.Checker.Mark(ctx, e.ID, e.RequestID, domain.ID(e.Data.EntityID))
		if errors.Is(err, registry.ErrUnsignable) {
			return event.Permanent(err) // a person looks: what cannot be marked is the worst of it
		}
		return err
	}
	return nil
}
