package main

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/functions/certify"
	"github.com/dlai-sd/plant/shared/audit"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/registry"
	"github.com/dlai-sd/plant/shared/testkit/harness"
)

// onProposing proposes as somebody who holds everything, over its own tenant.
func onProposing(*siege, string) []aim {
	return both(func(victim) call {
		return call{method: "POST", path: proposals, body: `{"document":{},"purpose":"x"}`}
	})
}

// onProposal aims at the attacked tenant's proposal, which nobody has enacted.
func onProposal(method, rest, body string) func(*siege, string) []aim {
	return func(*siege, string) []aim {
		make := func(v victim) call {
			return call{method: method, path: proposals + "/" + v.proposal + rest, body: body}
		}
		if method == http.MethodGet {
			return []aim{make}
		}
		return both(make)
	}
}

// proposing makes a proposal of the attacked tenant's, and one that nobody has.
func (w *siege) proposing(t *testing.T) {
	t.Helper()
	none, err := domain.NewID()
	require.NoError(t, err)
	w.nobody.proposal = string(none)
	proposer := w.Token(t, w.PlatformPrincipal(t, "acme", registry.Proposer))
	a := w.at["certify"].post(t, proposer, proposals, proposalBody(t, tagged(t)))
	require.Equal(t, 201, a.status, "%s", a.body)
	w.them.proposal = as[wrote](t, a).ID
	// What is read once for all is read before anybody is compared with anybody.
	a = w.at["certify"].post(t, w.token2, skills+"/"+w.own.ids[skills]+"/certify?validate_only=true", `{"decision":"certify"}`)
	require.Equal(t, 200, a.status, "%s", a.body)
}

func tagged(t *testing.T) domain.Constitution {
	t.Helper()
	one := 1
	return harness.Amended(t, func(c *domain.Constitution) {
		c.Version = 2
		c.Rules = append(c.Rules, domain.Rule{
			ID: "L2-SKILL-TAGGED", Kinds: []string{"skill"}, Text: "A skill has a tag.", Remediation: "Give it one.",
			Check: &domain.Check{Field: "/tags", MinItems: &one},
		})
	})
}

func proposalBody(t *testing.T, law domain.Constitution) string {
	t.Helper()
	return fmt.Sprintf(`{"document":%s,"purpose":"Tags make skills findable."}`, law.Document())
}

// five are who it takes to change the constitution, and where they do it.
type five struct {
	s                                                *server
	proposer, genesis, architect, guardian, governor string
}

func (k *kit) fivePeople(t *testing.T, s *server) five {
	t.Helper()
	token := func(platform domain.Authority) string {
		return k.Token(t, k.PlatformPrincipal(t, "house", platform))
	}
	return five{s, token(registry.Proposer), token(domain.Genesis), token(domain.Architect), token(domain.Guardian), token(domain.Governor)}
}

func (f five) post(t *testing.T, token, path, body string, want int) answer {
	t.Helper()
	a := f.s.do(t, call{method: "POST", path: path, token: token, body: body, header: map[string]string{"Idempotency-Key": uuid.NewString()}})
	require.Equal(t, want, a.status, "%s %s: %s", path, body, a.body)
	return a
}

// carry puts a constitution in force, of which the genesis gate says how many entities
// it breaks, and returns its proposal's path.
func (f five) carry(t *testing.T, law domain.Constitution, broken int) string {
	t.Helper()
	path := proposals + "/" + as[wrote](t, f.post(t, f.proposer, proposals, proposalBody(t, law), http.StatusCreated)).ID
	f.post(t, f.genesis, path+"/decisions", fmt.Sprintf(`{"gate":"genesis","verdict":"approve","evidence":{"broken":%d}}`, broken), http.StatusOK)
	f.post(t, f.architect, path+"/decisions", `{"gate":"architect","verdict":"approve"}`, http.StatusOK)
	f.post(t, f.guardian, path+"/decisions", `{"gate":"guardian","verdict":"approve","evidence":{"left_out":[]}}`, http.StatusOK)
	f.post(t, f.governor, path+"/enact", `{}`, http.StatusOK)
	return path
}

