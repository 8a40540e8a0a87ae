package device

import (
	"context"
	"math"

	"rollcall/protocol"
	"rollcall/protocol/android"
	"rollcall/server"
)

// A device that stays connected says the same at each check-in, and nearly always it stands as it did. Such a message is known by its bytes,
// and so is its answer; whether the identity still counts, whether the device and the world are as they were and whether it is a
// repeat is asked each time. Whatever is otherwise goes the long way, which decides.

// maxKept is how long a message may be that is kept in bytes.
const maxKept = 2 << 10

// A steadyRound is the latest round of a connection's device, where it changed nothing.
type steadyRound struct {
	said   android.Template
	answer []byte
	at     server.Standing
	until  protocol.Time // the answer says something else from then on
	good   bool          // else there is none
}

// again answers a round that is the same as the one before. False: nothing has happened.
func (x *androidRound) again(ctx context.Context) bool {
	s := x.p.steady
	if s == nil || !s.good || x.now >= s.until {
		return false
	}
	id, ok := s.said.Matches(x.body)
	if !ok || !x.h.cfg.Server.Again(ctx, x.now, x.p.cred.Device, &x.p.cred, roundKey(id, 1), &s.at, &x.out) {
		return false
	}
	x.answer = append(x.answer[:0], s.answer...)
	return true
}

// keep has the next round held against this one, decided on when so much was shown, where it changed nothing, and neither did the one before: most
// connections have one check-in. That an Ask is steady says as well that it was decided now and completed a check-in: a repeat has the key of its
// answer, and so has whatever brings work or a policy. Whether the device is enrolled, Again asks. A report goes by more facts than it asks for.
func (x *androidRound) keep(shown uint64) {
	p := x.p
	if x.ev.Verb != protocol.Ask || !x.out.Steady() || x.msg.Status != nil || len(x.body) > maxKept || x.h.watched {
		p.once, p.steady = false, nil
		return
	}
	if !p.once {
		p.once = true
		return
	}
	if p.steady == nil {
		p.steady = new(steadyRound)
	}
	s := p.steady
	s.at, s.answer = server.StandingOf(shown, &x.facts, &x.out), append(s.answer[:0], x.answer...)
	_, s.until = next(x.now, &x.out.State)
	s.good = s.said.Keep(x.body)
}

// forever is until when an answer is good that goes by no time.
const forever = protocol.Time(math.MaxInt64)
