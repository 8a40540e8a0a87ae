package google

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"log"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"

	"rollcall/fleet/cloud"
)

// Config is what a Service is made of. URL is needed; all else may be zero.
type Config struct {
	URL             string           // where clients reach the service: https, host and port
	Certificate     *tls.Certificate // of the service; nil: made by New, with a CA of its own
	Hosts           []string         // more names and addresses for a made certificate, beside loopback
	Now             func() time.Time // clock for everything but the network's timeouts; nil: time.Now
	TokenLife       time.Duration    // of access tokens; zero: one hour
	PerProject      cloud.Rate       // messages of one project before it is 429; zero: 600,000 a minute
	AnyRegistration bool             // take every id: an unknown one is registered by its first message, or as its device connects
	Demote          float64          // share of messages with high priority and without a notification that are taken for normal ones
	Faults          Faults           // where the dials stand at first
	Seed            uint64           // registrations and chance
	Observe         func(Push)       // called once for each message, when its answer is decided; may be nil
	ErrorLog        *log.Logger      // where net/http tells of broken connections; nil: the log package's own
}

// A Push is one request as the service saw it.
type Push struct {
	Name         string // of the message; empty: it was not accepted
	Registration string // fid or token, as it came
	Status       int    // 0: no answer, because of a fault
	Code         string // errorCode of FCM, or else the status of Google's error; empty: accepted
	Fault        Fault  // what was done to it on purpose
}

// Counters are what has happened since New. The sum of Delivered, Replaced, Expired, Discarded, Dropped and Waiting is Accepted.
type Counters struct {
	Registered    uint64            `json:"registered"`     // ids given out
	Tokens        uint64            `json:"tokens"`         // access tokens given out
	TokensRefused uint64            `json:"tokens_refused"` // and not
	Accepted      uint64            `json:"accepted"`       // messages answered 200, but for those that were only to be checked
	Delivered     uint64            `json:"delivered"`      // handed to a device
	Replaced      uint64            `json:"replaced"`       // displaced by later ones, or lost because they were too many
	Expired       uint64            `json:"expired"`        // their time to live was over
	Discarded     uint64            `json:"discarded"`      // lost with their registration
	Dropped       uint64            `json:"dropped"`        // lost by a fault, or nobody's: those to topics
	Waiting       uint64            `json:"waiting"`        // kept now
	Refused       map[string]uint64 `json:"refused"`        // by code, faults included
	Faults        map[Fault]uint64  `json:"faults"`         // by fault
}

// A Service is a simulated Google; make one with [New]. Its methods are safe for concurrent use.
type Service struct {
	cfg    Config
	face   cloud.Face
	tokens cloud.Tokens // each somebody's for a project and scopes: see grant

	mu            sync.Mutex
	accounts      map[string]*account      // by mail address
	registrations map[string]*registration // by id
	names         map[[2]string]uint64     // generation of a registration by project and name
	projects      map[string]*cloud.Meter
	waiting       map[*registration]bool // have something that may be delivered without anybody's doing
	numbers       uint64                 // of messages
	dials         cloud.Dials[Fault]
	count         Counters
}

// A registration is one app's on one device; guarded by Service.mu.
type registration struct {
	project string // "": any
	gone    bool
	box     mailbox
	due     time.Time // when box may have something; zero: never
	chance  rand.PCG  // faults and demotion
	deliver func(Message)
	stream  *cloud.Stream // through which it is online; nil: offline, or a device of this process
	id      string
	unasked bool // a stream made it known, and nobody has sent to it
}

// New makes a Service. The error says what is wrong with c.
func New(c Config) (*Service, error) {
	dials, err := c.Faults.dials()
	if err != nil {
		return nil, err
	}
	if !(c.Demote >= 0 && c.Demote <= 1) {
		return nil, errors.New("share of demoted messages: want 0 to 1")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.TokenLife == 0 {
		c.TokenLife = time.Hour
	}
	if c.PerProject, err = c.PerProject.Or(cloud.Rate{Messages: 600_000, Per: time.Minute}); err != nil {
		return nil, fmt.Errorf("rate per project: %w", err)
	}
	if c.Observe == nil {
		c.Observe = func(Push) {}
	}
	face, err := cloud.NewFace("Google", c.URL, c.Certificate, c.Now, c.Hosts...)
	if err != nil {
		return nil, err
	}
	s := &Service{
		cfg: c, face: face, accounts: map[string]*account{}, registrations: map[string]*registration{}, names: map[[2]string]uint64{},
		projects: map[string]*cloud.Meter{}, waiting: map[*registration]bool{}, dials: dials,
		count: Counters{Refused: map[string]uint64{}, Faults: map[Fault]uint64{}},
	}
	return s, nil
}

// CA returns, as PEM, the certificate that clients must trust if New made the service's own; nil otherwise.
func (s *Service) CA() []byte { return s.face.CA }

// SetFaults sets all dials anew; what is left of an old script is forgotten. The error says which is wrong.
func (s *Service) SetFaults(f Faults) error {
	d, err := f.dials()
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dials = d
	return nil
}

// ForgetTokens makes all access tokens worthless that were given so far.
func (s *Service) ForgetTokens() { s.tokens.Forget() }

// Counters returns a copy of what was counted so far.
func (s *Service) Counters() Counters {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.count
	c.Refused = maps.Clone(c.Refused)
	c.Faults = maps.Clone(c.Faults)
	return c
}

// tick is how often, in real time, Serve delivers what has become due.
const tick = time.Second

// Serve takes connections of ln until ctx ends, and delivers what becomes due meanwhile; see [cloud.Serve].
func (s *Service) Serve(ctx context.Context, ln net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var ticking sync.WaitGroup
	defer ticking.Wait()
	defer cancel()
	ticking.Go(func() {
		every := time.NewTicker(tick)
		defer every.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-every.C:
				s.Tick()
			}
		}
	})
	mux := http.NewServeMux()
	mux.HandleFunc("/", notFound)
	mux.HandleFunc("POST "+tokenPath, s.giveToken)
	mux.HandleFunc("POST /v1/projects/{project}/{verb}", s.send)
	return cloud.Serve(ctx, ln, s.face.TLS, mux, s.cfg.ErrorLog)
}

