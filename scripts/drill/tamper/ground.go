package tamper

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/dlai-sd/plant/migrations"
	"github.com/dlai-sd/plant/scripts/localstack/postgres"
	"github.com/dlai-sd/plant/shared/audit"
	"github.com/dlai-sd/plant/shared/checkpoints"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/sequencer"
	"github.com/dlai-sd/plant/shared/store"
	"github.com/dlai-sd/plant/shared/translog"
)

// Source is the database whose copies are attacked. Nothing is written to it, and
// nobody may be connected to it: PostgreSQL copies only what rests.
type Source struct {
	AdminURL  string              // a superuser's address of it
	As        func(string) string // that address for a role, of another database of the server where asked
	Published checkpoints.Store   // only read
	Origin    string
	Log       *Source        // a smaller deployment whose log is attacked; nil: this one's
	Captured  *ledger.Sealer // that of the amendment key; nil where it was not captured
}

// ground is one copy.
type ground struct {
	conn    *pgx.Conn // as its superuser
	db      *store.DB // as plant_auditor
	auditor *audit.Auditor
	shelf   *shelf
	undo    map[string]string // how a table is put back
	drop    func() error
}

// newGround copies the source under a name, and takes the copy's defences away.
func newGround(ctx context.Context, s Source, name string) (g *ground, failed error) {
	u, err := url.Parse(s.AdminURL)
	if err != nil {
		return nil, errors.New("the database's address is not a URL")
	}
	from := strings.TrimPrefix(u.Path, "/")
	server, quoted := *u, pgx.Identifier{name}.Sanitize()
	server.Path = "/postgres"
	newest, err := publishedIn(ctx, s.Published)
	if err != nil {
		return nil, err
	}
	if newest.N == 0 {
		return nil, ErrUnpublished
	}
	own := *u
	own.Path = "/" + name
	if err := postgres.Execute(ctx, server.String(), "CREATE DATABASE "+quoted+" TEMPLATE "+pgx.Identifier{from}.Sanitize()+" STRATEGY file_copy"); err != nil {
		return nil, fmt.Errorf("copy the database: %w", err)
	}
	g = &ground{shelf: &shelf{newest}, undo: map[string]string{}, drop: func() error {
		return postgres.Execute(context.WithoutCancel(ctx), server.String(), "DROP DATABASE "+quoted+" WITH (FORCE)")
	}}
	defer func() {
		if failed != nil {
			failed = errors.Join(failed, g.close(ctx))
		}
	}()
	if g.conn, err = pgx.Connect(ctx, own.String()); err != nil {
		return g, err
	}
	for _, sql := range []string{migrations.Bootstrap, Disarm} {
		if _, err := g.conn.Exec(ctx, sql); err != nil {
			return g, err
		}
	}
	auditor, err := url.Parse(s.As("plant_auditor"))
	if err != nil {
		return g, err
	}
	auditor.Path = own.Path
	if g.db, err = store.Open(ctx, store.Config{URL: auditor.String(), Pool: 2, Function: "drill"}); err != nil {
		return g, err
	}
	g.auditor = &audit.Auditor{DB: g.db, Origin: s.Origin, Log: sequencer.New(sequencer.Config{DB: g.db, Store: g.shelf, Origin: s.Origin})}
	return g, nil
}

// close drops the copy.
func (g *ground) close(ctx context.Context) error {
	if g.db != nil {
		g.db.Close()
	}
	var err error
	if g.conn != nil {
		err = g.conn.Close(context.WithoutCancel(ctx))
	}
	return errors.Join(err, g.drop())
}

// attack makes an attack in one transaction. What is signed is signed by captured.
// Whether anything is another than before, which PostgreSQL's count of updated rows
// does not say, differs does; where nothing is, there was no attack.
func (g *ground) attack(ctx context.Context, a Attack, r *rand.Rand, v Victim, captured *ledger.Sealer, differs func(pgx.Tx) (bool, error)) (changed bool, err error) {
	err = pgx.BeginFunc(ctx, g.conn, func(tx pgx.Tx) error {
		if a.Seals != nil {
			if err := g.seal(ctx, tx, a, r, v, *captured); err != nil {
				return err
			}
		}
		for _, sql := range a.Statements(r, v) {
			if _, err := tx.Exec(ctx, sql); err != nil {
				return fmt.Errorf("%s: %w", sql, err)
			}
		}
		var err error
		if changed, err = differs(tx); err != nil {
			return fmt.Errorf("look at what changed: %w", err)
		}
		return nil
	})
	return changed, err
}

// everything is a sum of all that is kept of an entity.
const everything = `
SELECT md5(coalesce(string_agg(t.said, E'\n' ORDER BY t.said), '')) FROM (
	SELECT 'entity ' || e::text AS said FROM entity e WHERE id = $1
	UNION ALL SELECT 'skill ' || k::text FROM skill k WHERE id = $1
	UNION ALL SELECT 'job_role ' || k::text FROM job_role k WHERE id = $1
	UNION ALL SELECT 'job_role_skill ' || k::text FROM job_role_skill k WHERE job_role_id = $1
	UNION ALL SELECT 'team ' || k::text FROM team k WHERE id = $1
	UNION ALL SELECT 'agent ' || k::text FROM agent k WHERE id = $1
	UNION ALL SELECT 'industry ' || k::text FROM industry k WHERE id = $1
	UNION ALL SELECT 'amendment ' || a::text FROM amendment a WHERE entity_id = $1
	UNION ALL SELECT 'opening ' || o::text FROM opening o WHERE entity_id = $1
	UNION ALL SELECT 'embedding ' || v::text FROM embedding v WHERE entity_id = $1
	UNION ALL SELECT 'log_entry ' || l::text FROM log_entry l WHERE entity_id = $1
	UNION ALL SELECT 'log_pending ' || l::text FROM log_pending l WHERE entity_id = $1
) t`

