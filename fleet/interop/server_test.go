package interop

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jessepeterson/mdmcommands"
	"github.com/micromdm/nanomdm/mdm"
	nanotest "github.com/micromdm/nanomdm/test"
	"github.com/micromdm/nanomdm/test/enrollment"
	nanoprotocol "github.com/micromdm/nanomdm/test/protocol"
	"github.com/micromdm/plist"
	"github.com/smallstep/pkcs7"
	smallstep "github.com/smallstep/scep"

	"rollcall/certs"
	"rollcall/protocol"
	"rollcall/server"
	tenants "rollcall/server/authority"
	"rollcall/server/delivery"
	"rollcall/server/device"
	"rollcall/server/logs"
	"rollcall/server/push"
	"rollcall/server/store"
)

// A house is our server with its store in memory, on TLS, and on plain HTTP for micromdm's SCEP client.
type house struct {
	testing.TB
	core   *server.Server
	ca     *certs.Authority
	plain  string // URL
	users  []delivery.UserID
	pushes push.Recorder // nanomdm's device makes tokens of 64 bytes, which no APNs gives out: ours would refuse them
	log    journal

	mu  sync.Mutex
	off time.Duration // how far its clock is ahead
}

// A journal is what the server logs.
type journal struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.Write(b)
}

func (h *house) now() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return time.Now().Add(h.off)
}

func (h *house) at() protocol.Time { return protocol.At(h.now()) }

func startServer(t testing.TB, configure func(*device.Config)) *house {
	t.Helper()
	ctx := context.Background()
	h := &house{TB: t, ca: authority(t)}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the server's log:\n%s", h.log.b.String())
		}
	})
	key := must(certs.GenerateKey(certs.P256))(t)
	face := must(h.ca.IssueServer([]string{"127.0.0.1"}, key.Public(), h.now(), 0))(t)
	listener := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	enrolment := &device.Enrolment{
		URL: "https://" + listener.Addr().String(), Name: "Example", CA: h.ca,
		Signer: func() (certs.Signer, error) {
			return certs.Signer{Certificate: face, Chain: []*x509.Certificate{h.ca.Certificate()}, Key: key}, nil
		},
	}
	h.core = must(server.Open(ctx, h.at(), server.Config{Store: store.NewMemory(), Push: &h.pushes, Renewal: enrolment.Renewal}))(t)
	if err := h.core.SetUp(ctx, h.at(), tenants.Tenant{Authority: protocol.Intune, Release: 2611}, delivery.Settings{}); err != nil {
		t.Fatal(err)
	}
	must(h.core.UploadPush(ctx, h.at(), must(pushCertificate(t, topic).PEM())(t), "", "", false))(t)
	h.users = must(h.core.PutUsers(ctx, h.at(), []store.User{
		{UPN: "ann@example.org", Groups: []string{"all"}, User: tenants.User{IntuneLicence: true}},
		{UPN: "bob@example.org", User: tenants.User{IntuneLicence: true}},
	}))(t)
	if err := h.core.ApplyProfile(ctx, h.at(), "mail", protocol.Email, "com.example.mail", profile(), []string{"all"}); err != nil {
		t.Fatal(err)
	}
	cfg := device.Config{Server: h.core, Enrolment: enrolment, Now: h.now, Log: logs.New(&h.log, true), LegacySignature: true}
	if configure != nil {
		configure(&cfg)
	}
	enrolment.SignMessage = cfg.SignMessage
	handler := must(device.New(cfg))(t)
	config := handler.TLSConfig()
	config.Certificates = []tls.Certificate{*tlsCertificate(certs.Signer{Certificate: face, Key: key})}
	s := device.HTTPServer(handler, config, cfg.Log)
	ended := make(chan error, 1)
	go func() { ended <- s.ServeTLS(listener, "", "") }()
	plain := httptest.NewServer(handler)
	h.plain = plain.URL
	t.Cleanup(func() {
		plain.Close()
		s.Close()
		<-ended
	})
	return h
}

