package device

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/certs"
	"rollcall/protocol"
	"rollcall/protocol/apple"
	"rollcall/server"
	"rollcall/server/authority"
	"rollcall/server/delivery"
	"rollcall/server/logs"
	"rollcall/server/store"
)

const (
	testTopic = "com.apple.mgmt.External.0f2a7c1e"
	testHost  = "mdm.example.org" // in links; never looked up
)

// A lab is a handler on a real TLS listener, over a store in memory and a clock that the test sets.
type lab struct {
	t     testing.TB
	core  *server.Server
	store store.Store
	ca    *certs.Authority
	h     *Handler
	addr  string
	clock atomic.Pointer[time.Time]
	log   *syncBuffer
	user  delivery.UserID
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func newLab(t testing.TB, change ...func(*Config)) *lab {
	return newLabOn(t, store.NewMemory(), change...)
}

var labStart = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

// labAuthority is the CA of every lab, made once: its RSA key takes longer than most of what is tested here.
var labAuthority = sync.OnceValues(func() (*certs.Authority, error) { return certs.NewAuthority(certs.P256, "test CA", labStart) })

func newLabOn(t testing.TB, kept store.Store, change ...func(*Config)) *lab {
	t.Helper()
	ctx := context.Background()
	l := &lab{t: t, store: kept, log: &syncBuffer{}}
	l.setClock(labStart)
	var err error
	if l.ca, err = labAuthority(); err != nil {
		t.Fatal(err)
	}
	face := l.serverCertificate()
	enrolment := &Enrolment{
		URL: "https://" + testHost, Name: "Example", CA: l.ca,
		Signer: func() (certs.Signer, error) {
			return certs.Signer{Certificate: face.Leaf, Chain: []*x509.Certificate{l.ca.Certificate()}, Key: face.PrivateKey.(*ecdsa.PrivateKey)}, nil
		},
	}
	if l.core, err = server.Open(ctx, l.pnow(), server.Config{Store: kept, Renewal: enrolment.Renewal}); err != nil {
		t.Fatal(err)
	}
	if err := l.core.SetUp(ctx, l.pnow(), authority.Tenant{Authority: protocol.Intune, Release: 2611}, delivery.Settings{}); err != nil {
		t.Fatal(err)
	}
	l.uploadPush(testTopic)
	users, err := l.core.PutUsers(ctx, l.pnow(), []store.User{{UPN: "ada@example.org", Groups: []string{"all"}, User: authority.User{IntuneLicence: true}}})
	if err != nil {
		t.Fatal(err)
	}
	l.user = users[0]
	cfg := Config{Server: l.core, Enrolment: enrolment, Now: l.now, Log: logs.New(l.log, true), LegacySignature: true}
	for _, f := range change {
		f(&cfg)
	}
	enrolment.SignMessage = cfg.SignMessage
	if cfg.Admission == nil {
		cfg.Admission = NewAdmission(0, cfg.Log)
	}
	if l.h, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	l.addr = l.listen(l.h, face)
	return l
}

func (l *lab) listen(h http.Handler, face tls.Certificate) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		l.t.Fatal(err)
	}
	config := l.h.TLSConfig()
	config.Certificates = []tls.Certificate{face}
	s := HTTPServer(h, config, l.h.cfg.Log)
	listener = l.h.cfg.Admission.Guard(s, listener)
	go s.ServeTLS(listener, "", "")
	l.t.Cleanup(func() { s.Close() })
	return listener.Addr().String()
}

// restart has another server go on with what is kept, at an address of its own.
func (l *lab) restart() {
	l.t.Helper()
	core, err := server.Open(context.Background(), l.pnow(), server.Config{Store: l.store})
	cfg := l.h.cfg
	cfg.Server = core
	if err == nil {
		l.h, err = New(cfg)
	}
	if err != nil {
		l.t.Fatal(err)
	}
	l.core, l.addr = core, l.listen(l.h, l.serverCertificate())
}

func (l *lab) now() time.Time        { return *l.clock.Load() }
func (l *lab) pnow() protocol.Time   { return protocol.At(l.now()) }
func (l *lab) setClock(at time.Time) { l.clock.Store(&at) }

