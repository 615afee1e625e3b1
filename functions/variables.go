package main

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/sethvargo/go-envconfig"
)

// Variable is one environment variable that a function reads.
type Variable struct {
	Name     string `json:"name"`
	Default  string `json:"default"` // "" where there is none
	Required bool   `json:"required"`
	Unit     string `json:"unit"` // what a value is counted in, or its form
	Meaning  string `json:"meaning"`
	// Local says that only a stack on one machine sets it; a deployment never does.
	Local bool `json:"local"`
	// Functions are those that read it, in the order of Functions.
	Functions []string `json:"functions"`
}

// described is what the struct Config does not say about a variable.
type described struct {
	unit, meaning string
	local         bool
	readBy        func(function string) bool
}

// Variables is the table of everything that Config reads, in its order. A field
// without a description is an error: whoever adds one says what it means.
func Variables() ([]Variable, error) {
	var all []Variable
	t, rows := reflect.TypeFor[Config](), descriptions()
	for i := range t.NumField() {
		name, options, _ := strings.Cut(t.Field(i).Tag.Get("env"), ",")
		row, ok := rows[name]
		if !ok {
			return nil, fmt.Errorf("%s (field %s) has no description", name, t.Field(i).Name)
		}
		v := Variable{Name: name, Unit: row.unit, Meaning: row.meaning, Local: row.local}
		for option := range strings.SplitSeq(options, ",") {
			option = strings.TrimSpace(option)
			v.Required = v.Required || option == "required"
			if value, found := strings.CutPrefix(option, "default="); found {
				v.Default = value
			}
		}
		for _, function := range Functions() {
			if row.readBy(function) {
				v.Functions = append(v.Functions, function)
			}
		}
		all = append(all, v)
	}
	return all, nil
}

func descriptions() map[string]described {
	bearers, pushed := reached(Bearer), reached(Trusted)
	signers := among(createSkill, createRole, birthAgent, certifier, embedder, driftCheck)
	publishers := among(createSkill, createRole, birthAgent, auditRun, embedder, certifier, driftCheck)
	embeds, audits, handlers := among(embedder), among(auditRun), among(embedder, certifier, birthAgent, auditRun, driftCheck)
	tokens := func(f string) bool { return bearers(f) || f == issueToken }
	return map[string]described{
		"FUNCTION_TARGET":                 {"name", "which function the process is", false, every},
		"PORT":                            {"TCP port", "where it listens; Cloud Run sets it", false, every},
		"HOST":                            {"address", "the interface it listens on; none: every one", true, every},
		"PLANT_ORIGIN":                    {"name/number", "the deployment, as every record and checkpoint names it; never changes", false, every},
		"GOOGLE_CLOUD_PROJECT":            {"project id", "whose topic, secrets and logs", false, every},
		"DATABASE_URL":                    {"postgres://", "the database, where it is not Cloud SQL", true, every},
		"INSTANCE_CONNECTION_NAME":        {"project:region:instance", "the Cloud SQL instance; its private address, with IAM authentication", false, every},
		"DB_IAM_USER":                     {"e-mail without .gserviceaccount.com", "the function's database user", false, every},
		"DB_NAME":                         {"name", "the database in that instance", false, every},
		"DB_POOL":                         {"connections, 1 to 20", "at most open at once, per instance of a function", false, every},
		"SECRET_MANAGER_ENDPOINT":         {"host:port", "a Secret Manager on this machine, without TLS", true, tokens},
		"AMENDMENT_KEY":                   {"projects/P/secrets/S/versions/N", "the key that signs amendments; its successors are found from it", false, signers},
		"CERTIFICATION_KEY":               {"projects/P/secrets/S/versions/N", "the key that signs decisions of certification; its successors are found from it", false, among(certifier)},
		"CHECKPOINT_KEY":                  {"projects/P/secrets/S/versions/N", "the key that signs checkpoints", false, audits},
		"HEADS_KEY":                       {"projects/P/secrets/S/versions/N", "the key that signs heads records", false, audits},
		"JWT_KEYS":                        {"projects/P/secrets/S/versions/N", "the secrets that tokens are signed with: the first signs, all verify", false, tokens},
		"TOKEN_ISSUER":                    {"text", "who issues tokens (iss)", false, tokens},
		"TOKEN_AUDIENCE":                  {"text", "whom tokens are for (aud)", false, tokens},
		"CHECKPOINT_BUCKET":               {"bucket", "where checkpoints are published, create-only", false, audits},
		"CHECKPOINT_DIR":                  {"folder", "the same on one machine", true, audits},
		"AUDIT_BUDGET":                    {"duration, 0s to 15s", "how long one delivery works on a run of the audit before it hands on", false, audits},
		"PUBSUB_TOPIC":                    {"topic id", "where events go", false, publishers},
		"PUBSUB_DEAD_LETTER_TOPIC":        {"topic id", "where events go that can never be handled", false, handlers},
		"PUBSUB_DEAD_LETTER_SUBSCRIPTION": {"subscription id", "where dead letters wait, to be counted; none: they are not", false, among(driftCheck)},
		"BUDGET_HOLD_AT":                  {"part of the budget", "how much of it may be spent before batch work is held; 1: all", false, audits},
		"OIDC_ISSUER":                     {"URL", "who signs the tokens of Pub/Sub and Scheduler", false, pushed},
		"PUSH_AUDIENCE":                   {"text", "the audience those tokens must name", false, pushed},
		"PUSH_SERVICE_ACCOUNT":            {"e-mail", "the one account that may push", false, pushed},
		"CORS_ORIGINS":                    {"origins, comma separated", "browsers' pages that may call; none: no other origin", false, every},
		"REDIS_URL":                       {"redis://", "a cache of embeddings; none: they are computed each time", false, embeds},
		"MODEL_DIR":                       {"folder", "holds model.safetensors and vocab.txt; the image sets it", false, among(embedder, driftCheck)},
		"EMBED_MODEL":                     {"model id", "whose vectors search and simulations compare and states name", false, among(embedder, birthAgent)},
		"EMBED_NEXT_MODEL":                {"model id", "whose vectors are made beside them, before a switch; none: no other", false, embeds},
		"EMBED_THREADS":                   {"processors", "how many an embedding uses; 0: all", false, among(embedder, driftCheck)},
		"EMBED_URL":                       {"URL", "the embedding function, asked for near-duplicates; none: creates do not warn", false, among(createSkill, createRole)},
	}
}

