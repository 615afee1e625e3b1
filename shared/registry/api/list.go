package api

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/dlai-sd/plant/shared/auth"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/store"
	"github.com/dlai-sd/plant/shared/web"
)

type listIn struct {
	who    auth.Principal
	url    *url.URL
	filter store.Filter
	order  store.Order
	page   web.Page
}

// List answers GET on the collection: filters, an order and a cursor.
func (r Resource[F]) List() http.Handler {
	return web.Endpoint(r.decodeList, func(ctx context.Context, in listIn) (web.List[Basic[F]], error) {
		// One more than asked tells whether there is a next page.
		rows, err := r.service.List(ctx, in.who, in.filter, in.order, afterOf(in.page), in.page.Limit+1)
		if err != nil {
			return web.List[Basic[F]]{}, err
		}
		rows, next := web.Cut(in.page, rows, func(l store.Listed) web.Cursor {
			return web.Cursor{Order: string(in.order), Key: l.SortKey, ID: string(l.Entity.ID)}
		})
		items := make([]Basic[F], len(rows))
		for i, row := range rows {
			if items[i], err = basicOf[F](row.Entity); err != nil {
				return web.List[Basic[F]]{}, err
			}
		}
		return web.NewList(in.url, items, next), nil
	})
}

func (r Resource[F]) decodeList(req *http.Request) (listIn, error) {
	who, err := auth.FromContext(req.Context())
	if err != nil {
		return listIn{}, err
	}
	names := []string{
		"limit", "cursor", "order_by", "status", "tag", "name_prefix", "external_id", "amendment_alignment",
		"updated_since", "include_archived", "ids",
	}
	if r.kind() == domain.KindSkill {
		names = append(names, "category")
	}
	q, err := web.Query(req, names...)
	if err != nil {
		return listIn{}, err
	}
	order, err := orderOf(q)
	if err != nil {
		return listIn{}, err
	}
	page, err := web.ParsePage(q, string(order))
	if err != nil {
		return listIn{}, err
	}
	if page.After != nil && !validAfter(*page.After, order) {
		return listIn{}, web.BadCursor()
	}
	filter, err := filterOf(q, r.kind())
	return listIn{who, req.URL, filter, order, page}, err
}

func orderOf(q url.Values) (store.Order, error) {
	if !q.Has("order_by") {
		return store.ByCreated, nil
	}
	order := store.Order(q.Get("order_by"))
	if !slices.Contains(store.Orders(), order) {
		return "", web.Refuse(domain.CodeMalformed, "order_by is one of %s.", joined(store.Orders()))
	}
	return order, nil
}

func filterOf(q url.Values, kind domain.Kind) (store.Filter, error) {
	f := store.Filter{
		Kind: kind, Tag: given(q, "tag"), ExternalID: given(q, "external_id"), Category: given(q, "category"),
		Status: given(q, "status"), Alignment: given(q, "amendment_alignment"),
	}
	if prefix := given(q, "name_prefix"); prefix != nil {
		key := domain.NameKey(*prefix)
		f.NamePrefix = &key
	}
	alignments := []string{domain.Aligned.String(), domain.Drifted.String(), domain.RequiresReview.String()}
	switch {
	case f.Status != nil && !slices.Contains(domain.Statuses(), domain.Status(*f.Status)):
		return f, web.Refuse(domain.CodeMalformed, "status is one of %s.", joined(domain.Statuses()))
	case f.Category != nil && !slices.Contains(domain.Categories(), *f.Category):
		return f, web.Refuse(domain.CodeMalformed, "category is one of %s.", joined(domain.Categories()))
	case f.Alignment != nil && !slices.Contains(alignments, *f.Alignment):
		return f, web.Refuse(domain.CodeMalformed, "amendment_alignment is one of %s.", joined(alignments))
	}
	if since := given(q, "updated_since"); since != nil {
		at, err := time.Parse(time.RFC3339Nano, *since)
		if err != nil {
			return f, web.Refuse(domain.CodeMalformed, "updated_since is a time such as 2026-01-31T12:00:00Z.")
		}
		f.UpdatedSince = &at
	}
	var err error
	if f.IDs, err = idsOf(q); err != nil {
		return f, err
	}
	f.IncludeArchived, err = boolOf(q.Get("include_archived"), "include_archived")
	return f, err
}

// maxIDs bounds how many entities are asked for by id at once: as many as a page
// holds.
const maxIDs = web.MaxLimit

// idsOf reads the ids that are asked for at once; nil if none are.
func idsOf(q url.Values) ([]domain.ID, error) {
	if !q.Has("ids") {
		return nil, nil
	}
	ids := []domain.ID{}
	for text := range strings.SplitSeq(q.Get("ids"), ",") {
		if id := domain.ID(text); !id.Valid() || len(ids) == maxIDs {
			return nil, web.Refuse(domain.CodeMalformed, "ids is 1 to %d ids with commas between them.", maxIDs)
		}
		ids = append(ids, domain.ID(text))
	}
	return ids, nil
}

func given(q url.Values, name string) *string {
	if !q.Has(name) {
		return nil
	}
	value := q.Get(name)
	return &value
}

func joined[S ~string](values []S) string {
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = string(v)
	}
	return strings.Join(texts, ", ")
}

func afterOf(p web.Page) *store.After {
	if p.After == nil {
		return nil
	}
	return &store.After{Key: p.After.Key, ID: domain.ID(p.After.ID)}
}

// validAfter keeps what is no key of its order from reaching the database.
func validAfter(c web.Cursor, order store.Order) bool {
	if !domain.ID(c.ID).Valid() {
		return false
	}
	if strings.HasSuffix(string(order), "_at") {
		_, err := time.Parse(time.RFC3339Nano, c.Key)
		return err == nil
	}
	return !strings.ContainsRune(c.Key, 0)
}
