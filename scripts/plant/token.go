package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/dlai-sd/plant/shared/auth"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/store"
)

// The principal of the local stack that the first commands speak for.
const (
	demoAgent = "demo"
	demoName  = "founder"
)

type tokenCmd struct {
	GovernanceAgent string `help:"The principal's governance agent." default:"demo" short:"g"`
	Name            string `help:"The principal's name." default:"founder" short:"n"`
	Create          bool   `help:"Make the principal, an author, if there is none."`
}

// minted is what plant token prints as JSON.
type minted struct {
	AccessToken string    `json:"access_token"`
	TokenType   string    `json:"token_type"`
	ExpiresAt   time.Time `json:"expires_at"`
}

// Run prints a token.
func (c tokenCmd) Run(a *app) error {
	token, expires, err := a.mint(c.GovernanceAgent, c.Name, c.Create)
	if err != nil {
		return err
	}
	return a.print(minted{token, "Bearer", expires}, func() { fmt.Fprintln(a.stdout, token) })
}

// mint makes a token for a principal of the database. Who can read the token
// secret can speak for anybody: this is the operator's tool.
func (a *app) mint(governanceAgent, name string, create bool) (string, time.Time, error) {
	ctx, cancel := context.WithTimeout(a.ctx, 20*time.Second)
	defer cancel()
	db, err := a.openDB(a.settings.OperatorURL, "PLANT_OPERATOR_DATABASE_URL")
	if err != nil {
		return "", time.Time{}, err
	}
	defer db.Close()
	p, err := findPrincipal(ctx, db, governanceAgent, name, create)
	if err != nil {
		return "", time.Time{}, err
	}
	version, err := need(a.settings.TokenKeys, "JWT_KEYS")
	if err != nil {
		return "", time.Time{}, err
	}
	source, closeSource, err := a.openSecrets()
	if err != nil {
		return "", time.Time{}, err
	}
	defer closeSource()
	payload, err := source.Payload(ctx, version)
	if err != nil {
		return "", time.Time{}, err
	}
	secrets, err := auth.ParseSecrets(payload)
	if err != nil {
		return "", time.Time{}, err
	}
	return auth.Issuer{Secrets: secrets, Issuer: a.settings.TokenIssuer, Audience: a.settings.TokenAudience}.Mint(p)
}

func findPrincipal(ctx context.Context, db *store.DB, governanceAgent, name string, create bool) (auth.Principal, error) {
	row, err := db.FindPrincipal(ctx, governanceAgent, name)
	if errors.Is(err, store.ErrNotFound) && create {
		row, err = addPrincipal(ctx, db, governanceAgent, name)
	}
	switch {
	case errors.Is(err, store.ErrNotFound):
		return auth.Principal{}, advise(fmt.Errorf("%s has no principal %q", governanceAgent, name), "plant token --create")
	case err != nil:
		return auth.Principal{}, err
	case row.Disabled:
		return auth.Principal{}, fmt.Errorf("the principal %q of %s is disabled", name, governanceAgent)
	}
	return auth.Principal{
		ID: row.ID, GovernanceAgent: row.GovernanceAgent, Name: row.Name, Authorities: row.Authorities, Platform: row.Platform,
	}, nil
}

func addPrincipal(ctx context.Context, db *store.DB, governanceAgent, name string) (store.Principal, error) {
	p := store.Principal{
		ID: uuid.NewString(), GovernanceAgent: governanceAgent, Name: name, Authorities: []domain.Authority{domain.Author},
	}
	check := auth.Principal{ID: p.ID, GovernanceAgent: p.GovernanceAgent, Name: p.Name, Authorities: p.Authorities}
	if err := check.Check(); err != nil {
		return p, err
	}
	if err := db.AddPrincipal(ctx, p); err != nil {
		// Two at once: the other one's is as good.
		if found, findErr := db.FindPrincipal(ctx, governanceAgent, name); findErr == nil {
			return found, nil
		}
		return p, err
	}
	return p, nil
}
