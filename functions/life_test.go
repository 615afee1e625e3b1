package main

import (
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/ledger"
)

const everything = `{"name":"Negotiation","description":"Brings parties to an agreement.","category":"soft_skill",
	"external_id":"onet:2.B.1.d","visibility":"public","tags":["sales","communication","sales"],
	"custom_attributes":{"importance":3.12,"source":{"name":"O*NET"},"years":[2024,2025]},
	"governance_notes":"From the first catalogue."}`

func TestCreateAndGet(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	s := k.serve(t, createSkill, nil)
	who, token := k.author(t, "acme")
	parent := s.create(t, token, plain("Talking"))

	a := s.post(t, token, skills, strings.Replace(everything, `{`, `{"parent_id":"`+string(parent.ID)+`",`, 1))
	require.Equal(t, 201, a.status, "%s", a.body)
	made := as[view](t, a)
	require.True(t, made.ID.Valid())
	require.Equal(t, skills+"/"+string(made.ID), a.header.Get("Location"))
	require.Equal(t, `"`+made.VersionHash+`"`, a.header.Get("ETag"))
	require.Empty(t, a.header.Get("Idempotency-Replayed"))
	require.Equal(t, "Negotiation", made.Name)
	require.Equal(t, "draft", made.Status)
	require.Equal(t, "public", made.Visibility)
	require.Equal(t, []string{"communication", "sales"}, made.Tags, "a set, sorted")
	require.Equal(t, "acme", made.Owner)
	require.Equal(t, parent.ID, made.ParentID)
	require.EqualValues(t, 1, made.Version)
	require.Equal(t, []string{made.VersionHash}, made.Chain)
	require.Equal(t, "created", made.History[0].Change)
	require.Equal(t, "acme/"+who.ID, made.History[0].Author)
	require.Equal(t, map[string]string{"l0_01": "pass", "l0_02": "pass", "l0_03": "pass", "l0_04": "pass", "l0_05": "pass"}, made.L0)
	require.True(t, made.TamperProof && made.AppendOnly)
	require.Equal(t, "private", parent.Visibility, "unless said otherwise")

	read := s.get(t, token, a.header.Get("Location"))
	require.Equal(t, string(a.body), string(read.body), "the answer to a create is what a read shows")
	require.Equal(t, a.header.Get("ETag"), read.header.Get("ETag"))
	again := as[view](t, s.get(t, token, skills+"/"+string(parent.ID)))
	require.Equal(t, []domain.ID{made.ID}, again.Children)
}

// proof is an amendment as a stranger gets it.
type proof struct {
	Hash      string `json:"hash"`
	Record    string `json:"record"`
	Signature []byte `json:"signature"`
	SPKI      []byte `json:"spki"`
	Batch     *struct {
		Statement string   `json:"statement"`
		Index     int      `json:"index"`
		Path      []string `json:"path"`
	} `json:"batch"`
	Opening struct {
		Salt  string `json:"salt"`
		State string `json:"state"`
	} `json:"opening"`
}

// verified checks a chain as a stranger would: with nothing but the answer.
func verified(t *testing.T, items []proof) []ledger.Amendment {
	t.Helper()
	var chain []ledger.Amendment
	for _, p := range items {
		var batch *ledger.Batch
		if p.Batch != nil {
			batch = &ledger.Batch{Statement: []byte(p.Batch.Statement), Index: p.Batch.Index}
			for _, step := range p.Batch.Path {
				h, err := ledger.ParseHash(step)
				require.NoError(t, err)
				batch.Path = append(batch.Path, h)
			}
		}
		opening := &ledger.Opening{State: []byte(p.Opening.State)}
		salt, err := hex.DecodeString(p.Opening.Salt)
		require.NoError(t, err)
		require.Equal(t, 32, copy(opening.Salt[:], salt))
		a, err := ledger.ReadAmendment([]byte(p.Record), opening, p.Signature, batch)
		require.NoError(t, err)
		sum := sha256.Sum256([]byte(p.Record))
		require.Equal(t, p.Hash, hex.EncodeToString(sum[:]))
		require.Equal(t, a.Record.StateHash, opening.Hash())
		key, err := x509.ParsePKIXPublicKey(p.SPKI)
		require.NoError(t, err)
		require.NoError(t, ledger.VerifySignature(key.(*rsa.PublicKey), a))
		flipped := a
		flipped.Bytes = []byte(strings.Replace(p.Record, `"author":"acme/`, `"author":"evil/`, 1))
		require.Error(t, ledger.VerifySignature(key.(*rsa.PublicKey), flipped))
		chain = append(chain, a)
	}
	require.Empty(t, ledger.VerifyChain(chain))
	return chain
}

