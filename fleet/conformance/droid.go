package conformance

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"rollcall/certs"
	"rollcall/fleet/target"
	"rollcall/protocol/android"
)

// A droid is one Android device of a run: it says what a check has it say.
type droid struct {
	member
	mode   android.Mode
	serial string
	token  string
	server *androidServer

	device, enrollment string // as the server calls them; empty: it was not taken in
	offer              android.Offer
	attested           crypto.Signer // the key that it enrols with, of which its maker knows; nil: there is none yet
	fid                string        // where it is woken; empty: nowhere

	version  int64 // of the policy in force
	profiles []android.AppliedProfile
	talks    int
}

// An androidServer is what a server says of itself before anybody enrols.
type androidServer struct {
	url  string
	says android.Discovery
	keys []certs.SealKey
}

// androidServer is the server that the run asks. It ends the check where the server does not speak the agent protocol.
func (a *asking) androidServer() *androidServer {
	if a.AndroidURL == "" {
		a.skip("nobody said where Android devices enrol")
	}
	s := &androidServer{url: strings.TrimSuffix(a.AndroidURL, "/")}
	x := a.run.exchange(a.ctx, a.clients.of(certs.Signer{}, nil), http.MethodGet, s.url+android.DiscoveryPath, "a device: discovery", nil, nil)
	a.last = x
	switch err := android.Decode(x.body, &s.says); {
	case x.Status == 0, x.Status/100 == 5:
		a.unasked("discovery was answered %s", x.answer())
	case x.Status != http.StatusOK || err != nil:
		a.skip("the server does not speak the agent protocol for Android: GET %s was answered %s (%s)", android.DiscoveryPath, x.answer(), media(x))
	}
	for _, k := range s.says.PolicyKeys {
		der, err := base64.StdEncoding.DecodeString(k.SPKI)
		if key, wrong := certs.SealKeyOfSPKI(der); err == nil && wrong == nil {
			s.keys = append(s.keys, key)
		}
	}
	a.needs(a.Steps.EnrolAndroid != nil, "make an enrolment token for an Android device")
	return s
}

// droid is a device with a token for its mode.
func (a *asking) droid(mode android.Mode) *droid {
	d := a.bareDroid(a.androidServer(), mode)
	if mode.Google() {
		a.consent()
	}
	var err error
	if d.token, err = a.androidToken(mode); err != nil {
		a.unasked("no enrolment token for a device of mode %s: %v", mode, err)
	}
	return d
}

func (a *asking) androidToken(mode android.Mode) (string, error) {
	ctx, cancel := a.administrator()
	defer cancel()
	owner := a.slot
	if mode.Userless() {
		owner = 0
	}
	return a.Steps.EnrolAndroid(ctx, mode, owner)
}

// consent grants, once in a run, the consent for Google's services (AUTH-05), where the tenant is there for the run.
func (a *asking) consent() {
	if !a.Mine || a.Steps.Consent == nil {
		return
	}
	ctx, cancel := a.administrator()
	defer cancel()
	a.consenting.Do(func() { a.refusedConsent = a.Steps.Consent(ctx) })
	if a.refusedConsent != nil {
		a.unasked("the consent for Google's services cannot be granted: %v", a.refusedConsent)
	}
}

// bareDroid is a device that has nothing yet.
func (a *asking) bareDroid(s *androidServer, mode android.Mode) *droid {
	m, n := a.joining("device")
	d := &droid{member: m, server: s, mode: mode, serial: fmt.Sprintf("RC%s%04d", a.label, n)}
	a.leavers = append(a.leavers, d)
	return d
}

// managed is a device that is enrolled and has nothing left to do.
func (a *asking) managed(mode android.Mode) *droid {
	d := a.droid(mode)
	d.join()
	return d
}

// join enrols a device that has a token.
func (d *droid) join() {
	d.admit()
	d.identify()
	d.talk(android.ReasonEnrolled)
}

// request is how d asks to be taken in, with what its key store says of its key where it has a maker.
func (d *droid) request() android.EnrollRequest {
	s := d.status()
	m := android.EnrollRequest{Protocol: android.Version, Role: android.DPC, Mode: d.mode, Hardware: *s.HardwareInfo, Software: *s.SoftwareInfo}
	if maker := d.a.Maker; maker != nil {
		if d.attested == nil {
			d.attested = d.newKey(android.Offer{})
		}
		m.Attestation = d.vouched(maker, d.token, certs.TrustedEnvironment)
	}
	return m
}

