package main

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/sethvargo/go-envconfig"
	"github.com/stretchr/testify/require"
)

func TestEveryVariableIsDescribed(t *testing.T) {
	t.Parallel()
	all, err := Variables()
	require.NoError(t, err)
	var names []string
	for _, v := range all {
		require.NotEmpty(t, v.Unit, v.Name)
		require.NotEmpty(t, v.Meaning, v.Name)
		require.NotEmpty(t, v.Functions, "%s: nothing reads it", v.Name)
		require.NotContains(t, names, v.Name)
		names = append(names, v.Name)
	}
	for name := range descriptions() {
		require.Contains(t, names, name, "described, but Config does not read it")
	}
	var printed bytes.Buffer
	require.NoError(t, printVariables(&printed))
	var read []Variable
	require.NoError(t, json.Unmarshal(printed.Bytes(), &read))
	require.Equal(t, all, read)
}

// A function is content with the variables that the table says it reads, and
// with nothing else.
func TestFunctionsStartWithWhatTheTableSaysTheyRead(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	all, err := Variables()
	require.NoError(t, err)
	for _, function := range Functions() {
		t.Run(function, func(t *testing.T) {
			t.Parallel()
			unread := map[string]string{}
			for _, v := range all {
				if !slices.Contains(v.Functions, function) {
					unread[v.Name] = ""
				}
			}
			require.Equal(t, 200, k.serve(t, function, unread).get(t, "", "/ready").status)
		})
	}
}

func TestUnknownVariablesAreRefused(t *testing.T) {
	t.Parallel()
	require.NoError(t, refuseUnknown([]string{"PLANT_ORIGIN=a/1", "PATH=/bin", "PLANTATION=x", "K_SERVICE=create-skill"}))
	for _, line := range []string{"PLANT_ORIGN=a/1", "PLANT_=", "PLANT_TOKEN=secret", "PLANT_origin=a/1"} {
		err := refuseUnknown([]string{"PLANT_ORIGIN=a/1", line})
		name, value, _ := strings.Cut(line, "=")
		require.ErrorContains(t, err, name+" is no variable")
		if value != "" {
			require.NotContains(t, err.Error(), value)
		}
	}
}

// malformed are values that a variable does not take, and edges of what it takes. A
// secret is in each value that can hold one.
type edges struct{ refused, taken []string }

