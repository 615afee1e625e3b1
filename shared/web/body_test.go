package web_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/testkit/testdata"
	"github.com/dlai-sd/plant/shared/web"
)

type thing struct {
	Name   string         `json:"name"`
	Count  int64          `json:"count"`
	Tags   []string       `json:"tags"`
	Custom jsontext.Value `json:"custom"`
}

// things answers with what it understood.
func things() http.Handler {
	m := &web.Mux{}
	m.Handle("POST /api/v1/things", web.Endpoint(
		func(r *http.Request) (thing, error) {
			v, _, err := web.Body[thing](r, web.LimitBody)
			return v, err
		},
		func(_ context.Context, v thing) (thing, error) { return v, nil },
	))
	return m
}

func TestBodyAccepts(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ contentType, body, want string }{
		"plain":          {"application/json", `{"name":"a","count":3}`, "a"},
		"charset":        {"application/json; charset=UTF-8", `{"name":"a"}`, "a"},
		"spelling":       {"Application/JSON", `{"name":"a"}`, "a"},
		"white space":    {"application/json", " \n{\"name\":\"a\"}\r\n\t", "a"},
		"null is absent": {"application/json", `{"name":null,"count":null,"tags":null}`, ""},
		"escaped slash":  {"application/json", `{"name":"\\u0000"}`, `\u0000`},
		"pair":           {"application/json", `{"name":"\ud83d\ude00"}`, "😀"},
		"depth 32":       {"application/json", `{"name":"a","custom":` + strings.Repeat("[", 31) + strings.Repeat("]", 31) + `}`, "a"},
		"largest":        {"application/json", `{"name":"a","count":9007199254740991}`, "a"},
		"exactly 256 KB": {"application/json", `{"name":"` + strings.Repeat("x", web.LimitBody-11) + `"}`, strings.Repeat("x", web.LimitBody-11)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v, raw, err := web.Body[thing](post(test.contentType, test.body), web.LimitBody)
			require.NoError(t, err)
			require.Equal(t, test.want, v.Name)
			require.Equal(t, test.body, string(raw), "the bytes as they were sent")
		})
	}
}

