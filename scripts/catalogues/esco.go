package catalogues

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"

	"github.com/dlai-sd/plant/shared/domain"
)

// maxFile bounds a CSV file, in bytes: the largest of ESCO has some 30 MB.
const maxFile = 512 << 20

// ErrNoRelations says that there are occupations but nothing that says which
// skills they need.
var ErrNoRelations = errors.New("occupations become job roles only with occupationSkillRelations_*.csv: give that file too")

// escoFiles are the tables that were found, by what their headers say they are.
type escoFiles struct{ skills, occupations, relations []*table }

// ESCO reads CSV files of the ESCO download, in any language: skills_*.csv, and
// with occupationSkillRelations_*.csv also occupations_*.csv, whose essential
// skills become required. A file is known by its columns, whatever its name.
func ESCO(folder fs.FS, names []string, o Options) (Catalogue, error) {
	files, err := escoTables(folder, names)
	if err != nil {
		return Catalogue{}, err
	}
	if len(files.occupations) > 0 && len(files.relations) == 0 {
		return Catalogue{}, ErrNoRelations
	}
	var c Catalogue
	var skills, roles []Item
	for _, t := range files.skills {
		err = errors.Join(err, t.each(func(r record) error {
			skills = c.escoSkill(skills, r, o)
			return nil
		}))
	}
	essential := map[string][]string{}
	for _, t := range files.relations {
		err = errors.Join(err, t.each(func(r record) error {
			if r.get("relationType") == "essential" {
				occupation := r.get("occupationUri")
				essential[occupation] = append(essential[occupation], r.get("skillUri"))
			}
			return nil
		}))
	}
	for _, t := range files.occupations {
		err = errors.Join(err, t.each(func(r record) error {
			roles = c.escoRole(roles, r, essential[r.get("conceptUri")], o)
			return nil
		}))
	}
	if len(skills) > 0 {
		c.add(domain.KindSkill, skills, o.Limit, true)
	}
	if len(roles) > 0 {
		c.add(domain.KindJobRole, roles, o.Limit, true)
	}
	return c, err
}

func escoTables(folder fs.FS, names []string) (escoFiles, error) {
	var files escoFiles
	for _, name := range names {
		b, err := readBounded(folder, name)
		if err != nil {
			return files, err
		}
		t, err := readCSV(path.Base(name), b)
		if err != nil {
			return files, err
		}
		switch {
		case t.has("occupationUri", "relationType", "skillUri"):
			files.relations = append(files.relations, t)
		case t.has("conceptUri", "iscoGroup", "preferredLabel", "description"):
			files.occupations = append(files.occupations, t)
		case t.has("conceptUri", "skillType", "preferredLabel", "description"):
			files.skills = append(files.skills, t)
		default:
			return files, fmt.Errorf("%s has the columns of no ESCO file that can be read here", name)
		}
	}
	return files, nil
}

func readBounded(folder fs.FS, name string) ([]byte, error) {
	info, err := fs.Stat(folder, name)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("%s is larger than %d MB", name, maxFile>>20)
	}
	return fs.ReadFile(folder, name)
}

// ESCOFiles lists the files of a folder that ESCO reads.
func ESCOFiles(folder fs.FS) ([]string, error) {
	var names []string
	for _, pattern := range []string{"skills_*.csv", "occupations_*.csv", "occupationSkillRelations_*.csv"} {
		found, err := fs.Glob(folder, pattern)
		if err != nil {
			return nil, err
		}
		if len(found) > 1 {
			return nil, fmt.Errorf("%s and %s: name the files of one language", found[0], found[1])
		}
		names = append(names, found...)
	}
	if len(names) == 0 {
		return nil, errors.New("the folder holds no skills_*.csv")
	}
	return names, nil
}

// escoEntry is what skills and occupations have in common; false if the row is
// left out.
func (c *Catalogue) escoEntry(r record, concept string, o Options) (Item, bool) {
	uri, status := r.get("conceptUri"), r.get("status")
	switch {
	case uri == "":
		c.skip("the row has no conceptUri", r.where)
	case r.get("conceptType") != "" && r.get("conceptType") != concept:
		c.skip("its conceptType is "+r.get("conceptType"), uri)
	case status != "" && status != "released":
		c.skip("its status is "+status, uri)
	default:
		description := cmp.Or(r.get("description"), r.get("definition"), r.get("scopeNote"))
		return o.entry(r.where, uri, r.get("preferredLabel"), description), true
	}
	return Item{}, false
}

func (c *Catalogue) escoSkill(skills []Item, r record, o Options) []Item {
	item, ok := c.escoEntry(r, "KnowledgeSkillCompetence", o)
	if !ok {
		return skills
	}
	if item.Fields["description"] == nil {
		c.skip("it has no description, definition or scope note, and a skill needs one", item.ExternalID)
		return skills
	}
	item.attributes(map[string]string{"skill_type": r.get("skillType"), "reuse_level": r.get("reuseLevel")})
	return append(skills, o.complete(domain.KindSkill, item))
}

func (c *Catalogue) escoRole(roles []Item, r record, required []string, o Options) []Item {
	item, ok := c.escoEntry(r, "Occupation", o)
	if !ok {
		return roles
	}
	if len(required) == 0 {
		c.skip("no skill is essential for it, and a job role requires at least one", item.ExternalID)
		return roles
	}
	slices.Sort(required)
	item.Fields["required_skills"] = texts(slices.Compact(required))
	item.attributes(map[string]string{"isco_group": r.get("iscoGroup"), "code": r.get("code")})
	return append(roles, o.complete(domain.KindJobRole, item))
}
