package link

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/agent/dialect"
	"rollcall/certs"
	"rollcall/certs/scep"
	"rollcall/protocol"
	"rollcall/protocol/apple"
)

var (
	noon   = time.Unix(1_800_000_000, 0).UTC()
	iPhone = &dialect.Model{Platform: protocol.IOS, Name: "iPhone", Product: "iPhone14,5", OSVersion: "17.6", Build: "21G80"}

	authority = sync.OnceValues(func() (*certs.Authority, error) { return certs.NewAuthority(certs.P256, "test CA", noon) })
	foreign   = sync.OnceValues(func() (*certs.Authority, error) { return certs.NewAuthority(certs.P256, "other CA", noon) })
)

// A server is a small MDM server with a script: what it was asked, and what it gives.
type server struct {
	*httptest.Server
	t    testing.TB
	ca   *certs.Authority
	time atomic.Int64 // Unix seconds: the clock of server and devices
	scep scep.Server

	mu      sync.Mutex
	asked   []string                                                       // step words in order: Authenticate, TokenUpdate, Idle, or UUID and status of a report
	serials map[string]int                                                 // requests by serial number of the client certificate
	queue   []order                                                        // commands, oldest first
	pending int                                                            // SCEP requests that are answered PENDING
	edit    func(p *apple.Profile)                                         // of the enrolment profile
	before  func(w http.ResponseWriter, r *http.Request, body []byte) bool // true: it has answered
}

func (s *server) now() time.Time  { return time.Unix(s.time.Load(), 0).UTC() }
func (s *server) set(t time.Time) { s.time.Store(t.Unix()) }

type order struct {
	uuid string
	c    apple.Command
}

// serve starts a server whose certificate is valid at noon for a year. change may be nil.
func serve(t testing.TB, change func(s *server, c *tls.Config)) *server {
	t.Helper()
	ca, err := authority()
	if err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, ca: ca, serials: map[string]int{}}
	s.set(noon)
	s.scep = scep.Server{CA: ca, Now: s.now, Issue: s.issue}
	key, err := certs.GenerateKey(certs.P256)
	if err != nil {
		t.Fatal(err)
	}
	own, err := ca.IssueServer([]string{"127.0.0.1"}, key.Public(), noon, 0)
	if err != nil {
		t.Fatal(err)
	}
	clients := x509.NewCertPool()
	clients.AddCert(ca.Certificate())
	config := &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{own.Raw}, PrivateKey: key}},
		ClientAuth:   tls.VerifyClientCertIfGiven, ClientCAs: clients, Time: s.now,
	}
	if change != nil {
		change(s, config)
	}
	s.Server = httptest.NewUnstartedServer(s)
	s.TLS = config
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func (s *server) issue(_ context.Context, r *scep.Request) (*x509.Certificate, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pending > 0 {
		s.pending--
		return nil, scep.ErrPending
	}
	if r.Type != scep.CertPoll {
		s.asked = append(s.asked, "SCEP")
		if r.Challenge != "secret" {
			return nil, &scep.Failure{Info: scep.BadRequest}
		}
		return s.ca.Issue(certs.IssueRequest{Public: r.CSR.PublicKey, Handle: "handle", Now: s.now()})
	}
	return nil, &scep.Failure{Info: scep.BadCertID}
}

func (s *server) profile() []byte {
	p := &apple.Profile{
		Identifier: "com.example.mdm", UUID: "1",
		Payloads: []apple.Payload{
			{Type: apple.MDMPayload, Identifier: "mdm", UUID: "2", MDM: &apple.MDM{
				IdentityCertificateUUID: "3", Topic: "com.apple.mgmt.External.x", ServerURL: s.URL + "/mdm", CheckInURL: s.URL + "/checkin",
				AccessRights: apple.AllRights, CheckOutWhenRemoved: true,
			}},
			{Type: apple.SCEPPayload, Identifier: "scep", UUID: "3", SCEP: &apple.SCEP{URL: s.URL + "/scep", Challenge: "secret", Keysize: 2048}},
		},
	}
	if s.edit != nil {
		s.edit(p)
	}
	return apple.EncodeProfile(p)
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/scep" {
		s.scep.ServeHTTP(w, r)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the device was cut off
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.before != nil && s.before(w, r, body) {
		return
	}
	switch r.URL.Path {
	case "/enrol":
		s.asked = append(s.asked, "profile")
		w.Write(s.profile())
		return
	case "/ade":
		signed, err := certs.VerifyMachineInfo(body, []*x509.Certificate{s.ca.Certificate()})
		if err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
		m, err := apple.DecodeMachineInfo(signed.Content)
		if err != nil {
			s.t.Error(err)
			return
		}
		s.asked = append(s.asked, "machine "+m.Serial)
		w.Write(s.profile())
		return
	}
	if r.Method != http.MethodPut || len(r.TLS.PeerCertificates) == 0 {
		http.Error(w, "no", http.StatusBadRequest)
		return
	}
	s.serials[r.TLS.PeerCertificates[0].SerialNumber.Text(16)]++
	var m apple.Message
	if err := apple.DecodeMessage(body, &m); err != nil {
		s.t.Errorf("message: %v", err)
		return
	}
	switch {
	case m.MessageType != apple.NoMessageType:
		s.asked = append(s.asked, m.MessageType.String())
		return
	case m.Status == protocol.NoStatus:
		s.asked = append(s.asked, "Idle")
	default:
		s.asked = append(s.asked, m.CommandUUID+" "+m.Status.String())
		if len(s.queue) > 0 && s.queue[0].uuid == m.CommandUUID && m.Status != protocol.NotNow {
			s.queue = s.queue[1:]
		}
	}
	if len(s.queue) > 0 {
		w.Write(apple.EncodeCommand(nil, s.queue[0].uuid, s.queue[0].c))
	}
}

// give queues commands.
func (s *server) give(list ...order) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queue = append(s.queue, list...)
}

// told returns what the server was asked since the last call.
func (s *server) told() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked := s.asked
	s.asked = nil
	return asked
}

func (s *server) roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(s.ca.Certificate())
	return pool
}

// link makes a link whose devices trust the server and have its clock.
func (s *server) link(c Config) *Link {
	s.t.Helper()
	if c.Roots == nil {
		c.Roots = s.roots()
	}
	if c.Now == nil {
		c.Now = s.now
	}
	if c.Dial == nil {
		c.Dial = new(net.Dialer).DialContext
	}
	c.TransportKeys = append(c.TransportKeys, transportKey(s.t))
	l, err := New(c)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(l.Close)
	return l
}

func device(n int) *dialect.Apple {
	return dialect.NewApple(dialect.Who{Number: protocol.Device(n), Seed: 1, UDID: fmt.Sprintf("00008101-%016d", n), Serial: fmt.Sprintf("RC%08d", n)}, iPhone, &dialect.Habits{})
}

// enrolled enrols a device through l.
func (s *server) enrolled(l *Link, n int) *dialect.Apple {
	s.t.Helper()
	d := device(n)
	if _, err := l.Enrol(s.t.Context(), d, dialect.Start{URL: s.URL + "/enrol"}); err != nil {
		s.t.Fatal(err)
	}
	s.told()
	return d
}

// converse wakes d and demands that the conversation goes well.
func (s *server) converse(l *Link, d *dialect.Apple, why dialect.Why) Report {
	s.t.Helper()
	r, err := l.Converse(s.t.Context(), d, why)
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}
