package link

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"rollcall/agent"
	"rollcall/agent/dialect"
	"rollcall/certs"
	"rollcall/protocol"
	"rollcall/protocol/apple"
)

const (
	maxHeader = 64 << 10 // bytes of an answer's header
	maxHops   = 5        // redirects followed for one request
)

var (
	errFault   = errors.New("connection lost")
	errFactory = errors.New("no factory identity to sign the MachineInfo with")
)

// A conn is one connection of one device.
type conn struct {
	*tls.Conn
	limit   io.LimitedReader // under in
	in      *bufio.Reader
	server  string        // host and port
	trust   dialect.Trust // by which the server was verified
	client  []byte        // the certificate presented, DER; nil: none
	release func() bool   // ends the watch over the context
	spoilt  bool          // not to be used again
}

// exchange carries out the request of the present act. Every failure is part of the answer.
func (c *conversation) exchange(ctx context.Context) (x Exchange, answer dialect.Response) {
	r := &c.act.Request
	x = Exchange{Step: r.Step, Command: r.Command, UUID: r.UUID, Profile: r.Profile, Version: r.Version, Reported: r.Status, Repeat: r.Repeat, Whole: r.Whole, Answered: r.Answered, Refused: r.Refused, Orders: r.Orders, Begun: time.Now()}
	answer, err := c.request(ctx, r, &x)
	x.Took = time.Since(x.Begun)
	if err != nil {
		if no := ctx.Err(); no != nil { // which has closed the connection
			err = no
		}
		err = inWords(err)
		answer = dialect.Response{Err: err, Refused: Barred(err) && r.Identity != dialect.NoIdentity}
		x.Err = err
	}
	x.Status, x.Received = answer.Status, len(answer.Body)
	return x, answer
}

// inWords says what became of a request where its error speaks of bytes alone.
func inWords(err error) error {
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("the connection ended before the answer did: %w", err)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("no answer in time: %w", err)
	}
	return err
}

// request sends r, following redirects within its host.
func (c *conversation) request(ctx context.Context, r *dialect.Request, x *Exchange) (dialect.Response, error) {
	target, err := url.Parse(r.URL)
	if err == nil && r.Step == dialect.Probe && target.Scheme == "http" {
		return c.plainly(ctx, r)
	}
	if err != nil || target.Scheme != "https" || target.Host == "" {
		return dialect.Response{}, fmt.Errorf("%.200q is no https URL", r.URL)
	}
	c.identity(r.Identity)
	body, signature, err := c.sign(r)
	if err != nil {
		return dialect.Response{}, err
	}
	x.Sent = len(body)
	for range maxHops {
		answer, location, err := c.once(ctx, r, target, body, signature, x)
		if err != nil || location == "" || r.Stays {
			answer.Location = location
			return answer, err
		}
		next, err := target.Parse(location)
		if err != nil || next.Scheme != target.Scheme || next.Host != target.Host {
			return dialect.Response{}, ErrElsewhere
		}
		target = next
	}
	return dialect.Response{}, ErrCircle
}

// identity makes the identity that of w. The signer is parsed when it is needed: on a kept connection it is not.
func (c *conversation) identity(w dialect.Which) {
	if certificate := c.device.Certificate(w); !bytes.Equal(certificate, c.certificate) {
		c.certificate, c.signer = certificate, nil
	}
	c.which = w
}

func (c *conversation) signing() (certs.Signer, error) {
	if c.signer == nil {
		s, err := c.device.Signer(c.which)
		if err != nil {
			return s, err
		}
		c.signer = &s
	}
	return *c.signer, nil
}

