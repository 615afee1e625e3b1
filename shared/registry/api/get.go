package api

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/dlai-sd/plant/shared/auth"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/store"
	"github.com/dlai-sd/plant/shared/web"
)

type readIn struct {
	who     auth.Principal
	id      domain.ID
	version int64     // 0: not asked for
	at      time.Time // zero: not asked for
	known   string    // If-None-Match, answered only for the past
	vector  bool      // include=embedding_384
}

// past reports whether the request is about a version that never changes.
func (in readIn) past() bool { return in.version != 0 || !in.at.IsZero() }

func decodeRead(r *http.Request) (readIn, error) {
	who, err := auth.FromContext(r.Context())
	if err != nil {
		return readIn{}, err
	}
	q, err := web.Query(r, "version", "at", "include")
	if err != nil {
		return readIn{}, err
	}
	in := readIn{who: who, known: r.Header.Get("If-None-Match"), vector: q.Get("include") == includeVector}
	if q.Has("include") && !in.vector {
		return in, web.Refuse(domain.CodeMalformed, "include is %s.", includeVector)
	}
	if in.id, err = idOf(r); err != nil {
		return in, err
	}
	if q.Has("version") && q.Has("at") {
		return in, web.Refuse(domain.CodeMalformed, "Ask for a version or for a moment, not for both.")
	}
	if in.vector && (q.Has("version") || q.Has("at")) {
		return in, web.Refuse(domain.CodeMalformed, "A vector is that of the newest version alone.")
	}
	if q.Has("version") {
		if in.version, err = versionOf(q, "version"); err != nil {
			return in, err
		}
	}
	if q.Has("at") {
		if in.at, err = time.Parse(time.RFC3339Nano, q.Get("at")); err != nil {
			return in, web.Refuse(domain.CodeMalformed, "at is a time such as 2026-01-31T12:00:00Z.")
		}
	}
	return in, nil
}

func versionOf(q url.Values, name string) (int64, error) {
	version, ok := web.ParseNumber(q.Get(name))
	if !ok || version < 1 {
		return 0, web.Refuse(domain.CodeMalformed, "%s is a whole number from 1.", name)
	}
	return version, nil
}

// includeVector is what include can name.
const includeVector = "embedding_384"

// Read is an entity with its ETag, and its vector if that was asked for and there
// is one.
type Read[F domain.Facts] struct {
	Full[F]

	*Vector

	etag      string
	unchanged bool
}

// StatusCode is 304 where the caller has this version of the past already.
func (r Read[F]) StatusCode() int {
	if r.unchanged {
		return http.StatusNotModified
	}
	return http.StatusOK
}

// SetHeaders gives the ETag.
func (r Read[F]) SetHeaders(h http.Header) { h.Set("ETag", web.ETag(r.etag)) }

// Get answers GET on one entity: as it is, at a version, or at a moment.
func (r Resource[F]) Get() http.Handler {
	return web.Endpoint(decodeRead, func(ctx context.Context, in readIn) (Read[F], error) {
		s, err := r.read(ctx, in)
		if err != nil {
			return Read[F]{}, ProblemOf(err)
		}
		full, err := fullOf[F](s)
		if err != nil {
			return Read[F]{}, err
		}
		etag := hexOf(s.Entity.Head.ETag)
		out := Read[F]{Full: full, etag: etag, unchanged: in.past() && in.known == web.ETag(etag)}
		if in.vector {
			out.Vector, err = r.vector(ctx, in.who, s)
		}
		return out, err
	})
}

// Vector is what stands for an entity in search, unless it has none yet.
type Vector struct {
	Embedding384 []float32 `json:"embedding_384"`
}

// vector is that of the model which the entity's state names.
func (r Resource[F]) vector(ctx context.Context, who auth.Principal, s store.Snapshot) (*Vector, error) {
	named := s.Entity.Governed.Embedding
	if named == nil {
		return &Vector{}, nil
	}
	v, err := r.service.StoredVector(ctx, who, r.kind(), s.Entity.ID, named.ModelID)
	return &Vector{v.Values}, err
}

func (r Resource[F]) read(ctx context.Context, in readIn) (store.Snapshot, error) {
	switch {
	case in.version != 0:
		return r.service.GetVersion(ctx, in.who, r.kind(), in.id, in.version)
	case !in.at.IsZero():
		return r.service.GetAt(ctx, in.who, r.kind(), in.id, in.at)
	default:
		return r.service.Get(ctx, in.who, r.kind(), in.id)
	}
}

// Dependent is an entity that rests on another.
type Dependent struct {
	ID                domain.ID     `json:"id"`
	EntityType        domain.Kind   `json:"entity_type"`
	GovernanceAgentID string        `json:"governance_agent_id"`
	Name              string        `json:"name"`
	Status            domain.Status `json:"status"`
	Field             string        `json:"field"`    // in which it names the one it rests on
	On                domain.ID     `json:"on"`       // that one
	Distance          int           `json:"distance"` // 1: it names this entity itself
}

// Dependents is the blast radius of an entity.
type Dependents struct {
	Items     []Dependent `json:"items"`
	Truncated bool        `json:"truncated"` // there are more than are shown
}

// Dependents answers GET on who rests on an entity.
func (r Resource[F]) Dependents() http.Handler {
	return web.Endpoint(DecodeOne, func(ctx context.Context, in OneIn) (Dependents, error) {
		list, err := r.service.Dependents(ctx, in.Who, r.kind(), in.ID)
		out := Dependents{Items: make([]Dependent, len(list)), Truncated: len(list) == store.MaxDependents}
		for i, d := range list {
			out.Items[i] = Dependent{d.ID, d.Kind, d.GovernanceAgentID, d.Name, d.Status, d.Field, d.On, d.Distance}
		}
		return out, err
	})
}
