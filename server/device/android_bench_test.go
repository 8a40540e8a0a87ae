//go:build unix

package device

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"syscall"
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
	m := android.CheckIn{
		Protocol: 1, CheckIn: "c-1", Round: 1, Device: id, Reason: android.ReasonEnrolled, Time: l.pnow(), Applied: android.AppliedPolicy{State: android.Provisioning}, Compliant: true,
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
	return p, android.Append(nil, &m)
}

// processorTime is what the process has used, in nanoseconds: on a busy machine the wall clock says nothing.
func processorTime() int64 {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u) // of this process it has no error
	return u.Utime.Nano() + u.Stime.Nano()
}

// An answered is a writer that keeps nothing.
type answered struct {
	header http.Header
	code   int
}

func (a *answered) Header() http.Header         { return a.header }
func (a *answered) Write(b []byte) (int, error) { return len(b), nil }
func (a *answered) WriteHeader(code int)        { a.code = code }

// BenchmarkAndroid measures a steady check-in on the server without its connection, beside Apple's: one round each, in memory.
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
	droid, steady := l.android("d-1")
	for _, one := range []struct {
		name, method, path string
		leaf               *x509.Certificate
		body               []byte
	}{
		{"apple", http.MethodPut, commandPath, phone.who.Certificate, encode(phone.idle())},
		{"android", http.MethodPost, android.CheckInPath, droid.who.Certificate, steady},
	} {
		b.Run(one.name, func(b *testing.B) {
			ctx := context.WithValue(context.Background(), peerKey{}, new(peer))
			state := &tls.ConnectionState{PeerCertificates: []*x509.Certificate{one.leaf}}
			body := bytes.NewReader(one.body)
			r := httptest.NewRequestWithContext(ctx, one.method, one.path, body)
			r.TLS = state
			whole, w := r.Body, &answered{header: http.Header{}}
			b.ReportAllocs()
			before, said := processorTime(), 0
			for b.Loop() { // the request and the writer are used again: what a connection costs is not measured
				if said%50_000 == 0 { // more in a minute are refused (HST-056)
					l.setClock(l.now().Add(time.Minute))
				}
				said++
				body.Reset(one.body)
				clear(w.header)
				r.Body, w.code = whole, 200
				l.h.mux.ServeHTTP(w, r)
				if w.code != 200 {
					b.Fatal(w.code)
				}
			}
			b.ReportMetric(float64(processorTime()-before)/float64(b.N), "cpu-ns/op")
		})
	}
}
