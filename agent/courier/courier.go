package courier

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"rollcall/protocol/wake"
)

// Config says whose wake-ups these are and where they come from.
type Config struct {
	// Address tells host and port of the service, before each try. An error that wraps ErrNone is that there is none now.
	Address func(ctx context.Context) (string, error)
	TLS     *tls.Config // without a server name: the host of the address; nil: the system's roots
	ALPN    string      // of the service
	Topic   string
	Token   []byte                    // wake.TokenSize bytes: whoever has them gets these wake-ups
	Counts  func(payload []byte) bool // which wake-ups count (APL-109)
	Reached func(address string)      // called with each stream whose service says where it reaches the machine; nil: it has no other address than its token
	Woken   func()                    // called at each of them; the next one waits for it
	Changed func(State)               // called whenever the stream stands otherwise; nil: nobody asks
	Log     *logrus.Logger
	Dial    func(ctx context.Context, network, address string) (net.Conn, error) // nil: a net.Dialer without probes
}

// A State is how a stream stands. Times are of the machine's own clock.
type State struct {
	Service string     `json:"service,omitempty"`  // address of the last one; empty: there was none yet
	Since   time.Time  `json:"since,omitzero"`     // it is up since then; zero: it is not
	Pushed  time.Time  `json:"last_push,omitzero"` // when the last wake-up came that counted
	Why     string     `json:"why,omitempty"`      // there is none, and none is being made before a wait is over
	None    bool       `json:"none,omitempty"`     // the server has no streams
	Local   netip.Addr `json:"-"`                  // the machine's own address, of the last one
	Broken  bool       `json:"-"`                  // the service broke the protocol: the wait is its due
}

// ErrBroken is that the service of a stream breaks the protocol.
var ErrBroken = errors.New("the push service breaks the protocol of its streams")

// ErrNone is that the server wakes nobody by a stream.
var ErrNone = errors.New("the server has no stream for wake-ups")

// noProtocol is the alert of a service that has no streams for devices of this kind (RFC 7301, section 3.2).
const noProtocol = "no application protocol"

// reachFor bounds address, connection and welcome; answerFor the answer to a Ping.
const (
	reachFor  = 30 * time.Second
	answerFor = time.Minute
)

// mostPushes bounds those of a minute, far above what a service has to say to one device: one that floods costs little (HST-120).
const mostPushes = 120

