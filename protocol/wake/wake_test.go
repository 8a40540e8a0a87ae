package wake

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestFrame(t *testing.T) {
	for _, tt := range []struct {
		name string
		in   string
		kind Kind
		body string
		err  error
	}{
		{"ping", "\x05\x00\x00", Ping, "", nil},
		{"push", "\x03\x00\x06\x00\x00\x00\x07ab", Push, "\x00\x00\x00\x07ab", nil},
		{"got", "\x04\x00\x04\x00\x00\x00\x07", Got, "\x00\x00\x00\x07", nil},
		{"a push without a number", "\x03\x00\x03abc", 0, "", ErrFrame},
		{"a hello without a topic", "\x01\x00\x20" + strings.Repeat("t", 32), Hello, strings.Repeat("t", 32), nil},
		{"a hello without a token", "\x01\x00\x1f" + strings.Repeat("t", 31), 0, "", ErrFrame},
		{"a welcome with an address", "\x02\x00\x01a", Welcome, "a", nil},
		{"a welcome with a novel", "\x02\x04\x00" + strings.Repeat("t", 1024), 0, "", ErrFrame},
		{"too long", "\x03\xff\xff", 0, "", ErrFrame},
		{"a ping with a body", "\x05\x00\x01a", 0, "", ErrFrame},
		{"an unknown kind", "\x09\x00\x00", 0, "", ErrFrame},
		{"nothing", "", 0, "", io.EOF},
		{"cut in the head", "\x05\x00", 0, "", io.ErrUnexpectedEOF},
		{"cut before the body", "\x04\x00\x04", 0, "", io.ErrUnexpectedEOF},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, err := ReadFrame(strings.NewReader(tt.in), nil)
			if !errors.Is(err, tt.err) || err == nil && (f.Kind != tt.kind || string(f.Body) != tt.body) {
				t.Errorf("got %d %q, %v", f.Kind, f.Body, err)
			}
		})
	}
}

func FuzzFrame(f *testing.F) {
	f.Add([]byte("\x03\x00\x06\x00\x00\x00\x07ab"))
	f.Add([]byte("\x01\x00\x22" + strings.Repeat("t", 34)))
	f.Fuzz(func(t *testing.T, in []byte) {
		got, err := ReadFrame(bytes.NewReader(in), make([]byte, 16))
		if err != nil {
			return
		}
		if out := AppendFrame(nil, got.Kind, got.Body); !bytes.HasPrefix(in, out) {
			t.Errorf("%q came out as %q", in, out)
		}
	})
}
