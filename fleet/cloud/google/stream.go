package google

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"net"

	"rollcall/fleet/cloud"
	"rollcall/protocol/wake"
)

// ServeDevices takes the streams of machines (package protocol/wake) on ln until ctx ends; then it closes them and ln and returns nil.
// Any other end is an error. The certificate is config's, which may not be nil unless New made the service's own.
func (s *Service) ServeDevices(ctx context.Context, ln net.Listener, config *tls.Config) error {
	if config == nil {
		config = &tls.Config{Certificates: s.face.TLS.Certificates}
	}
	return cloud.ServeStreams(ctx, ln, config, s.Doorman())
}

// Doorman takes the streams of machines. The address is the id of the machine's registration, the same at each of its streams.
func (s *Service) Doorman() *cloud.Doorman {
	return &cloud.Doorman{ALPN: wake.FCM, Online: s.online, Offline: s.offline, GiveBack: func(st *cloud.Stream, unread any) {
		s.giveBack(st.Device.(*registration), unread.(Message))
	}}
}

func (s *Service) online(st *cloud.Stream, secret [wake.TokenSize]byte, _ string) (address, why string) {
	sum := sha256.Sum256(secret[:]) // the address is no secret
	sum[0] = 0x70 | sum[0]&0x0f
	id := base64.RawURLEncoding.EncodeToString(sum[:])[:22]
	s.mu.Lock()
	r := s.registrations[id]
	if r == nil {
		r = s.add(id, "")
		r.id, r.unasked = id, true
	}
	old := r.stream
	r.gone, r.stream, r.deliver, r.box.online, st.Device = false, st, func(m Message) { s.hand(st, r, m) }, true, r
	calls := s.flush(r, s.cfg.Now())
	s.mu.Unlock()
	if old != nil {
		old.Close()
	}
	for _, call := range calls {
		call()
	}
	return id, ""
}

func (s *Service) offline(st *cloud.Stream) {
	r := st.Device.(*registration)
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.stream != st { // a newer one is in its place
		return
	}
	r.stream, r.deliver, r.box.online = nil, nil, false
	if r.unasked { // nobody ever sent to it: whoever makes secrets up costs nothing
		delete(s.registrations, r.id)
		s.count.Registered--
	}
}

// hand gives a stream what comes for its machine, which hears that something came, and nothing of what.
func (s *Service) hand(st *cloud.Stream, r *registration, m Message) {
	replaced, ok := st.Deliver(m, nil)
	if !ok {
		s.giveBack(r, m)
		return
	}
	if was, _ := replaced.(Message); replaced != nil && !was.Deleted {
		s.mu.Lock()
		s.count.Delivered--
		s.count.Replaced++
		s.mu.Unlock()
	}
}

// giveBack keeps a message that was handed over and has not arrived, as long as it is to be kept.
func (s *Service) giveBack(r *registration, m Message) {
	s.change(r, func() {
		if m.Deleted { // it is none
			r.box.deleted = true
			return
		}
		s.count.Delivered--
		lost := r.box.put(m)
		s.count.Replaced += uint64(lost)
		s.count.Waiting += 1 - uint64(lost)
	})
}
