package interop

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
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
	core    *server.Server
	ca      *certs.Authority
	url     string
	plain   string // URL
	users   []delivery.UserID
	pushes  push.Recorder // nanomdm's device makes tokens of 64 bytes, which no APNs gives out: ours would refuse them
	log     journal
	device  *device.Handler
	instead func(http.ResponseWriter, *http.Request) bool // unless nil: answers what it likes in the server's place

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
	h.url = enrolment.URL
	h.core = must(server.Open(ctx, h.at(), server.Config{Store: store.NewMemory(), Push: push.Services{Apple: &h.pushes}, Renewal: enrolment.Renewal}))(t)
	if err := h.core.SetUp(ctx, h.at(), tenants.Tenant{Authority: protocol.Intune, Release: 2611}, delivery.Settings{}); err != nil {
		t.Fatal(err)
	}
	if err := h.core.Consent(ctx, h.at(), server.System, server.ConsentPush); err != nil {
		t.Fatal(err)
	}
	must(h.core.UploadPush(ctx, h.at(), must(pushCertificate(t, topic).PEM())(t), "", "", false, 0))(t)
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
	h.device = must(device.New(cfg))(t)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.mu.Lock()
		instead := h.instead
		h.mu.Unlock()
		if instead == nil || !instead(w, r) {
			h.device.ServeHTTP(w, r)
		}
	})
	config := h.device.TLSConfig()
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
	ticket := must(h.core.Invite(context.Background(), h.at(), user, protocol.NoPlatform, time.Hour))(h)
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
