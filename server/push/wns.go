package push

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/golang-lru/v2"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"rollcall/server/delivery"
)

// Where a Windows app gets its access tokens, and what for: the flow of Store identities. Those of Entra ID have
// https://login.microsoftonline.com/TENANT/oauth2/v2.0/token and https://wns.windows.com/.default instead.
const (
	LiveTokens = "https://login.live.com/accesstoken.srf"
	LiveScope  = "notify.windows.com"
)

const (
	throttled   = time.Minute // a throttled sender waits at least
	ourDefect   = time.Hour   // what we did wrong is wrong for a while: a newer rollcall may do better
	wnsHosts    = 256         // whose health is known at once
	wakeUp      = "rollcall"  // the device's management client ignores the body
	maxIdentity = 64 << 10    // bytes of a file with an identity
	maxSeconds  = 14 * 24 * 3600
)

// A WNSIdentity is an app that is known to WNS; its JSON is the file that administrators keep it in.
type WNSIdentity struct {
	ClientID     string   `json:"client_id"`           // package SID, ms-app://S-1-15-2-..., or the application id of Entra ID
	ClientSecret string   `json:"client_secret"`       // never logged
	PFN          string   `json:"pfn,omitempty"`       // package family name: devices are told it, and open channels for it
	TokenURL     string   `json:"token_url,omitempty"` // empty: LiveTokens
	Scope        string   `json:"scope,omitempty"`     // empty: LiveScope
	Hosts        []string `json:"hosts,omitempty"`     // host or host:port that channels may have beside Microsoft's: of a simulated service
}

// ReadWNSIdentity reads one. The error names the field, and has nothing of the secret.
func ReadWNSIdentity(data []byte) (*WNSIdentity, error) {
	if len(data) > maxIdentity {
		return nil, fmt.Errorf("WNS identity of %d bytes: want at most %d", len(data), maxIdentity)
	}
	var id WNSIdentity
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&id); err != nil {
		return nil, fmt.Errorf("WNS identity: %w", jsonError(err))
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("WNS identity: more than one JSON object")
	}
	switch {
	case id.ClientID == "":
		return nil, errors.New("WNS identity: client_id is missing: the package SID, or the application id of Entra ID")
	case id.ClientSecret == "":
		return nil, errors.New("WNS identity: client_secret is missing")
	}
	if id.TokenURL == "" {
		id.TokenURL = LiveTokens
	}
	if id.Scope == "" {
		id.Scope = LiveScope
	}
	if err := endpoint(id.TokenURL); err != nil {
		return nil, fmt.Errorf("WNS identity: token_url: %w", err)
	}
	for i, host := range id.Hosts {
		id.Hosts[i] = strings.ToLower(host)
		if u, err := url.Parse("https://" + host); err != nil || u.Host != host || u.User != nil || u.Hostname() == "" {
			return nil, fmt.Errorf("WNS identity: hosts: %q is not host or host:port", host)
		}
	}
	return &id, nil
}

// endpoint checks the address of a token endpoint: our key goes there.
func endpoint(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.Fragment != "" {
		return errors.New("want an https address")
	}
	return nil
}

// jsonError says what is wrong with JSON without a word of what is in it.
func jsonError(err error) error {
	if typed, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Errorf("%s: want %s, not %s", typed.Field, typed.Type, typed.Value)
	}
	if at, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Errorf("not JSON, at byte %d", at.Offset)
	}
	if field, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return fmt.Errorf("unknown field %s", clean(field))
	}
	return errors.New("not JSON")
}

// WNS is the client of the Windows push notification services: raw notifications to the channels that devices have.
type WNS struct {
	*bearer
	guard guard
	hosts *lru.Cache[string, *breaker] // a device cannot make the service seem ill for others by a channel at a host that is
}

