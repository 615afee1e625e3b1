package main

import (
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/sethvargo/go-envconfig"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/testkit/testdata"
)

// TestADeploymentsSettingsAreTaken: what infra/ tells each function is of the forms that
// it demands, in every size; the image and the secret of Redis say the rest.
func TestADeploymentsSettingsAreTaken(t *testing.T) {
	t.Parallel()
	for _, size := range []string{"lab", "team"} {
		kept, err := os.ReadFile(filepath.Join(testdata.Root(), "scripts", "cloud", "testdata", size+".json"))
		require.NoError(t, err)
		var plan struct {
			Services map[string]struct {
				Values map[string]string `json:"values"`
			} `json:"services"`
		}
		require.NoError(t, json.Unmarshal(kept, &plan))
		require.Len(t, plan.Services, len(Functions()))
		for name, service := range plan.Services {
			env := map[string]string{"PORT": "8080", "MODEL_DIR": "/model", "REDIS_URL": "redis://:secret@10.0.0.3:6379/0"}
			maps.Copy(env, service.Values)
			cfg, err := readConfig(t.Context(), envconfig.MapLookuper(env))
			require.NoError(t, err, "%s of %s", name, size)
			require.Equal(t, name, cfg.Function)
		}
	}
}
