package server

import (
	"bytes"
	"context"

	"rollcall/protocol"
	"rollcall/server/delivery"
)

// A Standing is how a round that changed nothing left its device.
type Standing struct {
	shown      uint64
	told       protocol.Notice
	seen       protocol.Time
	seq        uint64
	registered protocol.Authority
	address    []byte
	said       string
}

// StandingOf is that of an Ask of a device whose facts were these, of which out was decided when so much was shown, or more, and which
// changed nothing but when the device was seen.
func StandingOf(shown uint64, facts *delivery.Facts, out *delivery.Outcome) Standing {
	st := &out.State
	return Standing{shown: shown, told: out.Reply.Notice, seen: st.LastSeen, seq: st.Seq, registered: st.Registered, address: st.Push.Token, said: facts.Said}
}

// Again is [Server.Handle] of an Ask of device d with its credential, where the device and the world are as at says and nothing waits for the
// device: then the reply is what it was, nothing is written, and at is how it leaves the device. Key is the message's, which may be one
// that was answered before. False: nothing has happened, and it takes Handle to say what will. Out is room.
func (s *Server) Again(ctx context.Context, now protocol.Time, d protocol.Device, c *delivery.Credential, key delivery.Key, at *Standing, out *delivery.Outcome) bool {
	if !s.unwatched() || now < at.seen {
		return false
	}
	tx, err := s.store.Begin(ctx, d)
	if err != nil {
		return false
	}
	defer tx.End()
	st, snap := tx.State(), s.snap.Load()
	if snap.nth != at.shown || st.LastSeen != at.seen || st.Seq != at.seq || st.Registered != at.registered ||
		!bytes.Equal(st.Push.Token, at.address) || tx.Said() != at.said || tx.Answered(key, out) {
		return false
	}
	if told, ok := snap.world.Rests(now, st, c); !ok || told != at.told {
		return false
	}
	out.State, out.Changed, out.Facts, out.Exchange.Key = *st, 0, nil, delivery.Key{}
	out.Commands, out.Effects = out.Commands[:0], out.Effects[:0]
	out.State.Rest(now)
	if tx.Commit(now, out) != nil {
		return false
	}
	at.seen = now
	return true
}
