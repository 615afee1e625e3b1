package verifycmd

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/dlai-sd/plant/shared/bundle"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// result is what --json prints.
type result struct {
	Bundle string `json:"bundle"`
	Passed bool   `json:"passed"`
	*bundle.Report
	Try   []string `json:"try,omitzero"`   // what to do about the verdicts that fail
	Error string   `json:"error,omitzero"` // why there is no verdict
}

func tell(s Streams, name string, r bundle.Report) error {
	if s.JSON {
		return tellJSON(s, result{Bundle: name, Passed: r.Passed(), Report: &r, Try: tries(r)})
	}
	_, err := fmt.Fprint(s.Stdout, text(name, r))
	return err
}

func tellJSON(s Streams, r result) error {
	b, err := json.Marshal(r, jsontext.WithIndent("  "), json.Deterministic(true))
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.Stdout, "%s\n", b)
	return err
}

// text is a report for a reader.
func text(name string, r bundle.Report) string {
	b := &strings.Builder{}
	fmt.Fprintf(b, "%s\n", name)
	row := func(label, format string, args ...any) {
		fmt.Fprintf(b, "  %-13s %s\n", label, fmt.Sprintf(format, args...))
	}
	row("origin", "%s", r.Origin)
	row("scope", "%s", printable(r.Scope.String()))
	heads := "heads record cannot be read"
	if !r.HeadsAt.IsZero() {
		heads = "heads of " + r.HeadsAt.UTC().Format(time.RFC3339)
	}
	row("log", "%d entries, %s", r.LogSize, heads)
	row("read", "%d amendments of %d entities, the keys' included", r.Amendments, r.Entities)
	if r.Rules.Judged > 0 {
		row("rules", "%d entities judged as they are now, %d break a rule; no verdict fails for that", r.Rules.Judged, r.Rules.Violating)
	} else {
		row("rules", "of no entity here: its state, or its rules in this program, are missing")
	}
	b.WriteString("\n")
	for _, v := range r.Verdicts() {
		if v.Passed {
			row(v.Name, "passed")
		} else {
			row(v.Name, "FAILED: %s", printable(v.Offender.String()))
		}
	}
	if r.Agent != nil {
		b.WriteString("\n" + agentText(r))
	}
	b.WriteString("\n")
	if r.Scope.Type != bundle.ScopeAll {
		b.WriteString("Below scope all, completeness is the claim of whoever signed the heads record; an audit of the whole log can prove it wrong.\n")
	}
	if len(r.Unjudged) > 0 {
		fmt.Fprintf(b, "No verdict speaks of: %s.\n", printable(strings.Join(r.Unjudged, ", ")))
	}
	if r.Passed() {
		b.WriteString("All four verdicts pass. Keep the file checkpoint, and give it as --seen next time.\n")
	}
	for _, try := range tries(r) {
		fmt.Fprintf(b, "Try: %s\n", try)
	}
	return b.String()
}

func agentText(r bundle.Report) string {
	a := r.Agent
	if a.Sentence == "" {
		return "What the agent was is not proved: signature, integrity and completeness do not all pass.\n"
	}
	b := &strings.Builder{}
	fmt.Fprintf(b, "%s\n", printable(a.Sentence))
	for _, t := range append([]bundle.ThingReport{a.ThingReport}, a.RestsOn...) {
		if t.Withheld > 0 {
			fmt.Fprintf(b, "  %d states of %s %s of %s are not in the bundle: erased, or not shared by their owner.\n",
				t.Withheld, t.EntityType, printable(t.ID), t.Owner)
		}
	}
	if c := a.Certification; c != nil && !c.HasChecklist {
		b.WriteString("  The checklist of the certification is not in the bundle.\n")
	}
	return b.String()
}

// printable replaces what a terminal would obey. Names in a bundle are what a
// user wrote.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || (r >= 0x7f && r < 0xa0) || (r >= 0x200e && r <= 0x200f) || (r >= 0x202a && r <= 0x202e) || (r >= 0x2066 && r <= 0x2069) {
			return '\uFFFD'
		}
		return r
	}, s)
}

