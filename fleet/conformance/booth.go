package conformance

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"rollcall/certs"
	"rollcall/protocol"
	"rollcall/protocol/android"
)

// A booth is where an Android device enrols with its judge: discovery, EST and check-ins.
type booth struct {
	judge *judge
	path  string
	seal  *certs.Seal // of orders, policies and notices
	other *certs.Seal // of nobody's

	estURL  string                         // in the offer; empty: its own
	answers func(r *round) *reply          // answers a check-in in place of the usual; nil, or nil of it: as usual
	change  func(a *android.CheckInAnswer) // has the last word on the usual answer; nil: nobody

	opened, left bool
	lost         int // answers to requests to enrol that do not arrive
	askings      []enrolAsked
	bearer       string // of the latest request to enrol
	csrs         []*x509.CertificateRequest
	leaves       []*x509.Certificate
	renewals     int
	requests     []utterance // of the enrolment
	rounds       []*round
	version      int64
	settings     string                  // of the policy, JSON
	more         []android.ManifestEntry // profiles of it beside the usual one
	commands     []android.Command       // for the next answer
	gone         bool                    // the next check-in is told to leave
}

// An enrolAsked is what tells one request to enrol from another.
type enrolAsked struct{ bearer, hardware string }

// A round is one of a check-in.
type round struct {
	utterance
	android.CheckIn
	leaf *x509.Certificate
	told []android.Command // in the answer
}

const (
	boothDevice     = "d-conform"
	boothEnrollment = "e-conform"
	boothToken      = "conform-token"
)

// booth offers an enrolment. Change, unless nil, has the last word on it.
func (t *trial) booth(change func(b *booth)) *booth {
	j := t.judge
	seals := make([]*certs.Seal, 2)
	for i, name := range []string{"conform", "nobody's"} {
		var err error
		if seals[i], err = certs.NewSeal(name, time.Now()); err != nil {
			t.unasked("no key: %v", err)
		}
	}
	var b *booth
	t.host(func(path string) host {
		b = &booth{judge: j, path: path, seal: seals[0], other: seals[1], version: 1, settings: "{}"}
		if change != nil {
			change(b)
		}
		return b
	})
	return b
}

// link is the text of the QR code that enrols a device here.
func (b *booth) link() string {
	sum := sha256.Sum256(b.judge.door.certificate.Raw)
	return string(android.Append(nil, &android.ProvisioningData{Bundle: android.Bundle{
		ServerURL: b.judge.door.url + b.path + "/", Token: boothToken, CASHA256: hex.EncodeToString(sum[:]), Mode: android.Dedicated,
	}}))
}

// admittedAt is a booth at which the device has enrolled.
func (t *trial) admittedAt(change func(b *booth)) *booth {
	b := t.booth(change)
	if !t.joins(b, b.link()) {
		t.unasked("the device did not enrol by a text in good order%s", t.because())
	}
	return b
}

func (b *booth) stands() (opened, in, left bool) {
	in = slices.ContainsFunc(b.rounds, func(r *round) bool { return r.Exchange.Status == http.StatusOK && r.Round > 1 })
	return b.opened, in, b.left
}

func (b *booth) id() string { return "the Android device" }

func (b *booth) dismiss() { b.answers, b.gone = nil, true }

func (b *booth) serve(w http.ResponseWriter, r *http.Request, path string, body []byte) {
	b.opened = true
	if path == android.CheckInPath && r.Method == http.MethodPost {
		b.checkIn(w, r, body)
		return
	}
	u := hearing(r, body, r.Method+" "+path)
	u.answer(w, b.enrols(r, path, body))
	b.requests = append(b.requests, u)
}

func jsonReply(status int, v any) *reply {
	return &reply{status: status, kind: android.ContentType, body: string(android.Append(nil, v))}
}

func refusedAs(status int, reason string) *reply {
	return jsonReply(status, android.NewError(status, reason, "the judge does not take it", nil))
}

