package push

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"golang.org/x/oauth2"

	"rollcall/server/delivery"
)

const (
	maxTokenAnswer = 64 << 10         // of a token endpoint
	earlier        = time.Minute      // before its end an access token is not used any more
	refusedFor     = 10 * time.Minute // a token endpoint that refuses our key is left alone
)

// A bearer is a push service that is called with an access token: the token, one way in for all notifications, and how many
// are on their way.
type bearer struct {
	cfg    Config
	client *http.Client
	fetch  func(ctx context.Context) (*oauth2.Token, error) // asks for a new access token
	room   chan struct{}                                    // one place for each notification on its way
	budget budget
	health breaker // of the token endpoint

	turn    chan struct{} // one place: who asks for a token asks for all
	mu      sync.Mutex
	token   string
	until   time.Time // the token is used until then
	refused int       // notifications in a row for which a fresh token was not taken
	no      string    // why nothing is sent, until then; empty: it is
	noUntil time.Time
}

// newBearer makes one that connects by transport.
func newBearer(cfg Config, transport *http.Transport) *bearer {
	transport.DisableCompression = true
	transport.MaxResponseHeaderBytes = 16 << 10
	transport.TLSHandshakeTimeout = cfg.Timeout
	transport.MaxIdleConnsPerHost, transport.MaxIdleConns = 64, 256
	transport.IdleConnTimeout = 5 * time.Minute
	transport.HTTP2 = &http.HTTP2Config{SendPingTimeout: time.Minute, PingTimeout: cfg.Timeout} // a connection may hang
	transport.Protocols = new(http.Protocols)
	transport.Protocols.SetHTTP1(true)
	transport.Protocols.SetHTTP2(true)
	return &bearer{
		cfg: cfg, room: make(chan struct{}, cfg.Concurrency), turn: make(chan struct{}, 1),
		// Whoever redirects is not the service that was configured, and would get our token.
		client: &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}
}

// Tried is what one try came to.
type tried struct {
	answer  Answer
	health  health
	again   bool  // the connection broke before there was an answer
	refused bool  // the access token is not taken
	err     error // why there was no answer
}

// push sends n by send, which is given an access token: once more with a new token where that one is refused (WIN-042), and once
// more where the connection broke, as often as the budget allows (HST-112). The breaker is the one of the host that send calls.
func (b *bearer) push(ctx context.Context, n Notification, breaker *breaker, send func(ctx context.Context, token string) tried) Answer {
	select {
	case b.room <- struct{}{}:
	case <-ctx.Done():
		return later(n, "waited for others until "+ctx.Err().Error())
	}
	defer func() { <-b.room }()
	token, no := b.access(ctx, n, "")
	if no != nil {
		return *no
	}
	if wait, ok := breaker.allow(b.cfg.Now()); !ok {
		answer := later(n, "the push service is ill")
		answer.RetryAfter = max(answer.RetryAfter, wait)
		return answer
	}
	b.budget.earn()
	try := send(ctx, token)
	if try.refused && ctx.Err() == nil {
		if token, no = b.access(ctx, n, token); no != nil {
			breaker.report(b.cfg.Now(), well)
			return *no
		}
		try = send(ctx, token)
	}
	if try.again && ctx.Err() == nil && b.budget.take() {
		try = send(ctx, token)
	}
	breaker.report(b.cfg.Now(), try.health)
	switch {
	case try.refused: // a new one, too
		return b.refuse(n, token)
	case try.answer.Suspend:
		return b.hold(n, try.answer.Reason)
	case try.health == well:
		b.mu.Lock()
		b.refused = 0
		b.mu.Unlock()
	}
	return try.answer
}

// hold has nothing sent for a while: the fault is ours, not an address's.
func (b *bearer) hold(n Notification, reason string) Answer {
	b.mu.Lock()
	b.no, b.noUntil = reason, b.cfg.Now().Add(refusedFor)
	b.mu.Unlock()
	no := later(n, reason)
	no.Suspend, no.RetryAfter = true, max(no.RetryAfter, refusedFor)
	return no
}

// refuse is the answer where a fresh access token is not taken either. While it is for others, this address is to blame alone.
func (b *bearer) refuse(n Notification, token string) Answer {
	const reason = "the access token is refused"
	b.mu.Lock()
	b.refused++
	all := b.refused >= patience
	if all && b.token == token {
		b.token = ""
	}
	b.mu.Unlock()
	if all {
		return b.hold(n, reason)
	}
	no := later(n, reason)
	no.Alarm, no.RetryAfter = true, max(no.RetryAfter, ourDefect)
	return no
}

