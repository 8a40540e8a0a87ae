package device

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"

	"github.com/sirupsen/logrus"

	"rollcall/certs"
	"rollcall/protocol"
	"rollcall/server"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

// A stranger says why an identity is refused. The device hears a plain 400, or a TLS alert at the handshake.
type stranger struct {
	rule   protocol.Rule
	reason string
}

func (e *stranger) Error() string { return e.reason }

var (
	errNoIdentity = &stranger{"HST-030", "neither client certificate nor signature"}
	errForeign    = &stranger{"HST-030", "certificate was not issued by this server"}
	errNotYet     = &stranger{"HST-031", "certificate is not valid yet"}
	errRevoked    = &stranger{"HST-032", "certificate is revoked or was replaced"}
	errExpired    = &stranger{protocol.RuleNotRenewed, "certificate has expired"}
	errUnbound    = &stranger{"HST-033", "certificate is not bound to a device"}
	errForgotten  = &stranger{protocol.RuleRestored, "certificate was issued after the backup that this server was restored from"}
	errNew        = &stranger{"HST-033", "certificate of a laboratory's, not seen before"}
	errOther      = &stranger{"HST-033", "message names another device than the certificate"}
	errSignature  = &stranger{"HST-035", "signature does not verify"}
)

// A peer is what is known of the other end of one connection. HTTP/1.1 has one request at a time on it, so
// it needs no lock.
type peer struct {
	leaf  *x509.Certificate   // whose credential this is; nil: none yet
	cred  delivery.Credential // bound to a device
	id    string              // what the wire calls that device
	round uint16              // of the conversation at the command endpoint
	once  bool                // an Android device has said a round that changed nothing

	steady *steadyRound // of an Android device, after two rounds that changed nothing; nil: none

	forgotten *x509.Certificate // a living one of ours that the store does not know (HST-101)
}

type (
	peerKey struct{}
	connKey struct{}
)

// connContext gives a new connection its peer, and says which one it is.
func connContext(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(context.WithValue(ctx, connKey{}, keptOf(c)), peerKey{}, new(peer))
}

// connOf returns the connection of r; nil: no Admission keeps it.
func connOf(r *http.Request) *conn {
	c, _ := r.Context().Value(connKey{}).(*conn)
	return c
}

// presents tells whether r brings anything that could identify it.
func (h *Handler) presents(r *http.Request) bool {
	return certified(r) || h.signature(r) != ""
}

// certified tells whether r comes with a certificate whose key the other side was seen to have, before its body is read.
func certified(r *http.Request) bool {
	return r.TLS != nil && len(r.TLS.PeerCertificates) > 0 || len(passedOn(r)) > 0
}

// signature is the Mdm-Signature of r; empty: there is none, or nobody asked for one.
func (h *Handler) signature(r *http.Request) string {
	if !h.cfg.SignMessage {
		return ""
	}
	return r.Header.Get("Mdm-Signature")
}

// identify finds out whose request of now this is: from the certificate of the TLS connection, from that which a trusted proxy passes
// on or, as a setting, from the signature over body. The error wraps one of those above, or is the store's; beside errRevoked there
// is whose identity it was, where that is known.
func (h *Handler) identify(r *http.Request, body []byte, now protocol.Time) (*peer, error) {
	p, _ := r.Context().Value(peerKey{}).(*peer)
	if p == nil {
		p = new(peer)
	}
	var leaf *x509.Certificate
	if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
		leaf = r.TLS.PeerCertificates[0]
	}
	switch seen, err := h.proxied(r, now); {
	case err != nil:
		return nil, err
	case seen == nil:
	case leaf != nil && !leaf.Equal(seen):
		return nil, fmt.Errorf("%w: and the connection has another one of ours", errHeader)
	default:
		p, leaf = new(peer), seen // the connection is the proxy's, for many devices
	}
	if header := h.signature(r); header != "" {
		signer, err := h.verifySignature(header, body, now)
		if err != nil {
			return nil, err
		}
		if leaf != nil && !leaf.Equal(signer) {
			return nil, fmt.Errorf("%w: signed by another identity than the connection's", errSignature)
		}
		if leaf = signer; p.leaf != nil && p.leaf.Equal(signer) {
			leaf = p.leaf
		}
	}
	if leaf == nil {
		return nil, errNoIdentity
	}
	if p.leaf != leaf {
		cred, err := h.credential(r.Context(), leaf)
		if errors.Is(err, errNew) {
			cred, err = h.adopt(r.Context(), now, leaf)
		}
		*p = peer{cred: cred}
		if errors.Is(err, errForgotten) { // the message will say whose it is
			p.forgotten, err = leaf, nil
		}
		if err != nil && !errors.Is(err, errRevoked) {
			return nil, err
		}
		if cred.Device != 0 { // an unbound one is looked up again: its enrolment may go on on another connection
			record, err := h.cfg.Server.Store().Record(r.Context(), cred.Device)
			if errors.Is(err, store.ErrNotFound) {
				return nil, errUnbound // the record was removed (AUTH-43)
			}
			if err != nil {
				return nil, err
			}
			p.leaf, p.id = leaf, record.ID
		}
		// Whose it is, never changes from now on; whether it still counts, may with every message on any connection.
	} else if cred, err := h.cfg.Server.Credential(r.Context(), p.cred.Fingerprint); err != nil {
		return nil, err
	} else {
		p.cred = cred
	}
	switch {
	case p.cred.Revoked: // perhaps since this connection began
		return p, errRevoked
	case now > p.cred.NotAfter:
		return nil, errExpired // inside a session: refused at the next request (HST-031)
	}
	return p, nil
}

