// Package oidc is an issuer of OpenID Connect identity tokens for one machine:
// it stands where Google stands when Pub/Sub and Scheduler call the functions,
// so that these verify tokens with the same code everywhere.
package oidc

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/golang-jwt/jwt/v5"
)

// validity of a token, as Google's.
const validity = time.Hour

// Issuer serves its discovery document and public key, and signs tokens.
type Issuer struct {
	url    string
	key    *rsa.PrivateKey
	keyID  string
	now    func() time.Time
	server *http.Server
	served chan struct{}
	err    error // of Serve, once served is closed
}

// Start makes a key and serves on port of 127.0.0.1, or any free one if that
// is 0. The key ends with the issuer.
func Start(port int) (*Issuer, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, fmt.Errorf("make the local issuer's key: %w", err)
	}
	ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return nil, fmt.Errorf("start the local issuer: %w", err)
	}
	sum := sha256.Sum256(key.N.Bytes())
	i := &Issuer{
		url: "http://" + ln.Addr().String(), key: key, keyID: hex.EncodeToString(sum[:8]),
		now: time.Now, served: make(chan struct{}),
	}
	i.server = &http.Server{
		Handler: i.handler(), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 5 * time.Second,
		WriteTimeout: 5 * time.Second, IdleTimeout: time.Minute,
	}
	go func() {
		defer close(i.served)
		i.err = i.server.Serve(ln)
	}()
	return i, nil
}

// URL is the issuer's name and address, for OIDC_ISSUER.
func (i *Issuer) URL() string { return i.url }

// Stop ends the server; tokens can no longer be checked against it.
func (i *Issuer) Stop(ctx context.Context) error {
	err := i.server.Shutdown(ctx)
	<-i.served
	if !errors.Is(i.err, http.ErrServerClosed) {
		err = errors.Join(err, i.err)
	}
	if err != nil {
		return fmt.Errorf("stop the local issuer: %w", err)
	}
	return nil
}

// Claims are what a token says. Zero values of the times mean now and an hour
// later, an empty Issuer means this one.
type Claims struct {
	Issuer        string
	Audience      string
	Subject       string
	Email         string
	EmailVerified bool
	IssuedAt      time.Time
	Expires       time.Time
}

// Token is an identity token as Google mints it for a service account: the
// e-mail is verified, and the subject is a number of 21 digits.
func (i *Issuer) Token(audience, email string) (string, error) {
	return i.Mint(Claims{Audience: audience, Email: email, EmailVerified: true, Subject: subject(email)})
}

// Mint signs any claims, also ones that must be refused.
func (i *Issuer) Mint(c Claims) (string, error) {
	if c.Issuer == "" {
		c.Issuer = i.url
	}
	if c.IssuedAt.IsZero() {
		c.IssuedAt = i.now()
	}
	if c.Expires.IsZero() {
		c.Expires = c.IssuedAt.Add(validity)
	}
	token := jwt.NewWithClaims(jwt.SigningMethodRS256, jwt.MapClaims{
		"iss": c.Issuer, "aud": c.Audience, "azp": c.Subject, "sub": c.Subject, "email": c.Email,
		"email_verified": c.EmailVerified, "iat": c.IssuedAt.Unix(), "exp": c.Expires.Unix(),
	})
	token.Header["kid"] = i.keyID
	signed, err := token.SignedString(i.key)
	if err != nil {
		return "", fmt.Errorf("sign a token: %w", err)
	}
	return signed, nil
}

// subject is the same for the same account, and looks like Google's.
func subject(email string) string {
	sum := sha256.Sum256([]byte(email))
	digits := new(big.Int).SetBytes(sum[:]).Text(10)
	return "1" + digits[:20]
}

func (i *Issuer) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", serve(map[string]any{
		"issuer":                                i.url,
		"jwks_uri":                              i.url + "/certs",
		"authorization_endpoint":                i.url + "/authorize",
		"response_types_supported":              []string{"id_token"},
		"subject_types_supported":               []string{"public"},
		"id_token_signing_alg_values_supported": []string{"RS256"},
		"claims_supported":                      []string{"aud", "email", "email_verified", "exp", "iat", "iss", "sub"},
	}))
	mux.HandleFunc("GET /certs", serve(map[string]any{"keys": []map[string]string{{
		"kty": "RSA", "use": "sig", "alg": "RS256", "kid": i.keyID,
		"n": base64.RawURLEncoding.EncodeToString(i.key.N.Bytes()),
		"e": base64.RawURLEncoding.EncodeToString(big.NewInt(int64(i.key.E)).Bytes()),
	}}}))
	return mux
}

func serve(document map[string]any) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "public, max-age=60")
		_ = json.MarshalWrite(w, document, json.Deterministic(true)) // the reader is gone, or it works
	}
}
