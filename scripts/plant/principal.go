package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"

	"github.com/dlai-sd/plant/shared/auth"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/store"
)

type principalCmd struct {
	Add     principalAddCmd     `cmd:"" help:"Make a principal and print its secret, this once."`
	List    principalListCmd    `cmd:"" help:"List the principals, without secrets."`
	Rotate  principalRotateCmd  `cmd:"" help:"Give a principal a new secret and print it, this once; the old one gets no token any more."`
	Disable principalDisableCmd `cmd:"" help:"Take a principal's right to write and to get tokens away, at once."`
	Enable  principalEnableCmd  `cmd:"" help:"Undo disable; secret and authorities are as they were."`
}

// principalName says which principal; together the two are its client id.
type principalName struct {
	GovernanceAgent string `help:"Its governance agent, the tenant." short:"g" required:""`
	Name            string `help:"Its name there." short:"n" required:""`
}

func (p principalName) clientID() string {
	return auth.Principal{GovernanceAgent: p.GovernanceAgent, Name: p.Name}.ClientID()
}

// principalShape is what a new principal may be called: its client id then
// needs no escaping anywhere.
var principalShape = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._@-]{0,99}$`)

// ownNames are governance agents that only the platform itself writes as.
func ownNames() []string { return []string{domain.KeyringAgent, "system"} }

// principalView is a principal as the commands print it.
type principalView struct {
	PrincipalID     string             `json:"principal_id"`
	GovernanceAgent string             `json:"governance_agent_id"`
	Name            string             `json:"name"`
	ClientID        string             `json:"client_id"`
	Authorities     []domain.Authority `json:"authorities"`
	Platform        []domain.Authority `json:"platform_authorities"`
	HasSecret       bool               `json:"has_secret"`
	Disabled        bool               `json:"disabled"`

	scope string
}

// principalSecret is a principal with a secret that is shown once.
type principalSecret struct {
	principalView
	ClientSecret string `json:"client_secret"`
}

// callerOf is a row as package auth knows it.
func callerOf(p store.Principal) auth.Principal {
	return auth.Principal{
		ID: p.ID, GovernanceAgent: p.GovernanceAgent, Name: p.Name, Authorities: p.Authorities, Platform: p.Platform,
	}
}

func viewOf(p store.Principal) principalView {
	return principalView{
		scope:       callerOf(p).Scope(),
		PrincipalID: p.ID, GovernanceAgent: p.GovernanceAgent, Name: p.Name, ClientID: callerOf(p).ClientID(),
		Authorities: p.Authorities, Platform: p.Platform, HasSecret: p.HasSecret, Disabled: p.Disabled,
	}
}

// withPrincipals runs f on the database as the operator.
func (a *app) withPrincipals(f func(context.Context, *store.DB) error) error {
	ctx, cancel := context.WithTimeout(a.ctx, 20*time.Second)
	defer cancel()
	db, err := a.openDB(a.settings.OperatorURL, "PLANT_OPERATOR_DATABASE_URL")
	if err != nil {
		return err
	}
	defer db.Close()
	return f(ctx, db)
}

type principalAddCmd struct {
	principalName
	Authority         []domain.Authority `help:"What it may decide about its governance agent's own: ${enum}. Repeatable; none: it may only read." enum:"author,genesis,architect,guardian,governor,auditor,operator"`
	PlatformAuthority []domain.Authority `help:"What it may decide about everybody's: ${enum}. Repeatable." enum:"genesis,architect,guardian,governor,auditor,operator"`
}

// Run makes the principal.
func (c principalAddCmd) Run(a *app) error {
	p := store.Principal{
		ID: uuid.NewString(), GovernanceAgent: c.GovernanceAgent, Name: c.Name,
		Authorities: unique(c.Authority), Platform: unique(c.PlatformAuthority), HasSecret: true,
	}
	if err := c.check(p); err != nil {
		return err
	}
	secret, hash, err := auth.NewClientSecret()
	if err != nil {
		return err
	}
	return a.withPrincipals(func(ctx context.Context, db *store.DB) error {
		err := db.AddPrincipalWithSecret(ctx, p, hash)
		if errors.Is(err, store.ErrNameTaken) {
			return advise(fmt.Errorf("%s is there already", c.clientID()), "another name, or a new secret with: plant principal rotate")
		}
		if err != nil {
			return err
		}
		return a.printSecret(p, secret)
	})
}

func (c principalAddCmd) check(p store.Principal) error {
	if !principalShape.MatchString(c.Name) {
		return advise(fmt.Errorf("the name %q is not one", c.Name), "1 to 100 of A-Z a-z 0-9 . _ @ -, the first a letter or digit")
	}
	if slices.Contains(ownNames(), c.GovernanceAgent) {
		return advise(fmt.Errorf("the governance agent %s is the platform's own", c.GovernanceAgent), "another governance agent")
	}
	return callerOf(p).Check()
}

type principalListCmd struct {
	GovernanceAgent string `help:"Only this governance agent's." short:"g"`
}

// Run lists them by governance agent and name.
func (c principalListCmd) Run(a *app) error {
	return a.withPrincipals(func(ctx context.Context, db *store.DB) error {
		rows, err := db.ListPrincipals(ctx, c.GovernanceAgent)
		if err != nil {
			return err
		}
		list := make([]principalView, len(rows))
		for i, row := range rows {
			list[i] = viewOf(row)
		}
		return a.print(list, func() { a.printPrincipals(list) })
	})
}

func (a *app) printPrincipals(list []principalView) {
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	for _, p := range list {
		state := "enabled"
		switch {
		case p.Disabled:
			state = "disabled"
		case !p.HasSecret:
			state = "no secret"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", p.ClientID, p.PrincipalID, state, p.scope)
	}
	_ = w.Flush() // stdout is gone, and nobody is left to tell
}

type principalRotateCmd struct{ principalName }

// Run replaces the secret.
func (c principalRotateCmd) Run(a *app) error {
	secret, hash, err := auth.NewClientSecret()
	if err != nil {
		return err
	}
	return a.withPrincipals(func(ctx context.Context, db *store.DB) error {
		p, err := c.find(ctx, db)
		if err != nil {
			return err
		}
		if err := db.SetPrincipalSecret(ctx, p.ID, hash); err != nil {
			return err
		}
		p.HasSecret = true
		return a.printSecret(p, secret)
	})
}

type principalDisableCmd struct{ principalName }

// Run disables the principal.
func (c principalDisableCmd) Run(a *app) error { return c.setDisabled(a, true) }

type principalEnableCmd struct{ principalName }

// Run enables the principal.
func (c principalEnableCmd) Run(a *app) error { return c.setDisabled(a, false) }

func (p principalName) setDisabled(a *app, disabled bool) error {
	return a.withPrincipals(func(ctx context.Context, db *store.DB) error {
		found, err := p.find(ctx, db)
		if err != nil {
			return err
		}
		if err := db.SetPrincipalDisabled(ctx, found.ID, disabled); err != nil {
			return err
		}
		found.Disabled = disabled
		view := viewOf(found)
		return a.print(view, func() { a.printPrincipals([]principalView{view}) })
	})
}

func (p principalName) find(ctx context.Context, db *store.DB) (store.Principal, error) {
	found, err := db.FindPrincipal(ctx, p.GovernanceAgent, p.Name)
	if errors.Is(err, store.ErrNotFound) {
		return found, advise(fmt.Errorf("there is no principal %s", p.clientID()), "plant principal list")
	}
	return found, err
}

// printSecret prints a secret, which is kept nowhere.
func (a *app) printSecret(p store.Principal, secret string) error {
	fmt.Fprintln(a.stderr, "Keep the secret now: it is not stored, and nobody can show it again.")
	if p.Disabled {
		fmt.Fprintln(a.stderr, "The principal is disabled: the secret gets a token after plant principal enable.")
	}
	return a.print(principalSecret{viewOf(p), secret}, func() {
		fmt.Fprintf(a.stdout, "client_id      %s\nclient_secret  %s\n", callerOf(p).ClientID(), secret)
	})
}

// unique is the list in its order without repetitions.
func unique(list []domain.Authority) []domain.Authority {
	var out []domain.Authority
	for _, one := range list {
		if !slices.Contains(out, one) {
			out = append(out, one)
		}
	}
	return out
}
