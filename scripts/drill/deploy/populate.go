package deploy

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math"
	"time"

	"github.com/google/uuid"

	"github.com/dlai-sd/plant/shared/auth"
	"github.com/dlai-sd/plant/shared/checkpoints"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/keys"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/registry"
	"github.com/dlai-sd/plant/shared/sequencer"
	"github.com/dlai-sd/plant/shared/store"
)

// Place is where a registry is written: a database whose ledger knows the keys.
type Place struct {
	As        func(role string) string // the database's address for a role
	Secrets   *keys.Source
	Keys      map[domain.KeyUse]string // secret version of each use
	Origin    string
	Published checkpoints.Store
}

// Populate writes a registry of two tenants with so many skills, half of which have
// evolved, roles, teams and agents that rest on them, and vectors; it logs all of it
// and publishes a checkpoint. Then it lives: things are certified, withdrawn, marked
// and archived, a constitution is enacted and rolled back, and a tenant joins whom no
// heads record counts yet. It leaves no connection open.
func Populate(ctx context.Context, p Place, skills int) error {
	operator, err := p.open(ctx, "plant_operator")
	if err != nil {
		return err
	}
	defer operator.Close()
	writer, service, err := p.service(ctx, "plant_writer")
	if err != nil {
		return err
	}
	defer writer.Close()
	var tenants []tenant
	for _, owner := range []string{"acme", "borealis"} {
		t, err := p.tenant(ctx, operator, service, owner)
		if err != nil {
			return err
		}
		if t.skills, err = t.write(ctx, skills/2); err != nil {
			return fmt.Errorf("write the registry of %s: %w", owner, err)
		}
		tenants = append(tenants, t)
	}
	if err := p.embed(ctx); err != nil {
		return fmt.Errorf("embed: %w", err)
	}
	if err := publish(ctx, p, (*sequencer.Sequencer).Seal); err != nil {
		return err
	}
	if err := p.live(ctx, operator, tenants); err != nil {
		return fmt.Errorf("let the registry live: %w", err)
	}
	if err := publish(ctx, p, (*sequencer.Sequencer).Seal); err != nil {
		return err
	}
	newcomer, err := p.tenant(ctx, operator, service, "cirrus")
	if err != nil {
		return err
	}
	if _, err := newcomer.made(ctx, domain.KindSkill, plainSkills(3)...); err != nil {
		return fmt.Errorf("write the registry of a newcomer: %w", err)
	}
	return publish(ctx, p, (*sequencer.Sequencer).Run)
}

// tenant is a governance agent with one author.
func (p Place) tenant(ctx context.Context, operator *store.DB, service *registry.Service, owner string) (tenant, error) {
	who, err := somebody(ctx, operator, store.Principal{GovernanceAgent: owner, Authorities: []domain.Authority{domain.Author}})
	return tenant{service: service, who: who}, err
}

// somebody is a new principal.
func somebody(ctx context.Context, operator *store.DB, p store.Principal) (auth.Principal, error) {
	p.ID = uuid.NewString()
	p.Name = "drill " + p.ID
	if err := operator.AddPrincipal(ctx, p); err != nil {
		return auth.Principal{}, fmt.Errorf("add a principal: %w", err)
	}
	return auth.Principal{ID: p.ID, GovernanceAgent: p.GovernanceAgent, Name: p.Name, Authorities: p.Authorities, Platform: p.Platform}, nil
}

func (p Place) open(ctx context.Context, role string) (*store.DB, error) {
	return store.Open(ctx, store.Config{URL: p.As(role), Pool: 1, Function: "drill"})
}

func (p Place) hold(use domain.KeyUse) *keys.Holder {
	return p.Secrets.Hold(keys.Pinned(p.Keys[use]), time.Now)
}

// config is that of a function's registry, which signs with the key of a use.
func (p Place) config(db *store.DB, use domain.KeyUse) registry.Config {
	return registry.Config{DB: db, Keys: p.hold(use), Origin: p.Origin, Log: slog.New(slog.DiscardHandler)}
}

func (p Place) service(ctx context.Context, role string) (*store.DB, *registry.Service, error) {
	db, err := p.open(ctx, role)
	if err != nil {
		return nil, nil, err
	}
	s, err := registry.New(p.config(db, domain.UseAmendment))
	if err != nil {
		db.Close()
	}
	return db, s, err
}

// Sealer signs as the registry does, with the amendment key in hand.
func (p Place) Sealer(ctx context.Context) (ledger.Sealer, error) {
	key, err := p.Secrets.Key(ctx, p.Keys[domain.UseAmendment])
	return ledger.Sealer{Origin: p.Origin, Constitution: ledger.Hash(domain.Founding().Sum()), KeyID: key.ID(), Signer: key}, err
}

// tenant writes as one principal.
type tenant struct {
	service *registry.Service
	who     auth.Principal
	skills  []domain.ID
}

