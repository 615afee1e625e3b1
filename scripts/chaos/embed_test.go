package chaos

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	gcp "cloud.google.com/go/pubsub/v2"
	"github.com/go-json-experiment/json"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/scripts/localstack/oidc"
	"github.com/dlai-sd/plant/scripts/localstack/port"
	"github.com/dlai-sd/plant/scripts/localstack/proc"
	"github.com/dlai-sd/plant/scripts/localstack/pubsub"
	"github.com/dlai-sd/plant/scripts/localstack/redis"
	"github.com/dlai-sd/plant/scripts/localstack/stacktest"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/embedding"
	"github.com/dlai-sd/plant/shared/event"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/registry"
	"github.com/dlai-sd/plant/shared/testkit/harness"
)

// chain is a deployment of embed alone, with a Redis of its own.
type chain struct {
	*stack
	embed  *proc.Supervised
	url    string
	redis  *redis.Server
	client *gcp.Client
}

// TestEmbedding: events of created and changed skills come twice or more, out of
// order and with one poison in a hundred, while embed, PostgreSQL and Redis are
// killed, Redis is frozen, filled up and poisoned, and somebody asks for
// embeddings all the time. In the end every skill has the vector of its newest
// text, its signed hash agrees, every poison is a dead letter with its reason, and
// nothing else is.
func TestEmbedding(t *testing.T) {
	t.Parallel()
	d := throw(t)
	c := beginChain(t)
	total := int(setting(t, "CHAOS_EVENTS", 300)) // #nosec -- small
	began := time.Now()
	messages := c.write(t, d.of("texts", 0), total/2)
	poison := poisonOf(d.of("poison", 0), total/100+1)
	messages = append(messages, poison...)
	t.Logf("%d skills created and changed in %v", total/2, time.Since(began).Round(time.Millisecond))

	ctx, cancel := context.WithTimeout(t.Context(), wholeRun)
	defer cancel()
	over, end := context.WithCancel(ctx)
	defer end()
	token := c.Token(t, c.Principal(t, "acme", domain.Author))
	var storm sync.WaitGroup
	kills, asked := 0, 0
	storm.Go(func() { kills = c.strike(over, t, d.of("strike", 0)) })
	storm.Go(func() { asked = c.ask(over, t, d.of("ask", 0), token) })
	reading, read := context.WithCancel(ctx)
	defer read()
	letters := c.deadLetters(reading)
	began = time.Now()
	c.publish(ctx, t, d.of("order", 0), messages, poison)
	end()
	storm.Wait()
	require.NoError(t, ctx.Err(), "events are left")
	t.Logf("%d events, published %d times, in %v; %d strikes, embed restarted %d times, %d embeddings asked for meanwhile",
		len(messages), 2*len(messages)+len(messages)/5, time.Since(began).Round(time.Millisecond), kills, c.embed.Restarts(), asked)
	c.isEmbedded(t, total/2)
	checkLetters(ctx, t, poison, letters)
}

// handled counts the events that embed is done with; 0 while PostgreSQL is away.
func (c *chain) handled(ctx context.Context) (n int) {
	conn, err := pgx.Connect(ctx, c.URL)
	if err != nil {
		return 0
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if err := conn.QueryRow(ctx, "SELECT count(*) FROM inbox WHERE consumer = 'embed'").Scan(&n); err != nil {
		return 0
	}
	return n
}

func beginChain(t *testing.T) *chain {
	t.Helper()
	model := stacktest.ModelDir(t)
	held, err := port.Hold()
	require.NoError(t, err)
	c := &chain{stack: &stack{}, url: local(held.Port)}
	c.issuer, err = oidc.Start(0)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.issuer.Stop(context.WithoutCancel(t.Context()))) })
	c.server = stacktest.DurablePostgres(t, 0)
	c.Deployment = harness.On(t, newDatabase(t, c.server))
	c.startRedis(t)
	c.broker, err = pubsub.Start(t.Context(), pubsub.Options{
		Project: harness.Project, Topics: []string{topic, deadTopic},
		Subscriptions: []pubsub.Subscription{{
			Name: "embed", Topic: topic, PushURL: c.url + "/events/embed", Audience: pushAudience,
			MaxAttempts: 10_000, MinBackoff: 5 * time.Millisecond, MaxBackoff: 200 * time.Millisecond, DeadLetterTopic: deadTopic,
		}, {Name: "dead", Topic: deadTopic}},
		Token:  func(audience string) (string, error) { return c.issuer.Token(audience, pusher) },
		Logger: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), startMost)
		defer cancel()
		require.NoError(t, c.broker.Stop(ctx))
	})
	c.client, err = gcp.NewClient(t.Context(), harness.Project, pubsub.ClientOptions(c.broker.Addr())...)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.client.Close() })
	binary := buildFunctions(t)
	require.NoError(t, held.Release())
	c.embed = c.supervise(t, binary, "embed", "plant_embedder", held.Port,
		"MODEL_DIR="+model, "REDIS_URL="+c.redis.URL(), "PUBSUB_DEAD_LETTER_TOPIC="+deadTopic)
	return c
}