func TestBodyRefuses(t *testing.T) {
	t.Parallel()
	const js = "application/json"
	deep := `{"custom":` + strings.Repeat("[", 32) + strings.Repeat("]", 32) + `}`
	longName := strings.Repeat("é", 5000)
	for name, test := range map[string]struct {
		contentType, body string
		status            int
		rule, field       string
	}{
		"empty":               {js, ``, 400, "body.syntax", ""},
		"only white space":    {js, "  \n", 400, "body.syntax", ""},
		"malformed":           {js, `{"name":}`, 400, "body.syntax", "/name"},
		"cut off":             {js, `{"name":"a"`, 400, "body.syntax", ""},
		"single quotes":       {js, `{'name':'a'}`, 400, "body.syntax", ""},
		"byte order mark":     {js, "\xef\xbb\xbf{}", 400, "body.syntax", ""},
		"comment":             {js, `{"name":"a"/**/}`, 400, "body.syntax", ""},
		"trailing comma":      {js, `{"name":"a",}`, 400, "body.syntax", ""},
		"trailing object":     {js, `{"name":"a"}{"name":"b"}`, 400, "body.syntax", ""},
		"trailing brace":      {js, `{"name":"a"}}`, 400, "body.syntax", ""},
		"null":                {js, `null`, 400, "body.object", ""},
		"array":               {js, `[{"name":"a"}]`, 400, "body.object", ""},
		"string":              {js, `"name"`, 400, "body.object", ""},
		"number":              {js, ` 1`, 400, "body.object", ""},
		"duplicate":           {js, `{"name":"a","name":"b"}`, 400, "body.duplicate_key", "/name"},
		"escaped duplicate":   {js, `{"name":"a","n\u0061me":"b"}`, 400, "body.duplicate_key", "/name"},
		"duplicate inside":    {js, `{"custom":{"x":[{"a":1,"a":2}]}}`, 400, "body.duplicate_key", "/custom/x/0/a"},
		"unknown":             {js, `{"colour":"red"}`, 400, "body.unknown_field", "/colour"},
		"unknown with slash":  {js, `{"a/b~c":1}`, 400, "body.unknown_field", "/a~1b~0c"},
		"wrong case":          {js, `{"Name":"a"}`, 400, "body.unknown_field", "/Name"},
		"wrong type":          {js, `{"name":7}`, 400, "body.type", "/name"},
		"wrong type inside":   {js, `{"tags":["a",false]}`, 400, "body.type", "/tags/1"},
		"fraction":            {js, `{"count":1.5}`, 400, "body.type", "/count"},
		"NUL":                 {js, `{"name":"a\u0000b"}`, 400, "body.nul", "/name"},
		"NUL in a name":       {js, `{"custom":{"a\u0000":1}}`, 400, "body.nul", "/custom/a\x00"},
		"raw NUL":             {js, "{\"name\":\"a\x00b\"}", 400, "body.syntax", "/name"},
		"invalid UTF-8":       {js, "{\"name\":\"\xff\"}", 400, "body.utf8", "/name"},
		"lone high surrogate": {js, `{"name":"\ud800"}`, 400, "body.surrogate", "/name"},
		"lone low surrogate":  {js, `{"name":"\udc00x"}`, 400, "body.surrogate", "/name"},
		"swapped surrogates":  {js, `{"name":"\udc00\ud800"}`, 400, "body.surrogate", "/name"},
		"2^53":                {js, `{"count":9007199254740993}`, 400, "body.number", "/count"},
		"1e400":               {js, `{"custom":1e400}`, 400, "body.number", "/custom"},
		"1e-400":              {js, `{"custom":1e-400}`, 400, "body.number", "/custom"},
		"-0":                  {js, `{"custom":[-0]}`, 400, "body.number", "/custom/0"},
		"16 digits":           {js, `{"custom":0.1234567890123456}`, 400, "body.number", "/custom"},
		"NaN":                 {js, `{"custom":NaN}`, 400, "body.syntax", "/custom"},
		"depth 33":            {js, deep, 400, "body.depth", "/custom" + strings.Repeat("/0", 31)},
		"very deep":           {js, `{"custom":` + strings.Repeat("[", 100_000), 400, "body.depth", "/custom" + strings.Repeat("/0", 31)},
		"long name":           {js, `{"` + longName + `":1}`, 400, "body.unknown_field", "/" + longName[:254] + "…"},
		"300 KiB":             {js, `{"name":"` + strings.Repeat("x", 300<<10) + `"}`, 413, "", ""},
		"one byte too many":   {js, `{"name":"` + strings.Repeat("x", web.LimitBody-10) + `"}`, 413, "", ""},
		"no content type":     {"", `{}`, 415, "", ""},
		"text":                {"text/plain", `{}`, 415, "", ""},
		"form":                {"application/x-www-form-urlencoded", `a=b`, 415, "", ""},
		"merge patch here":    {web.MediaMergePatch, `{}`, 415, "", ""},
		"latin1":              {js + "; charset=iso-8859-1", `{}`, 415, "", ""},
		"other parameter":     {js + "; profile=x", `{}`, 415, "", ""},
		"broken content type": {"application/json; =", `{}`, 415, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			resp := serve(t, things(), post(test.contentType, test.body))
			p := problem(t, resp)
			require.Equal(t, test.status, p.Status, p.Detail)
			if test.rule == "" {
				require.Empty(t, p.Violations)
				return
			}
			require.Equal(t, domain.CodeMalformed, p.Code)
			require.Len(t, p.Violations, 1)
			require.Equal(t, test.rule, p.Violations[0].Rule)
			require.Equal(t, test.field, p.Violations[0].Field)
			require.NotEmpty(t, p.Violations[0].Message)
			require.NotEmpty(t, p.Violations[0].Remediation)
		})
	}
}

func TestBodyNamesTheUnknownField(t *testing.T) {
	t.Parallel()
	p := problem(t, serve(t, things(), post("application/json", `{"genesis_certification":{}}`)))
	require.Contains(t, p.Detail, "genesis_certification")
}

func TestBodyMediaTypes(t *testing.T) {
	t.Parallel()
	patch := post(web.MediaMergePatch, `{"name":"a"}`)
	v, _, err := web.Body[thing](patch, web.LimitBody, web.MediaMergePatch)
	require.NoError(t, err)
	require.Equal(t, "a", v.Name)

	_, _, err = web.Body[thing](post(web.MediaJSON, `{}`), web.LimitBody, web.MediaMergePatch)
	var p *web.Problem
	require.ErrorAs(t, err, &p)
	require.Equal(t, web.CodeUnsupportedMediaType, p.Code)
	require.Equal(t, web.MediaMergePatch, p.Header.Get("Accept"))

	compressed := post(web.MediaJSON, `{}`)
	compressed.Header.Set("Content-Encoding", "gzip")
	_, _, err = web.Body[thing](compressed, web.LimitBody)
	require.ErrorAs(t, err, &p)
	require.Equal(t, web.CodeUnsupportedMediaType, p.Code)

	twice := post(web.MediaJSON, `{}`)
	twice.Header.Add("Content-Type", "text/plain")
	_, _, err = web.Body[thing](twice, web.LimitBody)
	require.ErrorAs(t, err, &p)
	require.Equal(t, web.CodeUnsupportedMediaType, p.Code)
}

