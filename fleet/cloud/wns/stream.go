package wns

import (
	"crypto/sha256"
	"encoding/base64"
	"net/url"
	"slices"
	"strings"

	"rollcall/fleet/cloud"
	"rollcall/protocol/wake"
)

// Doorman takes the streams of machines. The topic is the package family name that the machine's server told it; the address is its
// channel's URI, the same at each of its streams, and good while one is up and 30 days from then.
func (s *Service) Doorman() *cloud.Doorman {
	return &cloud.Doorman{ALPN: wake.WNS, Certificates: s.face.TLS.Certificates, Online: s.online, Offline: s.offline, Replaced: s.replaced, GiveBack: s.giveBack}
}

func (s *Service) online(st *cloud.Stream, secret [wake.TokenSize]byte, pfn string) (address, why string) {
	if len(s.cfg.Apps) > 0 && !slices.ContainsFunc(s.cfg.Apps, func(a App) bool { return strings.EqualFold(a.PFN, pfn) }) {
		return "", "no app here has that package family name"
	}
	sum := sha256.Sum256(secret[:]) // the address is no secret
	token := base64.RawURLEncoding.EncodeToString(sum[:])
	s.mu.Lock()
	c := s.channels[token]
	if c == nil {
		c = s.open(token, pfn)
		c.token, c.unasked = token, true
	}
	old := c.stream
	c.pfn, c.closed, c.stream, st.Device = pfn, false, st, c
	deliver := func(n Notification) { st.Deliver(n, n.Payload) }
	kept := s.connect(c, deliver)
	s.mu.Unlock()
	old.Close()
	for _, n := range kept {
		deliver(n)
	}
	return s.cfg.URL + "/w/?token=" + url.QueryEscape(token), ""
}

func (s *Service) offline(st *cloud.Stream) {
	c := st.Device.(*channel)
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.stream != st { // a newer one is in its place
		return
	}
	c.stream, c.deliver, c.ends = nil, nil, s.cfg.Now().Add(ChannelLife)
	if c.unasked { // nobody ever sent to it: whoever makes secrets up costs nothing
		delete(s.channels, c.token)
		s.count.Channels--
	}
}

func (s *Service) replaced(any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count.Delivered--
	s.count.Replaced++
}

// giveBack keeps a notification that was handed over and has not arrived, as far as it was to be kept.
func (s *Service) giveBack(st *cloud.Stream, unread any) {
	n := unread.(Notification)
	s.mu.Lock()
	s.count.Delivered--
	_, deliver := s.send(st.Device.(*channel), n)
	s.mu.Unlock()
	if deliver != nil {
		deliver(n)
	}
}
