package migrations_test

import (
	"encoding/hex"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/migrations"
)

// TestAnEnactmentHasFiveAuthors: whoever proposed, the three who judged and who enacts,
// and it replaces what is in force; by the database's word, whatever a function says.
func TestAnEnactmentHasFiveAuthors(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	w := newWorld(t, db)
	for name, c := range map[string]struct {
		authors  []string // of proposed, judged…, enacted
		replaces []byte
		want     string
	}{
		"five":          {[]string{"a", "b", "c", "d", "e"}, digest("constitution"), ""},
		"four":          {[]string{"a", "b", "c", "d", "b"}, digest("constitution"), "PL016"},
		"the proposer":  {[]string{"a", "b", "c", "a", "e"}, digest("constitution"), "PL016"},
		"two judges":    {[]string{"a", "b", "c", "e"}, digest("constitution"), "PL016"},
		"another's end": {[]string{"a", "b", "c", "d", "e"}, digest("{}"), "PL015"},
	} {
		conn := db.as(t, "plant_certifier")
		tx := inTenant(t, conn, acme)
		_, err := tx.Exec(t.Context(), `SELECT begin_enactment($1)`, c.replaces)
		if c.want == "PL015" {
			require.Equal(t, c.want, codeOf(t, err), name)
			require.NoError(t, tx.Rollback(t.Context()))
			continue
		}
		require.NoError(t, err, name)
		_, err = tx.Exec(t.Context(), `INSERT INTO constitution (sha256, document, version)
			VALUES (sha256(convert_to($1, 'UTF8')), $1, '2')`, "next")
		require.NoError(t, err, name)
		s := subject{id: newID(t), kind: "constitution", owner: acme}
		in := map[string]any{"in_force": hex.EncodeToString(digest("next"))}
		for i, author := range c.authors {
			change := map[int]string{0: "proposed", len(c.authors) - 1: "enacted"}[i]
			if change == "" {
				change = "judged"
			}
			d := w.next(t, s, change, state("active", "public", in))
			d.author = acme + "/" + author
			d.seal(t)
			if i == 0 {
				require.NoError(t, d.insertEntity(t.Context(), tx), name)
			}
			_, err = d.insertAmendment(t.Context(), tx)
			require.NoError(t, err, name)
			_, err = d.insertOpening(t.Context(), tx)
			require.NoError(t, err, name)
			if i > 0 {
				_, err = d.updateEntity(t.Context(), tx)
				require.NoError(t, err, name)
			}
			s = d.done()
		}
		_, err = tx.Exec(t.Context(), `SELECT enact_constitution($1, $2)`, s.id, s.seq)
		require.Equal(t, c.want, codeOf(t, err), name)
		require.NoError(t, tx.Rollback(t.Context()))
	}
}

// TestWhoMayChangeTheConstitution: nobody but certify's role writes what enacts one,
// and that role founds nothing and proposes no kind of entity.
func TestWhoMayChangeTheConstitution(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	w := newWorld(t, db)
	for _, role := range migrations.Roles() {
		conn := db.as(t, role)
		for _, sql := range []string{`SELECT begin_enactment('\x00')`, fmt.Sprintf(`SELECT enact_constitution('%s', 1)`, newID(t))} {
			_, err := conn.Exec(t.Context(), sql)
			require.Equal(t, role == "plant_certifier", codeOf(t, err) != refused, "%s %s", role, sql)
		}
	}
	tx := inTenant(t, db.as(t, "plant_certifier"), acme)
	for kind, change := range map[string]string{"skill": "created", "signing_key": "introduced"} {
		d := w.next(t, subject{id: newID(t), kind: kind, owner: acme}, change, state("draft", "private", nil))
		sp, err := tx.Begin(t.Context())
		require.NoError(t, err)
		require.Equal(t, refused, codeOf(t, d.insertEntity(t.Context(), sp)), kind)
		require.NoError(t, sp.Rollback(t.Context()))
	}
	_, err := tx.Exec(t.Context(), `INSERT INTO constitution (sha256, document, version, enacted_at)
		VALUES (sha256(convert_to('x', 'UTF8')), 'x', '2', now())`)
	require.Equal(t, refused, codeOf(t, err))
}
