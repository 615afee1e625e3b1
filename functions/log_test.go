package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/transparency-dev/formats/log"
	cosign "github.com/transparency-dev/formats/note"
	merkle "github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/client"
	"github.com/transparency-dev/tessera/fsck"
	"golang.org/x/mod/sumdb/note"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/registry"
	"github.com/dlai-sd/plant/shared/testkit/harness"
	"github.com/dlai-sd/plant/shared/web"
)

// sequence calls audit-run as the scheduler does.
func (s *server) sequence(t *testing.T) {
	t.Helper()
	a := s.do(t, call{method: "POST", path: "/events/sequence", token: serviceToken(t)})
	require.Equal(t, 200, a.status, "%s", a.body)
}

// bulk writes n skills at once, in batches.
func (k *kit) bulk(t *testing.T, n int) {
	t.Helper()
	service, who := k.Service(t, 2), k.Principal(t, "acme", domain.Author)
	for done := 0; done < n; {
		size := min(500, n-done)
		items := make([]registry.Candidate, size)
		for i := range items {
			items[i] = registry.Candidate{Facts: domain.Skill{Name: "Skill " + uuid.NewString(), Description: "Does it.", Category: "technical"}}
		}
		_, err := service.CreateAll(t.Context(), requestOf(who), domain.KindSkill, items)
		require.NoError(t, err)
		done += size
	}
}

// logKey is the checkpoint key, as the world knows it.
func (k *kit) logKey(t *testing.T) (ed25519.PublicKey, note.Verifier) {
	t.Helper()
	key, err := k.Secrets.Key(t.Context(), k.Keys[domain.UseCheckpoint])
	require.NoError(t, err)
	public := key.Public().(ed25519.PublicKey)
	text, err := note.NewEd25519VerifierKey(harness.Origin, public)
	require.NoError(t, err)
	v, err := note.NewVerifier(text)
	require.NoError(t, err)
	return public, v
}

func (s *server) fetcher(t *testing.T) *client.HTTPFetcher {
	t.Helper()
	u, err := url.Parse(s.url + "/log/")
	require.NoError(t, err)
	f, err := client.NewHTTPFetcher(u, nil)
	require.NoError(t, err)
	return f
}

// leafHashes is what fsck's own command takes for bundles of C2SP tlog-tiles.
func leafHashes(bundle []byte) ([][]byte, error) {
	var b api.EntryBundle
	if err := b.UnmarshalText(bundle); err != nil {
		return nil, err
	}
	var hashes [][]byte
	for _, e := range b.Entries {
		hashes = append(hashes, rfc6962.DefaultHasher.HashLeaf(e))
	}
	return hashes, nil
}

// TestTesseraReadsTheLog: a public client and its fsck, unchanged, take our
// checkpoints, tiles, entries and proofs, as the log grows over tiles' edges.
func TestTesseraReadsTheLog(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	s := k.serve(t, auditRun, nil)
	_, verifier := k.logKey(t)
	f := s.fetcher(t)
	w := newWitness(t, verifier)
	for _, more := range []int{0, 250, 1, 600} { // to 6, 256, 257 and 857 entries
		k.bulk(t, more)
		s.sequence(t)
		require.NoError(t, fsck.New(harness.Origin, verifier, f, leafHashes, fsck.Opts{N: 2}).Check(t.Context()))
		w.cosigns(t, f)
	}
	require.Error(t, fsck.New("else.example", verifier, f, leafHashes, fsck.Opts{}).Check(t.Context()))

	checkpoint, _, _, err := client.FetchCheckpoint(t.Context(), f.ReadCheckpoint, verifier, harness.Origin)
	require.NoError(t, err)
	require.EqualValues(t, 857, checkpoint.Size)
	builder, err := client.NewProofBuilder(t.Context(), checkpoint.Size, f.ReadTile)
	require.NoError(t, err)
	leaves, err := client.FetchLeafHashes(t.Context(), f.ReadTile, 0, checkpoint.Size, checkpoint.Size)
	require.NoError(t, err)
	for _, i := range []uint64{0, 5, 255, 256, 511, 512, 856} {
		path, err := builder.InclusionProof(t.Context(), i)
		require.NoError(t, err)
		require.NoError(t, merkle.VerifyInclusion(rfc6962.DefaultHasher, i, checkpoint.Size, leaves[i], path, checkpoint.Hash))
		bundle, err := client.GetEntryBundle(t.Context(), f.ReadEntryBundle, i/256, checkpoint.Size)
		require.NoError(t, err)
		require.Equal(t, rfc6962.DefaultHasher.HashLeaf(bundle.Entries[i%256]), leaves[i])
		s.provesItself(t, verifier, bundle.Entries[i%256], i)
	}
}

