package registry_test

import (
	"fmt"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/registry"
)

// examine is a dry run of a certification.
func (k kit) examine(t *testing.T, c *registry.Certifier, id domain.ID) domain.Assessment {
	t.Helper()
	req := request(k.who, uuid.NewString())
	req.ValidateOnly = true
	all, err := c.Decide(t.Context(), req, registry.Decision{ID: id, Verdict: registry.VerdictCertify})
	require.NoError(t, err)
	return *all.Outcomes[0].Checklist
}

func failed(a domain.Assessment) (points []string) {
	for _, v := range a.Violations() {
		points = append(points, v.Rule)
	}
	return points
}

// TestChecklistFindsWhatWasDoneByHand: the evidence is gathered from the database
// itself. Each case is something that somebody with the administrator's password
// could do, and the points that say so.
func TestChecklistFindsWhatWasDoneByHand(t *testing.T) {
	t.Parallel()
	const off = "ALTER TABLE %s DISABLE TRIGGER ALL"
	cases := map[string]struct {
		table  string
		sql    string // %[1]s is the skill's id
		points []string
	}{
		"nothing":               {"skill", "SELECT 1", nil},
		"another signature":     {"amendment", "UPDATE amendment SET signature = set_byte(signature, 9, get_byte(signature, 9) # 1) WHERE entity_id = '%[1]s' AND seq = 1", []string{"AUD-02"}},
		"a state lost":          {"opening", "DELETE FROM opening WHERE entity_id = '%[1]s' AND seq = 1", []string{"AUD-05"}},
		"a state replaced":      {"opening", `UPDATE opening SET state = replace(state, 'technical', 'soft_skill') WHERE entity_id = '%[1]s' AND seq = 1`, []string{"CON-10", "AUD-06"}},
		"a state rewritten":     {"opening", `UPDATE opening SET state = replace(state, '{"category"', '{ "category"') WHERE entity_id = '%[1]s' AND seq = 1`, []string{"AUD-06", "AUD-07"}},
		"a column":              {"entity", "UPDATE entity SET governance_notes = 'x' WHERE id = '%[1]s'", []string{"AUD-08"}},
		"a tag":                 {"entity", "UPDATE entity SET tags = '{x}' WHERE id = '%[1]s'", []string{"AUD-08"}},
		"a certification":       {"entity", `UPDATE entity SET genesis_certification = '{"passed":42}' WHERE id = '%[1]s'`, []string{"AUD-08"}},
		"the kind's row":        {"skill", "UPDATE skill SET description = 'x' WHERE id = '%[1]s'", []string{"AUD-09"}},
		"the kind's row lost":   {"skill", "DELETE FROM skill WHERE id = '%[1]s'", []string{"AUD-09"}},
		"a place in the log":    {"log_pending", "DELETE FROM log_pending WHERE entity_id = '%[1]s' AND seq = 2", []string{"AUD-10"}},
		"the filing":            {"entity", "UPDATE entity SET name_key = 'x' WHERE id = '%[1]s'", []string{"ID-07"}},
		"the birthday":          {"entity", "UPDATE entity SET created_at = created_at - interval '1 day' WHERE id = '%[1]s'", []string{"LIFE-02"}},
		"the last change":       {"entity", "UPDATE entity SET updated_at = updated_at + interval '1 s' WHERE id = '%[1]s'", []string{"LIFE-03"}},
		"the history cut short": {"amendment", "DELETE FROM opening WHERE entity_id = '%[1]s' AND seq = 1; DELETE FROM amendment WHERE entity_id = '%[1]s' AND seq = 1", []string{"LIFE-02", "LIFE-06", "CON-02"}},
		"an author":             {"amendment", "ALTER TABLE amendment DROP CONSTRAINT amendment_record_check; UPDATE amendment SET author = 'globex/x' WHERE entity_id = '%[1]s' AND seq = 1", []string{"CON-01"}},
		"a record": {"amendment", "ALTER TABLE amendment DROP CONSTRAINT amendment_record_check, DROP CONSTRAINT amendment_hash_check; " +
			"UPDATE amendment SET record = record || ' ' WHERE entity_id = '%[1]s' AND seq = 1", []string{"CON-03", "AUD-01", "AUD-02"}},
		"what the key may sign": {"signing_key", "UPDATE signing_key SET may_sign = '{created}' WHERE use = 'amendment'", []string{"AUD-03"}},
		"the key revoked": {
			"entity", "UPDATE entity e SET status = 'revoked' FROM signing_key k WHERE k.id = e.id AND k.use = 'amendment'",
			[]string{"AUD-04"},
		},
		"the law": {"constitution", `INSERT INTO constitution SELECT sha256('{}'), '{}', '2', now(); ALTER TABLE enactment DROP CONSTRAINT enactment_n_check; INSERT INTO enactment (n, sha256) VALUES (1, sha256('{}'))`, []string{"CON-05"}},
	}
	for what, c := range cases {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			k := newKit(t, 1)
			certifier := k.certifier(t, 1)
			id := k.submitted(t, "Welding")
			tables := []string{c.table, "opening"}
			for _, table := range tables {
				k.admin(t, fmt.Sprintf(off, table))
			}
			k.admin(t, fmt.Sprintf(c.sql+"%[2]s", id, ""))
			require.Equal(t, c.points, failed(k.examine(t, certifier, id)))
		})
	}
}

// TestOneStatementForMany: what was born in one batch is judged together, and a
// statement that held for one says nothing about another's place in it.
func TestOneStatementForMany(t *testing.T) {
	t.Parallel()
	k := newKit(t, 1)
	certifier := k.certifier(t, 1)
	born, err := k.CreateAll(t.Context(), request(k.who, "all"), domain.KindSkill, []registry.Candidate{
		{Facts: skill("One")}, {Facts: skill("Two")}, {Facts: skill("Three")},
	})
	require.NoError(t, err)
	list := make([]registry.Decision, len(born.Outcomes))
	for i, one := range born.Outcomes {
		k.amend(t, one.ID, domain.MoveTo{To: domain.UnderReview})
		list[i] = registry.Decision{ID: one.ID, Verdict: registry.VerdictCertify}
	}
	judge := func() (points [][]string) {
		t.Helper()
		req := request(k.who, uuid.NewString())
		req.ValidateOnly = true
		all, err := certifier.DecideAll(t.Context(), req, list)
		require.NoError(t, err)
		for _, o := range all.Outcomes {
			points = append(points, failed(*o.Checklist))
		}
		return points
	}
	require.Equal(t, [][]string{nil, nil, nil}, judge())
	broken := []string{"AUD-02"}
	k.admin(t, "ALTER TABLE amendment DISABLE TRIGGER ALL", "ALTER TABLE signature_batch DISABLE TRIGGER ALL",
		fmt.Sprintf("UPDATE amendment SET batch_path = set_byte(batch_path, 9, get_byte(batch_path, 9) # 1) WHERE entity_id = '%s' AND seq = 1", list[1].ID))
	require.Equal(t, [][]string{nil, broken, nil}, judge())
	k.admin(t, "UPDATE signature_batch SET signature = set_byte(signature, 9, get_byte(signature, 9) # 1)")
	require.Equal(t, [][]string{broken, broken, broken}, judge())
}
