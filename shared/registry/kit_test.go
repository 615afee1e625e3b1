package registry_test

import (
	"context"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/scripts/localstack/stacktest"
	"github.com/dlai-sd/plant/shared/auth"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/keys"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/registry"
	"github.com/dlai-sd/plant/shared/store"
	"github.com/dlai-sd/plant/shared/testkit/harness"
)

func TestMain(m *testing.M) { stacktest.Main(m) }

// anyVersion is a match that holds whatever the head is.
var anyVersion ledger.Hash

func request(who auth.Principal, body string) registry.Request {
	return registry.Request{Who: who, Route: "test", Key: uuid.NewString(), BodyHash: sha256.Sum256([]byte(body)), RequestID: "r-1"}
}

func skill(name string) domain.Skill {
	return domain.Skill{Name: name, Description: "Does " + name + ".", Category: "technical"}
}

// kit is a deployment with one tenant and a registry that it writes through.
type kit struct {
	*harness.Deployment
	*registry.Service
	who auth.Principal
}

func newKit(t *testing.T, pool int) kit {
	t.Helper()
	d := harness.New(t)
	return kit{d, d.Service(t, pool), d.Principal(t, "acme", domain.Author)}
}

// make creates a skill.
func (k kit) make(t *testing.T, name string) registry.Written {
	t.Helper()
	w, err := k.Create(t.Context(), request(k.who, name), skill(name), domain.Settable{})
	require.NoError(t, err)
	return w
}

// amend makes a change that must succeed.
func (k kit) amend(t *testing.T, id domain.ID, c domain.Change) registry.Written {
	t.Helper()
	w, err := k.Amend(t.Context(), request(k.who, "x"), id, anyVersion, c)
	require.NoError(t, err)
	return w
}

// archive is a change that ends an entity now.
func archive() domain.Change { return domain.MoveTo{To: domain.Archived, At: domain.Time(time.Now())} }

// as is a registry with another role and key: another function's.
func (k kit) as(t *testing.T, role string, use domain.KeyUse) *registry.Service {
	t.Helper()
	s, err := registry.New(registry.Config{
		DB: k.Open(t, role, 1), Keys: k.Secrets.Hold(keys.Pinned(k.Keys[use]), time.Now), Origin: harness.Origin,
		Log: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	return s
}

// admin runs statements as the database's administrator.
func (k kit) admin(t *testing.T, statements ...string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), k.URL)
	require.NoError(t, err)
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	for _, sql := range statements {
		_, err = conn.Exec(t.Context(), sql)
		require.NoError(t, err, sql)
	}
}

// count counts rows as the administrator.
func (k kit) count(t *testing.T, from string) (n int) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), k.URL)
	require.NoError(t, err)
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	require.NoError(t, conn.QueryRow(t.Context(), "SELECT count(*) FROM "+from).Scan(&n))
	return n
}

// chain reads an entity's whole chain and verifies it: signatures by a key of
// the ledger, links, openings.
func (k kit) chain(t *testing.T, id domain.ID) []ledger.Amendment {
	t.Helper()
	var chain []ledger.Amendment
	for {
		proofs, err := k.Proofs(t.Context(), k.who, domain.KindSkill, id, int64(len(chain)), 100)
		require.NoError(t, err)
		for _, p := range proofs {
			chain = append(chain, verified(t, p))
		}
		if len(proofs) < 100 {
			break
		}
	}
	require.Empty(t, ledger.VerifyChain(chain))
	for i, a := range chain {
		require.EqualValues(t, i+1, a.Record.Seq)
	}
	return chain
}

func verified(t *testing.T, p store.Proof) ledger.Amendment {
	t.Helper()
	a, err := ledger.ReadAmendment([]byte(p.Record), p.Opening, p.Signature, p.Batch)
	require.NoError(t, err)
	der, err := base64.StdEncoding.DecodeString(p.SPKI)
	require.NoError(t, err)
	key, err := x509.ParsePKIXPublicKey(der)
	require.NoError(t, err)
	require.NoError(t, ledger.VerifySignature(key.(*rsa.PublicKey), a))
	return a
}

// requireCode is what a refusal must be.
func requireCode(t *testing.T, want domain.Code, err error) *domain.Error {
	t.Helper()
	var refusal *domain.Error
	require.ErrorAs(t, err, &refusal)
	require.Equal(t, want, refusal.Code, refusal.Detail)
	return refusal
}

func seqs(entries []store.Entry) (list []int64) {
	for _, e := range entries {
		list = append(list, e.Seq)
	}
	return list
}
