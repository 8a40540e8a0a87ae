//go:build unix

package device

import (
	"bytes"
	"encoding/binary"
	"reflect"
	"strings"
	"testing"
	"unicode/utf16"
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
