package device

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"rollcall/certs"
	"rollcall/protocol/apple"
)

func byteSequence(c *x509.Certificate) string {
	return ":" + base64.StdEncoding.EncodeToString(c.Raw) + ":"
}

// escaped is what nginx calls $ssl_client_escaped_cert.
func escaped(c *x509.Certificate) string {
	return strings.ReplaceAll(url.QueryEscape(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))), "+", "%20")
}

// unescapedPlus leaves the + of base64 alone, as some proxies do.
func unescapedPlus(c *x509.Certificate) string {
	return strings.ReplaceAll(escaped(c), "%2B", "+")
}

func trusting(networks ...string) func(*Config) {
	return func(c *Config) {
		for _, n := range networks {
			c.Proxies = append(c.Proxies, netip.MustParsePrefix(n))
		}
	}
}

// via sends m over the connection of a proxy, which has no certificate.
func (p *phone) via(proxy *phone, m apple.Message, header http.Header) answer {
	p.lab.t.Helper()
	path, kind := commandPath, apple.CommandType
	if m.MessageType != apple.NoMessageType {
		path, kind = checkInPath, apple.CheckInType
	}
	h := header.Clone()
	h.Set("Content-Type", kind)
	a, err := proxy.do(http.MethodPut, path, h, encode(m))
	if err != nil {
		p.lab.t.Fatal(err)
	}
	return a
}

func TestAPL024ProxyHeader(t *testing.T) {
	for _, tt := range []struct {
		name, header string
		form         func(*x509.Certificate) string
	}{
		{"RFC 9440", "", byteSequence},
		{"escaped PEM", "X-Client-Cert", escaped},
		{"escaped PEM with plus signs", "Ssl-Client-Cert", unescapedPlus},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newLab(t, trusting("127.0.0.0/8"), func(c *Config) { c.ProxyHeader = tt.header })
			name := tt.header
			if name == "" {
				name = "Client-Cert"
			}
			proxy := l.phoneOf("", certs.Signer{})
			a, b := l.phone(udid(1)), l.phone(udid(2))
			of := func(p *phone) http.Header { return http.Header{name: {tt.form(p.who.Certificate)}} }
			for _, p := range []*phone{a, b} {
				for _, m := range []apple.Message{p.authenticate(), p.tokenUpdate(), p.idle()} {
					if got := p.via(proxy, m, of(p)); got.status != 200 {
						t.Fatalf("%q of %s answered %d\n%s", m.MessageType, p.id, got.status, l.log)
					}
				}
			}
			for _, m := range []apple.Message{a.authenticate(), a.tokenUpdate(), a.idle(), {UDID: a.id, MessageType: apple.CheckOut, Topic: testTopic}} {
				if got := a.via(proxy, m, of(b)); got.status != 400 || !l.logged("HST-033") {
					t.Errorf("HST-033: %q of one device with the certificate of another answered %d", m.MessageType, got.status)
				}
			}
			twice := http.Header{name: {tt.form(a.who.Certificate), tt.form(b.who.Certificate)}}
			if got := a.via(proxy, a.idle(), twice); got.status != 400 || !l.logged("HST-023") {
				t.Errorf("two certificates answered %d", got.status)
			}
			if got := a.via(b, a.idle(), of(a)); got.status != 400 {
				t.Errorf("another certificate than the connection's answered %d", got.status)
			}
			if got := a.via(proxy, a.idle(), http.Header{name: {""}}); got.status != 400 || !l.logged("HST-030") {
				t.Errorf("no certificate answered %d", got.status)
			}
			foreign, err := certs.NewIssuer("test CA", l.now())
			if err != nil {
				t.Fatal(err)
			}
			leaf, err := foreign.Issue(certs.IssueRequest{Public: newKey().Public(), Handle: "handle", Now: l.now()})
			if err != nil {
				t.Fatal(err)
			}
			if got := a.via(proxy, a.idle(), http.Header{name: {tt.form(leaf)}}); got.status != 400 {
				t.Errorf("HST-030: a foreign certificate answered %d", got.status)
			}
			if got := a.via(proxy, a.idle(), of(a)); got.status != 200 {
				t.Errorf("afterwards its own answered %d", got.status)
			}
			l.retire(a.enrol())
			if got := a.via(proxy, a.idle(), of(a)); got.status != 400 || !l.logged("HST-032") {
				t.Errorf("HST-032: a revoked certificate answered %d", got.status)
			}
			if got := a.via(proxy, apple.Message{MessageType: apple.CheckOut, UDID: a.id, Topic: testTopic}, of(a)); got.status != 200 {
				t.Errorf("APL-036: the farewell of who was told to leave answered %d", got.status)
			}
			l.setClock(b.who.Certificate.NotAfter.Add(time.Hour))
			proxy.http.CloseIdleConnections()
			if got := b.via(proxy, b.idle(), of(b)); got.status != 400 || !l.logged("AUTH-42") {
				t.Errorf("HST-031: an expired certificate answered %d", got.status)
			}
		})
	}
}

