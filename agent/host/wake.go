package host

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"rollcall/agent/courier"
	"rollcall/protocol/apple"
	"rollcall/protocol/wake"
)

// NoCourier as [Join.Courier] has the machine ask by itself alone.
const NoCourier = "none"

// A listener is the stream of wake-ups of one enrolment.
type listener struct {
	to    address
	woken chan string            // one wake-up that nobody has seen yet is as good as ten
	where atomic.Pointer[string] // the service reaches the machine there since; nil: nothing new
	stop  func()                 // ends it and waits
}

// is tells whether it is the stream of an address.
func (l *listener) is(to address) bool {
	return l.to.service == to.service && l.to.topic == to.topic && string(l.to.token) == string(to.token) && l.to.magic == to.magic
}

// heard has the host look at what came, when it can.
func (l *listener) heard() {
	select {
	case l.woken <- l.to.magic:
	default:
	}
}

// moved has the device take where its push service reaches it; false: the server knows.
func (h *Host) moved() bool {
	if h.listener == nil {
		return false
	}
	where := h.listener.where.Swap(nil)
	return where != nil && !h.device.reached(h, *where)
}

// address is where wake-ups reach the machine; no service: none do.
func (h *Host) address() address {
	if !h.managed() || h.rec.Courier == NoCourier {
		return address{}
	}
	to := h.device.push()
	if to.service == "" || to.token != nil {
		return to
	}
	if h.rec.Secret == nil {
		h.rec.Secret = make([]byte, wake.TokenSize)
		rand.Read(h.rec.Secret) // never fails
		if h.folder.save(h.rec) != nil {
			h.rec.Secret = nil
			return address{} // the disk is full: at the next conversation
		}
	}
	to.token = h.rec.Secret
	return to
}

// listen sees to it that wake-ups of the enrolment at hand reach the machine, and returns them. A nil channel has none. reached is that the
// server has just been talked to.
func (h *Host) listen(ctx context.Context, reached bool) <-chan string {
	to, unread := h.address(), (chan string)(nil)
	if l := h.listener; l != nil {
		if l.is(to) && !stranded(h.stream.Load(), reached) {
			return l.woken
		}
		h.deafen()
		unread = l.woken
	}
	if to.service == "" {
		return nil
	}
	roots, err := h.rec.Link.roots()
	if err != nil {
		return nil // the link has said so
	}
	// What the courier uses is its own: the host is not for two goroutines.
	link, fixed, clock, real := *h.rec.Link, h.rec.Courier, h.rec.Clock, h.cfg.Now
	now := func() time.Time { return clock.real(real()) }
	ask := link.client(now)
	ctx, cancel := context.WithCancel(ctx)
	l := &listener{to: to, woken: make(chan string, 1)}
	select {
	case magic := <-unread: // the service was told that it came
		l.woken <- magic
	default:
	}
	config := courier.Config{
		Address: func(ctx context.Context) (string, error) {
			if fixed != "" {
				return fixed, nil
			}
			return courierOf(ctx, ask, link.Host)
		},
		TLS:  &tls.Config{RootCAs: roots, Time: now},
		ALPN: to.service, Topic: to.topic, Token: to.token, Log: h.cfg.Log,
		Counts: func(payload []byte) bool {
			magic, err := apple.DecodePush(payload)
			return to.magic == "" || err == nil && magic == to.magic
		},
		Woken:   l.heard,
		Changed: func(s courier.State) { h.stream.Store(&s) },
	}
	if to.service != wake.APNs {
		last := to.where
		config.Reached = func(where string) {
			if where != last {
				last = where
				l.where.Store(&where)
				l.heard()
			}
		}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		courier.Run(ctx, config)
	}()
	l.stop = func() { cancel(); <-done }
	h.listener = l
	return l.woken
}

// deafen ends the stream of wake-ups.
func (h *Host) deafen() {
	if h.listener != nil {
		h.listener.stop()
		h.listener = nil
		h.stream.Store(nil)
	}
}

// stranded tells whether a stream is to be made anew: it was made from an address that is this machine's no more, so that nothing reaches
// it and nobody says so, or it waits while the server can be reached again. One whose service breaks the protocol waits as long as it does.
func stranded(s *courier.State, reached bool) bool {
	if s == nil || s.None || s.Broken {
		return false
	}
	if s.Since.IsZero() {
		return reached
	}
	own, err := net.InterfaceAddrs()
	return err == nil && s.Local.IsValid() && !slices.ContainsFunc(own, func(a net.Addr) bool {
		p, err := netip.ParsePrefix(a.String())
		return err == nil && p.Addr() == s.Local
	})
}

// courierOf asks the server at which port of its host the streams are. It is asked anew for each stream: a server that moves is found.
func courierOf(ctx context.Context, client *http.Client, host string) (string, error) {
	resp, err := health(ctx, client, host)
	if err != nil {
		return "", err
	}
	said := resp.Header.Get(wake.Header)
	if said == "" {
		return "", courier.ErrNone
	}
	if !isPort(said) {
		return "", fmt.Errorf("%s: %q is no port", wake.Header, said[:min(len(said), maxWord)])
	}
	name, _, err := net.SplitHostPort(host)
	return net.JoinHostPort(name, said), err
}

// checkCourier reads what --courier may say.
func checkCourier(s string) error {
	if s == "" || s == NoCourier {
		return nil
	}
	name, port, err := net.SplitHostPort(s)
	if err != nil || !isPort(port) || name == "" {
		return fmt.Errorf("--courier %q: want host:port, or %s", s, NoCourier)
	}
	return nil
}

func isPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n != 0
}