// An invitation is what an enrolment profile of ours says, read by others' libraries.
type invitation struct {
	topic, serverURL, checkInURL, challenge string
	signMessage                             bool
}

// invite makes an enrolment link for a user and reads the profile behind it.
func (h *house) invite(user delivery.UserID) invitation {
	h.Helper()
	ticket := must(h.core.Invite(context.Background(), h.at(), user, time.Hour))(h)
	resp := must(http.Get(h.plain + "/e/" + ticket))(h)
	defer resp.Body.Close()
	body := must(io.ReadAll(resp.Body))(h)
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "application/x-apple-aspen-config" { // APL-001
		h.Fatalf("profile: %s, %s\n%s", resp.Status, resp.Header.Get("Content-Type"), body)
	}
	signed := must(pkcs7.Parse(body))(h)
	if err := signed.VerifyWithChain(poolOf(h.ca.Certificate())); err != nil { // APL-002
		h.Fatal(err)
	}
	return h.read(signed.Content)
}

// read reads an enrolment profile.
func (h *house) read(body []byte) invitation {
	h.Helper()
	var p struct {
		PayloadContent []struct {
			PayloadType                  string
			Topic, ServerURL, CheckInURL string
			SignMessage                  bool
			PayloadContent               any
		}
	}
	if err := plist.Unmarshal(body, &p); err != nil {
		h.Fatal(err)
	}
	var in invitation
	for _, payload := range p.PayloadContent {
		switch payload.PayloadType {
		case "com.apple.mdm":
			in.topic, in.serverURL, in.checkInURL, in.signMessage = payload.Topic, payload.ServerURL, payload.CheckInURL, payload.SignMessage
		case "com.apple.security.scep":
			settings, _ := payload.PayloadContent.(map[string]any)
			in.challenge, _ = settings["Challenge"].(string)
		}
	}
	if in.topic != topic || in.serverURL == "" || in.challenge == "" {
		h.Fatalf("profile says %+v", in)
	}
	return in
}

// identity obtains the identity of an invitation with micromdm's SCEP client.
func (h *house) identity(in invitation, key *rsa.PrivateKey) certs.Signer {
	h.Helper()
	modernise(h)
	q := theirRequest{challenge: in.challenge, subject: subject(), key: key, selector: smallstep.EnciphermentCertsSelector()}
	answer, c := q.enrol(h, h.plain+"/scep")
	if c == nil {
		h.Fatalf("SCEP: status %s, failInfo %s", answer.PKIStatus, answer.FailInfo)
	}
	return certs.Signer{Certificate: c, Key: key}
}

// A nanophone is nanomdm's device with an identity that we issued. It makes its own, self-signed, and shows no way to
// change it; so every request passes through here, is sent over mutual TLS with the right one, or signed again with it by
// nanomdm's own code.
type nanophone struct {
	*enrollment.Enrollment
	house *house
	who   certs.Signer
	sign  bool
	http  *http.Client
}

