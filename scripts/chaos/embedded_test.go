package chaos

import (
	"context"
	"encoding/hex"
	"math"
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	gcp "cloud.google.com/go/pubsub/v2"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/embedding"
	"github.com/dlai-sd/plant/shared/ledger"
)

// askTexts are asked for over and over: whatever the cache holds, the answer is
// the same.
func askTexts() []string {
	return []string{"welding", "bread baking", "keeping the accounts of a company"}
}

// ask asks embed for embeddings until ctx ends, and holds each answer to the first
// one. While embed is away there is none.
func (c *chain) ask(ctx context.Context, t *testing.T, decide *rand.Rand, token string) (n int) {
	client, err := embedding.NewClient(c.url, embedding.ClientOptions{HTTP: &http.Client{Transport: bearer(token)}})
	if err != nil {
		t.Errorf("client: %v", err)
		return 0
	}
	known := map[string][]float32{}
	for ctx.Err() == nil {
		text := askTexts()[decide.IntN(len(askTexts()))]
		got, err := client.Embed(ctx, text)
		if err != nil {
			pause(ctx, 50*time.Millisecond)
			continue
		}
		n++
		first, ok := known[text]
		if !ok {
			known[text] = got.Vector
			continue
		}
		for i := range first {
			if math.Abs(float64(first[i]-got.Vector[i])) > 1e-5 {
				t.Errorf("%q: another vector than before", text)
				return n
			}
		}
	}
	return n
}

type bearer string

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+string(b))
	return http.DefaultTransport.RoundTrip(r)
}

func (c *chain) exec(t *testing.T, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), c.URL)
	require.NoError(t, err)
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	_, err = conn.Exec(t.Context(), sql)
	require.NoError(t, err)
}

// isEmbedded: each skill has exactly one vector, of the text that it has now, with
// the hash that its newest state names.
func (c *chain) isEmbedded(t *testing.T, skills int) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), c.URL)
	require.NoError(t, err)
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	rows, err := conn.Query(t.Context(), `SELECT e.name, k.description, e.embedding ->> 'text_sha256', e.embedding ->> 'vector_sha256',
			v.vector::real[], (SELECT count(*) FROM embedding o WHERE o.entity_id = e.id)
		FROM entity e JOIN skill k USING (id) LEFT JOIN embedding v ON v.entity_id = e.id`)
	require.NoError(t, err)
	n := 0
	var name, description, textHash, vectorHash string
	var values []float32
	var vectors int
	_, err = pgx.ForEachRow(rows, []any{&name, &description, &textHash, &vectorHash, &values, &vectors}, func() error {
		n++
		sum := embedding.EntityTextHash(name, description)
		require.Equal(t, hex.EncodeToString(sum[:]), textHash, "the newest text won")
		require.Equal(t, 1, vectors)
		return ledger.CheckVector(vectorHash, values)
	})
	require.NoError(t, err)
	require.Equal(t, skills, n)
}

// deadLetters takes every dead letter as it comes, until ctx ends: the local broker
// forgets what nobody has taken for ten minutes.
func (c *chain) deadLetters(ctx context.Context) <-chan *gcp.Message {
	letters := make(chan *gcp.Message, 1000)
	go func() {
		defer close(letters)
		_ = c.client.Subscriber("dead").Receive(ctx, func(ctx context.Context, m *gcp.Message) {
			select {
			case letters <- m:
				m.Ack()
			case <-ctx.Done():
				m.Nack()
			}
		})
	}()
	return letters
}

// lettersMost bounds the wait for the last dead letters: some leases of a minute.
const lettersMost = 3 * time.Minute

// checkLetters: every poison comes out with its reason, however often it was
// delivered, and nothing else.
func checkLetters(ctx context.Context, t *testing.T, poison []*gcp.Message, letters <-chan *gcp.Message) {
	t.Helper()
	waiting := map[string]bool{}
	for _, m := range poison {
		waiting[m.Attributes["poison"]] = true
	}
	got := map[string]int{}
	ctx, cancel := context.WithTimeout(ctx, lettersMost)
	defer cancel()
	for len(waiting) > 0 {
		select {
		case m := <-letters:
			got[m.Attributes["poison"]]++
			id, isPoison := m.Attributes["poison"]
			require.True(t, isPoison, "a letter that was no poison: %v", m.Attributes)
			require.NotEmpty(t, m.Attributes["reason"])
			delete(waiting, id)
		case <-ctx.Done():
			require.Empty(t, waiting, "poison that is no dead letter; letters of the others: %v", got)
		}
	}
}
