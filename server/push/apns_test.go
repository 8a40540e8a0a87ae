package push

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/server/delivery"
)

func TestAPL100Request(t *testing.T) {
	var got *http.Request
	var body []byte
	s := newService(t, Config{}, func(_ http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
	})
	n := notification()
	n.Magic = `it's "<quoted>" & \ü`
	if a := s.apns.Push(t.Context(), n); a != (Answer{Result: delivery.Accepted}) {
		t.Fatalf("Push = %+v, want it accepted", a)
	}
	if got.Method != "POST" || got.URL.Path != "/3/device/abcd01" || got.ProtoMajor != 2 {
		t.Errorf("%s %s by %s, want POST /3/device/abcd01 by HTTP/2", got.Method, got.URL.Path, got.Proto)
	}
	for name, want := range map[string]string{
		"apns-topic": topic, "apns-push-type": "mdm", "apns-priority": "10",
		"apns-expiration": fmt.Sprint(start.Add(7 * 24 * time.Hour).Unix()), "Accept-Encoding": "",
	} {
		if v := got.Header.Get(name); v != want {
			t.Errorf("header %s = %q, want %q", name, v, want)
		}
	}
	if id := got.Header.Get("apns-id"); len(id) != 36 || id != strings.ToLower(id) {
		t.Errorf("apns-id = %q, want a UUID in lower case", id)
	}
	if want := `{"mdm":"it's \"<quoted>\" & \\ü"}`; string(body) != want {
		t.Errorf("body = %s, want %s", body, want)
	}
	n.Expires = time.Time{}
	s.apns.Push(t.Context(), n)
	if v := got.Header.Get("apns-expiration"); v != "0" {
		t.Errorf("apns-expiration of a ping = %q, want 0", v)
	}
}

// TestHST081Answers holds every row of the table of answers (apple.md, section 13.3).
func TestHST081Answers(t *testing.T) {
	later, bad := delivery.TryLater, delivery.BadAddress
	type row struct {
		status  int
		body    string
		result  delivery.PushResult
		suspend bool
		least   time.Duration // of RetryAfter
	}
	rows := []row{
		{200, "", delivery.Accepted, false, 0},
		{200, "<html>", delivery.Accepted, false, 0},
		{410, `{"reason":"Unregistered","timestamp":1767236645000}`, delivery.Inactive, false, 0},
		{410, `{"reason":"ExpiredToken","timestamp":1767236645000}`, delivery.Inactive, false, 0},
		{429, `{"reason":"TooManyRequests"}`, later, false, time.Minute},
		{302, ``, later, false, 0},
		{500, `{"reason":"InternalServerError"}`, later, false, 0},
		{503, `{"reason":"ServiceUnavailable"}`, later, false, 0},
		{503, `{"reason":"Shutdown"}`, later, false, 0},
		{502, `<html><body>bad gateway`, later, false, 0},
		{403, `<html><body>forbidden by your proxy`, later, false, 0}, // not Apple's: the slot is not to blame
		{410, `{"reason":"Unreg`, later, false, 0},                    // half an answer
		{400, ``, later, false, 0},
		{413, `{"reason":"PayloadTooLarge"}`, later, false, time.Hour},
		{404, `{"reason":"BadPath"}`, later, false, time.Hour},
		{405, `{"reason":"MethodNotAllowed"}`, later, false, time.Hour},
		{400, `{"reason":"SomethingNew"}`, later, false, time.Hour},
		{400, `{"reason":"IdleTimeout"}`, later, false, 0},
	}
	for _, reason := range []string{"BadDeviceToken", "DeviceTokenNotForTopic"} {
		rows = append(rows, row{400, `{"reason":"` + reason + `"}`, bad, false, 0})
	}
	for _, reason := range []string{"BadTopic", "TopicDisallowed", "MissingTopic"} {
		rows = append(rows, row{400, `{"reason":"` + reason + `"}`, later, true, 0})
	}
	for _, reason := range []string{
		"BadCollapseId", "BadExpirationDate", "BadMessageId", "BadPriority", "DuplicateHeaders", "InvalidPushType",
		"MissingDeviceToken", "PayloadEmpty",
	} {
		rows = append(rows, row{400, `{"reason":"` + reason + `"}`, later, false, time.Hour})
	}
	for _, reason := range []string{
		"BadCertificate", "BadCertificateEnvironment", "Forbidden", "ExpiredProviderToken", "InvalidProviderToken",
		"MissingProviderToken", "UnrelatedKeyIdInToken",
	} {
		rows = append(rows, row{403, `{"reason":"` + reason + `"}`, later, true, 0})
	}
	for _, tt := range rows {
		t.Run(fmt.Sprint(tt.status, " ", tt.body), func(t *testing.T) {
			s := newService(t, Config{}, answers(tt.status, tt.body))
			a := s.apns.Push(t.Context(), notification())
			if a.Result != tt.result || a.Suspend != tt.suspend || a.RetryAfter < tt.least || a.RetryAfter > tt.least+longWait {
				t.Errorf("Push = %+v, want result %d, suspend %t, at least %s later", a, tt.result, tt.suspend, tt.least)
			}
			// APL-101: what Apple says, a day before the moment of this push.
			if since := time.UnixMilli(1767236645000); a.Result == delivery.Inactive && !a.InactiveSince.Equal(since) {
				t.Errorf("inactive since %s, want %s", a.InactiveSince, since)
			}
			if a.Result != delivery.Accepted && a.Reason == "" {
				t.Error("no reason")
			}
		})
	}
	t.Run("503 + Retry-After", func(t *testing.T) {
		s := newService(t, Config{}, answers(503, `{"reason":"Shutdown"}`, "Retry-After", "7200"))
		if a := s.apns.Push(t.Context(), notification()); a.RetryAfter < 2*time.Hour {
			t.Errorf("Push = %+v, want it two hours later", a)
		}
	})
	t.Run("410 without a time", func(t *testing.T) {
		s := newService(t, Config{}, answers(410, `{"reason":"Unregistered"}`))
		if a := s.apns.Push(t.Context(), notification()); a.Result != delivery.Inactive || !a.InactiveSince.Equal(start) {
			t.Errorf("Push = %+v, want it inactive since it was sent", a)
		}
	})
	t.Run("a very long answer", func(t *testing.T) {
		s := newService(t, Config{}, answers(400, `{"reason":"BadDeviceToken","x":"`+strings.Repeat("x", 1<<20)+`"}`))
		if a := s.apns.Push(t.Context(), notification()); a.Result != delivery.TryLater {
			t.Errorf("Push = %+v, want it not to be believed", a)
		}
	})
}

