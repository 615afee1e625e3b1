// Package api is the HTTP face of the registry for one kind of entity: the
// handlers that every kind shares, with generics only where the kind's own
// JSON is read and written.
package api

import (
	"context"
	"encoding/hex"
	"errors"
	"net/http"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/registry"
	"github.com/dlai-sd/plant/shared/web"
)

// Resource serves the entities whose facts are F.
type Resource[F domain.Facts] struct {
	service *registry.Service
	path    string // of the collection, for Location
	near    *Neighbours
}

// Warning returns the resource with warnings of near-duplicates from n.
func (r Resource[F]) Warning(n *Neighbours) Resource[F] {
	r.near = n
	return r
}

// New makes a Resource; path is the collection's, such as
// /api/v1/genesis/skills.
func New[F domain.Facts](s *registry.Service, path string) Resource[F] {
	return Resource[F]{service: s, path: path}
}

func (r Resource[F]) kind() domain.Kind {
	var f F
	return f.Kind()
}

type createIn struct {
	registry.Request
	registry.Candidate

	authorization string
}

// Written is the answer to a write.
type Written[F domain.Facts] struct {
	Full[F]

	path                string
	born                bool
	replayed, validated bool
	etag                string
}

// StatusCode is 201 for a birth, 200 for a change, a repeat of a birth is a
// birth again, and 200 where nothing was written.
func (w Written[F]) StatusCode() int {
	if w.born && !w.validated {
		return http.StatusCreated
	}
	return http.StatusOK
}

// SetHeaders says where the entity is, at which version, and whether this was a
// repeat.
func (w Written[F]) SetHeaders(h http.Header) {
	if w.validated {
		return
	}
	h.Set("ETag", web.ETag(w.etag))
	if w.born {
		h.Set("Location", w.path+"/"+string(*w.ID))
	}
	if w.replayed {
		h.Set("Idempotency-Replayed", "true")
	}
}

// Create answers POST on the collection. Route is its operation id.
func (r Resource[F]) Create(route string) http.Handler {
	return web.Endpoint(func(req *http.Request) (createIn, error) {
		raw, err := web.Raw(req, web.LimitBody)
		if err != nil {
			return createIn{}, err
		}
		candidate, err := r.decoder()(raw)
		if err != nil {
			r.attempted(req, route, raw, err)
			return createIn{}, err
		}
		request, err := RequestOf(req, r.kind(), route, raw)
		return createIn{request, candidate, req.Header.Get("Authorization")}, err
	}, func(ctx context.Context, in createIn) (Created[F], error) {
		// The question is put while the entity is signed and written.
		asking, cancel := context.WithCancel(ctx)
		defer cancel()
		near := make(chan []Hit, 1)
		go func() { near <- r.near.of(asking, in.authorization, in.Facts) }()
		w, err := r.service.Create(ctx, in.Request, in.Facts, in.Settable, in.Agents...)
		if err != nil {
			cancel()
		}
		similar := slices.DeleteFunc(<-near, func(h Hit) bool { return h.ID == w.Entity.ID })
		out, err := r.written(w, true, err)
		if r.near == nil {
			return Created[F]{Written: out}, err
		}
		warning := &Warning{}
		if similar != nil {
			warning.Similar = &similar
		}
		return Created[F]{out, warning}, err
	})
}

func (r Resource[F]) written(w registry.Written, born bool, err error) (Written[F], error) {
	if err != nil {
		return Written[F]{}, ProblemOf(err)
	}
	full, err := fullOf[F](w.Snapshot)
	return Written[F]{
		Full: full, path: r.path, born: born, replayed: w.Replayed, validated: w.Validated,
		etag: hexOf(w.Entity.Head.ETag),
	}, err
}

// Created is the answer to a birth. Similar are entities that look like the new one,
// a warning and no more.
type Created[F domain.Facts] struct {
	Written[F]

	*Warning
}

// Warning names near-duplicates; null where that could not be found out in time.
type Warning struct {
	Similar *[]Hit `json:"similar"`
}

type batchIn struct {
	registry.Request
	items []registry.Candidate
}

// Batch is the answer to a bulk write: an item per item sent, in order.
type Batch struct {
	Items   []Item `json:"items"`
	Created int    `json:"created"`
	Refused int    `json:"refused"`

	replayed bool
}

