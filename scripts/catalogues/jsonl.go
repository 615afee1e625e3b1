package catalogues

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/dlai-sd/plant/shared/domain"
)

// maxLine is the length of a line in bytes, as large as a body of the API.
const maxLine = 256 << 10

// LineError says which line of a file is not what the format asks for.
type LineError struct {
	Line int
	Err  error
}

// Error names the line.
func (e *LineError) Error() string { return fmt.Sprintf("line %d: %v", e.Line, e.Err) }

// Unwrap returns what is wrong with it.
func (e *LineError) Unwrap() error { return e.Err }

// ErrNoID says that a line names no id that could become the external_id.
var ErrNoID = errors.New("no id")

// JSONLines reads entities of one kind, one a line: an object in the API's own
// field names, external_id among them, or {"id", "title", "description"}, of
// which only these three count. Empty lines are skipped.
func JSONLines(r io.Reader, o Options) (Catalogue, error) {
	scanner := bufio.NewScanner(r)
	scanner.Buffer(nil, maxLine)
	var items []Item
	for line := 1; scanner.Scan(); line++ {
		if len(scanner.Bytes()) == 0 {
			continue
		}
		item, err := readLine(scanner.Bytes(), fmt.Sprintf("line %d", line), o)
		if err != nil {
			return Catalogue{}, &LineError{line, err}
		}
		items = append(items, o.complete(o.Kind, item))
	}
	if err := scanner.Err(); err != nil {
		return Catalogue{}, fmt.Errorf("after entity %d: %w", len(items), err)
	}
	var c Catalogue
	c.add(o.Kind, items, o.Limit, false)
	return c, nil
}

func readLine(b []byte, where string, o Options) (Item, error) {
	var fields map[string]jsontext.Value
	if err := json.Unmarshal(b, &fields); err != nil {
		return Item{}, err
	}
	said := func(name string) (string, error) {
		var s string
		if raw, ok := fields[name]; ok {
			if err := json.Unmarshal(raw, &s); err != nil {
				return "", fmt.Errorf("%s is not text", name)
			}
		}
		return s, nil
	}
	if _, short := fields["title"]; short && fields["name"] == nil && fields["external_id"] == nil {
		id, err := said("id")
		title, titleErr := said("title")
		description, descriptionErr := said("description")
		if err = errors.Join(err, titleErr, descriptionErr); err == nil && id == "" {
			err = ErrNoID
		}
		return o.entry(where, id, title, description), err
	}
	id, err := said("external_id")
	name, nameErr := said("name")
	if err = errors.Join(err, nameErr); err == nil && id == "" {
		err = ErrNoID
	}
	return Item{Where: where, ExternalID: id, Name: name, Fields: fields}, err
}

// Kinds are the kinds that a catalogue may hold, by the names of the command
// line.
func Kinds() map[string]domain.Kind {
	return map[string]domain.Kind{
		"skill": domain.KindSkill, "job-role": domain.KindJobRole, "industry": domain.KindIndustry,
		"agent": domain.KindAgent, "team": domain.KindTeam,
	}
}
