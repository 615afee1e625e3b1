package event_test

import (
	"bufio"
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/dlai-sd/plant/shared/event"
	"github.com/dlai-sd/plant/shared/testkit/testdata"
)

const trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

func sample() event.Event {
	return event.Event{
		ID: "0190a0c0-0000-7000-8000-000000000001", Type: "plant.skill.created", Source: "/functions/create-skill",
		Time: time.Date(2026, 1, 31, 12, 0, 0, 123456000, time.UTC), RequestID: "req-1", Traceparent: trace,
		Data: event.Data{
			EntityID: "0190a0c0-0000-7000-8000-000000000002", EntityType: "skill", GovernanceAgentID: "acme",
			Seq: 1, Hash: strings.Repeat("ab", 32),
		},
	}
}

func TestMessage(t *testing.T) {
	t.Parallel()
	data, attributes, err := sample().Message()
	require.NoError(t, err)
	require.Equal(t, `{"entity_id":"0190a0c0-0000-7000-8000-000000000002","entity_type":"skill","governance_agent_id":"acme","seq":1,"hash":"`+strings.Repeat("ab", 32)+`"}`, string(data))
	require.Equal(t, map[string]string{
		"ce-specversion": "1.0",
		"ce-id":          "0190a0c0-0000-7000-8000-000000000001",
		"ce-type":        "plant.skill.created",
		"type":           "plant.skill.created",
		"ce-source":      "/functions/create-skill",
		"ce-subject":     "0190a0c0-0000-7000-8000-000000000002",
		"ce-time":        "2026-01-31T12:00:00.123456Z",
		"ce-requestid":   "req-1",
		"traceparent":    trace,
		"content-type":   "application/json",
	}, attributes)
}

func TestMessageWithoutOrigin(t *testing.T) {
	t.Parallel()
	e := sample()
	e.RequestID, e.Traceparent = "", ""
	data, attributes, err := e.Message()
	require.NoError(t, err)
	require.NotContains(t, attributes, "ce-requestid", "absent, not empty")
	require.NotContains(t, attributes, "traceparent")
	back, err := event.Parse(data, attributes)
	require.NoError(t, err)
	require.Equal(t, e, back)
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		e := sample()
		e.ID = uuid.Must(uuid.NewV7()).String()
		e.Type = "plant." + rapid.SampledFrom([]string{"skill", "job_role", "agent", "key"}).Draw(t, "kind") + "." + rapid.StringMatching(`[a-z][a-z0-9_]{0,20}`).Draw(t, "what")
		e.Time = time.UnixMicro(rapid.Int64Range(0, 4e15).Draw(t, "micros")).UTC()
		e.RequestID = rapid.StringMatching(`[A-Za-z0-9-]{1,64}`).Draw(t, "request")
		e.Data.Seq = rapid.Int64Range(1, 1<<53-1).Draw(t, "seq")
		e.Data.GovernanceAgentID = rapid.StringMatching(`[a-z0-9-]{1,63}`).Draw(t, "agent")
		data, attributes, err := e.Message()
		require.NoError(t, err)
		attributes["googclient_deliveryattempt"] = "2" // others add their own
		back, err := event.Parse(data, attributes)
		require.NoError(t, err)
		require.Equal(t, e, back)
	})
}

// TestOthersReadOurEvents puts a message's attributes where the CloudEvents SDK
// looks for the same binding, HTTP headers, and lets it judge.
func TestOthersReadOurEvents(t *testing.T) {
	t.Parallel()
	e := sample()
	data, attributes, err := e.Message()
	require.NoError(t, err)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://x/", bytes.NewReader(data))
	require.NoError(t, err)
	for name, value := range attributes {
		r.Header.Set(name, value)
	}
	theirs, err := cehttp.NewEventFromHTTPRequest(r)
	require.NoError(t, err)
	require.NoError(t, theirs.Validate())
	require.Equal(t, "1.0", theirs.SpecVersion())
	require.Equal(t, e.ID, theirs.ID())
	require.Equal(t, e.Type, theirs.Type())
	require.Equal(t, e.Source, theirs.Source())
	require.Equal(t, e.Data.EntityID, theirs.Subject())
	require.Equal(t, e.Time, theirs.Time())
	require.Equal(t, "application/json", theirs.DataContentType())
	require.Equal(t, map[string]any{"requestid": e.RequestID}, theirs.Extensions())
	require.JSONEq(t, string(data), string(theirs.Data()))
}

