package google

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/jwt"

	"rollcall/fleet/cloud"
)

const project = "rollcall-lab"

// A sender is a client as somebody would write it who has read Google's pages and nothing else. Its service's clock is the real one and
// more, since the library that signs for it knows no other.
type sender struct {
	*testing.T
	service *Service
	more    atomic.Int64
	client  http.Client
	key     []byte
	token   string
}

func newSender(t *testing.T, c Config) *sender {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &sender{T: t}
	c.URL = "https://" + ln.Addr().String()
	begun := time.Now() // what is signed for it tells the real time, which may be some minutes ahead
	c.Now = func() time.Time { return begun.Add(time.Duration(s.more.Load())) }
	if s.service, err = New(c); err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(s.service.CA())
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	s.client.Transport = transport
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.service.Serve(ctx, ln) }()
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		stop()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	if s.key, err = s.service.NewAccount(project); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *sender) pass(d time.Duration) { s.more.Add(int64(d)) }

// flow is what golang.org/x/oauth2 makes of the key file.
func (s *sender) flow() *jwt.Config {
	var f keyFile
	if err := json.Unmarshal(s.key, &f); err != nil {
		s.Fatal(err)
	}
	return &jwt.Config{Email: f.Email, PrivateKey: []byte(f.Key), PrivateKeyID: f.KeyID, TokenURL: f.TokenURI, Scopes: scopes[:1]}
}

func (s *sender) signIn(c *jwt.Config) (*oauth2.Token, error) {
	return c.TokenSource(context.WithValue(context.Background(), oauth2.HTTPClient, &s.client)).Token()
}

// signedIn has an access token. Once the service's clock is another than the real one, nobody can sign for it.
func (s *sender) signedIn() *sender {
	s.Helper()
	if s.more.Load() != 0 {
		s.token = s.service.tokens.Issue(project+" "+scopes[0], s.service.cfg.Now().Add(time.Hour))
		return s
	}
	token, err := s.signIn(s.flow())
	if err != nil {
		s.Fatal(err)
	}
	s.token = token.AccessToken
	return s
}

// An outcome is what the service said.
type outcome struct {
	status int
	header http.Header
	Name   string
	Error  struct {
		Code    int
		Status  string
		Message string
		Details []struct {
			Type      string `json:"@type"`
			ErrorCode string
			Reason    string
			Field     []struct{ Field string } `json:"fieldViolations"`
		}
	}
}

// code is the errorCode of FCM.
func (o *outcome) code() string {
	for _, d := range o.Error.Details {
		if d.Type == typeFCM {
			return d.ErrorCode
		}
	}
	return ""
}

func (s *sender) post(path, body string) (o outcome) {
	s.Helper()
	r, err := http.NewRequest("POST", s.service.cfg.URL+path, strings.NewReader(body))
	if err != nil {
		s.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+s.token)
	resp, err := s.client.Do(r)
	if err != nil {
		s.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		s.Fatal(err)
	}
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "application/json") {
		if err := json.Unmarshal(text, &o); err != nil {
			s.Fatal(err)
		}
	}
	o.status, o.header = resp.StatusCode, resp.Header
	return o
}

func (s *sender) send(message string) outcome {
	s.Helper()
	return s.post("/v1/projects/"+project+"/messages:send", `{"message":`+message+`}`)
}

func wakeUp(id string) string {
	return fmt.Sprintf(`{"fid":%q,"data":{"rollcall":"sync"},"android":{"priority":"HIGH","collapseKey":"rc-sync","ttl":"28800s"}}`, id)
}

