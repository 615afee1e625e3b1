package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/dlai-sd/plant/shared/domain"
)

// settle compares what was there already with what the catalogue says, and
// changes it where that was asked for.
func (m *importer) settle(ctx context.Context, kind domain.Kind, there []*entry) error {
	if len(there) == 0 {
		return nil
	}
	wanted := map[string]bool{}
	for _, e := range there {
		wanted[e.ExternalID] = true
	}
	found, err := m.lookup(ctx, kind, wanted)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(m.InFlight)
	for _, e := range there {
		of := found[e.ExternalID]
		if of == nil || of.said("governance_agent_id") != m.owner {
			m.refuse(e, "an entity of another kind has this external_id")
			continue
		}
		e.id = of.id()
		m.known[kind][e.ExternalID] = e.id
		changed, err := e.changes(of)
		if err != nil {
			return errors.Join(err, group.Wait())
		}
		m.tallies[kind].Present++
		switch {
		case len(changed) == 0:
		case m.Update && !m.DryRun && of.said("status") != string(domain.Archived):
			group.Go(func() error { return m.change(ctx, e, changed) })
		default:
			m.differ(e, of, changed)
		}
	}
	return group.Wait()
}

// changes are the fields in which an entity is not as the catalogue says, with
// the catalogue's values. What the catalogue does not speak of is not compared,
// nor are a team's agents: whether an agent is in a team is the agent's to say.
// The other name, taken when the entity was made, is as good as the name.
func (e *entry) changes(of entity) (map[string]jsontext.Value, error) {
	var fields map[string]jsontext.Value
	if err := json.Unmarshal(e.body, &fields); err != nil {
		return nil, err
	}
	maps.DeleteFunc(fields, func(name string, value jsontext.Value) bool {
		same := name == "agents" || plain(value) == plain(of[name])
		return same || name == "name" && e.Other != "" && of.said("name") == e.Other
	})
	return fields, nil
}

// plain is a value in the one form in which the registry keeps it: sets sorted
// and unique, and whatever is empty absent.
func plain(value jsontext.Value) string {
	var set []string
	if value.Kind() == '[' && json.Unmarshal(value, &set) == nil {
		slices.Sort(set)
		b, err := json.Marshal(slices.Compact(set))
		if err == nil {
			value = b
		}
	}
	canonical := value.Clone()
	if len(canonical) == 0 || canonical.Canonicalize() != nil {
		return string(value)
	}
	switch text := string(canonical); text {
	case "null", `""`, "[]", "{}":
		return ""
	default:
		return text
	}
}

func (m *importer) differ(e *entry, of entity, changed map[string]jsontext.Value) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tallies[e.kind].Differs++
	if len(m.differs) == shown {
		return
	}
	text := fmt.Sprintf("%s (%s) differs in %s", e.Where, e.ExternalID, strings.Join(slices.Sorted(maps.Keys(changed)), ", "))
	if of.said("status") == string(domain.Archived) {
		text += ", and is archived"
	}
	m.differs = append(m.differs, text)
}

// change evolves an entity to what the catalogue says, from the version that is
// there now: another writer's change in between is not overwritten.
func (m *importer) change(ctx context.Context, e *entry, changed map[string]jsontext.Value) error {
	path := collectionOf(e.kind) + "/" + string(e.id)
	var now, after jsontext.Value
	headers, err := m.to.call(ctx, request{method: http.MethodGet, path: path}, &now)
	if err != nil {
		return err
	}
	body, err := json.Marshal(changed, json.Deterministic(true))
	if err != nil {
		return err
	}
	_, err = m.to.call(ctx, request{
		method: http.MethodPatch, path: path, key: uuid.NewString(), match: headers.Get("ETag"), body: body,
	}, &after)
	var p *problem
	if errors.As(err, &p) && p.Status < http.StatusInternalServerError {
		m.refuse(e, p.Error())
		return nil
	}
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tallies[e.kind].Updated++
	return nil
}
