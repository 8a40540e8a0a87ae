package interop

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jessepeterson/mdmcommands"
	"github.com/micromdm/nanohub/nanohub"
	nanolog "github.com/micromdm/nanolib/log"
	nanoapi "github.com/micromdm/nanomdm/http/api"
	"github.com/micromdm/nanomdm/mdm"
	"github.com/micromdm/nanomdm/push/nanopush"
	pushservice "github.com/micromdm/nanomdm/push/service"
	"github.com/micromdm/nanomdm/storage/inmem"
	"github.com/micromdm/plist"

	"rollcall/agent"
	"rollcall/agent/dialect"
	"rollcall/agent/link"
	"rollcall/certs"
	"rollcall/certs/scep"
	"rollcall/fleet/cloud/apns"
	"rollcall/protocol"
	"rollcall/protocol/apple"
)

const (
	certHeader = "X-Client-Cert" // in which a proxy passes the certificate on
	enrolledBy = "com.example.enrolment"
)

// A hub is nanohub with its store in memory, its API, its push client bent to our APNs, and SCEP beside it.
type hub struct {
	testing.TB
	front
	url     string
	scepURL string
	ca      *certs.Authority // the server's, and unless told otherwise the identities'
	issuer  *certs.Authority // of the identities
	store   *inmem.InMem
	cloud   *cloud

	mu   sync.Mutex
	said [][]byte // messages of devices as nanohub took them
}

// Write takes what nanohub dumps: each message of a device before it is served.
func (h *hub) Write(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.said = append(h.said, slices.Clone(b))
	return len(b), nil
}

func (h *hub) WriteString(s string) (int, error) { return h.Write([]byte(s)) }

// A front is how the device's identity gets to nanohub.
type front struct {
	name   string
	option nanohub.Option
	wrap   func(http.Handler) http.Handler // the proxy before it; nil: none
	sign   bool                            // devices sign their messages, and TLS asks for no certificate
}

var (
	byTLS   = front{name: "mutual TLS", option: nanohub.WithUADefault(false)} // needs no option, and this one changes nothing here
	byProxy = front{name: "mutual TLS at a proxy", option: nanohub.WithCertHeader(certHeader), wrap: passCertificate}
	bySign  = front{name: "Mdm-Signature", option: nanohub.WithMdmSignature(), sign: true}
)

// passCertificate is a TLS proxy: the certificate goes on in a header (RFC 9440), and one that came in is dropped.
func passCertificate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Del(certHeader)
		if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
			r.Header.Set(certHeader, ":"+base64.StdEncoding.EncodeToString(r.TLS.PeerCertificates[0].Raw)+":")
		}
		r.TLS = nil
		next.ServeHTTP(w, r)
	})
}

// startHub starts nanohub behind f. Identities come from our SCEP, or from theirs unless that is nil.
func startHub(t testing.TB, f front, theirs *theirCA) *hub {
	t.Helper()
	ca := authority(t)
	h := &hub{TB: t, front: f, ca: ca, issuer: ca, store: inmem.New(), cloud: startAPNs(t, apns.Config{})}
	root := ca.Certificate()
	if theirs != nil {
		root = theirs.certificate
	}
	logger := nanolog.NopLogger
	pusher := pushservice.New(h.store, h.store, nanopush.NewFactory(nanopush.WithNewClient(h.cloud.redirecting(t))), logger)
	nano := must(nanohub.New(h.store, nanohub.WithRootPEMs(certs.CertificatesPEM(root)), nanohub.WithAPNSPush(pusher), nanohub.WithDump(h), f.option))(t)
	handler := nano.ServerHandler()
	if f.wrap != nil {
		handler = f.wrap(handler)
	}
	mux := http.NewServeMux()
	mux.Handle("/mdm", handler)
	mux.Handle("/scep", &scep.Server{CA: ca, Issue: func(_ context.Context, r *scep.Request) (*x509.Certificate, error) {
		return h.issuer.Issue(certs.IssueRequest{Public: r.CSR.PublicKey, Handle: "handle", Now: time.Now()})
	}})
	nanoapi.HandleAPIv1("/api", mux, logger, h.store, pusher)
	if f.sign {
		root = nil
	}
	h.url = serve(t, ca, mux, root)
	h.scepURL = h.url + "/scep"
	if theirs != nil {
		h.scepURL = theirs.url
	}
	h.api("/api/pushcert", must(pushCertificate(t, topic).PEM())(t), nil)
	return h
}