func TestTokenEndpoint(t *testing.T) {
	s := newSender(t, Config{})
	token, err := s.signIn(s.flow())
	if err != nil || token.Type() != "Bearer" || time.Until(token.Expiry) < 50*time.Minute {
		t.Errorf("token %+v, %v", token, err)
	}
	other := newSender(t, Config{})
	for name, change := range map[string]func(*jwt.Config){
		"unknown account":        func(c *jwt.Config) { c.Email = "nobody@example.org" },
		"another's key":          func(c *jwt.Config) { c.PrivateKey = other.flow().PrivateKey },
		"another key id":         func(c *jwt.Config) { c.PrivateKeyID = "other" },
		"no scope":               func(c *jwt.Config) { c.Scopes = nil },
		"longer than an hour":    func(c *jwt.Config) { c.Expires = 2 * time.Hour },
		"for another's endpoint": func(c *jwt.Config) { c.Audience = "https://oauth2.googleapis.com/token" },
	} {
		c := s.flow()
		change(c)
		token, err := s.signIn(c)
		said, ok := err.(*oauth2.RetrieveError)
		if !ok || said.Response.StatusCode != 400 || !bytes.Contains(said.Body, []byte(`"invalid_grant"`)) && !bytes.Contains(said.Body, []byte(`"invalid_scope"`)) {
			t.Errorf("%s: %v, %v", name, token, err)
		}
	}
	s.pass(2 * time.Hour)
	if _, err := s.signIn(s.flow()); err == nil {
		t.Error("an assertion of two hours ago is taken")
	}
	for _, form := range []url.Values{{}, {"grant_type": {"client_credentials"}}, {"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {"a.b.c"}}} {
		resp, err := s.client.PostForm(s.service.cfg.URL+tokenPath, form)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 400 {
			t.Errorf("%v: %d", form, resp.StatusCode)
		}
	}
	again, err := New(Config{URL: s.service.cfg.URL})
	if err != nil || again.AddAccount(s.key) != nil {
		t.Errorf("a key file of an earlier run: %v", err)
	}
	elsewhere, _ := New(Config{URL: "https://elsewhere.test"})
	if err := elsewhere.AddAccount(s.key); err == nil || strings.Contains(err.Error(), "PRIVATE") {
		t.Errorf("a key file of another service: %v", err)
	}
}

func TestWhoMaySend(t *testing.T) {
	s := newSender(t, Config{}).signedIn()
	id := s.service.Register(project, "phone")
	if o := s.send(wakeUp(id)); o.status != 200 || !strings.HasPrefix(o.Name, "projects/"+project+"/messages/") {
		t.Fatalf("%+v", o)
	}
	if o := s.post("/v1/projects/another-project/messages:send", `{"message":`+wakeUp(id)+`}`); o.status != 403 || o.Error.Status != "PERMISSION_DENIED" || o.code() != "" {
		t.Errorf("another project: %+v", o)
	}
	good := s.token
	s.token = "guess"
	if o := s.send(wakeUp(id)); o.status != 401 || o.Error.Status != "UNAUTHENTICATED" || o.header.Get("WWW-Authenticate") == "" {
		t.Errorf("wrong token: %+v", o)
	}
	c := s.flow()
	c.Scopes = []string{"https://www.googleapis.com/auth/androidmanagement"}
	token, err := s.signIn(c)
	if err != nil {
		t.Fatal(err)
	}
	s.token = token.AccessToken
	if o := s.send(wakeUp(id)); o.status != 403 || len(o.Error.Details) == 0 || o.Error.Details[0].Reason != "ACCESS_TOKEN_SCOPE_INSUFFICIENT" {
		t.Errorf("another scope: %+v", o)
	}
	s.token = good
	s.pass(time.Hour)
	if o := s.send(wakeUp(id)); o.status != 401 {
		t.Errorf("a token of an hour ago: %+v", o)
	}
	s.pass(-time.Hour)
	s.signedIn().service.ForgetTokens()
	if o := s.send(wakeUp(id)); o.status != 401 {
		t.Errorf("a token that is forgotten: %+v", o)
	}
	for _, path := range []string{"/", "/v1/projects/" + project + "/messages", "/v1/projects/" + project + "/messages:list", "/v2/x"} {
		if o := s.post(path, "{}"); o.status != 404 || o.Error.Code != 0 {
			t.Errorf("%s: %+v, want a page", path, o)
		}
	}
}

// TestAND090Errors holds the table of errors (android.md, section 10) on Google's side.
func TestAND090Errors(t *testing.T) {
	s := newSender(t, Config{}).signedIn()
	id := s.service.Register(project, "phone")
	gone := s.service.Register(project, "old phone")
	s.service.Unregister(gone)
	again := s.service.Register(project, "wiped phone")
	s.service.Register(project, "wiped phone")
	other := s.service.Register("another-project", "phone")
	s.service.RegisterID(project, "f-123")
	for _, tt := range []struct {
		name, message string
		status        int
		code, field   string
	}{
		{"fid", wakeUp(id), 200, "", ""},
		{"fid that the device made", wakeUp("f-123"), 200, "", ""},
		{"token that is a fid", fmt.Sprintf(`{"token":%q}`, id), 200, "", ""},
		{"token", fmt.Sprintf(`{"token":"%s:APA91bAAAAAAAAAAAAAA"}`, id), 200, "", ""},
		{"snake case", fmt.Sprintf(`{"fid":%q,"android":{"collapse_key":"k","priority":"high"},"fcm_options":{}}`, id), 200, "", ""},
		{"topic", `{"topic":"weather","data":{"a":"b"}}`, 200, "", ""},
		{"removed", wakeUp(gone), 404, "UNREGISTERED", ""},
		{"registered anew", wakeUp(again), 404, "UNREGISTERED", ""},
		{"never heard of", wakeUp("cAAAAAAAAAAAAAAAAAAAAA"), 404, "UNREGISTERED", ""},
		{"another project's", wakeUp(other), 403, "SENDER_ID_MISMATCH", ""},
		{"no id", wakeUp("f-124"), 400, "INVALID_ARGUMENT", "message.fid"},
		{"no token", `{"token":"nonsense"}`, 400, "INVALID_ARGUMENT", "message.token"},
		{"nobody", `{"data":{"a":"b"}}`, 400, "INVALID_ARGUMENT", "message"},
		{"two targets", fmt.Sprintf(`{"fid":%q,"topic":"x"}`, id), 400, "INVALID_ARGUMENT", "message"},
		{"too long a life", fmt.Sprintf(`{"fid":%q,"android":{"ttl":"2419201s"}}`, id), 400, "INVALID_ARGUMENT", "message.android.ttl"},
		{"life in words", fmt.Sprintf(`{"fid":%q,"android":{"ttl":"8h"}}`, id), 400, "", "message.android.ttl"},
		{"negative life", fmt.Sprintf(`{"fid":%q,"android":{"ttl":"-1s"}}`, id), 400, "", "message.android.ttl"},
		{"priority", fmt.Sprintf(`{"fid":%q,"android":{"priority":"URGENT"}}`, id), 400, "", "message.android.priority"},
		{"unknown name", fmt.Sprintf(`{"fid":%q,"to":"x"}`, id), 400, "", "message"},
		{"number in data", fmt.Sprintf(`{"fid":%q,"data":{"a":1}}`, id), 400, "", "message.data"},
		{"reserved name", fmt.Sprintf(`{"fid":%q,"data":{"from":"x"}}`, id), 400, "INVALID_ARGUMENT", "message.data"},
		{"too big", fmt.Sprintf(`{"fid":%q,"data":{"a":%q}}`, id, strings.Repeat("x", 4096)), 400, "INVALID_ARGUMENT", "message"},
		{"as big as can be", fmt.Sprintf(`{"fid":%q,"data":{"a":%q}}`, id, strings.Repeat("x", 4095)), 200, "", ""},
		{"not JSON", `}`, 400, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := s.send(tt.message)
			if o.status != tt.status || o.code() != tt.code {
				t.Fatalf("%d %q %s, want %d %q", o.status, o.code(), o.Error.Message, tt.status, tt.code)
			}
			if tt.status != 200 && (o.Error.Code != tt.status || o.Error.Status == "" || o.Error.Message == "") {
				t.Errorf("error %+v", o.Error)
			}
			field := ""
			for _, d := range o.Error.Details {
				for _, v := range d.Field {
					field = v.Field
				}
			}
			if field != tt.field {
				t.Errorf("field %q, want %q", field, tt.field)
			}
		})
	}
	for i := range 240 { // some went out above
		if o := s.send(wakeUp(id)); o.status != 200 {
			if o.code() != "QUOTA_EXCEEDED" || o.status != 429 || o.header.Get("Retry-After") == "" || i < 200 {
				t.Errorf("message %d: %+v", i, o)
			}
			return
		}
	}
	t.Error("no quota for one device")
}

