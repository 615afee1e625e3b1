package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestConstitutionCommands: each command is one request, and says what became of it.
func TestConstitutionCommands(t *testing.T) {
	t.Parallel()
	var asked string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked = r.Method + " " + r.URL.RequestURI() + " " + string(body)
		_, _ = io.WriteString(w, `{"id":"p1","status":"active","in_force":"abc","document":{"name":"law"}}`)
	}))
	t.Cleanup(s.Close)
	dir := t.TempDir()
	file := filepath.Join(dir, "next.json")
	require.NoError(t, os.WriteFile(file, []byte(`{"name":"next"}`), 0o600))
	env := []string{"PLANT_URL=" + s.URL, "PLANT_TOKEN=x", "PLANT_DIR=" + dir}
	const path = "/api/v1/constitution"
	for _, c := range []struct {
		args      []string
		want, out string
	}{
		{[]string{"show"}, "GET " + path + " ", `"in_force": "abc"`},
		{[]string{"show", "--document"}, "GET " + path + " ", "{\n  \"name\": \"law\"\n}\n"},
		{[]string{"show", "--list"}, "GET " + path + "/proposals ", "active"},
		{[]string{"show", "p1"}, "GET " + path + "/proposals/p1 ", "active"},
		{[]string{"propose", file, "--purpose", "why, then"}, "POST " + path + `/proposals {"document":{"name":"next"},"purpose":"why, then"}`, "p1 is active.\nIn force: abc\n"},
		{[]string{"propose", file, "--purpose", "x", "--validate-only"}, "POST " + path + `/proposals?validate_only=true {"document":{"name":"next"},"purpose":"x"}`, "It would be active. Nothing was written.\n"},
		{[]string{"judge", "p1", "genesis", "approve", "--broken", "0"}, "POST " + path + `/proposals/p1/decisions {"evidence":{"broken":0},"gate":"genesis","verdict":"approve"}`, "active"},
		{[]string{"judge", "p1", "guardian", "approve"}, "POST " + path + `/proposals/p1/decisions {"evidence":{"left_out":[]},"gate":"guardian","verdict":"approve"}`, "active"},
		{[]string{"judge", "p1", "guardian", "approve", "--left-out", "A", "--left-out", "B"}, "POST " + path + `/proposals/p1/decisions {"evidence":{"left_out":["A","B"]},"gate":"guardian","verdict":"approve"}`, "active"},
		{[]string{"judge", "p1", "architect", "reject", "--reason", "slow, and more"}, "POST " + path + `/proposals/p1/decisions {"gate":"architect","reasons":["slow, and more"],"verdict":"reject"}`, "active"},
		{[]string{"enact", "p1"}, "POST " + path + `/proposals/p1/enact {"reasons":[]}`, "In force: abc"},
		{[]string{"rollback", "p1", "--reason", "it hurts"}, "POST " + path + `/proposals/p1/rollback {"reasons":["it hurts"]}`, "In force: abc"},
	} {
		r := must(t, env, append([]string{"constitution"}, c.args...)...)
		require.Equal(t, c.want, asked, "%v", c.args)
		require.Contains(t, r.stdout, c.out, "%v", c.args)
	}
	require.NotZero(t, plant(t, env, "constitution", "rollback", "p1").code, "without a reason")
	require.NotZero(t, plant(t, env, "constitution", "judge", "p1", "governor", "approve").code)
	require.Contains(t, plant(t, env, "constitution", "propose", "none.json", "--purpose", "x").stderr, "show --document")

	broken := filepath.Join(dir, "notjson")
	require.NoError(t, os.WriteFile(broken, []byte("rules:"), 0o600))
	require.Contains(t, plant(t, env, "constitution", "replay", broken).stderr, "Try: plant constitution show --document")
	missing := plant(t, env, "constitution", "propose", file)
	require.Equal(t, 2, missing.code)
	require.Contains(t, missing.stderr, "Try: plant constitution propose --help\n")
	require.Contains(t, plant(t, env, "moon").stderr, "Try: plant --help\n")
	require.Contains(t, must(t, env, "constitution", "propose", "--help").stdout, "min_items")
}

// TestWhatIsLeftIsSaid: who judged sees which gates do not have, and whose entities a
// replay went over.
func TestWhatIsLeftIsSaid(t *testing.T) {
	t.Parallel()
	var answer string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, answer) }))
	t.Cleanup(s.Close)
	dir := t.TempDir()
	file := filepath.Join(dir, "next.json")
	require.NoError(t, os.WriteFile(file, []byte(`{"name":"next"}`), 0o600))
	env := []string{"PLANT_URL=" + s.URL, "PLANT_TOKEN=x", "PLANT_DIR=" + dir}
	judged := func(a string) string {
		answer = a
		return must(t, env, "constitution", "judge", "p1", "architect", "approve").stdout
	}
	require.Equal(t, "p1 is proposed.\nStill to judge: plant constitution judge p1 genesis approve --broken N\n"+
		"Still to judge: plant constitution judge p1 guardian approve --left-out RULE …, where it leaves out any\n",
		judged(`{"id":"p1","status":"proposed","decisions":[{"gate":"architect","verdict":"approve","by":"a/b","at":"2026-11-23T08:12:58.364179Z","evidence":{"entities":5}}]}`))
	require.Contains(t, judged(`{"id":"p1","status":"approved"}`), "puts it in force: plant constitution enact p1\n")
	require.Equal(t, "p1 is rejected.\n", judged(`{"id":"p1","status":"rejected"}`))

	for scope, says := range map[string]string{
		"governance_agent": "1 of your own governance agent's 3 living entities would break constitution abc.", "platform": "1 of 3 living entities would break constitution abc.",
	} {
		answer = `{"items":[],"next_cursor":null,"scope":"` + scope + `","constitution_hash":"abc","judged":3,"broken":1,"unsound":0,"by_rule":{"L2-X":1}}`
		require.Contains(t, must(t, env, "constitution", "replay", file).stdout, says)
	}
}