// advice is what to do about a reason; "" stands for all others of a verdict.
var advice = map[ledger.Reason]string{
	ledger.ReasonRootUntrusted:       "compare the fingerprint of --trust (openssl pkey -pubin -in ROOT.PEM -outform DER | openssl dgst -sha256) with the one that the log's operator publishes",
	ledger.ReasonOriginWrong:         "compare --origin with what the log's operator publishes; if it is right, the bundle is another log's",
	bundle.ReasonScopeMismatch:       "ask for a bundle of the scope that you require, or drop --scope if this one will do",
	bundle.ReasonStale:               "ask for a new bundle; for an old one that you kept, give --now or --max-age",
	bundle.ReasonFromTheFuture:       "check this machine's clock, or give --now",
	bundle.ReasonRollback:            "keep this bundle and the checkpoint that you had: the log went back, which no honest log does; ask its operator why, in public",
	bundle.ReasonSeenInconsistent:    "ask for a bundle of scope all, or with a proof from your checkpoint; if that fails too, keep both: the log shows different histories to different people",
	bundle.ReasonSeenInvalid:         "check that --seen is the file named checkpoint of an earlier bundle of this log",
	bundle.ReasonAtBeyondHeads:       "ask for a bundle made after that date",
	bundle.ReasonRuleResultWrong:     "rely on no rule result of this bundle: what the rules say, this program says under rules",
	bundle.ReasonRuleResultMissing:   "rely on no rule result of this bundle: what the rules say, this program says under rules",
	bundle.ReasonComplianceMalformed: "rely on no rule result of this bundle: what the rules say, this program says under rules",
	ledger.ReasonKeyRevoked:          "ask the log's operator what was reattested since the key was revoked, and for a new bundle",
	bundle.ReasonPEMMismatch:         "take no key from this bundle's files; ask for a new bundle",
	bundle.ReasonReferenceMissing:    "ask for the bundle again: something that the agent rested on is missing",
	bundle.ReasonLogEntryMissing:     "ask for the bundle again; a second one with the same gap is evidence, keep both",
	bundle.ReasonCheckpointInvalid:   "ask for the bundle again, with a checkpoint of this log",
}

var adviceOf = map[string]string{
	"signature":    "rely on nothing that the bundle says of this record; ask for the bundle again, and keep both if it is the same",
	"integrity":    "rely on nothing that the bundle says of this entity; ask for the bundle again, and keep both if it is the same",
	"completeness": "something of the scope may be missing; ask for the bundle again, or for one of scope all",
	"freshness":    "ask for a new bundle",
}

// tries are what to do about the verdicts that fail, each once.
func tries(r bundle.Report) []string {
	var out []string
	said := map[string]bool{}
	for _, v := range r.Verdicts() {
		if v.Passed {
			continue
		}
		try, ok := advice[v.Offender.Reason]
		if !ok {
			try = adviceOf[v.Name]
		}
		if !said[try] {
			out, said[try] = append(out, try), true
		}
	}
	return out
}

// refuse says why there is no verdict, and what to try.
func refuse(s Streams, err error) {
	try := "plant-verify --help"
	var usage *usageError
	var not *bundle.NotBundleError
	switch {
	case errors.As(err, &usage):
		try = usage.try
	case errors.Is(err, fs.ErrNotExist) && !errors.As(err, &not):
		try = "the path of a bundle: a zip, or the folder it unpacks to"
	case errors.As(err, &not):
		try = "ask for the bundle again: this file is not whole, not a bundle, or was made to harm its reader"
	}
	if s.JSON {
		_ = tellJSON(s, result{Error: printable(err.Error()), Try: []string{try}}) // there is nowhere left to say so
		return
	}
	_, _ = fmt.Fprintf(s.Stderr, "%s\nTry: %s\n", printable(err.Error()), try)
}
