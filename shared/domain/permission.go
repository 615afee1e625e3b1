package domain

import "slices"

// Who may do a thing without being asked: nobody, the platform for agents alone,
// or the platform for every kind.
const (
	SystemNever  = ""
	SystemAgents = "agents"
	SystemAll    = "all"
)

// Permission is a row of the one table of authorities: a change, for a move of
// the lifecycle also from where to where, and the authorities that a caller
// needs over the governance agent that owns the entity, all of them. System says
// for which kinds the platform does it by itself.
type Permission struct {
	Change   string
	From, To Status // empty where the change does not move
	Needs    []Authority
	System   string
	Means    string // what it is, for people
}

// Permissions is who may make which change. The lifecycle's rows are those of
// Moves; what is not here cannot be made by anybody.
func Permissions() []Permission {
	author, operator := []Authority{Author}, []Authority{Operator}
	rows := []Permission{
		{Change: ChangeCreated, Needs: author, Means: "an entity is created"},
		{Change: ChangeEvolved, Needs: author, Means: "its fields are changed"},
		{Change: ChangeAssigned, Needs: author, Means: "an agent joins or leaves a team"},
		{Change: ChangeEmbedded, Needs: operator, System: SystemAll, Means: "a vector is made of its text"},
		{Change: ChangeDrifted, Needs: []Authority{Guardian}, System: SystemAll, Means: "it is marked: requires_review, or its vector had drifted"},
		{Change: ChangeErased, Needs: []Authority{Governor}, Means: "states of the past are erased"},
		{Change: ChangeIntroduced, Needs: operator, System: SystemAll, Means: "a signing key is introduced"},
		{Change: ChangeRetired, Needs: operator, Means: "a signing key is retired"},
		{Change: ChangeRevoked, Needs: operator, Means: "a signing key is revoked"},
		{Change: ChangeReattested, Needs: operator, Means: "records under a revoked key are attested again"},
	}
	for _, m := range Moves() {
		rows = append(rows, Permission{
			Change: m.Change, From: m.From, To: m.To, Needs: slices.Clone(m.Who), System: systemOf(m), Means: "it moves",
		})
	}
	return rows
}

func systemOf(m Move) string {
	switch {
	case m.System(KindSkill):
		return SystemAll
	case m.System(KindAgent):
		return SystemAgents
	}
	return SystemNever
}

// Allows reports whether a set of authorities is enough.
func (p Permission) Allows(held []Authority) bool {
	return len(p.Needs) > 0 && !slices.ContainsFunc(p.Needs, func(a Authority) bool { return !slices.Contains(held, a) })
}
