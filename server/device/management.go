package device

import (
	"net/http"

	"rollcall/protocol"
	"rollcall/protocol/apple"
	"rollcall/server/delivery"
)

// told answers a machine that asks who manages it, once its message is decided, as that left its device in s. Only machines that people look
// at ask: it costs a reading of the record, and where that fails, or p is bound to no device yet, nothing is said.
func (h *Handler) told(w http.ResponseWriter, r *http.Request, p *peer, s *delivery.State) {
	if r.Header[apple.ManagementHeader] == nil {
		return
	}
	d := p.cred.Device
	if d == 0 && s.Identity.Fingerprint == p.cred.Fingerprint { // bound just now
		d = s.Device
	}
	record, err := h.cfg.Server.Store().Record(r.Context(), d)
	if err != nil || record.State.Life != delivery.Enrolled && record.State.Life != delivery.Enrolling {
		return
	}
	if m := h.cfg.Server.World().Management(&record.State); m != (protocol.Management{}) {
		w.Header().Set(apple.ManagementHeader, apple.ManagementValue(m))
	}
}
