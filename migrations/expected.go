package migrations

import (
	_ "embed" // the listing
	"strings"
)

// catalogue is the listing of a freshly migrated database, as store.DB.Catalogue
// makes it. Generate it with: make catalogue
//
//go:embed catalogue.txt
var catalogue string

// Expected lists what guards the data in a database that was just migrated: tables,
// policies, privileges, triggers, functions and roles, a line each, sorted.
func Expected() []string { return strings.Split(strings.TrimSpace(catalogue), "\n") }

// AllRoles are the roles that the bootstrap makes.
func AllRoles() []string { return append(Roles(), Owner, "plant_migrator") }
