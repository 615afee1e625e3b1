package registry_test

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2"
	"github.com/stretchr/testify/require"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/event"
	"github.com/dlai-sd/plant/shared/keys"
	"github.com/dlai-sd/plant/shared/registry"
	"github.com/dlai-sd/plant/shared/testkit/harness"
)

// successor is a second amendment key, in the ledger. Making one takes seconds,
// so it is kept with the other keys of tests.
func (k kit) successor(t *testing.T) string {
	t.Helper()
	secret := "projects/" + harness.Project + "/secrets/plant-amendment-key-next"
	version := secret + "/versions/1"
	key, err := k.Secrets.Key(t.Context(), version)
	if err != nil {
		_, _, err = k.Secrets.Create(t.Context(), secret, keys.RSA4096)
		require.NoError(t, err)
		key, err = k.Secrets.Key(t.Context(), version)
		require.NoError(t, err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	require.NoError(t, err)
	_, err = k.as(t, "plant_operator", domain.UseRoot).Introduce(t.Context(), domain.SigningKey{
		KeyID: key.ID(), SPKI: base64.StdEncoding.EncodeToString(der), Use: domain.UseAmendment,
		MaySign: domain.DefaultMaySign(domain.UseAmendment),
	})
	require.NoError(t, err)
	return version
}

// end takes the deployment's first amendment key out of force.
func (k kit) end(t *testing.T, c domain.EndKey) domain.ID {
	t.Helper()
	key, err := k.Secrets.Key(t.Context(), k.Keys[domain.UseAmendment])
	require.NoError(t, err)
	all, err := k.Open(t, "plant_operator", 1).SigningKeys(t.Context())
	require.NoError(t, err)
	for _, one := range all {
		if one.KeyID == key.ID() {
			_, err := k.as(t, "plant_operator", domain.UseRoot).Amend(t.Context(),
				registry.Request{Who: registry.System("keys")}, one.EntityID, anyVersion, c)
			require.NoError(t, err)
			return one.EntityID
		}
	}
	require.FailNow(t, "the key is not in the ledger")
	return ""
}

// locating is a registry whose key is where versions say, one after the other.
func (k kit) locating(t *testing.T, versions ...string) (*registry.Service, *atomic.Int32) {
	t.Helper()
	var asked atomic.Int32
	locate := func(context.Context) (string, error) {
		n := int(asked.Add(1))
		return versions[min(n, len(versions))-1], nil
	}
	s, err := registry.New(registry.Config{
		DB: k.Open(t, "plant_writer", 1), Keys: k.Secrets.Hold(locate, time.Now), Origin: harness.Origin,
		Log: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	return s, &asked
}

// TestKeyOutOfForce: a function that signs with a retired key reloads once and
// signs with its successor; one that finds none says so and does not ask again
// and again.
func TestKeyOutOfForce(t *testing.T) {
	t.Parallel()
	k := newKit(t, 1)
	old := k.make(t, "Before")
	next := k.successor(t)
	rotating, asked := k.locating(t, k.Keys[domain.UseAmendment], next)
	_, err := rotating.Create(t.Context(), request(k.who, "x"), skill("Still"), domain.Settable{})
	require.NoError(t, err)
	k.end(t, domain.EndKey{Reason: "rotated"})

	stuck, asks := k.locating(t, k.Keys[domain.UseAmendment])
	for range 3 {
		_, err = stuck.Create(t.Context(), request(k.who, "x"), skill("Never"), domain.Settable{})
		requireCode(t, domain.CodeUnavailable, err)
	}
	require.EqualValues(t, 2, asks.Load(), "read once, reloaded once")

	w, err := rotating.Create(t.Context(), request(k.who, "x"), skill("After"), domain.Settable{})
	require.NoError(t, err)
	require.EqualValues(t, 2, asked.Load())
	require.NotEqual(t, old.History[0].KeyID, w.History[0].KeyID)
	_, err = rotating.Amend(t.Context(), request(k.who, "x"), old.Entity.ID, anyVersion, domain.MoveTo{To: domain.UnderReview})
	require.NoError(t, err)
	chain := k.chain(t, old.Entity.ID)
	require.NotEqual(t, chain[0].Record.KeyID, chain[1].Record.KeyID, "one chain, two keys, both verify")
	b, err := rotating.CreateAll(t.Context(), request(k.who, "x"), domain.KindSkill, []registry.Candidate{
		{Facts: skill("A")}, {Facts: skill("B")},
	})
	require.NoError(t, err)
	require.Empty(t, b.Outcomes[0].Code)
	require.Equal(t, 0, k.count(t, "entity WHERE name = 'Never'"))
}

func TestRevokedKey(t *testing.T) {
	t.Parallel()
	k := newKit(t, 1)
	id := k.end(t, domain.EndKey{Revoked: true, InvalidFrom: 7, Reason: "stolen"})
	require.Equal(t, 1, k.count(t, "signing_key k JOIN entity e USING (id) WHERE e.status = 'revoked' AND k.invalid_from = 7 AND id = '"+string(id)+"'"),
		"the columns hold what the state says")
	_, err := k.Create(t.Context(), request(k.who, "x"), skill("Never"), domain.Settable{})
	requireCode(t, domain.CodeUnavailable, err)
}

// TestBrokerAway: with nobody there to take its event a create is answered within
// the time that announcing may take, whole, and the event is kept.
func TestBrokerAway(t *testing.T) {
	t.Parallel()
	k := newKit(t, 1)
	client, err := pubsub.NewClient(t.Context(), harness.Project, option.WithEndpoint("127.0.0.1:1"), option.WithoutAuthentication(),
		option.WithTelemetryDisabled(), option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())))
	require.NoError(t, err)
	topic := event.NewPublisher(client, "nowhere")
	t.Cleanup(func() { _ = client.Close() })
	db := k.Open(t, "plant_writer", 1)
	s, err := registry.New(registry.Config{
		DB: db, Keys: k.Secrets.Hold(keys.Pinned(k.Keys[domain.UseAmendment]), time.Now), Origin: harness.Origin,
		Outbox: event.NewOutbox(db, topic, "//"+harness.Origin), Log: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	began := time.Now()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	w, err := s.Create(ctx, request(k.who, "x"), skill("Welding"), domain.Settable{})
	require.NoError(t, err)
	require.Less(t, time.Since(began), 10*time.Second)
	require.Equal(t, 1, k.count(t, "outbox WHERE subject = '"+string(w.Entity.ID)+"'"))
	_, err = k.Open(t, "plant_auditor", 1).Unannounced(t.Context(), 10, time.Minute)
	require.NoError(t, err)
	require.Equal(t, 0, k.count(t, "outbox WHERE attempts > 0"), "it is not due yet")
}
