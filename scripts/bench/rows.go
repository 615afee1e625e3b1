package main

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/event"
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

// unsigned is the amendment key with random bytes in place of signatures: the
// database does not verify them, so rows can be prepared without the cost that
// is measured elsewhere.
type unsigned struct{ public crypto.PublicKey }

func (u unsigned) Public() crypto.PublicKey { return u.public }

func (u unsigned) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	signature := make([]byte, 512)
	_, err := rand.Read(signature)
	return signature, err
}

func (w *world) sealer(signer crypto.Signer) ledger.Sealer {
	return ledger.Sealer{
		Origin: origin, Constitution: domain.InForce().Sum(), KeyID: w.signer.ID(), Signer: signer, Now: time.Now,
	}
}

// drafts are n new skills.
func (w *world) drafts(s size, n int) ([]domain.Entity, []ledger.Draft, error) {
	entities, drafts := make([]domain.Entity, n), make([]ledger.Draft, n)
	for i := range n {
		id, err := domain.NewID()
		if err != nil {
			return nil, nil, err
		}
		skill, set := w.skill(s)
		entities[i] = domain.Born(id, tenant, skill, set)
		state, err := entities[i].State()
		if err != nil {
			return nil, nil, err
		}
		drafts[i] = ledger.Draft{
			EntityID: string(id), EntityType: "skill", GovernanceAgentID: tenant, Author: w.who.Author(),
			Change: domain.ChangeCreated, Seq: 1, State: state,
		}
	}
	return entities, drafts, nil
}

// row is all that one new entity adds to the database.
type row struct {
	entity    domain.Entity
	skill     domain.Skill
	amendment ledger.Amendment
	event     store.Event
	key       string // of idempotency
}

// separate prepares n creates, each a transaction of its own. They are good for
// ten seconds: the database refuses what was recorded earlier.
func (w *world) separate(n int) ([]row, error) {
	rows := make([]row, 0, n)
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
func (w *world) together(s size, n int) ([]row, error) {
	entities, drafts, err := w.drafts(s, n)
	if err != nil {
		return nil, err
	}
	amendments, err := w.sealer(unsigned{&w.private.PublicKey}).Seal(drafts)
	if err != nil {
		return nil, err
	}
	rows := make([]row, n)
	for i, a := range amendments {
		skill, ok := entities[i].Facts.(domain.Skill)
		if !ok {
			return nil, fmt.Errorf("facts of kind %s where a skill was made", entities[i].Kind())
		}
		e, err := announcement(a)
		if err != nil {
			return nil, err
		}
		rows[i] = row{entity: entities[i], skill: skill, amendment: a, event: e, key: uuid.NewString()}
	}
	return rows, nil
}

func announcement(a ledger.Amendment) (store.Event, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return store.Event{}, err
	}
	r := a.Record
	data, err := json.Marshal(event.Data{
		EntityID: r.EntityID, EntityType: r.EntityType, GovernanceAgentID: r.GovernanceAgentID, Seq: r.Seq, Hash: a.Hash.String(),
	})
	return store.Event{
		ID: id.String(), Type: "plant.skill.created", EntityID: domain.ID(r.EntityID), Tenant: tenant, At: r.RecordedAt,
		RequestID: id.String(), Data: data,
	}, err
}

// write is the same create as the product's store takes it.
func (w *world) write(r row) store.Write {
	return store.Write{
		Tenant: tenant, Principal: w.who.ID,
		Idempotency: &store.Idempotency{
			Route: "createSkill", Key: r.key, BodyHash: sha256.Sum256([]byte(r.key)), EntityID: r.entity.ID, Seq: 1,
		},
		Rows: []store.Row{{
			Amendment: r.amendment, Kind: domain.KindSkill, NameKey: domain.NameKey(r.skill.Name), NewFacts: true,
		}},
		Events: []store.Event{r.event},
	}
}
