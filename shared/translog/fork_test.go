package translog

import (
	"crypto/rand"
	"crypto/rsa"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/ledger"
)

func TestFork(t *testing.T) {
	t.Parallel()
	root, err := rsa.GenerateKey(rand.Reader, 4096)
	require.NoError(t, err)
	id, err := ledger.KeyID(root.Public())
	require.NoError(t, err)
	f := Fork{
		Origin: "new.example/log", FromOrigin: "old.example/log", Number: 7,
		Lost: Checkpoint{Origin: "old.example/log", Size: 50, Root: ledger.Hash{1}}, Good: Checkpoint{Origin: "old.example/log", Size: 40, Root: ledger.Hash{2}},
		KeyID: id, RecordedAt: time.Date(2026, 1, 31, 12, 0, 0, 123000, time.UTC),
	}
	b, err := f.Bytes()
	require.NoError(t, err)
	require.Equal(t, `{"algorithm":"RSA4096-PSS-SHA256","context":"plant/fork/v1","from_origin":"old.example/log","good_root":"02`+
		strings.Repeat("0", 62)+`","good_size":40,"key_id":"`+id+`","lost_number":7,"lost_root":"01`+strings.Repeat("0", 62)+
		`","lost_size":50,"origin":"new.example/log","recorded_at":"2026-01-31T12:00:00.000123Z"}`, string(b))
	signature, err := ledger.Sign(root, b)
	require.NoError(t, err)
	got, err := OpenFork(b, signature, &root.PublicKey)
	require.NoError(t, err)
	require.Equal(t, f, got)

	stranger, err := rsa.GenerateKey(rand.Reader, 4096)
	require.NoError(t, err)
	_, err = OpenFork(b, signature, &stranger.PublicKey)
	require.Error(t, err)
	_, err = OpenFork([]byte(strings.Replace(string(b), `"good_size":40`, `"good_size":41`, 1)), signature, &root.PublicKey)
	require.Error(t, err)

	for old, bad := range map[string]string{
		`"good_size":40`: `"good_size":51`, `"lost_number":7`: `"lost_number":0`, `new.example/log`: `old.example/log`,
		`plant/fork/v1`: `plant/heads/v1`, `RSA4096-PSS-SHA256`: `RSA4096-PSS-SHA256-BATCH`, `"lost_size":50`: `"lost_size": 50`,
		`000123Z`: `000123+00:00`, `{"algorithm"`: `{"more":1,"algorithm"`, `:40,`: `:null,`, `new.example`: `New Example`,
		`"from_origin":"old.example/log"`: `"from_origin":"Old Example"`, `:40,"key`: `:-1,"key`, `_size":50`: `_size":9007199254740992`,
		`00.000123Z`: `00,000123Z`,
	} {
		_, err := ParseFork([]byte(strings.Replace(string(b), old, bad, 1)))
		require.Error(t, err, bad)
	}
	f.Good.Size = 51
	_, err = f.Bytes()
	require.Error(t, err)
}
