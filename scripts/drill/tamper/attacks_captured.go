package tamper

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/dlai-sd/plant/shared/audit"
	"github.com/dlai-sd/plant/shared/domain/canonical"
	"github.com/dlai-sd/plant/shared/ledger"
)

// onCapturedKeys are the attacks of somebody who signs with the amendment key what the
// registry would refuse: one more version, under a signature that holds.
func onCapturedKeys() []Attack {
	signed := func(name string, reason ledger.Reason, seals func(*rand.Rand, *ledger.Draft, *ledger.Sealer), sql ...string) Attack {
		return Attack{Group: "signed by a captured key", Name: name, By: ByAudit, Reasons: reasons(reason), Fits: ofSkill, Seals: seals, SQL: sql}
	}
	says := func(member, value string) func(*rand.Rand, *ledger.Draft, *ledger.Sealer) {
		return func(_ *rand.Rand, d *ledger.Draft, _ *ledger.Sealer) { d.State = with(d.State, member, value) }
	}
	plain := func(*rand.Rand, *ledger.Draft, *ledger.Sealer) {}
	return []Attack{
		signed("a state against a rule of its kind", audit.ReasonRuleViolated, says("category", `"mallory"`)),
		signed("a state of no kind", audit.ReasonStateUnread, says("mallory", `1`)),
		signed("an author of another tenant", audit.ReasonRuleViolated, func(_ *rand.Rand, d *ledger.Draft, _ *ledger.Sealer) {
			_, who, _ := strings.Cut(d.Author, "/")
			d.Author = "mallory/" + who
		}),
		signed("rules that nobody enacted", ledger.ReasonConstitutionUnknown, func(r *rand.Rand, _ *ledger.Draft, s *ledger.Sealer) { s.Constitution = drawn(r) }),
		signed("a certification", ledger.ReasonKeyMayNotSign, func(_ *rand.Rand, d *ledger.Draft, _ *ledger.Sealer) { d.Change = "certified" }),
		signed("an erasure, and the opening gone", ledger.ReasonOpeningMissing, func(_ *rand.Rand, d *ledger.Draft, _ *ledger.Sealer) {
			d.Change, d.State = "erased", with(d.State, "erased_seqs", "[1]")
		}, `DELETE FROM opening`+whole+` AND seq = 1`),
		signed("for another deployment", ledger.ReasonOriginWrong, func(_ *rand.Rand, _ *ledger.Draft, s *ledger.Sealer) { s.Origin = "mallory.example/plant" }),
		signed("another owner", ledger.ReasonOwnerChanged, func(_ *rand.Rand, d *ledger.Draft, _ *ledger.Sealer) {
			_, who, _ := strings.Cut(d.Author, "/")
			d.GovernanceAgentID, d.Author = "mallory", "mallory/"+who
		}),
		signed("another kind", ledger.ReasonTypeChanged, func(_ *rand.Rand, d *ledger.Draft, _ *ledger.Sealer) { d.EntityType = "industry" }),
		signed("another entity", ledger.ReasonEntityChanged, func(_ *rand.Rand, d *ledger.Draft, _ *ledger.Sealer) { d.EntityID = uuid.Must(uuid.NewV7()).String() }),
		signed("a version left out", ledger.ReasonSeqGap, func(r *rand.Rand, d *ledger.Draft, _ *ledger.Sealer) { d.Seq += 1 + r.Int64N(9) }),
		signed("after another predecessor", ledger.ReasonPrevHashMismatch, func(r *rand.Rand, d *ledger.Draft, _ *ledger.Sealer) { d.PrevHash = drawn(r) }),
		signed("backdated", ledger.ReasonTimeBackwards, func(r *rand.Rand, d *ledger.Draft, s *ledger.Sealer) {
			at := d.After.Add(-time.Duration(1+r.IntN(1e6)) * time.Second)
			d.After, s.Now = time.Time{}, func() time.Time { return at }
		}),
		signed("kept from the log", audit.ReasonNotLogged, plain, `DELETE FROM log_pending`+whole),
		signed("a row that says something else", audit.ReasonRowDiffers, says("governance_notes", `"mallory"`)),
	}
}

func drawn(r *rand.Rand) (h ledger.Hash) {
	for i := range h {
		h[i] = byte(r.Uint32())
	}
	return h
}

// with is a state with a member more, or another.
func with(state []byte, member, value string) []byte {
	members := map[string]jsontext.Value{}
	if json.Unmarshal(state, &members) != nil {
		return state
	}
	members[member] = jsontext.Value(value)
	raw, err := json.Marshal(members)
	if err != nil {
		return state
	}
	form, err := canonical.Form(raw)
	if err != nil {
		return state
	}
	return form
}

// seal signs the victim's next version, as an attack changes it, and writes it as the
// registry would.
func (g *ground) seal(ctx context.Context, tx pgx.Tx, a Attack, r *rand.Rand, v Victim, by ledger.Sealer) error {
	draft := ledger.Draft{EntityID: v.ID, EntityType: v.Kind, GovernanceAgentID: v.Owner, Change: "evolved", Seq: v.Version + 1}
	var hash []byte
	var state string
	err := tx.QueryRow(ctx, `SELECT a.hash, a.recorded_at, first.author, o.state FROM amendment a JOIN opening o USING (entity_id, seq)
		JOIN amendment first ON first.entity_id = a.entity_id AND first.seq = 1 WHERE a.entity_id = $1 AND a.seq = $2`, v.ID, v.Version).
		Scan(&hash, &draft.After, &draft.Author, &state)
	if err != nil {
		return fmt.Errorf("read the newest version: %w", err)
	}
	draft.After, draft.PrevHash, draft.State = draft.After.UTC(), ledger.Hash(hash), []byte(state)
	a.Seals(r, &draft, &by)
	sealed, err := by.Seal([]ledger.Draft{draft})
	if err != nil {
		return err
	}
	one := sealed[0]
	said := one.Record
	var b pgx.Batch
	b.Queue(`INSERT INTO amendment (entity_id, seq, prev_hash, hash, record, entity_type, governance_agent_id, change, breaking,
		author, recorded_at, state_hash, constitution, key_id, algorithm, signature)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)`,
		v.ID, said.Seq, said.PrevHash[:], one.Hash[:], string(one.Bytes), said.EntityType, said.GovernanceAgentID, said.Change, said.Breaking,
		said.Author, said.RecordedAt, said.StateHash[:], said.Constitution[:], said.KeyID, said.Algorithm, one.Signature)
	b.Queue(`INSERT INTO opening (entity_id, seq, salt, state) VALUES ($1, $2, $3, $4)`, v.ID, said.Seq, one.Opening.Salt[:], string(one.Opening.State))
	b.Queue(`INSERT INTO log_pending (hash, entity_id, seq, entity_type, change, recorded_at) VALUES ($1, $2, $3, $4, $5, $6)`,
		one.Hash[:], v.ID, said.Seq, said.EntityType, said.Change, said.RecordedAt)
	b.Queue(`UPDATE entity SET version = $2, version_hash = $3, etag_hash = $3, updated_at = $4 WHERE id = $1`, v.ID, said.Seq, one.Hash[:], said.RecordedAt)
	return tx.SendBatch(ctx, &b).Close()
}
