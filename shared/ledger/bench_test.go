package ledger

import (
	"fmt"
	"strings"
	"testing"
)

func benchDraft(n int) Draft {
	d := skill(n)
	d.State = []byte(`{"description":"` + strings.Repeat("lays a sound root pass. ", 80) + fmt.Sprintf(`","name":"Welding %d"}`, n))
	return d
}

func BenchmarkSealDirect(b *testing.B) {
	s := amendmentKey().sealer()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Seal([]Draft{benchDraft(1)}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSealBatch(b *testing.B) {
	for _, n := range []int{256, MaxBatch} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := amendmentKey().sealer()
			drafts := make([]Draft, n)
			for i := range drafts {
				drafts[i] = benchDraft(i)
			}
			for b.Loop() {
				if _, err := s.Seal(drafts); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/amendment")
		})
	}
}

func BenchmarkVerify(b *testing.B) {
	a := amendmentKey().seal(b, benchDraft(1))[0]
	pub := &amendmentKey().private.PublicKey
	b.Run("raw", func(b *testing.B) {
		for b.Loop() {
			if Verify(pub, a.Bytes, a.Signature) != nil {
				b.Fatal("invalid")
			}
		}
	})
	ring, _ := NewKeyring(testOrigin, rootKey().id, keyLog())
	b.Run("amendment", func(b *testing.B) {
		chain := log(3, a)
		for b.Loop() {
			if ring.Judge(chain)[0] != nil || VerifyChain([]Amendment{a}) != nil {
				b.Fatal("invalid")
			}
		}
	})
	b.Run("batch of 256", func(b *testing.B) {
		drafts := make([]Draft, 256)
		for i := range drafts {
			drafts[i] = benchDraft(i)
		}
		entries := log(3, amendmentKey().seal(b, drafts...)...)
		for b.Loop() {
			ring, _ := NewKeyring(testOrigin, rootKey().id, keyLog())
			for _, e := range entries {
				if ring.Judge([]Entry{e})[0] != nil {
					b.Fatal("invalid")
				}
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*256), "ns/amendment")
	})
}
