package conformance

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"unicode/utf8"
)

// An Exchange is one request and its answer, as far as they are to be shown. Secrets are left out.
type Exchange struct {
	What     string            `json:"what"` // who says what
	Request  string            `json:"request"`
	Header   map[string]string `json:"request_header,omitempty"`
	Sent     string            `json:"sent,omitempty"` // the body
	Status   int               `json:"status"`         // 0: no answer
	Answer   map[string]string `json:"answer_header,omitempty"`
	Received string            `json:"received,omitempty"` // the body
	Error    string            `json:"error,omitempty"`    // why there was no answer

	length int64 // Content-Length of the answer; -1: not said
	header http.Header
	body   []byte
	err    error
}

// String shows the exchange on a few lines.
func (x *Exchange) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n> %s\n", x.What, x.Request)
	lines := func(mark string, header map[string]string, body string) {
		for _, name := range shownHeaders {
			if v := header[name]; v != "" {
				fmt.Fprintf(&b, "%s %s: %s\n", mark, name, v)
			}
		}
		for line := range strings.Lines(body) {
			fmt.Fprintf(&b, "%s %s\n", mark, strings.TrimRight(line, "\r\n"))
		}
	}
	lines(">", x.Header, x.Sent)
	if x.Status == 0 {
		fmt.Fprintf(&b, "< no answer: %s\n", x.Error)
		return b.String()
	}
	fmt.Fprintf(&b, "< %d %s\n", x.Status, http.StatusText(x.Status))
	lines("<", x.Answer, x.Received)
	return b.String()
}

// shownHeaders are those that decide something.
var shownHeaders = []string{
	"Content-Type", "Content-Length", "Content-Encoding", "Retry-After", "Location", "Rollcall-Notice", "Mdm-Signature", "X-Client-Cert", "X-Forwarded-For",
	"Client-Cert", "X-Ssl-Client-Cert",
}

func shownHeader(h http.Header) map[string]string {
	out := map[string]string{}
	for _, name := range shownHeaders {
		if v := h.Get(name); v != "" {
			out[name] = shown([]byte(v), 120)
		}
	}
	return out
}

var (
	secretValues = regexp.MustCompile(`(?s)(<key>(?:Challenge|PushMagic|Token|UnlockToken|BootstrapToken|PIN)</key>\s*<(?:string|data)>).*?(</|\z)`)
	secretJSON   = regexp.MustCompile(`("(?:challenge|newPassword)"\s*:\s*")[^"]*("|\z)`)
	secretSOAP   = regexp.MustCompile(`(?s)(<(?:\w+:)?(?:Password|BinarySecurityToken)\b[^>]*>).*?(</|\z)`)
	longData     = regexp.MustCompile(`(?s)<data>([^<]{80})[^<]*</data>`)
)

const mostShown = 4 << 10

// shown is a body as people can read it, at most so many bytes of it.
func shown(body []byte, most int) string {
	if len(body) == 0 {
		return ""
	}
	if !utf8.Valid(body) || bytes.ContainsFunc(body, func(r rune) bool { return r < ' ' && r != '\n' && r != '\r' && r != '\t' || r == 0x7f }) {
		return fmt.Sprintf("(%d bytes, beginning %s)", len(body), base64.StdEncoding.EncodeToString(body[:min(len(body), 48)]))
	}
	cut := body[:min(len(body), 8*most)] // enough that what stands in for secrets and data leaves most of it
	text := secretValues.ReplaceAllString(string(cut), "$1(left out)$2")
	text = secretJSON.ReplaceAllString(text, "$1(left out)$2")
	text = secretSOAP.ReplaceAllString(text, "$1(left out)$2")
	text = longData.ReplaceAllString(text, "<data>$1…</data>")
	if len(text) > most {
		text = text[:most]
	}
	if len(text) < len(body) && len(cut) < len(body) || len(text) == most {
		text += fmt.Sprintf("… (%d bytes in all)", len(body))
	}
	return strings.ToValidUTF8(text, "?")
}
