package main

import (
	"archive/zip"
	"bytes"
	"crypto/rsa"
	"fmt"
	"io"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/bundle"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/testkit/harness"
)

// auditor is somebody who got a bundle and trusts the root of the world.
func (k *kit) auditor(t *testing.T) bundle.Options {
	t.Helper()
	root, err := k.Secrets.Key(t.Context(), k.Keys[domain.UseRoot])
	require.NoError(t, err)
	return bundle.Options{Trust: root.Public().(*rsa.PublicKey), Origin: harness.Origin, Now: time.Now()}
}

// judge gives a bundle to the offline verifier, which must pass it.
func (k *kit) judge(t *testing.T, body []byte, seen []byte) bundle.Report {
	t.Helper()
	fsys, err := bundle.NewZip(bytes.NewReader(body), int64(len(body)))
	require.NoError(t, err)
	o := k.auditor(t)
	o.Seen = seen
	report, err := bundle.Verify(fsys, o)
	require.NoError(t, err)
	for _, v := range report.Verdicts() {
		require.True(t, v.Passed, "%s: %+v", v.Name, v.Offender)
	}
	return report
}

// unpacked is all text of a bundle.
func unpacked(t *testing.T, body []byte) string {
	t.Helper()
	r, err := zip.NewReader(bytes.NewReader(body), int64(len(body)))
	require.NoError(t, err)
	var text strings.Builder
	for _, f := range r.File {
		in, err := f.Open()
		require.NoError(t, err)
		_, err = io.Copy(&text, in)
		require.NoError(t, err)
	}
	return text.String()
}

func exportPath(scope, id, at string) string {
	q := url.Values{"scope": {scope}}
	for name, value := range map[string]string{"id": id, "at": at} {
		if value != "" {
			q.Set(name, value)
		}
	}
	return "/api/v1/audit/export?" + q.Encode()
}

// TestExport: every scope's bundle passes the offline verifier as it comes, the log
// continues what an auditor has seen before, and nobody gets another's contents.
func TestExport(t *testing.T) {
	t.Parallel()
	w := newSiege(t)
	s := w.serve(t, auditRun, nil)
	anybody := w.Token(t, w.Principal(t, "acme", domain.Author))
	auditor := w.Token(t, w.Principal(t, "acme", domain.Auditor))
	platform := w.Token(t, w.PlatformPrincipal(t, "board", domain.Auditor))

	before := s.get(t, "", "/log/checkpoint").body
	whole := s.get(t, platform, exportPath("all", "", ""))
	require.Equal(t, "application/zip", whole.header.Get("Content-Type"))
	report := w.judge(t, whole.body, before)
	require.Contains(t, unpacked(t, whole.body), "geheim note")
	require.EqualValues(t, 5+5+5+1, report.Entities, "five kinds each, five keys, a proposal")
	require.Equal(t, bundle.RulesReport{Judged: 5 + 5 + 1}, report.Rules, "all but the keys, and each has its result")
	require.Equal(t, 5+5+1, strings.Count(unpacked(t, whole.body), `"failed":[],"passed":["FORM-ATTRIBUTES"`))

	own := s.get(t, auditor, exportPath("governance_agent", "acme", ""))
	report = w.judge(t, own.body, nil)
	require.Contains(t, unpacked(t, own.body), "geheim again")
	require.NotContains(t, unpacked(t, own.body), "offen note")
	require.NotContains(t, unpacked(t, own.body), "globex")
	require.EqualValues(t, 5+5+1, report.Entities, "five kinds, five keys, a proposal")
	require.Equal(t, bundle.RulesReport{Judged: 5 + 1}, report.Rules)

	for _, id := range w.them.ids {
		w.judge(t, s.get(t, anybody, exportPath("entity", id, "")).body, nil)
	}
	agent := s.get(t, anybody, exportPath("agent", w.them.ids[agents], ""))
	report = w.judge(t, agent.body, nil)
	require.Contains(t, report.Agent.Sentence, "was not certified")
	require.Len(t, report.Agent.RestsOn, 4, "skill, role, industry, team")

	// Nothing was recorded since: the same cut, and the same bytes of the same order.
	order := as[struct {
		ID     string `json:"id"`
		Bundle string `json:"bundle"`
	}](t, s.post(t, auditor, "/api/v1/audit/exports", `{"scope":"governance_agent","id":"acme"}`))
	first, second := s.get(t, auditor, order.Bundle), s.get(t, auditor, order.Bundle)
	require.Equal(t, first.body, second.body)
	s.get(t, auditor, "/api/v1/audit/exports/"+order.ID)
	require.Equal(t, 403, s.do(t, call{method: "GET", path: order.Bundle, token: anybody}).status, "who may not order does not fetch")
	require.Equal(t, 404, s.do(t, call{method: "GET", path: order.Bundle, token: platform}).status, "another's order")

	for path, want := range map[string]int{
		exportPath("all", "", ""):                                       403,
		exportPath("governance_agent", "acme", ""):                      403,
		exportPath("governance_agent", "globex", ""):                    404,
		exportPath("governance_agent", "keyring", ""):                   404,
		exportPath("agent", w.them.ids[skills], ""):                     404,
		exportPath("agent", w.them.ids[agents], "2020-01-01"):           404,
		exportPath("agent", w.them.ids[agents], "2999-01-01"):           400,
		exportPath("entity", w.them.ids[agents], "2020-01-01"):          400,
		exportPath("entity", "x", ""):                                   400,
		exportPath("entity", "", ""):                                    400,
		exportPath("everything", "", ""):                                400,
		exportPath("all", "acme", ""):                                   400,
		exportPath("agent", w.them.ids[agents], "") + "&seen=-1":        400,
		exportPath("agent", w.them.ids[agents], "") + "&other=1":        400,
		"/api/v1/audit/exports/x":                                       404,
		"/api/v1/audit/exports/" + w.them.ids[skills] + "/bundle":       404,
		"/api/v1/audit/exports/" + w.them.export + "/bundle?scope=acme": 400,
	} {
		a := s.do(t, call{method: "GET", path: path, token: anybody})
		require.Equal(t, want, a.status, "%s: %s", path, a.body)
		require.Equal(t, strings.Contains(path, "2020") && want == 404, strings.Contains(string(a.body), "was not born yet"), path)
	}
}

