package device

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"rollcall/protocol"
	"rollcall/protocol/windows"
	"rollcall/server/csp"
	"rollcall/server/delivery"
)

// A session is what is kept of a management session beside its latest answer, in the same exchange record: whoever serves the
// device's next message, after a restart too, goes on from it.
type session struct {
	Login    string  // LoginStatus: user, others or none
	User     bool    // only the signed-in user's nodes may be touched
	Works    bool    // the device is still at the commands that it was given, and says no more than that
	Most     uint32  // MaxMsgSize of the device; 0: not said
	Inquired bool    // what the device should have waits for an answer to Own
	Aborted  bool    // by the device's latest message
	Next     bool    // that waits for the rest of ours
	Own      *flight // questions of the endpoint's own
	Flights  []flight
	Object   *object // of which the device has sent a part; nil: none
	Lost     bool    // the device's latest message left one without its end
}

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

// recordHead is the length in front of an exchange record's answer: that of the session.
const recordHead = 4

// keep puts the session in front of the answer.
func (s *session) keep(dst, answer []byte) []byte {
	at := len(dst)
	dst = s.append(append(dst, 0, 0, 0, 0))
	binary.BigEndian.PutUint32(dst[at:], uint32(len(dst)-at-recordHead))
	return append(dst, answer...)
}

// The flags of a session and of a part.
const (
	hasUser    = 1 << iota // LoginStatus: user
	hasOthers              // others
	isInquired             // session.Inquired
	hasOwn                 // session.Own
	hasObject              // session.Object
	isUserOnly             // session.User

	isFlip = hasUser
	isUser = hasOthers
	isAsks = isInquired
	isNode = hasOwn
)

// append writes the session: numbers as uvarint, an id as its bytes, lists with their length in front.
func (s *session) append(dst []byte) []byte {
	var flags byte
	switch s.Login {
	case windows.LoginUser:
		flags |= hasUser
	case windows.LoginOthers:
		flags |= hasOthers
	}
	if s.Inquired {
		flags |= isInquired
	}
	if s.Own != nil {
		flags |= hasOwn
	}
	if s.Object != nil {
		flags |= hasObject
	}
	if s.User {
		flags |= isUserOnly
	}
	dst = binary.AppendUvarint(append(dst, flags), uint64(s.Most))
	if s.Own != nil {
		dst = s.Own.append(dst)
	}
	if o := s.Object; o != nil {
		for _, n := range [...]uint64{uint64(o.Msg), uint64(o.Cmd), uint64(o.Size)} {
			dst = binary.AppendUvarint(dst, n)
		}
		for _, text := range [...]string{o.Source, o.Data} {
			dst = append(binary.AppendUvarint(dst, uint64(len(text))), text...)
		}
	}
	dst = binary.AppendUvarint(dst, uint64(len(s.Flights)))
	for i := range s.Flights {
		dst = s.Flights[i].append(dst)
	}
	return dst
}

func (f *flight) append(dst []byte) []byte {
	dst = append(append(dst, f.ID[:]...), byte(f.Kind))
	dst = binary.AppendUvarint(dst, uint64(f.Msg))
	dst = binary.AppendUvarint(dst, uint64(len(f.Parts)))
	for i := range f.Parts {
		p := &f.Parts[i]
		var flags byte
		if p.Flip {
			flags |= isFlip
		}
		if p.User {
			flags |= isUser
		}
		if p.Asks {
			flags |= isAsks
		}
		if p.Node {
			flags |= isNode
		}
		dst = append(dst, byte(p.Verb), flags, byte(p.Check))
		for _, n := range [...]uint64{uint64(p.Cmd), uint64(p.Code), uint64(p.Off), uint64(p.In)} {
			dst = binary.AppendUvarint(dst, n)
		}
	}
	return f.appendChecks(dst)
}

