package api

import (
	"slices"
	"unicode/utf8"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/store"
	"github.com/dlai-sd/plant/shared/web"
)

// Hit is an entity that a search found. It is short: the entity itself is one GET
// away.
type Hit struct {
	ID                domain.ID         `json:"id"`
	EntityType        domain.Kind       `json:"entity_type"`
	ExternalID        *string           `json:"external_id"`
	Name              string            `json:"name"`
	Category          *string           `json:"category"` // of a skill
	Status            domain.Status     `json:"status"`
	Visibility        domain.Visibility `json:"visibility"`
	GovernanceAgentID string            `json:"governance_agent_id"`
	Tags              []string          `json:"tags"`
	Version           int64             `json:"version"`

	Score   float64 `json:"score"`
	Reasons Reasons `json:"reasons"`
}

// Reasons say what a score is made of: how near the meaning is (inner product,
// about the cosine), and how well the words match beside the best hit's (0 to 1),
// with the stems in common. What was not compared is null.
type Reasons struct {
	Semantic *float64 `json:"semantic"`
	Lexical  *float64 `json:"lexical"`
	Words    []string `json:"words"`
}

// Hits is the answer to a search, best first.
type Hits struct {
	Items   []Hit  `json:"items"`
	ModelID string `json:"model_id"` // whose vectors were compared
}

// HitsOf gives a search's result the form of responses.
func HitsOf(found []store.Hit, model string) Hits {
	out := Hits{Items: make([]Hit, len(found)), ModelID: model}
	for i, f := range found {
		e := f.Entity
		out.Items[i] = Hit{
			ID: e.ID, EntityType: e.Kind(), ExternalID: orNull(e.Governed.ExternalID), Name: e.Facts.Label(),
			Status: e.Governed.Status, Visibility: e.Governed.Visibility, GovernanceAgentID: e.GovernanceAgentID,
			Tags: e.Governed.Tags, Version: e.Head.Version, Score: f.Score,
			Reasons: Reasons{Semantic: f.Semantic, Lexical: f.Lexical, Words: f.Words},
		}
		if skill, ok := e.Facts.(domain.Skill); ok {
			out.Items[i].Category = &skill.Category
		}
	}
	return out
}

// Likeness describes an entity that is not written yet.
type Likeness struct {
	EntityType  domain.Kind `json:"entity_type"`
	Name        string      `json:"name"`
	Description string      `json:"description"`
}

// Check refuses what no entity of a searched kind could be.
func (l Likeness) Check() error {
	searched := []domain.Kind{domain.KindSkill, domain.KindJobRole, domain.KindIndustry}
	switch {
	case !slices.Contains(searched, l.EntityType):
		return web.Refuse(domain.CodeMalformed, "entity_type is skill, job_role or industry.")
	case l.Name == "" || utf8.RuneCountInString(l.Name) > domain.MaxName:
		return web.Refuse(domain.CodeMalformed, "name has 1 to %d characters.", domain.MaxName)
	case utf8.RuneCountInString(l.Description) > domain.MaxDescription:
		return web.Refuse(domain.CodeMalformed, "description has at most %d characters.", domain.MaxDescription)
	}
	return nil
}
