package main

import (
	"fmt"
	"io"
	"net/url"
	"os"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"

	"github.com/dlai-sd/plant/shared/domain"
)

// constitutionCmd speaks to certify as whoever PLANT_TOKEN is for: each of the five
// has a token of its own.
type constitutionCmd struct {
	Show     lawShowCmd     `cmd:"" help:"The constitution in force and those before it; with an id a proposal."`
	Replay   replayCmd      `cmd:"" help:"Which living entities would break a constitution, and which rules. Writes nothing."`
	Propose  lawProposeCmd  `cmd:"" help:"Propose a document for the one in force: an operator of the platform."`
	Judge    lawJudgeCmd    `cmd:"" help:"Judge a proposal at a gate, with that gate's authority over the platform."`
	Enact    lawEnactCmd    `cmd:"" help:"Put in force what all gates approved: a governor of the platform."`
	Rollback lawRollbackCmd `cmd:"" help:"Put in force again what a proposal replaced: a governor of the platform."`
}

const (
	constitutionPath = "/api/v1/constitution"
	proposalsPath    = constitutionPath + "/proposals"
	maxLawFile       = 256 << 10 // bytes; the functions take 64 KiB in canonical form
)

// lawDryRun is what every one of the writes takes.
type lawDryRun struct {
	ValidateOnly bool `help:"Answer everything, write nothing."`
}

type lawShowCmd struct {
	ID       string `arg:"" optional:"" help:"A proposal's id."`
	List     bool   `help:"The newest proposals."`
	Document bool   `help:"The document alone, to begin another with."`
}

// Run shows what is in force, or a proposal.
func (c lawShowCmd) Run(a *app) error {
	to, err := a.connect()
	if err != nil {
		return err
	}
	path := constitutionPath
	switch {
	case c.ID != "":
		path = proposalsPath + "/" + url.PathEscape(c.ID)
	case c.List:
		path = proposalsPath
	}
	var found jsontext.Value
	if err := to.get(a.ctx, path, nil, &found); err != nil {
		return err
	}
	if c.Document {
		var one struct {
			Document jsontext.Value `json:"document"`
		}
		if err := json.Unmarshal(found, &one); err != nil {
			return fmt.Errorf("read the answer: %w", err)
		}
		found = one.Document
	}
	return a.printLaw(found)
}

func (a *app) printLaw(found jsontext.Value) error {
	if err := found.Indent(jsontext.WithIndent("  ")); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	_, err := fmt.Fprintf(a.stdout, "%s\n", found)
	return err
}

type lawProposeCmd struct {
	lawDryRun
	File    string `arg:"" help:"The document, JSON; - for standard input."`
	Purpose string `help:"What it is for." required:""`
}

// Help is what kong prints below the flags.
func (lawProposeCmd) Help() string {
	return `Begin with the one in force: plant constitution show --document > next.json. A rule of your own has an id that begins with L1- or L2-, kinds (skill, job_role, team, agent, industry, or * for all), a text, a remediation and a check:

{"id": "L2-SKILL-TAGGED", "kinds": ["skill"], "text": "A skill has a tag.", "remediation": "Give it one.", "check": {"field": "/tags", "min_items": 1}}

A check names the field (/name, /external_id, /visibility, /governance_notes, /parent_id, /tags, /custom_attributes/…, and what only some kinds have: /description, /category, /seniority_level, /required_skills, /skill_id, /job_role_id, /industry_id, /team_id) and at least one of present (true), one_of (at most 200 texts), pattern (RE2, at most 500 bytes), min_length, max_length, min_items, max_items. All of it must hold. At most 300 rules and 64 KiB. Rules without a check are decided by code; of these only FORM-TAGS may be left out.`
}

// Run proposes a document.
func (c lawProposeCmd) Run(a *app) error {
	in := os.Stdin
	if c.File != "-" {
		var err error
		if in, err = os.Open(c.File); err != nil {
			return advise(fmt.Errorf("open the document: %w", err), "plant constitution show --document > next.json, and edit that")
		}
		defer func() { _ = in.Close() }()
	}
	document, err := io.ReadAll(io.LimitReader(in, maxLawFile))
	if err != nil {
		return fmt.Errorf("read the document: %w", err)
	}
	if !jsontext.Value(document).IsValid() {
		return advise(fmt.Errorf("%s is not JSON, or longer than %d bytes", c.File, maxLawFile), "plant constitution show --document, for the form")
	}
	return c.send(a, "", map[string]any{"document": jsontext.Value(document), "purpose": c.Purpose})
}