func TestAmendmentsVerifyAlone(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	s := k.serve(t, createSkill, nil)
	who, token := k.author(t, "acme")
	made := s.create(t, token, everything)
	service := k.Service(t, 2)
	for i := range 2 {
		request := requestOf(who)
		_, err := service.Amend(t.Context(), request, made.ID, ledger.Hash{}, domain.Evolve{
			Facts: domain.Skill{Name: "Negotiation", Description: fmt.Sprint("In other words ", i), Category: "soft_skill"},
		})
		require.NoError(t, err)
	}
	path := skills + "/" + string(made.ID) + "/amendments"
	first := as[page[proof]](t, s.get(t, token, path+"?limit=2"))
	require.Len(t, first.Items, 2)
	require.NotNil(t, first.Next)
	rest := as[page[proof]](t, s.get(t, token, path+"?limit=2&cursor="+*first.Next))
	require.Len(t, rest.Items, 1)
	require.Nil(t, rest.Next)

	chain := verified(t, append(first.Items, rest.Items...))
	require.Equal(t, "acme/"+who.ID, chain[0].Record.Author)
	require.JSONEq(t, `{"name":"Negotiation","description":"Brings parties to an agreement.","category":"soft_skill",
		"external_id":"onet:2.B.1.d","visibility":"public","tags":["communication","sales"],"status":"draft",
		"custom_attributes":{"importance":3.12,"source":{"name":"O*NET"},"years":[2024,2025]},
		"governance_notes":"From the first catalogue."}`, string(chain[0].Opening.State))
	whole := as[page[proof]](t, s.get(t, token, path))
	require.Equal(t, append(first.Items, rest.Items...), whole.Items)
}

