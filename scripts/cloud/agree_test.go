package main

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/dlai-sd/plant/scripts/deliveries"
)

// The code's functions are those that are deployed, in Terraform and in Cloud
// Build.
func TestEveryFunctionIsDeployed(t *testing.T) {
	t.Parallel()
	var names []string
	for name := range plan(t, "team").Services {
		names = append(names, name)
	}
	var build cloudBuild
	require.NoError(t, yaml.Unmarshal([]byte(file(t, "cloudbuild.yaml")), &build))
	require.ElementsMatch(t, names, strings.Fields(build.Substitutions["_FUNCTIONS"]))
	served := functionsOf(routesOf(t))
	require.Subset(t, names, served)
	for _, name := range names {
		if !slices.Contains(served, name) {
			t.Logf("!! %s is in infra/ and not in routes.go: it must be before a deployment", name)
		}
	}
}

// Each route that Pub/Sub or Scheduler calls is called by one of them.
func TestEveryEventRouteIsCalled(t *testing.T) {
	t.Parallel()
	s := plan(t, "team")
	for _, r := range routesOf(t) {
		_, path, _ := strings.Cut(r.Pattern, " ")
		name, events := strings.CutPrefix(path, "/events/")
		if !events {
			continue
		}
		require.Equal(t, "trusted", r.Access, r.Pattern)
		pushed := slices.ContainsFunc(slices.Collect(maps.Keys(s.Subscriptions)), func(sub string) bool {
			return sub == "plant-"+name || strings.HasPrefix(sub, "plant-"+name+"-")
		})
		_, timed := s.Schedule["plant-"+name]
		require.True(t, pushed || timed, "%s: neither a subscription nor a job of that name", r.Pattern)
	}
}

// What is pushed and what the clock begins is what scripts/deliveries says, in both
// sizes and to the last figure; two subscriptions more wait for people who pull.
func TestDeliveriesAreThoseOfTheTable(t *testing.T) {
	t.Parallel()
	for _, size := range []string{"lab", "team"} {
		s := plan(t, size)
		address := func(function, path string) string {
			return "https://" + function + "-123456789012.us-central1.run.app" + path
		}
		want := map[string]subscribed{
			deliveries.DeadLetters: {Topic: deliveries.Dead, AckSeconds: 60},
			"plant-rotation-due":   {Topic: "plant-rotation-due"},
		}
		for _, d := range deliveries.Subscriptions() {
			require.Contains(t, s.Services, d.Function)
			want[d.ID()] = subscribed{
				Topic: d.Topic, Filter: d.Filter(), Endpoint: address(d.Function, d.Path()),
				AckSeconds: 60, DeadLetter: "projects/my-plant/topics/" + deliveries.Dead, Attempts: 20, MinBackoff: "10s", MaxBackoff: "600s",
			}
		}
		require.Equal(t, want, s.Subscriptions, size)
		clock := map[string]scheduled{}
		for _, j := range deliveries.Jobs() {
			require.Contains(t, s.Services, j.Function)
			clock[j.ID()] = scheduled{Cron: j.Cron, Zone: "Etc/UTC", Target: address(j.Function, j.Path()), Deadline: seconds(j.Deadline), Retries: j.Retries}
		}
		require.Equal(t, clock, s.Schedule, size)
	}
}

// Each route that takes events is of the function that the table says.
func TestDeliveriesReachARoute(t *testing.T) {
	t.Parallel()
	routes := routesOf(t)
	reaches := func(function, path string) {
		require.True(t, slices.ContainsFunc(routes, func(r route) bool {
			return r.Pattern == "POST "+path && r.Function == function && r.Access != "open"
		}), "POST %s of %s", path, function)
	}
	for _, d := range deliveries.Subscriptions() {
		reaches(d.Function, d.Path())
	}
	for _, j := range deliveries.Jobs() {
		reaches(j.Function, j.Path())
	}
}