// provesItself: the proof of one entry verifies alone, by the public parts of the
// format.
func (s *server) provesItself(t *testing.T, verifier note.Verifier, entry []byte, index uint64) {
	t.Helper()
	a := s.get(t, "", fmt.Sprintf("/log/proof/%x", entry))
	require.Equal(t, "text/plain; charset=utf-8", a.header.Get("Content-Type"))
	head, signed, ok := strings.Cut(string(a.body), "\n\n")
	require.True(t, ok)
	lines := strings.Split(head, "\n")
	require.Equal(t, []string{"c2sp.org/tlog-proof@v1", fmt.Sprint("index ", index)}, lines[:2])
	var path [][]byte
	for _, line := range lines[2:] {
		hash, err := base64.StdEncoding.DecodeString(line)
		require.NoError(t, err)
		path = append(path, hash)
	}
	c, _, _, err := log.ParseCheckpoint([]byte(signed), harness.Origin, verifier)
	require.NoError(t, err)
	require.NoError(t, merkle.VerifyInclusion(rfc6962.DefaultHasher, index, c.Size, rfc6962.DefaultHasher.HashLeaf(entry), path, c.Hash))
}

// witness does what c2sp.org/tlog-witness asks of one before it signs: the log's
// own signature, and a proof that the tree it saw last is a prefix of this one.
type witness struct {
	log    note.Verifier
	signer note.Signer
	last   *log.Checkpoint
}

func newWitness(t *testing.T, v note.Verifier) *witness {
	t.Helper()
	secret, _, err := note.GenerateKey(rand.Reader, "witness.example")
	require.NoError(t, err)
	signer, err := cosign.NewSignerForCosignatureV1(secret)
	require.NoError(t, err)
	return &witness{log: v, signer: signer}
}

func (w *witness) cosigns(t *testing.T, f *client.HTTPFetcher) {
	t.Helper()
	raw, err := f.ReadCheckpoint(t.Context())
	require.NoError(t, err)
	c, rest, n, err := log.ParseCheckpoint(raw, harness.Origin, w.log)
	require.NoError(t, err)
	require.Empty(t, rest, "no extension lines")
	require.Len(t, n.Sigs, 1)
	if w.last != nil {
		require.Greater(t, c.Size, w.last.Size)
		builder, err := client.NewProofBuilder(t.Context(), c.Size, f.ReadTile)
		require.NoError(t, err)
		path, err := builder.ConsistencyProof(t.Context(), w.last.Size, c.Size)
		require.NoError(t, err)
		require.NoError(t, merkle.VerifyConsistency(rfc6962.DefaultHasher, w.last.Size, c.Size, path, w.last.Hash, c.Hash))
	}
	w.last = c
	cosigned, err := note.Sign(n, w.signer)
	require.NoError(t, err)
	_, _, n, err = log.ParseCheckpoint(cosigned, harness.Origin, w.log, w.signer.(interface{ Verifier() note.Verifier }).Verifier())
	require.NoError(t, err)
	require.Len(t, n.Sigs, 2)
}

