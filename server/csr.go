package server

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"

	"rollcall/protocol"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

// pushKeyBits is what Apple's portal takes.
const pushKeyBits = 2048

// pendingKey is the name under which the key of a slot's certificate request is kept.
func pendingKey(slot protocol.Authority) string { return "push key " + slot.String() }

// PushCSR makes a key for the push certificate of an authority's slot and returns a certificate request for it, PEM. The
// key stays in the store until UploadPush brings a certificate for it, without a key of its own and whatever the authority is by
// then; asking again for the same slot makes another one, and the one before is forgotten. Needs the consent for Apple's push certificate (AUTH-05).
func (s *Server) PushCSR(ctx context.Context, now protocol.Time, who Actor, slot protocol.Authority) (csr []byte, err error) {
	s.admin.Lock()
	defer s.admin.Unlock()
	err = s.attempt(ctx, now, who, "certificate request", who.administers(), func(ctx context.Context) error {
		if slot == protocol.Unknown {
			return refuse(protocol.RuleUnset, "no authority is set yet, so there is no slot for a push certificate")
		}
		if err := s.needsConsent(ConsentPush); err != nil {
			return err
		}
		key, err := rsa.GenerateKey(rand.Reader, pushKeyBits)
		if err != nil {
			return err
		}
		der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "MDM push " + slot.String()}}, key)
		if err != nil {
			return err
		}
		kept, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return err
		}
		csr = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
		return s.change(ctx, now, &store.Change{
			Secrets: map[string][]byte{pendingKey(slot): pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: kept})},
			Lines:   line(delivery.WhatTenant, protocol.RuleUpload, "certificate request for the slot of "+slot.String()),
		})
	})
	return csr, err
}
