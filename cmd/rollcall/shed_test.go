//go:build !agentonly

package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"rollcall/agent/link"
	"rollcall/certs"
	"rollcall/fleet"
	"rollcall/fleet/ledger"
	"rollcall/fleet/load"
	"rollcall/fleet/report"
	"rollcall/protocol"
	"rollcall/server"
	"rollcall/server/authority"
	"rollcall/server/delivery"
	"rollcall/server/device"
	"rollcall/server/logs"
	"rollcall/server/store"
)

// pipes is a network in which connections are pipes, for time that passes only while all wait.
type pipes struct {
	calls chan net.Conn
	end   chan struct{}
	once  sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.calls:
		return c, nil
	case <-p.end:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.end) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 443} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case p.calls <- theirs:
		return ours, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// An untaken answer is not taken before the end.
type untaken struct {
	http.ResponseWriter
	end chan struct{}
}

func (w untaken) WriteHeader(status int) {
	<-w.end
	w.ResponseWriter.WriteHeader(status)
}

// A server with a place for one request at a time, each of which takes 100 ms, and a fleet that all comes within a second, with two
// requests each: those who could be served only late are told at once when to come again, do so, and all are through
// within about twice the time that the work takes. Nothing is lost on the way.
func TestHST111Shed(t *testing.T) {
	const (
		phones = 40
		work   = 100 * time.Millisecond
		ideal  = 2 * phones * work
		places = 1024 // of requests at once
	)
	synctest.Test(t, func(t *testing.T) {
		ctx, now := t.Context(), func() protocol.Time { return protocol.At(time.Now()) }
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		ca, err := certs.NewAuthority(certs.P256, "test CA", time.Now())
		must(err)
		lab, err := certs.NewIssuer("lab CA", time.Now())
		must(err)
		key, err := certs.GenerateKey(certs.P256)
		must(err)
		face, err := ca.IssueServer([]string{"127.0.0.1"}, key.Public(), time.Now(), 0)
		must(err)

		kept := store.NewMemory()
		core, err := server.Open(ctx, now(), server.Config{Store: kept})
		must(err)
		must(core.SetUp(ctx, now(), authority.Tenant{Authority: protocol.Intune, Release: 2611}, delivery.Settings{}))
		const topic = "com.apple.mgmt.External.x"
		made, err := certs.MakePush(ca, topic, time.Now().Add(-time.Hour), time.Now().AddDate(1, 0, 0))
		must(err)
		pem, err := made.PEM()
		must(err)
		must(core.Consent(ctx, now(), server.System, server.ConsentPush))
		_, err = core.UploadPush(ctx, now(), pem, "", "", true, 0)
		must(err)

		log := logs.New(io.Discard, true)
		admission := device.NewAdmission(0, log)
		var slow bool
		h, err := device.New(device.Config{
			Server: core, Enrolment: &device.Enrolment{URL: "https://127.0.0.1", CA: ca}, Log: log, Admission: admission, Lab: []*x509.Certificate{lab.Certificate()},
			Handle: func(ctx context.Context, at protocol.Time, ev *delivery.Event, out *delivery.Outcome) error {
				if slow {
					time.Sleep(work)
				}
				return core.Handle(ctx, at, ev, out)
			},
		})
		must(err)
		config := h.TLSConfig()
		config.Certificates = []tls.Certificate{{Certificate: [][]byte{face.Raw}, PrivateKey: key}}
		s := device.HTTPServer(h, config, log)
		net := &pipes{calls: make(chan net.Conn), end: make(chan struct{})}
		go s.ServeTLS(admission.Guard(s, net), "", "")
		defer s.Close()

		roots := x509.NewCertPool()
		roots.AddCert(ca.Certificate())
		e := load.Endpoint{ServerURL: "https://127.0.0.1/apple/mdm", CheckInURL: "https://127.0.0.1/apple/checkin", Topic: topic}
		profile, err := e.Profile()
		must(err)
		plan, err := loadPlan("load")
		must(err)
		plan, err = plan.WithDevices(phones)
		must(err)
		pop, err := makePopulation(ctx, io.Discard, plan)
		must(err)
		devices, err := fleet.Devices(ctx, pop, 1, protocol.Platform.Apple)
		must(err)
		books := ledger.New(ledger.Config{Devices: phones})
		var l *load.Load
		l, err = load.New(load.Config{
			Devices: devices, Pace: load.Constant(phones, time.Second), Retry: true, Drain: 5 * time.Minute, Ledger: books,
			Link:  link.Config{Roots: roots, Dial: net.dial, Identity: load.Mint(lab, time.Now)},
			Start: load.ByProfile(profile),
			Acts: []load.Act{{Name: "an order", Calls: true, Do: func(ctx context.Context) (string, error) {
				return l.Order(ctx, "SecurityInfo", func(ctx context.Context, udid string) (string, error) {
					d, err := kept.Device(ctx, udid)
					if err != nil {
						return "", err
					}
					id, err := core.Order(ctx, now(), d, protocol.Command{Kind: protocol.SecurityInfo})
					return id.String(), err
				})
			}}},
		})
		must(err)
		defer l.Close()
		_, err = l.Enrol(ctx)
		must(err)

		// All places but one are taken by answers that nobody takes.
		never := make(chan struct{})
		var stuck sync.WaitGroup
		for range places - 1 {
			stuck.Go(func() {
				h.ServeHTTP(untaken{httptest.NewRecorder(), never}, httptest.NewRequest(http.MethodPut, "/apple/mdm", nil))
			})
		}
		synctest.Wait()
		slow = true
		must(l.Run(ctx))
		close(never)
		stuck.Wait()

		r, _, err := l.Tell(load.Setting{}, load.Enrolled{}, load.Generator{})
		must(err)
		x, found := r.Sections["load"].(*load.Section), books.Result()
		shed := int64(0)
		for _, step := range x.Steps {
			if step.Outcome == load.Shed.String() {
				shed += step.Count
			}
		}
		if st := admission.State(); shed == 0 || x.Retried == 0 || st.RequestsAway < uint64(shed) {
			t.Errorf("%d were told to come again, %d did; the server says %+v", shed, x.Retried, st)
		}
		t.Logf("%d turned away, all through after %.1f s, ideal %v", shed, x.Called.Seconds, ideal)
		if c := x.Called; c.Came != phones || c.Seconds > 2*ideal.Seconds() {
			t.Errorf("%+v; the work takes %v", c, ideal)
		}
		if found.Confirmed != phones || found.Faults() != 0 || found.Open != 0 || r.Verdict != report.OK {
			t.Errorf("%s %q, %+v", r.Verdict, r.Reasons, found.Counts)
		}
		time.Sleep(time.Minute) // until the log's word that overload is over
	})
}
