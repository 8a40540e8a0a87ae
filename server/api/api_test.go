package api

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"rollcall/certs"
	"rollcall/protocol"
	"rollcall/protocol/apple"
	"rollcall/server"
	"rollcall/server/authority"
	"rollcall/server/delivery"
	"rollcall/server/issuer"
	"rollcall/server/logs"
	"rollcall/server/store"
)

const testURL = "https://mdm.example.org:8443"

type testClock struct {
	now    time.Time
	driven bool
}

func (c *testClock) Now() time.Time    { return c.now }
func (c *testClock) Driven() bool      { return c.driven }
func (c *testClock) Step(to time.Time) { c.now = to }

// An office is the API of a server in memory, with two users and one enrolled device of Ada's.
type office struct {
	t      *testing.T
	core   *server.Server
	clock  *testClock
	h      *Handler
	token  string
	ca     *certs.Authority
	log    bytes.Buffer
	device string
	who    delivery.Fingerprint
	droid  delivery.Fingerprint // of the Android device that enrolled last

	answered map[string]bool // routes that succeeded
}

func newOffice(t *testing.T) *office {
	t.Helper()
	return newOfficeOf(t, authority.Tenant{Authority: protocol.Intune, Release: 2611}, authority.User{IntuneLicence: true})
}

// newOfficeOf has another tenant, and other licences of its users.
func newOfficeOf(t *testing.T, tenant authority.Tenant, licensed authority.User) *office {
	t.Helper()
	o := &office{t: t, clock: &testClock{now: time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC), driven: true}, device: "00008101-000A1B2C3D4E001E", answered: map[string]bool{}}
	ctx := context.Background()
	var err error
	if o.ca, err = certs.NewIssuer("test CA", o.clock.now); err != nil {
		t.Fatal(err)
	}
	if o.core, err = server.Open(ctx, o.now(), server.Config{Store: store.NewMemory()}); err != nil {
		t.Fatal(err)
	}
	testPush := func(topic string, notBefore, notAfter time.Time) ([]byte, error) {
		p, err := certs.MakePush(o.ca, topic, notBefore, notAfter)
		if err != nil {
			return nil, err
		}
		return p.PEM()
	}
	if o.h, err = New(Config{Server: o.core, Clock: o.clock, URL: testURL, Log: logs.New(&o.log, true), TestPush: testPush}); err != nil {
		t.Fatal(err)
	}
	text, kept := issuer.New("admin", store.GlobalAdministrator, o.now(), 0)
	o.token = text
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(o.core.PutToken(ctx, o.now(), kept))
	must(o.core.SetUp(ctx, o.now(), tenant, delivery.Settings{}))
	pem, err := testPush("com.apple.mgmt.External.1", o.clock.now, o.clock.now.AddDate(1, 0, 0))
	must(err)
	for _, service := range []string{server.ConsentPush, server.ConsentADE} {
		must(o.core.Consent(ctx, o.now(), server.System, service))
	}
	_, err = o.core.UploadPush(ctx, o.now(), pem, "", "push@example.org", false, 0)
	must(err)
	_, err = o.core.PutUsers(ctx, o.now(), []store.User{
		{UPN: "ada@example.org", Name: "Ada", Groups: []string{"field"}, User: licensed}, {UPN: "bob@example.org", User: licensed},
	})
	must(err)
	o.enrol()
	return o
}

// admin is who the office's token stands for.
func (o *office) admin() server.Actor {
	return server.Actor{Name: "token:admin", Role: store.GlobalAdministrator}
}

func (o *office) now() protocol.Time { return protocol.At(o.clock.now) }

// enrol puts Ada's device into the core without a wire.
func (o *office) enrol() {
	o.t.Helper()
	o.who = o.identity(store.Grant{})
	o.round(protocol.CheckIn{Verb: protocol.Enrol})
	o.round(protocol.CheckIn{Verb: protocol.Ready})
	for reply := o.round(protocol.CheckIn{Verb: protocol.Ask}); reply.Kind == protocol.Work; { // what a new device is asked
		reply = o.round(protocol.CheckIn{Verb: protocol.Report, Status: protocol.Acknowledged, Command: reply.Command.ID})
	}
}

// identity issues a certificate for a device of Ada's.
func (o *office) identity(g store.Grant) delivery.Fingerprint {
	o.t.Helper()
	ctx := context.Background()
	ada, _ := o.core.UserByUPN("ada@example.org")
	g.Purpose, g.User = delivery.ForEnrolment, ada.ID
	challenge, err := o.core.Grant(ctx, o.now(), g)
	if err != nil {
		o.t.Fatal(err)
	}
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	public, _ := x509.MarshalPKIXPublicKey(key.Public())
	der, err := o.core.Issue(ctx, o.now(), server.Claim{
		Challenge: challenge, Transaction: "1", Request: sha256.Sum256(public), Key: sha256.Sum256(public),
		Make: func(*store.Grant) ([]byte, protocol.Time, protocol.Time, error) {
			leaf, err := o.ca.Issue(certs.IssueRequest{Public: key.Public(), Handle: "handle", Now: o.clock.now})
			if err != nil {
				return nil, 0, 0, err
			}
			return leaf.Raw, protocol.At(leaf.NotBefore), protocol.At(leaf.NotAfter), nil
		},
	})
	if err != nil {
		o.t.Fatal(err)
	}
	return sha256.Sum256(der)
}

