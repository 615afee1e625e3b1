package tamper

import "github.com/dlai-sd/plant/scripts/drill/table"

// Lines are the rows of a result in the table of all drills.
func (r Result) Lines() []table.Line {
	lines := make([]table.Line, len(r.Rows))
	for i, row := range r.Rows {
		lines[i] = table.Line{
			On: "databases", Group: row.Group, Attack: row.Name, Did: row.Did, Tried: row.Tried, Found: row.Found, Missed: row.Missed,
		}
		for _, reason := range row.Reasons {
			lines[i].Should = append(lines[i].Should, row.By+": "+string(reason))
		}
	}
	return lines
}
