package apns

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	pathPrefix  = "/3/device/"
	maxPayload  = 4096 // bytes
	maxCollapse = 64   // bytes of apns-collapse-id
	mdmTopic    = "com.apple.mgmt"
	retryLater  = time.Minute // Retry-After of a refusal that a fault makes up
	page        = "<!DOCTYPE html><title>502 Bad Gateway</title><h1>Bad Gateway</h1><p>The proxy could not reach the service.</p>\n"
)

var pushTypes = []string{
	"alert", "background", "complication", "controls", "fileprovider", "liveactivity", "location", "mdm", "pushtotalk", "voip", "widgets",
}

// The headers that may come only once, as net/http spells them.
var singles = []string{"Apns-Id", "Apns-Topic", "Apns-Push-Type", "Apns-Priority", "Apns-Expiration", "Apns-Collapse-Id"}

// An answer is what a refused push gets as JSON; the zero answer is 200 without a body.
type answer struct {
	Reason    Reason `json:"reason"`
	Timestamp int64  `json:"timestamp,omitempty"` // milliseconds since 1970, only with 410
	retry     time.Duration
}

func (a answer) json() []byte {
	b, err := json.Marshal(a)
	if err != nil {
		panic(err) // a word and a number
	}
	return b
}

// serve answers one request. The 200 leaves after the notification was delivered or kept.
func (s *Service) serve(w http.ResponseWriter, r *http.Request) {
	c := r.Context().Value(connKey{}).(*conn)
	if r.ProtoMajor != 2 {
		w.Header().Set("Connection", "close")
		http.Error(w, "APNs speaks HTTP/2 only: offer h2 by ALPN (RFC 9113, section 3.2)", http.StatusHTTPVersionNotSupported)
		return
	}
	p := Push{Token: strings.TrimPrefix(r.URL.Path, pathPrefix)}
	n, reason := s.read(r, c.provider(), &p)
	a := answer{Reason: reason}
	switch {
	case reason != "":
	case c.listener.closing.Load():
		a.Reason = Shutdown
	default:
		a = s.accept(r.Context(), n, &p)
	}
	s.reply(w, c, &p, a)
}

// read checks all of a request that can be checked without knowing the devices, in the order that the
// package's Divergences tell, and fills p.
func (s *Service) read(r *http.Request, who *provider, p *Push) (Notification, Reason) {
	n := Notification{ID: r.Header.Get("Apns-Id"), Topic: r.Header.Get("Apns-Topic"), At: s.cfg.Now()}
	goodID := n.ID == "" || isUUID(n.ID)
	if n.ID == "" || !goodID {
		n.ID = s.makeID()
	}
	p.ID, p.Topic = n.ID, n.Topic
	switch {
	case r.URL.Path == pathPrefix || r.URL.Path+"/" == pathPrefix:
		return n, MissingDeviceToken
	case p.Token == r.URL.Path || strings.Contains(p.Token, "/"):
		return n, BadPath
	case r.Method != http.MethodPost:
		return n, MethodNotAllowed
	case who.cert == nil && r.Header.Get("Authorization") != "":
		return n, InvalidProviderToken // MDM's topics are never pushed to with a provider token
	case who.cert == nil:
		return n, MissingProviderToken
	case who.reason != "":
		return n, who.reason
	case current(who.cert, n.At) != nil:
		return n, BadCertificate // it ended while the connection was open
	}
	for _, h := range singles {
		if len(r.Header[h]) > 1 {
			return n, DuplicateHeaders
		}
	}
	if !goodID {
		return n, BadMessageID
	}
	if n.Topic == "" && len(who.topics) == 1 && !s.cfg.RequireHeaders {
		n.Topic = who.topics[0]
		p.Topic = n.Topic
	}
	switch {
	case n.Topic == "":
		return n, MissingTopic
	case !goodTopic(n.Topic):
		return n, BadTopic
	case !slices.Contains(who.topics, n.Topic):
		return n, TopicDisallowed
	}
	kind := r.Header.Get("Apns-Push-Type")
	if kind == "" && s.cfg.RequireHeaders || kind != "" && !slices.Contains(pushTypes, kind) ||
		kind != "" && kind != "mdm" && strings.HasPrefix(n.Topic, mdmTopic) {
		return n, InvalidPushType
	}
	switch prio := r.Header.Get("Apns-Priority"); prio {
	case "", "10":
		n.Priority = 10
	case "5":
		n.Priority = 5
	case "1":
		n.Priority = 1
	default:
		return n, BadPriority
	}
	var ok bool
	if n.Expires, ok = expires(r.Header.Get("Apns-Expiration"), n.At); !ok {
		return n, BadExpirationDate
	}
	if len(r.Header.Get("Apns-Collapse-Id")) > maxCollapse {
		return n, BadCollapseID
	}
	if r.ContentLength > maxPayload {
		return n, PayloadTooLarge
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxPayload+1))
	switch {
	case err != nil:
		panic(http.ErrAbortHandler) // the stream is gone and with it whoever would read an answer
	case len(body) == 0:
		return n, PayloadEmpty
	case len(body) > maxPayload:
		return n, PayloadTooLarge
	}
	n.Payload = body
	return n, ""
}

// expires reads apns-expiration: the moment until which n is kept, zero if it is not to be kept.
func expires(header string, now time.Time) (time.Time, bool) {
	longest := now.Add(MaxKept)
	if header == "" {
		return longest, true
	}
	unix, err := strconv.ParseUint(header, 10, 63)
	switch {
	case err != nil:
		return time.Time{}, false
	case unix == 0:
		return time.Time{}, true
	case unix > uint64(longest.Unix()):
		return longest, true
	}
	return time.Unix(int64(unix), 0), true
}