func (c *chain) startRedis(t *testing.T) {
	t.Helper()
	binary, err := redis.Fetch(t.Context(), stacktest.Fetcher(t))
	require.NoError(t, err)
	c.redis, err = redis.Start(t.Context(), redis.Options{Binary: binary})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.redis.Stop(context.WithoutCancel(t.Context()))) })
}

// write creates and changes skills and takes their events out of the outbox, as if
// they had been published.
func (c *chain) write(t *testing.T, words *rand.Rand, skills int) []*gcp.Message {
	t.Helper()
	s := c.Service(t, 2)
	who := c.Principal(t, "acme", domain.Author)
	var items []registry.Candidate
	for i := range skills {
		f := domain.Skill{Name: fmt.Sprintf("Skill %d", i), Description: sentence(words), Category: "technical"}
		items = append(items, registry.Candidate{Facts: f})
	}
	var ids []domain.ID
	for chunk := range slices.Chunk(items, 500) {
		b, err := s.CreateAll(t.Context(), registry.Request{Who: who, Route: "chaos", Key: uuid.NewString()}, domain.KindSkill, chunk)
		require.NoError(t, err)
		for _, o := range b.Outcomes {
			ids = append(ids, o.ID)
		}
	}
	for i, id := range ids {
		f := items[i].Facts.(domain.Skill)
		f.Description = sentence(words)
		_, err := s.Amend(t.Context(), registry.Request{Who: who, Route: "chaos", Key: uuid.NewString()}, id, ledger.Hash{}, domain.Evolve{Facts: f})
		require.NoError(t, err)
	}
	db := c.Open(t, "plant_auditor", 1)
	var messages []*gcp.Message
	for {
		c.exec(t, "UPDATE outbox SET available_at = now() - interval '1 s'")
		rows, err := db.Unannounced(t.Context(), 1000, time.Hour)
		require.NoError(t, err)
		if len(rows) == 0 {
			return messages
		}
		var sent []string
		for _, r := range rows {
			e := event.Event{ID: r.ID, Type: r.Type, Source: "//chaos", Time: r.At}
			require.NoError(t, json.Unmarshal(r.Data, &e.Data))
			data, attributes, err := e.Message()
			require.NoError(t, err)
			messages, sent = append(messages, &gcp.Message{Data: data, Attributes: attributes}), append(sent, r.ID)
		}
		require.NoError(t, db.Announced(t.Context(), "", sent))
	}
}

func sentence(words *rand.Rand) string {
	pick := []string{"joins", "metal", "keeps", "accounts", "bakes", "bread", "writes", "software", "sells", "houses", "teaches", "children", "repairs", "engines"}
	text := ""
	for range 3 + words.IntN(12) {
		text += pick[words.IntN(len(pick))] + " "
	}
	return text + fmt.Sprint(words.IntN(1<<20))
}

// poisonOf are messages that nobody can ever handle: garbage, and events of what
// does not exist.
func poisonOf(decide *rand.Rand, n int) []*gcp.Message {
	var list []*gcp.Message
	for i := range n {
		if i%2 == 0 {
			list = append(list, &gcp.Message{Data: []byte{byte(decide.Uint32())}, Attributes: map[string]string{"type": "plant.skill.created", "poison": fmt.Sprint(i)}})
			continue
		}
		id, err := uuid.NewV7()
		e := event.Event{ID: id.String(), Type: "plant.skill.created", Source: "//chaos", Time: time.Now(), Data: event.Data{
			EntityID: id.String(), EntityType: "skill", GovernanceAgentID: "acme",
		}}
		data, attributes, messageErr := e.Message()
		if err != nil || messageErr != nil {
			panic("a new id is one")
		}
		attributes["poison"] = fmt.Sprint(i)
		list = append(list, &gcp.Message{Data: data, Attributes: attributes})
	}
	return list
}

