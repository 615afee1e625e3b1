package canonical

import (
	"crypto/sha256"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/gowebpki/jcs"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestForm(t *testing.T) {
	t.Parallel()
	for _, v := range []struct{ name, in, want string }{
		{"sorted, no space", " {\"b\" : [1 , 2],\n \"a\":null} ", `{"a":null,"b":[1,2]}`},
		{"UTF-16 order, not code points", `{"\ufb33":1,"\ud83d\ude02":2}`, "{\"\U0001f602\":2,\"\ufb33\":1}"},
		{"shortest escapes", `["\u0041\/\u000a\u001F\u2028"]`, "[\"A/\\n\\u001f\u2028\"]"},
		{"numbers as ECMAScript writes them", `[1.0,4.50,2e-3,1e-7,0.000001,1E2]`, `[1,4.5,0.002,1e-7,0.000001,100]`},
		{"names that differ only in normal form", `{"\u00e9":1,"e\u0301":2}`, "{\"e\u0301\":2,\"\u00e9\":1}"},
		{"zero in every spelling", `[0,0.0,0e5,0E-3]`, `[0,0,0,0]`},
		{
			"the limits themselves", `[9007199254740991,-9007199254740991,1e-300,123456789012.345]`,
			`[9007199254740991,-9007199254740991,1e-300,123456789012.345]`,
		},
		{"an escaped backslash is no NUL", `["\\u0000"]`, `["\\u0000"]`},
		{"32 deep", strings.Repeat("[", 32) + strings.Repeat("]", 32), strings.Repeat("[", 32) + strings.Repeat("]", 32)},
	} {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			got, err := Form([]byte(v.in))
			require.NoError(t, err)
			require.Equal(t, v.want, string(got))
			require.NoError(t, Check(got))
		})
	}
}

func TestFormRefuses(t *testing.T) {
	t.Parallel()
	for _, v := range []struct {
		class   Class
		pointer string
		in      string
	}{
		{ClassSyntax, "", ""},
		{ClassSyntax, "", "  "},
		{ClassSyntax, "", "{} {}"},
		{ClassSyntax, "", "{}}"},
		{ClassSyntax, "", "nul"},
		{ClassSyntax, "/0", `["` + "\x00" + `"]`},
		{ClassSyntax, "", `{"a":01}`},
		{ClassSyntax, "", `{"a":1`},
		{ClassUTF8, "/0", "[\"\xff\"]"},
		{ClassUTF8, "/0", "[\"\xed\xa0\x80\"]"},
		{ClassSurrogate, "/0", `["\ud800"]`},
		{ClassSurrogate, "/0", `["\uDFFF"]`},
		{ClassSurrogate, "/0", `["ok \ud83d\u0041"]`},
		{ClassDuplicate, "/a", `{"a":1,"\u0061":2}`},
		{ClassDuplicate, "/x/y", `{"x":{"y":1,"y":1}}`},
		{ClassNumber, "/a/1", `{"a":[1,9007199254740992]}`},
		{ClassNumber, "", `-9007199254740992`},
		{ClassNumber, "", `123456789012345678901234567890`},
		{ClassNumber, "", `-0`},
		{ClassNumber, "", `-0.0`},
		{ClassNumber, "", `-0e-400`},
		{ClassNumber, "", `0.1234567890123456`},
		{ClassNumber, "", `1e16`},
		{ClassNumber, "", `1e21`},
		{ClassNumber, "", `1.5e22`},
		{ClassNumber, "", `9007199254740992.0`},
		{ClassNumber, "", `9.99e-301`},
		{ClassNumber, "", `1e-99999999999999999999`},
		{ClassNumber, "", `1e99999999999999999999`},
		{ClassDepth, "/0/0/0", strings.Repeat("[", 33) + strings.Repeat("]", 33)},
		{ClassDepth, "/0/0/0", strings.Repeat("[", 200000)},
	} {
		_, err := Form([]byte(v.in))
		var refused *Error
		require.ErrorAs(t, err, &refused, "%.60s", v.in)
		require.Equal(t, v.class, refused.Class, "%.60s", v.in)
		if v.class == ClassDepth {
			require.True(t, strings.HasPrefix(refused.Pointer, v.pointer))
		} else {
			require.Equal(t, v.pointer, refused.Pointer, "%.60s", v.in)
		}
		require.Contains(t, err.Error(), string(v.class))
	}
}

