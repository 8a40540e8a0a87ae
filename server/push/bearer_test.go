package push

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/server/delivery"
)

// A tokenService is a service that is called with access tokens, and the service that gives them.
type tokenService struct {
	*httptest.Server
	now    atomic.Int64 // Unix nanoseconds
	asked  atomic.Int64 // for access tokens
	calls  atomic.Int64 // of the service itself
	tokens http.HandlerFunc

	mu    sync.Mutex
	forms []map[string][]string
}

// newTokenService serves handler everywhere but at /token, where tokens (nil: good ones, each with its number) is.
func newTokenService(t testing.TB, tokens, handler http.HandlerFunc) *tokenService {
	t.Helper()
	s := &tokenService{tokens: tokens}
	s.now.Store(start.UnixNano())
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/token" {
			s.calls.Add(1)
			handler(w, r)
			return
		}
		n := s.asked.Add(1)
		r.ParseForm()
		s.mu.Lock()
		s.forms = append(s.forms, r.PostForm)
		s.mu.Unlock()
		if s.tokens != nil {
			s.tokens(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"access_token":"access-%d","token_type":"bearer","expires_in":3600}`, n)
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func (s *tokenService) host() string { return strings.TrimPrefix(s.URL, "https://") }

func (s *tokenService) config() Config {
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	// The certificate of httptest is valid at any time that tests use.
	return Config{Roots: roots, Now: func() time.Time { return time.Unix(0, s.now.Load()) }, URL: s.URL}
}

func (s *tokenService) pass(d time.Duration) { s.now.Add(int64(d)) }

func (s *tokenService) wns(t testing.TB, cfg Config) *WNS {
	t.Helper()
	text := fmt.Sprintf(`{"client_id":"ms-app://S-1-15-2-1","client_secret":"very secret","token_url":"%s/token","hosts":[%q]}`, s.URL, s.host())
	id, err := ReadWNSIdentity([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	w := NewWNS(id, cfg)
	t.Cleanup(func() { w.Close() })
	return w
}

var accountKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

func keyFile(t testing.TB, tokenURL string) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(accountKey())
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(map[string]string{
		"type": "service_account", "project_id": "rollcall-lab", "private_key_id": "k1", "client_email": "push@rollcall-lab.iam.gserviceaccount.com",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), "token_uri": tokenURL,
	})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func (s *tokenService) fcm(t testing.TB, cfg Config) *FCM {
	t.Helper()
	account, err := ReadServiceAccount(keyFile(t, s.URL+"/token"))
	if err != nil {
		t.Fatal(err)
	}
	f, err := NewFCM(account, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func (s *tokenService) wake() Notification {
	return Notification{Token: []byte(s.URL + "/w/?token=abc"), Expires: start.Add(8 * time.Hour)}
}

// taken is what says that a message was taken: FCM's word for it, of which WNS needs none.
const taken = `{"name":"projects/p/messages/1"}`

// both runs a test for each service that is called with access tokens.
func both(t *testing.T, tokens, handler http.HandlerFunc, f func(t *testing.T, s *tokenService, p Pusher)) {
	for _, name := range []string{"WNS", "FCM"} {
		t.Run(name, func(t *testing.T) {
			s := newTokenService(t, tokens, handler)
			if name == "WNS" {
				f(t, s, s.wns(t, s.config()))
			} else {
				f(t, s, s.fcm(t, s.config()))
			}
		})
	}
}

// TestAccessTokenIsUsedAgain: one token serves many notifications at once, until shortly before its end.
func TestAccessTokenIsUsedAgain(t *testing.T) {
	both(t, nil, answers(200, taken), func(t *testing.T, s *tokenService, p Pusher) {
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				if a := p.Push(t.Context(), s.wake()); a.Result != delivery.Accepted {
					t.Errorf("Push = %+v, want it accepted", a)
				}
			})
		}
		all.Wait()
		if n := s.asked.Load(); n != 1 {
			t.Errorf("%d access tokens asked for 20 notifications, want 1", n)
		}
		s.pass(59 * time.Minute)
		p.Push(t.Context(), s.wake())
		if n := s.asked.Load(); n != 2 {
			t.Errorf("%d access tokens asked for when the first one ended, want 2", n)
		}
	})
}

// TestWIN042RefusedTokenIsRefreshedOnce: a token that is not taken is asked for anew, once; where the new one is not taken either, all
// notifications are held for a while.
func TestWIN042RefusedTokenIsRefreshedOnce(t *testing.T) {
	for _, good := range []string{"Bearer access-2", "none"} {
		refuse := func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") != good {
				w.WriteHeader(http.StatusUnauthorized)
				io.WriteString(w, `{"error":{"code":401,"status":"UNAUTHENTICATED"}}`)
				return
			}
			io.WriteString(w, taken)
		}
		both(t, nil, refuse, func(t *testing.T, s *tokenService, p Pusher) {
			a := p.Push(t.Context(), s.wake())
			if good != "none" {
				if a.Result != delivery.Accepted || s.asked.Load() != 2 || s.calls.Load() != 2 {
					t.Errorf("Push = %+v with %d tokens and %d calls, want it accepted with the second token", a, s.asked.Load(), s.calls.Load())
				}
				return
			}
			if !a.Alarm || a.Suspend || a.Result != delivery.TryLater || s.asked.Load() != 2 || s.calls.Load() != 2 {
				t.Errorf("Push = %+v with %d tokens and %d calls, want an alarm after the second", a, s.asked.Load(), s.calls.Load())
			}
			for range patience - 1 {
				a = p.Push(t.Context(), s.wake())
			}
			calls := s.calls.Load()
			if !a.Suspend || a.Result != delivery.TryLater {
				t.Errorf("Push = %+v where no token is taken for anybody, want it suspended", a)
			}
			if a = p.Push(t.Context(), s.wake()); !a.Suspend || s.calls.Load() != calls {
				t.Errorf("Push = %+v while it is suspended, after %d calls; want nobody called", a, s.calls.Load())
			}
			s.pass(refusedFor)
			if p.Push(t.Context(), s.wake()); s.calls.Load() == calls {
				t.Error("it is suspended for good")
			}
		})
	}
}

// TestHST083OneAddressStopsNobody: an address where a good token is refused is left alone, and the others are not.
func TestHST083OneAddressStopsNobody(t *testing.T) {
	s := newTokenService(t, nil, func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.RawQuery, "poison") {
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	w := s.wns(t, s.config())
	poison := s.wake()
	poison.Token = []byte(s.URL + "/w/?token=poison")
	for range 2 * patience {
		if a := w.Push(t.Context(), s.wake()); a.Result != delivery.Accepted {
			t.Fatalf("Push = %+v beside a poisoned channel, want it accepted", a)
		}
		if a := w.Push(t.Context(), poison); a.Suspend || !a.Alarm || a.RetryAfter < ourDefect {
			t.Fatalf("Push to a poisoned channel = %+v, want an alarm and an hour's rest", a)
		}
		s.pass(refusedFor)
	}
}

// TestKeyRefused: a key that is not taken suspends the service, and is not tried for each notification.
func TestKeyRefused(t *testing.T) {
	refuse := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		io.WriteString(w, `{"error":"invalid_client","error_description":"very secret"}`)
	}
	both(t, refuse, answers(200, taken), func(t *testing.T, s *tokenService, p Pusher) {
		for range 3 {
			a := p.Push(t.Context(), s.wake())
			if !a.Suspend || a.Result != delivery.TryLater || a.Reason != "no access token: invalid_client" || a.RetryAfter < time.Minute {
				t.Errorf("Push = %+v, want it suspended", a)
			}
		}
		if s.asked.Load() != 1 || s.calls.Load() != 0 {
			t.Errorf("%d tokens asked for and %d calls, want 1 and 0", s.asked.Load(), s.calls.Load())
		}
	})
}

// TestHST081TokenServiceIsIll: nobody is to blame but that service, which is asked less and less.
func TestHST081TokenServiceIsIll(t *testing.T) {
	for name, tokens := range map[string]http.HandlerFunc{
		"503":        answers(503, "", "Retry-After", "120"),
		"429":        answers(429, "", "Retry-After", "120"),
		"HTML":       answers(502, "<html>"),
		"not a word": answers(200, ""),
		"endless":    answers(200, `{"access_token":"`+strings.Repeat("x", 2*maxTokenAnswer)+`"}`),
		"redirect":   answers(302, "", "Location", "/elsewhere"),
	} {
		t.Run(name, func(t *testing.T) {
			both(t, tokens, answers(200, taken), func(t *testing.T, s *tokenService, p Pusher) {
				for range 3 * patience {
					a := p.Push(t.Context(), s.wake())
					if a.Result != delivery.TryLater || a.Suspend != (name == "redirect") {
						t.Fatalf("Push = %+v, want it tried later", a)
					}
				}
				if n := s.asked.Load(); n > patience {
					t.Errorf("%d tokens asked for, want %d and then a breaker", n, patience)
				}
				if s.calls.Load() != 0 {
					t.Error("the service was called without a token")
				}
			})
		})
	}
}

func TestHST081BreakerOfServicesWithTokens(t *testing.T) {
	both(t, nil, answers(503, `{"error":{"status":"UNAVAILABLE"}}`, "Retry-After", "77"), func(t *testing.T, s *tokenService, p Pusher) {
		for i := range 2 * patience {
			a := p.Push(t.Context(), s.wake())
			if a.Result != delivery.TryLater || a.Suspend || i < patience && a.RetryAfter < 77*time.Second {
				t.Fatalf("Push = %+v, want what Retry-After says", a)
			}
		}
		if n := s.calls.Load(); n != patience {
			t.Errorf("%d calls of a service that is ill, want %d", n, patience)
		}
	})
}

// TestHST081ConnectionBreaks: a second try where there was no answer, and no more.
func TestHST081ConnectionBreaks(t *testing.T) {
	var calls atomic.Int64
	both(t, nil, func(w http.ResponseWriter, _ *http.Request) {
		if calls.Add(1)%2 == 1 {
			panic(http.ErrAbortHandler)
		}
		io.WriteString(w, taken)
	}, func(t *testing.T, s *tokenService, p Pusher) {
		if a := p.Push(t.Context(), s.wake()); a.Result != delivery.Accepted {
			t.Errorf("Push = %+v, want the second try accepted", a)
		}
	})
}

func TestHST081HangOfServicesWithTokens(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	s := newTokenService(t, nil, func(http.ResponseWriter, *http.Request) { <-release })
	t.Cleanup(func() { s.CloseClientConnections() })
	cfg := s.config()
	cfg.Timeout = 200 * time.Millisecond // the handshake comes out of it too
	if a := s.fcm(t, cfg).Push(t.Context(), s.wake()); a.Result != delivery.TryLater || a.Reason == "" {
		t.Errorf("Push = %+v, want it tried later", a)
	}
}

// TestSecretsAreNotTold: nothing that a service or a broken file says comes out with a key in it.
func TestSecretsAreNotTold(t *testing.T) {
	for _, text := range []string{
		`{"client_id":"a","client_secret":"very secret","token_url":"ftp://very secret"}`,
		`{"client_id":"a","client_secret":["very secret"]}`, `{"client_id":"a","client_secret":"very secret"`, `very secret`,
		`{"client_id":"a","client_secret":"very secret","hosts":["very secret/"]}`,
	} {
		if _, err := ReadWNSIdentity([]byte(text)); err == nil || strings.Contains(err.Error(), "very secret") && !strings.Contains(text, "hosts") {
			t.Errorf("ReadWNSIdentity(%s) = %v", text, err)
		}
	}
	for _, text := range []string{
		`{"project_id":"p","client_email":"e","private_key":"very secret"}`, `{"project_id":"p","client_email":"e","private_key":7,"x":"very secret"}`, `very secret`,
	} {
		if _, err := ReadServiceAccount([]byte(text)); err == nil || strings.Contains(err.Error(), "very secret") {
			t.Errorf("ReadServiceAccount(%s) = %v", text, err)
		}
	}
}