func TestValidateOnly(t *testing.T) {
	s := newSender(t, Config{}).signedIn()
	id := s.service.Register(project, "phone")
	s.service.Connect(id, func(Message) { t.Error("it is delivered") })
	o := s.post("/v1/projects/"+project+"/messages:send", `{"validateOnly":true,"message":`+wakeUp(id)+`}`)
	if o.status != 200 || o.Name == "" || s.service.Counters().Accepted != 0 {
		t.Errorf("%+v", o)
	}
	if o := s.post("/v1/projects/"+project+"/messages:send", `{"validate_only":true,"message":`+wakeUp("cAAAAAAAAAAAAAAAAAAAAA")+`}`); o.code() != "UNREGISTERED" {
		t.Errorf("%+v", o)
	}
}

// TestDelivery: at once, when the device comes, and by Tick; what was accepted is in exactly one of the counters.
func TestDelivery(t *testing.T) {
	s := newSender(t, Config{}).signedIn()
	id := s.service.Register(project, "phone")
	var got []Message
	hear := func(m Message) { got = append(got, m) }
	s.service.Connect(id, hear)
	s.send(wakeUp(id))
	if len(got) != 1 || got[0].Data["rollcall"] != "sync" || got[0].CollapseKey != "rc-sync" || !got[0].High {
		t.Fatalf("got %+v", got)
	}
	s.service.Disconnect(id)
	for range 3 {
		s.send(wakeUp(id))
	}
	s.service.Connect(id, hear)
	if len(got) != 2 {
		t.Fatalf("got %+v, want the last of three", got)
	}
	s.service.Idle(id)
	s.pass(90 * time.Minute)
	s.signedIn()
	s.send(fmt.Sprintf(`{"fid":%q,"data":{"n":"1"}}`, id))
	if due := s.service.Due(); len(got) != 2 || due.IsZero() || due.Sub(s.service.cfg.Now()) > 31*time.Minute {
		t.Fatalf("got %+v, due %s", got, due)
	}
	s.pass(31 * time.Minute)
	s.service.Tick()
	if len(got) != 3 || !s.service.Due().IsZero() {
		t.Fatalf("got %+v in the window", got)
	}
	s.pass(10 * time.Minute)
	s.send(fmt.Sprintf(`{"fid":%q,"data":{"n":"2"}}`, id))
	s.service.Used(id)
	s.service.Disconnect(id)
	s.send(wakeUp(id))
	s.service.Unregister(id)
	c := s.service.Counters()
	if sum := c.Delivered + c.Replaced + c.Expired + c.Discarded + c.Dropped + c.Waiting; len(got) != 4 || sum != c.Accepted || c.Accepted != 7 || c.Waiting != 0 {
		t.Errorf("got %d, counters %+v", len(got), c)
	}
}

