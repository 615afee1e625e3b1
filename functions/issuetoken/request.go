package issuetoken

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/dlai-sd/plant/shared/auth"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/web"
)

// The error codes of RFC 6749 §5.2 that we answer.
const (
	invalidRequest       = "invalid_request"
	unsupportedGrantType = "unsupported_grant_type"
)

const grantType = "client_credentials"

// request is an attempt to get a token.
type request struct {
	clientID string
	secret   []byte
	address  netip.Prefix // whose attempt it is
}

// decode reads an attempt. None of what it refuses says anything about a
// principal.
func decode(r *http.Request) (request, error) {
	if r.URL.RawQuery != "" || r.URL.ForceQuery {
		return request{}, malformed("The parameters go into the body, never into the URL, which is logged on its way: if a secret stood there, rotate it.")
	}
	fields, err := web.Form(r, web.LimitForm)
	if err != nil {
		return request{}, asOAuth(err, invalidRequest)
	}
	switch fields["grant_type"] {
	case grantType:
	case "":
		return request{}, malformed("grant_type is missing: it must be %s.", grantType)
	default:
		return request{}, asOAuth(web.Refuse(domain.CodeMalformed, "grant_type must be %s.", grantType), unsupportedGrantType)
	}
	id, secret, err := credentials(r.Header.Values("Authorization"), fields)
	if err != nil {
		return request{}, err
	}
	if len(secret) > auth.MaxClientSecret {
		return request{}, secretTooLong()
	}
	return request{clientID: id, secret: []byte(secret), address: addressOf(r)}, nil
}

// credentials finds id and secret in HTTP Basic or in the body; an empty one is
// a missing one (RFC 6749 §3.1).
func credentials(authorization []string, fields map[string]string) (id, secret string, err error) {
	id, secret = fields["client_id"], fields["client_secret"]
	if len(authorization) > 0 {
		if id != "" || secret != "" {
			return "", "", malformed("Send the client id and the secret in the body or with HTTP Basic, not in both.")
		}
		id, secret = basic(authorization)
	}
	if id == "" || secret == "" {
		return "", "", invalidClient("Send client_id and client_secret in the body, or both with HTTP Basic, percent-encoded.")
	}
	return id, secret, nil
}

// basic reads HTTP Basic as RFC 6749 §2.3.1 wants it: both parts form-encoded.
// What is not that is empty.
func basic(authorization []string) (id, secret string) {
	r := http.Request{Header: http.Header{"Authorization": authorization}}
	id, secret, ok := r.BasicAuth()
	id, idErr := url.QueryUnescape(id)
	secret, secretErr := url.QueryUnescape(secret)
	if !ok || len(authorization) != 1 || idErr != nil || secretErr != nil {
		return "", ""
	}
	return id, secret
}

// addressOf says whose attempt a request is: the last entry of X-Forwarded-For,
// which Cloud Run's front end (and the local gateway) writes, whatever the
// caller put before it; without one that is an address, the connection's peer.
// Earlier entries are never believed. Behind another proxy the last entry is
// that proxy, and its callers share one allowance. An IPv6 address counts as
// its /64, which is what one subscriber has.
func addressOf(r *http.Request) netip.Prefix {
	hop := ""
	if lines := r.Header.Values("X-Forwarded-For"); len(lines) > 0 {
		hops := strings.Split(lines[len(lines)-1], ",")
		hop = strings.TrimSpace(hops[len(hops)-1])
	}
	address, err := netip.ParseAddr(hop)
	if err != nil {
		peer, _, _ := net.SplitHostPort(r.RemoteAddr)
		address, _ = netip.ParseAddr(peer) // the zero Addr is a group of its own
	}
	address = address.WithZone("").Unmap()
	bits := address.BitLen()
	if address.Is6() {
		bits = 64
	}
	return netip.PrefixFrom(address, bits).Masked()
}

func malformed(format string, args ...any) error {
	return asOAuth(web.Refuse(domain.CodeMalformed, format, args...), invalidRequest)
}

// invalidClient is the 401 of whoever was not recognised.
func invalidClient(detail string) error {
	return &web.Problem{
		Code: domain.CodeUnauthenticated, OAuth: "invalid_client", Detail: detail,
		Header: http.Header{"Www-Authenticate": {`Basic realm="plant", charset="UTF-8"`}},
	}
}

func secretTooLong() error {
	message := fmt.Sprintf("the secret is longer than the %d bytes that count", auth.MaxClientSecret)
	return &web.Problem{
		Code: domain.CodeRuleViolated, OAuth: invalidRequest, Detail: "The secret is longer than any that was ever given out.",
		Violations: []domain.Violation{{
			Rule: "FORM-LIMIT", Field: "/client_secret", Message: message,
			Remediation: "send the secret as plant principal printed it",
		}},
	}
}

// asOAuth adds RFC 6749's code to a problem.
func asOAuth(err error, code string) error {
	var p *web.Problem
	if errors.As(err, &p) {
		p.OAuth = code
	}
	return err
}