// sign returns the body as it is sent, and the Mdm-Signature header where there is one.
func (c *conversation) sign(r *dialect.Request) (body []byte, signature string, err error) {
	now := c.link.config.Now()
	switch r.Sign {
	case dialect.NoSignature:
		return r.Body, "", nil
	case dialect.SignMachineInfo:
		factory := c.link.config.Factory
		if factory == nil {
			return nil, "", errFactory
		}
		apple, ok := c.device.(*dialect.Apple)
		if !ok {
			return nil, "", errFactory
		}
		s, err := factory(apple.UDID())
		if err != nil {
			return nil, "", fmt.Errorf("factory identity: %w", err)
		}
		body, err = certs.SignAttached(r.Body, s, now)
		return body, "", err
	}
	s, err := c.signing()
	if err != nil {
		return nil, "", err
	}
	var der []byte
	if r.Sign == dialect.SignLegacy {
		der, err = certs.SignLegacy(r.Body, s)
	} else {
		der, err = certs.SignDetached(r.Body, s, now)
	}
	if err != nil {
		return nil, "", fmt.Errorf("Mdm-Signature: %w", err)
	}
	return r.Body, base64.StdEncoding.EncodeToString(der), nil
}

// once sends one request and reads its answer. A connection that was kept may have been closed meanwhile: then once more on
// a new one.
func (c *conversation) once(ctx context.Context, r *dialect.Request, target *url.URL, body []byte, signature string, x *Exchange) (dialect.Response, string, error) {
	if err := c.connect(ctx, target, x); err != nil {
		return dialect.Response{}, "", err
	}
	c.compose(r, target, body, signature)
	f, d := c.link.config.Faults, c.device.Number()
	if f != nil && !f.BeforeSend(d, r.Step) {
		c.conn.Write(c.out[:len(c.out)/2])
		c.reset()
		return dialect.Response{}, "", errFault
	}
	c.conn.limit.N = maxHeader
	_, err := c.conn.Write(c.out)
	if err == nil {
		_, err = c.conn.in.Peek(1)
	} else if _, told := c.conn.in.Peek(1); Barred(told) {
		err = told // why the server hung up
	}
	if err != nil && c.reused && ctx.Err() == nil && !Barred(err) && !errors.Is(err, os.ErrDeadlineExceeded) { // the last: it has the request (HST-112)
		c.drop()
		return c.once(ctx, r, target, body, signature, x)
	}
	var answer dialect.Response
	location := ""
	if err == nil {
		answer, location, err = c.read(x)
	}
	if err != nil {
		c.conn.NetConn().Close() // nobody is there to take leave of
		c.drop()
		return dialect.Response{}, "", err
	}
	if f != nil && !f.AfterSend(d, r.Step) {
		c.reset()
		return dialect.Response{}, "", errFault
	}
	c.reused = false
	if c.conn.spoilt {
		c.drop()
	}
	return answer, location, nil
}

// compose writes the request into c.out, so that it goes out at once.
func (c *conversation) compose(r *dialect.Request, target *url.URL, body []byte, signature string) {
	b := append(c.out[:0], r.Method...)
	b = append(append(append(b, ' '), target.RequestURI()...), " HTTP/1.1\r\n"...)
	field := func(name, value string) {
		if value != "" {
			b = append(append(append(append(b, name...), ": "...), value...), "\r\n"...)
		}
	}
	field("Host", target.Host)
	field("User-Agent", r.UserAgent)
	field("Content-Type", r.ContentType)
	field("Mdm-Signature", signature)
	if r.Bearer != "" {
		field("Authorization", "Bearer "+r.Bearer)
	}
	field("DeviceToken", r.DeviceToken)
	if name := c.link.config.CertificateHeader; name != "" && c.certificate != nil {
		field(name, inHeader(c.certificate))
	}
	if c.link.config.Asks && c.certificate != nil {
		field(apple.ManagementHeader, apple.AsksManagement)
	}
	if r.Method != http.MethodGet {
		field("Content-Length", strconv.Itoa(len(body)))
	}
	c.out = append(append(b, "\r\n"...), body...)
}

// inHeader is a certificate as a header has it (RFC 9440, section 2.1).
func inHeader(der []byte) string { return ":" + base64.StdEncoding.EncodeToString(der) + ":" }

