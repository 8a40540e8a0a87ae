//go:build !race

package windows

import (
	"path/filepath"
	"testing"
)

// A session's messages cost a copy of the text each, and what a text with escapes needs: no more. What is used again is not
// allocated again. (The race detector makes sync.Pool forget at random.)
func TestSteadyAllocations(t *testing.T) {
	for name, most := range map[string]float64{"package1": 1, "package2": 3, "package3": 1, "package4": 1} {
		body := read(t, filepath.Join("testdata", name+".golden"))
		var m Message
		dst := make([]byte, 0, 8192)
		n := testing.AllocsPerRun(100, func() {
			if err := DecodeMessage(body, &m); err != nil {
				t.Fatal(err)
			}
			dst = EncodeMessage(dst[:0], &m)
		})
		if n > most {
			t.Errorf("%s: decoding and encoding allocate %v times, want %v", name, n, most)
		}
	}
}
