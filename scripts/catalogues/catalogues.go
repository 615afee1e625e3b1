// Package catalogues reads catalogues of skills, job roles and their like as they
// are published (O*NET, ESCO) or as JSON Lines, into entities with the field
// names of Plant's API. README.md beside it describes the formats.
package catalogues

import (
	"fmt"
	"maps"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/dlai-sd/plant/shared/domain"
)

// Options are what a catalogue does not say itself.
type Options struct {
	Kind          domain.Kind // of JSON Lines
	Category      string      // of skills that name none
	Seniority     string      // of job roles that name none
	Tag           string      // for every entity; "" for none
	MinImportance float64     // from which O*NET importance, 1 to 5, a skill is required
	Limit         int         // entities of each kind; 0 for all
}

// Item is one entity of a catalogue. Fields are those of the API, external_id
// and name among them; what it refers to stands there by id or by external_id.
type Item struct {
	Where      string // in the file, for messages
	ExternalID string
	Name       string
	Other      string // the name to take where somebody else has Name; "" if there is none
	Fields     map[string]jsontext.Value
}

// Rename gives the item its other name.
func (i *Item) Rename() {
	i.Name, i.Other = i.Other, ""
	i.Fields["name"] = text(i.Name)
}

// Section holds the entities of one kind, in the catalogue's order.
type Section struct {
	Kind  domain.Kind
	Items []Item
}

// Skip is a reason for leaving entries out, with those it concerns.
type Skip struct {
	Reason  string
	Entries []string
}

// Catalogue is what was read. What is named stands in an earlier section than
// what names it.
type Catalogue struct {
	Sections []Section
	Skipped  []Skip
	Renamed  []string // the names that got their id in brackets, because another entry has the name
}

// Items counts the entities.
func (c Catalogue) Items() int {
	n := 0
	for _, s := range c.Sections {
		n += len(s.Items)
	}
	return n
}

func (c *Catalogue) skip(reason, entry string) {
	for i := range c.Skipped {
		if c.Skipped[i].Reason == reason {
			c.Skipped[i].Entries = append(c.Skipped[i].Entries, entry)
			return
		}
	}
	c.Skipped = append(c.Skipped, Skip{reason, []string{entry}})
}

// add appends a section. An entry whose id was there before is left out; where
// distinct is set, entries whose names differ in nothing that counts get their
// ids in brackets, all but the one with the lowest id, whatever the order of
// the file.
func (c *Catalogue) add(kind domain.Kind, items []Item, limit int, distinct bool) {
	items = c.unique(items)
	if distinct {
		c.distinguish(items)
	}
	if limit > 0 && len(items) > limit {
		items = items[:limit]
	}
	c.Sections = append(c.Sections, Section{kind, items})
}

func (c *Catalogue) unique(items []Item) []Item {
	seen := map[string]bool{}
	kept := items[:0:0]
	for _, item := range items {
		if seen[item.ExternalID] {
			c.skip("its id stands in the catalogue before", item.Where)
			continue
		}
		seen[item.ExternalID] = true
		kept = append(kept, item)
	}
	return kept
}

func (c *Catalogue) distinguish(items []Item) {
	lowest := map[string]string{} // name key → id
	for _, item := range items {
		key := domain.NameKey(item.Name)
		if id, ok := lowest[key]; !ok || item.ExternalID < id {
			lowest[key] = item.ExternalID
		}
	}
	for i := range items {
		item := &items[i]
		item.Other = item.Name + " [" + item.ExternalID[strings.LastIndexByte(item.ExternalID, '/')+1:] + "]"
		if lowest[domain.NameKey(item.Name)] != item.ExternalID {
			item.Rename()
			c.Renamed = append(c.Renamed, item.Name)
		}
	}
}

// entry makes an item of what every catalogue has.
func (o Options) entry(where, id, name, description string) Item {
	item := Item{Where: where, ExternalID: id, Name: name, Fields: map[string]jsontext.Value{
		"external_id": text(id), "name": text(name),
	}}
	if description != "" {
		item.Fields["description"] = text(description)
	}
	return item
}

// complete adds what the options say of a kind to what an item leaves open.
func (o Options) complete(kind domain.Kind, item Item) Item {
	absent := func(field, value string) {
		if _, given := item.Fields[field]; !given && value != "" {
			item.Fields[field] = text(value)
		}
	}
	switch kind {
	case domain.KindSkill:
		absent("category", o.Category)
	case domain.KindJobRole:
		absent("seniority_level", o.Seniority)
	}
	if o.Tag != "" {
		var tags []string
		if json.Unmarshal(item.Fields["tags"], &tags) == nil || item.Fields["tags"] == nil {
			item.Fields["tags"] = texts(append(tags, o.Tag))
		}
	}
	return item
}

// attributes become custom_attributes; empty values are left out.
func (i Item) attributes(object map[string]string) {
	maps.DeleteFunc(object, func(_, value string) bool { return value == "" })
	if len(object) > 0 {
		i.Fields["custom_attributes"] = encode(object)
	}
}

func text(s string) jsontext.Value { return encode(s) }

func texts(list []string) jsontext.Value { return encode(list) }

// encode writes what can always be written: text, lists and objects of text.
// What is not UTF-8 becomes U+FFFD.
func encode(v any) jsontext.Value {
	b, err := json.Marshal(v, json.Deterministic(true), jsontext.AllowInvalidUTF8(true))
	if err != nil {
		panic(fmt.Sprintf("catalogues: write text as JSON: %v", err)) // unreachable: v holds nothing but text
	}
	return b
}
