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

// StandingOf returns the Standing after an Ask that changed nothing but when its device was seen: facts are the device's, out is what
// was decided, and shown is [Server.Shown] at that time or before.
func StandingOf(shown uint64, facts *delivery.Facts, out *delivery.Outcome) Standing {
	st := &out.State
	return Standing{shown: shown, told: out.Reply.Notice, seen: st.LastSeen, seq: st.Seq, registered: st.Registered, address: st.Push.Token, said: facts.Said}
}

// Again is [Server.Handle] of an Ask of device d with its credential, for a device and a world that are still as at says, where nothing
// waits for the device: the reply is the same again, nothing is written, and at is brought up to date. Key is the message's, which may have
// been answered before. False: nothing has happened; call Handle. Out is room to work in.
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
