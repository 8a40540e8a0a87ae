package push

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"rollcall/protocol/apple"
	"rollcall/server/delivery"
)

// Production is Apple's push service.
const Production = "https://api.push.apple.com"

const (
	maxPayload = 4096 // of a notification
	maxAnswer  = 4096 // more of an answer than that is not read
)

// Config says how to reach a push service. The zero value reaches the vendor's.
type Config struct {
	URL         string           // scheme https, host and port; empty: the vendor's. Of WNS, where WNSIdentity.Hosts and the token endpoint are called whatever they are called; empty: as their names say
	Roots       *x509.CertPool   // that the service's certificate must chain to; nil: the system's
	Now         func() time.Time // clock for certificates and back-off; nil: time.Now
	Timeout     time.Duration    // real time that one try may take; 0: 20 s
	Concurrency int              // notifications on their way at once, the others wait; 0: 500
}

// fill puts in what the zero values stand for.
func (c *Config) fill() {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Timeout == 0 {
		c.Timeout = 20 * time.Second
	}
	if c.Concurrency == 0 {
		c.Concurrency = 500
	}
}

// baseURL reads the address of a service that is nothing but a host.
func baseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("push service: %w", err)
	}
	if u.Scheme != "https" || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("push service %q: want https://host or https://host:port", text)
	}
	return u, nil
}

// APNs is the client of Apple's push service for one slot: HTTP/2 over TLS with the slot's push certificate.
type APNs struct {
	cfg     Config
	address string        // host and port of the service
	room    chan struct{} // one place for each notification on its way
	breaker breaker
	budget  budget

	mu   sync.Mutex
	slot *slot // nil: no certificate
}

// New returns a client without a certificate: until SetCertificate every Push answers that the slot is suspended.
// The error says what is wrong with cfg.URL.
func New(cfg Config) (*APNs, error) {
	if cfg.URL == "" {
		cfg.URL = Production
	}
	u, err := baseURL(cfg.URL)
	if err != nil {
		return nil, err
	}
	cfg.URL = "https://" + u.Host
	cfg.fill()
	port := u.Port()
	if port == "" {
		port = "443"
	}
	return &APNs{cfg: cfg, address: net.JoinHostPort(u.Hostname(), port), room: make(chan struct{}, cfg.Concurrency)}, nil
}

// SetCertificate makes all further notifications travel under this push certificate, whose topic is topic. Connections
// of the one before are closed as soon as their notifications are answered; a suspended slot is open again (APL-102).
func (a *APNs) SetCertificate(cert tls.Certificate, topic string) {
	a.breaker.reset()
	a.replace(a.newSlot(cert, topic))
}

// Close closes all connections. Pushes after it answer as a slot without a certificate does.
func (a *APNs) Close() { a.replace(nil) }

// Push sends n and waits for the answer; see [Pusher].
func (a *APNs) Push(ctx context.Context, n Notification) Answer {
	body, err := payload(n.Magic)
	switch {
	case len(n.Token) == 0:
		return Answer{Result: delivery.BadAddress, Reason: "no token"}
	case err != nil:
		return Answer{Result: delivery.BadAddress, Reason: err.Error()}
	}
	select {
	case a.room <- struct{}{}:
	case <-ctx.Done():
		return later(n, "waited for others until "+ctx.Err().Error())
	}
	defer func() { <-a.room }()

	s, suspended := a.enter()
	if s == nil {
		answer := later(n, "no push certificate")
		answer.Suspend = true
		return answer
	}
	defer a.leave(s)
	if suspended != "" {
		answer := later(n, suspended)
		answer.Suspend = true
		return answer
	}
	if n.Topic != s.topic {
		// Apple would blame the slot for it. The device is reachable again when its own topic's certificate is back (AUTH-32);
		// who uploads that wakes it.
		return Answer{Result: delivery.TryLater, RetryAfter: 24 * time.Hour, Reason: "enrolled with another push topic"}
	}
	if wait, ok := a.breaker.allow(a.cfg.Now()); !ok {
		answer := later(n, "the push service is ill")
		answer.RetryAfter = max(answer.RetryAfter, wait)
		return answer
	}
	answer, h := a.exchange(ctx, s, n, body)
	a.breaker.report(a.cfg.Now(), h)
	if answer.Suspend {
		answer.Suspend = a.suspend(s, answer.Reason)
	}
	return answer
}

// exchange sends n, once more on a new connection where the first one broke (APL-105): one notification too many is none,
// since the service keeps only the last one. How often that may be is bounded (HST-112).
func (a *APNs) exchange(ctx context.Context, s *slot, n Notification, body []byte) (Answer, health) {
	a.budget.earn()
	answer, h, again := a.send(ctx, s, n, body)
	if !again || ctx.Err() != nil || !a.budget.take() {
		return answer, h
	}
	answer, h, again = a.send(ctx, s, n, body)
	if !again || ctx.Err() != nil {
		return answer, h
	}
	if err := a.listen(ctx, s); refusedCertificate(err) {
		return a.refused(n, err), unknown
	}
	return answer, h
}

// listen makes a connection, sends nothing on it, and returns what the service says of our certificate. In TLS 1.3 that comes
// after the handshake, and is lost where we have sent a request before it arrived: then all that is seen is a reset.
func (a *APNs) listen(ctx context.Context, s *slot) error {
	ctx, cancel := context.WithTimeout(ctx, a.cfg.Timeout)
	defer cancel()
	config := s.tls.Clone()
	config.NextProtos = []string{"h2"}
	dialer := tls.Dialer{Config: config}
	conn, err := dialer.DialContext(ctx, "tcp", a.address)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	_, err = conn.Read(make([]byte, 1)) // HTTP/2 servers speak first
	return err
}

