package push

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
)

// notifyHosts is where Microsoft's channels are.
const notifyHosts = ".notify.windows.com"

const maxChannel = 2048 // bytes of a channel URI

// A guard keeps our calls, and the access token that they carry, with the hosts that may have them: a channel URI is whatever a
// device said (HST-080, WIN-043).
type guard struct {
	suffix string   // that a host ends in, and is longer than
	hosts  []string // host or host:port that are called too, at whatever address they have: simulated services
}

// CheckChannel refuses a Windows device's channel URI that leads neither to Microsoft's push service nor to one of hosts, each a host
// or host:port. Call it before a channel is kept; the client of the service calls it before each push.
func CheckChannel(uri string, hosts []string) error {
	g := guard{suffix: notifyHosts, hosts: hosts}
	_, err := g.channel([]byte(uri))
	return err
}

// channel reads a channel URI. The error says what is wrong with it, without repeating it.
func (g *guard) channel(text []byte) (*url.URL, error) {
	if len(text) > maxChannel {
		return nil, fmt.Errorf("channel of %d bytes: want at most %d", len(text), maxChannel)
	}
	for _, c := range text {
		if c <= ' ' || c >= 0x7f || c == '\\' {
			return nil, errors.New("channel with a character that no URI has")
		}
	}
	u, err := url.Parse(string(text))
	switch {
	case err != nil:
		return nil, errors.New("channel that is no URI")
	case u.Scheme != "https":
		return nil, errors.New("channel that is not https")
	case u.User != nil, strings.Contains(u.Host, "@"):
		return nil, errors.New("channel with a user name")
	case u.Fragment != "", u.Opaque != "":
		return nil, errors.New("channel with a fragment, or without a host")
	}
	if u.Host = strings.ToLower(u.Host); slices.Contains(g.hosts, u.Host) {
		return u, nil
	}
	name, ok := strings.CutSuffix(u.Hostname(), g.suffix)
	if !ok || name == "" || !hostLabels(name) {
		return nil, fmt.Errorf("channel at a host outside *%s", g.suffix)
	}
	if u.Port() != "" && u.Port() != "443" {
		return nil, errors.New("channel at a port other than 443")
	}
	u.Host = u.Hostname()
	return u, nil
}

// hostLabels tells whether name is letters, digits and hyphens between single dots.
func hostLabels(name string) bool {
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return false
		}
	}
	return true
}

// dial connects to host:port. The address that the name resolves to is looked at when it is called, since the next look-up may
// say something else.
func (g *guard) dial(ctx context.Context, network, address string) (net.Conn, error) {
	var dialer net.Dialer
	if !g.named(address) {
		dialer.Control = func(_, address string, _ syscall.RawConn) error { return public(address) }
	}
	return dialer.DialContext(ctx, network, address)
}

// named tells whether host:port is of the hosts that are called at whatever address they have.
func (g *guard) named(address string) bool {
	host, port, _ := net.SplitHostPort(address)
	return slices.Contains(g.hosts, address) || port == "443" && slices.Contains(g.hosts, host)
}

// Networks that no service on the Internet has, beside those that netip knows: shared address space (RFC 6598), protocol
// assignments (RFC 6890), benchmarks (RFC 2544), the future (RFC 1112), and IPv4 inside IPv6 (RFC 6052, 8215, 3056, 4380).
var notPublic = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("2002::/16"), netip.MustParsePrefix("2001::/32"),
	netip.MustParsePrefix("::/96"), netip.MustParsePrefix("::ffff:0:0:0/96"), netip.MustParsePrefix("fec0::/10"),
}

var errNotPublic = errors.New("the channel's host has an address that is not public")

// public refuses an address and port unless it is one on the Internet.
func public(address string) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return errNotPublic
	}
	ip := at.Addr().Unmap()
	if !ip.IsGlobalUnicast() || ip.IsPrivate() || ip.Zone() != "" || slices.ContainsFunc(notPublic, func(p netip.Prefix) bool { return p.Contains(ip) }) {
		return errNotPublic
	}
	return nil
}