// api calls nanomdm's API as an administrator does and reads its answer into out, unless that is nil.
func (h *hub) api(path string, body []byte, out any) {
	h.Helper()
	r := must(http.NewRequest(http.MethodPut, h.url+path, bytes.NewReader(body)))(h)
	resp := must(clientOf(h, h.ca, certs.Signer{}).Do(r))(h)
	defer resp.Body.Close()
	answer := must(io.ReadAll(resp.Body))(h)
	if resp.StatusCode != http.StatusOK {
		h.Fatalf("PUT %s: %s\n%s", path, resp.Status, answer)
	}
	if out != nil {
		if err := json.Unmarshal(answer, out); err != nil {
			h.Fatalf("PUT %s: %v\n%s", path, err, answer)
		}
	}
}

// profile is an enrolment profile for h.
func (h *hub) profile(challenge string) []byte {
	return apple.EncodeProfile(&apple.Profile{
		Identifier: enrolledBy, UUID: "AAAAAAAA-0000-4000-8000-000000000001", DisplayName: "Management",
		Payloads: []apple.Payload{
			{Type: apple.MDMPayload, Identifier: enrolledBy + ".mdm", UUID: "AAAAAAAA-0000-4000-8000-000000000002", MDM: &apple.MDM{
				IdentityCertificateUUID: "AAAAAAAA-0000-4000-8000-000000000003", Topic: topic, ServerURL: h.url + "/mdm",
				AccessRights: apple.AllRights, CheckOutWhenRemoved: true, SignMessage: h.sign,
			}},
			{Type: apple.SCEPPayload, Identifier: enrolledBy + ".scep", UUID: "AAAAAAAA-0000-4000-8000-000000000003", SCEP: &apple.SCEP{
				URL: h.scepURL, Challenge: challenge, Keysize: 2048, KeyUsage: 5, Subject: [][][]string{{{"CN", "%SerialNumber%"}}},
			}},
			{Type: apple.RootPayload, Identifier: enrolledBy + ".root", UUID: "AAAAAAAA-0000-4000-8000-000000000004", Certificate: h.ca.Certificate().Raw},
		},
	})
}

// A phone is one of our devices with its link and what APNs brings it.
type phone struct {
	*dialect.Apple
	hub  *hub
	link *link.Link
	box  <-chan apns.Notification

	mu  sync.Mutex
	off time.Duration // how far its clock is ahead
}

var iPhone = &dialect.Model{
	Platform: protocol.IOS, Name: "iPhone", Number: "MLPF3", Product: "iPhone14,5", OSVersion: "17.6", Build: "21G80", Capacity: 128,
}

const udid = "00008101-000A1B2C3D4E001E"

func (h *hub) phone(seed uint64, habits *dialect.Habits) *phone {
	h.Helper()
	p := &phone{hub: h, Apple: dialect.NewApple(dialect.Who{Number: 1, Seed: seed, UDID: udid, Serial: "ROLLCALL0001", Name: "Ann's"}, iPhone, habits)}
	p.link = must(link.New(link.Config{Roots: poolOf(h.ca.Certificate()), TransportKeys: oneKey(), Now: p.now}))(h)
	return p
}

func (p *phone) now() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Now().Add(p.off)
}

// enrol takes the profile and puts the device on our APNs.
func (p *phone) enrol(challenge string) (link.Report, error) {
	report, err := p.link.Enrol(context.Background(), p.Apple, dialect.Start{Profile: p.hub.profile(challenge)})
	if err == nil {
		p.online()
	}
	return report, err
}

func (p *phone) online() {
	_, token, _ := p.Push()
	p.hub.cloud.RegisterToken(topic, token)
	p.box = p.hub.cloud.inbox(token)
}

// order has the API queue commands and push once, has the device follow the push, and returns what nanohub heard.
func (p *phone) order(commands ...any) link.Report {
	h := p.hub
	h.Helper()
	for i, c := range commands {
		path := "/api/enqueue/" + p.UDID()
		if i < len(commands)-1 {
			path += "?nopush=1"
		}
		var result struct {
			Status map[string]struct {
				PushID    string          `json:"push_result"`
				PushError json.RawMessage `json:"push_error"`
			} `json:"status"`
		}
		h.api(path, must(plist.Marshal(c))(h), &result)
		if i < len(commands)-1 {
			continue
		}
		n := <-p.box
		if id := result.Status[p.UDID()].PushID; id != n.ID {
			h.Errorf("nanohub pushed %q, the device got %q", id, n.ID)
		}
		if magic := must(apple.DecodePush(n.Payload))(h); !p.Woken(magic) {
			h.Fatalf("the push with magic %q does not wake the device", magic)
		}
	}
	return must(p.link.Converse(context.Background(), p.Apple, dialect.Pushed))(h)
}

