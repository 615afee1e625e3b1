package web_test

import (
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/web"
)

func codeOf(t *testing.T, err error) domain.Code {
	t.Helper()
	var p *web.Problem
	require.ErrorAs(t, err, &p)
	return p.Code
}

func TestIfMatch(t *testing.T) {
	t.Parallel()
	hash := strings.Repeat("0f", 32)
	for name, test := range map[string]struct {
		values []string
		tag    string
		code   domain.Code
	}{
		"one strong tag": {[]string{`"` + hash + `"`}, hash, ""},
		"another's tag":  {[]string{`"x"`}, "x", ""},
		"missing":        {nil, "", web.CodePreconditionRequired},
		"star":           {[]string{"*"}, "", domain.CodeMalformed},
		"weak":           {[]string{`W/"` + hash + `"`}, "", domain.CodeMalformed},
		"list":           {[]string{`"a", "b"`}, "", domain.CodeMalformed},
		"two headers":    {[]string{`"a"`, `"b"`}, "", domain.CodeMalformed},
		"bare":           {[]string{hash}, "", domain.CodeMalformed},
		"empty":          {[]string{""}, "", domain.CodeMalformed},
		"empty tag":      {[]string{`""`}, "", domain.CodeMalformed},
		"inner quote":    {[]string{`"a"b"`}, "", domain.CodeMalformed},
		"line feed":      {[]string{"\"a\"\n"}, "", domain.CodeMalformed},
		"too long":       {[]string{`"` + strings.Repeat("a", 129) + `"`}, "", domain.CodeMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest(http.MethodPatch, "/", nil)
			r.Header["If-Match"] = test.values
			tag, err := web.IfMatch(r)
			if test.code != "" {
				require.Equal(t, test.code, codeOf(t, err))
				return
			}
			require.NoError(t, err)
			require.Equal(t, test.tag, tag)
			require.Equal(t, test.values[0], web.ETag(tag))
		})
	}
}

func TestIdempotencyKey(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		values []string
		code   domain.Code
	}{
		"uuid":       {[]string{"2f1c0d5e-8a3e-4f57-9c39-0b6f6a1d7e10"}, ""},
		"spaces":     {[]string{"a b ~!"}, ""},
		"255":        {[]string{strings.Repeat("k", 255)}, ""},
		"missing":    {nil, web.CodeIdempotencyKeyMissing},
		"empty":      {[]string{""}, web.CodeIdempotencyKeyMissing},
		"256":        {[]string{strings.Repeat("k", 256)}, domain.CodeMalformed},
		"not ASCII":  {[]string{"schlüssel"}, domain.CodeMalformed},
		"control":    {[]string{"a\tb"}, domain.CodeMalformed},
		"line feed":  {[]string{"a\n"}, domain.CodeMalformed},
		"two of it":  {[]string{"a", "b"}, domain.CodeMalformed},
		"two, empty": {[]string{"", ""}, domain.CodeMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest(http.MethodPost, "/", nil)
			r.Header["Idempotency-Key"] = test.values
			key, err := web.IdempotencyKey(r)
			if test.code != "" {
				require.Equal(t, test.code, codeOf(t, err))
				return
			}
			require.NoError(t, err)
			require.Equal(t, test.values[0], key)
		})
	}
}

func TestCursorRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := web.Cursor{Order: "name", Key: rapid.StringOf(rapid.Rune().Filter(func(r rune) bool { return r != 0 })).Draw(t, "key"), ID: "x"}
		if len(c.Key) > 2000 {
			t.Skip()
		}
		s := c.String()
		require.Equal(t, s, url.QueryEscape(s), "it needs no escaping")
		back, err := web.ParseCursor(s)
		require.NoError(t, err)
		require.Equal(t, c, back)
	})
}

