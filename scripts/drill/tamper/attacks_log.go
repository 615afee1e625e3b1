package tamper

import (
	"slices"

	"github.com/dlai-sd/plant/shared/audit"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/sequencer"
)

// How much of the log is published, the log index of a random entry of that, and of
// one that is not the last.
const (
	covered = `{published}`
	some    = `floor({share} * {published})::bigint`
	before  = `floor({share} * ({published} - 1))::bigint`
)

// A tenant of whom something is published.
const aTenantsEntriesGone = `DELETE FROM log_entry WHERE governance_agent_id = (SELECT governance_agent_id FROM log_entry
	WHERE governance_agent_id <> 'keyring' AND log_index < ` + covered + ` ORDER BY md5(governance_agent_id || '{text}') LIMIT 1)`

// What the newest heads record counts: what stands behind it in the log is the next one's.
const (
	counted = ` WHERE seq = 1 AND log_index < (SELECT max(log_index) FROM heads)`
	aSalt   = ` WHERE governance_agent_id = (SELECT governance_agent_id FROM tenant_salt
		WHERE governance_agent_id IN (SELECT governance_agent_id FROM log_entry` + counted + `) ORDER BY md5(governance_agent_id || '{text}') LIMIT 1)`
)

func exchange() []string {
	return []string{
		`UPDATE log_entry SET log_index = -1 WHERE log_index = ` + before,
		`UPDATE log_entry SET log_index = log_index - 1 WHERE log_index = ` + before + ` + 1`,
		`UPDATE log_entry SET log_index = ` + before + ` + 1 WHERE log_index = -1`,
	}
}

// OnLog are the attacks on the log, the heads and the keys: each concerns the whole
// deployment, and is made in a database of its own.
func OnLog() []Attack {
	return slices.Concat(onEntries(), onWhole(), onPublished(), onCheckpointKey())
}

