package minilm

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// MaxTokens is how many tokens of a text the model reads, [CLS] and [SEP]
// included. What comes after them has no part in the vector.
const MaxTokens = 256

// vocabularySize is the number of rows of the model's word table.
const vocabularySize = 30522

// maxWordRunes is the longest word that is cut into pieces; longer ones are
// [UNK].
const maxWordRunes = 100

// ErrVocabulary is wrapped by every error about the content of vocab.txt.
var ErrVocabulary = errors.New("not the vocabulary of all-MiniLM-L6-v2")

// Tokenizer cuts text into WordPiece tokens as BERT uncased does. It is
// immutable.
type Tokenizer struct {
	heads            map[string]int32 // pieces that begin a word
	tails            map[string]int32 // pieces that go on with one, without their ##
	unknown          int32
	opening, closing int32
}

// NewTokenizer reads a vocabulary: one piece a line, the line's number is its
// id.
func NewTokenizer(vocabulary string) (*Tokenizer, error) {
	t := &Tokenizer{heads: make(map[string]int32, vocabularySize), tails: make(map[string]int32, vocabularySize/4)}
	id := int32(0)
	for line := range strings.Lines(vocabulary) {
		piece := strings.TrimRight(line, "\r\n")
		pieces := t.heads
		if tail, ok := strings.CutPrefix(piece, "##"); ok && tail != "" {
			piece, pieces = tail, t.tails
		}
		if _, twice := pieces[piece]; twice || piece == "" || id == vocabularySize {
			return nil, fmt.Errorf("%w: line %d is empty, repeated or one too many", ErrVocabulary, id+1)
		}
		pieces[piece] = id
		id++
	}
	for name, id := range map[string]*int32{"[UNK]": &t.unknown, "[CLS]": &t.opening, "[SEP]": &t.closing} {
		found, ok := t.heads[name]
		if !ok {
			return nil, fmt.Errorf("%w: it has no %s", ErrVocabulary, name)
		}
		*id = found
	}
	return t, nil
}

// Tokens returns the ids of a text, [CLS] first and [SEP] last, at most
// MaxTokens, and whether there were more. Bytes that are not UTF-8 count for
// nothing; the names of special tokens are text like any other.
func (t *Tokenizer) Tokens(text string) (ids []int32, truncated bool) {
	ids = append(make([]int32, 0, 64), t.opening)
	words := splitter{text: normalize(text)}
	for len(ids) < MaxTokens {
		word, ok := words.next()
		if !ok {
			break
		}
		ids = t.appendPieces(ids, word)
	}
	if truncated = len(ids) > MaxTokens-1; truncated {
		ids = ids[:MaxTokens-1]
	}
	return append(ids, t.closing), truncated
}

// appendPieces cuts a word greedily, the longest known piece first.
func (t *Tokenizer) appendPieces(ids []int32, word string) []int32 {
	if len(word) > maxWordRunes && utf8.RuneCountInString(word) > maxWordRunes {
		return append(ids, t.unknown)
	}
	before := len(ids)
	for pieces := t.heads; word != ""; pieces = t.tails {
		id, length := longest(pieces, word)
		if length == 0 {
			return append(ids[:before], t.unknown)
		}
		ids, word = append(ids, id), word[length:]
	}
	return ids
}

// longest finds the longest piece that word begins with; length 0 says none.
func longest(pieces map[string]int32, word string) (id int32, length int) {
	for end := len(word); end > 0; end-- {
		if end < len(word) && !utf8.RuneStart(word[end]) {
			continue
		}
		if id, ok := pieces[word[:end]]; ok {
			return id, end
		}
	}
	return 0, 0
}

func (t *Tokenizer) size() int { return len(t.heads) + len(t.tails) }
