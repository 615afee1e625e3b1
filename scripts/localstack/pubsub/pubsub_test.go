package pubsub

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	gcp "cloud.google.com/go/pubsub/v2"
	verifier "github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/scripts/localstack/oidc"
)

const pusher = "push@plant-local.iam.gserviceaccount.com"

// endpoint answers pushes and hands them on.
type endpoint struct {
	url   string
	calls chan call
}

type call struct {
	envelope Envelope
	body     string
	header   http.Header
}

func newEndpoint(t *testing.T, answer func(call) int) *endpoint {
	t.Helper()
	e := &endpoint{calls: make(chan call, 100)}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		c := call{body: string(body), header: r.Header}
		if err := json.Unmarshal(body, &c.envelope); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		status := answer(c)
		e.calls <- c
		w.WriteHeader(status)
	}))
	t.Cleanup(server.Close)
	e.url = server.URL
	return e
}

func (e *endpoint) next(t *testing.T) call {
	t.Helper()
	select {
	case c := <-e.calls:
		return c
	case <-time.After(20 * time.Second):
		t.Fatal("no push came")
		return call{}
	}
}

func always(status int) func(call) int { return func(call) int { return status } }

func pushTo(name, url, filter string) Subscription {
	return Subscription{
		Name: name, Topic: "plant-events", Filter: filter, PushURL: url + "/events/" + name, MaxAttempts: 3,
		MinBackoff: time.Millisecond, MaxBackoff: 4 * time.Millisecond, DeadLetterTopic: "plant-dead-letter",
	}
}

type stack struct {
	server *Server
	client *gcp.Client
	issuer *oidc.Issuer
}

func newStack(t *testing.T, subs ...Subscription) stack {
	t.Helper()
	issuer, err := oidc.Start(0)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, issuer.Stop(context.Background())) })
	server, err := Start(t.Context(), Options{
		Project: "plant-local", Topics: []string{"plant-events", "plant-dead-letter"},
		Subscriptions: append(subs, Subscription{Name: "plant-dead-letter-pull", Topic: "plant-dead-letter"}),
		Token:         func(audience string) (string, error) { return issuer.Token(audience, pusher) },
		Logger:        slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	client, err := gcp.NewClient(t.Context(), "plant-local", ClientOptions(server.Addr())...)
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, client.Close())
		require.NoError(t, server.Stop(context.Background()))
	})
	return stack{server, client, issuer}
}

func (s stack) publish(t *testing.T, data, kind string) string {
	t.Helper()
	p := s.client.Publisher("plant-events")
	defer p.Stop()
	id, err := p.Publish(t.Context(), &gcp.Message{Data: []byte(data), Attributes: map[string]string{"type": kind, "ce-id": "7"}}).Get(t.Context())
	require.NoError(t, err)
	return id
}

func (s stack) deadLetter(t *testing.T) *gcp.Message {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var (
		once sync.Once
		got  *gcp.Message
	)
	err := s.client.Subscriber("plant-dead-letter-pull").Receive(ctx, func(_ context.Context, m *gcp.Message) {
		m.Ack()
		once.Do(func() { got = m })
		cancel()
	})
	require.NoError(t, err)
	require.NotNil(t, got, "no dead letter came")
	return got
}

func TestPushIsGooglesEnvelopeWithAToken(t *testing.T) {
	t.Parallel()
	e := newEndpoint(t, always(http.StatusNoContent))
	s := newStack(t, pushTo("embed", e.url, ""))
	id := s.publish(t, "hello", "plant.skill.created")
	got := e.next(t)
	published := got.envelope.Message.PublishTime
	_, err := time.Parse(time.RFC3339Nano, published)
	require.NoError(t, err)
	require.JSONEq(t, `{"message":{"attributes":{"ce-id":"7","type":"plant.skill.created"},"data":"aGVsbG8=",
		"messageId":"`+id+`","message_id":"`+id+`","publishTime":"`+published+`","publish_time":"`+published+`"},
		"subscription":"projects/plant-local/subscriptions/embed","deliveryAttempt":1}`, got.body)

	raw, ok := strings.CutPrefix(got.header.Get("Authorization"), "Bearer ")
	require.True(t, ok)
	provider, err := verifier.NewProvider(t.Context(), s.issuer.URL())
	require.NoError(t, err)
	token, err := provider.Verifier(&verifier.Config{ClientID: e.url + "/events/embed"}).Verify(t.Context(), raw)
	require.NoError(t, err)
	var claims struct {
		Email string `json:"email"`
	}
	require.NoError(t, token.Claims(&claims))
	require.Equal(t, pusher, claims.Email)
}

