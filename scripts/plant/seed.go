package main

import (
	"context"
	"crypto/sha256"
	_ "embed" // the catalogue
	"fmt"
	"log/slog"
	"slices"
	"time"

	"cloud.google.com/go/pubsub/v2"
	"github.com/go-json-experiment/json"
	"github.com/google/uuid"

	"github.com/dlai-sd/plant/scripts/deliveries"
	localpubsub "github.com/dlai-sd/plant/scripts/localstack/pubsub"
	"github.com/dlai-sd/plant/shared/auth"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/event"
	"github.com/dlai-sd/plant/shared/registry"
	"github.com/dlai-sd/plant/shared/store"
)

// The owner of the catalogue, and the principal that writes it.
const (
	genesisAgent = "genesis"
	genesisName  = "catalogue"
)

//go:embed genesis.json
var genesisCatalogue []byte

// catalogue is what genesis.json holds: entities in the form in which the API
// takes them, but that they name one another by external id.
type catalogue struct {
	Industries []domain.Input[domain.Industry] `json:"industries"`
	Skills     []domain.Input[domain.Skill]    `json:"skills"`
	JobRoles   []domain.Input[domain.JobRole]  `json:"job_roles"`
	Agents     []domain.Input[domain.Agent]    `json:"agents"`
	Teams      []teamEntry                     `json:"teams"`
}

// teamEntry is a team with its first agents.
type teamEntry struct {
	Team   domain.Input[domain.Team] `json:",embed"`
	Agents []domain.ID               `json:"agents"`
}

type seedCmd struct{}

// seeded counts what a run wrote and what was there already.
type seeded struct {
	Created int `json:"created"`
	Present int `json:"present"`
}

// Run writes the catalogue.
func (seedCmd) Run(a *app) error {
	done, err := a.seed(a.ctx)
	if err != nil {
		return advise(err, "plant migrate up, then plant keys init")
	}
	return a.print(done, func() {
		fmt.Fprintf(a.stdout, "Genesis catalogue: %d created, %d already there.\n", done.Created, done.Present)
	})
}

// seed writes what is missing of the catalogue, public and still draft. An
// entity is recognised by its external_id, so a second run changes nothing.
func (a *app) seed(ctx context.Context) (seeded, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	var c catalogue
	if err := json.Unmarshal(genesisCatalogue, &c, json.RejectUnknownMembers(true)); err != nil {
		return seeded{}, fmt.Errorf("genesis.json: %w", err)
	}
	who, err := a.genesisPrincipal(ctx)
	if err != nil {
		return seeded{}, err
	}
	service, closeService, err := a.openRegistry(ctx)
	if err != nil {
		return seeded{}, err
	}
	defer closeService()
	var total seeded
	// What is named comes before what names it.
	for _, step := range []struct {
		kind  domain.Kind
		items func(named) []registry.Candidate
	}{
		{domain.KindIndustry, func(named) []registry.Candidate { return candidatesOf(c.Industries) }},
		{domain.KindSkill, func(named) []registry.Candidate { return candidatesOf(c.Skills) }},
		{domain.KindJobRole, func(n named) []registry.Candidate { return candidatesOf(n.roles(c.JobRoles)) }},
		{domain.KindAgent, func(n named) []registry.Candidate { return candidatesOf(n.agents(c.Agents)) }},
		{domain.KindTeam, func(n named) []registry.Candidate { return n.teams(c.Teams) }},
	} {
		names, err := service.ByExternalID(ctx, who, c.externalIDs())
		if err != nil {
			return total, err
		}
		if err := seedKind(ctx, service, who, step.kind, step.items(names), &total); err != nil {
			return total, err
		}
	}
	return total, nil
}

// externalIDs are those of everything in the catalogue.
func (c catalogue) externalIDs() []string {
	var ids []string
	for _, in := range c.Industries {
		ids = append(ids, in.Settable.ExternalID)
	}
	for _, in := range c.Skills {
		ids = append(ids, in.Settable.ExternalID)
	}
	for _, in := range c.JobRoles {
		ids = append(ids, in.Settable.ExternalID)
	}
	for _, in := range c.Agents {
		ids = append(ids, in.Settable.ExternalID)
	}
	for _, in := range c.Teams {
		ids = append(ids, in.Team.Settable.ExternalID)
	}
	return ids
}

// named are the ids of what is in the registry, by external id. What is not
// there yet keeps its external id, and is then refused as a reference.
type named map[string]domain.ID

func (n named) of(external domain.ID) domain.ID {
	if id, ok := n[string(external)]; ok {
		return id
	}
	return external
}

func (n named) all(externals []domain.ID) []domain.ID {
	ids := make([]domain.ID, len(externals))
	for i, external := range externals {
		ids[i] = n.of(external)
	}
	return ids
}

