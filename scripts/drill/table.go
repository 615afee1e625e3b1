package drill

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// Print writes the table: attack, who should find it, who did.
func (r Result) Print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	b := &strings.Builder{}
	fmt.Fprintf(b, "ATTACK\tSHOULD FIND\tFOUND\tVERIFY.PY\n")
	group, missed := "", 0
	for _, row := range r.Rows {
		if row.Group != group {
			group = row.Group
			fmt.Fprintf(b, "%s\t\t\t\n", strings.ToUpper(group))
		}
		if row.Found != row.Tried || len(row.ScriptMissed) > 0 {
			missed++
		}
		fmt.Fprintf(b, "  %s\t%s\t%d of %d\t%s\n", row.Name, row.should(), row.Found, row.Tried, row.script())
	}
	if _, err := io.WriteString(t, b.String()); err != nil {
		return err
	}
	if err := t.Flush(); err != nil {
		return err
	}
	b.Reset()
	for _, row := range r.Rows {
		for _, what := range append(row.Missed, row.ScriptMissed...) {
			fmt.Fprintf(b, "NOT FOUND: %s, %s: %s\n", row.Group, row.Name, what)
		}
	}
	for _, what := range r.FalseAlarms {
		fmt.Fprintf(b, "FALSE ALARM: %s\n", what)
	}
	fmt.Fprintf(b, "%d kinds of attack, %d not found; %d clean records in %d bundles, %d false alarms; seed %d\n",
		len(r.Rows), missed, r.CleanRecords, r.CleanBundles, len(r.FalseAlarms), r.Seed)
	_, err := io.WriteString(w, b.String())
	return err
}

// should names the finding in a table's width.
func (r Row) should() string {
	words := make([]string, len(r.Finds))
	for i, f := range r.Finds {
		words[i] = f.String()
		if len(f.Reasons) > 2 {
			words[i] = Finding{f.Verdict, f.Reasons[:2]}.String() + " or like it"
		}
	}
	return strings.Join(words, "; ")
}

func (r Row) script() string {
	if r.ScriptAgrees+len(r.ScriptMissed) == 0 {
		return "-"
	}
	return fmt.Sprintf("agrees on %d of %d", r.ScriptAgrees, r.ScriptAgrees+len(r.ScriptMissed))
}