// Do sends one request of nanomdm's device.
func (p *nanophone) Do(r *http.Request) (*http.Response, error) {
	if !p.sign {
		return p.http.Do(r)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	transport := nanoprotocol.NewTransport(nanoprotocol.WithIdentityProvider(func(context.Context) (*x509.Certificate, crypto.PrivateKey, error) {
		return p.who.Certificate, p.who.Key, nil
	}))
	sig, err := transport.SignMessage(r.Context(), body)
	if err != nil {
		return nil, err
	}
	r.Header.Set(nanoprotocol.MDMSignatureHeader, sig)
	return p.http.Do(r)
}

// phone is nanomdm's device with who as its identity. A device that signs shows TLS no certificate.
func (h *house) phone(in invitation, who certs.Signer) *nanophone {
	h.Helper()
	p := &nanophone{house: h, who: who, sign: in.signMessage}
	shown := who
	if p.sign {
		shown = certs.Signer{}
	}
	p.http = clientOf(h, h.ca, shown)
	p.Enrollment = must(enrollment.NewRandomDeviceEnrollment(p, in.topic, in.serverURL, in.checkInURL))(h)
	return p
}

// as is p with another identity.
func (p *nanophone) as(who certs.Signer) {
	p.who = who
	if !p.sign {
		p.http = clientOf(p.house, p.house.ca, who)
	}
}

// enrol enrols p and fails the test where that fails.
func (p *nanophone) enrol() {
	p.house.Helper()
	if err := p.DoEnroll(context.Background()); err != nil {
		p.house.Fatal(err)
	}
}

// report sends a report as nanomdm's device does and decodes the command that answers it; nil: none.
func (p *nanophone) report(uuid, status string) (*mdmcommands.GenericCommand, []byte) {
	h := p.house
	h.Helper()
	results := &mdm.CommandResults{Enrollment: *p.GetEnrollment(), CommandUUID: uuid, Status: status}
	if status == "Error" {
		results.ErrorChain = []mdm.ErrorChain{{ErrorCode: 4001, ErrorDomain: "MCInstallationErrorDomain", LocalizedDescription: "no", USEnglishDescription: "no"}}
	}
	resp := must(p.DoReportAndFetch(context.Background(), must(nanotest.PlistReader(results))(h)))(h)
	defer resp.Body.Close()
	body := must(io.ReadAll(resp.Body))(h)
	if resp.StatusCode != http.StatusOK {
		h.Fatalf("%s %s: %s\n%s", status, uuid, resp.Status, body)
	}
	if len(body) == 0 {
		if resp.ContentLength != 0 { // APL-050
			h.Errorf("%s %s: Content-Length %d, want 0", status, uuid, resp.ContentLength)
		}
		return nil, nil
	}
	must(mdm.DecodeCommand(body))(h) // nanomdm's own reading of it
	c := new(mdmcommands.GenericCommand)
	if err := plist.Unmarshal(body, c); err != nil {
		h.Fatal(err)
	}
	if mdmcommands.NewCommand(c.Command.RequestType, "") == nil {
		h.Fatalf("mdmcommands knows no %s", c.Command.RequestType)
	}
	return c, body
}

// drain acknowledges all commands, after Idle, and returns what they were.
func (p *nanophone) drain() (asked []string) {
	p.house.Helper()
	for c, _ := p.report("", "Idle"); c != nil; c, _ = p.report(c.CommandUUID, "Acknowledged") {
		asked = append(asked, c.Command.RequestType)
	}
	return asked
}

// record is what the server knows of p.
func (p *nanophone) record() store.Record {
	h := p.house
	h.Helper()
	kept := h.core.Store()
	d := must(kept.Device(context.Background(), p.ID()))(h)
	return must(kept.Record(context.Background(), d))(h)
}

// refused tells whether err is the status with which the server refuses an identity (apple.md section 4.3).
func refused(err error) bool {
	var answer *enrollment.HTTPError
	return errors.As(err, &answer) && answer.StatusCode == http.StatusBadRequest
}

// bySignature lets devices in by Mdm-Signature alone.
func bySignature(c *device.Config) { c.SignMessage = true }

// TestNanomdmDevice: nanomdm's device enrols with our server by each way to bring its identity, is woken, and gets its
// commands.
func TestNanomdmDevice(t *testing.T) {
	for _, tt := range []struct {
		name      string
		configure func(*device.Config)
		sha1      bool
	}{
		{name: "mutual TLS"}, // with a signature of its own certificate in the header, which the server has not asked for
		{name: "Mdm-Signature", configure: bySignature},
		{name: "Mdm-Signature with SHA-1", configure: bySignature, sha1: true}, // as it signs unless told otherwise
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := startServer(t, tt.configure)
			in := h.invite(h.users[0])
			p := h.phone(in, h.identity(in, rsaKey()))
			if tt.sha1 {
				if err := pkcs7.SetDefaultDigestAlgorithm(pkcs7.OIDDigestAlgorithmSHA1); err != nil {
					t.Fatal(err)
				}
			}
			if err := p.DoAuthenticate(context.Background()); err != nil {
				t.Fatal(err)
			}
			if life := p.record().State.Life; life != delivery.Enrolling { // APL-031
				t.Errorf("%s after Authenticate, want enrolling", life)
			}
			p.enrol()
			r := p.record()
			if r.State.Life != delivery.Enrolled || r.State.User != h.users[0] || r.Facts.Serial != p.SerialNumber() || r.State.Registered != protocol.Intune {
				t.Errorf("record %+v, want enrolled for Ann", r)
			}
			if got, want := r.State.Push, p.GetPush(); got.Topic != want.Topic || got.Magic != want.PushMagic || !bytes.Equal(got.Token, want.Token) {
				t.Errorf("the server would push to %+v, the device is at %+v", got, want)
			}
			if err := h.core.Tick(context.Background(), h.at()); err != nil {
				t.Fatal(err)
			}
			if sent := h.pushes.Sent(); len(sent) != 1 || sent[0].Magic != p.GetPush().PushMagic || sent[0].Topic != topic { // APL-106
				t.Errorf("pushed %+v, want once to the device", sent)
			}
			if asked := p.drain(); !slices.Equal(asked, []string{"DeviceInformation", "SecurityInfo", "InstallProfile"}) {
				t.Errorf("asked %q", asked)
			}
			if again := p.drain(); len(again) != 0 {
				t.Errorf("asked %q again", again)
			}
		})
	}
}