// load reads what keep wrote; nothing, or anything else, is a session that nothing is known of.
func (s *session) load(record []byte) {
	if len(record) < recordHead {
		return
	}
	rest := record[recordHead:]
	r := reader{rest[:min(uint64(binary.BigEndian.Uint32(record)), uint64(len(rest)))], false}
	flags := r.byte()
	switch {
	case flags&hasUser != 0:
		s.Login = windows.LoginUser
	case flags&hasOthers != 0:
		s.Login = windows.LoginOthers
	}
	s.Inquired, s.User, s.Most = flags&isInquired != 0, flags&isUserOnly != 0, uint32(r.number())
	if flags&hasOwn != 0 {
		s.Own = &flight{}
		r.flight(s.Own)
	}
	if flags&hasObject != 0 {
		s.Object = &object{Msg: uint32(r.number()), Cmd: int32(r.number()), Size: uint32(r.number())}
		s.Object.Source, s.Object.Data = r.text(), r.text()
	}
	for range r.length() {
		s.Flights = append(s.Flights, flight{})
		r.flight(&s.Flights[len(s.Flights)-1])
	}
	if r.short || len(r.rest) > 0 {
		*s = session{}
	}
}

// A reader takes numbers off a record.
type reader struct {
	rest  []byte
	short bool // it ended too soon
}

func (r *reader) byte() byte {
	if len(r.rest) == 0 {
		r.short = true
		return 0
	}
	b := r.rest[0]
	r.rest = r.rest[1:]
	return b
}