// heard decodes the newest report of a command, as nanohub took it, into out.
func (h *hub) heard(uuid string, out any) {
	h.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, raw := range slices.Backward(h.said) {
		var generic mdmcommands.GenericResponse
		if err := plist.Unmarshal(raw, &generic); err != nil {
			h.Fatalf("message %v\n%s", err, raw)
		}
		if generic.CommandUUID == uuid {
			if err := plist.Unmarshal(raw, out); err != nil {
				h.Fatalf("report of %s: %v\n%s", uuid, err, raw)
			}
			return
		}
	}
	h.Fatalf("nanohub heard nothing of %s", uuid)
}

// status is how the command went by nanohub's book.
func (h *hub) status(uuid string) string {
	h.Helper()
	var generic mdmcommands.GenericResponse
	h.heard(uuid, &generic)
	return generic.Status
}

// pushInfo is where nanohub would push to; nil: nowhere.
func (h *hub) pushInfo() *mdm.Push {
	h.Helper()
	return must(h.store.RetrievePushInfo(context.Background(), []string{udid}))(h)[udid]
}

// TestNanohub: our device enrols with nanohub, is woken through nanopush and our APNs, and carries out what nanohub's API
// queues, whichever way its identity gets there.
func TestNanohub(t *testing.T) {
	for _, tt := range []struct {
		front
		and      string
		habits   dialect.Habits
		micromdm bool // identity by micromdm's SCEP server
	}{
		{front: byTLS},
		{front: byTLS, and: ", identity by micromdm's SCEP", micromdm: true},
		{front: byProxy},
		{front: bySign},
		{front: bySign, and: " of a Mac", habits: dialect.Habits{Legacy: true}},
	} {
		t.Run(tt.name+tt.and, func(t *testing.T) {
			var theirs *theirCA
			if tt.micromdm {
				modernise(t)
				theirs = startTheirs(t, "challenge")
			}
			h := startHub(t, tt.front, theirs)
			p := h.phone(1, &tt.habits)
			if report, err := p.enrol("challenge"); err != nil {
				t.Fatalf("%v after %+v", err, report)
			}
			h.checkEnrolled(p)
			h.checkCommands(p)
		})
	}
}

// checkEnrolled compares what nanohub knows of p with p itself.
func (h *hub) checkEnrolled(p *phone) {
	h.Helper()
	topic, token, magic := p.Push()
	if got := h.pushInfo(); got == nil || got.Topic != topic || !bytes.Equal(got.Token, token) || got.PushMagic != magic {
		h.Errorf("nanohub would push to %+v, want %s %x %q", got, topic, token, magic)
	}
	var said struct{ MessageType, Topic, SerialNumber, ProductName, OSVersion, BuildVersion, UDID string }
	if err := plist.Unmarshal(h.said[0], &said); err != nil {
		h.Fatal(err)
	}
	if said.MessageType != "Authenticate" || said.SerialNumber != "ROLLCALL0001" || said.ProductName != iPhone.Product || said.OSVersion != "17.6" || said.UDID != udid {
		h.Errorf("Authenticate said %+v", said)
	}
}

