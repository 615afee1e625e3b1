package auth_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/auth"
)

func TestNewSecrets(t *testing.T) {
	t.Parallel()
	first, err := auth.NewSecrets("k1")
	require.NoError(t, err)
	second, err := auth.NewSecrets("k1")
	require.NoError(t, err)
	require.NotEqual(t, first, second)
	s, err := auth.ParseSecrets(first)
	require.NoError(t, err)
	require.Equal(t, "1 token secrets", fmt.Sprint(s))
}

func TestParseSecretsRefuses(t *testing.T) {
	t.Parallel()
	random := bytes.Repeat([]byte{0}, 0)
	for i := range 32 {
		random = append(random, byte(i*i*37+i*11+5))
	}
	good := base64.StdEncoding.EncodeToString(random)
	sequence := make([]byte, 64)
	for i := range sequence {
		sequence[i] = byte(200 + 3*i)
	}
	entry := func(kid string, secret []byte) string {
		return fmt.Sprintf(`{"kid":%q,"secret":%q}`, kid, base64.StdEncoding.EncodeToString(secret))
	}
	_, err := auth.ParseSecrets([]byte(`{"keys":[` + entry("a", random) + `]}`))
	require.NoError(t, err, "the secret that the bad ones are made from")

	for name, test := range map[string]struct{ payload, says string }{
		"empty":         {``, "not {"},
		"not JSON":      {`changeme`, "not {"},
		"bare list":     {`[]`, "not {"},
		"unknown":       {`{"keys":[],"default":true}`, "not {"},
		"not base64":    {`{"keys":[{"kid":"a","secret":"***"}]}`, "not {"},
		"no keys":       {`{"keys":[]}`, "1 to 16"},
		"17 keys":       {`{"keys":[` + strings.TrimSuffix(strings.Repeat(entry("a", random)+",", 17), ",") + `]}`, "1 to 16"},
		"no kid":        {`{"keys":[` + entry("", random) + `]}`, "kid"},
		"odd kid":       {`{"keys":[` + entry("a b", random) + `]}`, "kid"},
		"kid twice":     {`{"keys":[` + entry("a", random) + `,` + entry("a", random) + `]}`, "twice"},
		"no secret":     {`{"keys":[{"kid":"a"}]}`, "at least 32"},
		"31 bytes":      {`{"keys":[` + entry("a", random[:31]) + `]}`, "at least 32"},
		"typed":         {`{"keys":[` + entry("a", []byte("change-me-in-production-please-1234567890")) + `]}`, "typed"},
		"hex":           {`{"keys":[` + entry("a", []byte(hex.EncodeToString(random))) + `]}`, "typed"},
		"base64 twice":  {`{"keys":[` + entry("a", []byte(good)) + `]}`, "typed"},
		"zeros":         {`{"keys":[` + entry("a", make([]byte, 32)) + `]}`, "repeats"},
		"few bytes":     {`{"keys":[` + entry("a", bytes.Repeat(random[:15], 3)) + `]}`, "repeats"},
		"twice a half":  {`{"keys":[` + entry("a", bytes.Repeat(random[:20], 2)) + `]}`, "repeats"},
		"sequence":      {`{"keys":[` + entry("a", sequence) + `]}`, "sequence"},
		"second is bad": {`{"keys":[` + entry("a", random) + `,` + entry("b", random[:8]) + `]}`, "key 1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := auth.ParseSecrets([]byte(test.payload))
			require.ErrorContains(t, err, test.says)
			require.NotContains(t, err.Error(), "change-me")
			require.NotContains(t, err.Error(), good[:8])
		})
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	t.Parallel()
	doc, raw := payload(t, "k1")
	s, err := auth.ParseSecrets(doc)
	require.NoError(t, err)
	holder := struct{ S *auth.Secrets }{s}
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%x", "%q", "%d"} {
		for _, value := range []any{s, *s, holder} {
			text := fmt.Sprintf(format, value)
			require.NotContains(t, text, hex.EncodeToString(raw["k1"][:4]), format)
			require.NotContains(t, text, fmt.Sprint(raw["k1"][:4])[1:10], format)
			require.NotContains(t, text, fmt.Sprintf("%#v", raw["k1"][:4])[8:20], format)
		}
	}
}
