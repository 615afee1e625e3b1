package registry_test

import (
	"testing"

	"github.com/stretchr/testify/require"

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
		"link altered":      {`UPDATE amendment SET prev_hash = sha256('x') WHERE seq = 3 AND entity_type = 'skill'`, []string{"L0-04"}, true},
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
