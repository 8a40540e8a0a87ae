package rehearsal

import (
	"bytes"
	"cmp"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"rollcall/agent"
	"rollcall/agent/dialect"
	"rollcall/certs"
	"rollcall/certs/scep"
	"rollcall/protocol"
	"rollcall/protocol/apple"
	"rollcall/server"
	"rollcall/server/delivery"
	"rollcall/server/device"
)

// wireURL is what the server of a rehearsal is called where devices speak; nobody is asked who that is.
const wireURL = "https://rehearsal.invalid"

// A Wire is what the voices of a rehearsal have in common: the server's authorities, keys and profiles. Safe for use by several
// loops at a time.
type Wire struct {
	ca, factory *certs.Authority
	enrolment   *device.Enrolment
	transport   func() (*scep.Transport, error) // made when the first device needs it: it takes a tenth of a second
	cache       scep.CACache
	log         *logrus.Logger

	fault func(s dialect.Step, answer bool, body []byte) []byte // what a test has go wrong in a message or in its answer; nil: nothing
}

// newWire makes the authorities and keys of a story that begins at start.
func newWire(start protocol.Time) (*Wire, error) {
	now := start.Time().Add(-time.Hour)
	w := &Wire{log: logrus.New()}
	w.log.SetOutput(io.Discard) // what is refused, the rehearsal says itself
	var err error
	if w.ca, err = certs.NewAuthority(certs.P256, "rehearsal", now); err != nil {
		return nil, err
	}
	if w.factory, err = certs.NewIssuer("rehearsal factory", now); err != nil {
		return nil, err
	}
	key, err := certs.GenerateKey(certs.P256)
	if err != nil {
		return nil, err
	}
	leaf, err := w.ca.IssueServer([]string{"rehearsal.invalid"}, key.Public(), now, w.ca.Certificate().NotAfter.Sub(now))
	if err != nil {
		return nil, err
	}
	seal, err := certs.NewSeal("rehearsal notices", now)
	if err != nil {
		return nil, err
	}
	w.enrolment = &device.Enrolment{
		URL: wireURL, Name: "rehearsal", CA: w.ca, SignMessage: true, Seal: seal,
		Signer: func() (certs.Signer, error) {
			return certs.Signer{Certificate: leaf, Chain: []*x509.Certificate{w.ca.Certificate()}, Key: key}, nil
		},
	}
	w.transport = sync.OnceValues(func() (*scep.Transport, error) {
		transport, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			return nil, err
		}
		return scep.NewTransport(transport, now)
	})
	return w, nil
}

// identity makes the factory identity of a device.
func (w *Wire) identity(udid string, now time.Time) (certs.Signer, error) {
	key, err := certs.GenerateKey(certs.P256)
	if err != nil {
		return certs.Signer{}, err
	}
	c, err := w.factory.Issue(certs.IssueRequest{Public: key.Public(), Handle: udid, Now: now})
	return certs.Signer{Certificate: c, Chain: []*x509.Certificate{w.factory.Certificate()}, Key: key}, err
}

// older issues a certificate as old as id, for the key that a device has.
func (w *Wire) older(d interface {
	Signer(dialect.Which) (certs.Signer, error)
}, id agent.Identity,
) (*x509.Certificate, error) {
	who, err := d.Signer(dialect.Current)
	if err != nil {
		return nil, err
	}
	from, subject := id.NotBefore.Add(certs.Backdate), &who.Certificate.Subject
	return w.ca.Issue(certs.IssueRequest{
		Public: who.Key.Public(), Handle: subject.CommonName, Unit: strings.Join(subject.OrganizationalUnit, "+"), Now: from.Time(), Lifetime: id.NotAfter.Sub(from),
	})
}

// directory believes the tokens that the devices of a rehearsal enrol with by themselves.
func directory(_ context.Context, _ protocol.Time, token string) (*device.EntraClaims, error) {
	upn, id, ok := strings.Cut(token, " ")
	if !ok {
		return nil, errors.New("no token of the rehearsal's directory")
	}
	return &device.EntraClaims{UPN: upn, Device: id}, nil
}

// An edge is where the devices of a loop meet its server: the handler that serves real devices, without a socket. What has come
// through its gate is decided by the loop.
type edge struct {
	*Wire
	loop    *Loop
	decide  func(ev *delivery.Event, out *delivery.Outcome) error // what the handler does with a round
	server  *server.Server                                        // that handler is before
	handler http.Handler
	shakes  func(tls.ConnectionState) error
	connect func(context.Context, net.Conn) context.Context
}

// open makes the handler, where the server is another than before.
func (e *edge) open() error {
	if e.server == e.loop.server {
		return nil
	}
	h, err := device.New(device.Config{
		Server: e.loop.server, Enrolment: e.enrolment, Now: func() time.Time { return e.loop.Clock().Time() }, Log: e.log,
		SignMessage: true, LegacySignature: true, Android: &device.Android{}, Windows: &device.Windows{Verify: directory},
		Handle: func(_ context.Context, _ protocol.Time, ev *delivery.Event, out *delivery.Outcome) error {
			return e.decide(ev, out)
		},
	})
	if err != nil {
		return err
	}
	config := h.TLSConfig()
	e.server, e.handler, e.shakes, e.connect = e.loop.server, h, config.VerifyConnection, device.HTTPServer(h, config, e.log).ConnContext
	return nil
}

