package apns

import (
	"encoding/binary"
	"hash/fnv"
	"math/rand/v2"
	"time"

	"rollcall/fleet/cloud"
)

// MaxKept is how long a notification for an absent device is kept at most, and without apns-expiration.
const MaxKept = 30 * 24 * time.Hour

// TokenSize is the length of a device token in bytes; on the wire it is twice as many hexadecimal digits.
const TokenSize = 32

// A Notification is what a device receives. Devices may keep the Payload; the service never writes to it.
type Notification struct {
	ID       string // apns-id, the sender's or made
	Topic    string
	Payload  []byte    // for MDM {"mdm": PushMagic}; taken as it came
	Priority int       // 10, 5 or 1
	At       time.Time // when it was accepted
	Expires  time.Time // zero: it was not to be kept
}

type token [TokenSize]byte

// A device is one token's state; guarded by Service.mu.
type device struct {
	topic   string
	chance  rand.PCG // faults for this token
	meter   cloud.Meter
	gone    time.Time          // unregistered since; zero: registered
	deliver func(Notification) // nil: offline
	kept    *Notification      // the last one that came while offline
	stream  *cloud.Stream      // through which it is online; nil: offline, or a device of this process
	token   token
	unasked bool // a stream made it known, and nobody has pushed to it
}

// Register makes a device known under topic and returns its token, TokenSize bytes. Tokens come from the
// seed in the order of registrations; where that order may differ between runs, use [Service.RegisterAs].
func (s *Service) Register(topic string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nameless++
	return s.register(topic, "", s.nameless)
}

// RegisterAs is Register for a device with a name of its own, by which the token is the same in every run
// with the same seed. A device that is registered already gets the token it has; after Unregister it gets a
// new one.
func (s *Service) RegisterAs(topic, name string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := [2]string{topic, name}
	n := max(s.names[key], 1)
	t := s.tokenOf(topic, name, n)
	if d := s.devices[t]; d != nil {
		if d.gone.IsZero() {
			return t[:]
		}
		n++
	}
	s.names[key] = n
	return s.register(topic, name, n)
}

// RegisterToken is Register for a device that brings its token, TokenSize bytes, along: one that was kept from an
// earlier run. A token that is registered already, or of another size, is ignored.
func (s *Service) RegisterToken(topic string, tok []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(tok) == TokenSize && s.find(tok) == nil {
		s.add(token(tok), topic)
	}
}

// Unregister ends a token: pushes to it get 410 with this moment. What was kept for it is discarded. An
// unknown token is ignored.
func (s *Service) Unregister(tok []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.find(tok)
	if d == nil {
		return
	}
	d.gone = s.cfg.Now()
	d.deliver = nil
	if d.kept != nil {
		d.kept = nil
		s.count.Waiting--
		s.count.Discarded++
	}
}

// Connect brings a device online. What was kept for it is delivered before Connect returns, unless it has
// expired; from then on every push is delivered, by the goroutine that serves it, before it is answered. So
// deliver must be quick and safe for concurrent use, and it may be called once more by a push that was under
// way when Disconnect was called. It may call the Service. Connecting again replaces deliver; a token that is
// not registered is ignored.
func (s *Service) Connect(tok []byte, deliver func(Notification)) {
	s.mu.Lock()
	d := s.find(tok)
	if d == nil {
		s.mu.Unlock()
		return
	}
	n := s.online(d, deliver)
	s.mu.Unlock()
	if n != nil {
		deliver(*n)
	}
}

// online has deliver called for what comes for d, and returns what was kept for it. The lock is held.
func (s *Service) online(d *device, deliver func(Notification)) *Notification {
	d.deliver = deliver
	n := d.kept
	if n == nil {
		return nil
	}
	d.kept = nil
	s.count.Waiting--
	if !n.Expires.After(s.cfg.Now()) {
		s.count.Expired++
		return nil
	}
	s.count.Delivered++
	return n
}

// Disconnect takes a device offline: the last push from now on is kept for it.
func (s *Service) Disconnect(tok []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d := s.find(tok); d != nil {
		d.deliver = nil
	}
}

// find returns the registered device with this token, nil if there is none.
func (s *Service) find(tok []byte) *device {
	if len(tok) != TokenSize {
		return nil
	}
	d := s.devices[token(tok)]
	if d == nil || !d.gone.IsZero() {
		return nil
	}
	return d
}

func (s *Service) register(topic, name string, n uint64) []byte {
	t := s.tokenOf(topic, name, n)
	s.add(t, topic)
	return t[:]
}

func (s *Service) add(t token, topic string) *device {
	d := &device{topic: topic, token: t}
	d.chance.Seed(s.cfg.Seed, binary.BigEndian.Uint64(t[:]))
	s.devices[t] = d
	s.count.Registered++
	return d
}

// tokenOf draws the n-th token of a name from the seed.
func (s *Service) tokenOf(topic, name string, n uint64) token {
	h := fnv.New64a()
	h.Write([]byte(topic))
	h.Write([]byte{0})
	h.Write([]byte(name))
	h.Write(binary.BigEndian.AppendUint64([]byte{0}, n))
	pcg := rand.NewPCG(s.cfg.Seed, h.Sum64())
	var t token
	for i := 0; i < len(t); i += 8 {
		binary.BigEndian.PutUint64(t[i:], pcg.Uint64())
	}
	return t
}

// send gives n to the device, or keeps it, and returns what is to be called once the lock is free.
func (s *Service) send(d *device, n Notification) (deliver func(Notification)) {
	switch {
	case d.deliver != nil:
		s.count.Delivered++
		return d.deliver
	case !n.Expires.After(n.At): // try once
		s.count.Expired++
	default:
		if d.kept != nil {
			s.count.Replaced++
		} else {
			s.count.Waiting++
		}
		s.count.Stored++
		d.kept = &n
	}
	return nil
}
