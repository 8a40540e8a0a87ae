package device

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"rollcall/certs"
	"rollcall/protocol"
	"rollcall/protocol/windows"
	"rollcall/server"
	"rollcall/server/delivery"
)

// newWindowsLab is a lab that serves Windows devices.
func newWindowsLab(t testing.TB, change ...func(*Config)) *lab {
	return newLab(t, append([]func(*Config){func(c *Config) { c.Windows = &Windows{} }}, change...)...)
}

// A pc is a Windows device with a connection of its own: a small tree of nodes, and a log of what it was told.
type pc struct {
	*phone
	key     *ecdsa.PrivateKey
	given   *windows.Provisioning
	session uint32
	msg     uint32

	login   string
	tree    map[string]string
	fails   map[string]windows.Code // answers of their own, by verb and node
	told    []windows.Command       // in order, without Status
	context []windows.ContextItem   // besides the usual ones

	hardware string // HWDevID
}

func (l *lab) pc(id string) *pc {
	return &pc{
		hardware: "hw" + id, phone: l.phoneOf(id, certs.Signer{}), key: newKey(), login: windows.LoginUser, tree: map[string]string{}, fails: map[string]windows.Code{},
	}
}

func (l *lab) ticketFor(user delivery.UserID) string {
	l.t.Helper()
	token, err := l.core.Invite(context.Background(), l.pnow(), user, protocol.Windows, time.Hour)
	if err != nil {
		l.t.Fatal(err)
	}
	return token
}

func pcID(n int) string {
	return "8090C8B484A0E24EB5C56E806CB4EE" + strconv.FormatInt(int64(0x10+n), 16)
}

// csr is a request for a certificate with this key.
func csr(t testing.TB, key any) []byte {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "device"}}, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// post sends an envelope, or bytes in its place.
func (p *pc) post(path string, header windows.Header, body windows.Body) (answer, *windows.Envelope) {
	p.lab.t.Helper()
	header.MessageID, header.To = "urn:uuid:"+p.id, "https://"+testHost+path
	return p.postRaw(path, windows.EncodeEnvelope(nil, &windows.Envelope{Header: header, Body: body}))
}

func (p *pc) postRaw(path string, raw []byte) (answer, *windows.Envelope) {
	p.lab.t.Helper()
	a, err := p.do(http.MethodPost, path, http.Header{"Content-Type": {windows.SOAPContentType}}, raw)
	if err != nil {
		p.lab.t.Fatal(err)
	}
	whole(p.lab.t, a)
	e, err := windows.DecodeEnvelope(a.body)
	if err != nil {
		return a, nil
	}
	if f, ok := e.Body.(*windows.Fault); ok && a.status != windows.FaultStatus {
		p.lab.t.Errorf("%s: fault %v with HTTP %d (WIN-021)", path, f, a.status)
	}
	return a, e
}

func password(user, token string) windows.Header {
	return windows.Header{Credential: windows.Credential{Kind: windows.Password, Username: user, Password: token}}
}

const ada = "ada@example.org"

func (p *pc) rst(kind string, token []byte) *windows.RequestSecurityToken {
	r := &windows.RequestSecurityToken{Token: token}
	for name, value := range map[string]string{
		windows.ItemDeviceID: p.id, windows.ItemEnrollmentType: kind, windows.ItemDeviceType: windows.DeviceDesktop, windows.ItemDeviceName: "PC-" + p.id[28:],
		windows.ItemHWDevID: p.hardware, windows.ItemApplicationVersion: "10.0.22631.1", windows.ItemOSEdition: "48",
	} {
		r.Context = append(r.Context, windows.ContextItem{Name: name, Value: value})
	}
	r.Context = append(r.Context, p.context...)
	return r
}

// ask asks for a certificate; nil: this fault was the answer.
func (p *pc) ask(header windows.Header, r *windows.RequestSecurityToken) (*windows.Provisioning, *windows.Fault) {
	p.lab.t.Helper()
	_, e := p.post(windows.EnrollmentPath, header, r)
	if e == nil {
		p.lab.t.Fatalf("no envelope came back\n%s", p.lab.log)
	}
	if f, ok := e.Body.(*windows.Fault); ok {
		return nil, f
	}
	d, err := windows.DecodeDocument(e.Body.(*windows.RequestSecurityTokenResponse).Document)
	var given *windows.Provisioning
	if err == nil {
		given, err = windows.ReadProvisioning(d)
	}
	if err != nil {
		p.lab.t.Fatal(err)
	}
	return given, nil
}

