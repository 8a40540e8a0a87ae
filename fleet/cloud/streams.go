package cloud

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"net"
	"sync"
	"time"

	"rollcall/protocol/wake"
)

const (
	helloFor   = 15 * time.Second // real time for handshake and hello
	atOnce     = 32               // handshakes
	turnFor    = time.Second      // real time after which a handshake waits for no other: they may be of callers that say nothing
	writeFor   = 15 * time.Second // real time until what is sent is with the system
	maxStreams = 20_000           // at once
	frameSpace = wake.TokenSize + 64

	// SilentFor is the real time without a word until a stream is given up.
	SilentFor = wake.Beat * 5 / 2
)

// A Doorman takes the streams that machines hold to a service (package protocol/wake). Its functions are called from many goroutines.
type Doorman struct {
	ALPN         string            // of the service
	Certificates []tls.Certificate // of the service, for streams that are shown no other
	// Online brings a device online whose pushes go to st from then on, in place of an older stream of its. It returns the address that
	// the device is welcomed with, at which it is reached (empty: it knows), or why not; empty: it did.
	Online func(st *Stream, token [wake.TokenSize]byte, topic string) (address, why string)
	// Offline is the end of a stream that Online took: from then on what comes is not for it.
	Offline func(st *Stream)
	// GiveBack gets, after that, what the stream was given and the device has not said to have.
	GiveBack func(st *Stream, unread any)
	Replaced func(what any) // it was displaced in a stream before the device said to have it
	Shaken   func(error)    // the end of each handshake; nil: nobody asks
}

// ServeStreams takes streams on ln, each by the doorman of its service, until ctx ends; then it closes them and ln and returns nil. Any
// other end is an error. The certificate is config's; without a config it is that of the first doorman's service.
func ServeStreams(ctx context.Context, ln net.Listener, config *tls.Config, doormen ...*Doorman) error {
	if config == nil {
		config = &tls.Config{Certificates: doormen[0].Certificates}
	}
	config = config.Clone()
	config.MinVersion, config.NextProtos = tls.VersionTLS13, nil
	for _, d := range doormen {
		config.NextProtos = append(config.NextProtos, d.ALPN)
	}
	config.SessionTicketsDisabled = true // streams are few and long, and each ticket is memory on both sides
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	context.AfterFunc(ctx, func() { ln.Close() })
	var streams sync.WaitGroup
	defer streams.Wait()
	room := make(chan struct{}, maxStreams)
	turns := make(chan struct{}, atOnce)
	for {
		raw, err := ln.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				raw.Close()
			}
			return nil
		case err != nil && !errors.Is(err, net.ErrClosed): // out of files, or a caller that has gone already
			time.Sleep(acceptAgain)
			continue
		case err != nil:
			cancel()
			return err
		}
		select {
		case room <- struct{}{}:
		default:
			raw.Close()
			continue
		}
		streams.Go(func() {
			defer func() { <-room }()
			stop := context.AfterFunc(ctx, func() { raw.Close() })
			defer stop()
			serveStream(raw, config, turns, doormen)
		})
	}
}

// acceptAgain is how long a listener that fails is left alone, in real time.
const acceptAgain = 50 * time.Millisecond

// A Stream is one device's connection.
type Stream struct {
	Device any // as its service knows it; set by Online

	conn    *tls.Conn
	doorman *Doorman

	mu       sync.Mutex
	kept     any // the last that the device has not said to have
	payload  []byte
	number   uint32 // of kept
	welcomed bool   // until then nothing is sent
	sending  bool   // a goroutine is at it
	over     bool
}

// ServeStream serves one connection to its end.
func ServeStream(raw net.Conn, config *tls.Config, doormen ...*Doorman) {
	serveStream(raw, config, make(chan struct{}, 1), doormen)
}

