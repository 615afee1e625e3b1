// Package tamper attacks databases by hand, as somebody would who has all of one:
// no trigger fires, and no constraint holds that could be dropped. Each attack says
// who must find it. It works on copies alone.
package tamper

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"github.com/dlai-sd/plant/shared/audit"
	"github.com/dlai-sd/plant/shared/ledger"
)

// Who finds an attack.
const (
	ByAudit     = "audit"
	BySequencer = "sequencer"
)

// Attack is one way to change a database.
type Attack struct {
	Group, Name string
	By          string          // who must find it
	Reasons     []ledger.Reason // one of which it must say
	Fits        func(Victim) bool
	SQL         []string // with the words of Victim.Statements in braces
	Touches     []string // of an attack on the log: the tables that it changes, which are put back afterwards

	// Seals changes what the victim's next version says, and whose deployment, rules and
	// clock sign it. Nothing is signed if it is nil.
	Seals func(*rand.Rand, *ledger.Draft, *ledger.Sealer)

	Rebuilds  bool                                  // the tiles are made anew from the entries afterwards
	Publishes func(*rand.Rand, Published) Published // what is then published; nil: what was
}

// Victim is an entity that can be attacked, and another of the same kind that lends
// what is put in its place.
type Victim struct {
	ID, Kind, Owner, Other string
	Version                int64
	Direct                 []int64 // seqs that are signed directly
	Batched                []int64 // seqs in a batch of several
	Vector, Requires, Team bool
	Published              int64 // entries that the newest published checkpoint covers
}

// Disarm is what the attacker does first: every constraint and trigger of the schema
// that stands in the way goes.
const Disarm = `DO $$ DECLARE c record; BEGIN
	FOR c IN SELECT conrelid::regclass AS tab, conname FROM pg_constraint
		WHERE connamespace = 'public'::regnamespace AND contype IN ('c', 'f') ORDER BY contype DESC LOOP
		EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I CASCADE', c.tab, c.conname);
	END LOOP;
	FOR c IN SELECT DISTINCT tgrelid::regclass AS tab FROM pg_trigger WHERE NOT tgisinternal LOOP
		EXECUTE format('ALTER TABLE %s DISABLE TRIGGER USER', c.tab);
	END LOOP;
END $$`

// Statements are the attack on a victim, with what is random in it drawn.
func (a Attack) Statements(r *rand.Rand, v Victim) []string {
	hash := make([]byte, sha256.Size)
	for i := range hash {
		hash[i] = byte(r.Uint32())
	}
	pick := func(list []int64) string {
		if len(list) == 0 {
			return "0"
		}
		return strconv.FormatInt(list[r.IntN(len(list))], 10)
	}
	fill := strings.NewReplacer(
		"{id}", v.ID, "{other}", v.Other, "{kind}", v.Kind, "{owner}", v.Owner,
		"{seq}", strconv.FormatInt(1+r.Int64N(max(v.Version, 1)), 10), "{last}", strconv.FormatInt(v.Version, 10),
		"{direct}", pick(v.Direct), "{batched}", pick(v.Batched),
		"{hash}", `\x`+hex.EncodeToString(hash), "{bit}", strconv.Itoa(1<<r.IntN(8)), "{byte}", strconv.Itoa(r.IntN(512)),
		"{published}", strconv.FormatInt(v.Published, 10),
		"{small}", strconv.Itoa(r.IntN(32)), "{text}", fmt.Sprintf("%x", r.Uint64()), "{share}", fmt.Sprintf("%.6f", r.Float64()),
	)
	statements := make([]string, len(a.SQL))
	for i, sql := range a.SQL {
		statements[i] = fill.Replace(sql)
	}
	return statements
}

// fits reports whether the attack can be made on a victim.
func (a Attack) fits(v Victim) bool { return a.Fits == nil || a.Fits(v) }

func several(v Victim) bool  { return v.Version > 1 }
func ofSkill(v Victim) bool  { return v.Kind == "skill" }
func embedded(v Victim) bool { return v.Vector && v.Other != "" }