// onEntity attacks what is kept of one entity.
func (g *ground) onEntity(ctx context.Context, a Attack, r *rand.Rand, v Victim, captured *ledger.Sealer) (changed bool, err error) {
	var before string
	if err := g.conn.QueryRow(ctx, everything, v.ID).Scan(&before); err != nil {
		return false, fmt.Errorf("look at a victim: %w", err)
	}
	return g.attack(ctx, a, r, v, captured, func(tx pgx.Tx) (bool, error) {
		var after string
		err := tx.QueryRow(ctx, everything, v.ID).Scan(&after)
		return before != after, err
	})
}

// onLog attacks what is nobody's alone. What it touches was saved.
func (g *ground) onLog(ctx context.Context, a Attack, r *rand.Rand, v Victim) (changed bool, err error) {
	return g.attack(ctx, a, r, v, nil, func(tx pgx.Tx) (bool, error) {
		for _, t := range a.Touches {
			var differs bool
			err := tx.QueryRow(ctx, fmt.Sprintf(`SELECT (SELECT count(*) FROM public.%[1]s) <> (SELECT count(*) FROM saved.%[1]s)
				OR EXISTS (TABLE public.%[1]s EXCEPT TABLE saved.%[1]s)`, t)).Scan(&differs)
			if err != nil || differs {
				return differs, err
			}
		}
		return false, nil
	})
}

// victims are logged entities of five kinds, whole. Whose things are put in their
// place is chosen later, among those that nobody attacks.
const victims = `
SELECT e.id::text, e.entity_type, e.governance_agent_id,
	'',
	e.version,
	ARRAY(SELECT seq FROM amendment a WHERE a.entity_id = e.id AND signature IS NOT NULL ORDER BY seq),
	ARRAY(SELECT seq FROM amendment a JOIN signature_batch b ON b.id = a.batch_id WHERE a.entity_id = e.id AND length(a.batch_path) > 0 ORDER BY seq),
	v.entity_id IS NOT NULL, EXISTS (SELECT FROM job_role_skill r WHERE r.job_role_id = e.id), ag.team_id IS NOT NULL, 0::bigint
FROM entity e LEFT JOIN agent ag ON ag.id = e.id
LEFT JOIN embedding v ON v.entity_id = e.id AND v.model_id = e.embedding ->> 'model_id'
WHERE e.entity_type IN ('skill', 'job_role', 'industry', 'team', 'agent') AND e.deleted_at IS NULL
	AND (SELECT count(*) FROM log_entry l WHERE l.entity_id = e.id) = e.version
	AND (SELECT count(*) FROM opening o WHERE o.entity_id = e.id) = e.version
ORDER BY e.id`

func (g *ground) victims(ctx context.Context) ([]Victim, error) {
	rows, err := g.conn.Query(ctx, victims)
	if err != nil {
		return nil, fmt.Errorf("look for victims: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Victim])
}

// save keeps what tables hold, to be put back after each attack on them.
func (g *ground) save(ctx context.Context, tables []string) error {
	for _, t := range tables {
		if _, err := g.conn.Exec(ctx, fmt.Sprintf(`CREATE SCHEMA IF NOT EXISTS saved; CREATE TABLE saved.%[1]s AS TABLE public.%[1]s`, t)); err != nil {
			return fmt.Errorf("save %s: %w", t, err)
		}
		var columns string
		err := g.conn.QueryRow(ctx, `SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute
			WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''`, "public."+t).Scan(&columns)
		if err != nil {
			return fmt.Errorf("save %s: %w", t, err)
		}
		g.undo[t] = fmt.Sprintf(`TRUNCATE public.%[1]s; INSERT INTO public.%[1]s (%[2]s) SELECT %[2]s FROM saved.%[1]s;`, t, columns)
	}
	return nil
}

// restore puts tables back as they were saved.
func (g *ground) restore(ctx context.Context, tables []string) error {
	var sql strings.Builder
	for _, t := range tables {
		sql.WriteString(g.undo[t])
	}
	if sql.Len() == 0 {
		return nil
	}
	if _, err := g.conn.Exec(ctx, sql.String()); err != nil {
		return fmt.Errorf("put back %s: %w", strings.Join(tables, ", "), err)
	}
	return nil
}

// rebuild makes every tile anew, as somebody does who knows how.
func (g *ground) rebuild(ctx context.Context) error {
	rows, err := g.conn.Query(ctx, `SELECT hash FROM log_entry ORDER BY log_index`)
	if err != nil {
		return err
	}
	hashes, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
	if err != nil {
		return err
	}
	leaves := make([]ledger.Hash, len(hashes))
	for i, h := range hashes {
		leaves[i] = translog.EntryLeaf(ledger.Hash(h))
	}
	tiles := translog.Tiles{}
	var b pgx.Batch
	b.Queue(`TRUNCATE log_tile`)
	for _, id := range tiles.Grow(0, leaves) {
		b.Queue(`INSERT INTO log_tile (level, index, data) VALUES ($1, $2, $3)`, id.Level, id.Index, tiles[id])
	}
	return g.conn.SendBatch(ctx, &b).Close()
}
