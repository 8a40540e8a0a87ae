package device

import (
	"errors"
	"net/http"

	"rollcall/protocol"
	"rollcall/protocol/apple"
)

// order proves to a device that the answer which ends its management is this server's (HST-027). Without a seal, or where it cannot
// be signed, which the log says, nothing is proved.
func (h *Handler) order(w http.ResponseWriter, p *peer, now protocol.Time) {
	if h.cfg.Enrolment.Seal == nil || p == nil || p.id == "" {
		return
	}
	words := apple.OrderWords(&apple.Order{Device: p.id, Certificate: p.cred.Fingerprint, At: now})
	signature, err := h.cfg.Enrolment.Seal.Sign(apple.OrderHeader, words)
	if err != nil {
		h.cfg.Log.WithError(err).WithField("device", p.id).Error("an order cannot be signed")
		return
	}
	w.Header().Set(apple.OrderHeader, apple.OrderValue(words, signature))
}

// errDropped is that the answer to a device is the end of its management.
var errDropped = errors.New("dropped by an administrator's order")

// ends tells whether a command makes an end of a device's management.
func ends(k protocol.CommandKind) bool { return k == protocol.Retire || k == protocol.Erase }

// drop answers a device that an administrator ordered to be dropped: the one answer by which it gives up its management (apple.md
// section 12).
func (h *Handler) drop(w http.ResponseWriter, p *peer, now protocol.Time) {
	h.order(w, p, now)
	h.cfg.Log.WithField("device", p.id).Info("told to give up its management, by an administrator's order")
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusForbidden)
	w.Write((&apple.Forbidden{Code: apple.UnrecognizedDevice, Description: "taken out of management by an administrator"}).JSON())
}
