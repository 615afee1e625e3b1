// Package event is how functions tell one another that something happened:
// CloudEvents 1.0 in the binary Pub/Sub binding, published to one topic and
// delivered by push. An event is a hint: who gets one reads the database again,
// so neither order nor repetition matters.
package event

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"

	"github.com/dlai-sd/plant/shared/web"
)

// The Pub/Sub attributes of an event. Those that begin with ce- are CloudEvents
// context attributes; type repeats ce-type, because a subscription's filter
// cannot name an attribute with a hyphen.
const (
	attrSpecVersion = "ce-specversion"
	attrID          = "ce-id"
	attrType        = "ce-type"
	attrSource      = "ce-source"
	attrSubject     = "ce-subject"
	attrTime        = "ce-time"
	attrRequestID   = "ce-requestid"
	attrTraceparent = "traceparent"
	attrContentType = "content-type"
	attrFilter      = "type"
)

const (
	specVersion = "1.0"
	contentType = "application/json"
	timeLayout  = "2006-01-02T15:04:05.000000Z07:00"
	maxText     = 256     // bytes of one attribute
	maxData     = 4 << 10 // bytes of the data
)

var (
	typeShape = regexp.MustCompile(`^plant(\.[a-z][a-z0-9_]{0,62}){2,4}$`)
	kindShape = regexp.MustCompile(`^[a-z][a-z_]{0,62}$`)
	slugShape = regexp.MustCompile(`^[a-z0-9-]{1,63}$`)
	hashShape = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// Event says that something happened to an entity.
type Event struct {
	ID          string    // UUIDv7 of the outbox row: what consumers deduplicate by
	Type        string    // plant.skill.created
	Source      string    // URI reference of who says so
	Time        time.Time // of the change
	RequestID   string    // of the request that caused it; "" if none did
	Traceparent string    // W3C trace context; "" if there is none
	Data        Data
}

// Data is what an event carries. The entity's id is also the CloudEvent's
// subject. Hash is the amendment's, in lower-case hex; it is "" and Seq free
// where the event is about work (a job's next chunk) and not about an amendment.
type Data struct {
	EntityID          string `json:"entity_id"`
	EntityType        string `json:"entity_type"`
	GovernanceAgentID string `json:"governance_agent_id"`
	Seq               int64  `json:"seq"`
	Hash              string `json:"hash"`
}

// Check reports the first thing about an event that is not as it must be.
func (e Event) Check() error {
	id, err := uuid.Parse(e.ID)
	source, sourceErr := url.Parse(e.Source)
	switch {
	case err != nil || id.String() != e.ID || id.Version() != 7:
		return errors.New("event: the id is not a UUIDv7")
	case !typeShape.MatchString(e.Type):
		return errors.New("event: the type is not of the form plant.skill.created")
	case sourceErr != nil || source.String() == "" || len(e.Source) > maxText:
		return errors.New("event: the source is not a URI reference")
	case e.Time.IsZero() || e.Time.UTC().Year() > 9999:
		return errors.New("event: the time is missing")
	case e.RequestID != "" && !web.ValidRequestID(e.RequestID):
		return errors.New("event: the request id has another form")
	case e.Traceparent != "" && !web.ValidTraceparent(e.Traceparent):
		return errors.New("event: the traceparent has another form")
	}
	return e.Data.check()
}

func (d Data) check() error {
	id, err := uuid.Parse(d.EntityID)
	switch {
	case err != nil || id.String() != d.EntityID:
		return errors.New("event: entity_id is not a UUID")
	case !kindShape.MatchString(d.EntityType):
		return errors.New("event: entity_type has another form")
	case !slugShape.MatchString(d.GovernanceAgentID):
		return errors.New("event: governance_agent_id is not a slug")
	case d.Seq < 0:
		return errors.New("event: seq is negative")
	case d.Hash != "" && (!hashShape.MatchString(d.Hash) || d.Seq < 1):
		return errors.New("event: hash is not that of an amendment")
	}
	return nil
}

// Message encodes an event as Pub/Sub data and attributes.
func (e Event) Message() (data []byte, attributes map[string]string, err error) {
	if err := e.Check(); err != nil {
		return nil, nil, err
	}
	if data, err = json.Marshal(e.Data, json.Deterministic(true)); err != nil {
		return nil, nil, fmt.Errorf("event: encode data: %w", err)
	}
	attributes = map[string]string{
		attrSpecVersion: specVersion,
		attrID:          e.ID,
		attrType:        e.Type,
		attrFilter:      e.Type,
		attrSource:      e.Source,
		attrSubject:     e.Data.EntityID,
		attrTime:        e.Time.UTC().Format(timeLayout),
		attrContentType: contentType,
	}
	for name, value := range map[string]string{attrRequestID: e.RequestID, attrTraceparent: e.Traceparent} {
		if value != "" { // CloudEvents §3: an attribute is absent or not empty
			attributes[name] = value
		}
	}
	return data, attributes, nil
}

// Parse decodes what Message encodes. Other attributes are ignored: the
// platform adds its own. Its errors repeat nothing of the message.
func Parse(data []byte, attributes map[string]string) (Event, error) {
	switch {
	case attributes[attrSpecVersion] != specVersion:
		return Event{}, errors.New("event: ce-specversion is not 1.0")
	case attributes[attrContentType] != contentType:
		return Event{}, errors.New("event: content-type is not application/json")
	case len(data) > maxData:
		return Event{}, errors.New("event: the data is too large")
	}
	at, err := time.Parse(time.RFC3339Nano, attributes[attrTime])
	if err != nil {
		return Event{}, errors.New("event: ce-time is not a time")
	}
	e := Event{
		ID: attributes[attrID], Type: attributes[attrType], Source: attributes[attrSource], Time: at.UTC(),
		RequestID: attributes[attrRequestID], Traceparent: attributes[attrTraceparent],
	}
	if err := web.Decode(data, &e.Data); err != nil {
		return Event{}, errors.New("event: the data is not one of ours")
	}
	if err := e.Check(); err != nil {
		return Event{}, err
	}
	switch {
	case attributes[attrFilter] != e.Type:
		return Event{}, errors.New("event: type and ce-type differ")
	case attributes[attrSubject] != e.Data.EntityID:
		return Event{}, errors.New("event: ce-subject and entity_id differ")
	}
	return e, nil
}
