package embed

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/dlai-sd/plant/shared/auth"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/registry/api"
	"github.com/dlai-sd/plant/shared/store"
	"github.com/dlai-sd/plant/shared/web"
)

const (
	maxQuery     = 2000 // characters of what is looked for
	defaultHits  = 10
	defaultAlike = 5
)

// The ways to search. By default meaning decides, and words in common help a little.
const (
	modeDefault  = "default"
	modeSemantic = "semantic"
	modeLexical  = "lexical"
)

type searchIn struct {
	who   auth.Principal
	text  string
	mode  string
	query store.Search
}

// search answers GET search.
func (s Service) search() http.Handler {
	return web.Endpoint(decodeSearch, func(ctx context.Context, in searchIn) (api.Hits, error) {
		var err error
		q := in.query
		q.ModelID = s.Maker.ModelID()
		if in.mode != modeSemantic {
			q.Text = in.text
		}
		if in.mode != modeLexical {
			if q.Vector, err = s.Maker.Query(ctx, in.text); err != nil {
				return api.Hits{}, err
			}
		}
		hits, err := s.Registry.Search(ctx, in.who, q)
		return api.HitsOf(hits, q.ModelID), err
	})
}

func decodeSearch(r *http.Request) (searchIn, error) {
	who, err := auth.FromContext(r.Context())
	if err != nil {
		return searchIn{}, err
	}
	q, err := web.Query(r, "q", "kind", "category", "status", "limit", "mode")
	if err != nil {
		return searchIn{}, err
	}
	in := searchIn{who: who, text: q.Get("q"), mode: modeDefault}
	if n := utf8.RuneCountInString(in.text); strings.TrimSpace(in.text) == "" || n > maxQuery || strings.ContainsRune(in.text, 0) {
		return in, web.Refuse(domain.CodeMalformed, "q is what you look for, 1 to %d characters.", maxQuery)
	}
	if q.Has("mode") {
		if in.mode = q.Get("mode"); !slices.Contains([]string{modeDefault, modeSemantic, modeLexical}, in.mode) {
			return in, web.Refuse(domain.CodeMalformed, "mode is %s, %s or %s.", modeDefault, modeSemantic, modeLexical)
		}
	}
	in.query, err = queryOf(q)
	return in, err
}

func queryOf(q url.Values) (store.Search, error) {
	s := store.Search{Limit: defaultHits}
	searched := []domain.Kind{domain.KindSkill, domain.KindJobRole, domain.KindIndustry}
	if q.Has("kind") {
		if s.Kind = domain.Kind(q.Get("kind")); !slices.Contains(searched, s.Kind) {
			return s, web.Refuse(domain.CodeMalformed, "kind is skill, job_role or industry.")
		}
	}
	if q.Has("category") {
		category := q.Get("category")
		if !slices.Contains(domain.Categories(), category) {
			return s, web.Refuse(domain.CodeMalformed, "category is one of %s.", strings.Join(domain.Categories(), ", "))
		}
		s.Category = &category
	}
	if q.Has("status") {
		status := q.Get("status")
		if !slices.Contains(domain.Statuses(), domain.Status(status)) || domain.Status(status) == domain.Archived {
			return s, web.Refuse(domain.CodeMalformed, "status is draft, under_review, certified, active or deprecated.")
		}
		s.Status = &status
	}
	var err error
	s.Limit, err = web.ParseLimit(q, defaultHits)
	return s, err
}

type similarIn struct {
	who   auth.Principal
	id    domain.ID
	limit int
}

// similar answers GET {id}/similar of a kind: what comes nearest to an entity. An
// entity that has no vector yet has no neighbours yet.
func (s Service) similar(kind domain.Kind) http.Handler {
	return web.Endpoint(decodeSimilar, func(ctx context.Context, in similarIn) (api.Hits, error) {
		model := s.Maker.ModelID()
		v, err := s.Registry.StoredVector(ctx, in.who, kind, in.id, model)
		if err != nil || v.Values == nil {
			return api.HitsOf(nil, model), err
		}
		hits, err := s.Registry.Search(ctx, in.who, store.Search{
			ModelID: model, Vector: v.Values, Kind: kind, Except: in.id, Limit: in.limit, Cosine: true,
		})
		return api.HitsOf(hits, model), err
	})
}

func decodeSimilar(r *http.Request) (similarIn, error) {
	who, err := auth.FromContext(r.Context())
	if err != nil {
		return similarIn{}, err
	}
	q, err := web.Query(r, "limit")
	if err != nil {
		return similarIn{}, err
	}
	in := similarIn{who: who, id: domain.ID(r.PathValue("id"))}
	if !in.id.Valid() {
		return in, web.Refuse(domain.CodeNotFound, "")
	}
	in.limit, err = web.ParseLimit(q, defaultAlike)
	return in, err
}

// similarToText answers POST similar: what comes nearest to an entity that is not
// written yet.
func (s Service) similarToText() http.Handler {
	type in struct {
		who  auth.Principal
		body api.Likeness
	}
	return web.Endpoint(func(r *http.Request) (in, error) {
		who, err := auth.FromContext(r.Context())
		if err != nil {
			return in{}, err
		}
		body, _, err := web.Body[api.Likeness](r, web.LimitBody)
		if err != nil {
			return in{}, err
		}
		return in{who, body}, body.Check()
	}, func(ctx context.Context, in in) (api.Hits, error) {
		model := s.Maker.ModelID()
		vector, err := s.Maker.Like(ctx, in.body.Name, in.body.Description)
		if err != nil {
			return api.Hits{}, err
		}
		hits, err := s.Registry.Search(ctx, in.who, store.Search{
			ModelID: model, Vector: vector, Kind: in.body.EntityType, Limit: defaultAlike, Cosine: true,
		})
		return api.HitsOf(hits, model), err
	})
}
