package windows

import (
	"cmp"
	"encoding/base64"
	"strconv"
	"strings"
	"unicode/utf8"
)

// EncodeMessage appends m as XML, without a declaration. Elements come in the order that strict readers want.
func EncodeMessage(dst []byte, m *Message) []byte {
	h := &m.Header
	dst = append(dst, `<SyncML xmlns="SYNCML:SYNCML1.2"><SyncHdr>`...)
	dst = appendElement(dst, "VerDTD", cmp.Or(h.VerDTD, "1.2"))
	dst = appendElement(dst, "VerProto", cmp.Or(h.VerProto, "DM/1.2"))
	dst = appendElement(dst, "SessionID", h.SessionID)
	dst = appendNumber(dst, "MsgID", int64(h.MsgID))
	dst = appendLocation(dst, "Target", h.Target, "")
	dst = appendLocation(dst, "Source", h.Source, h.SourceName)
	if h.RespURI != "" {
		dst = appendElement(dst, "RespURI", h.RespURI)
	}
	dst = appendNoResp(dst, h.NoResp)
	dst = appendCred(dst, h.Cred)
	if h.MaxMsgSize != 0 || h.MaxObjSize != 0 {
		dst = append(dst, "<Meta>"...)
		dst = appendMetInf(dst, "MaxMsgSize", number(h.MaxMsgSize))
		dst = appendMetInf(dst, "MaxObjSize", number(h.MaxObjSize))
		dst = append(dst, "</Meta>"...)
	}
	dst = append(dst, "</SyncHdr><SyncBody>"...)
	for i := range m.Commands {
		dst = appendCommand(dst, &m.Commands[i])
	}
	if m.Final {
		dst = append(dst, "<Final/>"...)
	}
	return append(dst, "</SyncBody></SyncML>"...)
}

// EncodedSize returns how many bytes EncodeMessage needs for c, for those who must keep a message below a size (WIN-035).
func (c *Command) EncodedSize() int { return len(appendCommand(nil, c)) }

// escapedMost is more bytes than any one character takes on the wire.
const escapedMost = 6

// Fit returns how many bytes of s, in whole characters and at least one, are a chunk that takes at most so many bytes on the wire.
func Fit(s string, most int) int {
	used := 0
	for i := 0; i < len(s); {
		_, n := utf8.DecodeRuneInString(s[i:])
		cost := n
		if n == 1 && strings.IndexByte("<>&\"'\r\n\t]", s[i]) >= 0 {
			cost = escapedMost
		}
		if used += cost; used > most && i > 0 {
			return i
		}
		i += n
	}
	return len(s)
}

func appendCommand(dst []byte, c *Command) []byte {
	name := c.Verb.String()
	if c.Verb == Unknown { // in no namespace of ours, so that it stays unknown
		dst = append(append(append(dst, "<x:"...), c.Name...), ` xmlns:x="rollcall:unknown">`...)
		dst = appendCmdID(dst, c.CmdID)
		return append(append(append(dst, "</x:"...), c.Name...), '>')
	}
	dst = append(append(append(dst, '<'), name...), '>')
	dst = appendCmdID(dst, c.CmdID)
	switch c.Verb {
	case Status, Results:
		dst = appendNumber(dst, "MsgRef", int64(c.MsgRef))
		if c.CmdRef == NoRef {
			dst = append(dst, "<CmdRef/>"...)
		} else {
			dst = appendNumber(dst, "CmdRef", int64(c.CmdRef))
		}
		if c.Cmd != Unknown {
			dst = appendElement(dst, "Cmd", c.Cmd.String())
		} else if c.CmdName != "" {
			dst = appendElement(dst, "Cmd", c.CmdName)
		}
		if c.Verb == Results {
			dst = appendNoResp(dst, c.NoResp)
			dst = appendMeta(dst, &c.Meta)
		}
		for _, ref := range c.TargetRefs {
			dst = appendElement(dst, "TargetRef", ref)
		}
		for _, ref := range c.SourceRefs {
			dst = appendElement(dst, "SourceRef", ref)
		}
		dst = appendCred(dst, c.Cred)
		if c.Verb == Status {
			dst = appendNoResp(dst, c.NoResp)
			dst = appendMeta(dst, &c.Meta)
			dst = appendChal(dst, c.Chal)
			dst = appendNumber(dst, "Data", int64(c.Code))
		}
	default:
		dst = appendNoResp(dst, c.NoResp)
		dst = appendCred(dst, c.Cred)
		dst = appendMeta(dst, &c.Meta)
		if c.Verb == Alert {
			dst = appendNumber(dst, "Data", int64(c.Code))
		}
	}
	for i := range c.Items {
		dst = appendItem(dst, &c.Items[i])
	}
	for i := range c.Commands {
		dst = appendCommand(dst, &c.Commands[i])
	}
	return append(append(append(dst, "</"...), name...), '>')
}

