package apns

import (
	"rollcall/fleet/cloud"
	"rollcall/protocol/wake"
)

// Doorman takes the streams of devices.
func (s *Service) Doorman() *cloud.Doorman {
	return &cloud.Doorman{
		ALPN: wake.APNs, Certificates: s.tls.Certificates, Shaken: s.shaken, Online: s.begin, Offline: s.end, Replaced: s.replaced, GiveBack: s.giveBack,
	}
}

// begin brings the device online, in place of an older stream of its. It says why not.
func (s *Service) begin(st *cloud.Stream, t [TokenSize]byte, topic string) (address, why string) {
	if !goodTopic(topic) {
		return "", "no topic can be called that"
	}
	s.mu.Lock()
	d := s.devices[t]
	switch {
	case d == nil && !s.cfg.AnyToken:
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
		return "", why
	}
	old := d.stream
	st.Device, d.stream = d, st
	s.count.Streams++
	deliver := func(n Notification) { st.Deliver(n, n.Payload) }
	n := s.online(d, deliver)
	s.mu.Unlock()
	old.Close()
	if n != nil {
		deliver(*n)
	}
	return "", ""
}

// end takes the device offline. What it does not have for sure waits for its next stream.
func (s *Service) end(st *cloud.Stream) {
	d := st.Device.(*device)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count.Streams--
	if d.stream != st { // a newer one is in its place
		return
	}
	d.stream, d.deliver = nil, nil
	if d.unasked { // nobody ever pushed to it: whoever makes tokens up costs nothing
		delete(s.devices, d.token)
		s.count.Registered--
	}
}

// giveBack keeps a notification that was handed over and has not arrived.
func (s *Service) giveBack(st *cloud.Stream, unread any) {
	d, n := st.Device.(*device), unread.(Notification)
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

func (s *Service) replaced(any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count.Delivered--
	s.count.Replaced++
}
