package main

import (
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/pstest"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/scripts/localstack/stacktest"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/embedding"
	"github.com/dlai-sd/plant/shared/embedding/minilm"
	"github.com/dlai-sd/plant/shared/keys"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/registry"
	"github.com/dlai-sd/plant/shared/registry/api"
	"github.com/dlai-sd/plant/shared/registry/vectors"
	"github.com/dlai-sd/plant/shared/testkit/harness"
)

// push delivers a message as Pub/Sub does.
func (s *server) push(t *testing.T, path string, data []byte, attributes map[string]string) answer {
	t.Helper()
	var list []string
	for name, value := range attributes {
		list = append(list, fmt.Sprintf("%q:%q", name, value))
	}
	body := fmt.Sprintf(`{"message":{"data":%q,"messageId":"1","publishTime":"2026-01-31T12:00:00Z","attributes":{%s}},"subscription":"projects/p/subscriptions/s"}`,
		base64.StdEncoding.EncodeToString(data), strings.Join(list, ","))
	return s.do(t, call{method: http.MethodPost, path: path, token: serviceToken(t), body: body, header: map[string]string{"Idempotency-Key": ""}})
}

// deliver pushes what was published of the types that have these endings.
func (k *kit) deliver(t *testing.T, s *server, path string, endings ...string) (delivered []*pstest.Message) {
	t.Helper()
	for _, m := range k.messages() {
		kind := m.Attributes["type"]
		if slices.ContainsFunc(endings, func(e string) bool { return strings.HasSuffix(kind, e) }) {
			require.Equal(t, http.StatusNoContent, s.push(t, path, m.Data, m.Attributes).status)
			delivered = append(delivered, m)
		}
	}
	return delivered
}

type embedded struct {
	view
	Embedding *domain.Embedding `json:"embedding"`
	Vector    []float32         `json:"embedding_384"`
}

// TestChainOfASkill: what is created gets its vector, signed, once however often
// and in whatever order its events come; the newest text wins.
func TestChainOfASkill(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	s, e := k.serve(t, createSkill, nil), k.serve(t, embedder, nil)
	_, token := k.author(t, "acme")
	made := s.create(t, token, plain("Welding"))
	path := skills + "/" + string(made.ID)
	require.Empty(t, as[embedded](t, s.get(t, token, path+"?include=embedding_384")).Vector)
	for range 3 {
		k.deliver(t, e, "/events/embed", ".created")
	}
	now := s.get(t, token, path+"?include=embedding_384")
	got := as[embedded](t, now)
	require.Equal(t, fmt.Sprintf("%q", made.VersionHash), now.header.Get("ETag"), "the author's ETag is not stale")
	require.EqualValues(t, 2, got.Version)
	require.Equal(t, "embedded", got.History[1].Change)
	require.Equal(t, "system/embed", got.History[1].Author)
	require.Equal(t, "all-MiniLM-L6-v2/mean-1", got.Embedding.ModelID)
	require.Len(t, got.Vector, 384)
	require.True(t, got.TamperProof)
	require.Equal(t, 1, k.count(t, "inbox WHERE consumer = 'embed'"))
	require.Len(t, slices.DeleteFunc(k.messages(), func(m *pstest.Message) bool { return m.Attributes["type"] != "plant.skill.embedded" }), 1)

	// Two changes; the event of the older comes after that of the newer.
	etag := now.header.Get("ETag")
	for _, name := range []string{"Riveting", "Soldering"} {
		a := s.do(t, call{
			method: http.MethodPatch, path: path, token: token, body: fmt.Sprintf(`{"name":%q}`, name),
			header: map[string]string{"If-Match": etag, "Content-Type": "application/merge-patch+json", "Idempotency-Key": uuid.NewString()},
		})
		require.Equal(t, http.StatusOK, a.status, "%s", a.body)
		require.Nil(t, as[embedded](t, a).Embedding, "no vector stands for the new text yet")
		etag = a.header.Get("ETag")
	}
	changes := slices.DeleteFunc(k.messages(), func(m *pstest.Message) bool { return m.Attributes["type"] != "plant.skill.evolved" })
	require.Len(t, changes, 2)
	for _, m := range []*pstest.Message{changes[1], changes[0]} {
		require.Equal(t, http.StatusNoContent, e.push(t, "/events/embed", m.Data, m.Attributes).status)
	}
	last := as[embedded](t, s.get(t, token, path))
	require.EqualValues(t, 5, last.Version, "created, embedded, two changes, embedded")
	require.NotEqual(t, got.Embedding.TextSHA256, last.Embedding.TextSHA256)
	require.Equal(t, 1, k.count(t, "embedding"))
}

