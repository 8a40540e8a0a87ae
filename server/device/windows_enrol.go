package device

import (
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/text/unicode/norm"

	"rollcall/certs"
	"rollcall/protocol"
	"rollcall/protocol/windows"
	"rollcall/server"
	"rollcall/server/authority"
	"rollcall/server/delivery"
	identities "rollcall/server/renewal"
	"rollcall/server/store"
)

// highestVersion is the newest version of the enrolment protocol that is spoken. From 5.0 on devices add an attestation of their key.
var highestVersion = windows.Version{Major: 5}

// discover says where to enrol (windows.md section 2).
func (h *Handler) discover(in *inquiry) (*windows.Envelope, error) {
	d, ok := in.envelope.Body.(*windows.Discover)
	if !ok {
		return nil, errWrongBody
	}
	url := h.cfg.Enrolment.URL
	out := &windows.DiscoverResponse{
		EnrollmentVersion: highestVersion, PolicyURL: url + windows.PolicyPath, EnrollmentURL: url + windows.EnrollmentPath,
	}
	if d.RequestVersion.Before(highestVersion) {
		out.EnrollmentVersion = d.RequestVersion
	}
	switch {
	case d.Offers(windows.OnPremise):
		out.AuthPolicy = windows.OnPremise
	case d.Offers(windows.Federated):
		out.AuthPolicy, out.AuthenticationURL = windows.Federated, url+signInPath
	default:
		return nil, &enrolFault{
			subcode: windows.SubcodeAuthentication, rule: "WIN-004",
			err: fmt.Errorf("the device offers none of %s and %s", windows.OnPremise, windows.Federated),
		}
	}
	return &windows.Envelope{Body: out}, nil
}

var errWrongBody = fmt.Errorf("another kind of request belongs here: %w", protocol.ErrMalformed)

// policies says what key to make (windows.md section 3).
func (h *Handler) policies(in *inquiry) (*windows.Envelope, error) {
	if _, ok := in.envelope.Body.(*windows.GetPolicies); !ok {
		return nil, errWrongBody
	}
	var err error
	if h.presents(in.Request) { // a renewing device has nothing else to show
		_, err = h.identify(in.Request, nil)
	} else {
		_, err = h.applicant(in)
	}
	if err != nil {
		return nil, err
	}
	set := &h.cfg.Server.World().Settings
	return &windows.Envelope{Body: &windows.GetPoliciesResponse{PolicyID: "rollcall-device", Policy: windows.Policy{
		CommonName: "rollcall", Schema: 3, Validity: lifetimeOf(set), Renewal: windowOf(set), Enroll: true, MinimalKeyLength: keyBits,
		HashAlgorithm: windows.OIDSHA256, Providers: []string{"Microsoft Platform Crypto Provider", "Microsoft Software Key Storage Provider"},
	}}}, nil
}

const day = 24 * time.Hour

func lifetimeOf(s *delivery.Settings) time.Duration { return or(s.Lifetime, 365*day) }

// windowOf is how long before its end an identity of today's settings renews (AUTH-41): an identity with a short life is not due all of
// it, or it would renew without end (WIN-020).
func windowOf(s *delivery.Settings) time.Duration { return min(or(s.Window, 42*day), lifetimeOf(s)/3) }

func or(set, unless time.Duration) time.Duration {
	if set != 0 {
		return set
	}
	return unless
}

