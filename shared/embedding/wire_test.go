package embedding

import (
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"
)

func TestRequest(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("é", MaxRunes)
	many := `["` + strings.Join(slices.Repeat([]string{"a"}, MaxTexts), `","`) + `"`
	for body, want := range map[string][]string{
		`{"text":"a"}`:                       nil,
		`{"texts":["a","b"]}`:                nil,
		`{"texts":` + many + `]}`:            nil,
		`{"text":"` + long + `"}`:            nil,
		`{}`:                                 {"embedding.one_of "},
		`{"text":"a","texts":["a"]}`:         {"embedding.one_of "},
		`{"text":""}`:                        {"embedding.empty /text"},
		`{"text":" \t\u00a0"}`:               {"embedding.empty /text"},
		`{"text":"` + long + `e"}`:           {"embedding.too_long /text"},
		`{"texts":[]}`:                       {"embedding.count /texts"},
		`{"texts":` + many + `,"a"]}`:        {"embedding.count /texts"},
		`{"texts":["a","","` + long + `e"]}`: {"embedding.empty /texts/1", "embedding.too_long /texts/2"},
	} {
		var r Request
		require.NoError(t, json.Unmarshal([]byte(body), &r))
		var got []string
		for _, v := range r.Check() {
			require.NotEmpty(t, v.Message)
			require.NotEmpty(t, v.Remediation)
			got = append(got, v.Rule+" "+v.Field)
		}
		require.Equal(t, want, got, "%.60s", body)
	}
	text := "a"
	require.Equal(t, []string{"a"}, Request{Text: &text}.All())
	require.Equal(t, []string{"a", "b"}, Request{Texts: []string{"a", "b"}}.All())
}

func TestResponsesAreFlat(t *testing.T) {
	t.Parallel()
	one, err := json.Marshal(NewResponse(Embedding{Vector: []float32{0.1, -1}, Truncated: true}))
	require.NoError(t, err)
	require.Equal(t, `{"model":"all-MiniLM-L6-v2","dimensions":384,"embedding":[0.1,-1],"truncated":true}`, string(one))
	many, err := json.Marshal(NewBatchResponse([]Embedding{{Vector: []float32{1}}, {Vector: []float32{2}, Truncated: true}}))
	require.NoError(t, err)
	require.Equal(t, `{"model":"all-MiniLM-L6-v2","dimensions":384,"embeddings":[`+
		`{"embedding":[1],"truncated":false},{"embedding":[2],"truncated":true}]}`, string(many))
}
