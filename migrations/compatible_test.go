package migrations_test

import (
	"fmt"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/migrations"
)

// schema is what the migrations so far have made, as far as the lint needs it.
type schema struct {
	tables  map[string]bool
	indexes map[string]string // the table of each
}

// lint reads one migration. What it makes itself nobody uses yet; what earlier ones
// made is in use, by the version before too.
type lint struct {
	used     schema
	made     map[string]bool // tables, indexes, functions and so on of this migration
	indexes  map[string]string
	shut     map[string]bool // tables in use that it locks against readers too
	findings []string
}

// small are the tables that a few rows at most are in, so that an index or a
// constraint is made in no time.
var small = map[string]string{
	"audit_run":    "a row a night, and one for each audit that is asked for",
	"drift_run":    "a row a night, and one for each run that is asked for",
	"constitution": "a row for each constitution that was proposed",
	"enactment":    "a row for each constitution that came into force",
	"hold_change":  "a row each time that batch work was stopped or let go on",
	"log_fork":     "a row for each restore from a backup",
	"signing_key":  "a row for each key",
}

// accepted are the findings in migrations that are frozen, with the reason why they did
// no harm. A migration to come has none: it is written otherwise.
var accepted = map[string]map[string]string{
	"003_roles_teams_agents_industries_keys.sql": {
		"constraint amendment_key_fkey: reads all of amendment while it is shut (NOT VALID first)":             founding,
		"constraint signature_batch_key_fkey: reads all of signature_batch while it is shut (NOT VALID first)": founding,
	},
	"005_row_level_security.sql": {
		"shuts amendment, constitution, embedding, entity, goose_db_version, idempotency_key, inbox, job_role_skill, log_pending, " +
			"opening, outbox, principal, signature_batch, signing_key at once: a deadlock with who takes them in another order": founding,
	},
	"009_search.sql": {
		"drops index embedding_shared_hnsw, which the version before may need":   "slower searches at most, and the next index is made before",
		"index embedding_shared_ip: nobody writes embedding while it is made":    undeployed,
		"index entity_awaiting_embedding: nobody writes entity while it is made": undeployed,
	},
	"010_log.sql": {
		"column log_pending.rank: writes the whole table anew":                "holds what the log has not taken yet, a minute's worth",
		"index log_pending_order: nobody writes log_pending while it is made": "the same",
	},
	"011_governing.sql": {"index entity_waiting: nobody writes entity while it is made": undeployed},
	"013_drift.sql":     {"index entity_constitution: nobody writes entity while it is made": undeployed},
	"014_constitution.sql": {
		"index entity_proposals: nobody writes entity while it is made":                                  undeployed,
		"shuts amendment, constitution, entity at once: a deadlock with who takes them in another order": "a migration gives way",
	},
	"015_hold.sql": {
		"shuts audit_run, drift_run at once: a deadlock with who takes them in another order": "nobody takes both",
	},
	"017_replay.sql": {
		"drops index drift_run_daily, which the version before may need":               "the next statement makes it anew",
		"index drift_run_daily may refuse what the version before writes to drift_run": "it refuses less than the one before it",
	},
}

const (
	founding   = "one of the five that make a database, before anybody uses it"
	undeployed = "there was no deployment with rows yet"
)

// Migrations run while the version before serves, and goes on serving until each
// function is shifted: what it needs stays, what it writes stays welcome, and nobody
// is locked out for long. What is to go, goes once no version uses it, by a migration
// that is accepted here with that reason.
func TestMigrationsSuitTheVersionBefore(t *testing.T) {
	t.Parallel()
	names, err := fs.Glob(migrations.FS, "[0-9]*.sql")
	require.NoError(t, err)
	so := schema{map[string]bool{}, map[string]string{}}
	for _, name := range names {
		text, err := migrations.FS.ReadFile(name)
		require.NoError(t, err)
		l := so.lint(string(text))
		require.Equal(t, slices.Sorted(maps.Keys(accepted[name])), slices.Sorted(slices.Values(l.findings)), name)
		so = l.after()
	}
	for table := range small {
		require.Contains(t, so.tables, table)
	}
}

func (s schema) lint(sql string) *lint {
	l := &lint{used: s, made: map[string]bool{}, indexes: map[string]string{}, shut: map[string]bool{}}
	for _, statement := range statements(sql) {
		l.statement(statement)
	}
	if len(l.shut) > 1 {
		l.find("shuts %s at once: a deadlock with who takes them in another order", strings.Join(slices.Sorted(maps.Keys(l.shut)), ", "))
	}
	return l
}

// after is the schema with what this migration made.
func (l *lint) after() schema {
	next := schema{maps.Clone(l.used.tables), maps.Clone(l.used.indexes)}
	for name := range l.made {
		if table, found := strings.CutPrefix(name, "table "); found {
			next.tables[table] = true
		}
	}
	maps.Copy(next.indexes, l.indexes)
	return next
}