func malformed() map[string]edges {
	versions := edges{
		refused: []string{"projects/p/secrets/hunter2/versions/latest", "hunter2", "projects/p/secrets/s", "projects/p/secrets/s/versions/0", "projects/p/secrets/s/versions/01", " projects/p/secrets/s/versions/1"},
		taken:   []string{"projects/my-plant/secrets/plant-amendment-key/versions/12", "projects/123456789012/secrets/s/versions/1"},
	}
	topics := edges{
		refused: []string{"projects/hunter2/topics/t", "a", "1topic", "hunter2 topic"},
		taken:   []string{"plant-events", "plant-dead-letter-pull", "abc"},
	}
	models := edges{refused: []string{"hunter2", "all-MiniLM-L6-v2"}}
	return map[string]edges{
		"FUNCTION_TARGET":          {refused: []string{"hunter2", "CREATE-SKILL"}, taken: Functions()},
		"PORT":                     {[]string{"hunter2", "0", "65536", "-1", "+80", "080", "0x50", "8080 "}, []string{"1", "65535"}},
		"HOST":                     {[]string{"hunter2 host", "http://127.0.0.1", "127.0.0.1:80"}, []string{"127.0.0.1", "::1", "0.0.0.0", "localhost"}},
		"PLANT_ORIGIN":             {[]string{"hunter2 origin", "a+b"}, []string{"plant.example/1"}},
		"GOOGLE_CLOUD_PROJECT":     {[]string{"Hunter2", "hunter2/x", strings.Repeat("p", 64)}, []string{"my-plant", "example.com:plant"}},
		"DATABASE_URL":             {[]string{"hunter2", "postgres://u:hunter2@:bad:/", "mysql://u:hunter2@h/d", "postgres://u:hunter2@h:port/d"}, []string{"postgres://u:p@127.0.0.1:5432/d", "postgresql://u:p%2F@h/d?sslmode=disable"}},
		"INSTANCE_CONNECTION_NAME": {[]string{"hunter2", "a:b", "a:b:c:d:e", "p:r:hunter2 i"}, []string{"my-plant:us-central1:plant", "example.com:plant:us-central1:plant"}},
		"DB_IAM_USER":              {[]string{"hunter2", "plant-embed@hunter2.iam.gserviceaccount.com", "a@b.iam sslmode=disable"}, []string{"plant-embed@my-plant.iam"}},
		"DB_NAME":                  {[]string{"hunter2 sslmode=disable", "1plant", "plant'", strings.Repeat("p", 64)}, []string{"plant", "plant_2", strings.Repeat("p", 63)}},
		"DB_POOL":                  {[]string{"hunter2", "0", "21", "1.5", "05", "+5"}, []string{"1", "20"}},
		"SECRET_MANAGER_ENDPOINT":  {[]string{"hunter2", "http://hunter2:1", "127.0.0.1:", ":1", "127.0.0.1:65536"}, []string{"127.0.0.1:1", "[::1]:65535"}},
		"AMENDMENT_KEY":            versions, "CERTIFICATION_KEY": versions, "CHECKPOINT_KEY": versions, "HEADS_KEY": versions, "JWT_KEYS": versions,
		"CHECKPOINT_BUCKET": {[]string{"gs://hunter2", "Hunter2", "hunter2/x", "-b"}, []string{"my-plant-plant-checkpoints", "abc"}},
		"AUDIT_BUDGET":      {[]string{"hunter2", "16s", "15.001s", "-1s", "12"}, []string{"0s", "15s", "1500ms"}},
		"PUBSUB_TOPIC":      topics, "PUBSUB_DEAD_LETTER_TOPIC": topics, "PUBSUB_DEAD_LETTER_SUBSCRIPTION": topics,
		"BUDGET_HOLD_AT":       {[]string{"hunter2", "0", "-0.1", "10.01", "NaN", "Inf", "80%"}, []string{"0.01", "10", "1.0"}},
		"OIDC_ISSUER":          {[]string{"hunter2", "http://hunter2.example", "https://", "https://u:hunter2@issuer.example", "https://issuer.example/?a=hunter2"}, []string{"https://accounts.google.com", "https://issuer.example/path", "http://127.0.0.1:1"}},
		"PUSH_SERVICE_ACCOUNT": {[]string{"hunter2", "hunter2@", "@hunter2.example", "a@b", "A <a@hunter2.example>", "a@b.c,d@e.f"}, []string{"plant-push@my-plant.iam.gserviceaccount.com", "123-compute@developer.gserviceaccount.com"}},
		"CORS_ORIGINS":         {[]string{"*", "hunter2", "https://hunter2.example/", "https://hunter2.example/path", "http://hunter2.example", "https://a.example,hunter2", "https://u:hunter2@a.example", "https://Hunter2.example"}, []string{"https://a.example", "https://a.example:8443, http://localhost:3000"}},
		"REDIS_URL":            {[]string{"hunter2", "http://:hunter2@h", "redis://:hunter2@h:port/", "127.0.0.1:6379"}, []string{"redis://:p@10.0.0.3:6379/0", "rediss://h:6378"}},
		"EMBED_MODEL":          models, "EMBED_NEXT_MODEL": models,
		"EMBED_THREADS": {[]string{"hunter2", "-1", "17", "010", "+2", "0x2", "1.5"}, []string{"0", "16"}},
		"EMBED_URL":     {[]string{"hunter2", "https://hunter2.example/", "https://hunter2.example/api", "http://hunter2.example", "https://a.example,https://hunter2.example", "ftp://hunter2.example", ","}, []string{"https://embed-1.us-central1.run.app", "http://127.0.0.1:8005"}},
	}
}

// Every variable is either any text, or has values that it refuses: one that is added
// without a rule fails here.
func TestEveryVariableIsChecked(t *testing.T) {
	t.Parallel()
	cases := malformed()
	var free []string
	for name, row := range descriptions() {
		if row.form.holds == nil {
			free = append(free, name)
			require.NotContains(t, cases, name, "any text will do for it")
			continue
		}
		require.NotEmpty(t, cases[name].refused, "nothing says what %s refuses", name)
		for _, value := range cases[name].taken {
			require.True(t, row.form.holds(value), "%s=%s", name, value)
		}
	}
	slices.Sort(free)
	require.Equal(t, []string{"CHECKPOINT_DIR", "MODEL_DIR", "PUSH_AUDIENCE", "TOKEN_AUDIENCE", "TOKEN_ISSUER"}, free)
}

