package device

import (
	"cmp"
	"crypto/tls"
	"errors"
	"time"

	"rollcall/protocol"
	"rollcall/protocol/apple"
	"rollcall/server/delivery"
)

// A Meter is told what devices did, as it happens. Safe for concurrent use.
type Meter interface {
	// CheckIn is one message: its kind, or an empty one where it could not be told, the rule that refused it, whether it failed for
	// a fault of ours, and how long it took with its commit.
	CheckIn(message string, rule protocol.Rule, failed bool, took time.Duration)
	Enrolled(p protocol.Platform)
	Handshake(resumed bool, rule protocol.Rule) // with a rule it was refused
}

// metered tells the meter of one message and how it ended.
func (h *Handler) metered(x *exchange, began time.Time, err error) {
	m := h.cfg.Meter
	if m == nil {
		return
	}
	rule, failed, told := judged(err, "HST-002")
	message := ""
	if x != nil && told {
		if message = x.msg.MessageType.String(); x.msg.MessageType == apple.NoMessageType {
			message = cmp.Or(x.msg.Status.String(), "Idle")
		}
	}
	m.CheckIn(message, rule, failed, time.Since(began))
	if err != nil || x.msg.MessageType != apple.TokenUpdate {
		return
	}
	for i := range x.out.Effects {
		if e := &x.out.Effects[i]; e.Kind == delivery.Journal && e.What == delivery.WhatEnrolled {
			m.Enrolled(x.out.State.Platform)
		}
	}
}

// judged is the rule by which a message was refused, if any was; whether it failed for a fault of ours; and whether it could be told what
// it was. Malformed is the platform's rule for one that could not be read.
func judged(err error, malformed protocol.Rule) (rule protocol.Rule, failed, told bool) {
	no, refused := errors.AsType[*protocol.Refusal](err)
	who, unknown := errors.AsType[*stranger](err)
	switch {
	case err == nil:
	case refused:
		rule = no.Rule
	case unknown:
		rule = who.rule
	case errors.Is(err, errTooLarge), errors.Is(err, apple.ErrTooLarge):
		return "HST-001", false, false
	case errors.Is(err, protocol.ErrMalformed), errors.Is(err, errBody):
		return broken(err, malformed), false, false
	case errors.Is(err, errEncoding):
		return "HST-012", false, false
	default:
		failed = !errors.Is(err, errMethod) && !errors.Is(err, errMediaType) && !errors.Is(err, errNotOffered) && !errors.Is(err, errUser)
	}
	return rule, failed, true
}

// broken is the rule that a message breaks which could not be read, as the error says; otherwise the one for all such messages.
func broken(err error, otherwise protocol.Rule) protocol.Rule {
	if rule, ok := errors.AsType[protocol.Rule](err); ok {
		return rule
	}
	return otherwise
}

func (h *Handler) shaken(cs tls.ConnectionState, rule protocol.Rule) {
	if h.cfg.Meter != nil {
		h.cfg.Meter.Handshake(cs.DidResume, rule)
	}
}
