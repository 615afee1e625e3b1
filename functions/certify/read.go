package certify

import (
	"context"
	"encoding/hex"
	"net/http"
	"time"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/registry"
	"github.com/dlai-sd/plant/shared/registry/api"
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

// queue answers GET on what waits for the caller's decision.
func (s Service) queue() http.Handler {
	return web.Endpoint(api.DecodePage(orderWaiting), func(ctx context.Context, in api.PageIn) (web.List[Waiting], error) {
		var since *time.Time
		after, err := in.Page.AfterID()
		if err != nil {
			return web.List[Waiting]{}, err
		}
		if c := in.Page.After; c != nil {
			at, err := time.Parse(time.RFC3339Nano, c.Key)
			if err != nil {
				return web.List[Waiting]{}, web.BadCursor()
			}
			since = &at
		}
		rows, err := s.Certifier.Queue(ctx, in.Who, since, after, in.Page.Limit+1)
		if err != nil {
			return web.List[Waiting]{}, err
		}
		rows, next := web.Cut(in.Page, rows, func(w store.Waiting) web.Cursor {
			return web.Cursor{Order: orderWaiting, Key: w.Since.UTC().Format(domain.TimeLayout), ID: string(w.Entity.ID)}
		})
		items := make([]Waiting, len(rows))
		for i, w := range rows {
			items[i] = waitingOf(w)
		}
		return web.NewList(in.URL, items, next), nil
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
	return web.Endpoint(api.DecodePage(orderRefused), func(ctx context.Context, in api.PageIn) (web.List[Refusal], error) {
		before, err := in.Page.AfterID()
		if err != nil {
			return web.List[Refusal]{}, err
		}
		rows, err := s.Certifier.Refusals(ctx, in.Who, string(before), in.Page.Limit+1)
		if err != nil {
			return web.List[Refusal]{}, err
		}
		rows, next := web.Cut(in.Page, rows, func(r store.Refusal) web.Cursor {
			return web.Cursor{Order: orderRefused, Key: r.At.UTC().Format(domain.TimeLayout), ID: r.ID}
		})
		items := make([]Refusal, len(rows))
		for i, r := range rows {
			items[i] = Refusal{
				ID: r.ID, RefusedAt: domain.Time(r.At), GovernanceAgentID: r.GovernanceAgent, PrincipalID: r.Principal, Operation: r.Operation,
				Decision: orNull(r.Decision), EntityType: orNull(r.Kind), EntityID: orNull(r.EntityID), Code: r.Code, Rules: r.Rules,
				RequestID: orNull(r.RequestID),
			}
		}
		return web.NewList(in.URL, items, next), nil
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

// certificate answers GET on an entity's certification.
func (s Service) certificate(kind domain.Kind) http.Handler {
	return web.Endpoint(api.DecodeOne, func(ctx context.Context, in api.OneIn) (Certificate, error) {
		c, err := s.Certifier.Certificate(ctx, in.Who, kind, in.ID)
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