func TestHST023UntrustedPeer(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*Config)
	}{
		{"no proxies", func(*Config) {}},
		{"others are trusted", trusting("10.0.0.0/8", "::1/128")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newLab(t, tt.change)
			p := l.phone(udid(1)).enrol()
			forged := http.Header{
				"Client-Cert": {byteSequence(p.who.Certificate)}, "X-Client-Cert": {escaped(p.who.Certificate)},
				"X-Forwarded-For": {"192.0.2.1"}, "X-Real-Ip": {"192.0.2.1"}, "True-Client-Ip": {"192.0.2.1"},
			}
			if got := p.via(l.phoneOf("", certs.Signer{}), p.idle(), forged); got.status != 400 || !l.logged("HST-030") {
				t.Errorf("answered %d", got.status)
			}
			other := l.phone(udid(2))
			if got := other.via(p, p.idle(), http.Header{"Client-Cert": {byteSequence(other.who.Certificate)}}); got.status != 200 {
				t.Errorf("a header that nobody reads made the answer %d", got.status)
			}
			if strings.Contains(l.log.String(), "192.0.2.1") {
				t.Error("a forged address is in the log")
			}
		})
	}
}

func TestHST023ForwardedAddress(t *testing.T) {
	p, err := newProxies([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32")}, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		peer    string
		headers []string
		want    string
	}{
		{"10.1.1.1:4000", []string{"192.0.2.7"}, "192.0.2.7:0"},
		{"10.1.1.1:4000", []string{"203.0.113.9, 192.0.2.7"}, "192.0.2.7:0"}, // what stands before it the client may have written
		{"10.1.1.1:4000", []string{"203.0.113.9", "192.0.2.7, 10.2.2.2"}, "192.0.2.7:0"},
		{"10.1.1.1:4000", []string{"[2001:db9::1]:77, 2001:db8::5"}, "[2001:db9::1]:77"},
		{"[::ffff:10.1.1.1]:4000", []string{"192.0.2.7"}, "192.0.2.7:0"},
		{"10.1.1.1:4000", []string{"192.0.2.7, unknown"}, "10.1.1.1:4000"},
		{"10.1.1.1:4000", nil, "10.1.1.1:4000"},
		{"192.0.2.1:4000", []string{"203.0.113.9"}, "192.0.2.1:4000"},
	} {
		var got string
		h := p.receive(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.RemoteAddr }))
		h.ServeHTTP(nil, &http.Request{RemoteAddr: tt.peer, Header: http.Header{"X-Forwarded-For": tt.headers}})
		if got != tt.want {
			t.Errorf("from %s with %q: %s, want %s", tt.peer, tt.headers, got, tt.want)
		}
	}
}

// A certificate that is revoked over another connection is refused on one that was open before (HST-032).
func TestHST032RevokedOnAKeptConnection(t *testing.T) {
	l := newLab(t)
	p := l.phone(udid(1)).enrol()
	same := l.phoneOf(p.id, p.who)
	if a := same.send(same.idle()); a.status != 200 {
		t.Fatal(a.status)
	}
	l.retire(p)
	if a := same.send(same.idle()); a.status != 400 || !l.logged("HST-032") {
		t.Errorf("answered %d, want 400", a.status)
	}
}
