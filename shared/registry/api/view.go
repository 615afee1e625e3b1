package api

import (
	"github.com/go-json-experiment/json/jsontext"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/registry"
	"github.com/dlai-sd/plant/shared/store"
	"github.com/dlai-sd/plant/shared/web"
)

// Basic is an entity in a list: flat JSON with the field names of its state,
// and no history, hashes or vectors. What is absent is null, or empty.
type Basic[F domain.Facts] struct {
	ID         *domain.ID  `json:"id"` // null only where nothing was written (validate_only)
	EntityType domain.Kind `json:"entity_type"`
	ExternalID *string     `json:"external_id"`

	Facts F `json:",embed"`

	CreatedAt    domain.Time       `json:"created_at"`
	UpdatedAt    domain.Time       `json:"updated_at"`
	DeletedAt    domain.Time       `json:"deleted_at"`
	Status       domain.Status     `json:"status"`
	StatusReason *string           `json:"status_reason"`
	Visibility   domain.Visibility `json:"visibility"`
	Version      int64             `json:"version"`

	AmendmentAlignment string        `json:"amendment_alignment"`
	DriftDetector      *domain.Drift `json:"drift_detector"`

	Tags             []string       `json:"tags"`
	CustomAttributes jsontext.Value `json:"custom_attributes"`
	GovernanceNotes  *string        `json:"governance_notes"`

	GovernanceAgentID    string                `json:"governance_agent_id"`
	ParentID             domain.ID             `json:"parent_id"`
	SupersededBy         domain.ID             `json:"superseded_by"`
	GenesisCertification *domain.Certification `json:"genesis_certification"`
	Embedding            *domain.Embedding     `json:"embedding"`
}

// Full is an entity read alone: what a list shows, and what its chain says.
type Full[F domain.Facts] struct {
	Basic[F]

	VersionHash      *string `json:"version_hash"`
	AmendmentHistory []Entry `json:"amendment_history"` // the newest 100, oldest first
	AmendmentCount   int64   `json:"amendment_count"`
	EvolutionMarkers []int64 `json:"evolution_markers"` // seqs of breaking changes

	L0ComplianceStatus map[string]string `json:"l0_compliance_status"`
	ConstitutionHash   *string           `json:"constitution_hash"`

	AppendOnly      bool        `json:"append_only"`
	HashChainSHA256 []string    `json:"hash_chain_sha256"` // as amendment_history
	TamperProof     bool        `json:"tamper_proof"`      // links, this version's state and signature hold, and no tampering waits for its governor
	ChildIDs        []domain.ID `json:"child_ids"`

	*Roster // of a team
}

// Roster is what a team's agents make of it: the agents' team_id is the truth.
type Roster struct {
	Agents []domain.ID `json:"agents"`
	Skills []domain.ID `json:"skills"`
}

// Entry is an amendment in a history.
type Entry struct {
	Seq          int64       `json:"seq"`
	Change       string      `json:"change"`
	Author       string      `json:"author"`
	RecordedAt   domain.Time `json:"recorded_at"`
	Breaking     bool        `json:"breaking"`
	Hash         string      `json:"hash"`
	PrevHash     string      `json:"prev_hash"`
	StateHash    string      `json:"state_hash"`
	Constitution string      `json:"constitution"`
	KeyID        string      `json:"key_id"`
}

func basicOf[F domain.Facts](e domain.Entity) (Basic[F], error) {
	facts, ok := e.Facts.(F)
	if !ok { // the id is that of another kind: here there is nothing
		return Basic[F]{}, web.Refuse(domain.CodeNotFound, "")
	}
	g := e.Governed
	b := Basic[F]{
		EntityType: e.Kind(), ExternalID: orNull(g.ExternalID), Facts: facts,
		CreatedAt: domain.Time(e.Head.CreatedAt), UpdatedAt: domain.Time(e.Head.UpdatedAt), DeletedAt: g.DeletedAt,
		Status: g.Status, StatusReason: orNull(g.StatusReason), Visibility: g.Visibility, Version: e.Head.Version,
		AmendmentAlignment: g.AmendmentAlignment.String(), DriftDetector: g.DriftDetector,
		Tags: g.Tags, CustomAttributes: g.CustomAttributes, GovernanceNotes: orNull(g.GovernanceNotes),
		GovernanceAgentID: e.GovernanceAgentID, ParentID: g.ParentID, SupersededBy: g.SupersededBy,
		GenesisCertification: g.GenesisCertification, Embedding: g.Embedding,
	}
	if len(b.CustomAttributes) == 0 {
		b.CustomAttributes = jsontext.Value(`{}`)
	}
	if e.Head.Version > 0 {
		b.ID = &e.ID
	}
	return b, nil
}

func fullOf[F domain.Facts](s store.Snapshot) (Full[F], error) {
	basic, err := basicOf[F](s.Entity)
	if err != nil {
		return Full[F]{}, err
	}
	f := Full[F]{
		Basic: basic, AmendmentCount: s.Count, EvolutionMarkers: s.Breaking, ChildIDs: s.Children,
		L0ComplianceStatus: map[string]string{},
	}
	if basic.EntityType == domain.KindTeam {
		f.Roster = &Roster{Agents: s.Agents, Skills: s.Skills}
	}
	if s.Count == 0 { // nothing was written (validate_only): there is no chain to speak of
		return f, nil
	}
	version, constitution := hexOf(s.Entity.Head.Hash), hexOf(s.Entity.Head.Constitution)
	f.VersionHash, f.ConstitutionHash = &version, &constitution
	for _, e := range s.History {
		f.AmendmentHistory = append(f.AmendmentHistory, entryOf(e))
		f.HashChainSHA256 = append(f.HashChainSHA256, e.Hash.String())
	}
	report := registry.Compliance(s)
	f.TamperProof = s.StateHolds && !s.Entity.Tampered()
	for _, o := range report.Outcomes {
		f.L0ComplianceStatus[fieldName(o.Rule)] = passOrFail(o.Passed)
		switch o.Rule {
		case "L0-03":
			f.AppendOnly = o.Passed
			f.TamperProof = f.TamperProof && o.Passed
		case "L0-02", "L0-04":
			f.TamperProof = f.TamperProof && o.Passed
		}
	}
	return f, nil
}

func entryOf(e store.Entry) Entry {
	return Entry{
		Seq: e.Seq, Change: e.Change, Author: e.Author, RecordedAt: domain.Time(e.RecordedAt), Breaking: e.Breaking,
		Hash: e.Hash.String(), PrevHash: e.PrevHash.String(), StateHash: e.StateHash.String(),
		Constitution: e.Constitution.String(), KeyID: e.KeyID,
	}
}

func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func passOrFail(ok bool) string {
	if ok {
		return "pass"
	}
	return "fail"
}

// fieldName turns L0-01 into l0_01.
func fieldName(rule string) string {
	b := []byte(rule)
	for i, c := range b {
		switch {
		case c == '-':
			b[i] = '_'
		case 'A' <= c && c <= 'Z':
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}
