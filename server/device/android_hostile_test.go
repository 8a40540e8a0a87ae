package device

import (
	"bytes"
	"encoding/binary"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"rollcall/server/delivery"
)

// TestHST011Android: messages are JSON in UTF-8 without a mark; any other charset is malformed, and nothing of the message is heard.
func TestHST011Android(t *testing.T) {
	l := newDroidLab(t)
	p, m := l.android("d-0123456789abcdef0000")
	wide := func(order binary.AppendByteOrder, mark bool) (b []byte) {
		if mark {
			b = order.AppendUint16(b, 0xfeff)
		}
		for _, u := range utf16.Encode([]rune(string(m))) {
			b = order.AppendUint16(b, u)
		}
		return b
	}
	before := l.record(p.id)
	for name, body := range map[string][]byte{
		"UTF-16, big endian": wide(binary.BigEndian, true), "UTF-16, little endian": wide(binary.LittleEndian, true), "UTF-16 without a mark": wide(binary.BigEndian, false),
		"UTF-8 with a mark": append([]byte("\xef\xbb\xbf"), m...), "UTF-7": append([]byte("+AHs-"), m[1:]...),
		"Latin-1": bytes.Replace(m, []byte(`"reason":"SCHEDULE"`), []byte("\"reason\":\"SCHEDULE\",\"x\":\"\xe9\""), 1),
	} {
		if got := l.line(p).says(body, "c-hst011"); !strings.HasPrefix(got, "400 ") || !strings.Contains(got, "MALFORMED") {
			t.Errorf("%s: answered %s", name, got)
		}
	}
	if after := l.record(p.id); !reflect.DeepEqual(before, after) {
		t.Errorf("the record was\n%+v\nand is\n%+v", before, after)
	}
}

// TestHST053Android: the newest enrolment wins. What an older one says, as a device restored from a backup does, is refused, its push id is
// never that of the device again, and nothing of it is kept over a new enrolment.
func TestHST053Android(t *testing.T) {
	const id = "d-0123456789abcdef0000"
	l := newDroidLab(t)
	reached := func(m []byte, fid string) []byte {
		return bytes.Replace(m, []byte(`"compliant":true`), []byte(`"compliant":true,"push":{"kind":"fcm","fid":"`+fid+`"}`), 1)
	}
	wants := func(when, fid string) {
		t.Helper()
		if p := l.record(id).State.Push; string(p.Token) != fid {
			t.Errorf("%s the device is woken at %q, want %q", when, p.Token, fid)
		}
	}
	old, m := l.android(id)
	if got := l.line(old).says(reached(m, "f-old"), "c-old"); !strings.HasPrefix(got, "200 ") {
		t.Fatal(got)
	}
	wants("by its first enrolment", "f-old")
	l.setClock(l.now().Add(time.Hour)) // its old identity is valid for long
	fresh, steady := l.android(id)
	wants("enrolled again", "")
	if life := l.record(id).State.Life; life != delivery.Enrolled { // both call their first check-in the same: what the first one was answered is not repeated
		t.Errorf("enrolled again it is %s", life)
	}
	for _, fid := range []string{"f-old", "f-older"} {
		before := l.record(id)
		for _, message := range [][]byte{reached(m, fid), bytes.Replace(reached(m, fid), []byte(`"SCHEDULE"`), []byte(`"ENROLLED"`), 1)} {
			if got := l.line(old).says(message, "c-"+fid); strings.HasPrefix(got, "200 ") {
				t.Errorf("the older enrolment is answered %s", got)
			}
		}
		if after := l.record(id).State; !reflect.DeepEqual(before.State, after) {
			t.Errorf("the older enrolment changed\n%+v\nto\n%+v", before.State, after)
		}
		if got := l.line(fresh).says(reached(steady, "f-new"), "c-new-"+fid); !strings.HasPrefix(got, "200 ") {
			t.Fatal(got)
		}
		wants("by its newest enrolment", "f-new")
	}
}

// TestHST014AndroidRules: the rule that a refusal names is the one that its text ends in: a reader of either hears the same.
func TestHST014AndroidRules(t *testing.T) {
	l := newDroidLab(t)
	p, m := l.android("d-0123456789abcdef0000")
	with := func(member string) []byte {
		return bytes.Replace(m, []byte(`"reason":"SCHEDULE"`), []byte(`"reason":"SCHEDULE",`+member), 1)
	}
	for rule, body := range map[string][]byte{
		"HST-002": m[:len(m)-1], "HST-004": with(`"x":` + strings.Repeat("[", 70) + strings.Repeat("]", 70)), "HST-006": with(`"epoch":1,"epoch":1`),
		"HST-009": with(`"x":1e400`), "HST-010": with("\"x\":\"\xe9\""), "HST-014": with(`"push":1`),
	} {
		got := l.line(p).says(body, "c-rules")
		if !strings.HasPrefix(got, "400 ") || !strings.Contains(got, `"metadata":{"rule":"`+rule+`"}`) || rule != "HST-014" && !strings.Contains(got, "("+rule+")") {
			t.Errorf("%s: answered %s", rule, got)
		}
	}
}
