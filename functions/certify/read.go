package certify

import (
	"context"
	"encoding/hex"
	"net/http"
	"net/url"
	"time"

	"github.com/google/uuid"

	"github.com/dlai-sd/plant/shared/auth"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/registry"
	"github.com/dlai-sd/plant/shared/store"
	"github.com/dlai-sd/plant/shared/web"
)

// Waiting is an entity that waits for a decision.
type Waiting struct {
	ID                domain.ID     `json:"id"`
	EntityType        domain.Kind   `json:"entity_type"`
	Name              string        `json:"name"`
	GovernanceAgentID string        `json:"governance_agent_id"`
	Version           int64         `json:"version"`
	VersionHash       string        `json:"version_hash"` // to decide about what was seen
	WaitingSince      domain.Time   `json:"waiting_since"`
	WaitsFor          string        `json:"waits_for"` // genesis or governor
	Alignment         string        `json:"amendment_alignment"`
	StatusReason      *string       `json:"status_reason"`
	Status            domain.Status `json:"status"`
}

// The orders of these lists: there is one of each.
const (
	orderWaiting = "waiting_since"
	orderRefused = "-refused_at"
)

type pageIn struct {
	who  auth.Principal
	url  *url.URL
	page web.Page
}

func decodePage(order string) func(*http.Request) (pageIn, error) {
	return func(r *http.Request) (pageIn, error) {
		who, err := auth.FromContext(r.Context())
		if err != nil {
			return pageIn{}, err
		}
		q, err := web.Query(r, "limit", "cursor")
		if err != nil {
			return pageIn{}, err
		}
		page, err := web.ParsePage(q, order)
		return pageIn{who, r.URL, page}, err
	}
}

func badCursor() error {
	return web.Refuse(domain.CodeMalformed, "The cursor is not one that this API gave; begin again without it.")
}

// queue answers GET on what waits for the caller's decision.
func (s Service) queue() http.Handler {
	return web.Endpoint(decodePage(orderWaiting), func(ctx context.Context, in pageIn) (web.List[Waiting], error) {
		var since *time.Time
		var after domain.ID
		if c := in.page.After; c != nil {
			at, err := time.Parse(time.RFC3339Nano, c.Key)
			if err != nil || !domain.ID(c.ID).Valid() {
				return web.List[Waiting]{}, badCursor()
			}
			since, after = &at, domain.ID(c.ID)
		}
		rows, err := s.Certifier.Queue(ctx, in.who, since, after, in.page.Limit+1)
		if err != nil {
			return web.List[Waiting]{}, err
		}
		var next *web.Cursor
		if len(rows) > in.page.Limit {
			rows = rows[:in.page.Limit]
			last := rows[len(rows)-1]
			next = &web.Cursor{Order: orderWaiting, Key: last.Since.UTC().Format(domain.TimeLayout), ID: string(last.Entity.ID)}
		}
		items := make([]Waiting, len(rows))
		for i, w := range rows {
			items[i] = waitingOf(w)
		}
		return web.NewList(in.url, items, next), nil
	})
}

func waitingOf(w store.Waiting) Waiting {
	e := w.Entity
	out := Waiting{
		ID: e.ID, EntityType: e.Kind(), Name: e.Facts.Label(), GovernanceAgentID: e.GovernanceAgentID, Version: e.Head.Version,
		VersionHash: hexOf(e.Head.ETag), WaitingSince: domain.Time(w.Since), WaitsFor: string(domain.Genesis),
		Alignment: e.Governed.AmendmentAlignment.String(), StatusReason: orNull(e.Governed.StatusReason), Status: e.Governed.Status,
	}
	if e.Governed.AmendmentAlignment == domain.Drifted {
		out.WaitsFor = string(domain.Governor)
	}
	return out
}

// Refusal is an attempt that was refused.
type Refusal struct {
	ID                string       `json:"id"`
	RefusedAt         domain.Time  `json:"refused_at"`
	GovernanceAgentID string       `json:"governance_agent_id"` // of who tried
	PrincipalID       string       `json:"principal_id"`
	Operation         string       `json:"operation"`
	Decision          *string      `json:"decision"`
	EntityType        *domain.Kind `json:"entity_type"`
	EntityID          *domain.ID   `json:"entity_id"`
	Code              domain.Code  `json:"code"`
	Rules             []string     `json:"rules"`
	RequestID         *string      `json:"request_id"`
}

