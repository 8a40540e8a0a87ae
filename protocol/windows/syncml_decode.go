package windows

import (
	"math"
	"strconv"
	"strings"
)

// maxSessionID is far above what MS-MDM allows (4 bytes): a session's name is opaque.
const maxSessionID = 16

// DecodeMessage reads a SyncML message, in UTF-8 or UTF-16, and overwrites m, whose slices are used again. Strings of m may be
// pieces of one copy of b: who keeps one for long should clone it. The error wraps [protocol.ErrMalformed]; m.Header is then what
// could be read of it, so that the peer can be answered.
func DecodeMessage(b []byte, m *Message) error {
	s := newScanner("SyncML", b)
	defer s.release()
	*m = Message{Commands: m.Commands[:0]}
	if e := s.root(); s.err == nil && (!syncML(e.ns) || e.local != "SyncML") {
		s.fail("want SyncML of SYNCML:SYNCML1.2")
	}
	var seen [2]bool
	for s.err == nil {
		e, ok := s.next()
		if !ok {
			break
		}
		switch {
		case !syncML(e.ns):
			s.skip()
		case e.local == "SyncHdr" && !seen[0] && !seen[1]:
			seen[0] = true
			s.syncHdr(&m.Header)
		case e.local == "SyncBody" && seen[0] && !seen[1]:
			seen[1] = true
			s.syncBody(m)
		default:
			s.fail("want SyncHdr and SyncBody, once each (HST-006)")
		}
	}
	if s.err == nil && !seen[1] {
		s.fail("no SyncBody")
	}
	return s.finish()
}

// DecodeBody reads a SyncBody that stands alone, as [DecodeMessage] reads it in a message.
func DecodeBody(b []byte, m *Message) error {
	s := newScanner("SyncML", b)
	defer s.release()
	*m = Message{Commands: m.Commands[:0]}
	if e := s.root(); s.err == nil && (!syncML(e.ns) || e.local != "SyncBody") {
		s.fail("want SyncBody of SYNCML:SYNCML1.2")
	}
	s.syncBody(m)
	return s.finish()
}

func syncML(ns namespace) bool { return ns == nsSyncML || ns == nsSyncML11 }

// fields says which children an element has had that may come once.
type fields uint32

// once notes a field, and refuses it the second time.
func (s *scanner) once(seen *fields, f fields) {
	if *seen&f != 0 {
		s.fail("element twice (HST-006)")
	}
	*seen |= f
}

// The fields of SyncML elements.
const (
	fVerDTD fields = 1 << iota
	fVerProto
	fSessionID
	fMsgID
	fTarget
	fSource
	fRespURI
	fNoResp
	fCred
	fMeta
	fCmdID
	fData
	fMsgRef
	fCmdRef
	fCmd
	fChal
	fMoreData
	fFormat
	fType
	fMark
	fSize
	fNonce
	fMaxMsg
	fMaxObj
	fURI
	fName
)

func (s *scanner) syncHdr(h *SyncHdr) {
	var seen fields
	for e := range s.children() {
		if !syncML(e.ns) {
			s.skip()
			continue
		}
		switch e.local {
		case "VerDTD":
			h.VerDTD = s.wordOnce(&seen, fVerDTD)
		case "VerProto":
			h.VerProto = s.wordOnce(&seen, fVerProto)
		case "SessionID":
			h.SessionID = s.wordOnce(&seen, fSessionID)
		case "MsgID":
			s.once(&seen, fMsgID)
			h.MsgID = s.uint()
		case "Target":
			s.once(&seen, fTarget)
			h.Target, _ = s.location()
		case "Source":
			s.once(&seen, fSource)
			h.Source, h.SourceName = s.location()
		case "RespURI":
			h.RespURI = s.wordOnce(&seen, fRespURI)
		case "NoResp":
			s.once(&seen, fNoResp)
			h.NoResp = s.flag()
		case "Cred":
			s.once(&seen, fCred)
			h.Cred = s.cred()
		case "Meta":
			s.once(&seen, fMeta)
			m := s.meta()
			h.MaxMsgSize, h.MaxObjSize = m.maxMsg, m.maxObj
		default:
			s.skip()
		}
	}
	switch {
	case s.err != nil:
	case seen&(fTarget|fSource) != fTarget|fSource, h.VerDTD == "", h.VerProto == "":
		s.fail("SyncHdr without VerDTD, VerProto, Target or Source")
	case h.SessionID == "" || len(h.SessionID) > maxSessionID:
		s.fail("SessionID of no or too many characters")
	case h.MsgID == 0:
		s.fail("MsgID must be a number above 0")
	}
}

