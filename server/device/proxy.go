package device

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/netip"
	"strings"

	lru "github.com/hashicorp/golang-lru/v2"

	"rollcall/certs"
	"rollcall/protocol"
)

// ProxyHeader is the header in which a proxy passes a device's certificate on, unless told otherwise (RFC 9440, section 2.2).
const ProxyHeader = "Client-Cert"

const (
	forwardedFor = "X-Forwarded-For"
	knownLeaves  = 8192 // certificates that were read, kept for the next request
)

var errHeader = &stranger{"HST-023", "a proxy's header has no certificate that can be read"}

// proxies are the peers whose word is taken for whose request it is that they pass on. The zero value takes nobody's.
type proxies struct {
	trusted []netip.Prefix
	header  string
	known   *lru.Cache[[32]byte, *x509.Certificate] // by hash of the header
}

func newProxies(trusted []netip.Prefix, header string) (p proxies, err error) {
	if len(trusted) == 0 {
		return p, nil
	}
	p.trusted, p.header = trusted, header
	if p.header == "" {
		p.header = ProxyHeader
	}
	p.known, err = lru.New[[32]byte, *x509.Certificate](knownLeaves)
	return p, err
}

// trusts tells whether addr, with or without a port, is one of those peers.
func (p *proxies) trusts(addr string) bool {
	ip, err := netip.ParseAddr(addr)
	if err != nil {
		with, err := netip.ParseAddrPort(addr)
		if err != nil {
			return false
		}
		ip = with.Addr()
	}
	ip = ip.Unmap().WithZone("")
	for _, network := range p.trusted {
		if network.Contains(ip) {
			return true
		}
	}
	return false
}

type passedOnKey struct{}

// receive has h see a request that a trusted proxy passes on as if it came from the client itself: its address, and its
// certificate. From anybody else such headers are nothing (HST-023).
func (p *proxies) receive(h http.Handler) http.Handler {
	if len(p.trusted) == 0 {
		return h
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !p.trusts(r.RemoteAddr) {
			h.ServeHTTP(w, r)
			return
		}
		values := r.Header.Values(p.header)
		r = r.WithContext(context.WithValue(r.Context(), passedOnKey{}, values))
		if client := p.client(r.Header.Values(forwardedFor)); client != "" {
			r.RemoteAddr = client
		}
		h.ServeHTTP(w, r)
	})
}

// client is the last address that no trusted proxy wrote about another one: whatever is left of it, the client itself may have
// written. Empty: there is none.
func (p *proxies) client(headers []string) string {
	list := strings.Split(strings.Join(headers, ","), ",")
	for i := len(list) - 1; i >= 0; i-- {
		addr := strings.TrimSpace(list[i])
		if p.trusts(addr) {
			continue
		}
		if ip, err := netip.ParseAddr(addr); err == nil {
			return netip.AddrPortFrom(ip, 0).String() // as net/http has it
		}
		if with, err := netip.ParseAddrPort(addr); err == nil {
			return with.String()
		}
		return ""
	}
	return ""
}

// passedOn is what a trusted proxy put into the header, as it came; nil: no such proxy, or nothing in it.
func passedOn(r *http.Request) []string {
	values, _ := r.Context().Value(passedOnKey{}).([]string)
	if len(values) == 1 && values[0] == "" {
		return nil // nginx sends it empty where the client has no certificate
	}
	return values
}

// proxied returns the certificate that a trusted proxy vouches for having seen the key of, checked as at a handshake of ours; nil:
// there is none. It is read once; whose it is, time and revocation are looked at in every request.
func (h *Handler) proxied(r *http.Request, now protocol.Time) (*x509.Certificate, error) {
	values := passedOn(r)
	switch {
	case len(values) == 0:
		return nil, nil
	case len(values) > 1: // which one would the proxy have written?
		return nil, fmt.Errorf("%w: it is there %d times", errHeader, len(values))
	}
	sum := sha256.Sum256([]byte(values[0]))
	leaf, ok := h.proxies.known.Get(sum)
	if !ok {
		var err error
		if leaf, err = certs.ReadForwarded(values[0]); err != nil {
			return nil, fmt.Errorf("%w: %w", errHeader, err)
		}
	}
	if err := h.trusted(leaf, now); err != nil {
		return nil, err
	}
	h.proxies.known.Add(sum, leaf)
	return leaf, nil
}
