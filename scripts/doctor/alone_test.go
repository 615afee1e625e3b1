package doctor_test

import (
	"fmt"
	"testing"
	"time"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/scripts/doctor"
	"github.com/dlai-sd/plant/shared/checkpoints"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/keys"
	"github.com/dlai-sd/plant/shared/testkit/harness"
)

const checkpointSecret = "projects/" + harness.Project + "/secrets/plant-checkpoint-key"

// exactly asks that one check fires with one finding, and says what.
func exactly(t *testing.T, p *patient, check string, severity doctor.Severity, says string) {
	t.Helper()
	r := doctor.Examine(t.Context(), p.d)
	require.Equal(t, []string{check}, fired(t, r), "%v", r.Findings())
	require.Len(t, r.Findings(), 1)
	require.Equal(t, severity, r.Findings()[0].Severity)
	require.Contains(t, r.Findings()[0].What, says)
	require.Equal(t, 1, r.Code())
}

// TestKeysAndSecrets: what is done to keys in Secret Manager or in the ledger is seen by
// the one check that is about it.
func TestKeysAndSecrets(t *testing.T) {
	t.Parallel()
	t.Run("rotated", func(t *testing.T) {
		t.Parallel()
		p := newPatientWithSecrets(t)
		_, err := p.ring.Rotate(t.Context(), domain.UseCheckpoint)
		require.NoError(t, err)
		r := doctor.Examine(t.Context(), p.d)
		require.Empty(t, fired(t, r), "%v", r.Findings())
	})
	t.Run("several in force", func(t *testing.T) {
		t.Parallel()
		p := newPatientWithSecrets(t)
		_, err := p.ring.Rotate(t.Context(), domain.UseCheckpoint)
		require.NoError(t, err)
		p.sql(t, unguarded("entity", `UPDATE entity SET status = 'active' WHERE id IN (SELECT id FROM signing_key WHERE use = 'checkpoint')`))
		exactly(t, p, "keys", doctor.Warning, "2 checkpoint keys are in force")
	})
	t.Run("the newest of several is the one that is looked for", func(t *testing.T) {
		t.Parallel()
		p := newPatientWithSecrets(t)
		newest, err := p.ring.Rotate(t.Context(), domain.UseCheckpoint)
		require.NoError(t, err)
		p.sql(t, unguarded("entity", `UPDATE entity SET status = 'active' WHERE id IN (SELECT id FROM signing_key WHERE use = 'checkpoint')`))
		p.disable(t, newest)
		r := doctor.Examine(t.Context(), p.d)
		require.Equal(t, []string{"keys"}, fired(t, r))
		require.Len(t, r.Findings(), 2)
		require.Contains(t, r.Findings()[1].What, "no version of "+checkpointSecret)
	})
	t.Run("its version is disabled", func(t *testing.T) {
		t.Parallel()
		p := newPatientWithSecrets(t)
		p.disable(t, checkpointSecret+"/versions/1")
		exactly(t, p, "keys", doctor.Critical, "no version of "+checkpointSecret+" holds the checkpoint key in force")
	})
	t.Run("another key stands in its place", func(t *testing.T) {
		t.Parallel()
		p := newPatientWithSecrets(t)
		p.disable(t, checkpointSecret+"/versions/1")
		version, _, err := p.h.Secrets.Create(t.Context(), checkpointSecret, keys.Ed25519)
		require.NoError(t, err)
		require.Equal(t, checkpointSecret+"/versions/2", version)
		exactly(t, p, "keys", doctor.Critical, "no version of "+checkpointSecret)
	})
	t.Run("another key stands before it", func(t *testing.T) {
		t.Parallel()
		p := newPatientWithSecrets(t)
		_, _, err := p.h.Secrets.Create(t.Context(), checkpointSecret, keys.Ed25519)
		require.NoError(t, err)
		_, err = p.h.Secrets.Add(t.Context(), checkpointSecret, []byte("no key at all"))
		require.NoError(t, err)
		r := doctor.Examine(t.Context(), p.d)
		require.Empty(t, fired(t, r), "%v", r.Findings())
	})
	t.Run("what a setting names is disabled", func(t *testing.T) {
		t.Parallel()
		p := newPatientWithSecrets(t)
		p.disable(t, p.h.TokensVersion)
		exactly(t, p, "secrets", doctor.Critical, "JWT_KEYS cannot be read")
	})
	t.Run("a setting that is not set", func(t *testing.T) {
		t.Parallel()
		p := newPatient(t)
		p.d.Pinned["CHECKPOINT_KEY"] = ""
		r := doctor.Examine(t.Context(), p.d)
		require.Empty(t, fired(t, r), "%v", r.Findings())
	})
}