// accept does what is left of one push: token, rate, faults; then the notification is delivered or kept.
func (s *Service) accept(ctx context.Context, n Notification, p *Push) answer {
	s.mu.Lock()
	d, a := s.lookUp(p.Token, &n)
	if a.Reason == "" {
		p.Fault = s.dials.Next(func() uint32 { return uint32(d.chance.Uint64() >> 32) })
	}
	if p.Fault != NoFault {
		s.count.Faults[p.Fault]++
	}
	switch p.Fault {
	case NoFault:
	case Drop:
		s.count.Accepted++
		s.count.Dropped++
		s.mu.Unlock()
		return answer{}
	case Hang:
		s.hang(ctx)
		if !d.gone.IsZero() {
			a = answer{Reason: Unregistered, Timestamp: d.gone.UnixMilli()}
		}
	case GoAway:
		a = answer{Reason: Shutdown}
	case Half, HTML, Reset:
		s.mu.Unlock()
		return answer{Reason: InternalServerError} // nothing that anybody gets to read in full
	default:
		a = answer{Reason: Reason(p.Fault), retry: retryLater}
		if a.Reason.Status() == http.StatusGone {
			a.Timestamp = n.At.UnixMilli()
		}
	}
	if a.Reason != "" {
		s.mu.Unlock()
		return a
	}
	s.count.Accepted++
	deliver := s.send(d, n)
	s.mu.Unlock()
	if deliver != nil {
		deliver(n)
	}
	return answer{}
}

// lookUp finds the device and charges the push to its rate.
func (s *Service) lookUp(tok string, n *Notification) (*device, answer) {
	var t token
	if len(tok) != 2*TokenSize || strings.ToLower(tok) != tok {
		return nil, answer{Reason: BadDeviceToken}
	}
	if _, err := hex.Decode(t[:], []byte(tok)); err != nil {
		return nil, answer{Reason: BadDeviceToken}
	}
	d := s.devices[t]
	if d == nil && s.cfg.AnyToken {
		d = s.add(t, n.Topic)
	}
	if d != nil {
		d.unasked = false
	}
	switch {
	case d == nil:
		return nil, answer{Reason: BadDeviceToken}
	case d.topic != n.Topic:
		return nil, answer{Reason: DeviceTokenNotForTopic}
	case !d.gone.IsZero():
		return nil, answer{Reason: Unregistered, Timestamp: d.gone.UnixMilli()}
	}
	if wait := d.meter.Take(n.At, s.cfg.PerToken); wait > 0 {
		return nil, answer{Reason: TooManyRequests, retry: wait}
	}
	return d, answer{}
}

// hang waits, with the lock given back, for Release or the end of the stream.
func (s *Service) hang(ctx context.Context) {
	released := s.release
	s.count.Hanging++
	s.mu.Unlock()
	select {
	case <-released:
	case <-ctx.Done():
	}
	s.mu.Lock()
	s.count.Hanging--
	if ctx.Err() != nil {
		s.mu.Unlock()
		panic(http.ErrAbortHandler) // the sender gave up: nothing was accepted
	}
}

// reply sends a, or what a fault makes of it.
func (s *Service) reply(w http.ResponseWriter, c *conn, p *Push, a answer) {
	p.Status, p.Reason = http.StatusOK, a.Reason
	if a.Reason != "" {
		p.Status = a.Reason.Status()
	}
	switch p.Fault {
	case Reset:
		p.Status, p.Reason = 0, ""
	case HTML:
		p.Status, p.Reason = http.StatusBadGateway, ""
	}
	if p.Reason != "" {
		s.mu.Lock()
		s.count.Refused[p.Reason]++
		s.mu.Unlock()
	}
	s.cfg.Observe(*p)

	h := w.Header()
	switch p.Fault {
	case Reset:
		c.reset()
		panic(http.ErrAbortHandler)
	case HTML:
		h.Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(p.Status)
		io.WriteString(w, page)
		return
	case GoAway:
		c.leaving.Store(true)
		h.Set("Connection", "close") // net/http turns it into GOAWAY
	}
	h.Set("Apns-Id", p.ID)
	if a.Reason == "" {
		w.WriteHeader(p.Status)
		return
	}
	body := a.json()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if a.retry > 0 {
		h.Set("Retry-After", strconv.FormatInt(int64(math.Ceil(a.retry.Seconds())), 10))
	}
	w.WriteHeader(p.Status)
	if p.Fault == Half {
		w.Write(body[:len(body)/2])
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	w.Write(body)
}

// shaken counts a handshake.
func (s *Service) shaken(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.count.Handshakes++
	} else {
		s.count.Connections++
	}
}

// makeID makes an apns-id, in upper case as Apple's service does.
func (s *Service) makeID() string {
	s.mu.Lock()
	hi, lo := s.ids.Uint64(), s.ids.Uint64()
	s.mu.Unlock()
	hi = hi&^0xf000 | 0x4000           // version 4
	lo = lo&^(0xc000<<48) | 0x8000<<48 // variant of RFC 9562
	return fmt.Sprintf("%08X-%04X-%04X-%04X-%012X", hi>>32, hi>>16&0xffff, hi&0xffff, lo>>48, lo&(1<<48-1))
}

// isUUID tells whether id is a UUID in its canonical form, in either case.
func isUUID(id string) bool {
	if len(id) != 36 {
		return false
	}
	for i, c := range []byte(id) {
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if c != '-' {
				return false
			}
		} else if !strings.ContainsRune("0123456789abcdefABCDEF", rune(c)) {
			return false
		}
	}
	return true
}
