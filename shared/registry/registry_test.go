package registry_test

import (
	"crypto/sha256"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/scripts/localstack/stacktest"
	"github.com/dlai-sd/plant/shared/auth"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/registry"
	"github.com/dlai-sd/plant/shared/testkit/harness"
)

func TestMain(m *testing.M) { stacktest.Main(m) }

func request(who auth.Principal, body string) registry.Request {
	return registry.Request{Who: who, Route: "test", Key: uuid.NewString(), BodyHash: sha256.Sum256([]byte(body)), RequestID: "r-1"}
}

func skill(name string) domain.Skill {
	return domain.Skill{Name: name, Description: "Does " + name + ".", Category: "technical"}
}

func TestCreateAndRead(t *testing.T) {
	t.Parallel()
	d := harness.New(t)
	s := d.Service(t, 2)
	who := d.Principal(t, "acme", domain.Author)
	w, err := s.Create(t.Context(), request(who, "a"), registry.Candidate{Facts: skill("Welding"), Settable: domain.Settable{Tags: []string{"b", "a"}}})
	require.NoError(t, err)
	got, err := s.Get(t.Context(), who, domain.KindSkill, w.Entity.ID)
	require.NoError(t, err)
	require.Equal(t, w.Snapshot, got)
	require.True(t, registry.Compliance(got).Passed(), "%+v", registry.Compliance(got))
}
