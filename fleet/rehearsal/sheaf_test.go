package rehearsal

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"rollcall/protocol"
)

// However many workers put the lines of sheaves in order, lot by lot, they come as if all of them had been sorted at once, also those
// that came late within a window (HST-124).
func TestHST124LogOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var sheaves []*sheaf
	whole := new(sheaf)
	for k := range 3 {
		s := new(sheaf)
		for i := range sliced {
			at := now + protocol.Time(i/3*1000)
			if i%1000 == 7 && s.sorted < i-1 {
				at = s.lines[max(s.sorted, i-5)].at
			}
			l := Line{At: at, Side: [2]Side{OfDevice, OfServer}[r.IntN(2)], Device: "x", What: fmt.Sprint(i % 7)}
			device := uint32(10*k + r.IntN(9) + 1)
			s.add(&l, device)
			whole.add(&l, device)
			if i%100 == 99 {
				s.sort()
			}
		}
		s.sort()
		sheaves = append(sheaves, s)
	}
	slices.SortStableFunc(whole.lines, func(a, b logged) int { return a.compare(&b) })
	name := func(device uint32) string { return fmt.Sprint("device-", device) }
	var want []byte
	var clock momentEncoder
	for i := range whole.lines {
		want = whole.append(want, &whole.lines[i], &clock, name)
	}
	for workers := 1; workers <= 3; workers++ {
		var got bytes.Buffer
		w := logWriter{out: &got, sum: sha256.New(), name: name}
		if err := w.write(sheaves, workers); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Bytes(), want) || w.lines != uint64(len(whole.lines)) {
			t.Errorf("%d workers write %d lines of %d in another order", workers, w.lines, len(whole.lines))
		}
	}
}
