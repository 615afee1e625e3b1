package main

import (
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/migrations"
)

func TestMigrateGivesWayAsOftenAsTheLibrary(t *testing.T) {
	t.Parallel()
	var c cli
	parser, err := newParser(&c, io.Discard, io.Discard, func(int) {})
	require.NoError(t, err)
	_, err = parser.Parse([]string{"migrate", "up"})
	require.NoError(t, err)
	require.Equal(t, migrations.DefaultAttempts, c.Migrate.Up.Attempts)
}
