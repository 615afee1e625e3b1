package api

import (
	"context"
	"net/http"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/dlai-sd/plant/shared/auth"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/store"
	"github.com/dlai-sd/plant/shared/web"
)

type diffIn struct {
	who      auth.Principal
	id       domain.ID
	from, to int64 // to 0: the newest
}

// Diff is what changed between two versions of an entity, from the states that
// were signed.
type Diff struct {
	From    int64   `json:"from"`
	To      int64   `json:"to"`
	Changes []Field `json:"changes"`
}

// Field is a member of the state whose value differs; null where it is absent.
type Field struct {
	Field string         `json:"field"` // JSON Pointer
	From  jsontext.Value `json:"from"`
	To    jsontext.Value `json:"to"`
}

// Diff answers GET on the difference of two versions.
func (r Resource[F]) Diff() http.Handler {
	return web.Endpoint(decodeDiff, func(ctx context.Context, in diffIn) (Diff, error) {
		from, err := r.service.GetVersion(ctx, in.who, r.kind(), in.id, in.from)
		if err != nil {
			return Diff{}, err
		}
		to, err := r.newestOr(ctx, in)
		if err != nil {
			return Diff{}, err
		}
		return Diff{from.Entity.Head.Version, to.Entity.Head.Version, diffOf(from.Entity, to.Entity)}, nil
	})
}

func (r Resource[F]) newestOr(ctx context.Context, in diffIn) (store.Snapshot, error) {
	if in.to != 0 {
		return r.service.GetVersion(ctx, in.who, r.kind(), in.id, in.to)
	}
	return r.service.Newest(ctx, in.who, r.kind(), in.id)
}

func decodeDiff(r *http.Request) (diffIn, error) {
	who, err := auth.FromContext(r.Context())
	if err != nil {
		return diffIn{}, err
	}
	q, err := web.Query(r, "from", "to")
	if err != nil {
		return diffIn{}, err
	}
	in := diffIn{who: who, from: 1}
	if in.id, err = idOf(r); err != nil {
		return in, err
	}
	if q.Has("from") {
		if in.from, err = versionOf(q, "from"); err != nil {
			return in, err
		}
	}
	if q.Has("to") {
		in.to, err = versionOf(q, "to")
	}
	return in, err
}

func diffOf(from, to domain.Entity) []Field {
	a, b := from.Members(), to.Members()
	changes := []Field{}
	for _, field := range domain.Changed(from, to) {
		changes = append(changes, Field{field, orNullValue(a[field[1:]]), orNullValue(b[field[1:]])})
	}
	return changes
}

func orNullValue(v jsontext.Value) jsontext.Value {
	if v == nil {
		return jsontext.Value("null")
	}
	return v
}
