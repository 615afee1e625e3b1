package main

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/sync/errgroup"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/web"
)

// reference is a field that names other entities.
type reference struct {
	field string
	kind  domain.Kind // of what it names
	many  bool
}

func referencesOf(kind domain.Kind) []reference {
	parent := reference{"parent_id", kind, false}
	switch kind {
	case domain.KindJobRole:
		return []reference{parent, {"required_skills", domain.KindSkill, true}, {"industry_id", domain.KindIndustry, false}}
	case domain.KindTeam:
		return []reference{parent, {"job_role_id", domain.KindJobRole, false}, {"agents", domain.KindAgent, true}}
	case domain.KindAgent:
		return []reference{
			parent,
			{"skill_id", domain.KindSkill, false},
			{"job_role_id", domain.KindJobRole, false},
			{"industry_id", domain.KindIndustry, false},
			{"team_id", domain.KindTeam, false},
		}
	default:
		return []reference{parent}
	}
}

// values are what the field names; nothing where it is absent, or of a type
// that the API will refuse.
func (r reference) values(fields map[string]jsontext.Value) []string {
	raw, given := fields[r.field]
	if !given {
		return nil
	}
	var list []string
	if r.many {
		if json.Unmarshal(raw, &list) != nil {
			return nil
		}
		return list
	}
	var one string
	if json.Unmarshal(raw, &one) != nil || one == "" {
		return nil
	}
	return []string{one}
}

// resolve writes the entries' bodies: where they name something by its
// external_id, the id takes its place. What names nothing is refused.
func (m *importer) resolve(ctx context.Context, kind domain.Kind, entries []*entry) error {
	if err := m.learn(ctx, kind, entries); err != nil {
		return err
	}
	for _, e := range entries {
		fields := maps.Clone(e.Fields)
		e.weight = 1
		for _, r := range referencesOf(kind) {
			ids, err := m.idsOf(r, e)
			if err != nil {
				m.refuse(e, err.Error())
				break
			}
			if len(ids) == 0 {
				continue
			}
			var value any = ids[0]
			if r.many {
				value = ids
			}
			if r.field == "agents" {
				e.weight += len(ids)
			}
			if fields[r.field], err = json.Marshal(value); err != nil {
				return err
			}
		}
		var err error
		if e.body, err = json.Marshal(fields, json.Deterministic(true)); err != nil {
			return err
		}
	}
	return nil
}

func (m *importer) idsOf(r reference, e *entry) ([]domain.ID, error) {
	values := r.values(e.Fields)
	ids := make([]domain.ID, len(values))
	for i, value := range values {
		id, ok := m.known[r.kind][value]
		switch {
		case ok:
			ids[i] = id
			e.hopes = e.hopes || m.hoped[id]
		case domain.ID(value).Valid():
			ids[i] = domain.ID(value)
		default:
			return nil, fmt.Errorf("/%s: there is no %s with the external_id %q", r.field, r.kind, value)
		}
	}
	return ids, nil
}

// learn looks up what the entries name by external_id and nobody has looked up
// before.
func (m *importer) learn(ctx context.Context, kind domain.Kind, entries []*entry) error {
	wanted := map[domain.Kind]map[string]bool{}
	for _, e := range entries {
		for _, r := range referencesOf(kind) {
			for _, value := range r.values(e.Fields) {
				if _, ok := m.known[r.kind][value]; ok || domain.ID(value).Valid() {
					continue
				}
				if wanted[r.kind] == nil {
					wanted[r.kind] = map[string]bool{}
				}
				wanted[r.kind][value] = true
			}
		}
	}
	for of, values := range wanted {
		found, err := m.lookup(ctx, of, values)
		if err != nil {
			return err
		}
		if m.known[of] == nil {
			m.known[of] = map[string]domain.ID{}
		}
		for external, entity := range found {
			m.known[of][external] = entity.id()
		}
	}
	return nil
}

// entity is one as a list shows it.
type entity map[string]jsontext.Value

func (e entity) said(field string) string {
	var s string
	if json.Unmarshal(e[field], &s) != nil {
		return "" // null
	}
	return s
}

func (e entity) id() domain.ID { return domain.ID(e.said("id")) }

const (
	maxSingles  = 150  // external ids that are looked up one by one
	lookupPages = 3000 // pages of a collection that are read before that
)

// lookup finds the entities of a kind that have these external ids: those of the
// token's owner, and else those that others share. A few are asked for one by
// one; for many the whole collection is read, until all are found.
func (m *importer) lookup(ctx context.Context, kind domain.Kind, wanted map[string]bool) (map[string]entity, error) {
	found := map[string]entity{}
	note := func(items []entity) {
		for _, e := range items {
			external := e.said("external_id")
			if _, ok := found[external]; wanted[external] && (!ok || e.said("governance_agent_id") == m.owner) {
				found[external] = e
			}
		}
	}
	if len(wanted) <= maxSingles {
		return found, m.lookupEach(ctx, kind, wanted, note)
	}
	query := url.Values{"limit": {"100"}, "include_archived": {"true"}}
	for range lookupPages {
		var page web.List[entity]
		if err := m.to.get(ctx, collectionOf(kind), query, &page); err != nil {
			return nil, err
		}
		note(page.Items)
		if page.NextCursor == nil || len(found) == len(wanted) {
			return found, nil
		}
		query.Set("cursor", *page.NextCursor)
	}
	rest := maps.Clone(wanted)
	maps.DeleteFunc(rest, func(external string, _ bool) bool { return found[external] != nil })
	return found, m.lookupEach(ctx, kind, rest, note)
}

func (m *importer) lookupEach(ctx context.Context, kind domain.Kind, wanted map[string]bool, note func([]entity)) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(m.InFlight)
	for _, external := range slices.Sorted(maps.Keys(wanted)) {
		group.Go(func() error {
			var page web.List[entity]
			query := url.Values{"external_id": {external}, "include_archived": {"true"}, "limit": {"100"}}
			if err := m.to.get(ctx, collectionOf(kind), query, &page); err != nil {
				return err
			}
			m.mu.Lock()
			defer m.mu.Unlock()
			note(page.Items)
			return nil
		})
	}
	return group.Wait()
}
