package conformance

import (
	"crypto/x509"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"rollcall/certs"
	"rollcall/protocol/windows"
)

// A desk is where a Windows device enrols with its judge: discovery, policy, certificate, and sessions.
type desk struct {
	judge *judge
	path  string

	renewPeriod int                                                         // days; 0: 42
	document    func(p *windows.Provisioning)                               // has the last word on it; nil: nobody
	extra       string                                                      // XML that the document has besides
	decide      func(kind string, rst *windows.RequestSecurityToken) *reply // answers the enrolment phase in place of the usual; nil, or nil of it: as usual
	answers     func(s *remark) *reply                                      // the same for sessions

	opened, left bool
	asked        []asked
	leaves       []*x509.Certificate
	spoken       []*remark
	queue        [][]windows.Command // for the next answers that may have some
	lastID       int32               // CmdID given
}

// An asked is a request of the enrolment phase.
type asked struct {
	utterance
	kind string // probe, plain (by HTTP without TLS), discovery, policy, issue, renew
	leaf *x509.Certificate
	rst  *windows.RequestSecurityToken
	csr  []byte
}

// A remark is a message of a session.
type remark struct {
	utterance
	windows.Message
	leaf *x509.Certificate
	told []windows.Command // in the answer, with their CmdIDs
}

const deskProvider = "rollcall-conform"

// desk offers an enrolment. Change, unless nil, has the last word on it.
func (t *trial) desk(change func(d *desk)) *desk {
	var d *desk
	t.host(func(path string) host {
		d = &desk{judge: t.judge, path: path, lastID: 100}
		if change != nil {
			change(d)
		}
		return d
	})
	return d
}

// link is what enrols a device here.
func (d *desk) link() string { return d.linkAt(d.judge.door.url) }

// linkAt is link where discovery is at another port.
func (d *desk) linkAt(base string) string {
	return "ms-device-enrollment:?" + url.Values{"mode": {"mdm"}, "username": {"conform@rollcall.invalid"}, "servername": {base + d.path + windows.DiscoveryPath}}.Encode()
}

// managed is a desk at which the device has enrolled.
func (t *trial) managedAt(change func(d *desk)) *desk {
	d := t.desk(change)
	if !t.joins(d, d.link()) {
		if opened, _, _ := t.look(d); opened {
			t.last = t.latest(d)
		}
		t.unasked("the device did not enrol by a document in good order%s", t.because())
	}
	return d
}

// latest is the latest exchange.
func (t *trial) latest(d *desk) *Exchange {
	t.judge.mu.Lock()
	defer t.judge.mu.Unlock()
	switch {
	case len(d.spoken) > 0:
		return d.spoken[len(d.spoken)-1].Exchange
	case len(d.asked) > 0:
		return d.asked[len(d.asked)-1].Exchange
	}
	return nil
}

func (d *desk) stands() (opened, in, left bool) { return d.opened, len(d.spoken) > 0, d.left }

func (d *desk) id() string {
	if len(d.spoken) == 0 {
		return "a Windows device"
	}
	return d.spoken[len(d.spoken)-1].Header.Source
}

func (d *desk) dismiss() {
	d.answers = nil
	d.queue = [][]windows.Command{{unenrol(deskProvider)}}
}

// unenrol is the order to leave.
func unenrol(provider string) windows.Command {
	return windows.Command{Verb: windows.Exec, Items: []windows.Item{{Target: "./Device/Vendor/MSFT/DMClient/Unenroll", Meta: windows.Meta{Format: windows.FormatChr}, Data: provider}}}
}

func (d *desk) leafOf(r *http.Request) *x509.Certificate {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 || !slices.ContainsFunc(d.leaves, r.TLS.PeerCertificates[0].Equal) {
		return nil
	}
	return r.TLS.PeerCertificates[0]
}

func (d *desk) serve(w http.ResponseWriter, r *http.Request, path string, body []byte) {
	d.opened = true
	if path == windows.ManagementPath {
		d.session(w, r, body)
		return
	}
	a := asked{utterance: hearing(r, body, path), leaf: d.leafOf(r)}
	answer := d.enrols(&a, r, path, body)
	if d.decide != nil {
		if special := d.decide(a.kind, a.rst); special != nil {
			answer = special
		}
	}
	a.utterance.answer(w, answer)
	d.asked = append(d.asked, a)
}

func soapReply(status int, body windows.Body, to *windows.Envelope) *reply {
	e := windows.Envelope{Body: body}
	if to != nil {
		e.Header.RelatesTo = to.Header.MessageID
	}
	if _, ok := body.(*windows.RequestSecurityTokenResponse); ok {
		now := time.Now().Truncate(time.Millisecond)
		e.Header.Created, e.Header.Expires = now.Add(-5*time.Minute), now.Add(5*time.Minute)
	}
	return &reply{status: status, kind: windows.SOAPContentType, body: string(windows.EncodeEnvelope(nil, &e))}
}