func (s *scanner) syncBody(m *Message) {
	for e := range s.children() {
		if m.Final {
			s.fail("something after Final")
			return
		}
		if syncML(e.ns) && e.local == "Final" {
			m.Final = s.flag()
			continue
		}
		s.command(e, grow(&m.Commands))
	}
}

// grow adds an element to a list, the one that was there before if the list was longer once.
func grow[T any](list *[]T) *T {
	n := len(*list)
	if n < cap(*list) {
		*list = (*list)[:n+1]
	} else {
		var none T
		*list = append(*list, none)
	}
	return &(*list)[n]
}

// command reads any element of a body.
func (s *scanner) command(e element, c *Command) {
	*c = Command{Items: c.Items[:0], Commands: c.Commands[:0], TargetRefs: c.TargetRefs[:0], SourceRefs: c.SourceRefs[:0]}
	if syncML(e.ns) {
		c.Verb = commandOf(e.local)
	}
	if c.Verb == Unknown {
		c.Name = e.local
	}
	if c.Verb == Results {
		c.MsgRef = 1
	}
	answers := c.Verb == Status || c.Verb == Results
	contains := c.Verb == Atomic || c.Verb == Sequence
	var seen fields
	for e := range s.children() {
		known := syncML(e.ns)
		switch {
		case known && e.local == "CmdID":
			s.once(&seen, fCmdID)
			c.CmdID = s.ref()
		case c.Verb == Unknown:
			s.skip()
		case !known && contains:
			s.command(e, grow(&c.Commands))
		case !known:
			s.skip()
		case e.local == "NoResp":
			s.once(&seen, fNoResp)
			c.NoResp = s.flag()
		case e.local == "Cred":
			s.once(&seen, fCred)
			c.Cred = s.cred()
		case e.local == "Meta":
			s.once(&seen, fMeta)
			c.Meta = s.meta().Meta
		case contains:
			s.command(e, grow(&c.Commands))
		case e.local == "Item":
			s.item(grow(&c.Items))
		case e.local == "Data" && (c.Verb == Status || c.Verb == Alert):
			s.once(&seen, fData)
			c.Code = Code(min(s.uint(), math.MaxUint16))
		case !answers:
			s.skip()
		case e.local == "MsgRef":
			s.once(&seen, fMsgRef)
			c.MsgRef = s.uint()
		case e.local == "CmdRef":
			s.once(&seen, fCmdRef)
			c.CmdRef = s.emptyRef()
		case e.local == "Cmd":
			s.once(&seen, fCmd)
			if name := s.word(); name == "SyncHdr" {
				c.Cmd = SyncHeader
			} else if c.Cmd = commandOf(name); c.Cmd == Unknown {
				c.CmdName = name
			}
		case e.local == "TargetRef":
			*grow(&c.TargetRefs) = s.word()
		case e.local == "SourceRef":
			*grow(&c.SourceRefs) = s.word()
		case e.local == "Chal" && c.Verb == Status:
			s.once(&seen, fChal)
			c.Chal = s.chal()
		default:
			s.skip()
		}
	}
}

// commandOf finds a verb by the name of its element.
func commandOf(name string) Verb {
	for v := Add; v < SyncHeader; v++ {
		if verbNames[v] == name {
			return v
		}
	}
	return Unknown
}