// verifySignature checks an Mdm-Signature over the bytes received and returns its signer's certificate.
func (h *Handler) verifySignature(header string, body []byte, now protocol.Time) (*x509.Certificate, error) {
	sig, err := base64.StdEncoding.DecodeString(header)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errSignature, err)
	}
	policy := certs.Policy{Legacy: h.cfg.LegacySignature}
	signer, err := certs.VerifyDetached(sig, body, h.ca, now.Time(), policy)
	for _, ca := range h.lab {
		if errors.Is(err, certs.ErrForeign) {
			signer, err = certs.VerifyDetached(sig, body, ca, now.Time(), policy)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errSignature, err)
	}
	return signer, nil
}

// credential returns what the store knows of a certificate that was verified before.
func (h *Handler) credential(ctx context.Context, leaf *x509.Certificate) (delivery.Credential, error) {
	cred, err := h.cfg.Server.Credential(ctx, sha256.Sum256(leaf.Raw))
	switch {
	case errors.Is(err, store.ErrNotFound) && h.cfg.Server.Forgets(protocol.At(leaf.NotBefore)) && !h.fromLab(leaf):
		return delivery.Credential{Identity: delivery.Identity{
			Fingerprint: sha256.Sum256(leaf.Raw), NotBefore: protocol.At(leaf.NotBefore), NotAfter: protocol.At(leaf.NotAfter),
		}}, errForgotten
	case errors.Is(err, store.ErrNotFound) && h.fromLab(leaf):
		return cred, errNew
	case errors.Is(err, store.ErrNotFound):
		return cred, errForeign
	case err != nil:
		return cred, err
	case cred.Revoked:
		return cred, errRevoked
	}
	return cred, nil
}

// TLSConfig returns the configuration of a listener for devices; the caller says which certificate it presents. Client
// certificates are asked for, not demanded, since SCEP and enrolment do without; one that is presented must be a living
// identity of ours, at each handshake, resumed ones too (HST-025, 030 to 032), or that of a device which may still say farewell.
// Times follow the handler's clock.
func (h *Handler) TLSConfig() *tls.Config {
	known := x509.NewCertPool()
	known.AddCert(h.ca.Certificate())
	for _, ca := range h.lab {
		known.AddCert(ca.Certificate())
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		// Suites of TLS 1.2 with forward secrecy and authenticated encryption; those of TLS 1.3 are not configurable.
		CipherSuites: []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
		// Go orders them itself: a client that offers the hybrid gets it, one that offers X25519 alone gets that.
		CurvePreferences: []tls.CurveID{tls.X25519, tls.X25519MLKEM768, tls.CurveP256, tls.CurveP384},
		NextProtos:       []string{"http/1.1"},
		ClientAuth:       tls.RequestClientCert,
		ClientCAs:        known, // a hint which certificate to present
		VerifyConnection: h.verifyConnection,
		Time:             h.cfg.Now,
	}
}

