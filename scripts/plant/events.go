package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"cloud.google.com/go/pubsub/v2"
	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"

	"github.com/dlai-sd/plant/shared/event"
)

type eventsCmd struct {
	Dead deadCmd `cmd:"" help:"The dead letters: events that nobody could handle."`
}

type deadCmd struct {
	List   deadListCmd   `cmd:"" help:"List the dead letters with their reasons; they stay where they are."`
	Replay deadReplayCmd `cmd:"" help:"Publish dead letters again, once what made them fail is mended."`
}

// deadFlags say where the dead letters are.
type deadFlags struct {
	Subscription string `help:"The subscription of the dead letters." default:"plant-dead-letter-pull" env:"PUBSUB_DEAD_LETTER_SUBSCRIPTION"`
	Limit        int    `help:"Look at so many at most." default:"1000"`
}

type deadListCmd struct{ deadFlags }

type deadReplayCmd struct {
	deadFlags

	ID    []string `help:"Only the events with these ids; all if none is named."`
	Topic string   `help:"The topic they go to." default:"plant-events" env:"PUBSUB_TOPIC"`
}

// deadLetter is one as it is listed.
type deadLetter struct {
	EventID  string    `json:"event_id"`
	Type     string    `json:"type"`
	Subject  string    `json:"subject"`
	Consumer string    `json:"consumer"`
	Reason   string    `json:"reason"`
	Attempts string    `json:"attempts"`
	At       time.Time `json:"at"`
}

const (
	pullTimeout = 5 * time.Second
	pullMost    = 100 // messages of one pull
	emptyPulls  = 2   // in a row: there are no more
)

// letters pulls what is there, up to limit. What is not acknowledged afterwards is
// there again for the next who looks.
func (f deadFlags) letters(ctx context.Context, client *pubsub.Client, name string) ([]*pb.ReceivedMessage, error) {
	var all []*pb.ReceivedMessage
	seen := map[string]bool{}
	for empty := 0; len(all) < f.Limit && empty < emptyPulls; {
		got, err := pull(ctx, client, name, min(pullMost, f.Limit-len(all)))
		if err != nil {
			return all, advise(fmt.Errorf("read the dead letters: %w", err), "check the subscription's name and that you may pull from it (roles/pubsub.subscriber)")
		}
		empty++
		for _, m := range got {
			if !seen[m.Message.MessageId] {
				seen[m.Message.MessageId] = true
				all, empty = append(all, m), 0
			}
		}
	}
	return all, nil
}

func pull(ctx context.Context, client *pubsub.Client, name string, most int) ([]*pb.ReceivedMessage, error) {
	ctx, cancel := context.WithTimeout(ctx, pullTimeout)
	defer cancel()
	got, err := client.SubscriptionAdminClient.Pull(ctx, &pb.PullRequest{Subscription: name, MaxMessages: int32(most)}) // #nosec -- at most 100
	if ctx.Err() != nil {
		return nil, nil // nothing came in time: there is nothing
	}
	if err != nil {
		return nil, err
	}
	return got.ReceivedMessages, nil
}

func letterOf(m *pb.ReceivedMessage) deadLetter {
	a := m.Message.Attributes
	l := deadLetter{
		EventID: a["ce-id"], Type: a["type"], Subject: a["ce-subject"], Consumer: a[event.AttrConsumer],
		Reason: a[event.AttrReason], Attempts: a[event.AttrAttempt], At: m.Message.PublishTime.AsTime(),
	}
	if l.Reason == "" { // Pub/Sub itself gave up
		l.Consumer = a["CloudPubSubDeadLetterSourceSubscription"]
		l.Attempts = a["CloudPubSubDeadLetterSourceDeliveryCount"]
		l.Reason = "delivered " + l.Attempts + " times without success"
	}
	return l
}

