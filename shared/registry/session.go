package registry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/store"
)

// session is decisions that are taken together: what the earlier ones decide is
// what the later ones find.
type session struct {
	c     *Certifier
	req   Request
	list  []Decision
	whole bool // the answer holds the whole checklist

	files    map[domain.ID]*store.File
	laws     store.Laws
	around   store.Surroundings
	owners   map[domain.ID]string
	decided  map[domain.ID]domain.Entity // by this session
	left     map[domain.ID]int           // living agents of a team
	outcomes []Decided
	plans    []plan
	at       []int       // the decision of each plan; -1: a consequence
	rests    []domain.ID // must be certified when this is written
	verified signatures
}

// judge reads what there is and fills in the outcomes and plans.
func (s *session) judge(ctx context.Context) error {
	if err := s.read(ctx); err != nil {
		return err
	}
	return s.take(ctx)
}

// take decides on what was read.
func (s *session) take(ctx context.Context) error {
	s.outcomes = make([]Decided, len(s.list))
	s.decided = map[domain.ID]domain.Entity{}
	for _, i := range s.order() {
		s.outcomes[i] = s.decideOne(i)
		if unsigned := (*UnsignedError)(nil); errors.As(s.outcomes[i].err, &unsigned) {
			s.c.service.alert(ctx, unsigned.IDs...)
		}
	}
	return s.spread(ctx)
}

// read gathers evidence about all entities in three round trips.
func (s *session) read(ctx context.Context) error {
	var ids []domain.ID
	for _, d := range s.list {
		if d.Refused == nil && d.ID.Valid() {
			ids = append(ids, d.ID)
		}
	}
	var err error
	if s.req.principal() != "" {
		who := s.req.Who
		if s.owners, err = s.c.readers.db.Owners(ctx, who.GovernanceAgent, who.ID, len(who.Platform) > 0, ids); err != nil {
			return refusal(err, nil)
		}
		// What a caller may not see is not even read: hidden and absent cost the same.
		ids = slices.DeleteFunc(ids, func(id domain.ID) bool { return s.owners[id] == "" })
	}
	if s.files, s.laws, err = s.c.service.db.Files(ctx, ids); err != nil {
		return err
	}
	if s.req.law, err = s.c.service.law.at(ctx, s.laws.InForce); err != nil {
		return err
	}
	var named []store.Seen
	var teams []domain.ID
	for _, f := range s.files {
		for _, r := range f.Entity.Refs() {
			named = append(named, store.Seen{By: f.Entity.GovernanceAgentID, ID: r.ID})
		}
		switch facts := f.Entity.Facts.(type) {
		case domain.Team:
			teams = append(teams, f.Entity.ID)
		case domain.Agent:
			if facts.TeamID != "" {
				teams = append(teams, facts.TeamID)
			}
		}
	}
	if s.around, err = s.c.service.db.Surroundings(ctx, named, teams); err != nil {
		return err
	}
	s.left = map[domain.ID]int{}
	for team, members := range s.around.Members {
		s.left[team] = len(members)
	}
	return nil
}

// order is that in which decisions are judged: withdrawals and rejections first,
// then certifications, what others rest on before the others.
func (s *session) order() []int {
	kinds := []domain.Kind{domain.KindIndustry, domain.KindSkill, domain.KindJobRole, domain.KindTeam, domain.KindAgent}
	rank := func(i int) int {
		if s.list[i].Verdict != VerdictCertify {
			return -1
		}
		if f := s.files[s.list[i].ID]; f != nil {
			return slices.Index(kinds, f.Entity.Kind())
		}
		return 0
	}
	order := make([]int, len(s.list))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(rank(a), rank(b)) })
	return order
}

func (s *session) decideOne(i int) Decided {
	d := s.list[i]
	out := Decided{ID: d.ID, EntityType: d.Kind, Decision: d.Verdict, Violations: []domain.Violation{}, Affected: Affected{Items: []AffectedOutcome{}}}
	err := d.Refused
	if err == nil {
		err = s.examine(i, &out)
	}
	if err != nil {
		out.refuse(advised(s.req.law, refusal(err, nil)))
	}
	return out
}

func (o *Decided) refuse(err error) {
	told := refused(err)
	o.err, o.Code, o.Detail = err, told.Code, told.Detail
	if stale := (*StaleError)(nil); errors.As(err, &stale) {
		o.Code, o.Detail = domain.CodeStale, "it was changed after the version that the decision names"
	}
	o.Violations = append(o.Violations, told.Violations...)
}