// serveStream has its handshake when it gets a turn.
func serveStream(raw net.Conn, config *tls.Config, turns chan struct{}, doormen []*Doorman) {
	defer raw.Close()
	if tcp, ok := raw.(*net.TCPConn); ok {
		tcp.SetKeepAlive(false) // the device's beat is enough, and probes would wake it
	}
	st := &Stream{conn: tls.Server(raw, config)}
	var space [frameSpace]byte
	f, err := st.hello(space[:], turns)
	d := doormen[0]
	for _, x := range doormen {
		if x.ALPN == st.conn.ConnectionState().NegotiatedProtocol {
			d = x
		}
	}
	st.doorman = d
	if d.Shaken != nil {
		d.Shaken(err)
	}
	if err != nil {
		return
	}
	if f.Kind != wake.Hello {
		st.bye("the first word is no hello")
		return
	}
	address, why := d.Online(st, [wake.TokenSize]byte(f.Body), string(f.Body[wake.TokenSize:]))
	if why != "" {
		st.bye(why)
		return
	}
	defer func() {
		d.Offline(st)
		if unread := st.end(); unread != nil {
			d.GiveBack(st, unread)
		}
	}()
	st.welcome(address)
	for {
		st.conn.SetReadDeadline(time.Now().Add(SilentFor))
		f, err := wake.ReadFrame(st.conn, space[:])
		switch {
		case err != nil:
			return
		case f.Kind == wake.Ping && st.write(wake.AppendFrame(nil, wake.Pong)) == nil:
		case f.Kind == wake.Got:
			st.got(binary.BigEndian.Uint32(f.Body))
		default:
			return
		}
	}
}

// hello shakes hands and reads the first word. Of a thousand machines that come at once most wait, which costs little. A handshake fills
// much of a stack: that goes with it, and the stream's own stays small.
func (st *Stream) hello(space []byte, turns chan struct{}) (f wake.Frame, err error) {
	impatient := time.NewTimer(turnFor)
	defer impatient.Stop()
	select {
	case turns <- struct{}{}:
		defer func() { <-turns }()
	case <-impatient.C:
	}
	var done sync.WaitGroup
	done.Go(func() {
		st.conn.SetDeadline(time.Now().Add(helloFor))
		f, err = wake.ReadFrame(st.conn, space)
	})
	done.Wait()
	return f, err
}

// welcome is the first word, and what has come until then the second. Where that fails, whoever reads next finds it broken.
func (st *Stream) welcome(address string) {
	st.write(wake.AppendFrame(nil, wake.Welcome, []byte(address)))
	st.mu.Lock()
	defer st.mu.Unlock()
	st.welcomed = true
	st.send()
}

// Close breaks the stream off, if there is one: its end gives back what it had.
func (st *Stream) Close() {
	if st != nil {
		st.conn.NetConn().Close()
	}
}

// Deliver sends the payload of what came for the device, and waits for nobody. The doorman hears what that displaces; where the stream is
// over he is given it back. So no lock may be held that he takes.
func (st *Stream) Deliver(what any, payload []byte) {
	st.mu.Lock()
	if st.over {
		st.mu.Unlock()
		st.doorman.GiveBack(st, what)
		return
	}
	replaced := st.kept
	st.kept, st.payload = what, payload
	st.number++
	st.send()
	st.mu.Unlock()
	if replaced != nil {
		st.doorman.Replaced(replaced)
	}
}

// send has somebody send what is kept. The lock is held.
func (st *Stream) send() {
	if st.welcomed && !st.sending && st.kept != nil {
		st.sending = true
		go st.flush()
	}
}

// flush sends the last that came, and what comes while it does.
func (st *Stream) flush() {
	var sent uint32
	for {
		st.mu.Lock()
		if st.over || st.kept == nil || st.number == sent {
			st.sending = false
			st.mu.Unlock()
			return
		}
		sent = st.number
		frame := wake.AppendFrame(nil, wake.Push, binary.BigEndian.AppendUint32(nil, sent), st.payload)
		st.mu.Unlock()
		if st.write(frame) != nil {
			st.Close() // whoever reads ends the stream, and gives back what was not got
		}
	}
}

// got forgets what the device has.
func (st *Stream) got(number uint32) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if number == st.number {
		st.kept, st.payload = nil, nil
	}
}

// end has nothing delivered any more, and returns what the device does not have for sure.
func (st *Stream) end() (unread any) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.over = true
	unread, st.kept, st.payload = st.kept, nil, nil
	return unread
}

// write sends a frame as one record.
func (st *Stream) write(frame []byte) error {
	st.conn.SetWriteDeadline(time.Now().Add(writeFor))
	_, err := st.conn.Write(frame)
	return err
}

func (st *Stream) bye(why string) {
	st.write(wake.AppendFrame(nil, wake.Bye, []byte(why)))
	st.conn.Close()
}
