package domain

import (
	"crypto/sha256"
	_ "embed" // the documents
	"encoding/hex"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Checklist is what is looked at before something is certified, in one version.
// Every version that a certification was made by stays in this package.
type Checklist struct {
	Name    string  `json:"name"`
	Version int     `json:"version"`
	Points  []Point `json:"points"`

	document []byte // canonical form
	hash     string
}

// Point is one line of a checklist. Kinds lists whom it is about, "*" for
// everybody; Otherwise says why it is not about others.
type Point struct {
	ID          string   `json:"id"`
	Section     string   `json:"section"`
	Kinds       []string `json:"kinds"`
	Text        string   `json:"text"`
	Check       string   `json:"check"` // what decides it
	Remediation string   `json:"remediation"`
	Otherwise   string   `json:"otherwise"`
}

// concerns reports whether a point is about a kind.
func (p Point) concerns(k Kind) bool {
	return slices.Contains(p.Kinds, "*") || slices.Contains(p.Kinds, string(k))
}

//go:embed checklist/1.json
var checklist1 []byte

// checklists parses the documents once; see documents.
var checklists = sync.OnceValue(func() []Checklist {
	parsed, err := parseChecklist(checklist1)
	if err != nil {
		panic(err)
	}
	return []Checklist{parsed}
})

func parseChecklist(document []byte) (Checklist, error) {
	c, form, err := parseDocument[Checklist](document)
	if err != nil {
		return Checklist{}, fmt.Errorf("checklist: %w", err)
	}
	for _, p := range c.Points {
		if _, ok := pointChecks[p.ID]; !ok {
			return Checklist{}, fmt.Errorf("checklist: nothing decides %s", p.ID)
		}
	}
	sum := sha256.Sum256(form)
	c.document, c.hash = form, hex.EncodeToString(sum[:])
	return c, nil
}

// Checklists returns every version that this binary knows, oldest first.
func Checklists() []Checklist { return slices.Clone(checklists()) }

// ChecklistInForce returns the newest version that this binary knows.
func ChecklistInForce() Checklist {
	all := checklists()
	return all[len(all)-1]
}

// Document returns the version's canonical JSON (RFC 8785): what Hash is the
// SHA-256 of.
func (c Checklist) Document() []byte { return slices.Clone(c.document) }

// Hash returns the version's SHA-256 as 64 lower-case hex digits.
func (c Checklist) Hash() string { return c.hash }

// Dossier is everything that a checklist is judged on: the entity as its newest
// signed state and its row say it is, its whole chain, and what it names. What
// takes a hash, a signature or the database to find out is found out before.
type Dossier struct {
	Entity     Entity
	Row        Row
	Chain      []Page        // whole, oldest first
	References map[ID]Entity // what it names, as it stands; without what is absent or hidden from its owner
	Members    []Entity      // a team's living agents
	Decider    string        // "<governance agent>/<principal>"; "" where no person decides

	Law           Constitution // that it is judged by
	Constitution  [32]byte     // in force in the ledger
	Constitutions [][32]byte   // that the ledger knows
}

// Row is what the database's columns say of an entity beside its states.
type Row struct {
	NameKey         string
	CreatedAt       time.Time
	UpdatedAt       time.Time
	Deleted         bool
	Namesakes       int      // other living entities of the kind and owner with the name
	ExternalDoubles int      // other entities of the owner with the external id
	Differs         []string // governed columns that are not as the newest state says
	KindDiffers     []string // columns of the kind's own table, likewise
}

// Page is one amendment of a dossier.
type Page struct {
	Link

	EntityID     ID
	EntityType   Kind
	RecordedAt   time.Time
	Breaking     bool
	Constitution [32]byte

	Parses    bool    // the record is strict and canonical
	Signed    bool    // the signature verifies under its key
	KeyMay    bool    // use and may_sign of the key allow the change
	KeyStands bool    // the key was not revoked, or a later amendment reattests this one
	Opened    bool    // the opening is there, or a later amendment records its erasure
	Opens     bool    // salt and state hash to what the record says
	Readable  bool    // the state decodes and encodes to the same bytes
	Logged    bool    // it has its place in the log, or waits for it
	State     *Entity // nil once erased
}

// Verdict is what became of one point.
type Verdict string

// The verdicts. A point that does not apply says why.
const (
	Passed        Verdict = "passed"
	Failed        Verdict = "failed"
	NotApplicable Verdict = "not_applicable"
)

// Judged is one point of a checklist, decided.
type Judged struct {
	Point       string  `json:"point"`
	Section     string  `json:"section"`
	Text        string  `json:"text"`
	Verdict     Verdict `json:"verdict"`
	Message     string  `json:"message,omitempty"`     // what is wrong, or why it does not apply
	Remediation string  `json:"remediation,omitempty"` // of what failed
}

// Assessment is a whole checklist, decided.
type Assessment struct {
	Checklist     string   `json:"checklist_sha256"`
	Passed        int      `json:"passed"`
	Failed        int      `json:"failed"`
	NotApplicable int      `json:"not_applicable"`
	Points        []Judged `json:"points"`
}

// Holds reports whether no point failed.
func (a Assessment) Holds() bool { return a.Failed == 0 && len(a.Points) > 0 }

// Violations are the points that failed.
func (a Assessment) Violations() []Violation {
	var v []Violation
	for _, p := range a.Points {
		if p.Verdict == Failed {
			v = append(v, Violation{Rule: p.Point, Message: p.Message, Remediation: p.Remediation})
		}
	}
	return v
}

// Judge decides every point of the checklist. It is pure: the same dossier has
// the same assessment for ever.
func (c Checklist) Judge(d Dossier) Assessment {
	a := Assessment{Checklist: c.hash}
	for _, p := range c.Points {
		j := Judged{Point: p.ID, Section: p.Section, Text: p.Text}
		j.Verdict, j.Message = p.judge(d)
		switch j.Verdict {
		case Passed:
			a.Passed++
		case NotApplicable:
			a.NotApplicable++
		default:
			a.Failed++
			j.Remediation = p.Remediation
		}
		a.Points = append(a.Points, j)
	}
	return a
}

func (p Point) judge(d Dossier) (Verdict, string) {
	if !p.concerns(d.Entity.Kind()) {
		return NotApplicable, p.Otherwise
	}
	switch fault := pointChecks[p.ID](d); fault {
	case "":
		return Passed, ""
	case doesNotApply:
		return NotApplicable, p.Otherwise
	default:
		return Failed, fault
	}
}