// round is one of the device's own.
func (o *office) round(c protocol.CheckIn) protocol.Reply {
	o.t.Helper()
	ctx := context.Background()
	cred, err := o.core.Credential(ctx, o.who)
	if err != nil {
		o.t.Fatal(err)
	}
	ev := delivery.Event{Kind: delivery.CheckInRound, ID: o.device}
	ev.CheckIn, ev.Credential, ev.Platform = c, cred, protocol.IOS
	ev.Round = 1
	ev.Topic, ev.Magic, ev.Token = "com.apple.mgmt.External.1", "magic", []byte("token")
	ev.Facts = &delivery.Facts{Name: "=Ada's\x1b[0m phone", Serial: "C01", Product: "iPhone15,2", OSVersion: "18.1"}
	if c.Verb == protocol.Report {
		ev.Facts, ev.Result = nil, []byte("<plist>what it said</plist>")
	}
	var out delivery.Outcome
	if err := o.core.Handle(ctx, o.now(), &ev, &out); err != nil {
		o.t.Fatalf("%s: %v", c.Verb, err)
	}
	return out.Reply
}

// call makes a request with the office's token and holds the answer against the OpenAPI document.
func (o *office) call(method, target string, body any, want int) map[string]any {
	o.t.Helper()
	status, answer := o.ask(method, target, body, "Bearer "+o.token)
	if status != want {
		o.t.Fatalf("%s %s answered %d %s, want %d", method, target, status, answer, want)
	}
	if r := routeOf(method, target); r != nil {
		checkAnswer(o.t, r, status, answer)
		if status == r.success() {
			o.answered[r.method+" "+r.path] = true
		}
	}
	var v map[string]any
	if err := json.Unmarshal(answer, &v); err != nil {
		o.t.Fatalf("%s %s: %v in %s", method, target, err, answer)
	}
	return v
}

func (o *office) ask(method, target string, body any, authorization string) (int, []byte) {
	o.t.Helper()
	var text []byte
	switch b := body.(type) {
	case nil:
	case string:
		text = []byte(b)
	default:
		text, _ = json.Marshal(b)
	}
	r := httptest.NewRequest(method, target, bytes.NewReader(text))
	if text != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	w := httptest.NewRecorder()
	o.h.ServeHTTP(w, r)
	return w.Code, w.Body.Bytes()
}

// TestPutUsersKeeps: what is left out of a user who exists stays as it is.
func TestPutUsersKeeps(t *testing.T) {
	o := newBMS(t)
	get := func() user {
		u, _ := o.core.UserByUPN("ada@example.org")
		return user{u.UPN, u.Name, u.Groups, u.IntuneLicence, u.BasicLicence, u.CoManaged, u.Premium, u.Manager}
	}
	put := func(more string) user {
		o.call("POST", "/rollcall/v1/users", `{"users":[{"upn":"ada@example.org"`+more+`}]}`, 200)
		return get()
	}
	want := get()
	if want.Groups == nil || !want.IntuneLicence && !want.BasicLicence {
		t.Fatalf("the test's user has nothing to lose: %+v", want)
	}
	if got := put(""); !reflect.DeepEqual(got, want) {
		t.Errorf("nothing given: %+v, was %+v", got, want)
	}
	want.Name = "Ada L."
	if got := put(`,"name":"Ada L."`); !reflect.DeepEqual(got, want) {
		t.Errorf("a name given: %+v, want %+v", got, want)
	}
	want.Groups, want.Premium = []string{}, true
	if got := put(`,"groups":[],"directory_premium":true`); !reflect.DeepEqual(got, want) {
		t.Errorf("no group, and a licence: %+v, want %+v", got, want)
	}
	want.Manager = true
	if got := put(`,"enrolment_manager":true`); !reflect.DeepEqual(got, want) {
		t.Errorf("an enrolment manager: %+v, want %+v", got, want)
	}
	want.Name, want.Premium = "", false
	if got := put(`,"name":"","directory_premium":false`); !reflect.DeepEqual(got, want) {
		t.Errorf("no name, and none: %+v, want %+v", got, want)
	}
	want.IntuneLicence, want.BasicLicence = false, false
	o.call("POST", "/rollcall/v1/users/licences", `{"licences":[{"upn":"ada@example.org"}]}`, 200)
	if got := get(); !reflect.DeepEqual(got, want) {
		t.Errorf("no licences any more: %+v, want %+v", got, want)
	}
	want.Manager = false
	if got := put(`,"enrolment_manager":false`); !reflect.DeepEqual(got, want) {
		t.Errorf("no manager any more: %+v, want %+v", got, want)
	}
}