type lawJudgeCmd struct {
	lawDryRun
	ID      string   `arg:"" help:"The proposal's id."`
	Gate    string   `arg:"" enum:"genesis,architect,guardian" help:"genesis, architect or guardian."`
	Verdict string   `arg:"" enum:"approve,reject" help:"approve or reject."`
	Broken  *int64   `help:"At genesis: how many entities a replay finds breaking."`
	LeftOut []string `help:"At guardian: the rules of the one in force that are not in it." name:"left-out"`
	Reason  []string `help:"Why; a rejection needs one." sep:"none"`
}

// Run takes a decision at a gate.
func (c lawJudgeCmd) Run(a *app) error {
	body := map[string]any{"gate": c.Gate, "verdict": c.Verdict}
	if len(c.Reason) > 0 {
		body["reasons"] = c.Reason
	}
	if c.Verdict == domain.Approves {
		evidence := map[string]any{}
		if c.Broken != nil {
			evidence["broken"] = *c.Broken
		}
		if c.Gate == string(domain.GateGuardian) {
			evidence["left_out"] = append([]string{}, c.LeftOut...)
		}
		body["evidence"] = evidence
	}
	return c.send(a, "/"+url.PathEscape(c.ID)+"/decisions", body)
}

type lawEnactCmd struct {
	lawDryRun
	ID     string   `arg:"" help:"The proposal's id."`
	Reason []string `help:"Why." sep:"none"`
}

// Run puts a proposal in force.
func (c lawEnactCmd) Run(a *app) error {
	return c.send(a, "/"+url.PathEscape(c.ID)+"/enact", map[string]any{"reasons": append([]string{}, c.Reason...)})
}

type lawRollbackCmd struct {
	lawDryRun
	ID     string   `arg:"" help:"The proposal's id."`
	Reason []string `help:"Why." required:"" sep:"none"`
}

// Run takes an enactment back.
func (c lawRollbackCmd) Run(a *app) error {
	return c.send(a, "/"+url.PathEscape(c.ID)+"/rollback", map[string]any{"reasons": c.Reason})
}

// namedAt are the flags by which an approval names what its judge found.
var namedAt = map[domain.Gate]string{domain.GateGenesis: " --broken N", domain.GateGuardian: " --left-out RULE …, where it leaves out any"} // a table that nobody changes

// send writes about the constitution and prints what became of the proposal.
func (d lawDryRun) send(a *app, rest string, body map[string]any) error {
	to, err := a.connect()
	if err != nil {
		return err
	}
	text, err := json.Marshal(body, json.Deterministic(true))
	if err != nil {
		return fmt.Errorf("write the request: %w", err)
	}
	path := proposalsPath + rest
	if d.ValidateOnly {
		path += "?validate_only=true"
	}
	var out struct {
		ID        string                `json:"id"`
		Status    domain.Status         `json:"status"`
		InForce   string                `json:"in_force"`
		Decisions []domain.GateDecision `json:"decisions"`
	}
	var answer jsontext.Value
	if err := to.post(a.ctx, path, uuid.NewString(), text, &answer); err != nil {
		return err
	}
	if a.json {
		return a.printLaw(answer)
	}
	if err := json.Unmarshal(answer, &out); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if d.ValidateOnly {
		fmt.Fprintf(a.stdout, "It would be %s. Nothing was written.\n", out.Status)
		return nil
	}
	fmt.Fprintf(a.stdout, "%s is %s.\n", out.ID, out.Status)
	switch out.Status {
	case domain.Proposed:
		for _, gate := range (domain.Proposal{Decisions: out.Decisions}).Waits() {
			fmt.Fprintf(a.stdout, "Still to judge: plant constitution judge %s %s approve%s\n", out.ID, gate, namedAt[gate])
		}
	case domain.Approved:
		fmt.Fprintf(a.stdout, "Every gate has approved it. A governor puts it in force: plant constitution enact %s\n", out.ID)
	}
	if out.InForce != "" {
		fmt.Fprintf(a.stdout, "In force: %s\n", out.InForce)
	}
	return nil
}
