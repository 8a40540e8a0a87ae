package apple

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"rollcall/protocol"
)

// NoticeHeader is the header with which a server tells its devices of a change of authority, on any answer. The name is
// rollcall's own; devices that do not know it ignore it.
const NoticeHeader = "Rollcall-Notice"

// NoticeIdentifier is the PayloadIdentifier of the certificate payload in an enrolment profile whose key signs notices.
const NoticeIdentifier = "rollcall.enrolment.notice"

// maxNotice bounds a notice in bytes; a real one has some 200.
const maxNotice = 512

// NoticeWords returns what is signed of n: the header's value without the signature, as a dictionary of RFC 9651. Equal
// notices have equal words. Rule must be made of ASCII letters, digits and hyphens; Kept is left out where it is 0.
func NoticeWords(n protocol.Notice) string {
	changed, _ := n.ChangedAt.MarshalText() // has no error
	words := fmt.Sprintf(`epoch=%d, changed="%s", rule="%s"`, n.Epoch, changed, n.Rule)
	if n.Kept != 0 {
		words += fmt.Sprintf(`, kept=%d`, n.Kept/time.Second)
	}
	return words
}

// maxNoticeKept bounds how long a notice may have old profiles kept: a century.
const maxNoticeKept = 100 * 365 * 24 * 60 * 60

// NoticeValue returns the value of [NoticeHeader].
func NoticeValue(words string, signature []byte) string { return signedValue(words, signature) }

// DecodeNotice reads the value of [NoticeHeader] and does not verify it: words are what signature is about. Only what
// NoticeValue writes of [NoticeWords] is taken, so that a notice has one form. The error wraps [protocol.ErrMalformed].
func DecodeNotice(value string) (n protocol.Notice, words string, signature []byte, err error) {
	wrong := func(what string) (protocol.Notice, string, []byte, error) {
		return protocol.Notice{}, "", nil, fmt.Errorf("%s: %s: %w", NoticeHeader, what, protocol.ErrMalformed)
	}
	words, signature, what := cutSigned(value, maxNotice)
	if what != "" {
		return wrong(what)
	}
	rest := words
	next := func(before, after string) (field string) {
		var ok bool
		if rest, ok = strings.CutPrefix(rest, before); ok {
			field, rest, _ = strings.Cut(rest, after)
		}
		return field
	}
	epoch, err := strconv.ParseUint(next("epoch=", ","), 10, 32)
	if err != nil {
		return wrong("epoch")
	}
	if n.ChangedAt.UnmarshalText([]byte(next(` changed="`, `",`))) != nil {
		return wrong("changed")
	}
	n.Epoch, n.Rule = uint32(epoch), protocol.Rule(next(` rule="`, `"`))
	if text, longer := strings.CutPrefix(rest, ", kept="); longer {
		kept, err := strconv.ParseUint(text, 10, 32)
		if err != nil || kept > maxNoticeKept {
			return wrong("kept")
		}
		n.Kept = time.Duration(kept) * time.Second
	}
	if !named(n.Rule) || NoticeWords(n) != words {
		return wrong("not in its one form")
	}
	return n, words, signature, nil
}