// An applicant is who wants to enrol.
type applicant struct {
	user      delivery.UserID // 0: nobody, a device alone
	challenge string          // of an enrolment link; empty: one is granted
	directory string          // the device of the directory that a token is for; empty: it says none
	way       authority.Way
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
	default:
		return nil, &enrolFault{subcode: windows.SubcodeInvalidSecurity, rule: "HST-018", err: errors.New("a security token of a kind that is not understood")}
	}
	if wait := h.rates.token(token); wait > 0 {
		return nil, refusalOf("link", wait)
	}
	ticket, err := h.cfg.Server.Ticket(in.Context(), h.now(), token)
	if errors.Is(err, store.ErrNotFound) { // perhaps the answer was lost
		switch m := in.envelope.Body.(type) {
		case *windows.RequestSecurityToken:
			ticket, err = h.cfg.Server.Repeats(in.Context(), h.now(), token, sha256.Sum256(m.Token), m.Item(windows.ItemDeviceID))
		case *windows.GetPolicies:
			ticket, err = h.cfg.Server.Repeats(in.Context(), h.now(), token, [32]byte{}, "")
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
	claims, err := h.cfg.Windows.Verify(in.Context(), token)
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

// token issues a certificate, or renews one (windows.md sections 4 and 5).
func (h *Handler) token(in *inquiry) (*windows.Envelope, error) {
	rst, ok := in.envelope.Body.(*windows.RequestSecurityToken)
	if !ok {
		return nil, errWrongBody
	}
	if wait := h.rates.network(passCertificate, in.RemoteAddr); wait > 0 {
		return nil, refusalOf("network", wait)
	}
	answer := h.admit
	if rst.Renew {
		answer = h.renew
	}
	document, err := answer(in, rst)
	if err != nil {
		return nil, err
	}
	now := h.cfg.Now().Truncate(time.Millisecond)
	return &windows.Envelope{
		Header: windows.Header{Created: now.Add(-5 * time.Minute), Expires: now.Add(5 * time.Minute)},
		Body:   &windows.RequestSecurityTokenResponse{Document: windows.EncodeDocument(nil, document.Document())},
	}, nil
}

// admit enrols a device: the gates first, then the certificate, then the device's record, so that whoever is refused leaves nothing
// (WIN-023).
func (h *Handler) admit(in *inquiry, rst *windows.RequestSecurityToken) (*windows.Provisioning, error) {
	who, err := h.applicant(in)
	if err != nil {
		return nil, err
	}
	for _, one := range []string{windows.ItemDeviceID, windows.ItemEnrollmentType, windows.ItemHWDevID} {
		if len(rst.Items(one)) > 1 { // which of them counts is not ours to choose (HST-006)
			return nil, fmt.Errorf("context item %s is there twice: %w", one, protocol.ErrMalformed)
		}
	}
	id := rst.Item(windows.ItemDeviceID)
	if !validID(id) {
		return nil, fmt.Errorf("context item %s: %w", windows.ItemDeviceID, protocol.ErrMalformed)
	}
	place, ok := map[string]windows.Store{windows.EnrollmentFull: windows.StoreUser, windows.EnrollmentDevice: windows.StoreSystem}[rst.Item(windows.ItemEnrollmentType)]
	if !ok {
		return nil, fmt.Errorf("context item %s: %w", windows.ItemEnrollmentType, protocol.ErrMalformed)
	}
	if who.way == authority.DirectoryJoin && strings.EqualFold(rst.Item(windows.ItemUXInitiated), "false") {
		who.way = authority.GroupPolicy
	}
	key, err := certs.CheckCSRKey(rst.Token, certs.Policy{})
	if err != nil {
		return nil, &enrolFault{subcode: windows.SubcodeCertificateRequest, rule: "WIN-012", err: err}
	}
	facts := factsOf(rst)
	facts.Directory = brief(who.directory)
	var out *windows.Provisioning
	err = h.cfg.Server.Tie(in.Context(), h.now(), facts.Directory, facts.Hardware, id, func() (err error) {
		out, err = h.enrolled(in, rst, &applied{who, id, place, key, &facts})
		return err
	})
	if errors.Is(err, server.ErrTwin) {
		err = gateFault(authority.GateLimit, &protocol.Refusal{Rule: protocol.RuleGates, Reason: err.Error()})
	}
	return out, err
}

// An applied is what a request for an enrolment says, read.
type applied struct {
	*applicant
	id    string
	place windows.Store
	key   crypto.PublicKey
	facts *delivery.Facts
}

// enrolled is the rest of admit.
func (h *Handler) enrolled(in *inquiry, rst *windows.RequestSecurityToken, who *applied) (*windows.Provisioning, error) {
	id, facts := who.id, who.facts
	ev := delivery.Event{Kind: delivery.CheckInRound, ID: id}
	ev.Verb, ev.Platform, ev.Way, ev.Facts, ev.Batch = protocol.Enrol, protocol.Windows, who.way, facts, &delivery.Batch{}
	now, ctx := h.now(), in.Context()
	gate, no, err := h.cfg.Server.Gate(ctx, now, who.user, &ev.Message, id)
	switch {
	case err != nil:
		return nil, err
	case no != nil:
		return nil, gateFault(gate, no)
	}
	if err := h.taken(ctx, now, who.user, id); err != nil {
		return nil, err
	}
	if who.challenge != "" {
		err = h.cfg.Server.OpenTicket(ctx, now, who.challenge)
	} else {
		who.challenge, err = h.cfg.Server.Grant(ctx, now, store.Grant{Purpose: delivery.ForEnrolment, User: who.user, Platform: protocol.Windows})
		if err != nil {
			return nil, err
		}
	}
	if err != nil && !errors.Is(err, store.ErrNotFound) { // one that is used up repeats its answer, below
		return nil, err
	}
	cert, err := h.certificate(rst.Token, who.key, func(c server.Claim) ([]byte, error) {
		c.Challenge, c.Transaction = who.challenge, id
		return h.cfg.Server.Issue(ctx, now, c)
	}, func(*store.Grant) string { return h.cfg.Server.Subject(&store.Grant{ID: id, User: who.user}) }) // whose it is, a restored server knows by it (HST-101)
	if err != nil {
		return nil, issueFault(err)
	}
	if ev.Credential, err = h.cfg.Server.Credential(ctx, sha256.Sum256(cert.Raw)); err != nil {
		return nil, err
	}
	if err := h.cfg.Handle(ctx, now, &ev, new(delivery.Outcome)); err != nil {
		if no, ok := errors.AsType[*protocol.Refusal](err); ok { // another was quicker
			err = gateFault(authority.Open, no)
		}
		return nil, err
	}
	if err := h.cfg.Server.Displace(ctx, now, who.user, facts.Hardware, id); err != nil {
		return nil, err
	}
	return h.provisioning(cert, who.place, who.user, facts), nil
}

// taken refuses an identifier that another device has, before anything is used up (HST-051).
func (h *Handler) taken(ctx context.Context, now protocol.Time, user delivery.UserID, id string) error {
	d, err := h.cfg.Server.Store().Device(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	record, err := h.cfg.Server.Store().Record(ctx, d)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil
	case err != nil:
		return err
	case record.State.Yields(now, &delivery.Credential{User: user}, protocol.Windows):
		return nil
	}
	return &enrolFault{
		subcode: windows.SubcodeAuthorization, rule: "HST-051",
		err: errors.New("a device with this identifier is enrolled; it must leave, or be deleted, before another takes its place"),
	}
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

// issueFault is why no certificate was issued, in Windows' words.
func issueFault(err error) error {
	if rule := issueRule(err); rule != "" {
		return &enrolFault{subcode: windows.SubcodeCertificateRequest, rule: rule, err: err}
	}
	return err
}

// certificate has issue give a certificate for a key, once for the same request.
func (h *Handler) certificate(request []byte, key crypto.PublicKey, issue func(server.Claim) ([]byte, error), subject func(*store.Grant) string) (*x509.Certificate, error) {
	public, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return nil, err
	}
	der, err := issue(server.Claim{
		Request: sha256.Sum256(request), Key: sha256.Sum256(public),
		Make: func(g *store.Grant) ([]byte, protocol.Time, protocol.Time, error) {
			cert, err := h.ca.Issue(certs.IssueRequest{
				Public: key, Handle: subject(g), Now: h.cfg.Now(), Lifetime: h.cfg.Server.World().Settings.Lifetime,
			})
			if err != nil {
				return nil, 0, 0, err
			}
			return cert.Raw, protocol.At(cert.NotBefore), protocol.At(cert.NotAfter), nil
		},
	})
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// provisioning is the document of a new enrolment (windows.md section 4.1).
func (h *Handler) provisioning(cert *x509.Certificate, place windows.Store, user delivery.UserID, f *delivery.Facts) *windows.Provisioning {
	enrolment, set := cert.Subject.CommonName, &h.cfg.Server.World().Settings
	p := &windows.Provisioning{
		Root: h.ca.Certificate().Raw, Client: cert.Raw, Store: place,
		Renewal: &windows.Renewal{ROBO: true, RenewPeriod: days(windowOf(set)), RetryInterval: days(or(set.Renew, 7*day))},
		Application: windows.Application{
			ProviderID: ProviderID, Name: ProviderID, Address: h.cfg.Enrolment.URL + windows.ManagementPath,
			ConnRetryFreq: 6, InitialBackoff: 30_000, MaxBackoff: 120_000, Search: windows.SearchCriteria(enrolment, place),
			ClientAuth: h.auth(enrolment, "", "server"), ServerAuth: h.auth(enrolment, enrolment, "device"),
		},
		DMClient: &windows.DMClient{EntDMID: enrolment, EntDeviceName: f.Name, Poll: windows.DefaultPoll, PFN: h.cfg.Windows.PFN, SkipUserStatus: user == 0},
	}
	if user != 0 {
		p.DMClient.UPN = h.nameOf(user)
	}
	return p
}

func days(d time.Duration) int { return max(1, int(d/day)) }

// factsOf is what a device says of itself (WIN-015).
func factsOf(rst *windows.RequestSecurityToken) delivery.Facts {
	f := delivery.Facts{
		Name: rst.Item(windows.ItemDeviceName), Model: rst.Item(windows.ItemDeviceModel), Product: rst.Item(windows.ItemManufacturer),
		Serial: rst.Item(windows.ItemSerialNumber), OSVersion: rst.Item(windows.ItemOSVersion), Build: rst.Item(windows.ItemApplicationVersion),
		IMEI: rst.Item(windows.ItemIMEI), Hardware: rst.Item(windows.ItemHWDevID),
	}
	if f.OSVersion == "" {
		f.OSVersion = f.Build
	}
	said := map[string][]string{windows.ItemEnrollmentType: rst.Items(windows.ItemEnrollmentType)}
	room := maxSaid
	for _, i := range rst.Context {
		name, value := brief(i.Name), brief(i.Value)
		if room -= len(name) + len(value); name != windows.ItemEnrollmentType && room >= 0 {
			said[name] = append(said[name], value)
		}
	}
	raw, _ := json.Marshal(said) // texts
	f.Said = string(raw)
	briefly(&f)
	return f
}

// maxSaid bounds what is kept of a device's other words: a PC says some hundred bytes.
const maxSaid = 8 << 10

const maxName = 256 // characters of a text of a device's that are kept (HST-010)

// brief brings a text to NFC and cuts it.
func brief(s string) string {
	if len(s) > maxName*16 {
		s = s[:maxName*16] // more is never needed
	}
	s = norm.NFC.String(strings.ToValidUTF8(s, "\uFFFD"))
	n := 0
	for i := range s {
		if n++; n > maxName {
			return s[:i]
		}
	}
	return s
}

// briefly is brief for what a device says of itself.
func briefly(f *delivery.Facts) {
	for _, text := range []*string{&f.Name, &f.Model, &f.Product, &f.Serial, &f.OSVersion, &f.Build, &f.IMEI, &f.MEID, &f.Hardware} {
		*text = brief(*text)
	}
}

// renewGrace is how much sooner than its window a device may renew, whose clock is ahead.
const renewGrace = day

// renew gives the device that a certificate belongs to its next one. Everything is checked before anything is issued, and both
// certificates count until the new one is used (WIN-063, WIN-065).
func (h *Handler) renew(in *inquiry, rst *windows.RequestSecurityToken) (*windows.Provisioning, error) {
	refuse := func(rule protocol.Rule, err error) error {
		return &enrolFault{subcode: windows.SubcodeCertificateRequest, kind: windows.ErrorNotEligibleToRenew, rule: rule, err: err}
	}
	p, err := h.identify(in.Request, nil)
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
	set, now := &h.cfg.Server.World().Settings, h.now()
	due, err := identities.DueAt(protocol.At(p.leaf.NotBefore), protocol.At(p.leaf.NotAfter), set.Window)
	if opens := due.Time().Add(-min(renewGrace, windowOf(set)/10)); err == nil && now.Time().Before(opens) {
		return nil, refuse(protocol.RuleRenewal, fmt.Errorf("the certificate renews from %s on", opens.UTC().Format(time.DateOnly)))
	}
	cert, err := h.certificate(signed.Content, key, func(c server.Claim) ([]byte, error) {
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

// enrolledAs is the EnrollmentType that a device enrolled with.
func enrolledAs(f *delivery.Facts) string {
	var said map[string][]string
	if json.Unmarshal([]byte(f.Said), &said) != nil || len(said[windows.ItemEnrollmentType]) == 0 {
		return ""
	}
	return said[windows.ItemEnrollmentType][0]
}
