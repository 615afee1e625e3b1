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

// widening is a right that is made wider than needed, and the run of terraform
// test that must see it.
type widening struct{ file, from, to, seen string }

func widenings() []widening {
	return []widening{
		{"secrets.tf", `    { for f, x in local.functions : "plant-jwt-keys ${f}"`, "    { root = { secret = \"plant-root-key\", email = local.account[\"certify\"] } },\n" + `    { for f, x in local.functions : "plant-jwt-keys ${f}"`, "the_root_key_is_the_operators_alone"},
		{"functions.tf", `keys      = [], tokens = true, publishes = false`, `keys      = ["amendment"], tokens = true, publishes = false`, "keys_are_read_by_those_who_sign_with_them"},
		{"secrets.tf", `role      = "roles/secretmanager.secretAccessor"`, `role      = "roles/secretmanager.admin"`, "keys_are_read_by_those_who_sign_with_them"},
		{"secrets.tf", `role      = "roles/secretmanager.secretVersionAdder"`, `role      = "roles/secretmanager.secretVersionManager"`, "only_the_operator_makes_keys"},
		{"cache.tf", `local.account["embed"]`, `local.account["create-skill"]`, "only_embed_knows_redis"},
		{"cache.tf", `auth_enabled            = true`, `auth_enabled            = false`, "only_embed_knows_redis"},
		{"database.tf", `"roles/cloudsql.client", "roles`, `"roles/cloudsql.admin", "roles`, "the_database_is_opened_by_the_functions_and_jobs_as_themselves"},
		{"database.tf", `resource.name == \"projects/${var.project}/instances/${google_sql_database_instance.plant.name}\"`, `true`, "the_database_is_opened_by_the_functions_and_jobs_as_themselves"},
		{"functions.tf", `memory = "256Mi", role = "plant_authenticator"`, `memory = "256Mi", role = "plant_operator"`, "each_duty_in_the_database_has_its_login"},
		{"functions.tf", `keys      = [], tokens = true, publishes = false`, `keys      = [], tokens = true, publishes = true`, "events_are_published_by_those_who_change_something"},
		{"events.tf", "role     = \"roles/pubsub.publisher\"\n  member   = \"serviceAccount:${local.account[each.key]}\"\n}\n\n# A handler", "role     = \"roles/pubsub.editor\"\n  member   = \"serviceAccount:${local.account[each.key]}\"\n}\n\n# A handler", "events_are_published_by_those_who_change_something"},
		{"events.tf", `role         = "roles/pubsub.subscriber"
  member       = local.pubsub_agent`, `role         = "roles/pubsub.admin"
  member       = local.pubsub_agent`, "events_are_published_by_those_who_change_something"},
		{"events.tf", "  topic    = each.value\n  role     = \"roles/pubsub.viewer\"", "  topic    = each.value\n  role     = \"roles/pubsub.editor\"", "doctor_looks_and_changes_nothing"},
		{"events.tf", `budget = google_pubsub_topic.budget.name }`, `budget = google_pubsub_topic.budget.name, rotation = google_pubsub_topic.rotation.name }`, "doctor_looks_and_changes_nothing"},
		{"events.tf", "  subscription = each.value.name\n  role         = \"roles/pubsub.viewer\"", "  subscription = each.value.name\n  role         = \"roles/pubsub.subscriber\"", "doctor_looks_and_changes_nothing"},
		{"events.tf", `{ dead-letter = google_pubsub_subscription.dead_letter },`, `{ dead-letter = google_pubsub_subscription.dead_letter, rotation = google_pubsub_subscription.rotation },`, "doctor_looks_and_changes_nothing"},
		{"secrets.tf", "  role      = \"roles/secretmanager.viewer\"", "  role      = \"roles/secretmanager.secretVersionManager\"", "doctor_looks_and_changes_nothing"},
		{"secrets.tf", "  for_each  = local.keys\n  secret_id = google_secret_manager_secret.key[\"plant-${each.key}-key\"].secret_id", "  for_each  = local.secrets\n  secret_id = google_secret_manager_secret.key[each.key].secret_id", "doctor_looks_and_changes_nothing"},
		{"accounts.tf", `"projects/${var.project}/serviceAccounts/${local.push}"`, `"projects/${var.project}/serviceAccounts/${local.deploy}"`, "pushes_come_from_one_identity_that_only_pubsub_can_be"},
		{"services.tf", `s if contains(local.pushed, f)`, `s`, "pushes_come_from_one_identity_that_only_pubsub_can_be"},
		{"services.tf", "role     = \"roles/run.invoker\"\n  member   = \"allUsers\"", "role     = \"roles/run.developer\"\n  member   = \"allUsers\"", "the_public_may_call_and_nothing_else"},
		{"log.tf", `"roles/storage.objectCreator"`, `"roles/storage.objectAdmin"`, "checkpoints_can_be_made_and_read_never_replaced"},
		{"log.tf", `is_locked        = var.lock_checkpoints`, `is_locked        = false`, "checkpoints_can_be_made_and_read_never_replaced"},
		{"log.tf", "role   = \"roles/storage.objectViewer\"", "role   = \"roles/storage.objectUser\"", "checkpoints_can_be_made_and_read_never_replaced"},
		{"build.tf", `"roles/logging.logWriter", `, `"roles/logging.logWriter", "roles/run.admin", `, "the_deployer_deploys_what_there_is"},
		{"build.tf", `merge(local.account, local.runner)`, `merge(local.account, local.runner, { push = local.push })`, "the_deployer_deploys_what_there_is"},
		{"build.tf", `role       = "roles/artifactregistry.writer"`, `role       = "roles/artifactregistry.repoAdmin"`, "the_deployer_deploys_what_there_is"},
		{"jobs.tf", `google_cloud_run_v2_job.job["operator"].name`, `google_cloud_run_v2_job.job["migrate"].name`, "operators_run_one_job"},
		{"services.tf", `service_account                  = local.account[each.key]`, `service_account                  = local.account["certify"]`, "every_function_is_somebody_else"},
		{"apis.tf", `log_type = "DATA_READ"`, `log_type = "ADMIN_READ"`, "who_reads_a_secret_is_written_down"},
	}
}

