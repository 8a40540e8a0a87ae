package wns

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/fleet/cloud"
)

const (
	sid    = "ms-app://s-1-15-2-1"
	secret = "the secret"
	pfn    = "Rollcall.Agent_8wekyb3d8bbwe"
)

var start = time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)

// A sender is a client of WNS as somebody would write it who has read Microsoft's pages and nothing else.
type sender struct {
	*testing.T
	service *Service
	now     atomic.Int64
	client  http.Client
	token   string
}

func newSender(t *testing.T, c Config) *sender {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &sender{T: t}
	s.now.Store(start.UnixNano())
	c.URL = "https://" + ln.Addr().String()
	c.Now = func() time.Time { return time.Unix(0, s.now.Load()).UTC() }
	if c.Apps == nil && !c.AnyChannel {
		c.Apps = []App{{sid, secret, pfn}, {"another", "its secret", "Another_8wekyb3d8bbwe"}}
	}
	if s.service, err = New(c); err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(s.service.CA())
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, Time: c.Now}}
	s.client = http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
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
	return s
}

// signIn asks for an access token.
func (s *sender) signIn(address, id, secret, scope string) (status int, answer map[string]any) {
	s.Helper()
	resp, err := s.client.PostForm(address, url.Values{"grant_type": {"client_credentials"}, "client_id": {id}, "client_secret": {secret}, "scope": {scope}})
	if err != nil {
		s.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		s.Fatalf("status %d: %v", resp.StatusCode, err)
	}
	return resp.StatusCode, answer
}

func (s *sender) signedIn() *sender {
	s.Helper()
	status, answer := s.signIn(s.service.TokenURL(), sid, secret, liveScope)
	if status != 200 {
		s.Fatalf("token: %d %v", status, answer)
	}
	s.token = answer["access_token"].(string)
	return s
}

// send sends a raw notification; headers go by pairs, and an empty value takes one away.
func (s *sender) send(channel, body string, headers ...string) *http.Response {
	s.Helper()
	r, err := http.NewRequest("POST", channel, strings.NewReader(body))
	if err != nil {
		s.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+s.token)
	r.Header.Set("X-WNS-Type", "wns/raw")
	r.Header.Set("Content-Type", "application/octet-stream")
	r.Header.Set("X-WNS-RequestForStatus", "true")
	for i := 0; i < len(headers); i += 2 {
		if r.Header.Del(headers[i]); headers[i+1] != "" {
			r.Header.Set(headers[i], headers[i+1])
		}
	}
	if m := r.Header.Get("Method"); m != "" {
		r.Method = m
	}
	resp, err := s.client.Do(r)
	if err != nil {
		s.Fatal(err)
	}
	io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	return resp
}

func (s *sender) pass(d time.Duration) { s.now.Add(int64(d)) }

func TestTokens(t *testing.T) {
	s := newSender(t, Config{})
	live, entra := s.service.TokenURL(), strings.TrimSuffix(s.service.TokenURL(), liveTokens)+"/contoso.example/oauth2/v2.0/token"
	for _, tt := range []struct {
		name, url, id, secret, scope string
		status                       int
		code                         string
	}{
		{"Store identity", live, strings.ToUpper(sid), secret, liveScope, 200, ""},
		{"Entra ID", entra, sid, secret, entraScope, 200, ""},
		{"wrong secret", live, sid, "guess", liveScope, 400, "invalid_client"},
		{"wrong secret, Entra ID", entra, sid, "guess", entraScope, 401, "invalid_client"},
		{"another's secret", live, "another", secret, liveScope, 400, "invalid_client"},
		{"wrong scope", live, sid, secret, entraScope, 400, "invalid_scope"},
		{"no secret", live, sid, "", liveScope, 400, "invalid_request"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			status, answer := s.signIn(tt.url, tt.id, tt.secret, tt.scope)
			code, _ := answer["error"].(string)
			if status != tt.status || code != tt.code {
				t.Fatalf("%d %v, want %d %s", status, answer, tt.status, tt.code)
			}
			if status == 200 && (answer["token_type"] != "bearer" || answer["expires_in"] != 86400. || answer["access_token"] == "") {
				t.Errorf("answer %v", answer)
			}
		})
	}
	resp, err := s.client.Post(live, "text/plain", strings.NewReader("grant_type=client_credentials"))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 400 {
		t.Errorf("a body that is no form: %d", resp.StatusCode)
	}
	if c := s.service.Counters(); c.Tokens != 2 || c.TokensRefused != 6 {
		t.Errorf("counters %+v", c)
	}
}

