package minilm

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// normalize does what BERT's uncased normalizer does: control characters go,
// white space becomes a blank, ideographs stand alone, accents go, letters
// become small.
func normalize(text string) string {
	text, ascii := clean(text)
	if ascii {
		return strings.ToLower(text)
	}
	var b strings.Builder
	b.Grow(len(text))
	for _, r := range norm.NFD.String(text) {
		if !unicode.Is(unicode.Mn, r) {
			b.WriteRune(unicode.ToLower(r))
		}
	}
	return b.String()
}

func clean(text string) (cleaned string, ascii bool) {
	var b strings.Builder
	b.Grow(len(text))
	ascii = true
	for _, r := range text {
		switch {
		case r == '\t' || r == '\n' || r == '\r':
			b.WriteByte(' ')
		case r >= ' ' && r <= '~':
			b.WriteByte(byte(r))
		case isControl(r):
		case unicode.IsSpace(r):
			b.WriteByte(' ')
		case isIdeograph(r):
			b.WriteByte(' ')
			b.WriteRune(r)
			b.WriteByte(' ')
			ascii = false
		default:
			b.WriteRune(r)
			ascii = false
		}
	}
	return b.String(), ascii
}

// isControl names its categories: unicode.C also has the unassigned code
// points, which BERT keeps. RuneError is also what invalid UTF-8 decodes to.
func isControl(r rune) bool {
	return r == utf8.RuneError || unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co)
}

// isIdeograph has the blocks that Hugging Face's BertNormalizer counts as
// Chinese: no kana, no hangul, and extension E only from U+2B920 on.
func isIdeograph(r rune) bool {
	return r >= 0x4E00 && r <= 0x9FFF || r >= 0x3400 && r <= 0x4DBF ||
		r >= 0xF900 && r <= 0xFAFF || r >= 0x20000 && r <= 0x2A6DF ||
		r >= 0x2A700 && r <= 0x2B73F || r >= 0x2B740 && r <= 0x2B81F ||
		r >= 0x2B920 && r <= 0x2CEAF || r >= 0x2F800 && r <= 0x2FA1F
}

// isPunctuation counts every ASCII symbol as punctuation, beyond that only
// what Unicode calls so.
func isPunctuation(r rune) bool {
	if r < utf8.RuneSelf {
		return r >= '!' && r <= '/' || r >= ':' && r <= '@' || r >= '[' && r <= '`' || r >= '{' && r <= '~'
	}
	return unicode.Is(unicode.P, r)
}

// splitter cuts normalized text at white space and around punctuation marks,
// each of which is a word.
type splitter struct{ text string }

func (s *splitter) next() (word string, ok bool) {
	s.text = strings.TrimLeftFunc(s.text, unicode.IsSpace)
	for i, r := range s.text {
		end := i
		switch {
		case isPunctuation(r) && i == 0:
			end = utf8.RuneLen(r)
		case !isPunctuation(r) && !unicode.IsSpace(r):
			continue
		}
		word, s.text = s.text[:end], s.text[end:]
		return word, true
	}
	word, s.text = s.text, ""
	return word, word != ""
}