// TestOpenSSLVerifiesACheckpoint: no program of ours is needed for it.
func TestOpenSSLVerifiesACheckpoint(t *testing.T) {
	t.Parallel()
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("openssl is not installed here")
	}
	k := newKit(t)
	s := k.serve(t, auditRun, nil)
	s.sequence(t)
	public, _ := k.logKey(t)
	signed := string(s.get(t, "", "/log/checkpoint").body)
	text, signatures, ok := strings.Cut(signed, "\n\n")
	require.True(t, ok)
	fields := strings.Fields(signatures)
	raw, err := base64.StdEncoding.DecodeString(fields[2])
	require.NoError(t, err)
	der, err := x509.MarshalPKIXPublicKey(public)
	require.NoError(t, err)
	dir := t.TempDir()
	verify := func(message string) error {
		for name, content := range map[string][]byte{
			"key.pem": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), "text": []byte(message), "sig": raw[4:],
		} {
			require.NoError(t, os.WriteFile(filepath.Join(dir, name), content, 0o600))
		}
		cmd := exec.CommandContext(t.Context(), openssl, "pkeyutl", "-verify", "-pubin", "-inkey", "key.pem", "-rawin", "-in", "text", "-sigfile", "sig")
		cmd.Dir = dir
		return cmd.Run()
	}
	require.NoError(t, verify(text+"\n"))
	require.Error(t, verify(text), "not a byte less")
}

// TestLogOverHTTP: what is there, how long it may be kept, and what is not there.
func TestLogOverHTTP(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	s := k.serve(t, auditRun, nil)
	for _, path := range []string{"checkpoint", "tile/0/000.p/1", "tile/entries/000.p/1", "proof/" + strings.Repeat("0", 64)} {
		require.Equal(t, 404, s.do(t, call{method: "GET", path: "/log/" + path}).status, "nothing is published yet")
	}
	k.bulk(t, 300)
	s.sequence(t) // 306 entries
	for path, c := range map[string]struct{ media, cache string }{
		"checkpoint":            {"text/plain; charset=utf-8", "no-cache"},
		"tile/0/000":            {"application/octet-stream", "public, max-age=31536000, immutable"},
		"tile/0/001.p/50":       {"application/octet-stream", "public, max-age=31536000, immutable"},
		"tile/0/001.p/7":        {"application/octet-stream", "public, max-age=31536000, immutable"},
		"tile/1/000.p/1":        {"application/octet-stream", "public, max-age=31536000, immutable"},
		"tile/entries/000":      {"application/octet-stream", "public, max-age=31536000, immutable"},
		"tile/entries/001.p/50": {"application/octet-stream", "public, max-age=31536000, immutable"},
	} {
		a := s.get(t, "", "/log/"+path)
		require.Equal(t, c.media, a.header.Get("Content-Type"), path)
		require.Equal(t, c.cache, a.header.Get("Cache-Control"), path)
		again := s.do(t, call{method: "GET", path: "/log/" + path, header: map[string]string{"If-None-Match": a.header.Get("ETag")}})
		require.Equal(t, http.StatusNotModified, again.status, path)
		require.Empty(t, again.body)
	}
	// What has a place and is not published yet is not shown.
	k.bulk(t, 20)
	db := k.Open(t, "plant_auditor", 1)
	_, err := db.Sequence(t.Context(), 1000, "")
	require.NoError(t, err)
	entries, err := db.Entries(t.Context(), 306, 1)
	require.NoError(t, err)
	for _, path := range []string{
		"tile/0/001.p/51", "tile/entries/001.p/51", "tile/0/001", "tile/0/002.p/1", "tile/1/000", "tile/1/000.p/2", "tile/2/000.p/1", "tile/63/000",
		"tile/entries/x001/000", "tile/0", "tile/0/1", "tile/x/000", "tile/0/000.p/256", "tile/9999999999999999999/000", "nothing",
		"proof/" + entries[0].String(),
	} {
		require.Equal(t, 404, s.do(t, call{method: "GET", path: "/log/" + path}).status, path)
	}
	for _, path := range []string{"proof/x", "proof/" + strings.Repeat("A", 64), "checkpoint?x=1"} {
		require.Equal(t, 400, s.do(t, call{method: "GET", path: "/log/" + path}).status, path)
	}
	s.sequence(t)
	s.get(t, "", "/log/proof/"+entries[0].String())
}