// Every rule has a widening, and each of them still finds what it makes wider.
func TestEveryRuleCanBeWidened(t *testing.T) {
	t.Parallel()
	covered := map[string]bool{}
	for _, w := range widenings() {
		covered[w.seen] = true
		require.Equal(t, 1, strings.Count(file(t, "infra/"+w.file), w.from), "%s: the text to widen stands once: %s", w.file, w.from)
	}
	for _, line := range strings.Split(file(t, "infra/tests/privileges.tftest.hcl"), "\n") {
		if name, ok := strings.CutPrefix(line, `run "`); ok {
			name, _, _ = strings.Cut(name, `"`)
			require.True(t, covered[name], "no widening tries the rule %s", name)
		}
	}
}

// Each rule is widened in a copy of infra/, and terraform test must fail in the
// run that guards it. It takes minutes, so it runs where it is asked for.
func TestWidenedRightsAreSeen(t *testing.T) {
	t.Parallel()
	if os.Getenv("INFRA_WIDEN") == "" {
		t.Skip("make infra-widen makes each right wider and sees terraform test fail")
	}
	for _, w := range widenings() {
		t.Run(w.seen+"/"+w.file, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "infra")
			require.NoError(t, os.CopyFS(dir, os.DirFS(filepath.Join(testdata.Root(), "infra"))))
			path := filepath.Join(dir, w.file)
			source, err := os.ReadFile(path)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(path, []byte(strings.Replace(string(source), w.from, w.to, 1)), 0o600))
			said, err := terraformTest(t, dir)
			require.Error(t, err, "nothing saw it")
			require.Contains(t, said, `run "`+w.seen+`"... fail`)
		})
	}
}

func terraformTest(t *testing.T, dir string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	environ := append(os.Environ(), "TF_IN_AUTOMATION=1", "CHECKPOINT_DISABLE=1", "TF_CLI_CONFIG_FILE=")
	if folder := os.Getenv("TF_PROVIDER_DIR"); folder != "" {
		rc := filepath.Join(filepath.Dir(dir), "terraformrc")
		text := "provider_installation {\n  dev_overrides { \"hashicorp/google\" = \"" + folder + "\" }\n  direct {}\n}\n"
		require.NoError(t, os.WriteFile(rc, []byte(text), 0o600))
		environ = append(environ, "TF_CLI_CONFIG_FILE="+rc)
	} else {
		start := exec.CommandContext(ctx, "terraform", "init", "-backend=false", "-input=false")
		start.Dir, start.Env = dir, environ
		out, err := start.CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	cmd := exec.CommandContext(ctx, "terraform", "test", "-no-color", "-var-file=example.tfvars", "-filter=tests/privileges.tftest.hcl")
	cmd.Dir, cmd.Env = dir, environ
	out, err := cmd.CombinedOutput()
	return string(out), err
}
