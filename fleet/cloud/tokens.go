package cloud

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Tokens are the access tokens that a service has given out (RFC 6749), each to somebody. The zero Tokens have given none.
type Tokens struct {
	mu    sync.Mutex
	given map[string]grant
}

type grant struct {
	who   string
	until time.Time
}

// Issue makes an access token for who.
func (t *Tokens) Issue(who string, until time.Time) string {
	token := rand.Text() + rand.Text()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.given == nil {
		t.given = make(map[string]grant)
	}
	t.given[token] = grant{who, until}
	return token
}

// Of returns whom the bearer token of a request was given to; false: it has none that is good at now.
func (t *Tokens) Of(r *http.Request, now time.Time) (who string, ok bool) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	g, ok := t.given[token]
	if ok && !now.Before(g.until) {
		delete(t.given, token)
		return "", false
	}
	return g.who, ok
}

// Forget makes all tokens worthless that were given so far.
func (t *Tokens) Forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.given)
}

// An AccessToken is the answer of a token endpoint (RFC 6749, section 5.1).
type AccessToken struct {
	Token   string `json:"access_token"`
	Type    string `json:"token_type"`
	Seconds int64  `json:"expires_in"`
}

// RefuseToken answers as a token endpoint that gives none (RFC 6749, section 5.2).
func RefuseToken(w http.ResponseWriter, status int, code, description string) {
	WriteJSON(w, status, map[string]string{"error": code, "error_description": description})
}

// WriteJSON answers with v. What a token endpoint says is kept nowhere.
func WriteJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		panic(err) // words and numbers
	}
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	w.Write(append(body, '\n'))
}
