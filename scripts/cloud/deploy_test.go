package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/testkit/testdata"
)

// gcloudStandIn answers as gcloud does and writes down what it was asked to change.
const gcloudStandIn = `#!/bin/bash
case "$*" in
*traffic.filter*) echo "$4-old" ;;
*latestCreatedRevisionName*) echo "$4-new" ;;
*status.url*) echo "https://$4-x.run.example" ;;
"run deploy"*) [ "$3" = "$BREAK_DEPLOY" ] && exit 1; echo "deploy $3 $*" | grep -o '^deploy [a-z-]*\|--no-traffic\|--tag=candidate\|--image=[^ ]*' | tr '\n' ' ' >>"$CALLS"; echo >>"$CALLS" ;;
*update-traffic*) echo "traffic $4 $*" | grep -o '^traffic [a-z-]*\|--to-revisions=[^ ]*' | tr '\n' ' ' >>"$CALLS"; echo >>"$CALLS" ;;
*) exit 9 ;;
esac
`

// curlStandIn fails for the one address that BREAK_URL names.
const curlStandIn = `#!/bin/bash
url="${!#}"
[ "$url" = "$BREAK_URL" ] && exit 22
echo "ready $url" >>"$CALLS"
`

// deploy runs the script that Cloud Build runs, with stand-ins for gcloud and curl.
func deploy(t *testing.T, image, functions string, env ...string) (calls []string, failed error) {
	t.Helper()
	dir := t.TempDir()
	for name, script := range map[string]string{"gcloud": gcloudStandIn, "curl": curlStandIn} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755)) // #nosec -- it is a program
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "image"), []byte(image+"\n"), 0o600))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", filepath.Join(testdata.Root(), "infra/deploy.sh"), "us-central1", filepath.Join(dir, "image"), functions)
	cmd.Env = append([]string{"PATH=" + dir + ":" + os.Getenv("PATH"), "CALLS=" + filepath.Join(dir, "calls"), "SMOKE_ATTEMPTS=2", "SMOKE_PAUSE=0"}, env...)
	out, failed := cmd.CombinedOutput()
	t.Logf("%s", out)
	b, err := os.ReadFile(filepath.Join(dir, "calls"))
	if err != nil {
		return nil, failed
	}
	for line := range strings.Lines(string(b)) {
		calls = append(calls, strings.TrimSpace(line))
	}
	return calls, failed
}

const someImage = "r/p/plant/plant@sha256:0123"

func rollout(f string) []string {
	return []string{
		"deploy " + f + " --image=" + someImage + " --no-traffic --tag=candidate",
		"ready https://candidate---" + f + "-x.run.example/ready",
		"traffic " + f + " --to-revisions=" + f + "-new=100",
		"ready https://" + f + "-x.run.example/ready",
	}
}

func TestDeployShiftsOneFunctionAfterTheOther(t *testing.T) {
	t.Parallel()
	calls, err := deploy(t, someImage, "issue-token embed")
	require.NoError(t, err)
	require.Equal(t, append(rollout("issue-token"), rollout("embed")...), calls)
}

// Whatever fails, every function that was shifted has its old revision again.
func TestDeployRollsBack(t *testing.T) {
	t.Parallel()
	back := func(f string) string { return "traffic " + f + " --to-revisions=" + f + "-old=100" }
	for name, c := range map[string]struct {
		env   string
		after []string // the last calls
	}{
		"a candidate is not ready":   {"BREAK_URL=https://candidate---embed-x.run.example/ready", []string{back("create-role"), back("issue-token")}},
		"a revision fails in use":    {"BREAK_URL=https://embed-x.run.example/ready", []string{back("embed"), back("create-role"), back("issue-token")}},
		"a revision is not deployed": {"BREAK_DEPLOY=embed", []string{back("create-role"), back("issue-token")}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			calls, err := deploy(t, someImage, "issue-token create-role embed audit-run", c.env)
			require.Error(t, err)
			require.Equal(t, c.after, calls[len(calls)-len(c.after):])
			require.NotContains(t, strings.Join(calls, "\n"), "audit-run", "what comes after a failure is left alone")
			if strings.Contains(c.env, "candidate") {
				require.NotContains(t, calls, "traffic embed --to-revisions=embed-new=100")
			}
		})
	}
}

func TestDeployWantsADigest(t *testing.T) {
	t.Parallel()
	calls, err := deploy(t, "r/p/plant/plant:latest", "embed")
	require.Error(t, err)
	require.Empty(t, calls)
}
