package link

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"rollcall/agent"
	"rollcall/agent/dialect"
	"rollcall/certs"
	"rollcall/certs/scep"
	"rollcall/protocol"
	"rollcall/protocol/apple"
)

var oneKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

func transportKey(t testing.TB) *rsa.PrivateKey {
	key, err := oneKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func mail(identifier, name string) apple.InstallProfile {
	return apple.InstallProfile{Payload: apple.EncodeProfile(apple.NewProfile(identifier, name, protocol.Email))}
}

// A record is a Watcher that keeps what it hears.
type record struct {
	mu   sync.Mutex
	list []Exchange
}

func (r *record) Exchanged(_ protocol.Device, x *Exchange) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, *x)
}

func TestEnrolAndConverse(t *testing.T) {
	s := serve(t, nil)
	var watched record
	dialled := map[protocol.Device]int{}
	var mu sync.Mutex
	l := s.link(Config{Watcher: &watched, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		if d, ok := DeviceOf(ctx); ok {
			mu.Lock()
			dialled[d]++
			mu.Unlock()
		}
		return new(net.Dialer).DialContext(ctx, network, address)
	}})
	d := device(1)
	r, err := l.Enrol(t.Context(), d, dialect.Start{URL: s.URL + "/enrol"})
	if err != nil || d.Phase() != agent.Enrolled {
		t.Fatalf("Enrol: %v, phase %s", err, d.Phase())
	}
	if got, want := s.told(), []string{"profile", "SCEP", "Authenticate", "TokenUpdate"}; !slices.Equal(got, want) {
		t.Errorf("the server heard %q, want %q", got, want)
	}
	for _, step := range []dialect.Step{dialect.FetchProfile, dialect.Identify, dialect.Authenticate, dialect.TokenUpdate} {
		if r.Steps[step] != 1 {
			t.Errorf("%d of %s, want 1", r.Steps[step], step)
		}
	}
	if dialled[1] < 2 {
		t.Errorf("dialled %v, want device 1 for the profile and as itself", dialled)
	}
	s.give(order{"A", mail("com.example.mail", "Mail")}, order{"B", apple.Unknown{Name: "Dance"}}, order{"C", apple.ProfileList{}})
	r = s.converse(l, d, dialect.Pushed)
	if got, want := s.told(), []string{"Idle", "A Acknowledged", "B Error", "C Acknowledged"}; !slices.Equal(got, want) {
		t.Errorf("the server heard %q, want %q", got, want)
	}
	if r.Commands != 3 || r.Errors != 1 || r.NotNow != 0 || r.Failed != 0 || r.Steps[dialect.Idle] != 1 || r.Sent == 0 || r.Received == 0 {
		t.Errorf("report %+v", r)
	}
	last := watched.list[len(watched.list)-1]
	if last.Step != dialect.Report || last.Command != "ProfileList" || last.Reported != protocol.Acknowledged || last.Status != 200 || last.Connected {
		t.Errorf("last exchange %+v", last)
	}
	if len(s.serials) != 1 || s.serials[d.Identity().Serial] == 0 {
		t.Errorf("certificates %v, want %s alone", s.serials, d.Identity().Serial)
	}
	if r = s.converse(l, d, dialect.Scheduled); !reflect.DeepEqual(r, Report{}) {
		t.Errorf("nothing was due, and yet %+v", r)
	}
	s.converse(l, d, dialect.UserRemoves)
	if got := s.told(); !slices.Equal(got, []string{"CheckOut"}) || d.Phase() != agent.Removed {
		t.Errorf("the server heard %q, phase %s", got, d.Phase())
	}
}