func TestBodyLimitWithoutContentLength(t *testing.T) {
	t.Parallel()
	r := post(web.MediaJSON, `{"name":"0123456789"}`)
	r.ContentLength = -1
	_, _, err := web.Body[thing](r, 10)
	var p *web.Problem
	require.ErrorAs(t, err, &p)
	require.Equal(t, domain.CodeTooLarge, p.Code)
}

func TestBodyTooLargeIsNotRead(t *testing.T) {
	t.Parallel()
	r := post(web.MediaJSON, "")
	r.ContentLength = web.LimitBody + 1
	r.Body = io.NopCloser(iotest.ErrReader(errors.New("must not be read")))
	require.Equal(t, 413, problem(t, serve(t, things(), r)).Status)
}

func TestBodyThatBreaksOff(t *testing.T) {
	t.Parallel()
	r := post(web.MediaJSON, "")
	r.Body = io.NopCloser(iotest.ErrReader(errors.New("connection reset")))
	p := problem(t, serve(t, things(), r))
	require.Equal(t, domain.CodeMalformed, p.Code)
	require.NotContains(t, p.Detail, "reset")
}

// TestJSONTestSuite wraps every case of nst/JSONTestSuite as a member, because
// a body must be an object, and takes it bare too: what must be refused is, and
// what is accepted is what RFC 8259 accepts and our limits allow.
func TestJSONTestSuite(t *testing.T) {
	t.Parallel()
	packed, err := gzip.NewReader(bytes.NewReader(testdata.Read(t, "security", "json_test_suite.jsonl.gz")))
	require.NoError(t, err)
	lines := bufio.NewScanner(packed)
	lines.Buffer(nil, 8<<20)
	judged, ours := map[string]int{}, map[string]int{}
	for lines.Scan() {
		var c struct{ Suite, Name, Expect, B64 string }
		require.NoError(t, json.Unmarshal(lines.Bytes(), &c, json.MatchCaseInsensitiveNames(true)))
		text, err := base64.StdEncoding.DecodeString(c.B64)
		require.NoError(t, err)
		bare, _, bareErr := web.Body[map[string]jsontext.Value](bytesRequest(text), web.LimitBatch)
		_, _, wrapErr := web.Body[map[string]jsontext.Value](bytesRequest(wrapped(text)), web.LimitBatch)
		if c.Expect == "reject" {
			require.Error(t, bareErr, c.Name)
			require.Error(t, wrapErr, c.Name)
		}
		if bareErr == nil {
			require.NotEqual(t, "reject", c.Expect, c.Name)
			require.NotNil(t, bare, c.Name)
		}
		if c.Expect == "accept" && wrapErr != nil {
			var p *web.Problem
			require.ErrorAs(t, wrapErr, &p)
			ours[p.Violations[0].Rule]++
		}
		judged[c.Expect]++
	}
	require.NoError(t, lines.Err())
	require.Equal(t, map[string]int{"accept": 95, "reject": 188, "either": 35, "": 22}, judged)
	require.Equal(t, map[string]int{"body.duplicate_key": 2, "body.nul": 2, "body.number": 7}, ours,
		"what RFC 8259 accepts and we refuse, by our rule")
}

func wrapped(text []byte) []byte { return append(append([]byte(`{"value":`), text...), '}') }

func bytesRequest(body []byte) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
	r.Header.Set("Content-Type", web.MediaJSON)
	return r
}

func FuzzBody(f *testing.F) {
	for _, seed := range []string{`{"name":"a","tags":["x"],"custom":{"n":1.5}}`, `{"name":"\ud800"}`, `{"a":1,"a":2}`, `{"custom":-0}`, "{}\x00", `[[[[`, `null`} {
		f.Add([]byte(seed))
	}
	routes := things()
	f.Fuzz(func(t *testing.T, body []byte) {
		w := httptest.NewRecorder()
		web.Wrap(routes, web.Options{}).ServeHTTP(w, func() *http.Request {
			r := bytesRequest(body)
			r.URL.Path = "/api/v1/things"
			return r
		}())
		switch w.Code {
		case http.StatusOK:
			// What was accepted is unambiguous: one object, and accepted again.
			v, _, err := web.Body[thing](bytesRequest(w.Body.Bytes()), web.LimitBatch)
			require.NoError(t, err)
			require.NotContains(t, v.Name, "\x00")
		case http.StatusBadRequest, http.StatusRequestEntityTooLarge:
			problem(t, w.Result())
		default:
			t.Fatalf("status %d for %q", w.Code, body)
		}
	})
}