// read takes one answer off the connection. location is where a redirect points to.
func (c *conversation) read(x *Exchange) (answer dialect.Response, location string, err error) {
	resp, err := http.ReadResponse(c.conn.in, nil)
	for err == nil && resp.StatusCode >= 100 && resp.StatusCode < 200 {
		resp, err = http.ReadResponse(c.conn.in, nil)
	}
	if err != nil {
		if c.conn.limit.N <= 0 {
			err = ErrTooLong
		}
		return answer, "", fmt.Errorf("answer: %w", err)
	}
	if resp.StatusCode < 100 || resp.StatusCode > 599 { // net/http takes any three digits; RFC 9110, section 15 knows these
		return answer, "", fmt.Errorf("answer: there is no status %03d", resp.StatusCode)
	}
	if c.conn.client != nil {
		clock, wrong := ReadClock(resp.Header, c.conn.ConnectionState().PeerCertificates)
		x.Clock, x.Told = clock, wrong == nil
		if c.link.config.Asks {
			x.Management, _ = apple.DecodeManagement(resp.Header.Get(apple.ManagementHeader)) // what cannot be read says nothing
		}
	}
	most := c.link.config.MaxBody
	c.conn.limit.N = math.MaxInt64
	switch c.body, err = readBody(c.body[:0], resp.Body, resp.ContentLength, most); {
	case errors.Is(err, ErrTooLong):
		return answer, "", err
	case err != nil:
		return answer, "", fmt.Errorf("answer: %w", err)
	}
	c.conn.spoilt = resp.Close || c.conn.in.Buffered() > 0 // nobody asked for more
	if code := resp.StatusCode; code >= 300 && code < 400 {
		if location = resp.Header.Get("Location"); location != "" {
			return dialect.Response{Status: code}, location, nil
		}
	}
	return dialect.Response{
		Status: resp.StatusCode, ContentType: resp.Header.Get("Content-Type"), Body: c.body,
		RetryAfter: retryAfter(resp.Header.Get("Retry-After"), c.link.config.Now()),
		Notice:     strings.Join(resp.Header.Values(apple.NoticeHeader), ", "),
		Order:      strings.Join(resp.Header.Values(apple.OrderHeader), ", "),
	}, "", nil
}

// readBody appends what r has to b, and makes b no longer than that takes: as length says, or up to most where it is negative. What is longer
// than most is [ErrTooLong].
func readBody(b []byte, r io.Reader, length, most int64) ([]byte, error) {
	if length > most {
		return b, ErrTooLong
	}
	if length < 0 {
		length = most + 1
	}
	for int64(len(b)) < length {
		if len(b) == cap(b) {
			longer := make([]byte, len(b), min(length, int64(2*len(b)+leastBody)))
			copy(longer, b)
			b = longer
		}
		n, err := r.Read(b[len(b):min(int64(cap(b)), length)])
		b = b[:len(b)+n]
		switch {
		case err == io.EOF:
			return b, nil
		case err != nil:
			return b, err
		}
	}
	if length > most {
		return b, ErrTooLong
	}
	return b, nil
}

const leastBody = 512 // bytes of the first buffer

// retryAfter reads both forms of the header (RFC 9110, section 10.2.3); 0: absent, senseless or past.
func retryAfter(s string, now time.Time) time.Duration {
	if n, err := strconv.ParseUint(s, 10, 64); err == nil || errors.Is(err, strconv.ErrRange) {
		return time.Duration(min(n, uint64(math.MaxInt64/time.Second))) * time.Second
	}
	at, err := http.ParseTime(s)
	if err != nil {
		return 0
	}
	return max(at.Sub(now), 0)
}