// TestOneEventBringsTheOthersAlong: of a bulk write the first event makes all the
// vectors, under one signature.
func TestOneEventBringsTheOthersAlong(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	s, e := k.serve(t, createSkill, nil), k.serve(t, embedder, nil)
	_, token := k.author(t, "acme")
	var items []string
	for i := range 20 {
		items = append(items, plain(fmt.Sprintf("Skill %d", i)))
	}
	require.Equal(t, http.StatusOK, s.post(t, token, skills+"/batch", `{"items":[`+strings.Join(items, ",")+`]}`).status)
	messages := k.messages()
	require.Len(t, messages, 20)
	require.Equal(t, http.StatusNoContent, e.push(t, "/events/embed", messages[7].Data, messages[7].Attributes).status)
	require.Equal(t, 20, k.count(t, "embedding"))
	require.Equal(t, 1, k.count(t, "(SELECT DISTINCT batch_id FROM amendment WHERE change = 'embedded') b"))

	var all sync.WaitGroup
	for _, m := range messages {
		all.Go(func() { e.push(t, "/events/embed", m.Data, m.Attributes) })
	}
	all.Wait()
	require.Equal(t, 20, k.count(t, "amendment WHERE change = 'embedded'"))
	require.Equal(t, 20, k.count(t, "inbox WHERE consumer = 'embed'"))
}

// TestPoisonIsBuried: what can never be handled goes to the dead letters with its
// reason and is not tried again.
func TestPoisonIsBuried(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	dead := k.deadTopic(t)
	e := k.serve(t, embedder, map[string]string{"PUBSUB_DEAD_LETTER_TOPIC": dead})
	absent, err := domain.NewID()
	require.NoError(t, err)
	event, err := uuid.NewV7()
	require.NoError(t, err)
	attributes := map[string]string{
		"ce-specversion": "1.0", "ce-id": event.String(), "ce-type": "plant.skill.created", "type": "plant.skill.created",
		"ce-source": "//test", "ce-subject": string(absent), "ce-time": "2026-01-31T12:00:00Z", "content-type": "application/json",
	}
	data := fmt.Sprintf(`{"entity_id":%q,"entity_type":"skill","governance_agent_id":"acme","seq":1,"hash":""}`, absent)
	require.Equal(t, http.StatusNoContent, e.push(t, "/events/embed", []byte(data), attributes).status)
	require.Equal(t, http.StatusNoContent, e.push(t, "/events/embed", []byte(`garbage`), nil).status)
	letters := k.messagesOf(dead)
	require.Len(t, letters, 2)
	require.Contains(t, letters[0].Attributes["reason"], "no such entity")
	require.NotEmpty(t, letters[1].Attributes["reason"])
}

