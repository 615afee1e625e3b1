package certify

import (
	"context"
	"net/http"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/dlai-sd/plant/shared/auth"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/registry"
	"github.com/dlai-sd/plant/shared/registry/api"
	"github.com/dlai-sd/plant/shared/web"
)

// decisionBody is one decision as it is sent.
type decisionBody struct {
	Decision  registry.Verdict `json:"decision"`
	Reasons   []string         `json:"reasons"`
	ExpiresAt string           `json:"expires_at"` // RFC 3339
}

func (b decisionBody) decision(kind domain.Kind, id domain.ID) (registry.Decision, error) {
	d := registry.Decision{ID: id, Kind: kind, Verdict: b.Decision, Reasons: b.Reasons}
	switch b.Decision {
	case registry.VerdictCertify, registry.VerdictReject, registry.VerdictRevoke:
	default:
		return d, web.Refuse(domain.CodeMalformed, "decision is certify, reject or revoke.")
	}
	if b.ExpiresAt == "" {
		return d, nil
	}
	if b.Decision != registry.VerdictCertify {
		return d, web.Refuse(domain.CodeMalformed, "Only a certification has expires_at.")
	}
	var err error
	if d.ExpiresAt, err = time.Parse(time.RFC3339Nano, b.ExpiresAt); err != nil {
		return d, web.Refuse(domain.CodeMalformed, "expires_at is a time such as 2026-01-31T12:00:00Z.")
	}
	return d, nil
}

type decideIn struct {
	registry.Request
	decision registry.Decision
}

// decide answers POST on an entity's certify. If-Match is optional: with it, what
// was changed since the decider looked is not decided about.
func (s Service) decide(kind domain.Kind, route string) http.Handler {
	return web.Endpoint(func(r *http.Request) (in decideIn, err error) {
		defer func() { s.unread(r, kind, route, err) }()
		body, raw, err := web.Body[decisionBody](r, web.LimitBody)
		if err != nil {
			return in, err
		}
		if in.decision, err = body.decision(kind, domain.ID(r.PathValue("id"))); err != nil {
			return in, err
		}
		tag := ""
		if len(r.Header.Values("If-Match")) > 0 {
			if tag, err = web.IfMatch(r); err != nil {
				return in, err
			}
			in.decision.Match = hashOf(tag)
		}
		in.Request, err = api.RequestOf(r, kind, route, append([]byte(r.URL.RequestURI()+"\n"+tag+"\n"), raw...))
		return in, err
	}, func(ctx context.Context, in decideIn) (one, error) {
		all, err := s.Certifier.Decide(ctx, in.Request, in.decision)
		if err != nil {
			return one{}, api.ProblemOf(err)
		}
		return one{decidedOf(all.Outcomes[0], 0, all.Validated), all}, nil
	})
}

// unread keeps it in the audit trail that somebody tried to decide with a request that
// says no decision. A dry run is no attempt.
func (s Service) unread(r *http.Request, kind domain.Kind, route string, err error) {
	who, missing := auth.FromContext(r.Context())
	told := api.ToldOf(err)
	if missing != nil || told == nil || r.URL.Query().Get("validate_only") == "true" {
		return
	}
	s.Certifier.NoteRefused(r.Context(), registry.Request{Who: who, Route: route, RequestID: web.RequestID(r.Context())},
		registry.Attempt{ID: domain.ID(r.PathValue("id")), Kind: kind, Err: told})
}

// hashOf reads a tag. What is no hash of ours matches nothing.
func hashOf(tag string) ledger.Hash {
	h, err := ledger.ParseHash(tag)
	if err != nil || h.IsZero() {
		return ledger.HashOf([]byte(tag))
	}
	return h
}

// one is the answer to one decision.
type one struct {
	Decided

	all registry.DecidedAll
}

// SetHeaders names the version that was written, and says whether this was a
// repeat.
func (o one) SetHeaders(h http.Header) {
	if o.Recorded && o.VersionHash != nil {
		h.Set("ETag", web.ETag(*o.VersionHash))
	}
	replayed(h, o.all)
}

func replayed(h http.Header, all registry.DecidedAll) {
	if all.Replayed {
		h.Set("Idempotency-Replayed", "true")
	}
}

