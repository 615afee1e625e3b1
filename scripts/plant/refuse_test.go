package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestRunSaysWhatToDo: what a machine can lack ends the start with a sentence,
// what to try, and exit code 1.
func TestRunSaysWhatToDo(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, []byte("kept"), 0o600))
	for name, c := range map[string]struct {
		env       []string
		args      []string
		says, try string
	}{
		"functions are missing": {
			args: []string{"--functions", "/no/such/binary"},
			says: "the functions' binary is not at /no/such/binary", try: "make run, or make build",
		},
		"functions are another program": {
			args: []string{"--functions", file},
			says: "ask " + file + " for its routes", try: "make build",
		},
		"the cache cannot be written": { // a file is in the way, which stops root as well
			env:  []string{"PLANT_CACHE=" + filepath.Join(file, "cache")},
			says: "create the cache folder " + filepath.Join(file, "cache"), try: "another cache folder with PLANT_CACHE",
		},
		"Python is missing": {
			env:  []string{"PATH=/no/such/folder", "PLANT_CACHE=" + t.TempDir()},
			says: "python 3 was not found", try: "DATABASE_URL",
		},
		"the data folder cannot be made": {
			args: []string{"--dir", filepath.Join(file, "data")},
			says: "not a directory", try: "another folder with --dir",
		},
		"no PostgreSQL answers": {
			env:  []string{"DATABASE_URL=postgres://admin:sesame@127.0.0.1:1/plant"},
			says: "connect as administrator", try: "DATABASE_URL must be an administrator's address",
		},
		"DATABASE_URL is no address": {
			env:  []string{"DATABASE_URL=postgres://admin:sesame@host:port:7/x"},
			says: "connect as administrator", try: "DATABASE_URL must be an administrator's address",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "data")
			t.Cleanup(func() { removeCluster(t, dir) })
			r := plant(t, environment(append(c.env, "PLANT_DIR="+dir)...), append([]string{"run", "--port", "0"}, c.args...)...)
			require.Equal(t, 1, r.code)
			require.Contains(t, r.stderr, "plant: ")
			require.Contains(t, r.stderr, c.says)
			require.Regexp(t, "(?m)^Try: .*"+c.try, r.stderr)
			require.Empty(t, r.stdout)
			require.NotContains(t, r.stderr, "sesame", "no password in a message")
			require.NoFileExists(t, stackFile(dir))
		})
	}
	t.Cleanup(func() {
		info, err := os.Stat(file)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode(), "a file in the way stays as it is")
	})
}

// TestBinaryAlone: plant looks for the functions beside itself.
func TestBinaryAlone(t *testing.T) {
	t.Parallel()
	s := stack{cmd: runCmd{}}
	binary, err := s.functionsBinary()
	require.Empty(t, binary)
	require.ErrorContains(t, err, "the functions' binary is not at ", "there is none beside a test binary")
}

// TestWithoutStack: commands that need a deployment say how to get one.
func TestWithoutStack(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"show", "bread"},
		{"token"},
		{"keys", "list"},
		{"keys", "init"},
		{"migrate", "up"},
		{"migrate", "status"},
		{"seed"},
		{"import", os.DevNull, "--category", "technical"},
	} {
		t.Run(fmt.Sprint(args), func(t *testing.T) {
			t.Parallel()
			r := plant(t, environment(), args...)
			require.Equal(t, 1, r.code)
			require.Empty(t, r.stdout)
			require.Contains(t, r.stderr, "no stack runs here and PLANT_")
			require.Regexp(t, "(?m)^Try: ", r.stderr)
		})
	}
}

// TestCloudWithoutLogin: in the cloud a command is its job's account; elsewhere it
// says how to become somebody.
func TestCloudWithoutLogin(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"migrate", "up"}, {"migrate", "status"}, {"keys", "list"}} {
		t.Run(fmt.Sprint(args), func(t *testing.T) {
			t.Parallel()
			r := plant(t, environment("INSTANCE_CONNECTION_NAME=p:r:i", "DB_IAM_USER=plant-migrate@p.iam", "DB_NAME=plant",
				"GOOGLE_APPLICATION_CREDENTIALS=/no/such/file"), args...)
			require.Equal(t, 1, r.code)
			require.Contains(t, r.stderr, "open Cloud SQL connector")
			require.Regexp(t, "(?m)^Try: ", r.stderr)
		})
	}
}

func TestDamagedAddresses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(stackFile(dir), []byte("{"), 0o600))
	r := plant(t, environment("PLANT_DIR="+dir), "show", "bread")
	require.Equal(t, 1, r.code)
	require.Contains(t, r.stderr, "is damaged")
	require.Regexp(t, "(?m)^Try: stop the stack, delete the file", r.stderr)
}

func TestUsage(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"frobnicate"},
		{"keys"},
		{"migrate"},
		{"import"},
		{"import", "x.jsonl", "--category", "magic"},
		{"show"},
		{"run", "--port", "eighty"},
		{"run", "--postgres", "9"},
		{"token", "--no-such-flag"},
	} {
		help := "plant " + args[0] + " --help"
		if args[0] == "frobnicate" {
			help = "plant --help"
		}
		t.Run(fmt.Sprint(args), func(t *testing.T) {
			t.Parallel()
			r := plant(t, environment(), args...)
			require.Equal(t, 2, r.code)
			require.Empty(t, r.stdout)
			require.True(t, strings.HasSuffix(r.stderr, "\nTry: "+help+"\n"), r.stderr)
		})
	}
	for _, args := range [][]string{{}, {"--help"}, {"run", "--help"}} {
		r := must(t, environment(), args...)
		require.Contains(t, r.stdout, "Usage: plant")
		require.Empty(t, r.stderr)
	}
}
