package embedding

import (
	"testing"

	"github.com/dlai-sd/plant/scripts/localstack/stacktest"
)

func TestMain(m *testing.M) { stacktest.Main(m) }
