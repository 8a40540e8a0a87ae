package push

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"rollcall/server/delivery"
)

func TestFCMRequest(t *testing.T) {
	var got *http.Request
	var body []byte
	s := newTokenService(t, nil, func(w http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
		io.WriteString(w, `{"name":"projects/rollcall-lab/messages/1"}`)
	})
	f := s.fcm(t, s.config())
	n := Notification{Token: []byte(`f-123"\ü`), Expires: start.Add(8 * time.Hour)}
	if a := f.Push(t.Context(), n); a != (Answer{Result: delivery.Accepted}) {
		t.Fatalf("Push = %+v, want it accepted", a)
	}
	if got.Method != "POST" || got.URL.Path != "/v1/projects/rollcall-lab/messages:send" || got.Header.Get("Authorization") != "Bearer access-1" {
		t.Errorf("%s %s with %q", got.Method, got.URL.Path, got.Header.Get("Authorization"))
	}
	want := `{"message":{"fid":"f-123\"\\ü","data":{"rollcall":"sync"},"android":{"priority":"HIGH","collapseKey":"rc-sync","ttl":"28800s"}}}`
	if string(body) != want {
		t.Errorf("body %s, want %s", body, want)
	}
	n.Expires = time.Time{}
	f.Push(t.Context(), n)
	if !strings.Contains(string(body), `"priority":"NORMAL","collapseKey":"rc-sync","ttl":"0s"`) {
		t.Errorf("a ping is kept, or wakes from deep sleep: %s", body)
	}
	n.Expires = start.Add(365 * 24 * time.Hour)
	f.Push(t.Context(), n)
	if !strings.Contains(string(body), `"ttl":"2419200s"`) {
		t.Errorf("kept for longer than FCM keeps anything: %s", body)
	}
	// The assertion (RFC 7523, section 3).
	if grant := s.forms[0]["grant_type"]; fmt.Sprint(grant) != "[urn:ietf:params:oauth:grant-type:jwt-bearer]" {
		t.Errorf("grant_type %v", grant)
	}
	signed, err := jwt.ParseSigned(s.forms[0]["assertion"][0], []jose.SignatureAlgorithm{jose.RS256})
	if err != nil || signed.Headers[0].KeyID != "k1" {
		t.Fatalf("assertion %v, %v", signed, err)
	}
	claims := map[string]any{}
	if err := signed.Claims(accountKey().Public(), &claims); err != nil {
		t.Fatal(err)
	}
	text, _ := json.Marshal(claims)
	if want := fmt.Sprintf(`{"aud":"%s/token","exp":%d,"iat":%d,"iss":"push@rollcall-lab.iam.gserviceaccount.com","scope":"https://www.googleapis.com/auth/firebase.messaging"}`,
		s.URL, start.Add(time.Hour).Unix(), start.Unix()); string(text) != want {
		t.Errorf("claims %s, want %s", text, want)
	}
}

func failure(code int, status, errorCode, field string) string {
	details := ""
	if errorCode != "" {
		details = fmt.Sprintf(`{"@type":"type.googleapis.com/google.firebase.fcm.v1.FcmError","errorCode":%q}`, errorCode)
	}
	if field != "" {
		details += fmt.Sprintf(`,{"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":[{"field":%q,"description":"no"}]}`, field)
	}
	return fmt.Sprintf(`{"error":{"code":%d,"message":"no","status":%q,"details":[%s]}}`, code, status, strings.TrimPrefix(details, ","))
}

