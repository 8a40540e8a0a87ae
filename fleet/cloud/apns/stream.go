package apns

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"net"
	"sync"
	"time"

	"rollcall/protocol/apple"
)

const (
	helloFor   = 15 * time.Second            // real time for handshake and hello
	writeFor   = 15 * time.Second            // real time until what is sent is with the system
	silentFor  = apple.CourierBeat * 5 / 2   // real time without a word until a stream is given up
	maxStreams = 20_000                      // at once
	frameSpace = apple.CourierTokenSize + 64 // bytes for what devices send
)

// ServeDevices takes the streams of devices (protocol/apple, CourierProtocol) on ln until ctx ends; then it closes them and ln and
// returns nil. Any other end is an error. The certificate is config's, which may not be nil unless New made the service's own.
func (s *Service) ServeDevices(ctx context.Context, ln net.Listener, config *tls.Config) error {
	if config == nil {
		config = &tls.Config{Certificates: s.tls.Certificates}
	}
	config = config.Clone()
	config.MinVersion, config.NextProtos = tls.VersionTLS13, []string{apple.CourierProtocol}
	config.SessionTicketsDisabled = true // streams are few and long, and each ticket is memory on both sides
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	context.AfterFunc(ctx, func() { ln.Close() })
	var streams sync.WaitGroup
	defer streams.Wait()
	room := make(chan struct{}, maxStreams)
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
			s.stream(raw, config)
		})
	}
}

// acceptAgain is how long a listener that fails is left alone, in real time.
const acceptAgain = 50 * time.Millisecond

// A stream is one device's connection.
type stream struct {
	service *Service
	conn    *tls.Conn
	device  *device

	mu      sync.Mutex
	kept    *Notification // the last one that the device has not said to have
	number  uint32        // of kept
	sending bool          // a goroutine is at it
	over    bool
}

// stream serves one connection to its end.
func (s *Service) stream(raw net.Conn, config *tls.Config) {
	defer raw.Close()
	if tcp, ok := raw.(*net.TCPConn); ok {
		tcp.SetKeepAlive(false) // the device's beat is enough, and probes would wake it
	}
	st := &stream{service: s, conn: tls.Server(raw, config)}
	st.conn.SetDeadline(time.Now().Add(helloFor))
	var space [frameSpace]byte
	f, err := apple.ReadCourierFrame(st.conn, space[:])
	s.shaken(err)
	if err != nil {
		return
	}
	if f.Kind != apple.CourierHello {
		st.bye("the first word is no hello")
		return
	}
	if why := st.begin(token(f.Body), string(f.Body[TokenSize:])); why != "" {
		st.bye(why)
		return
	}
	defer st.end()
	for {
		st.conn.SetReadDeadline(time.Now().Add(silentFor))
		f, err := apple.ReadCourierFrame(st.conn, space[:])
		switch {
		case err != nil:
			return
		case f.Kind == apple.CourierPing && st.write(apple.AppendCourierFrame(nil, apple.CourierPong)) == nil:
		case f.Kind == apple.CourierGot:
			st.got(binary.BigEndian.Uint32(f.Body))
		default:
			return
		}
	}
}

// begin brings the device online, in place of an older stream of its. It says why not.
func (st *stream) begin(t token, topic string) (why string) {
	s := st.service
	if !goodTopic(topic) {
		return "no topic can be called that"
	}
	s.mu.Lock()
	d := s.devices[t]
	switch {
	case d == nil && !s.anyToken:
		why = "the token is not known here"
	case d == nil:
		d = s.add(t, topic)
		d.unasked = true
	case d.topic != topic:
		why = "the token is of another topic"
	case !d.gone.IsZero():
		why = "the token is not valid any more"
	}
	if why != "" {
		s.mu.Unlock()
		return why
	}
	old := d.stream
	st.device, d.stream = d, st
	s.count.Streams++
	s.mu.Unlock()
	if old != nil {
		old.conn.NetConn().Close() // its end gives back what it had
	}
	if st.write(apple.AppendCourierFrame(nil, apple.CourierWelcome)) != nil {
		return "" // whoever reads next finds it broken
	}
	var n *Notification
	s.mu.Lock()
	if d.stream == st {
		n = s.online(d, st.deliver)
	}
	s.mu.Unlock()
	if n != nil {
		st.deliver(*n)
	}
	return ""
}

// end takes the device offline. What it does not have for sure waits for its next stream.
func (st *stream) end() {
	s, d := st.service, st.device
	s.mu.Lock()
	s.count.Streams--
	if d.stream == st { // else a newer one is in its place
		d.stream, d.deliver = nil, nil
		if d.unasked { // nobody ever pushed to it: whoever makes tokens up costs nothing
			delete(s.devices, d.token)
			s.count.Registered--
		}
	}
	s.mu.Unlock()
	st.mu.Lock() // after it: what comes from here on is kept by the device
	st.over = true
	n := st.kept
	st.kept = nil
	st.mu.Unlock()
	if n != nil {
		s.giveBack(d, *n)
	}
}

// giveBack keeps a notification that was handed over and has not arrived.
func (s *Service) giveBack(d *device, n Notification) {
	s.mu.Lock()
	s.count.Delivered--
	var deliver func(Notification)
	switch {
	case !d.gone.IsZero():
		s.count.Discarded++
	case d.kept != nil: // a later one
		s.count.Replaced++
	default:
		deliver = s.send(d, n)
	}
	s.mu.Unlock()
	if deliver != nil {
		deliver(n)
	}
}

// deliver is the device's, as Connect wants it: it waits for nobody.
func (st *stream) deliver(n Notification) {
	st.mu.Lock()
	if st.over {
		st.mu.Unlock()
		st.service.giveBack(st.device, n)
		return
	}
	replaced := st.kept != nil
	st.kept = &n
	st.number++
	if !st.sending {
		st.sending = true
		go st.flush()
	}
	st.mu.Unlock()
	if replaced {
		st.service.mu.Lock()
		st.service.count.Delivered--
		st.service.count.Replaced++
		st.service.mu.Unlock()
	}
}

// flush sends the last notification, and the ones that come while it does.
func (st *stream) flush() {
	var sent uint32
	for {
		st.mu.Lock()
		if st.over || st.kept == nil || st.number == sent {
			st.sending = false
			st.mu.Unlock()
			return
		}
		sent = st.number
		frame := apple.AppendCourierFrame(nil, apple.CourierPush, binary.BigEndian.AppendUint32(nil, sent), st.kept.Payload)
		st.mu.Unlock()
		if st.write(frame) != nil {
			st.conn.NetConn().Close() // whoever reads ends the stream, and gives back what was not got
		}
	}
}

// got forgets the notification that the device has.
func (st *stream) got(number uint32) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if number == st.number {
		st.kept = nil
	}
}

// write sends a frame as one record.
func (st *stream) write(frame []byte) error {
	st.conn.SetWriteDeadline(time.Now().Add(writeFor))
	_, err := st.conn.Write(frame)
	return err
}

func (st *stream) bye(why string) {
	st.write(apple.AppendCourierFrame(nil, apple.CourierBye, []byte(why)))
	st.conn.Close()
}
