package main

import (
	"fmt"
	"io"
	"math"
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
	Default  string `json:"default"`  // "" where there is none
	Required bool   `json:"required"` // of the functions that read it
	Unit     string `json:"unit"`     // what a value has to be
	Meaning  string `json:"meaning"`
	// Local says that only a stack on one machine sets it; a deployment never does.
	Local bool `json:"local"`
	// Functions are those that read it, in the order of Functions.
	Functions []string `json:"functions"`
}

// described is what the struct Config does not say about a variable.
type described struct {
	form    form
	meaning string
	use     use
	readBy  func(function string) bool
}

// use says who sets a variable.
type use int

const (
	optional use = iota
	needed       // whoever reads it does not start without it
	local        // only a stack on one machine sets it
)

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
		v := Variable{Name: name, Unit: row.form.words, Meaning: row.meaning, Required: row.use == needed, Local: row.use == local}
		for option := range strings.SplitSeq(options, ",") {
			if value, found := strings.CutPrefix(strings.TrimSpace(option), "default="); found {
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
	signing := aSecretVersion()
	return map[string]described{
		"FUNCTION_TARGET":                 {aFunction(), "which function the process is", needed, every},
		"PORT":                            {whole("a TCP port", 1, math.MaxUint16), "where it listens; Cloud Run sets it", optional, every},
		"HOST":                            {anAddress(), "the interface it listens on; none: every one", local, every},
		"PLANT_ORIGIN":                    {anOrigin(), "the deployment, as every record and checkpoint names it; never changes", needed, every},
		"GOOGLE_CLOUD_PROJECT":            {aProject(), "whose topic, secrets and logs", needed, every},
		"DATABASE_URL":                    {aDatabase(), "the database, where it is not Cloud SQL", local, every},
		"INSTANCE_CONNECTION_NAME":        {anInstance(), "the Cloud SQL instance; its private address, with IAM authentication", optional, every},
		"DB_IAM_USER":                     {aDatabaseUser(), "the function's database user", optional, every},
		"DB_NAME":                         {aDatabaseName(), "the database in that instance", optional, every},
		"DB_POOL":                         {whole("a whole number of connections", 1, 20), "at most open at once, per instance of a function", optional, every},
		"SECRET_MANAGER_ENDPOINT":         {aHostAndPort(), "a Secret Manager on this machine, without TLS", local, tokens},
		"AMENDMENT_KEY":                   {signing, "the key that signs amendments; its successors are found from it", needed, signers},
		"CERTIFICATION_KEY":               {signing, "the key that signs decisions of certification; its successors are found from it", needed, among(certifier)},
		"CHECKPOINT_KEY":                  {signing, "the key that signs checkpoints", needed, audits},
		"HEADS_KEY":                       {signing, "the key that signs heads records", needed, audits},
		"JWT_KEYS":                        {signing, "the secrets that tokens are signed with: the first signs, all verify", needed, tokens},
		"TOKEN_ISSUER":                    {freeText("text"), "who issues tokens (iss)", needed, tokens},
		"TOKEN_AUDIENCE":                  {freeText("text"), "whom tokens are for (aud)", needed, tokens},
		"CHECKPOINT_BUCKET":               {aBucket(), "where checkpoints are published, create-only", optional, audits},
		"CHECKPOINT_DIR":                  {freeText("a folder"), "the same on one machine", local, audits},
		"AUDIT_BUDGET":                    {span("a duration, 0s to 15s", maxAuditBudget), "how long one delivery works on a run of the audit before it hands on", optional, audits},
		"PUBSUB_TOPIC":                    {aTopic("a topic's id"), "where events go", optional, publishers},
		"PUBSUB_DEAD_LETTER_TOPIC":        {aTopic("a topic's id"), "where events go that can never be handled", optional, handlers},
		"PUBSUB_DEAD_LETTER_SUBSCRIPTION": {aTopic("a subscription's id"), "where dead letters wait, to be counted; none: they are not", optional, among(driftCheck)},
		"BUDGET_HOLD_AT":                  {fraction("a part of the budget, above 0 and at most 10", 10), "how much of it may be spent before batch work is held; 1: all", optional, audits},
		"OIDC_ISSUER":                     {anIssuer(), "who signs the tokens of Pub/Sub and Scheduler", optional, pushed},
		"PUSH_AUDIENCE":                   {freeText("text"), "the audience those tokens must name", needed, pushed},
		"PUSH_SERVICE_ACCOUNT":            {anEmail(), "the one account that may push", needed, pushed},
		"CORS_ORIGINS":                    {someOrigins(), "browsers' pages that may call; none: no other origin", optional, every},
		"REDIS_URL":                       {aCache(), "a cache of embeddings; none: they are computed each time", optional, embeds},
		"MODEL_DIR":                       {freeText("a folder"), "holds model.safetensors and vocab.txt; the image sets it", needed, among(embedder, driftCheck)},
		"EMBED_MODEL":                     {aModel(), "whose vectors search and simulations compare and states name", optional, among(embedder, birthAgent)},
		"EMBED_NEXT_MODEL":                {aModel(), "whose vectors are made beside them, before a switch; none: no other", optional, embeds},
		"EMBED_THREADS":                   {threads(), "how many an embedding uses; 0: all", optional, among(embedder, driftCheck)},
		"EMBED_URL":                       {aBase(), "the embedding function, asked for near-duplicates; none: creates do not warn", optional, among(createSkill, createRole)},
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

// refuseMalformed says of the first variable in the table that is not of its form what
// it has to be. Its value stays out of the log: it may be a secret, in its place or in
// a wrong one.
func refuseMalformed(lookup envconfig.Lookuper) error {
	all, err := Variables()
	if err != nil {
		return err
	}
	rows := descriptions()
	for _, v := range all {
		value, there := lookup.Lookup(v.Name)
		if holds := rows[v.Name].form.holds; there && holds != nil && !holds(value) {
			return fmt.Errorf("%s must be %s", v.Name, v.Unit)
		}
	}
	return nil
}

// refuseMissing names everything at once that a function cannot do without.
func refuseMissing(lookup envconfig.Lookuper) error {
	all, err := Variables()
	if err != nil {
		return err
	}
	function, there := lookup.Lookup(all[0].Name)
	if !there {
		return fmt.Errorf("%s is not set: it is %s", all[0].Name, all[0].Unit)
	}
	var missing []string
	for _, v := range all {
		if _, there := lookup.Lookup(v.Name); !there && v.Required && slices.Contains(v.Functions, function) {
			missing = append(missing, v.Name)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("%s needs %s", function, strings.Join(slices.Sorted(slices.Values(missing)), ", "))
	}
	return nil
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