// wears has the pc present a certificate from now on.
func (p *pc) wears(der []byte, key *ecdsa.PrivateKey) {
	p.lab.t.Helper()
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		p.lab.t.Fatal(err)
	}
	p.key, p.who = key, certs.Signer{Certificate: leaf, Key: key}
	p.http, p.phone.tls = p.lab.client(&tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key})
}

// enrol enrols the pc for the lab's user and holds its first session.
func (p *pc) enrol() *pc {
	p.lab.t.Helper()
	given, f := p.ask(password(ada, p.lab.ticketFor(p.lab.user)), p.rst(windows.EnrollmentFull, csr(p.lab.t, p.key)))
	if f != nil {
		p.lab.t.Fatalf("%v\n%s", f, p.lab.log)
	}
	p.given = given
	p.wears(given.Client, p.key)
	p.sync()
	p.told = nil
	return p
}

func (p *pc) head() windows.SyncHdr {
	p.msg++
	return windows.SyncHdr{SessionID: strconv.FormatUint(uint64(p.session), 10), MsgID: p.msg, Target: "https://" + testHost + windows.ManagementPath + "?mode=Maintenance", Source: p.id}
}

// begin is package 1 of a new session.
func (p *pc) begin(alerts ...windows.Command) *windows.Message {
	p.session++
	p.msg = 0
	m := &windows.Message{Header: p.head(), Final: true}
	m.Commands = append(m.Commands, windows.Command{Verb: windows.Alert, Code: windows.ClientInitiated},
		windows.Command{Verb: windows.Alert, Code: windows.ClientEvent, Items: []windows.Item{{Meta: windows.Meta{Type: windows.TypeLoginStatus}, Data: p.login}}})
	m.Commands = append(m.Commands, alerts...)
	m.Commands = append(m.Commands, windows.Command{Verb: windows.Replace, Items: []windows.Item{
		{Source: "./DevInfo/DevId", Data: p.id}, {Source: "./DevInfo/Mod", Data: "simulated"},
	}})
	for i := range m.Commands {
		m.Commands[i].CmdID = int32(i + 2)
	}
	return m
}

// sends posts one message and reads the answer; nil: it is no SyncML.
func (p *pc) sends(m *windows.Message) (answer, *windows.Message) {
	p.lab.t.Helper()
	return p.sendRaw(windows.EncodeMessage(nil, m))
}

func (p *pc) sendRaw(raw []byte) (answer, *windows.Message) {
	p.lab.t.Helper()
	a, err := p.do(http.MethodPost, windows.ManagementPath+"?mode=Maintenance&Platform=WoA", http.Header{"Content-Type": {windows.SyncMLContentType + "; charset=utf-8"}}, raw)
	if err != nil {
		p.lab.t.Fatal(err)
	}
	whole(p.lab.t, a)
	var m windows.Message
	if a.status != http.StatusOK || windows.DecodeMessage(a.body, &m) != nil {
		return a, nil
	}
	return a, &m
}

// must is sends of which SyncML comes back.
func (p *pc) must(m *windows.Message) *windows.Message {
	p.lab.t.Helper()
	a, out := p.sends(m)
	if out == nil {
		p.lab.t.Fatalf("answered %d %q\n%s", a.status, a.body, p.lab.log)
	}
	return out
}

// sync holds a whole session and returns how many messages it took.
func (p *pc) sync(alerts ...windows.Command) int {
	p.lab.t.Helper()
	in := p.must(p.begin(alerts...))
	for p.more(in) {
		if p.msg > 50 {
			p.lab.t.Fatal("the session does not end")
		}
		in = p.must(p.obey(in))
	}
	return int(p.msg)
}

// more tells whether an answer asks for another message.
func (p *pc) more(in *windows.Message) bool {
	for i := range in.Commands {
		if in.Commands[i].Verb != windows.Status {
			return true
		}
	}
	return !in.Final
}

