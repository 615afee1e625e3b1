package event

import (
	"errors"
	"mime"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/dlai-sd/plant/shared/domain/canonical"
)

const (
	maxPush       = 256 << 10 // bytes of a push request's body
	maxAttributes = 100       // Pub/Sub's own limit
	maxValue      = 1024      // bytes of an attribute's value; Pub/Sub's own limit
	maxAttrName   = 256       // bytes of an attribute's name; Pub/Sub's own limit
)

const mediaStructured = "application/cloudevents+json"

// Push is what Pub/Sub posts to a push subscription's endpoint.
type Push struct {
	Message         Message `json:"message"`
	Subscription    string  `json:"subscription"`
	DeliveryAttempt int     `json:"deliveryAttempt"` // from 1; 0 where the subscription has no dead-letter policy
}

// Message is the Pub/Sub message in a push.
type Message struct {
	Data        []byte            `json:"data"`
	Attributes  map[string]string `json:"attributes"`
	MessageID   string            `json:"messageId"`
	PublishTime string            `json:"publishTime"`
	OrderingKey string            `json:"orderingKey"`
}

// ParsePush reads the body of a push: Pub/Sub's own envelope, the same behind
// Eventarc's binary CloudEvents, or, where the media type is
// application/cloudevents+json, the data of a structured one. It is strict in
// the syntax and in what it knows; members it does not know are Google's to
// add. Its errors repeat nothing of the body.
func ParsePush(mediaType string, body []byte) (Push, error) {
	if len(body) > maxPush {
		return Push{}, errors.New("push: the body is too large")
	}
	if _, err := canonical.Form(body); err != nil {
		return Push{}, errors.New("push: the body is not strict JSON")
	}
	if given, _, err := mime.ParseMediaType(mediaType); err == nil && given == mediaStructured {
		var structured struct {
			Data jsontext.Value `json:"data"`
		}
		if err := json.Unmarshal(body, &structured); err != nil || structured.Data == nil {
			return Push{}, errors.New("push: the structured CloudEvent has no data")
		}
		body = structured.Data
	}
	var p Push
	if err := json.Unmarshal(body, &p); err != nil {
		return Push{}, errors.New("push: the body is not Pub/Sub's envelope")
	}
	return p, p.check()
}

func (p Push) check() error {
	switch {
	case p.Message.MessageID == "" || len(p.Message.MessageID) > maxValue:
		return errors.New("push: the message has no id")
	case p.Subscription == "" || len(p.Subscription) > maxValue:
		return errors.New("push: there is no subscription")
	case len(p.Message.Data) == 0 && len(p.Message.Attributes) == 0:
		return errors.New("push: the message is empty") // Pub/Sub refuses those
	case p.DeliveryAttempt < 0:
		return errors.New("push: the delivery attempt is negative")
	case len(p.Message.Attributes) > maxAttributes:
		return errors.New("push: there are too many attributes")
	}
	for name, value := range p.Message.Attributes {
		if name == "" || len(name) > maxAttrName || len(value) > maxValue {
			return errors.New("push: an attribute is too long")
		}
	}
	return nil
}
