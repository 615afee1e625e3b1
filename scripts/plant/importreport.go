package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/dlai-sd/plant/scripts/catalogues"
	"github.com/dlai-sd/plant/shared/domain"
)

// shown is how many examples of anything a report gives.
const shown = 5

// tally counts what became of entities.
type tally struct {
	Items    int `json:"items"`
	Created  int `json:"created"` // would be, in a dry run
	Present  int `json:"present"` // the external_id was there already
	Differs  int `json:"differs"` // of these: not as the file says, and left so
	Updated  int `json:"updated"` // of these: changed to what the file says
	Refused  int `json:"refused"`
	Verified int `json:"verified"`
}

func (t *tally) add(o tally) {
	t.Items += o.Items
	t.Created += o.Created
	t.Present += o.Present
	t.Differs += o.Differs
	t.Updated += o.Updated
	t.Refused += o.Refused
	t.Verified += o.Verified
}

// skipped are entries of the file that were left out.
type skipped struct {
	Reason   string   `json:"reason"`
	Count    int      `json:"count"`
	Examples []string `json:"examples"`
}

// imported is what import reports.
type imported struct {
	tally

	Kinds   map[domain.Kind]tally `json:"kinds"`
	DryRun  bool                  `json:"dry_run"`
	Renamed int                   `json:"renamed"` // got their id in brackets to tell them apart
	Skipped []skipped             `json:"skipped"`
	Faults  []string              `json:"faults"`      // the first few that were refused
	Differ  []string              `json:"differences"` // the first few that differ

	order []domain.Kind
}

func (m *importer) report(c catalogues.Catalogue) imported {
	r := imported{
		Kinds: map[domain.Kind]tally{}, DryRun: m.DryRun, Renamed: len(c.Renamed) + m.renamed, Skipped: []skipped{},
		Faults: append([]string{}, m.faults...), Differ: append([]string{}, m.differs...),
	}
	for _, s := range c.Sections {
		r.order = append(r.order, s.Kind)
		r.Kinds[s.Kind] = *m.tallies[s.Kind]
		r.add(*m.tallies[s.Kind])
	}
	for _, s := range c.Skipped {
		r.Skipped = append(r.Skipped, skipped{s.Reason, len(s.Entries), s.Entries[:min(shown, len(s.Entries))]})
	}
	return r
}

func (r imported) text(w io.Writer) {
	created := "created"
	if r.DryRun {
		created = "would be created"
	}
	for _, kind := range r.order {
		t := r.Kinds[kind]
		fmt.Fprintf(w, "%s: %d in the file, %d %s, %d already there, %d refused.\n", kind, t.Items, t.Created, created, t.Present, t.Refused)
		if t.Updated > 0 {
			fmt.Fprintf(w, "%s: %d changed to what the file says.\n", kind, t.Updated)
		}
		if t.Differs > 0 {
			fmt.Fprintf(w, "%s: %d are not as the file says and were left so; --update changes them.\n", kind, t.Differs)
		}
		if t.Verified > 0 {
			fmt.Fprintf(w, "%s: %d verified: signature, opening, chain.\n", kind, t.Verified)
		}
	}
	if r.Renamed > 0 {
		fmt.Fprintf(w, "%d have a name that another one has, and got their id in brackets.\n", r.Renamed)
	}
	for _, s := range r.Skipped {
		more := ""
		if s.Count > len(s.Examples) {
			more = ", …"
		}
		fmt.Fprintf(w, "%d left out, because %s: %s%s\n", s.Count, s.Reason, strings.Join(s.Examples, ", "), more)
	}
	for _, text := range append(r.Faults, r.Differ...) {
		fmt.Fprintln(w, " ", text)
	}
}