func TestHST081Hang(t *testing.T) {
	var hang atomic.Bool
	s := newService(t, Config{}, func(_ http.ResponseWriter, r *http.Request) {
		if hang.Load() {
			<-r.Context().Done()
		}
	})
	s.apns.Push(t.Context(), notification()) // connects
	hang.Store(true)
	patient := s.apns.cfg.Timeout
	s.apns.cfg.Timeout = 20 * time.Millisecond
	if a := s.apns.Push(t.Context(), notification()); a.Result != delivery.TryLater {
		t.Errorf("Push = %+v, want it later", a)
	}
	hang.Store(false)
	s.apns.cfg.Timeout = patient
	s.apns.slot.client.Transport.(*http.Transport).TLSHandshakeTimeout = patient // the connection to come has its time too
	if a := s.apns.Push(t.Context(), notification()); a.Result != delivery.Accepted {
		t.Errorf("Push afterwards = %+v, want it accepted on a new connection", a)
	}
}

func TestHST081Reset(t *testing.T) {
	var resets atomic.Int64 // to come
	s := newService(t, Config{}, func(http.ResponseWriter, *http.Request) {
		if resets.Add(-1) >= 0 {
			panic(http.ErrAbortHandler)
		}
	})
	resets.Store(1)
	if a := s.apns.Push(t.Context(), notification()); a.Result != delivery.Accepted || resets.Load() != -1 {
		t.Errorf("Push = %+v, want it accepted at the second try", a)
	}
	resets.Store(100)
	a := s.apns.Push(t.Context(), notification())
	if a.Result != delivery.TryLater || strings.Contains(a.Reason, "abcd01") {
		t.Errorf("Push = %+v, want it later and no token in the reason", a)
	}
}

