package domain_test

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/domain"
)

// idAt is an id that was drawn at a moment.
func idAt(at time.Time, n byte) domain.ID {
	var u uuid.UUID
	binary.BigEndian.PutUint64(u[:8], uint64(at.UnixMilli())<<16)
	u[6], u[8], u[15] = u[6]|0x70, 0x80, n
	return domain.ID(u.String())
}

var bornAt = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

// sound is the dossier of an agent in a team that nothing is wrong with, and to
// which every point applies. Each call makes a new one.
func sound() domain.Dossier {
	skill, role, industry, team := idAt(bornAt, 1), idAt(bornAt, 2), idAt(bornAt, 3), idAt(bornAt, 4)
	id := idAt(bornAt.Add(-time.Second), 5)
	state := func(name string, inTeam domain.ID, status domain.Status) domain.Entity {
		e := domain.Born(id, "acme", domain.Agent{Name: name, SkillID: skill, JobRoleID: role, IndustryID: industry, TeamID: inTeam},
			domain.Settable{ExternalID: "a-1"})
		e.Governed.Status = status
		return e
	}
	known := func(id domain.ID, f domain.Facts, s domain.Status) domain.Entity {
		return domain.Entity{ID: id, GovernanceAgentID: "acme", Facts: f, Governed: domain.Governed{Status: s}}
	}
	d := domain.Dossier{
		Law: domain.Founding(), Constitution: domain.Founding().Sum(), Constitutions: [][32]byte{domain.Founding().Sum()},
		Decider: "board/genesis",
		References: map[domain.ID]domain.Entity{
			skill: known(skill, domain.Skill{Name: "Welding"}, domain.Active), role: known(role, domain.JobRole{Name: "Welder"}, domain.Certified),
			industry: known(industry, domain.Industry{Name: "Ships"}, domain.Draft), team: known(team, domain.Team{Name: "Yard", JobRoleID: role}, domain.Draft),
		},
	}
	for i, step := range []struct {
		change string
		state  domain.Entity
	}{
		{domain.ChangeCreated, state("Weld 6", "", domain.Draft)},
		{domain.ChangeAssigned, state("Weld 6", team, domain.Draft)},
		{domain.ChangeEvolved, state("Weld 7", team, domain.Draft)},
		{domain.ChangeMoved, state("Weld 7", team, domain.UnderReview)},
	} {
		p := domain.Page{
			EntityID: id, EntityType: domain.KindAgent, RecordedAt: bornAt.Add(time.Duration(i) * time.Minute), State: &step.state,
			Constitution: domain.Founding().Sum(),
			Parses:       true, Signed: true, KeyMay: true, KeyStands: true, Opened: true, Opens: true, Readable: true, Logged: true,
		}
		p.Link = domain.Link{Seq: int64(i + 1), GovernanceAgentID: "acme", Author: "acme/author", Change: step.change, Recomputes: true}
		p.Hash = sha256.Sum256([]byte{byte(i)})
		if i > 0 {
			p.PrevHash = d.Chain[i-1].Hash
		}
		d.Chain = append(d.Chain, p)
	}
	last := d.Chain[3]
	d.Entity = *last.State
	d.Entity.Head = domain.Head{Version: 4, Hash: last.Hash, CreatedAt: bornAt, UpdatedAt: last.RecordedAt}
	d.Row = domain.Row{NameKey: "weld 7", CreatedAt: bornAt, UpdatedAt: last.RecordedAt}
	return d
}

// rename gives everything in the dossier another id.
func rename(d *domain.Dossier, id domain.ID) {
	d.Entity.ID = id
	for i := range d.Chain {
		d.Chain[i].EntityID = id
	}
}

func agentOf(e domain.Entity) domain.Agent { return e.Facts.(domain.Agent) }

// ref returns what the agent names in a field.
func ref(d *domain.Dossier, of func(domain.Agent) domain.ID, change func(*domain.Entity)) {
	id := of(agentOf(d.Entity))
	e := d.References[id]
	change(&e)
	d.References[id] = e
}

