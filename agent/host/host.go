package host

import (
	"context"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"rollcall/agent/courier"
	"rollcall/agent/dialect"
	"rollcall/agent/host/apply"
	"rollcall/agent/link"
	"rollcall/certs"
	"rollcall/protocol"
)

// Config is the machine around an agent. Zero values mean the default that is named.
type Config struct {
	Now     func() time.Time                 // the machine's clock; nil: time.Now
	Facts   func(ctx context.Context) Facts  // nil: ReadFacts
	Machine func(ctx context.Context) string // the system's own id; nil: as the system has it; empty: it has none
	Log     *logrus.Logger                   // nil: silent
	// Transport signs SCEP messages in place of a key that is made for it (apple.md section 3.3); nil: that.
	Transport *rsa.PrivateKey
	Talk      time.Duration // a conversation takes no longer: a server that always has one more command is left (HST-120); 0: 10 min
	Anew      bool          // a damaged state, or one of another machine, is no reason to refuse: it is replaced
	Leave     bool          // nor is it to [Host.Unenrol], and nothing else may be done with it
}

// fill puts the defaults in.
func (cfg *Config) fill() {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Facts == nil {
		cfg.Facts = ReadFacts
	}
	if cfg.Machine == nil {
		cfg.Machine = machineID
	}
	if cfg.Talk == 0 {
		cfg.Talk = 10 * time.Minute
	}
	if cfg.Log == nil {
		cfg.Log = logrus.New()
		cfg.Log.SetOutput(io.Discard)
	}
}

// ErrUnmanaged is wrapped by the errors of a machine that nobody manages.
var ErrUnmanaged = errors.New("nobody manages this machine")

// A Host is this machine as a managed device. It has its state folder until [Host.Close]. Not safe for concurrent use.
type Host struct {
	cfg    Config
	folder *folder
	rec    *record
	facts  Facts
	lost   *lostError // why nothing can be done with the state but to leave; nil: it is whole
	device device     // nil: nothing enrolled, nor begun
	link   *link.Link

	listener *listener                     // nil: no wake-ups come
	stream   atomic.Pointer[courier.State] // of the listener; nil: none was made yet
	pushes   pace                          // of the conversations that they ask for
	sends    allowance                     // of requests
	talking  bool                          // a conversation is under way
	told     bool                          // by this conversation, who manages the machine
	store    *apply.Store                  // of what was made of profiles; nil: not opened yet
	followed []apply.Installed             // as of when files followed last

	running  map[string]bool // acts whose command has not ended
	acted    chan acted      // those that have; room for each
	patience time.Duration   // with a command that does an act
}

// Open takes the state folder dir, which is made where there is none, and goes on where its agent stood. The error wraps [ErrRuns]
// when another process has it.
func Open(ctx context.Context, dir string, cfg Config) (*Host, error) {
	cfg.fill()
	f, err := takeFolder(dir)
	if err != nil {
		return nil, err
	}
	h := &Host{cfg: cfg, folder: f, facts: cfg.Facts(ctx), running: map[string]bool{}, acted: make(chan acted, len(acts)), patience: actWithin}
	if h.rec, err = load(dir); err == nil {
		err = h.mine(ctx)
	}
	if err == nil && h.rec.Device != nil {
		err = h.wake()
	}
	if lost, ok := errors.AsType[*lostError](err); ok && cfg.Leave {
		h.lost, h.device = lost, nil
		if h.rec == nil {
			h.rec = &record{}
		}
		return h, nil
	}
	if err != nil && cfg.Anew {
		h.rec, h.device, err = &record{}, nil, nil
	}
	if err != nil {
		f.close()
		return nil, err
	}
	h.resume()
	return h, nil
}

// resume goes on with files, and with an end, that a crash came in between. What cannot be done is kept in the record, and is tried again.
func (h *Host) resume() {
	if h.leaving() {
		if err := h.over(endedBefore); err != nil {
			h.cfg.Log.WithError(err).Error("the enrolment has ended")
		}
		return
	}
	_ = h.follow()
}

// mine refuses the state of another machine, as a copied folder or a cloned disk brings it: two machines with one identity would
// answer for each other (HST-121).
func (h *Host) mine(ctx context.Context) error {
	here := machineOf(h.cfg.Machine(ctx))
	if h.rec.Machine != "" && here != "" && h.rec.Machine != here {
		return &lostError{fmt.Errorf("%s: %w", h.folder.dir, errForeign)}
	}
	return nil
}

// Close gives the folder back.
func (h *Host) Close() error {
	h.deafen()
	if h.link != nil {
		h.link.Close()
	}
	return h.folder.close()
}

// now is the agent's time.
func (h *Host) now() time.Time { return h.rec.Clock.at(h.cfg.Now()) }

// real is the time by which the certificate of its server is judged.
func (h *Host) real() time.Time { return h.rec.Clock.real(h.cfg.Now()) }

