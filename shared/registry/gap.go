package registry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/dlai-sd/plant/shared/auth"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/store"
)

// Bounds of a skill gap.
const (
	MaxGapSkills   = 200 // skills of a subject that is named by its skills
	MaxGapCompared = 50  // missing skills that are compared; the others are only named
	MaxGapNearest  = 10  // neighbours of each kind for a missing skill
	gapDepth       = 50  // of the nearest skills, those whose agents come into question
)

// GapQuestion asks what a subject lacks for a job role. The subject is exactly one of
// an agent, a team, or skills that somebody could have.
type GapQuestion struct {
	Role        domain.ID
	Agent, Team domain.ID
	Skills      []domain.ID
	ModelID     string // whose vectors are compared
	Limit       int    // neighbours of each kind for a missing skill, 1 to MaxGapNearest
}

// SkillGap is the answer. A skill is compared if a vector of the model stands for its
// present text; the others are listed, so that nobody takes silence for distance.
type SkillGap struct {
	Role    domain.Entity
	Subject *domain.Entity // the agent or team; nil for skills
	Covered []GapSkill     // required and held
	Missing []MissingSkill // required and not held, in the role's order
	Beyond  []GapSkill     // held and not required

	SubjectUnembedded, MissingUnembedded []domain.ID
	Registry                             store.SkillVectors // how many skills there are to find; without vectors
}

// GapSkill is a skill; without Skill where the caller may not see it.
type GapSkill struct {
	ID    domain.ID
	Skill *domain.Entity
}

// MissingSkill is a required skill that the subject lacks, with what comes nearest to
// it: of what the subject has, of the registry's skills, of the agents.
type MissingSkill struct {
	GapSkill
	Embedded bool
	Compared bool
	Held     []NearSkill
	Skills   []NearSkill
	Agents   []NearAgent
}

// NearSkill is a skill with its cosine to the missing one.
type NearSkill struct {
	GapSkill
	Similarity float64
	Held       bool // by the subject
}

// NearAgent is an agent outside the subject. Exact says that it has the missing skill
// itself; else Similarity is that of the skill that it has.
type NearAgent struct {
	Agent      domain.Entity
	SkillID    domain.ID
	Exact      bool
	Similarity float64
}

// SkillGap compares what a subject has with what a job role requires, as the caller's
// governance agent may see it. What is missing is a difference of sets; meaning only
// says what comes near. Nothing is written.
func (s *Service) SkillGap(ctx context.Context, who auth.Principal, q GapQuestion) (SkillGap, error) {
	gap, err := s.skillGap(ctx, who, q)
	if err == nil {
		return gap, nil
	}
	law, lawErr := s.law.Refresh(ctx)
	if lawErr != nil {
		return SkillGap{}, lawErr
	}
	return SkillGap{}, advised(law, err)
}

func (s *Service) skillGap(ctx context.Context, who auth.Principal, q GapQuestion) (SkillGap, error) {
	tenant := who.GovernanceAgent
	if len(q.Skills) > MaxGapSkills {
		return SkillGap{}, violated(domain.RuleLimit, "/skill_ids", fmt.Sprintf("more than %d skills", MaxGapSkills))
	}
	heads, err := s.db.Heads(ctx, tenant, validIDs([]domain.ID{q.Role}))
	if err != nil {
		return SkillGap{}, refusal(err, nil)
	}
	role, ok := heads[q.Role].Facts.(domain.JobRole)
	if !ok {
		return SkillGap{}, noSuchSubject(domain.KindJobRole, "/job_role_id", "L1-AGENT-02")
	}
	subject, err := s.gapSubject(ctx, tenant, q)
	if err != nil {
		return SkillGap{}, err
	}
	gap := SkillGap{Role: heads[q.Role], Subject: subject.entity}
	err = s.compareGap(ctx, tenant, q, role.RequiredSkills, subject, &gap)
	return gap, err
}

// gapSubject is who lacks something.
type gapSubject struct {
	entity *domain.Entity
	held   []domain.ID // sorted, each once
	agents []domain.ID // its own
}

