package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/dlai-sd/plant/shared/domain"
)

// anything is a JSON value that custom_attributes may hold.
func anything(depth int) *rapid.Generator[any] {
	leaves := []*rapid.Generator[any]{
		text(0, 20).AsAny(), rapid.Bool().AsAny(),
		rapid.Int64Range(-(1<<53 - 1), 1<<53-1).AsAny(),
		rapid.Map(rapid.Int64Range(-999_999, 999_999), func(n int64) float64 { return float64(n) / 1000 }).
			Filter(func(f float64) bool { return f != 0 }).AsAny(),
	}
	if depth > 0 {
		leaves = append(leaves, rapid.SliceOfN(anything(depth-1), 0, 4).AsAny(),
			rapid.MapOfN(text(0, 10), anything(depth-1), 0, 4).AsAny())
	}
	return rapid.OneOf(leaves...)
}

// text is any Unicode text that can be stored.
func text(minimum, maximum int) *rapid.Generator[string] {
	return rapid.StringOfN(rapid.Rune().Filter(func(r rune) bool { return r != 0 }), minimum, maximum, -1)
}

type input struct {
	Name        string         `json:"name"`
	Description string         `json:"description"`
	Category    string         `json:"category"`
	ExternalID  string         `json:"external_id"`
	Visibility  string         `json:"visibility"`
	Tags        []string       `json:"tags"`
	Custom      map[string]any `json:"custom_attributes"`
	Notes       string         `json:"governance_notes"`
}

func anySkill(rt *rapid.T) input {
	return input{
		Name:        text(0, 160).Draw(rt, "name") + " " + uuid.NewString(), // a name is taken once
		Description: text(0, 300).Draw(rt, "description") + ".",
		Category:    rapid.SampledFrom(domain.Categories()).Draw(rt, "category"),
		ExternalID:  rapid.SampledFrom([]string{"", "e:" + uuid.NewString()}).Draw(rt, "external_id"),
		Visibility:  rapid.SampledFrom([]string{"private", "public"}).Draw(rt, "visibility"),
		Tags: rapid.SliceOfN(text(1, 30).Filter(func(s string) bool { return strings.TrimSpace(s) != "" }), 0, 8).
			Draw(rt, "tags"),
		Custom: rapid.MapOfN(text(0, 10), anything(2), 0, 5).Draw(rt, "custom_attributes"),
		Notes:  text(0, 100).Draw(rt, "governance_notes"),
	}
}

// TestWhatIsWrittenIsRead: any valid skill is created, read back as it was sent,
// and provable.
func TestWhatIsWrittenIsRead(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	s := k.serve(t, createSkill, nil)
	_, token := k.author(t, "acme")
	rapid.Check(t, func(rt *rapid.T) {
		in := anySkill(rt)
		body, err := json.Marshal(in)
		require.NoError(rt, err)
		a := s.post(t, token, skills, string(body))
		require.Equal(rt, 201, a.status, "%s", a.body)
		made := as[view](t, a)
		read := as[view](t, s.get(t, token, skills+"/"+string(made.ID)))
		require.Equal(rt, made, read)
		slices.Sort(in.Tags)
		want := view{
			Name: in.Name, Description: in.Description, Category: in.Category, ExternalID: in.ExternalID,
			Visibility: in.Visibility, Tags: slices.Compact(in.Tags), Notes: in.Notes,
		}
		if want.Tags == nil {
			want.Tags = []string{}
		}
		require.Equal(rt, want, view{
			Name: read.Name, Description: read.Description, Category: read.Category, ExternalID: read.ExternalID,
			Visibility: read.Visibility, Tags: read.Tags, Notes: read.Notes,
		})
		sent, err := json.Marshal(in.Custom)
		require.NoError(rt, err)
		got, err := json.Marshal(read.Custom)
		require.NoError(rt, err)
		require.JSONEq(rt, string(sent), string(got))
		require.True(rt, read.TamperProof && read.AppendOnly)
		list := as[page[proof]](t, s.get(t, token, fmt.Sprintf("%s/%s/amendments", skills, read.ID)))
		require.Len(rt, verified(t, list.Items), 1)
	})
}