// TestTheLogStandsStill: each way in which the log is behind or stopped has its own words.
func TestTheLogStandsStill(t *testing.T) {
	t.Parallel()
	t.Run("nothing was ever published", func(t *testing.T) {
		t.Parallel()
		p := newPatient(t)
		empty, err := checkpoints.NewFolder(t.TempDir())
		require.NoError(t, err)
		p.d.Checkpoints = empty
		p.sql(t, unguarded("checkpoint", `DELETE FROM checkpoint`))
		exactly(t, p, "checkpoint", doctor.Critical, "no checkpoint was ever published")
	})
	t.Run("old heads", func(t *testing.T) {
		t.Parallel()
		p := patientOf(t, harness.New(t), 27*time.Hour)
		exactly(t, p, "checkpoint", doctor.Warning, "the newest heads record is 27h")
	})
	t.Run("heads of yesterday", func(t *testing.T) {
		t.Parallel()
		p := patientOf(t, harness.New(t), 25*time.Hour)
		require.Empty(t, fired(t, doctor.Examine(t.Context(), p.d)))
	})
	t.Run("no audit ever ended", func(t *testing.T) {
		t.Parallel()
		p := newPatient(t)
		p.sql(t, unguarded("entity", `UPDATE entity SET created_at = now() - interval '27 hours'`))
		exactly(t, p, "audit", doctor.Warning, "no audit of the platform has ever ended")
	})
	t.Run("no audit yet", func(t *testing.T) {
		t.Parallel()
		p := newPatient(t)
		p.sql(t, unguarded("entity", `UPDATE entity SET created_at = now() - interval '25 hours'`))
		r := doctor.Examine(t.Context(), p.d, "audit")
		require.Empty(t, fired(t, r))
		require.Contains(t, r.Outcomes[0].Skipped, "no audit has ended yet")
	})
	t.Run("another log", func(t *testing.T) {
		t.Parallel()
		p := newPatient(t)
		state, err := p.d.DB.LogState(t.Context())
		require.NoError(t, err)
		p.publish(t, state.Size)
		exactly(t, p, "log", doctor.Critical, "the database holds another log than what was published")
	})
	t.Run("lost", func(t *testing.T) {
		t.Parallel()
		p := newPatient(t)
		empty, err := checkpoints.NewFolder(t.TempDir())
		require.NoError(t, err)
		p.d.Checkpoints = empty
		r := doctor.Examine(t.Context(), p.d)
		require.Equal(t, []string{"log", "checkpoint"}, fired(t, r), "both rest on what was published")
		require.Contains(t, r.Findings()[0].What, "the log is stopped (")
	})
	t.Run("forked", func(t *testing.T) {
		t.Parallel()
		p := newPatient(t)
		p.publish(t, 1000)
		root, err := p.h.Secrets.Key(t.Context(), p.h.Keys[domain.UseRoot])
		require.NoError(t, err)
		operator := *p.log
		operator.DB = p.d.DB
		_, err = operator.Fork(t.Context(), root, "next.test.example/2")
		require.NoError(t, err)
		r := doctor.Examine(t.Context(), p.d)
		require.Equal(t, []string{"log"}, fired(t, r))
		require.Contains(t, r.Findings()[0].What, "was forked to next.test.example/2")
		require.Contains(t, r.Findings()[0].Fix, "PLANT_ORIGIN=next.test.example/2")
	})
}

