package api

import (
	"errors"
	"net/http"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/dlai-sd/plant/shared/auth"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/registry"
	"github.com/dlai-sd/plant/shared/web"
)

// decided are the members of a state that only a decision sets.
var decided = []string{"genesis_certification", "status", "certification_id", "certified_at", "certified_by", "amendment_alignment"} // nobody changes it

// setsDecision reports whether a body sets what only a decision sets: by its name,
// or by a move to certified.
func setsDecision(body []byte) bool {
	if jsontext.Value(body).Kind() != jsontext.KindBeginObject {
		return false
	}
	members, err := membersOf(body)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(members, func(m member) bool {
		return slices.Contains(decided, m.name) || m.name == "to" && string(m.value) == `"`+string(domain.Certified)+`"`
	})
}

// attempted keeps it in the audit trail that somebody tried to write what only a
// decision writes, and was refused. A dry run is no attempt.
func (r Resource[F]) attempted(req *http.Request, route string, body []byte, err error) {
	if err == nil || req.URL.Query().Get("validate_only") == "true" || !setsDecision(body) {
		return
	}
	who, missing := auth.FromContext(req.Context())
	told := ToldOf(err)
	if missing != nil || told == nil {
		return
	}
	r.service.NoteRefused(req.Context(), registry.Request{Who: who, Route: route, RequestID: web.RequestID(req.Context())},
		registry.Attempt{ID: domain.ID(req.PathValue("id")), Kind: r.kind(), Err: told})
}

// attemptedItems is attempted for the items of a bulk request: one note for all.
func (r Resource[F]) attemptedItems(req *http.Request, route string, items []jsontext.Value, candidates []registry.Candidate) {
	for i, c := range candidates {
		if c.Refused != nil && setsDecision(items[i]) {
			r.attempted(req, route, items[i], c.Refused)
			return
		}
	}
}

// ToldOf is a refusal as its caller hears it; nil of what is none.
func ToldOf(err error) *domain.Error {
	var p *web.Problem
	var e *domain.Error
	switch {
	case errors.As(err, &p):
		return &domain.Error{Code: p.Code, Violations: p.Violations}
	case errors.As(err, &e) && e.Code != domain.CodeUnavailable:
		return e
	}
	return nil
}
