package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/dlai-sd/plant/scripts/catalogues"
	"github.com/dlai-sd/plant/shared/domain"
)

// The formats of import.
const (
	formatLines = "jsonl"
	formatONET  = "onet"
	formatESCO  = "esco"
)

type importCmd struct {
	Files  []string `arg:"" name:"file" help:"jsonl: one file of JSON Lines, - for standard input. onet: the folder of the database's text files. esco: the folder of the CSV files, or the files."`
	Format string   `help:"jsonl, onet or esco: scripts/catalogues/README.md describes them." default:"jsonl" enum:"jsonl,onet,esco"`
	Kind   string   `help:"What the JSON Lines are: ${enum}." default:"skill" enum:"skill,job-role,industry,agent,team"`

	Category      string  `help:"The category of skills that name none: technical, soft_skill, domain_expertise or certification. By default soft_skill for O*NET, domain_expertise for ESCO." default:"" enum:",technical,soft_skill,domain_expertise,certification"`
	Seniority     string  `help:"The seniority of job roles that name none: ${enum}." default:"mid" enum:"junior,mid,senior"`
	MinImportance float64 `help:"From which O*NET importance (1 to 5) an occupation requires a skill." default:"3.0"`
	Tag           string  `help:"A tag for each entity." default:""`
	Limit         int     `help:"Take only the first so many of the file; 0 for all." default:"0"`

	DryRun bool `help:"Say what would be, and write nothing."`
	Update bool `help:"Change what is there already and differs. What was certified or active goes under review again."`
	Verify bool `help:"Read each entity back and check its signatures, openings and chain, and that it says what the file says."`

	InFlight int `help:"Requests at the same time, 1 to 8." default:"3"`
}

// Run sends the catalogue in batches. The catalogue's own id becomes the
// external_id: importing the same again creates nothing new, and a run that was
// stopped at any moment is finished by the next one.
func (c importCmd) Run(a *app) error {
	if c.InFlight < 1 || c.InFlight > maxInFlight {
		return advise(fmt.Errorf("%d requests at the same time", c.InFlight), fmt.Sprintf("--in-flight 1 to %d", maxInFlight))
	}
	list, err := c.read()
	if err != nil {
		return err
	}
	to, err := a.connect()
	if err != nil {
		return err
	}
	m, err := newImporter(a, to, c)
	if err != nil {
		return err
	}
	if err := m.run(list); err != nil {
		return advise(err, "run the same command again: what was created is recognised")
	}
	if c.Verify && !c.DryRun {
		if err := m.verify(); err != nil {
			return err
		}
	}
	report := m.report(list)
	if err := a.print(report, func() { report.text(a.stdout) }); err != nil {
		return err
	}
	if report.Refused > 0 {
		return advise(fmt.Errorf("%d were refused", report.Refused), "mend these and run the same command again")
	}
	return nil
}

// options are those of the format, where the user gave none.
func (c importCmd) options() catalogues.Options {
	category := map[string]string{formatONET: "soft_skill", formatESCO: "domain_expertise"}[c.Format]
	return catalogues.Options{
		Kind: catalogues.Kinds()[c.Kind], Category: cmp.Or(c.Category, category), Seniority: c.Seniority, Tag: c.Tag,
		MinImportance: c.MinImportance, Limit: c.Limit,
	}
}

func (c importCmd) read() (catalogues.Catalogue, error) {
	if len(c.Files) > 1 && c.Format != formatESCO {
		return catalogues.Catalogue{}, advise(fmt.Errorf("%s takes one file or folder, not %d", c.Format, len(c.Files)), "one command for each")
	}
	switch c.Format {
	case formatONET:
		list, err := catalogues.ONET(os.DirFS(c.Files[0]), c.options())
		return list, advise(err, `the folder of the O*NET database's text files, with "Skills.txt", "Occupation Data.txt" and "Content Model Reference.txt"`)
	case formatESCO:
		list, err := c.readESCO()
		return list, advise(err, "the folder of ESCO's CSV files, or skills_en.csv, or all of skills_en.csv, occupations_en.csv and occupationSkillRelations_en.csv")
	default:
		return c.readLines()
	}
}

func (c importCmd) readESCO() (catalogues.Catalogue, error) {
	info, err := os.Stat(c.Files[0])
	if err != nil {
		return catalogues.Catalogue{}, err
	}
	if info.IsDir() {
		folder := os.DirFS(c.Files[0])
		names, err := catalogues.ESCOFiles(folder)
		if err != nil {
			return catalogues.Catalogue{}, err
		}
		return catalogues.ESCO(folder, names, c.options())
	}
	folder := filepath.Dir(c.Files[0])
	names := make([]string, len(c.Files))
	for i, file := range c.Files {
		if filepath.Dir(file) != folder {
			return catalogues.Catalogue{}, fmt.Errorf("%s is not in the folder of %s", file, c.Files[0])
		}
		names[i] = filepath.Base(file)
	}
	return catalogues.ESCO(os.DirFS(folder), names, c.options())
}

func (c importCmd) readLines() (catalogues.Catalogue, error) {
	file, err := openInput(c.Files[0])
	if err != nil {
		return catalogues.Catalogue{}, advise(err, "check the path")
	}
	defer func() { _ = file.Close() }()
	list, err := catalogues.JSONLines(file, c.options())
	switch {
	case errors.Is(err, catalogues.ErrNoID):
		err = advise(err, "give every line an external_id, or an id beside its title: by it a second run knows the first one's work")
	default:
		err = advise(err, `lines look like {"external_id":"…","name":"…",…}, with the API's field names, or {"id":"…","title":"…","description":"…"}`)
	}
	return list, err
}

func openInput(name string) (io.ReadCloser, error) {
	if name == "-" {
		return os.Stdin, nil
	}
	return os.Open(name) // #nosec -- the user names the file
}

// errNotFound says that a reference names nothing that the token may see.
var errNotFound = errors.New("there is nothing by that id or external_id that your token may see")

func nothingThere() error {
	return advise(errNotFound, "an id or external_id of your own governance agent, or a token of its owner")
}

// collectionOf is where the entities of a kind are.
func collectionOf(kind domain.Kind) string {
	switch kind {
	case domain.KindJobRole:
		return "/api/v1/genesis/job-roles"
	case domain.KindIndustry:
		return "/api/v1/genesis/industries"
	case domain.KindTeam:
		return "/api/v1/teams"
	case domain.KindAgent:
		return "/api/v1/agents"
	default:
		return skillsPath
	}
}

const skillsPath = "/api/v1/genesis/skills"