// checkCommands has nanohub's API give the commands of this test, made and read by mdmcommands, which is generated from
// Apple's schema.
func (h *hub) checkCommands(p *phone) {
	h.Helper()
	ask := mdmcommands.NewDeviceInformationCommand("CMD-1") // any text is a CommandUUID
	ask.Command.Queries = []string{"OSVersion", "SerialNumber", "UDID", "DeviceCapacity", "IsSupervised", "NoSuchQuery"}
	p.order(ask)
	var information mdmcommands.DeviceInformationResponse
	h.heard("CMD-1", &information)
	q := information.QueryResponses
	if err := information.Validate(); err != nil || deref(q.OSVersion) != "17.6" || deref(q.SerialNumber) != "ROLLCALL0001" || deref(q.UDID) != udid ||
		deref(q.DeviceCapacity) != 128 || deref(q.IsSupervised) || q.Model != nil {
		h.Errorf("DeviceInformation: %+v, %v", information, err)
	}

	install := mdmcommands.NewInstallProfileCommand("CMD-2")
	install.Command.Payload = must(certs.SignAttached(profile(), identity(h, h.ca, "signer"), time.Now()))(h)
	list := mdmcommands.NewProfileListCommand("CMD-3")
	if report := p.order(install, list); report.Commands != 2 || report.Errors != 0 {
		h.Errorf("InstallProfile, ProfileList: %+v, want two reports", report)
	}
	if got := h.profiles("CMD-3"); !slices.Equal(got, []string{enrolledBy, "com.example.mail"}) {
		h.Errorf("ProfileList: %q after InstallProfile", got)
	}

	remove := mdmcommands.NewRemoveProfileCommand("CMD-4")
	remove.Command.Identifier = "com.example.mail"
	p.order(remove, mdmcommands.NewProfileListCommand("CMD-5"))
	if got := h.profiles("CMD-5"); h.status("CMD-4") != "Acknowledged" || !slices.Equal(got, []string{enrolledBy}) {
		h.Errorf("ProfileList: %q after RemoveProfile %s", got, h.status("CMD-4"))
	}

	again := mdmcommands.NewRemoveProfileCommand("CMD-6") // there is none left
	again.Command.Identifier = "com.example.mail"
	unknown := mdmcommands.NewGenericCommand("MakeCoffee", "CMD-7")
	if report := p.order(again, unknown); report.Commands != 2 || report.Errors != 2 {
		h.Errorf("two commands that fail: %+v", report)
	}
	for _, uuid := range []string{"CMD-6", "CMD-7"} {
		var failed mdmcommands.GenericResponse
		h.heard(uuid, &failed)
		if failed.Status != "Error" || failed.ErrorChain == nil || len(*failed.ErrorChain) == 0 || (*failed.ErrorChain)[0].ErrorDomain == "" {
			h.Errorf("%s: %+v, want an Error with its chain", uuid, failed)
		}
	}
	if report := must(p.link.Converse(context.Background(), p.Apple, dialect.Synced))(h); report.Commands != 0 {
		h.Errorf("nanohub gave %d commands more; all were reported", report.Commands)
	}
}

// profiles are the identifiers of a ProfileList.
func (h *hub) profiles(uuid string) []string {
	h.Helper()
	var list mdmcommands.ProfileListResponse
	h.heard(uuid, &list)
	if err := list.Validate(); err != nil {
		h.Error(err)
	}
	var names []string
	for _, item := range list.ProfileList {
		names = append(names, item.PayloadIdentifier)
	}
	return names
}

