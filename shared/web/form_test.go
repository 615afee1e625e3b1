package web_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/web"
)

func formHandler() http.Handler {
	return web.Endpoint(
		func(r *http.Request) (map[string]string, error) { return web.Form(r, 64) },
		func(_ context.Context, fields map[string]string) (map[string]string, error) { return fields, nil },
	)
}

func TestForm(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]map[string]string{
		"":                               {},
		"a=1&b=":                         {"a": "1", "b": ""},
		"a=x%2By+z&name=Gr%C3%BC%C3%9Fe": {"a": "x+y z", "name": "Grüße"},
		"a":                              {"a": ""},
		strings.Repeat("a", 64):          {strings.Repeat("a", 64): ""},
	} {
		got, err := web.Form(post("application/x-www-form-urlencoded; charset=UTF-8", body), 64)
		require.NoError(t, err, body)
		require.Equal(t, want, got)
	}
}

func TestFormRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, media, body string
		code              domain.Code
		field             string
	}{
		{"no type", "", "a=1", web.CodeUnsupportedMediaType, ""},
		{"JSON", "application/json", `{"a":"1"}`, web.CodeUnsupportedMediaType, ""},
		{"multipart", "multipart/form-data; boundary=x", "a=1", web.CodeUnsupportedMediaType, ""},
		{"another charset", web.MediaForm + "; charset=latin1", "a=1", web.CodeUnsupportedMediaType, ""},
		{"too large", web.MediaForm, strings.Repeat("a", 65), domain.CodeTooLarge, ""},
		{"twice", web.MediaForm, "a=s3cret&b=2&a=s3cret", domain.CodeMalformed, "/a"},
		{"twice, escaped", web.MediaForm, "a=s3cret&%61=2", domain.CodeMalformed, "/a"},
		{"name to escape twice", web.MediaForm, "a/~=1&a/~=2", domain.CodeMalformed, "/a~1~0"},
		{"not encoded", web.MediaForm, "a=s3cret%zz", domain.CodeMalformed, ""},
		{"semicolon", web.MediaForm, "a=s3cret;b=2", domain.CodeMalformed, ""},
		{"value not UTF-8", web.MediaForm, "a=s3cret%ff", domain.CodeMalformed, "/a"},
		{"name not UTF-8", web.MediaForm, "%ff=1", domain.CodeMalformed, ""},
	} {
		resp := serve(t, formHandler(), post(c.media, c.body))
		p := problem(t, resp)
		require.Equal(t, c.code, p.Code, c.name)
		if c.code == web.CodeUnsupportedMediaType {
			require.Equal(t, web.MediaForm, resp.Header.Get("Accept"))
		}
		if c.code == domain.CodeMalformed {
			require.Equal(t, c.field, p.Violations[0].Field, c.name)
			require.NotContains(t, p.Detail+p.Violations[0].Message, "s3cret")
		}
	}
}