const (
	whole = ` WHERE entity_id = '{id}'`
	atSeq = whole + ` AND seq = {seq}`
)

// OnEntities are the attacks on what is kept of one entity. Many, on one entity each,
// can be made in one database.
func OnEntities() []Attack {
	return slices.Concat(onRows(), onHistories(), onSignatures(), onVectorsAndPlaces(), onCapturedKeys())
}

func entityAttack(group, name string, reasons []ledger.Reason, fits func(Victim) bool, sql ...string) Attack {
	return Attack{Group: group, Name: name, By: ByAudit, Reasons: reasons, Fits: fits, SQL: sql}
}

func reasons(r ...ledger.Reason) []ledger.Reason { return r }

func onRows() []Attack {
	const row = ` WHERE id = '{id}'`
	differs := func(name string, fits func(Victim) bool, sql ...string) Attack {
		return entityAttack("rows", name, reasons(audit.ReasonRowDiffers), fits, sql...)
	}
	return []Attack{
		differs("a name", nil, `UPDATE entity SET name = 'Forged {text}', name_key = 'forged {text}'`+row),
		differs("a name's key alone", nil, `UPDATE entity SET name_key = '{text}'`+row),
		differs("a status", nil, `UPDATE entity SET status = CASE status WHEN 'deprecated' THEN 'active' ELSE 'deprecated' END`+row),
		differs("a status and its reason", nil, `UPDATE entity SET status_reason = '{text}'`+row),
		differs("a certification", nil, `UPDATE entity SET genesis_certification = '{"certification_id":"{text}"}'`+row),
		differs("an alignment", nil,
			`UPDATE entity SET amendment_alignment = CASE amendment_alignment WHEN 'aligned' THEN 'requires_review' ELSE 'aligned' END`+row),
		differs("an owner", nil, `UPDATE entity SET governance_agent_id = 'mallory-{text}'`+row),
		differs("visibility", nil, `UPDATE entity SET visibility = CASE visibility WHEN 'public' THEN 'private' ELSE 'public' END`+row),
		differs("tags", nil, `UPDATE entity SET tags = tags || ARRAY['{text}']`+row),
		differs("custom attributes", nil, `UPDATE entity SET custom_attributes = custom_attributes || '{"{text}":1}'`+row),
		differs("a note", nil, `UPDATE entity SET governance_notes = '{text}'`+row),
		differs("an external id", nil, `UPDATE entity SET external_id = '{text}'`+row),
		differs("backdated", nil, `UPDATE entity SET created_at = created_at - interval '1 day'`+row),
		differs("an ETag", nil, `UPDATE entity SET etag_hash = '{hash}'`+row),
		differs("a head's hash", nil, `UPDATE entity SET version_hash = '{hash}'`+row),
		differs("a version", nil, `UPDATE entity SET version = version + 1`+row),
		differs("rules", nil, `UPDATE entity SET constitution_hash = '{hash}'`+row),
		differs("archived by hand", nil, `UPDATE entity SET deleted_at = now(), status = 'archived'`+row),
		differs("a certified drift", nil, `UPDATE entity SET drift_detector = '{"drifted":false,"by":"{text}"}'`+row),
		differs("a column of the kind", ofSkill, `UPDATE skill SET category = CASE category WHEN 'soft_skill' THEN 'technical' ELSE 'soft_skill' END`+row),
		differs("a description", ofSkill, `UPDATE skill SET description = '{text}'`+row),
		differs("an owner in the kind's row", ofSkill, `UPDATE skill SET governance_agent_id = 'mallory-{text}'`+row),
		differs("seniority", ofRole, `UPDATE job_role SET seniority_level = CASE seniority_level WHEN 'junior' THEN 'senior' ELSE 'junior' END`+row),
		differs("a requirement removed", func(v Victim) bool { return v.Requires },
			`DELETE FROM job_role_skill WHERE ctid = (SELECT ctid FROM job_role_skill WHERE job_role_id = '{id}' LIMIT 1)`),
		differs("an agent's team", func(v Victim) bool { return v.Team }, `UPDATE agent SET team_id = NULL`+row),
		differs("an agent's death", ofAgent, `UPDATE agent SET living = NOT living`+row),
		differs("an agent's skill", ofAgent, `UPDATE agent SET skill_id = id`+row),
		entityAttack("rows", "a kind's row removed", reasons(audit.ReasonRowMissing), ofSkill, `DELETE FROM skill`+row),
		entityAttack("rows", "removed", reasons(audit.ReasonRowMissing), ofSkill,
			`DELETE FROM embedding`+whole, `DELETE FROM skill`+row, `DELETE FROM entity`+row),
	}
}