// TestAND093Expired: a registration that was not heard of for 270 days is none.
func TestAND093Expired(t *testing.T) {
	s := newSender(t, Config{})
	id := s.service.Register(project, "phone")
	s.more.Store(int64(269 * 24 * time.Hour))
	reg := func() *failure {
		s.service.mu.Lock()
		defer s.service.mu.Unlock()
		_, no, _ := s.service.admit(project, s.service.registrations[id], &request{fid: id}, new(Push), s.service.cfg.Now())
		return no
	}
	if no := reg(); no != nil {
		t.Errorf("after 269 days: %+v", no)
	}
	s.pass(2 * 24 * time.Hour)
	if no := reg(); no == nil || no.fcm != "UNREGISTERED" {
		t.Errorf("after 271 days: %+v", no)
	}
	s.service.Connect(id, func(Message) {})
	s.pass(300 * 24 * time.Hour)
	s.service.Disconnect(id)
	s.pass(24 * time.Hour)
	if no := reg(); no != nil {
		t.Errorf("a day after 300 days online: %+v", no)
	}
}

func TestDemotion(t *testing.T) {
	s := newSender(t, Config{Demote: 1}).signedIn()
	id := s.service.Register(project, "phone")
	heard := 0
	s.service.Connect(id, func(Message) { heard++ })
	s.service.Idle(id)
	s.pass(70 * time.Minute)
	s.signedIn()
	s.send(wakeUp(id))
	if heard != 0 {
		t.Error("a message that is demoted wakes from doze")
	}
	s.send(fmt.Sprintf(`{"fid":%q,"notification":{"title":"x"},"android":{"priority":"HIGH"}}`, id))
	if heard != 1 {
		t.Error("one with a notification is demoted")
	}
}

