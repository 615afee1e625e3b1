package domain_test

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/domain"
)

// evidence is a clean chain of three.
func evidence(t *testing.T) domain.Evidence {
	t.Helper()
	e := aSkill(t)
	e.Head = domain.Head{Version: 3, Hash: [32]byte{3}}
	link := func(seq int64, prev, hash byte) domain.Link {
		return domain.Link{
			Seq: seq, GovernanceAgentID: "acme", Author: "acme/0198c0de-0000-7000-8000-000000000001", Change: "evolved",
			Hash: [32]byte{hash}, PrevHash: [32]byte{prev}, Recomputes: true,
		}
	}
	return domain.Evidence{Entity: e, Complete: true, Links: []domain.Link{link(1, 0, 1), link(2, 1, 2), link(3, 2, 3)}}
}

// TestL0 breaks each of the five rules, in each way, one at a time.
func TestL0(t *testing.T) {
	t.Parallel()
	clean := domain.Founding().L0(evidence(t))
	require.True(t, clean.Passed(), "%+v", clean)
	require.Len(t, clean.Outcomes, 5)
	successor := aSkill(t)
	for name, c := range map[string]struct {
		change func(*domain.Evidence)
		fails  string
	}{
		"another owner in the middle": {func(e *domain.Evidence) { e.Links[1].GovernanceAgentID = "other" }, "L0-01"},
		"a stranger evolved it":       {func(e *domain.Evidence) { e.Links[1].Author = "other/p" }, "L0-01"},
		"no author":                   {func(e *domain.Evidence) { e.Links[2].Author = "acme" }, "L0-01"},
		"no history":                  {func(e *domain.Evidence) { e.Links = nil }, "L0-02 L0-03"},
		"a gap":                       {func(e *domain.Evidence) { e.Links[2].Seq = 4; e.Entity.Head.Version = 4 }, "L0-02"},
		"the head is elsewhere":       {func(e *domain.Evidence) { e.Entity.Head.Version = 2 }, "L0-02"},
		"the head has another hash":   {func(e *domain.Evidence) { e.Entity.Head.Hash = [32]byte{9} }, "L0-02"},
		"the beginning is missing":    {func(e *domain.Evidence) { e.Links = e.Links[1:] }, "L0-02"},
		"an altered record":           {func(e *domain.Evidence) { e.Links[0].Recomputes = false }, "L0-03"},
		"a broken link":               {func(e *domain.Evidence) { e.Links[1].PrevHash = [32]byte{7} }, "L0-04"},
		"a first with a predecessor":  {func(e *domain.Evidence) { e.Links[0].PrevHash = [32]byte{7} }, "L0-04"},
		"an unknown successor":        {func(e *domain.Evidence) { e.Entity.Governed.SupersededBy = successor.ID }, "L0-04"},
		"a draft successor": {func(e *domain.Evidence) {
			e.Entity.Governed.SupersededBy = successor.ID
			e.Successor = &successor
		}, "L0-04"},
	} {
		ev := evidence(t)
		c.change(&ev)
		report := domain.Founding().L0(ev)
		var failed []string
		for _, o := range report.Outcomes {
			if !o.Passed {
				failed = append(failed, o.Rule)
				require.NotEmpty(t, o.Message, name)
				require.NotEmpty(t, o.Remediation, name)
			}
		}
		require.Equal(t, c.fails, strings.Join(failed, " "), name)
		require.False(t, report.Passed(), name)
	}
}

func TestL0Allows(t *testing.T) {
	t.Parallel()
	successor := aSkill(t)
	successor.Governed.Status = domain.Certified
	for name, change := range map[string]func(*domain.Evidence){
		"the system's work":         func(e *domain.Evidence) { e.Links[1].Author = "system/embed"; e.Links[1].Change = "embedded" },
		"Genesis certifies another": func(e *domain.Evidence) { e.Links[2].Author = "genesis/p"; e.Links[2].Change = "certified" },
		"a certified successor": func(e *domain.Evidence) {
			e.Entity.Governed.SupersededBy = successor.ID
			e.Successor = &successor
		},
		"only the head on a write": func(e *domain.Evidence) { e.Complete = false; e.Links = e.Links[1:] },
	} {
		ev := evidence(t)
		change(&ev)
		require.True(t, domain.Founding().L0(ev).Passed(), name)
	}
}