// enrols answers the enrolment phase as a good server does.
func (d *desk) enrols(a *asked, r *http.Request, path string, body []byte) *reply {
	if r.Method == http.MethodGet && path == windows.DiscoveryPath {
		if a.kind = "probe"; r.TLS == nil {
			a.kind = "plain"
			return &reply{status: http.StatusFound, header: map[string]string{"Location": d.judge.door.url + d.path + path}}
		}
		return &reply{status: http.StatusOK}
	}
	e, err := windows.DecodeEnvelope(body)
	if err != nil {
		a.Error = err.Error()
		return soapReply(windows.FaultStatus, &windows.Fault{Subcode: windows.SubcodeMessageFormat, Reason: err.Error()}, e)
	}
	base := d.judge.door.url + d.path
	switch b := e.Body.(type) {
	case *windows.Discover:
		a.kind = "discovery"
		return soapReply(http.StatusOK, &windows.DiscoverResponse{
			AuthPolicy: windows.OnPremise, EnrollmentVersion: b.RequestVersion, PolicyURL: base + windows.PolicyPath, EnrollmentURL: base + windows.EnrollmentPath,
		}, e)
	case *windows.GetPolicies:
		a.kind = "policy"
		return soapReply(http.StatusOK, &windows.GetPoliciesResponse{PolicyID: "conform", Policy: windows.Policy{
			CommonName: "conform", Schema: 3, Validity: 365 * 24 * time.Hour, Renewal: 42 * 24 * time.Hour, Enroll: true, MinimalKeyLength: 2048, HashAlgorithm: windows.OIDSHA256,
			Providers: []string{"Microsoft Software Key Storage Provider"},
		}}, e)
	case *windows.RequestSecurityToken:
		a.kind, a.rst, a.csr = "issue", b, b.Token
		if b.Renew {
			a.kind = "renew"
			if signed, err := certs.ParseSigned(b.Token); err == nil {
				a.csr = signed.Content
			}
		}
		return d.issue(a, e)
	}
	return soapReply(windows.FaultStatus, &windows.Fault{Subcode: windows.SubcodeMessageFormat, Reason: "what is that?"}, e)
}

// issue makes a certificate, and the document that brings it.
func (d *desk) issue(a *asked, e *windows.Envelope) *reply {
	no := func(err error) *reply {
		a.Error = err.Error()
		return soapReply(windows.FaultStatus, &windows.Fault{Subcode: windows.SubcodeCertificateRequest, Reason: err.Error()}, e)
	}
	key, err := certs.CheckCSRKey(a.csr, certs.Policy{})
	if err != nil {
		return no(err)
	}
	name := "conform-" + d.path[1:]
	c, err := d.judge.ca.Issue(certs.IssueRequest{Public: key, Handle: name, Now: time.Now()})
	if err != nil {
		return no(err)
	}
	d.leaves = append(d.leaves, c)
	store := windows.StoreUser
	if a.rst.Item(windows.ItemEnrollmentType) == windows.EnrollmentDevice {
		store = windows.StoreSystem
	}
	p := &windows.Provisioning{Client: c.Raw, Store: store, Application: windows.Application{ProviderID: deskProvider}}
	if a.kind == "issue" {
		period := d.renewPeriod
		if period == 0 {
			period = 42
		}
		p.Root = d.judge.ca.Certificate().Raw
		p.Renewal = &windows.Renewal{ROBO: true, RenewPeriod: period, RetryInterval: 4}
		p.Application = windows.Application{
			ProviderID: deskProvider, Name: deskProvider, Address: d.judge.house.url + d.path + windows.ManagementPath, ConnRetryFreq: 1, InitialBackoff: 1000, MaxBackoff: 1000,
			Search: windows.SearchCriteria(name, store), ClientAuth: windows.Auth{Type: "DIGEST", Secret: "s1", Nonce: []byte("nonce-1")},
			ServerAuth: windows.Auth{Type: "DIGEST", Name: name, Secret: "s2", Nonce: []byte("nonce-2")},
		}
		p.DMClient = &windows.DMClient{UPN: e.Header.Credential.Username, EntDMID: name, Poll: windows.DefaultPoll}
		if d.document != nil {
			d.document(p)
		}
	}
	document := string(windows.EncodeDocument(nil, p.Document()))
	if a.kind == "issue" {
		document = strings.Replace(document, "</wap-provisioningdoc>", d.extra+"</wap-provisioningdoc>", 1)
	}
	return soapReply(http.StatusOK, &windows.RequestSecurityTokenResponse{Document: []byte(document)}, e)
}

