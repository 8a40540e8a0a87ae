package push

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"rollcall/server/delivery"
)

func TestWNSRequest(t *testing.T) {
	var got *http.Request
	var body []byte
	s := newTokenService(t, nil, func(_ http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
	})
	w := s.wns(t, s.config())
	if a := w.Push(t.Context(), s.wake()); a != (Answer{Result: delivery.Accepted}) {
		t.Fatalf("Push = %+v, want it accepted", a)
	}
	form := fmt.Sprint(s.forms[0])
	if want := "map[client_id:[ms-app://S-1-15-2-1] client_secret:[very secret] grant_type:[client_credentials] scope:[notify.windows.com]]"; form != want {
		t.Errorf("token asked for by %s, want %s", form, want)
	}
	if got.Method != "POST" || got.RequestURI != "/w/?token=abc" || got.ContentLength != int64(len(body)) || len(body) == 0 || len(body) > 100 {
		t.Errorf("%s %s with %d bytes (%q)", got.Method, got.RequestURI, got.ContentLength, body)
	}
	for name, want := range map[string]string{
		"Authorization": "Bearer access-1", "X-WNS-Type": "wns/raw", "Content-Type": "application/octet-stream",
		"X-WNS-Cache-Policy": "cache", "X-WNS-TTL": "28800", "X-WNS-RequestForStatus": "true", "Accept-Encoding": "",
	} {
		if v := got.Header.Get(name); v != want {
			t.Errorf("header %s = %q, want %q", name, v, want)
		}
	}
	ping := s.wake()
	ping.Expires = time.Time{}
	w.Push(t.Context(), ping)
	if got.Header.Get("X-WNS-Cache-Policy") != "" || got.Header.Get("X-WNS-TTL") != "" {
		t.Errorf("a ping is kept: %v", got.Header)
	}
}

// TestWIN042Answers holds the table of answers (windows.md, section 8).
func TestWIN042Answers(t *testing.T) {
	later, bad := delivery.TryLater, delivery.BadAddress
	for _, tt := range []struct {
		status int
		header string
		result delivery.PushResult
		alarm  bool
		least  time.Duration // of RetryAfter
	}{
		{200, "X-WNS-Status: received", delivery.Accepted, false, 0},
		{200, "X-WNS-Status: dropped", delivery.Accepted, false, 0}, // nothing of delivery
		{200, "X-WNS-Status: channelthrottled", later, false, time.Minute},
		{200, "", delivery.Accepted, false, 0},
		{400, "X-WNS-Error-Description: Bad TTL\x07", later, false, time.Hour},
		{403, "", bad, true, 0},
		{404, "", bad, false, 0},
		{405, "", later, false, time.Hour},
		{406, "", later, false, time.Minute},
		{406, "Retry-After: 3600", later, false, time.Hour},
		{410, "", bad, false, 0},
		{429, "", later, false, time.Minute},
		{429, "Retry-After: 3600", later, false, time.Hour},
		{413, "", later, false, time.Hour},
		{500, "", later, false, 0},
		{503, "Retry-After: 600", later, false, 10 * time.Minute},
		{302, "Location: https://evil.test/", later, false, time.Hour},
	} {
		h := http.Header{}
		if name, value, ok := strings.Cut(tt.header, ": "); ok {
			h.Set(name, value)
		}
		for attempt := range 3 {
			n := Notification{Attempt: attempt}
			got := judgeWNS(n, tt.status, h, tried{answer: later2(n), health: well})
			a := got.answer
			if a.Result != tt.result || a.Alarm != tt.alarm || a.RetryAfter < tt.least || a.Suspend || strings.Contains(a.Reason, "\x07") {
				t.Errorf("%d %s: %+v, want %d, alarm %t, after %s", tt.status, tt.header, a, tt.result, tt.alarm, tt.least)
			}
			if tt.least == throttled && a.RetryAfter >= ourDefect {
				t.Errorf("%d %s: a sender that is throttled waits %s", tt.status, tt.header, a.RetryAfter)
			}
			if a.Result != delivery.Accepted && a.Reason == "" {
				t.Errorf("%d %s: no reason", tt.status, tt.header)
			}
		}
	}
}

func later2(n Notification) Answer { return later(n, "status") }

func TestReadWNSIdentity(t *testing.T) {
	id, err := ReadWNSIdentity([]byte(`{"client_id":"ms-app://S-1-15-2-1","client_secret":"s","pfn":"rollcall_8wekyb3d8bbwe"}`))
	if err != nil || id.TokenURL != LiveTokens || id.Scope != LiveScope || id.PFN != "rollcall_8wekyb3d8bbwe" {
		t.Errorf("ReadWNSIdentity = %+v, %v, want Microsoft's endpoints", id, err)
	}
	for text, want := range map[string]string{
		`{"client_secret":"s"}`: "client_id", `{"client_id":"a"}`: "client_secret",
		`{"client_id":"a","client_secret":"s","scop":"x"}`:                          "scop",
		`{"client_id":"a","client_secret":"s","token_url":"http://login.live.com"}`: "token_url",
		`{"client_id":"a","client_secret":"s","hosts":["https://wns.test"]}`:        "hosts",
		`{"client_id":"a","client_secret":"s","hosts":["a@b"]}`:                     "hosts",
		`{"client_id":"a","client_secret":"s"}{}`:                                   "more than one",
		`[]`: "want",
		`{"client_id":"` + strings.Repeat("a", maxIdentity) + `","client_secret":"s"}`: "bytes",
	} {
		if _, err := ReadWNSIdentity([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ReadWNSIdentity(%.60s) = %v, want an error with %q", text, err, want)
		}
	}
}

func FuzzReadWNSIdentity(f *testing.F) {
	f.Add([]byte(`{"client_id":"ms-app://S-1-15-2-1","client_secret":"s","hosts":["127.0.0.1:8444"]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if id, err := ReadWNSIdentity(text); err == nil && (id.ClientID == "" || id.TokenURL == "") {
			t.Fatalf("ReadWNSIdentity(%q) = %+v", text, id)
		}
	})
}
