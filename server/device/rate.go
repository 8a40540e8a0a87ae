package device

import (
	"context"
	"crypto/sha256"
	"errors"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"strings"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/sirupsen/logrus"
	"golang.org/x/time/rate"

	"rollcall/protocol"
	"rollcall/protocol/android"
	"rollcall/server"
)

// DefaultEnrolRate is a Config.EnrolRate that lets a thousand devices behind one address enrol within seconds, and no flood.
const DefaultEnrolRate = 20

const (
	burstSeconds = 100 // of Config.EnrolRate that a network may use at once
	tokenRate    = 1   // a second, of uses of one link, serial number or challenge, beyond a burst of tokenBurst
	tokenBurst   = 10
	mostCallers  = 10_000 // networks, and tokens, that are remembered: those that were seen last
	spreadRetry  = 30 * time.Second
)

// A pass is one of the two things that every enrolment needs once. A network has its rate of each.
type pass uint8

const (
	passProfile pass = iota
	passCertificate
	passes
)

// rates bound enrolments by network and by token, on the real clock: a driven one stands still. Nil: no bound.
type rates struct {
	now      func() time.Time
	perNet   rate.Limit
	networks [passes]*lru.Cache[netip.Prefix, *rate.Limiter]
	tokens   *lru.Cache[[32]byte, *rate.Limiter]
}

func newRates(perSecond float64, now func() time.Time) (*rates, error) {
	if perSecond < 0 {
		return nil, errors.New("device: Config.EnrolRate is negative")
	}
	if perSecond == 0 {
		return nil, nil
	}
	r := &rates{now: now, perNet: rate.Limit(perSecond)}
	var err error
	for i := range r.networks {
		if r.networks[i], err = lru.New[netip.Prefix, *rate.Limiter](mostCallers); err != nil {
			return nil, err
		}
	}
	r.tokens, err = lru.New[[32]byte, *rate.Limiter](mostCallers)
	return r, err
}

// network tells how long the other end of a connection has to wait before it may have one of p; 0: it may.
func (r *rates) network(p pass, remote string) time.Duration {
	if r == nil {
		return 0
	}
	return r.take(limiterOf(r.networks[p], networkOf(remote), r.perNet, max(1, int(min(burstSeconds*r.perNet, 1<<30)))))
}

// token is network for one link, serial number or challenge.
func (r *rates) token(text string) time.Duration {
	if r == nil || text == "" {
		return 0
	}
	return r.take(limiterOf(r.tokens, sha256.Sum256([]byte(text)), tokenRate, tokenBurst))
}

func (r *rates) take(l *rate.Limiter) time.Duration {
	now := r.now()
	want := l.ReserveN(now, 1)
	wait := want.DelayFrom(now)
	if wait > 0 {
		want.CancelAt(now)
	}
	return wait
}

// limiterOf returns the one limiter of a key, new for one that was not seen for long.
func limiterOf[K comparable](c *lru.Cache[K, *rate.Limiter], key K, limit rate.Limit, burst int) *rate.Limiter {
	if l, ok := c.Get(key); ok {
		return l
	}
	l := rate.NewLimiter(limit, burst)
	if before, ok, _ := c.PeekOrAdd(key, l); ok {
		return before
	}
	return l
}

// networkOf is the network that a socket's address belongs to, whatever headers say (HST-023): one address of IPv4, the /64
// that one customer has at least of IPv6.
func networkOf(remote string) netip.Prefix {
	at, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Prefix{} // all of those are one
	}
	ip, bits := at.Addr().Unmap().WithZone(""), 64
	if ip.Is4() {
		bits = 32
	}
	network, _ := ip.Prefix(bits) // bits is in range
	return network
}

// refusalOf says no to one enrolment more, and when to try again: not all at the same moment.
func refusalOf(of string, wait time.Duration) *protocol.Refusal {
	return &protocol.Refusal{Rule: "HST-045", Reason: "too many enrolments from this " + of, RetryAfter: max(wait, time.Second) + rand.N(spreadRetry)}
}

// tooMany refuses one profile more, for a network or for a link; nil: it may be had.
func (h *Handler) tooMany(r *http.Request, link string) *protocol.Refusal {
	if wait := h.rates.network(passProfile, r.RemoteAddr); wait > 0 {
		return refusalOf("network", wait)
	}
	if wait := h.rates.token(link); wait > 0 {
		return refusalOf("link", wait)
	}
	return nil
}

// errAgain is a certificate that may be asked for later: SCEP has no answer that says so but HTTP's.
var errAgain = errors.New("too many requests with this challenge")

// certificates lets requests for certificates through as far as their network has not had too many; a device comes again after
// 503. Nothing of a request that is refused is read.
func (h *Handler) certificates(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		scep := r.URL.Query().Get("operation") == "PKIOperation"
		if scep || r.Method == http.MethodPost && strings.HasPrefix(r.URL.Path, android.ESTPath) {
			if wait := h.rates.network(passCertificate, r.RemoteAddr); wait > 0 {
				no := refusalOf("network", wait)
				h.cfg.Log.WithFields(logrus.Fields{"rule": no.Rule, "remote": r.RemoteAddr}).Warn("no certificate: " + no.Reason)
				h.turnAway(r.Context(), server.Turned{Address: hostOf(r), Certificate: true}, no)
				w.Header().Set("Retry-After", seconds(no.RetryAfter.Seconds()))
				http.Error(w, no.Error(), http.StatusServiceUnavailable)
				return
			}
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), fromKey{}, hostOf(r))))
	})
}