func TestManyAtOnce(t *testing.T) {
	s := serve(t, nil)
	l := s.link(Config{Sessions: 3})
	var all sync.WaitGroup
	for n := range 8 {
		all.Go(func() {
			d := device(n + 1)
			if _, err := l.Enrol(t.Context(), d, dialect.Start{URL: s.URL + "/enrol"}); err != nil {
				t.Error(err)
			}
			for range 3 {
				if _, err := l.Converse(t.Context(), d, dialect.Pushed); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if n := l.sessions.order.Len(); n != 3 || len(l.sessions.device) != 3 {
		t.Errorf("%d sessions kept, want 3", n)
	}
}

func TestResumption(t *testing.T) {
	s := serve(t, nil)
	l := s.link(Config{Sessions: 10})
	d := s.enrolled(l, 1)
	if r := s.converse(l, d, dialect.Pushed); !r.Resumed {
		t.Error("the second connection was not resumed")
	}
	old := d.Identity().Serial
	s.give(order{"R", apple.InstallProfile{Payload: s.profile()}})
	s.converse(l, d, dialect.Pushed)
	if got, want := s.told(), []string{"Idle", "Idle", "SCEP", "Authenticate", "TokenUpdate", "R Acknowledged"}; !slices.Equal(got, want) {
		t.Errorf("the server heard %q, want %q", got, want)
	}
	now := d.Identity().Serial
	if now == old || s.serials[now] != 3 { // a resumed session would have shown the old certificate
		t.Errorf("certificates %v; old %s, new %s", s.serials, old, now)
	}
	if r := s.converse(l, d, dialect.Pushed); !r.Resumed || s.serials[now] != 4 {
		t.Errorf("resumed %v, certificates %v", r.Resumed, s.serials)
	}
}

// A server that has no X25519, as where FIPS 140 holds, is reached by P-256, and the exchange says which it was.
func TestKeyExchange(t *testing.T) {
	for _, want := range []tls.CurveID{tls.X25519, tls.CurveP256} {
		s := serve(t, func(_ *server, c *tls.Config) { c.CurvePreferences = []tls.CurveID{want} })
		var watched record
		l := s.link(Config{Watcher: &watched})
		s.converse(l, s.enrolled(l, 1), dialect.Pushed)
		if last := watched.list[len(watched.list)-1]; !last.Connected || last.Curve != want {
			t.Errorf("a server that has %s: %+v", want, last)
		}
	}
}

// Only devices that are to take up their sessions do.
func TestResumes(t *testing.T) {
	s := serve(t, nil)
	l := s.link(Config{Sessions: 10, Resumes: func(d protocol.Device) bool { return d == 2 }})
	for n := 1; n <= 2; n++ {
		if r := s.converse(l, s.enrolled(l, n), dialect.Pushed); r.Resumed != (n == 2) {
			t.Errorf("device %d resumed: %v", n, r.Resumed)
		}
	}
}

// What cannot be kept is not sent, and the device goes on from what was (HST-121).
func TestHST121WhatIsNotKeptIsNotSent(t *testing.T) {
	s := serve(t, nil)
	full := errors.New("the disk is full")
	var watched record
	var no error
	l := s.link(Config{Watcher: &watched, Keep: func(Device, *dialect.Act) error { return no }})
	d := device(1)
	if _, err := l.Enrol(t.Context(), d, dialect.Start{URL: s.URL + "/enrol"}); err != nil {
		t.Fatal(err)
	}
	watched.list, no = nil, full
	if _, err := l.Converse(t.Context(), d, dialect.Synced); !errors.Is(err, full) || len(watched.list) > 0 {
		t.Errorf("Converse = %v, after %d requests", err, len(watched.list))
	}
	no = nil
	if _, err := l.Converse(t.Context(), d, dialect.Synced); err != nil || len(watched.list) == 0 {
		t.Errorf("once there is room: %v, after %d requests", err, len(watched.list))
	}
}

func TestKeepOpen(t *testing.T) {
	s := serve(t, nil)
	var watched record
	l := s.link(Config{KeepOpen: true, Watcher: &watched})
	d := s.enrolled(l, 1)
	s.converse(l, d, dialect.Pushed)
	if x := watched.list[len(watched.list)-1]; x.Connected {
		t.Error("the kept connection was not used")
	}
	s.CloseClientConnections()
	s.converse(l, d, dialect.Pushed) // as if nothing had happened
	if x := watched.list[len(watched.list)-1]; !x.Connected || x.Status != 200 {
		t.Errorf("after the server hung up: %+v", x)
	}
	if len(l.kept) != 1 {
		t.Errorf("%d connections kept", len(l.kept))
	}
	l.Close()
	if len(l.kept) != 0 {
		t.Error("Close left a connection")
	}
	s.converse(l, d, dialect.Pushed)
}

func TestRSAIdentity(t *testing.T) {
	s := serve(t, nil)
	l := s.link(Config{RSAKeys: func(Device) (*rsa.PrivateKey, error) { return oneKey() }})
	d := s.enrolled(l, 1)
	signer, err := d.Signer(dialect.Current)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := signer.Key.(*rsa.PrivateKey); !ok {
		t.Errorf("key of type %T", signer.Key)
	}
	s.converse(l, d, dialect.Pushed)
}

func TestAPL009(t *testing.T) {
	s := serve(t, nil)
	s.edit = func(p *apple.Profile) { p.Payloads[1].SCEP.CAFingerprint = make([]byte, 32) }
	l := s.link(Config{})
	d := device(1)
	r, err := l.Enrol(t.Context(), d, dialect.Start{URL: s.URL + "/enrol"})
	if !errors.Is(err, scep.ErrCA) || d.Phase() != agent.New || r.Failed != 1 {
		t.Errorf("%v, phase %s, %+v; want it aborted by the fingerprint", err, d.Phase(), r)
	}
	if got := s.told(); !slices.Equal(got, []string{"profile"}) {
		t.Errorf("the server heard %q", got)
	}
	s.edit = func(p *apple.Profile) { p.Payloads[1].SCEP.Challenge = "wrong" }
	if _, err := l.Enrol(t.Context(), d, dialect.Start{URL: s.URL + "/enrol"}); err == nil || d.Phase() != agent.New {
		t.Errorf("wrong challenge: %v, phase %s", err, d.Phase())
	}
}

// TestHST120SCEPElsewhere: a SCEP client that is sent to another host, out of TLS or in a circle does not go; the challenge and the
// key's request are for the host of the profile.
func TestHST120SCEPElsewhere(t *testing.T) {
	elsewhere := serve(t, nil)
	for _, tt := range []struct {
		name string
		to   func(s *server) string
	}{
		{"another host", func(*server) string { return elsewhere.URL + "/scep" }},
		{"without TLS", func(s *server) string { return strings.Replace(s.URL, "https", "http", 1) + "/scep" }},
		{"in a circle", func(s *server) string { return s.URL + "/circle" }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := serve(t, nil)
			s.edit = func(p *apple.Profile) { p.Payloads[1].SCEP.URL = s.URL + "/circle" }
			s.before = func(w http.ResponseWriter, r *http.Request, _ []byte) bool {
				if r.URL.Path != "/circle" {
					return false
				}
				http.Redirect(w, r, tt.to(s)+"?"+r.URL.RawQuery, http.StatusTemporaryRedirect)
				return true
			}
			d := device(1)
			_, err := s.link(Config{}).Enrol(t.Context(), d, dialect.Start{URL: s.URL + "/enrol"})
			if !errors.Is(err, ErrElsewhere) && !errors.Is(err, ErrCircle) || d.Phase() != agent.New {
				t.Errorf("%v, phase %s; want ErrElsewhere or ErrCircle and no enrolment", err, d.Phase())
			}
		})
	}
	if got := elsewhere.told(); len(got) != 0 {
		t.Errorf("the other host heard %q", got)
	}
}

func TestAPL010(t *testing.T) {
	s := serve(t, nil)
	s.pending = 1 // the first poll follows at once; it fails here, but it came
	l := s.link(Config{})
	d := device(1)
	_, err := l.Enrol(t.Context(), d, dialect.Start{URL: s.URL + "/enrol"})
	no, ok := errors.AsType[*scep.Failure](err)
	if !ok || no.Info != scep.BadCertID {
		t.Errorf("%v, want the answer to the poll", err)
	}
}

func TestSignMessage(t *testing.T) {
	for _, legacy := range []bool{false, true} {
		s := serve(t, nil)
		s.edit = func(p *apple.Profile) { p.Payloads[0].MDM.SignMessage = true }
		verified := 0
		s.before = func(w http.ResponseWriter, r *http.Request, body []byte) bool {
			if r.Method != http.MethodPut {
				return false
			}
			der, err := base64.StdEncoding.DecodeString(r.Header.Get("Mdm-Signature"))
			if err != nil {
				t.Error(err)
			}
			if _, err := certs.VerifyDetached(der, body, s.ca, s.now(), certs.Policy{Legacy: legacy}); err != nil {
				t.Errorf("legacy %v: %v", legacy, err)
			}
			verified++
			return false
		}
		l := s.link(Config{})
		d := dialect.NewApple(dialect.Who{Number: 1, UDID: "U"}, iPhone, &dialect.Habits{Legacy: legacy})
		if _, err := l.Enrol(t.Context(), d, dialect.Start{URL: s.URL + "/enrol"}); err != nil {
			t.Fatal(err)
		}
		s.converse(l, d, dialect.Pushed)
		if verified != 3 {
			t.Errorf("%d messages were signed, want 3", verified)
		}
	}
}

func TestADE(t *testing.T) {
	s := serve(t, nil)
	key, err := certs.GenerateKey(certs.P256)
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.ca.Issue(certs.IssueRequest{Public: key.Public(), Handle: "factory", Now: noon})
	if err != nil {
		t.Fatal(err)
	}
	l := s.link(Config{Factory: func(udid string) (certs.Signer, error) {
		if udid != device(1).UDID() {
			t.Errorf("factory identity of %q", udid)
		}
		return certs.Signer{Certificate: c, Key: key}, nil
	}})
	d := device(1)
	if _, err := l.Enrol(t.Context(), d, dialect.Start{URL: s.URL + "/ade", ADE: true}); err != nil {
		t.Fatal(err)
	}
	if got := s.told(); got[0] != "machine RC00000001" {
		t.Errorf("the server heard %q", got)
	}
	if _, err := s.link(Config{}).Enrol(t.Context(), device(2), dialect.Start{URL: s.URL + "/ade", ADE: true}); !errors.Is(err, errFactory) {
		t.Errorf("without a factory: %v", err)
	}
}

// TestAPL093TLS: a server that cannot be trusted, or does not trust us, does not end an enrolment.
func TestAPL093TLS(t *testing.T) {
	stays := func(t *testing.T, l *Link, d *dialect.Apple) error {
		t.Helper()
		r, err := l.Converse(t.Context(), d, dialect.Pushed)
		if err == nil || d.Phase() != agent.Enrolled || d.Due() == 0 || r.Failed != 1 {
			t.Fatalf("%v, phase %s, due %s, %+v; want a failure and a retry", err, d.Phase(), d.Due(), r)
		}
		return err
	}
	other, err := foreign()
	if err != nil {
		t.Fatal(err)
	}
	t.Run("foreign root", func(t *testing.T) {
		s := serve(t, nil)
		d := s.enrolled(s.link(Config{}), 1)
		stays(t, s.link(Config{Roots: newPool(other)}), d)
	})
	t.Run("server certificate expired", func(t *testing.T) {
		s := serve(t, nil)
		l := s.link(Config{})
		d := s.enrolled(l, 1)
		s.set(noon.AddDate(2, 0, 0)) // the devices' clock decides, not the machine's
		stays(t, l, d)
	})
	t.Run("wrong name", func(t *testing.T) {
		s := serve(t, nil)
		s.edit = func(p *apple.Profile) {
			p.Payloads[0].MDM.ServerURL = strings.Replace(s.URL, "127.0.0.1", "localhost", 1) + "/mdm"
		}
		l := s.link(Config{})
		stays(t, l, s.enrolled(l, 1))
	})
	t.Run("pinned to another", func(t *testing.T) {
		s := serve(t, nil)
		s.edit = func(p *apple.Profile) {
			p.Payloads = append(p.Payloads, apple.Payload{Type: apple.RootPayload, Identifier: "pin", UUID: "9", Certificate: other.Certificate().Raw})
			p.Payloads[0].MDM.ServerURLPinningCertificateUUIDs = []string{"9"}
		}
		l := s.link(Config{})
		stays(t, l, s.enrolled(l, 1))
	})
	t.Run("nobody there", func(t *testing.T) {
		s := serve(t, nil)
		l := s.link(Config{})
		d := s.enrolled(l, 1)
		s.Close()
		stays(t, l, d)
	})
	t.Run("our certificate refused", func(t *testing.T) {
		for _, most := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			s := serve(t, func(s *server, c *tls.Config) { c.MaxVersion = most })
			d := s.enrolled(s.link(Config{}), 1)
			strict := serve(t, func(s *server, c *tls.Config) {
				c.ClientAuth, c.ClientCAs, c.MaxVersion = tls.RequireAndVerifyClientCert, newPool(other), most
			})
			l := s.link(Config{Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, network, strict.Listener.Addr().String())
			}})
			if err := stays(t, l, d); !Barred(err) {
				t.Errorf("%v is not taken for the server's refusal", err)
			}
		}
	})
}

