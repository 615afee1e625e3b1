package minilm

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/dlai-sd/plant/scripts/localstack/stacktest"
)

// smallVocabulary has every printable ASCII character as a head and as a tail,
// and some longer pieces: enough to cut most of what the real one cuts.
func smallVocabulary() string {
	pieces := []string{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}
	for c := '!'; c <= '~'; c++ {
		pieces = append(pieces, string(c), "##"+string(c))
	}
	pieces = append(pieces, "##", "skill", "##ing", "ab", "abc", "##cd", "é", "東", "京", "…", "$$$")
	return strings.Join(pieces, "\n") + "\n"
}

func smallTokenizer(t testing.TB) *Tokenizer {
	t.Helper()
	tokenizer, err := NewTokenizer(smallVocabulary())
	require.NoError(t, err)
	return tokenizer
}

func realTokenizer(t testing.TB) *Tokenizer {
	t.Helper()
	vocabulary, err := os.ReadFile(filepath.Join(stacktest.ModelDir(t), "vocab.txt"))
	require.NoError(t, err)
	tokenizer, err := NewTokenizer(string(vocabulary))
	require.NoError(t, err)
	return tokenizer
}

func TestTokensAreTheReferences(t *testing.T) {
	t.Parallel()
	tokenizer := realTokenizer(t)
	rows := readLines[struct {
		Name   string  `json:"name"`
		Text   string  `json:"text"`
		IDs    []int32 `json:"ids"`
		Source string  `json:"source"`
	}](t, "minilm", "tokenizer_vectors.jsonl")
	require.Len(t, rows, 32)
	for _, row := range rows {
		ids, truncated := tokenizer.Tokens(row.Text)
		require.Equal(t, row.IDs, ids, row.Name)
		require.False(t, truncated)
	}
}

// TestTokens has cases whose ids the Hugging Face tokenizer gives, with
// split_special_tokens, since the text of a user holds none.
func TestTokens(t *testing.T) {
	t.Parallel()
	tokenizer := realTokenizer(t)
	for text, want := range map[string][]int32{
		"[SEP]":                   {1031, 19802, 1033},
		"a[CLS]b":                 {1037, 1031, 18856, 2015, 1033, 1038},
		"a\xffb\xc3":              {11113},            // invalid UTF-8 counts for nothing
		"soft\u00adware\u200b":    {4007},             // nor do format characters
		"\ue000x\U000f0000":       {1060},             // nor private use
		"a\u0378b":                {100},              // an unassigned code point stays, unknown
		"ȺB":                      {100},              // it grows when lowered
		"İstanbul":                {9960},             // a dot above is an accent
		"one\u00a0two\u2003three": {2028, 2048, 2093}, // white space of any kind
		"x\vy":                    {1060, 2100},       // but a control character
		strings.Repeat("a", 101):  {100},              // longer than a word can be
		"東京x":                     {1879, 1755, 1060}, // ideographs stand alone
		"x\U0002b820":             {100},              // Hugging Face does not count it as an ideograph
		"x\U0002b920":             {1060, 100},        // but this one
		"naïve café—déjà vu":      {15743, 7668, 1517, 2139, 3900, 24728},
	} {
		ids, truncated := tokenizer.Tokens(text)
		require.Equal(t, slices.Concat([]int32{101}, want, []int32{102}), ids, "%q", text)
		require.False(t, truncated)
	}
}

func TestLimit(t *testing.T) {
	t.Parallel()
	tokenizer := smallTokenizer(t)
	for words, want := range map[int]bool{0: false, 253: false, 254: false, 255: true, 256: true, 5000: true} {
		ids, truncated := tokenizer.Tokens(strings.Repeat("skill ", words))
		require.Equal(t, want, truncated, "%d words", words)
		require.Len(t, ids, min(words+2, MaxTokens))
		require.Equal(t, tokenizer.closing, ids[len(ids)-1])
	}
	_, truncated := tokenizer.Tokens(strings.Repeat("skill ", 253) + "abcd!")
	require.True(t, truncated, "the limit falls into a word")
	_, truncated = tokenizer.Tokens(strings.Repeat("skill ", 254) + " \u00ad\t ")
	require.False(t, truncated, "what is left is no token")
}

func TestNewTokenizerRefuses(t *testing.T) {
	t.Parallel()
	for name, vocabulary := range map[string]string{
		"empty":      "",
		"no [CLS]":   "[UNK]\n[SEP]\n",
		"empty line": "[UNK]\n\n[CLS]\n[SEP]\n",
		"repeated":   "[UNK]\n[CLS]\n[SEP]\n[UNK]\n",
		"too long":   smallVocabulary() + manyLines(vocabularySize),
	} {
		_, err := NewTokenizer(vocabulary)
		require.ErrorIs(t, err, ErrVocabulary, name)
	}
}

func manyLines(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "word%d\n", i)
	}
	return b.String()
}

// requireSound holds for the tokens of any text.
func requireSound(t require.TestingT, tokenizer *Tokenizer, text string) {
	ids, truncated := tokenizer.Tokens(text)
	require.GreaterOrEqual(t, len(ids), 2)
	require.LessOrEqual(t, len(ids), MaxTokens)
	require.True(t, !truncated || len(ids) == MaxTokens)
	require.Equal(t, tokenizer.opening, ids[0])
	require.Equal(t, tokenizer.closing, ids[len(ids)-1])
	for _, id := range ids[1 : len(ids)-1] {
		require.True(t, id >= 0 && int(id) < tokenizer.size())
		require.NotContains(t, []int32{tokenizer.opening, tokenizer.closing}, id)
	}
	for name, same := range map[string]string{
		"valid UTF-8": strings.ToValidUTF8(text, ""), "lower case of ASCII": lowerASCII(text), "between blanks": "\n " + text + "\t",
	} {
		again, cut := tokenizer.Tokens(same)
		require.Equal(t, ids, again, name)
		require.Equal(t, truncated, cut, name)
	}
}

func lowerASCII(text string) string {
	b := []byte(text)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

func TestTokensOfAnything(t *testing.T) {
	t.Parallel()
	tokenizer := smallTokenizer(t)
	rapid.Check(t, func(t *rapid.T) {
		requireSound(t, tokenizer, rapid.OneOf(
			rapid.String(), rapid.StringN(0, 600, -1),
			rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }),
			rapid.Map(rapid.SliceOf(rapid.Int32Range(0, utf8.MaxRune)), func(runes []int32) string { return string(runes) }),
		).Draw(t, "text"))
	})
}

// FuzzTokenize uses the real vocabulary where there is one.
func FuzzTokenize(f *testing.F) {
	for _, text := range []string{
		"", "Ⱥ", "[SEP]", "a\u0301\u0328b", "İstanbul \u0130", "\xff\xfe", "\u202e\u00ad\U000e0001", "東京タワー 한국어",
		strings.Repeat("\u0301", 100), strings.Repeat("a", 300), strings.Repeat("é ", 300), "\u2028\u0085\v\f", "ﬁ ½ ™ ǅ ß",
	} {
		f.Add(text)
	}
	tokenizer := smallTokenizer(f)
	if os.Getenv("TEST_MODEL_DIR") != "" {
		tokenizer = realTokenizer(f)
	}
	f.Fuzz(func(t *testing.T, text string) { requireSound(t, tokenizer, text) })
}
