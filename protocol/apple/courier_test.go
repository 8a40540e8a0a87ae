package apple

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestCourierFrame(t *testing.T) {
	for _, tt := range []struct {
		name string
		in   string
		kind CourierKind
		body string
		err  error
	}{
		{"ping", "\x05\x00\x00", CourierPing, "", nil},
		{"push", "\x03\x00\x06\x00\x00\x00\x07ab", CourierPush, "\x00\x00\x00\x07ab", nil},
		{"got", "\x04\x00\x04\x00\x00\x00\x07", CourierGot, "\x00\x00\x00\x07", nil},
		{"a push without a number", "\x03\x00\x03abc", 0, "", ErrCourier},
		{"a hello without a topic", "\x01\x00\x20" + strings.Repeat("t", 32), 0, "", ErrCourier},
		{"too long", "\x03\xff\xff", 0, "", ErrCourier},
		{"a ping with a body", "\x05\x00\x01a", 0, "", ErrCourier},
		{"an unknown kind", "\x09\x00\x00", 0, "", ErrCourier},
		{"nothing", "", 0, "", io.EOF},
		{"cut in the head", "\x05\x00", 0, "", io.ErrUnexpectedEOF},
		{"cut before the body", "\x04\x00\x04", 0, "", io.ErrUnexpectedEOF},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, err := ReadCourierFrame(strings.NewReader(tt.in), nil)
			if !errors.Is(err, tt.err) || err == nil && (f.Kind != tt.kind || string(f.Body) != tt.body) {
				t.Errorf("got %d %q, %v", f.Kind, f.Body, err)
			}
		})
	}
}

func FuzzCourierFrame(f *testing.F) {
	f.Add([]byte("\x03\x00\x06\x00\x00\x00\x07ab"))
	f.Add([]byte("\x01\x00\x22" + strings.Repeat("t", 34)))
	f.Fuzz(func(t *testing.T, in []byte) {
		got, err := ReadCourierFrame(bytes.NewReader(in), make([]byte, 16))
		if err != nil {
			return
		}
		if out := AppendCourierFrame(nil, got.Kind, got.Body); !bytes.HasPrefix(in, out) {
			t.Errorf("%q came out as %q", in, out)
		}
	})
}