// withPubSub runs f with a client of the deployment's project.
func (a *app) withPubSub(f func(context.Context, *pubsub.Client) error) error {
	project, err := need(a.settings.Project, "GOOGLE_CLOUD_PROJECT")
	if err != nil {
		return err
	}
	if a.settings.PubSub != "" { // the client library reads the emulator's address from its environment alone
		if err := os.Setenv("PUBSUB_EMULATOR_HOST", a.settings.PubSub); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(a.ctx, 2*time.Minute)
	defer cancel()
	client, err := pubsub.NewClient(ctx, project)
	if err != nil {
		return advise(fmt.Errorf("open Pub/Sub: %w", err), startStack+", or log in with: gcloud auth application-default login")
	}
	return errors.Join(f(ctx, client), client.Close())
}

// Run lists the dead letters and lets go of them.
func (c deadListCmd) Run(a *app) error {
	return a.withPubSub(func(ctx context.Context, client *pubsub.Client) error {
		name := subscriptionName(a.settings.Project, c.Subscription)
		got, err := c.letters(ctx, client, name)
		if err != nil {
			return err
		}
		list := make([]deadLetter, len(got))
		ids := make([]string, len(got))
		for i, m := range got {
			list[i], ids[i] = letterOf(m), m.AckId
		}
		for chunk := range slices.Chunk(ids, pullMost) {
			if err := client.SubscriptionAdminClient.ModifyAckDeadline(ctx, &pb.ModifyAckDeadlineRequest{Subscription: name, AckIds: chunk}); err != nil {
				return fmt.Errorf("let go of the dead letters: %w", err)
			}
		}
		slices.SortStableFunc(list, func(a, b deadLetter) int { return a.At.Compare(b.At) })
		return a.print(map[string]any{"items": list}, func() {
			fmt.Fprintf(a.stdout, "%s.\n", counted(len(list), "dead letter"))
			for _, l := range list {
				fmt.Fprintf(a.stdout, "  %s  %s  %s  %s\n      %s: %s\n", l.At.UTC().Format(time.RFC3339), orDash(l.EventID), orDash(l.Type), orDash(l.Subject), orDash(l.Consumer), l.Reason)
			}
		})
	})
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func subscriptionName(project, name string) string {
	if strings.HasPrefix(name, "projects/") {
		return name
	}
	return "projects/" + project + "/subscriptions/" + name
}

// Run publishes dead letters again as they were. A letter is taken away only when
// its event has been acknowledged; consumers recognise one that was handled after all.
func (c deadReplayCmd) Run(a *app) error {
	return a.withPubSub(func(ctx context.Context, client *pubsub.Client) error {
		name := subscriptionName(a.settings.Project, c.Subscription)
		got, err := c.letters(ctx, client, name)
		if err != nil {
			return err
		}
		topic := client.Publisher(c.Topic)
		defer topic.Stop()
		replayed, kept := 0, []string{}
		for _, m := range got {
			id := m.Message.Attributes["ce-id"]
			if len(c.ID) > 0 && !slices.Contains(c.ID, id) || id == "" {
				kept = append(kept, m.AckId)
				continue
			}
			if _, err := topic.Publish(ctx, &pubsub.Message{Data: m.Message.Data, Attributes: asItWas(m.Message.Attributes)}).Get(ctx); err != nil {
				return advise(fmt.Errorf("publish event %s again: %w", id, err), "run the same command again: consumers recognise what comes twice")
			}
			if err := client.SubscriptionAdminClient.Acknowledge(ctx, &pb.AcknowledgeRequest{Subscription: name, AckIds: []string{m.AckId}}); err != nil {
				return fmt.Errorf("take the dead letter away: %w", err)
			}
			replayed++
		}
		for chunk := range slices.Chunk(kept, pullMost) {
			if err := client.SubscriptionAdminClient.ModifyAckDeadline(ctx, &pb.ModifyAckDeadlineRequest{Subscription: name, AckIds: chunk}); err != nil {
				return fmt.Errorf("let go of the dead letters: %w", err)
			}
		}
		return a.print(map[string]any{"replayed": replayed, "kept": len(kept)}, func() {
			fmt.Fprintf(a.stdout, "%s published again, %s kept.\n", counted(replayed, "event"), counted(len(kept), "dead letter"))
		})
	})
}

// asItWas takes from a dead letter's attributes what was added when it died.
func asItWas(attributes map[string]string) map[string]string {
	was := maps.Clone(attributes)
	for _, added := range []string{event.AttrReason, event.AttrConsumer, event.AttrSubscription, event.AttrAttempt, event.AttrMessageID} {
		delete(was, added)
	}
	maps.DeleteFunc(was, func(name, _ string) bool { return strings.HasPrefix(name, "CloudPubSubDeadLetter") })
	return was
}