// routeOf finds the route of a request, as the table has it.
func routeOf(method, target string) *route {
	path, _, _ := strings.Cut(target, "?")
	for _, r := range routes() {
		want, got := strings.Split(r.path, "/"), strings.Split(path, "/")
		if r.method != method || len(want) != len(got) {
			continue
		}
		same := true
		for i := range want {
			same = same && (want[i] == got[i] || strings.HasPrefix(want[i], "{"))
		}
		if same {
			return &r
		}
	}
	return nil
}

// target is a path that the route serves.
func (o *office) target(r *route) string {
	return strings.NewReplacer("{id}", o.device, "{authority}", "intune", "{service}", "androidManagedStore").Replace(r.path)
}

// Each route of the table against each way to be nobody.
func TestHST060Matrix(t *testing.T) {
	o := newOffice(t)
	revoked := o.call("POST", "/rollcall/v1/tokens", map[string]any{"name": "old", "role": "global"}, 201)["token"].(string)
	o.call("DELETE", "/rollcall/v1/tokens?name=old", nil, 200)
	short := o.call("POST", "/rollcall/v1/tokens", map[string]any{"name": "short", "role": "global", "lifetime_seconds": 1}, 201)["token"].(string)
	o.clock.now = o.clock.now.Add(2 * time.Second)
	certificate := &tls.ConnectionState{PeerCertificates: []*x509.Certificate{{Raw: []byte("a device's")}}, HandshakeComplete: true}
	before, _ := o.core.Store().Journal(context.Background(), store.LineFilter{}, 10000)
	for _, r := range routes() {
		for _, nobody := range []struct {
			name, authorization string
			tls                 *tls.ConnectionState
		}{
			{"no token", "", nil},
			{"an empty token", "Bearer ", nil},
			{"a made-up token", "Bearer " + issuer.Prefix + strings.Repeat("A", 43), nil},
			{"a revoked token", "Bearer " + revoked, nil},
			{"an expired token", "Bearer " + short, nil},
			{"half a token", "Bearer " + o.token[:len(o.token)-1], nil},
			{"a token in another scheme", "Basic " + base64.StdEncoding.EncodeToString([]byte("admin:"+o.token)), nil},
			{"a device's certificate", "", certificate},
		} {
			t.Run(r.method+" "+r.path+"/"+nobody.name, func(t *testing.T) {
				req := httptest.NewRequest(r.method, o.target(&r), strings.NewReader(`{}`))
				req.Header.Set("Content-Type", "application/json")
				req.TLS = nobody.tls
				if nobody.authorization != "" {
					req.Header.Set("Authorization", nobody.authorization)
				}
				w := httptest.NewRecorder()
				o.h.ServeHTTP(w, req)
				want := http.StatusUnauthorized
				if r.open {
					want = http.StatusOK
				}
				if w.Code != want {
					t.Errorf("answered %d %s, want %d", w.Code, w.Body, want)
				}
				checkAnswer(t, &r, w.Code, w.Body.Bytes())
			})
		}
	}
	after, _ := o.core.Store().Journal(context.Background(), store.LineFilter{}, 10000)
	if len(after) != len(before) {
		t.Errorf("%d lines came into the journal", len(after)-len(before))
	}
	t.Run("what is not there", func(t *testing.T) {
		for _, target := range []string{"/rollcall/v1/nothing", "/rollcall/v1/devices/" + o.device + "/explode", "/rollcall/v2/devices", "/rollcall/"} {
			if status, _ := o.ask("GET", target, nil, ""); status != http.StatusUnauthorized {
				t.Errorf("a stranger at %s got %d, want 401 as everywhere", target, status)
			}
			o.call("GET", target, nil, 404)
		}
		o.call("GET", "/rollcall/v1/devices/"+"00000000-NOBODY", nil, 404)
		o.call("POST", "/rollcall/v1/devices/00000000-NOBODY/lock", map[string]any{}, 404)
		o.call("GET", "/rollcall/v1/portals/unknown/devices", nil, 404)
		o.call("DELETE", "/rollcall/v1/tokens?name=nobody", nil, 404)
		o.call("DELETE", "/rollcall/v1/profiles?name=nothing", nil, 404)
		o.call("PUT", "/rollcall/v1/devices", nil, 405)
	})
}