func TestAudienceCanBeSet(t *testing.T) {
	t.Parallel()
	e := newEndpoint(t, always(http.StatusOK))
	sub := pushTo("embed", e.url, "")
	sub.Audience = "plant-events"
	s := newStack(t, sub)
	s.publish(t, "hello", "x")
	provider, err := verifier.NewProvider(t.Context(), s.issuer.URL())
	require.NoError(t, err)
	raw := strings.TrimPrefix(e.next(t).header.Get("Authorization"), "Bearer ")
	_, err = provider.Verifier(&verifier.Config{ClientID: "plant-events"}).Verify(t.Context(), raw)
	require.NoError(t, err)
}

func TestFailedPushIsTriedAgain(t *testing.T) {
	t.Parallel()
	e := newEndpoint(t, func(c call) int {
		if c.envelope.DeliveryAttempt < 3 {
			return http.StatusServiceUnavailable
		}
		return http.StatusOK
	})
	s := newStack(t, pushTo("embed", e.url, ""))
	s.publish(t, "hello", "x")
	for attempt := 1; attempt <= 3; attempt++ {
		require.Equal(t, attempt, e.next(t).envelope.DeliveryAttempt)
	}
	require.NoError(t, s.server.Stop(t.Context()))
	require.Empty(t, e.calls)
}

func TestRedirectIsAFailure(t *testing.T) {
	t.Parallel()
	elsewhere := newEndpoint(t, always(http.StatusOK))
	server := httptest.NewServer(http.RedirectHandler(elsewhere.url, http.StatusTemporaryRedirect))
	t.Cleanup(server.Close)
	s := newStack(t, pushTo("embed", server.URL, ""))
	s.publish(t, "hello", "x")
	require.Equal(t, "hello", string(s.deadLetter(t).Data))
	require.Empty(t, elsewhere.calls)
}

func TestDeadLetterSaysWhereItCameFrom(t *testing.T) {
	t.Parallel()
	e := newEndpoint(t, always(http.StatusInternalServerError))
	s := newStack(t, pushTo("embed", e.url, ""))
	s.publish(t, "poison", "plant.skill.created")
	dead := s.deadLetter(t)
	require.Equal(t, "poison", string(dead.Data))
	require.NotEmpty(t, dead.Attributes["CloudPubSubDeadLetterSourceTopicPublishTime"])
	delete(dead.Attributes, "CloudPubSubDeadLetterSourceTopicPublishTime")
	require.Equal(t, map[string]string{
		"type": "plant.skill.created", "ce-id": "7",
		"CloudPubSubDeadLetterSourceDeliveryCount":       "3",
		"CloudPubSubDeadLetterSourceSubscription":        "embed",
		"CloudPubSubDeadLetterSourceSubscriptionProject": "plant-local",
	}, dead.Attributes)
	require.Len(t, e.calls, 3)
}

func TestFiltersDecideWhoGetsWhat(t *testing.T) {
	t.Parallel()
	skills, agents := newEndpoint(t, always(200)), newEndpoint(t, always(200))
	s := newStack(t,
		pushTo("skills", skills.url, `hasPrefix(attributes.type, "plant.skill.")`),
		pushTo("agents", agents.url, `attributes.type = "plant.agent.born"`))
	s.publish(t, "1", "plant.skill.created")
	s.publish(t, "2", "plant.agent.born")
	s.publish(t, "3", "plant.agent.active")
	require.Equal(t, "1", string(skills.next(t).envelope.Message.Data))
	require.Equal(t, "2", string(agents.next(t).envelope.Message.Data))
	require.NoError(t, s.server.Stop(t.Context()))
	require.Empty(t, skills.calls)
	require.Empty(t, agents.calls)
}

func TestStopLetsADeliveryEndUntilItsTimeIsOver(t *testing.T) {
	t.Parallel()
	for name, patient := range map[string]bool{"patient": true, "impatient": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			begun, release := make(chan struct{}), make(chan struct{})
			e := newEndpoint(t, func(call) int {
				close(begun)
				<-release
				return http.StatusOK
			})
			s := newStack(t, pushTo("embed", e.url, ""))
			s.server.http.Timeout = 0 // or that ends the delivery too
			s.publish(t, "slow", "x")
			<-begun
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			stopped := make(chan error)
			go func() { stopped <- s.server.Stop(ctx) }()
			if patient {
				close(release)
			} else {
				defer close(release)
				cancel()
			}
			require.NoError(t, <-stopped)
		})
	}
}

func TestBackoffDoublesUpToItsMost(t *testing.T) {
	t.Parallel()
	want := []time.Duration{10, 20, 40, 80, 100, 100}
	for i, w := range want {
		require.Equal(t, w, backoff(i+1, 10, 100))
	}
	require.Equal(t, time.Duration(1<<62), backoff(1000, 1, 1<<62))
}

func TestOptionsAreChecked(t *testing.T) {
	t.Parallel()
	_, err := Start(t.Context(), Options{Project: "p", Subscriptions: []Subscription{{Name: "s", PushURL: "http://x"}}})
	require.ErrorContains(t, err, "dead-letter")
}