// Run stays connected until ctx ends.
func Run(ctx context.Context, c Config) {
	if c.Dial == nil {
		c.Dial = (&net.Dialer{KeepAlive: -1}).DialContext // probes would wake the machine
	}
	if c.Changed == nil {
		c.Changed = func(State) {}
	}
	var waits backoff
	var state State
	for ctx.Err() == nil {
		lasted, err := c.stream(ctx, &state)
		wait := waits.after(lasted, rand.Uint64())
		if errors.Is(err, ErrNone) { // it may get one; until then the machine asks by itself
			wait = mostWait
		}
		if ctx.Err() == nil {
			state.Since, state.Why = time.Time{}, err.Error()
			state.None, state.Broken = errors.Is(err, ErrNone), errors.Is(err, ErrBroken)
			c.Changed(state)
			c.Log.WithError(err).WithField("again_in", wait.Round(time.Second).String()).Info("no wake-ups for now")
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
	}
}

// stream has one stream from beginning to end, which is always an error, and says how long it was up.
func (c *Config) stream(ctx context.Context, state *State) (lasted time.Duration, err error) {
	conn, err := c.connect(ctx)
	if err != nil {
		return 0, err
	}
	defer conn.NetConn().Close()
	defer context.AfterFunc(ctx, func() { conn.NetConn().Close() })()
	begun := time.Now()
	state.Service, state.Since, state.Why, state.None, state.Broken = conn.RemoteAddr().String(), begun, "", false, false
	local, _ := netip.ParseAddrPort(conn.LocalAddr().String()) // else none is known
	state.Local = local.Addr().Unmap().WithZone("")
	c.Changed(*state)
	c.Log.WithField("service", conn.RemoteAddr().String()).Info("wake-ups come by a stream now")
	err = c.listen(conn, state)
	return time.Since(begun), err
}

// connect makes a stream that has been welcomed.
func (c *Config) connect(ctx context.Context) (_ *tls.Conn, err error) {
	ctx, cancel := context.WithTimeout(ctx, reachFor)
	defer cancel()
	address, err := c.Address(ctx)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{}
	if c.TLS != nil {
		config = c.TLS.Clone()
	}
	config.MinVersion, config.NextProtos = tls.VersionTLS13, []string{c.ALPN}
	if config.ServerName == "" {
		if config.ServerName, _, err = net.SplitHostPort(address); err != nil {
			return nil, err
		}
	}
	raw, err := c.Dial(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	conn := tls.Client(raw, config)
	defer func() {
		if err != nil {
			raw.Close()
		}
	}()
	if err := conn.HandshakeContext(ctx); err != nil {
		if strings.HasSuffix(err.Error(), noProtocol) { // the type of alerts is not exported
			err = fmt.Errorf("%w: %w", ErrNone, err)
		}
		return nil, err
	}
	defer context.AfterFunc(ctx, func() { raw.Close() })()
	hello := wake.AppendFrame(nil, wake.Hello, c.Token, []byte(c.Topic))
	if _, err := conn.Write(hello); err != nil {
		return nil, err
	}
	f, err := wake.ReadFrame(conn, nil)
	switch {
	case err != nil:
		return nil, err
	case f.Kind == wake.Bye:
		return nil, fmt.Errorf("the push service says no: %q", f.Body)
	case f.Kind != wake.Welcome:
		return nil, fmt.Errorf("%w: kind %d in place of a welcome", wake.ErrFrame, f.Kind)
	case c.Reached != nil:
		c.Reached(string(f.Body))
	}
	return conn, nil
}

// listen hears wake-ups until the stream ends, which it does too where a service says more than it could mean. One that is quiet for a beat, or nearly, is asked whether anybody is there.
func (c *Config) listen(conn *tls.Conn, state *State) error {
	write := func(frame []byte) error {
		conn.SetWriteDeadline(time.Now().Add(answerFor))
		_, err := conn.Write(frame)
		return err
	}
	var asked atomic.Int32 // Pings without a Pong
	beat := time.AfterFunc(Together(time.Now(), wake.Beat), func() {
		asked.Add(1)
		write(wake.AppendFrame(nil, wake.Ping)) // where that fails nothing is read either
	})
	defer beat.Stop()
	var minute time.Time // when it began, of which pushes are counted
	pushes := 0
	for {
		conn.SetReadDeadline(time.Now().Add(wake.Beat + answerFor))
		f, err := wake.ReadFrame(conn, nil)
		beat.Reset(Together(time.Now(), wake.Beat))
		switch {
		case err != nil:
			return err
		case f.Kind == wake.Push:
			if now := time.Now(); now.Sub(minute) >= time.Minute {
				minute, pushes = now, 0
			}
			if pushes++; pushes > mostPushes { // which keeps it, for the next stream
				return fmt.Errorf("%w: more than %d pushes a minute", ErrBroken, mostPushes)
			}
			if err := write(wake.AppendFrame(nil, wake.Got, f.Body[:4])); err != nil {
				return err
			}
			if c.Counts(f.Body[4:]) {
				state.Pushed = time.Now()
				c.Changed(*state)
				c.Woken()
			}
		case f.Kind == wake.Pong && asked.Add(-1) >= 0: // one that nobody asked for is no service's
		case f.Kind == wake.Bye:
			return fmt.Errorf("the push service says: %q", f.Body)
		default:
			return fmt.Errorf("%w: %w: kind %d from a service", ErrBroken, wake.ErrFrame, f.Kind)
		}
	}
}