// enough is the least that a function starts with.
func enough() map[string]string {
	const version = "projects/p/secrets/s/versions/1"
	return map[string]string{
		"FUNCTION_TARGET": createSkill, "PLANT_ORIGIN": "a.example/1", "GOOGLE_CLOUD_PROJECT": "p", "DATABASE_URL": "postgres://u:p@127.0.0.1:1/x",
		"AMENDMENT_KEY": version, "JWT_KEYS": version, "TOKEN_ISSUER": "i", "TOKEN_AUDIENCE": "a",
	}
}

// Each sentence names the variable and what it has to be, and never its value.
func TestMalformedValuesAreSaidInOneSentence(t *testing.T) {
	t.Parallel()
	_, err := readConfig(t.Context(), envconfig.MapLookuper(enough()))
	require.NoError(t, err)
	for name, c := range malformed() {
		for _, value := range c.refused {
			env := enough()
			env[name] = value
			_, err := readConfig(t.Context(), envconfig.MapLookuper(env))
			require.EqualError(t, err, "configuration: "+name+" must be "+descriptions()[name].form.words, value)
			require.NotContains(t, err.Error(), "hunter2")
			require.NotContains(t, err.Error(), "\n")
		}
	}
}

// What is missing is said at once, as a function's or as everybody's; an empty value is
// none.
func TestMissingValuesAreNamed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change map[string]string
		says   string
	}{
		"no function": {map[string]string{"FUNCTION_TARGET": ""}, "FUNCTION_TARGET is not set: it is " + aFunction().words},
		"two":         {map[string]string{"PLANT_ORIGIN": "", "GOOGLE_CLOUD_PROJECT": ""}, "create-skill needs GOOGLE_CLOUD_PROJECT, PLANT_ORIGIN"},
		"of a signer": {map[string]string{"AMENDMENT_KEY": "", "JWT_KEYS": "", "TOKEN_ISSUER": "", "TOKEN_AUDIENCE": ""}, "create-skill needs AMENDMENT_KEY, JWT_KEYS, TOKEN_AUDIENCE, TOKEN_ISSUER"},
		"of another":  {map[string]string{"FUNCTION_TARGET": auditRun}, "audit-run needs CHECKPOINT_KEY, HEADS_KEY, PUSH_AUDIENCE, PUSH_SERVICE_ACCOUNT"},
		"the model":   {map[string]string{"FUNCTION_TARGET": embedder, "PUSH_AUDIENCE": "a", "PUSH_SERVICE_ACCOUNT": pusher}, "embed needs MODEL_DIR"},
		"a database":  {map[string]string{"DATABASE_URL": ""}, "set either DATABASE_URL or INSTANCE_CONNECTION_NAME (with DB_IAM_USER and DB_NAME)"},
		"its user":    {map[string]string{"DATABASE_URL": "", "INSTANCE_CONNECTION_NAME": "a:b:c", "DB_NAME": "d"}, "INSTANCE_CONNECTION_NAME needs DB_IAM_USER and DB_NAME"},
		"its name":    {map[string]string{"DATABASE_URL": "", "INSTANCE_CONNECTION_NAME": "a:b:c", "DB_IAM_USER": "a@b.iam"}, "INSTANCE_CONNECTION_NAME needs DB_IAM_USER and DB_NAME"},
		"same model":  {map[string]string{"EMBED_NEXT_MODEL": "all-MiniLM-L6-v2/mean-1"}, "EMBED_NEXT_MODEL must be another model than EMBED_MODEL"},
	} {
		env := enough()
		maps.Copy(env, c.change)
		_, err := readConfig(t.Context(), envconfig.MapLookuper(env))
		require.EqualError(t, err, "configuration: "+c.says, name)
	}
	env := enough()
	env["PORT"], env["REDIS_URL"], env["EMBED_MODEL"] = "", "", ""
	cfg, err := readConfig(t.Context(), envconfig.MapLookuper(env))
	require.NoError(t, err)
	require.Equal(t, 8080, cfg.Port)
	require.Equal(t, "all-MiniLM-L6-v2/mean-1", cfg.Model)
}
