package drill

import "github.com/dlai-sd/plant/scripts/drill/table"

// Lines are the rows of a result in the table of all drills.
func (r Result) Lines() []table.Line {
	lines := make([]table.Line, len(r.Rows))
	for i, row := range r.Rows {
		lines[i] = table.Line{
			On: "bundles", Group: row.Group, Attack: row.Name, Did: row.Did, Tried: row.Tried, Found: row.Found, Missed: row.Missed,
			Script: row.ScriptAgrees, ScriptMissed: row.ScriptMissed,
		}
		for _, f := range row.Finds {
			if len(f.Reasons) == 0 {
				lines[i].Should = append(lines[i].Should, f.Verdict)
			}
			for _, reason := range f.Reasons {
				lines[i].Should = append(lines[i].Should, f.Verdict+": "+string(reason))
			}
		}
	}
	return lines
}