func (l *lab) uploadPush(topic string) {
	l.t.Helper()
	p, err := certs.MakePush(l.ca, topic, l.now().Add(-time.Hour), l.now().AddDate(1, 0, 0))
	if err != nil {
		l.t.Fatal(err)
	}
	pem, err := p.PEM()
	for _, service := range []string{server.ConsentPush, server.ConsentADE} {
		if err == nil {
			err = l.core.Consent(context.Background(), l.pnow(), server.System, service)
		}
	}
	if err == nil {
		_, err = l.core.UploadPush(context.Background(), l.pnow(), pem, "", "", true, 0)
	}
	if err != nil {
		l.t.Fatal(err)
	}
}

func (l *lab) serverCertificate() tls.Certificate {
	key := newKey()
	leaf, err := l.ca.IssueServer([]string{testHost, "127.0.0.1"}, key.Public(), l.now(), 5*365*24*time.Hour)
	if err != nil {
		l.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}
}

func newKey() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return key
}

// identity has the core issue a certificate for a grant, as SCEP would.
func (l *lab) identity(g store.Grant) certs.Signer {
	l.t.Helper()
	ctx := context.Background()
	challenge, err := l.core.Grant(ctx, l.pnow(), g)
	if err != nil {
		l.t.Fatal(err)
	}
	if g.Platform == protocol.Android { // its challenge is a token, which is of no device even if it names one that is known
		challenge += " of nobody"
		g.Hash, g.Expires = sha256.Sum256([]byte(challenge)), l.pnow().Add(time.Hour)
		l.must(l.store.AddGrant(ctx, &g))
	}
	key := newKey()
	public, _ := x509.MarshalPKIXPublicKey(key.Public())
	var leaf *x509.Certificate
	_, err = l.core.Issue(ctx, l.pnow(), server.Claim{
		Challenge: challenge, Transaction: challenge, Request: sha256.Sum256(public), Key: sha256.Sum256(public),
		Make: func(*store.Grant) ([]byte, protocol.Time, protocol.Time, error) {
			leaf, err = l.ca.Issue(certs.IssueRequest{Public: key.Public(), Handle: "handle", Now: l.now()})
			if err != nil {
				return nil, 0, 0, err
			}
			return leaf.Raw, protocol.At(leaf.NotBefore), protocol.At(leaf.NotAfter), nil
		},
	})
	if err != nil {
		l.t.Fatal(err)
	}
	return certs.Signer{Certificate: leaf, Key: key}
}

// A phone is one device with its own connection.
type phone struct {
	lab  *lab
	id   string
	who  certs.Signer
	http *http.Client
	tls  *tls.Config

	leaves bool // an administrator dropped it
}

func (l *lab) phone(id string) *phone {
	l.t.Helper()
	return l.phoneOf(id, l.identity(store.Grant{Purpose: delivery.ForEnrolment, User: l.user}))
}

func (l *lab) phoneOf(id string, who certs.Signer) *phone {
	p := &phone{lab: l, id: id, who: who}
	var present *tls.Certificate
	if who.Certificate != nil {
		present = &tls.Certificate{Certificate: [][]byte{who.Certificate.Raw}, PrivateKey: who.Key}
	}
	p.http, p.tls = l.client(present)
	return p
}

// client presents a certificate whatever the server hints at.
func (l *lab) client(present *tls.Certificate) (*http.Client, *tls.Config) {
	roots := x509.NewCertPool()
	roots.AddCert(l.ca.Certificate())
	config := &tls.Config{RootCAs: roots, ServerName: testHost, Time: l.now, CurvePreferences: []tls.CurveID{tls.X25519}}
	if present != nil {
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return present, nil }
	}
	transport := &http.Transport{TLSClientConfig: config, DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, l.addr)
	}}
	l.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
		l.t.Error("redirected; a device would follow")
		return http.ErrUseLastResponse
	}}, config
}

// An answer is a response with its body read.
type answer struct {
	status int
	header http.Header
	length int64
	body   []byte
}

