package device

import (
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"rollcall/certs"
	"rollcall/protocol"
	"rollcall/protocol/windows"
	"rollcall/server"
	"rollcall/server/authority"
	"rollcall/server/delivery"
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
	case d.Offers(windows.Certificate): // by a provisioning package
		out.AuthPolicy = windows.Certificate
	default:
		return nil, &enrolFault{
			subcode: windows.SubcodeAuthentication, rule: "WIN-004",
			err: fmt.Errorf("the device offers none of %s, %s and %s", windows.OnPremise, windows.Federated, windows.Certificate),
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
		_, err = h.identify(in.Request, nil, in.now)
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
	now := in.now.Time().Truncate(time.Millisecond)
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
	if who.way == authority.DirectoryJoin {
		who.way = h.wayOf(rst, who.user)
		if err := h.accepted(in.now, who, rst.Item(windows.ItemEnrollmentData)); err != nil {
			return nil, err
		}
	}
	key, err := certs.CheckCSRKey(rst.Token, certs.Policy{})
	if err != nil {
		return nil, &enrolFault{subcode: windows.SubcodeCertificateRequest, rule: "WIN-012", err: err}
	}
	facts := factsOf(rst)
	facts.Directory = brief(who.directory)
	if who.pack != nil {
		return h.unpack(in, rst, &applied{who, id, place, key, &facts})
	}
	var out *windows.Provisioning
	err = h.cfg.Server.Tie(in.Context(), in.now, facts.Directory, facts.Hardware, id, func() (err error) {
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
	now, ctx := in.now, in.Context()
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
	switch {
	case who.pack != nil:
		err = h.admitted(in, who)
	case who.challenge != "":
		err = h.cfg.Server.OpenTicket(ctx, now, who.challenge)
	default:
		who.challenge, err = h.cfg.Server.Grant(ctx, now, store.Grant{Purpose: delivery.ForEnrolment, User: who.user, Platform: protocol.Windows})
		if err != nil {
			return nil, err
		}
	}
	if err != nil && !errors.Is(err, store.ErrNotFound) { // one that is used up repeats its answer, below
		return nil, err
	}
	cert, err := h.certificate(now, rst.Token, who.key, func(c server.Claim) ([]byte, error) {
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

// issueFault is why no certificate was issued, in Windows' words.
func issueFault(err error) error {
	if rule := issueRule(err); rule != "" {
		return &enrolFault{subcode: windows.SubcodeCertificateRequest, rule: rule, err: err}
	}
	return err
}

// certificate has issue give a certificate for a key, once for the same request. It is valid at now, when the request came: a
// clock that is set meanwhile leaves no device with a certificate of the future.
func (h *Handler) certificate(now protocol.Time, request []byte, key crypto.PublicKey, issue func(server.Claim) ([]byte, error), subject func(*store.Grant) string) (*x509.Certificate, error) {
	public, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return nil, err
	}
	der, err := issue(server.Claim{
		Request: sha256.Sum256(request), Key: sha256.Sum256(public),
		Make: func(g *store.Grant) ([]byte, protocol.Time, protocol.Time, error) {
			cert, err := h.ca.Issue(certs.IssueRequest{
				Public: key, Handle: subject(g), Now: now.Time(), Lifetime: h.cfg.Server.World().Settings.Lifetime,
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
