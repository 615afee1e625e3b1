package main

import (
	"cmp"
	"encoding/base64"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/domain"
)

// everyWrite is a write of each route under a collection, on what the attacked
// tenant has, as that tenant would send it.
func (w *siege) everyWrite(route Route) (call, bool) {
	method, path, _ := strings.Cut(route.Pattern, " ")
	collection := collectionOf(path)
	if route.Access != Bearer || method == http.MethodGet || collection == "" {
		return call{}, false
	}
	c := call{method: method, path: strings.ReplaceAll(path, "{id}", w.them.ids[collection]), body: `{"tags":["mine"]}`, header: under(w.them, collection)}
	switch rest := strings.TrimPrefix(path, collection); {
	case rest == "" && collection == teams: // its agent is in a team, and may be in another
		c.body = strings.Replace(w.body(teams, agents, w.them.ids[agents]), w.own.ids[jobRoles], w.them.ids[jobRoles], 1)
	case rest == "":
		c.body = w.body(collection, "", "")
	case rest == "/batch":
		c.body = `{"items":[` + w.body(collection, "", "") + `]}`
	case strings.HasSuffix(rest, "/transitions"):
		c.body = `{"to":"under_review"}`
	case strings.HasSuffix(rest, "/certify"):
		c.body = `{"decision":"certify"}`
	case strings.HasSuffix(rest, "/assign-team"):
		c.body = `{"team_id":null}`
	case method == http.MethodDelete:
		c.path, c.body = c.path+"?reason=mine", ""
	}
	return c, true
}

// TestTokensOfAnotherTenant: a token whose tenant was altered is nobody's. One
// that is signed well and claims another tenant than its principal's, which only
// the holder of the secret could make, writes nothing anywhere.
func TestTokensOfAnotherTenant(t *testing.T) {
	t.Parallel()
	w := newSiege(t)
	parts := strings.Split(w.token2, ".")
	claims, err := base64.RawURLEncoding.DecodeString(parts[1])
	require.NoError(t, err)
	altered := strings.Replace(string(claims), `"globex"`, `"acme"`, 1)
	require.NotEqual(t, string(claims), altered)
	parts[1] = base64.RawURLEncoding.EncodeToString([]byte(altered))
	pretender := w.attacker
	pretender.GovernanceAgent = "acme"
	signed := w.Token(t, pretender)
	victim := strings.Split(w.token, ".")
	before := w.belongings(t)
	for _, route := range Routes() {
		if route.Access != Bearer {
			continue
		}
		method, path, _ := strings.Cut(route.Pattern, " ")
		c, writes := w.everyWrite(route)
		if !writes {
			c = call{method: method, path: strings.ReplaceAll(path, "{id}", cmp.Or(w.them.ids[collectionOf(path)], w.them.ids[skills]))}
		}
		for name, token := range map[string]string{
			"altered":         strings.Join(parts, "."),
			"without its sum": parts[0] + "." + parts[1] + ".",
			"another's sum":   parts[0] + "." + parts[1] + "." + victim[2],
		} {
			c.token = token
			a, trace := w.strike(t, c, w.them)
			require.Equal(t, http.StatusUnauthorized, a.status, "%s: %s %s", route.Operation, name, a.body)
			require.Empty(t, trace, "the database is not even asked")
		}
		if !writes {
			continue
		}
		for _, query := range []string{"", "validate_only=true"} {
			one := c
			one.token = signed
			if query != "" {
				one.path += map[bool]string{true: "&", false: "?"}[strings.Contains(c.path, "?")] + query
			}
			a, _ := w.strike(t, one, w.them)
			require.Equal(t, http.StatusForbidden, a.status, "%s %s: %s", route.Operation, query, a.body)
			require.Equal(t, string(domain.CodeForbidden), a.problem(t).Code)
		}
	}
	require.Equal(t, before, w.belongings(t))
}

// TestOneKindsPathIsNotAnothers: one's own skill is no agent, whatever is asked
// of it under the agents' path, and nothing happens to it there.
func TestOneKindsPathIsNotAnothers(t *testing.T) {
	t.Parallel()
	w := newSiege(t)
	before := w.belongings(t)
	for _, route := range Routes() {
		method, path, _ := strings.Cut(route.Pattern, " ")
		collection := collectionOf(path)
		if !strings.Contains(path, "{id}") || collection == "" {
			continue
		}
		for kind, id := range w.them.ids {
			if kind == collection {
				continue
			}
			c, writes := w.everyWrite(route)
			if !writes {
				c = call{method: method}
			}
			c.path, c.token, c.header = strings.ReplaceAll(path, "{id}", id), w.token, under(w.them, kind)
			a, _ := w.strike(t, c, w.them)
			require.Equal(t, http.StatusNotFound, a.status, "%s of %s: %d %s", route.Operation, kind, a.status, a.body)
		}
	}
	require.Equal(t, before, w.belongings(t))
}