// exchange has the server answer a request; who nil: of somebody without an identity. The error is a handshake's that it refuses.
func (e *edge) exchange(conn context.Context, r *dialect.Request, who *certs.Signer, now time.Time) (dialect.Response, error) {
	body := r.Body
	if e.fault != nil {
		body = e.fault(r.Step, false, body)
	}
	request, err := http.NewRequestWithContext(conn, r.Method, r.URL, bytes.NewReader(body))
	if err != nil {
		return dialect.Response{}, err
	}
	request.Header.Set("Content-Type", r.ContentType)
	request.Header.Set("User-Agent", r.UserAgent)
	if r.Bearer != "" {
		request.Header.Set("Authorization", "Bearer "+r.Bearer)
	}
	signature, err := signed(r.Sign, body, who, now)
	if err != nil {
		return dialect.Response{}, err
	}
	if signature != "" {
		request.Header.Set("Mdm-Signature", signature)
	}
	request.TLS = &tls.ConnectionState{HandshakeComplete: true}
	if who != nil {
		request.TLS.PeerCertificates = []*x509.Certificate{who.Certificate}
	}
	if err := e.shakes(*request.TLS); err != nil {
		return dialect.Response{}, err
	}
	a := e.serve(request)
	taken := a.Bytes()
	if e.fault != nil {
		taken = e.fault(r.Step, true, taken)
	}
	seconds, _ := strconv.Atoi(a.header.Get("Retry-After")) // nothing else is ever there
	return dialect.Response{
		Status: a.status, ContentType: a.header.Get("Content-Type"), RetryAfter: time.Duration(seconds) * time.Second,
		Notice: a.header.Get(apple.NoticeHeader), Body: taken,
	}, nil
}

func (e *edge) serve(r *http.Request) *answer {
	r.RemoteAddr, r.RequestURI = "127.0.0.1:1", r.URL.RequestURI()
	a := &answer{header: http.Header{}}
	e.handler.ServeHTTP(a, r)
	if a.status == 0 {
		a.status = http.StatusOK
	}
	return a
}

// orStatus is an error, or how the server has answered.
func orStatus(err error, r *dialect.Response) string {
	return cmp.Or(text(err), fmt.Sprintf("status %d", r.Status))
}

// RoundTrip serves the clients of SCEP and EST.
func (e *edge) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body == nil {
		r.Body = http.NoBody
	}
	a := e.serve(r)
	return &http.Response{
		StatusCode: a.status, Status: http.StatusText(a.status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: a.header, Body: io.NopCloser(&a.Buffer), ContentLength: int64(a.Len()), Request: r,
	}, nil
}

// A presenting edge has requests come from an identity.
type presenting struct {
	*edge
	who *x509.Certificate
}

// RoundTrip serves EST's client.
func (p *presenting) RoundTrip(r *http.Request) (*http.Response, error) {
	r.TLS = &tls.ConnectionState{HandshakeComplete: true, PeerCertificates: []*x509.Certificate{p.who}}
	if err := p.shakes(*r.TLS); err != nil {
		return nil, err
	}
	return p.edge.RoundTrip(r)
}

// scep obtains the certificate that a device asks for, with a key of its own.
func (e *edge) scep(s *dialect.SCEP, now time.Time) (crypto.Signer, *x509.Certificate, error) {
	key, err := certs.GenerateKey(certs.P256)
	if err != nil {
		return nil, nil, err
	}
	transport, err := e.transport()
	if err != nil {
		return nil, nil, err
	}
	client := scep.Client{URL: s.URL, Name: s.Name, CAFingerprint: s.CAFingerprint, HTTP: &http.Client{Transport: e}, Cache: &e.cache}
	cert, err := client.Enrol(e.loop.ctx, scep.EnrolRequest{
		Key: key, Transport: transport, Subject: s.Subject, Extensions: s.KeyUsage, Challenge: s.Challenge, Retries: -1, Now: now,
	})
	return key, cert, err
}

// machine takes a MachineInfo as the server does: signed by the factory, about this device.
func (e *edge) machine(r *dialect.Request, udid string, now time.Time) error {
	factory, err := e.identity(udid, now)
	if err != nil {
		return err
	}
	body, err := certs.SignAttached(r.Body, factory, now)
	if err != nil {
		return err
	}
	taken, err := certs.VerifyMachineInfo(body, []*x509.Certificate{e.factory.Certificate()})
	if err != nil {
		return err
	}
	info, err := apple.DecodeMachineInfo(taken.Content)
	if err == nil && info.UDID != udid {
		err = fmt.Errorf("it is about %q", info.UDID)
	}
	return err
}

// An answer is a response on its way back.
type answer struct {
	bytes.Buffer
	header http.Header
	status int
}

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
}