func ofRole(v Victim) bool  { return v.Kind == "job_role" }
func ofAgent(v Victim) bool { return v.Kind == "agent" }

func onHistories() []Attack {
	opening := func(name string, fits func(Victim) bool, sql ...string) Attack {
		return entityAttack("openings", name, reasons(ledger.ReasonStateHashMismatch), fits, sql...)
	}
	history := func(name string, r []ledger.Reason, fits func(Victim) bool, sql ...string) Attack {
		return entityAttack("histories", name, r, fits, sql...)
	}
	gone := reasons(audit.ReasonAmendmentMissing)
	return []Attack{
		opening("a state", nil, `UPDATE opening SET state = jsonb_set(state::jsonb, '{name}', '"{text}"')::text`+atSeq),
		opening("a certification in a state", nil,
			`UPDATE opening SET state = jsonb_set(state::jsonb, '{genesis_certification}', '{"certification_id":"{text}"}')::text`+atSeq),
		opening("a state's spelling", nil, `UPDATE opening SET state = state || ' '`+atSeq),
		opening("a salt", nil, `UPDATE opening SET salt = '{hash}'`+atSeq),
		opening("a bit of a salt", nil, `UPDATE opening SET salt = set_byte(salt, {small}, get_byte(salt, {small}) # {bit})`+atSeq),
		opening("another's opening", func(v Victim) bool { return v.Other != "" },
			`UPDATE opening SET (salt, state) = (SELECT salt, state FROM opening WHERE entity_id = '{other}' AND seq = 1)`+atSeq),
		opening("another version's opening", several,
			`UPDATE opening SET (salt, state) = (SELECT salt, state FROM opening`+whole+` AND seq = 1)`+whole+` AND seq = {last}`),
		entityAttack("openings", "removed", reasons(ledger.ReasonOpeningMissing), nil, `DELETE FROM opening`+atSeq),
		history("the first amendment gone", gone, several, `DELETE FROM opening`+whole+` AND seq = 1`, `DELETE FROM amendment`+whole+` AND seq = 1`),
		history("the last amendment gone", gone, several, `DELETE FROM opening`+whole+` AND seq = {last}`, `DELETE FROM amendment`+whole+` AND seq = {last}`),
		history("rewound to the first version", gone, several, `DELETE FROM opening`+whole+` AND seq > 1`, `DELETE FROM amendment`+whole+` AND seq > 1`,
			`UPDATE entity e SET (version, version_hash, etag_hash, updated_at) = (SELECT 1, a.hash, a.hash, a.recorded_at
				FROM amendment a WHERE a.entity_id = e.id) WHERE id = '{id}'`),
		history("all of it gone, the row left", reasons(audit.ReasonHistoryMissing), nil, `DELETE FROM opening`+whole, `DELETE FROM amendment`+whole),
		history("the whole entity gone", reasons(audit.ReasonHistoryMissing), ofSkill, `DELETE FROM opening`+whole, `DELETE FROM amendment`+whole,
			`DELETE FROM embedding`+whole, `DELETE FROM skill WHERE id = '{id}'`, `DELETE FROM entity WHERE id = '{id}'`),
		history("another's in its place", reasons(ledger.ReasonEntityChanged), func(v Victim) bool { return v.Other != "" },
			`DELETE FROM opening`+whole, `DELETE FROM amendment`+whole,
			`INSERT INTO amendment (entity_id, seq, prev_hash, hash, record, entity_type, governance_agent_id, change, breaking, author,
				recorded_at, state_hash, constitution, key_id, algorithm, signature, batch_id, batch_index, batch_path)
				SELECT '{id}', seq, prev_hash, sha256('{hash}' || hash), record, entity_type, governance_agent_id, change, breaking, author,
				recorded_at, state_hash, constitution, key_id, algorithm, coalesce(signature, '{hash}'), NULL, NULL, NULL FROM amendment WHERE entity_id = '{other}'`,
			`INSERT INTO opening (entity_id, seq, salt, state) SELECT '{id}', seq, salt, state FROM opening WHERE entity_id = '{other}'`),
		history("two versions exchanged", reasons(ledger.ReasonSeqGap), several, `UPDATE amendment SET seq = -1`+whole+` AND seq = 1`,
			`UPDATE amendment SET seq = 1`+whole+` AND seq = 2`, `UPDATE amendment SET seq = 2`+whole+` AND seq = -1`),
		history("a version's number", reasons(ledger.ReasonSeqGap, audit.ReasonColumnsDiffer), nil, `UPDATE amendment SET seq = seq + 7`+whole+` AND seq = {last}`),
	}
}

