// Package domain says what may be: the kinds of entity, their states, the
// changes that can happen to them, and the rules those changes obey. It is
// pure: no clock, no database, no network, so every decision can be replayed.
//
// Ten words that the rest of the code uses without explaining them:
//
//   - Entity: a thing the registry keeps a record of; one of five kinds, or a
//     signing key.
//   - Facts: what differs between the kinds (a skill's category, a role's
//     required skills).
//   - State: one JSON object with everything about an entity that is governed
//     and therefore signed.
//   - Change: one thing that can happen to an entity; applying it yields the
//     next state or a refusal.
//   - Amendment: the signed record that a change happened; an entity's
//     amendments form its chain.
//   - Governance agent: the tenant that owns an entity, a slug that never
//     changes.
//   - Principal: who acts; belongs to one governance agent and holds
//     authorities.
//   - Authority: what a principal may decide (author, genesis, architect, …).
//   - Constitution: the versioned rule set; its SHA-256 is in every record.
//   - Violation: a rule that says no, where, and what to do about it.
package domain
