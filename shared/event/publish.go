package event

import (
	"context"
	"fmt"
	"maps"
	"strconv"
	"time"

	"cloud.google.com/go/pubsub/v2"

	"github.com/dlai-sd/plant/shared/web"
)

// The attributes that a dead letter has besides those of the message it was.
const (
	AttrReason       = "reason"          // why nobody will try again
	AttrConsumer     = "consumer"        // which handler gave up
	AttrSubscription = "subscription"    // where the message came from
	AttrAttempt      = "deliveryattempt" // how often it had been delivered
	AttrMessageID    = "messageid"       // the id it had
)

// Publisher publishes to one topic. A message leaves when it comes; only those
// that come at the same time share a request.
type Publisher struct{ topic *pubsub.Publisher }

// NewPublisher makes a Publisher; topic is an id or projects/P/topics/T. The
// client stays its caller's to close, after Stop.
func NewPublisher(client *pubsub.Client, topic string) *Publisher {
	p := client.Publisher(topic)
	p.PublishSettings.DelayThreshold = 50 * time.Microsecond
	p.PublishSettings.Timeout = 10 * time.Second
	return &Publisher{topic: p}
}

// Publish returns when the event is acknowledged, or with an error when ctx
// ends first: then it may or may not have been published.
func (p *Publisher) Publish(ctx context.Context, e Event) error {
	return p.PublishAll(ctx, []Event{e})[0]
}

// PublishAll publishes events at once and waits for all. The errors stand in
// the order of the events; nil means acknowledged.
func (p *Publisher) PublishAll(ctx context.Context, events []Event) []error {
	results := make([]*pubsub.PublishResult, len(events))
	errs := make([]error, len(events))
	for i, e := range events {
		data, attributes, err := e.Message()
		if err != nil {
			errs[i] = err
			continue
		}
		results[i] = p.topic.Publish(ctx, &pubsub.Message{Data: data, Attributes: attributes})
	}
	for i, r := range results {
		if r == nil {
			continue
		}
		if _, err := r.Get(ctx); err != nil {
			errs[i] = fmt.Errorf("publish event: %w", err)
		}
	}
	return errs
}

// DeadLetter publishes a message that nobody will try again, with the reason.
func (p *Publisher) DeadLetter(ctx context.Context, consumer string, push Push, cause error) error {
	// None is longer than an attribute may be: Describe and Push.check see to it.
	about := map[string]string{
		AttrReason:       web.Describe(cause),
		AttrConsumer:     consumer,
		AttrSubscription: push.Subscription,
		AttrAttempt:      strconv.Itoa(push.DeliveryAttempt),
		AttrMessageID:    push.Message.MessageID,
	}
	attributes := map[string]string{}
	if len(push.Message.Attributes)+len(about) <= maxAttributes {
		maps.Copy(attributes, push.Message.Attributes)
	}
	maps.Copy(attributes, about)
	m := &pubsub.Message{Data: push.Message.Data, Attributes: attributes}
	if _, err := p.topic.Publish(ctx, m).Get(ctx); err != nil {
		return fmt.Errorf("publish dead letter: %w", err)
	}
	return nil
}

// Stop sends what is still waiting and ends the publisher's goroutines.
func (p *Publisher) Stop() { p.topic.Stop() }
