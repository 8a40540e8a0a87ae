package device

import (
	"net/http"
	"sync"

	"rollcall/protocol"
	"rollcall/protocol/apple"
)

// notices are the headers of the latest change of authority. All devices hear of it in the same few words, so each is
// signed once.
type notices struct {
	mu    sync.Mutex
	epoch uint32
	made  map[protocol.Notice][]string
}

// notify tells a device of a change of authority; a zero notice, or a server without a seal, tells nothing.
func (h *Handler) notify(w http.ResponseWriter, n *protocol.Notice) {
	if *n == (protocol.Notice{}) || h.cfg.Enrolment.Seal == nil {
		return
	}
	if value := h.notice(*n); value != nil {
		w.Header()[apple.NoticeHeader] = value
	}
}

// notice returns n as a header's values; nil: it could not be signed, which the log says.
func (h *Handler) notice(n protocol.Notice) []string {
	h.notes.mu.Lock()
	defer h.notes.mu.Unlock()
	if h.notes.epoch != n.Epoch || h.notes.made == nil {
		h.notes.epoch, h.notes.made = n.Epoch, map[protocol.Notice][]string{}
	}
	value, ok := h.notes.made[n]
	if !ok {
		words := apple.NoticeWords(n)
		signature, err := h.cfg.Enrolment.Seal.Sign(apple.NoticeHeader, words)
		if err != nil {
			h.cfg.Log.WithError(err).WithField("epoch", n.Epoch).Error("a notice of a change of authority cannot be signed")
			return nil
		}
		value = []string{apple.NoticeValue(words, signature)}
		h.notes.made[n] = value
	}
	return value
}
