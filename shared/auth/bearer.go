package auth

import (
	"errors"
	"net/http"
	"strings"

	"github.com/dlai-sd/plant/shared/web"
)

// Authenticate returns who sent a request (RFC 6750 §2.1). Without exactly one
// valid bearer token it is a domain.Error with domain.CodeUnauthenticated.
func (v *Verifier) Authenticate(r *http.Request) (Principal, error) {
	token, err := bearerToken(r)
	if err != nil {
		return Principal{}, unauthenticated(err)
	}
	return v.Verify(token)
}

// Bearer serves next with the caller in the context (see FromContext), and
// answers 401 to whoever brings no valid token.
func Bearer(v *Verifier, next http.Handler) http.Handler {
	return BearerNoting(v, func(*http.Request, Principal) {}, next)
}

// BearerNoting is Bearer that tells expired of everybody who brings a token that
// was ours and is over; the answer is 401 all the same.
func BearerNoting(v *Verifier, expired func(*http.Request, Principal), next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, err := v.Authenticate(r)
		var over *ExpiredError
		if errors.As(err, &over) {
			expired(r, over.Principal)
		}
		if err != nil {
			web.Fail(w, r, err)
			return
		}
		next.ServeHTTP(w, r.WithContext(NewContext(r.Context(), p)))
	})
}

func bearerToken(r *http.Request) (string, error) {
	values := r.Header.Values("Authorization")
	if len(values) != 1 {
		return "", errors.New("there is not exactly one Authorization header")
	}
	scheme, token, ok := strings.Cut(values[0], " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") || token == "" {
		return "", errors.New("the Authorization header is not a bearer token")
	}
	return token, nil
}
