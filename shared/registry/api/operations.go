package api

import "net/http"

// Operations are the handlers that every kind has, by operation id: one names
// an entity of the kind, many several of it.
func (r Resource[F]) Operations(one, many string) map[string]http.Handler {
	return map[string]http.Handler{
		"create" + one:              r.Create("create" + one),
		"create" + many:             r.CreateBatch("create" + many),
		"list" + many:               r.List(),
		"get" + one:                 r.Get(),
		"evolve" + one:              r.Patch("evolve" + one),
		"archive" + one:             r.Delete("archive" + one),
		"move" + one:                r.Move("move" + one),
		"list" + one + "Amendments": r.Amendments(),
		"diff" + one:                r.Diff(),
		"list" + one + "Dependents": r.Dependents(),
	}
}
