package link

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"rollcall/agent"
	"rollcall/agent/dialect"
	"rollcall/certs"
	"rollcall/certs/scep"
	"rollcall/protocol"
)

// Config is how devices reach their servers. Zero values mean the default that is named.
type Config struct {
	Roots *x509.CertPool   // trusted for every device, beside what enrolment profiles bring; nil: the system's
	Now   func() time.Time // the devices' clock; nil: time.Now
	Clock func() time.Time // by which certificates of servers are judged; nil: Now
	// Dial opens connections; nil: a net.Dialer. [DeviceOf] tells from its context for whom, so that a fleet can give each
	// device its own source address.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	// TransportKeys sign SCEP messages for devices whose identity is P-256 (apple.md section 3.3); none: one is made when
	// it is needed first.
	TransportKeys []*rsa.PrivateKey
	// RSAKeys gives the RSA key of the identity that d is about to ask for; nil, or a nil key: d's is P-256, made at once.
	RSAKeys func(d Device) (*rsa.PrivateKey, error)
	// Keys gives the key of the identity that d is about to ask for, P-256, so that it can be on disk before anybody hears of it;
	// nil: one is made at once. Not where RSAKeys gives one.
	Keys func(d Device, s *dialect.SCEP) (*ecdsa.PrivateKey, error)
	// Attest gives the key that an Android device enrols with by a token, and what its key store says of it: a chain, DER. Nil: it says nothing.
	Attest func(token string) (*ecdsa.PrivateKey, [][]byte, error)
	// Requests gives the request that a Windows device enrols or renews with, of the one that was just made with the key that Keys gave:
	// what the same key was asked for with before, so that an answer that was lost is given again. Nil: the one that was made.
	Requests func(key *ecdsa.PrivateKey, made []byte) ([]byte, error)
	// Identity gives keys with their certificates in place of SCEP to Apple's devices; nil: there is none.
	Identity func(d *dialect.Apple, s *dialect.SCEP) (crypto.Signer, *x509.Certificate, error)
	// CertificateHeader names the header that carries the device's certificate as RFC 9440 has it, in place of TLS: the
	// link then stands where a proxy in front of the server would. Empty: certificates are TLS's.
	CertificateHeader string
	// SignatureAlone has Apple's devices bring no certificate at all, as behind a proxy that asks for none: who they are, their
	// signatures say (Mdm-Signature), where the profile asks for these.
	SignatureAlone bool
	// SignIn has a person sign in at a web page for a Windows device, and gives the token that the page handed out; nil: nobody does.
	SignIn func(ctx context.Context, d Device, page string) ([]byte, error)
	// Factory gives the identity that signs a device's MachineInfo; nil: ADE enrolments fail.
	Factory func(udid string) (certs.Signer, error)

	Sessions int                          // devices whose latest TLS session is remembered for resumption; 0: none
	Resumes  func(d protocol.Device) bool // whose; nil: any
	Curves   []tls.CurveID                // nil: X25519, cheaper than Go's hybrid default (a report should say so), or P-256 where a server has only that
	KeepOpen bool                         // keep a device's connection for its next conversation, until [Link.Close]
	Timeout  time.Duration                // for one request with its connection, on the real clock; 0: 30 s
	MaxBody  int64                        // bytes of an answer that are read; 0: 16 MiB (HST-120)
	Asks     bool                         // who manages the device, for [Exchange.Management]

	// Before is called before each request, and may wait; nil: nobody. A SCEP enrolment counts as one request.
	Before func(ctx context.Context, d protocol.Device, s dialect.Step)
	// Keep is called before each act, and puts d where a restart finds it: what is not kept is not sent, and its error ends the
	// conversation. Nil: nothing is kept.
	Keep    func(d Device, a *dialect.Act) error
	Faults  Faults  // nil: none
	Watcher Watcher // nil: nobody
}