// TestAnswers holds the documented statuses.
func TestAnswers(t *testing.T) {
	s := newSender(t, Config{PerChannel: cloud.Rate{Messages: 2, Per: time.Minute}}).signedIn()
	channel := s.service.OpenChannel(pfn, "laptop")
	ended := s.service.OpenChannel(pfn, "old laptop")
	s.service.CloseChannel(ended)
	for _, tt := range []struct {
		name, channel, body string
		headers             []string
		status              int
	}{
		{"method", channel, "x", []string{"Method", "PUT"}, 405},
		{"no token", channel, "x", []string{"Authorization", ""}, 401},
		{"wrong token", channel, "x", []string{"Authorization", "Bearer guess"}, 401},
		{"not a bearer", channel, "x", []string{"Authorization", "Basic " + s.token}, 401},
		{"unknown channel", strings.Replace(channel, "token=", "token=x", 1), "x", nil, 404},
		{"no channel", strings.Split(channel, "?")[0], "x", nil, 404},
		{"ended channel", ended, "x", nil, 410},
		{"another app's", s.service.OpenChannel("Another_8wekyb3d8bbwe", "laptop"), "x", nil, 403},
		{"no type", channel, "x", []string{"X-WNS-Type", ""}, 400},
		{"unknown type", channel, "x", []string{"X-WNS-Type", "wns/sound"}, 400},
		{"content of another type", channel, "x", []string{"Content-Type", "text/xml"}, 400},
		{"cache policy", channel, "x", []string{"X-WNS-Cache-Policy", "maybe"}, 400},
		{"TTL", channel, "x", []string{"X-WNS-TTL", "soon"}, 400},
		{"status", channel, "x", []string{"X-WNS-RequestForStatus", "1"}, 400},
		{"tag", channel, "x", []string{"X-WNS-Tag", strings.Repeat("é", 17)}, 400},
		{"empty", channel, "", nil, 400},
		{"too big", channel, strings.Repeat("x", 5001), nil, 413},
		{"as big as can be", channel, strings.Repeat("x", 5000), nil, 200},
		{"toast", channel, "<toast/>", []string{"X-WNS-Type", "wns/toast", "Content-Type", "text/xml; charset=utf-8"}, 200},
		{"one too many", channel, "x", nil, 406},
	} {
		t.Run(tt.name, func(t *testing.T) {
			resp := s.send(tt.channel, tt.body, tt.headers...)
			if resp.StatusCode != tt.status {
				t.Errorf("%d (%s), want %d", resp.StatusCode, resp.Header.Get("X-WNS-Error-Description"), tt.status)
			}
			if failed := tt.status != 200; failed != (resp.Header.Get("X-WNS-Error-Description") != "") || resp.Header.Get("X-WNS-Debug-Trace") == "" || !failed && resp.Header.Get("X-WNS-Msg-ID") == "" {
				t.Errorf("headers %v", resp.Header)
			}
			switch tt.status {
			case 406:
				if resp.Header.Get("X-WNS-Status") != "channelthrottled" || resp.Header.Get("Retry-After") != "30" {
					t.Errorf("headers %v", resp.Header)
				}
			case 401:
				if resp.Header.Get("WWW-Authenticate") == "" {
					t.Errorf("headers %v", resp.Header)
				}
			}
		})
	}
	s.pass(time.Minute)
	r, err := http.NewRequest("POST", channel, io.MultiReader(strings.NewReader(strings.Repeat("x", 5000)), strings.NewReader("x"))) // in chunks: no length is said
	if err != nil {
		t.Fatal(err)
	}
	r.Header = http.Header{"Authorization": {"Bearer " + s.token}, "X-Wns-Type": {"wns/raw"}, "Content-Type": {"application/octet-stream"}}
	if resp, err := s.client.Do(r); err != nil || resp.StatusCode != 413 {
		t.Errorf("5,001 bytes in chunks: %v, %v, want 413", resp, err)
	} else {
		resp.Body.Close()
	}
	if resp := s.send(channel, "x"); resp.StatusCode != 200 {
		t.Errorf("%d after a minute, want 200", resp.StatusCode)
	}
}