func (s *Service) gapSubject(ctx context.Context, tenant string, q GapQuestion) (gapSubject, error) {
	switch {
	case q.Agent != "":
		return s.gapOfOne(ctx, tenant, q.Agent, domain.KindAgent, "/agent_id")
	case q.Team != "":
		return s.gapOfOne(ctx, tenant, q.Team, domain.KindTeam, "/team_id")
	}
	heads, err := s.db.Heads(ctx, tenant, validIDs(q.Skills))
	if err != nil {
		return gapSubject{}, refusal(err, nil)
	}
	var broken []domain.Violation
	for i, id := range q.Skills {
		if e, ok := heads[id]; !ok || e.Kind() != domain.KindSkill || !e.Living() {
			ref := domain.Ref{Kind: domain.KindSkill, ID: id, Field: fmt.Sprintf("/skill_ids/%d", i), Rule: "L1-AGENT-01"}
			broken = append(broken, domain.UnknownReferenceViolation(ref))
		}
	}
	if len(broken) > 0 {
		return gapSubject{}, noSuchReference(broken)
	}
	return gapSubject{held: distinct(q.Skills)}, nil
}

// gapOfOne is a living agent or team as a subject.
func (s *Service) gapOfOne(ctx context.Context, tenant string, id domain.ID, kind domain.Kind, field string) (gapSubject, error) {
	now, gone, err := store.Snapshot{}, false, store.ErrNotFound
	if id.Valid() {
		now, err = s.db.Read(ctx, tenant, id, store.Newest)
	}
	if err == nil && now.Entity.GovernanceAgentID != tenant {
		gone, err = s.db.ArchivedAfterShared(ctx, tenant, id)
	}
	if errors.Is(err, store.ErrNotFound) || err == nil && (gone || now.Entity.Kind() != kind || !now.Entity.Living()) {
		return gapSubject{}, noSuchSubject(kind, field, domain.RuleID)
	}
	if err != nil {
		return gapSubject{}, refusal(err, nil)
	}
	if agent, ok := now.Entity.Facts.(domain.Agent); ok {
		return gapSubject{&now.Entity, []domain.ID{agent.SkillID}, []domain.ID{id}}, nil
	}
	return gapSubject{&now.Entity, distinct(now.Skills), now.Agents}, nil
}

func distinct(ids []domain.ID) []domain.ID {
	sorted := slices.Clone(ids)
	slices.Sort(sorted)
	return slices.Compact(sorted)
}

// compareGap fills in the skills of a gap.
func (s *Service) compareGap(ctx context.Context, tenant string, q GapQuestion, required []domain.ID, subject gapSubject, gap *SkillGap) error {
	asked := distinct(append(slices.Clone(required), subject.held...))
	known, err := s.db.Heads(ctx, tenant, asked)
	if err != nil {
		return refusal(err, nil)
	}
	vectors, err := s.db.VectorsOf(ctx, tenant, q.ModelID, asked)
	if err != nil {
		return refusal(err, nil)
	}
	gap.Registry = store.SkillVectors{Skills: vectors.Skills, Embedded: vectors.Embedded}
	c := comparison{q, subject, known, vectors.Values}
	c.divide(required, gap)
	return s.nearest(ctx, tenant, c, gap)
}

// comparison is what a gap is found from.
type comparison struct {
	q       GapQuestion
	subject gapSubject
	known   map[domain.ID]domain.Entity
	vectors map[domain.ID][]float32
}

func (c comparison) skill(id domain.ID) GapSkill {
	if e, ok := c.known[id]; ok {
		return GapSkill{id, &e}
	}
	return GapSkill{ID: id}
}

func (c comparison) held(id domain.ID) bool { return slices.Contains(c.subject.held, id) }

// divide tells what is held from what is missing.
func (c comparison) divide(required []domain.ID, gap *SkillGap) {
	compared := 0
	for _, id := range required {
		if c.held(id) {
			gap.Covered = append(gap.Covered, c.skill(id))
			continue
		}
		m := MissingSkill{GapSkill: c.skill(id), Embedded: c.vectors[id] != nil}
		if !m.Embedded {
			gap.MissingUnembedded = append(gap.MissingUnembedded, id)
		} else if compared < MaxGapCompared {
			m.Compared = true
			m.Held = c.nearestHeld(id)
			compared++
		}
		gap.Missing = append(gap.Missing, m)
	}
	for _, id := range c.subject.held {
		if !slices.Contains(required, id) {
			gap.Beyond = append(gap.Beyond, c.skill(id))
		}
		if c.vectors[id] == nil {
			gap.SubjectUnembedded = append(gap.SubjectUnembedded, id)
		}
	}
}