func onSignatures() []Attack {
	record := func(name string, r []ledger.Reason, fits func(Victim) bool, sql ...string) Attack {
		return entityAttack("amendments", name, r, fits, sql...)
	}
	direct := func(v Victim) bool { return len(v.Direct) > 0 }
	batched := func(v Victim) bool { return len(v.Batched) > 0 }
	const atDirect, atBatched = whole + ` AND seq = {direct}`, whole + ` AND seq = {batched}`
	unsigned := reasons(ledger.ReasonSignatureInvalid, ledger.ReasonBatchPathInvalid)
	edit := `UPDATE amendment SET record = CASE WHEN breaking THEN replace(record, '"breaking":true', '"breaking":false')
		ELSE replace(record, '"breaking":false', '"breaking":true') END` + atSeq
	return []Attack{
		record("a record", unsigned, nil, edit),
		record("a record and its hash", unsigned, nil, edit, `UPDATE amendment SET hash = sha256(convert_to(record, 'UTF8'))`+atSeq),
		record("a record's author, its hash and column", unsigned, nil,
			`UPDATE amendment SET record = replace(record, '"author":"' || author || '"', '"author":"mallory/{text}"'), author = 'mallory/{text}'`+atSeq,
			`UPDATE amendment SET hash = sha256(convert_to(record, 'UTF8'))`+atSeq),
		record("a record that is none", reasons(ledger.ReasonRecordMalformed), nil, `UPDATE amendment SET record = '{'`+atSeq),
		record("another's record", reasons(ledger.ReasonEntityChanged), func(v Victim) bool { return v.Other != "" },
			`UPDATE amendment SET record = (SELECT record FROM amendment WHERE entity_id = '{other}' AND seq = 1)`+atSeq),
		record("an author's column", reasons(audit.ReasonColumnsDiffer), nil, `UPDATE amendment SET author = 'mallory/{text}'`+atSeq),
		record("a time's column", reasons(audit.ReasonColumnsDiffer), nil, `UPDATE amendment SET recorded_at = recorded_at - interval '1 hour'`+atSeq),
		record("a key's column", reasons(audit.ReasonColumnsDiffer), nil, `UPDATE amendment SET key_id = '{text}'`+atSeq),
		record("a change's column", reasons(audit.ReasonColumnsDiffer), nil,
			`UPDATE amendment SET change = CASE change WHEN 'reaffirmed' THEN 'evolved' ELSE 'reaffirmed' END`+atSeq),
		record("a stored hash", reasons(ledger.ReasonHashMismatch), nil, `UPDATE amendment SET hash = '{hash}'`+atSeq),
		record("a bit of a signature", unsigned, direct,
			`UPDATE amendment SET signature = set_byte(signature, {byte}, get_byte(signature, {byte}) # {bit})`+atDirect),
		record("a signature cut short", unsigned, direct, `UPDATE amendment SET signature = substr(signature, 1, {byte})`+atDirect),
		record("another batch's signature", reasons(ledger.ReasonSignatureInvalid), direct,
			`UPDATE amendment SET signature = b.signature FROM (SELECT signature FROM signature_batch LIMIT 1) b`+atDirect),
		record("a batch's path", reasons(ledger.ReasonBatchPathInvalid, ledger.ReasonBatchMalformed), batched,
			`UPDATE amendment SET batch_path = set_byte(batch_path, {small}, get_byte(batch_path, {small}) # {bit})`+atBatched),
		record("a batch's path cut short", reasons(ledger.ReasonBatchPathInvalid), batched,
			`UPDATE amendment SET batch_path = substr(batch_path, 1, length(batch_path) - 32)`+atBatched),
		record("a place in a batch", reasons(ledger.ReasonBatchPathInvalid), batched, `UPDATE amendment SET batch_index = batch_index + 513`+atBatched),
		record("a batch's signature as its own", reasons(ledger.ReasonAlgorithmMismatch), batched,
			`UPDATE amendment a SET signature = b.signature, batch_id = NULL FROM signature_batch b WHERE b.id = a.batch_id AND a.entity_id = '{id}' AND a.seq = {batched}`),
	}
}