func TestTokenAndChannelEnd(t *testing.T) {
	s := newSender(t, Config{}).signedIn()
	channel := s.service.OpenChannel(pfn, "laptop")
	again := s.service.OpenChannel(pfn, "laptop")
	if channel == again || !strings.HasPrefix(channel, s.service.cfg.URL+"/") {
		t.Errorf("channels %s and %s", channel, again)
	}
	if status := s.send(channel, "x").StatusCode; status != 200 {
		t.Fatalf("%d", status)
	}
	s.pass(24 * time.Hour)
	if status := s.send(channel, "x").StatusCode; status != 401 {
		t.Errorf("%d with a token of yesterday, want 401", status)
	}
	s.signedIn()
	s.service.ForgetTokens()
	if status := s.send(channel, "x").StatusCode; status != 401 {
		t.Errorf("%d with a token that is forgotten, want 401", status)
	}
	s.pass(ChannelLife)
	s.signedIn()
	if status := s.send(channel, "x").StatusCode; status != 410 {
		t.Errorf("%d after a channel's 30 days, want 410", status)
	}
	s.pass(2 * ChannelLife)
	s.signedIn()
	if status := s.send(channel, "x").StatusCode; status != 404 {
		t.Errorf("%d long after, want 404", status)
	}
}

// TestDelivery: at once to who is there; one raw notification is kept for who is not, if the sender says so, and for as long as it says.
func TestDelivery(t *testing.T) {
	s := newSender(t, Config{}).signedIn()
	channel := s.service.OpenChannel(pfn, "laptop")
	var got []string
	hear := func(n Notification) { got = append(got, string(n.Payload)) }
	check := func(resp *http.Response, status, connection string) {
		t.Helper()
		if s, c := resp.Header.Get("X-WNS-Status"), resp.Header.Get("X-WNS-DeviceConnectionStatus"); s != status || c != connection {
			t.Errorf("%s, %s; want %s, %s", s, c, status, connection)
		}
	}
	s.service.Connect(channel, hear)
	check(s.send(channel, "1"), "received", "connected")
	check(s.send(channel, "2", "X-WNS-RequestForStatus", ""), "", "")
	s.service.Disconnect(channel)
	check(s.send(channel, "3"), "dropped", "disconnected")
	check(s.send(channel, "4", "X-WNS-Cache-Policy", "cache"), "received", "disconnected")
	check(s.send(channel, "5", "X-WNS-Cache-Policy", "cache"), "received", "disconnected")
	check(s.send(channel, "<toast/>", "X-WNS-Type", "wns/toast", "Content-Type", "text/xml", "X-WNS-TTL", "60"), "received", "disconnected")
	s.pass(time.Minute)
	s.service.Connect(channel, hear)
	s.service.Disconnect(channel)
	s.send(channel, "6", "X-WNS-Cache-Policy", "cache", "X-WNS-TTL", "600")
	s.pass(10 * time.Minute)
	s.service.Connect(channel, hear)
	if want := []string{"1", "2", "5"}; !reflect.DeepEqual(got, want) {
		t.Errorf("delivered %v, want %v", got, want)
	}
	s.service.Disconnect(channel)
	s.send(channel, "7", "X-WNS-Cache-Policy", "cache")
	s.service.CloseChannel(channel)
	s.service.Connect(channel, hear)
	c := s.service.Counters()
	if sum := c.Delivered + c.Replaced + c.Expired + c.Discarded + c.Dropped + c.Waiting; len(got) != 3 || sum != c.Accepted || c.Accepted != 8 || c.Waiting != 0 {
		t.Errorf("delivered %v, counters %+v", got, c)
	}
}

