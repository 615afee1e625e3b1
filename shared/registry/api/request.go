package api

import (
	"crypto/sha256"
	"errors"
	"net/http"
	"net/url"

	"github.com/dlai-sd/plant/shared/auth"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/registry"
	"github.com/dlai-sd/plant/shared/web"
)

// RequestOf is what every write brings besides its content: who sends it, under which
// key, and whether it only asks. Body is all that tells it from another request of the
// same key. Query parameters other than validate_only and these are refused.
func RequestOf(r *http.Request, kind domain.Kind, route string, body []byte, parameters ...string) (registry.Request, error) {
	who, err := auth.FromContext(r.Context())
	if err != nil {
		return registry.Request{}, err
	}
	key, err := web.IdempotencyKey(r)
	if err != nil {
		return registry.Request{}, err
	}
	q, err := web.Query(r, append(parameters, "validate_only")...)
	if err != nil {
		return registry.Request{}, err
	}
	only, err := boolOf(q.Get("validate_only"), "validate_only")
	return registry.Request{
		Who: who, Kind: kind, Route: route, Key: key, BodyHash: sha256.Sum256(body), ValidateOnly: only,
		RequestID: web.RequestID(r.Context()), Traceparent: web.Traceparent(r.Context()),
	}, err
}

func boolOf(value, name string) (bool, error) {
	switch value {
	case "", "false":
		return false, nil
	case "true":
		return true, nil
	}
	return false, web.Refuse(domain.CodeMalformed, "%s is true or false.", name)
}

// PageIn asks for a page of a list that has one order.
type PageIn struct {
	Who  auth.Principal
	URL  *url.URL
	Page web.Page
}

// DecodePage reads a PageIn.
func DecodePage(order string) func(*http.Request) (PageIn, error) {
	return func(r *http.Request) (PageIn, error) {
		who, err := auth.FromContext(r.Context())
		if err != nil {
			return PageIn{}, err
		}
		q, err := web.Query(r, "limit", "cursor")
		if err != nil {
			return PageIn{}, err
		}
		page, err := web.ParsePage(q, order)
		return PageIn{who, r.URL, page}, err
	}
}

// OneIn asks for what is known of one entity.
type OneIn struct {
	Who auth.Principal
	ID  domain.ID
}

// DecodeOne reads a OneIn: the path's id, and no query parameter.
func DecodeOne(r *http.Request) (OneIn, error) {
	who, err := auth.FromContext(r.Context())
	if err != nil {
		return OneIn{}, err
	}
	if _, err := web.Query(r); err != nil {
		return OneIn{}, err
	}
	id, err := idOf(r)
	return OneIn{who, id}, err
}

// idOf reads the path's id. What is no id names nothing.
func idOf(r *http.Request) (domain.ID, error) {
	id := domain.ID(r.PathValue("id"))
	if !id.Valid() {
		return "", web.Refuse(domain.CodeNotFound, "")
	}
	return id, nil
}

// RefusalOf is what decoding an item of a bulk request refused, as the item's refusal.
func RefusalOf(err error) error {
	var p *web.Problem
	if !errors.As(err, &p) {
		return err
	}
	return &domain.Error{Code: p.Code, Detail: p.Detail, Violations: p.Violations}
}