// vouched is what a key store says of the key that d enrols with.
func (d *droid) vouched(maker *certs.Authority, token string, level certs.AttestationLevel) *android.Attestation {
	challenge := sha256.Sum256([]byte(token))
	chain, err := maker.Attest(d.attested.Public(), challenge[:], level)
	if err != nil {
		d.a.unasked("no attestation: %v", err)
	}
	var all android.Attestation
	for _, der := range chain {
		all.Chain = append(all.Chain, base64.StdEncoding.EncodeToString(der))
	}
	return &all
}

// status is all that d is.
func (d *droid) status() *android.StatusReport {
	return &android.StatusReport{
		HardwareInfo: &android.Hardware{Brand: "rollcall", Model: "conform", SerialNumber: d.serial},
		SoftwareInfo: &android.Software{APILevel: 34, AndroidVersion: "14", AgentVersion: "1.0.0"},
	}
}

// ask asks to be taken in.
func (d *droid) ask(what string, change ...func(m *android.EnrollRequest)) *Exchange {
	m := d.request()
	for _, c := range change {
		c(&m)
	}
	return d.askBy(what, android.Append(nil, &m))
}

func (d *droid) askBy(what string, body []byte) *Exchange {
	return d.post("enrol, "+what, d.server.says.Enroll, body, http.Header{"Authorization": {"Bearer " + d.token}})
}

// admit has the server take the device in, up to its certificate.
func (d *droid) admit() { d.admitted(d.ask("with its token")) }

func (d *droid) admitted(x *Exchange) (answer android.EnrollAnswer) {
	if err := android.Decode(x.body, &answer); x.Status != http.StatusOK || err != nil {
		d.blame("a device of mode %s is not taken in: %s (%v)", d.mode, x.answer(), err)
	}
	d.device, d.enrollment, d.offer = answer.Device, answer.Enrollment, answer.Certificate
	return answer
}

// message is round 1 of another check-in.
func (d *droid) message(reason android.Reason) android.CheckIn {
	d.talks++
	m := android.CheckIn{
		Protocol: android.Version, CheckIn: fmt.Sprintf("c-%s-%d", d.serial, d.talks), Round: 1, Device: d.device, Reason: reason, Compliant: true,
		Applied: android.AppliedPolicy{State: android.Active, PolicyVersion: d.version, Profiles: d.profiles},
	}
	if d.version > 0 {
		m.Applied.PolicyName = "policies/" + d.device
	}
	if d.fid != "" {
		m.Push = &android.Push{Kind: "fcm", FID: d.fid}
	}
	if reason == android.ReasonEnrolled {
		m.Applied.State, m.Status = android.Provisioning, d.status()
	}
	return m
}

// round sends one round of a check-in.
func (d *droid) round(m *android.CheckIn) *Exchange {
	return d.checkIn(fmt.Sprintf("check-in %s, round %d", m.CheckIn, m.Round), android.Append(nil, m))
}

func (d *droid) checkIn(what string, body []byte) *Exchange {
	return d.post(what, android.CheckInPath, body, nil)
}

// heard reads the answer to a round; anything else ends the check.
func (d *droid) heard(x *Exchange) (answer android.CheckInAnswer) {
	if err := android.Decode(x.body, &answer); x.Status != http.StatusOK || err != nil {
		d.blame("%s was answered %s (%v)", x.What, x.answer(), err)
	}
	return answer
}

// obey puts the policy of an answer in force, and makes of m the next round, in which every command is done.
func (d *droid) obey(m *android.CheckIn, answer *android.CheckInAnswer) {
	if p := answer.Policy; p != nil {
		d.version, d.profiles = p.Version, nil
		for _, q := range p.Profiles {
			if q.RemoveAfter == 0 {
				d.profiles = append(d.profiles, android.AppliedProfile{ID: q.ID, Version: q.Version, Status: android.Applied})
			}
		}
		m.Applied = android.AppliedPolicy{State: android.Active, PolicyName: p.Name, PolicyVersion: d.version, Profiles: d.profiles}
	}
	m.Round++
	m.Results, m.Status, m.Push = nil, nil, nil
	for _, c := range answer.Commands {
		m.Results = append(m.Results, android.Result{Command: c.ID, State: android.ResultDone})
		if c.Type == android.RequestDeviceInfo {
			m.Status = d.status()
		}
	}
}

