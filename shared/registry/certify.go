package registry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/store"
)

// MaxDecisions is how many decisions one request takes.
const MaxDecisions = 50

const certifyWork = "certify"

// decideAttempts bounds how often decisions are judged again because something
// that they rest on changed between the look and the write.
const decideAttempts = 3

// Certifier decides about entities of every kind: it certifies, renews, rejects
// and withdraws. What it reads on behalf of a tenant it reads as that tenant's
// reader; what it judges it reads whole. Its callers come as they stand, see
// auth.Standing: the database is asked again only where something is written.
type Certifier struct {
	service *Service // as plant_certifier, signing with the certification key
	readers *Service
}

// NewCertifier makes a Certifier. The keys are those of the certification key.
func NewCertifier(c Config) (*Certifier, error) {
	service, err := New(c)
	if err != nil {
		return nil, err
	}
	c.DB = c.DB.AsReader()
	readers, err := New(c)
	return &Certifier{service: service, readers: readers}, err
}

// Verdict is what somebody decides about an entity.
type Verdict string

// The verdicts. Certify of what is certified already renews its certification.
const (
	VerdictCertify Verdict = "certify"
	VerdictReject  Verdict = "reject"
	VerdictRevoke  Verdict = "revoke"
)

// Decision is one verdict about one entity.
type Decision struct {
	ID        domain.ID
	Kind      domain.Kind // "": any
	Verdict   Verdict
	Reasons   []string    // of a rejection or withdrawal, one at least
	ExpiresAt time.Time   // of a certification; zero: as the policy says
	Match     ledger.Hash // ETag that the decider saw; zero: whatever it is
	Refused   error       // why the caller's item is no decision
}

// Decided is what became of a decision, or would.
type Decided struct {
	ID                domain.ID             `json:"id"`
	EntityType        domain.Kind           `json:"entity_type"`
	Name              string                `json:"name"`
	GovernanceAgentID string                `json:"governance_agent_id"`
	Decision          Verdict               `json:"decision"`
	Recorded          bool                  `json:"recorded"`     // false: refused, or a dry run
	Change            string                `json:"change"`       // as the amendment is called
	Status            domain.Status         `json:"status"`       // afterwards
	Version           int64                 `json:"version"`      // that was written, or is there
	VersionHash       string                `json:"version_hash"` // of that version
	Certification     *domain.Certification `json:"certification"`
	Checklist         *domain.Assessment    `json:"checklist"`
	Affected          Affected              `json:"affected"`
	KeepsTeam         bool                  `json:"keeps_team"` // rejected, but its team would be left without any

	Code       domain.Code        `json:"code"`
	Detail     string             `json:"detail"`
	Violations []domain.Violation `json:"violations"`

	err  error
	etag ledger.Hash
}

// Affected is the blast radius of a withdrawal: what loses its certification with
// it. Items are those that the caller may see.
type Affected struct {
	Total int               `json:"total"`
	More  bool              `json:"more"` // there are more than were counted; they follow
	Items []AffectedOutcome `json:"items"`
}

// AffectedOutcome is one entity that loses its certification with another.
type AffectedOutcome struct {
	ID                domain.ID     `json:"id"`
	EntityType        domain.Kind   `json:"entity_type"`
	Name              string        `json:"name"`
	GovernanceAgentID string        `json:"governance_agent_id"`
	Status            domain.Status `json:"status"` // before
}

// DecidedAll is the answer to several decisions, an outcome per decision in the
// same order.
type DecidedAll struct {
	Outcomes  []Decided
	Replayed  bool
	Validated bool
}

// Decide takes one decision. A refusal is an error, and noted in the audit trail;
// with ValidateOnly nothing is written, and a refusal is part of the answer.
func (c *Certifier) Decide(ctx context.Context, req Request, d Decision) (DecidedAll, error) {
	all, err := c.decide(ctx, req, []Decision{d}, true)
	if err == nil && !req.ValidateOnly {
		err = all.Outcomes[0].err
	}
	if err == nil && req.ValidateOnly && mayNotLook(all.Outcomes[0].Code) {
		err = all.Outcomes[0].err
	}
	if err != nil {
		c.note(ctx, req, []Decision{d}, []error{err})
		return DecidedAll{}, err
	}
	return all, nil
}

// mayNotLook reports whether a refusal leaves nothing to answer.
func mayNotLook(code domain.Code) bool {
	switch code {
	case domain.CodeNotFound, domain.CodeGone, domain.CodeForbidden, domain.CodeMalformed:
		return true
	default:
		return false
	}
}

