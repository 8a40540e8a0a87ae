package apple

import (
	"encoding/base64"
	"strconv"
	"unicode/utf8"

	"rollcall/protocol"
)

// A writer appends an XML property list to b.
type writer struct{ b []byte }

func (w *writer) begin() { w.b = append(append(w.b, head...), "<dict>"...) }
func (w *writer) end()   { w.b = append(w.b, "</dict></plist>"...) }
func (w *writer) open()  { w.b = append(w.b, "<dict>"...) }
func (w *writer) close() { w.b = append(w.b, "</dict>"...) }

// key writes a key, which is always one of ours and needs no escape.
func (w *writer) key(name string) {
	w.b = append(w.b, "<key>"...)
	w.b = append(w.b, name...)
	w.b = append(w.b, "</key>"...)
}

func (w *writer) string(name, text string) {
	w.key(name)
	w.item(text)
}

// item writes a text without its key.
func (w *writer) item(text string) {
	w.b = append(w.b, "<string>"...)
	w.b = appendEscaped(w.b, text)
	w.b = append(w.b, "</string>"...)
}

func (w *writer) data(name string, data []byte) {
	w.key(name)
	w.b = append(w.b, "<data>"...)
	w.b = base64.StdEncoding.AppendEncode(w.b, data)
	w.b = append(w.b, "</data>"...)
}

func (w *writer) integer(name string, n int64) {
	w.key(name)
	w.b = append(w.b, "<integer>"...)
	w.b = strconv.AppendInt(w.b, n, 10)
	w.b = append(w.b, "</integer>"...)
}

func (w *writer) bool(name string, v bool) {
	w.key(name)
	if v {
		w.b = append(w.b, "<true/>"...)
	} else {
		w.b = append(w.b, "<false/>"...)
	}
}

func (w *writer) strings(name string, list []string) {
	w.key(name)
	w.b = append(w.b, "<array>"...)
	for _, text := range list {
		w.item(text)
	}
	w.b = append(w.b, "</array>"...)
}

// The optional ones leave out a zero value.

func (w *writer) optionalString(name, text string) {
	if text != "" {
		w.string(name, text)
	}
}

func (w *writer) optionalData(name string, data []byte) {
	if len(data) > 0 {
		w.data(name, data)
	}
}

func (w *writer) optionalBool(name string, v bool) {
	if v {
		w.bool(name, true)
	}
}

func (w *writer) optionalStrings(name string, list []string) {
	if len(list) > 0 {
		w.strings(name, list)
	}
}

// appendEscaped writes text so that a parser gives it back byte for byte. What XML cannot say (control
// characters, invalid UTF-8) becomes U+FFFD.
func appendEscaped(dst []byte, text string) []byte {
	start := 0
	for i := 0; i < len(text); {
		if c := text[i]; c < utf8.RuneSelf && (!special[c] || c == '\t' || c == '\n') {
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(text[i:])
		with := ""
		switch {
		case r == '&':
			with = "&amp;"
		case r == '<':
			with = "&lt;"
		case r == '>':
			with = "&gt;"
		case r == '\r':
			with = "&#13;"
		case !isChar(r), r == utf8.RuneError && n == 1:
			with = "\uFFFD"
		}
		if with != "" {
			dst = append(append(dst, text[start:i]...), with...)
			start = i + n
		}
		i += n
	}
	return append(dst, text[start:]...)
}

// EncodeMessage appends m as an XML property list, keys that are zero left out.
func EncodeMessage(dst []byte, m *Message) []byte {
	w := writer{dst}
	w.begin()
	m.write(&w)
	w.end()
	return w.b
}

func (m *Message) write(w *writer) {
	if m.MessageType != NoMessageType {
		w.string("MessageType", m.MessageType.String())
	} else if m.Status == protocol.NoStatus {
		w.string("Status", "Idle")
	} else {
		w.string("Status", m.Status.String())
	}
	for f := firstText; f <= lastText; f++ {
		w.optionalString(fieldNames[f], *m.text(f))
	}
	for f := firstData; f <= lastData; f++ {
		w.optionalData(fieldNames[f], *m.data(f))
	}
	w.optionalBool("AwaitingConfiguration", m.AwaitingConfiguration)
	// A Mac says it in every TokenUpdate of a user.
	if m.NotOnConsole || m.MessageType == TokenUpdate && m.UserChannel() && m.UserID != SharedUserID {
		w.bool("NotOnConsole", m.NotOnConsole)
	}
	if p := &m.TokenParameters; *p != (TokenParameters{}) {
		w.key("TokenParameters")
		w.open()
		w.optionalString("SecurityToken", p.SecurityToken)
		w.optionalString("PhoneUDID", p.PhoneUDID)
		w.optionalString("WatchUDID", p.WatchUDID)
		w.close()
	}
	if len(m.ErrorChain) > 0 {
		w.key("ErrorChain")
		w.b = append(w.b, "<array>"...)
		for i := range m.ErrorChain {
			e := &m.ErrorChain[i]
			w.open()
			w.integer("ErrorCode", e.Code)
			w.string("ErrorDomain", e.Domain)
			w.string("LocalizedDescription", e.LocalizedDescription)
			w.optionalString("USEnglishDescription", e.USEnglishDescription)
			w.close()
		}
		w.b = append(w.b, "</array>"...)
	}
}