func TestCheckRefuses(t *testing.T) {
	t.Parallel()
	require.NoError(t, sample().Check())
	job := sample()
	job.Data.Hash, job.Data.Seq = "", 0
	require.NoError(t, job.Check(), "work that is not about an amendment")
	for name, change := range map[string]func(*event.Event){
		"no id":            func(e *event.Event) { e.ID = "" },
		"UUIDv4":           func(e *event.Event) { e.ID = "2f1c0d5e-8a3e-4f57-9c39-0b6f6a1d7e10" },
		"upper case id":    func(e *event.Event) { e.ID = strings.ToUpper("0190a0c0-0000-7000-8000-00000000000a") },
		"no type":          func(e *event.Event) { e.Type = "" },
		"foreign type":     func(e *event.Event) { e.Type = "google.cloud.pubsub.topic.v1.messagePublished" },
		"short type":       func(e *event.Event) { e.Type = "plant.skill" },
		"type line feed":   func(e *event.Event) { e.Type += "\n" },
		"no source":        func(e *event.Event) { e.Source = "" },
		"broken source":    func(e *event.Event) { e.Source = "http://[" },
		"long source":      func(e *event.Event) { e.Source = "/" + strings.Repeat("a", 256) },
		"no time":          func(e *event.Event) { e.Time = time.Time{} },
		"far time":         func(e *event.Event) { e.Time = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) },
		"request id":       func(e *event.Event) { e.RequestID = "a b" },
		"traceparent":      func(e *event.Event) { e.Traceparent = "00-x" },
		"no entity":        func(e *event.Event) { e.Data.EntityID = "" },
		"entity name":      func(e *event.Event) { e.Data.EntityID = "golang" },
		"no entity type":   func(e *event.Event) { e.Data.EntityType = "" },
		"agent not a slug": func(e *event.Event) { e.Data.GovernanceAgentID = "Acme" },
		"negative seq":     func(e *event.Event) { e.Data.Seq = -1 },
		"hash and seq 0":   func(e *event.Event) { e.Data.Seq = 0 },
		"short hash":       func(e *event.Event) { e.Data.Hash = "ab" },
		"upper case hash":  func(e *event.Event) { e.Data.Hash = strings.Repeat("AB", 32) },
	} {
		e := sample()
		change(&e)
		require.Error(t, e.Check(), name)
		_, _, err := e.Message()
		require.Error(t, err, name)
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	data, attributes, err := sample().Message()
	require.NoError(t, err)
	for name, test := range map[string]struct {
		attribute, value string
		data             []byte
	}{
		"specversion 0.3":  {attribute: "ce-specversion", value: "0.3"},
		"no specversion":   {attribute: "ce-specversion"},
		"no content type":  {attribute: "content-type"},
		"XML":              {attribute: "content-type", value: "text/xml"},
		"no time":          {attribute: "ce-time"},
		"odd time":         {attribute: "ce-time", value: "yesterday"},
		"no id":            {attribute: "ce-id"},
		"other type":       {attribute: "ce-type", value: "plant.skill.evolved"},
		"other filter":     {attribute: "type", value: "plant.skill.evolved"},
		"no filter":        {attribute: "type"},
		"other subject":    {attribute: "ce-subject", value: "0190a0c0-0000-7000-8000-000000000003"},
		"bad request id":   {attribute: "ce-requestid", value: "a b"},
		"no data":          {data: []byte{}},
		"null":             {data: []byte("null")},
		"unknown member":   {data: bytes.Replace(data, []byte(`"seq"`), []byte(`"x":1,"seq"`), 1)},
		"duplicate member": {data: bytes.Replace(data, []byte(`"seq"`), []byte(`"seq":2,"seq"`), 1)},
		"seq is text":      {data: bytes.Replace(data, []byte(`"seq":1`), []byte(`"seq":"1"`), 1)},
		"trailing data":    {data: append(bytes.Clone(data), '1')},
		"too large":        {data: append(bytes.Clone(data), bytes.Repeat([]byte(" "), 4<<10)...)},
	} {
		changed, body := maps.Clone(attributes), data
		if test.attribute != "" {
			changed[test.attribute] = test.value
		}
		if test.data != nil {
			body = test.data
		}
		_, err := event.Parse(body, changed)
		require.Error(t, err, name)
	}
}

// TestRealPushes reads the Pub/Sub events that Google's conformance suite
// delivers, as structured CloudEvents and as the envelope inside them.
func TestRealPushes(t *testing.T) {
	t.Parallel()
	want := map[string]string{"legacy_pubsub": "This is a sample message", "pubsub_binary": "\x01\x02\x03\x04", "pubsub_text": "test message 3"}
	seen := 0
	lines := bufio.NewScanner(bytes.NewReader(testdata.Read(t, "events", "functions_framework_events.jsonl")))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var row struct {
			Path string         `json:"path"`
			JSON jsontext.Value `json:"json"`
		}
		require.NoError(t, json.Unmarshal(lines.Bytes(), &row))
		name, isInput := strings.CutSuffix(row.Path, "-cloudevent-input.json")
		p, err := event.ParsePush("application/cloudevents+json; charset=utf-8", row.JSON)
		if text, isPubSub := want[name]; isInput && isPubSub {
			require.NoError(t, err, row.Path)
			require.Equal(t, text, string(p.Message.Data))
			require.Equal(t, "projects/sample-project/subscriptions/sample-subscription", p.Subscription)
			require.Equal(t, "aaaaaa-1111-bbbb-2222-cccccccccccc", p.Message.MessageID)
			inner, err := event.ParsePush("application/json", envelope(t, row.JSON))
			require.NoError(t, err, row.Path)
			require.Equal(t, p, inner)
			_, err = event.Parse(p.Message.Data, p.Message.Attributes)
			require.Error(t, err, "and none of them is ours")
			seen++
			continue
		}
		require.Error(t, err, row.Path+" is not a push")
	}
	require.NoError(t, lines.Err())
	require.Equal(t, 3, seen)
}

