package ledger

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

func FuzzParseRecord(f *testing.F) {
	f.Add([]byte(goodRecord))
	f.Add([]byte(`{"seq":1}`))
	f.Add([]byte(""))
	f.Add([]byte(goodRecord + "\n"))
	_, entries := readGolden(f)
	for _, e := range entries {
		f.Add(e.Bytes)
		if e.Batch != nil {
			f.Add(e.Batch.Statement)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		before := HashOf(b)
		strict, err := ParseRecord(b)
		if err != nil {
			require.NotEmpty(t, ReasonOf(err))
		} else {
			require.Equal(t, string(b), string(strict.Bytes()))
		}
		if lenient, readErr := ReadRecord(b); err == nil {
			require.NoError(t, readErr)
			require.Equal(t, strict, lenient)
		} else if readErr == nil {
			again, err := ReadRecord(lenient.Bytes())
			require.NoError(t, err)
			require.Equal(t, lenient, again)
		}
		if s, f := readStatement(b); f == nil {
			require.Equal(t, string(b), string(s.bytes()))
		}
		require.Equal(t, before, HashOf(b), "the input was changed")
	})
}

// FuzzVerify: no input makes verification panic, and none that was not signed
// verifies.
func FuzzVerify(f *testing.F) {
	g, entries := readGolden(f)
	signed := map[string]bool{}
	for _, e := range entries {
		signed[string(e.Bytes)] = true
		var o Opening
		if e.Opening != nil {
			o = *e.Opening
		}
		var b Batch
		var path []byte
		if e.Batch != nil {
			b = *e.Batch
			for _, h := range b.Path {
				path = append(path, h[:]...)
			}
		}
		f.Add(e.LogIndex, e.Bytes, e.Signature, o.Salt[:], o.State, b.Statement, b.Index, path)
	}
	base, faults := NewKeyring(g.Origin, g.Root, entries[:3])
	require.Equal(f, make([]Reason, 3), reasons(faults))
	f.Fuzz(func(t *testing.T, at int64, record, signature, salt, state, statement []byte, index int, path []byte) {
		a := Amendment{Bytes: record, Hash: HashOf(record), Signature: signature}
		if len(salt) == 32 {
			a.Opening = &Opening{Salt: [32]byte(salt), State: state}
		}
		if len(statement) > 0 {
			a.Batch = &Batch{Statement: statement, Index: index}
			for ; len(path) >= 32; path = path[32:] {
				a.Batch.Path = append(a.Batch.Path, Hash(path[:32]))
			}
		}
		e := Entry{a, at}
		ring := base
		if r, err := ReadRecord(record); err == nil && r.EntityType == typeSigningKey {
			var faults []*Fault
			ring, faults = NewKeyring(g.Origin, g.Root, append(slices.Clone(entries[:3]), e))
			require.True(t, faults[3] != nil || signed[string(record)])
		}
		require.True(t, ring.Judge([]Entry{e})[0] != nil || signed[string(record)])
		chain := []Entry{entries[3], entries[4], entries[7], e, entries[8]}
		breaks := VerifyChain(amendments(chain))
		for _, b := range breaks {
			require.NotEmpty(t, b.Error())
		}
	})
}
