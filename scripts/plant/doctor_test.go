package main

import (
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/scripts/doctor"
)

// testDoctor: a running stack is well, and what is away is not called well.
func testDoctor(t *testing.T, s *running) {
	r := plant(t, s.env(), "--json", "doctor")
	var report doctor.Report
	require.NoError(t, json.Unmarshal([]byte(r.stdout), &report), r.stderr)
	for _, f := range report.Findings() {
		require.Contains(t, []string{"checkpoint", "dead letters"}, f.Check, f.What) // of a log that begins, and of tests beside this one
	}
	away := plant(t, append(s.env(), "PLANT_OPERATOR_DATABASE_URL=postgres://nobody@127.0.0.1:1/x"), "doctor")
	require.Equal(t, 2, away.code)
	require.Contains(t, away.stdout, "cannot look")
}