// verifyConnection is called at every handshake. Its error ends the handshake with an alert.
func (h *Handler) verifyConnection(cs tls.ConnectionState) error {
	if len(cs.PeerCertificates) == 0 {
		h.shaken(cs, "")
		return nil
	}
	leaf, now := cs.PeerCertificates[0], h.now()
	err := h.trusted(leaf, now)
	if err == nil {
		var cred delivery.Credential
		cred, err = h.credential(context.Background(), leaf)
		switch {
		case errors.Is(err, errForgotten), errors.Is(err, errNew):
			err = nil // told, recalled or adopted at the first message
		case errors.Is(err, errRevoked) && now < cred.Farewell:
			err = nil // for a farewell: identify says no to all else
		}
	}
	if err == nil {
		h.shaken(cs, "")
		return nil
	}
	fields := logrus.Fields{"certificate": leaf.SerialNumber.Text(16), "not_before": leaf.NotBefore.UTC(), "not_after": leaf.NotAfter.UTC()}
	no, ok := errors.AsType[*stranger](err)
	if ok {
		fields["rule"] = no.rule
		h.shaken(cs, no.rule)
	}
	h.cfg.Log.WithError(err).WithFields(fields).Warn("handshake refused")
	return err
}

// recall has the server know a certificate again that it issued and forgot, where it was issued for the device that the
// message names (HST-101).
func (h *Handler) recall(ctx context.Context, now protocol.Time, p *peer, id string) error {
	leaf := p.forgotten
	if !validID(id) {
		return errUnbound
	}
	public, err := x509.MarshalPKIXPublicKey(leaf.PublicKey)
	if err != nil {
		return errForeign
	}
	cred, err := h.cfg.Server.Recall(ctx, now, &server.Forgotten{
		Identity: p.cred.Identity, Subject: leaf.Subject.CommonName, Unit: strings.Join(leaf.Subject.OrganizationalUnit, "+"),
		Key: sha256.Sum256(public), Certificate: leaf.Raw,
	}, id)
	if err == nil {
		*p = peer{leaf: leaf, cred: cred, id: id}
	}
	return err
}

// fromLab tells whether leaf, whose signature was checked before, is of a laboratory's authority.
func (h *Handler) fromLab(leaf *x509.Certificate) bool {
	for _, ca := range h.lab {
		if string(leaf.RawIssuer) == string(ca.Certificate().RawSubject) {
			return true
		}
	}
	return false
}

// adopt has the server know a laboratory's certificate, for the device that it is made out to.
func (h *Handler) adopt(ctx context.Context, now protocol.Time, leaf *x509.Certificate) (delivery.Credential, error) {
	id := leaf.Subject.CommonName
	if !validID(id) {
		return delivery.Credential{}, fmt.Errorf("%w: its common name is no device's", errUnbound)
	}
	public, err := x509.MarshalPKIXPublicKey(leaf.PublicKey)
	if err == nil {
		err = certs.CheckPublicKey(leaf.PublicKey)
	}
	if err != nil {
		return delivery.Credential{}, fmt.Errorf("%w: %w", errForeign, err)
	}
	i := delivery.Identity{Fingerprint: sha256.Sum256(leaf.Raw), NotBefore: protocol.At(leaf.NotBefore), NotAfter: protocol.At(leaf.NotAfter)}
	cred, err := h.cfg.Server.Adopt(ctx, now, i, leaf.Raw, sha256.Sum256(public), id)
	if errors.Is(err, server.ErrKeyReused) {
		err = fmt.Errorf("%w: %w", errForeign, err)
	}
	return cred, err
}

// trusted tells why leaf is no identity of ours, or of a laboratory's, that is valid at now. One that the store knows by the hash of
// all its bytes is what we signed, or was checked when it was adopted; only of others the signature has to be checked, which costs
// a quarter of a full handshake.
func (h *Handler) trusted(leaf *x509.Certificate, now protocol.Time) error {
	check := (*certs.Authority).Verify
	if _, err := h.cfg.Server.Credential(context.Background(), sha256.Sum256(leaf.Raw)); err == nil {
		check = (*certs.Authority).Usable
	}
	err := check(h.ca, leaf, now.Time())
	for _, ca := range h.lab {
		if errors.Is(err, certs.ErrForeign) {
			err = check(ca, leaf, now.Time())
		}
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, certs.ErrExpired):
		return errExpired
	case errors.Is(err, certs.ErrNotYetValid):
		return errNotYet
	}
	return fmt.Errorf("%w: %w", errForeign, err)
}