func TestProfileBringsItsRoot(t *testing.T) {
	s := serve(t, nil)
	s.edit = func(p *apple.Profile) {
		p.Payloads = append(p.Payloads, apple.Payload{Type: apple.RootPayload, Identifier: "root", UUID: "9", Certificate: s.ca.Certificate().Raw})
	}
	other, err := foreign()
	if err != nil {
		t.Fatal(err)
	}
	l := s.link(Config{Roots: newPool(other)}) // the server's root comes by the profile alone
	d := device(1)
	if _, err := l.Enrol(t.Context(), d, dialect.Start{Profile: s.profile()}); err != nil {
		t.Fatal(err)
	}
	s.converse(l, d, dialect.Pushed)
	for i := range 2 * mostTrusts { // HST-120: a server that sends each device other roots costs no more than this
		c, err := s.ca.IssueServer([]string{fmt.Sprint(i)}, transportKey(t).Public(), noon, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.trusts.of(&l.config, dialect.Trust{Anchors: string(c.Raw)}); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(l.trusts.known); n > mostTrusts {
		t.Errorf("%d trusts remembered", n)
	}
}

// A plot is Faults that strike at given steps.
type plot struct {
	mu            sync.Mutex
	before, after map[dialect.Step]int // how often still
}

func (p *plot) strike(m map[dialect.Step]int, s dialect.Step) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if m[s] == 0 {
		return true
	}
	m[s]--
	return false
}

func (p *plot) BeforeSend(_ protocol.Device, s dialect.Step) bool { return p.strike(p.before, s) }
func (p *plot) AfterSend(_ protocol.Device, s dialect.Step) bool  { return p.strike(p.after, s) }

// TestHST055: answers and requests are lost, and still each command is carried out and counted once.
func TestHST055(t *testing.T) {
	s := serve(t, nil)
	p := &plot{before: map[dialect.Step]int{dialect.Idle: 1, dialect.Report: 1}, after: map[dialect.Step]int{dialect.Report: 2, dialect.Idle: 1}}
	l := s.link(Config{Faults: p})
	d := s.enrolled(l, 1)
	s.give(order{"A", mail("com.example.mail", "Mail")}, order{"B", apple.ProfileList{}})
	why, repeats, failed := dialect.Pushed, 0, 0
	for range 6 {
		r, err := l.Converse(t.Context(), d, why)
		repeats += int(r.Repeats)
		failed += int(r.Failed)
		if err == nil {
			break
		}
		if !errors.Is(err, errFault) {
			t.Fatal(err)
		}
		s.set(d.Due().Time().Add(time.Second))
		why = dialect.Scheduled
	}
	want := []string{
		"Idle",           // its answer is lost; the Idle before it did not get here
		"Idle",           // A is handed out again; its report does not get here
		"A Acknowledged", // its answer, with B in it, is lost
		"A Acknowledged", // again
		"A Acknowledged", "B Acknowledged",
	}
	if got := s.told(); !slices.Equal(got, want) {
		t.Errorf("the server heard %q, want %q", got, want)
	}
	if failed != 5 || repeats != 3 || len(d.Profiles()) != 2 || d.Owes() {
		t.Errorf("%d failed, %d repeats, %v", failed, repeats, d.Profiles())
	}
}

func TestCancelled(t *testing.T) {
	s := serve(t, nil)
	l := s.link(Config{})
	d := s.enrolled(l, 1)
	ctx, cancel := context.WithCancel(t.Context())
	s.mu.Lock()
	s.before = func(_ http.ResponseWriter, r *http.Request, _ []byte) bool {
		cancel()
		<-r.Context().Done() // until the device hangs up
		return true
	}
	s.mu.Unlock()
	if _, err := l.Converse(ctx, d, dialect.Pushed); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want context.Canceled", err)
	}
	if d.Phase() != agent.Enrolled || d.Due() == 0 {
		t.Errorf("phase %s, due %s", d.Phase(), d.Due())
	}
	if _, err := l.Converse(ctx, d, dialect.Pushed); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that had ended: %v", err)
	}
}