// TestAPL021NanomdmDevice: without legacyCMS the SHA-1 signature of nanomdm's device is refused with 400 and the SHA-256
// one is not.
func TestAPL021NanomdmDevice(t *testing.T) {
	h := startServer(t, func(c *device.Config) { c.SignMessage, c.LegacySignature = true, false })
	in := h.invite(h.users[0])
	p := h.phone(in, h.identity(in, rsaKey()))
	if err := pkcs7.SetDefaultDigestAlgorithm(pkcs7.OIDDigestAlgorithmSHA1); err != nil {
		t.Fatal(err)
	}
	if err := p.DoAuthenticate(context.Background()); !refused(err) {
		t.Errorf("SHA-1: %v, want 400", err)
	}
	if err := pkcs7.SetDefaultDigestAlgorithm(pkcs7.OIDDigestAlgorithmSHA256); err != nil {
		t.Fatal(err)
	}
	p.enrol()
}

// TestNanomdmDeviceQueue: our queue against the expectations of nanomdm's own end-to-end test, by its device.
func TestNanomdmDeviceQueue(t *testing.T) {
	h := startServer(t, nil)
	in := h.invite(h.users[1]) // who has no profiles
	p := h.phone(in, h.identity(in, rsaKey()))
	p.enrol()
	p.drain()
	d := p.record().State.Device
	order := func(kind protocol.CommandKind) string {
		t.Helper()
		return must(h.core.Order(context.Background(), h.at(), d, protocol.Command{Kind: kind}))(t).String()
	}
	wants := func(reported, status, uuid, requestType string) {
		t.Helper()
		c, _ := p.report(reported, status)
		if uuid == "" && c != nil || uuid != "" && (c == nil || c.CommandUUID != uuid || c.Command.RequestType != requestType) {
			t.Errorf("%s %s was answered with %+v, want %s %s", status, reported, c, requestType, uuid)
		}
	}
	t.Run("basic", func(t *testing.T) {
		wants("", "Idle", "", "")
		first, second := order(protocol.ProfileList), order(protocol.CertificateList)
		wants("", "Idle", first, "ProfileList")
		wants("", "Idle", first, "ProfileList") // APL-051
		wants(first, "Acknowledged", second, "CertificateList")
		wants(first, "Acknowledged", second, "CertificateList") // APL-052
		wants(second, "Acknowledged", "", "")
		wants("", "Idle", "", "")
	})
	t.Run("error", func(t *testing.T) {
		uuid := order(protocol.SecurityInfo)
		wants("", "Idle", uuid, "SecurityInfo")
		wants(uuid, "Error", "", "")
		last := must(h.core.Store().History(context.Background(), d, 1))(t)[0]
		if last.ID.String() != uuid || last.Status != protocol.Failed || last.Errors != "MCInstallationErrorDomain 4001: no" { // APL-055
			t.Errorf("kept %+v, want the failure with its chain", last)
		}
	})
	t.Run("not now", func(t *testing.T) { // APL-056: nanomdm ends the connection at once, we may offer once more
		uuid := order(protocol.SecurityInfo)
		wants("", "Idle", uuid, "SecurityInfo")
		offers := 1
		for c, _ := p.report(uuid, "NotNow"); c != nil && offers < 10; c, _ = p.report(uuid, "NotNow") {
			offers++
		}
		if offers > 2 {
			t.Errorf("offered %d times on one connection, want at most twice", offers)
		}
		wants("", "Idle", uuid, "SecurityInfo")
		wants(uuid, "Acknowledged", "", "")
	})
	t.Run("unknown", func(t *testing.T) { wants("NOBODY-KNOWS-THIS", "Acknowledged", "", "") }) // APL-053
}