func TestBatch(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	s := k.serve(t, createSkill, nil)
	_, token := k.author(t, "acme")
	taken := s.create(t, token, plain("Taken"))
	key := uuid.NewString()
	items := []string{
		plain("First"), `{"name":"","description":"x","category":"technical"}`, plain("Second"), `{"colour":"red"}`, `null`, `[1]`,
		plain("FIRST"), plain("taken"), `{"name":"Third","description":"x","category":"technical","parent_id":"` + string(taken.ID) + `"}`,
		`{"name":"Fourth","description":"x","category":"technical","parent_id":"01890000-0000-7000-8000-000000000000"}`,
		`{"name":"Fifth","description":"` + strings.Repeat("x", 260<<10) + `","category":"technical"}`,
		`{"name":"Sixth","description":"x","category":"technical","custom_attributes":{"a":null}}`,
	}
	c := call{
		method: "POST", path: skills + "/batch", token: token, body: `{"items":[` + strings.Join(items, ",") + `]}`,
		header: map[string]string{"Idempotency-Key": key},
	}
	type item struct {
		Index      int                `json:"index"`
		Status     int                `json:"status"`
		ID         domain.ID          `json:"id"`
		Version    int64              `json:"version"`
		Hash       string             `json:"version_hash"`
		Code       string             `json:"code"`
		Violations []domain.Violation `json:"violations"`
	}
	type result struct {
		Items   []item `json:"items"`
		Created int    `json:"created"`
		Refused int    `json:"refused"`
	}
	before := k.skillsWritten(t)
	dry := as[result](t, s.do(t, call{method: "POST", path: c.path + "?validate_only=true", token: token, body: c.body}))
	require.Equal(t, before, k.skillsWritten(t), "validate_only writes nothing")

	a := s.do(t, c)
	require.Equal(t, 200, a.status, "%s", a.body)
	got := as[result](t, a)
	statuses, codes := []int{}, []string{}
	for i, one := range got.Items {
		require.Equal(t, i, one.Index)
		statuses, codes = append(statuses, one.Status), append(codes, one.Code)
		require.Equal(t, one.Status == 201, one.ID.Valid() && one.Version == 1 && len(one.Hash) == 64)
		require.Equal(t, one.Status == 201, dry.Items[i].Status == 200, "validate_only judges alike")
		require.Equal(t, one.Code, dry.Items[i].Code)
		require.Empty(t, dry.Items[i].ID)
	}
	require.Equal(t, []int{201, 422, 201, 400, 400, 400, 409, 409, 201, 422, 413, 422}, statuses)
	require.Equal(t, []string{
		"", "rule_violated", "", "malformed", "malformed", "malformed", "duplicate", "duplicate", "",
		"rule_violated", "too_large", "rule_violated",
	}, codes)
	require.Equal(t, "L1-SKILL-01", got.Items[1].Violations[0].Rule)
	require.Equal(t, "/colour", got.Items[3].Violations[0].Field)
	require.Equal(t, "/parent_id", got.Items[9].Violations[0].Field)
	require.Equal(t, 3, got.Created)
	require.Equal(t, 9, got.Refused)
	require.Equal(t, 0, dry.Created)

	replay := s.do(t, c)
	require.Equal(t, "true", replay.header.Get("Idempotency-Replayed"))
	require.Equal(t, string(a.body), string(replay.body))
	require.Equal(t, before["entity"]+3, k.skillsWritten(t)["entity"])
	c.body = `{"items":[` + plain("Other") + `]}`
	require.Equal(t, "idempotency_key_reused", s.do(t, c).problem(t).Code)

	for _, i := range []int{0, 2, 8} {
		list := as[page[proof]](t, s.get(t, token, skills+"/"+string(got.Items[i].ID)+"/amendments"))
		chain := verified(t, list.Items)
		require.NotNil(t, list.Items[0].Batch, "one signature for all")
		require.Equal(t, got.Items[i].Hash, chain[0].Hash.String())
	}
	require.Len(t, k.messages(), 4, "one event each")
}

func TestValidateOnlyWritesNothing(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	s := k.serve(t, createSkill, nil)
	_, token := k.author(t, "acme")
	s.create(t, token, plain("There"))
	before := k.skillsWritten(t)
	for body, status := range map[string]int{
		plain("New"): 200, plain("there"): 409, plain(""): 422, `{"colour":1}`: 400,
		`{"name":"x","description":"x","category":"technical","parent_id":"01890000-0000-7000-8000-000000000000"}`: 422,
	} {
		a := s.post(t, token, skills+"?validate_only=true", body)
		require.Equal(t, status, a.status, body)
		require.Empty(t, a.header.Get("ETag")+a.header.Get("Location"))
	}
	require.Equal(t, before, k.skillsWritten(t))
	require.Len(t, k.messages(), 1)
}

func TestTenantsDoNotSeeEachOther(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	s := k.serve(t, createSkill, nil)
	_, acme := k.author(t, "acme")
	_, globex := k.author(t, "globex")
	made := s.create(t, acme, everything) // public, but a draft
	absent, err := domain.NewID()
	require.NoError(t, err)
	for _, rest := range []string{"", "/amendments"} {
		hidden := s.do(t, call{method: "GET", path: skills + "/" + string(made.ID) + rest, token: globex})
		never := s.do(t, call{method: "GET", path: skills + "/" + string(absent) + rest, token: globex})
		require.Equal(t, 404, hidden.status)
		require.Equal(t, 404, never.status)
		h, n := hidden.problem(t), never.problem(t)
		h.RequestID, h.Timestamp, h.Path = n.RequestID, n.Timestamp, n.Path
		require.Equal(t, n, h, "hidden and absent answer alike")
		require.Equal(t, headerNames(never), headerNames(hidden))
	}
	require.Empty(t, as[page[view]](t, s.get(t, globex, skills)).Items)
	require.Empty(t, as[page[view]](t, s.get(t, globex, skills+"?external_id=onet:2.B.1.d")).Items)

	s.create(t, globex, everything) // name and external id are each governance agent's own
	for _, parent := range []domain.ID{made.ID, absent} {
		a := s.post(t, globex, skills, `{"name":"x","description":"x","category":"technical","parent_id":"`+string(parent)+`"}`)
		require.Equal(t, 422, a.status)
		require.Equal(t, domain.Founding().Advised([]domain.Violation{domain.UnknownReferenceViolation(domain.Ref{
			Kind: domain.KindSkill, Field: "/parent_id", Rule: domain.RuleParent,
		})}), a.problem(t).Violations)
	}
}

