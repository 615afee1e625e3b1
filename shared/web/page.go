package web

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json"

	"github.com/dlai-sd/plant/shared/domain"
)

// How many items a page has.
const (
	DefaultLimit = 50
	MaxLimit     = 100
)

// maxCursor bounds a cursor, in characters: a name of 200 characters as key.
const maxCursor = 4096

// Cursor is where the next page of a list begins: after the item with this id
// and this key, in this order. It is opaque to callers but not secret, and not
// signed: whoever changes one only moves within what it may see anyway.
type Cursor struct {
	Order string `json:"o"`
	Key   string `json:"k"`
	ID    string `json:"i"`
}

// String encodes the cursor for a URL.
func (c Cursor) String() string {
	b, err := json.Marshal(c, json.Deterministic(true))
	if err != nil {
		return "" // a key that is not UTF-8: it cannot come from the database
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// ParseCursor decodes a cursor, or refuses it with 400.
func ParseCursor(s string) (Cursor, error) {
	if len(s) > maxCursor {
		return Cursor{}, BadCursor()
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil {
		return Cursor{}, BadCursor()
	}
	var c Cursor
	if Decode(b, &c) != nil || c.Order == "" || c.ID == "" {
		return Cursor{}, BadCursor()
	}
	return c, nil
}

// BadCursor refuses a cursor that says nothing.
func BadCursor() *Problem {
	return Refuse(domain.CodeMalformed, "The cursor is not one that this API gave; begin again without it.")
}

// Page is which part of a list is asked for. After is nil for the first part.
type Page struct {
	Limit int
	After *Cursor
}

// ParsePage reads limit (1 to MaxLimit, default DefaultLimit) and cursor. order
// is the one of this request: a cursor of another order is refused with 400.
func ParsePage(q url.Values, order string) (Page, error) {
	limit, err := ParseLimit(q, DefaultLimit)
	if err != nil {
		return Page{}, err
	}
	page := Page{Limit: limit}
	if q.Has("cursor") {
		c, err := ParseCursor(q.Get("cursor"))
		if err != nil {
			return Page{}, err
		}
		if c.Order != order {
			return Page{}, Refuse(domain.CodeMalformed, "The cursor belongs to another order_by; begin again without it.")
		}
		page.After = &c
	}
	return page, nil
}

// ParseLimit reads limit, 1 to MaxLimit; usual where it is not given. Anything else is refused with 400.
func ParseLimit(q url.Values, usual int) (int, error) {
	if !q.Has("limit") {
		return usual, nil
	}
	n, ok := ParseNumber(q.Get("limit"))
	if !ok || n < 1 || n > MaxLimit {
		return 0, Refuse(domain.CodeMalformed, "limit must be a whole number from 1 to %d.", MaxLimit)
	}
	return int(n), nil
}

// ParseNumber reads a whole number from 0 that is written in the one way there is:
// digits, without a sign and without a zero in front.
func ParseNumber(s string) (int64, bool) {
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil && n >= 0 && s == strconv.FormatInt(n, 10)
}

// AfterID is the id behind which the page begins, "" for the first page. A cursor whose
// id is none is refused with 400.
func (p Page) AfterID() (domain.ID, error) {
	if p.After == nil {
		return "", nil
	}
	id := domain.ID(p.After.ID)
	if !id.Valid() {
		return "", BadCursor()
	}
	return id, nil
}

// Cut keeps of rows, of which one more was read than the page holds, those that it
// holds. at is the cursor of a row; next is that of the last one kept, nil where no
// page follows.
func Cut[R any](p Page, rows []R, at func(R) Cursor) (kept []R, next *Cursor) {
	if len(rows) <= p.Limit {
		return rows, nil
	}
	last := at(rows[p.Limit-1])
	return rows[:p.Limit], &last
}

// Query returns the request's query parameters. Those not among names, those
// given twice, and values that are not clean UTF-8 are refused with 400.
func Query(r *http.Request, names ...string) (url.Values, error) {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, Refuse(domain.CodeMalformed, "The query string is not well formed.")
	}
	for name, values := range q {
		switch {
		case !slices.Contains(names, name):
			return nil, Refuse(domain.CodeMalformed, "There is no query parameter %q here; there are: %s.", clip(name), strings.Join(names, ", "))
		case len(values) > 1:
			return nil, Refuse(domain.CodeMalformed, "The query parameter %s may be given once.", name)
		case !utf8.ValidString(values[0]) || strings.ContainsRune(values[0], 0):
			return nil, Refuse(domain.CodeMalformed, "The query parameter %s is not valid UTF-8 without U+0000.", name)
		}
	}
	return q, nil
}

// List is a page of a list as a response. URL is the request's; with Next it
// makes the Link header (RFC 8288) that leads to the following page.
type List[T any] struct {
	Items      []T     `json:"items"`
	NextCursor *string `json:"next_cursor"`

	url *url.URL
}

// NewList makes the response of a page; next is nil on the last one.
func NewList[T any](u *url.URL, items []T, next *Cursor) List[T] {
	l := List[T]{Items: items, url: u}
	if next != nil {
		s := next.String()
		l.NextCursor = &s
	}
	return l
}

// SetHeaders adds the Link to the next page.
func (l List[T]) SetHeaders(h http.Header) {
	if l.NextCursor == nil || l.url == nil {
		return
	}
	q := l.url.Query()
	q.Set("cursor", *l.NextCursor)
	next := url.URL{Path: l.url.Path, RawPath: l.url.RawPath, RawQuery: q.Encode()}
	h.Set("Link", "<"+next.String()+`>; rel="next"`)
}
