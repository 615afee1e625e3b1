package main

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/domain"
)

// TestThePromise: what an agent was certified to do on a given day, who said so and
// under which rules, is in one file that is judged without us. A later withdrawal
// changes nothing about that day.
func TestThePromise(t *testing.T) {
	t.Parallel()
	b := newBoard(t)
	audit := b.serve(t, auditRun, nil)
	g := b.ground(t, "Weld")
	b.certifyAll(t, g)
	then := time.Now().UTC()
	b.must(t, agents, g.agent, no("revoke", "unsafe"))

	path := exportPath("agent", g.agent, then.Format(time.RFC3339Nano))
	report := b.judge(t, audit.get(t, b.token, path).body, nil)
	certified := report.Agent.Certification
	require.NotNil(t, certified)
	require.Equal(t, b.genesis.Author(), certified.Author)
	require.Equal(t, domain.Founding().Hash(), certified.Constitution.String())
	require.Equal(t, domain.ChecklistInForce().Hash(), certified.Checklist)
	require.True(t, certified.HasChecklist, "the list that it was judged by can be read")
	for _, part := range []string{"Weld agent", "certified by ", b.genesis.Author(), "Weld skill", "Weld role", "Weld industry"} {
		require.Contains(t, report.Agent.Sentence, part)
	}
	now := b.judge(t, audit.get(t, b.token, exportPath("agent", g.agent, "")).body, nil)
	require.Nil(t, now.Agent.Certification)
	require.Contains(t, now.Agent.Sentence, "it was not certified")
	require.Equal(t, http.StatusNotFound, audit.do(t, call{method: http.MethodGet, path: path, token: b.Token(t, b.Principal(t, "globex", domain.Auditor))}).status)
}
