package tamper

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/rand/v2"

	"github.com/dlai-sd/plant/shared/audit"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/sequencer"
	"github.com/dlai-sd/plant/shared/translog"
)

// Everything behind a random place, which is behind the keys' introductions, never was:
// what an older backup looks like. What evolved since keeps its row.
var rollBack = []string{
	`CREATE TEMP TABLE cut ON COMMIT DROP AS SELECT greatest(16, floor({share} * ` + covered + `))::bigint AS size WHERE ` + covered + ` > 16`,
	`DELETE FROM audit_export WHERE EXISTS (SELECT FROM cut)`,
	`DELETE FROM checkpoint WHERE EXISTS (SELECT FROM cut)`,
	`DELETE FROM heads WHERE log_index >= (SELECT size FROM cut)`,
	`DELETE FROM opening o USING log_entry l, cut WHERE l.entity_id = o.entity_id AND l.seq = o.seq AND l.log_index >= cut.size`,
	`DELETE FROM amendment a USING log_entry l, cut WHERE l.entity_id = a.entity_id AND l.seq = a.seq AND l.log_index >= cut.size`,
	`DELETE FROM entity e USING log_entry l, cut WHERE l.entity_id = e.id AND l.seq = 1 AND l.log_index >= cut.size`,
	`DELETE FROM log_entry WHERE log_index >= (SELECT size FROM cut)`,
}

// A gap in the log is closed by moving up what stands behind it.
const moveUp = `WITH place AS (SELECT log_index AS was, row_number() OVER (ORDER BY log_index) - 1 AS at FROM log_entry)
	UPDATE log_entry SET log_index = -1 - at FROM place WHERE log_index = was AND was <> at`
const moved = `UPDATE log_entry SET log_index = -1 - log_index WHERE log_index < 0`

// filler makes the log as long as it was, and a little longer.
const filler = `INSERT INTO log_entry (log_index, shared, hash)
	SELECT n, false, sha256(convert_to('{text}' || n, 'UTF8')) FROM generate_series((SELECT max(log_index) + 1 FROM log_entry), ` + covered + ` + {small}) AS n`

// onWhole are the attacks of somebody who has the database and knows the format: the
// tiles fit the entries afterwards, and only what was published outside does not.
func onWhole() []Attack {
	const rebuilt, restored = "tiles that fit the entries", "older backups"
	whole := func(group, name string, reason sequencer.Reason, touches []string, sql ...string) Attack {
		r := reasons(ledger.Reason(reason))
		switch {
		case group == restored: // a backup may be older than the key that signed what is published
			r = append(r, ledger.Reason(sequencer.ReasonUntrusted))
		case reason == sequencer.ReasonRolledBack: // what is not published yet may make up for what is gone
			r = append(r, ledger.Reason(sequencer.ReasonDiverged))
		}
		return Attack{
			Group: group, Name: name, By: BySequencer, Reasons: r, SQL: sql, Rebuilds: true,
			Touches: append([]string{"log_entry", "log_tile"}, touches...),
		}
	}
	all := []string{"audit_export", "checkpoint", "heads", "opening", "amendment", "entity"}
	return []Attack{
		whole(restored, "restored", sequencer.ReasonRolledBack, all, rollBack...),
		whole(restored, "restored, and gone on with", sequencer.ReasonDiverged, all, append(rollBack[:len(rollBack):len(rollBack)], filler)...),
		whole(rebuilt, "an entry changed", sequencer.ReasonDiverged, nil, `UPDATE log_entry SET hash = '{hash}' WHERE log_index = `+some),
		whole(rebuilt, "an entry changed, and the noted checkpoints gone", sequencer.ReasonDiverged, []string{"checkpoint", "audit_export"},
			`UPDATE log_entry SET hash = '{hash}' WHERE log_index = `+some, `DELETE FROM audit_export`, `DELETE FROM checkpoint`),
		whole(rebuilt, "an entry removed", sequencer.ReasonRolledBack, nil, `DELETE FROM log_entry WHERE log_index = `+some, moveUp, moved),
		whole(rebuilt, "an entry removed, another at the end", sequencer.ReasonDiverged, nil, `DELETE FROM log_entry WHERE log_index = `+before, moveUp, moved, filler),
		whole(rebuilt, "an entry put in between", sequencer.ReasonDiverged, nil,
			`UPDATE log_entry SET log_index = -1 - log_index WHERE log_index >= `+some,
			`INSERT INTO log_entry (log_index, shared, hash) VALUES (`+some+`, false, '{hash}')`,
			`UPDATE log_entry SET log_index = -log_index WHERE log_index < 0`),
		whole(rebuilt, "two entries exchanged", sequencer.ReasonDiverged, nil, exchange()...),
		whole(rebuilt, "a tenant's entries removed", sequencer.ReasonRolledBack, nil, aTenantsEntriesGone, moveUp, moved),
		whole(rebuilt, "an entity without a trace", sequencer.ReasonDiverged, []string{"opening", "amendment", "entity"},
			`CREATE TEMP TABLE gone ON COMMIT DROP AS SELECT entity_id AS id FROM log_entry
				WHERE governance_agent_id <> 'keyring' AND log_index < `+covered+` ORDER BY md5(entity_id || '{text}') LIMIT 1`,
			`DELETE FROM opening USING gone WHERE entity_id = gone.id`, `DELETE FROM amendment USING gone WHERE entity_id = gone.id`,
			`DELETE FROM entity e USING gone WHERE e.id = gone.id`, `DELETE FROM log_entry USING gone WHERE entity_id = gone.id`, moveUp, moved, filler),
	}
}

