package host

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"rollcall/agent/link"
	"rollcall/protocol"
	"rollcall/protocol/windows"
)

const (
	maxProfile = 1 << 20          // bytes of an enrolment profile that are read (HST-120)
	maxWord    = 200              // bytes of a server's word about a refusal that are shown
	contactFor = 30 * time.Second // one request of the first contact
	pinPrefix  = "sha256:"
)

// A pinError is that a server shows no certificate that the pin means.
type pinError struct {
	Pin   string
	Shown []string // pins that would have meant its certificates, its own first
}

func (e *pinError) Error() string {
	if e.Shown == nil {
		return "it shows a certificate of " + e.Pin + " beside one that this has not signed"
	}
	return fmt.Sprintf("no certificate of the server is %s: it shows %s", e.Pin, few(e.Shown))
}

// pinOf is what --ca takes for a certificate: the SHA-256 of its bytes.
func pinOf(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return pinPrefix + hex.EncodeToString(sum[:])
}

// parsePin reads sha256:HEX, colons in the digits as openssl prints them left out; empty: no pin.
func parsePin(s string) (string, error) {
	digits, ok := strings.CutPrefix(strings.ToLower(s), pinPrefix)
	digits = strings.ReplaceAll(digits, ":", "")
	if b, err := hex.DecodeString(digits); s != "" && (!ok || err != nil || len(b) != sha256.Size) {
		return "", fmt.Errorf("--ca %q: want sha256: and 64 hexadecimal digits, as rollcall serve prints them", s)
	}
	if s == "" {
		return "", nil
	}
	return pinPrefix + digits, nil
}

// meant returns the certificate that pin means: by the hash of its bytes, or of its public key (SPKI), which outlives a renewal.
func meant(pin string, chain []*x509.Certificate) (*x509.Certificate, error) {
	e := &pinError{Pin: pin}
	for _, c := range chain {
		spki := sha256.Sum256(c.RawSubjectPublicKeyInfo)
		if pin == pinOf(c) || pin == pinPrefix+hex.EncodeToString(spki[:]) {
			return c, nil
		}
		e.Shown = append(e.Shown, pinOf(c))
	}
	return nil, e
}

// A contact is what the first request brought.
type contact struct {
	profile []byte
	trusted []byte        // the certificate that the pin means, DER; nil: there is no pin
	driven  protocol.Time // the server's clock, where it has one of its own
	wrong   error         // why what the server says of that is not gone by
}

// fetch gets the enrolment profile behind a link. Nothing is sent before the server has shown who it is.
func (h *Host) fetch(ctx context.Context, at *url.URL, pin string, kind protocol.Platform, now time.Time) (c contact, err error) {
	client := clientOf(at.Host, func(cs tls.ConnectionState) error {
		c.trusted, err = verify(&cs, at.Hostname(), pin, now)
		return err
	})
	defer client.CloseIdleConnections()
	target := *at
	query := target.Query()
	query.Set("platform", kind.String())
	target.RawQuery = query.Encode()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return c, err
	}
	r.Header.Set("User-Agent", "rollcall agent")
	if !kind.Apple() {
		r.Header.Set("Accept", windows.InvitationType)
	}
	resp, err := client.Do(r)
	if err != nil {
		if inner, ok := errors.AsType[*url.Error](err); ok {
			err = inner.Err // without the URL, which holds the token
		}
		return c, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxProfile+1))
	switch {
	case err != nil:
		return c, err
	case len(body) > maxProfile:
		return c, errors.New("the answer is longer than an enrolment profile ever is")
	case resp.StatusCode != http.StatusOK:
		return c, &linkError{resp.StatusCode, firstLine(resp.Header.Get("Content-Type"), body)}
	}
	c.profile = body
	c.driven, c.wrong = link.ReadClock(resp.Header, resp.TLS.PeerCertificates)
	return c, nil
}

// verify checks that the server is name: by the certificate that pin means, or by the system's roots. What cs has for a name is empty
// where that is an address.
func verify(cs *tls.ConnectionState, name, pin string, now time.Time) (trusted []byte, err error) {
	chain := cs.PeerCertificates
	if len(chain) == 0 {
		return nil, errors.New("the server has no certificate")
	}
	opts := x509.VerifyOptions{CurrentTime: now, Intermediates: x509.NewCertPool()}
	if pin != "" {
		root, err := meant(pin, chain)
		if err != nil {
			return nil, err
		}
		opts.Roots = x509.NewCertPool()
		opts.Roots.AddCert(root)
		trusted = root.Raw
	}
	for _, c := range chain[1:] {
		opts.Intermediates.AddCert(c)
	}
	if _, err = chain[0].Verify(opts); err == nil {
		return trusted, chain[0].VerifyHostname(name) // now that its names are the server's own words
	}
	if _, unknown := errors.AsType[x509.UnknownAuthorityError](err); unknown && pin != "" {
		err = &pinError{Pin: pin}
	}
	return nil, err
}

