// Package pubsub is a Pub/Sub for one machine: Google's own in-memory fake for
// topics, subscriptions and filters, and in front of it what the fake lacks:
// push delivery with tokens, retries with backoff, and dead letters.
//
// Messages live in memory: what is not delivered when the server stops is
// gone. Stop lets deliveries that have begun end.
package pubsub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	gcp "cloud.google.com/go/pubsub/v2"
	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"cloud.google.com/go/pubsub/v2/pstest"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

const (
	ackDeadline = 60 * time.Second
	setupMost   = 20 * time.Second
	atOnce      = 8 // deliveries of one subscription in flight
)

// Subscription says who gets which messages.
type Subscription struct {
	Name            string
	Topic           string
	Filter          string // Pub/Sub's filter language; "": everything
	PushURL         string // "": nothing is pushed, somebody pulls
	Audience        string // of the token; "": PushURL
	MaxAttempts     int    // then the message is a dead letter; at least 1 if pushed
	MinBackoff      time.Duration
	MaxBackoff      time.Duration
	DeadLetterTopic string // required if pushed
}

// Options say what there is. Names are short: the project is added.
type Options struct {
	Project       string
	Topics        []string
	Subscriptions []Subscription
	Token         func(audience string) (string, error) // signs the token of a push
	Logger        *slog.Logger
}

// Server is a running Pub/Sub.
type Server struct {
	opts   Options
	fake   *pstest.Server
	client *gcp.Client
	http   *http.Client

	stopping context.Context // ends when no new delivery may begin
	stop     context.CancelFunc
	hard     context.Context // ends when deliveries that have begun must end
	cut      context.CancelFunc
	owners   sync.WaitGroup
	mu       sync.Mutex
	failed   error // the first error of a subscription's loop
	ended    sync.Once
}

// Start makes topics and subscriptions and begins to push.
func Start(ctx context.Context, opts Options) (*Server, error) {
	if err := check(opts); err != nil {
		return nil, err
	}
	fake := pstest.NewServerWithAddress("127.0.0.1:0")
	client, err := gcp.NewClient(ctx, opts.Project, ClientOptions(fake.Addr)...)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the local Pub/Sub: %w", err), fake.Close())
	}
	s := &Server{opts: opts, fake: fake, client: client, http: pushClient()}
	s.stopping, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	s.hard, s.cut = context.WithCancel(context.WithoutCancel(ctx))
	if err := s.create(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("start the local Pub/Sub: %w", err), s.Stop(ctx))
	}
	for _, sub := range opts.Subscriptions {
		if sub.PushURL != "" {
			s.owners.Go(func() { s.dispatch(sub) })
		}
	}
	return s, nil
}

// Addr is host and port, for PUBSUB_EMULATOR_HOST.
func (s *Server) Addr() string { return s.fake.Addr }

// ClientOptions make the real client talk to the server at addr.
func ClientOptions(addr string) []option.ClientOption {
	return []option.ClientOption{
		option.WithEndpoint(addr),
		option.WithoutAuthentication(),
		option.WithTelemetryDisabled(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())),
	}
}

// Stop begins no new delivery, waits for those that have begun until ctx
// ends, then cuts them off. Only the first call says what went wrong.
func (s *Server) Stop(ctx context.Context) error {
	s.stop()
	release := context.AfterFunc(ctx, s.cut)
	s.owners.Wait()
	release()
	s.cut()
	s.http.CloseIdleConnections()
	var err error
	s.ended.Do(func() {
		err = errors.Join(s.failure(), s.client.Close(), s.fake.Close())
	})
	if err != nil {
		return fmt.Errorf("local Pub/Sub: %w", err)
	}
	return nil
}

func (s *Server) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed
}

func check(opts Options) error {
	for _, sub := range opts.Subscriptions {
		if sub.PushURL == "" {
			continue
		}
		if sub.MaxAttempts < 1 || sub.DeadLetterTopic == "" || sub.MinBackoff <= 0 || sub.MaxBackoff < sub.MinBackoff || opts.Token == nil || opts.Logger == nil {
			return fmt.Errorf("subscription %s pushes: it needs attempts, backoffs, a dead-letter topic, a token and a logger", sub.Name)
		}
	}
	return nil
}

func (s *Server) create(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, setupMost)
	defer cancel()
	for _, name := range s.opts.Topics {
		if _, err := s.client.TopicAdminClient.CreateTopic(ctx, &pb.Topic{Name: s.topic(name)}); err != nil {
			return fmt.Errorf("topic %s: %w", name, err)
		}
	}
	for _, sub := range s.opts.Subscriptions {
		_, err := s.client.SubscriptionAdminClient.CreateSubscription(ctx, &pb.Subscription{
			Name: s.subscription(sub.Name), Topic: s.topic(sub.Topic), Filter: sub.Filter,
			AckDeadlineSeconds: int32(ackDeadline / time.Second),
		})
		if err != nil {
			return fmt.Errorf("subscription %s: %w", sub.Name, err)
		}
	}
	return nil
}

func (s *Server) topic(name string) string {
	return "projects/" + s.opts.Project + "/topics/" + name
}

func (s *Server) subscription(name string) string {
	return "projects/" + s.opts.Project + "/subscriptions/" + name
}

// pushClient follows no redirect: to Pub/Sub one is a failure.
func pushClient() *http.Client {
	return &http.Client{
		Timeout:       ackDeadline,
		Transport:     &http.Transport{MaxIdleConnsPerHost: atOnce, IdleConnTimeout: time.Minute},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
