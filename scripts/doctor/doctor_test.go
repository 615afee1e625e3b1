package doctor_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2"
	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	secretmanager "cloud.google.com/go/secretmanager/apiv1"
	secretspb "cloud.google.com/go/secretmanager/apiv1/secretmanagerpb"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/scripts/doctor"
	local "github.com/dlai-sd/plant/scripts/localstack/pubsub"
	"github.com/dlai-sd/plant/scripts/localstack/secrets"
	"github.com/dlai-sd/plant/scripts/localstack/stacktest"
	"github.com/dlai-sd/plant/shared/checkpoints"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/keys"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/registry"
	"github.com/dlai-sd/plant/shared/sequencer"
	"github.com/dlai-sd/plant/shared/testkit/harness"
	"github.com/dlai-sd/plant/shared/translog"
)

func TestMain(m *testing.M) { stacktest.Main(m) }

// patient is a deployment that is well.
type patient struct {
	h    *harness.Deployment
	ring registry.Keyring // of a patient with secrets of its own
	d    doctor.Deployment
	log  *sequencer.Sequencer
	dir  string
}

const filter = `attributes.type="plant.skill.created"`

func newPatient(t *testing.T) *patient {
	t.Helper()
	return patientOf(t, harness.New(t), 0)
}

// newPatientWithSecrets has a Secret Manager of its own: what is done to it no other
// test sees.
func newPatientWithSecrets(t *testing.T) *patient {
	t.Helper()
	h := harness.New(t)
	ring := h.OwnSecrets(t)
	p := patientOf(t, h, 0)
	p.ring = ring
	return p
}

// patientOf is well, but for its log, which was brought forward some time ago.
func patientOf(t *testing.T, h *harness.Deployment, ago time.Duration) *patient {
	t.Helper()
	p := &patient{h: h, dir: t.TempDir()}
	folder, err := checkpoints.NewFolder(p.dir)
	require.NoError(t, err)
	hold := func(use domain.KeyUse) *keys.Holder { return h.Secrets.Hold(keys.Pinned(h.Keys[use]), time.Now) }
	p.log = sequencer.New(sequencer.Config{
		DB: h.Open(t, "plant_auditor", 2), Store: folder, Origin: harness.Origin,
		Checkpoint: hold(domain.UseCheckpoint), Heads: hold(domain.UseHeads),
		Now: func() time.Time { return time.Now().Add(-ago) },
	})
	_, err = p.log.Run(t.Context())
	require.NoError(t, err)
	client, err := secretmanager.NewClient(t.Context(), secrets.ClientOptions(h.SecretsAddr)...)
	require.NoError(t, err)
	t.Cleanup(func() { _ = client.Close() })
	server, err := local.Start(t.Context(), local.Options{
		Project: harness.Project, Topics: []string{"plant-events", "plant-dead-letter"},
		Subscriptions: []local.Subscription{{Name: "embed", Topic: "plant-events", Filter: filter}, {Name: "dead", Topic: "plant-dead-letter"}},
	})
	require.NoError(t, err)
	t.Cleanup(func() { _ = server.Stop(context.WithoutCancel(t.Context())) })
	events, err := pubsub.NewClient(t.Context(), harness.Project, local.ClientOptions(server.Addr())...)
	require.NoError(t, err)
	t.Cleanup(func() { _ = events.Close() })
	p.d = doctor.Deployment{
		DB: h.Open(t, "plant_operator", 1), Origin: harness.Origin, Project: harness.Project,
		Secrets: client, Checkpoints: folder, PubSub: events, Topics: []string{"plant-events", "plant-dead-letter"},
		Subscriptions: []doctor.Subscription{{Name: "embed", Topic: "plant-events", Filter: filter}, {Name: "dead", Topic: "plant-dead-letter"}},
		DeadLetters:   "dead",
		Pinned:        map[string]string{"AMENDMENT_KEY": h.Keys[domain.UseAmendment], "JWT_KEYS": h.TokensVersion},
		Now:           time.Now,
	}
	return p
}

// sql changes the database behind everybody's back, as its administrator.
func (p *patient) sql(t *testing.T, text string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), p.h.URL)
	require.NoError(t, err)
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	_, err = conn.Exec(t.Context(), text)
	require.NoError(t, err)
}

// publish puts a checkpoint into the world whose log the database does not hold.
func (p *patient) publish(t *testing.T, size int64) {
	t.Helper()
	key, err := p.h.Secrets.Key(t.Context(), p.h.Keys[domain.UseCheckpoint])
	require.NoError(t, err)
	note, err := translog.Checkpoint{Origin: harness.Origin, Size: size, Root: ledger.Hash{1}}.Sign(key)
	require.NoError(t, err)
	require.NoError(t, p.d.Checkpoints.Create(t.Context(), 2, note))
}

// disable takes a version of a secret out of use.
func (p *patient) disable(t *testing.T, version string) {
	t.Helper()
	_, err := p.d.Secrets.DisableSecretVersion(t.Context(), &secretspb.DisableSecretVersionRequest{Name: version})
	require.NoError(t, err)
}