func TestSearch(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	s, r, e := k.serve(t, createSkill, nil), k.serve(t, createRole, nil), k.serve(t, embedder, nil)
	_, token := k.author(t, "acme")
	_, other := k.author(t, "globex")
	create := func(token, name, description, more string) view {
		return s.create(t, token, fmt.Sprintf(`{"name":%q,"description":%q,"category":"technical"%s}`, name, description, more))
	}
	welding := create(token, "Welding", "Joins metal parts by melting them together.", "")
	create(token, "Bread baking", "Makes bread that people come back for.", "")
	create(token, "Bookkeeping", "Keeps the accounts of a company in order.", "")
	create(other, "Secret soldering", "Joins metal with solder.", "")
	shared := create(other, "Brazing", "Joins metals with a filler.", `,"visibility":"public"`)
	a := r.post(t, token, industries, `{"name":"Metal industry","description":"Makes things of metal."}`)
	require.Equal(t, http.StatusCreated, a.status)
	k.deliver(t, e, "/events/embed", ".created")

	find := func(token, query string) []api.Hit {
		t.Helper()
		return as[api.Hits](t, e.get(t, token, "/api/v1/search?"+query)).Items
	}
	found := func(hits []api.Hit) (names []string) {
		for i, h := range hits {
			names = append(names, h.Name)
			require.True(t, i == 0 || hits[i-1].Score >= h.Score)
		}
		return names
	}
	hits := find(token, "q=fusing+steel&kind=skill")
	require.Equal(t, "Welding", hits[0].Name)
	require.Len(t, hits, 3, "as many as there are that one may see")
	require.NotNil(t, hits[0].Reasons.Semantic)
	require.Nil(t, hits[0].Reasons.Lexical)
	require.Equal(t, []string{"Bookkeeping"}, found(find(token, "q=the+account+of+companies&mode=lexical")))
	require.Equal(t, []string{"account", "compani"}, find(token, "q=accounts+company&mode=lexical")[0].Reasons.Words)
	require.Len(t, find(token, "q=metal"), 4)
	require.Len(t, find(token, "q=metal&limit=1"), 1)
	require.Equal(t, []string{"Metal industry"}, found(find(token, "q=metal&kind=industry")))
	require.Empty(t, find(token, "q=metal&status=certified"))
	require.Empty(t, find(token, "q=metal&category=soft_skill"))
	require.NotContains(t, found(find(token, "q=secret+soldering")), "Secret soldering")

	k.decided(t, shared.ID, domain.Certified)
	require.Contains(t, found(find(token, "q=brazing&kind=skill")), "Brazing")
	require.Equal(t, []string{"Brazing"}, found(find(token, "q=brazing&mode=lexical")))
	near := as[api.Hits](t, e.get(t, token, skills+"/"+string(welding.ID)+"/similar")).Items
	require.Equal(t, "Brazing", near[0].Name)
	require.NotContains(t, found(near), "Welding")
	like := e.post(t, token, "/api/v1/similar", `{"entity_type":"skill","name":"Welding","description":"Joins metal parts by melting them together."}`)
	require.InDelta(t, 1, as[api.Hits](t, like).Items[0].Score, 0.4)
	require.Equal(t, "Welding", as[api.Hits](t, like).Items[0].Name)

	require.Equal(t, http.StatusNotFound, e.do(t, call{method: "GET", path: skills + "/" + string(welding.ID) + "/similar", token: other}).status)
	require.Equal(t, http.StatusNotFound, e.do(t, call{method: "GET", path: jobRoles + "/" + string(welding.ID) + "/similar", token: token}).status)

	done := s.do(t, call{method: http.MethodDelete, path: skills + "/" + string(welding.ID), token: token, header: map[string]string{
		"If-Match": fmt.Sprintf("%q", welding.VersionHash), "Idempotency-Key": "x",
	}})
	require.Equal(t, http.StatusOK, done.status, "%s", done.body)
	require.NotContains(t, found(find(token, "q=welding")), "Welding")
	require.Equal(t, 0, k.count(t, "embedding WHERE entity_id = $1", string(welding.ID)))
}

func TestSearchRefuses(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	e := k.serve(t, embedder, nil)
	_, token := k.author(t, "acme")
	for _, query := range []string{
		"", "q=", "q=+", "q=" + strings.Repeat("x", 2001), "q=a%00b", "q=x&kind=agent", "q=x&mode=best", "q=x&limit=0",
		"q=x&limit=101", "q=x&limit=05", "q=x&limit=%2B5", "q=x&limit=+5", "q=x&category=none", "q=x&status=archived", "q=x&unknown=1", "q=x&q=y",
	} {
		require.Equal(t, http.StatusBadRequest, e.do(t, call{method: "GET", path: "/api/v1/search?" + query, token: token}).status, query)
	}
	for _, odd := range []string{"' OR 1=1 --", `\\ ' | & ! : *`, "Ⱥ́", "\U0001F600", "the of and"} {
		for _, mode := range []string{"default", "semantic", "lexical"} {
			require.Empty(t, as[api.Hits](t, e.get(t, token, "/api/v1/search?mode="+mode+"&q="+url.QueryEscape(odd))).Items, odd)
		}
	}
	for _, body := range []string{`{}`, `{"entity_type":"agent","name":"x"}`, `{"entity_type":"skill","name":""}`, `[]`, `{"entity_type":"skill","name":"x","more":1}`} {
		require.Equal(t, http.StatusBadRequest, e.post(t, token, "/api/v1/similar", body).status, body)
	}
}