// examine judges one decision; if it can be taken it is planned.
func (s *session) examine(i int, out *Decided) error {
	d := s.list[i]
	f := s.files[d.ID]
	if f == nil || !isKind(f.Entity, d.Kind) || !slices.Contains(domain.Kinds(), f.Entity.Kind()) || s.owners != nil && s.owners[d.ID] == "" {
		return notFound()
	}
	e := f.Entity
	may := may(s.req.Who, e, []domain.Authority{domain.Genesis})
	looks := s.req.ValidateOnly && (e.GovernanceAgentID == s.req.Who.GovernanceAgent || len(s.req.Who.Platform) > 0)
	if may != nil && !looks {
		return may
	}
	out.EntityType, out.Name, out.GovernanceAgentID = e.Kind(), e.Facts.Label(), e.GovernanceAgentID
	out.Status, out.Version, out.VersionHash = e.Governed.Status, e.Head.Version, ledger.Hash(e.Head.Hash).String()
	out.Certification, out.etag = e.Governed.GenesisCertification, e.Head.ETag
	if !e.Living() {
		return domain.Refuse(domain.CodeGone, "archived: it can be read in its history, not decided about")
	}
	if _, twice := s.decided[d.ID]; twice {
		return domain.Refuse(domain.CodeMalformed, "there is another decision about this entity in the request")
	}
	a := s.assess(f, may == nil)
	out.Checklist = &a
	if !s.whole {
		short := a
		short.Points = slices.DeleteFunc(slices.Clone(a.Points), func(p domain.Judged) bool { return p.Verdict == domain.Passed })
		out.Checklist = &short
	}
	if etag := ledger.Hash(e.Head.ETag); !d.Match.IsZero() && d.Match != etag {
		return &StaleError{Current: etag}
	}
	change, err := s.change(f.Entity, d, a, out)
	if err != nil {
		return err
	}
	if !provenFile(f) {
		return &UnsignedError{[]domain.ID{e.ID}}
	}
	return s.plan(i, e, change, out)
}

// assess judges the whole checklist, with what this session decided before.
func (s *session) assess(f *store.File, decides bool) domain.Assessment {
	dos := dossier(f, s.req.law, s.laws, &s.verified)
	e := f.Entity
	dos.References = map[domain.ID]domain.Entity{}
	for _, r := range e.Refs() {
		named, ok := s.around.References[store.Seen{By: e.GovernanceAgentID, ID: r.ID}]
		if !ok {
			continue
		}
		if now, ok := s.decided[r.ID]; ok {
			named = now
		}
		dos.References[r.ID] = named
	}
	dos.Members = s.around.Members[e.ID]
	if decides && s.req.principal() != "" {
		dos.Decider = s.req.Who.Author()
	}
	return domain.ChecklistInForce().Judge(dos)
}

// change is what a verdict does.
func (s *session) change(e domain.Entity, d Decision, a domain.Assessment, out *Decided) (domain.Change, error) {
	switch d.Verdict {
	case VerdictReject:
		if agent, ok := e.Facts.(domain.Agent); ok && agent.TeamID != "" {
			team := s.around.References[store.Seen{By: e.GovernanceAgentID, ID: agent.TeamID}]
			out.KeepsTeam = team.Facts != nil && team.Living() && s.left[agent.TeamID] <= 1
		}
		return domain.Reject{Reasons: d.Reasons, KeepsTeam: out.KeepsTeam}, nil
	case VerdictRevoke:
		return domain.Decertify{Reasons: d.Reasons}, nil
	case VerdictCertify:
		if !a.Holds() {
			return nil, &domain.Error{
				Code: domain.CodeRuleViolated, Violations: a.Violations(),
				Detail: fmt.Sprintf("%d of %d points of the checklist say no", a.Failed, len(a.Points)),
			}
		}
		made, err := certification(s.req, d, a)
		if err != nil {
			return nil, err
		}
		if e.Governed.Status == domain.UnderReview {
			return domain.Certify{Certification: made}, nil
		}
		return domain.Renew{Certification: made}, nil
	default:
		return nil, domain.Refuse(domain.CodeMalformed, "decision is certify, reject or revoke")
	}
}

