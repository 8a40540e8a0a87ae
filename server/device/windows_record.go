package device

import (
	"encoding/binary"

	"rollcall/protocol"
	"rollcall/protocol/windows"
)

// recordHead is the length in front of an exchange record's answer: that of the session.
const recordHead = 4

// keep puts the session in front of the answer.
func (s *session) keep(dst, answer []byte) []byte {
	at := len(dst)
	dst = s.append(append(dst, 0, 0, 0, 0))
	binary.BigEndian.PutUint32(dst[at:], uint32(len(dst)-at-recordHead))
	return append(dst, answer...)
}

// The flags of a session and of a part, in the order in which append lists them.
const (
	hasUser    = 1 << iota // LoginStatus: user
	hasOthers              // others
	isInquired             // session.Inquired
	hasOwn                 // session.Own
	hasObject              // session.Object
	isUserOnly             // session.User
	isEnds                 // session.Ends
	isStopped              // session.Stopped

	isFlip = hasUser
	isUser = hasOthers
	isAsks = isInquired
	isNode = hasOwn
)

// flagsOf puts what is so, or is not, into a byte, from the lowest bit on.
func flagsOf(on ...bool) (flags byte) {
	for i, is := range on {
		if is {
			flags |= 1 << i
		}
	}
	return flags
}

// append writes the session: numbers as uvarint, an id as its bytes, lists with their length in front.
func (s *session) append(dst []byte) []byte {
	flags := flagsOf(s.Login == windows.LoginUser, s.Login == windows.LoginOthers, s.Inquired, s.Own != nil, s.Object != nil, s.User, s.Ends, s.Stopped)
	dst = binary.AppendUvarint(binary.AppendUvarint(append(dst, flags), uint64(s.Most)), uint64(s.Told))
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
		dst = append(dst, byte(p.Verb), flagsOf(p.Flip, p.User, p.Asks, p.Node), byte(p.Check))
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
	s.Inquired, s.User, s.Ends, s.Stopped = flags&isInquired != 0, flags&isUserOnly != 0, flags&isEnds != 0, flags&isStopped != 0
	s.Most, s.Told = uint32(r.number()), uint32(r.number())
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
