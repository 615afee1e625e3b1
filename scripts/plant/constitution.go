package main

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/dlai-sd/plant/shared/domain"
)

type replayCmd struct {
	File string `arg:"" help:"The constitution, as JSON, or the SHA-256 of one that the ledger knows."`
}

const replayPath = "/api/v1/constitution/replay"

// maxParts bounds a replay: each part judges for seconds, or brings 100 entities.
const maxParts = 100_000

// replayed is a part of a replay, or the sum of all.
type replayed struct {
	Scope        string           `json:"scope"` // governance_agent: the token's own entities alone
	Constitution string           `json:"constitution_hash"`
	Judged       int64            `json:"judged"`
	Broken       int64            `json:"broken"`
	Unsound      int64            `json:"unsound"`
	ByRule       map[string]int64 `json:"by_rule"`
	Items        []breaking       `json:"items"`
	Next         *string          `json:"next_cursor,omitzero"`
}

type breaking struct {
	ID         string             `json:"id"`
	EntityType string             `json:"entity_type"`
	Name       string             `json:"name"`
	Owner      string             `json:"governance_agent_id"`
	Version    int64              `json:"version"`
	Status     string             `json:"status"`
	Violations []domain.Violation `json:"violations"`
}

// Run replays a constitution, part by part, and prints what breaks and the counts.
func (c replayCmd) Run(a *app) error {
	body, err := c.body()
	if err != nil {
		return err
	}
	to, err := a.connect()
	if err != nil {
		return err
	}
	all := replayed{ByRule: map[string]int64{}, Items: []breaking{}}
	out := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	query := url.Values{"limit": {"100"}}
	for range maxParts {
		var part replayed
		if _, err := to.call(a.ctx, request{method: http.MethodPost, path: replayPath + "?" + query.Encode(), body: body}, &part); err != nil {
			return err
		}
		all.add(part)
		if a.json {
			all.Items = append(all.Items, part.Items...)
		} else if err := part.table(out); err != nil {
			return err
		}
		if part.Next == nil {
			return a.print(all, all.figures(a))
		}
		query.Set("cursor", *part.Next)
		fmt.Fprintf(a.stderr, "%d judged, %d break a rule …\n", all.Judged, all.Broken)
	}
	return advise(errors.New("the replay does not end"), "the same command with a token that sees less")
}

// body asks by hash, or sends the document.
func (c replayCmd) body() ([]byte, error) {
	if len(c.File) == 64 && strings.Trim(c.File, "0123456789abcdef") == "" {
		return json.Marshal(map[string]string{"sha256": c.File})
	}
	document, err := os.ReadFile(c.File)
	if err != nil {
		return nil, advise(err, "the path of a constitution, or its SHA-256; plant constitution show --document > next.json begins one")
	}
	if !jsontext.Value(document).IsValid() {
		return nil, advise(fmt.Errorf("%s is not JSON", c.File), "plant constitution show --document, for the form")
	}
	return json.Marshal(map[string]jsontext.Value{"document": document})
}

func (r *replayed) add(part replayed) {
	r.Constitution, r.Scope = part.Constitution, part.Scope
	r.Judged, r.Broken, r.Unsound = r.Judged+part.Judged, r.Broken+part.Broken, r.Unsound+part.Unsound
	for rule, n := range part.ByRule {
		r.ByRule[rule] += n
	}
}

// table writes a line for each rule that an entity breaks.
func (r *replayed) table(out *tabwriter.Writer) error {
	for _, one := range r.Items {
		for _, v := range one.Violations {
			fmt.Fprintf(out, "%s\t%s\t%s\t%s\t%s\t%s %s: %s\n", one.ID, one.EntityType, one.Owner, one.Status, one.Name, v.Rule, v.Field, v.Message)
		}
	}
	return out.Flush()
}

// figures prints the counts.
func (r *replayed) figures(a *app) func() {
	return func() {
		for _, rule := range slices.Sorted(maps.Keys(r.ByRule)) {
			fmt.Fprintf(a.stdout, "%8d break %s\n", r.ByRule[rule], rule)
		}
		of := "of"
		if r.Scope == "governance_agent" {
			of = "of your own governance agent's"
		}
		fmt.Fprintf(a.stdout, "%d %s %d living entities would break constitution %s.\n", r.Broken, of, r.Judged, r.Constitution)
		if r.Unsound > 0 {
			fmt.Fprintf(a.stdout, "%d could not be judged: their newest state is not the one that was signed. See plant doctor.\n", r.Unsound)
		}
		fmt.Fprintln(a.stdout, "Not replayed: whether what an entity names is there, unique names, histories. A write asks that.")
	}
}
