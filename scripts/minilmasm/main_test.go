package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/testkit/testdata"
)

func TestTheCommittedKernelIsTheGenerators(t *testing.T) {
	t.Parallel()
	var assembly, declarations bytes.Buffer
	require.NoError(t, generate(&assembly, &declarations, "minilm"))
	for name, want := range map[string][]byte{"asm_amd64.s": assembly.Bytes(), "asm_amd64.go": declarations.Bytes()} {
		committed, err := os.ReadFile(filepath.Join(testdata.Root(), "shared", "embedding", "minilm", name))
		require.NoError(t, err)
		require.Equal(t, string(want), string(committed), "go generate ./shared/embedding/minilm")
	}
}