// connect makes sure of a connection to target's host as the present identity.
func (c *conversation) connect(ctx context.Context, target *url.URL, x *Exchange) error {
	host, port := target.Hostname(), target.Port()
	if port == "" {
		port = "443"
	}
	server := net.JoinHostPort(host, port)
	l := c.link
	client := c.certificate
	if _, apple := c.device.(*dialect.Apple); apple && l.config.SignatureAlone || l.config.CertificateHeader != "" {
		client = nil
	}
	if c.conn == nil && l.config.KeepOpen {
		c.conn = l.take(c.device.Number())
		c.reused = c.conn != nil
	}
	deadline := time.Now().Add(l.config.Timeout)
	if c.conn != nil {
		if c.conn.server == server && c.conn.trust == c.act.Trust && bytes.Equal(c.conn.client, client) {
			if c.conn.release == nil {
				c.conn.watch(ctx)
			}
			return c.conn.SetDeadline(deadline)
		}
		c.drop()
	}
	trust, err := l.trusts.of(&l.config, c.act.Trust)
	if err != nil {
		return err
	}
	config := &tls.Config{
		ServerName: host, InsecureSkipVerify: true, VerifyConnection: trust.verify(host, l.config.Clock), // at resumed handshakes too
		Time: l.config.Clock, MinVersion: tls.VersionTLS12,
		CurvePreferences: l.config.Curves, ClientSessionCache: l.sessionsOf(c.device.Number(), client), NextProtos: []string{"http/1.1"},
	}
	if client != nil {
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { // not when resumed
			s, err := c.signing()
			return &tls.Certificate{Certificate: [][]byte{client}, PrivateKey: s.Key, Leaf: s.Certificate}, err
		}
	}
	dialling, cancel := context.WithDeadline(ctx, deadline)
	raw, err := l.config.Dial(dialling, "tcp", server)
	cancel()
	if err != nil {
		return err
	}
	wire := &gathering{Conn: raw}
	made := &conn{Conn: tls.Client(wire, config), server: server, trust: c.act.Trust, client: client}
	made.watch(ctx)
	if err = raw.SetDeadline(deadline); err == nil {
		err = made.Handshake() // which both of the above can end
	}
	if err != nil {
		if config.ClientSessionCache != nil {
			config.ClientSessionCache.Put(host, nil) // perhaps it was the session, of a certificate that has ended since
		}
		made.release()
		wire.flush() // an alert
		raw.Close()
		return err
	}
	wire.made = true
	state := made.ConnectionState()
	x.Connected, x.Resumed, x.Curve = true, state.DidResume, state.CurveID
	made.limit.R = made.Conn
	made.in, _ = readers.Get().(*bufio.Reader)
	if made.in == nil {
		made.in = bufio.NewReader(nil)
	}
	made.in.Reset(&made.limit)
	c.conn = made
	return nil
}

// readers are those of connections that have ended, for the next ones.
var readers sync.Pool

// watch breaks the connection when ctx ends.
func (c *conn) watch(ctx context.Context) {
	c.release = context.AfterFunc(ctx, func() { c.NetConn().Close() })
}

// drop closes the connection in good manners.
func (c *conversation) drop() {
	if c.conn.release != nil {
		c.conn.release()
	}
	c.conn.Close()
	c.conn.in.Reset(nil)
	readers.Put(c.conn.in)
	c.conn, c.reused = nil, false
}

// reset breaks the connection off.
func (c *conversation) reset() {
	if t, ok := c.conn.NetConn().(*gathering).Conn.(*net.TCPConn); ok {
		t.SetLinger(0)
	}
	c.conn.NetConn().Close()
	c.drop()
}

// hangUp ends the conversation's connection, or keeps it for the next.
func (c *conversation) hangUp() {
	if c.conn == nil {
		return
	}
	if !c.link.config.KeepOpen || c.device.Phase() != agent.Enrolled || !c.conn.release() {
		c.drop()
		return
	}
	c.conn.release = nil
	c.link.keep(c)
}

func (l *Link) take(d protocol.Device) *conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.kept[d]
	delete(l.kept, d)
	return c
}

func (l *Link) keep(c *conversation) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.kept[c.device.Number()] = c.conn
}

// Barred tells whether err, of an [Exchange], is the server's alert that it does not take the device's certificate.
func Barred(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	if !ok || op.Op != "remote error" {
		return false
	}
	text := op.Err.Error() // the type of alerts is not exported
	return strings.Contains(text, "certificate") || strings.Contains(text, "access denied")
}
