//go:build !race

package apple

import "testing"

// TestSteadyAllocations: a device that comes again with the same message costs no garbage. (The
// race detector makes sync.Pool forget at random.)
func TestSteadyAllocations(t *testing.T) {
	for _, tt := range steady {
		body := EncodeMessage(nil, tt.msg)
		var m Message
		dst := make([]byte, 0, 4096)
		if n := testing.AllocsPerRun(100, func() {
			if err := DecodeMessage(body, &m); err != nil {
				t.Fatal(err)
			}
			dst = EncodeMessage(dst[:0], &m)
		}); n > 0 {
			t.Errorf("%s: decoding and encoding allocate %v times, want 0", tt.name, n)
		}
	}
}
