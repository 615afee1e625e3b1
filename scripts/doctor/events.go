package doctor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"cloud.google.com/go/pubsub/v2"
	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	pullTimeout = 3 * time.Second
	pullMost    = 100
)

var errNoPubSub = errors.New("where events go is not known: GOOGLE_CLOUD_PROJECT is not set")

func isMissing(err error) bool { return status.Code(err) == codes.NotFound }

func (d Deployment) subscription(name string) string {
	return "projects/" + d.Project + "/subscriptions/" + name
}

func (d Deployment) topic(name string) string { return "projects/" + d.Project + "/topics/" + name }

func checkTopics(ctx context.Context, d Deployment) ([]Finding, error) {
	if d.PubSub == nil {
		return nil, errNoPubSub
	}
	var all []Finding
	for _, name := range d.Topics {
		_, err := d.PubSub.TopicAdminClient.GetTopic(ctx, &pb.GetTopicRequest{Topic: d.topic(name)})
		if isMissing(err) {
			all = append(all, one(Critical, "there is no topic "+name, "terraform -chdir=infra apply -var-file=my.tfvars; locally: make run")...)
		} else if err != nil {
			return all, fmt.Errorf("topic %s: %w", name, err)
		}
	}
	return all, nil
}

func checkSubscriptions(ctx context.Context, d Deployment) ([]Finding, error) {
	if d.PubSub == nil {
		return nil, errNoPubSub
	}
	const fix = "terraform -chdir=infra apply -var-file=my.tfvars; locally: make run"
	var all []Finding
	for _, want := range d.Subscriptions {
		got, err := d.PubSub.SubscriptionAdminClient.GetSubscription(ctx, &pb.GetSubscriptionRequest{Subscription: d.subscription(want.Name)})
		switch {
		case isMissing(err):
			all = append(all, one(Critical, "there is no subscription "+want.Name, fix)...)
		case err != nil:
			return all, fmt.Errorf("subscription %s: %w", want.Name, err)
		case got.GetTopic() != d.topic(want.Topic):
			all = append(all, one(Critical, fmt.Sprintf("the subscription %s is not of the topic %s: nothing that is said there reaches it", want.Name, want.Topic), fix)...)
		case got.GetFilter() != want.Filter:
			all = append(all, one(Critical, fmt.Sprintf("the subscription %s lets through %q, and functions want %q", want.Name, got.GetFilter(), want.Filter), fix)...)
		}
	}
	return all, nil
}

// checkDeadLetters looks at what waits and lets go of it.
func checkDeadLetters(ctx context.Context, d Deployment) ([]Finding, error) {
	if d.PubSub == nil {
		return nil, errNoPubSub
	}
	n, err := countLetters(ctx, d.PubSub, d.subscription(d.DeadLetters))
	if isMissing(err) {
		return nil, errSkipped("there is no subscription of dead letters: see subscriptions")
	}
	if err != nil || n == 0 {
		return nil, err
	}
	what := counted(int64(n), noun{"event was given up", "events were given up"})
	if n >= pullMost {
		what = fmt.Sprintf("%d or more events were given up", n)
	}
	return one(Warning, what, "plant events dead list; "+runbookQueue), nil
}

func countLetters(ctx context.Context, client *pubsub.Client, name string) (int, error) {
	pulling, cancel := context.WithTimeout(ctx, pullTimeout)
	defer cancel()
	got, err := client.SubscriptionAdminClient.Pull(pulling, &pb.PullRequest{Subscription: name, MaxMessages: pullMost})
	if pulling.Err() != nil && ctx.Err() == nil {
		return 0, nil // nothing came in time: there is nothing
	}
	if err != nil {
		return 0, err
	}
	var ids []string
	for _, m := range got.GetReceivedMessages() {
		ids = append(ids, m.GetAckId())
	}
	if len(ids) == 0 {
		return 0, nil
	}
	return len(ids), client.SubscriptionAdminClient.ModifyAckDeadline(ctx, &pb.ModifyAckDeadlineRequest{Subscription: name, AckIds: ids})
}
