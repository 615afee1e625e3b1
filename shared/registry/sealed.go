package registry

import (
	"bytes"
	"context"
	"crypto/rsa"
	"fmt"
	"slices"
	"strings"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/store"
	"github.com/dlai-sd/plant/shared/web"
)

// UnsignedError says of which entities the newest amendment is not the one that was
// signed. Nothing is signed onto it: a chain that went on from there would vouch for it.
type UnsignedError struct{ IDs []domain.ID }

// Error names the entities.
func (e *UnsignedError) Error() string {
	return fmt.Sprintf("the newest amendment of %s is not the one that was signed", strings.Join(texts(e.IDs), ", "))
}

func texts(ids []domain.ID) []string {
	list := make([]string, len(ids))
	for i, id := range ids {
		list[i] = string(id)
	}
	return list
}

// notAsSigned is what a caller hears of it.
func notAsSigned(err *UnsignedError) *domain.Error {
	return &domain.Error{
		Code: domain.CodeTampered, Err: err,
		Detail: fmt.Sprintf("what is stored of %s is not what was signed, so nothing is signed onto it; an operator has to look", strings.Join(texts(err.IDs), ", ")),
	}
}

// held reports what is wrong with an amendment as the database keeps it: whether it is
// of this place, its columns say what its record says, and the signature holds by the
// key that the record names. It says nothing of the state. keys keeps what was decoded.
func held(id domain.ID, kind domain.Kind, p store.Proof, keys map[string]*rsa.PublicKey) (ledger.Amendment, error) {
	a, err := p.Amendment()
	r := a.Record
	switch {
	case err != nil || a.Hash != p.Hash:
		return a, fmt.Errorf("amendment %d is not the one whose hash is kept", p.Seq)
	case r.EntityID != string(id) || r.EntityType != string(kind) || r.Seq != p.Seq || r.GovernanceAgentID != p.GovernanceAgentID:
		return a, fmt.Errorf("amendment %d is of another place", p.Seq)
	case r.PrevHash != p.PrevHash || r.StateHash != p.StateHash || r.Constitution != p.Constitution || r.KeyID != p.KeyID ||
		r.Change != p.Change || r.Author != p.Author || r.Breaking != p.Breaking || !r.RecordedAt.Equal(p.RecordedAt):
		return a, fmt.Errorf("the columns of amendment %d are not its record's", p.Seq)
	case !signed(a, p.SPKI, keys):
		return a, fmt.Errorf("the signature of amendment %d does not hold", p.Seq)
	}
	return a, nil
}

// opens reports whether an amendment's state is there, and the one that was signed.
func opens(a ledger.Amendment) bool {
	return a.Opening != nil && a.Opening.Hash() == a.Record.StateHash
}

// read returns an entity as a tenant may see it at a version, with what its own
// signature says of that version.
func (s *Service) read(ctx context.Context, tenant string, id domain.ID, version int64) (store.Snapshot, error) {
	snapshot, err := s.db.Read(ctx, tenant, id, version)
	if err == nil {
		snapshot.Signed = isSigned(snapshot)
		snapshot.Sealed = store.Proof{}
	}
	return snapshot, err
}

func isSigned(s store.Snapshot) bool {
	_, err := held(s.Entity.ID, s.Entity.Kind(), s.Sealed, map[string]*rsa.PublicKey{})
	return err == nil
}

// readBack reads what was just written: whose bytes are those that were signed a moment
// ago needs no second look at its signature.
func (s *Service) readBack(ctx context.Context, tenant string, a ledger.Amendment) (store.Snapshot, error) {
	snapshot, err := s.db.Read(ctx, tenant, domain.ID(a.Record.EntityID), a.Record.Seq)
	if err == nil {
		p := snapshot.Sealed
		snapshot.Signed = a.Batch == nil && p.Batch == nil && p.Record == string(a.Bytes) && bytes.Equal(p.Signature, a.Signature) || isSigned(snapshot)
		snapshot.Sealed = store.Proof{}
	}
	return snapshot, err
}

// onto says that a change of an entity may be signed onto what was read of it.
func (s *Service) onto(ctx context.Context, head store.Snapshot) error {
	if head.Signed && head.StateHolds {
		return nil
	}
	s.alert(ctx, head.Entity.ID)
	return notAsSigned(&UnsignedError{[]domain.ID{head.Entity.ID}})
}

func (s *Service) alert(ctx context.Context, ids ...domain.ID) {
	for _, id := range ids {
		web.Logger(web.WithLogger(ctx, s.log)).Log(ctx, web.LevelAlert, "nothing is signed onto what is not what was signed: "+string(id))
	}
}

// proveAll is an *UnsignedError where plans go on from heads that do not hold. What was
// proven when it was read is not looked at again.
func (s *Service) proveAll(ctx context.Context, tenant string, plans []plan) error {
	var heads []domain.Entity
	for _, p := range plans {
		if p.before != nil && !p.proven {
			heads = append(heads, *p.before)
		}
	}
	unsigned, err := s.unsigned(ctx, tenant, heads)
	if err != nil {
		return err
	}
	if len(unsigned) > 0 {
		return &UnsignedError{unsigned}
	}
	for i := range plans {
		plans[i].proven = true
	}
	return nil
}

// signable leaves out what must not be signed onto: what a change only brings about for
// others, and what is done for many at once, does not wait for an operator, who is told.
func (s *Service) signable(ctx context.Context, tenant string, list []domain.Entity) ([]domain.Entity, error) {
	unsigned, err := s.unsigned(ctx, tenant, list)
	if err != nil || len(unsigned) == 0 {
		return list, err
	}
	return slices.DeleteFunc(slices.Clone(list), func(e domain.Entity) bool { return slices.Contains(unsigned, e.ID) }), nil
}

// unsigned judges L0 on heads, O(1) of each, in one round trip, and returns those that
// are not what was signed.
func (s *Service) unsigned(ctx context.Context, tenant string, list []domain.Entity) (unsigned []domain.ID, err error) {
	if len(list) == 0 {
		return nil, nil
	}
	ids, versions := make([]domain.ID, len(list)), make([]int64, len(list))
	for i, e := range list {
		ids[i], versions[i] = e.ID, e.Head.Version
	}
	rows, err := s.db.Sealed(ctx, tenant, ids, versions)
	if err != nil {
		return nil, err
	}
	keys := map[string]*rsa.PublicKey{}
	for _, e := range list {
		a, err := held(e.ID, e.Kind(), rows[e.ID], keys)
		if err != nil || !opens(a) || a.Hash != e.Head.Hash || a.Record.GovernanceAgentID != e.GovernanceAgentID {
			unsigned = append(unsigned, e.ID)
		}
	}
	s.alert(ctx, unsigned...)
	return unsigned, nil
}

// provenFile reports whether the newest amendment of a file is what was signed.
func provenFile(f *store.File) bool {
	if len(f.Seqs) == 0 {
		return false
	}
	a, err := held(f.Entity.ID, f.Entity.Kind(), f.Seqs[len(f.Seqs)-1].Proof, map[string]*rsa.PublicKey{})
	return err == nil && opens(a) && a.Hash == f.Entity.Head.Hash
}