// fired are the checks that found something. That a key in this machine's cache of
// tests has grown old is no part of a test.
func fired(t *testing.T, r doctor.Report) []string {
	t.Helper()
	var names []string
	for _, o := range r.Outcomes {
		require.Empty(t, o.Unknown, o.Check)
		for _, f := range o.Findings {
			require.NotEmpty(t, f.What)
			require.NotEmpty(t, f.Fix)
			if len(names) == 0 || names[len(names)-1] != o.Check {
				names = append(names, o.Check)
			}
		}
	}
	return names
}

func TestWhoIsWellHasNoFinding(t *testing.T) {
	t.Parallel()
	r := doctor.Examine(t.Context(), newPatient(t).d)
	require.Empty(t, fired(t, r), "%v", r.Findings())
	require.Zero(t, r.Code())
}

// unguarded is a statement on a table whose triggers sleep meanwhile.
func unguarded(table, text string) string {
	return "ALTER TABLE " + table + " DISABLE TRIGGER ALL; " + text + "; ALTER TABLE " + table + ` ENABLE TRIGGER ALL;
		DO $$ DECLARE t text; BEGIN FOR t IN SELECT tgname FROM pg_trigger WHERE tgrelid = '` + table + `'::regclass AND NOT tgisinternal LOOP
			EXECUTE format('ALTER TABLE ` + table + ` ENABLE ALWAYS TRIGGER %I', t); END LOOP; END $$`
}

const oldRun = `INSERT INTO audit_run (id, since, phase, findings, finished_at) VALUES (gen_random_uuid(), now(), 'done', `