func TestHST081BreakerOfOneSlot(t *testing.T) {
	var requests atomic.Int64
	var healthy atomic.Bool
	s := newService(t, Config{}, func(w http.ResponseWriter, _ *http.Request) {
		requests.Add(1)
		if !healthy.Load() {
			answers(500, `{"reason":"InternalServerError"}`)(w, nil)
		}
	})
	for range patience {
		s.apns.Push(t.Context(), notification())
	}
	s.apns.breaker.until = start.Add(time.Minute) // by chance it might be now
	if a := s.apns.Push(t.Context(), notification()); a.Result != delivery.TryLater || a.RetryAfter < time.Minute || requests.Load() != patience {
		t.Errorf("Push = %+v after %d requests, want it later without one more than %d", a, requests.Load(), patience)
	}
	other, err := New(s.apns.cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	other.SetCertificate(s.ca.issue(t, start.Add(time.Hour)), topic)
	if other.Push(t.Context(), notification()); requests.Load() != patience+1 {
		t.Error("the breaker of one slot stopped another one")
	}
	s.pass(time.Minute)
	healthy.Store(true)
	for i := range 2 {
		if a := s.apns.Push(t.Context(), notification()); a.Result != delivery.Accepted {
			t.Errorf("Push %d after the pause = %+v, want it accepted", i, a)
		}
	}
}

func TestBreakerLetsOneTryForAll(t *testing.T) {
	var b breaker
	for range patience {
		b.report(start, ill)
	}
	now := b.until
	if _, ok := b.allow(now); !ok {
		t.Fatal("nothing is allowed after the pause")
	}
	if _, ok := b.allow(now); ok {
		t.Error("a second one is allowed while the first is on its way")
	}
	if b.report(now, unknown); b.failed < patience {
		t.Error("a notification that was given up closed the breaker")
	}
	if _, ok := b.allow(now); !ok {
		t.Error("a notification that was given up keeps the others waiting")
	}
	if b.report(now, well); b.failed != 0 {
		t.Error("the breaker is still open after an answer")
	}
}

func TestHST081QueueIsBounded(t *testing.T) {
	arrived, release := make(chan struct{}), make(chan struct{})
	s := newService(t, Config{Concurrency: 1}, func(http.ResponseWriter, *http.Request) {
		arrived <- struct{}{}
		<-release
	})
	first := make(chan Answer)
	go func() { first <- s.apns.Push(context.Background(), notification()) }()
	<-arrived
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if a := s.apns.Push(ctx, notification()); a.Result != delivery.TryLater {
		t.Errorf("Push while another is on its way = %+v, want it later", a)
	}
	close(release)
	if a := <-first; a.Result != delivery.Accepted {
		t.Errorf("first Push = %+v, want it accepted", a)
	}
}

func TestAPL102Suspends(t *testing.T) {
	var requests atomic.Int64
	var refuse atomic.Bool
	refuse.Store(true)
	s := newService(t, Config{}, func(w http.ResponseWriter, _ *http.Request) {
		requests.Add(1)
		if refuse.Load() {
			answers(403, `{"reason":"BadCertificate"}`)(w, nil)
		}
	})
	for i := range 3 {
		if a := s.apns.Push(t.Context(), notification()); a.Result != delivery.TryLater || !a.Suspend || a.Reason != "BadCertificate" {
			t.Errorf("Push %d = %+v, want the slot suspended by BadCertificate", i, a)
		}
	}
	if requests.Load() != 1 {
		t.Errorf("%d requests, want one: a suspended slot sends nothing", requests.Load())
	}
	refuse.Store(false)
	s.apns.SetCertificate(s.ca.issue(t, start.Add(100*time.Hour)), topic)
	if a := s.apns.Push(t.Context(), notification()); a.Result != delivery.Accepted {
		t.Errorf("Push with a renewed certificate = %+v, want it accepted", a)
	}
}

func TestAPL102Handshake(t *testing.T) {
	s := newService(t, Config{}, answers(200, ""))
	for name, cert := range map[string]tls.Certificate{
		"expired":       s.ca.issue(t, start.Add(-time.Minute)),
		"of another CA": newAuthority(t).issue(t, start.Add(time.Hour)),
	} {
		s.apns.SetCertificate(cert, topic)
		if a := s.apns.Push(t.Context(), notification()); a.Result != delivery.TryLater || !a.Suspend {
			t.Errorf("Push with a certificate %s = %+v, want the slot suspended", name, a)
		}
	}
	s.apns.SetCertificate(s.ca.issue(t, start.Add(time.Hour)), topic)
	if a := s.apns.Push(t.Context(), notification()); a.Result != delivery.Accepted {
		t.Errorf("Push with a good certificate = %+v, want it accepted", a)
	}
	s.apns.cfg.Roots = x509.NewCertPool()
	s.apns.SetCertificate(s.ca.issue(t, start.Add(time.Hour)), topic)
	if a := s.apns.Push(t.Context(), notification()); a.Result != delivery.TryLater || a.Suspend {
		t.Errorf("Push to a service that nobody vouches for = %+v, want it later and the slot not to blame", a)
	}
}

// A late answer to the old certificate must not suspend the new one.
func TestAPL102OldAnswerNewCertificate(t *testing.T) {
	arrived, release := make(chan struct{}), make(chan struct{})
	s := newService(t, Config{}, func(w http.ResponseWriter, _ *http.Request) {
		arrived <- struct{}{}
		<-release
		answers(403, `{"reason":"BadCertificate"}`)(w, nil)
	})
	got := make(chan Answer)
	go func() { got <- s.apns.Push(context.Background(), notification()) }()
	<-arrived
	s.apns.SetCertificate(s.ca.issue(t, start.Add(time.Hour)), topic)
	close(release)
	if a := <-got; a.Suspend || a.Result != delivery.TryLater {
		t.Errorf("Push = %+v, want it later under the new certificate", a)
	}
	<-s.closed // its connection ends with its last answer
	s.apns.mu.Lock()
	defer s.apns.mu.Unlock()
	if s.apns.slot.suspended != "" {
		t.Errorf("the new certificate is suspended: %s", s.apns.slot.suspended)
	}
}

func TestNewCertificateNewConnections(t *testing.T) {
	s := newService(t, Config{}, answers(200, ""))
	for range 3 {
		if a := s.apns.Push(t.Context(), notification()); a.Result != delivery.Accepted {
			t.Errorf("Push = %+v, want it accepted", a)
		}
	}
	s.apns.SetCertificate(s.ca.issue(t, start.Add(time.Hour)), topic)
	<-s.closed // the one connection of all three
	if a := s.apns.Push(t.Context(), notification()); a.Result != delivery.Accepted {
		t.Errorf("Push with the new certificate = %+v, want it accepted", a)
	}
	if n := len(s.closed); n != 0 {
		t.Errorf("%d more connections have ended, want one to be used by all", n)
	}
}

func TestAUTH32OtherTopic(t *testing.T) {
	var requests atomic.Int64
	s := newService(t, Config{}, func(http.ResponseWriter, *http.Request) { requests.Add(1) })
	n := notification()
	n.Topic = "com.apple.mgmt.External.other"
	if a := s.apns.Push(t.Context(), n); a.Result != delivery.TryLater || a.Suspend || requests.Load() != 0 {
		t.Errorf("Push = %+v after %d requests, want it held without one", a, requests.Load())
	}
}

func TestAPL106NoAddress(t *testing.T) {
	s := newService(t, Config{}, func(http.ResponseWriter, *http.Request) { t.Error("a request without an address") })
	for name, change := range map[string]func(*Notification){
		"token": func(n *Notification) { n.Token = nil },
		"magic": func(n *Notification) { n.Magic = strings.Repeat("x", maxPayload) },
	} {
		n := notification()
		change(&n)
		if a := s.apns.Push(t.Context(), n); a.Result != delivery.BadAddress {
			t.Errorf("Push without a usable %s = %+v, want a bad address", name, a)
		}
	}
}

func TestWithoutCertificate(t *testing.T) {
	s := newService(t, Config{}, answers(200, ""))
	s.apns.Close()
	if a := s.apns.Push(t.Context(), notification()); a.Result != delivery.TryLater || !a.Suspend {
		t.Errorf("Push = %+v, want the slot suspended", a)
	}
}

func TestOnlyHTTP2(t *testing.T) {
	s := newService(t, Config{}, answers(200, ""))
	old := httptest.NewUnstartedServer(answers(200, ""))
	old.Config.ErrorLog = log.New(io.Discard, "", 0)
	old.TLS = &tls.Config{Certificates: s.TLS.Certificates, NextProtos: []string{"http/1.1"}}
	old.StartTLS()
	defer old.Close()
	cfg := s.apns.cfg
	cfg.URL = old.URL
	a, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	a.SetCertificate(s.ca.issue(t, start.Add(time.Hour)), topic)
	if got := a.Push(t.Context(), notification()); got.Result != delivery.TryLater {
		t.Errorf("Push by HTTP/1.1 = %+v, want it later", got)
	}
}

func TestNewRefusesURL(t *testing.T) {
	for _, u := range []string{"http://push.example", "https://", "https://a@b", "https://a/path", "https://a?q", "::"} {
		if _, err := New(Config{URL: u}); err == nil {
			t.Errorf("New took the URL %q", u)
		}
	}
}

// FuzzAnswer: whatever a service says, the notification is not lost and the reason is one short line.
func FuzzAnswer(f *testing.F) {
	f.Add(410, []byte(`{"reason":"Unregistered","timestamp":-9223372036854775808}`), "1")
	f.Add(429, []byte(`{"reason":"Too\nMany"}`), "99999999999999999999")
	f.Add(403, []byte(`{"reason":"\u001b[31m"}`), "-1")
	a, err := New(Config{Now: func() time.Time { return start }})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, status int, body []byte, after string) {
		var said reply
		if json.Unmarshal(body, &said) != nil || said.Reason == "" {
			return
		}
		resp := &http.Response{StatusCode: status, Header: http.Header{"Retry-After": {after}}}
		got, _ := a.judge(notification(), start, resp, &said)
		if got.Result < delivery.BadAddress || got.Result > delivery.TryLater || got.RetryAfter < 0 || got.RetryAfter > 25*time.Hour {
			t.Errorf("judge = %+v", got)
		}
		if len(got.Reason) > 200 || strings.ContainsAny(got.Reason, "\r\n\x1b") {
			t.Errorf("reason %q", got.Reason)
		}
	})
}