func TestFaults(t *testing.T) {
	var seen []Push
	s := newSender(t, Config{Observe: func(p Push) { seen = append(seen, p) }, Faults: Faults{Script: []Fault{Drop, "", "406", "410", "503", HTML, Redirect, Half, Reset}}}).signedIn()
	channel := s.service.OpenChannel(pfn, "laptop")
	heard := 0
	s.service.Connect(channel, func(Notification) { heard++ })
	for i, want := range []int{200, 200, 406, 410, 503, 502, 307, 500} {
		resp := s.send(channel, "x")
		if resp.StatusCode != want {
			t.Errorf("notification %d: %d, want %d", i, resp.StatusCode, want)
		}
		if want == 503 && resp.Header.Get("Retry-After") == "" {
			t.Errorf("notification %d: headers %v", i, resp.Header)
		}
	}
	r, _ := http.NewRequest("POST", channel, strings.NewReader("x"))
	r.Header = http.Header{"Authorization": {"Bearer " + s.token}, "X-Wns-Type": {"wns/raw"}, "Content-Type": {"application/octet-stream"}}
	if resp, err := s.client.Do(r); err == nil {
		t.Errorf("Reset answers %d", resp.StatusCode)
	}
	if heard != 1 || len(seen) != 9 || seen[8].Status != 0 || seen[3].Status != 410 {
		t.Errorf("heard %d, seen %+v", heard, seen)
	}
	for _, bad := range []Faults{{Script: []Fault{"Quake"}}, {Share: map[Fault]float64{"999": 0.1}}, {Share: map[Fault]float64{Drop: 1.5}}, {Share: map[Fault]float64{Drop: 0.6, Half: 0.6}}} {
		if s.service.SetFaults(bad) == nil {
			t.Errorf("faults %v are taken", bad)
		}
	}
	if err := s.service.SetFaults(Faults{Share: map[Fault]float64{Drop: 1}}); err != nil {
		t.Fatal(err)
	}
	s.send(channel, "x")
	if heard != 1 {
		t.Error("what was dropped is delivered")
	}
}

// TestAnybody: without apps, for somebody's own server.
func TestAnybody(t *testing.T) {
	s := newSender(t, Config{AnyChannel: true})
	status, answer := s.signIn(s.service.TokenURL(), "anybody", "anything", liveScope)
	if status != 200 {
		t.Fatalf("%d %v", status, answer)
	}
	s.token = answer["access_token"].(string)
	if status := s.send(s.service.cfg.URL+"/?token=made-up", "x").StatusCode; status != 200 {
		t.Errorf("%d, want 200", status)
	}
}

func TestSameSeedSameChannels(t *testing.T) {
	open := func(seed uint64) [3]string {
		s, err := New(Config{URL: "https://wns.test", Seed: seed, Now: func() time.Time { return start }})
		if err != nil {
			t.Fatal(err)
		}
		return [3]string{s.OpenChannel(pfn, "a"), s.OpenChannel(pfn, "b"), s.OpenChannel(pfn, "a")}
	}
	if a, b, c := open(1), open(1), open(2); a != b || a == c || a[0] == a[1] || a[0] == a[2] {
		t.Errorf("channels %v, %v, %v", a, b, c)
	}
	for _, c := range []Config{{}, {URL: "http://wns.test"}, {URL: "https://wns.test/x"}, {URL: "https://wns.test", PerChannel: cloud.Rate{Messages: 1}}} {
		if _, err := New(c); err == nil {
			t.Errorf("New(%+v) succeeds", c)
		}
	}
}

func FuzzReadHeaders(f *testing.F) {
	f.Add("wns/raw", "application/octet-stream", "cache", "60")
	f.Add("wns/toast", "text/xml; charset=utf-8", "", "")
	f.Fuzz(func(t *testing.T, kind, content, policy, ttl string) {
		n := Notification{Type: kind, At: start}
		h := http.Header{"Content-Type": {content}, "X-Wns-Cache-Policy": {policy}, "X-Wns-Ttl": {ttl}}
		if a := readHeaders(h, &n); a.status == 0 && !n.Expires.IsZero() && (n.Expires.Before(start) || n.Expires.After(start.Add(MaxKept))) {
			t.Fatalf("kept until %s", n.Expires)
		}
	})
}

// TestATokenEndsBetweenRequests: a token that was good when its notification came is good for it, whatever another request finds meanwhile.
func TestATokenEndsBetweenRequests(t *testing.T) {
	s := newSender(t, Config{}).signedIn()
	r, err := http.NewRequest(http.MethodPost, s.service.OpenChannel(pfn, "pc"), strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = http.Header{"Authorization": {"Bearer " + s.token}, "X-Wns-Type": {"wns/raw"}, "Content-Type": {"application/octet-stream"}}
	n, app, a := s.service.read(r)
	s.service.ForgetTokens()
	if a.status == 0 {
		a = s.service.accept(r, n, app, &Push{Channel: r.URL.Query().Get("token")})
	}
	if a.status != http.StatusOK {
		t.Errorf("answered %d %s", a.status, a.reason)
	}
}
