package api

import (
	"context"
	"encoding/hex"
	"net/http"
	"net/url"
	"strconv"

	"github.com/dlai-sd/plant/shared/auth"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/store"
	"github.com/dlai-sd/plant/shared/web"
)

// Amendment is an amendment with all that verifies it alone: a verifier hashes
// the strings as they are and never re-serialises them.
type Amendment struct {
	Entry

	Record    string   `json:"record"`    // the exact bytes that were hashed and signed
	Signature []byte   `json:"signature"` // base64; over the record, or over the batch's statement
	Batch     *Batched `json:"batch"`     // null for a direct signature
	Opening   *Opening `json:"opening"`   // null once erased
	SPKI      string   `json:"spki"`      // of the key that signed: DER, base64
}

// Batched is a record's place under a batch signature.
type Batched struct {
	Statement string   `json:"statement"`
	Index     int      `json:"index"`
	Path      []string `json:"path"`
}

// Opening is what a state hash commits to.
type Opening struct {
	Salt  string `json:"salt"`  // 64 hex digits
	State string `json:"state"` // canonical JSON, as it was hashed
}

// orderSeq is the one order of an amendment list.
const orderSeq = "seq"

type amendmentsIn struct {
	who   auth.Principal
	id    domain.ID
	url   *url.URL
	after int64
	page  web.Page
}

// Amendments answers GET on an entity's chain, oldest first, whole.
func (r Resource[F]) Amendments() http.Handler {
	return web.Endpoint(decodeAmendments, func(ctx context.Context, in amendmentsIn) (web.List[Amendment], error) {
		rows, err := r.service.Proofs(ctx, in.who, r.kind(), in.id, in.after, in.page.Limit+1)
		if err != nil {
			return web.List[Amendment]{}, err
		}
		rows, next := web.Cut(in.page, rows, func(p store.Proof) web.Cursor {
			return web.Cursor{Order: orderSeq, Key: strconv.FormatInt(p.Seq, 10), ID: string(in.id)}
		})
		items := make([]Amendment, len(rows))
		for i, p := range rows {
			items[i] = amendmentOf(p)
		}
		return web.NewList(in.url, items, next), nil
	})
}

func decodeAmendments(r *http.Request) (amendmentsIn, error) {
	who, err := auth.FromContext(r.Context())
	if err != nil {
		return amendmentsIn{}, err
	}
	q, err := web.Query(r, "limit", "cursor")
	if err != nil {
		return amendmentsIn{}, err
	}
	page, err := web.ParsePage(q, orderSeq)
	if err != nil {
		return amendmentsIn{}, err
	}
	in := amendmentsIn{who: who, url: r.URL, page: page}
	if in.id, err = idOf(r); err != nil {
		return in, err
	}
	if page.After != nil {
		if in.after, err = strconv.ParseInt(page.After.Key, 10, 64); err != nil || page.After.ID != string(in.id) {
			return in, web.BadCursor()
		}
	}
	return in, nil
}

func amendmentOf(p store.Proof) Amendment {
	a := Amendment{Entry: entryOf(p.Entry), Record: p.Record, Signature: p.Signature, SPKI: p.SPKI}
	if p.Opening != nil {
		a.Opening = &Opening{Salt: hex.EncodeToString(p.Opening.Salt[:]), State: string(p.Opening.State)}
	}
	if p.Batch != nil {
		a.Batch = &Batched{Statement: string(p.Batch.Statement), Index: p.Batch.Index, Path: []string{}}
		for _, h := range p.Batch.Path {
			a.Batch.Path = append(a.Batch.Path, h.String())
		}
	}
	return a
}
