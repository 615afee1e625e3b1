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
	expected := migrations.Expected()
	var all []Finding
	tell := func(lines, other []string, how, fix string) {
		for _, line := range lines {
			if _, there := slices.BinarySearch(other, line); !there {
				all = append(all, one(Critical, how+": "+line, fix)...)
			}
		}
	}
	tell(expected, found, "missing", "find out who took it away ("+runbookTamper+"), then make it again as migrations/ says")
	tell(found, expected, "not of the migrations", "find out who added it ("+runbookTamper+"), then take it away as the administrator")
	if len(all) > mostLines {
		rest := len(all) - mostLines
		all = append(all[:mostLines], one(Critical, fmt.Sprintf("and %d more differences", rest), runbookTamper)...)
	}
	return all, nil
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