// Decided is what became of a decision, or would. What a refusal hides is null.
type Decided struct {
	Index             int                   `json:"index"`
	HTTPStatus        int                   `json:"http_status"` // as if it had been sent alone
	ID                domain.ID             `json:"id"`
	EntityType        *domain.Kind          `json:"entity_type"`
	Name              *string               `json:"name"`
	GovernanceAgentID *string               `json:"governance_agent_id"`
	Decision          *registry.Verdict     `json:"decision"`
	Recorded          bool                  `json:"recorded"`
	Change            *string               `json:"change"`
	Status            *domain.Status        `json:"status"`
	Version           int64                 `json:"version"`
	VersionHash       *string               `json:"version_hash"`
	Certification     *domain.Certification `json:"genesis_certification"`
	Checklist         *domain.Assessment    `json:"checklist"`
	Affected          registry.Affected     `json:"affected"`
	KeepsTeam         bool                  `json:"keeps_team"`
	Code              *domain.Code          `json:"code"`
	Detail            *string               `json:"detail"`
	Violations        []domain.Violation    `json:"violations"`
}

func decidedOf(d registry.Decided, index int, validated bool) Decided {
	out := Decided{
		Index: index, HTTPStatus: http.StatusOK, ID: d.ID, EntityType: orNull(d.EntityType), Name: orNull(d.Name),
		GovernanceAgentID: orNull(d.GovernanceAgentID), Decision: orNull(d.Decision), Recorded: d.Recorded && !validated,
		Change: orNull(d.Change), Status: orNull(d.Status), Version: d.Version, VersionHash: orNull(d.VersionHash),
		Certification: d.Certification, Checklist: d.Checklist, Affected: d.Affected, KeepsTeam: d.KeepsTeam,
		Code: orNull(d.Code), Detail: orNull(d.Detail), Violations: d.Violations,
	}
	if d.Code != "" {
		out.HTTPStatus = web.StatusOf(d.Code)
	}
	return out
}

func orNull[S ~string](s S) *S {
	if s == "" {
		return nil
	}
	return &s
}

// batchItem is a decision of a batch: about any kind.
type batchItem struct {
	ID          domain.ID        `json:"id"`
	VersionHash string           `json:"version_hash"` // the ETag that the decider saw; optional
	Decision    registry.Verdict `json:"decision"`
	Reasons     []string         `json:"reasons"`
	ExpiresAt   string           `json:"expires_at"`
}

type batchIn struct {
	registry.Request
	list []registry.Decision
}

// Batch is the answer to several decisions.
type Batch struct {
	Items    []Decided `json:"items"`
	Recorded int       `json:"recorded"`
	Refused  int       `json:"refused"`

	all registry.DecidedAll
}

// SetHeaders says whether this was a repeat.
func (b Batch) SetHeaders(h http.Header) { replayed(h, b.all) }

// batch answers POST on certify/batch.
func (s Service) batch() http.Handler {
	return web.Endpoint(func(r *http.Request) (in batchIn, err error) {
		defer func() { s.unread(r, "", "certifyAll", err) }()
		body, raw, err := web.Body[struct {
			Items []jsontext.Value `json:"items"`
		}](r, web.LimitBatch)
		if err != nil {
			return in, err
		}
		in.list = make([]registry.Decision, len(body.Items))
		for i, item := range body.Items {
			in.list[i] = itemOf(item)
		}
		in.Request, err = api.RequestOf(r, "", "certifyAll", append([]byte(r.URL.RequestURI()+"\n"), raw...))
		return in, err
	}, func(ctx context.Context, in batchIn) (Batch, error) {
		all, err := s.Certifier.DecideAll(ctx, in.Request, in.list)
		if err != nil {
			return Batch{}, err
		}
		out := Batch{Items: make([]Decided, len(all.Outcomes)), all: all}
		for i, o := range all.Outcomes {
			out.Items[i] = decidedOf(o, i, all.Validated)
			switch {
			case o.Code != "":
				out.Refused++
			case out.Items[i].Recorded:
				out.Recorded++
			}
		}
		return out, nil
	})
}

// itemOf reads one item by itself: what is malformed spoils only itself.
func itemOf(raw jsontext.Value) registry.Decision {
	var item batchItem
	if err := web.Decode(raw, &item); err != nil {
		return registry.Decision{Refused: api.RefusalOf(err)}
	}
	d, err := decisionBody{item.Decision, item.Reasons, item.ExpiresAt}.decision("", item.ID)
	if err != nil {
		d.Refused = api.RefusalOf(err)
	}
	if item.VersionHash != "" {
		d.Match = hashOf(item.VersionHash)
	}
	return d
}