// refusals answers GET on the attempts that were refused.
func (s Service) refusals() http.Handler {
	return web.Endpoint(decodePage(orderRefused), func(ctx context.Context, in pageIn) (web.List[Refusal], error) {
		before := ""
		if c := in.page.After; c != nil {
			if _, err := uuid.Parse(c.ID); err != nil {
				return web.List[Refusal]{}, badCursor()
			}
			before = c.ID
		}
		rows, err := s.Certifier.Refusals(ctx, in.who, before, in.page.Limit+1)
		if err != nil {
			return web.List[Refusal]{}, err
		}
		var next *web.Cursor
		if len(rows) > in.page.Limit {
			rows = rows[:in.page.Limit]
			last := rows[len(rows)-1]
			next = &web.Cursor{Order: orderRefused, Key: last.At.UTC().Format(domain.TimeLayout), ID: last.ID}
		}
		items := make([]Refusal, len(rows))
		for i, r := range rows {
			items[i] = Refusal{
				ID: r.ID, RefusedAt: domain.Time(r.At), GovernanceAgentID: r.GovernanceAgent, PrincipalID: r.Principal, Operation: r.Operation,
				Decision: orNull(r.Decision), EntityType: orNull(r.Kind), EntityID: orNull(r.EntityID), Code: r.Code, Rules: r.Rules,
				RequestID: orNull(r.RequestID),
			}
		}
		return web.NewList(in.url, items, next), nil
	})
}

// recertifyFrom is how long before its end a certification is due for renewal.
const recertifyFrom = 30 * 24 * time.Hour

// Certificate is what is known of an entity's certification.
type Certificate struct {
	ID              domain.ID             `json:"id"`
	EntityType      domain.Kind           `json:"entity_type"`
	Status          domain.Status         `json:"status"`
	Version         int64                 `json:"version"`
	VersionHash     string                `json:"version_hash"`
	InForce         bool                  `json:"in_force"`
	Certification   *domain.Certification `json:"genesis_certification"`
	RecertifyFrom   domain.Time           `json:"recertify_from"`
	ChecklistSHA256 string                `json:"checklist_sha256"` // of the checklist in force now
	Decisions       []Taken               `json:"decisions"`        // among the newest 100 amendments, oldest first
}

// Taken is a decision as the history has it.
type Taken struct {
	Seq        int64       `json:"seq"`
	Change     string      `json:"change"`
	Author     string      `json:"author"`
	RecordedAt domain.Time `json:"recorded_at"`
	Hash       string      `json:"hash"`
	KeyID      string      `json:"key_id"`
}

type oneIn struct {
	who auth.Principal
	id  domain.ID
}

// decodeOne is for what is read of one entity.
func decodeOne(r *http.Request) (oneIn, error) {
	who, err := auth.FromContext(r.Context())
	if err != nil {
		return oneIn{}, err
	}
	if _, err := web.Query(r); err != nil {
		return oneIn{}, err
	}
	in := oneIn{who, domain.ID(r.PathValue("id"))}
	if !in.id.Valid() {
		return in, web.Refuse(domain.CodeNotFound, "")
	}
	return in, nil
}

// certificate answers GET on an entity's certification.
func (s Service) certificate(kind domain.Kind) http.Handler {
	return web.Endpoint(decodeOne, func(ctx context.Context, in oneIn) (Certificate, error) {
		c, err := s.Certifier.Certificate(ctx, in.who, kind, in.id)
		if err != nil {
			return Certificate{}, err
		}
		return certificateOf(c, time.Now()), nil
	})
}

func certificateOf(c registry.Certificate, now time.Time) Certificate {
	e := c.Entity
	out := Certificate{
		ID: e.ID, EntityType: e.Kind(), Status: e.Governed.Status, Version: e.Head.Version, VersionHash: hexOf(e.Head.Hash),
		InForce: c.Holds(now), Certification: e.Governed.GenesisCertification, ChecklistSHA256: domain.ChecklistInForce().Hash(),
		Decisions: make([]Taken, len(c.Decisions)),
	}
	if made := out.Certification; made != nil && !made.ExpiresAt.IsZero() {
		out.RecertifyFrom = domain.Time(time.Time(made.ExpiresAt).Add(-recertifyFrom))
	}
	for i, d := range c.Decisions {
		out.Decisions[i] = Taken{d.Seq, d.Change, d.Author, domain.Time(d.RecordedAt), d.Hash.String(), d.KeyID}
	}
	return out
}

// Checklist is the checklist in force with its hash.
type Checklist struct {
	Name    string         `json:"name"`
	Version int            `json:"version"`
	SHA256  string         `json:"sha256"`
	Points  []domain.Point `json:"points"`
}

func decodeNothing(r *http.Request) (struct{}, error) {
	_, err := web.Query(r)
	return struct{}{}, err
}

func checklist(context.Context, struct{}) (Checklist, error) {
	c := domain.ChecklistInForce()
	return Checklist{c.Name, c.Version, c.Hash(), c.Points}, nil
}

func hexOf(h [32]byte) string { return hex.EncodeToString(h[:]) }
