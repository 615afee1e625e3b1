package main

import (
	"os"
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

// testRestore: what the stack holds can be restored, and agrees with its log. While others
// write beside it, a checkpoint may be published after each of its backups.
func testRestore(t *testing.T, s *running) {
	r := plant(t, s.env(), "doctor", "--restore-test")
	require.Contains(t, []int{0, 1}, r.code, r.stderr)
	if r.code == 0 {
		require.Contains(t, r.stdout, "The restored database and its log agree.")
	} else {
		require.Contains(t, r.stdout, "The backup is older than what was published")
	}
	alone := plant(t, s.env(), "doctor", "--backup", os.Args[0])
	require.Equal(t, 2, alone.code)
	require.Contains(t, alone.stderr, "goes with --restore-test")
	garbage := plant(t, s.env(), "doctor", "--restore-test", "--backup", os.Args[0])
	require.Equal(t, 2, garbage.code)
	require.Contains(t, garbage.stderr, "Try: a file of pg_dump --format=custom")
}