// refused is the answer where the service does not take the slot's certificate.
func (a *APNs) refused(n Notification, err error) Answer {
	answer := later(n, "push certificate refused: "+reasonOf(err))
	answer.Suspend = true
	return answer
}

// send tries once. Again: the connection broke before there was an answer.
func (a *APNs) send(ctx context.Context, s *slot, n Notification, body []byte) (answer Answer, h health, again bool) {
	sent := a.cfg.Now()
	limited, cancel := context.WithTimeout(ctx, a.cfg.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(limited, http.MethodPost, a.cfg.URL+"/3/device/"+hex.EncodeToString(n.Token), bytes.NewReader(body))
	if err != nil {
		return later(n, err.Error()), unknown, false
	}
	var expires int64
	if !n.Expires.IsZero() {
		expires = n.Expires.Unix()
	}
	req.Header.Set("apns-topic", n.Topic)
	req.Header.Set("apns-push-type", "mdm")
	req.Header.Set("apns-priority", "10")
	req.Header.Set("apns-expiration", strconv.FormatInt(expires, 10))
	req.Header.Set("apns-id", uuid.NewString())
	resp, err := s.client.Do(req)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return later(n, ctx.Err().Error()), unknown, false
	case refusedCertificate(err):
		return a.refused(n, err), unknown, false
	default:
		timeout := limited.Err() != nil
		if timeout {
			a.renew(s) // that connection may hang for good
		}
		return later(n, reasonOf(err)), ill, !timeout
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusOK {
		return Answer{Result: delivery.Accepted}, well, false
	}
	var said reply
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err == nil {
		err = json.Unmarshal(text, &said)
	}
	if err != nil || said.Reason == "" {
		// Without Apple's JSON it was not Apple who spoke: a proxy, or half an answer.
		return later(n, fmt.Sprintf("status %d without a reason", resp.StatusCode)), ill, false
	}
	answer, h = a.judge(n, sent, resp, &said)
	if h == ill {
		a.renew(s)
	}
	return answer, h, said.Reason == "IdleTimeout" // it closes that connection
}

// A reply is the body of every answer but 200.
type reply struct {
	Reason    string `json:"reason"`
	Timestamp int64  `json:"timestamp"` // milliseconds, with 410
}

// judge maps what Apple says to what it means (apple.md, section 13.3).
func (a *APNs) judge(n Notification, sent time.Time, resp *http.Response, said *reply) (Answer, health) {
	reason := clean(said.Reason)
	answer := later(n, reason)
	switch resp.StatusCode {
	case http.StatusBadRequest:
		switch said.Reason {
		case "BadDeviceToken", "DeviceTokenNotForTopic":
			return Answer{Result: delivery.BadAddress, Reason: reason}, well
		case "BadTopic", "TopicDisallowed", "MissingTopic":
			answer.Suspend = true
			return answer, well
		}
	case http.StatusForbidden:
		answer.Suspend = true
		return answer, well
	case http.StatusGone:
		since := sent // it said nothing better
		if said.Timestamp > 0 {
			since = time.UnixMilli(said.Timestamp)
		}
		return Answer{Result: delivery.Inactive, InactiveSince: since, Reason: reason}, well
	case http.StatusTooManyRequests:
		answer.RetryAfter += time.Minute
		answer.RetryAfter = max(answer.RetryAfter, retryAfter(resp.Header))
		return answer, well
	}
	if resp.StatusCode >= 500 {
		answer.RetryAfter = max(answer.RetryAfter, retryAfter(resp.Header))
		return answer, ill
	}
	// Our defect: the same request will be refused again, but a newer rollcall may do better.
	if said.Reason != "IdleTimeout" {
		answer.RetryAfter = max(answer.RetryAfter, time.Hour)
	}
	return answer, well
}

// later is an answer for a notification that is to be tried again.
func later(n Notification, reason string) Answer {
	return Answer{Result: delivery.TryLater, RetryAfter: backOff(n.Attempt), Reason: clean(reason)}
}

// payload is the whole body of a notification.
func payload(magic string) ([]byte, error) {
	body := apple.EncodePush(nil, magic)
	if len(body) > maxPayload {
		return nil, fmt.Errorf("push magic of %d bytes is too long for a notification", len(magic))
	}
	return body, nil
}

// retryAfter reads the header of that name; 0: none, or not in seconds.
func retryAfter(h http.Header) time.Duration {
	s, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil || s < 0 {
		return 0
	}
	return min(time.Duration(s)*time.Second, 24*time.Hour)
}

// refusedCertificate tells whether the peer ended the handshake because of our certificate. Alerts by RFC 8446, section 6.
func refusedCertificate(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	if !ok || op.Op != "remote error" {
		return false
	}
	for _, alert := range [...]tls.AlertError{40, 42, 43, 44, 45, 46, 48, 49, 116} {
		if op.Err.Error() == alert.Error() {
			return true
		}
	}
	return false
}

// reasonOf is the innermost cause: the outer ones name the URL, and with it the device's token.
func reasonOf(err error) string {
	for {
		switch e := err.(type) {
		case *url.Error:
			err = e.Err
		default:
			return err.Error()
		}
	}
}

// clean makes one short line of what a peer said.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
	return s[:min(len(s), 200)]
}
