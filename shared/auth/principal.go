// Package auth says who is calling: principals and their authorities, the
// bearer tokens that carry them (JWT, RFC 7519, as RFC 8725 wants them), and
// the OpenID Connect tokens with which Pub/Sub and Cloud Scheduler call.
//
// It does not decide what a caller may do; that is the registry's.
package auth

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"

	"github.com/google/uuid"

	"github.com/dlai-sd/plant/shared/domain"
)

// slug is what a governance agent's name may be.
var slug = regexp.MustCompile(`^[a-z0-9-]{1,63}$`)

// maxName bounds a principal's name, in bytes.
const maxName = 200

// Principal is who calls: a member of one governance agent, with authorities
// over what that owns, and perhaps with some over the whole platform.
type Principal struct {
	ID              string // UUID in its canonical lower-case spelling
	GovernanceAgent string // the tenant's slug
	Name            string // for people; never for decisions
	Authorities     []domain.Authority
	Platform        []domain.Authority // never author
}

// Author is how an amendment's record names the principal.
func (p Principal) Author() string { return p.GovernanceAgent + "/" + p.ID }

// Holds reports whether the principal has an authority over what its own
// governance agent owns; one that holds on the whole platform holds there too.
func (p Principal) Holds(a domain.Authority) bool {
	return slices.Contains(p.Authorities, a) || p.HoldsOnPlatform(a)
}

// HoldsOnPlatform reports whether the principal has an authority over what any
// governance agent owns.
func (p Principal) HoldsOnPlatform(a domain.Authority) bool { return slices.Contains(p.Platform, a) }

// Check reports what is wrong with the principal, if anything.
func (p Principal) Check() error {
	id, err := uuid.Parse(p.ID)
	switch {
	case err != nil || id.String() != p.ID:
		return errors.New("principal: the id is not a UUID in lower case")
	case !slug.MatchString(p.GovernanceAgent):
		return errors.New("principal: the governance agent is not a slug of a-z, 0-9 and -, 1 to 63 long")
	case len(p.Name) > maxName:
		return fmt.Errorf("principal: the name is longer than %d bytes", maxName)
	case slices.Contains(p.Platform, domain.Author):
		return errors.New("principal: author cannot be held on the whole platform")
	}
	for _, a := range slices.Concat(p.Authorities, p.Platform) {
		if !slices.Contains(domain.Authorities(), a) {
			return errors.New("principal: an authority is none of those there are")
		}
	}
	return nil
}

type principalKey struct{}

// NewContext returns a context in which p is the caller.
func NewContext(ctx context.Context, p Principal) context.Context {
	return context.WithValue(ctx, principalKey{}, p)
}

// FromContext returns the caller. Without one it is a domain.Error with
// domain.CodeUnauthenticated: a route that was not put behind Bearer answers
// 401 to everybody.
func FromContext(ctx context.Context) (Principal, error) {
	p, ok := ctx.Value(principalKey{}).(Principal)
	if !ok {
		return Principal{}, unauthenticated(errors.New("no principal in the context"))
	}
	return p, nil
}

// unauthenticated is the one answer to whatever is wrong with a token: the
// caller learns nothing, the cause is kept for tests and logs.
func unauthenticated(cause error) error {
	return &domain.Error{Code: domain.CodeUnauthenticated, Detail: "The request carries no valid bearer token.", Err: cause}
}