func envelope(t *testing.T, structured jsontext.Value) []byte {
	t.Helper()
	var e struct {
		Data jsontext.Value `json:"data"`
	}
	require.NoError(t, json.Unmarshal(structured, &e))
	return e.Data
}

func TestParsePush(t *testing.T) {
	t.Parallel()
	body := `{"message":{"data":"aGk=","attributes":{"type":"plant.skill.created"},"messageId":"7","message_id":"7","publishTime":"2026-01-31T12:00:00Z","publish_time":"2026-01-31T12:00:00Z","orderingKey":"k"},"subscription":"projects/p/subscriptions/s","deliveryAttempt":3,"somethingNew":{}}`
	p, err := event.ParsePush("application/json", []byte(body))
	require.NoError(t, err)
	require.Equal(t, event.Push{
		Message: event.Message{
			Data: []byte("hi"), Attributes: map[string]string{"type": "plant.skill.created"},
			MessageID: "7", PublishTime: "2026-01-31T12:00:00Z", OrderingKey: "k",
		},
		Subscription: "projects/p/subscriptions/s", DeliveryAttempt: 3,
	}, p)

	attributes := func(n int) string {
		var list []string
		for i := range n {
			list = append(list, fmt.Sprintf(`"a%d":"x"`, i))
		}
		return `{"message":{"attributes":{` + strings.Join(list, ",") + `},"messageId":"7"},"subscription":"s"}`
	}
	_, err = event.ParsePush("", []byte(attributes(100)))
	require.NoError(t, err)
	for name, bad := range map[string]string{
		"empty":            ``,
		"null":             `null`,
		"list":             `[` + body + `]`,
		"no message":       `{"subscription":"s"}`,
		"no id":            `{"message":{"data":"aGk="},"subscription":"s"}`,
		"no subscription":  `{"message":{"data":"aGk=","messageId":"7"}}`,
		"empty message":    `{"message":{"messageId":"7"},"subscription":"s"}`,
		"not base64":       `{"message":{"data":"***","messageId":"7"},"subscription":"s"}`,
		"attempt text":     `{"message":{"data":"aGk=","messageId":"7"},"subscription":"s","deliveryAttempt":"3"}`,
		"negative attempt": `{"message":{"data":"aGk=","messageId":"7"},"subscription":"s","deliveryAttempt":-3}`,
		"attribute number": `{"message":{"attributes":{"a":1},"messageId":"7"},"subscription":"s"}`,
		"duplicate":        `{"message":{"data":"aGk=","messageId":"7"},"subscription":"s","subscription":"t"}`,
		"trailing":         body + `x`,
		"101 attributes":   attributes(101),
		"no name":          `{"message":{"attributes":{"":"x"},"messageId":"7"},"subscription":"s"}`,
		"long value":       `{"message":{"attributes":{"a":"` + strings.Repeat("x", 1025) + `"},"messageId":"7"},"subscription":"s"}`,
		"deep":             strings.Replace(body, `{}`, strings.Repeat("[", 40)+strings.Repeat("]", 40), 1),
		"too large":        body + strings.Repeat(" ", 256<<10),
	} {
		_, err := event.ParsePush("application/json", []byte(bad))
		require.Error(t, err, name)
	}
	_, err = event.ParsePush("application/cloudevents+json", []byte(body))
	require.Error(t, err, "a structured event has data")
}

func FuzzPushEnvelope(f *testing.F) {
	data, attributes, err := sample().Message()
	require.NoError(f, err)
	good, err := json.Marshal(event.Push{Message: event.Message{Data: data, Attributes: attributes, MessageID: "7"}, Subscription: "s", DeliveryAttempt: 1})
	require.NoError(f, err)
	f.Add("application/json", good)
	f.Add("application/cloudevents+json", append(append([]byte(`{"data":`), good...), '}'))
	f.Add("", []byte(`{"message":{"messageId":"1"},"subscription":"s"}`))
	f.Fuzz(func(t *testing.T, mediaType string, body []byte) {
		p, err := event.ParsePush(mediaType, body)
		if err != nil {
			return
		}
		e, err := event.Parse(p.Message.Data, p.Message.Attributes)
		if err != nil {
			return
		}
		// What was accepted is whole: it can be sent on and read again.
		data, attributes, err := e.Message()
		require.NoError(t, err)
		back, err := event.Parse(data, attributes)
		require.NoError(t, err)
		require.Equal(t, e.Data, back.Data)
		require.Equal(t, e.ID, back.ID)
	})
}
