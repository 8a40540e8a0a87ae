package device

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"rollcall/protocol"
	"rollcall/protocol/windows"
	"rollcall/server"
	"rollcall/server/authority"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

// The Timestamp of a signed request: how long it may be good for, and how far a device's clock may be off.
const (
	longestSigned = time.Hour
	clockSkew     = 5 * time.Minute
)

// A packaged is a provisioning package as an applicant has it.
type packaged struct {
	certificate delivery.Fingerprint
	challenge   string       // of the one certificate that the request gets
	place       func() error // takes the machine's place in the package
}

// bootstrap believes a request that the key of a package's certificate signed, for a device without a user (WIN-067). The signature was
// verified as the request was read; whose certificate it is, and whether the request is of now, is looked at here.
func (h *Handler) bootstrap(in *inquiry) (*applicant, error) {
	head := &in.envelope.Header
	deny := func(rule protocol.Rule, err error) error {
		return &enrolFault{subcode: windows.SubcodeAuthentication, rule: rule, err: err}
	}
	f := sha256.Sum256(head.Credential.Token)
	p, err := h.cfg.Server.Package(in.now, f)
	if p.Name != "" {
		in.who = "a machine of package " + p.Name
	}
	if err != nil {
		return nil, deny("WIN-067", err)
	}
	switch now := in.now.Time(); {
	case now.Add(clockSkew).Before(head.Created), !now.Add(-clockSkew).Before(head.Expires):
		return nil, deny("HST-041", errors.New("the request's Timestamp is not of now: the device's clock is wrong, or the request is an old one"))
	case !head.Created.Before(head.Expires):
		return nil, deny("HST-041", errors.New("the request's Timestamp ends before it begins"))
	case head.Expires.Sub(head.Created) > longestSigned:
		return nil, deny("HST-041", fmt.Errorf("the request's Timestamp is good for longer than %v", longestSigned))
	}
	return &applicant{way: authority.BulkEnrolment, pack: &packaged{certificate: f}}, nil
}

// unpack enrols a machine by the package of who.
func (h *Handler) unpack(in *inquiry, rst *windows.RequestSecurityToken, who *applied) (out *windows.Provisioning, err error) {
	if who.facts.Hardware == "" { // what the package's places are counted by
		return nil, fmt.Errorf("context item %s: %w", windows.ItemHWDevID, protocol.ErrMalformed)
	}
	hash := sha256.New()
	fmt.Fprintf(hash, "%x %q ", who.pack.certificate, who.id)
	hash.Write(rst.Token)
	who.pack.challenge = hex.EncodeToString(h.account(hex.EncodeToString(hash.Sum(nil)), "package"))
	err = h.cfg.Server.Unpack(in.Context(), in.now, who.pack.certificate, who.facts.Hardware, who.id, func(place func() error) (err error) {
		who.pack.place = place
		out, err = h.enrolled(in, rst, who)
		return err
	})
	f := &enrolFault{subcode: windows.SubcodeAuthentication, rule: "WIN-067", err: err}
	switch {
	case errors.Is(err, server.ErrPackageFull):
		f.subcode, f.kind = windows.SubcodeAuthorization, windows.ErrorDeviceCapReached
	case errors.Is(err, server.ErrReplayed):
		f.rule = "HST-041"
	case !errors.Is(err, server.ErrPackage) && !errors.Is(err, server.ErrPackageRevoked) && !errors.Is(err, server.ErrPackageEnded):
		return out, err
	}
	return nil, f
}

// admitted takes who's place in its package and makes the challenge of the certificate that the request gets.
func (h *Handler) admitted(in *inquiry, who *applied) error {
	p := who.pack
	if err := h.cfg.Server.Promise(in.Context(), in.now, p.challenge, store.Grant{Purpose: delivery.ForEnrolment, Platform: protocol.Windows}); err != nil {
		return err
	}
	who.challenge = p.challenge
	return p.place()
}