// NewWNS returns the client of an app.
func NewWNS(id *WNSIdentity, cfg Config) *WNS {
	cfg.fill()
	w := &WNS{guard: guard{suffix: notifyHosts, hosts: id.Hosts}}
	w.hosts, _ = lru.New[string, *breaker](wnsHosts) // fails without room only
	tokens := net.Dialer{}
	at := strings.TrimPrefix(cfg.URL, "https://")
	w.bearer = newBearer(cfg, &http.Transport{
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: cfg.Roots, Time: cfg.Now},
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			configured := ctx.Value(tokenCall{}) != nil // and not a device's word
			switch {
			case at != "" && (configured || w.guard.named(address)):
				return tokens.DialContext(ctx, network, at)
			case configured:
				return tokens.DialContext(ctx, network, address)
			}
			return w.guard.dial(ctx, network, address)
		},
	})
	flow := clientcredentials.Config{
		ClientID: id.ClientID, ClientSecret: id.ClientSecret, TokenURL: id.TokenURL, Scopes: []string{id.Scope}, AuthStyle: oauth2.AuthStyleInParams,
	}
	w.fetch = func(ctx context.Context) (*oauth2.Token, error) {
		return flow.Token(context.WithValue(ctx, tokenCall{}, true))
	}
	return w
}

// tokenCall marks a call of the token endpoint.
type tokenCall struct{}

// Push sends n and waits for the answer; see [Pusher].
func (w *WNS) Push(ctx context.Context, n Notification) Answer {
	if len(n.Token) == 0 {
		return refusal("no channel").answer
	}
	channel, err := w.guard.channel(n.Token)
	if err != nil {
		return alarm(err.Error()).answer
	}
	return w.push(ctx, n, w.breaker(channel.Host), func(ctx context.Context, token string) tried { return w.send(ctx, n, channel, token) })
}

// breaker is the one of a host.
func (w *WNS) breaker(host string) *breaker {
	b := new(breaker)
	if old, ok, _ := w.hosts.PeekOrAdd(host, b); ok {
		w.hosts.Get(host) // it is in use
		return old
	}
	return b
}

// send tries once.
func (w *WNS) send(ctx context.Context, n Notification, channel *url.URL, token string) tried {
	req, err := http.NewRequest(http.MethodPost, channel.String(), strings.NewReader(wakeUp))
	if err != nil {
		return refusal("a channel that cannot be called")
	}
	req.Header.Set("Content-Type", "application/octet-stream")
	req.Header.Set("X-WNS-Type", "wns/raw")
	req.Header.Set("X-WNS-RequestForStatus", "true")
	if keep := n.Expires.Sub(w.cfg.Now()); !n.Expires.IsZero() && keep > 0 {
		req.Header.Set("X-WNS-Cache-Policy", "cache")
		req.Header.Set("X-WNS-TTL", strconv.FormatInt(min(max(int64(keep/time.Second), 1), maxSeconds), 10))
	}
	resp, _, try := w.do(ctx, n, req, token)
	if resp == nil {
		if errors.Is(try.err, errNotPublic) { // whoever answers for that name today: the channel itself may be good
			try.answer.Alarm, try.answer.RetryAfter = true, ourDefect
			try.health, try.again = unknown, false
		}
		return try
	}
	return judgeWNS(n, resp.StatusCode, resp.Header, try)
}

// judgeWNS maps what WNS says to what it means (windows.md, section 8; WIN-042).
func judgeWNS(n Notification, status int, h http.Header, try tried) tried {
	said := clean(fmt.Sprintf("status %d %s", status, h.Get("X-WNS-Error-Description")))
	try.answer.Reason = strings.TrimSpace(said)
	switch {
	case status == http.StatusOK && strings.EqualFold(h.Get("X-WNS-Status"), "channelthrottled"):
		try.answer.Reason = "channelthrottled"
		try.answer.RetryAfter += throttled
	case status == http.StatusOK:
		return tried{answer: Answer{Result: delivery.Accepted}, health: well}
	case status == http.StatusUnauthorized:
		try.refused = true
	case status == http.StatusForbidden:
		return alarm("the channel is another app's (" + try.answer.Reason + ")")
	case status == http.StatusNotFound, status == http.StatusGone:
		return refusal(try.answer.Reason)
	case status == http.StatusNotAcceptable, status == http.StatusTooManyRequests:
		try.answer.RetryAfter = max(try.answer.RetryAfter+throttled, retryAfter(h))
	case status >= 500:
		try.health = ill
		try.answer.RetryAfter = max(try.answer.RetryAfter, retryAfter(h))
	default: // our defect: header, method or size
		try.answer.RetryAfter = max(try.answer.RetryAfter, ourDefect)
	}
	return try
}
