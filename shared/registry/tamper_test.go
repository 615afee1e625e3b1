package registry_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/scripts/drill/tamper"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/registry"
)

// TestTampering: an administrator who takes every guard away and changes rows by
// hand is seen in the next read.
func TestTampering(t *testing.T) {
	t.Parallel()
	unguarded := []string{
		`ALTER TABLE amendment DISABLE TRIGGER ALL`,
		`ALTER TABLE amendment DROP CONSTRAINT amendment_hash_check, DROP CONSTRAINT amendment_record_check`,
		`ALTER TABLE opening DISABLE TRIGGER ALL`, `ALTER TABLE entity DISABLE TRIGGER ALL`,
	}
	for name, c := range map[string]struct {
		sql    string
		broken []string // the rules that say so
		state  bool     // the opening still opens
	}{
		"record altered": {
			`UPDATE amendment SET record = replace(record, '"breaking":false', '"breaking":true') WHERE seq = 2 AND entity_type = 'skill'`,
			[]string{"L0-03"},
			true,
		},
		"record and hash altered": {
			`UPDATE amendment SET record = record || ' ', hash = sha256(convert_to(record || ' ', 'UTF8')) WHERE seq = 2 AND entity_type = 'skill'`,
			[]string{"L0-04"},
			true,
		},
		"amendment removed": {`DELETE FROM amendment WHERE seq = 2 AND entity_type = 'skill'`, []string{"L0-02", "L0-04"}, true},
		"birth removed":     {`DELETE FROM amendment WHERE seq = 1 AND entity_type = 'skill'`, []string{"L0-02"}, true},
		"owner altered":     {`UPDATE amendment SET author = 'evil/x' WHERE seq = 2 AND entity_type = 'skill'`, []string{"L0-01"}, true},
		"link altered":      {`UPDATE amendment SET prev_hash = sha256('x') WHERE seq = 3 AND entity_type = 'skill'`, []string{"L0-03", "L0-04"}, true},
		"signature altered": {`UPDATE amendment SET signature = set_byte(signature, 9, get_byte(signature, 9) # 1) WHERE seq = 3 AND entity_type = 'skill'`, []string{"L0-03"}, true},
		"time altered":      {`UPDATE amendment SET recorded_at = recorded_at - interval '1 s' WHERE seq = 3 AND entity_type = 'skill'`, []string{"L0-03"}, true},
		"state altered":     {`UPDATE opening SET state = replace(state, 'Welding 3', 'Forging 3') WHERE seq = 3`, nil, false},
		"salt altered":      {`UPDATE opening SET salt = sha256('x') WHERE seq = 3`, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newKit(t, 1)
			id := k.make(t, "Welding").Entity.ID
			k.amend(t, id, domain.Evolve{Facts: skill("Welding 2")})
			k.amend(t, id, domain.Evolve{Facts: skill("Welding 3")})
			k.admin(t, append(append([]string{}, unguarded...), c.sql)...)
			got, err := k.Get(t.Context(), k.who, domain.KindSkill, id)
			require.NoError(t, err)
			var broken []string
			for _, o := range registry.Compliance(got).Outcomes {
				if !o.Passed {
					broken = append(broken, o.Rule)
					require.NotEmpty(t, o.Message)
				}
			}
			require.Equal(t, c.broken, broken)
			require.Equal(t, c.state, got.StateHolds)
		})
	}
}

// TestNothingIsSignedOntoWhatDoesNotHold: an author's change of an entity whose newest
// record, state or signature somebody changed is refused, and nothing is written; what
// the change would have brought about for others is left out, and the rest goes on.
func TestNothingIsSignedOntoWhatDoesNotHold(t *testing.T) {
	t.Parallel()
	for name, forgery := range map[string][]string{
		"another record":  {`UPDATE amendment SET record = replace(record, '"breaking":false', '"breaking":true') WHERE entity_id = $id AND seq = 2`},
		"another hash":    {`UPDATE amendment SET hash = sha256('x') WHERE entity_id = $id AND seq = 2`, `UPDATE entity SET version_hash = sha256('x'), etag_hash = sha256('x') WHERE id = $id`},
		"another state":   {`UPDATE opening SET state = replace(state, 'Does', 'Did') WHERE entity_id = $id AND seq = 2`},
		"another salt":    {`UPDATE opening SET salt = sha256('x') WHERE entity_id = $id AND seq = 2`},
		"a signature":     {`UPDATE amendment SET signature = set_byte(signature, 9, get_byte(signature, 9) # 1) WHERE entity_id = $id AND seq = 2`},
		"another key's":   {`UPDATE signing_key SET spki = (SELECT spki FROM signing_key WHERE use = 'heads') WHERE use = 'amendment'`},
		"another author":  {`UPDATE amendment SET author = 'evil/x' WHERE entity_id = $id AND seq = 2`},
		"an earlier time": {`UPDATE amendment SET recorded_at = recorded_at - interval '1 s' WHERE entity_id = $id AND seq = 2`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newKit(t, 1)
			id := k.make(t, "Welding").Entity.ID
			k.amend(t, id, domain.Evolve{Facts: skill("Welding 2")})
			k.tamper(t, id, forgery...)
			_, err := k.Amend(t.Context(), request(k.who, "x"), id, anyVersion, domain.Evolve{Facts: skill("Welding 2"), Settable: domain.Settable{Tags: []string{"x"}}})
			requireCode(t, domain.CodeTampered, err)
			_, err = k.Amend(t.Context(), request(k.who, "x"), id, anyVersion, archive())
			requireCode(t, domain.CodeTampered, err)
			require.Zero(t, k.count(t, "amendment WHERE seq > 2"))
			require.Equal(t, 1, k.count(t, "idempotency_key WHERE entity_id = '"+string(id)+"' AND seq = 2"), "it may be tried again when it is put right")
		})
	}
}