func TestErrorRepeatsNothing(t *testing.T) {
	t.Parallel()
	_, err := Form([]byte(`{"secret name":{"a":"secret value","a":-0}}`))
	require.NotContains(t, err.Error(), "secret")
}

func TestCheck(t *testing.T) {
	t.Parallel()
	require.NoError(t, Check([]byte(`{"a":1,"b":[]}`)))
	for _, in := range []string{`{"a": 1}`, `{"b":1,"a":2}`, `"\u0041"`, `1.0`, "{}\n", `"\/"`} {
		require.Equal(t, ClassForm, classOf(t, Check([]byte(in))), in)
	}
	require.Equal(t, ClassSyntax, classOf(t, Check([]byte(`{`))))
}

func TestCheckNoNUL(t *testing.T) {
	t.Parallel()
	for _, in := range []string{`"\u0000"`, `{"a\u0000":1}`, `[["x\u0000y"]]`} {
		require.Equal(t, ClassNUL, classOf(t, CheckNoNUL([]byte(in))), in)
	}
	for _, in := range []string{`"\\u0000"`, `{"a":[1,null]}`, `"\u0001"`} {
		require.NoError(t, CheckNoNUL([]byte(in)), in)
	}
	require.Equal(t, ClassSyntax, classOf(t, CheckNoNUL([]byte(`["a"`))))
}

func TestCheckState(t *testing.T) {
	t.Parallel()
	for _, in := range []string{
		`{}`,
		`{"name":"x","tags":["B","a","é"]}`,
		`{"custom_attributes":{"empty":"","list":[],"object":{},"text":"null"},"name":"x"}`,
		`{"drift_detector":{"model":null}}`,
		`{"agents":["b","a","a"]}`,
	} {
		require.NoError(t, CheckState([]byte(in)), in)
	}
	for _, v := range []struct {
		class       Class
		pointer, in string
	}{
		{ClassType, "", `"x"`},
		{ClassType, "", `null`},
		{ClassForm, "", `{"b":1,"a":1}`},
		{ClassSyntax, "", `{`},
		{ClassNull, "/a~1b", `{"a/b":null}`},
		{ClassEmpty, "/a", `{"a":""}`},
		{ClassEmpty, "/a", `{"a":[]}`},
		{ClassEmpty, "/a", `{"a":{}}`},
		{ClassType, "/custom_attributes", `{"custom_attributes":[1]}`},
		{ClassNull, "/custom_attributes/a/0/b", `{"custom_attributes":{"a":[{"b":null}]}}`},
		{ClassType, "/tags", `{"tags":"a"}`},
		{ClassType, "/tags", `{"tags":["a",1]}`},
		{ClassSet, "/tags", `{"tags":["b","a"]}`},
		{ClassSet, "/required_skills", `{"required_skills":["a","a"]}`},
		{ClassSet, "/may_sign", `{"may_sign":["","",""]}`},
	} {
		err := CheckState([]byte(v.in))
		require.Equal(t, v.class, classOf(t, err), v.in)
		var refused *Error
		require.ErrorAs(t, err, &refused)
		require.Equal(t, v.pointer, refused.Pointer, v.in)
	}
}

// jsonValue draws a JSON text within the limits: unsorted, with spaces, escapes
// and every spelling of numbers.
func jsonValue(depth int) *rapid.Generator[string] {
	text := rapid.Custom(func(t *rapid.T) string {
		s := rapid.String().Draw(t, "text")
		if rapid.Bool().Draw(t, "escaped") {
			var b strings.Builder
			for _, r := range s {
				if r < 0x10000 {
					fmt.Fprintf(&b, `\u%04x`, r)
				}
			}
			return `"` + b.String() + `"`
		}
		b, err := jsontext.AppendQuote(nil, s)
		require.NoError(t, err)
		return string(b)
	})
	scalar := rapid.OneOf(text, number(), rapid.SampledFrom([]string{"null", "true", "false", "[]", "{}"}))
	if depth == 0 {
		return scalar
	}
	return rapid.Custom(func(t *rapid.T) string {
		switch rapid.IntRange(0, 2).Draw(t, "shape") {
		case 0:
			return scalar.Draw(t, "scalar")
		case 1:
			items := rapid.SliceOfN(jsonValue(depth-1), 0, 5).Draw(t, "items")
			return "[" + strings.Join(items, " , ") + "]"
		}
		names := rapid.SliceOfNDistinct(rapid.String(), 0, 6, rapid.ID[string]).Draw(t, "names")
		members := make([]string, len(names))
		for i, name := range names {
			quoted, err := jsontext.AppendQuote(nil, name)
			require.NoError(t, err)
			members[i] = string(quoted) + ":\t" + jsonValue(depth-1).Draw(t, "member")
		}
		return "{" + strings.Join(members, ",\n") + "}"
	})
}