// TestNanomdmDeviceEnrolsAgain: nanomdm's device enrols a second time and nothing of the first is left (APL-034), its
// bootstrap token included (APL-037).
func TestNanomdmDeviceEnrolsAgain(t *testing.T) {
	h := startServer(t, nil)
	in := h.invite(h.users[0])
	p := h.phone(in, h.identity(in, rsaKey()))
	p.enrol()
	ctx := context.Background()
	if tok, err := p.DoGetBootstrapToken(ctx); err != nil || tok != nil && len(tok.BootstrapToken) > 0 {
		t.Errorf("bootstrap token before there is one: %v, %v", tok, err)
	}
	if err := p.DoEscrowBootstrapToken(ctx, []byte("secret")); err != nil {
		t.Fatal(err)
	}
	if tok, err := p.DoGetBootstrapToken(ctx); err != nil || tok == nil || tok.BootstrapToken.String() == "" || string(tok.BootstrapToken) != "c2VjcmV0" {
		t.Errorf("bootstrap token %v, %v, want what was sent (which nanomdm's device encodes twice)", tok, err)
	}
	first := p.record()
	must(h.core.Order(ctx, h.at(), first.State.Device, protocol.Command{Kind: protocol.CertificateList}))(t)
	p.enrol()
	second := p.record()
	if second.State.Device != first.State.Device || second.State.Life != delivery.Enrolled || second.State.Identity != first.State.Identity {
		t.Errorf("before %+v, now %+v; want the same device, enrolled", first.State, second.State)
	}
	if tok, err := p.DoGetBootstrapToken(ctx); err != nil || tok != nil && len(tok.BootstrapToken) > 0 {
		t.Errorf("bootstrap token of the enrolment before: %v, %v", tok, err)
	}
	if asked := p.drain(); !slices.Equal(asked, []string{"DeviceInformation", "SecurityInfo", "InstallProfile"}) {
		t.Errorf("asked %q, want what a new enrolment gets", asked)
	}

	// With another identity of the same user, as a wiped device has.
	in = h.invite(h.users[0])
	p.as(h.identity(in, spareKey()))
	p.enrol()
	if third := p.record(); third.State.Device != first.State.Device || third.State.Identity == first.State.Identity {
		t.Errorf("enrolled as %+v with the identity of %+v", third.State, first.State)
	}
}

