package main

import (
	"context"
	"crypto/rsa"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/dlai-sd/plant/scripts/bench/rawrows"
	"github.com/dlai-sd/plant/shared/auth"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/registry"
)

const (
	bulkRows   = registry.MaxBulk
	boundRound = 4000 // rows prepared at once: they are good for ten seconds
	boundConns = 3    // as many as import has requests in flight
)

// bound writes what an import writes, by hand: it is how fast the database is.
type bound struct {
	app    *app
	conns  []*pgx.Conn
	sealer ledger.Sealer
}

func newBound(t *testing.T, s *running) *bound {
	t.Helper()
	settings, err := loadSettings(t.Context(), s.dir)
	require.NoError(t, err)
	b := &bound{app: &app{ctx: t.Context(), dir: s.dir, settings: settings}}
	for range boundConns {
		conn, err := pgx.Connect(t.Context(), settings.WriterURL)
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
		b.conns = append(b.conns, conn)
	}
	db, err := b.app.openDB(settings.OperatorURL, "")
	require.NoError(t, err)
	defer db.Close()
	list, err := db.SigningKeys(t.Context())
	require.NoError(t, err)
	for _, k := range list {
		if k.Use != domain.UseAmendment {
			continue
		}
		var key *rsa.PublicKey
		key, err = readKey(k.SPKI, k.KeyID)
		require.NoError(t, err)
		b.sealer = ledger.Sealer{
			Origin: settings.Origin, Constitution: domain.Founding().Sum(), KeyID: k.KeyID, Signer: rawrows.Unsigned{Key: key}, Now: time.Now,
		}
	}
	require.NotEmpty(t, b.sealer.KeyID)
	return b
}

// rate writes a catalogue's rows for a tenant of its own and returns how many
// entities a second went in; preparing them is not counted.
func (b *bound) rate(t *testing.T, tenant string, args []string, conns int) float64 {
	t.Helper()
	db, err := b.app.openDB(b.app.settings.OperatorURL, "")
	require.NoError(t, err)
	defer db.Close()
	who, err := findPrincipal(t.Context(), db, tenant, demoName, true)
	require.NoError(t, err)
	list, err := (importCmd{Files: args[:1], Format: args[2], Seniority: "mid", MinImportance: 3}).read()
	require.NoError(t, err)
	ids := map[string]domain.ID{}
	var took time.Duration
	for _, section := range list.Sections {
		for start := 0; start < len(section.Items); start += boundRound {
			items := section.Items[start:min(start+boundRound, len(section.Items))]
			entities := make([]domain.Entity, len(items))
			for i, item := range items {
				id, err := domain.NewID()
				require.NoError(t, err)
				ids[item.ExternalID] = id
				facts, settable := facts(t, section.Kind, item.Fields, ids)
				entities[i] = domain.Born(id, tenant, facts, settable)
			}
			took += b.write(t, who, entities, conns)
		}
	}
	require.Equal(t, list.Items(), b.count(t, tenant))
	return float64(list.Items()) / took.Seconds()
}

// hush takes back what raw rows would announce, or the sweep would publish it
// while something else is measured.
func (b *bound) hush(t *testing.T, tenant string, events []string) {
	t.Helper()
	tx, err := b.conns[0].Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), `SELECT set_config('app.governance_agent_id', $1, true)`, tenant)
	require.NoError(t, err)
	tag, err := tx.Exec(t.Context(), `DELETE FROM public.outbox WHERE id = ANY ($1::uuid[])`, events)
	require.NoError(t, err)
	require.Equal(t, int64(len(events)), tag.RowsAffected())
	require.NoError(t, tx.Commit(t.Context()))
}

// facts reads an item as the API would, with ids for what it names.
func facts(t *testing.T, kind domain.Kind, fields map[string]jsontext.Value, ids map[string]domain.ID) (domain.Facts, domain.Settable) {
	t.Helper()
	b, err := json.Marshal(fields)
	require.NoError(t, err)
	if kind == domain.KindSkill {
		var in domain.Input[domain.Skill]
		require.NoError(t, json.Unmarshal(b, &in))
		return in.Facts, in.Settable
	}
	var in domain.Input[domain.JobRole]
	require.NoError(t, json.Unmarshal(b, &in))
	for i, external := range in.Facts.RequiredSkills {
		in.Facts.RequiredSkills[i] = ids[string(external)]
	}
	return in.Facts, in.Settable
}

// write sends entities in bulk transactions, over so many connections, and
// returns how long that took.
func (b *bound) write(t *testing.T, who auth.Principal, entities []domain.Entity, conns int) time.Duration {
	t.Helper()
	var batches []*pgx.Batch
	var events []string
	for start := 0; start < len(entities); start += bulkRows {
		part := entities[start:min(start+bulkRows, len(entities))]
		drafts, err := rawrows.Drafts(part, who.Author())
		require.NoError(t, err)
		sealed, err := b.sealer.Seal(drafts)
		require.NoError(t, err)
		rows, err := rawrows.Rows(part, sealed)
		require.NoError(t, err)
		for _, r := range rows {
			events = append(events, r.Event.ID)
		}
		batch, err := rawrows.Bulk(who.ID, rows)
		require.NoError(t, err)
		batches = append(batches, batch)
	}
	next := make(chan *pgx.Batch, len(batches))
	for _, batch := range batches {
		next <- batch
	}
	close(next)
	began := time.Now()
	var group errgroup.Group
	for _, conn := range b.conns[:conns] {
		group.Go(func() error {
			for batch := range next {
				if err := rawrows.Send(t.Context(), conn, batch); err != nil {
					return err
				}
			}
			return nil
		})
	}
	require.NoError(t, group.Wait())
	took := time.Since(began)
	b.hush(t, who.GovernanceAgent, events)
	return took
}
