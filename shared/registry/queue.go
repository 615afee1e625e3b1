package registry

import (
	"context"
	"slices"
	"time"

	"github.com/dlai-sd/plant/shared/auth"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/store"
)

// Queue returns up to limit entities that wait for the caller's decision, oldest
// first, behind a place in that order: for genesis what is under review and the
// caller did not write, for the governor what drifted. Of all governance agents
// for who holds the authority platform-wide, else of the caller's own.
func (c *Certifier) Queue(ctx context.Context, who auth.Principal, since *time.Time, after domain.ID, limit int) ([]store.Waiting, error) {
	db, q := c.readers.db, store.Queue{Owner: who.GovernanceAgent, Not: who.Author()}
	q.Genesis, q.Drifted = who.Holds(domain.Genesis), who.Holds(domain.Governor)
	if !q.Genesis && !q.Drifted {
		return nil, domain.Refuse(domain.CodeForbidden, "this needs the authority %q or %q", domain.Genesis, domain.Governor)
	}
	if who.HoldsOnPlatform(domain.Genesis) || who.HoldsOnPlatform(domain.Governor) {
		db, q.Owner = c.service.db, "" // one's own authorities end at one's own door
		q.Genesis, q.Drifted = who.HoldsOnPlatform(domain.Genesis), who.HoldsOnPlatform(domain.Governor)
	}
	list, err := db.Queue(ctx, who.GovernanceAgent, q, since, after, limit)
	return list, refusal(err, nil)
}

// Certificate is what is known of an entity's certification.
type Certificate struct {
	Entity    domain.Entity
	Decisions []store.Entry // among the newest amendments, oldest first
}

// Holds reports whether the certification is in force at a moment.
func (c Certificate) Holds(now time.Time) bool {
	made := c.Entity.Governed.GenesisCertification
	if made == nil || !made.ExpiresAt.IsZero() && !time.Time(made.ExpiresAt).After(now) {
		return false
	}
	switch c.Entity.Governed.Status {
	case domain.Certified, domain.Active, domain.Deprecated:
		return true
	default:
		return false
	}
}

// Certificate returns an entity's certification as the caller may see it.
func (c *Certifier) Certificate(ctx context.Context, who auth.Principal, kind domain.Kind, id domain.ID) (Certificate, error) {
	s, err := c.readers.Get(ctx, who, kind, id)
	if err != nil {
		return Certificate{}, err
	}
	s.History = slices.DeleteFunc(s.History, func(e store.Entry) bool { return !domain.IsDecision(e.Change) })
	return Certificate{Entity: s.Entity, Decisions: s.History}, nil
}