func (r *reader) number() uint64 {
	n, size := binary.Uvarint(r.rest)
	if size <= 0 {
		r.short, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[size:]
	return n
}

// length is that of a list, which is no longer than what is left.
func (r *reader) length() int {
	n := r.number()
	if n > uint64(len(r.rest)) {
		r.short = true
		return 0
	}
	return int(n)
}

func (r *reader) text() string {
	n := r.length()
	text := string(r.rest[:n])
	r.rest = r.rest[n:]
	return text
}

func (r *reader) flight(f *flight) {
	if r.short = r.short || len(r.rest) < len(f.ID); r.short {
		return
	}
	r.rest = r.rest[copy(f.ID[:], r.rest):]
	f.Kind, f.Msg = protocol.CommandKind(r.byte()), uint32(r.number())
	n := r.length()
	f.Parts = make([]part, n)
	for i := range f.Parts {
		verb, flags, how := r.byte(), r.byte(), checking(r.byte())
		f.Parts[i] = part{
			Verb: windows.Verb(verb), Flip: flags&isFlip != 0, User: flags&isUser != 0, Asks: flags&isAsks != 0, Node: flags&isNode != 0, Check: how,
			Cmd: int32(r.number()), Code: windows.Code(r.number()), Off: int(r.number()), In: int(r.number()),
		}
	}
	r.checks(f)
}

// answerOf is the answer in an exchange record.
func answerOf(record []byte) []byte {
	if len(record) < recordHead {
		return nil
	}
	rest := record[recordHead:]
	return rest[min(uint64(binary.BigEndian.Uint32(record)), uint64(len(rest))):]
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

// A verdict is what the statuses of a command's parts say together; the larger wins.
type verdict uint8

const (
	done    verdict = iota
	pending         // the device is at it
	later
	failed    // the next session may try again
	failedAll // for good
)

// verdictOf is what one status says (windows.md section 6.1). userAlone: nothing of the device's own could be done in the session.
func verdictOf(p *part, userAlone bool) verdict {
	switch c := p.Code; {
	case c == windows.NotFound && p.Verb == windows.Delete:
		return done
	case c == windows.NotExecuted, c == windows.OperationCancelled, c == windows.AtomicRolledBack, c == windows.Conflict, c == windows.DeviceFull, c == windows.ServiceUnavailable,
		c == windows.ProcessingError, c == windows.DataStoreFailure, c == windows.ServerFailure:
		return later
	case c < 300:
		return done
	case (p.User || userAlone) && (c == windows.NotAllowed || c == windows.CommandFailed): // the user is not there any more (WIN-037)
		return later
	case c == windows.CommandFailed, c == windows.AtomicFailed, c == windows.RollBackFailed:
		return failed
	}
	return failedAll
}

// flips tells whether a status asks for the other of Add and Replace: what is there already is replaced, what is missing is added.
func (p *part) flips() bool {
	return p.Code == windows.AlreadyExists && p.Verb == windows.Add || p.Code == windows.NotFound && p.Verb == windows.Replace
}

// flips tells whether a part of f, nil: nothing, is to go out once more, as the other of Add and Replace.
func (f *flight) flips() bool {
	return f != nil && slices.ContainsFunc(f.Parts, func(p part) bool { return p.flips() && !p.Flip })
}

// judge says what became of f; false: not all of it is answered, or some of it goes out once more.
func (f *flight) judge(userAlone bool) (v verdict, missing bool, errors string, ok bool) {
	for i := range f.Parts {
		if p := &f.Parts[i]; p.Code == 0 {
			return 0, false, "", false
		}
	}
	again := false
	for i := range f.Parts {
		p := &f.Parts[i]
		if !p.flips() || p.Flip {
			continue
		}
		again = again || !p.Node || p.In != 0
		if p.In != 0 {
			f.repeat(p.In - 1)
		}
		p.turn()
	}
	if again {
		return 0, false, "", false
	}
	v, said, ok := f.checked()
	if !ok {
		return 0, false, "", false
	}
	missing = f.Kind == protocol.RemoveProfile
	for i := range f.Parts {
		p := &f.Parts[i]
		missing = missing && p.Code == windows.NotFound
		if p.In != 0 && (p.Code == windows.NotExecuted || p.Code == windows.AtomicRolledBack) {
			continue // its sibling says why
		}
		if p.Code == windows.AtomicFailed && f.fails(i, userAlone) {
			continue // one of those in it says why
		}
		if one := verdictOf(p, userAlone); one > done && !csp.Reads(f.Kind) {
			v = max(v, one)
			said = append(said, fmt.Sprintf("%s %d", p.Verb, p.Code))
		}
	}
	return v, missing, strings.Join(said, "; "), true
}

// fails tells whether a part that is in the Atomic at is the reason why that failed.
func (f *flight) fails(at int, userAlone bool) bool {
	return slices.ContainsFunc(f.Parts, func(p part) bool {
		return p.In == at+1 && p.Code != windows.NotExecuted && p.Code != windows.AtomicRolledBack && verdictOf(&p, userAlone) > done
	})
}

// turn has the part go out once more, as the other of Add and Replace. A node that is there already is as it should be.
func (p *part) turn() {
	p.Cmd, p.Code, p.Flip = 0, 0, true
	if p.Node {
		p.Code = windows.OK
		return
	}
	if p.Verb == windows.Add {
		p.Verb = windows.Replace
	} else {
		p.Verb = windows.Add
	}
}

// repeat has a whole Atomic go out once more, for it is done as a whole or not at all.
func (f *flight) repeat(at int) {
	for i := range f.Parts {
		p := &f.Parts[i]
		if (i == at || p.In == at+1) && !p.flips() && !(p.Node && p.Flip) {
			p.Cmd, p.Code = 0, 0
		}
	}
}

// reports takes the commands that are through out of the session, and says what became of them.
func (s *session) reports(results map[protocol.CommandID]*strings.Builder) (out []delivery.CommandReport) {
	left := s.Flights[:0]
	for i := range s.Flights {
		f := s.Flights[i]
		if s.Object.of(&f) {
			left = append(left, f)
			continue
		}
		v, missing, errors, ok := f.judge(s.User)
		if !ok {
			left = append(left, f)
			continue
		}
		r := delivery.CommandReport{Command: f.ID, Errors: errors, Missing: missing, Status: protocol.Acknowledged}
		switch v {
		case pending, later:
			r.Status, r.Pending = protocol.NotNow, v == pending
		case failed:
			r.Status = protocol.Failed
		case failedAll:
			r.Status, r.Final = protocol.Failed, true
		}
		if b := results[f.ID]; b != nil {
			r.Result = []byte(b.String())
		}
		out = append(out, r)
	}
	s.Flights = left
	return out
}
