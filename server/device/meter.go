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
	rule, failed := protocol.Rule(""), false
	no, refused := errors.AsType[*protocol.Refusal](err)
	who, unknown := errors.AsType[*stranger](err)
	switch {
	case err == nil:
	case refused:
		rule = no.Rule
	case unknown:
		rule = who.rule
	case errors.Is(err, errTooLarge), errors.Is(err, apple.ErrTooLarge):
		rule = "HST-001"
	case errors.Is(err, protocol.ErrMalformed), errors.Is(err, errBody):
		rule = "HST-002"
	case errors.Is(err, errEncoding):
		rule = "HST-012"
	case errors.Is(err, errMethod), errors.Is(err, errNotOffered), errors.Is(err, errUser):
	default:
		failed = true
	}
	message := "" // it could not be told
	if x != nil && rule != "HST-001" && rule != "HST-002" && rule != "HST-012" {
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

func (h *Handler) shaken(cs tls.ConnectionState, rule protocol.Rule) {
	if h.cfg.Meter != nil {
		h.cfg.Meter.Handshake(cs.DidResume, rule)
	}
}