// enrols answers what comes before a device has an identity, and its renewal.
func (b *booth) enrols(r *http.Request, path string, body []byte) *reply {
	base := b.judge.door.url + b.path
	switch {
	case path == android.DiscoveryPath:
		return jsonReply(http.StatusOK, &android.Discovery{
			Protocol: android.Version, Enroll: android.EnrollPath, EST: android.ESTPath,
			IdentityKeys: []string{base64.StdEncoding.EncodeToString(b.judge.ca.Certificate().RawSubjectPublicKeyInfo)},
			PolicyKeys:   []android.PolicyKey{{KID: b.seal.KID(), SPKI: base64.StdEncoding.EncodeToString(b.seal.Key().SPKI())}},
		})
	case path == android.EnrollPath && r.Method == http.MethodPost:
		b.bearer = r.Header.Get("Authorization")
		var m android.EnrollRequest
		if android.Decode(body, &m) != nil {
			return refusedAs(http.StatusBadRequest, android.Malformed)
		}
		b.askings = append(b.askings, enrolAsked{b.bearer, m.Hardware.ID()})
		if b.lost > 0 {
			b.lost--
			return &reply{cut: true}
		}
		offer := b.estURL
		if offer == "" {
			offer = base + android.ESTPath
		}
		return jsonReply(http.StatusOK, &android.EnrollAnswer{Device: boothDevice, Enrollment: boothEnrollment, Authority: protocol.Intune, Epoch: 1, Certificate: android.Offer{
			Method: android.EST, URL: offer, Challenge: "conform", Subject: "CN=" + boothDevice, KeyAlgorithm: android.P256,
		}})
	case path == android.ESTPath+"/cacerts":
		return b.certificates(b.judge.ca.Certificate())
	case strings.HasPrefix(path, android.ESTPath+"/simple") && r.Method == http.MethodPost:
		return b.certify(r, strings.HasSuffix(path, "/simplereenroll"), body)
	case path == android.UnenrollPath && r.Method == http.MethodPost:
		b.left = true
		return &reply{status: http.StatusOK, kind: android.ContentType, body: "{}"}
	}
	return refusedAs(http.StatusNotFound, android.Malformed)
}

func (b *booth) certificates(list ...*x509.Certificate) *reply {
	der, err := certs.Degenerate(list...)
	if err != nil {
		return refusedAs(http.StatusInternalServerError, android.Malformed)
	}
	return &reply{status: http.StatusOK, kind: "application/pkcs7-mime", body: base64.StdEncoding.EncodeToString(der)}
}

func (b *booth) certify(r *http.Request, again bool, body []byte) *reply {
	der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(string(body)), ""))
	if err != nil {
		return refusedAs(http.StatusBadRequest, android.Malformed)
	}
	csr, err := certs.CheckCSR(der, certs.Policy{})
	if again && b.leafOf(r) == nil || err != nil {
		return refusedAs(http.StatusForbidden, android.Malformed)
	}
	c, err := b.judge.ca.Issue(certs.IssueRequest{Public: csr.PublicKey, Handle: boothDevice, Now: time.Now()})
	if err != nil {
		return refusedAs(http.StatusInternalServerError, android.Malformed)
	}
	if again {
		b.renewals++
	}
	b.csrs, b.leaves = append(b.csrs, csr), append(b.leaves, c)
	return b.certificates(c)
}

func (b *booth) leafOf(r *http.Request) *x509.Certificate {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 || !slices.ContainsFunc(b.leaves, r.TLS.PeerCertificates[0].Equal) {
		return nil
	}
	return r.TLS.PeerCertificates[0]
}

func (b *booth) checkIn(w http.ResponseWriter, r *http.Request, body []byte) {
	m := &round{utterance: hearing(r, body, "a check-in"), leaf: b.leafOf(r)}
	var a *reply
	switch err := android.Decode(body, &m.CheckIn); {
	case err != nil:
		m.Error = err.Error()
		a = refusedAs(http.StatusBadRequest, android.Malformed)
	case m.leaf == nil:
		m.Error = "it comes with no certificate that was issued to it"
		a = refusedAs(http.StatusForbidden, android.DeviceMismatch)
	}
	m.What = fmt.Sprintf("the device: check-in %s, round %d", m.CheckIn.CheckIn, m.Round)
	if a == nil && b.answers != nil {
		a = b.answers(m)
	}
	switch {
	case a != nil:
	case b.gone:
		a = farewell(b.order(b.seal, boothDevice, android.Reset))
		b.left = true
	default:
		a = b.usual(m)
	}
	b.rounds = append(b.rounds, m)
	m.utterance.answer(w, a)
}

