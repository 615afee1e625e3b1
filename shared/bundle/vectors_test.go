package bundle

import (
	"bufio"
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/testkit/testdata"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"
)

// vector is a line of positive.jsonl or negative.jsonl.
type vector struct {
	Name    string                   `json:"name"`
	What    string                   `json:"what"`
	Verdict string                   `json:"verdict"`
	Reason  ledger.Reason            `json:"reason"`
	All     map[string]ledger.Reason `json:"all"`
	Base    string                   `json:"base"`
	Args    struct {
		Trust  string    `json:"trust"`
		Origin string    `json:"origin"`
		Now    time.Time `json:"now"`
		Seen   string    `json:"seen"`
	} `json:"args"`
	Edits map[string]edit `json:"edits"`
}

// edit is what VECTORS.md describes.
type edit struct {
	Delete bool                      `json:"delete"`
	Base64 []byte                    `json:"base64"`
	Set    map[string]jsontext.Value `json:"set"`
	Unset  []string                  `json:"unset"`
	Lines  []jsontext.Value          `json:"lines"`
}

func vectors(t *testing.T, name string) []vector {
	t.Helper()
	var out []vector
	scanner := bufio.NewScanner(bytes.NewReader(testdata.Read(t, "ledger", name)))
	scanner.Buffer(nil, 1<<26)
	for scanner.Scan() {
		var v vector
		require.NoError(t, json.Unmarshal(scanner.Bytes(), &v))
		out = append(out, v)
	}
	require.NoError(t, scanner.Err())
	return out
}

// folder reads a folder into memory, so that it can be changed.
func folder(t *testing.T, dir string) fstest.MapFS {
	t.Helper()
	out := fstest.MapFS{}
	require.NoError(t, fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(filepath.Join(dir, name))
		out[name] = &fstest.MapFile{Data: b, Mode: 0o644}
		return err
	}))
	return out
}

func (v vector) fsys(t *testing.T) fstest.MapFS {
	t.Helper()
	fsys := folder(t, filepath.Join(testdata.Dir(t), "ledger", "bundles", v.Base))
	for name, e := range v.Edits {
		if e.Delete {
			delete(fsys, name)
			continue
		}
		var base []byte
		if f := fsys[name]; f != nil {
			base = f.Data
		}
		fsys[name] = &fstest.MapFile{Data: e.apply(t, base), Mode: 0o644}
	}
	return fsys
}

func (e edit) apply(t *testing.T, base []byte) []byte {
	t.Helper()
	switch {
	case e.Base64 != nil:
		return e.Base64
	case e.Lines != nil:
		return e.lines(t, bytes.Split(bytes.TrimSuffix(base, []byte("\n")), []byte("\n")))
	}
	return setMembers(t, base, e.Set, e.Unset)
}

func setMembers(t *testing.T, base []byte, set map[string]jsontext.Value, unset []string) []byte {
	t.Helper()
	members := map[string]jsontext.Value{}
	require.NoError(t, json.Unmarshal(base, &members))
	for name, value := range set {
		members[name] = value
	}
	for _, name := range unset {
		delete(members, name)
	}
	b, err := json.Marshal(members, json.Deterministic(true))
	require.NoError(t, err)
	return b
}

func (e edit) lines(t *testing.T, base [][]byte) []byte {
	t.Helper()
	var out [][]byte
	for _, item := range e.Lines {
		if item.Kind() == '[' {
			var bounds [2]int
			require.NoError(t, json.Unmarshal(item, &bounds))
			out = append(out, base[bounds[0]:bounds[1]+1]...)
			continue
		}
		var one struct {
			Line  int                       `json:"line"`
			Set   map[string]jsontext.Value `json:"set"`
			Unset []string                  `json:"unset"`
			New   jsontext.Value            `json:"new"`
			Raw   *string                   `json:"raw"`
		}
		require.NoError(t, json.Unmarshal(item, &one))
		switch {
		case one.New != nil:
			out = append(out, one.New)
		case one.Raw != nil:
			out = append(out, []byte(*one.Raw))
		default:
			out = append(out, setMembers(t, base[one.Line], one.Set, one.Unset))
		}
	}
	return append(bytes.Join(out, []byte("\n")), '\n')
}

func (v vector) options(t *testing.T) Options {
	t.Helper()
	trust, err := ParseTrust(testdata.Read(t, "ledger", "keys", v.Args.Trust+".public.pem"))
	require.NoError(t, err)
	o := Options{Trust: trust, Origin: v.Args.Origin, Now: v.Args.Now}
	if v.Args.Seen != "" {
		o.Seen = []byte(v.Args.Seen)
	}
	return o
}

func reasonsOf(r Report) map[string]ledger.Reason {
	out := map[string]ledger.Reason{}
	for _, v := range r.Verdicts() {
		if v.Offender != nil {
			out[v.Name] = v.Offender.Reason
		}
	}
	return out
}

func TestVectorPositive(t *testing.T) {
	t.Parallel()
	rows := vectors(t, "positive.jsonl")
	require.Len(t, rows, 9)
	for _, v := range rows {
		t.Run(v.Name, func(t *testing.T) {
			t.Parallel()
			report, err := Verify(v.fsys(t), v.options(t))
			require.NoError(t, err)
			require.Empty(t, reasonsOf(report))
			require.True(t, report.Passed())
			require.Empty(t, report.Unjudged)
			require.Equal(t, v.Base == "all", report.Scope.Type == ScopeAll)
			require.True(t, strings.HasPrefix(v.Name, v.Base))
		})
	}
}

func TestVectorNegative(t *testing.T) {
	t.Parallel()
	rows := vectors(t, "negative.jsonl")
	require.Len(t, rows, 125)
	for _, v := range rows {
		t.Run(v.Name, func(t *testing.T) {
			t.Parallel()
			report, err := Verify(v.fsys(t), v.options(t))
			require.NoError(t, err, v.What)
			got := reasonsOf(report)
			require.Equal(t, v.Reason, got[v.Verdict], "%s: %v", v.What, got)
			want := map[string]ledger.Reason{}
			for name, reason := range v.All {
				if reason != "" {
					want[name] = reason
				}
			}
			require.Equal(t, want, got, v.What)
			require.False(t, report.Passed())
		})
	}
}
