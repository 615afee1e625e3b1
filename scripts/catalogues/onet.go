package catalogues

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"

	"github.com/dlai-sd/plant/shared/domain"
)

// The files of the O*NET database that are read, in its tab-separated form.
const (
	onetSkills      = "Skills.txt"
	onetOccupations = "Occupation Data.txt"
	onetContent     = "Content Model Reference.txt"
)

// The columns of these files.
const (
	socCode     = "O*NET-SOC Code"
	elementID   = "Element ID"
	elementName = "Element Name"
	scaleID     = "Scale ID"
	dataValue   = "Data Value"
	importance  = "IM"
)

// rating is the importance of a skill for an occupation.
type rating struct {
	skill string
	value float64
}

// ONET reads the text files of the O*NET database: the skills that occupations
// are rated for, and as job roles the occupations that have ratings. A skill is
// required where its importance is MinImportance or more.
func ONET(folder fs.FS, o Options) (Catalogue, error) {
	descriptions, err := onetDescriptions(folder)
	if err != nil {
		return Catalogue{}, err
	}
	skills, ratings, err := onetRatings(folder, o, descriptions)
	if err != nil {
		return Catalogue{}, err
	}
	var c Catalogue
	roles, err := c.onetRoles(folder, o, ratings)
	if err != nil {
		return Catalogue{}, err
	}
	c.add(domain.KindSkill, skills, 0, true) // all: the job roles rest on them
	c.add(domain.KindJobRole, roles, o.Limit, true)
	return c, nil
}

func onetDescriptions(folder fs.FS) (map[string]string, error) {
	t, closeFile, err := openTabs(folder, onetContent, elementID, "Description")
	if err != nil {
		return nil, err
	}
	defer closeFile()
	descriptions := map[string]string{}
	return descriptions, t.each(func(r record) error {
		descriptions[r.get(elementID)] = r.get("Description")
		return nil
	})
}

func onetRatings(folder fs.FS, o Options, descriptions map[string]string) ([]Item, map[string][]rating, error) {
	t, closeFile, err := openTabs(folder, onetSkills, socCode, elementID, elementName, scaleID, dataValue)
	if err != nil {
		return nil, nil, err
	}
	defer closeFile()
	var skills []Item
	seen := map[string]bool{}
	ratings := map[string][]rating{}
	err = t.each(func(r record) error {
		id, occupation := r.get(elementID), r.get(socCode)
		if id == "" || occupation == "" {
			return fmt.Errorf("no %s or no %s", elementID, socCode)
		}
		if !seen[id] {
			seen[id] = true
			item := o.entry(r.where, id, r.get(elementName), descriptions[id])
			skills = append(skills, o.complete(domain.KindSkill, item))
		}
		if r.get(scaleID) != importance {
			return nil
		}
		value, err := strconv.ParseFloat(r.get(dataValue), 64)
		if err != nil {
			return fmt.Errorf("%s is no number: %w", dataValue, err)
		}
		ratings[occupation] = append(ratings[occupation], rating{id, value})
		return nil
	})
	if err == nil && len(skills) == 0 {
		err = errors.New("no ratings in " + onetSkills)
	}
	return skills, ratings, err
}

func (c *Catalogue) onetRoles(folder fs.FS, o Options, ratings map[string][]rating) ([]Item, error) {
	t, closeFile, err := openTabs(folder, onetOccupations, socCode, "Title", "Description")
	if err != nil {
		return nil, err
	}
	defer closeFile()
	var roles []Item
	return roles, t.each(func(r record) error {
		code := r.get(socCode)
		rated, ok := ratings[code]
		if !ok {
			c.skip("the occupation has no skill ratings", code)
			return nil
		}
		var required []string
		for _, one := range rated {
			if one.value >= o.MinImportance {
				required = append(required, one.skill)
			}
		}
		if len(required) == 0 {
			c.skip(fmt.Sprintf("no skill has an importance of %g or more, and a job role requires at least one", o.MinImportance), code)
			return nil
		}
		item := o.entry(r.where, code, r.get("Title"), r.get("Description"))
		item.Fields["required_skills"] = texts(required)
		roles = append(roles, o.complete(domain.KindJobRole, item))
		return nil
	})
}
