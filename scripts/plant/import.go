package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/registry/api"
)

const (
	importBatch = 250       // lines a request
	maxLine     = 256 << 10 // bytes
	shownFaults = 5
	skillsPath  = "/api/v1/genesis/skills"
)

type importCmd struct {
	File     string `arg:"" help:"A file of JSON Lines, each {\"id\", \"title\", \"description\"}; - for standard input."`
	Category string `help:"The category of the skills." required:"" enum:"technical,soft_skill,domain_expertise,certification"`
	Limit    int    `help:"Take only the first so many lines; 0 for all." default:"0"`
	Tag      string `help:"A tag for each skill." default:""`
	Verify   bool   `help:"Read every line's skill back and check its signature, opening and chain."`
}

// source is a line of the file.
type source struct {
	ID          string `json:"id"`
	Title       string `json:"title"`
	Description string `json:"description"`
}

// imported counts what became of the lines.
type imported struct {
	Lines   int      `json:"lines"`
	Created int      `json:"created"`
	Present int      `json:"present"` // the external_id was there already
	Refused int      `json:"refused"`
	Checked int      `json:"verified"` // with --verify
	Faults  []string `json:"faults"`   // the first few

	refused map[int]bool // by line
}

// Run sends the file in batches. A line becomes a skill whose external_id is
// the line's id: importing the same file again creates nothing new, and a run
// that was stopped is finished by the next one.
func (c importCmd) Run(a *app) error {
	file, err := openInput(c.File)
	if err != nil {
		return advise(err, "check the path")
	}
	defer func() { _ = file.Close() }()
	lines, err := c.read(file)
	if err != nil {
		return err
	}
	to, err := a.connect()
	if err != nil {
		return err
	}
	done := imported{Lines: len(lines), Faults: []string{}}
	bar := a.bar(len(lines), "importing")
	for start := 0; start < len(lines); start += importBatch {
		chunk := lines[start:min(start+importBatch, len(lines))]
		if err := c.send(a, to, chunk, start, &done); err != nil {
			return advise(err, "run the same command again: what was created is recognised")
		}
		_ = bar.Add(len(chunk)) // a bar that cannot be drawn stops nothing
	}
	_ = bar.Finish()
	if c.Verify {
		if done.Checked, err = a.verifyImported(to, lines, done.refused); err != nil {
			return err
		}
	}
	if err := a.print(done, func() { done.text(a.stdout) }); err != nil {
		return err
	}
	if done.Refused > 0 {
		return advise(fmt.Errorf("%d lines were refused", done.Refused), "mend these lines and run the same command again")
	}
	return nil
}

func openInput(name string) (io.ReadCloser, error) {
	if name == "-" {
		return os.Stdin, nil
	}
	return os.Open(name) // #nosec -- the user names the file
}

func (c importCmd) read(r io.Reader) ([]source, error) {
	scanner := bufio.NewScanner(r)
	scanner.Buffer(nil, maxLine)
	var lines []source
	for scanner.Scan() {
		if len(scanner.Bytes()) == 0 {
			continue
		}
		var s source
		if err := json.Unmarshal(scanner.Bytes(), &s); err != nil {
			return nil, advise(fmt.Errorf("line %d: %w", len(lines)+1, err), `lines look like {"id":"…","title":"…","description":"…"}`)
		}
		if s.ID == "" {
			return nil, advise(fmt.Errorf("line %d has no id", len(lines)+1), "give every line an id: it becomes the external_id")
		}
		if lines = append(lines, s); len(lines) == c.Limit {
			break
		}
	}
	if err := scanner.Err(); err != nil {
		return nil, fmt.Errorf("after line %d: %w", len(lines), err)
	}
	return lines, nil
}

func (c importCmd) send(a *app, to *client, chunk []source, start int, done *imported) error {
	body, err := c.body(chunk)
	if err != nil {
		return err
	}
	// One key for the tries of this request, another one for the next run: what
	// was refused then may be right now.
	var answer api.Batch
	if err := to.post(a.ctx, skillsPath+"/batch", uuid.NewString(), body, &answer); err != nil {
		return err
	}
	for _, item := range answer.Items {
		switch {
		case item.Code == nil:
			done.Created++
		case present(item):
			done.Present++
		default:
			done.refuse(start+item.Index+1, item)
		}
	}
	return nil
}

func (c importCmd) body(chunk []source) ([]byte, error) {
	items := make([]domain.Input[domain.Skill], len(chunk))
	for i, s := range chunk {
		items[i].Facts = domain.Skill{Name: s.Title, Description: s.Description, Category: c.Category}
		items[i].Settable.ExternalID = s.ID
		items[i].Settable.CustomAttributes = jsontext.Value(`{}`)
		if c.Tag != "" {
			items[i].Settable.Tags = []string{c.Tag}
		}
	}
	return json.Marshal(map[string]any{"items": items}, json.Deterministic(true))
}

// present reports whether an item was refused because its external_id exists.
func present(item api.Item) bool {
	if item.Status != http.StatusConflict {
		return false
	}
	for _, v := range item.Violations {
		if v.Rule == domain.RuleExternalID {
			return true
		}
	}
	return false
}

func (d *imported) refuse(line int, item api.Item) {
	d.Refused++
	if d.refused == nil {
		d.refused = map[int]bool{}
	}
	d.refused[line] = true
	if len(d.Faults) == shownFaults {
		return
	}
	fault := fmt.Sprintf("line %d: %s", line, *item.Detail)
	for _, v := range item.Violations {
		fault += fmt.Sprintf("; %s %s: %s", v.Rule, v.Field, v.Message)
	}
	d.Faults = append(d.Faults, fault)
}

func (d imported) text(w io.Writer) {
	fmt.Fprintf(w, "%d lines: %d created, %d already there, %d refused.\n", d.Lines, d.Created, d.Present, d.Refused)
	if d.Checked > 0 {
		fmt.Fprintf(w, "%d verified: signature, opening, chain.\n", d.Checked)
	}
	for _, f := range d.Faults {
		fmt.Fprintln(w, " ", f)
	}
}

// errNotFound says that a reference names nothing that the token may see.
var errNotFound = errors.New("there is nothing by that id or external_id that your token may see")

func nothingThere() error {
	return advise(errNotFound, "an id or external_id of your own governance agent, or a token of its owner")
}
