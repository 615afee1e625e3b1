package doctor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dlai-sd/plant/migrations"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/store"
)

const (
	oldestServer = 160000 // PostgreSQL 16
	oldestVector = 8      // of 0.8
	clockLimit   = 2 * time.Second
)

func checkServer(ctx context.Context, d Deployment) ([]Finding, error) {
	s, err := d.DB.Server(ctx)
	if err != nil {
		return nil, err
	}
	var all []Finding
	if s.Version < oldestServer {
		all = append(all, one(Critical, fmt.Sprintf("PostgreSQL %d is older than 16", s.Version/10000), "gcloud sql instances patch plant --database-version=POSTGRES_18")...)
	}
	if !newVector(s.Vector) {
		all = append(all, one(Critical, fmt.Sprintf("pgvector is %q and must be 0.8 or newer", s.Vector), "ALTER EXTENSION vector UPDATE; as the administrator, after installing it on the server")...)
	}
	return all, nil
}

func newVector(version string) bool {
	major, rest, _ := strings.Cut(version, ".")
	minor, _, _ := strings.Cut(rest, ".")
	a, err := strconv.Atoi(major)
	if err != nil {
		return false
	}
	b, err := strconv.Atoi(minor)
	return err == nil && (a > 0 || b >= oldestVector)
}

func checkSchema(ctx context.Context, d Deployment) ([]Finding, error) {
	version, err := d.DB.SchemaVersion(ctx)
	if err != nil {
		return nil, err
	}
	switch latest := migrations.Latest(); {
	case version < latest:
		return one(Critical, fmt.Sprintf("the schema is at version %d, this binary needs %d", version, latest), "plant migrate up"), nil
	case version > latest:
		return one(Warning, fmt.Sprintf("the schema is at version %d, this binary knows %d", version, latest), "use the plant of the newest deployment"), nil
	}
	return nil, nil
}

// mostLines is how many differences are told one by one.
const mostLines = 20

// checkGuards holds the catalogue to the listing of a freshly migrated database. It
// says nothing where the schema is of another version.
func checkGuards(ctx context.Context, d Deployment) ([]Finding, error) {
	version, err := d.DB.SchemaVersion(ctx)
	if err != nil {
		return nil, err
	}
	if version != migrations.Latest() {
		return nil, errSkipped("the schema is of another version than this binary")
	}
	found, err := d.DB.Catalogue(ctx, migrations.AllRoles())
	if err != nil {
		return nil, err
	}
	all := differences(migrations.Expected(), found)
	if len(all) > mostLines {
		rest := len(all) - mostLines
		all = append(all[:mostLines], one(Critical, fmt.Sprintf("and %d more differences", rest), runbookTamper)...)
	}
	return all, nil
}

// differences are the lines of one listing that are not in the other, both sorted. Two
// lines about one thing are one difference.
func differences(expected, found []string) []Finding {
	missing, added := without(expected, found), without(found, expected)
	were, are := bySubject(missing), bySubject(added)
	var all []Finding
	for _, line := range missing {
		s := subject(line)
		if len(were[s]) == 1 && len(are[s]) == 1 {
			all = append(all, one(Critical, "changed: "+line+" → "+strings.TrimPrefix(are[s][0], s+": "),
				"find out who changed it ("+runbookTamper+"), then make it as it was, as migrations/ says")...)
			continue
		}
		all = append(all, one(Critical, "missing: "+line, "find out who took it away ("+runbookTamper+"), then make it again as migrations/ says")...)
	}
	for _, line := range added {
		if s := subject(line); len(were[s]) != 1 || len(are[s]) != 1 {
			all = append(all, one(Critical, "not of the migrations: "+line, "find out who added it ("+runbookTamper+"), then take it away as the administrator")...)
		}
	}
	return all
}

func without(lines, others []string) []string {
	return slices.DeleteFunc(slices.Clone(lines), func(line string) bool {
		_, there := slices.BinarySearch(others, line)
		return there
	})
}

func bySubject(lines []string) map[string][]string {
	m := map[string][]string{}
	for _, line := range lines {
		m[subject(line)] = append(m[subject(line)], line)
	}
	return m
}

// subject is what a line is about, before what it says of it. Of a privilege, a power
// or a membership the whole line is: one more is not another one changed.
func subject(line string) string {
	about, _, ok := strings.Cut(line, ": ")
	for _, whole := range []string{"grant ", "role ", "login ", "member of "} {
		ok = ok && !strings.HasPrefix(line, whole)
	}
	if !ok {
		return line
	}
	return about
}

func checkConstitution(ctx context.Context, d Deployment) ([]Finding, error) {
	law, err := d.DB.InForce(ctx)
	if errors.Is(err, store.ErrNotFound) {
		return one(Critical, "no constitution is in force", "plant keys init"), nil
	}
	if err != nil {
		return nil, err
	}
	if _, err := domain.ReadConstitution(law.Document); err != nil {
		return one(Critical, "this binary cannot judge by the constitution in force", "deploy the version that was built for it"), nil
	}
	return nil, nil
}

func checkClock(ctx context.Context, d Deployment) ([]Finding, error) {
	before := d.Now()
	s, err := d.DB.Server(ctx)
	if err != nil {
		return nil, err
	}
	after := d.Now()
	skew := max(before.Sub(s.Now), s.Now.Sub(after))
	if skew > clockLimit {
		return one(Warning, fmt.Sprintf("this clock and the database's are %s apart; above 10 s no record is accepted", skew.Round(time.Millisecond)), "timedatectl set-ntp true"), nil
	}
	return nil, nil
}
