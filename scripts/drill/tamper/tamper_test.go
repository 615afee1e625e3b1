package tamper_test

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/scripts/drill/tamper"
	"github.com/dlai-sd/plant/scripts/localstack/stacktest"
	"github.com/dlai-sd/plant/shared/auth"
	"github.com/dlai-sd/plant/shared/checkpoints"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/keys"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/registry"
	"github.com/dlai-sd/plant/shared/sequencer"
	"github.com/dlai-sd/plant/shared/store"
	"github.com/dlai-sd/plant/shared/testkit/harness"
)

func TestMain(m *testing.M) { stacktest.Main(m) }

// populate writes a registry of two tenants, logs it and publishes a checkpoint.
func populate(t *testing.T, skills int) tamper.Source {
	t.Helper()
	ctx, d := t.Context(), harness.New(t)
	service := d.Service(t, 1)
	for _, owner := range []string{"acme", "borealis"} {
		who := d.Principal(t, owner, domain.Author)
		made := func(kind domain.Kind, list ...registry.Candidate) (ids []domain.ID) {
			b, err := service.CreateAll(ctx, request(who), kind, list)
			require.NoError(t, err)
			for _, o := range b.Outcomes {
				require.Empty(t, o.Code, "%s %v", o.Detail, o.Violations)
				ids = append(ids, o.ID)
			}
			return ids
		}
		var list []registry.Candidate
		for i := range skills / 2 {
			list = append(list, registry.Candidate{Facts: domain.Skill{Name: fmt.Sprint("Skill ", i), Description: "Does it.", Category: "technical"}})
		}
		ids := made(domain.KindSkill, list...)
		industry := made(domain.KindIndustry, registry.Candidate{Facts: domain.Industry{Name: "Gardening"}})[0]
		for i := range max(2, skills/20) {
			role := made(domain.KindJobRole, registry.Candidate{Facts: domain.JobRole{Name: fmt.Sprint("Role ", i), RequiredSkills: ids[i : i+2], SeniorityLevel: "mid", IndustryID: industry}})[0]
			agent := made(domain.KindAgent, registry.Candidate{Facts: domain.Agent{Name: fmt.Sprint("Agent ", i), SkillID: ids[i], JobRoleID: role, IndustryID: industry}})
			made(domain.KindTeam, registry.Candidate{Facts: domain.Team{Name: fmt.Sprint("Team ", i), JobRoleID: role}, Agents: agent})
		}
		for i, id := range ids[:len(ids)/2] {
			next := domain.Evolve{Facts: domain.Skill{Name: fmt.Sprint("Skill ", i), Description: "Does it better.", Category: "technical"}}
			_, err := service.Amend(ctx, request(who), id, ledger.Hash{}, next)
			require.NoError(t, err)
		}
	}
	embed(t, d)
	published, err := checkpoints.NewFolder(t.TempDir())
	require.NoError(t, err)
	db := d.Open(t, "plant_auditor", 1)
	hold := func(use domain.KeyUse) *keys.Holder { return d.Secrets.Hold(keys.Pinned(d.Keys[use]), time.Now) }
	s := sequencer.New(sequencer.Config{DB: db, Store: published, Origin: harness.Origin, Checkpoint: hold(domain.UseCheckpoint), Heads: hold(domain.UseHeads)})
	_, err = s.Seal(ctx)
	require.NoError(t, err)
	admin, err := pgx.Connect(ctx, stacktest.AdminURL(t))
	require.NoError(t, err)
	config, err := pgx.ParseConfig(d.URL)
	require.NoError(t, err)
	_, err = admin.Exec(ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1`, config.Database)
	require.NoError(t, err)
	require.NoError(t, admin.Close(context.WithoutCancel(ctx)))
	return tamper.Source{AdminURL: d.URL, As: d.As, Published: published, Origin: harness.Origin}
}

func request(who auth.Principal) registry.Request {
	return registry.Request{Who: who, Route: "drill", Key: uuid.NewString(), BodyHash: sha256.Sum256(nil)}
}

// embed gives everything that is searched a vector of its own, under batch signatures.
func embed(t *testing.T, d *harness.Deployment) {
	t.Helper()
	db := d.Open(t, "plant_embedder", 1)
	service, err := registry.New(registry.Config{DB: db, Keys: d.Secrets.Hold(keys.Pinned(d.Keys[domain.UseAmendment]), time.Now), Origin: harness.Origin, Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	for {
		waiting, err := db.AwaitingEmbedding(t.Context(), "00000000-0000-0000-0000-000000000000", 256)
		require.NoError(t, err)
		if len(waiting) == 0 {
			return
		}
		var list []registry.Meaning
		for _, e := range waiting {
			v := store.Vector{EntityID: e.ID, Kind: e.Kind(), ModelID: "drill/1", Text: e.Facts.Text(), TextSHA256: sha256.Sum256([]byte(e.Facts.Text())), Values: make([]float32, 384)}
			seed := sha256.Sum256([]byte(e.ID))
			var raw []byte
			for i := range v.Values {
				v.Values[i] = float32(seed[i%len(seed)]) / 4096
				raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v.Values[i]))
			}
			v.VectorSHA256 = sha256.Sum256(raw)
			list = append(list, registry.Meaning{Entity: e, Vectors: []store.Vector{v}})
		}
		require.NoError(t, service.Embed(t.Context(), registry.Request{Who: registry.System("embed")}, list, nil))
	}
}

// TestDatabases is the drill on databases, small unless DRILL_COUNT says otherwise.
func TestDatabases(t *testing.T) {
	t.Parallel()
	o, size := tamper.Options{Count: 2, Seed: 1}, 120
	if n, err := strconv.Atoi(os.Getenv("DRILL_COUNT")); err == nil {
		o, size = tamper.Options{Count: n, Seed: uint64(time.Now().UnixNano())}, 900
	}
	source := populate(t, size)
	begun := time.Now()
	result, err := tamper.Run(t.Context(), source, o)
	require.NoError(t, err)
	for _, row := range result.Rows {
		t.Logf("%-20s %-45s %-10s %d of %d %q", row.Group, row.Name, row.By, row.Found, row.Tried, row.Missed)
		require.Equal(t, o.Count, row.Tried, "%s, %s", row.Group, row.Name)
	}
	t.Logf("%d kinds, %d clean entities, %s, seed %d", len(result.Rows), result.CleanEntities, time.Since(begun), o.Seed)
	require.Empty(t, result.FalseAlarms)
	require.True(t, result.Passed(), "see the rows above")
	require.GreaterOrEqual(t, len(result.Rows), 60)
	require.Positive(t, result.CleanEntities)
}
