package fleet

import (
	"cmp"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"rollcall/protocol"
)

// The queue gives moments back by time, then device, then kind, whatever order they came in: a run replays only then
// (HST-124). The twin is a sorted slice.
func TestHST124Queue(t *testing.T) {
	order := func(a, b moment) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.device, b.device), cmp.Compare(a.kind, b.kind))
	}
	rapid.Check(t, func(t *rapid.T) {
		var q queue
		var twin []moment
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			if len(twin) > 0 && rapid.IntRange(0, 2).Draw(t, "pop") == 0 {
				want := twin[0]
				twin = twin[1:]
				if next := q.next(); next != want.at {
					t.Fatalf("next() = %d, want %d", next, want.at)
				}
				if got := q.pop(); order(got, want) != 0 {
					t.Fatalf("pop() = %+v, want %+v", got, want)
				}
				continue
			}
			m := moment{
				at:     protocol.Time(rapid.IntRange(1, 20).Draw(t, "at")),
				device: uint32(rapid.IntRange(0, 5).Draw(t, "device")),
				kind:   kind(rapid.IntRange(1, 7).Draw(t, "kind")),
			}
			q.push(m)
			twin = append(twin, m)
			slices.SortFunc(twin, order)
		}
		if q.next() != 0 != (len(twin) > 0) || len(q) != len(twin) {
			t.Fatalf("%d moments left, want %d", len(q), len(twin))
		}
	})
}