// talk is a whole check-in of a device that does all it is told. It returns the answers, the last of which is complete.
func (d *droid) talk(reason android.Reason) []android.CheckInAnswer {
	m := d.message(reason)
	return d.goOn(&m)
}

// goOn is talk from m on.
func (d *droid) goOn(m *android.CheckIn) (answers []android.CheckInAnswer) {
	for range android.MaxRounds {
		answer := d.heard(d.round(m))
		answers = append(answers, answer)
		if answer.Complete {
			return answers
		}
		d.obey(m, &answer)
	}
	d.blame("a check-in of %d rounds was not complete", android.MaxRounds)
	return nil
}

// commands are those that a whole check-in brought.
func commands(answers []android.CheckInAnswer) (all []android.Command) {
	for i := range answers {
		all = append(all, answers[i].Commands...)
	}
	return all
}

// post sends one message to a path of the server.
func (d *droid) post(what, path string, body []byte, header http.Header) *Exchange {
	h := http.Header{"Content-Type": {android.ContentType}}
	for name, values := range header {
		h[name] = values
	}
	return d.do(http.MethodPost, d.server.url+path, what, h, body)
}

// order has the administrator queue a command for the device; the id is empty where the server does not tell it.
func (d *droid) order(kind target.OrderKind) string { return d.a.orderFor(d.device, kind) }

// known tells how the device stands.
func (d *droid) known() target.Standing { return d.a.standingOf(d.device) }

// outcome is what the server says became of a command; empty: it does not say.
func (d *droid) outcome(id string) string { return d.a.outcomeOf(d.device, id) }

// reason is why a request was refused, in the protocol's words, and what is said of it.
func (x *Exchange) reason() (reason, message string) {
	var e android.Error
	if android.Decode(x.body, &e) != nil {
		return "", ""
	}
	reason, _ = e.Info()
	return reason, e.Error.Message
}

// refused wants an answer with this status and reason; empty: any that is said.
func (d *droid) refused(x *Exchange, status int, reason string) {
	got, _ := x.reason()
	if x.Status != status || got == "" || reason != "" && got != reason {
		d.a.fail("%s was answered %s with reason %q, want %d %s", x.What, x.answer(), got, status, reason)
	}
}

// signed returns the payload of a statement that one of the server's policy keys signed.
func (s *androidServer) signed(typ, text string) (payload []byte, ok bool) {
	for _, k := range s.keys {
		if payload, ok = k.OpenJWS(typ, text); ok {
			return payload, true
		}
	}
	return nil, false
}

// steady wants a device to be managed as before.
func (d *droid) steady(after string) {
	m := d.message(android.ReasonUser)
	if x := d.round(&m); x.Status != http.StatusOK {
		d.a.fail("%s a device in good standing is answered %s", after, x.answer())
	}
}

// farewell says good-bye by the identity that d has.
func (d *droid) farewell(ctx context.Context) *Exchange {
	body := android.Append(nil, &android.UnenrollRequest{Device: d.device, Enrollment: d.enrollment, Reason: android.UserRequest})
	return d.a.run.exchange(ctx, d.client, http.MethodPost, d.server.url+android.UnenrollPath, "device "+d.name+": farewell", http.Header{"Content-Type": {android.ContentType}}, body)
}

func (d *droid) standing() (string, []certs.Signer) { return d.device, d.issued }

// leave ends the device's enrolment, by whichever of its identities the server takes.
func (d *droid) leave(ctx context.Context) error {
	var x *Exchange
	for _, who := range slices.Backward(d.issued) {
		d.as(who)
		if x = d.farewell(ctx); x.Status == http.StatusOK {
			break
		}
	}
	unheard := ""
	if x.Status != http.StatusOK {
		unheard = "its farewell was answered " + x.answer()
	}
	return d.a.run.forgotten(ctx, d.device, unheard)
}

// same tells whether two answers are the same to the byte.
func same(a, b *Exchange) bool { return a.Status == b.Status && bytes.Equal(a.body, b.body) }
