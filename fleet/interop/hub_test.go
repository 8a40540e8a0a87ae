package interop

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
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
	for _, prefix := range []string{"/api", "/v1"} { // the latter is nanomdm's own
		nanoapi.HandleAPIv1(prefix, mux, logger, h.store, pusher)
	}
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
		n := arrived(h, p.box)
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
