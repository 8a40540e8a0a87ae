package device

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"

	"rollcall/protocol"
	"rollcall/protocol/windows"
	"rollcall/server/authority"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

// An applicant is who wants to enrol.
type applicant struct {
	user      delivery.UserID // 0: nobody, a device alone
	challenge string          // of an enrolment link; empty: one is granted
	directory string          // the device of the directory that a token is for; empty: it says none
	way       authority.Way
	pack      *packaged // whose certificate signed the request; nil: no package's
}

// applicant finds out who a request comes from, by its security header (WIN-014). An enrolment link's token is the password, whatever
// the policy was: it is looked at here, and used up by the certificate alone.
func (h *Handler) applicant(in *inquiry) (*applicant, error) {
	deny := func(rule protocol.Rule, format string, args ...any) error {
		return &enrolFault{subcode: windows.SubcodeAuthentication, rule: rule, err: fmt.Errorf(format, args...)}
	}
	c := &in.envelope.Header.Credential
	token := ""
	switch c.Kind {
	case windows.NoCredential:
		return nil, &enrolFault{subcode: windows.SubcodeInvalidSecurity, rule: "HST-018", err: errors.New("no credential in the security header")}
	case windows.Password:
		token = strings.TrimSpace(c.Password)
	case windows.UserToken:
		token = strings.TrimSpace(string(c.Token))
	case windows.JWT:
		return h.entra(in, string(c.Token))
	case windows.X509:
		return h.bootstrap(in)
	default:
		return nil, &enrolFault{subcode: windows.SubcodeInvalidSecurity, rule: "HST-018", err: errors.New("a security token of a kind that is not understood")}
	}
	if wait := h.rates.token(token); wait > 0 {
		return nil, refusalOf("link", wait)
	}
	ticket, err := h.cfg.Server.Ticket(in.Context(), in.now, token)
	if errors.Is(err, store.ErrNotFound) { // perhaps the answer was lost
		switch m := in.envelope.Body.(type) {
		case *windows.RequestSecurityToken:
			ticket, err = h.cfg.Server.Repeats(in.Context(), in.now, token, sha256.Sum256(m.Token), m.Item(windows.ItemDeviceID))
		case *windows.GetPolicies:
			ticket, err = h.cfg.Server.Repeats(in.Context(), in.now, token, [32]byte{}, "")
		}
	}
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, deny("HST-037", "%w", errTicket)
	case err != nil:
		return nil, err
	case ticket.Platform != protocol.NoPlatform && ticket.Platform != protocol.Windows:
		return nil, deny("HST-037", "%w", &kindError{ticket.Platform})
	}
	a := &applicant{user: ticket.User, challenge: token}
	if a.user == 0 {
		a.way = authority.BulkEnrolment
		return a, nil
	}
	in.who = "a device of " + h.nameOf(a.user)
	if c.Kind == windows.Password && !strings.EqualFold(strings.TrimSpace(c.Username), h.nameOf(a.user)) {
		return nil, deny("HST-037", "the enrolment link belongs to another user")
	}
	return a, nil
}

// entra believes a verified token of the directory: of a user, of a package, or of a device alone (WIN-067).
func (h *Handler) entra(in *inquiry, token string) (*applicant, error) {
	if h.cfg.Windows.Verify == nil {
		return nil, &enrolFault{subcode: windows.SubcodeAuthentication, rule: "HST-043", err: errors.New("tokens of Entra are not taken here")}
	}
	claims, err := h.cfg.Windows.Verify(in.Context(), in.now, token)
	if err != nil {
		return nil, &enrolFault{subcode: windows.SubcodeAuthentication, rule: "HST-043", err: fmt.Errorf("the token of Entra is refused: %w", err)}
	}
	switch {
	case claims.UPN == "" && claims.Device != "":
		in.who = "the device " + claims.Device
		return &applicant{way: authority.Autopilot, directory: claims.Device}, nil
	case strings.HasPrefix(claims.UPN, "package_"):
		return &applicant{way: authority.BulkEnrolment}, nil
	}
	user, ok := h.cfg.Server.UserByUPN(claims.UPN)
	if !ok {
		return nil, &enrolFault{subcode: windows.SubcodeAuthorization, rule: protocol.RuleGates, err: errors.New("the user of the token is not known here")}
	}
	in.who = "a device of " + user.UPN
	return &applicant{user: user.ID, way: authority.DirectoryJoin, directory: claims.Device}, nil
}

// wayOf is by which way a user's device of the directory enrols (windows.md section 9). What it says decides whether the device limit
// counts it, no more (AUTH-47). Whether Configuration Manager's client or a group policy began is not said: where a PC of the user is
// co-managed it was the client, and the first session asks it.
func (h *Handler) wayOf(rst *windows.RequestSecurityToken, user delivery.UserID) authority.Way {
	switch u := h.cfg.Server.World().User(user); {
	case rst.Item(windows.ItemZeroTouch) != "":
		return authority.Autopilot
	case strings.EqualFold(rst.Item(windows.ItemUXInitiated), "false") && u != nil && u.CoManaged:
		return authority.CoManagement
	case strings.EqualFold(rst.Item(windows.ItemUXInitiated), "false"):
		return authority.GroupPolicy
	case rst.Item(windows.ItemEnrollmentType) == windows.EnrollmentFull: // registered, not joined: its user's own
		return authority.ByUser
	}
	return authority.DirectoryJoin
}

// gateFault is a gate's refusal in Windows' words (windows.md section 4.2).
func gateFault(g authority.Gate, no *protocol.Refusal) error {
	if no.RetryAfter > 0 {
		return no
	}
	f := &enrolFault{subcode: windows.SubcodeAuthorization, rule: no.Rule, err: no}
	switch g {
	case authority.GateUnset, authority.GateConsent:
		f.kind = windows.ErrorNotSupported
	case authority.GatePlatform, authority.GateUserless, authority.GateOtherMDM:
		f.kind = windows.ErrorDeviceNotSupported
	case authority.GateLicence, authority.GateDeviceLicence, authority.GatePremium:
		f.kind = windows.ErrorUserLicense
	case authority.GateLimit:
		f.kind = windows.ErrorDeviceCapReached
	}
	return f
}