// TestNearDuplicatesAreNamed: a create says what looks like it, and goes on without
// saying where embed is not there.
func TestNearDuplicatesAreNamed(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	e := k.serve(t, embedder, nil)
	s := k.serve(t, createSkill, map[string]string{"EMBED_URL": e.url})
	_, token := k.author(t, "acme")
	_, other := k.author(t, "globex")
	type warned struct {
		view
		Similar []api.Hit `json:"similar"`
	}
	body := `{"name":%q,"description":"Joins metal parts by melting them together.","category":"technical"}`
	first := s.post(t, token, skills, fmt.Sprintf(body, "Welding"))
	require.Contains(t, string(first.body), `"similar":[]`)
	s.post(t, token, skills, plain("Bookkeeping"))
	s.post(t, other, skills, fmt.Sprintf(body, "Welding in secret"))
	k.deliver(t, e, "/events/embed", ".created")

	again := as[warned](t, s.post(t, token, skills, fmt.Sprintf(body, "Welding metal")))
	require.Len(t, again.Similar, 1, "%+v", again.Similar)
	require.Equal(t, "Welding", again.Similar[0].Name)
	would := s.post(t, token, skills+"?validate_only=true", fmt.Sprintf(body, "Welding of metal"))
	require.Equal(t, "Welding", as[warned](t, would).Similar[0].Name)

	alone := k.serve(t, createSkill, map[string]string{"EMBED_URL": "http://127.0.0.1:1"})
	for i := range 5 {
		a := alone.post(t, token, skills, fmt.Sprintf(body, fmt.Sprintf("Welding %d", i)))
		require.Equal(t, http.StatusCreated, a.status, "%s", a.body)
		require.Contains(t, string(a.body), `"similar":null`)
	}
}

// TestGenerateEmbedding: for principals and for our own functions, and for nobody
// else.
func TestGenerateEmbedding(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	e := k.serve(t, embedder, nil)
	_, token := k.author(t, "acme")
	const path = "/generate-embedding"
	one := as[embedding.Response](t, e.post(t, token, path, `{"text":"joining metal parts"}`))
	require.NoError(t, embedding.Valid(one.Vector))
	require.False(t, one.Truncated)
	many := as[embedding.BatchResponse](t, e.post(t, serviceToken(t), path, fmt.Sprintf(`{"texts":["joining metal parts",%q]}`, strings.Repeat("long ", 300))))
	require.InDeltaSlice(t, one.Vector, many.Embeddings[0].Vector, 1e-6)
	require.True(t, many.Embeddings[1].Truncated)
	require.Equal(t, "all-MiniLM-L6-v2", many.Model)

	for _, body := range []string{
		`{}`, `{"text":""}`, `{"text":" "}`, `{"text":7}`, `{"texts":[]}`, `{"texts":["a",""]}`, `{"text":"a","texts":["b"]}`, `null`, `[]`,
		fmt.Sprintf(`{"text":%q}`, strings.Repeat("x", 10_001)), `{"texts":[` + strings.Repeat(`"a",`, 64) + `"a"]}`, `{"text":"\ud800"}`,
	} {
		require.Equal(t, http.StatusBadRequest, e.post(t, token, path, body).status, body)
	}
	for _, bad := range []string{"", "x", "x.y.z", token + "x", serviceToken(t) + "x"} {
		require.Equal(t, http.StatusUnauthorized, e.post(t, bad, path, `{"text":"a"}`).status)
	}
	require.Equal(t, http.StatusUnauthorized, e.do(t, call{method: "POST", path: "/events/embed", token: token, body: "{}"}).status)
	require.Equal(t, http.StatusUnauthorized, e.do(t, call{method: "GET", path: "/api/v1/search?q=x", token: serviceToken(t)}).status)
}

