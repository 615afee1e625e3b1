package pubsub

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"strconv"
	"time"

	gcp "cloud.google.com/go/pubsub/v2"
	"github.com/go-json-experiment/json"
)

// Envelope is the body of a push, as Pub/Sub sends it: field names in both
// spellings included.
// https://cloud.google.com/pubsub/docs/push#receive_push
type Envelope struct {
	Message         Message `json:"message"`
	Subscription    string  `json:"subscription"`
	DeliveryAttempt int     `json:"deliveryAttempt,omitzero"`
}

// Message is the message in an Envelope.
type Message struct {
	Attributes       map[string]string `json:"attributes,omitempty"`
	Data             []byte            `json:"data,omitempty"` // base64
	MessageID        string            `json:"messageId"`
	MessageIDSnake   string            `json:"message_id"`
	OrderingKey      string            `json:"orderingKey,omitempty"`
	PublishTime      string            `json:"publishTime"`
	PublishTimeSnake string            `json:"publish_time"`
}

// dispatch pulls with the real client until the server stops. The client keeps
// a message's lease while it is retried.
func (s *Server) dispatch(sub Subscription) {
	slots := make(chan struct{}, atOnce)
	subscriber := s.client.Subscriber(sub.Name)
	subscriber.ReceiveSettings.MaxExtension = time.Duration(sub.MaxAttempts) * (ackDeadline + sub.MaxBackoff)
	// pstest hands each stream one message in ten milliseconds, and stands still, its lock
	// held, while one does not read.
	subscriber.ReceiveSettings.MaxOutstandingMessages = -1
	subscriber.ReceiveSettings.NumGoroutines = atOnce
	deadLetters := s.client.Publisher(sub.DeadLetterTopic)
	defer deadLetters.Stop()
	err := subscriber.Receive(s.stopping, func(_ context.Context, m *gcp.Message) {
		if s.deliver(sub, slots, m) || s.bury(sub, deadLetters, m) {
			m.Ack()
			return
		}
		m.Nack()
	})
	if err != nil && s.stopping.Err() == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.failed == nil {
			s.failed = fmt.Errorf("subscription %s: %w", sub.Name, err)
		}
	}
}

// deliver tries until it succeeds, the attempts are used up or the server
// stops.
func (s *Server) deliver(sub Subscription, slots chan struct{}, m *gcp.Message) (delivered bool) {
	for attempt := 1; attempt <= sub.MaxAttempts; attempt++ {
		select {
		case slots <- struct{}{}:
		case <-s.stopping.Done():
			return false
		}
		err := s.push(sub, m, attempt)
		<-slots
		if err == nil {
			return true
		}
		s.opts.Logger.Warn("push failed", slog.String("subscription", sub.Name), slog.String("message_id", m.ID),
			slog.Int("attempt", attempt), slog.Int("of", sub.MaxAttempts), slog.String("error", err.Error()))
		if attempt < sub.MaxAttempts && !s.wait(backoff(attempt, sub.MinBackoff, sub.MaxBackoff)) {
			return false
		}
	}
	return false
}

// backoff doubles from least to most: attempt 1 has failed, attempt 2 waits
// least.
func backoff(attempt int, least, most time.Duration) time.Duration {
	wait := least
	for range attempt - 1 {
		if wait >= most/2 {
			return most
		}
		wait *= 2
	}
	return min(wait, most)
}

func (s *Server) wait(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-s.stopping.Done():
		return false
	}
}

// push makes one attempt. Anything but the statuses that Pub/Sub takes for an
// acknowledgement is an error.
func (s *Server) push(sub Subscription, m *gcp.Message, attempt int) error {
	body, err := json.Marshal(s.envelope(sub, m, attempt), json.Deterministic(true))
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	audience := sub.Audience
	if audience == "" {
		audience = sub.PushURL
	}
	token, err := s.opts.Token(audience)
	if err != nil {
		return fmt.Errorf("token: %w", err)
	}
	req, err := http.NewRequestWithContext(s.hard, http.MethodPost, sub.PushURL, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "APIs-Google; (+https://developers.google.com/webmasters/APIs-Google.html)")
	resp, err := s.http.Do(req)
	if err != nil {
		return err
	}
	_, drained := io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	closed := resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusProcessing, http.StatusOK, http.StatusCreated, http.StatusAccepted, http.StatusNoContent:
		return nil
	}
	if drained != nil || closed != nil {
		return fmt.Errorf("status %d, and the response broke off", resp.StatusCode)
	}
	return fmt.Errorf("status %d", resp.StatusCode)
}

func (s *Server) envelope(sub Subscription, m *gcp.Message, attempt int) Envelope {
	published := m.PublishTime.UTC().Format(time.RFC3339Nano)
	return Envelope{
		Subscription: s.subscription(sub.Name), DeliveryAttempt: attempt,
		Message: Message{
			Attributes: m.Attributes, Data: m.Data, OrderingKey: m.OrderingKey,
			MessageID: m.ID, MessageIDSnake: m.ID, PublishTime: published, PublishTimeSnake: published,
		},
	}
}

// bury publishes a message that nobody took to the dead-letter topic, with the
// attributes that Pub/Sub adds. While the server stops it does nothing.
// https://cloud.google.com/pubsub/docs/handling-failures#how_dead_letter_topics_work
func (s *Server) bury(sub Subscription, deadLetters *gcp.Publisher, m *gcp.Message) bool {
	if s.stopping.Err() != nil {
		return false
	}
	attributes := map[string]string{}
	maps.Copy(attributes, m.Attributes)
	attributes["CloudPubSubDeadLetterSourceDeliveryCount"] = strconv.Itoa(sub.MaxAttempts)
	attributes["CloudPubSubDeadLetterSourceSubscription"] = sub.Name
	attributes["CloudPubSubDeadLetterSourceSubscriptionProject"] = s.opts.Project
	attributes["CloudPubSubDeadLetterSourceTopicPublishTime"] = m.PublishTime.UTC().Format(time.RFC3339Nano)
	ctx, cancel := context.WithTimeout(s.hard, ackDeadline)
	defer cancel()
	if _, err := deadLetters.Publish(ctx, &gcp.Message{Data: m.Data, Attributes: attributes}).Get(ctx); err != nil {
		s.opts.Logger.Error("dead letter not published", slog.String("subscription", sub.Name),
			slog.String("message_id", m.ID), slog.String("error", err.Error()))
		return false
	}
	return true
}
