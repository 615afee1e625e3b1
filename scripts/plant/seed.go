package main

import (
	"context"
	"crypto/sha256"
	_ "embed" // the catalogue
	"fmt"
	"log/slog"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"

	"github.com/dlai-sd/plant/shared/auth"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/keys"
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
// takes them.
type catalogue struct {
	Industries []domain.Input[domain.Industry] `json:"industries"`
	Skills     []domain.Input[domain.Skill]    `json:"skills"`
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
	for kind, items := range map[domain.Kind][]registry.Candidate{
		domain.KindIndustry: candidatesOf(c.Industries), domain.KindSkill: candidatesOf(c.Skills),
	} {
		if err := seedKind(ctx, service, who, kind, items, &total); err != nil {
			return total, err
		}
	}
	return total, nil
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
	s, err := registry.New(registry.Config{
		DB: db, Keys: source.Hold(keys.Pinned(version), time.Now), Origin: a.settings.Origin, Log: slog.New(slog.DiscardHandler),
	})
	return s, func() { closeSource(); db.Close() }, err
}