func (s *session) plan(i int, e domain.Entity, change domain.Change, out *Decided) error {
	next, err := change.Apply(e)
	if err != nil {
		return err
	}
	if agent, ok := e.Facts.(domain.Agent); ok && change.Name() == domain.ChangeRejected && !out.KeepsTeam {
		s.left[agent.TeamID]--
	}
	if s.list[i].Verdict == VerdictCertify {
		for _, r := range domain.RestsOn(e) {
			s.rests = append(s.rests, r.ID)
		}
	}
	s.decided[e.ID] = next
	s.plans = append(s.plans, plan{before: &e, after: next, change: change.Name(), breaking: domain.Breaking(e, next), proven: true})
	s.at = append(s.at, i)
	out.Change, out.Status, out.Certification = change.Name(), next.Governed.Status, next.Governed.GenesisCertification
	return nil
}

// spread plans what withdrawals bring about: what rests on something withdrawn
// loses its certification too, nearest first, as much as one transaction takes.
// The event of each withdrawal sees to the rest.
func (s *session) spread(ctx context.Context) error {
	for i, d := range s.list {
		if d.Verdict != VerdictRevoke || s.outcomes[i].err != nil {
			continue
		}
		room := ledger.MaxBatch - len(s.plans)
		resting, err := s.c.service.db.Resting(ctx, []domain.ID{d.ID}, max(room, 0)+1)
		if err != nil {
			return err
		}
		if resting, err = s.c.service.signable(ctx, "", resting); err != nil {
			return err
		}
		out := &s.outcomes[i]
		for _, e := range resting {
			if _, known := s.decided[e.ID]; known {
				continue
			}
			if len(s.plans) == ledger.MaxBatch {
				out.Affected.More = true
				break
			}
			p, err := withdrawn(e, out.EntityType, d.ID)
			if err != nil {
				return err
			}
			s.decided[e.ID] = p.after
			s.plans, s.at = append(s.plans, p), append(s.at, -1)
			s.tell(out, e)
		}
	}
	return nil
}

// withdrawn plans the loss of a certification that rested on another, of what is
// signable.
func withdrawn(e domain.Entity, kind domain.Kind, id domain.ID) (plan, error) {
	c := domain.Decertify{Reasons: []string{fmt.Sprintf("It rests on the %s %s, which is not certified any more.", spoken(kind), id)}}
	next, err := c.Apply(e)
	return plan{before: &e, after: next, change: c.Name(), system: certifyWork, proven: true}, err
}

func spoken(k domain.Kind) string {
	if k == domain.KindJobRole {
		return "job role"
	}
	return string(k)
}

// tell counts an entity in an outcome's blast radius, and shows it to who may see
// it.
func (s *session) tell(out *Decided, e domain.Entity) {
	out.Affected.Total++
	who := s.req.Who
	if e.GovernanceAgentID == who.GovernanceAgent || len(who.Platform) > 0 || e.Shared() {
		out.Affected.Items = append(out.Affected.Items, AffectedOutcome{
			ID: e.ID, EntityType: e.Kind(), Name: e.Facts.Label(), GovernanceAgentID: e.GovernanceAgentID, Status: e.Governed.Status,
		})
	}
}

// write signs and writes what was planned, all of it or nothing.
func (s *session) write(ctx context.Context) error {
	if len(s.plans) == 0 {
		return nil
	}
	_, err := s.c.service.append(ctx, s.req, s.frame(), s.plans, func(amendments []ledger.Amendment) ([]byte, error) {
		for n, a := range amendments {
			if s.at[n] < 0 {
				continue
			}
			out := &s.outcomes[s.at[n]]
			out.Recorded, out.Version, out.VersionHash = true, a.Record.Seq, a.Hash.String()
		}
		return json.Marshal(s.outcomes)
	})
	return err
}

// frame is what the write demands besides its rows.
func (s *session) frame() store.Write {
	w := store.Write{Tenant: s.req.tenant(), Principal: s.req.principal(), Receipt: s.req.Receipt}
	var owners []string
	for n, p := range s.plans {
		if s.at[n] >= 0 {
			owners = append(owners, p.after.GovernanceAgentID)
		}
	}
	slices.Sort(owners)
	w.Authorities = []store.Authority{{Name: domain.Genesis, Owners: slices.Compact(owners)}}
	slices.Sort(s.rests)
	w.Certified = slices.Compact(s.rests)
	relate(&w, s.plans)
	return w
}

// pinned are the decisions again, each about the version that this session saw:
// what is changed by its owner meanwhile is not decided about unseen.
func (s *session) pinned() []Decision {
	list := slices.Clone(s.list)
	for i := range list {
		if list[i].Match.IsZero() {
			list[i].Match = s.outcomes[i].etag
		}
	}
	return list
}