func headerNames(a answer) []string { return slices.Sorted(maps.Keys(a.header)) }

func TestOtherKindsAreNotSkills(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	s := k.serve(t, createSkill, nil)
	who, token := k.author(t, "acme")
	w, err := k.Service(t, 1).Create(t.Context(), requestOf(who), domain.Industry{Name: "Shipbuilding"}, domain.Settable{})
	require.NoError(t, err)
	for _, rest := range []string{"", "/amendments"} {
		require.Equal(t, 404, s.do(t, call{method: "GET", path: skills + "/" + string(w.Entity.ID) + rest, token: token}).status)
	}
	require.Empty(t, as[page[view]](t, s.get(t, token, skills)).Items)
	a := s.post(t, token, skills, `{"name":"x","description":"x","category":"technical","parent_id":"`+string(w.Entity.ID)+`"}`)
	require.Equal(t, 422, a.status, "a parent is of the same kind")
}

func TestDisabledMeansNow(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	s := k.serve(t, createSkill, nil)
	who, token := k.author(t, "acme")
	first := call{method: "POST", path: skills, token: token, body: plain("First"), header: map[string]string{"Idempotency-Key": "k"}}
	require.Equal(t, 201, s.do(t, first).status)
	operator := k.Open(t, "plant_operator", 1)
	require.NoError(t, operator.SetPrincipalDisabled(t.Context(), who.ID, true))
	before := k.skillsWritten(t)
	for _, c := range []call{
		first,
		{method: "POST", path: skills, token: token, body: plain("Second")},
		{method: "POST", path: skills + "?validate_only=true", token: token, body: plain("Second")},
		{method: "POST", path: skills + "/batch", token: token, body: `{"items":[` + plain("Second") + `]}`},
	} {
		a := s.do(t, c)
		require.Equal(t, 403, a.status, "%s", a.body)
		require.Equal(t, "forbidden", a.problem(t).Code)
	}
	require.Equal(t, before, k.skillsWritten(t))
	require.NoError(t, operator.SetPrincipalDisabled(t.Context(), who.ID, false))
	s.create(t, token, plain("Second"))
}

func TestWritingNeedsAnAuthor(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	s := k.serve(t, createSkill, nil)
	auditor := k.Principal(t, "acme", domain.Auditor)
	stranger := auditor
	stranger.ID, stranger.Authorities = uuid.NewString(), []domain.Authority{domain.Author}
	for _, path := range []string{skills, skills + "/batch"} {
		body := map[string]string{skills: plain("x"), skills + "/batch": `{"items":[` + plain("x") + `]}`}[path]
		require.Equal(t, 403, s.post(t, k.Token(t, auditor), path, body).status)
		require.Equal(t, 403, s.post(t, k.Token(t, stranger), path, body).status, "a principal that no operator made")
	}
	s.get(t, k.Token(t, auditor), skills)
}

// TestTamperingShows: what was changed by hand behind the API's back is not
// shown as if nothing had happened.
func TestTamperingShows(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	s := k.serve(t, createSkill, nil)
	_, token := k.author(t, "acme")
	made := s.create(t, token, plain("Genuine"))
	k.admin(t, `ALTER TABLE opening DISABLE TRIGGER ALL`)
	k.admin(t, `UPDATE opening SET state = replace(state, 'Genuine', 'Forged!') WHERE entity_id = $1`, string(made.ID))
	got := as[view](t, s.get(t, token, skills+"/"+string(made.ID)))
	require.Equal(t, "Forged!", got.Name)
	require.False(t, got.TamperProof)
	require.True(t, got.AppendOnly, "the records themselves still stand")
}