var (
	roleOf     = func(a domain.Agent) domain.ID { return a.JobRoleID }
	industryOf = func(a domain.Agent) domain.ID { return a.IndustryID }
	teamOf     = func(a domain.Agent) domain.ID { return a.TeamID }
)

// breaks holds, for each point, what makes exactly that point fail.
var breaks = map[string]func(*domain.Dossier){
	"ID-01": func(d *domain.Dossier) { rename(d, "weld-7") },
	"ID-02": func(d *domain.Dossier) { d.Chain[1].EntityType = domain.KindTeam },
	"ID-03": func(d *domain.Dossier) { d.Chain[1].EntityID = idAt(bornAt, 9) },
	"ID-04": func(d *domain.Dossier) {
		d.Entity.GovernanceAgentID = domain.KeyringAgent
		for i := range d.Chain {
			d.Chain[i].GovernanceAgentID, d.Chain[i].Author = domain.KeyringAgent, "system/keys"
		}
	},
	"ID-05": func(d *domain.Dossier) { rename(d, idAt(bornAt.Add(-2*time.Hour), 5)) },
	"ID-06": func(d *domain.Dossier) {
		a := agentOf(d.Entity)
		a.Name = "Weld\u202e 7"
		d.Entity.Facts, d.Row.NameKey = a, domain.NameKey(a.Name)
	},
	"ID-07": func(d *domain.Dossier) { d.Row.Namesakes = 1 },
	"ID-08": func(d *domain.Dossier) { d.Row.ExternalDoubles = 1 },

	"LIFE-01": func(d *domain.Dossier) { d.Entity.Governed.Status = domain.Draft },
	"LIFE-02": func(d *domain.Dossier) { d.Row.CreatedAt = bornAt.Add(1) },
	"LIFE-03": func(d *domain.Dossier) { d.Row.UpdatedAt = bornAt },
	"LIFE-04": func(d *domain.Dossier) { d.Row.Deleted = true },
	"LIFE-05": func(d *domain.Dossier) { d.Chain[1].RecordedAt = bornAt.Add(2*time.Minute + 1) },
	"LIFE-06": func(d *domain.Dossier) { d.Chain[2].State.Governed.Status = domain.Deprecated },
	"LIFE-07": func(d *domain.Dossier) { d.Entity.Governed.AmendmentAlignment = domain.Drifted },
	"LIFE-08": func(d *domain.Dossier) {
		next := domain.Entity{ID: idAt(bornAt, 8), Facts: domain.Agent{}, Governed: domain.Governed{Status: domain.Certified}}
		d.Entity.Governed.SupersededBy, d.References[next.ID] = next.ID, next
	},

	"CON-01": func(d *domain.Dossier) { d.Chain[2].Author = "globex/author" },
	"CON-02": func(d *domain.Dossier) { d.Entity.Head.Version = 5 },
	"CON-03": func(d *domain.Dossier) { d.Chain[0].Recomputes = false },
	"CON-04": func(d *domain.Dossier) { d.Chain[2].PrevHash[0]++ },
	"CON-05": func(d *domain.Dossier) { d.Constitution[0]++ },
	"CON-06": func(d *domain.Dossier) {
		a := agentOf(d.Entity)
		a.SkillID = ""
		d.Entity.Facts = a
	},
	"CON-07": func(d *domain.Dossier) { d.Entity.Governed.Tags = []string{" "} },
	"CON-08": func(d *domain.Dossier) { d.Chain[1].Constitution = [32]byte{} },
	"CON-09": func(d *domain.Dossier) {
		a := agentOf(*d.Chain[0].State)
		a.IndustryID = idAt(bornAt, 7)
		d.Chain[0].State.Facts = a
	},
	"CON-10": func(d *domain.Dossier) { d.Chain[2].Breaking = true },
	"CON-11": func(d *domain.Dossier) {
		d.Chain[2].State.Governed.GenesisCertification = &domain.Certification{Passed: 42}
	},
	"CON-12": func(d *domain.Dossier) { d.Decider = "acme/author" },

	"AUD-01": func(d *domain.Dossier) { d.Chain[1].Parses = false },
	"AUD-02": func(d *domain.Dossier) { d.Chain[1].Signed = false },
	"AUD-03": func(d *domain.Dossier) { d.Chain[1].KeyMay = false },
	"AUD-04": func(d *domain.Dossier) { d.Chain[1].KeyStands = false },
	"AUD-05": func(d *domain.Dossier) { d.Chain[1].Opened, d.Chain[1].State = false, nil },
	"AUD-06": func(d *domain.Dossier) { d.Chain[1].Opens = false },
	"AUD-07": func(d *domain.Dossier) { d.Chain[1].Readable = false },
	"AUD-08": func(d *domain.Dossier) { d.Row.Differs = []string{"status"} },
	"AUD-09": func(d *domain.Dossier) { d.Row.KindDiffers = []string{"skill_id"} },
	"AUD-10": func(d *domain.Dossier) { d.Chain[3].Logged = false },

	"DEP-01": func(d *domain.Dossier) { delete(d.References, agentOf(d.Entity).IndustryID) },
	"DEP-02": func(d *domain.Dossier) {
		ref(d, roleOf, func(e *domain.Entity) { e.Governed.Status = domain.UnderReview })
	},
	"DEP-03": func(d *domain.Dossier) {
		ref(d, teamOf, func(e *domain.Entity) { e.Facts = domain.Team{Name: "Yard", JobRoleID: idAt(bornAt, 6)} })
	},
	"DEP-04": func(d *domain.Dossier) {
		ref(d, industryOf, func(e *domain.Entity) { e.Governed.AmendmentAlignment = domain.RequiresReview })
	},
}

