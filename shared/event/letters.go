package event

import (
	"context"
	"fmt"
	"time"

	"cloud.google.com/go/pubsub/v2"
	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
)

// Letters are the dead letters that wait in a subscription.
type Letters struct {
	Client       *pubsub.Client
	Subscription string // projects/P/subscriptions/S
}

const (
	lettersTimeout = time.Second // of a pull that finds nothing
	lettersPull    = 100
	lettersMost    = 1000
)

// Count says how many there are, a thousand at most, and lets go of them: nothing is
// taken away.
func (l Letters) Count(ctx context.Context) (int64, error) {
	seen := map[string]bool{}
	var held []string
	for len(seen) < lettersMost {
		got, err := l.pull(ctx)
		if err != nil {
			return 0, fmt.Errorf("count dead letters: %w", err)
		}
		before := len(seen)
		for _, m := range got {
			seen[m.Message.MessageId] = true
			held = append(held, m.AckId)
		}
		if len(seen) == before {
			break
		}
	}
	for begin := 0; begin < len(held); begin += lettersPull {
		let := &pb.ModifyAckDeadlineRequest{Subscription: l.Subscription, AckIds: held[begin:min(begin+lettersPull, len(held))]}
		if err := l.Client.SubscriptionAdminClient.ModifyAckDeadline(ctx, let); err != nil {
			return 0, fmt.Errorf("let go of dead letters: %w", err)
		}
	}
	return int64(len(seen)), nil
}

// pull returns what comes within its time; nothing is no error.
func (l Letters) pull(ctx context.Context) ([]*pb.ReceivedMessage, error) {
	wait, cancel := context.WithTimeout(ctx, lettersTimeout)
	defer cancel()
	got, err := l.Client.SubscriptionAdminClient.Pull(wait, &pb.PullRequest{Subscription: l.Subscription, MaxMessages: lettersPull})
	if err != nil {
		if wait.Err() != nil && ctx.Err() == nil {
			return nil, nil
		}
		return nil, err
	}
	return got.ReceivedMessages, nil
}