// ahead is how many events are published before those in front are handled: the
// local broker forgets what nobody has taken for ten minutes.
const ahead = 2000

// publish sends every event twice, some three times, in an order of its own, as fast
// as they are handled.
func (c *chain) publish(ctx context.Context, t *testing.T, decide *rand.Rand, messages, poison []*gcp.Message) {
	t.Helper()
	all := append(slices.Clone(messages), messages...)
	all = append(all, messages[:len(messages)/5]...)
	decide.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	p := c.client.Publisher(topic)
	defer p.Stop()
	events, bad := map[*gcp.Message]bool{}, map[*gcp.Message]bool{}
	for _, m := range poison {
		bad[m] = true
	}
	began, told, done := time.Now(), time.Now(), 0
	for some := range slices.Chunk(all, ahead) {
		var results []*gcp.PublishResult
		for _, m := range some {
			events[m] = !bad[m]
			results = append(results, p.Publish(ctx, &gcp.Message{Data: m.Data, Attributes: m.Attributes}))
		}
		for _, r := range results {
			_, err := r.Get(ctx)
			require.NoError(t, err)
		}
		sent := 0
		for _, good := range events {
			if good {
				sent++
			}
		}
		for ; done < sent-ahead/2 || done < sent && len(events) == len(messages); done = max(done, c.handled(ctx)) {
			require.NoError(t, ctx.Err(), "events are left: %d of %d", done, sent)
			pause(ctx, 200*time.Millisecond)
			if time.Since(told) > time.Minute {
				told = time.Now()
				t.Logf("%d of %d events after %v", done, len(messages)-len(poison), time.Since(began).Round(time.Second))
			}
		}
	}
}

// strike does one bad thing after another until ctx ends.
func (c *chain) strike(ctx context.Context, t *testing.T, decide *rand.Rand) (n int) {
	client := goredis.NewClient(must(goredis.ParseURL(c.redis.URL())))
	defer func() { _ = client.Close() }()
	harm := []func() error{
		c.embed.Kill, c.embed.Kill, c.embed.Kill,
		func() error { return c.restartPostgres(ctx) },
		func() error { return c.restartRedis(ctx) },
		func() error { return c.freezeRedis(ctx) },
		func() error { return client.ConfigSet(ctx, "maxmemory", "1").Err() },
		func() error { return c.poisonCache(ctx, client) },
	}
	for ctx.Err() == nil {
		if err := harm[decide.IntN(len(harm))](); err != nil && ctx.Err() == nil {
			t.Logf("a strike missed: %v", err)
		}
		n++
		pause(ctx, time.Duration(300+decide.IntN(2500))*time.Millisecond)
	}
	return n
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func (c *chain) restartPostgres(ctx context.Context) error {
	if err := c.server.Kill(); err != nil {
		return err
	}
	return c.server.Restart(context.WithoutCancel(ctx))
}

func (c *chain) restartRedis(ctx context.Context) error {
	if err := c.redis.Kill(); err != nil {
		return err
	}
	pause(ctx, 500*time.Millisecond)
	return c.redis.Restart(context.WithoutCancel(ctx))
}

// freezeRedis makes it slow: it takes connections and does not answer.
func (c *chain) freezeRedis(ctx context.Context) error {
	pid := c.redis.PID()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		return err
	}
	pause(ctx, 500*time.Millisecond)
	return syscall.Kill(pid, syscall.SIGCONT)
}

// poisonCache replaces what is cached by what is no vector.
func (c *chain) poisonCache(ctx context.Context, client *goredis.Client) error {
	keys, err := client.Keys(ctx, "emb:*").Result()
	if err != nil {
		return err
	}
	for i, key := range keys {
		lie := [][]byte{nil, []byte("x"), make([]byte, 4*embedding.Dimensions), make([]byte, 4*embedding.Dimensions+1)}[i%4]
		if err := client.Set(ctx, key, lie, time.Hour).Err(); err != nil {
			return err
		}
	}
	return nil
}
