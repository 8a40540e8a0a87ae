package device

import (
	"errors"
	"fmt"
	"time"

	"rollcall/certs"
	"rollcall/protocol"
	"rollcall/protocol/windows"
	"rollcall/server"
	identities "rollcall/server/renewal"
	"rollcall/server/store"
)

// renewGrace is how much sooner than its window a device may renew, whose clock is ahead.
const renewGrace = day

// renew gives the device that a certificate belongs to its next one. Everything is checked before anything is issued, and both
// certificates count until the new one is used (WIN-063, WIN-065).
func (h *Handler) renew(in *inquiry, rst *windows.RequestSecurityToken) (*windows.Provisioning, error) {
	refuse := func(rule protocol.Rule, err error) error {
		return &enrolFault{subcode: windows.SubcodeCertificateRequest, kind: windows.ErrorNotEligibleToRenew, rule: rule, err: err}
	}
	p, err := h.identify(in.Request, nil, in.now)
	if who, ok := errors.AsType[*stranger](err); ok {
		return nil, refuse(who.rule, err)
	}
	if err != nil {
		return nil, err
	}
	in.who = "the device " + p.id
	signed, err := certs.VerifyAttached(rst.Token, certs.Policy{})
	switch {
	case err != nil:
		return nil, refuse("HST-035", err)
	case p.leaf == nil || !signed.Signer.Equal(p.leaf):
		return nil, refuse("HST-035", errors.New("the renewal is signed by another certificate than the connection's"))
	}
	key, err := certs.CheckCSRKey(signed.Content, certs.Policy{})
	if err != nil {
		return nil, refuse("WIN-012", err)
	}
	set, now := &h.cfg.Server.World().Settings, in.now
	due, err := identities.DueAt(protocol.At(p.leaf.NotBefore), protocol.At(p.leaf.NotAfter), set.Window)
	if opens := due.Time().Add(-min(renewGrace, windowOf(set)/10)); err == nil && now.Time().Before(opens) {
		return nil, refuse(protocol.RuleRenewal, fmt.Errorf("the certificate renews from %s on", opens.UTC().Format(time.DateOnly)))
	}
	cert, err := h.certificate(now, signed.Content, key, func(c server.Claim) ([]byte, error) {
		return h.cfg.Server.Reissue(in.Context(), now, p.cred.Fingerprint, c)
	}, func(*store.Grant) string { return p.leaf.Subject.CommonName })
	if err != nil {
		if rule := issueRule(err); rule != "" {
			return nil, refuse(rule, err)
		}
		if errors.Is(err, server.ErrUnused) {
			return nil, refusalOf("device", time.Hour)
		}
		return nil, err
	}
	place := windows.StoreUser
	if record, err := h.cfg.Server.Store().Record(in.Context(), p.cred.Device); err == nil && enrolledAs(&record.Facts) == windows.EnrollmentDevice {
		place = windows.StoreSystem
	}
	return &windows.Provisioning{Client: cert.Raw, Store: place, Application: windows.Application{ProviderID: ProviderID}}, nil
}
