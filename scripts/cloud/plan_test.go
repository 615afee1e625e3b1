package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "keep the summaries of the plans in INFRA_PLANS") // a flag of the test

// Everything else here rests on the kept summaries; this is what holds them to
// the plans that Terraform makes.
func TestSummariesAreThoseOfThePlans(t *testing.T) {
	t.Parallel()
	folder := os.Getenv("INFRA_PLANS")
	if folder == "" {
		t.Skip("!! the kept summaries of infra/ were NOT compared with Terraform's plans: make infra does, where terraform is")
	}
	for _, size := range []string{"lab", "team"} {
		raw, err := os.ReadFile(filepath.Join(folder, size+".json"))
		require.NoError(t, err)
		s, err := summarise(raw)
		require.NoError(t, err)
		want, err := json.Marshal(s, json.Deterministic(true), jsontext.WithIndent("  "))
		require.NoError(t, err)
		want = append(want, '\n')
		kept := filepath.Join("testdata", size+".json")
		if *update {
			require.NoError(t, os.WriteFile(kept, want, 0o600))
		}
		have, err := os.ReadFile(kept)
		require.NoError(t, err)
		require.Equal(t, string(want), string(have), "%s is stale: make infra-update, and look at what changed", kept)
	}
}

func TestPlansThatAreNoneAreRefused(t *testing.T) {
	t.Parallel()
	for name, raw := range map[string]string{
		"not JSON": "{", "empty": "{}", "no size": `{"planned_values":{"root_module":{"resources":[{"type":"google_cloud_run_v2_service","values":{}}]}}}`,
		"a binding": `{"planned_values":{"root_module":{"resources":[{"type":"google_project_iam_binding","values":{"role":"roles/viewer"}}]}}}`,
	} {
		_, err := summarise([]byte(raw))
		require.Error(t, err, name)
	}
}

func TestTeamCostsLessThanAHundredDollars(t *testing.T) {
	t.Parallel()
	team, lab := plan(t, "team"), plan(t, "lab")
	require.InDelta(t, 100, team.BudgetUSD, 0)
	for _, requests := range volumes() {
		require.Less(t, total(team.month(requests)), 100.0, "at %.0f requests", requests)
		require.Less(t, total(lab.month(requests)), total(team.month(requests)))
	}
	require.Less(t, total(lab.month(1e6)), lab.BudgetUSD)
	var said bytes.Buffer
	require.NoError(t, printPrices(&said, team))
	t.Logf("\n%s", said.String())
}

// What would break the promise is seen by the model.
func TestDearerPlansAreSeen(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*summary){
		"a larger Redis":       func(s *summary) { s.RedisGB = 3 },
		"a larger database":    func(s *summary) { s.Database.Tier = "db-g1-small" },
		"a larger disk":        func(s *summary) { s.Database.DiskGB = 100 },
		"processors always on": func(s *summary) { f := s.Services["create-skill"]; f.OnRequest = false; s.Services["create-skill"] = f },
		"two processors":       func(s *summary) { f := s.Services["create-skill"]; f.CPU = 2; s.Services["create-skill"] = f },
		"a hundred alerts":     func(s *summary) { s.Conditions = 100 },
	} {
		s := plan(t, "team")
		change(&s)
		require.Greater(t, total(s.month(11e6)), 100.0, name)
	}
}

func TestEverythingHasAPrice(t *testing.T) {
	t.Parallel()
	for _, size := range []string{"lab", "team"} {
		s := plan(t, size)
		require.Empty(t, s.unpriced(), "say what it costs in rates.go")
		require.Contains(t, rates(), s.Database.Tier, "say what the tier costs")
		require.Equal(t, "ENTERPRISE", s.Database.Edition)
		require.Equal(t, "ZONAL", s.Database.Availability, "two zones cost twice")
		for _, line := range s.month(1e6) {
			require.NotEmpty(t, line.Page, line.What)
			require.GreaterOrEqual(t, line.USD, 0.0)
		}
	}
	s := plan(t, "team")
	s.Types["google_compute_forwarding_rule"] = 1
	require.Equal(t, []string{"google_compute_forwarding_rule"}, s.unpriced())
	var sum float64
	for name := range s.Services {
		require.Contains(t, shares(), name)
		sum += shares()[name]
	}
	require.InDelta(t, 1, sum, 1e-9)
}

// The database takes 14 connections, 17 for as long as one function's revisions
// stand side by side.
func TestConnectionsFitTheDatabase(t *testing.T) {
	t.Parallel()
	for _, size := range []string{"lab", "team"} {
		s := plan(t, size)
		for name, f := range s.Services {
			require.Positive(t, f.Pool, name)
			require.Equal(t, 8, f.Concurrency, name)
			require.Zero(t, f.Minimum, name)
		}
		steady, rollout := s.connections()
		require.Equal(t, 13, steady)
		require.LessOrEqual(t, steady, 14)
		require.LessOrEqual(t, rollout, 17)
		f := s.Services["certify"]
		f.Pool = 4
		s.Services["certify"] = f
		steady, _ = s.connections()
		require.Greater(t, steady, 14)
	}
}

// Every right is in the kept summary, so a new one shows in its difference; some
// are never right.
func TestNobodyMayDoEverything(t *testing.T) {
	t.Parallel()
	project := []string{"roles/cloudsql.client", "roles/cloudsql.instanceUser", "roles/logging.logWriter", "roles/ondemandscanning.admin", "roles/firebasehosting.admin"}
	for _, size := range []string{"lab", "team"} {
		grants := plan(t, size).Grants
		require.NotEmpty(t, grants)
		for _, g := range grants {
			kind, rest, _ := strings.Cut(g, ": ")
			role, rest, _ := strings.Cut(rest, " to ")
			member, _, _ := strings.Cut(rest, " on ")
			require.NotRegexp(t, `^roles/(owner|editor|viewer)$|[aA]dmin$`, strings.TrimSuffix(strings.TrimSuffix(role, "ondemandscanning.admin"), "firebasehosting.admin"), g)
			require.NotContains(t, member, "allAuthenticatedUsers", g)
			if member == "allUsers" {
				require.Equal(t, "roles/run.invoker", role, g)
			}
			if kind == "project" {
				require.True(t, slices.Contains(project, role), g)
			}
			require.NotContains(t, member, "compute@developer", "the default account: %s", g)
		}
	}
}