// TestAPL023NanomdmDevice: an identity is refused for another device, for an enrolled device of another user, after it was
// replaced, and when it is not of our CA; the device itself is unaffected.
func TestAPL023NanomdmDevice(t *testing.T) {
	for name, configure := range map[string]func(*device.Config){"mutual TLS": nil, "Mdm-Signature": bySignature} {
		t.Run(name, func(t *testing.T) {
			ctx := context.Background()
			h := startServer(t, configure)
			in := h.invite(h.users[0])
			mine := h.identity(in, rsaKey())
			victim := h.phone(in, mine)
			if err := victim.DoTokenUpdate(ctx); !refused(err) {
				t.Errorf("TokenUpdate before Authenticate: %v, want 400", err)
			}
			victim.enrol()
			before := victim.record()
			bobs := h.invite(h.users[1])
			other := h.identity(bobs, spareKey())
			victim.as(other)
			if err := victim.DoAuthenticate(ctx); !refused(err) {
				t.Errorf("Authenticate with an identity of another user: %v, want 400", err)
			}
			attacker := h.phone(bobs, other)
			attacker.enrol()
			if err := victim.DoAuthenticate(ctx); !refused(err) {
				t.Errorf("Authenticate with the identity of another device: %v, want 400", err)
			}
			if err := victim.DoTokenUpdate(ctx); !refused(err) {
				t.Errorf("TokenUpdate with the identity of another device: %v, want 400", err)
			}
			if got := victim.record(); got.State.Identity != before.State.Identity || !bytes.Equal(got.State.Push.Token, before.State.Push.Token) {
				t.Errorf("the device was changed: %+v, was %+v", got.State, before.State)
			}
			if err := enrollment.ReplaceIdentityRandom(victim.Enrollment); err != nil { // self-signed
				t.Fatal(err)
			}
			certificate, key, err := victim.GetIdentity(ctx)
			if err != nil {
				t.Fatal(err)
			}
			victim.as(certs.Signer{Certificate: certificate, Key: key.(*rsa.PrivateKey)})
			if err := victim.DoTokenUpdate(ctx); err == nil { // TLS refuses at the handshake, a signature with 400
				t.Error("TokenUpdate with a self-signed identity was taken")
			}
			victim.as(mine)
			if err := victim.DoTokenUpdate(ctx); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestAPL092NanomdmDeviceRenews: near the end of its identity nanomdm's device is given the enrolment profile again, gets
// another identity with its challenge, and goes on as the same enrolment; the old identity is refused from then on.
func TestAPL092NanomdmDeviceRenews(t *testing.T) {
	ctx := context.Background()
	h := startServer(t, nil)
	in := h.invite(h.users[0])
	old := h.identity(in, rsaKey())
	p := h.phone(in, old)
	p.enrol()
	p.drain()
	if err := p.DoEscrowBootstrapToken(ctx, []byte("secret")); err != nil {
		t.Fatal(err)
	}
	h.mu.Lock()
	h.off = old.Certificate.NotAfter.Sub(time.Now()) - 40*24*time.Hour // inside the 42 days (APL-091)
	h.mu.Unlock()
	c, body := p.report("", "Idle")
	if c == nil || c.Command.RequestType != "InstallProfile" {
		t.Fatalf("asked %+v, want InstallProfile", c)
	}
	var install mdmcommands.InstallProfileCommand
	if err := plist.Unmarshal(body, &install); err != nil {
		t.Fatal(err)
	}
	renewal := h.read(install.Command.Payload)
	if renewal.challenge == in.challenge || renewal.serverURL != in.serverURL || renewal.checkInURL != in.checkInURL { // APL-090
		t.Errorf("renewal %+v, enrolment %+v; want another challenge and nothing else", renewal, in)
	}
	p.as(h.identity(renewal, spareKey()))
	p.enrol()
	if next, _ := p.report(c.CommandUUID, "Acknowledged"); next != nil {
		t.Errorf("asked %+v after the renewal, want nothing", next)
	}
	if tok, err := p.DoGetBootstrapToken(ctx); err != nil || tok == nil || string(tok.BootstrapToken) != "c2VjcmV0" {
		t.Errorf("bootstrap token %v, %v, want the one of before", tok, err)
	}
	p.as(old)
	if err := p.DoTokenUpdate(ctx); err == nil {
		t.Error("the old identity is still taken")
	}
}