func (p *phone) do(method, path string, header http.Header, body []byte) (answer, error) {
	req, err := http.NewRequest(method, "https://"+testHost+path, bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	for k, v := range header {
		req.Header[k] = v
	}
	resp, err := p.http.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	a := answer{resp.StatusCode, resp.Header, resp.ContentLength, b}
	// APL-094 holds for every answer of every test, but where an administrator ordered the end.
	ofUser := a.status == 410 && bytes.Contains(body, []byte("<string>UserAuthenticate</string>")) // APL-038
	if a.status == 401 || a.status == 410 && !ofUser || bytes.Contains(b, []byte(apple.UnrecognizedDevice)) && !p.leaves || a.status/100 == 3 || a.status/100 == 2 && a.status != 200 {
		p.lab.t.Errorf("%s %s answered %d %q: a device could take it for its removal (APL-094)", method, path, a.status, b)
	}
	return a, err
}

// send sends m where its kind belongs.
func (p *phone) send(m apple.Message) answer {
	p.lab.t.Helper()
	path, kind := commandPath, apple.CommandType+"; charset=UTF-8"
	if m.MessageType != apple.NoMessageType {
		path, kind = checkInPath, apple.CheckInType
	}
	return p.put(path, kind, apple.EncodeMessage(nil, &m))
}

func (p *phone) put(path, contentType string, body []byte) answer {
	p.lab.t.Helper()
	a, err := p.do(http.MethodPut, path, http.Header{"Content-Type": {contentType}}, body)
	if err != nil {
		p.lab.t.Fatal(err)
	}
	return a
}

func (p *phone) authenticate() apple.Message {
	return apple.Message{
		MessageType: apple.Authenticate, UDID: p.id, Topic: testTopic, OSVersion: "18.1", BuildVersion: "22B83", ProductName: "iPhone15,2", SerialNumber: "C0" + p.id[:6],
	}
}

func (p *phone) tokenUpdate() apple.Message {
	return apple.Message{
		MessageType: apple.TokenUpdate, UDID: p.id, Topic: testTopic, Token: []byte(p.id + "-token"), PushMagic: "magic-" + p.id, UnlockToken: []byte("unlock-" + p.id),
	}
}

func (p *phone) idle() apple.Message { return apple.Message{UDID: p.id} }

// enrol goes through the two messages of an enrolment and does all that the server then wants.
func (p *phone) enrol() *phone {
	p.lab.t.Helper()
	for _, m := range []apple.Message{p.authenticate(), p.tokenUpdate()} {
		if a := p.send(m); a.status != 200 || len(a.body) != 0 {
			p.lab.t.Fatalf("%s of %s answered %d %q, want 200 and nothing\n%s", m.MessageType, p.id, a.status, a.body, p.lab.log)
		}
	}
	for a := p.send(p.idle()); len(a.body) > 0; {
		id, _, err := apple.DecodeCommand(a.body)
		if err != nil {
			p.lab.t.Fatal(err)
		}
		a = p.send(apple.Message{UDID: p.id, Status: protocol.Acknowledged, CommandUUID: id})
	}
	return p
}

func (l *lab) record(id string) store.Record {
	l.t.Helper()
	d, err := l.store.Device(context.Background(), id)
	if err == nil {
		var r store.Record
		if r, err = l.store.Record(context.Background(), d); err == nil {
			return r
		}
	}
	l.t.Fatalf("record of %s: %v", id, err)
	return store.Record{}
}

func (l *lab) order(id string, kind protocol.CommandKind) protocol.CommandID {
	l.t.Helper()
	c, err := l.core.Order(context.Background(), l.pnow(), l.record(id).State.Device, protocol.Command{Kind: kind})
	if err != nil {
		l.t.Fatal(err)
	}
	return c
}

func udid(n int) string { return fmt.Sprintf("00008101-%016X", n) }

// logged tells whether a line of the log has all these parts.
func (l *lab) logged(parts ...string) bool {
	for line := range strings.Lines(l.log.String()) {
		all := true
		for _, part := range parts {
			all = all && strings.Contains(line, part)
		}
		if all {
			return true
		}
	}
	return false
}