func TestChecklistHas42Points(t *testing.T) {
	t.Parallel()
	c := domain.ChecklistInForce()
	sections, ids := map[string]int{}, []string{}
	for _, p := range c.Points {
		sections[p.Section]++
		ids = append(ids, p.ID)
		for what, text := range map[string]string{"text": p.Text, "check": p.Check, "remediation": p.Remediation} {
			require.NotEmpty(t, text, "%s has no %s", p.ID, what)
		}
	}
	require.Equal(t, map[string]int{"identity": 8, "lifecycle": 8, "constitutional": 12, "audit_trail": 10, "dependencies": 4}, sections)
	require.ElementsMatch(t, slices.Collect(maps.Keys(breaks)), ids)
	sum := sha256.Sum256(c.Document())
	require.Equal(t, c.Hash(), hex.EncodeToString(sum[:]))
}

// TestEachPointFailsAlone: for each of the 42 points there is a case in which it
// fails and every other passes.
func TestEachPointFailsAlone(t *testing.T) {
	t.Parallel()
	whole := domain.ChecklistInForce().Judge(sound())
	require.Empty(t, whole.Violations())
	require.True(t, whole.Holds())
	require.Equal(t, 42, whole.Passed, "nothing here is not applicable")
	for id, spoil := range breaks {
		t.Run(id, func(t *testing.T) {
			t.Parallel()
			d := sound()
			spoil(&d)
			a := domain.ChecklistInForce().Judge(d)
			require.False(t, a.Holds())
			for _, j := range a.Points {
				want := domain.Passed
				if j.Point == id {
					want = domain.Failed
					require.NotEmpty(t, j.Message)
					require.NotEmpty(t, j.Remediation)
				}
				require.Equal(t, want, j.Verdict, "%s: %s", j.Point, j.Message)
			}
			require.Equal(t, []int{41, 1, 0}, []int{a.Passed, a.Failed, a.NotApplicable})
			require.Len(t, a.Violations(), 1)
		})
	}
}

