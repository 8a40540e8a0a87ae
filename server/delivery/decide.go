package delivery

import "rollcall/protocol"

// Decide says what in means for the device in state s of world w, and overwrites out. It is pure: w, s and in are only
// read, and the same arguments give the same outcome. A steady Ask, with nothing to do, allocates nothing.
func Decide(now protocol.Time, w *World, s *State, in *Event, out *Outcome) {}
