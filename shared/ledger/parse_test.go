package ledger

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const goodRecord = `{"algorithm":"RSA4096-PSS-SHA256","author":"acme/0198c0de-0000-7000-8000-0000000000aa","breaking":false,` +
	`"change":"created","constitution":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",` +
	`"context":"plant/amendment/v1","entity_id":"0198c0de-0000-7000-8000-00000000000a","entity_type":"skill",` +
	`"governance_agent_id":"acme","key_id":"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",` +
	`"origin":"plant.example/ledger-test","prev_hash":"0000000000000000000000000000000000000000000000000000000000000000",` +
	`"recorded_at":"2026-01-31T12:00:00.000000Z","seq":1,` +
	`"state_hash":"cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"}`

func TestParseRecord(t *testing.T) {
	t.Parallel()
	r, err := ParseRecord([]byte(goodRecord))
	require.NoError(t, err)
	require.Equal(t, goodRecord, string(r.Bytes()))
	require.True(t, r.PrevHash.IsZero())

	for _, v := range []struct {
		reason   Reason
		old, new string
	}{
		{ReasonRecordMalformed, `"algorithm":"RSA4096-PSS-SHA256"`, `"algorithm":1`},
		{ReasonRecordMalformed, `"breaking":false`, `"breaking":0`},
		{ReasonRecordMalformed, `"breaking":false`, `"breaking":"false"`},
		{ReasonRecordMalformed, `"breaking":false,`, ``},
		{ReasonRecordMalformed, `"breaking":false`, `"Breaking":false`},
		{ReasonRecordMalformed, `"breaking":false`, `"breaking":false,"breaking":false`},
		{ReasonRecordMalformed, `"breaking":false`, `"breaking":false,"extra":1`},
		{ReasonRecordMalformed, `"constitution":"aa`, `"constitution":"Aa`},
		{ReasonRecordMalformed, `"constitution":"aa`, `"constitution":"a`},
		{ReasonRecordMalformed, `"constitution":"aa`, `"constitution":"ga`},
		{ReasonRecordMalformed, `"key_id":"bb`, `"key_id":"BB`},
		{ReasonRecordMalformed, `"seq":1`, `"seq":"1"`},
		{ReasonRecordMalformed, `"seq":1`, `"seq":1.0`},
		{ReasonRecordMalformed, `"seq":1`, `"seq":1e0`},
		{ReasonRecordMalformed, `"seq":1`, `"seq":0`},
		{ReasonRecordMalformed, `"seq":1`, `"seq":-1`},
		{ReasonRecordMalformed, `"seq":1`, `"seq":-0`},
		{ReasonRecordMalformed, `"seq":1`, `"seq":9007199254740992`},
		{ReasonRecordMalformed, `"seq":1`, `"seq":null`},
		{ReasonRecordMalformed, `000000Z`, `000Z`},
		{ReasonRecordMalformed, `.000000Z`, `,000000Z`},
		{ReasonRecordMalformed, `000000Z`, `000000+00:00`},
		{ReasonRecordMalformed, `2026-01-31`, `2026-02-30`},
		{ReasonRecordMalformed, `12:00:00`, `12:00:60`},
		{ReasonRecordMalformed, `12:00:00`, `24:00:00`},
		{ReasonRecordMalformed, `"2026`, `"12026`},
		{ReasonRecordMalformed, `"recorded_at":"2026-01-31T12:00:00.000000Z"`, `"recorded_at":1769860800`},
		{ReasonRecordMalformed, `"skill"`, `"robot"`},
		{ReasonRecordMalformed, `"created"`, `"improved"`},
		{ReasonRecordMalformed, `-7000-8000-00000000000a"`, `-4000-8000-00000000000a"`},
		{ReasonRecordMalformed, `"acme/`, `"ac\ud800me/`},
		{ReasonRecordMalformed, goodRecord, `[]`},
		{ReasonRecordMalformed, goodRecord, `{}`},
		{ReasonRecordMalformed, goodRecord, ``},
		{ReasonRecordMalformed, goodRecord, `{"seq"`},
		{ReasonRecordMalformed, goodRecord, `{"seq":`},
		{ReasonRecordMalformed, goodRecord, `{1:2}`},
		{ReasonRecordMalformed, `cc"}`, `cc"}{}`},
		{ReasonRecordMalformed, `cc"}`, `cc"`},
		{ReasonRecordNotCanonical, `{"alg`, `{ "alg`},
		{ReasonRecordNotCanonical, `cc"}`, "cc\"}\n"},
		{ReasonRecordNotCanonical, `"skill"`, `"\u0073kill"`},
		{ReasonRecordNotCanonical, `"breaking":false,"change":"created"`, `"change":"created","breaking":false`},
		{ReasonContextWrong, `plant/amendment/v1`, `plant/amendment/v2`},
		{ReasonContextWrong, `plant/amendment/v1`, `plant/heads/v1`},
		{ReasonAlgorithmUnknown, `RSA4096-PSS-SHA256`, `RSA4096-PSS-SHA512`},
	} {
		require.Contains(t, goodRecord, v.old)
		bad := strings.Replace(goodRecord, v.old, v.new, 1)
		_, err := ParseRecord([]byte(bad))
		require.Equal(t, v.reason, ReasonOf(err), "%s → %s: %v", v.old, v.new, err)
		_, err = ReadAmendment([]byte(bad), nil, nil, nil)
		require.Equal(t, v.reason, ReasonOf(err))
		_, err = ReadRecord([]byte(bad))
		require.Equal(t, v.reason == ReasonRecordMalformed, err != nil, "%s → %s", v.old, v.new)
	}
}