func plainSkills(n int) []registry.Candidate {
	list := make([]registry.Candidate, n)
	for i := range list {
		list[i].Facts = domain.Skill{Name: fmt.Sprint("Skill ", i), Description: "Does it.", Category: "technical"}
	}
	return list
}

// write returns the ids of the skills, in the order of their numbers.
func (t tenant) write(ctx context.Context, skills int) ([]domain.ID, error) {
	ids, err := t.made(ctx, domain.KindSkill, plainSkills(skills)...)
	if err != nil {
		return nil, err
	}
	industry, err := t.made(ctx, domain.KindIndustry, registry.Candidate{Facts: domain.Industry{Name: "Gardening"}})
	if err != nil {
		return nil, err
	}
	for i := range max(2, skills/10) {
		if err := t.crew(ctx, i, ids, industry[0]); err != nil {
			return nil, err
		}
	}
	for i, id := range ids[:len(ids)/2] {
		next := domain.Evolve{Facts: domain.Skill{Name: fmt.Sprint("Skill ", i), Description: "Does it better.", Category: "technical"}}
		if err := t.change(ctx, id, next); err != nil {
			return nil, err
		}
	}
	return ids, nil
}

func (t tenant) change(ctx context.Context, id domain.ID, c domain.Change) error {
	_, err := t.service.Amend(ctx, asks(t.who), id, ledger.Hash{}, c)
	return err
}

// crew makes a role that requires two skills, an agent in it and that agent's team.
func (t tenant) crew(ctx context.Context, i int, skills []domain.ID, industry domain.ID) error {
	role, err := t.made(ctx, domain.KindJobRole, registry.Candidate{Facts: domain.JobRole{
		Name: fmt.Sprint("Role ", i), RequiredSkills: skills[i : i+2], SeniorityLevel: "mid", IndustryID: industry,
	}})
	if err != nil {
		return err
	}
	agent, err := t.made(ctx, domain.KindAgent, registry.Candidate{Facts: domain.Agent{
		Name: fmt.Sprint("Agent ", i), SkillID: skills[i], JobRoleID: role[0], IndustryID: industry,
	}})
	if err != nil {
		return err
	}
	_, err = t.made(ctx, domain.KindTeam, registry.Candidate{Facts: domain.Team{Name: fmt.Sprint("Team ", i), JobRoleID: role[0]}, Agents: agent})
	return err
}

// asks is a new request of somebody.
func asks(who auth.Principal) registry.Request {
	return registry.Request{Who: who, Route: "drill", Key: uuid.NewString(), BodyHash: sha256.Sum256(nil)}
}

func (t tenant) made(ctx context.Context, kind domain.Kind, list ...registry.Candidate) (ids []domain.ID, err error) {
	batch, err := t.service.CreateAll(ctx, asks(t.who), kind, list)
	if err != nil {
		return nil, err
	}
	for _, o := range batch.Outcomes {
		if o.Code != "" {
			return nil, fmt.Errorf("a %s is refused: %s %v", kind, o.Detail, o.Violations)
		}
		ids = append(ids, o.ID)
	}
	return ids, nil
}

// embed gives everything that is searched a vector of its own, under batch
// signatures.
func (p Place) embed(ctx context.Context) error {
	const together = 256
	db, service, err := p.service(ctx, "plant_embedder")
	if err != nil {
		return err
	}
	defer db.Close()
	for {
		waiting, err := db.AwaitingEmbedding(ctx, domain.BeforeAll, together)
		if err != nil || len(waiting) == 0 {
			return err
		}
		list := make([]registry.Meaning, len(waiting))
		for i, e := range waiting {
			list[i] = registry.Meaning{Entity: e, Vectors: []store.Vector{invented(e)}}
		}
		if err := service.Embed(ctx, registry.Request{Who: registry.System("embed")}, list, nil); err != nil {
			return err
		}
	}
}

// invented is a vector that no other entity has.
func invented(e domain.Entity) store.Vector {
	text := e.Facts.Text()
	v := store.Vector{EntityID: e.ID, Kind: e.Kind(), ModelID: "drill/1", Text: text, TextSHA256: sha256.Sum256([]byte(text)), Values: make([]float32, 384)}
	seed := sha256.Sum256([]byte(e.ID))
	var raw []byte
	for i := range v.Values {
		v.Values[i] = float32(seed[i%len(seed)]) / 4096
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v.Values[i]))
	}
	v.VectorSHA256 = sha256.Sum256(raw)
	return v
}

// publish logs what waits and publishes the checkpoint: by Seal with a heads record, by
// Run without one, where the last is young.
func publish[T any](ctx context.Context, p Place, how func(*sequencer.Sequencer, context.Context) (T, error)) error {
	db, err := p.open(ctx, "plant_auditor")
	if err != nil {
		return err
	}
	defer db.Close()
	s := sequencer.New(sequencer.Config{
		DB: db, Store: p.Published, Origin: p.Origin, Checkpoint: p.hold(domain.UseCheckpoint), Heads: p.hold(domain.UseHeads),
	})
	if _, err = how(s, ctx); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	return nil
}