// wake makes the device of its bytes, and its link.
func (h *Host) wake() error {
	d, err := h.rec.read()
	if err != nil {
		return &lostError{fmt.Errorf("the state in %s: %w", h.folder.dir, err)}
	}
	d.share(h)
	h.device = d
	return h.connect()
}

// connect makes the link to the one server.
func (h *Host) connect() error {
	if h.rec.Link == nil {
		return &lostError{fmt.Errorf("the state in %s names no server", h.folder.dir)}
	}
	roots, err := h.rec.Link.roots()
	if err != nil {
		return &lostError{fmt.Errorf("the CA in %s: %w", h.folder.dir, err)}
	}
	var transport []*rsa.PrivateKey
	if h.cfg.Transport != nil {
		transport = append(transport, h.cfg.Transport)
	}
	h.link, err = link.New(link.Config{
		TransportKeys: transport,
		Roots:         roots, Now: h.now, Clock: h.real, Dial: dialTo(h.rec.Link.Host), Keys: h.key, Requests: h.request, Before: h.before, Keep: h.keep, Watcher: watcher{h}, Asks: true,
		Curves: []tls.CurveID{tls.X25519MLKEM768, tls.X25519, tls.CurveP256},
	})
	return err
}

// key gives the key for one challenge, on disk before anybody hears of it: a crash, and whatever was lost on the way, is followed by
// the same request, and by the same certificate.
func (h *Host) key(_ link.Device, s *dialect.SCEP) (*ecdsa.PrivateKey, error) {
	challenge := sha256.Sum256([]byte(s.URL + "\x00" + s.Challenge))
	if n := h.rec.Next; n != nil && string(n.For) == string(challenge[:]) && (h.rec.Pending != nil || s.Challenge != "" || h.now().Sub(n.Made.Time()).Abs() < sameKey) {
		return n.key()
	}
	made, err := certs.GenerateKey(certs.P256)
	if err != nil {
		return nil, err
	}
	key := made.(*ecdsa.PrivateKey)
	b, err := key.Bytes()
	if err != nil {
		return nil, err
	}
	h.rec.Next = &nextKey{For: challenge[:], Key: b, Made: protocol.At(h.now())}
	return key, h.folder.save(h.rec)
}

// sameKey is how long a renewal without a challenge is asked for with the same key: a server repeats no answer of long ago.
const sameKey = time.Hour

// request gives the request that goes with a key, on disk before anybody hears of it: the same key is asked for in the same bytes.
func (h *Host) request(key *ecdsa.PrivateKey, made []byte) ([]byte, error) {
	n := h.rec.Next
	if n == nil {
		return made, nil
	}
	if own, err := n.key(); err != nil || !own.Equal(key) {
		return made, err
	}
	if n.Request == nil {
		n.Request = made
		return made, h.folder.save(h.rec)
	}
	return n.Request, nil
}

// keep puts the device where a restart finds it, before its next request goes out.
func (h *Host) keep(_ link.Device, a *dialect.Act) error {
	d := h.device // a host has no other
	b, err := d.AppendBinary(nil)
	if err != nil {
		return err
	}
	h.rec.Device, h.rec.Listed = b, d.listed()
	found, err := h.rec.read() // as a restart would find it
	if err != nil {
		return err
	}
	if found.taken() {
		h.rec.Pending, h.rec.Link.URL = nil, ""
	}
	if n := h.rec.Next; n != nil && h.rec.Pending == nil && !d.Renewing() && h.uses(n) { // the server has seen it used
		h.rec.Next = nil
	}
	if r := &a.Request; a.Kind == dialect.Send && !r.Repeat {
		for _, o := range ordersOf(r) {
			if err := h.asked(&o); err != nil {
				return err
			}
		}
	}
	if err := h.folder.save(h.rec); err != nil {
		return err
	}
	if !slices.Equal(h.followed, h.installed()) {
		_ = h.follow() // told when the conversation has ended
	}
	return nil
}

// uses tells whether the identity in use has this key.
func (h *Host) uses(n *nextKey) bool {
	c, err := x509.ParseCertificate(h.device.Certificate(dialect.Current))
	if err != nil {
		return false
	}
	key, err := n.key()
	return err == nil && key.PublicKey.Equal(c.PublicKey)
}

// managed tells whether there is an enrolment, finished or not.
func (h *Host) managed() bool {
	return h.device != nil && h.device.taken()
}

// note writes a line into the journal and the log. A journal that cannot be written stops nothing that has happened already.
func (h *Host) note(e Entry) {
	e.At = protocol.At(h.now())
	if err := h.folder.note(e); err != nil {
		h.cfg.Log.WithError(err).Error("the journal cannot be written")
	}
	h.cfg.Log.WithFields(logrus.Fields{"status": e.Status, "uuid": e.UUID, "note": e.Note}).Info(e.What)
}
