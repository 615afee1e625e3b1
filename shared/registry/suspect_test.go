package registry_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/scripts/drill/tamper"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/registry"
	"github.com/dlai-sd/plant/shared/store"
	"github.com/dlai-sd/plant/shared/testkit/harness"
)

func tampered() registry.Request {
	return registry.Request{
		Who: registry.System("drift-check"), Receipt: &store.Receipt{Consumer: "drift-check", EventID: uuid.Must(uuid.NewV7()).String()},
	}
}

// TestNothingIsSignedOntoAForgery: the mark goes onto what was signed as the last of an
// entity, and onto nothing that somebody put there.
func TestNothingIsSignedOntoAForgery(t *testing.T) {
	t.Parallel()
	for name, forgery := range map[string][]string{
		"nothing": nil,
		"the hash of another record": {
			`UPDATE amendment SET hash = sha256('x') WHERE entity_id = $id AND seq = 2`,
			`UPDATE log_pending SET hash = sha256('x') WHERE entity_id = $id AND seq = 2`,
		},
		"another entity's record": {
			`CREATE TEMP TABLE o AS SELECT * FROM amendment WHERE entity_id = $other AND seq = 2`,
			`DELETE FROM amendment WHERE entity_id = $other`, `DELETE FROM log_pending WHERE entity_id = $id AND seq = 2`,
			`UPDATE amendment a SET (record, hash, signature, state_hash) = (SELECT o.record, o.hash, o.signature, o.state_hash FROM o) WHERE entity_id = $id AND seq = 2`,
			`UPDATE opening p SET (salt, state) = (SELECT q.salt, q.state FROM opening q WHERE q.entity_id = $other AND q.seq = 2) WHERE p.entity_id = $id AND p.seq = 2`,
		},
		"an older record": {
			`DELETE FROM amendment WHERE entity_id = $id AND seq = 2`, `DELETE FROM opening WHERE entity_id = $id AND seq = 2`,
			`DELETE FROM log_pending WHERE entity_id = $id AND seq = 2`,
			`UPDATE amendment SET seq = 2 WHERE entity_id = $id`, `UPDATE opening SET seq = 2 WHERE entity_id = $id`,
		},
		"another state":            {`UPDATE opening SET state = replace(state, 'Does', 'Did') WHERE entity_id = $id AND seq = 2`},
		"no state":                 {`DELETE FROM opening WHERE entity_id = $id AND seq = 2`},
		"a row of another version": {`UPDATE entity SET version = 1 WHERE id = $id`},
		"a row of another owner":   {`UPDATE entity SET governance_agent_id = 'evil' WHERE id = $id`},
		"a row of another kind":    {`UPDATE entity SET entity_type = 'industry' WHERE id = $id`},
		"no row":                   {`DELETE FROM entity WHERE id = $id`},
		"a shorter history": {
			`DELETE FROM amendment WHERE entity_id = $id AND seq = 2`, `DELETE FROM opening WHERE entity_id = $id AND seq = 2`,
			`INSERT INTO log_entry (log_index, hash, entity_id, seq, governance_agent_id, shared) SELECT 999, hash, entity_id, seq, 'acme', false FROM log_pending WHERE entity_id = $id AND seq = 2`,
			`UPDATE entity SET version = 1 WHERE id = $id`,
		},
		"another's signature": {`UPDATE amendment a SET signature = (SELECT o.signature FROM amendment o WHERE o.entity_id = $other AND o.seq = 2) WHERE entity_id = $id AND seq = 2`},
		"no history":          {`DELETE FROM amendment WHERE entity_id = $id`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newKit(t, 1)
			id, other := k.make(t, "Welding").Entity.ID, k.make(t, "Other").Entity.ID
			for _, one := range []domain.ID{id, other} {
				k.amend(t, one, domain.Evolve{Facts: skill("Mended " + string(one))})
			}
			var statements []string
			for _, sql := range append([]string{tamper.Disarm}, forgery...) {
				statements = append(statements, strings.NewReplacer("$id", fmt.Sprintf("'%s'", id), "$other", fmt.Sprintf("'%s'", other)).Replace(sql))
			}
			k.admin(t, statements...)
			err := k.as(t, "plant_drift", domain.UseAmendment).Suspect(t.Context(), tampered(), id, time.Now())
			marks := k.count(t, "amendment WHERE change = 'drifted'")
			if forgery == nil {
				require.NoError(t, err)
				require.Equal(t, 1, marks)
				return
			}
			require.ErrorIs(t, err, registry.ErrUnsignable)
			require.Zero(t, marks)
		})
	}
}

// TestTheSuspectedIsMarkedOnce, however many audits say so before its governor decides,
// and not by what was said before; what is archived is not marked.
func TestTheSuspectedIsMarkedOnce(t *testing.T) {
	t.Parallel()
	k := newKit(t, 1)
	id, over := k.make(t, "Welding").Entity.ID, k.make(t, "Over").Entity.ID
	k.amend(t, over, archive())
	check := k.as(t, "plant_drift", domain.UseAmendment)
	said := []registry.Request{tampered(), tampered()}
	suspect := func(id domain.ID, list ...registry.Request) {
		t.Helper()
		for _, req := range list {
			require.NoError(t, check.Suspect(t.Context(), req, id, time.Now()))
		}
	}
	suspect(id, said[0], said[1], said[0])
	require.Equal(t, 1, k.count(t, "amendment WHERE change = 'drifted'"))
	governor := k.PlatformPrincipal(t, "house", domain.Governor)
	_, err := k.Amend(t.Context(), request(governor, "x"), id, anyVersion, domain.MoveTo{To: domain.Draft, Reason: "It was put right.", At: domain.Time(time.Now())})
	require.NoError(t, err)
	suspect(id, said...)
	require.Equal(t, 1, k.count(t, "amendment WHERE change = 'drifted'"), "both were heard before the governor decided")
	suspect(id, tampered())
	require.Equal(t, 2, k.count(t, "amendment WHERE change = 'drifted'"))
	suspect(over, tampered())
	require.Equal(t, 2, k.count(t, "amendment WHERE change = 'drifted'"))
}

// TestWhatWasFoundUnderAnotherLaw is not recorded, and is to be looked at again.
func TestWhatWasFoundUnderAnotherLaw(t *testing.T) {
	t.Parallel()
	k := newKit(t, 1)
	e := k.make(t, "Welding").Entity
	check := k.as(t, "plant_drift", domain.UseAmendment)
	k.Enact(t, harness.Amended(t, tagged(2)))
	_, short := registry.Reconsider(harness.Amended(t, tagged(2)), []domain.Entity{e}, time.Now())
	require.Len(t, short, 1)
	err := check.Record(t.Context(), registry.Request{Who: registry.System("drift-check")}, domain.Founding(), short, nil)
	require.ErrorIs(t, err, store.ErrStale)
	k.amend(t, e.ID, domain.Evolve{Facts: e.Facts, Settable: domain.Settable{Tags: []string{"mended"}}})
	err = check.Record(t.Context(), registry.Request{Who: registry.System("drift-check")}, harness.Amended(t, tagged(2)), short, nil)
	require.ErrorIs(t, err, store.ErrStale, "nor what was found of an older version")
	require.Zero(t, k.count(t, "amendment WHERE change = 'drifted'"))
}