// nearestHeld are the subject's skills that come nearest to a missing one.
func (c comparison) nearestHeld(missing domain.ID) []NearSkill {
	var near []NearSkill
	for _, id := range c.subject.held {
		if v := c.vectors[id]; v != nil {
			near = append(near, NearSkill{c.skill(id), cosine(c.vectors[missing], v), true})
		}
	}
	slices.SortFunc(near, func(a, b NearSkill) int {
		return cmp.Or(cmp.Compare(b.Similarity, a.Similarity), cmp.Compare(a.ID, b.ID))
	})
	return near[:min(c.q.Limit, len(near))]
}

// cosine of two vectors of one length; 0 where one of them is zero.
func cosine(a, b []float32) float64 {
	var dot, aa, bb float64
	for i := range a {
		x, y := float64(a[i]), float64(b[i])
		dot, aa, bb = dot+x*y, aa+x*x, bb+y*y
	}
	if aa == 0 || bb == 0 {
		return 0
	}
	return dot / math.Sqrt(aa*bb)
}

// nearest adds what comes nearest in the registry to each missing skill.
func (s *Service) nearest(ctx context.Context, tenant string, c comparison, gap *SkillGap) error {
	var searches []store.Search
	for _, m := range gap.Missing {
		if m.Compared {
			searches = append(searches, store.Search{
				ModelID: c.q.ModelID, Vector: c.vectors[m.ID], Kind: domain.KindSkill, Except: m.ID, Limit: gapDepth, Present: true, Cosine: true,
			})
		}
	}
	found, err := s.db.SearchAll(ctx, tenant, searches)
	if err != nil {
		return refusal(err, nil)
	}
	near := make([][]store.Hit, len(gap.Missing)) // of each missing skill
	skills := make([]domain.ID, 0, len(gap.Missing))
	for i := range gap.Missing {
		skills = append(skills, gap.Missing[i].ID)
		if !gap.Missing[i].Compared {
			continue
		}
		near[i], found = c.alike(gap.Missing[i].ID, found[0]), found[1:]
		for j, h := range near[i] {
			skills = append(skills, h.Entity.ID)
			if j < c.q.Limit {
				one := NearSkill{GapSkill{h.Entity.ID, &h.Entity}, h.Score, c.held(h.Entity.ID)}
				gap.Missing[i].Skills = append(gap.Missing[i].Skills, one)
			}
		}
	}
	return s.nearestAgents(ctx, tenant, c, near, distinct(skills), gap)
}

// alike gives the hits of a missing skill the similarities that the same pairs have
// elsewhere in the answer: the database adds up in other steps than cosine does.
func (c comparison) alike(missing domain.ID, hits []store.Hit) []store.Hit {
	for i, h := range hits {
		if v := c.vectors[h.Entity.ID]; v != nil {
			hits[i].Score = cosine(c.vectors[missing], v)
		}
	}
	slices.SortStableFunc(hits, func(a, b store.Hit) int { return cmp.Compare(b.Score, a.Score) })
	return hits
}

// nearestAgents adds who has each missing skill, and then who has a near one.
func (s *Service) nearestAgents(ctx context.Context, tenant string, c comparison, near [][]store.Hit, skills []domain.ID, gap *SkillGap) error {
	holders, err := s.db.AgentsWith(ctx, tenant, skills, c.subject.agents, c.q.Limit)
	if err != nil {
		return refusal(err, nil)
	}
	chosen := make([][]NearAgent, len(gap.Missing))
	var ids []domain.ID
	for i, m := range gap.Missing {
		add := func(skill domain.ID, exact bool, similarity float64) {
			for _, id := range holders[skill] {
				if len(chosen[i]) < c.q.Limit {
					chosen[i] = append(chosen[i], NearAgent{domain.Entity{ID: id}, skill, exact, similarity})
					ids = append(ids, id)
				}
			}
		}
		add(m.ID, true, 1)
		for _, h := range near[i] {
			add(h.Entity.ID, false, h.Score)
		}
	}
	agents, err := s.db.Heads(ctx, tenant, distinct(ids))
	if err != nil {
		return refusal(err, nil)
	}
	for i := range gap.Missing {
		for _, a := range chosen[i] {
			if e, ok := agents[a.Agent.ID]; ok && e.Living() { // not archived since
				a.Agent = e
				gap.Missing[i].Agents = append(gap.Missing[i].Agents, a)
			}
		}
	}
	return nil
}
