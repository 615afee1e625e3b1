package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/registry"
)

// changes says which change each route for principals makes, by its operation;
// domain.Permissions says what that needs. A route that makes
// none reads; one that is no GET says so.
func changes() map[string]string {
	list := map[string]string{"assignTeam": domain.ChangeAssigned, "similarToText": "", "simulateTeam": "", "simulateSkillGap": "", "runSimulation": "", "certifyAll": domain.ChangeCertified, "createExport": "", "runAudit": "", "runDrift": "", "replayConstitution": ""}
	for operation := range lawNeeds() {
		list[operation] = ""
	}
	for one, many := range map[string]string{
		"Skill": "Skills", "JobRole": "JobRoles", "Industry": "Industries", "Team": "Teams", "Agent": "Agents",
	} {
		list["create"+one], list["create"+many] = domain.ChangeCreated, domain.ChangeCreated
		list["evolve"+one] = domain.ChangeEvolved
		list["certify"+one] = domain.ChangeCertified
		list["move"+one], list["archive"+one] = domain.ChangeMoved, domain.ChangeMoved
	}
	return list
}

// printAuthorities writes the table of authorities for people: functions/AUTHORITIES.md
// is what it writes.
func printAuthorities(w io.Writer) error {
	var b strings.Builder
	b.WriteString(`# Who may do what

Written by ` + "`go run ./functions authorities`" + `; a test holds this page to the code, and
another one goes through every row with every authority.

An authority is held over what one's own governance agent owns, or, all but ` + "`author`" + `,
over the whole platform. A row names the authorities that are needed, all of them; whoever
lacks one gets 403. What a caller may not even see answers 404 before any of this is asked.
A token shows what was held when it was issued; what is left of it, the database is asked at
every call, and a test goes through every route with tokens of principals who lost some since.

## Changes

| change | what happens | needs | by itself |
|---|---|---|---|
`)
	for _, p := range domain.Permissions() {
		what := p.Means
		if p.From != "" {
			what = string(p.From) + " → " + string(p.To)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", p.Change, what, joined(p.Needs), bySystem(p.System))
	}
	b.WriteString(`
The governor's moves to certified and to active hold only for a drifted entity that goes back
to the status it had; as reaffirmed, the platform makes them for what drifted only because of
a constitution that the governor withdrew by putting an earlier one in force again;
a move to the status that an entity has, only for one that requires review: the decision.
An auditor reads; no change asks for that authority.

What is exported and audited goes by its scope: everything, for auditors and operators of
the platform; what a governance agent owns, for its auditors and operators; an entity, or an
agent at a date, for whoever belongs to its owner.

The constitution is nobody's own: an ` + "`operator`" + ` of the whole platform proposes one,
` + "`genesis`, `architect` and `guardian`" + ` judge it, each at a gate of its own, and a
` + "`governor`" + ` enacts it or takes it back, all with an authority over the whole platform.
They are five persons, whatever else each of them holds.

## Routes

| route | who gets in | needs |
|---|---|---|
`)
	for _, r := range Routes() {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", r.Pattern, wayIn(r.Access), needsOf(r))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func joined(list []domain.Authority) string {
	names := make([]string, len(list))
	for i, a := range list {
		names[i] = string(a)
	}
	return strings.Join(names, " and ")
}

func bySystem(s string) string {
	return map[string]string{
		domain.SystemNever: "never", domain.SystemAgents: "the platform, for agents", domain.SystemAll: "the platform",
	}[s]
}

func wayIn(a Access) string {
	return map[Access]string{
		Open: "anybody", Bearer: "a principal", Trusted: "Pub/Sub and Scheduler", Caller: "a principal, or one of our functions",
	}[a]
}

// needsOf says what a route asks for: the authorities of its change, or, where
// they depend on the move, which moves.
func needsOf(r Route) string {
	change := changes()[r.Operation]
	var needs []string
	for _, p := range domain.Permissions() {
		switch {
		case change == "" || p.Change != change:
		case p.From == "":
			needs = append(needs, joined(p.Needs))
		case !strings.HasPrefix(r.Operation, "archive"):
			return "as the move does"
		case p.To == domain.Archived:
			needs = append(needs, string(p.From)+": "+joined(p.Needs))
		}
	}
	if need := lawNeeds()[r.Operation]; need != "" {
		return need + ", over the whole platform"
	}
	if r.Operation == "runDrift" {
		return "guardian, governor or operator, as the scope does"
	}
	if r.Operation == "replayConstitution" {
		return "nothing more for one's own; for everybody's genesis, architect, guardian, governor or operator"
	}
	if strings.Contains(r.Pattern, " /api/v1/audit/") {
		return "as the scope does"
	}
	if r.Access == Bearer || r.Access == Caller {
		return cmp.Or(strings.Join(slices.Compact(needs), ", "), "nothing more: reads what it may see")
	}
	return ""
}

// lawNeeds says what the routes that write about the constitution ask for.
func lawNeeds() map[string]string {
	return map[string]string{
		"proposeConstitution": string(registry.Proposer), "judgeConstitution": "the gate's authority",
		"enactConstitution": string(domain.GateGovernor.Needs()), "rollbackConstitution": string(domain.GateGovernor.Needs()),
	}
}
