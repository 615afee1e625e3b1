package api

import (
	"bytes"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
)

// member is a name of an object and its value.
type member struct {
	name  string
	value jsontext.Value
}

// mergePatch applies a merge patch (RFC 7396) to a JSON value. Both are texts
// that were read strictly before. An object that the patch names member by
// member keeps its other members; null removes one; anything else replaces.
func mergePatch(target, patch jsontext.Value) (jsontext.Value, error) {
	if patch.Kind() != jsontext.KindBeginObject {
		return patch.Clone(), nil
	}
	changes, err := membersOf(patch)
	if err != nil {
		return nil, err
	}
	var members []member
	if target.Kind() == jsontext.KindBeginObject {
		if members, err = membersOf(target); err != nil {
			return nil, err
		}
	}
	for _, change := range changes {
		at := slices.IndexFunc(members, func(m member) bool { return m.name == change.name })
		if change.value.Kind() == jsontext.KindNull {
			if at >= 0 {
				members = slices.Delete(members, at, at+1)
			}
			continue
		}
		var before jsontext.Value
		if at >= 0 {
			before = members[at].value
		}
		merged, err := mergePatch(before, change.value)
		if err != nil {
			return nil, err
		}
		if at >= 0 {
			members[at].value = merged
		} else {
			members = append(members, member{change.name, merged})
		}
	}
	return objectOf(members)
}

func membersOf(object jsontext.Value) ([]member, error) {
	dec := jsontext.NewDecoder(bytes.NewBuffer(object))
	if _, err := dec.ReadToken(); err != nil {
		return nil, err
	}
	var members []member
	for dec.PeekKind() != jsontext.KindEndObject {
		name, err := dec.ReadToken()
		if err != nil {
			return nil, err
		}
		m := member{name: name.String()}
		value, err := dec.ReadValue()
		if err != nil {
			return nil, err
		}
		m.value = value.Clone()
		members = append(members, m)
	}
	return members, nil
}

func objectOf(members []member) (jsontext.Value, error) {
	out := jsontext.Value{'{'}
	for i, m := range members {
		if i > 0 {
			out = append(out, ',')
		}
		var err error
		if out, err = jsontext.AppendQuote(out, m.name); err != nil {
			return nil, err
		}
		out = append(append(out, ':'), m.value...)
	}
	return append(out, '}'), nil
}
