// Package logs makes the server's logger: one event is one line, whatever a peer put into a name, a header or a
// body (HST-068). Control characters, line breaks, terminal sequences and invalid UTF-8 are shown escaped, and a
// field is cut at [MaxField].
//
// Start with [New]. The package cannot know what is secret: whoever logs leaves secrets out.
package logs

import (
	"fmt"
	"io"
	"log"
	"os"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/sirupsen/logrus"
)

// MaxField is how many bytes of one field, or of the message, are written.
const MaxField = 1024

// New returns a logger that writes to w: JSON for programs, or text for a person at a terminal. What cannot be written is
// lost, which standard error hears.
func New(w io.Writer, json bool) *logrus.Logger { return newTo(w, os.Stderr, json) }

func newTo(w, notes io.Writer, json bool) *logrus.Logger {
	l := logrus.New()
	l.SetOutput(&sink{to: w, notes: notes})
	var inner logrus.Formatter = &logrus.TextFormatter{DisableColors: true, FullTimestamp: true}
	if json {
		inner = &logrus.JSONFormatter{}
	}
	l.SetFormatter(&formatter{inner})
	return l
}

// Std returns a standard logger for libraries that want one; each of its lines becomes a warning of l.
func Std(l *logrus.Logger) *log.Logger { return log.New(lines{l}, "", 0) }

type lines struct{ to *logrus.Logger }

func (w lines) Write(p []byte) (int, error) {
	w.to.Warn(strings.TrimRight(string(p), "\n"))
	return len(p), nil
}

// formatter cleans an entry before another one writes it.
type formatter struct{ inner logrus.Formatter }

func (f *formatter) Format(e *logrus.Entry) ([]byte, error) {
	clean := *e
	clean.Message = Escape(e.Message)
	clean.Data = make(logrus.Fields, len(e.Data))
	for k, v := range e.Data {
		switch v := v.(type) {
		case string:
			clean.Data[Escape(k)] = Escape(v)
		case []byte:
			clean.Data[Escape(k)] = Escape(string(v))
		case error:
			clean.Data[Escape(k)] = Escape(v.Error())
		case nil, bool, int, int64, uint32, uint64:
			clean.Data[Escape(k)] = v
		default:
			clean.Data[Escape(k)] = Escape(fmt.Sprint(v))
		}
	}
	return f.inner.Format(&clean)
}

// Escape shows whatever could break a line or fool a reader as Go's escapes, and cuts s at [MaxField] bytes.
func Escape(s string) string {
	cut := ""
	if len(s) > MaxField {
		cut = "... (" + strconv.Itoa(len(s)) + " bytes)"
		s = s[:MaxField-len(cut)]
	}
	if !strings.ContainsFunc(s, odd) {
		return s + cut
	}
	var b strings.Builder
	for i, n := 0, 0; i < len(s) && b.Len() < MaxField-len(cut); i += n {
		var r rune
		if r, n = utf8.DecodeRuneInString(s[i:]); !odd(r) {
			b.WriteRune(r)
		} else if r == utf8.RuneError {
			fmt.Fprintf(&b, `\x%02x`, s[i])
		} else {
			quoted := strconv.QuoteRuneToASCII(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		}
	}
	return b.String() + cut
}

func odd(r rune) bool { return r == utf8.RuneError || !unicode.IsPrint(r) }