// TestABatchPathThatDoesNotHold is no better than a signature that does not.
func TestABatchPathThatDoesNotHold(t *testing.T) {
	t.Parallel()
	for name, forgery := range map[string]string{
		"its place":        `UPDATE amendment SET batch_index = batch_index # 1 + 4 WHERE entity_id = $id`,
		"its path":         `UPDATE amendment SET batch_path = set_byte(batch_path, 1, get_byte(batch_path, 1) # 1) WHERE entity_id = $id`,
		"a part of a hash": `UPDATE amendment SET batch_path = substr(batch_path, 1, 33) WHERE entity_id = $id`,
		"the statement":    `UPDATE signature_batch SET statement = replace(statement, '"size":3', '"size":4')`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newKit(t, 1)
			made, err := k.CreateAll(t.Context(), request(k.who, "all"), domain.KindSkill, []registry.Candidate{
				{Facts: skill("One")}, {Facts: skill("Two")}, {Facts: skill("Three")},
			})
			require.NoError(t, err)
			id := made.Outcomes[0].ID
			got, err := k.Get(t.Context(), k.who, domain.KindSkill, id)
			require.NoError(t, err)
			require.True(t, got.Signed)
			k.tamper(t, id, forgery)
			got, err = k.Get(t.Context(), k.who, domain.KindSkill, id)
			require.NoError(t, err)
			require.False(t, got.Signed)
			_, err = k.Amend(t.Context(), request(k.who, "x"), id, anyVersion, domain.Evolve{Facts: skill("One more")})
			requireCode(t, domain.CodeTampered, err)
			if name != "the statement" {
				k.amend(t, made.Outcomes[1].ID, domain.Evolve{Facts: skill("Two more")})
			}
		})
	}
}

// TestWhatFollowsLeavesOutWhatDoesNotHold: a withdrawal is not held up by a dependent
// that was tampered with, and a team takes no such agent in.
func TestWhatFollowsLeavesOutWhatDoesNotHold(t *testing.T) {
	t.Parallel()
	k := newKit(t, 1)
	weld := k.make(t, "Welding").Entity.ID
	role := func(name string) domain.ID {
		w, err := k.Create(t.Context(), request(k.who, name), domain.JobRole{Name: name, RequiredSkills: []domain.ID{weld}, SeniorityLevel: "mid"}, domain.Settable{})
		require.NoError(t, err)
		return w.Entity.ID
	}
	sound, forged := role("Sound"), role("Forged")
	made, err := k.Create(t.Context(), request(k.who, "i"), domain.Industry{Name: "Yard"}, domain.Settable{})
	require.NoError(t, err)
	agent, err := k.Create(t.Context(), request(k.who, "a"), domain.Agent{Name: "A", SkillID: weld, JobRoleID: sound, IndustryID: made.Entity.ID}, domain.Settable{})
	require.NoError(t, err)
	for _, id := range []domain.ID{forged, agent.Entity.ID} {
		k.tamper(t, id, `UPDATE amendment SET signature = set_byte(signature, 9, get_byte(signature, 9) # 1) WHERE entity_id = $id`)
	}
	_, err = k.Create(t.Context(), request(k.who, "t"), domain.Team{Name: "T", JobRoleID: sound}, domain.Settable{}, agent.Entity.ID)
	require.Contains(t, requireCode(t, domain.CodeTampered, err).Detail, string(agent.Entity.ID))
	gone := archive().(domain.MoveTo)
	gone.Reason = "Nobody needs it."
	k.amend(t, weld, gone)
	require.Equal(t, 1, k.count(t, "amendment WHERE change = 'drifted' AND entity_id = '"+string(sound)+"'"))
	require.Equal(t, 1, k.count(t, "amendment WHERE change = 'drifted'"))
}

// tamper changes the database as somebody would who has all of it; $id is the entity's.
func (k kit) tamper(t *testing.T, id domain.ID, statements ...string) {
	t.Helper()
	list := []string{tamper.Disarm}
	for _, sql := range statements {
		list = append(list, strings.ReplaceAll(sql, "$id", "'"+string(id)+"'"))
	}
	k.admin(t, list...)
}
