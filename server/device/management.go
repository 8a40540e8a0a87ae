package device

import (
	"net/http"

	"rollcall/protocol/apple"
	"rollcall/server/delivery"
)

// told answers a machine that asks who manages it, once its message is decided. Only machines that people look at ask: it costs a reading
// of the record, and where that fails, or p is bound to no device yet, nothing is said.
func (h *Handler) told(w http.ResponseWriter, r *http.Request, p *peer) {
	if r.Header[apple.ManagementHeader] == nil || p.cred.Device == 0 {
		return
	}
	record, err := h.cfg.Server.Store().Record(r.Context(), p.cred.Device)
	if err != nil || record.State.Life != delivery.Enrolled {
		return
	}
	w.Header().Set(apple.ManagementHeader, apple.ManagementValue(h.cfg.Server.World().Management(&record.State)))
}
