package auth

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-json-experiment/json"
	"golang.org/x/time/rate"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/web"
)

const (
	fetchTimeout = 5 * time.Second // for the issuer's configuration or keys
	fetchBytes   = 1 << 20
	fetchEvery   = 5 * time.Second // an unknown kid makes a fetch, and anybody can invent one
	fetchBurst   = 4
	maxServiceID = time.Hour + maxSkew // how long a service's token may live
)

// OIDCConfig says whose calls are taken. Client nil means one with sane limits,
// Now nil means time.Now.
type OIDCConfig struct {
	Issuer   string   // https, or http to this machine
	Audience string   // what the subscription or job was given
	Emails   []string // the service accounts that may call
	Client   *http.Client
	Now      func() time.Time
}

// OIDC judges the OpenID Connect tokens with which Pub/Sub and Cloud Scheduler
// authenticate their calls. The issuer's keys are fetched at the first call and
// kept; a fetch that fails is tried again at the next.
type OIDC struct {
	cfg OIDCConfig

	mu       sync.Mutex
	verifier *oidc.IDTokenVerifier
}

// NewOIDC checks the configuration. It does not touch the network.
func NewOIDC(cfg OIDCConfig) (*OIDC, error) {
	u, err := url.Parse(cfg.Issuer)
	if err != nil || u.Host == "" || u.Scheme != "https" && (u.Scheme != "http" || !slices.Contains([]string{"127.0.0.1", "::1", "localhost"}, u.Hostname())) {
		return nil, errors.New("OIDC: the issuer must be an https URL, or http to this machine")
	}
	if cfg.Audience == "" || len(cfg.Emails) == 0 || slices.Contains(cfg.Emails, "") {
		return nil, errors.New("OIDC: an audience and at least one service account's e-mail must be set")
	}
	base := http.DefaultTransport
	if cfg.Client != nil && cfg.Client.Transport != nil {
		base = cfg.Client.Transport
	}
	cfg.Client = &http.Client{Timeout: fetchTimeout, Transport: &bounded{
		base: base, limit: rate.NewLimiter(rate.Every(fetchEvery), fetchBurst),
	}}
	return &OIDC{cfg: cfg}, nil
}

// Authenticate reports whether a request comes from one of the service
// accounts. What is wrong with its token is domain.CodeUnauthenticated; an
// issuer that cannot be reached is domain.CodeUnavailable.
func (o *OIDC) Authenticate(r *http.Request) error {
	raw, err := bearerToken(r)
	if err != nil {
		return unauthenticated(err)
	}
	if len(raw) > maxToken {
		return unauthenticated(errors.New("the token is longer than 8 KiB"))
	}
	ctx, cancel := context.WithTimeout(r.Context(), 2*fetchTimeout)
	defer cancel()
	verifier, err := o.discovered(ctx)
	if err != nil {
		return &domain.Error{Code: domain.CodeUnavailable, Detail: "The token's issuer cannot be reached; try again.", Err: err}
	}
	token, err := verifier.Verify(ctx, raw)
	if err != nil {
		return unauthenticated(err)
	}
	return o.judge(token)
}

// Require serves next only to the service accounts.
func (o *OIDC) Require(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := o.Authenticate(r); err != nil {
			web.Fail(w, r, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// Either serves next to principals and to the service accounts. Which of the two a
// token claims to be only says who judges it: a principal's names our own type
// (RFC 8725 §3.11), and both judges insist on all else.
func Either(v *Verifier, o *OIDC, next http.Handler) http.Handler {
	principal, service := Bearer(v, next), o.Require(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, err := bearerToken(r)
		if err != nil || len(token) > maxToken || claimsOurType(token) {
			principal.ServeHTTP(w, r)
			return
		}
		service.ServeHTTP(w, r)
	})
}

func claimsOurType(token string) bool {
	first, _, _ := strings.Cut(token, ".")
	header, err := base64.RawURLEncoding.DecodeString(first)
	var h struct {
		Type string `json:"typ"`
	}
	return err == nil && json.Unmarshal(header, &h) == nil && h.Type == tokenType
}

// judge checks what the library leaves to its user.
func (o *OIDC) judge(token *oidc.IDToken) error {
	var c struct {
		Email         string `json:"email"`
		EmailVerified bool   `json:"email_verified"`
	}
	if err := token.Claims(&c); err != nil {
		return unauthenticated(err)
	}
	switch {
	case !c.EmailVerified || !slices.Contains(o.cfg.Emails, c.Email):
		return unauthenticated(errors.New("the token is not one of the expected service accounts'"))
	case token.Subject == "":
		return unauthenticated(errors.New("sub is missing"))
	case token.IssuedAt.After(now(o.cfg.Now).Add(maxSkew)):
		return unauthenticated(errors.New("iat is in the future"))
	case token.Expiry.Sub(token.IssuedAt) > maxServiceID: // a missing iat is long ago
		return unauthenticated(errors.New("iat is missing, or the token lives too long"))
	}
	return nil
}

// discovered returns the verifier, fetching the issuer's configuration if that
// has not succeeded yet. Callers wait for one fetch rather than make many.
func (o *OIDC) discovered(ctx context.Context) (*oidc.IDTokenVerifier, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.verifier != nil {
		return o.verifier, nil
	}
	ctx = oidc.ClientContext(ctx, o.cfg.Client)
	provider, err := oidc.NewProvider(ctx, o.cfg.Issuer)
	if err != nil {
		return nil, fmt.Errorf("discover OIDC issuer: %w", err)
	}
	o.verifier = provider.VerifierContext(ctx, &oidc.Config{
		ClientID: o.cfg.Audience, SupportedSigningAlgs: []string{oidc.RS256}, Now: o.cfg.Now,
	})
	return o.verifier, nil
}

// bounded is a transport that limits how often it fetches and how much it reads.
type bounded struct {
	base  http.RoundTripper
	limit *rate.Limiter
}

func (b *bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	if !b.limit.Allow() {
		return nil, errors.New("OIDC: the issuer was asked too often; not now")
	}
	resp, err := b.base.RoundTrip(r)
	if err != nil {
		return nil, fmt.Errorf("OIDC: %w", err)
	}
	resp.Body = http.MaxBytesReader(nil, resp.Body, fetchBytes)
	return resp, nil
}
