package api

import (
	"context"
	"net/http"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/registry"
	"github.com/dlai-sd/plant/shared/web"
)

type amendIn struct {
	registry.Request
	id     domain.ID
	match  ledger.Hash
	change domain.Change

	refused func(error) // told of what the change is refused for
}

// amend answers a change of one entity: what it is, decode says. Parameters are
// those of the query beside validate_only.
func (r Resource[F]) amend(decode func(*http.Request) (domain.Change, []byte, error), route string, parameters ...string) http.Handler {
	return web.Endpoint(func(req *http.Request) (in amendIn, err error) {
		change, body, err := decode(req)
		in.change = change
		in.refused = func(err error) { r.attempted(req, route, body, err) }
		defer func() { in.refused(err) }()
		if err != nil {
			return in, err
		}
		if in.id, err = idOf(req); err != nil {
			return in, err
		}
		tag, err := web.IfMatch(req)
		if err != nil {
			return in, err
		}
		// What is no hash of ours matches nothing: the answer is 412, as for an old one.
		if in.match, err = ledger.ParseHash(tag); err != nil || in.match.IsZero() {
			in.match = ledger.HashOf([]byte(tag))
		}
		in.Request, err = RequestOf(req, r.kind(), route, append([]byte(req.URL.RequestURI()+"\n"+tag+"\n"), body...), parameters...)
		return in, err
	}, func(ctx context.Context, in amendIn) (Written[F], error) {
		w, err := r.service.Amend(ctx, in.Request, in.id, in.match, in.change)
		in.refused(err)
		return r.written(w, false, err)
	})
}

// patch is a merge patch, applied to the entity as it stands when it is applied.
type patch[F domain.Facts] struct{ body jsontext.Value }

// Name implements domain.Change.
func (patch[F]) Name() string { return domain.ChangeEvolved }

// Needs implements domain.Change.
func (patch[F]) Needs(e domain.Entity) []domain.Authority { return domain.Evolve{}.Needs(e) }

// Apply implements domain.Change: the fields that a caller may set, merged, read
// strictly, and evolved.
func (p patch[F]) Apply(e domain.Entity) (domain.Entity, error) {
	facts, ok := e.Facts.(F)
	if !ok {
		return domain.Entity{}, web.Refuse(domain.CodeNotFound, "")
	}
	before, err := json.Marshal(domain.Input[F]{Facts: facts, Settable: e.Settable()})
	if err != nil {
		return domain.Entity{}, err
	}
	merged, err := mergePatch(before, p.body)
	if err != nil {
		return domain.Entity{}, err
	}
	var after domain.Input[F]
	if err := web.Decode(merged, &after); err != nil {
		return domain.Entity{}, err
	}
	return domain.Evolve{Facts: after.Facts, Settable: after.Settable}.Apply(e)
}

// Patch answers PATCH on one entity with a merge patch (RFC 7396).
func (r Resource[F]) Patch(route string) http.Handler {
	return r.amend(func(req *http.Request) (domain.Change, []byte, error) {
		_, raw, err := web.Body[jsontext.Value](req, web.LimitBody, web.MediaMergePatch)
		return patch[F]{raw}, raw, err
	}, route)
}

// moveBody asks for a move of the lifecycle.
type moveBody struct {
	To           domain.Status `json:"to"`
	Reason       string        `json:"reason"`
	SupersededBy domain.ID     `json:"superseded_by"`
}

// Move answers POST on an entity's transitions.
func (r Resource[F]) Move(route string) http.Handler {
	return r.amend(func(req *http.Request) (domain.Change, []byte, error) {
		body, raw, err := web.Body[moveBody](req, web.LimitBody)
		return domain.MoveTo{To: body.To, Reason: body.Reason, SupersededBy: body.SupersededBy, At: domain.Time(time.Now())}, raw, err
	}, route)
}

// Delete answers DELETE on one entity: it is archived, and nothing is removed.
func (r Resource[F]) Delete(route string) http.Handler {
	return r.amend(func(req *http.Request) (domain.Change, []byte, error) {
		q, err := web.Query(req, "validate_only", "reason")
		return domain.MoveTo{To: domain.Archived, Reason: q.Get("reason"), At: domain.Time(time.Now())}, nil, err
	}, route, "reason")
}

// assignBody names the team, null to leave it.
type assignBody struct {
	TeamID domain.ID `json:"team_id"`
}

// Assign answers POST on an agent's assign-team.
func (r Resource[F]) Assign(route string) http.Handler {
	return r.amend(func(req *http.Request) (domain.Change, []byte, error) {
		body, raw, err := web.Body[assignBody](req, web.LimitBody)
		return domain.Assign{Team: body.TeamID}, raw, err
	}, route)
}