// TestWhatDoesNotApplySaysWhy: a skill without an external id that nobody
// decides about.
func TestWhatDoesNotApplySaysWhy(t *testing.T) {
	t.Parallel()
	d := sound()
	facts := domain.Skill{Name: "Welding", Description: "Joins metal.", Category: "technical"}
	for i := range d.Chain {
		d.Chain[i].EntityType, d.Chain[i].State.Facts = domain.KindSkill, facts
	}
	d.Entity.Facts, d.Entity.Governed.ExternalID, d.Row.NameKey, d.Decider, d.References = facts, "", "welding", "", nil
	a := domain.ChecklistInForce().Judge(d)
	require.Empty(t, a.Violations())
	var not []string
	for _, j := range a.Points {
		if j.Verdict == domain.NotApplicable {
			not = append(not, j.Point)
			require.NotEmpty(t, j.Message, j.Point)
		}
	}
	require.Equal(t, []string{"ID-08", "CON-09", "CON-12", "DEP-01", "DEP-02", "DEP-03", "DEP-04"}, not)
	require.Equal(t, 42, a.Passed+a.NotApplicable)
}

func TestDecisions(t *testing.T) {
	t.Parallel()
	waiting := sound().Entity
	made := domain.Certification{CertificationID: "c", Passed: 42}
	certified, err := domain.Certify{Certification: made}.Apply(waiting)
	require.NoError(t, err)
	require.Equal(t, domain.Certified, certified.Governed.Status)
	require.Equal(t, &made, certified.Governed.GenesisCertification)
	renewed, err := domain.Renew{Certification: domain.Certification{CertificationID: "d"}}.Apply(certified)
	require.NoError(t, err)
	require.Equal(t, domain.Certified, renewed.Governed.Status)
	require.Equal(t, "d", renewed.Governed.GenesisCertification.CertificationID)
	withdrawn, err := domain.Decertify{Reasons: []string{"unsafe", "again"}}.Apply(renewed)
	require.NoError(t, err)
	require.Equal(t, domain.UnderReview, withdrawn.Governed.Status)
	require.Equal(t, "unsafe\nagain", withdrawn.Governed.StatusReason)
	require.Nil(t, withdrawn.Governed.GenesisCertification)
	rejected, err := domain.Reject{Reasons: []string{"unsafe"}}.Apply(withdrawn)
	require.NoError(t, err)
	require.Equal(t, domain.Draft, rejected.Governed.Status)
	require.Empty(t, agentOf(rejected).TeamID)
	kept, err := domain.Reject{Reasons: []string{"unsafe"}, KeepsTeam: true}.Apply(withdrawn)
	require.NoError(t, err)
	require.NotEmpty(t, agentOf(kept).TeamID)

	drifted := waiting
	drifted.Governed.AmendmentAlignment = domain.Drifted
	changed, err := domain.Evolve{Facts: func() domain.Facts { a := agentOf(certified); a.Name = "Other"; return a }(), Settable: certified.Settable()}.Apply(certified)
	require.NoError(t, err)
	require.Nil(t, changed.Governed.GenesisCertification, "what was certified is not what it is now")
	for what, c := range map[string]struct {
		e domain.Entity
		c domain.Change
	}{
		"certify a draft":           {rejected, domain.Certify{}},
		"certify what is certified": {certified, domain.Certify{}},
		"certify what drifted":      {drifted, domain.Certify{}},
		"renew what waits":          {waiting, domain.Renew{}},
		"reject what is certified":  {certified, domain.Reject{Reasons: []string{"x"}}},
		"reject without a reason":   {waiting, domain.Reject{}},
		"reject for nothing":        {waiting, domain.Reject{Reasons: []string{" "}}},
		"reject for too much":       {waiting, domain.Reject{Reasons: make([]string, 21)}},
		"withdraw without a reason": {certified, domain.Decertify{}},
		"withdraw what waits":       {waiting, domain.Decertify{Reasons: []string{"x"}}},
	} {
		_, err := c.c.Apply(c.e)
		require.Error(t, err, what)
		require.Equal(t, []domain.Authority{domain.Genesis}, c.c.Needs(c.e))
	}
}
