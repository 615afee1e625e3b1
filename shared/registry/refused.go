package registry

import (
	"context"
	"time"

	"github.com/dlai-sd/plant/shared/auth"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/store"
	"github.com/dlai-sd/plant/shared/web"
)

// Attempt is something that a principal tried and that was refused.
type Attempt struct {
	ID       domain.ID
	Kind     domain.Kind
	Decision string
	Err      *domain.Error
}

// noteTimeout is what a caller waits at most for a refusal to be noted: its
// answer does not depend on it.
const noteTimeout = time.Second

// maxRules bounds the rules that are kept of one refusal.
const maxRules = 100

// NoteRefused keeps refused attempts in the audit trail, in a transaction of
// their own: the refused one left nothing. Where that fails the log says so.
func (s *Service) NoteRefused(ctx context.Context, req Request, tried ...Attempt) {
	if len(tried) == 0 {
		return
	}
	rows := make([]store.Refusal, len(tried))
	for i, a := range tried {
		rows[i] = store.Refusal{
			GovernanceAgent: req.Who.GovernanceAgent, Principal: req.Who.ID, Operation: req.Route, Decision: a.Decision,
			Kind: a.Kind, EntityID: a.ID, Code: a.Err.Code, RequestID: req.RequestID,
		}
		if !a.ID.Valid() {
			rows[i].EntityID = ""
		}
		for _, v := range a.Err.Violations[:min(len(a.Err.Violations), maxRules)] {
			rows[i].Rules = append(rows[i].Rules, v.Rule)
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteTimeout)
	defer cancel()
	if err := s.db.NoteRefusals(ctx, req.Who.GovernanceAgent, rows); err != nil {
		web.Logger(web.WithLogger(ctx, s.log)).WarnContext(ctx, "a refusal could not be noted: "+web.Describe(err))
	}
}

// NoteRefused keeps refused attempts in the audit trail; see Service.NoteRefused.
func (c *Certifier) NoteRefused(ctx context.Context, req Request, tried ...Attempt) {
	c.service.NoteRefused(ctx, req, tried...)
}

// Refusals returns up to limit refused attempts before an id ("": the newest),
// newest first: the caller's governance agent's own, and those on what it owns.
func (c *Certifier) Refusals(ctx context.Context, who auth.Principal, before string, limit int) ([]store.Refusal, error) {
	list, err := c.readers.db.Refusals(ctx, who.GovernanceAgent, before, limit)
	return list, refusal(err, nil)
}