func TestCursorRefuses(t *testing.T) {
	t.Parallel()
	encode := base64.RawURLEncoding.EncodeToString
	for name, s := range map[string]string{
		"empty":      "",
		"not base64": "***",
		"padded":     base64.URLEncoding.EncodeToString([]byte(`{"o":"name","k":"a","i":"1"}  `)) + "=",
		"not JSON":   encode([]byte("name")),
		"array":      encode([]byte(`["name"]`)),
		"unknown":    encode([]byte(`{"o":"name","k":"a","i":"1","x":1}`)),
		"no id":      encode([]byte(`{"o":"name","k":"a"}`)),
		"no order":   encode([]byte(`{"k":"a","i":"1"}`)),
		"NUL":        encode([]byte(`{"o":"name","k":"\u0000","i":"1"}`)),
		"too long":   encode([]byte(`{"o":"name","i":"1","k":"` + strings.Repeat("a", 4096) + `"}`)),
		"bad bits":   "eyJvIjoibmFtZSIsImsiOiJhIiwiaSI6IjEifR",
	} {
		_, err := web.ParseCursor(s)
		require.Error(t, err, name)
		require.Equal(t, domain.CodeMalformed, codeOf(t, err), name)
	}
}

func TestParsePage(t *testing.T) {
	t.Parallel()
	cursor := web.Cursor{Order: "name", Key: "b", ID: "7"}
	for query, want := range map[string]web.Page{
		"":                           {Limit: 50},
		"limit=1":                    {Limit: 1},
		"limit=100":                  {Limit: 100},
		"cursor=" + cursor.String():  {Limit: 50, After: &cursor},
		"status=draft&limit=7":       {Limit: 7},
		"limit=0":                    {},
		"limit=101":                  {},
		"limit=-1":                   {},
		"limit=":                     {},
		"limit=+5":                   {},
		"limit=05":                   {},
		"limit=99999999999999999999": {},
		"cursor=":                    {},
		"cursor=abc":                 {},
		"cursor=" + web.Cursor{Order: "created_at", Key: "b", ID: "7"}.String(): {},
	} {
		q, err := url.ParseQuery(query)
		require.NoError(t, err)
		page, err := web.ParsePage(q, "name")
		if want.Limit == 0 {
			require.Equal(t, domain.CodeMalformed, codeOf(t, err), query)
			continue
		}
		require.NoError(t, err, query)
		require.Equal(t, want, page, query)
	}
}

func TestQuery(t *testing.T) {
	t.Parallel()
	for query, fine := range map[string]bool{
		"":                        true,
		"status=draft":            true,
		"status=draft&tag=%C3%A9": true,
		"colour=red":              false,
		"Status=draft":            false,
		"tag=a&tag=b":             false,
		"tag=%ff":                 false,
		"tag=%00":                 false,
		"tag=%zz":                 false,
		"tag=a;status=b":          false,
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.URL.RawQuery = query
		_, err := web.Query(r, "status", "tag")
		if fine {
			require.NoError(t, err, query)
			continue
		}
		require.Equal(t, domain.CodeMalformed, codeOf(t, err), query)
	}
}

func TestList(t *testing.T) {
	t.Parallel()
	u, err := url.Parse("/api/v1/genesis/skills?limit=2&name_prefix=a%26b&cursor=old")
	require.NoError(t, err)
	next := web.Cursor{Order: "name", Key: "b", ID: "7"}
	h := http.Header{}
	web.NewList(u, []string{"a", "b"}, &next).SetHeaders(h)
	require.Equal(t, `</api/v1/genesis/skills?cursor=`+next.String()+`&limit=2&name_prefix=a%26b>; rel="next"`, h.Get("Link"))

	last := httptest.NewRecorder()
	web.WriteJSON(last, httptest.NewRequest(http.MethodGet, "/", nil), web.NewList[string](u, nil, nil))
	require.Equal(t, `{"items":[],"next_cursor":null}`, last.Body.String())
	require.Empty(t, last.Header().Get("Link"))
}
