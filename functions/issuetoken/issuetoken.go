// Package issuetoken exchanges a principal's secret for a bearer token: OAuth
// 2.0's client credentials grant (RFC 6749 §4.4).
//
//	POST /api/v1/auth/token
//	Content-Type: application/x-www-form-urlencoded
//
//	grant_type=client_credentials&client_id=acme/ci&client_secret=…
//
// The client id is "<governance agent>/<principal's name>"; id and secret stand
// in the body or in HTTP Basic (each percent-encoded, §2.3.1), never in both.
// A scope that is asked for is ignored, as are parameters that §4.4 does not
// know; the answer's scope lists what the principal may do.
//
// Errors are problem documents as everywhere; their member "error" is the code
// of RFC 6749 §5.2 where there is one. Who is unknown, disabled or without a
// secret, and who brings a wrong one, gets the same answer after the same work:
// one lookup and one bcrypt comparison.
//
// Attempts are throttled by principal and by address, per instance, whatever
// their outcome. So whoever knows a principal's name can use its attempts up;
// tokens that it holds are not touched by that.
package issuetoken

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"net/netip"
	"runtime"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/dlai-sd/plant/shared/auth"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/store"
	"github.com/dlai-sd/plant/shared/web"
)

// retryAfter is when a caller should come back that found the function busy.
const retryAfter = time.Second

// Config is what a Service works with.
type Config struct {
	DB     *store.DB   // as plant_authenticator
	Issuer auth.Issuer // of the tokens; its clock is Now

	// Compare returns nil if the hash is the secret's; nil means bcrypt's.
	Compare func(hash, secret []byte) error
	// Now is the clock of tokens and throttles; nil means time.Now.
	Now func() time.Time
}

// Service issues tokens. It is safe for concurrent use.
type Service struct {
	db         *store.DB
	issuer     auth.Issuer
	hashes     comparer
	now        func() time.Time
	principals *throttle[[sha256.Size]byte] // by the client id's hash: of one size, and nobody's name
	addresses  *throttle[netip.Prefix]
}

// nobody is what the secret of an unknown principal is compared with: of the cost
// that every hash has (auth.ClientSecretCost), and of 32 random bytes that were
// forgotten. It is no secret: who knows it can become nobody.
const nobody = "$2a$12$cdxeAo.5yyJx6VuvUaZNseKoEHl2x4tdMaTtOJ3/81.GKziAyc72."

// New makes a Service.
func New(c Config) (*Service, error) {
	if c.DB == nil {
		return nil, errors.New("issue tokens: a database is needed")
	}
	if c.Compare == nil {
		c.Compare = bcrypt.CompareHashAndPassword
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	c.Issuer.Now = c.Now
	return &Service{
		db: c.DB, issuer: c.Issuer, now: c.Now,
		hashes:     newComparer(runtime.GOMAXPROCS(0), c.Compare),
		principals: newThrottle[[sha256.Size]byte](perPrincipal()),
		addresses:  newThrottle[netip.Prefix](perAddress()),
	}, nil
}

// Handlers returns the function's operations by their id.
func Handlers(s *Service) map[string]http.Handler {
	return map[string]http.Handler{"issueToken": web.Endpoint(decode, s.issue)}
}

// token is the answer (RFC 6749 §5.1), and for whom it is.
type token struct {
	AccessToken     string `json:"access_token"`
	TokenType       string `json:"token_type"`
	ExpiresIn       int64  `json:"expires_in"` // seconds
	Scope           string `json:"scope,omitempty"`
	GovernanceAgent string `json:"governance_agent_id"`
	PrincipalID     string `json:"principal_id"`
}

// SetHeaders adds what RFC 6749 §5.1 asks for beside Cache-Control.
func (token) SetHeaders(h http.Header) { h.Set("Pragma", "no-cache") }

func (s *Service) issue(ctx context.Context, in request) (token, error) {
	if err := s.throttle(in); err != nil {
		return token{}, err
	}
	p, err := s.authenticate(ctx, in)
	if err != nil {
		return token{}, err
	}
	signed, expires, err := s.issuer.Mint(p)
	if err != nil {
		return token{}, err
	}
	return token{
		AccessToken: signed, TokenType: "Bearer", ExpiresIn: int64(expires.Sub(s.now()).Seconds()),
		Scope: p.Scope(), GovernanceAgent: p.GovernanceAgent, PrincipalID: p.ID,
	}, nil
}

// throttle counts an attempt, before it costs anything. One that its address is
// refused for does not count against the principal.
func (s *Service) throttle(in request) error {
	now := s.now()
	wait := s.addresses.take(in.address, now)
	if wait == 0 {
		wait = s.principals.take(sha256.Sum256([]byte(in.clientID)), now)
	}
	if wait == 0 {
		return nil
	}
	return web.RetryLater(web.CodeTooManyRequests, wait, nil)
}

// authenticate returns whose secret was sent. Nothing before the one comparison
// at its end depends on whether there is such a principal.
func (s *Service) authenticate(ctx context.Context, in request) (auth.Principal, error) {
	row, hash, err := s.find(ctx, in.clientID)
	if err != nil {
		return auth.Principal{}, err
	}
	mayPass := hash != "" && !row.Disabled
	if hash == "" {
		hash = nobody
	}
	same, err := s.hashes.compare(ctx, []byte(hash), in.secret)
	switch {
	case err != nil:
		return auth.Principal{}, err
	case !same || !mayPass:
		return auth.Principal{}, invalidClient("The client id or the secret is wrong, or the principal is disabled.")
	}
	return auth.Principal{
		ID: row.ID, GovernanceAgent: row.GovernanceAgent, Name: row.Name, Authorities: row.Authorities, Platform: row.Platform,
	}, nil
}

// find returns a principal and its secret's hash, which is empty if there is no
// such principal or it has no secret.
func (s *Service) find(ctx context.Context, clientID string) (store.Principal, string, error) {
	governanceAgent, name, ok := auth.ParseClientID(clientID)
	if !ok {
		return store.Principal{}, "", nil
	}
	row, hash, err := s.db.PrincipalWithSecret(ctx, governanceAgent, name)
	var busy *store.Unavailable
	switch {
	case errors.Is(err, store.ErrNotFound):
		return store.Principal{}, "", nil
	case errors.As(err, &busy):
		return store.Principal{}, "", web.RetryLater(domain.CodeUnavailable, retryAfter, err)
	}
	return row, hash, err
}
