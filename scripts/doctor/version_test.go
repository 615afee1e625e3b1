package doctor

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestNewVector: 0.8 and whatever comes behind it; what is no version is none.
func TestNewVector(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]bool{
		"0.8": true, "0.8.0": true, "0.8.1": true, "0.10.0": true, "1.0": true, "1.0.0": true,
		"0.7.4": false, "0.7": false, "0": false, "": false, "x.8": false, "0.x": false,
	} {
		require.Equal(t, want, newVector(version), version)
	}
}
