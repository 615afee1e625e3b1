package bundle

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"sync"

	"github.com/dlai-sd/plant/shared/ledger"
)

// rsaKey is a fresh RSA-4096 key of one test run.
type rsaKey struct {
	private *rsa.PrivateKey
	id      string
}

type testKeys struct {
	root, amendment, certification, heads rsaKey
	checkpoint                            ed25519.PrivateKey
	checkpointID                          string
}

// keysOnce makes one key of each use, once for a test binary.
var keysOnce = sync.OnceValue(func() testKeys {
	var k testKeys
	var group sync.WaitGroup
	for _, to := range []*rsaKey{&k.root, &k.amendment, &k.certification, &k.heads} {
		group.Go(func() {
			to.private = must(rsa.GenerateKey(rand.Reader, 4096))
			to.id = must(ledger.KeyID(to.private.Public()))
		})
	}
	group.Wait()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	k.checkpoint = must(private, err)
	k.checkpointID = must(ledger.KeyID(private.Public()))
	return k
})
