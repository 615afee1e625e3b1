// Package table says what became of a drill's attacks: each attack, who should find
// it, who did, and how often.
package table

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// Line is one kind of attack.
type Line struct {
	On     string   `json:"on"` // bundles or databases
	Group  string   `json:"group"`
	Attack string   `json:"attack"`
	Should []string `json:"should_find"` // one of these
	Did    []string `json:"found_by"`    // those that did, over all instances
	Tried  int      `json:"tried"`       // 0: there was nothing that it fits
	Found  int      `json:"found"`
	Missed []string `json:"missed,omitzero"` // what was said instead, of a few

	Script       int      `json:"script_agrees"` // instances that verify.py judged alike
	ScriptMissed []string `json:"script_missed,omitzero"`
}

// Passed reports whether every instance was found, and both verifiers agree.
func (l Line) Passed() bool { return l.Found == l.Tried && len(l.ScriptMissed) == 0 }

// Add notes a finder in a list that names each once, in order.
func Add(list []string, finder string) []string {
	at, known := slices.BinarySearch(list, finder)
	if known {
		return list
	}
	return slices.Insert(list, at, finder)
}

// grouped puts the lines of a group together, where its first one is.
func grouped(lines []Line) []Line {
	first := map[string]int{}
	for i, l := range lines {
		if _, known := first[l.heading()]; !known {
			first[l.heading()] = i
		}
	}
	sorted := slices.Clone(lines)
	slices.SortStableFunc(sorted, func(a, b Line) int { return first[a.heading()] - first[b.heading()] })
	return sorted
}

func (l Line) heading() string { return l.On + ": " + l.Group }

// Print writes the table, each group under one heading, and below it whatever was not
// found.
func Print(w io.Writer, lines []Line) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	b := &strings.Builder{}
	fmt.Fprintf(b, "ATTACK\tSHOULD FIND IT\tDID\tFOUND\tVERIFY.PY\n")
	heading := ""
	for _, l := range grouped(lines) {
		if h := l.heading(); h != heading {
			heading = h
			fmt.Fprintf(b, "%s\t\t\t\t\n", strings.ToUpper(h))
		}
		found := fmt.Sprintf("%d of %d", l.Found, l.Tried)
		if l.Tried == 0 {
			found = "nothing to attack"
		}
		fmt.Fprintf(b, "  %s\t%s\t%s\t%s\t%s\n", l.Attack, short(l.Should), short(l.Did), found, l.script())
	}
	if _, err := io.WriteString(t, b.String()); err != nil {
		return err
	}
	if err := t.Flush(); err != nil {
		return err
	}
	b.Reset()
	for _, l := range lines {
		for _, what := range slices.Concat(l.Missed, l.ScriptMissed) {
			fmt.Fprintf(b, "NOT FOUND: %s, %s, %s: %s\n", l.On, l.Group, l.Attack, what)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// short is a list in a table's width.
func short(list []string) string {
	const shown = 2
	if len(list) == 0 {
		return "-"
	}
	if len(list) > shown {
		return strings.Join(list[:shown], " or ") + " or like it"
	}
	return strings.Join(list, " or ")
}

func (l Line) script() string {
	if l.Script+len(l.ScriptMissed) == 0 {
		return "-"
	}
	return fmt.Sprintf("agrees on %d of %d", l.Script, l.Script+len(l.ScriptMissed))
}