// obey does what an answer says and returns the next message.
func (p *pc) obey(in *windows.Message) *windows.Message {
	out := &windows.Message{Header: p.head(), Final: true}
	id := int32(1)
	say := func(c windows.Command) {
		c.CmdID, c.MsgRef = id, in.Header.MsgID
		id++
		out.Commands = append(out.Commands, c)
	}
	say(windows.Command{Verb: windows.Status, Cmd: windows.SyncHeader, Code: windows.OK})
	var each func(c *windows.Command)
	each = func(c *windows.Command) {
		if c.Verb == windows.Status {
			return
		}
		p.told = append(p.told, *c)
		code, results := p.execute(c)
		say(windows.Command{Verb: windows.Status, CmdRef: c.CmdID, Cmd: c.Verb, Code: code})
		for i := range c.Commands {
			each(&c.Commands[i])
		}
		if results != nil {
			say(*results)
		}
	}
	for i := range in.Commands {
		each(&in.Commands[i])
	}
	return out
}

// execute does one command to the tree.
func (p *pc) execute(c *windows.Command) (windows.Code, *windows.Command) {
	if len(c.Items) == 0 {
		return windows.OK, nil
	}
	item := &c.Items[0]
	_, there := p.tree[item.Target]
	if code, ok := p.fails[c.Verb.String()+" "+item.Target]; ok {
		return code, nil
	}
	switch c.Verb {
	case windows.Add:
		if there {
			return windows.AlreadyExists, nil
		}
		p.tree[item.Target] = item.Data
	case windows.Replace:
		if item.MoreData {
			p.tree["chunks"] += item.Data
			return windows.ChunkBuffered, nil
		}
		p.tree[item.Target] = p.tree["chunks"] + item.Data
		delete(p.tree, "chunks")
	case windows.Delete:
		gone := false
		for uri := range p.tree {
			if uri == item.Target || strings.HasPrefix(uri, item.Target+"/") {
				delete(p.tree, uri)
				gone = true
			}
		}
		if !gone {
			return windows.NotFound, nil
		}
	case windows.Get:
		if !there {
			return windows.NotFound, nil
		}
		return windows.OK, &windows.Command{Verb: windows.Results, CmdRef: c.CmdID, Cmd: windows.Get, Items: []windows.Item{{Source: item.Target, Data: p.tree[item.Target]}}}
	}
	return windows.OK, nil
}

// verbs are what the pc was told, as text.
func (p *pc) verbs() string {
	var b strings.Builder
	for i := range p.told {
		c := &p.told[i]
		b.WriteString(c.Verb.String())
		if len(c.Items) > 0 {
			b.WriteString(" " + c.Items[0].Target)
		}
		b.WriteString("\n")
	}
	return b.String()
}

func (p *pc) state() delivery.State { return p.lab.record(p.id).State }

// profile gives everybody a profile of the tenant's authority.
func (l *lab) profile(name, identifier string, family protocol.Family, payload []byte) {
	l.t.Helper()
	l.profileOf(protocol.Unknown, name, identifier, family, payload)
}

func (l *lab) profileOf(a protocol.Authority, name, identifier string, family protocol.Family, payload []byte) {
	l.t.Helper()
	_, err := l.core.PutProfile(context.Background(), l.pnow(), server.System, server.ProfileChange{
		Authority: a, Name: name, Family: family, Identifier: identifier, Payload: payload, Groups: []string{"all"},
	}, "")
	l.must(err)
}

// A bare client calls the handler as its connection would, behind a handshake that is over.
type bare struct {
	h   *Handler
	ctx context.Context
	tls *tls.ConnectionState
}

func newBare(h *Handler, leaf *x509.Certificate) *bare {
	return &bare{h, connContext(context.Background(), nil), &tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}}}
}

func (c *bare) send(method, path, kind string, body []byte) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(c.ctx, method, "https://"+testHost+path, bytes.NewReader(body))
	r.Header.Set("Content-Type", kind)
	r.TLS = c.tls
	w := httptest.NewRecorder()
	c.h.mux.ServeHTTP(w, r)
	return w
}

func (c *bare) post(path, kind string, body []byte) *httptest.ResponseRecorder {
	return c.send(http.MethodPost, path, kind, body)
}
