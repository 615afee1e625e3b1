package bench

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/keys"
	"github.com/dlai-sd/plant/shared/ledger"
)

// What the original promises of one operation, in milliseconds.
const (
	limitCommit   = 0.2
	limitValidate = 10
	limitEvolve   = 5
	limitVerify   = 20
)

// measurePure measures what needs no database: judging and hashing a state, and
// verifying an amendment.
func measurePure(ctx context.Context, w *world) ([]Row, error) {
	skill, set := w.skill(typical)
	id, err := domain.NewID()
	if err != nil {
		return nil, err
	}
	amendment, ring, err := w.verifiable(ctx)
	if err != nil {
		return nil, err
	}
	raw := func() error {
		digest := sha256.Sum256(amendment.Bytes)
		return rsa.VerifyPSS(&w.private.PublicKey, crypto.SHA256, digest[:], amendment.Signature, &rsa.PSSOptions{SaltLength: 32})
	}
	size := 0
	times, err := interleave(ctx, w.rounds(40),
		repeated(200, func() error {
			state, err := hashed(domain.Born(id, tenant, skill, set))
			size = len(state)
			return err
		}),
		repeated(50, func() error { return verified(ring, amendment) }),
		repeated(50, raw))
	if err != nil {
		return nil, err
	}
	return []Row{
		limited(fmt.Sprintf("validate + canonicalise + hash, %d bytes", size), "ms", scaled(times[0], 1e3), limitCommit),
		limited("verify one amendment", "ms", scaled(times[1], 1e3), limitVerify),
		compared("verify one amendment", "ms", "raw VerifyPSS", scaled(times[1], 1e3), scaled(times[2], 1e3), nil),
	}, nil
}

// repeated is an arm that does the same n times.
func repeated(n int, f func() error) arm {
	return func(context.Context) (time.Duration, error) {
		began := time.Now()
		for range n {
			if err := f(); err != nil {
				return 0, err
			}
		}
		return time.Since(began) / time.Duration(n), nil
	}
}

// hashed judges an entity and commits to its state.
func hashed(e domain.Entity) ([]byte, error) {
	if broken := domain.Founding().Validate(e, domain.Known{}); len(broken) > 0 {
		return nil, fmt.Errorf("the typical skill breaks %s", broken[0].Rule)
	}
	state, err := e.State()
	if err != nil {
		return nil, err
	}
	opening, err := ledger.NewOpening(state)
	if err != nil || opening.Hash().IsZero() {
		return nil, errors.Join(err, errors.New("no hash"))
	}
	return state, nil
}

// verified checks signature, keyring, record, opening and link.
func verified(ring *ledger.Keyring, a ledger.Amendment) error {
	chain := []ledger.Amendment{a}
	if f := ring.Judge([]ledger.Entry{{Amendment: a, LogIndex: 2}})[0]; f != nil {
		return f
	}
	for _, b := range ledger.VerifyChain(chain) {
		return b
	}
	return nil
}

// verifiable returns a signed amendment and the keyring that it rests on.
func (w *world) verifiable(ctx context.Context) (ledger.Amendment, *ledger.Keyring, error) {
	root, err := w.secrets.Key(ctx, w.versions[domain.UseRoot])
	if err != nil {
		return ledger.Amendment{}, nil, err
	}
	var entries []ledger.Entry
	for _, k := range []struct {
		key keys.Key
		use domain.KeyUse
	}{{root, domain.UseRoot}, {w.signer, domain.UseAmendment}} {
		a, err := introduce(root, k.key, k.use)
		if err != nil {
			return ledger.Amendment{}, nil, err
		}
		entries = append(entries, ledger.Entry{Amendment: a, LogIndex: int64(len(entries))})
	}
	ring, faults := ledger.NewKeyring(origin, root.ID(), entries)
	for _, f := range faults {
		if f != nil {
			return ledger.Amendment{}, nil, f
		}
	}
	_, drafts, err := w.drafts(typical, 1)
	if err != nil {
		return ledger.Amendment{}, nil, err
	}
	sealed, err := w.sealer(w.signer).Seal(drafts)
	if err != nil {
		return ledger.Amendment{}, nil, err
	}
	return sealed[0], ring, nil
}

// introduce is the amendment by which a root makes a key known.
func introduce(root, key keys.Key, use domain.KeyUse) (ledger.Amendment, error) {
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return ledger.Amendment{}, err
	}
	id, err := domain.NewID()
	if err != nil {
		return ledger.Amendment{}, err
	}
	state, err := domain.Introduced(id, domain.SigningKey{
		KeyID: key.ID(), SPKI: base64.StdEncoding.EncodeToString(der), Use: use, MaySign: domain.DefaultMaySign(use),
	}).State()
	if err != nil {
		return ledger.Amendment{}, err
	}
	sealer := ledger.Sealer{Origin: origin, Constitution: domain.Founding().Sum(), KeyID: root.ID(), Signer: root, Now: time.Now}
	sealed, err := sealer.Seal([]ledger.Draft{{
		EntityID: string(id), EntityType: "signing_key", GovernanceAgentID: domain.KeyringAgent, Author: "system/keys",
		Change: domain.ChangeIntroduced, Seq: 1, State: state,
	}})
	if err != nil {
		return ledger.Amendment{}, err
	}
	return sealed[0], nil
}