func (s *scanner) item(i *Item) {
	*i = Item{}
	var seen fields
	for e := range s.children() {
		if !syncML(e.ns) {
			s.skip()
			continue
		}
		switch e.local {
		case "Target":
			s.once(&seen, fTarget)
			i.Target, _ = s.location()
		case "Source":
			s.once(&seen, fSource)
			i.Source, _ = s.location()
		case "Meta":
			s.once(&seen, fMeta)
			i.Meta = s.meta().Meta
		case "Data":
			s.once(&seen, fData)
			i.Data = s.text()
		case "MoreData":
			s.once(&seen, fMoreData)
			i.MoreData = s.flag()
		default:
			s.skip()
		}
	}
}

// location reads a Target or a Source.
func (s *scanner) location() (uri, name string) {
	var seen fields
	for e := range s.children() {
		switch {
		case syncML(e.ns) && e.local == "LocURI":
			uri = s.wordOnce(&seen, fURI)
		case syncML(e.ns) && e.local == "LocName":
			name = s.wordOnce(&seen, fName)
		default:
			s.skip()
		}
	}
	return uri, name
}

// A metaAll is all that any Meta may hold.
type metaAll struct {
	Meta
	maxMsg, maxObj uint32
	nonce          []byte
}

// meta reads a Meta. Its children are of metinf, or of SyncML where a sender forgot to say so.
func (s *scanner) meta() (m metaAll) {
	var seen fields
	for e := range s.children() {
		if e.ns != nsMetInf && !syncML(e.ns) {
			s.skip()
			continue
		}
		switch e.local {
		case "Format":
			m.Format = s.wordOnce(&seen, fFormat)
		case "Type":
			m.Type = s.wordOnce(&seen, fType)
		case "Mark":
			m.Mark = s.wordOnce(&seen, fMark)
		case "Size":
			s.once(&seen, fSize)
			m.Size = s.uint()
		case "MaxMsgSize":
			s.once(&seen, fMaxMsg)
			m.maxMsg = s.uint()
		case "MaxObjSize":
			s.once(&seen, fMaxObj)
			m.maxObj = s.uint()
		case "NextNonce":
			s.once(&seen, fNonce)
			nonce, ok := base64Of(s.text())
			if !ok {
				s.fail("NextNonce is not base64")
			}
			m.nonce = nonce
		default:
			s.skip()
		}
	}
	return m
}

func (s *scanner) cred() *Cred {
	c := &Cred{}
	var seen fields
	for e := range s.children() {
		switch {
		case syncML(e.ns) && e.local == "Meta":
			s.once(&seen, fMeta)
			m := s.meta()
			c.Type, c.Format = m.Type, m.Format
		case syncML(e.ns) && e.local == "Data":
			c.Data = s.wordOnce(&seen, fData)
		default:
			s.skip()
		}
	}
	return c
}

func (s *scanner) chal() *Chal {
	c := &Chal{}
	var seen fields
	for e := range s.children() {
		if !syncML(e.ns) || e.local != "Meta" {
			s.skip()
			continue
		}
		s.once(&seen, fMeta)
		m := s.meta()
		*c = Chal{m.Type, m.Format, m.nonce}
	}
	return c
}

// word reads a text without the white space around it.
func (s *scanner) word() string { return strings.TrimSpace(s.text()) }

// wordOnce is word of a field that may come once.
func (s *scanner) wordOnce(seen *fields, f fields) string {
	s.once(seen, f)
	return s.word()
}

// flag reads an element that says all by being there.
func (s *scanner) flag() bool {
	if s.word() != "" {
		s.fail("text in an element that has none")
	}
	return true
}

// uint reads a number; one beyond 32 bits becomes the largest (HST-009).
func (s *scanner) uint() uint32 {
	text := s.word()
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil && (n != math.MaxUint32 || text == "") { // out of range only with the largest
		s.fail("want a number")
		return 0
	}
	return uint32(n)
}

// ref reads the number of a command; one beyond 31 bits becomes the largest.
func (s *scanner) ref() int32 { return int32(min(s.uint(), math.MaxInt32)) }

// emptyRef is ref where there may be none.
func (s *scanner) emptyRef() int32 {
	text := s.word()
	if text == "" {
		return NoRef
	}
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil && n != math.MaxInt32 {
		s.fail("want a number")
		return 0
	}
	return int32(n)
}