func (l *lint) find(format string, args ...any) {
	l.findings = append(l.findings, fmt.Sprintf(format, args...))
}

// inUse reports whether the version before may have the table open. A name that no
// migration made is one: better found here than at a deployment.
func (l *lint) inUse(table string) bool { return !l.made["table "+table] }

const name = `(?:public\.)?"?([a-z0-9_%]+)"?`

var (
	createTable  = regexp.MustCompile(`^create (?:unlogged )?table (?:if not exists )?` + name)
	createIndex  = regexp.MustCompile(`^create (unique )?index (concurrently )?(?:if not exists )?([a-z0-9_]+) on (?:only )?` + name)
	createPolicy = regexp.MustCompile(`^(?:create|alter|drop) policy (?:if exists )?[a-z0-9_%]+ on ` + name)
	createOther  = regexp.MustCompile(`^create (?:or replace )?(function|procedure|type|domain|view|sequence|trigger|policy) ` + name)
	dropIndex    = regexp.MustCompile(`^drop index (?:concurrently )?(?:if exists )?` + name)
	dropOther    = regexp.MustCompile(`^drop ([a-z]+(?: view)?) (?:if exists )?` + name)
	alterTable   = regexp.MustCompile(`^alter table (?:if exists )?(?:only )?` + name + `\s*\*? (.*)$`)
	writes       = regexp.MustCompile(`^(update|delete from|truncate|lock|merge into) (?:table )?(?:only )?` + name)
	maintains    = regexp.MustCompile(`^(cluster|reindex|vacuum|refresh materialized view|create rule|alter type|reassign|import)\b`)
	revoke       = regexp.MustCompile(`^revoke .* on (function |procedure |routine |table |sequence |schema )?(.*) from (.*)$`)
	rename       = regexp.MustCompile(`\brename\b`)
	insideDo     = regexp.MustCompile(`\b(drop (?:table|column|constraint|function|policy|trigger|type|view|index|schema)|rename|set not null|set data type|` +
		`alter column|truncate (?:table|public|%)|delete from|update (?:public|%)|create (?:unique )?index|add column|lock table)`)
)

func (l *lint) statement(s string) {
	if body, found := strings.CutPrefix(s, "do "); found {
		for _, hidden := range insideDo.FindAllString(body, -1) {
			l.find("hides in DO: %s", hidden)
		}
		return
	}
	if m := createTable.FindStringSubmatch(s); m != nil {
		l.made["table "+m[1]] = true
		return
	}
	if m := createIndex.FindStringSubmatch(s); m != nil {
		l.index(m[1] != "", m[2] != "", m[3], m[4])
		return
	}
	if m := alterTable.FindStringSubmatch(s); m != nil {
		l.alter(m[1], m[2])
		return
	}
	if m := createPolicy.FindStringSubmatch(s); m != nil && l.inUse(m[1]) {
		l.shut[m[1]] = true
	}
	if m := createOther.FindStringSubmatch(s); m != nil {
		l.made[m[1]+" "+m[2]] = true
	}
	switch m := dropIndex.FindStringSubmatch(s); {
	case m != nil:
		l.dropIndex(m[1])
	case dropOther.MatchString(s):
		if m := dropOther.FindStringSubmatch(s); !l.made[m[1]+" "+m[2]] {
			l.find("drops %s %s", m[1], m[2])
		}
	case rename.MatchString(s):
		l.find("renames: %s", s)
	case maintains.MatchString(s):
		l.find("does what a migration may not: %s", maintains.FindString(s))
	}
	if m := writes.FindStringSubmatch(s); m != nil && l.inUse(m[2]) {
		l.find("%s %s, in one transaction", m[1], m[2])
	}
	if m := revoke.FindStringSubmatch(s); m != nil {
		l.revoke(strings.TrimSpace(m[1]), m[2], m[3])
	}
}

func (l *lint) index(unique, concurrently bool, index, table string) {
	defer func() { l.indexes[index], l.made["index "+index] = table, true }()
	if concurrently {
		l.find("index %s concurrently, which no transaction does", index)
	}
	if !l.inUse(table) {
		return
	}
	if small[table] == "" {
		l.find("index %s: nobody writes %s while it is made", index, table)
	}
	if unique {
		l.find("index %s may refuse what the version before writes to %s", index, table)
	}
}

func (l *lint) dropIndex(index string) {
	table := l.used.indexes[index]
	if l.made["index "+index] {
		return
	}
	l.shut[table] = true
	l.find("drops index %s, which the version before may need", index)
}

// revoke finds rights that are taken away. What PUBLIC has on something new is nobody's.
func (l *lint) revoke(kind, objects, from string) {
	if kind == "" {
		kind = "table"
	}
	for _, object := range split(objects) {
		object, _, _ = strings.Cut(strings.TrimPrefix(object, "public."), "(")
		if !l.made[kind+" "+strings.TrimSpace(object)] {
			l.find("revokes from %s what it may on %s", from, strings.TrimSpace(object))
		}
	}
}
