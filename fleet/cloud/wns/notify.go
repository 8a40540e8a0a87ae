package wns

import (
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	maxPayload = 5000 // bytes
	maxTag     = 16   // characters of X-WNS-Tag and X-WNS-Group
	page       = "<!DOCTYPE html><title>502 Bad Gateway</title><h1>Bad Gateway</h1><p>The proxy could not reach the service.</p>\n"
	elsewhere  = "https://redirected.invalid/"
	retryLater = time.Minute // Retry-After of a refusal that a fault makes up
)

// The content that each kind of notification has, and whether it is kept for an absent device unless the sender says otherwise.
var kinds = map[string]struct {
	content string
	cached  bool
}{
	"wns/raw": {"application/octet-stream", false}, "wns/toast": {"text/xml", true}, "wns/tile": {"text/xml", true}, "wns/badge": {"text/xml", true},
}

// An answer is what a notification gets.
type answer struct {
	status    int
	reason    string
	outcome   string
	connected bool
	retry     time.Duration
}

func refuse(status int, detail string) answer {
	a := answer{status: status, reason: reasons[status]}
	if detail != "" {
		a.reason += ": " + detail
	}
	return a
}

// notify answers one notification. The 200 leaves after it was delivered or kept.
func (s *Service) notify(w http.ResponseWriter, r *http.Request) {
	p := Push{Channel: r.URL.Query().Get("token")}
	n, app, a := s.read(r)
	asked := strings.EqualFold(r.Header.Get("X-WNS-RequestForStatus"), "true")
	if a.status == 0 {
		a = s.accept(r, n, app, &p)
	}
	s.reply(w, &p, a, asked)
}

// read checks all that can be checked without knowing channels, and tells which app sends.
func (s *Service) read(r *http.Request) (n Notification, app string, a answer) {
	if r.Method != http.MethodPost {
		return n, "", refuse(http.StatusMethodNotAllowed, "")
	}
	n.At = s.cfg.Now()
	app, ok := s.tokens.Of(r, n.At)
	if !ok {
		return n, "", refuse(http.StatusUnauthorized, "")
	}
	n.Type = r.Header.Get("X-WNS-Type")
	return n, app, answer{}
}

// accept looks the channel up, checks what the headers and the body say, and delivers or keeps.
func (s *Service) accept(r *http.Request, n Notification, app string, p *Push) answer {
	if r.Host != s.face.Host {
		return refuse(http.StatusNotFound, "")
	}
	s.mu.Lock()
	c := s.channels[p.Channel]
	if c == nil && s.cfg.AnyChannel && p.Channel != "" {
		c = s.open(p.Channel, "")
	}
	a := answer{}
	switch {
	case c == nil || c.over(n.At) && n.At.Sub(c.ends) > remember:
		a = refuse(http.StatusNotFound, "")
	case c.over(n.At):
		s.discard(c)
		a = refuse(http.StatusGone, "")
	case !s.sendsTo(app, c.pfn):
		a = refuse(http.StatusForbidden, "")
	}
	if a.status == 0 {
		c.unasked = false
	}
	s.mu.Unlock()
	if a.status != 0 {
		return a
	}
	if a = readHeaders(r.Header, &n); a.status != 0 {
		return a
	}
	if r.ContentLength > maxPayload {
		return refuse(http.StatusRequestEntityTooLarge, "")
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxPayload+1))
	switch {
	case err != nil:
		panic(http.ErrAbortHandler) // the request is gone and with it whoever would read an answer
	case len(body) > maxPayload:
		return refuse(http.StatusRequestEntityTooLarge, "")
	case len(body) == 0:
		return refuse(http.StatusBadRequest, "the notification is empty")
	}
	n.Payload = body
	return s.deliver(c, n, p)
}

