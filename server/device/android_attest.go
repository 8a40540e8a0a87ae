package device

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"

	"rollcall/certs"
	"rollcall/protocol"
	"rollcall/protocol/android"
)

// An Attestation says what is made of the attestation of the key that an Android device enrols with (android.md, section 9).
type Attestation struct {
	Require bool                // who has none that holds does not enrol; else the journal tells what they say
	Roots   []*x509.Certificate // where their chains must end: Google's roots, and a lab's own in a lab alone
	Revoked certs.Revoked
}

// attested looks at the attestation of m, which came with token, and returns the hash of the key that it is about: the only one that gets
// a certificate; zero: any key does. A repeat was looked at before.
func (h *Handler) attested(ctx context.Context, now protocol.Time, token, device string, m *android.EnrollRequest, repeat bool) (key [32]byte, err error) {
	wants := h.cfg.Android.Attestation
	if wants == nil || repeat {
		return key, nil
	}
	a, no := wants.verify(token, m, now)
	if no != nil {
		if wants.Require {
			return key, no
		}
		return key, h.cfg.Server.Attested(ctx, now, device, "no attestation that holds: "+no.detail)
	}
	public, err := x509.MarshalPKIXPublicKey(a.Key)
	if err != nil {
		return key, fmt.Errorf("attestation: %w: %w", protocol.ErrMalformed, err)
	}
	boot, locked := a.Boot, "unlocked"
	switch {
	case a.Locked:
		locked = "locked"
	case boot == "": // nothing of a root of trust is there
		locked = "not told"
	}
	if boot == "" {
		boot = "not told"
	}
	detail := fmt.Sprintf("its key is kept by a %s; boot %s, boot loader %s", a.Level, boot, locked)
	return sha256.Sum256(public), h.cfg.Server.Attested(ctx, now, device, detail)
}

func (w *Attestation) verify(token string, m *android.EnrollRequest, now protocol.Time) (*certs.Attestation, *notHere) {
	refuse := func(reason, detail string) (*certs.Attestation, *notHere) {
		return nil, &notHere{code: 403, reason: reason, detail: detail, rule: "AND-084"}
	}
	if m.Attestation == nil || len(m.Attestation.Chain) == 0 {
		return refuse(android.AttestationMissing, "the device brings no attestation of its key")
	}
	var chain [][]byte
	for _, text := range m.Attestation.Chain {
		der, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return refuse(android.AttestationMalformed, "the attestation is not base64")
		}
		chain = append(chain, der)
	}
	challenge := sha256.Sum256([]byte(token))
	a, err := certs.VerifyAttestation(chain, w.Roots, w.Revoked, challenge[:], now.Time())
	switch {
	case err == nil:
		return a, nil
	case errors.Is(err, certs.ErrForeign):
		return refuse(android.AttestationForeign, err.Error())
	case errors.Is(err, certs.ErrRevoked):
		return refuse(android.AttestationRevoked, err.Error())
	case errors.Is(err, certs.ErrChallenge):
		return refuse(android.AttestationChallenge, err.Error())
	case errors.Is(err, certs.ErrSoftware):
		return refuse(android.AttestationLevel, err.Error())
	}
	return refuse(android.AttestationMalformed, err.Error())
}