// TestAND090Answers holds the table of errors (android.md, section 10) on the sender's side.
func TestAND090Answers(t *testing.T) {
	later, bad := delivery.TryLater, delivery.BadAddress
	for _, tt := range []struct {
		name           string
		status         int
		body           string
		result         delivery.PushResult
		alarm, suspend bool
		least          time.Duration // of RetryAfter
	}{
		{"success", 200, `{"name":"projects/p/messages/1"}`, delivery.Accepted, false, false, 0},
		{"UNREGISTERED", 404, failure(404, "NOT_FOUND", "UNREGISTERED", ""), bad, false, false, 0},
		{"another project's", 403, failure(403, "PERMISSION_DENIED", "SENDER_ID_MISMATCH", ""), bad, true, false, 0},
		{"third party", 401, failure(401, "UNAUTHENTICATED", "THIRD_PARTY_AUTH_ERROR", ""), bad, true, false, 0},
		{"bad id", 400, failure(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", "message.token"), bad, false, false, 0},
		{"bad fid", 400, failure(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", "message.fid"), bad, false, false, 0},
		{"unnamed", 400, failure(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", ""), bad, false, false, 0},
		{"our defect", 400, failure(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", "message.android.ttl"), later, true, false, time.Hour},
		{"quota", 429, failure(429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED", ""), later, false, false, time.Minute},
		{"unavailable", 503, failure(503, "UNAVAILABLE", "UNAVAILABLE", ""), later, false, false, 0},
		{"internal", 500, failure(500, "INTERNAL", "INTERNAL", ""), later, false, false, 0},
		{"no such project", 404, failure(404, "NOT_FOUND", "", ""), later, false, true, 0},
		{"not enabled", 403, failure(403, "PERMISSION_DENIED", "", ""), later, false, true, 0},
		{"a page that is not found", 404, "<html>not found", later, false, false, 0}, // not Google's: nobody is forgotten
		{"half an answer", 404, failure(404, "NOT_FOUND", "UNREGISTERED", "")[:60], later, false, false, 0},
		{"a proxy's JSON", 404, `{"message":"no route"}`, later, false, false, 0},
		{"a redirect", 302, "", later, false, false, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := Notification{}
			a := judgeFCM(n, tt.status, http.Header{}, []byte(tt.body), tried{answer: later2(n), health: well}).answer
			if a.Result != tt.result || a.Alarm != tt.alarm || a.Suspend != tt.suspend || a.RetryAfter < tt.least {
				t.Errorf("%+v, want %d, alarm %t, suspended %t, after %s", a, tt.result, tt.alarm, tt.suspend, tt.least)
			}
			if a.Result != delivery.Accepted && a.Reason == "" {
				t.Error("no reason")
			}
		})
	}
}

// TestHST081FCM: what is not FCM's own word that it has the message is none: the wake-up is tried later, nobody is forgotten, and the
// service counts as ill.
func TestHST081FCM(t *testing.T) {
	whole := `{"name":"projects/p/messages/1"}`
	for _, tt := range []struct {
		name    string
		handler http.HandlerFunc
		taken   bool
	}{
		{"as it should be", answers(200, whole), true},
		{"a page", answers(200, "<html>welcome", "Content-Type", "text/html"), false},
		{"half an answer", answers(200, whole[:20]), false},
		{"an answer that is cut off", answers(200, whole[:20], "Content-Length", "32"), false},
		{"none", answers(200, ""), false},
		{"another's JSON", answers(200, `{"status":"ok"}`), false},
		{"an error in a good answer", answers(200, failure(404, "NOT_FOUND", "UNREGISTERED", "")), false},
		{"a page that is busy", answers(503, "<html>busy"), false},
		{"a page that is not found", answers(404, "<html>not found"), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newTokenService(t, nil, tt.handler)
			a := s.fcm(t, s.config()).Push(t.Context(), s.wake())
			want := delivery.TryLater
			if tt.taken {
				want = delivery.Accepted
			}
			if a.Result != want || a.Alarm || a.Suspend || !tt.taken && a.Reason == "" {
				t.Errorf("%+v, want %d", a, want)
			}
		})
	}
	for _, status := range []int{200, 404, 503} {
		if got := judgeFCM(Notification{}, status, http.Header{}, []byte("<html>"), tried{health: well}); got.health != ill {
			t.Errorf("after a page with status %d the service counts as well", status)
		}
	}
}

// TestFCMProjectRefused: where the project is refused, nothing is sent for a while.
func TestFCMProjectRefused(t *testing.T) {
	s := newTokenService(t, nil, answers(403, failure(403, "PERMISSION_DENIED", "", "")))
	f := s.fcm(t, s.config())
	for range 3 {
		if a := f.Push(t.Context(), s.wake()); !a.Suspend || a.Result != delivery.TryLater || a.Reason != "PERMISSION_DENIED" {
			t.Errorf("Push = %+v, want it suspended", a)
		}
	}
	if n := s.calls.Load(); n != 1 {
		t.Errorf("%d calls, want 1", n)
	}
}

func TestReadServiceAccount(t *testing.T) {
	good := string(keyFile(t, ""))
	a, err := ReadServiceAccount([]byte(good))
	if err != nil || a.TokenURL != googleTokens {
		t.Fatalf("ReadServiceAccount = %v, want Google's endpoint", err)
	}
	for _, tt := range []struct{ old, new, want string }{
		{"rollcall-lab\"", "../x\"", "project_id"},
		{"client_email", "x", "client_email"},
		{"MII", "MIX", "private_key"},
		{"\"private_key\"", "\"x\"", "private_key"},
		{`"token_uri":""`, `"token_uri":"http://x"`, "token_uri"},
		{"{", "[", "not JSON"},
	} {
		if _, err := ReadServiceAccount([]byte(strings.ReplaceAll(good, tt.old, tt.new))); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("with %s for %s: %v, want an error with %q", tt.new, tt.old, err, tt.want)
		}
	}
	cfg := Config{URL: "http://fcm.googleapis.com"}
	if _, err := NewFCM(a, cfg); err == nil {
		t.Error("an address without TLS is taken")
	}
}

// TestAND101NoAccount: who has no credentials of an operator's has no client of Google's, and so opens no connection to it.
func TestAND101NoAccount(t *testing.T) {
	if f, err := NewFCM(nil, Config{}); err == nil || f != nil {
		t.Errorf("a client without an account: %v, %v", f, err)
	}
	for _, text := range []string{"", "{}", `{"project_id":"p","client_email":"a@b"}`} {
		if a, err := ReadServiceAccount([]byte(text)); err == nil || a != nil {
			t.Errorf("%q is taken for an account", text)
		}
	}
}

func FuzzFCMAnswer(f *testing.F) {
	f.Add(404, []byte(failure(404, "NOT_FOUND", "UNREGISTERED", "")))
	f.Add(200, []byte(`{"name":"projects/p/messages/1"}`))
	f.Add(200, []byte("<html>"))
	f.Add(503, []byte("<html>"))
	f.Fuzz(func(t *testing.T, status int, text []byte) {
		n := Notification{}
		a := judgeFCM(n, status, http.Header{}, text, tried{answer: later2(n), health: well}).answer
		if a.Result == delivery.Accepted && !(status == 200 && json.Valid(text)) || len(a.Reason) > 300 || strings.ContainsAny(a.Reason, "\r\n\x00") {
			t.Fatalf("status %d, %q: %+v", status, text, a)
		}
	})
}

func FuzzReadServiceAccount(f *testing.F) {
	f.Add([]byte(`{"project_id":"p","private_key":"-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n","client_email":"e"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if a, err := ReadServiceAccount(text); err == nil && a.key == nil {
			t.Fatalf("ReadServiceAccount(%q) has no key", text)
		}
	})
}