func TestHST061PortalsShowTheirOwn(t *testing.T) {
	o := newOffice(t)
	for portal, want := range map[string]int{"intune": 1, "office365": 0, "sccm": 0} {
		if got := o.call("GET", "/rollcall/v1/portals/"+portal+"/devices", nil, 200)["devices"].([]any); len(got) != want {
			t.Errorf("portal %s lists %d devices, want %d", portal, len(got), want)
		}
	}
	for user, want := range map[string]int{"ada@example.org": 1, "ADA@EXAMPLE.ORG": 1, "bob@example.org": 0} {
		if got := o.call("GET", "/rollcall/v1/devices?user="+user, nil, 200)["devices"].([]any); len(got) != want {
			t.Errorf("%s has %d devices, want %d", user, len(got), want)
		}
	}
	for platform, want := range map[string]int{"ios": 1, "macos": 0} {
		if got := o.call("GET", "/rollcall/v1/devices?platform="+platform, nil, 200)["devices"].([]any); len(got) != want {
			t.Errorf("%d devices of %s, want %d", len(got), platform, want)
		}
	}
}

// The first sentence of a day in the office, each answer held against the document.
func TestRoutesAnswer(t *testing.T) {
	o := newOffice(t)
	document := apple.EncodeProfile(apple.NewProfile("example.wifi", "Wi-Fi", protocol.WiFi))

	if got := o.call("GET", "/rollcall/v1/authority", nil, 200); got["authority"] != "intune" || got["release"] != float64(2611) {
		t.Errorf("authority: %v", got)
	}
	o.call("POST", "/rollcall/v1/tenant", map[string]any{"authority": "intune", "release": 2611, "lifetime_seconds": 864000}, 200)
	if got := o.call("GET", "/rollcall/v1/authority", nil, 200)["lifetime_seconds"]; got != float64(864000) {
		t.Errorf("lifetime %v, want what was set", got)
	}

	o.call("GET", "/rollcall/v1/profiles", nil, 200) // none yet, and still a list
	wifi := map[string]any{"name": "wifi", "document": document, "groups": []string{"field"}}
	shown := o.call("POST", "/rollcall/v1/profiles/preview", wifi, 200) // AUTH-35
	if got := shown["profiles"].([]any)[0].(map[string]any); got["effect"] != "installed" || got["devices"] != float64(1) || shown["devices"].([]any)[0].(map[string]any)["device"] != o.device {
		t.Errorf("preview of a profile: %v", shown)
	}
	wifi["confirm"] = shown["id"]
	if got := o.call("POST", "/rollcall/v1/profiles", wifi, 200); got["family"] != "wifi" || got["identifier"] != "example.wifi" {
		t.Errorf("profile: %v", got)
	}
	if got := o.call("GET", "/rollcall/v1/profiles", nil, 200)["profiles"].([]any); len(got) != 1 {
		t.Errorf("profiles: %v", got)
	}
	reply := o.round(protocol.CheckIn{Verb: protocol.Ask})
	if reply.Command.Kind != protocol.InstallProfile || !bytes.Equal(reply.Command.Payload, document) {
		t.Fatalf("the device of the group got %v", reply.Command.Kind)
	}
	show := o.call("GET", "/rollcall/v1/devices/"+o.device, nil, 200)
	if head, _ := show["head"].(map[string]any); head["id"] != reply.Command.ID.String() || head["profile"] != "wifi" {
		t.Errorf("head of queue: %v", show["head"])
	}
	o.round(protocol.CheckIn{Verb: protocol.Report, Status: protocol.Acknowledged, Command: reply.Command.ID})
	shown = o.call("GET", "/rollcall/v1/profiles/preview?name=wifi&group=field", nil, 200)
	if got := shown["profiles"].([]any)[0].(map[string]any); got["effect"] != "unassigned" || got["rule"] != "AUTH-55" {
		t.Errorf("preview of a removal: %v", got)
	}
	show = o.call("GET", "/rollcall/v1/devices/"+o.device, nil, 200)
	if show["head"] != nil || show["last_raw"] != "<plist>what it said</plist>" {
		t.Errorf("head %v, latest report %v", show["head"], show["last_raw"])
	}
	if p := show["profiles"].([]any)[0].(map[string]any); p["state"] != "installed" || p["name"] != "wifi" {
		t.Errorf("its profile: %v", p)
	}
	if show["user"] != "ada@example.org" || show["platform"] != "ios" || show["life"] != "enrolled" || show["reachable"] != true {
		t.Errorf("device: %v", show)
	}

	if got := o.call("POST", "/rollcall/v1/devices/"+o.device+"/lock", map[string]any{"message": "call 5"}, 200); got["command"] == "" {
		t.Error("a lock has no command")
	}
	o.call("POST", "/rollcall/v1/devices/"+o.device+"/lock", map[string]any{}, 409) // APL-064
	if got := o.call("POST", "/rollcall/v1/devices/"+o.device+"/sync", map[string]any{}, 200); got["command"] != "" {
		t.Errorf("a sync has a command: %v", got)
	}
	for _, order := range orders {
		if order.name != "lock" && order.name != "wipe" && order.name != "retire" && order.kind <= protocol.Retire {
			o.call("POST", "/rollcall/v1/devices/"+o.device+"/"+order.name, map[string]any{}, 200)
		}
	}
	o.call("POST", "/rollcall/v1/devices/"+o.device+"/wipe", map[string]any{}, 200)
	o.call("POST", "/rollcall/v1/devices/"+o.device+"/restart", map[string]any{}, 409) // it leaves, and would never hear of it (AUTH-53)
	for reply = o.round(protocol.CheckIn{Verb: protocol.Ask}); reply.Kind == protocol.Work; {
		status := protocol.Acknowledged
		if reply.Command.Kind == protocol.Erase {
			status = protocol.Failed
		}
		reply = o.round(protocol.CheckIn{Verb: protocol.Report, Status: status, Command: reply.Command.ID})
	}
	o.call("POST", "/rollcall/v1/devices/"+o.device+"/retire", map[string]any{}, 200)

	shown = o.call("GET", "/rollcall/v1/profiles/preview?name=wifi&group=field", nil, 200)
	o.call("GET", "/rollcall/v1/profiles/preview?name=vpn", nil, 404)
	o.call("DELETE", "/rollcall/v1/profiles?name=wifi&group=field&group=", nil, 400)
	o.call("DELETE", "/rollcall/v1/profiles?name=wifi&confirm=yesterday", nil, 409) // HST-070
	o.call("DELETE", "/rollcall/v1/profiles?name=wifi&group=field&confirm="+shown["id"].(string), nil, 200)
	o.call("DELETE", "/rollcall/v1/profiles?name=wifi", nil, 200)

	o.call("POST", "/rollcall/v1/users", map[string]any{"users": []any{map[string]any{"upn": "cy@example.org", "basic_licence": true}, map[string]any{"upn": "di@example.org"}}}, 200)
	o.call("DELETE", "/rollcall/v1/users?upn=DI@example.org", nil, 200)
	o.call("DELETE", "/rollcall/v1/users?upn=di@example.org", nil, 404)
	if list := o.call("GET", "/rollcall/v1/users", nil, 200)["users"].([]any); len(list) != 3 {
		t.Errorf("users: %v", list)
	}
	if no := o.call("DELETE", "/rollcall/v1/users?upn=ada@example.org", nil, 409)["error"].(map[string]any); no["rule"] != "AUTH-53" {
		t.Errorf("answered %v, want AUTH-53", no)
	}
	o.call("POST", "/rollcall/v1/users", map[string]any{"users": []any{map[string]any{"upn": "di@example.org"}}}, 200) // another one of that name
	o.call("DELETE", "/rollcall/v1/users?upn=di@example.org", nil, 200)
	first := o.call("GET", "/rollcall/v1/users?limit=2", nil, 200)
	rest := o.call("GET", "/rollcall/v1/users?limit=2&after="+first["next"].(string), nil, 200)
	if len(first["users"].([]any)) != 2 || len(rest["users"].([]any)) != 1 || rest["next"] != "" {
		t.Errorf("pages of users: %v, %v", first, rest)
	}

	links := o.call("POST", "/rollcall/v1/invitations", map[string]any{"users": []string{"ada@example.org", ""}}, 201)["invitations"].([]any)
	for _, l := range links { // HST-024
		if url := l.(map[string]any)["url"].(string); !strings.HasPrefix(url, testURL+"/e/") {
			t.Errorf("a link to %s", url)
		}
	}
	o.call("POST", "/rollcall/v1/ade/serials", map[string]any{"serials": []any{map[string]any{"serial": "C02", "user": "bob@example.org"}}}, 200)
	if s, ok := o.core.Serial("C02"); !ok || s.User == 0 {
		t.Errorf("serial: %+v", s)
	}

	if got := o.call("GET", "/rollcall/v1/apns", nil, 200); got["apple_id"] != "push@example.org" || len(got["warnings"].([]any)) != 0 {
		t.Errorf("push certificate: %v", got)
	}
	o.call("POST", "/rollcall/v1/orders/wipe/preview", map[string]any{"devices": []any{o.device}}, 200)
	o.call("POST", "/rollcall/v1/orders/wipe", map[string]any{"devices": []any{o.device}, "count": 1}, 200)
	o.call("POST", "/rollcall/v1/orders/delete/preview", map[string]any{"devices": []any{o.device}}, 200)
	o.call("POST", "/rollcall/v1/orders/delete", map[string]any{"devices": []any{o.device}}, 200)
	made := o.call("POST", "/rollcall/v1/apns/make-test", map[string]any{"topic": "com.apple.mgmt.External.2", "lifetime_seconds": 40000000}, 201)
	if got := o.call("POST", "/rollcall/v1/apns/preview", map[string]any{"certificate": made["certificate"]}, 200); got["other_topic"] != true || got["stranded"] != float64(1) {
		t.Errorf("preview of an upload: %v", got)
	}
	no := o.call("POST", "/rollcall/v1/apns", map[string]any{"certificate": made["certificate"]}, 409)["error"].(map[string]any)
	if no["rule"] != "AUTH-32" || !strings.Contains(no["message"].(string), "1") {
		t.Errorf("another topic without confirmation: %v, want AUTH-32 and one stranded device", no)
	}
	if got := o.call("POST", "/rollcall/v1/apns", map[string]any{"certificate": made["certificate"], "confirm": true, "count": 1}, 200); got["stranded"] != float64(1) {
		t.Errorf("confirmed: %v", got)
	}
	no = o.call("POST", "/rollcall/v1/apns", map[string]any{"certificate": []byte("nothing")}, 409)["error"].(map[string]any)
	if no["rule"] != "AUTH-34" {
		t.Errorf("garbage: %v, want AUTH-34", no)
	}

	o.call("POST", "/rollcall/v1/users/licences/preview", map[string]any{"licences": []any{map[string]any{"upn": "bob@example.org"}}}, 200)
	o.call("POST", "/rollcall/v1/users/licences", map[string]any{"licences": []any{map[string]any{"upn": "bob@example.org", "basic": true}}}, 200)
	o.call("POST", "/rollcall/v1/clock/confirm", map[string]any{}, 200)
	o.call("POST", "/rollcall/v1/settings", map[string]any{"clean_up_days": 90, "console_lag_days": 3}, 200)
	if got := o.call("GET", "/rollcall/v1/settings", nil, 200); got["clean_up_days"] != float64(90) || got["console_lag_days"] != float64(3) || got["intune_units"] != float64(-1) || got["gap_on_coexistence"] != true {
		t.Errorf("settings: %v", got)
	}
	o.call("POST", "/rollcall/v1/consents/androidManagedStore", map[string]any{}, 200)
	granted := 0
	for _, c := range o.call("GET", "/rollcall/v1/consents", nil, 200)["consents"].([]any) {
		if c := c.(map[string]any); c["granted"] == true {
			granted++
			if (c["by"] == "token:admin") != (c["service"] == "androidManagedStore") || len(c["shared"].([]any)) == 0 {
				t.Errorf("consent: %v", c)
			}
		}
	}
	if granted != 3 {
		t.Errorf("%d consents are granted, want two of the setting up and the one", granted)
	}
	if got := o.call("POST", "/rollcall/v1/apns/csr", map[string]any{}, 201); got["slot"] != "intune" {
		t.Errorf("request: %v", got["slot"])
	}
	preview := o.call("POST", "/rollcall/v1/authority/preview", map[string]any{"authority": "sccm"}, 200)
	if preview["before"] != "intune" || preview["after"] != "sccm" || preview["enrolled"] != float64(1) {
		t.Errorf("preview: %v", preview)
	}
	o.call("POST", "/rollcall/v1/authority", map[string]any{"authority": "sccm", "confirm": preview["id"], "count": 1}, 200)
	if got := o.call("GET", "/rollcall/v1/authority", nil, 200); got["authority"] != "sccm" || got["stale"] != float64(1) || got["lifetime_seconds"] != float64(864000) {
		t.Errorf("authority: %v", got)
	}
	o.call("GET", "/rollcall/v1/authority/verify", nil, 200)
	o.call("GET", "/rollcall/v1/authority/readiness", nil, 200)
	if got := o.call("POST", "/rollcall/v1/devices/"+o.device+"/reenrol", map[string]any{}, 201); got["user"] != "ada@example.org" || !strings.HasPrefix(got["url"].(string), testURL+"/e/") {
		t.Errorf("enrol again: %v", got)
	}
	o.call("DELETE", "/rollcall/v1/devices/"+o.device, nil, 200) // AUTH-53: until it has heard, it is listed
	if got := o.call("GET", "/rollcall/v1/devices/"+o.device, nil, 200); got["life"] != "enrolled" {
		t.Errorf("life %v of a device that has not heard that it is deleted", got["life"])
	}
	o.call("DELETE", "/rollcall/v1/devices/nobody", nil, 404)
	o.answered["POST /rollcall/v1/devices/{id}/support-move"] = true // answered by TestAUTH18SupportMove
	for _, order := range orders {
		if order.kind > protocol.Retire { // answered by TestAND038Orders
			o.answered["POST /rollcall/v1/devices/{id}/"+order.name] = true
		}
	}

	lines := o.call("GET", "/rollcall/v1/journal?limit=1000", nil, 200)["lines"].([]any)
	if len(lines) == 0 || lines[0].(map[string]any)["seq"] == float64(0) {
		t.Errorf("journal: %v", lines)
	}
	if v := o.call("GET", "/rollcall/v1/audit/verify", nil, 200); v["sound"] != true || v["lines"] != float64(len(lines)) {
		t.Errorf("verify: %v, want %d sound lines", v, len(lines))
	}
	o.call("GET", "/rollcall/v1/devices", nil, 200)
	o.call("GET", "/rollcall/v1/portals/intune/devices", nil, 200)
	o.call("POST", "/rollcall/v1/clock", map[string]any{"to": o.call("GET", "/rollcall/v1/clock", nil, 200)["now"]}, 200)
	o.call("POST", "/rollcall/v1/tokens", map[string]any{"name": "ci", "role": "reader", "lifetime_seconds": 60}, 201)
	o.call("GET", "/rollcall/v1/tokens", nil, 200)
	o.call("POST", "/rollcall/v1/packages", map[string]any{"name": "office", "machines": 2, "lifetime_seconds": 60}, 201)
	o.call("GET", "/rollcall/v1/packages", nil, 200)
	o.call("DELETE", "/rollcall/v1/packages?name=office", nil, 200)
	o.call("DELETE", "/rollcall/v1/tokens?name=ci", nil, 200)
	o.call("GET", "/rollcall/v1/openapi.json", nil, 200)
	o.call("GET", "/healthz", nil, 200)
	for _, r := range routes() {
		if !o.answered[r.method+" "+r.path] {
			t.Errorf("no answer of %s %s was held against the document", r.method, r.path)
		}
	}
}

