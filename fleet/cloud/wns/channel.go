package wns

import (
	"encoding/base64"
	"encoding/binary"
	"hash/fnv"
	"math/rand/v2"
	"net/url"
	"time"

	"rollcall/fleet/cloud"
)

const (
	// ChannelLife is how long a channel is good.
	ChannelLife = 30 * 24 * time.Hour
	// MaxKept is how long a notification for an absent device is kept without X-WNS-TTL, and at most.
	MaxKept = 3 * 24 * time.Hour

	maxToasts = 5
	remember  = 2 * ChannelLife // that a channel was there: later it is unknown (404)
)

// A Notification is what a device receives. Devices may keep the Payload; the service never writes to it.
type Notification struct {
	ID      string // X-WNS-Msg-ID
	Type    string // wns/raw, wns/toast, wns/tile or wns/badge
	Payload []byte
	At      time.Time // when it was accepted
	Expires time.Time // zero: it was not to be kept
}

// A channel is one URI's state; guarded by Service.mu.
type channel struct {
	pfn     string // "": any app's
	ends    time.Time
	closed  bool // before its end
	meter   cloud.Meter
	chance  rand.PCG // faults for this channel
	deliver func(Notification)
	kept    []Notification // for a device that is offline, oldest first
	stream  *cloud.Stream  // through which it is online; nil: offline, or a device of this process
	token   string
	unasked bool // a stream made it known, and nobody has sent to it
}

// OpenChannel opens a channel for the app of a package family on a device with that name, and returns its URI; "" is no app of
// Config.Apps. A device that opens another one has both until the older one ends. URIs come from the seed, the names and how often each
// was given, so that they are the same in every run.
func (s *Service) OpenChannel(pfn, name string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := pfn + "\x00" + name
	s.opened[key]++
	h := fnv.New64a()
	h.Write([]byte(key))
	h.Write(binary.BigEndian.AppendUint64(nil, s.opened[key]))
	pcg := rand.NewPCG(s.cfg.Seed, h.Sum64())
	var raw [48]byte
	for i := 0; i < len(raw); i += 8 {
		binary.BigEndian.PutUint64(raw[i:], pcg.Uint64())
	}
	token := base64.StdEncoding.EncodeToString(raw[:])
	s.open(token, pfn)
	return s.cfg.URL + "/w/?token=" + url.QueryEscape(token)
}

func (s *Service) open(token, pfn string) *channel {
	h := fnv.New64a()
	h.Write([]byte(token))
	c := &channel{pfn: pfn, ends: s.cfg.Now().Add(ChannelLife)}
	c.chance.Seed(s.cfg.Seed, h.Sum64())
	s.channels[token] = c
	s.count.Channels++
	return c
}

// CloseChannel ends a channel before its time: notifications to it get 410. What was kept for it is discarded. One that is not known
// is ignored.
func (s *Service) CloseChannel(uri string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.find(uri); c != nil {
		c.closed, c.deliver = true, nil
		s.discard(c)
	}
}

// Connect brings the device of a channel online. What was kept for it is delivered before Connect returns, unless it has expired;
// from then on every notification is delivered, by the goroutine that serves it, before it is answered. So deliver must be quick and
// safe for concurrent use. It may call the Service. A channel that is not known, or has ended, is ignored.
func (s *Service) Connect(uri string, deliver func(Notification)) {
	s.mu.Lock()
	c := s.find(uri)
	if c == nil || c.over(s.cfg.Now()) || c.stream != nil {
		s.mu.Unlock()
		return
	}
	kept := s.connect(c, deliver)
	s.mu.Unlock()
	for _, n := range kept {
		deliver(n)
	}
}

// connect has a channel's notifications delivered from now on, and returns those that were kept and are good. The lock is held.
func (s *Service) connect(c *channel, deliver func(Notification)) []Notification {
	c.deliver = deliver
	kept, now := c.kept, s.cfg.Now()
	c.kept = nil
	s.count.Waiting -= uint64(len(kept))
	good := kept[:0]
	for _, n := range kept {
		if n.Expires.After(now) {
			good = append(good, n)
		}
	}
	s.count.Expired += uint64(len(kept) - len(good))
	s.count.Delivered += uint64(len(good))
	return good
}

// Disconnect takes the device of a channel offline.
func (s *Service) Disconnect(uri string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.find(uri); c != nil {
		c.deliver = nil
	}
}

// find returns the channel of a URI, nil if there is none. The lock is held.
func (s *Service) find(uri string) *channel {
	u, err := url.Parse(uri)
	if err != nil {
		return nil
	}
	return s.channels[u.Query().Get("token")]
}

// over: one through which a stream is up lasts.
func (c *channel) over(now time.Time) bool {
	return c.closed || c.stream == nil && !now.Before(c.ends)
}

func (s *Service) discard(c *channel) {
	s.count.Waiting -= uint64(len(c.kept))
	s.count.Discarded += uint64(len(c.kept))
	c.kept = nil
}

// send gives n to the device, or keeps it, and returns what X-WNS-Status says and what is to be called once the lock is free.
func (s *Service) send(c *channel, n Notification) (outcome string, deliver func(Notification)) {
	if c.deliver != nil {
		s.count.Delivered++
		return "received", c.deliver
	}
	if n.Expires.IsZero() {
		s.count.Dropped++
		return "dropped", nil
	}
	most := 1
	if n.Type == "wns/toast" {
		most = maxToasts
	}
	oldest, same := -1, 0
	for i := range c.kept {
		if c.kept[i].Type == n.Type {
			if same++; oldest < 0 {
				oldest = i
			}
		}
	}
	if same >= most {
		c.kept = append(c.kept[:oldest], c.kept[oldest+1:]...)
		s.count.Replaced++
		s.count.Waiting--
	}
	c.kept = append(c.kept, n)
	s.count.Waiting++
	return "received", nil
}