// farewell is 410 with an order; empty: without one.
func farewell(order string) *reply {
	e := android.NewError(http.StatusGone, android.Unenrolled, "the device was removed", nil)
	if order != "" {
		e.Error.Details = append(e.Error.Details, android.ErrorDetail{Type: android.UnenrollOrder, JWS: order})
	}
	return jsonReply(http.StatusGone, e)
}

// order tells a device to leave in one way; empty: the seal cannot sign.
func (b *booth) order(seal *certs.Seal, device string, how android.Removal) string {
	text, err := seal.JWS(android.OrderType, android.Append(nil, &android.Order{Device: device, Enrollment: boothEnrollment, IssuedAt: time.Now().Unix(), Mode: how}))
	if err != nil {
		return ""
	}
	return text
}

// policy is one that a seal signed.
func (b *booth) policy(seal *certs.Seal, version int64) *android.PolicyUpdate {
	p := &android.PolicyUpdate{Name: "policies/" + boothDevice, Version: version, Policy: []byte(b.settings), Profiles: append([]android.ManifestEntry{
		{ID: "p-conform", Name: "conform", Family: protocol.Configuration, Authority: protocol.Intune, Version: uint32(version)},
	}, b.more...)}
	p.Signature, _ = seal.DetachedJWS(android.PolicyType, p.Signed(boothDevice, boothEnrollment)) // one without is one that nobody signed
	return p
}

// usual is the policy that the device lacks, and what is to be done.
func (b *booth) usual(m *round) *reply {
	a := android.CheckInAnswer{
		Round: m.Round, Authority: android.AuthorityState{Registered: protocol.Intune, Resolved: protocol.Intune, Epoch: 1}, State: android.Active,
		Next: android.NextContact{After: android.Seconds(8 * time.Hour), Schedule: android.Steady},
	}
	if m.Applied.PolicyVersion < b.version {
		a.Policy = b.policy(b.seal, b.version)
	}
	a.Commands, b.commands = b.commands, nil
	a.Complete = a.Policy == nil && len(a.Commands) == 0
	if b.change != nil {
		b.change(&a)
	}
	m.told = a.Commands
	return jsonReply(http.StatusOK, &a)
}

// rounds are those of all check-ins so far.
func (t *trial) rounds(b *booth) []*round {
	t.judge.mu.Lock()
	defer t.judge.mu.Unlock()
	return slices.Clone(b.rounds)
}

// set changes a booth.
func (t *trial) set(b *booth, change func()) {
	b.judge.mu.Lock()
	defer b.judge.mu.Unlock()
	change()
}

// checksIn has the device check in, and returns the rounds.
func (t *trial) checksIn(b *booth) []*round {
	all := t.tries(b)
	if len(all) == 0 {
		t.unasked("the device does not check in%s", t.because())
	}
	t.last = all[len(all)-1].Exchange
	return all
}

// tries is checksIn where the device may not.
func (t *trial) tries(b *booth) []*round {
	before := len(t.rounds(b))
	t.comes(func() int { return len(t.rounds(b)) })
	return t.rounds(b)[before:]
}

// orders gives the device commands, and returns what it says of each; one that it says nothing of is missing.
func (t *trial) orders(b *booth, commands ...android.Command) map[string]android.Result {
	t.set(b, func() { b.commands = commands })
	out := map[string]android.Result{}
	for _, r := range t.checksIn(b) {
		for _, one := range r.Results {
			out[one.Command] = one
			t.last = r.Exchange
		}
	}
	return out
}

func sameKey(a, b any) bool {
	one, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && one.Equal(b)
}

// sameBody tells whether two rounds are the same to the byte.
func sameBody(a, b *round) bool { return bytes.Equal(a.body, b.body) }