func TestAUTH33Warnings(t *testing.T) {
	o := newOffice(t)
	for _, tt := range []struct {
		days int
		want string
	}{{300, ""}, {336, "within 30 days"}, {360, "within 7 days"}, {364, "within 1 days"}, {366, "has ended"}} {
		o.clock.now = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC).AddDate(0, 0, tt.days)
		got := fmt.Sprint(o.call("GET", "/rollcall/v1/apns", nil, 200)["warnings"])
		if tt.want == "" && got != "[]" || !strings.Contains(got, tt.want) || tt.want != "" && !strings.Contains(got, "push@example.org") {
			t.Errorf("after %d days: %s, want %q and the Apple ID", tt.days, got, tt.want)
		}
	}
}

func TestClockIsDriven(t *testing.T) {
	o := newOffice(t)
	now := o.clock.now
	got := o.call("GET", "/rollcall/v1/clock", nil, 200)
	if got["driven"] != true || got["now"] != o.now().String() {
		t.Errorf("clock: %v", got)
	}
	later := protocol.At(now.Add(time.Hour))
	if got = o.call("POST", "/rollcall/v1/clock", map[string]any{"to": later}, 200); got["now"] != later.String() {
		t.Errorf("stepped: %v, want %s", got, later)
	}
	o.call("POST", "/rollcall/v1/clock", map[string]any{"to": protocol.At(now)}, 400) // back
	o.call("POST", "/rollcall/v1/clock", map[string]any{}, 400)
	o.clock.driven = false
	o.call("POST", "/rollcall/v1/clock", map[string]any{"to": later}, 409)
}