func deref[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// TestNanohubRefuses: nanohub refuses an identity of a CA that it does not know, and our device is then not managed and
// keeps nothing.
func TestNanohubRefuses(t *testing.T) {
	for _, f := range []front{byTLS, byProxy, bySign} {
		t.Run(f.name, func(t *testing.T) {
			h := startHub(t, f, nil)
			h.issuer = must(rsaAuthority())(t)
			p := h.phone(1, &dialect.Habits{})
			_, err := p.enrol("challenge")
			var failed *dialect.Failure
			if !errors.As(err, &failed) || failed.Step != dialect.Authenticate {
				t.Fatalf("enrolled with a foreign identity: %v", err)
			}
			if got := h.pushInfo(); p.Phase() == agent.Enrolled || len(p.Profiles()) != 0 || got != nil {
				t.Errorf("phase %s, %d profiles, nanohub would push to %v", p.Phase(), len(p.Profiles()), got)
			}
		})
	}
}

// enrolled is a device that has enrolled with a nanohub of its own.
func enrolled(t testing.TB) (*hub, *phone) {
	t.Helper()
	h := startHub(t, byTLS, nil)
	p := h.phone(1, &dialect.Habits{})
	must(p.enrol("challenge"))(t)
	return h, p
}

// managed tells whether nanohub holds the device for enrolled, by what it would hand on to another server.
func (h *hub) managed() bool {
	h.Helper()
	messages := make(chan any, 100)
	if err := h.store.RetrieveMigrationCheckins(context.Background(), messages); err != nil {
		h.Fatal(err)
	}
	return len(messages) > 0
}

// TestAPL036Nanohub: a device that leaves says so, by an order of nanohub or by its user's, and nanohub holds it for
// enrolled no more. But nanomdm's store in memory hands its push address out as before, so that nanohub would go on
// pushing (APL-036); its SQL stores do not.
func TestAPL036Nanohub(t *testing.T) {
	for name, leave := range map[string]func(h *hub, p *phone) link.Report{
		"RemoveProfile": func(h *hub, p *phone) link.Report { // APL-061
			remove := mdmcommands.NewRemoveProfileCommand("CMD-1")
			remove.Command.Identifier = enrolledBy
			return p.order(remove)
		},
		"user": func(h *hub, p *phone) link.Report {
			return must(p.link.Converse(context.Background(), p.Apple, dialect.UserRemoves))(h)
		},
	} {
		t.Run(name, func(t *testing.T) {
			h, p := enrolled(t)
			if !h.managed() {
				t.Fatal("nanohub does not know the device")
			}
			if report := leave(h, p); report.Steps[dialect.CheckOut] != 1 || p.Phase() == agent.Enrolled {
				t.Errorf("%d CheckOuts, phase %s", report.Steps[dialect.CheckOut], p.Phase())
			}
			var last struct{ MessageType, UDID, Topic string }
			if err := plist.Unmarshal(h.said[len(h.said)-1], &last); err != nil || last.MessageType != "CheckOut" || last.UDID != udid || last.Topic != topic {
				t.Errorf("nanohub heard %+v last, %v", last, err)
			}
			if h.managed() {
				t.Error("nanohub holds the device for enrolled")
			}
			if h.pushInfo() == nil {
				t.Error("nanohub has forgotten the push address; say so in doc.go")
			}
		})
	}
}

// TestAPL057Nanohub: a locked device says NotNow; nanohub offers the command no more on this connection, and again when
// the device comes back by itself after it was unlocked.
func TestAPL057Nanohub(t *testing.T) {
	h, p := enrolled(t)
	p.Lock(protocol.At(p.now().Add(time.Hour)))
	install := mdmcommands.NewInstallProfileCommand("CMD-1")
	install.Command.Payload = profile()
	if report := p.order(install); report.NotNow != 1 || report.Commands != 0 || h.status("CMD-1") != "NotNow" {
		t.Fatalf("%+v, status %s; want one NotNow", report, h.status("CMD-1"))
	}
	if p.Due() == 0 {
		t.Fatal("the device does not mean to come back")
	}
	p.mu.Lock()
	p.off = p.Due().Time().Sub(time.Now()) + time.Second
	p.mu.Unlock()
	report := must(p.link.Converse(context.Background(), p.Apple, dialect.Scheduled))(t)
	if report.Commands != 1 || h.status("CMD-1") != "Acknowledged" || len(p.Profiles()) != 2 {
		t.Errorf("%+v, status %s, %d profiles; want the profile installed", report, h.status("CMD-1"), len(p.Profiles()))
	}
}

// TestAPL035NanohubRenews: nanohub renews an identity by InstallProfile of the enrolment profile. Our device does it to the
// letter of apple.md section 11; nanohub takes the Authenticate for a new enrolment and forgets what was queued
// behind (APL-035).
func TestAPL035NanohubRenews(t *testing.T) {
	h, p := enrolled(t)
	before := must(p.Signer(dialect.Current))(t)
	renew := mdmcommands.NewInstallProfileCommand("RENEW-1")
	renew.Command.Payload = h.profile("next")
	report := p.order(renew, mdmcommands.NewDeviceInformationCommand("RENEW-2"))
	after := must(p.Signer(dialect.Current))(t)
	if report.Steps[dialect.Authenticate] != 1 || report.Steps[dialect.TokenUpdate] != 1 || h.status("RENEW-1") != "Acknowledged" || p.Owes() {
		t.Errorf("%+v, InstallProfile %s, owes %t; want Authenticate, TokenUpdate and the report", report, h.status("RENEW-1"), p.Owes())
	}
	if after.Certificate.Equal(before.Certificate) || p.Phase() != agent.Enrolled {
		t.Errorf("serial %x before, %x after; phase %s", before.Certificate.SerialNumber, after.Certificate.SerialNumber, p.Phase())
	}
	if report.Commands != 1 {
		t.Errorf("%d commands reported; if nanohub keeps its queue over a renewal now, say so in doc.go", report.Commands)
	}
	p.online()
	h.checkCommands(p)
}

// TestAPL023Nanohub: nanohub takes the Authenticate of any certificate of its CA for any UDID, which APL-023 forbids: the
// second device that says it is the first becomes it.
func TestAPL023Nanohub(t *testing.T) {
	h, first := enrolled(t)
	second := h.phone(2, &dialect.Habits{})
	if _, err := second.enrol("challenge"); err != nil {
		t.Fatalf("%v; if nanohub protects an enrolled UDID now, say so in doc.go", err)
	}
	if _, _, magic := second.Push(); h.pushInfo().PushMagic != magic {
		t.Errorf("nanohub would push magic %q, want the second device's %q", h.pushInfo().PushMagic, magic)
	}
	// The first device is refused with 500, where apple.md section 4.3 has 400, and stays enrolled (APL-093).
	_, err := first.link.Converse(context.Background(), first.Apple, dialect.Synced)
	var failed *dialect.Failure
	if !errors.As(err, &failed) || failed.Status != http.StatusInternalServerError || first.Phase() != agent.Enrolled {
		t.Errorf("the first device: %v, phase %s; want status 500, still enrolled", err, first.Phase())
	}
}