// TestExactlyTheCheckFires: whatever is broken, its check says so and no other.
func TestExactlyTheCheckFires(t *testing.T) {
	t.Parallel()
	statement := func(text string) func(*testing.T, *patient) {
		return func(t *testing.T, p *patient) { p.sql(t, text) }
	}
	for name, c := range map[string]struct {
		check string
		harm  func(*testing.T, *patient)
		says  string
	}{
		"row security disabled":   {"guards", statement(`ALTER TABLE skill DISABLE ROW LEVEL SECURITY`), "table skill"},
		"row security not forced": {"guards", statement(`ALTER TABLE opening NO FORCE ROW LEVEL SECURITY`), "table opening"},
		"policy dropped":          {"guards", statement(`DROP POLICY insert_own ON entity`), "missing: policy insert_own on entity"},
		"policy widened":          {"guards", statement(`ALTER POLICY read_own ON entity USING (true)`), "changed: policy read_own on entity"},
		"policy added":            {"guards", statement(`CREATE POLICY more ON principal FOR SELECT TO plant_writer USING (true)`), "not of the migrations: policy more"},
		"grant added":             {"guards", statement(`GRANT DELETE ON amendment TO plant_writer`), "grant DELETE on amendment to plant_writer"},
		"column grant added":      {"guards", statement(`GRANT UPDATE (signature) ON amendment TO plant_writer`), "grant UPDATE (signature) on amendment"},
		"grant to PUBLIC":         {"guards", statement(`GRANT SELECT ON principal TO PUBLIC`), "to PUBLIC"},
		"grant taken":             {"guards", statement(`REVOKE INSERT ON amendment FROM plant_writer`), "missing: grant INSERT on amendment"},
		"trigger disabled":        {"guards", statement(`ALTER TABLE amendment DISABLE TRIGGER amendment_truncate`), "changed: trigger amendment_truncate on amendment: enabled A"},
		"every trigger disabled":  {"guards", statement(`ALTER TABLE opening DISABLE TRIGGER ALL`), "constraint trigger on opening"},
		"function replaced":       {"guards", statement(`CREATE OR REPLACE FUNCTION prevent_truncate() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'`), "prevent_truncate"},
		"constraint dropped":      {"guards", statement(`ALTER TABLE amendment DROP CONSTRAINT amendment_signature_check`), "amendment_signature_check"},
		"view made":               {"guards", statement(`CREATE VIEW peek AS SELECT * FROM opening`), "view peek"},
		"owner changed":           {"guards", statement(`ALTER TABLE skill OWNER TO CURRENT_USER`), "table skill: owner"},
		"migration missing":       {"schema", statement(`DELETE FROM goose_db_version WHERE version_id = (SELECT max(version_id) FROM goose_db_version)`), "plant migrate up"},
		"migration unknown":       {"schema", statement(`INSERT INTO goose_db_version (version_id, is_applied) SELECT max(version_id) + 1, true FROM goose_db_version`), "newest deployment"},
		"nothing in force":        {"constitution", statement(unguarded("enactment", `DELETE FROM enactment`)), "plant keys init"},
		"clock ahead":             {"clock", func(_ *testing.T, p *patient) { p.d.Now = func() time.Time { return time.Now().Add(time.Minute) } }, "apart"},
		"unknown constitution":    {"constitution", statement(unguarded("enactment", `UPDATE enactment SET sha256 = sha256('x')`) + "; " + unguarded("constitution", `UPDATE constitution SET sha256 = sha256('x'), document = 'x'`)), "cannot judge by the constitution"},
		"outbox stuck":            {"outbox", statement(`INSERT INTO outbox (id, type, subject, governance_agent_id, data, created_at) VALUES (gen_random_uuid(), 'plant.skill.created', gen_random_uuid(), 'acme', '{}', now() - interval '1 hour')`), "1 event waits"},
		"clock":                   {"clock", func(_ *testing.T, p *patient) { p.d.Now = func() time.Time { return time.Now().Add(-time.Minute) } }, "apart"},
		"rolled back":             {"log", func(t *testing.T, p *patient) { p.publish(t, 1000) }, "older than what was published"},
		"key ended":               {"keys", statement(unguarded("entity", `UPDATE entity SET status = 'retired' WHERE id = (SELECT id FROM signing_key WHERE use = 'heads')`)), "no heads key is in force"},
		"secret unreadable": {"secrets", func(_ *testing.T, p *patient) {
			p.d.Pinned["JWT_KEYS"] = "projects/" + harness.Project + "/secrets/plant-jwt-keys/versions/99"
		}, "JWT_KEYS cannot be read"},
		"audit late":      {"audit", statement(oldRun + `0, now() - interval '2 days')`), "ended 48h"},
		"audit found one": {"audit", statement(oldRun + `1, now())`), "found 1 thing that is not as it was signed"},
		"held":            {"hold", statement(`INSERT INTO hold_change (held, made_by, reason) VALUES (true, 'operator', 'The import runs.')`), "plant hold off"},
		"audit found":     {"audit", statement(oldRun + `3, now())`), "found 3 things"},
		"amendment waits": {"sequencer", statement(unguarded("log_pending", `INSERT INTO log_pending (hash, entity_id, seq, entity_type, change, recorded_at)
			SELECT hash, entity_id, seq, entity_type, change, now() - interval '1 hour' FROM amendment LIMIT 1`)), "1 amendment waits"},
		"vector waits": {"embedding", func(t *testing.T, p *patient) {
			author := p.h.Principal(t, "acme", domain.Author)
			_, err := p.h.Service(t, 1).Create(t.Context(), registry.Request{Who: author, Route: "test", Key: "one", BodyHash: [32]byte{1}},
				domain.Skill{Name: "Baking", Description: "Bakes.", Category: "technical"}, domain.Settable{})
			require.NoError(t, err)
			p.sql(t, `DELETE FROM outbox`)
			p.sql(t, unguarded("entity", `UPDATE entity SET updated_at = now() - interval '1 hour' WHERE entity_type = 'skill'`))
		}, "1 entity waits"},
		"no topic": {"topics", func(_ *testing.T, p *patient) { p.d.Topics = append(p.d.Topics, "gone") }, "no topic gone"},
		"no subscription": {"subscriptions", func(_ *testing.T, p *patient) {
			p.d.Subscriptions = append(p.d.Subscriptions, doctor.Subscription{Name: "gone"})
		}, "no subscription gone"},
		"filter differs": {"subscriptions", func(_ *testing.T, p *patient) { p.d.Subscriptions[0].Filter = "" }, "embed lets through"},
		"dead letter": {"dead letters", func(t *testing.T, p *patient) {
			_, err := p.d.PubSub.TopicAdminClient.Publish(t.Context(), &pb.PublishRequest{
				Topic: "projects/" + harness.Project + "/topics/plant-dead-letter", Messages: []*pb.PubsubMessage{{Data: []byte("{}")}},
			})
			require.NoError(t, err)
		}, "1 event was given up"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPatient(t)
			c.harm(t, p)
			r := doctor.Examine(t.Context(), p.d)
			require.Equal(t, []string{c.check}, fired(t, r), "%v", r.Findings())
			f := r.Findings()[0]
			if strings.HasPrefix(f.What, "changed: ") {
				for _, f := range r.Findings() { // none of it is missing, or there too
					require.Regexp(t, "^changed: .* → ", f.What)
					require.Contains(t, f.Fix, "make it as it was")
				}
			}
			require.Contains(t, f.What+f.Fix, c.says)
			require.Equal(t, 1, r.Code())
		})
	}
}

// TestWhatCannotBeLookedAtIsSaid: a database that is away is no clean bill.
func TestWhatCannotBeLookedAtIsSaid(t *testing.T) {
	t.Parallel()
	p := newPatient(t)
	p.d.DB.Close()
	p.d.Checkpoints = nil
	r := doctor.Examine(t.Context(), p.d)
	require.Equal(t, 2, r.Code())
}

// TestRotationIsDue: a key is older than its rotation once that has passed.
func TestRotationIsDue(t *testing.T) {
	t.Parallel()
	p := newPatient(t)
	p.d.Now = func() time.Time { return time.Now().Add(91 * 24 * time.Hour) }
	require.Contains(t, fired(t, doctor.Examine(t.Context(), p.d)), "rotation")
}