// An overtaken clock is set ahead by somebody else once it was read.
type overtaken struct {
	*testClock
	by time.Duration
}

func (c *overtaken) Now() time.Time {
	now := c.now
	c.now, c.by = now.Add(c.by), 0
	return now
}

// TestClockIsNotSetBack: of two who set a driven clock at once, the one with the earlier time is refused.
func TestClockIsNotSetBack(t *testing.T) {
	o := newOffice(t)
	now := o.clock.now
	o.h.cfg.Clock = &overtaken{o.clock, 2 * time.Hour}
	o.call("POST", "/rollcall/v1/clock", map[string]any{"to": protocol.At(now.Add(time.Hour))}, 400)
	if got := o.clock.now.Sub(now); got != 2*time.Hour {
		t.Errorf("the clock is %v ahead, want 2h", got)
	}
}

func TestHST014Requests(t *testing.T) {
	o := newOffice(t)
	mdm := apple.EncodeProfile(&apple.Profile{Identifier: "x", UUID: "x", Payloads: []apple.Payload{
		{Type: apple.PKCS12Payload, Identifier: "x.id", UUID: "id", Certificate: []byte{1}},
		{Type: apple.MDMPayload, Identifier: "x.mdm", UUID: "mdm", MDM: &apple.MDM{IdentityCertificateUUID: "id", Topic: "com.apple.mgmt.x", ServerURL: "https://evil.example", AccessRights: 1}},
	}})
	for _, tt := range []struct {
		method, target string
		body           any
		status         int
		field          string
	}{
		{"POST", "/rollcall/v1/users", `{"users":[{"upn":"a@x","admin":true}]}`, 400, "users[0].admin"},
		{"POST", "/rollcall/v1/users", `{"users":[{"upn":"a@x"},{"upn":"A@X"}]}`, 400, "users[1].upn"},
		{"POST", "/rollcall/v1/users", `{"users":[{"upn":" "}]}`, 400, "users[0].upn"},
		{"POST", "/rollcall/v1/users", `{"users":[{"upn":"a\u0000b"}]}`, 400, "users[0].upn"},
		{"POST", "/rollcall/v1/users", `{"users":[{"upn":"a@x","groups":["ok","` + strings.Repeat("x", 257) + `"]}]}`, 400, "users[0].groups[1]"},
		{"POST", "/rollcall/v1/invitations", `{"users":["ada@example.org","nobody@x"]}`, 400, "users[1]"},
		{"POST", "/rollcall/v1/invitations", `{"users":[],"lifetime_seconds":9223372036854775807}`, 400, "lifetime_seconds"},
		{"POST", "/rollcall/v1/ade/serials", `{"serials":[{"serial":""}]}`, 400, "serials[0].serial"},
		{"POST", "/rollcall/v1/profiles", `{"name":"x","document":"!"}`, 400, ""},
		{"POST", "/rollcall/v1/profiles", map[string]any{"name": "x", "document": []byte("bplist00")}, 400, "document"},
		{"POST", "/rollcall/v1/profiles", map[string]any{"name": "x", "document": mdm}, 400, "document"},
		{"POST", "/rollcall/v1/profiles", `{"name":"x"}`, 400, "document"},
		{"POST", "/rollcall/v1/devices/" + o.device + "/lock", `{"pin":"12345"}`, 400, "pin"},
		{"POST", "/rollcall/v1/devices/" + o.device + "/sync", `{"pin":"123456"}`, 400, "pin"},
		{"POST", "/rollcall/v1/clock", `{"to":"yesterday"}`, 400, "to"},
		{"GET", "/rollcall/v1/devices?limit=0", nil, 400, "limit"},
		{"GET", "/rollcall/v1/devices?limit=1001", nil, 400, "limit"},
		{"GET", "/rollcall/v1/devices?after=x", nil, 400, "after"},
		{"GET", "/rollcall/v1/devices?after=99999999999", nil, 400, "after"},
		{"GET", "/rollcall/v1/devices?colour=red", nil, 400, "colour"},
		{"GET", "/rollcall/v1/devices?limit=1&limit=2", nil, 400, "limit"},
		{"GET", "/rollcall/v1/devices?platform=amiga", nil, 400, "platform"},
	} {
		t.Run(tt.method+" "+tt.target, func(t *testing.T) {
			no, _ := o.call(tt.method, tt.target, tt.body, tt.status)["error"].(map[string]any)
			if field, _ := no["field"].(string); field != tt.field || no["rule"] != "HST-014" {
				t.Errorf("refused with %v, want HST-014 and field %q", no, tt.field)
			}
		})
	}
	r := httptest.NewRequest("POST", "/rollcall/v1/users", strings.NewReader(`{"users":[]}`))
	r.Header.Set("Authorization", "Bearer "+o.token)
	r.Header.Set("Content-Type", "text/plain")
	w := httptest.NewRecorder()
	if o.h.ServeHTTP(w, r); w.Code != http.StatusUnsupportedMediaType {
		t.Errorf("JSON as text/plain answered %d, want 415", w.Code)
	}
	if status, _ := o.ask("POST", "/rollcall/v1/users", `{"users":[],"x":"`+strings.Repeat("x", maxBody)+`"}`, "Bearer "+o.token); status != http.StatusRequestEntityTooLarge {
		t.Errorf("a body over its cap answered %d, want 413", status)
	}
}

