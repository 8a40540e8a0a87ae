package device

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"

	"rollcall/certs"
	"rollcall/certs/scep"
	"rollcall/protocol"
	"rollcall/server"
	identities "rollcall/server/renewal"
	"rollcall/server/store"
)

// scep returns the SCEP service: package certs/scep speaks, the server decides by the challenge.
func (h *Handler) scep() http.Handler {
	return &scep.Server{
		CA: h.ca, Policy: certs.Policy{Legacy: h.cfg.LegacySCEP}, Now: h.cfg.Now, Issue: h.issue,
		Refused: h.noCertificate,
	}
}

// noCertificate logs why a request got no certificate; a refusal by rule stands in the journal, with whose challenge it had.
func (h *Handler) noCertificate(ctx context.Context, err error) {
	rule := issueRule(err)
	no, failed := errors.AsType[*scep.Failure](err)
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		rule = "HST-001"
	} else if errors.Is(err, certs.ErrMalformed) {
		rule = "HST-002"
	} else if errors.Is(err, errAgain) || errors.Is(err, server.ErrUnused) {
		rule = "HST-045"
	} else if rule == "" && failed {
		if rule = "HST-038"; no.Info == scep.BadAlg || no.Info == scep.BadMessageCheck {
			rule = "HST-036"
		}
	}
	h.cfg.Log.WithError(err).WithField("rule", rule).Warn("no certificate")
	if rule == "" {
		return // a failure of ours
	}
	who, reason := "", err.Error()
	if c, ok := errors.AsType[*server.Claimed](err); ok {
		who, reason = h.claimant(&c.Grant), c.Error()
	}
	from, _ := ctx.Value(fromKey{}).(string)
	h.turnAway(ctx, server.Turned{Who: who, Address: from, Certificate: true}, &protocol.Refusal{Rule: rule, Reason: reason})
}

// claimant says whose challenge it is, for people.
func (h *Handler) claimant(g *store.Grant) string {
	switch {
	case g.ID != "":
		return "the device " + g.ID
	case g.Serial != "":
		return "the device with serial number " + g.Serial
	case g.User == 0:
		return "a device without a user"
	}
	return "a device of " + h.nameOf(g.User)
}

// fromKey is whence a request for a certificate came, in its context.
type fromKey struct{}

// issue answers one request for a certificate. Why it is refused is in the log; the other side hears
// badRequest for every reason (APL-007).
func (h *Handler) issue(ctx context.Context, r *scep.Request) (*x509.Certificate, error) {
	if r.Type == scep.CertPoll { // nothing of ours is ever pending
		return nil, &scep.Failure{Info: scep.BadCertID, Text: "no such request"}
	}
	public, err := x509.MarshalPKIXPublicKey(r.CSR.PublicKey)
	if err != nil {
		return nil, &scep.Failure{Info: scep.BadRequest, Text: "key of an unknown kind"}
	}
	if h.rates.token(r.Challenge) > 0 {
		return nil, errAgain
	}
	now := protocol.At(r.Now)
	var made *x509.Certificate
	claim := server.Claim{
		Challenge: r.Challenge, Transaction: r.TransactionID, Request: r.CSRHash, Key: sha256.Sum256(public),
		Make: func(g *store.Grant) ([]byte, protocol.Time, protocol.Time, error) {
			if err := h.androidSCEP(r, g, now); err != nil {
				return nil, 0, 0, err
			}
			cert, err := h.ca.Issue(certs.IssueRequest{
				Public: r.CSR.PublicKey, Handle: h.cfg.Server.Subject(g), Unit: server.AndroidUnit(g), Now: now.Time(), Lifetime: h.cfg.Server.World().Settings.Lifetime,
			})
			if err != nil {
				return nil, 0, 0, err
			}
			made = cert
			return cert.Raw, protocol.At(cert.NotBefore), protocol.At(cert.NotAfter), nil
		},
	}
	var der []byte
	if r.Type == scep.RenewalReq {
		der, err = h.cfg.Server.Reissue(ctx, now, sha256.Sum256(r.Signer.Raw), claim)
	} else {
		der, err = h.cfg.Server.Issue(ctx, now, claim)
	}
	if err == nil && made != nil && bytes.Equal(made.Raw, der) {
		return made, nil
	}
	if err == nil { // a repeat, or a commit that was tried twice
		return x509.ParseCertificate(der)
	}
	if issueRule(err) == "" {
		return nil, err // a failure of ours: the device may come again
	}
	return nil, fmt.Errorf("%w: %w", &scep.Failure{Info: scep.BadRequest, Text: "not entitled to a certificate"}, err)
}

// androidSCEP refuses an Android device what EST refuses it too: a certificate by the challenge of another, and a renewal before it is
// time (AND-081).
func (h *Handler) androidSCEP(r *scep.Request, g *store.Grant, now protocol.Time) error {
	switch {
	case g.Platform != protocol.Android:
		return nil
	case r.Type != scep.RenewalReq:
		if g.ID == "" || r.CSR.Subject.CommonName != g.ID {
			return server.ErrChallenge
		}
		return nil
	}
	due, err := identities.DueAt(protocol.At(r.Signer.NotBefore), protocol.At(r.Signer.NotAfter), h.cfg.Server.World().Settings.Window)
	if err == nil && now < due {
		return errTooEarly
	}
	return nil
}

// issueRule names the rule behind a refusal; empty: err is none of these.
func issueRule(err error) protocol.Rule {
	if no, ok := errors.AsType[*protocol.Refusal](err); ok {
		return no.Rule
	}
	for _, known := range []struct {
		err  error
		rule protocol.Rule
	}{
		{server.ErrChallenge, "HST-037"},
		{server.ErrSpent, "HST-037"},
		{server.ErrExpired, "HST-037"},
		{server.ErrKeyReused, "HST-040"},
		{server.ErrAttested, "AND-084"},
		{server.ErrPresent, protocol.RuleNotRenewed},
		{errTooEarly, "AND-081"},
	} {
		if errors.Is(err, known.err) {
			return known.rule
		}
	}
	return ""
}
