// Package drill attacks bundles in every way known, and sees whether a verifier
// finds it: synthetic deployments, written as a real one writes, attacks on what
// an auditor holds of them, by strangers and by those who hold keys, and a table
// of who should find what and who did. Attacks on a database belong beside these,
// where one can be read.
package drill

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"strings"
	"sync"

	"github.com/dlai-sd/plant/shared/ledger"
)

// key is a signing key of a synthetic deployment.
type key struct {
	private *rsa.PrivateKey
	id      string
	use     ledger.Use
	maySign []string
}

// Keys are the keys of all deployments of a drill. They are new in each run.
type Keys struct {
	root, old, amendment, spare, certification, heads *key
	rogue                                             *key // nobody's
	small                                             *rsa.PrivateKey
	checkpoint, rogueCheckpoint                       ed25519.PrivateKey
	checkpointID                                      string
}

var amendments = []string{"assigned", "created", "drifted", "embedded", "erased", "evolved", "moved", "reattested"}

// NewKeys makes them; it takes some seconds.
func NewKeys() (*Keys, error) {
	k := &Keys{
		root:          &key{use: ledger.UseRoot, maySign: []string{"introduced", "reattested", "retired", "revoked"}},
		old:           &key{use: ledger.UseAmendment, maySign: amendments},
		amendment:     &key{use: ledger.UseAmendment, maySign: amendments},
		spare:         &key{use: ledger.UseAmendment, maySign: []string{"created", "evolved"}},
		certification: &key{use: ledger.UseCertification, maySign: []string{"certified", "decertified", "reaffirmed", "rejected"}},
		heads:         &key{use: ledger.UseHeads},
		rogue:         &key{use: ledger.UseAmendment, maySign: amendments},
	}
	all := []*key{k.root, k.old, k.amendment, k.spare, k.certification, k.heads, k.rogue}
	errs := make([]error, len(all)+1)
	var group sync.WaitGroup
	for i, one := range all {
		group.Go(func() { errs[i] = one.make() })
	}
	group.Go(func() { k.small, errs[len(all)] = rsa.GenerateKey(rand.Reader, 2048) })
	group.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, fmt.Errorf("make keys: %w", err)
		}
	}
	var err error
	if _, k.checkpoint, err = ed25519.GenerateKey(rand.Reader); err != nil {
		return nil, fmt.Errorf("make keys: %w", err)
	}
	if _, k.rogueCheckpoint, err = ed25519.GenerateKey(rand.Reader); err != nil {
		return nil, fmt.Errorf("make keys: %w", err)
	}
	k.checkpointID, err = ledger.KeyID(k.checkpoint.Public())
	return k, err
}

func (k *key) make() error {
	var err error
	if k.private, err = rsa.GenerateKey(rand.Reader, 4096); err != nil {
		return err
	}
	k.id, err = ledger.KeyID(k.private.Public())
	return err
}

// keyState is the state of a signing_key entity, but for what more says, which
// begins with a comma.
func keyState(id string, public any, use ledger.Use, maySign []string, more string) string {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		panic(err) // a key that was just made
	}
	list := ""
	if len(maySign) > 0 {
		list = `,"may_sign":["` + strings.Join(maySign, `","`) + `"]`
	}
	return fmt.Sprintf(`{"key_id":%q,"spki":%q,"use":%q%s%s}`, id, base64.StdEncoding.EncodeToString(der), use, list, more)
}

func (k *key) state(more string) string {
	return keyState(k.id, k.private.Public(), k.use, k.maySign, more)
}