// A Device is one whose conversations a link carries: a *[dialect.Apple], a *[dialect.Android] or a *[dialect.Windows].
type Device interface {
	Number() protocol.Device
	Phase() agent.Phase
	Begin(now protocol.Time, why dialect.Why, out *dialect.Act) bool
	Answer(now protocol.Time, r *dialect.Response, out *dialect.Act)
	Abandon(now protocol.Time)
	Certificate(w dialect.Which) []byte
	Signer(w dialect.Which) (certs.Signer, error)
}

// An identified device takes its certificate with the key, from SCEP, EST or a lab.
type identified interface {
	GotIdentity(now protocol.Time, key crypto.Signer, c *x509.Certificate, err error, out *dialect.Act)
}

// A requester is a Windows device. It is not called by its name, so that a program that has none, as an agent, does not hold their code.
type requester interface {
	GotRequest(now protocol.Time, key crypto.Signer, der []byte, err error, out *dialect.Act)
	GotToken(now protocol.Time, token []byte, err error, out *dialect.Act)
}

// Faults plays bad networks. Called from many goroutines.
type Faults interface {
	// BeforeSend may say no: the connection is then reset in the middle of the request.
	BeforeSend(d protocol.Device, s dialect.Step) bool
	// AfterSend may say no: the server has then the whole request, and its answer is lost on the way.
	AfterSend(d protocol.Device, s dialect.Step) bool
}

// A Watcher hears of every request as it ends. Called from many goroutines; x is used again afterwards.
type Watcher interface {
	Exchanged(d protocol.Device, x *Exchange)
}

// An Exchange is one request and what it brought. A SCEP enrolment, which is several requests, counts as one.
type Exchange struct {
	Step      dialect.Step
	Status    int    // HTTP; 0: no answer
	Command   string // with Report: RequestType
	UUID      string // with Report: CommandUUID
	Profile   string // with Report: as in dialect.Request, as Version is
	Version   string
	Reported  protocol.Status // with Report
	Repeat    bool            // sent before
	Whole     bool            // as in dialect.Request
	Idle      bool            // as in dialect.Act
	Answered  uint16          // with Session: as in dialect.Request, as Refused is
	Refused   uint16
	Orders    []dialect.Order // as in dialect.Request
	Begun     time.Time       // by the real clock
	Took      time.Duration   // by the real clock, connection and handshake included
	Sent      int             // bytes of the body
	Received  int             // bytes of the body
	Connected bool            // made a new connection
	Resumed   bool            // its TLS session was resumed
	Curve     tls.CurveID     // with Connected: the key exchange; 0: none
	Told      bool            // the answer came over mutual TLS, and Clock is all that it says of the server's
	Clock     protocol.Time   // with Told: of a server that has one of its own, as in [ReadClock]; 0: it has none
	Err       error           // with Status 0: why; with a 2xx: what is wrong with the answer

	Management protocol.Management // with Config.Asks: who manages the device, over mutual TLS; zero: the answer does not say
}

// A Report is what one conversation came to.
type Report struct {
	Steps      [dialect.Steps]uint16 // requests by step that got a 2xx
	Failed     uint16                // requests that did not
	Commands   uint16                // reports that got a 2xx, other than NotNow, and commands that messages of sessions answered
	Errors     uint16                // of Commands: Error and CommandFormatError, and codes from 400 on
	NotNow     uint16                // reports of NotNow that got a 2xx
	Repeats    uint16                // reports that had been sent before
	Dropped    uint16                // profiles that left by themselves (AUTH-27)
	Resumed    bool                  // a TLS session was resumed
	Sent       int64                 // bytes of bodies
	Received   int64                 // bytes of bodies
	RetryAfter time.Duration         // of the answer that ended the conversation; 0: not said
	Notice     protocol.Notice       // the newest change of authority that the device heard of in it; zero: none
}

func (r *Report) count(x *Exchange) {
	r.Sent += int64(x.Sent)
	r.Received += int64(x.Received)
	r.Resumed = r.Resumed || x.Resumed
	if x.Repeat {
		r.Repeats++
	}
	switch {
	case x.Status < 200 || x.Status > 299:
		r.Failed++
		return
	case x.Step == dialect.Session:
		r.Commands += x.Answered
		r.Errors += x.Refused
	case x.Step == dialect.Report && x.Reported == protocol.NotNow:
		r.NotNow++
	case x.Step == dialect.Report:
		r.Commands++
		if x.Reported != protocol.Acknowledged {
			r.Errors++
		}
	}
	r.Steps[x.Step]++
}

