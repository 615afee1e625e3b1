package rehearsal

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

const callMost = 30 * time.Second

// answer is what the front door said.
type answer struct {
	status int
	etag   string
	body   []byte
}

// call sends a request with the headers that a write needs.
func (d *deployment) call(ctx context.Context, method, path, token, body, etag string) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, callMost)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, d.door+path, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	if method == http.MethodPatch {
		req.Header.Set("Content-Type", "application/merge-patch+json")
	}
	req.Header.Set("Idempotency-Key", uuid.NewString())
	if etag != "" {
		req.Header.Set("If-Match", etag)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header.Get("ETag"), b}, err
}

// must is call for a step that the rest of a test stands on.
func (d *deployment) must(method, path, token, body, etag string) answer {
	d.t.Helper()
	a, err := d.call(d.t.Context(), method, path, token, body, etag)
	require.NoError(d.t, err)
	require.Less(d.t, a.status, 300, "%s %s: %s", method, path, a.body)
	return a
}

func (a answer) text(t require.TestingT, name string) string {
	var members map[string]any
	require.NoError(t, json.Unmarshal(a.body, &members))
	value, _ := members[name].(string)
	return value
}

// principal makes one with the image's command line, and returns its token.
func (d *deployment) principal(v version, name string, authorities ...string) string {
	d.t.Helper()
	args := []string{"principal", "add", "-g", "acme", "-n", name, "--json"}
	for _, a := range authorities {
		args = append(args, "--authority", a)
	}
	var made struct {
		ID     string `json:"client_id"`
		Secret string `json:"client_secret"`
	}
	require.NoError(d.t, json.Unmarshal(d.plant(v, args...), &made))
	form := url.Values{"grant_type": {"client_credentials"}}
	req, err := http.NewRequestWithContext(d.t.Context(), http.MethodPost, d.door+"/api/v1/auth/token", bytes.NewBufferString(form.Encode()))
	require.NoError(d.t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(url.QueryEscape(made.ID), made.Secret)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(d.t, err)
	defer resp.Body.Close()
	var got struct {
		Token string `json:"access_token"`
	}
	require.NoError(d.t, json.UnmarshalRead(resp.Body, &got))
	require.NotEmpty(d.t, got.Token)
	return got.Token
}

// event calls a function as Pub/Sub and Scheduler do, with a token for an account.
func (d *deployment) event(function, path, account string) int {
	d.t.Helper()
	req, err := http.NewRequestWithContext(d.t.Context(), http.MethodPost, d.services[function].server.URL+path, http.NoBody)
	require.NoError(d.t, err)
	if account != "" {
		token, err := d.issuer.Token(d.setting("PUSH_AUDIENCE"), account)
		require.NoError(d.t, err)
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(d.t, err)
	require.NoError(d.t, resp.Body.Close())
	return resp.StatusCode
}

const (
	skills  = "/api/v1/genesis/skills"
	changes = "/api/v1/changes"
)

func skill(name string) string {
	return fmt.Sprintf(`{"name":%q,"description":"What a rehearsal needs.","category":"technical"}`, name)
}