// clientOf makes an HTTP client for requests without an identity, to one host.
func clientOf(host string, check func(tls.ConnectionState) error) *http.Client {
	name := host
	if n, _, err := net.SplitHostPort(host); err == nil {
		name = n
	}
	return &http.Client{
		Timeout: contactFor,
		Transport: &http.Transport{
			DialContext:            dialTo(host),
			TLSClientConfig:        &tls.Config{ServerName: name, InsecureSkipVerify: true, VerifyConnection: check, MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout:    contactFor,
			MaxResponseHeaderBytes: 64 << 10,
			DisableKeepAlives:      true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// An elsewhereError is that a profile, or a redirect, names another host than the one that the machine enrolled at.
type elsewhereError struct{ Want, Got string }

func (e *elsewhereError) Error() string {
	return fmt.Sprintf("the server names %s, and this agent talks to %s alone", e.Got, e.Want)
}

// client makes one for a server that is known, whose certificate is to be good by one of these clocks.
func (p *pasted) client(clocks ...func() time.Time) *http.Client {
	name, _, _ := net.SplitHostPort(p.Host)
	return clientOf(p.Host, func(cs tls.ConnectionState) (err error) {
		for _, now := range clocks {
			if _, err = verify(&cs, name, p.Pin, now()); err == nil {
				break
			}
		}
		return err
	})
}

// dialTo opens connections to one host and no other (HST-120).
func dialTo(host string) func(ctx context.Context, network, address string) (net.Conn, error) {
	want := withPort(host)
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if !strings.EqualFold(address, want) {
			return nil, &elsewhereError{want, address}
		}
		return new(net.Dialer).DialContext(ctx, network, address)
	}
}

func withPort(host string) string {
	if _, _, err := net.SplitHostPort(host); err == nil {
		return host
	}
	return net.JoinHostPort(strings.Trim(host, "[]"), "443")
}

// readClock asks the server what time it is, without an identity: an ended one would not be let in. Where its clock was driven and is no
// more, its certificate is good by this machine's own. The error is that it cannot be asked, or that what it says is not gone by.
func (h *Host) readClock(ctx context.Context) error {
	resp, err := health(ctx, h.rec.Link.client(h.real, h.cfg.Now), h.rec.Link.Host)
	if err != nil {
		return err
	}
	driven, err := link.ReadClock(resp.Header, resp.TLS.PeerCertificates)
	if err == nil && tells(resp, driven) {
		h.heard(driven)
	}
	return err
}

// tells says whether driven is what the server says of its clock: an error of something in front of it that says nothing is not.
func tells(resp *http.Response, driven protocol.Time) bool {
	return driven != 0 || resp.StatusCode == http.StatusOK
}

// heard has the agent go by what its server says of its clock; 0: it has none of its own.
func (h *Host) heard(driven protocol.Time) {
	c := &h.rec.Clock
	if h.rec.Pending == nil && !c.follows(driven) {
		return
	}
	if c.Driven != 0 && driven == 0 {
		h.cfg.Log.Info("the clock of the server is not driven any more: the agent goes by this machine's")
	}
	c.Driven = driven
}

// health asks a server whether it is there. The body of the answer is not read.
func health(ctx context.Context, client *http.Client, host string) (*http.Response, error) {
	defer client.CloseIdleConnections()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+host+"/healthz", nil)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(r)
	if err == nil {
		resp.Body.Close()
	}
	return resp, err
}

// firstLine is what a refusal says of itself, escaped where it would do something to a terminal (HST-068).
func firstLine(contentType string, body []byte) string {
	if !strings.HasPrefix(contentType, "text/plain") {
		return ""
	}
	line, _, _ := strings.Cut(string(body[:min(len(body), maxWord)]), "\n")
	quoted := strconv.Quote(strings.ToValidUTF8(strings.TrimSpace(line), ""))
	return quoted[1 : len(quoted)-1]
}
