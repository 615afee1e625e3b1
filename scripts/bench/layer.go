package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/dlai-sd/plant/scripts/bench/rawrows"
	"github.com/dlai-sd/plant/shared/store"
)

// staging holds prepared rows that pgbench, which knows only numbers, inserts by
// their number.
const staging = `
DROP SCHEMA IF EXISTS bench CASCADE;
CREATE SCHEMA bench;
GRANT USAGE ON SCHEMA bench TO plant_writer;
CREATE TABLE bench.staged (n int PRIMARY KEY, principal uuid, key text, body bytea, id uuid, name text, name_key text,
	at timestamptz, hash bytea, law bytea, external_id text, status text, visibility text, tags text[], custom jsonb,
	notes text, description text, category text, prev_hash bytea, record text, author text, state_hash bytea, key_id text,
	algorithm text, signature bytea, salt bytea, state text, event uuid, type text, request text, data jsonb);
GRANT SELECT ON bench.staged TO plant_writer`

// pipeline is the same transaction as package rawrows', for pgbench.
const pipeline = `\set i :i + 1
\set n :client_id * 1000000 + :i
\startpipeline
BEGIN;
SELECT set_config('app.governance_agent_id', '` + tenant + `', true);
SELECT public.require_principal((SELECT principal FROM bench.staged WHERE n = :n), '` + tenant + `');
INSERT INTO public.idempotency_key (principal_id, route, key, body_hash, entity_id, seq)
 SELECT principal, 'createSkill', key, body, id, 1 FROM bench.staged WHERE n = :n;
` + rawrows.InsertEntity + ` SELECT id, 'skill', '` + tenant + `', name, name_key, at, at, 1, hash, hash, law, external_id, status, visibility, tags, custom, notes FROM bench.staged WHERE n = :n;
` + rawrows.InsertSkill + ` SELECT id, description, category FROM bench.staged WHERE n = :n;
` + rawrows.InsertAmendment + ` SELECT id, 1, prev_hash, hash, record, 'skill', '` + tenant + `', 'created', false, author, at, state_hash, law, key_id, algorithm, signature, NULL, NULL, NULL FROM bench.staged WHERE n = :n;
` + rawrows.InsertOpening + ` SELECT id, 1, salt, state FROM bench.staged WHERE n = :n;
` + rawrows.InsertOutbox + ` SELECT event, type, id, '` + tenant + `', request, data, at FROM bench.staged WHERE n = :n;
COMMIT;
\endpipeline
`

// each is how many transactions a writer makes in a round: all within the ten
// seconds for which prepared rows are good.
const each = 300

// measureLayer compares the store's way of writing prepared amendments with
// pgbench, which sends the same rows pipelined.
func measureLayer(ctx context.Context, w *world) ([]Row, error) {
	pgbench := filepath.Join(w.install, "bin", "pgbench")
	if _, err := os.Stat(pgbench); err != nil {
		return []Row{{Name: "database layer", Note: "this PostgreSQL comes without pgbench"}}, nil
	}
	db, err := w.open(writer, mainDatabase, pool)
	if err != nil {
		return nil, err
	}
	script := filepath.Join(w.dir, "create.pgbench")
	if err := os.WriteFile(script, []byte(pipeline), 0o600); err != nil {
		return nil, err
	}
	var rows []Row
	for _, c := range []struct {
		writers int
		goal    float64
	}{{1, 0.75}, {pool, 0.95}} {
		times, err := interleave(ctx, w.rounds(10), w.pgbench(pgbench, script, c.writers), w.appends(db, c.writers))
		if err != nil {
			return rows, err
		}
		name := fmt.Sprintf("database layer, %d at once", c.writers)
		rows = append(rows, compared(name, perSecond, "pgbench, pipelined", rates(times[1]), rates(times[0]), atLeast(c.goal)))
	}
	return rows, nil
}

// appends writes prepared amendments through the store.
func (w *world) appends(db *store.DB, writers int) arm {
	return func(ctx context.Context) (time.Duration, error) {
		rows, err := w.separate(each * writers)
		if err != nil {
			return 0, err
		}
		return spread(ctx, writers, len(rows), func(ctx context.Context, _, i int) error { return db.Append(ctx, w.write(rows[i])) })
	}
}

var tps = regexp.MustCompile(`tps = ([0-9.]+) \(without`)

func (w *world) pgbench(binary, script string, writers int) arm {
	return func(ctx context.Context) (time.Duration, error) {
		if err := w.admin(ctx, mainDatabase, staging); err != nil {
			return 0, err
		}
		if err := w.stage(ctx, writers); err != nil {
			return 0, err
		}
		cmd := exec.CommandContext(ctx, binary, "--no-vacuum", "--protocol=prepared", "--file="+script, "--define=i=0", // #nosec -- PostgreSQL's own
			"--client="+strconv.Itoa(writers), "--transactions="+strconv.Itoa(each), w.url(writer, mainDatabase))
		out, err := cmd.CombinedOutput()
		if err != nil {
			return 0, fmt.Errorf("pgbench: %w: %.500s", err, out)
		}
		found := tps.FindSubmatch(out)
		if found == nil {
			return 0, errors.New("pgbench does not say how fast it was")
		}
		rate, err := strconv.ParseFloat(string(found[1]), 64)
		return time.Duration(float64(time.Second) / rate), err
	}
}

// stage prepares rows for as many clients.
func (w *world) stage(ctx context.Context, writers int) error {
	rows, err := w.separate(each * writers)
	if err != nil {
		return err
	}
	return w.asAdmin(ctx, mainDatabase, func(conn *pgx.Conn) error {
		var b pgx.Batch
		for i, r := range rows {
			n := i/each*1_000_000 + i%each + 1
			b.Queue(`INSERT INTO bench.staged VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16,
				$17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31)`, w.staged(n, r)...)
		}
		return rawrows.Send(ctx, conn, &b)
	})
}

// staged is a row in the order of bench.staged's columns.
func (w *world) staged(n int, r rawrows.Row) []any {
	v := r.Values(nil)
	entity, skill, amendment, opening, event := v[0], v[1], v[2], v[3], v[4]
	key := rawrows.Single(w.who.ID, r).QueuedQueries[2].Arguments
	return []any{
		n, w.who.ID, key[2], key[3], entity[0], entity[3], entity[4], entity[5], entity[6], entity[7], entity[8], entity[9],
		entity[10], entity[11], entity[12], entity[13], skill[1], skill[2], amendment[2], amendment[4], amendment[9],
		amendment[11], amendment[13], amendment[14], amendment[15], opening[2], opening[3], event[0], event[1], event[4], event[5],
	}
}