// Item is what became of one: an entity's identity, or a refusal.
type Item struct {
	Index       int                `json:"index"`
	Status      int                `json:"status"` // as if it had been sent alone
	ID          *domain.ID         `json:"id"`
	Version     int64              `json:"version"`
	VersionHash *string            `json:"version_hash"`
	Code        *domain.Code       `json:"code"`
	Detail      *string            `json:"detail"`
	Violations  []domain.Violation `json:"violations"`
}

// SetHeaders says whether this was a repeat.
func (b Batch) SetHeaders(h http.Header) {
	if b.replayed {
		h.Set("Idempotency-Replayed", "true")
	}
}

type batchBody struct {
	Items []jsontext.Value `json:"items"`
}

// CreateBatch answers POST on the collection's /batch.
func (r Resource[F]) CreateBatch(route string) http.Handler {
	return web.Endpoint(func(req *http.Request) (batchIn, error) {
		body, raw, err := web.Body[batchBody](req, web.LimitBatch)
		if err != nil {
			r.attempted(req, route, raw, err)
			return batchIn{}, err
		}
		request, err := RequestOf(req, r.kind(), route, raw)
		in := batchIn{request, candidates(body.Items, r.decoder())}
		r.attemptedItems(req, route, body.Items, in.items)
		return in, err
	}, func(ctx context.Context, in batchIn) (Batch, error) {
		b, err := r.service.CreateAll(ctx, in.Request, r.kind(), in.items)
		return batchOf(b), ProblemOf(err)
	})
}

// candidates decodes each item by itself: one that is malformed spoils only
// itself.
func candidates(items []jsontext.Value, decode func([]byte) (registry.Candidate, error)) []registry.Candidate {
	list := make([]registry.Candidate, len(items))
	for i, raw := range items {
		candidate, err := decode(raw)
		switch {
		case len(raw) > web.LimitBody:
			list[i].Refused = domain.Refuse(domain.CodeTooLarge, "one item takes at most %d bytes", web.LimitBody)
		case err != nil:
			list[i].Refused = RefusalOf(err)
		default:
			list[i] = candidate
		}
	}
	return list
}

func decodeInput[F domain.Facts](raw []byte) (registry.Candidate, error) {
	var in domain.Input[F]
	err := web.Decode(raw, &in)
	return registry.Candidate{Facts: in.Facts, Settable: in.Settable}, err
}

// teamInput is a team as it is created: with its first agents.
type teamInput struct {
	domain.Input[domain.Team]
	Agents []domain.ID `json:"agents"`
}

func decodeTeam(raw []byte) (registry.Candidate, error) {
	var in teamInput
	err := web.Decode(raw, &in)
	return registry.Candidate{Facts: in.Facts, Settable: in.Settable, Agents: in.Agents}, err
}

// decoder reads what is sent to create one entity: only a team is created with
// more than its own fields.
func (r Resource[F]) decoder() func([]byte) (registry.Candidate, error) {
	if r.kind() == domain.KindTeam {
		return decodeTeam
	}
	return decodeInput[F]
}

func batchOf(b registry.Bulk) Batch {
	out := Batch{replayed: b.Replayed, Items: make([]Item, len(b.Outcomes))}
	for i, o := range b.Outcomes {
		item := Item{Index: i, Status: http.StatusCreated, Version: o.Version, Violations: o.Violations}
		switch {
		case o.Code != "":
			item.Status = web.StatusOf(o.Code)
			item.Code, item.Detail = &o.Code, &o.Detail
			out.Refused++
		case b.Validated:
			item.Status = http.StatusOK
		default:
			item.ID, item.VersionHash = &o.ID, &o.VersionHash
			out.Created++
		}
		out.Items[i] = item
	}
	return out
}

// ProblemOf gives HTTP's form to what the registry refuses.
func ProblemOf(err error) error {
	var stale *registry.StaleError
	if !errors.As(err, &stale) {
		return err
	}
	var changes []web.Change
	for _, e := range stale.Since {
		changes = append(changes, web.Change{Seq: e.Seq, Change: e.Change, RecordedAt: e.RecordedAt.UTC().Format(domain.TimeLayout), Fields: e.Fields})
	}
	return web.Stale(stale.Current.String(), changes)
}

func hexOf(h [32]byte) string { return hex.EncodeToString(h[:]) }