// readHeaders reads what is to be done with a notification.
func readHeaders(h http.Header, n *Notification) answer {
	kind, known := kinds[n.Type]
	content, _, _ := strings.Cut(h.Get("Content-Type"), ";")
	switch {
	case !known:
		return refuse(http.StatusBadRequest, "X-WNS-Type")
	case !strings.EqualFold(strings.TrimSpace(content), kind.content):
		return refuse(http.StatusBadRequest, "Content-Type: "+n.Type+" has "+kind.content)
	case utf8.RuneCountInString(h.Get("X-WNS-Tag")) > maxTag, utf8.RuneCountInString(h.Get("X-WNS-Group")) > maxTag:
		return refuse(http.StatusBadRequest, "X-WNS-Tag and X-WNS-Group have 16 characters at most")
	}
	if ask := h.Get("X-WNS-RequestForStatus"); ask != "" && !strings.EqualFold(ask, "true") && !strings.EqualFold(ask, "false") {
		return refuse(http.StatusBadRequest, "X-WNS-RequestForStatus: want true or false")
	}
	switch policy := h.Get("X-WNS-Cache-Policy"); {
	case policy == "":
	case strings.EqualFold(policy, "cache"):
		kind.cached = true
	case strings.EqualFold(policy, "no-cache"):
		kind.cached = false
	default:
		return refuse(http.StatusBadRequest, "X-WNS-Cache-Policy: want cache or no-cache")
	}
	keep := MaxKept
	if ttl := h.Get("X-WNS-TTL"); ttl != "" {
		seconds, err := strconv.ParseInt(ttl, 10, 64)
		if err != nil || seconds <= 0 {
			return refuse(http.StatusBadRequest, "X-WNS-TTL: want seconds")
		}
		keep = min(keep, time.Duration(min(seconds, int64(MaxKept/time.Second)))*time.Second)
	}
	if kind.cached {
		n.Expires = n.At.Add(keep)
	}
	return answer{}
}

// deliver charges the channel, and gives the notification to the device or keeps it, unless a fault strikes.
func (s *Service) deliver(c *channel, n Notification, p *Push) answer {
	s.mu.Lock()
	if wait := c.meter.Take(n.At, s.cfg.PerChannel); wait > 0 {
		s.mu.Unlock()
		a := refuse(http.StatusNotAcceptable, "")
		a.outcome, a.retry = "channelthrottled", wait
		return a
	}
	s.numbers++
	p.ID = fmt.Sprintf("%016X", s.numbers)
	n.ID = p.ID
	p.Fault = s.dials.Next(func() uint32 { return uint32(c.chance.Uint64() >> 32) })
	if p.Fault != "" {
		s.count.Faults[p.Fault]++
		switch status := p.Fault.status(); {
		case p.Fault == Drop:
			s.count.Accepted++
			s.count.Dropped++
			s.mu.Unlock()
			return answer{status: http.StatusOK, outcome: "received", connected: true}
		case status != 0:
			s.mu.Unlock()
			a := refuse(status, "")
			if a.retry = retryLater; status == http.StatusNotAcceptable {
				a.outcome = "channelthrottled"
			}
			return a
		}
		s.mu.Unlock()
		return answer{status: http.StatusInternalServerError, reason: reasons[500]} // nothing that anybody gets to read in full
	}
	s.count.Accepted++
	a := answer{status: http.StatusOK, connected: c.deliver != nil}
	var call func(Notification)
	a.outcome, call = s.send(c, n)
	s.mu.Unlock()
	if call != nil {
		call(n)
	}
	return a
}

// reply sends a, or what a fault makes of it.
func (s *Service) reply(w http.ResponseWriter, p *Push, a answer, asked bool) {
	p.Status, p.Reason, p.Outcome = a.status, a.reason, a.outcome
	switch p.Fault {
	case Reset:
		p.Status, p.Reason = 0, ""
	case HTML:
		p.Status, p.Reason = http.StatusBadGateway, ""
	case Redirect:
		p.Status, p.Reason = http.StatusTemporaryRedirect, ""
	}
	if p.Status != http.StatusOK && p.Status != 0 {
		s.mu.Lock()
		s.count.Refused[p.Status]++
		s.mu.Unlock()
	}
	s.cfg.Observe(*p)
	h := w.Header()
	switch p.Fault {
	case Reset:
		panic(http.ErrAbortHandler)
	case HTML:
		h.Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(p.Status)
		io.WriteString(w, page)
		return
	case Redirect:
		h.Set("Location", elsewhere)
		w.WriteHeader(p.Status)
		return
	}
	if p.ID != "" {
		h.Set("X-WNS-Msg-ID", p.ID)
	}
	h.Set("X-WNS-Debug-Trace", "rollcall")
	if a.reason != "" {
		h.Set("X-WNS-Error-Description", a.reason)
	}
	if asked && a.outcome != "" {
		h.Set("X-WNS-Status", a.outcome)
		state := "disconnected"
		if a.connected {
			state = "connected"
		}
		h.Set("X-WNS-DeviceConnectionStatus", state)
	}
	if a.status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer Error="invalid_token"`)
	}
	if a.retry > 0 {
		h.Set("Retry-After", strconv.FormatInt(int64(math.Ceil(a.retry.Seconds())), 10))
	}
	if p.Fault == Half {
		h.Set("Content-Length", "100")
		w.WriteHeader(a.status)
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	h.Set("Content-Length", "0")
	w.WriteHeader(a.status)
}
