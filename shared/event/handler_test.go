package event_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"

	"cloud.google.com/go/pubsub/v2"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"cloud.google.com/go/pubsub/v2/pstest"
	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/event"
	"github.com/dlai-sd/plant/shared/web"
)

// dead is a dead-letter topic that remembers.
type dead struct {
	letters []string
	pushes  []event.Push
	err     error
}

func (d *dead) take(_ context.Context, consumer string, push event.Push, cause error) error {
	d.letters = append(d.letters, consumer+": "+cause.Error())
	d.pushes = append(d.pushes, push)
	return d.err
}

func pushOf(t *testing.T, e event.Event) []byte {
	t.Helper()
	data, attributes, err := e.Message()
	require.NoError(t, err)
	body, err := json.Marshal(event.Push{Message: event.Message{Data: data, Attributes: attributes, MessageID: "7"}, Subscription: "projects/p/subscriptions/embed", DeliveryAttempt: 2})
	require.NoError(t, err)
	return body
}

// deliver posts a push to a handler behind the whole chain and returns the
// status and the log.
func deliver(t *testing.T, f func(context.Context, event.Event) error, d *dead, body io.Reader) (int, string) {
	t.Helper()
	var log bytes.Buffer
	h := web.Wrap(event.Handler("embed", f, d.take), web.Options{Logger: web.NewLogger(&log, "embed")})
	r := httptest.NewRequest(http.MethodPost, "/events/embed", body)
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code, log.String()
}

func TestHandler(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		result  error
		letter  error
		status  int
		letters int
	}{
		"done":                   {nil, nil, 204, 0},
		"transient":              {errors.New("database is away"), nil, 503, 0},
		"refused, but transient": {domain.Refuse(domain.CodeNotFound, "x"), nil, 503, 0},
		"permanent":              {event.Permanent(errors.New("no such model")), nil, 204, 1},
		"wrapped permanent":      {fmt.Errorf("embed: %w", event.Permanent(errors.New("no such model"))), nil, 204, 1},
		"dead letters away":      {event.Permanent(errors.New("no such model")), errors.New("topic is away"), 503, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := &dead{err: test.letter}
			var got event.Event
			status, log := deliver(t, func(ctx context.Context, e event.Event) error {
				got = e
				require.Equal(t, "req-1", web.RequestID(ctx), "the event's request goes on")
				require.Equal(t, trace, web.Traceparent(ctx))
				return test.result
			}, d, bytes.NewReader(pushOf(t, sample())))
			require.Equal(t, test.status, status)
			require.Equal(t, sample(), got)
			require.Len(t, d.letters, test.letters)
			require.Contains(t, log, `"request_id":"req-1"`)
			require.Equal(t, test.letters > 0, strings.Contains(log, "gives up"))
		})
	}
}

func TestHandlerOfWhatIsNoEvent(t *testing.T) {
	t.Parallel()
	never := func(context.Context, event.Event) error { panic("must not be called") }
	foreign := `{"message":{"data":"aGk=","messageId":"7"},"subscription":"s"}`
	for name, body := range map[string]string{
		"not JSON":      "USERWROTETHIS",
		"not a push":    `{"USERWROTETHIS":1}`,
		"not our event": foreign,
		"too large":     strings.Repeat("x", 300<<10),
	} {
		d := &dead{}
		status, log := deliver(t, never, d, strings.NewReader(body))
		require.Equal(t, 204, status, name)
		require.Len(t, d.letters, 1, name)
		require.NotContains(t, log, "USERWROTETHIS", name)
		if body != foreign {
			require.True(t, strings.HasPrefix(body, string(d.pushes[0].Message.Data[:10])), "the body is kept")
			require.LessOrEqual(t, len(d.pushes[0].Message.Data), 256<<10+1)
		}
	}
	d := &dead{}
	status, _ := deliver(t, never, d, iotest.ErrReader(errors.New("reset")))
	require.Equal(t, 503, status, "what was not read is not dead")
	require.Empty(t, d.letters)
}

