package device

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"rollcall/certs"
	"rollcall/protocol"
	"rollcall/protocol/android"
	"rollcall/protocol/apple"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

// android makes an Android device that has enrolled, and returns a steady message of it.
func (l *lab) android(id string) (p *phone, steady []byte) {
	l.t.Helper()
	who := l.identity(store.Grant{Purpose: delivery.ForEnrolment, User: l.user, ID: id, Platform: protocol.Android, Serial: "e-1 FULLY_MANAGED"})
	p = l.phoneOf(id, who)
	return p, p.begins()
}

// begins is the first check-in of an Android device under its certificate; it returns a steady message.
func (p *phone) begins() (steady []byte) {
	l := p.lab
	l.t.Helper()
	m := android.CheckIn{
		Protocol: 1, CheckIn: "c-1", Round: 1, Device: p.id, Reason: android.ReasonEnrolled, Time: l.pnow(), Applied: android.AppliedPolicy{State: android.Provisioning}, Compliant: true,
		Status: &android.StatusReport{HardwareInfo: &android.Hardware{Brand: "acme", Model: "A1", SerialNumber: "S-1"}, SoftwareInfo: &android.Software{APILevel: 34, AndroidVersion: "14"}},
	}
	var a android.CheckInAnswer
	say := func() {
		got, err := p.do(http.MethodPost, android.CheckInPath, nil, android.Append(nil, &m))
		if err == nil {
			err = android.Decode(got.body, &a)
		}
		if err != nil || got.status != 200 {
			l.t.Fatalf("%d %s %v", got.status, got.body, err)
		}
	}
	say()
	m.Round, m.Status = 2, nil
	m.Applied = android.AppliedPolicy{State: android.Active, PolicyName: a.Policy.Name, PolicyVersion: a.Policy.Version}
	for _, e := range a.Policy.Profiles {
		m.Applied.Profiles = append(m.Applied.Profiles, android.AppliedProfile{ID: e.ID, Version: e.Version, Status: android.Applied})
	}
	say()
	if !a.Complete {
		l.t.Fatalf("not enrolled: %+v", a)
	}
	m.CheckIn, m.Round, m.Reason, m.Epoch = "c-0000000000000002", 1, android.ReasonSchedule, a.Authority.Epoch
	return android.Append(nil, &m)
}

// An answered is a writer that keeps nothing.
type answered struct {
	header http.Header
	code   int
}

func (a *answered) Header() http.Header         { return a.header }
func (a *answered) Write(b []byte) (int, error) { return len(b), nil }
func (a *answered) WriteHeader(code int)        { a.code = code }

// A said is one device's message, said again and again without its connection: the request and the writer are used again.
type said struct {
	l    *lab
	r    *http.Request
	in   *bytes.Reader
	kept io.ReadCloser
	w    answered
	body []byte
	id   []byte // in body, what is new in every message; nil: it is the same each time
	peer *peer
	anew bool // each message is the first of its connection, whose handshake is not made
	n    int64
}

func (l *lab) says(method, path string, leaf *x509.Certificate, body, id []byte) *said {
	s := &said{l: l, in: bytes.NewReader(body), w: answered{header: http.Header{}}, body: body, peer: new(peer)}
	if at := bytes.Index(body, id); id != nil {
		s.id = body[at : at+len(id)]
	}
	s.r = httptest.NewRequestWithContext(context.WithValue(context.Background(), peerKey{}, s.peer), method, path, s.in)
	s.r.TLS, s.kept = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}}, s.r.Body
	return s
}

func (s *said) say(b *testing.B) {
	if s.n%20_000 == 0 { // more in a minute are refused (HST-056)
		s.l.setClock(s.l.now().Add(time.Minute))
	}
	s.n++
	for i, n := len(s.id)-1, s.n; i >= 0 && n > 0; i, n = i-1, n/10 {
		s.id[i] = '0' + byte(n%10)
	}
	if s.anew {
		*s.peer = peer{}
	}
	s.in.Reset(s.body)
	clear(s.w.header)
	s.r.Body, s.w.code = s.kept, 200
	if s.l.h.mux.ServeHTTP(&s.w, s.r); s.w.code != 200 {
		b.Fatal(s.w.code)
	}
}

// BenchmarkAndroid measures a steady check-in on the server, beside Apple's: one round each, with the same store in memory. A new one has an
// id of its own, as every check-in has; repeated is one whose answer was lost, and which changed nothing: nothing was kept of it, and it
// is decided again. Both devices stay connected: what a connection's device says again is known by its bytes; the first of a connection has
// nothing to be known by, and is measured without the handshake that it costs. Together, they take turns of a thousand, so that what else the
// machine does meets all: ratio is new by Apple's, first-ratio that of the first ones.
func BenchmarkAndroid(b *testing.B) {
	l := newLab(b, func(c *Config) {
		seal, err := certs.NewSeal("orders", c.Now())
		if err != nil {
			b.Fatal(err)
		}
		c.Enrolment.Seal, c.Android = seal, &Android{}
	})
	phone := l.phone(udid(1)).enrol()
	for a := phone.send(phone.idle()); len(a.body) > 0; { // what its enrolment brought
		id, _, err := apple.DecodeCommand(a.body)
		if err != nil {
			b.Fatal(err)
		}
		a = phone.send(apple.Message{UDID: phone.id, Status: protocol.Acknowledged, CommandUUID: id})
	}
	droid, steady := l.android("d-0123456789abcdef0123")
	sides := []struct {
		name string
		said *said
	}{
		{"apple", l.says(http.MethodPut, commandPath, phone.who.Certificate, encode(phone.idle()), nil)},
		{"new", l.says(http.MethodPost, android.CheckInPath, droid.who.Certificate, bytes.Clone(steady), []byte("0000000000000002"))},
		{"apple-first", l.says(http.MethodPut, commandPath, phone.who.Certificate, encode(phone.idle()), nil)},
		{"first", l.says(http.MethodPost, android.CheckInPath, droid.who.Certificate, bytes.Clone(steady), []byte("0000000000000002"))},
		{"repeated", l.says(http.MethodPost, android.CheckInPath, droid.who.Certificate, steady, nil)},
	}
	sides[2].said.anew, sides[3].said.anew = true, true
	sides[3].said.n = 1e9 // its ids are not those of new
	for _, side := range sides {
		b.Run(side.name, func(b *testing.B) {
			b.ReportAllocs()
			before := processorTime()
			for b.Loop() {
				side.said.say(b)
			}
			b.ReportMetric(float64(processorTime()-before)/float64(b.N), "cpu-ns/op")
		})
	}
	b.Run("together", func(b *testing.B) {
		const turn = 1000
		var used [5]int64
		for done := 0; done < b.N; done += turn {
			for i, side := range sides {
				before := processorTime()
				for range min(turn, b.N-done) {
					side.said.say(b)
				}
				used[i] += processorTime() - before
			}
		}
		for i, side := range sides {
			b.ReportMetric(float64(used[i])/float64(b.N), side.name+"-cpu-ns/op")
		}
		b.ReportMetric(float64(used[1])/float64(used[0]), "ratio")
		b.ReportMetric(float64(used[3])/float64(used[2]), "first-ratio")
	})
}