func TestTimeout(t *testing.T) {
	s := serve(t, nil)
	l := s.link(Config{})
	d := s.enrolled(l, 1)
	s.mu.Lock()
	s.before = func(_ http.ResponseWriter, r *http.Request, _ []byte) bool { <-r.Context().Done(); return true }
	s.mu.Unlock()
	short := s.link(Config{Timeout: 50 * time.Millisecond})
	_, err := short.Converse(t.Context(), d, dialect.Pushed)
	if timeout, ok := errors.AsType[net.Error](err); !ok || !timeout.Timeout() {
		t.Errorf("%v, want a timeout", err)
	}
	if d.Phase() != agent.Enrolled || d.Due() == 0 {
		t.Errorf("phase %s, due %s", d.Phase(), d.Due())
	}
}

// BenchmarkConversation is one conversation over loopback: woken, Idle, empty answer.
func BenchmarkConversation(b *testing.B) {
	for _, bb := range []struct {
		name string
		c    Config
	}{{"kept alive", Config{KeepOpen: true}}, {"resumed", Config{Sessions: 1}}, {"full handshake", Config{}}} {
		b.Run(bb.name, func(b *testing.B) {
			s := serve(b, nil)
			l := s.link(bb.c)
			d := s.enrolled(l, 1)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := l.Converse(b.Context(), d, dialect.Pushed); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
