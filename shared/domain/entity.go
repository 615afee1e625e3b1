package domain

import (
	"fmt"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// Facts are all that differs between the kinds.
type Facts interface {
	Kind() Kind
	Label() string           // the name it goes by, unique per kind and owner; "" if it has none
	Text() string            // what it means, for search; "" if it is not searched
	Refs() []Ref             // what it names, and of which kind
	Check(Known) []Violation // its L1 rules
}

// Ref is a reference that facts make to another entity, the field it stands in
// (a JSON Pointer) and the rule that wants it to exist.
type Ref struct {
	Kind  Kind
	ID    ID
	Field string
	Rule  string
}

// Entity is a value: a state and where it stands in its chain. Only Born, the
// changes and ReadState make one.
type Entity struct {
	ID                ID
	GovernanceAgentID string
	Head              Head
	Governed          Governed
	Facts             Facts
}

// Head is what the newest amendment says of an entity. The zero Head is that of
// an entity not yet written.
type Head struct {
	Version      int64     // its seq, 1 for the first
	Hash         [32]byte  // of its record
	ETag         [32]byte  // of the newest amendment that is not `embedded`
	Constitution [32]byte  // in force when it was written
	CreatedAt    time.Time // recorded_at of seq 1
	UpdatedAt    time.Time // recorded_at of the newest
}

// Governed are the state's fields that every kind has. An absent field is its
// zero value. Of a platform field null, "", [] and {} all mean absent: the state
// leaves them out.
type Governed struct {
	ExternalID           string         `json:"external_id"`
	Status               Status         `json:"status"`
	Visibility           Visibility     `json:"visibility"`
	Tags                 []string       `json:"tags"`
	CustomAttributes     jsontext.Value `json:"custom_attributes"`
	GovernanceNotes      string         `json:"governance_notes"`
	ParentID             ID             `json:"parent_id"`
	SupersededBy         ID             `json:"superseded_by"`
	DeletedAt            Time           `json:"deleted_at"`
	StatusReason         string         `json:"status_reason"`
	GenesisCertification *Certification `json:"genesis_certification"`
	AmendmentAlignment   Alignment      `json:"amendment_alignment"`
	DriftDetector        *Drift         `json:"drift_detector"`
	Embedding            *Embedding     `json:"embedding"`
	ErasedSeqs           []int64        `json:"erased_seqs"`
	Reattests            []string       `json:"reattests"`
}

// Settable are the governed fields that a caller may set, on create and by PATCH.
type Settable struct {
	ExternalID       string         `json:"external_id"`
	Visibility       Visibility     `json:"visibility"`
	Tags             []string       `json:"tags"`
	CustomAttributes jsontext.Value `json:"custom_attributes"`
	GovernanceNotes  string         `json:"governance_notes"`
	ParentID         ID             `json:"parent_id"`
}

// Visibility says who may read an entity once it is certified.
type Visibility string

// A private entity is its owner's alone; a public one is shared with every
// governance agent while it is certified, active or deprecated.
const (
	Private Visibility = "private"
	Public  Visibility = "public"
)

// Alignment says whether an entity still agrees with the constitution and its
// own embedding. The zero value is aligned and is absent from the state.
type Alignment string

// What a drift check or a tamper finding makes of an entity.
const (
	Aligned        Alignment = ""
	Drifted        Alignment = "drifted"
	RequiresReview Alignment = "requires_review"
)

// String returns the alignment as responses spell it.
func (a Alignment) String() string {
	if a == Aligned {
		return "aligned"
	}
	return string(a)
}

// Certification is the result of a Genesis decision, as signed into the state.
type Certification struct {
	CertificationID string `json:"certification_id"`
	CertifiedAt     Time   `json:"certified_at"`
	CertifiedBy     string `json:"certified_by"`
	ChecklistSHA256 string `json:"checklist_sha256"`
	Passed          int    `json:"passed"`
	NotApplicable   int    `json:"not_applicable,omitzero"`
	ExpiresAt       Time   `json:"expires_at,omitzero"`
}

// Drift is what the drift check last found. StabilityPPM is the cosine of the
// stored with the fresh embedding, in millionths, 0 to 1,000,000; nil where no
// vector had drifted.
type Drift struct {
	StabilityPPM  *int64 `json:"stability_ppm,omitzero"`
	ModelID       string `json:"model_id,omitempty"`
	CheckedAt     Time   `json:"checked_at,omitzero"`
	RegeneratedAt Time   `json:"regenerated_at,omitzero"`
	PriorStatus   Status `json:"prior_status,omitempty"`
	// Constitution is the hash of the one that it falls short of, until it is judged
	// again; PriorAlignment what the alignment was before.
	Constitution     string    `json:"constitution,omitempty"`
	PriorAlignment   Alignment `json:"prior_alignment,omitempty"`
	TamperingFoundAt Time      `json:"tampering_found_at,omitzero"` // until the governor decides
}

// Embedding names the vector that stands for an entity's text: never the
// vector itself, only the hashes that bind it.
type Embedding struct {
	ModelID      string `json:"model_id"`
	TextSHA256   string `json:"text_sha256"`
	VectorSHA256 string `json:"vector_sha256"`
}

// TimeLayout is how every time in a state, a record or a response is spelled:
// UTC with six digits.
const TimeLayout = "2006-01-02T15:04:05.000000Z"

// Time is a moment in a state, spelled as TimeLayout.
type Time time.Time

// IsZero reports whether the moment is absent.
func (t Time) IsZero() bool { return time.Time(t).IsZero() }

// MarshalJSON spells the moment in UTC with six digits, an absent one as null.
func (t Time) MarshalJSON() ([]byte, error) {
	if t.IsZero() {
		return []byte("null"), nil
	}
	return []byte(time.Time(t).UTC().Format(`"` + TimeLayout + `"`)), nil
}

// UnmarshalText accepts exactly what MarshalJSON writes between its quotes.
func (t *Time) UnmarshalText(b []byte) error {
	parsed, err := time.Parse(TimeLayout, string(b))
	if err != nil {
		return fmt.Errorf("time %q: want YYYY-MM-DDThh:mm:ss.ffffffZ", b)
	}
	*t = Time(parsed)
	return nil
}

// Kind returns the entity's kind.
func (e Entity) Kind() Kind { return e.Facts.Kind() }

// Living reports whether the entity has not been archived.
func (e Entity) Living() bool { return e.Governed.Status != Archived }

// Shared reports whether governance agents other than the owner may read the
// entity's state.
func (e Entity) Shared() bool {
	switch e.Governed.Status {
	case Certified, Active, Deprecated:
		return e.Governed.Visibility == Public
	default:
		return false
	}
}

// Refs lists everything the entity names: what its facts name, its parent and
// its successor.
func (e Entity) Refs() []Ref {
	refs := e.Facts.Refs()
	if e.Governed.ParentID != "" {
		refs = append(refs, Ref{Kind: e.Kind(), ID: e.Governed.ParentID, Field: "/parent_id", Rule: RuleParent})
	}
	if e.Governed.SupersededBy != "" {
		refs = append(refs, Ref{Kind: e.Kind(), ID: e.Governed.SupersededBy, Field: "/superseded_by", Rule: RuleSupersession})
	}
	return refs
}
