package link

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"
)

// HST-120: an answer is read as far as allowed, and takes no more memory than what was read of it, twice at most while it grows.
func TestHST120TheMemoryOfAnAnswer(t *testing.T) {
	const most = 100_000
	for name, tt := range map[string]struct {
		has    int
		length int64 // as its header says; -1: it does not
		room   int   // most of what it may take
		want   error
	}{
		"as long as it says":    {70_000, 70_000, 70_000, nil},
		"empty":                 {0, 0, 0, nil},
		"it does not say":       {3000, -1, 2*3000 + leastBody, nil},
		"as long as is allowed": {most, -1, most + 1, nil},
		"of the allowed length": {most, most, most, nil},
		"longer, as it says":    {most + 1, most + 1, 0, ErrTooLong},
		"longer":                {most + 1, -1, most + 1, ErrTooLong},
		"without end":           {100 * most, -1, most + 1, ErrTooLong},
		"says much, has little": {10, most, leastBody, io.ErrUnexpectedEOF},
	} {
		t.Run(name, func(t *testing.T) {
			content := bytes.Repeat([]byte("rollcall"), tt.has/8+1)[:tt.has]
			var r io.Reader = bytes.NewReader(content)
			if tt.length > int64(tt.has) {
				r = io.MultiReader(r, iotest.ErrReader(io.ErrUnexpectedEOF)) // as net/http has it
			}
			b, err := readBody(nil, r, tt.length, most)
			if !errors.Is(err, tt.want) || err == nil && !bytes.Equal(b, content) {
				t.Errorf("%d bytes of %d, %v; want %v", len(b), tt.has, err, tt.want)
			}
			if cap(b) > tt.room {
				t.Errorf("room for %d bytes, want at most %d", cap(b), tt.room)
			}
		})
	}
	kept := make([]byte, 0, 64)
	if b, err := readBody(kept, bytes.NewReader(make([]byte, 64)), 64, most); err != nil || cap(b) != 64 || &b[0] != &kept[:1][0] {
		t.Errorf("the buffer of the answer before is not used again: %v", err)
	}
}