func every(string) bool { return true }

func among(functions ...string) func(string) bool {
	return func(f string) bool { return slices.Contains(functions, f) }
}

// reached are the functions with a route of that access.
func reached(a Access) func(string) bool {
	return func(f string) bool {
		return slices.ContainsFunc(Routes(), func(r Route) bool { return r.Function == f && r.Access == a })
	}
}

// refuseUnknown finds what looks like a setting of ours and is none: a
// misspelt name would otherwise go unnoticed. Environ is of the form of
// os.Environ.
func refuseUnknown(environ []string) error {
	known, err := Variables()
	if err != nil {
		return err
	}
	for _, line := range slices.Sorted(slices.Values(environ)) {
		name, _, _ := strings.Cut(line, "=")
		if !strings.HasPrefix(name, "PLANT_") || slices.ContainsFunc(known, func(v Variable) bool { return v.Name == name }) {
			continue
		}
		return fmt.Errorf("configuration: %s is no variable of the functions (functions config lists them): remove it or correct its name", name)
	}
	return nil
}

// byVariable says a failure of the library in terms of the variable, and keeps
// its value out of the log: it may be a secret in the wrong place.
func byVariable(err error) error {
	field, _, _ := strings.Cut(err.Error(), ":")
	f, ok := reflect.TypeFor[Config]().FieldByName(field)
	if !ok {
		return err
	}
	name, _, _ := strings.Cut(f.Tag.Get("env"), ",")
	if errors.Is(err, envconfig.ErrMissingRequired) {
		return fmt.Errorf("%s is not set", name)
	}
	kinds := map[reflect.Kind]string{reflect.Int: "a whole number", reflect.Int64: "a number or a duration such as 5s", reflect.Bool: "true or false", reflect.Float64: "a number"}
	if kind, ok := kinds[f.Type.Kind()]; ok {
		return fmt.Errorf("%s is not %s", name, kind)
	}
	return fmt.Errorf("%s is malformed", name)
}

// printVariables writes the table as JSON, for the documentation.
func printVariables(w io.Writer) error {
	all, err := Variables()
	if err != nil {
		return err
	}
	b, err := json.Marshal(all, jsontext.WithIndent("  "))
	if err != nil {
		return fmt.Errorf("print variables: %w", err)
	}
	_, err = w.Write(append(b, '\n'))
	return err
}
