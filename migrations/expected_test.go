package migrations_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/migrations"
	"github.com/dlai-sd/plant/shared/store"
)

// TestExpectedIsWhatMigrationsMake; with PLANT_UPDATE=1 it writes the listing anew.
func TestExpectedIsWhatMigrationsMake(t *testing.T) {
	t.Parallel()
	db, err := store.Open(t.Context(), store.Config{URL: newDatabase(t).url, Pool: 1, Function: "test"})
	require.NoError(t, err)
	t.Cleanup(db.Close)
	made, err := db.Catalogue(t.Context(), migrations.AllRoles())
	require.NoError(t, err)
	made = slices.DeleteFunc(made, func(line string) bool { return strings.Contains(line, ": login_") }) // other tests' own
	if os.Getenv("PLANT_UPDATE") != "" {
		require.NoError(t, os.WriteFile("catalogue.txt", []byte(strings.Join(made, "\n")+"\n"), 0o600))
		return
	}
	require.Equal(t, migrations.Expected(), made, "make catalogue, and read what has changed")
}