// A Link carries the conversations of devices. Safe for concurrent use; each device talks in one goroutine at a
// time.
type Link struct {
	config Config

	sessions sessions
	trusts   trusts
	cas      scep.CACache

	transports []*scep.Transport
	first      sync.Once // makes a transport when none was given
	firstErr   error
	turn       atomic.Uint32

	mu   sync.Mutex
	kept map[protocol.Device]*conn
}

// New checks c and makes a link. The error is that of a transport key which cannot sign.
func New(c Config) (*Link, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Clock == nil {
		c.Clock = c.Now
	}
	if c.Dial == nil {
		c.Dial = new(net.Dialer).DialContext
	}
	if c.Curves == nil {
		c.Curves = []tls.CurveID{tls.X25519, tls.CurveP256}
	}
	if c.Timeout <= 0 {
		c.Timeout = 30 * time.Second
	}
	if c.MaxBody <= 0 {
		c.MaxBody = 16 << 20
	}
	if c.Roots == nil {
		pool, err := x509.SystemCertPool()
		if err != nil {
			return nil, fmt.Errorf("link: the system's roots: %w", err)
		}
		c.Roots = pool
	}
	l := &Link{config: c, kept: make(map[protocol.Device]*conn)}
	l.sessions.most = c.Sessions
	for i, key := range c.TransportKeys {
		t, err := scep.NewTransport(key, c.Now())
		if err != nil {
			return nil, fmt.Errorf("link: transport key %d: %w", i, err)
		}
		l.transports = append(l.transports, t)
	}
	return l, nil
}

// Enrol enrols d. Without error d is enrolled; with one it is not, or it has only its TokenUpdate left to say, which its
// phase and Due tell.
func (l *Link) Enrol(ctx context.Context, d *dialect.Apple, s dialect.Start) (Report, error) {
	return l.enrol(ctx, d, nil, func(now protocol.Time, out *dialect.Act) error { return d.Enrol(now, s, out) })
}

// EnrolAndroid is Enrol of an Android device.
func (l *Link) EnrolAndroid(ctx context.Context, d *dialect.Android, s dialect.AndroidStart) (_ Report, err error) {
	var key *ecdsa.PrivateKey
	if l.config.Attest != nil {
		if key, s.Attestation, err = l.config.Attest(s.Token); err != nil {
			return Report{}, err
		}
	}
	return l.enrol(ctx, d, key, func(now protocol.Time, out *dialect.Act) error { return d.Enrol(now, s, out) })
}

// EnrolWindows is Enrol of a Windows device: from discovery to the end of its first session.
func (l *Link) EnrolWindows(ctx context.Context, d *dialect.Windows, s dialect.WindowsStart) (Report, error) {
	return l.enrol(ctx, d, nil, func(now protocol.Time, out *dialect.Act) error { return d.Enrol(now, s, out) })
}

// enrol is that of any device; attested is the key of its identity, nil: any.
func (l *Link) enrol(ctx context.Context, d Device, attested *ecdsa.PrivateKey, begin func(now protocol.Time, out *dialect.Act) error) (Report, error) {
	c := l.conversation(d)
	defer c.end()
	c.attested = attested
	if err := begin(protocol.At(l.config.Now()), &c.act); err != nil {
		return c.report, err
	}
	err := c.run(ctx)
	if err == nil && d.Phase() != agent.Enrolled {
		err = errors.New("enrolment: not completed")
	}
	return c.report, err
}

// Converse runs one whole conversation of d, and sends nothing when d has nothing to say. The error tells why it ended
// early: d has then set itself a time to try again, which Due gives, or its enrolment has ended. An error of ctx
// is among them.
func (l *Link) Converse(ctx context.Context, d Device, why dialect.Why) (Report, error) {
	c := l.conversation(d)
	defer c.end()
	begun := d.Begin(protocol.At(l.config.Now()), why, &c.act)
	c.report.Dropped = c.act.Dropped
	if !begun {
		return c.report, nil
	}
	err := c.run(ctx)
	return c.report, err
}