func TestHash(t *testing.T) {
	t.Parallel()
	h := HashOf([]byte("x"))
	got, err := ParseHash(h.String())
	require.NoError(t, err)
	require.Equal(t, h, got)
	text, err := h.MarshalText()
	require.NoError(t, err)
	var back Hash
	require.NoError(t, back.UnmarshalText(text))
	require.Equal(t, h, back)
	require.False(t, h.IsZero())
	require.True(t, Hash{}.IsZero())
	for _, bad := range []string{"", "aa", strings.ToUpper(h.String()), h.String() + "00", strings.Repeat("g", 64)} {
		_, err := ParseHash(bad)
		require.Error(t, err)
		require.Error(t, back.UnmarshalText([]byte(bad)))
	}
	require.Equal(t, h, back, "unchanged by what was refused")
}

func TestErrors(t *testing.T) {
	t.Parallel()
	require.Equal(t, Reason(""), ReasonOf(nil))
	require.Equal(t, Reason(""), ReasonOf(errHash))
	b := Break{Index: 3, Fault: fault(ReasonSeqGap, "")}
	require.Equal(t, ReasonSeqGap, ReasonOf(b))
	require.Equal(t, "amendment 3: seq_gap", b.Error())
}

func TestChangeTable(t *testing.T) {
	t.Parallel()
	for _, v := range []struct {
		change, entityType string
		seq                int64
		fits               bool
		use                Use
	}{
		{"created", "skill", 1, true, UseAmendment},
		{"created", "skill", 2, false, UseAmendment},
		{"evolved", "team", 1, false, UseAmendment},
		{"evolved", "team", 2, true, UseAmendment},
		{"certified", "agent", 2, true, UseCertification},
		{"reaffirmed", "industry", 9, true, UseCertification},
		{"introduced", "signing_key", 1, true, UseRoot},
		{"reattested", "signing_key", 2, true, UseRoot},
		{"reattested", "job_role", 2, true, UseAmendment},
		{"proposed", "constitution", 1, true, UseAmendment},
		{"enacted", "constitution", 3, true, UseAmendment},
		{"erased", "signing_key", 2, false, ""},
		{"introduced", "skill", 1, false, ""},
		{"created", "constitution", 1, false, ""},
		{"proposed", "skill", 1, false, ""},
	} {
		require.Equal(t, v.fits, ChangeFits(v.change, v.entityType, v.seq), "%v", v)
		use, ok := UseFor(v.change, v.entityType)
		require.Equal(t, v.use, use)
		require.Equal(t, v.use != "", ok)
	}
}
