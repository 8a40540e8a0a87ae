package device

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"time"

	"rollcall/certs"
	"rollcall/certs/est"
	"rollcall/protocol"
	"rollcall/server"
	identities "rollcall/server/renewal"
	"rollcall/server/store"
)

// estPresent is the certificate of a renewal: whoever it is, it must be one that counts, at this request too.
func (h *Handler) estPresent(r *http.Request, now time.Time) (*x509.Certificate, error) {
	if !h.presents(r) {
		return nil, nil
	}
	p, err := h.identify(r, nil, protocol.At(now))
	if err == nil && p.leaf == nil {
		err = errUnbound
	}
	if err != nil {
		if _, unknown := errors.AsType[*stranger](err); unknown {
			err = fmt.Errorf("%w: %w", est.ErrRefused, err)
		}
		return nil, err
	}
	return p.leaf, nil
}

// errTooEarly is a renewal outside its window (AND-081).
var errTooEarly = errors.New("the identity is not due for renewal yet")

// estIssue answers one request for a certificate. Why it is refused is in the log and the journal; the other side hears one answer for
// every reason.
func (h *Handler) estIssue(ctx context.Context, r *est.Request) (*x509.Certificate, error) {
	public, err := x509.MarshalPKIXPublicKey(r.CSR.PublicKey)
	if err != nil {
		return nil, err
	}
	if r.Present == nil && h.rates.token(r.Password) > 0 {
		return nil, errAgain
	}
	now, core := protocol.At(r.Now), h.cfg.Server
	settings := &core.World().Settings
	var made *x509.Certificate
	claim := server.Claim{
		Challenge: r.Password, Transaction: "est", Request: r.CSRHash, Key: sha256.Sum256(public),
		Make: func(g *store.Grant) ([]byte, protocol.Time, protocol.Time, error) {
			if r.Present == nil && (g.ID == "" || g.ID != r.User || g.ID != r.CSR.Subject.CommonName) { // the challenge is another device's
				return nil, 0, 0, server.ErrChallenge
			}
			cert, err := h.ca.Issue(certs.IssueRequest{Public: r.CSR.PublicKey, Handle: g.ID, Unit: server.AndroidUnit(g), Now: now.Time(), Lifetime: settings.Lifetime})
			if err != nil {
				return nil, 0, 0, err
			}
			made = cert
			return cert.Raw, protocol.At(cert.NotBefore), protocol.At(cert.NotAfter), nil
		},
	}
	var der []byte
	if r.Present == nil {
		der, err = core.Issue(ctx, now, claim)
	} else {
		due, wrong := identities.DueAt(protocol.At(r.Present.NotBefore), protocol.At(r.Present.NotAfter), settings.Window)
		if wrong == nil && now < due {
			return nil, fmt.Errorf("%w: %w", est.ErrRefused, errTooEarly)
		}
		der, err = core.Reissue(ctx, now, sha256.Sum256(r.Present.Raw), claim)
	}
	switch {
	case err == nil && made != nil && bytes.Equal(made.Raw, der):
		return made, nil
	case err == nil: // a repeat, or a commit that was tried twice
		return x509.ParseCertificate(der)
	case issueRule(err) == "":
		return nil, err // a failure of ours: the device may come again
	}
	return nil, fmt.Errorf("%w: %w", est.ErrRefused, err)
}
