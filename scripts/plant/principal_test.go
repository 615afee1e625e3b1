package main

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/bcrypt"

	"github.com/dlai-sd/plant/shared/auth"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/store"
	"github.com/dlai-sd/plant/shared/testkit/harness"
)

// desk is the command line in front of a database of its own.
type desk struct {
	db  *store.DB
	dir string
}

func newDesk(t *testing.T) desk {
	t.Helper()
	if os.Getenv("TEST_POSTGRES_URL") == "" {
		t.Skip("there is no test database: run make test, or set TEST_POSTGRES_URL")
	}
	d := harness.New(t)
	dir := t.TempDir()
	require.NoError(t, settings{OperatorURL: d.As("plant_operator")}.save(dir))
	return desk{d.Open(t, "plant_operator", 1), dir}
}

// say runs a command line and returns how it ended and what it said.
func (d desk) say(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	errs, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	require.NoError(t, err)
	defer func() { _ = errs.Close() }()
	var out bytes.Buffer
	code = execute(t.Context(), append([]string{"--dir", d.dir}, args...), &out, errs)
	said, err := os.ReadFile(errs.Name())
	require.NoError(t, err)
	return code, out.String(), string(said)
}

// must is say for a command that has to succeed.
func (d desk) must(t *testing.T, args ...string) string {
	t.Helper()
	code, stdout, stderr := d.say(t, args...)
	require.Zero(t, code, stderr)
	return stdout
}

// opens reports whether a secret is the one that the database holds a hash of.
func (d desk) opens(t *testing.T, name, secret string) bool {
	t.Helper()
	_, hash, err := d.db.PrincipalWithSecret(t.Context(), "acme", name)
	require.NoError(t, err)
	cost, err := bcrypt.Cost([]byte(hash))
	require.NoError(t, err)
	require.Equal(t, auth.ClientSecretCost, cost)
	return bcrypt.CompareHashAndPassword([]byte(hash), []byte(secret)) == nil
}

var printed = regexp.MustCompile(`\Aclient_id      acme/ci\nclient_secret  ([A-Za-z0-9_-]{43})\n\z`)

func TestPrincipalCommands(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	code, stdout, stderr := d.say(t, "principal", "add", "-g", "acme", "-n", "ci",
		"--authority", "author", "--authority", "genesis", "--authority=author", "--platform-authority", "auditor")
	require.Zero(t, code, stderr)
	first := printed.FindStringSubmatch(stdout)
	require.Len(t, first, 2, stdout)
	require.NotContains(t, stderr, first[1])
	require.True(t, d.opens(t, "ci", first[1]))
	row, err := d.db.FindPrincipal(t.Context(), "acme", "ci")
	require.NoError(t, err)
	require.Equal(t, []domain.Authority{domain.Author, domain.Genesis}, row.Authorities)
	require.Equal(t, []domain.Authority{domain.Auditor}, row.Platform)

	code, stdout, stderr = d.say(t, "principal", "add", "-g", "acme", "-n", "ci")
	require.Equal(t, 1, code)
	require.Empty(t, stdout)
	require.Contains(t, stderr, "Try: ")
	require.True(t, d.opens(t, "ci", first[1]), "nothing changed")

	second := printed.FindStringSubmatch(d.must(t, "principal", "rotate", "-g", "acme", "-n", "ci"))
	require.Len(t, second, 2)
	require.True(t, d.opens(t, "ci", second[1]))
	require.False(t, d.opens(t, "ci", first[1]))

	for range 2 { // as often as one likes
		require.Contains(t, d.must(t, "principal", "disable", "-g", "acme", "-n", "ci"), "disabled")
	}
	code, _, stderr = d.say(t, "principal", "rotate", "-g", "acme", "-n", "ci")
	require.Zero(t, code)
	require.Contains(t, stderr, "is disabled")
	require.Contains(t, d.must(t, "principal", "list"), "disabled")
	require.Contains(t, d.must(t, "principal", "enable", "-g", "acme", "-n", "ci"), "enabled")
	row, err = d.db.FindPrincipal(t.Context(), "acme", "ci")
	require.NoError(t, err)
	require.False(t, row.Disabled)
}