// TestConstitutionOverHTTP: proposed, refused, judged, enacted and rolled back.
func TestConstitutionOverHTTP(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	s, maker := k.serve(t, certifier, nil), k.serve(t, createSkill, nil)
	f := k.fivePeople(t, s)
	do, proposer, genesis, architect, guardian, governor := f.post, f.proposer, f.genesis, f.architect, f.guardian, f.governor
	author := k.Token(t, k.Principal(t, "acme", domain.Author))
	law := tagged(t)
	for i := range 3 {
		a := maker.do(t, call{
			method: "POST", path: skills, token: author, header: map[string]string{"Idempotency-Key": uuid.NewString()},
			body: fmt.Sprintf(`{"name":"Untagged %d","description":"x","category":"technical"}`, i),
		})
		require.Equal(t, 201, a.status, "%s", a.body)
	}
	first := as[certify.Constitution](t, s.get(t, author, "/api/v1/constitution"))
	require.Equal(t, domain.Founding().Hash(), first.SHA256)
	require.JSONEq(t, string(domain.Founding().Document()), string(first.Document))

	do(t, proposer, proposals+"?validate_only=true", proposalBody(t, law), 200)
	require.Empty(t, as[page[certify.Proposal]](t, s.get(t, genesis, proposals)).Items)
	do(t, proposer, proposals, `{"document":{"name":"x"},"purpose":"x"}`, 422)
	do(t, proposer, proposals, `{"document":[],"purpose":"x"}`, 422)
	do(t, author, proposals, proposalBody(t, law), 403)
	a := do(t, proposer, proposals, proposalBody(t, law), 201)
	id := as[wrote](t, a).ID
	one := proposals + "/" + id
	require.Equal(t, one, a.header.Get("Location"))
	do(t, proposer, proposals, proposalBody(t, law), 201)
	p := as[page[certify.Proposal]](t, s.get(t, genesis, proposals+"?limit=1"))
	require.Len(t, p.Items, 1)
	require.NotEmpty(t, p.Next)
	require.Equal(t, id, string(as[page[certify.Proposal]](t, s.get(t, genesis, proposals+"?limit=1&cursor="+*p.Next)).Items[0].ID))
	read := as[certify.Proposal](t, s.get(t, genesis, one))
	require.Equal(t, []string{"L2-SKILL-TAGGED"}, read.Differences.Added)
	require.JSONEq(t, string(law.Document()), string(read.Document))
	require.Equal(t, 404, s.do(t, call{method: "GET", path: one, token: author}).status)
	require.Equal(t, 404, s.do(t, call{method: "GET", path: proposals + "/x", token: genesis}).status)
	require.Equal(t, 400, s.do(t, call{method: "GET", path: proposals + "?cursor=x", token: genesis}).status)

	at := one + "/decisions"
	do(t, genesis, at, `{"gate":"governor","verdict":"approve"}`, 400)
	do(t, genesis, at, `{"gate":"genesis","verdict":"maybe"}`, 400)
	do(t, genesis, at, `{"gate":"guardian","verdict":"approve","evidence":{"left_out":[]}}`, 403)
	says := func(a answer, text string) { require.Contains(t, string(a.body), text) }
	says(do(t, governor, one+"/enact", `{}`, 409), "the judgement of: genesis, architect, guardian")
	says(do(t, guardian, at, `{"gate":"guardian","verdict":"approve"}`, 422), "leaves out no rule of the one in force")
	do(t, guardian, at, `{"gate":"guardian","verdict":"approve","evidence":{"left_out":[]}}`, 200)
	says(do(t, governor, one+"/enact", `{}`, 409), `the judgement of: genesis, architect"`)
	do(t, architect, at+"?validate_only=true", `{"gate":"architect","verdict":"approve"}`, 200)
	do(t, architect, at, `{"gate":"architect","verdict":"approve"}`, 200)
	do(t, genesis, at, `{"gate":"genesis","verdict":"approve","evidence":{"broken":2}}`, 422)
	do(t, genesis, at, `{"gate":"genesis","verdict":"approve","evidence":{"broken":3}}`, 200)
	do(t, guardian, one+"/enact", `{}`, 403)
	enacted := as[certify.Proposal](t, do(t, governor, one+"/enact", `{}`, 200))
	require.Equal(t, law.Hash(), *enacted.InForce)
	now := as[certify.Constitution](t, s.get(t, author, "/api/v1/constitution"))
	require.Equal(t, law.Hash(), now.SHA256)
	require.Equal(t, id, string(*now.History[0].ProposalID))
	refused := maker.post(t, author, skills, plain("Welding"))
	require.Equal(t, 422, refused.status)
	require.Contains(t, string(refused.body), "L2-SKILL-TAGGED")
	require.Equal(t, "active", string(as[certify.Proposal](t, s.get(t, author, one)).Status), "everybody reads how it came to be")

	do(t, governor, one+"/rollback", `{}`, 422)
	says(do(t, governor, one+"/enact", `{}`, 409), "the proposal was enacted")
	do(t, governor, one+"/rollback", `{"reasons":["It stops the import."]}`, 200)
	says(do(t, governor, one+"/rollback", `{"reasons":["Again."]}`, 409), "the proposal was rolled back")
	require.Equal(t, domain.Founding().Hash(), as[certify.Constitution](t, s.get(t, author, "/api/v1/constitution")).SHA256)
	require.Equal(t, 201, maker.post(t, author, skills, plain("Welding")).status)
	k.evidenceHolds(t)
	k.tamper(t, `DELETE FROM enactment WHERE n = 2`, `UPDATE enactment SET sha256 = (SELECT sha256 FROM enactment WHERE n = 0) WHERE n = 1`)
	run := k.audit(t, k.serve(t, auditRun, nil), k.Token(t, k.PlatformPrincipal(t, "board", domain.Auditor)), `{"scope":"all"}`)
	var differ []int64
	for _, f := range run.Findings {
		if f.Reason == string(audit.ReasonEnactmentDiffers) {
			differ = append(differ, f.Seq)
		}
	}
	require.Equal(t, []int64{5, 6}, differ, "%+v", run.Findings)
}