// session answers one message of a session.
func (d *desk) session(w http.ResponseWriter, r *http.Request, body []byte) {
	s := &remark{utterance: hearing(r, body, "a message of a session"), leaf: d.leafOf(r)}
	if err := windows.DecodeMessage(body, &s.Message); err != nil || s.leaf == nil {
		why := "it comes with no certificate that was issued to it"
		if err != nil {
			why = "not a message: " + err.Error()
		}
		s.Error = why
		s.utterance.answer(w, &reply{status: http.StatusForbidden, kind: "text/plain", body: why + "\n"})
		return
	}
	s.What = "the device: session " + s.Header.SessionID + ", message " + windows.Version{Major: uint16(s.Header.MsgID)}.String()
	leaves := slices.ContainsFunc(s.Commands, func(c windows.Command) bool {
		return c.Verb == windows.Alert && c.Code == windows.GenericAlert && len(c.Items) > 0 && strings.TrimSpace(c.Items[0].Meta.Type) == windows.TypeUnenrollment
	})
	d.left = d.left || leaves
	var a *reply
	if d.answers != nil {
		a = d.answers(s)
	}
	if a == nil {
		a = d.usual(s, leaves)
	}
	d.spoken = append(d.spoken, s)
	s.utterance.answer(w, a)
}

// usual is Status for everything, and what waits in the queue.
func (d *desk) usual(s *remark, leaves bool) *reply {
	m := windows.Message{Header: windows.SyncHdr{SessionID: s.Header.SessionID, MsgID: s.Header.MsgID, Target: s.Header.Source, Source: d.judge.house.url + d.path + windows.ManagementPath}, Final: true}
	status := func(c windows.Command) {
		c.Verb, c.CmdID, c.MsgRef = windows.Status, int32(len(m.Commands))+1, s.Header.MsgID
		m.Commands = append(m.Commands, c)
	}
	status(windows.Command{Cmd: windows.SyncHeader, Code: windows.OK})
	for i := range s.Commands {
		if c := &s.Commands[i]; c.Verb != windows.Status {
			status(windows.Command{CmdRef: c.CmdID, Cmd: c.Verb, CmdName: c.Name, Code: windows.OK})
		}
	}
	if len(d.queue) > 0 && !leaves {
		batch := d.queue[0]
		d.queue = d.queue[1:]
		d.numbers(batch)
		s.told = batch
		m.Commands = append(m.Commands, batch...)
		for i := range batch {
			for k := range batch[i].Items {
				m.Final = m.Final && !batch[i].Items[k].MoreData
			}
		}
	}
	return &reply{status: http.StatusOK, kind: windows.SyncMLContentType, body: string(windows.EncodeMessage(nil, &m))}
}

// without is a CmdID that a command goes out without.
const without = -1

// numbers gives commands their CmdIDs.
func (d *desk) numbers(commands []windows.Command) {
	for i := range commands {
		c := &commands[i]
		if c.CmdID == without {
			c.CmdID = 0
		} else {
			d.lastID++
			c.CmdID = d.lastID
		}
		d.numbers(c.Commands)
	}
}

// says are the messages of sessions so far.
func (t *trial) says(d *desk) []*remark {
	t.judge.mu.Lock()
	defer t.judge.mu.Unlock()
	return slices.Clone(d.spoken)
}

// begins has the device begin a session and returns its messages; it ends the check where there is none.
func (t *trial) session(d *desk) []*remark {
	before := len(t.says(d))
	if !t.comes(func() int { return len(t.says(d)) }) {
		t.unasked("the device does not begin a session%s", t.because())
	}
	all := t.says(d)[before:]
	t.last = all[len(all)-1].Exchange
	return all
}

// tells gives the device commands in a session, each batch in an answer of its own, and returns what it says to each of them.
func (t *trial) tells(d *desk, batches ...[]windows.Command) []*remark {
	t.judge.mu.Lock()
	d.queue = slices.Clone(batches)
	t.judge.mu.Unlock()
	all := t.session(d)
	var out []*remark
	for i, s := range all {
		if s.told != nil && i+1 < len(all) {
			out = append(out, all[i+1])
		}
	}
	if len(out) < len(batches) {
		t.unasked("the device answers %d of %d messages with commands%s", len(out), len(batches), t.because())
	}
	return out
}

// tell is tells with one batch.
func (t *trial) tell(d *desk, commands ...windows.Command) *remark { return t.tells(d, commands)[0] }

// code is the status of a command that was told; 0: there is none.
func (s *remark) code(c *windows.Command) windows.Code {
	ref := c.CmdID
	if ref == 0 {
		ref = windows.NoRef
	}
	for i := range s.Commands {
		if one := &s.Commands[i]; one.Verb == windows.Status && one.Cmd != windows.SyncHeader && one.CmdRef == ref {
			return one.Code
		}
	}
	return 0
}

// result is what a Get brought; nil: nothing.
func (s *remark) result(uri string) *windows.Item {
	for i := range s.Commands {
		for k := range s.Commands[i].Items {
			if item := &s.Commands[i].Items[k]; s.Commands[i].Verb == windows.Results && strings.EqualFold(item.Source, uri) {
				return item
			}
		}
	}
	return nil
}
