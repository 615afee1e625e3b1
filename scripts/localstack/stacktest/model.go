package stacktest

import (
	"os"
	"testing"
)

// ModelDir returns the folder of the embedding model, model.safetensors and
// vocab.txt. It is 90 MB, so a test that needs it skips where nobody has
// fetched it.
func ModelDir(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("TEST_MODEL_DIR")
	if dir == "" {
		t.Skip("the embedding model is not here: make test fetches it and says where it is in TEST_MODEL_DIR")
	}
	return dir
}