func TestHST068NoTokensInTheLog(t *testing.T) {
	o := newOffice(t)
	o.h.cfg.Log.SetLevel(6)
	made := o.call("POST", "/rollcall/v1/tokens", map[string]any{"name": "x", "role": "global"}, 201)["token"].(string)
	o.ask("GET", "/rollcall/v1/devices", nil, "Bearer "+made+"x")
	o.ask("GET", "/rollcall/v1/nothing", nil, "Bearer "+made)
	o.call("POST", "/rollcall/v1/devices/"+o.device+"/lock", map[string]any{"pin": "246813"}, 200)
	o.call("POST", "/rollcall/v1/devices/"+o.device+"/lock", map[string]any{"pin": "246813"}, 409)
	for name, secret := range map[string]string{"the office's token": o.token, "a new token": made, "a PIN": "246813"} {
		if strings.Contains(o.log.String(), secret) {
			t.Errorf("%s is in the log", name)
		}
	}
	if !strings.Contains(o.log.String(), "administration refused") {
		t.Error("refusals are not in the log")
	}
}

// TestAPL031Enrolling: a device that has said hello and no more is in the list, as enrolling, and in no portal.
func TestAPL031Enrolling(t *testing.T) {
	o := newOffice(t)
	o.who = o.identity(store.Grant{})
	o.round(protocol.CheckIn{Verb: protocol.Enrol}) // the device of the office anew
	got := o.call("GET", "/rollcall/v1/devices", nil, 200)["devices"].([]any)
	if len(got) != 1 || got[0].(map[string]any)["life"] != "enrolling" {
		t.Errorf("listed: %v", got)
	}
	if got := o.call("GET", "/rollcall/v1/portals/intune/devices", nil, 200)["devices"].([]any); len(got) != 0 {
		t.Errorf("in the portal: %v", got)
	}
}
