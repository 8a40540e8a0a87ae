package device

import (
	"slices"
	"strings"

	"rollcall/protocol"
	"rollcall/protocol/windows"
)

// A session is what is kept of a management session beside its latest answer, in the same exchange record: whoever serves the
// device's next message, after a restart too, goes on from it.
type session struct {
	Login    string  // LoginStatus: user, others or none
	User     bool    // only the signed-in user's nodes may be touched
	Works    bool    // the device is still at the commands that it was given, and says no more than that
	Most     uint32  // MaxMsgSize of the device; 0: not said
	Told     uint32  // change of authority that the session told of last; 0: none
	Inquired bool    // what the device should have waits for an answer to Own
	Aborted  bool    // by the device's latest message
	Ends     bool    // our latest answer makes an end of the device's management, by our order
	Stopped  bool    // the device takes no more commands before its next session (214)
	Next     bool    // that waits for the rest of ours
	Own      *flight // questions of the endpoint's own
	Flights  []flight
	Object   *object // of which the device has sent a part; nil: none
	Lost     bool    // the device's latest message left one without its end
}

// mostMessages bounds the messages of a session (HST-056): what is left of the work comes in the next one. It is by far more than a device
// needs whose messages hold 2 KiB.
const mostMessages = 1000

// An object is a result of the device's that comes in chunks (windows.md section 6).
type object struct {
	Msg    uint32 // of the question
	Cmd    int32  // the same
	Source string // LocURI
	Size   uint32
	Data   string
}

// maxObject bounds an object that is put together (HST-001).
const maxObject = 1 << 20

// mostPieces bounds how often all that came of an object is kept again (HST-056): each piece but the last is that part of it, or more.
const mostPieces = 64

// chunk takes a piece of a result and returns the whole when it is there (200); any other code is the answer to the piece.
func (s *session) chunk(c *windows.Command, i *windows.Item) (string, windows.Code) {
	o := s.Object
	if o != nil && (o.Source != i.Source || o.Msg != c.MsgRef || o.Cmd != c.CmdRef) {
		s.Object, s.Lost, o = nil, true, nil
	}
	switch {
	case o == nil && !i.MoreData:
		return i.Data, windows.OK
	case o == nil && i.Meta.Size == 0:
		return "", windows.SizeRequired
	case o == nil && i.Meta.Size > maxObject:
		return "", windows.ObjectTooLarge
	case o == nil:
		o = &object{c.MsgRef, c.CmdRef, strings.Clone(i.Source), i.Meta.Size, ""}
		s.Object = o
	}
	o.Data += i.Data
	switch {
	case len(o.Data) > int(o.Size), !i.MoreData && len(o.Data) != int(o.Size):
		s.Object = nil
		return "", windows.SizeMismatch
	case i.MoreData && len(i.Data) < int(o.Size)/mostPieces:
		s.Object = nil
		return "", windows.ObjectTooLarge
	case i.MoreData:
		return "", windows.ChunkBuffered
	}
	s.Object = nil
	return o.Data, windows.OK
}

// of tells whether the object is the answer to a part of f.
func (o *object) of(f *flight) bool {
	return o != nil && o.Msg == f.Msg && slices.ContainsFunc(f.Parts, func(p part) bool { return p.Cmd == o.Cmd })
}

// A flight is a command of the server's under way: what it is made of on the wire, in its order, each Atomic before its parts.
type flight struct {
	ID    protocol.CommandID
	Kind  protocol.CommandKind
	Msg   uint32 // message that it was sent in last
	Parts []part

	Checks []check // what became of parts that go on after their answer
}

// A part is one command on the wire.
type part struct {
	Cmd   int32        // CmdID that it was sent under; 0: not yet
	Code  windows.Code // its status; 0: none yet
	Verb  windows.Verb // as it was sent, or is to be
	Flip  bool         // it goes out once more as the other of Add and Replace
	User  bool         // its node is the signed-in user's
	Asks  bool         // it asks whether the device is co-managed
	Node  bool         // it adds an interior node, which has no value to be replaced
	Check checking     // how it is verified
	Off   int          // bytes of its data that went out in chunks
	In    int          // 1 + index of the Atomic that it is part of; 0: none
}

// find returns the part that a reference means; nil: nothing of the kind was sent.
func (s *session) find(msg uint32, cmd int32) (*flight, *part) {
	if cmd <= 0 {
		return nil, nil
	}
	look := func(f *flight) (found *part) {
		if f.Msg == msg {
			for i := range f.Parts {
				switch p := &f.Parts[i]; {
				case p.Cmd != cmd:
				case p.Code == 0:
					return p
				case found == nil: // of a message before this one, in which the numbers began anew, or said already
					found = p
				}
			}
		}
		return found
	}
	if s.Own != nil {
		if p := look(s.Own); p != nil {
			return s.Own, p
		}
	}
	for i := range s.Flights {
		if p := look(&s.Flights[i]); p != nil {
			return &s.Flights[i], p
		}
	}
	return nil, nil
}

// status takes a Status; false: it is of a command that was never sent. Of two, the first counts (HST-054).
func (s *session) status(c *windows.Command) bool {
	if asked := s.check(c.MsgRef, c.CmdRef); asked != nil {
		if asked.Code == 0 {
			asked.Code = max(c.Code, 1)
		}
		return true
	}
	_, p := s.find(c.MsgRef, c.CmdRef)
	switch {
	case p == nil:
		return false
	case c.Code == windows.ChunkBuffered && p.Off > 0: // the next chunk goes out
	case p.Code == 0:
		p.Code = max(c.Code, 1)
		p.Off = 0
	}
	return true
}

// cutShort is that the device has not had all of an object: it is sent anew in the next session.
func (s *session) cutShort() {
	for i := range s.Flights {
		for k := range s.Flights[i].Parts {
			if p := &s.Flights[i].Parts[k]; p.Off > 0 {
				p.Code, p.Off = windows.ProcessingError, 0
			}
		}
	}
}

// open appends the commands of which a part is still to be sent.
func (s *session) open(to []protocol.CommandID) []protocol.CommandID {
	for i := range s.Flights {
		f := &s.Flights[i]
		if len(f.Parts) == 0 || slices.ContainsFunc(f.Parts, func(p part) bool { return p.Cmd == 0 && p.Code == 0 || p.Flip || p.Off > 0 }) || f.unasked() >= 0 {
			to = append(to, f.ID)
		}
	}
	return to
}