func TestPermanent(t *testing.T) {
	t.Parallel()
	cause := errors.New("gone")
	require.NoError(t, event.Permanent(nil))
	require.ErrorIs(t, event.Permanent(cause), cause)
	require.True(t, event.IsPermanent(fmt.Errorf("x: %w", event.Permanent(cause))))
	require.False(t, event.IsPermanent(cause))
	require.False(t, event.IsPermanent(nil))
}

// newTopic starts an in-process Pub/Sub with one topic.
func newTopic(t *testing.T) (*event.Publisher, *pstest.Server) {
	t.Helper()
	server := pstest.NewServer()
	t.Cleanup(func() { _ = server.Close() })
	conn, err := grpc.NewClient(server.Addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	client, err := pubsub.NewClient(t.Context(), "plant-local", option.WithGRPCConn(conn))
	require.NoError(t, err)
	t.Cleanup(func() { _ = client.Close() })
	_, err = client.TopicAdminClient.CreateTopic(t.Context(), &pubsubpb.Topic{Name: "projects/plant-local/topics/plant-events"})
	require.NoError(t, err)
	p := event.NewPublisher(client, "plant-events")
	t.Cleanup(p.Stop)
	return p, server
}

func TestPublish(t *testing.T) {
	t.Parallel()
	p, server := newTopic(t)
	require.NoError(t, p.Publish(t.Context(), sample()))
	messages := server.Messages()
	require.Len(t, messages, 1)
	back, err := event.Parse(messages[0].Data, messages[0].Attributes)
	require.NoError(t, err)
	require.Equal(t, sample(), back)
}

func TestPublishAll(t *testing.T) {
	t.Parallel()
	p, server := newTopic(t)
	events := make([]event.Event, 500)
	for i := range events {
		events[i] = sample()
	}
	events[7].Type = "nonsense"
	errs := p.PublishAll(t.Context(), events)
	for i, err := range errs {
		require.Equal(t, i == 7, err != nil, i)
	}
	require.Len(t, server.Messages(), 499)
	require.Empty(t, p.PublishAll(t.Context(), nil))
}

func TestPublishEndsWithItsContext(t *testing.T) {
	t.Parallel()
	p, _ := newTopic(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, p.Publish(ctx, sample()), context.Canceled)
	require.Error(t, p.DeadLetter(ctx, "embed", event.Push{Message: event.Message{Data: []byte("x")}}, errors.New("x")))
}

func TestDeadLetter(t *testing.T) {
	t.Parallel()
	p, server := newTopic(t)
	push, err := event.ParsePush("application/json", pushOf(t, sample()))
	require.NoError(t, err)
	cause := event.Permanent(fmt.Errorf("embed: no model %q", "USERWROTETHIS"))
	require.NoError(t, p.DeadLetter(t.Context(), "embed", push, cause))
	require.NoError(t, p.DeadLetter(t.Context(), "embed", event.Push{}, errors.New(strings.Repeat("é", 2000))))

	crowded := event.Push{Message: event.Message{Attributes: map[string]string{}}}
	for i := range 100 {
		crowded.Message.Attributes[fmt.Sprint("a", i)] = "x"
	}
	require.NoError(t, p.DeadLetter(t.Context(), "embed", crowded, cause))

	reasons := map[string]map[string]string{}
	for _, m := range server.Messages() {
		require.LessOrEqual(t, len(m.Attributes), 100)
		for _, value := range m.Attributes {
			require.LessOrEqual(t, len(value), 1024)
		}
		if m.Attributes["ce-id"] != "" {
			reasons[m.Attributes["ce-id"]] = m.Attributes
			require.Equal(t, push.Message.Data, m.Data)
		}
	}
	letter := reasons[sample().ID]
	require.Equal(t, `embed: no model "…"`, letter["reason"])
	require.Equal(t, "embed", letter["consumer"])
	require.Equal(t, "projects/p/subscriptions/embed", letter["subscription"])
	require.Equal(t, "2", letter["deliveryattempt"])
	require.Equal(t, "7", letter["messageid"])
	require.Equal(t, "plant.skill.created", letter["type"], "the message's own attributes stay")
}
