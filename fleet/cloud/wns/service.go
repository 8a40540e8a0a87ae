package wns

import (
	"context"
	"crypto/tls"
	"fmt"
	"log"
	"maps"
	"net"
	"net/http"
	"sync"
	"time"

	"rollcall/fleet/cloud"
)

// Config is what a Service is made of. URL is needed; all else may be zero.
type Config struct {
	URL         string           // begins the channels' URIs: https, host and port
	Apps        []App            // that may send; none: anybody is an app
	Certificate *tls.Certificate // of the service; nil: made by New, with a CA of its own
	Hosts       []string         // more names and addresses for a made certificate, beside loopback
	Now         func() time.Time // clock for everything but the network's timeouts; nil: time.Now
	TokenLife   time.Duration    // of access tokens; zero: 24 hours
	PerChannel  cloud.Rate       // notifications to one channel before it is 406; zero: 60 a minute
	AnyChannel  bool             // take every channel of this service's: an unknown one is opened by its first notification
	Faults      Faults           // where the dials stand at first
	Seed        uint64           // channels and chance
	Observe     func(Push)       // called once for each notification, when its answer is decided; may be nil
	ErrorLog    *log.Logger      // where net/http tells of broken connections; nil: the log package's own
}

// An App is one that Microsoft has registered.
type App struct {
	ClientID, Secret string
	PFN              string // package family name: whose channels it may send to
}

// A Push is one request as the service saw it.
type Push struct {
	ID      string // X-WNS-Msg-ID
	Channel string // token of its URI, as it came
	Status  int    // 0: no answer, because of a fault
	Reason  string // X-WNS-Error-Description
	Outcome string // X-WNS-Status: received, dropped or channelthrottled
	Fault   Fault  // what was done to it on purpose
}

// Counters are what has happened since New. The sum of Delivered, Replaced, Expired, Discarded, Dropped and Waiting is Accepted.
type Counters struct {
	Channels      uint64           `json:"channels"`       // opened
	Tokens        uint64           `json:"tokens"`         // access tokens given out
	TokensRefused uint64           `json:"tokens_refused"` // and not
	Accepted      uint64           `json:"accepted"`       // notifications answered 200
	Delivered     uint64           `json:"delivered"`      // handed to a device, at once or when it came online
	Replaced      uint64           `json:"replaced"`       // kept, and displaced by a later one
	Expired       uint64           `json:"expired"`        // kept, and too old when the device came
	Discarded     uint64           `json:"discarded"`      // lost with their channel
	Dropped       uint64           `json:"dropped"`        // not to be kept for an absent device, or lost by a fault
	Waiting       uint64           `json:"waiting"`        // kept now
	Refused       map[int]uint64   `json:"refused"`        // by status, faults included
	Faults        map[Fault]uint64 `json:"faults"`         // by fault
}

// A Service is a simulated push service; make one with [New]. Its methods are safe for concurrent use.
type Service struct {
	cfg    Config
	face   cloud.Face
	tokens cloud.Tokens

	mu       sync.Mutex
	channels map[string]*channel // by token
	opened   map[string]uint64   // generation of a channel by its name
	numbers  uint64              // of messages
	dials    cloud.Dials[Fault]
	count    Counters
}

// New makes a Service. The error says what is wrong with c.
func New(c Config) (*Service, error) {
	dials, err := c.Faults.dials()
	if err != nil {
		return nil, err
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.TokenLife == 0 {
		c.TokenLife = 24 * time.Hour
	}
	if c.PerChannel, err = c.PerChannel.Or(cloud.Rate{Messages: 60, Per: time.Minute}); err != nil {
		return nil, fmt.Errorf("rate per channel: %w", err)
	}
	if c.Observe == nil {
		c.Observe = func(Push) {}
	}
	face, err := cloud.NewFace("WNS", c.URL, c.Certificate, c.Now, c.Hosts...)
	if err != nil {
		return nil, err
	}
	s := &Service{
		cfg: c, face: face, channels: map[string]*channel{}, opened: map[string]uint64{}, dials: dials,
		count: Counters{Refused: map[int]uint64{}, Faults: map[Fault]uint64{}},
	}
	return s, nil
}

// CA returns, as PEM, the certificate that clients must trust if New made the service's own; nil otherwise.
func (s *Service) CA() []byte { return s.face.CA }

// TokenURL is where an app's owner gets access tokens.
func (s *Service) TokenURL() string { return s.cfg.URL + liveTokens }

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

// Serve takes connections of ln until ctx ends; see [cloud.Serve].
func (s *Service) Serve(ctx context.Context, ln net.Listener) error {
	mux := http.NewServeMux()
	mux.HandleFunc("/", s.notify)
	mux.HandleFunc("POST "+liveTokens, s.live)
	mux.HandleFunc("POST /{tenant}/oauth2/v2.0/token", s.entra)
	return cloud.Serve(ctx, ln, s.face.TLS, mux, s.cfg.ErrorLog)
}