// onCheckpointKey are the attacks of somebody who also writes where checkpoints are
// published, under a key that he puts into the database.
func onCheckpointKey() []Attack {
	spki, _ := x509.MarshalPKIXPublicKey(forger().Public()) // an Ed25519 key can be written
	sum := sha256.Sum256(spki)
	key, id := base64.StdEncoding.EncodeToString(spki), hex.EncodeToString(sum[:])
	publishes := func(r *rand.Rand, p Published) Published {
		return Published{p.N, forged(r, p, func(c *translog.Checkpoint) { *c, _ = translog.ReadCheckpoint(p.Note) })}
	}
	of := func(name string, reason ledger.Reason, touches []string, sql ...string) Attack {
		return Attack{Group: "published checkpoints", Name: name, By: ByAudit, Reasons: reasons(reason), Touches: touches, SQL: sql, Publishes: publishes}
	}
	return []Attack{
		of("a forger's, his key in the place of ours", audit.ReasonRowDiffers, []string{"signing_key"},
			fmt.Sprintf(`UPDATE signing_key SET spki = '%s', key_id = '%s'
				WHERE id = (SELECT id FROM signing_key WHERE use = 'checkpoint' ORDER BY id DESC LIMIT 1)`, key, id)),
		of("a forger's, his key beside ours", audit.ReasonHistoryMissing, []string{"signing_key", "entity"},
			`CREATE TEMP TABLE forger ON COMMIT DROP AS SELECT gen_random_uuid() AS id`,
			`INSERT INTO entity (id, entity_type, governance_agent_id, created_at, updated_at, status, visibility, version, version_hash, etag_hash, constitution_hash)
				SELECT forger.id, entity_type, governance_agent_id, created_at, updated_at, status, visibility, version, '{hash}', '{hash}', constitution_hash
				FROM entity e, forger WHERE e.id = (SELECT id FROM signing_key WHERE use = 'checkpoint' LIMIT 1)`,
			fmt.Sprintf(`INSERT INTO signing_key (id, key_id, spki, use) SELECT id, '%s', '%s', 'checkpoint' FROM forger`, id, key)),
	}
}