func (n named) roles(inputs []domain.Input[domain.JobRole]) []domain.Input[domain.JobRole] {
	list := slices.Clone(inputs)
	for i := range list {
		f := &list[i].Facts
		f.RequiredSkills, f.IndustryID = n.all(f.RequiredSkills), n.of(f.IndustryID)
	}
	return list
}

func (n named) agents(inputs []domain.Input[domain.Agent]) []domain.Input[domain.Agent] {
	list := slices.Clone(inputs)
	for i := range list {
		f := &list[i].Facts
		f.SkillID, f.JobRoleID, f.IndustryID = n.of(f.SkillID), n.of(f.JobRoleID), n.of(f.IndustryID)
	}
	return list
}

func (n named) teams(entries []teamEntry) []registry.Candidate {
	inputs := make([]domain.Input[domain.Team], len(entries))
	for i, e := range entries {
		inputs[i] = e.Team
		inputs[i].Facts.JobRoleID = n.of(e.Team.Facts.JobRoleID)
	}
	list := candidatesOf(inputs)
	for i, e := range entries {
		list[i].Agents = n.all(e.Agents)
	}
	return list
}

func seedKind(ctx context.Context, s *registry.Service, who auth.Principal, kind domain.Kind, items []registry.Candidate, total *seeded) error {
	b, err := s.CreateAll(ctx, registry.Request{
		Who: who, Route: "seed", Key: uuid.NewString(), BodyHash: sha256.Sum256(genesisCatalogue),
	}, kind, items)
	if err != nil {
		return fmt.Errorf("seed %s: %w", kind, err)
	}
	for i, o := range b.Outcomes {
		switch o.Code {
		case "":
			total.Created++
		case domain.CodeDuplicate:
			total.Present++
		default:
			return fmt.Errorf("seed %s %s: %s", kind, items[i].Settable.ExternalID, o.Detail)
		}
	}
	return nil
}

func candidatesOf[F domain.Facts](inputs []domain.Input[F]) []registry.Candidate {
	list := make([]registry.Candidate, len(inputs))
	for i, in := range inputs {
		in.Settable.Visibility = domain.Public
		list[i] = registry.Candidate{Facts: in.Facts, Settable: in.Settable}
	}
	return list
}

func (a *app) genesisPrincipal(ctx context.Context) (auth.Principal, error) {
	db, err := a.openDB(a.settings.OperatorURL, "PLANT_OPERATOR_DATABASE_URL")
	if err != nil {
		return auth.Principal{}, err
	}
	defer db.Close()
	return findPrincipal(ctx, db, genesisAgent, genesisName, true)
}

// openRegistry opens the registry as the writing functions do, without a topic:
// what it announces waits in the outbox for the sweep.
func (a *app) openRegistry(ctx context.Context) (*registry.Service, func(), error) {
	version, err := need(a.settings.AmendmentKey, "AMENDMENT_KEY")
	if err != nil {
		return nil, nil, err
	}
	url, err := need(a.settings.WriterURL, "PLANT_WRITER_DATABASE_URL")
	if err != nil {
		return nil, nil, err
	}
	db, err := store.Open(ctx, store.Config{URL: url, Pool: 1, Function: "plant"})
	if err != nil {
		return nil, nil, err
	}
	source, closeSource, err := a.openSecrets()
	if err != nil {
		db.Close()
		return nil, nil, err
	}
	outbox, closeTopic, err := a.localOutbox(ctx, db)
	if err != nil {
		closeSource()
		db.Close()
		return nil, nil, err
	}
	s, err := registry.New(registry.Config{
		DB: db, Keys: source.Hold(registry.Successor(source, db, version), time.Now), Origin: a.settings.Origin, Outbox: outbox, Log: slog.New(slog.DiscardHandler),
	})
	return s, func() { closeTopic(); closeSource(); db.Close() }, err
}

// localOutbox announces to the local stack's topic, so that what is seeded is found
// by search at once. Without a local stack the sweep announces it within a minute.
func (a *app) localOutbox(ctx context.Context, db *store.DB) (*event.Outbox, func(), error) {
	if a.settings.PubSub == "" {
		return nil, func() {}, nil
	}
	client, err := pubsub.NewClient(ctx, a.settings.Project, localpubsub.ClientOptions(a.settings.PubSub)...)
	if err != nil {
		return nil, nil, fmt.Errorf("open the local Pub/Sub: %w", err)
	}
	topic := event.NewPublisher(client, deliveries.Events)
	return event.NewOutbox(db, topic, "//"+a.settings.Origin), func() { topic.Stop(); _ = client.Close() }, nil
}