// TestAVectorChangedByHandIsFound: its hash is in the signed state.
func TestAVectorChangedByHandIsFound(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	s, e := k.serve(t, createSkill, nil), k.serve(t, embedder, nil)
	_, token := k.author(t, "acme")
	made := s.create(t, token, plain("Welding"))
	k.deliver(t, e, "/events/embed", ".created")
	path := skills + "/" + string(made.ID) + "?include=embedding_384"
	holds := func() error {
		got := as[embedded](t, s.get(t, token, path))
		return ledger.CheckVector(got.Embedding.VectorSHA256, got.Vector)
	}
	require.NoError(t, holds())
	k.admin(t, `UPDATE embedding SET vector = (SELECT array_agg(CASE i WHEN 1 THEN 0.5 ELSE v END ORDER BY i)
		FROM unnest(vector::real[]) WITH ORDINALITY AS u (v, i))::vector(384) WHERE entity_id = $1`, string(made.ID))
	require.ErrorIs(t, holds(), ledger.ErrVector)
}

// TestModelChange: the next model's vectors are made beside the present one's, then
// by a backfill for what was there before; after the switch search finds everything
// at once, and a backfill signs what states name.
func TestModelChange(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	s := k.serve(t, createSkill, nil)
	_, token := k.author(t, "acme")
	model, err := minilm.Open(stacktest.ModelDir(t), minilm.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { _ = model.Close() })
	recipes := embedding.Recipes()
	now, next := recipes[0], recipes[1]
	backfill := func(inUse, fill embedding.Recipe) int {
		t.Helper()
		db := k.Open(t, "plant_embedder", 1)
		service, err := registry.New(registry.Config{
			DB: db, Keys: k.Secrets.Hold(keys.Pinned(k.Keys[domain.UseAmendment]), time.Now), Origin: harness.Origin, Log: slog.New(slog.DiscardHandler),
		})
		require.NoError(t, err)
		maker := vectors.New(service, db, embedding.NewEmbedder(model, nil, slog.New(slog.DiscardHandler)), []embedding.Recipe{inUse})
		n, err := maker.Backfill(t.Context(), fill, func(int) {})
		require.NoError(t, err)
		return n
	}
	find := func(e *server) []string {
		t.Helper()
		var list []string
		for _, h := range as[api.Hits](t, e.get(t, token, "/api/v1/search?mode=semantic&q=metal")).Items {
			list = append(list, h.Name)
		}
		return list
	}
	names := func(model embedding.Recipe) int {
		return k.count(t, "entity WHERE embedding ->> 'model_id' = $1", model.ModelID)
	}

	s.create(t, token, plain("Old"))
	before := k.serve(t, embedder, nil)
	k.deliver(t, before, "/events/embed", ".created")
	both := k.serve(t, embedder, map[string]string{"EMBED_NEXT_MODEL": next.ModelID})
	s.create(t, token, plain("New"))
	k.deliver(t, both, "/events/embed", ".created")
	require.Equal(t, 1, k.count(t, "embedding WHERE model_id = $1", next.ModelID), "what is new has both")
	require.Equal(t, 1, backfill(now, next))
	require.Equal(t, 0, backfill(now, next))
	require.Equal(t, 2, k.count(t, "embedding WHERE model_id = $1", next.ModelID))
	require.Equal(t, 2, names(now), "nothing is signed before the switch")
	require.ElementsMatch(t, []string{"Old", "New"}, find(both))

	after := k.serve(t, embedder, map[string]string{"EMBED_MODEL": next.ModelID})
	require.ElementsMatch(t, []string{"Old", "New"}, find(after), "found by the next model at once")
	require.Equal(t, 2, backfill(next, next))
	require.Equal(t, 2, names(next))
	require.ElementsMatch(t, []string{"Old", "New"}, find(after))
}
