package domain

import (
	"bytes"
	"fmt"
	"maps"
	"slices"

	"github.com/dlai-sd/plant/shared/domain/canonical"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Input is what a caller sends to create an entity: the kind's own fields and
// what callers may set, flat in one JSON object. Any other field is unknown.
type Input[F Facts] struct {
	Facts    F        `json:",embed"`
	Settable Settable `json:",embed"`
}

// state is an entity's state as one flat JSON object.
type state[F Facts] struct {
	Governed Governed `json:",embed"`
	Facts    F        `json:",embed"`
}

// codec reads and writes states of one kind: the only place where the kinds
// need generics.
type codec struct {
	encode func(Governed, Facts) ([]byte, error)
	decode func([]byte) (Governed, Facts, error)
}

func codecOf[F Facts]() codec {
	return codec{
		encode: func(g Governed, f Facts) ([]byte, error) {
			own, ok := f.(F)
			if !ok {
				return nil, fmt.Errorf("facts are %T, not %T", f, own)
			}
			return json.Marshal(state[F]{g, own})
		},
		decode: func(b []byte) (Governed, Facts, error) {
			var s state[F]
			err := json.Unmarshal(b, &s, json.RejectUnknownMembers(true))
			return s.Governed, s.Facts, err
		},
	}
}

func codecFor(k Kind) (codec, error) {
	switch k {
	case KindSkill:
		return codecOf[Skill](), nil
	case KindJobRole:
		return codecOf[JobRole](), nil
	case KindTeam:
		return codecOf[Team](), nil
	case KindAgent:
		return codecOf[Agent](), nil
	case KindIndustry:
		return codecOf[Industry](), nil
	case KindSigningKey:
		return codecOf[SigningKey](), nil
	case KindConstitution:
		return codecOf[Proposal](), nil
	default:
		return codec{}, fmt.Errorf("no kind %q", k)
	}
}

// State returns the entity's state in canonical form (RFC 8785): the bytes that
// an opening holds. It fails where a value cannot be canonical JSON, which only
// custom_attributes can bring about.
func (e Entity) State() ([]byte, error) {
	c, err := codecFor(e.Kind())
	if err != nil {
		return nil, err
	}
	raw, err := c.encode(e.Governed, e.Facts)
	if err != nil {
		return nil, fmt.Errorf("encode %s state: %w", e.Kind(), err)
	}
	present, err := withoutAbsent(raw)
	if err != nil {
		return nil, fmt.Errorf("encode %s state: %w", e.Kind(), err)
	}
	form, err := canonical.Form(present)
	if err != nil {
		return nil, fmt.Errorf("canonical %s state: %w", e.Kind(), err)
	}
	return form, nil
}

// withoutAbsent leaves out the members of an object whose value means absent.
func withoutAbsent(object []byte) ([]byte, error) {
	dec := jsontext.NewDecoder(bytes.NewBuffer(object))
	out := append(make([]byte, 0, len(object)), '{')
	if _, err := dec.ReadToken(); err != nil {
		return nil, err
	}
	for dec.PeekKind() != jsontext.KindEndObject {
		name, err := dec.ReadValue()
		if err != nil {
			return nil, err
		}
		name = slices.Clone(name)
		value, err := dec.ReadValue()
		if err != nil {
			return nil, err
		}
		switch string(value) {
		case `null`, `""`, `[]`, `{}`:
			continue
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(append(append(out, name...), ':'), value...)
	}
	return append(out, '}'), nil
}

// ReadState returns the entity whose state these bytes are. Members it does not
// know are refused. Whether the bytes are canonical and the ones that were
// signed is the ledger's to say, not judged here.
func ReadState(k Kind, id ID, owner string, b []byte) (Entity, error) {
	c, err := codecFor(k)
	if err != nil {
		return Entity{}, err
	}
	g, f, err := c.decode(b)
	if err != nil {
		return Entity{}, fmt.Errorf("read %s state: %w", k, err)
	}
	return Entity{ID: id, GovernanceAgentID: owner, Governed: g, Facts: f}, nil
}

// Changed lists the members of the state in which two versions of an entity
// differ, as JSON Pointers in order.
func Changed(before, after Entity) []string {
	a, b := before.Members(), after.Members()
	names := slices.Collect(maps.Keys(a))
	for name := range b {
		if _, both := a[name]; !both {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	changed := []string{}
	for _, name := range names {
		if !bytes.Equal(a[name], b[name]) {
			changed = append(changed, "/"+name)
		}
	}
	return changed
}

// Members returns the state's members, each value in canonical form; none where
// there can be no state.
func (e Entity) Members() map[string]jsontext.Value {
	state, err := e.State()
	if err != nil {
		return nil
	}
	var members map[string]jsontext.Value
	if json.Unmarshal(state, &members) != nil {
		return nil
	}
	return members
}

// absentIfEmpty makes null and {} the absence that they mean.
func absentIfEmpty(v jsontext.Value) jsontext.Value {
	if len(v) == 0 {
		return nil
	}
	form, err := canonical.Form(v)
	if err != nil {
		return v // Validate or State says what is wrong with it
	}
	if s := string(form); s == "null" || s == "{}" {
		return nil
	}
	return form
}
