package translog

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/stretchr/testify/require"
	"golang.org/x/mod/sumdb/note"
	"pgregory.net/rapid"
)

func newEd25519() ed25519.PrivateKey {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	return must(private, err)
}

var (
	noteKey  = sync.OnceValue(newEd25519)
	otherKey = sync.OnceValue(newEd25519)
)

func public(key ed25519.PrivateKey) ed25519.PublicKey { return key.Public().(ed25519.PublicKey) }

func testCheckpoint() Checkpoint { return Checkpoint{Origin: testOrigin, Size: 7, Root: entry(7)} }

func TestCheckpointRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := Checkpoint{
			Origin: rapid.StringMatching(`[a-z.]{1,9}/[a-z0-9-]{1,9}`).Draw(t, "origin"),
			Size:   rapid.Int64Range(0, maxInteger).Draw(t, "size"),
			Root:   entry(rapid.Int64().Draw(t, "root")),
		}
		signed, err := c.Sign(noteKey())
		require.NoError(t, err)
		read, err := ReadCheckpoint(signed)
		require.NoError(t, err)
		require.Equal(t, c, read)
		opened, keys, err := OpenCheckpoint(signed, c.Origin, []ed25519.PublicKey{public(otherKey()), public(noteKey())})
		require.NoError(t, err)
		require.Equal(t, c, opened)
		require.Equal(t, []int{1}, keys)
		verifier, err := note.NewVerifier(must(note.NewEd25519VerifierKey(c.Origin, public(noteKey()))))
		require.NoError(t, err)
		n, err := note.Open(signed, note.VerifierList(verifier))
		require.NoError(t, err)
		require.Equal(t, c.Text(), n.Text)
	})
}

// TestEveryByteOfACheckpointCounts: one signed checkpoint has no two spellings.
func TestEveryByteOfACheckpointCounts(t *testing.T) {
	t.Parallel()
	signed := must(testCheckpoint().Sign(noteKey()))
	keys := []ed25519.PublicKey{public(noteKey())}
	for at := range signed {
		for _, flip := range []byte{1, 2, 4, 8, 16, 32, 64, 128, 255} {
			changed := append([]byte(nil), signed...)
			changed[at] ^= flip
			_, _, err := OpenCheckpoint(changed, testOrigin, keys)
			require.Error(t, err, "byte %d", at)
		}
	}
}

// TestCheckpointSpareBits: the last letter of a signature has two bits that say
// nothing, and must be zero.
func TestCheckpointSpareBits(t *testing.T) {
	t.Parallel()
	signed := must(testCheckpoint().Sign(noteKey()))
	at := len(signed) - 3 // before "=" and line feed
	right := 0
	for _, letter := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") {
		changed := append([]byte(nil), signed...)
		changed[at] = letter
		if _, _, err := OpenCheckpoint(changed, testOrigin, []ed25519.PublicKey{public(noteKey())}); err == nil {
			right++
		}
	}
	require.Equal(t, 1, right)
}

func TestOpenCheckpointManyKeys(t *testing.T) {
	t.Parallel()
	c := testCheckpoint()
	one, two := must(c.Sign(noteKey())), must(c.Sign(otherKey()))
	line := string(two[len(c.Text())+1:])
	both := append([]byte(nil), one...)
	both = append(both, line...)
	_, keys, err := OpenCheckpoint(both, testOrigin, []ed25519.PublicKey{public(noteKey()), public(otherKey())})
	require.NoError(t, err)
	require.Equal(t, []int{0, 1}, keys)
	_, keys, err = OpenCheckpoint(both, testOrigin, []ed25519.PublicKey{public(noteKey())})
	require.NoError(t, err)
	require.Equal(t, []int{0}, keys)
	_, _, err = OpenCheckpoint(two, testOrigin, []ed25519.PublicKey{public(noteKey())})
	require.Equal(t, ReasonCheckpointSignatureInvalid, ledger.ReasonOf(err))
	got, _, err := OpenCheckpoint(one, testOrigin+"x", nil)
	require.Equal(t, ledger.ReasonOriginWrong, ledger.ReasonOf(err))
	require.Equal(t, c, got)
	_, _, err = OpenCheckpoint(one, testOrigin, []ed25519.PublicKey{nil})
	require.Equal(t, ReasonCheckpointSignatureInvalid, ledger.ReasonOf(err))
}

func TestReadCheckpointRefuses(t *testing.T) {
	t.Parallel()
	root := base64.StdEncoding.EncodeToString(make([]byte, 32))
	for _, text := range []string{
		"",
		"o\n1\n" + root + "\nextension\n",
		"o\n1\n",
		"\n1\n" + root + "\n",
		"o\n01\n" + root + "\n",
		"o\n+1\n" + root + "\n",
		"o\n-1\n" + root + "\n",
		"o\n1.0\n" + root + "\n",
		"o\n\n" + root + "\n",
		"o\n9007199254740992\n" + root + "\n",
		"o\n99999999999999999999\n" + root + "\n",
		"o\n1\n" + root[:43] + "\n",
		"o\n1\n" + root[:42] + "B=\n",
		"o\n1\nAAAA\n",
		"o\n1\n" + strings.ReplaceAll(root, "A", "-") + "\n",
	} {
		msg := text + "\n— o AAAAAAAA\n"
		_, err := ReadCheckpoint([]byte(msg))
		require.Equal(t, ReasonCheckpointMalformed, ledger.ReasonOf(err), text)
	}
	_, err := ReadCheckpoint([]byte("o\n1\n" + root + "\n\n— o AAAAAAAA\n"))
	require.NoError(t, err)
	for _, msg := range []string{"", "o\n1\n" + root + "\n", "o\n1\n" + root + "\n\n", "o\n1\n" + root + "\n\nsigned\n"} {
		_, err := ReadCheckpoint([]byte(msg))
		require.Equal(t, ReasonCheckpointMalformed, ledger.ReasonOf(err), msg)
	}
}