// evidenceHolds: the log, a bundle of everything and an audit of it take a
// constitution's chain for what it is. Only what was in force is in the bundle.
func (k *kit) evidenceHolds(t *testing.T) {
	t.Helper()
	s := k.serve(t, auditRun, nil)
	token := k.Token(t, k.PlatformPrincipal(t, "board", domain.Auditor))
	s.sequence(t)
	run := k.audit(t, s, token, `{"scope":"all"}`)
	require.Empty(t, run.Findings)
	body := s.get(t, token, exportPath("all", "", "")).body
	k.judge(t, body, nil)
	text := unpacked(t, body)
	require.Contains(t, text, `\"change\":\"enacted\"`)
	require.Contains(t, text, "L2-SKILL-TAGGED")

	t.Run("verify.py", func(t *testing.T) { k.scriptAccepts(t, body) })
}

func (k *kit) scriptAccepts(t *testing.T, body []byte) {
	t.Helper()
	interpreter, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("NO PYTHON3: verify.py WAS NOT TESTED")
	}
	root, err := k.Secrets.Key(t.Context(), k.Keys[domain.UseRoot])
	require.NoError(t, err)
	der, err := x509.MarshalPKIXPublicKey(root.Public())
	require.NoError(t, err)
	dir := t.TempDir()
	trust, file := filepath.Join(dir, "root.pem"), filepath.Join(dir, "bundle.zip")
	require.NoError(t, os.WriteFile(trust, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o600))
	require.NoError(t, os.WriteFile(file, body, 0o600))
	out, err := exec.CommandContext(t.Context(), interpreter, "../shared/bundle/verify.py", file, "--trust", trust, "--origin", harness.Origin).CombinedOutput()
	require.NoError(t, err, "%s", out)
}