func appendCmdID(dst []byte, id int32) []byte {
	if id == 0 {
		return dst
	}
	return appendNumber(dst, "CmdID", int64(id))
}

func appendNoResp(dst []byte, yes bool) []byte {
	if yes {
		return append(dst, "<NoResp/>"...)
	}
	return dst
}

func appendItem(dst []byte, i *Item) []byte {
	dst = append(dst, "<Item>"...)
	if i.Target != "" {
		dst = appendLocation(dst, "Target", i.Target, "")
	}
	if i.Source != "" {
		dst = appendLocation(dst, "Source", i.Source, "")
	}
	dst = appendMeta(dst, &i.Meta)
	if i.Data != "" {
		dst = appendElement(dst, "Data", i.Data)
	}
	if i.MoreData {
		dst = append(dst, "<MoreData/>"...)
	}
	return append(dst, "</Item>"...)
}

func appendLocation(dst []byte, name, uri, local string) []byte {
	dst = append(append(append(dst, '<'), name...), '>')
	dst = appendElement(dst, "LocURI", uri)
	if local != "" {
		dst = appendElement(dst, "LocName", local)
	}
	return append(append(append(dst, "</"...), name...), '>')
}

func appendMeta(dst []byte, m *Meta) []byte {
	if *m == (Meta{}) {
		return dst
	}
	dst = append(dst, "<Meta>"...)
	dst = appendMetInf(dst, "Format", m.Format)
	dst = appendMetInf(dst, "Type", m.Type)
	dst = appendMetInf(dst, "Mark", m.Mark)
	dst = appendMetInf(dst, "Size", number(m.Size))
	return append(dst, "</Meta>"...)
}

// appendMetInf appends an element of metinf; nothing when it has no text.
func appendMetInf(dst []byte, name, text string) []byte {
	if text == "" {
		return dst
	}
	dst = append(append(append(dst, '<'), name...), ` xmlns="syncml:metinf">`...)
	dst = appendText(dst, text)
	return append(append(append(dst, "</"...), name...), '>')
}

// number writes a number that is not there when it is 0.
func number(n uint32) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatUint(uint64(n), 10)
}

func appendCred(dst []byte, c *Cred) []byte {
	if c == nil {
		return dst
	}
	dst = append(dst, "<Cred>"...)
	dst = appendMeta(dst, &Meta{Format: c.Format, Type: c.Type})
	dst = appendElement(dst, "Data", c.Data)
	return append(dst, "</Cred>"...)
}

func appendChal(dst []byte, c *Chal) []byte {
	if c == nil {
		return dst
	}
	dst = append(dst, "<Chal><Meta>"...)
	dst = appendMetInf(dst, "Format", c.Format)
	dst = appendMetInf(dst, "Type", c.Type)
	dst = appendMetInf(dst, "NextNonce", base64.StdEncoding.EncodeToString(c.NextNonce))
	return append(dst, "</Meta></Chal>"...)
}