func TestL0IsExportable(t *testing.T) {
	t.Parallel()
	b, err := json.Marshal(domain.Founding().L0(evidence(t)))
	require.NoError(t, err)
	require.Contains(t, string(b), domain.Founding().Hash())
	for _, rule := range []string{"L0-01", "L0-02", "L0-03", "L0-04", "L0-05"} {
		require.Contains(t, string(b), rule)
	}
}

// TestConstitution: the document is canonical, hashed, complete, and its hash is
// known: a document that changed without a new version fails here, because
// records of the old one are signed over this hash.
func TestConstitution(t *testing.T) {
	t.Parallel()
	frozen := map[int]string{1: "7caf2f88e451bfd8f4da0dcc88159737fcff9cf52230ca8e6710cd14548f84bd"}
	require.Len(t, domain.Constitutions(), len(frozen))
	for _, c := range domain.Constitutions() {
		require.Equal(t, frozen[c.Version], c.Hash())
		sum := c.Sum()
		require.Equal(t, c.Hash(), hex.EncodeToString(sum[:]))
		seen := map[string]bool{}
		for _, r := range c.Rules {
			require.False(t, seen[r.ID], r.ID)
			seen[r.ID] = true
			require.NotEmpty(t, r.Text, r.ID)
			require.NotEmpty(t, r.Remediation, r.ID)
			require.NotEmpty(t, r.Kinds, r.ID)
		}
		for _, rule := range []string{
			"L0-01", "L0-02", "L0-03", "L0-04", "L0-05", "L1-SKILL-01", "L1-SKILL-02", "L1-SKILL-03", "L1-JOBROLE-01",
			"L1-JOBROLE-02", "L1-JOBROLE-03", "L1-TEAM-01", "L1-TEAM-02", "L1-TEAM-03", "L1-AGENT-01", "L1-AGENT-02",
			"L1-AGENT-03", "L1-AGENT-04", "L1-AGENT-05", "L1-INDUSTRY-01", domain.RuleLimit, domain.RuleName,
			domain.RuleVisibility, domain.RuleAttributes, domain.RuleID, domain.RuleTags, domain.RuleParent,
			domain.RuleUniqueName, domain.RuleExternalID, domain.RuleLifecycle, domain.RuleStatusReason, domain.RuleFourEyes,
			domain.RuleKeyUse,
		} {
			require.True(t, seen[rule], rule)
		}
	}
}

func TestSigningKeys(t *testing.T) {
	t.Parallel()
	key := domain.SigningKey{
		KeyID: strings.Repeat("ab", 32), SPKI: "AAAA", Use: domain.UseAmendment, MaySign: domain.DefaultMaySign(domain.UseAmendment),
	}
	e := domain.Introduced(newID(t), key)
	require.Empty(t, domain.Founding().Validate(e, domain.Known{}))
	require.Equal(t, "keyring", e.GovernanceAgentID)
	require.NotContains(t, key.MaySign, domain.ChangeErased)

	for use, change := range map[domain.KeyUse]string{
		domain.UseAmendment: "certified", domain.UseCertification: "created", domain.UseRoot: "created",
		domain.UseHeads: "created", domain.UseCheckpoint: "created",
	} {
		bad := key
		bad.Use, bad.MaySign = use, []string{change}
		require.Equal(t, []string{"KEY-USE /may_sign"}, rules(domain.Founding().Validate(domain.Introduced(newID(t), bad), domain.Known{})), use)
	}

	retired, err := domain.EndKey{Reason: "rotation"}.Apply(e)
	require.NoError(t, err)
	require.Equal(t, domain.KeyRetired, retired.Governed.Status)
	_, err = domain.EndKey{}.Apply(retired)
	requireCode(t, domain.CodeIllegalMove, err, "retired twice")
	revoked, err := domain.EndKey{Revoked: true, InvalidFrom: 17}.Apply(retired)
	require.NoError(t, err)
	state, err := revoked.State()
	require.NoError(t, err)
	require.Contains(t, string(state), `"invalid_from":17`)
	_, err = domain.EndKey{Revoked: true}.Apply(revoked)
	requireCode(t, domain.CodeIllegalMove, err, "revoked twice")
	_, err = domain.EndKey{}.Apply(aSkill(t))
	requireCode(t, domain.CodeMalformed, err, "a skill is no key")
	require.Equal(t, "retired", domain.EndKey{}.Name())
	require.Equal(t, "revoked", domain.EndKey{Revoked: true}.Name())
}