func TestPrincipalList(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	var made principalSecret
	require.NoError(t, json.Unmarshal([]byte(d.must(t, "--json", "principal", "add", "-g", "globex", "-n", "ci", "--authority", "author")), &made))
	require.Equal(t, "globex/ci", made.ClientID)
	require.Len(t, made.ClientSecret, 43)
	d.must(t, "principal", "add", "-g", "acme", "-n", "reader")
	_, err := findPrincipal(t.Context(), d.db, "acme", "founder", true) // as plant token --create
	require.NoError(t, err)

	text := d.must(t, "principal", "list")
	require.Regexp(t, `(?m)\Aacme/founder +\S{36} +no secret +author$
acme/reader +\S{36} +enabled +$
globex/ci +\S{36} +enabled +author\n\z`, text)
	require.NotContains(t, text, "$2")
	asJSON := d.must(t, "--json", "principal", "list")
	require.NotContains(t, asJSON, made.ClientSecret)
	require.NotContains(t, asJSON, "$2")
	var list []principalView
	require.NoError(t, json.Unmarshal([]byte(asJSON), &list, json.RejectUnknownMembers(true)))
	require.Len(t, list, 3)
	made.scope = ""
	require.Equal(t, made.principalView, list[2])
	require.Equal(t, 1, strings.Count(d.must(t, "principal", "list", "-g", "globex"), "\n"))
}

func TestPrincipalCommandsRefuse(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	add := func(more ...string) []string { return append([]string{"principal", "add"}, more...) }
	for _, c := range []struct {
		code int
		args []string
	}{
		{2, add("-g", "acme")},
		{2, add("-n", "ci")},
		{2, add("-g", "acme", "-n", "ci", "--authority", "god")},
		{2, add("-g", "acme", "-n", "ci", "--platform-authority", "author")},
		{2, add("-g", "acme", "-n", "ci", "--secret", "chosen")},
		{1, add("-g", "Acme", "-n", "ci")},
		{1, add("-g", "keyring", "-n", "ci")},
		{1, add("-g", "system", "-n", "ci")},
		{1, add("-g", "acme", "-n", "")},
		{1, add("-g", "acme", "-n", "c:i")},
		{1, add("-g", "acme", "-n", "c i")},
		{1, add("-g", "acme", "-n", strings.Repeat("n", 101))},
		{1, []string{"principal", "rotate", "-g", "acme", "-n", "nobody"}},
		{1, []string{"principal", "disable", "-g", "acme", "-n", "nobody"}},
		{1, []string{"principal", "enable", "-g", "acme", "-n", "nobody"}},
	} {
		code, stdout, stderr := d.say(t, c.args...)
		require.Equal(t, c.code, code, "%v: %s", c.args, stderr)
		require.Empty(t, stdout, c.args)
		require.NotEmpty(t, stderr, c.args)
	}
	rows, err := d.db.ListPrincipals(t.Context(), "")
	require.NoError(t, err)
	require.Empty(t, rows)
}

// TestAuthoritiesOnTheCommandLine: the flags take what there is, and author is
// never held on the whole platform.
func TestAuthoritiesOnTheCommandLine(t *testing.T) {
	t.Parallel()
	var all, platform []string
	for _, a := range domain.Authorities() {
		all = append(all, string(a))
		if a != domain.Author {
			platform = append(platform, string(a))
		}
	}
	for field, want := range map[string][]string{"Authority": all, "PlatformAuthority": platform} {
		f, ok := reflect.TypeFor[principalAddCmd]().FieldByName(field)
		require.True(t, ok)
		got := strings.Split(f.Tag.Get("enum"), ",")
		require.True(t, slices.Equal(want, got), "%s: %v", field, got)
	}
}