func TestFaults(t *testing.T) {
	var seen []Push
	s := newSender(t, Config{
		Observe: func(p Push) { seen = append(seen, p) },
		Faults:  Faults{Script: []Fault{Drop, "", "UNREGISTERED", "QUOTA_EXCEEDED", "UNAVAILABLE", "INTERNAL", "THIRD_PARTY_AUTH_ERROR", HTML}},
	}).signedIn()
	id := s.service.Register(project, "phone")
	heard := 0
	s.service.Connect(id, func(Message) { heard++ })
	for i, want := range []struct {
		status int
		code   string
	}{{200, ""}, {200, ""}, {404, "UNREGISTERED"}, {429, "QUOTA_EXCEEDED"}, {503, "UNAVAILABLE"}, {500, "INTERNAL"}, {401, "THIRD_PARTY_AUTH_ERROR"}, {404, ""}} {
		if o := s.send(wakeUp(id)); o.status != want.status || o.code() != want.code || (o.status == 503) != (o.header.Get("Retry-After") == "60") && o.status != 429 && o.status != 500 {
			t.Errorf("message %d: %+v, want %+v", i, o, want)
		}
	}
	if heard != 1 || len(seen) != 8 || seen[2].Code != "UNREGISTERED" || seen[1].Name == "" {
		t.Errorf("heard %d, seen %+v", heard, seen)
	}
	for _, fault := range []Fault{Half, Reset} {
		if err := s.service.SetFaults(Faults{Share: map[Fault]float64{fault: 1}}); err != nil {
			t.Fatal(err)
		}
		r, _ := http.NewRequest("POST", s.service.cfg.URL+"/v1/projects/"+project+"/messages:send", strings.NewReader(`{"message":`+wakeUp(id)+`}`))
		r.Header.Set("Authorization", "Bearer "+s.token)
		resp, err := s.client.Do(r)
		if err == nil {
			_, err = io.ReadAll(resp.Body)
			resp.Body.Close()
		}
		if err == nil {
			t.Errorf("%s: a whole answer", fault)
		}
	}
	if s.service.SetFaults(Faults{Script: []Fault{"Quake"}}) == nil {
		t.Error("an unknown fault is taken")
	}
}

func TestSameSeedSameRegistrations(t *testing.T) {
	register := func(seed uint64) string {
		s, err := New(Config{URL: "https://fcm.test", Seed: seed})
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(s.Register(project, "a"), s.Register(project, "b"), s.Register(project, "a"))
	}
	if a, b, c := register(1), register(1), register(2); a != b || a == c {
		t.Errorf("%s, %s, %s", a, b, c)
	}
	for _, id := range strings.Fields(register(3)) {
		if !wellFormed.MatchString(id[:22]) {
			t.Errorf("id %q", id)
		}
	}
	for _, c := range []Config{{}, {URL: "http://x"}, {URL: "https://x", Demote: 2}, {URL: "https://x", PerProject: cloud.Rate{Messages: 1}}} {
		if _, err := New(c); err == nil {
			t.Errorf("New(%+v) succeeds", c)
		}
	}
	s, _ := New(Config{URL: "https://fcm.test"})
	if _, err := s.NewAccount("Not A Project"); err == nil {
		t.Error("a project that none can be called")
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"message":` + wakeUp("f-1") + `}`))
	f.Add([]byte(`{"validate_only":true,"message":{"token":"x","android":{"collapse_key":"k","ttl":"3.5s"},"notification":{"title":"t"}}}`))
	f.Add([]byte(`{"message":{"fid":"0"}}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, no := decode(text)
		if no != nil {
			if no.Code != 400 || no.Status != "INVALID_ARGUMENT" {
				t.Fatalf("decode(%q) = %+v", text, no)
			}
			return
		}
		if r.ttl < 0 || r.ttl > MaxTTL || r.fid+r.token+r.group == "" || !json.Valid(bytes.TrimSpace(text)) {
			t.Fatalf("decode(%q) = %+v", text, r)
		}
	})
}