// Register registers an app of a project on a device with that name, and returns the id: a Firebase installation's. A device that
// registers again gets another one, and the older one is worth nothing any more. Ids come from the seed, the names and how often each
// was given, so that they are the same in every run.
func (s *Service) Register(project, name string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := [2]string{project, name}
	if n := s.names[key]; n > 0 {
		s.unregister(s.idOf(project, name, n))
	}
	s.names[key]++
	id := s.idOf(project, name, s.names[key])
	s.add(id, project)
	return id
}

// RegisterID is Register for a device that brings its id along, of whatever form. One that is known already is left as it is.
func (s *Service) RegisterID(project, id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if id != "" && s.registrations[id] == nil {
		s.add(id, project)
	}
}

func (s *Service) add(id, project string) *registration {
	h := fnv.New64a()
	h.Write([]byte(id))
	r := &registration{project: project, box: mailbox{contact: s.cfg.Now()}}
	r.chance.Seed(s.cfg.Seed, h.Sum64())
	s.registrations[id] = r
	s.count.Registered++
	return r
}

// idOf draws the n-th id of a name: 17 bytes, of which the first begins with the bits 0111, as 22 characters.
func (s *Service) idOf(project, name string, n uint64) string {
	h := fnv.New64a()
	h.Write([]byte(project + "\x00" + name))
	h.Write(binary.BigEndian.AppendUint64(nil, n))
	pcg := rand.NewPCG(s.cfg.Seed, h.Sum64())
	var raw [24]byte
	for i := 0; i < len(raw); i += 8 {
		binary.BigEndian.PutUint64(raw[i:], pcg.Uint64())
	}
	raw[0] = 0x70 | raw[0]&0x0f
	return base64.RawURLEncoding.EncodeToString(raw[:])[:22]
}

// Unregister ends a registration, as the removal of the app does: messages to it get UNREGISTERED. An unknown id is ignored.
func (s *Service) Unregister(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unregister(id)
}

func (s *Service) unregister(id string) {
	r := s.registrations[id]
	if r == nil || r.gone {
		return
	}
	r.gone, r.deliver = true, nil
	s.count.Waiting -= uint64(len(r.box.kept))
	s.count.Discarded += uint64(len(r.box.kept))
	r.box.kept = nil
	delete(s.waiting, r)
}

// Connect brings a device online. What was kept for it, and may be delivered, is before Connect returns; from then on messages are
// delivered by the goroutine that serves them or calls Tick. So deliver must be quick and safe for concurrent use. It may call the
// Service. An id that is not registered is ignored, or registered with [Config.AnyRegistration].
func (s *Service) Connect(id string, deliver func(Message)) {
	s.mu.Lock()
	if s.registrations[id] == nil && s.cfg.AnyRegistration {
		s.add(id, "")
	}
	s.mu.Unlock()
	s.with(id, func(r *registration) { r.deliver, r.box.online = deliver, true })
}

// Disconnect takes a device offline.
func (s *Service) Disconnect(id string) {
	s.with(id, func(r *registration) { r.deliver = nil; r.box.leave(s.cfg.Now()) })
}

// Idle says that a device is not used from now on: after an hour it dozes. Used says that it is: what waited for a window of doze is
// delivered.
func (s *Service) Idle(id string) {
	s.with(id, func(r *registration) { r.box.idle = s.cfg.Now() })
}

// Used is the end of Idle.
func (s *Service) Used(id string) {
	s.with(id, func(r *registration) { r.box.idle = time.Time{} })
}

// Due is when Tick has something to deliver; zero: never, unless something else happens.
func (s *Service) Due() (due time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for r := range s.waiting {
		if due.IsZero() || r.due.Before(due) {
			due = r.due
		}
	}
	return due
}

// Tick delivers what has become due.
func (s *Service) Tick() {
	s.mu.Lock()
	now := s.cfg.Now()
	var calls []func()
	for r := range s.waiting {
		if !r.due.After(now) {
			calls = append(calls, s.flush(r, now)...)
		}
	}
	s.mu.Unlock()
	for _, call := range calls {
		call()
	}
}

// with changes a registration, and delivers what may be delivered then.
func (s *Service) with(id string, change func(*registration)) {
	s.mu.Lock()
	r := s.registrations[id]
	s.mu.Unlock()
	if r != nil {
		s.change(r, func() { change(r) })
	}
}

// change is with of a registration that is there; one that has ended is left alone.
func (s *Service) change(r *registration, change func()) {
	s.mu.Lock()
	if r.gone {
		s.mu.Unlock()
		return
	}
	change()
	calls := s.flush(r, s.cfg.Now())
	s.mu.Unlock()
	for _, call := range calls {
		call()
	}
}

// flush takes what a registration can have now, and returns what is to be called once the lock is free.
func (s *Service) flush(r *registration, now time.Time) (calls []func()) {
	out, expired, due := r.box.take(now)
	s.count.Expired += uint64(expired)
	s.count.Waiting -= uint64(expired)
	deliver := r.deliver
	for _, m := range out {
		if !m.Deleted {
			s.count.Delivered++
			s.count.Waiting--
		}
		calls = append(calls, func() { deliver(m) })
	}
	if r.due = due; due.IsZero() {
		delete(s.waiting, r)
	} else {
		s.waiting[r] = true
	}
	return calls
}