// number draws a number within the limits, in some spelling.
func number() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		if rapid.Bool().Draw(t, "integer") {
			return fmt.Sprint(rapid.Int64Range(-maxInteger, maxInteger).Draw(t, "n"))
		}
		digits := rapid.Int64Range(1, 999_999_999_999_999).Draw(t, "digits")
		power := rapid.IntRange(-300, 0).Draw(t, "power")
		return fmt.Sprintf("%s%de%d", rapid.SampledFrom([]string{"", "-"}).Draw(t, "sign"), digits, power)
	})
}

func TestFormAgreesWithOracle(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		src := jsonValue(3).Draw(t, "src")
		got, err := Form([]byte(src))
		require.NoError(t, err)
		want, err := jcs.Transform([]byte("[" + src + "]")) // it takes no scalars
		require.NoError(t, err)
		require.Equal(t, string(want), "["+string(got)+"]")
		require.NoError(t, Check(got))
	})
}

// TestNumbersKeepTheirValue: whatever is accepted is exactly, not nearly, what
// the canonical form says, and that form is accepted again.
func TestNumbersKeepTheirValue(t *testing.T) {
	t.Parallel()
	literal := rapid.StringMatching(`-?(0|[1-9][0-9]{0,18})(\.[0-9]{1,18})?([eE][+-]?[0-9]{1,3})?`)
	rapid.Check(t, func(t *rapid.T) {
		src := rapid.OneOf(literal, number()).Draw(t, "literal")
		got, err := Form([]byte(src))
		if err != nil {
			require.Equal(t, ClassNumber, err.(*Error).Class)
			return
		}
		in, ok := new(big.Rat).SetString(src)
		require.True(t, ok)
		out, ok := new(big.Rat).SetString(string(got))
		require.True(t, ok)
		if strings.ContainsAny(string(got), "e.") { // the nearest double's shortest digits are those given
			require.Equal(t, in.RatString(), out.RatString())
		}
		require.Zero(t, in.Cmp(out))
		require.NoError(t, Check(got))
	})
}

func FuzzForm(f *testing.F) {
	for _, seed := range []string{
		``, `{}`, `{"b":1,"a":[1.50,"\ud83d\ude00",null]}`, `"\ud800"`, `[9007199254740992]`, `-0.0e5`,
		`{"custom_attributes":{"a":null},"tags":["a","a"]}`, `{"tags":["a","b"],"name":"\u0000"}`,
		"\xff", `1 2`, strings.Repeat("[", 40), `{"a":1,"a":2}`, `[1e400,1e-400,0.00000001]`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		before := sha256.Sum256(src)
		got, err := Form(src)
		state := CheckState(src)
		nul, null := CheckNoNUL(src), CheckNoNull(src)
		require.Equal(t, before, sha256.Sum256(src), "the input was changed")
		if err != nil {
			for _, e := range []error{err, state, nul, null} {
				require.NotEmpty(t, classOf(t, e))
			}
			return
		}
		require.NoError(t, Check(got))
		want, err := jcs.Transform(append(append([]byte("["), src...), ']'))
		require.NoError(t, err)
		require.Equal(t, string(want), "["+string(got)+"]")
		if state == nil {
			require.Equal(t, string(src), string(got))
		}
	})
}

func BenchmarkFormHash(b *testing.B) {
	state := []byte(`{"name":"Welding of pressure vessels","description":"` + strings.Repeat("lays a sound root pass. ", 70) +
		`","category":"technical","status":"draft","visibility":"private","tags":["metal","vessels"],` +
		`"custom_attributes":{"weight":0.1,"levels":[1,2,3,{"a":"b"}],"norm":"EN ISO 9606-1"}}`)
	b.SetBytes(int64(len(state)))
	b.ReportAllocs()
	for b.Loop() {
		form, err := Form(state)
		if err != nil || CheckState(form) != nil {
			b.Fatal(err)
		}
		sha256.Sum256(form)
	}
}