func onVectorsAndPlaces() []Attack {
	vector := func(name string, r ledger.Reason, sql ...string) Attack {
		return entityAttack("vectors", name, reasons(r), embedded, sql...)
	}
	place := func(name string, r []ledger.Reason, sql ...string) Attack {
		return entityAttack("places in the log", name, r, nil, sql...)
	}
	return []Attack{
		vector("a vector", audit.ReasonVectorDiffers, `UPDATE embedding SET vector = array_fill({share}::real, ARRAY[384])::vector`+whole),
		vector("a vector's hash", audit.ReasonVectorDiffers, `UPDATE embedding SET vector_sha256 = '{hash}'`+whole),
		vector("its text's hash", audit.ReasonVectorDiffers, `UPDATE embedding SET text_sha256 = '{hash}'`+whole),
		vector("another's vector, with its hash", audit.ReasonVectorDiffers,
			`UPDATE embedding v SET (vector, vector_sha256) = (o.vector, o.vector_sha256) FROM embedding o, entity e WHERE v.entity_id = '{id}'
				AND e.id = v.entity_id AND v.model_id = e.embedding ->> 'model_id' AND o.entity_id = '{other}' AND o.model_id = v.model_id`),
		vector("a vector's owner", audit.ReasonVectorDiffers, `UPDATE embedding SET governance_agent_id = 'mallory-{text}'`+whole),
		vector("a vector removed", audit.ReasonVectorMissing, `DELETE FROM embedding`+whole),
		place("an entry's owner", reasons(audit.ReasonLogMismatch), `UPDATE log_entry SET governance_agent_id = 'mallory-{text}'`+atSeq),
		place("an entry's hash", reasons(audit.ReasonLogMismatch), `UPDATE log_entry SET hash = '{hash}'`+atSeq),
		place("an entry that names nobody", reasons(audit.ReasonNotLogged),
			`UPDATE log_entry SET entity_id = NULL, seq = NULL, governance_agent_id = NULL, shared = false`+atSeq),
		place("an entry that names another version", reasons(audit.ReasonNotLogged), `UPDATE log_entry SET seq = seq + 1000`+atSeq),
		place("an entry removed", reasons(audit.ReasonNotLogged), `DELETE FROM log_entry`+atSeq),
	}
}