// A function's environment is what it reads: all that is required, nothing that
// belongs to a local stack, and nothing unknown.
func TestFunctionsAreToldWhatTheyRead(t *testing.T) {
	t.Parallel()
	known := settingsOf(t)
	served := functionsOf(routesOf(t))
	for name, f := range plan(t, "team").Services {
		if !slices.Contains(served, name) {
			continue
		}
		for _, s := range known {
			told := slices.Contains(f.Settings, s.Name)
			reads := slices.Contains(s.Functions, name)
			switch {
			case s.Local:
				require.False(t, told, "%s is told %s", name, s.Name)
			case s.Name == "MODEL_DIR" || s.Name == "EMBED_NEXT_MODEL": // the image says it, and a person while a model changes
				require.False(t, told, name)
			case reads && (s.Required || s.Default == ""):
				require.True(t, told, "%s is not told %s", name, s.Name)
			}
		}
		for _, told := range f.Settings {
			require.True(t, slices.ContainsFunc(known, func(s setting) bool { return s.Name == told }),
				"%s is told %s, which nothing reads", name, told)
		}
	}
}

func TestJobsAreToldWhatTheCommandLineReads(t *testing.T) {
	t.Parallel()
	page := file(t, "infra/CONFIGURATION.md")
	jobs := plan(t, "team").Jobs
	require.Len(t, jobs, 2)
	for job, told := range jobs {
		for _, name := range told {
			require.Contains(t, page, "`"+name+"`", job)
		}
		for _, need := range []string{"INSTANCE_CONNECTION_NAME", "DB_IAM_USER", "DB_NAME"} {
			require.Contains(t, told, need, job)
		}
	}
}

type cloudBuild struct {
	Steps []struct {
		ID         string   `yaml:"id"`
		Name       string   `yaml:"name"`
		Entrypoint string   `yaml:"entrypoint"`
		Args       []string `yaml:"args"`
	} `yaml:"steps"`
	Substitutions  map[string]string `yaml:"substitutions"`
	ServiceAccount string            `yaml:"serviceAccount"`
	Timeout        string            `yaml:"timeout"`
	Options        map[string]string `yaml:"options"`
}

// The steps stand in the order that makes them safe, and every variable in them
// is Cloud Build's, a substitution, or the shell's own ($$).
func TestCloudBuild(t *testing.T) {
	t.Parallel()
	source := file(t, "cloudbuild.yaml")
	var build cloudBuild
	decoder := yaml.NewDecoder(strings.NewReader(source))
	decoder.KnownFields(true)
	require.NoError(t, decoder.Decode(&build))
	var order []string
	for _, step := range build.Steps {
		order = append(order, step.ID)
		require.NotEmpty(t, step.Name, step.ID)
		require.NotEmpty(t, step.Args, step.ID)
		for _, arg := range step.Args {
			for _, variable := range substitutions(arg) {
				_, ours := build.Substitutions[variable]
				require.True(t, ours || variable == "PROJECT_ID", "%s: $%s", step.ID, variable)
			}
		}
	}
	require.Equal(t, []string{"test", "build", "scan", "migrate", "deploy", "front-door"}, order)
	require.Contains(t, build.ServiceAccount, "plant-deploy@")
	require.Equal(t, "CLOUD_LOGGING_ONLY", build.Options["logging"])
	require.NotContains(t, source, ":latest")
	for job := range plan(t, "team").Jobs {
		require.Contains(t, source, job)
	}
}

// substitutions are the variables that Cloud Build replaces in a text.
func substitutions(text string) []string {
	var names []string
	text = strings.ReplaceAll(text, "$$", "")
	text = strings.ReplaceAll(text, "$(", "")
	for i := 0; i < len(text); i++ {
		if text[i] != '$' {
			continue
		}
		end := i + 1
		for end < len(text) && (text[end] == '_' || text[end] >= 'A' && text[end] <= 'Z') {
			end++
		}
		names = append(names, text[i+1:end])
	}
	return names
}

func TestWorkflows(t *testing.T) {
	t.Parallel()
	var workflow struct {
		Jobs map[string]struct {
			Steps []map[string]any `yaml:"steps"`
		} `yaml:"jobs"`
	}
	source := file(t, ".github/workflows/ci.yaml")
	require.NoError(t, yaml.Unmarshal([]byte(source), &workflow))
	require.Contains(t, workflow.Jobs, "test")
	require.Contains(t, workflow.Jobs, "image")
	for _, check := range []string{".ci/run", "make image", "setup-terraform"} {
		require.Contains(t, source, check)
	}
	require.Contains(t, file(t, ".ci/run"), "make infra")
}