// DecideAll takes up to MaxDecisions decisions: those that are refused are
// answered and left out, the others go into one transaction under one signature.
func (c *Certifier) DecideAll(ctx context.Context, req Request, list []Decision) (DecidedAll, error) {
	if len(list) == 0 || len(list) > MaxDecisions {
		err := domain.Refuse(domain.CodeMalformed, "a request has 1 to %d decisions", MaxDecisions)
		c.note(ctx, req, []Decision{{}}, []error{err})
		return DecidedAll{}, err
	}
	all, err := c.decide(ctx, req, list, false)
	errs := slices.Repeat([]error{err}, len(list)) // what refuses the request refuses each
	for i, o := range all.Outcomes {
		errs[i] = o.err
	}
	if !all.Replayed {
		c.note(ctx, req, list, errs)
	}
	return all, err
}

func (c *Certifier) decide(ctx context.Context, req Request, list []Decision, whole bool) (DecidedAll, error) {
	if all, err := c.recall(ctx, req); !isUnknownKey(err) {
		return all, err
	}
	var err error
	for range decideAttempts {
		s := &session{c: c, req: req, list: list, whole: whole}
		if err = s.judge(ctx); err != nil {
			return DecidedAll{}, refusal(err, nil)
		}
		if req.ValidateOnly {
			return DecidedAll{Outcomes: s.outcomes, Validated: true}, nil
		}
		if err = s.write(ctx); err == nil {
			return DecidedAll{Outcomes: s.outcomes}, nil
		}
		if errors.Is(err, store.ErrKeyUsed) {
			return c.recall(ctx, req)
		}
		if !overtaken(err) {
			break
		}
		list = s.pinned()
	}
	return DecidedAll{}, refusal(err, nil)
}

// overtaken reports whether somebody else's write came between the look and ours.
func overtaken(err error) bool {
	for _, lost := range []error{store.ErrStale, store.ErrUncertified, store.ErrTeamEmpty, store.ErrDeadlock, store.ErrLawOutOfForce} {
		if errors.Is(err, lost) {
			return true
		}
	}
	return false
}

// recall renders what the first request with this key answered.
func (c *Certifier) recall(ctx context.Context, req Request) (DecidedAll, error) {
	r, err := c.service.remembered(ctx, req)
	if err != nil {
		return DecidedAll{}, err
	}
	all := DecidedAll{Replayed: true}
	if err := json.Unmarshal(r.Items, &all.Outcomes); err != nil {
		return DecidedAll{}, fmt.Errorf("read what the key remembers: %w", err)
	}
	for i := range all.Outcomes {
		if o := &all.Outcomes[i]; o.Code != "" {
			o.err = &domain.Error{Code: o.Code, Detail: o.Detail, Violations: o.Violations}
		}
	}
	return all, nil
}

// certification is what a decision to certify records. A date of one's own may be
// sooner than the policy's, not later.
func certification(req Request, d Decision, a domain.Assessment) (domain.Certification, error) {
	now := time.Now().UTC().Truncate(time.Microsecond)
	latest := now.AddDate(0, 0, req.law.Policies.RecertifyAfterDays)
	expires := latest
	if !d.ExpiresAt.IsZero() {
		expires = d.ExpiresAt.UTC().Truncate(time.Microsecond)
	}
	if !expires.After(now) || expires.After(latest) {
		return domain.Certification{}, &domain.Error{Code: domain.CodeRuleViolated, Detail: "a certification ends in the future, and no later than the policy says", Violations: []domain.Violation{{
			Rule: "POLICY-EXPIRY", Field: "/expires_at", Message: fmt.Sprintf("expires_at is not within the next %d days", req.law.Policies.RecertifyAfterDays),
			Remediation: "Leave expires_at out, or name a moment before " + latest.Format(time.DateOnly) + ".",
		}}}
	}
	id, err := domain.NewID()
	return domain.Certification{
		CertificationID: string(id), CertifiedAt: domain.Time(now), CertifiedBy: req.Who.Author(), ChecklistSHA256: a.Checklist,
		Passed: a.Passed, NotApplicable: a.NotApplicable, ExpiresAt: domain.Time(expires),
	}, err
}

// note keeps refused attempts in the audit trail. A dry run is no attempt.
func (c *Certifier) note(ctx context.Context, req Request, list []Decision, errs []error) {
	if req.ValidateOnly || req.Who.GovernanceAgent == systemAgent {
		return
	}
	var tried []Attempt
	for i, d := range list {
		var e *domain.Error
		if errors.As(errs[i], &e) && e.Code != domain.CodeUnavailable {
			tried = append(tried, Attempt{ID: d.ID, Kind: d.Kind, Decision: string(d.Verdict), Err: e})
		}
	}
	c.service.NoteRefused(ctx, req, tried...)
}