// TestAgentExportShowsWhatIsShared: an agent rests on what another owns; its bundle
// has the other's records, the states that are shared, and none that is not.
func TestAgentExportShowsWhatIsShared(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	s := k.serve(t, auditRun, nil)
	one, two, three := k.serve(t, createSkill, nil), k.serve(t, createRole, nil), k.serve(t, birthAgent, nil)
	genesis, acme := mighty(t, k, "genesis"), mighty(t, k, "acme")
	theirs, mine := k.Token(t, genesis), k.Token(t, acme)
	made := func(at *server, token, path, body string) string {
		a := at.post(t, token, path, body)
		require.Equal(t, 201, a.status, "%s", a.body)
		return as[wrote](t, a).ID
	}
	industry := made(two, theirs, industries, `{"name":"Gardening","visibility":"public"}`)
	skill := made(one, theirs, skills, `{"name":"Pruning","description":"secret draft","category":"technical","visibility":"public"}`)
	for _, id := range []string{industry, skill} {
		k.certified(t, genesis, id)
	}
	role := made(two, mine, jobRoles, fmt.Sprintf(`{"name":"Gardener","required_skills":[%q],"seniority_level":"mid","industry_id":%q}`, skill, industry))
	agent := made(three, mine, agents, fmt.Sprintf(`{"name":"Ada","skill_id":%q,"job_role_id":%q,"industry_id":%q}`, skill, role, industry))

	body := s.get(t, mine, exportPath("agent", agent, "")).body
	report := k.judge(t, body, nil)
	require.Len(t, report.Agent.RestsOn, 3)
	withheld := map[string]int64{}
	for _, thing := range report.Agent.RestsOn {
		withheld[thing.Name] = thing.Withheld
	}
	require.Positive(t, withheld["Pruning"], "what it was before it was shared")
	require.Zero(t, withheld["Gardener"])
	text := unpacked(t, body)
	require.Equal(t, 1, strings.Count(text, `Gardening\"`), "the shared state alone")
}