// do sends one request with the access token, and returns the answer's first bytes. Nil: there was none, and the try says why.
func (b *bearer) do(ctx context.Context, n Notification, req *http.Request, token string) (*http.Response, []byte, tried) {
	limited, cancel := context.WithTimeout(ctx, b.cfg.Timeout)
	defer cancel()
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := b.client.Do(req.WithContext(limited))
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return nil, nil, tried{answer: later(n, ctx.Err().Error())}
	default:
		return nil, nil, tried{answer: later(n, reasonOf(err)), health: ill, again: limited.Err() == nil, err: err}
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil && resp.StatusCode != http.StatusOK {
		return nil, nil, tried{answer: later(n, "half an answer: "+reasonOf(err)), health: ill}
	}
	return resp, text, tried{answer: later(n, fmt.Sprintf("status %d", resp.StatusCode)), health: well}
}

// access returns an access token other than stale, or the answer where there is none.
func (b *bearer) access(ctx context.Context, n Notification, stale string) (string, *Answer) {
	if token, no := b.known(n, stale); token != "" || no != nil {
		return token, no
	}
	select {
	case b.turn <- struct{}{}:
	case <-ctx.Done():
		no := later(n, "waited for an access token until "+ctx.Err().Error())
		return "", &no
	}
	defer func() { <-b.turn }()
	if token, no := b.known(n, stale); token != "" || no != nil {
		return token, no
	}
	return b.ask(ctx, n)
}

// known is access without asking anybody; neither: one has to be asked for.
func (b *bearer) known(n Notification, stale string) (string, *Answer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.cfg.Now()
	switch {
	case b.no != "" && now.Before(b.noUntil):
		no := later(n, b.no)
		no.Suspend, no.RetryAfter = true, max(no.RetryAfter, b.noUntil.Sub(now))
		return "", &no
	case b.token != "" && b.token != stale && now.Before(b.until):
		return b.token, nil
	}
	return "", nil
}

// ask has the token endpoint make an access token.
func (b *bearer) ask(ctx context.Context, n Notification) (string, *Answer) {
	if wait, ok := b.health.allow(b.cfg.Now()); !ok {
		no := later(n, "the service that gives access tokens is ill")
		no.RetryAfter = max(no.RetryAfter, wait)
		return "", &no
	}
	limited, cancel := context.WithTimeout(ctx, b.cfg.Timeout)
	defer cancel()
	client := *b.client
	client.Transport = limitedBody{client.Transport}
	token, err := b.fetch(context.WithValue(limited, oauth2.HTTPClient, &client))
	now := b.cfg.Now()
	if err == nil {
		b.health.report(now, well)
		b.mu.Lock()
		defer b.mu.Unlock()
		life := time.Hour // it said nothing better
		if !token.Expiry.IsZero() {
			life = time.Until(token.Expiry)
		}
		b.token, b.until, b.no = token.AccessToken, now.Add(max(life-earlier, time.Second)), ""
		return b.token, nil
	}
	said, refused := errors.AsType[*oauth2.RetrieveError](err)
	if refused = refused && said.Response != nil && said.Response.StatusCode < 500 && said.Response.StatusCode != http.StatusTooManyRequests; !refused {
		h := ill
		if ctx.Err() != nil {
			h = unknown
		}
		b.health.report(now, h)
		no := later(n, "no access token: "+tokenReason(err))
		if said != nil && said.Response != nil {
			no.RetryAfter = max(no.RetryAfter, retryAfter(said.Response.Header))
		}
		return "", &no
	}
	b.health.report(now, well)
	no := b.hold(n, "no access token: "+tokenReason(err))
	return "", &no
}

// tokenReason is what a token endpoint said, in its own word: all of its answer could have our key in it.
func tokenReason(err error) string {
	said, ok := errors.AsType[*oauth2.RetrieveError](err)
	switch {
	case !ok:
		return reasonOf(err)
	case said.ErrorCode != "":
		return clean(said.ErrorCode)
	case said.Response != nil:
		return "status " + strconv.Itoa(said.Response.StatusCode)
	}
	return "an answer that is none"
}

// refusal is the answer where an address is good for nothing, and alarm where that is because something is set up wrong.
func refusal(reason string) tried {
	return tried{answer: Answer{Result: delivery.BadAddress, Reason: clean(reason)}, health: well}
}

func alarm(reason string) tried {
	t := refusal(reason)
	t.answer.Alarm = true
	return t
}

// A limitedBody reads only so much of each answer.
type limitedBody struct{ inner http.RoundTripper }

func (l limitedBody) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := l.inner.RoundTrip(r)
	if err == nil {
		resp.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(resp.Body, maxTokenAnswer), resp.Body}
	}
	return resp, err
}

// Close closes the connections that nothing travels on. It never fails.
func (b *bearer) Close() error {
	b.client.CloseIdleConnections()
	return nil
}
