package auth

import (
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"

	"github.com/dlai-sd/plant/shared/domain"
)

// TokenTTL is how long a token lives.
const TokenTTL = 30 * time.Minute

const (
	tokenType = "plant-access+jwt" // explicit typing, RFC 8725 §3.11
	maxToken  = 8 << 10            // bytes
	maxSkew   = time.Minute
)

// claims are what a token says. The registered ones are those of RFC 7519.
type claims struct {
	jwt.RegisteredClaims
	GovernanceAgent string             `json:"governance_agent_id"`
	Name            string             `json:"name,omitempty"`
	Authorities     []domain.Authority `json:"authorities,omitempty"`
	Platform        []domain.Authority `json:"platform_authorities,omitempty"`
}

// Issuer mints tokens. TTL zero means TokenTTL, Now nil means time.Now.
type Issuer struct {
	Secrets  *Secrets
	Issuer   string
	Audience string
	TTL      time.Duration
	Now      func() time.Time
}

// Mint makes a token for p, and says until when it holds.
func (i Issuer) Mint(p Principal) (token string, expires time.Time, err error) {
	if i.Secrets == nil || i.Issuer == "" || i.Audience == "" {
		return "", time.Time{}, errors.New("mint token: secrets, issuer and audience must be set")
	}
	if err := p.Check(); err != nil {
		return "", time.Time{}, fmt.Errorf("mint token: %w", err)
	}
	ttl := i.TTL
	if ttl == 0 {
		ttl = TokenTTL
	}
	if ttl < time.Second || ttl > TokenTTL {
		return "", time.Time{}, fmt.Errorf("mint token: the lifetime must be 1 s to %s", TokenTTL)
	}
	issued := now(i.Now).Truncate(time.Second)
	expires = issued.Add(ttl)
	t := jwt.NewWithClaims(jwt.SigningMethodHS256, claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer: i.Issuer, Audience: jwt.ClaimStrings{i.Audience}, Subject: p.ID, ID: uuid.NewString(),
			IssuedAt: jwt.NewNumericDate(issued), ExpiresAt: jwt.NewNumericDate(expires),
		},
		GovernanceAgent: p.GovernanceAgent, Name: p.Name, Authorities: p.Authorities, Platform: p.Platform,
	})
	first := i.Secrets.list[0]
	t.Header["kid"], t.Header["typ"] = first.kid, tokenType
	if token, err = t.SignedString(first.key()); err != nil {
		return "", time.Time{}, fmt.Errorf("mint token: %w", err)
	}
	if len(token) > maxToken {
		return "", time.Time{}, fmt.Errorf("mint token: it would be longer than %d bytes", maxToken)
	}
	return token, expires, nil
}

// Verifier judges tokens by RFC 8725: HS256 and nothing else, a known kid, its
// own type, issuer and audience; exp, iat, iss, aud and sub present; at most
// 60 s of clock skew, 8 KiB, and TokenTTL between iat and exp.
type Verifier struct {
	secrets  *Secrets
	parser   *jwt.Parser
	parserAt func(time.Time) *jwt.Parser
}

// ExpiredError is the cause of a refusal of a token that was ours and is over:
// whoever brings it is known, and is let in nowhere.
type ExpiredError struct {
	Principal Principal
	Err       error
}

// Error describes the refusal for a log.
func (e *ExpiredError) Error() string { return "the token is over: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *ExpiredError) Unwrap() error { return e.Err }

// NewVerifier makes a Verifier. clock nil means time.Now.
func NewVerifier(secrets *Secrets, issuer, audience string, clock func() time.Time) (*Verifier, error) {
	if secrets == nil || issuer == "" || audience == "" {
		return nil, errors.New("token verifier: secrets, issuer and audience must be set")
	}
	parser := func(clock func() time.Time) *jwt.Parser {
		return jwt.NewParser(
			jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}),
			jwt.WithStrictDecoding(),
			jwt.WithIssuer(issuer), jwt.WithAudience(audience),
			jwt.WithExpirationRequired(), jwt.WithIssuedAt(),
			jwt.WithLeeway(maxSkew),
			jwt.WithTimeFunc(clock),
		)
	}
	return &Verifier{
		secrets: secrets, parser: parser(func() time.Time { return now(clock) }),
		parserAt: func(at time.Time) *jwt.Parser { return parser(func() time.Time { return at }) },
	}, nil
}

// Verify returns whom a token speaks for. Every refusal is the same
// domain.Error with domain.CodeUnauthenticated; its cause says why.
func (v *Verifier) Verify(token string) (Principal, error) {
	if len(token) > maxToken {
		return Principal{}, unauthenticated(errors.New("the token is longer than 8 KiB"))
	}
	p, err := v.judge(v.parser, token)
	if !errors.Is(err, jwt.ErrTokenExpired) {
		return p, err
	}
	// Judged as of its last moment: if nothing else is wrong, it is known whose it was.
	var c claims
	if _, _, malformed := v.parser.ParseUnverified(token, &c); malformed == nil && c.ExpiresAt != nil {
		if p, fault := v.judge(v.parserAt(c.ExpiresAt.Time), token); fault == nil {
			err = unauthenticated(&ExpiredError{Principal: p, Err: err})
		}
	}
	return Principal{}, err
}

// judge is Verify with a clock.
func (v *Verifier) judge(parser *jwt.Parser, token string) (Principal, error) {
	var c claims
	if _, err := parser.ParseWithClaims(token, &c, v.keyFor); err != nil {
		return Principal{}, unauthenticated(err)
	}
	if c.IssuedAt == nil {
		return Principal{}, unauthenticated(errors.New("iat is missing"))
	}
	if life := c.ExpiresAt.Sub(c.IssuedAt.Time); life <= 0 || life > TokenTTL {
		return Principal{}, unauthenticated(errors.New("the token's lifetime is not one that we give"))
	}
	p := Principal{
		ID: c.Subject, GovernanceAgent: c.GovernanceAgent, Name: c.Name,
		Authorities: c.Authorities, Platform: c.Platform,
	}
	if err := p.Check(); err != nil {
		return Principal{}, unauthenticated(err)
	}
	return p, nil
}

// keyFor finds the secret that a token's header names. A header with anything
// but alg, typ and kid (jwk, jku, x5u, crit, b64 …) is refused.
func (v *Verifier) keyFor(t *jwt.Token) (any, error) {
	if typ, _ := t.Header["typ"].(string); typ != tokenType {
		return nil, errors.New("typ is not ours")
	}
	if len(t.Header) != 3 {
		return nil, errors.New("the header must hold alg, typ and kid only")
	}
	kid, _ := t.Header["kid"].(string)
	key, ok := v.secrets.find(kid)
	if !ok {
		return nil, errors.New("no key has this kid")
	}
	return key, nil
}

func now(clock func() time.Time) time.Time {
	if clock == nil {
		return time.Now()
	}
	return clock()
}