// TestManyDifferences: twenty are told one by one, of more how many there are.
func TestManyDifferences(t *testing.T) {
	t.Parallel()
	for _, n := range []int{20, 21, 23} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			p := newPatient(t)
			p.sql(t, fmt.Sprintf(`DO $$ DECLARE t text; BEGIN FOR t IN SELECT relname FROM pg_class
				WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' ORDER BY relname LIMIT %d LOOP
				EXECUTE format('GRANT TRUNCATE ON public.%%I TO plant_reader', t); END LOOP; END $$`, n))
			r := doctor.Examine(t.Context(), p.d)
			require.Equal(t, []string{"guards"}, fired(t, r))
			found := r.Findings()
			if n == 20 {
				require.Len(t, found, 20)
				require.Contains(t, found[19].What, "grant TRUNCATE")
				return
			}
			require.Len(t, found, 21)
			require.Equal(t, fmt.Sprintf("and %d more differences", n-20), found[20].What)
		})
	}
}

// TestEvents: a subscription that hears another topic, and more dead letters than are
// counted one by one.
func TestEvents(t *testing.T) {
	t.Parallel()
	t.Run("another topic", func(t *testing.T) {
		t.Parallel()
		p := newPatient(t)
		p.d.Subscriptions[1].Topic = "plant-events"
		exactly(t, p, "subscriptions", doctor.Critical, "dead is not of the topic plant-events")
	})
	t.Run("many dead letters", func(t *testing.T) {
		t.Parallel()
		p := newPatient(t)
		letters := make([]*pb.PubsubMessage, 120)
		for i := range letters {
			letters[i] = &pb.PubsubMessage{Data: []byte("{}")}
		}
		_, err := p.d.PubSub.TopicAdminClient.Publish(t.Context(), &pb.PublishRequest{
			Topic: "projects/" + harness.Project + "/topics/plant-dead-letter", Messages: letters,
		})
		require.NoError(t, err)
		exactly(t, p, "dead letters", doctor.Warning, "100 or more events were given up")
	})
	t.Run("no place for dead letters", func(t *testing.T) {
		t.Parallel()
		p := newPatient(t)
		p.d.DeadLetters = "gone"
		r := doctor.Examine(t.Context(), p.d, "dead letters")
		require.Empty(t, fired(t, r))
		require.Contains(t, r.Outcomes[0].Skipped, "see subscriptions")
	})
}

// TestWhatIsUnknownIsNamed: without a client the checks that need it cannot look, and
// all others do.
func TestWhatIsUnknownIsNamed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		without func(*doctor.Deployment)
		blind   []string
	}{
		"secrets":     {func(d *doctor.Deployment) { d.Secrets = nil }, []string{"keys", "rotation", "secrets"}},
		"events":      {func(d *doctor.Deployment) { d.PubSub = nil }, []string{"topics", "subscriptions", "dead letters"}},
		"checkpoints": {func(d *doctor.Deployment) { d.Checkpoints = nil }, []string{"log", "checkpoint"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPatient(t)
			c.without(&p.d)
			r := doctor.Examine(t.Context(), p.d)
			var blind []string
			for _, o := range r.Outcomes {
				require.Empty(t, o.Findings)
				if o.Unknown != "" {
					blind = append(blind, o.Check)
				}
			}
			require.Equal(t, c.blind, blind)
			require.Equal(t, 2, r.Code())
		})
	}
}

// TestEdges: a clock is right within two seconds, and a key is young for ninety days.
func TestEdges(t *testing.T) {
	t.Parallel()
	p := newPatientWithSecrets(t)
	p.d.Now = func() time.Time { return time.Now().Add(time.Second) }
	require.Empty(t, fired(t, doctor.Examine(t.Context(), p.d, "clock")))
	p.d.Now = func() time.Time { return time.Now().Add(90*24*time.Hour - time.Minute) }
	require.Empty(t, fired(t, doctor.Examine(t.Context(), p.d, "rotation")))
	p.d.Now = func() time.Time { return time.Now().Add(90*24*time.Hour + time.Minute) }
	r := doctor.Examine(t.Context(), p.d, "rotation")
	require.Len(t, r.Findings(), 4, "the root stays")
	require.Equal(t, 1, r.Code())
}
