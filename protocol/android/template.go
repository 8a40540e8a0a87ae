package android

import (
	"bytes"

	"rollcall/protocol"
)

// A Template is the message of a check-in without what is new in each: its id and its time. Another message that is the same around those
// two says the same, and need not be read again.
type Template struct{ middle, end []byte }

const (
	opening = `{"protocol":1,"checkin":"`
	clock   = `"time":"`
)

// Keep makes t the template of a message that [Decode] took. False: it is not written as nearly all are, and t is of no use.
func (t *Template) Keep(message []byte) bool {
	rest, ok := bytes.CutPrefix(message, []byte(opening))
	id := bytes.IndexByte(rest, '"')
	if !ok || id < 0 {
		return false
	}
	rest = rest[id:]
	at := bytes.Index(rest, []byte(clock)) + len(clock)
	if at < len(clock) {
		return false
	}
	long := bytes.IndexByte(rest[at:], '"')
	if long < 0 {
		return false
	}
	t.middle, t.end = append(t.middle[:0], rest[:at]...), append(t.end[:0], rest[at+long:]...)
	return true
}

// Matches tells whether [Decode] would read of message what it read of the one that was kept, but for the id, which comes back as a part of
// message, and the time. False: it may all the same.
func (t *Template) Matches(message []byte) (id []byte, ok bool) {
	rest, ok := bytes.CutPrefix(message, []byte(opening))
	end := bytes.IndexByte(rest, '"')
	if !ok || end < 0 || len(message) > MaxMessage {
		return nil, false
	}
	id, rest = rest[:end], rest[end:]
	long := len(rest) - len(t.middle) - len(t.end) // of the time
	if long <= 0 || !bytes.HasPrefix(rest, t.middle) || !bytes.HasSuffix(rest, t.end) || !ValidID(string(id)) {
		return nil, false
	}
	var at protocol.Time // nothing goes by it, but it is a time
	return id, at.UnmarshalText(rest[len(t.middle):len(t.middle)+long]) == nil
}
