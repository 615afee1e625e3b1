package chaos

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/scripts/localstack/oidc"
	"github.com/dlai-sd/plant/shared/auth"
	"github.com/dlai-sd/plant/shared/event"
	"github.com/dlai-sd/plant/shared/web"
)

// consumer is a subscriber as ours are: it checks who pushes, does nothing twice
// for one event id, and fails at random, before its effect and after it.
type consumer struct {
	server *httptest.Server
	issuer *oidc.Issuer

	mu         sync.Mutex
	decide     *rand.Rand
	inbox      map[string]bool          // ce-id
	effects    map[string][]event.Event // entity → what was announced of it, once per ce-id
	deliveries int
	refused    int // answered with 503, to be delivered again
	known      int // delivered again and recognised
	dead       []string
}

var errAtRandom = errors.New("not now")

func listen(t *testing.T, decide *rand.Rand) *consumer {
	t.Helper()
	c := &consumer{decide: decide, inbox: map[string]bool{}, effects: map[string][]event.Event{}}
	var err error
	c.issuer, err = oidc.Start(0)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.issuer.Stop(context.WithoutCancel(t.Context()))) })
	guard, err := auth.NewOIDC(auth.OIDCConfig{Issuer: c.issuer.URL(), Audience: pushAudience, Emails: []string{pusher}})
	require.NoError(t, err)
	c.server = httptest.NewServer(web.Wrap(guard.Require(event.Handler("chaos", c.take, c.bury)), web.Options{}))
	t.Cleanup(c.server.Close)
	return c
}

func (c *consumer) take(_ context.Context, e event.Event) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deliveries++
	if c.decide.IntN(100) < 15 {
		c.refused++
		return errAtRandom
	}
	if c.inbox[e.ID] {
		c.known++
		return nil
	}
	c.inbox[e.ID] = true
	c.effects[e.Data.EntityID] = append(c.effects[e.Data.EntityID], e)
	if c.decide.IntN(100) < 10 {
		c.refused++
		return errAtRandom
	}
	return nil
}

func (c *consumer) bury(_ context.Context, _ string, push event.Push, cause error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dead = append(c.dead, push.Message.MessageID+": "+cause.Error())
	return nil
}

func (c *consumer) heard() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.effects)
}