// Close ends kept connections.
func (l *Link) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for d, c := range l.kept {
		c.Close()
		delete(l.kept, d)
	}
}

// A conversation is one device talking, from the first act to rest.
type conversation struct {
	link   *Link
	device Device
	act    dialect.Act
	report Report

	attested *ecdsa.PrivateKey // of an enrolment: the one that its identity is for; nil: any

	conn        *conn
	reused      bool // conn is one that was kept
	which       dialect.Which
	certificate []byte        // of the identity that requests come from, DER; nil: none
	signer      *certs.Signer // the same, once it was needed
	body        []byte        // of the latest answer
	out         []byte        // the latest request
}

// conversations that have ended, for their buffers.
var conversations sync.Pool

const keepBuffer = 64 << 10 // largest buffer in bytes that is kept for the next conversation

func (l *Link) conversation(d Device) *conversation {
	c, _ := conversations.Get().(*conversation)
	if c == nil {
		c = new(conversation)
	}
	c.link, c.device = l, d
	return c
}

// end gives the conversation back; nothing of it may be used after that.
func (c *conversation) end() {
	*c = conversation{act: c.act, body: c.body, out: c.out}
	if cap(c.body) > keepBuffer {
		c.body = nil
	}
	conversations.Put(c)
}

type deviceKey struct{}

// DeviceOf returns the device for which a connection is dialled.
func DeviceOf(ctx context.Context) (d protocol.Device, ok bool) {
	d, ok = ctx.Value(deviceKey{}).(protocol.Device)
	return d, ok
}

func (c *conversation) run(ctx context.Context) error {
	now := func() protocol.Time { return protocol.At(c.link.config.Now()) }
	ctx = context.WithValue(ctx, deviceKey{}, c.device.Number())
	defer c.hangUp()
	for c.act.Kind != dialect.Rest {
		if err := ctx.Err(); err != nil {
			c.device.Abandon(now())
			return err
		}
		if keep := c.link.config.Keep; keep != nil {
			if err := keep(c.device, &c.act); err != nil {
				c.device.Abandon(now())
				return err
			}
		}
		switch c.act.Kind {
		case dialect.Send:
			c.before(ctx, c.act.Request.Step)
			x, answer := c.exchange(ctx)
			c.device.Answer(now(), &answer, &c.act)
			if c.act.Heard != (protocol.Notice{}) {
				c.report.Notice = c.act.Heard
			}
			if x.Err == nil && c.act.Kind == dialect.Rest && x.Status >= 200 && x.Status <= 299 {
				x.Err = c.act.Err
			}
			x.Idle = c.act.Idle
			c.watch(&x)
			c.report.Dropped += c.act.Dropped
		case dialect.GetIdentity:
			c.before(ctx, dialect.Identify)
			key, certificate, err := c.identify(ctx)
			c.device.(identified).GotIdentity(now(), key, certificate, err, &c.act)
		case dialect.MakeRequest:
			key, der, err := c.csr()
			c.device.(requester).GotRequest(now(), key, der, err, &c.act)
		case dialect.WebSignIn:
			token, err := c.signIn(ctx)
			c.device.(requester).GotToken(now(), token, err, &c.act)
		}
	}
	if f, ok := errors.AsType[*dialect.Failure](c.act.Err); ok {
		c.report.RetryAfter = f.RetryAfter
	}
	if err := ctx.Err(); err != nil && c.act.Err != nil {
		return err
	}
	return c.act.Err
}

func (c *conversation) before(ctx context.Context, s dialect.Step) {
	if before := c.link.config.Before; before != nil {
		before(ctx, c.device.Number(), s)
	}
}

// watch counts x and tells the watcher.
func (c *conversation) watch(x *Exchange) {
	c.report.count(x)
	if w := c.link.config.Watcher; w != nil {
		w.Exchanged(c.device.Number(), x)
	}
}