type feed struct {
	Items []struct {
		Position          string    `json:"position"`
		EntityID          domain.ID `json:"entity_id"`
		GovernanceAgentID string    `json:"governance_agent_id"`
		Seq               int64     `json:"seq"`
		Change            string    `json:"change"`
		Hash              string    `json:"hash"`
	} `json:"items"`
	Position string `json:"position"`
}

// follow reads the feed to its end.
func (s *server) follow(t *testing.T, token, after string, limit int) (seen []string, position string) {
	t.Helper()
	for {
		path := fmt.Sprintf("/api/v1/changes?limit=%d", limit)
		if after != "" {
			path += "&after=" + url.QueryEscape(after)
		}
		f := as[feed](t, s.get(t, token, path))
		for _, c := range f.Items {
			seen = append(seen, fmt.Sprint(c.GovernanceAgentID, " ", c.Seq, " ", c.Change))
		}
		if before := after; len(f.Items) == 0 && f.Position == before {
			return seen, before
		}
		after = f.Position
	}
}

// TestChanges: a tenant follows its own changes and the shared ones, once and in
// order, page by page, from the start or from any position it was given.
func TestChanges(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	s, writer := k.serve(t, auditRun, nil), k.serve(t, createSkill, nil)
	_, acme := k.author(t, "acme")
	_, globex := k.author(t, "globex")
	empty, start := s.follow(t, acme, "", 10)
	require.Empty(t, empty, "nothing is in the log yet")
	writer.create(t, acme, plain("Mine"))
	theirs := writer.create(t, globex, `{"name":"Theirs","description":"Does it.","category":"technical","visibility":"public"}`)
	s.sequence(t)
	keys := []string{"keyring 1 introduced", "keyring 1 introduced", "keyring 1 introduced", "keyring 1 introduced", "keyring 1 introduced"}
	want := append(keys, "acme 1 created")
	for _, limit := range []int{1, 3, 6, 100} {
		seen, _ := s.follow(t, acme, "", limit)
		require.Equal(t, want, seen, "limit %d", limit)
	}
	seen, position := s.follow(t, acme, start, 2)
	require.Equal(t, want, seen, "the position before anything was there")
	seen, _ = s.follow(t, globex, "", 4)
	require.Equal(t, append(keys[:5:5], "globex 1 created"), seen)

	// What becomes shared is told; what was private before is not.
	moved := writer.do(t, call{
		method: "POST", path: skills + "/" + string(theirs.ID) + "/transitions", token: globex, body: `{"to":"under_review"}`,
		header: map[string]string{"If-Match": fmt.Sprintf("%q", theirs.VersionHash)},
	})
	require.Equal(t, 200, moved.status, "%s", moved.body)
	k.decided(t, theirs.ID, domain.Active)
	writer.create(t, acme, plain("Mine too"))
	s.sequence(t)
	seen, after := s.follow(t, acme, position, 1)
	require.Equal(t, []string{"globex 3 certified", "acme 1 created"}, seen)
	seen, _ = s.follow(t, acme, after, 1)
	require.Empty(t, seen)

	// Row-level security decides, whatever a column says.
	k.admin(t, `ALTER TABLE log_entry DISABLE TRIGGER log_entry_audit`)
	k.admin(t, `UPDATE log_entry SET shared = true WHERE governance_agent_id = 'acme'`)
	for _, limit := range []int{1, 100} {
		seen, _ = s.follow(t, globex, "", limit)
		require.NotContains(t, strings.Join(seen, ","), "acme")
	}

	for _, bad := range []string{"after=x", "after=", "limit=0", "limit=101", "cursor=x", "position=1", "after=" + url.QueryEscape(web.Cursor{Order: "log", Key: "1000", ID: "from"}.String())} {
		require.Equal(t, 400, s.do(t, call{method: "GET", path: "/api/v1/changes?" + bad, token: acme}).status, bad)
	}
	require.Equal(t, 401, s.do(t, call{method: "GET", path: "/api/v1/changes"}).status)
}
