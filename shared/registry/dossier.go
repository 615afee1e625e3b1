package registry

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"slices"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/store"
)

// signatures verifies those of several files: each key is decoded once, and each batch
// statement verified once.
type signatures struct {
	keys   map[string]*rsa.PublicKey // by SPKI, in base64
	proven ledger.Signatures
}

// dossier makes what a checklist is judged on of what the database holds: here
// records are parsed, states hashed and signatures verified.
func dossier(f *store.File, law domain.Constitution, known store.Laws, verified *signatures) domain.Dossier {
	d := domain.Dossier{Entity: f.Entity, Row: f.Row, Law: law, Constitution: known.InForce, Constitutions: known.All}
	reattested, erased := map[string]bool{}, map[int64]bool{}
	for _, s := range slices.Backward(f.Seqs) { // what lifts an amendment stands behind it
		p := page(f, s, verified)
		p.KeyStands = p.KeyStands || reattested[s.Hash.String()]
		p.Opened = p.Opened || erased[s.Seq]
		if p.State != nil && p.Opens && p.KeyStands {
			for _, h := range p.State.Governed.Reattests {
				reattested[h] = reattested[h] || s.Change == domain.ChangeReattested
			}
			for _, seq := range p.State.Governed.ErasedSeqs {
				erased[seq] = erased[seq] || s.Change == domain.ChangeErased
			}
		}
		d.Chain = append(d.Chain, p)
	}
	slices.Reverse(d.Chain)
	return d
}

func page(f *store.File, s store.Sheet, verified *signatures) domain.Page {
	p := domain.Page{
		Link: domain.Link{
			Seq: s.Seq, GovernanceAgentID: s.GovernanceAgentID, Author: s.Author, Change: s.Change,
			Hash: s.Hash, PrevHash: s.PrevHash, Recomputes: s.Recomputes,
		},
		EntityID: s.EntityID, EntityType: f.Entity.Kind(), RecordedAt: s.RecordedAt, Breaking: s.Breaking, Constitution: s.Constitution,
		KeyStands: keyStands(s), Opened: s.Opening != nil, Opens: true, Readable: true, Logged: s.Logged,
	}
	a, err := s.Amendment()
	if p.Parses = err == nil; p.Parses {
		p.EntityID, p.EntityType = domain.ID(a.Record.EntityID), domain.Kind(a.Record.EntityType)
		p.Signed = verified.hold(a, s.SPKI)
	}
	use, known := ledger.UseFor(s.Change, string(p.EntityType))
	p.KeyMay = known && string(use) == string(s.KeyUse) && slices.Contains(s.MaySign, s.Change)
	if s.Opening != nil {
		p.Opens = s.Opening.Hash() == s.StateHash
		p.State, p.Readable = readable(f, s)
	}
	return p
}

// readable returns the state, and whether it is written as this build writes it.
func readable(f *store.File, s store.Sheet) (*domain.Entity, bool) {
	e, err := domain.ReadState(f.Entity.Kind(), s.EntityID, s.GovernanceAgentID, s.Opening.State)
	if err != nil {
		return nil, false
	}
	again, err := e.State()
	return &e, err == nil && bytes.Equal(again, s.Opening.State)
}

// keyStands reports whether the key that signed was not revoked by then. Before
// an amendment is in the log, the database's answer stands in.
func keyStands(s store.Sheet) bool {
	return !s.KeyRevoked || s.InvalidFrom != nil && s.LogIndex != nil && *s.LogIndex < *s.InvalidFrom
}

// hold reports whether the key of an SPKI signed an amendment.
func (s *signatures) hold(a ledger.Amendment, spki string) bool {
	key, ok := s.keys[spki]
	if !ok {
		der, err := base64.StdEncoding.DecodeString(spki)
		if err != nil {
			return false
		}
		any, err := x509.ParsePKIXPublicKey(der)
		if err != nil {
			return false
		}
		if key, ok = any.(*rsa.PublicKey); !ok {
			return false
		}
		if s.keys == nil {
			s.keys = map[string]*rsa.PublicKey{}
		}
		s.keys[spki] = key
	}
	return s.proven.Verify(key, a) == nil
}

// signed verifies one amendment; keys keeps those that were decoded.
func signed(a ledger.Amendment, spki string, keys map[string]*rsa.PublicKey) bool {
	return (&signatures{keys: keys}).hold(a, spki)
}
