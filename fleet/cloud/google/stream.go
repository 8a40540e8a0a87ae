package google

import (
	"crypto/sha256"
	"encoding/base64"

	"rollcall/fleet/cloud"
	"rollcall/protocol/wake"
)

// Doorman takes the streams of machines. The address is the id of the machine's registration, the same at each of its streams. A machine
// hears that something came, and nothing of what.
func (s *Service) Doorman() *cloud.Doorman {
	return &cloud.Doorman{ALPN: wake.FCM, Certificates: s.face.TLS.Certificates, Online: s.online, Offline: s.offline, Replaced: s.replaced, GiveBack: s.giveBack}
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
	r.gone, r.stream, r.deliver, r.box.online, st.Device = false, st, func(m Message) { st.Deliver(m, nil) }, true, r
	calls := s.flush(r, s.cfg.Now())
	s.mu.Unlock()
	old.Close()
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
	r.stream, r.deliver = nil, nil
	r.box.leave(s.cfg.Now())
	if r.unasked { // nobody ever sent to it: whoever makes secrets up costs nothing
		delete(s.registrations, r.id)
		s.count.Registered--
	}
}

func (s *Service) replaced(what any) {
	if what.(Message).Deleted { // it is none
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count.Delivered--
	s.count.Replaced++
}

// giveBack keeps a message that was handed over and has not arrived, as long as it is to be kept.
func (s *Service) giveBack(st *cloud.Stream, unread any) {
	r, m := st.Device.(*registration), unread.(Message)
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