// unwilling is a signer that does not sign.
type unwilling struct{ ed25519.PrivateKey }

var errUnwilling = errors.New("unwilling")

func (unwilling) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) { return nil, errUnwilling }

func TestSignCheckpointRefuses(t *testing.T) {
	t.Parallel()
	c := testCheckpoint()
	_, err := c.Sign(unwilling{noteKey()})
	require.ErrorIs(t, err, errUnwilling)
	_, err = c.Sign(rootKey().private)
	require.Error(t, err)
	c.Origin = "a b"
	_, err = c.Sign(noteKey())
	require.Equal(t, ledger.ReasonOriginWrong, ledger.ReasonOf(err))
}

func TestJudgeCheckpoint(t *testing.T) {
	t.Parallel()
	pub := public(noteKey())
	introduction := keyRecord(1, pub, ledger.UseCheckpoint, "introduced", "", nil)
	ring := ringOf(t, introduction)
	at := func(size int64) []byte {
		return must(Checkpoint{Origin: testOrigin, Size: size, Root: entry(0)}.Sign(noteKey()))
	}
	c, err := JudgeCheckpoint(ring, at(3))
	require.NoError(t, err)
	require.EqualValues(t, 3, c.Size)
	_, err = JudgeCheckpoint(ring, at(2))
	require.Equal(t, ledger.ReasonKeyNotInForce, ledger.ReasonOf(err))
	_, err = JudgeCheckpoint(ring, at(0))
	require.Equal(t, ledger.ReasonKeyNotInForce, ledger.ReasonOf(err))
	_, err = JudgeCheckpoint(ring, must(testCheckpoint().Sign(otherKey())))
	require.Equal(t, ReasonCheckpointSignatureInvalid, ledger.ReasonOf(err))
	_, err = JudgeCheckpoint(ring, nil)
	require.Equal(t, ReasonCheckpointMalformed, ledger.ReasonOf(err))

	retired := ringOf(t, introduction, keyRecord(1, pub, ledger.UseCheckpoint, "retired", "", &introduction))
	_, err = JudgeCheckpoint(retired, at(4))
	require.Equal(t, ledger.ReasonKeyRetired, ledger.ReasonOf(err))
	revoked := ringOf(t, introduction, keyRecord(1, pub, ledger.UseCheckpoint, "revoked", `,"invalid_from":2`, &introduction))
	_, err = JudgeCheckpoint(revoked, at(3))
	require.Equal(t, ledger.ReasonKeyRevoked, ledger.ReasonOf(err))

	successor := ringOf(t, introduction, keyRecord(1, pub, ledger.UseCheckpoint, "retired", "", &introduction),
		keyRecord(2, public(otherKey()), ledger.UseCheckpoint, "introduced", "", nil))
	text := Checkpoint{Origin: testOrigin, Size: 9, Root: entry(0)}
	two := must(text.Sign(otherKey()))
	_, err = JudgeCheckpoint(successor, append(at(9), two[len(text.Text())+1:]...))
	require.NoError(t, err, "one of its keys is in force")
}

func FuzzCheckpoint(f *testing.F) {
	c := testCheckpoint()
	f.Add([]byte(c.Text()))
	f.Add([]byte(c.Text() + "\n— " + testOrigin + " AAAAAAAA\n"))
	f.Add([]byte(c.Text() + "\n— x AAAAAAAA\n— y AAAAAAAB\n"))
	f.Add([]byte("o\n0\n" + base64.StdEncoding.EncodeToString(make([]byte, 32)) + "\n\n— o AAAAAAAA\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		read, err := ReadCheckpoint(text)
		if err != nil {
			require.Equal(t, ReasonCheckpointMalformed, ledger.ReasonOf(err))
		} else {
			require.True(t, strings.HasPrefix(string(text), read.Text()))
			require.GreaterOrEqual(t, read.Size, int64(0))
		}
		_, _, err = OpenCheckpoint(text, testOrigin, []ed25519.PublicKey{public(noteKey())})
		require.Error(t, err, "nobody signed this")
		require.NotEmpty(t, ledger.ReasonOf(err))

		own := must(c.Sign(noteKey())) // lines of other keys change nothing
		if strings.HasPrefix(string(text), "— ") {
			opened, _, err := OpenCheckpoint(append(own, text...), testOrigin, []ed25519.PublicKey{public(noteKey())})
			if err == nil {
				require.Equal(t, c, opened)
			}
		}
	})
}