func onEntries() []Attack {
	log := func(name, by string, r []ledger.Reason, touches []string, sql ...string) Attack {
		return Attack{Group: "log", Name: name, By: by, Reasons: r, Touches: touches, SQL: sql}
	}
	heads := func(name string, touches []string, sql ...string) Attack {
		return Attack{Group: "heads", Name: name, By: ByAudit, Reasons: reasons(audit.ReasonHeadsDiffer), Touches: touches, SQL: sql}
	}
	key := func(name string, r []ledger.Reason, touches []string, sql ...string) Attack {
		return Attack{Group: "keys", Name: name, By: ByAudit, Reasons: r, Touches: touches, SQL: sql}
	}
	entries, tiles := []string{"log_entry"}, []string{"log_tile"}
	diverged := reasons(ledger.Reason(sequencer.ReasonDiverged))
	rolledBack := reasons(ledger.Reason(sequencer.ReasonRolledBack))
	const newestHeads = ` WHERE log_index = (SELECT max(log_index) FROM heads)`
	const amendmentKey = ` WHERE entity_id = (SELECT id FROM signing_key WHERE use = 'amendment' ORDER BY id LIMIT 1)`
	law := func(name string, sql ...string) Attack {
		return Attack{Group: "constitution", Name: name, By: ByAudit, Reasons: reasons(audit.ReasonEnactmentDiffers), Touches: []string{"enactment", "constitution"}, SQL: sql}
	}
	const another = `INSERT INTO constitution (sha256, document, version) VALUES (sha256(convert_to('{"name":"{text}"}', 'UTF8')), '{"name":"{text}"}', '2')`
	const itsSum = `sha256(convert_to('{"name":"{text}"}', 'UTF8'))`
	return []Attack{
		law("put in force by hand", another, `INSERT INTO enactment (n, sha256) SELECT max(n) + 1, `+itsSum+` FROM enactment`),
		law("put in force by an amendment that enacts nothing", another, `INSERT INTO enactment (n, sha256, entity_id, seq)
			SELECT (SELECT max(n) + 1 FROM enactment), `+itsSum+`, entity_id, seq FROM amendment WHERE change <> 'enacted'
			ORDER BY md5(entity_id::text || '{text}') LIMIT 1`),
		law("the newest one gone", `DELETE FROM enactment WHERE n > 0 AND n = (SELECT max(n) FROM enactment)`),
		law("two exchanged, so that an older one is in force", `CREATE TEMP TABLE two ON COMMIT DROP AS
			SELECT n, sha256, entity_id, seq FROM enactment WHERE n > 0 ORDER BY n DESC LIMIT 2`,
			`DELETE FROM enactment e USING two WHERE e.n = two.n AND (SELECT count(*) FROM two) = 2`,
			`INSERT INTO enactment (n, sha256, entity_id, seq)
				SELECT (SELECT sum(n) FROM two) - n, sha256, entity_id, seq FROM two WHERE (SELECT count(*) FROM two) = 2`),
		law("an older one in force again by what enacted it once", `ALTER TABLE enactment DROP CONSTRAINT IF EXISTS enactment_amendment_key`,
			`INSERT INTO enactment (n, sha256, entity_id, seq) SELECT (SELECT max(n) + 1 FROM enactment), sha256, entity_id, seq
				FROM enactment WHERE n > 0 ORDER BY n DESC OFFSET 1 LIMIT 1`),
		law("the founding one exchanged", another, `UPDATE enactment SET sha256 = `+itsSum+` WHERE n = 0`),
		log("an entry", ByAudit, reasons(audit.ReasonTileDiffers), entries, `UPDATE log_entry SET hash = '{hash}' WHERE log_index = `+some),
		log("an entry removed", ByAudit, reasons(audit.ReasonEntryMissing), entries,
			`DELETE FROM log_entry WHERE log_index = `+before),
		log("two entries exchanged", ByAudit, reasons(audit.ReasonTileDiffers), entries, exchange()...),
		log("a tile of entries", ByAudit, reasons(audit.ReasonTileDiffers, audit.ReasonLogStopped), tiles,
			`UPDATE log_tile SET data = set_byte(data, {small}, get_byte(data, {small}) # {bit}) WHERE level = 0 AND index = 0`),
		log("a tile removed", ByAudit, reasons(audit.ReasonTileDiffers, audit.ReasonLogStopped), tiles,
			`DELETE FROM log_tile WHERE level = 0 AND index = (SELECT floor({share} * count(*))::bigint FROM log_tile WHERE level = 0)`),
		log("a tile above", ByAudit, reasons(audit.ReasonTileDiffers), tiles,
			`UPDATE log_tile SET data = set_byte(data, {small}, get_byte(data, {small}) # {bit}) WHERE level = 1 AND index = 0`),
		log("the last tile", BySequencer, diverged, tiles, // that is published; a full one is a hash in the tile above
			`UPDATE log_tile SET data = set_byte(data, {small}, get_byte(data, {small}) # {bit})
				WHERE level = 0 AND index = {published} / 256 AND {published} % 256 > 0`),
		log("the log's end gone", BySequencer, rolledBack, entries, `DELETE FROM log_entry WHERE log_index > `+some+` - 1`),
		log("the log's end and its checkpoints gone", BySequencer, rolledBack, []string{"log_entry", "checkpoint", "audit_export"},
			`DELETE FROM audit_export`, `DELETE FROM checkpoint`, `DELETE FROM log_entry WHERE log_index > `+some+` - 1`),
		log("all of it gone", BySequencer, rolledBack, []string{"log_entry", "log_tile", "heads", "checkpoint", "audit_export"},
			`DELETE FROM audit_export`, `DELETE FROM checkpoint`, `DELETE FROM heads`, `DELETE FROM log_tile`, `DELETE FROM log_entry`),
		log("a tenant's entries gone", ByAudit, reasons(audit.ReasonEntryMissing, audit.ReasonLogStopped), entries, aTenantsEntriesGone),
		heads("a record's signature", []string{"heads"},
			`UPDATE heads SET signature = set_byte(signature, {byte}, get_byte(signature, {byte}) # {bit})`+newestHeads),
		heads("a record", []string{"heads"}, `UPDATE heads SET record = replace(record, '"tenants":', '"tenants":1')`+newestHeads),
		heads("a tenant's salt", []string{"tenant_salt"}, `UPDATE tenant_salt SET salt = '{hash}'`+aSalt),
		heads("a tenant's salt gone", []string{"tenant_salt"}, `DELETE FROM tenant_salt`+aSalt),
		heads("an entity counted for another tenant", entries, `UPDATE log_entry SET governance_agent_id = 'mallory' WHERE log_index =
			(SELECT log_index FROM log_entry`+counted+` ORDER BY md5(log_index || '{text}') LIMIT 1)`),
		key("a key's use", reasons(ledger.ReasonKeyUnknown, ledger.ReasonKeyMalformed), []string{"opening"},
			`UPDATE opening SET state = replace(state, '"use":"amendment"', '"use":"heads"')`+amendmentKey),
		key("what a key may sign", reasons(ledger.ReasonKeyUnknown, ledger.ReasonKeyMalformed), []string{"opening"},
			`UPDATE opening SET state = replace(state, '"may_sign":[', '"may_sign":["{text}",')`+amendmentKey),
		key("a key's opening gone", reasons(ledger.ReasonKeyUnknown, ledger.ReasonKeyMalformed), []string{"opening"}, `DELETE FROM opening`+amendmentKey),
		key("a key's row", reasons(audit.ReasonRowDiffers), []string{"signing_key"}, `UPDATE signing_key SET may_sign = may_sign || ARRAY['{text}'] WHERE use = 'amendment'`),
		key("a key revoked by hand", reasons(audit.ReasonRowDiffers), []string{"signing_key"}, `UPDATE signing_key SET invalid_from = coalesce(invalid_from, 0) + 1 WHERE use = 'certification'`),
	}
}
