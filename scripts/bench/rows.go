package bench

import (
	"crypto"
	"crypto/sha256"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/dlai-sd/plant/scripts/bench/rawrows"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/registry"
	"github.com/dlai-sd/plant/shared/store"
)

// size is how much an entity says.
type size int

// A typical skill's state has about 2 KB; an imported one's is like ESCO's, whose
// descriptions have 136 characters in the middle.
const (
	typical size = iota
	imported
)

// skill is a new skill of a size, under a name of its own.
func (w *world) skill(s size) (domain.Skill, domain.Settable) {
	const sentence = "Prepares the joint, sets current and gas, and lays a sound root pass in position. "
	w.names++
	skill := domain.Skill{Name: fmt.Sprintf("Root pass welding %06d", w.names), Category: "technical", Description: sentence[:68] + sentence[:68]}
	set := domain.Settable{ExternalID: fmt.Sprintf("bench/%06d", w.names), Tags: []string{"import"}}
	if s == typical {
		skill.Description = strings.Repeat(sentence, 19)
		set.Visibility, set.Tags, set.GovernanceNotes = domain.Public, []string{"metal", "welding", "workshop"}, "Reviewed by the workshop."
		set.CustomAttributes = []byte(`{"hours":120,"level":"intermediate","source":"bench"}`)
	}
	return skill, set
}

// request is a write by the bench's principal that nobody sent before.
func (w *world) request() registry.Request {
	key := uuid.NewString()
	return registry.Request{
		Who: w.who, Route: "createSkill", Key: key, BodyHash: sha256.Sum256([]byte(key)), RequestID: key,
	}
}

func (w *world) sealer(signer crypto.Signer) ledger.Sealer {
	return ledger.Sealer{
		Origin: origin, Constitution: domain.Founding().Sum(), KeyID: w.signer.ID(), Signer: signer, Now: time.Now,
	}
}

// drafts are n new skills.
func (w *world) drafts(s size, n int) ([]domain.Entity, []ledger.Draft, error) {
	entities := make([]domain.Entity, n)
	for i := range n {
		id, err := domain.NewID()
		if err != nil {
			return nil, nil, err
		}
		skill, set := w.skill(s)
		entities[i] = domain.Born(id, tenant, skill, set)
	}
	drafts, err := rawrows.Drafts(entities, w.who.Author())
	return entities, drafts, err
}

// separate prepares n creates, each a transaction of its own. They are good for
// ten seconds: the database refuses what was recorded earlier.
func (w *world) separate(n int) ([]rawrows.Row, error) {
	rows := make([]rawrows.Row, 0, n)
	for range n {
		one, err := w.together(typical, 1)
		if err != nil {
			return nil, err
		}
		rows = append(rows, one...)
	}
	return rows, nil
}

// together prepares n creates for one transaction, under a batch signature if
// there is more than one.
func (w *world) together(s size, n int) ([]rawrows.Row, error) {
	entities, drafts, err := w.drafts(s, n)
	if err != nil {
		return nil, err
	}
	amendments, err := w.sealer(rawrows.Unsigned{Key: &w.private.PublicKey}).Seal(drafts)
	if err != nil {
		return nil, err
	}
	return rawrows.Rows(entities, amendments)
}

// write is the same create as the product's store takes it.
func (w *world) write(r rawrows.Row) store.Write {
	return store.Write{
		Tenant: tenant, Principal: w.who.ID,
		Idempotency: &store.Idempotency{
			Route: "createSkill", Key: r.Key, BodyHash: sha256.Sum256([]byte(r.Key)), EntityID: r.Entity.ID, Seq: 1,
		},
		Rows: []store.Row{{
			Amendment: r.Amendment, Kind: domain.KindSkill, NameKey: domain.NameKey(r.Entity.Facts.Label()), NewFacts: true,
		}},
		Events: []store.Event{r.Event},
	}
}
