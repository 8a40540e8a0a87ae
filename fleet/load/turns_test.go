package load

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"rollcall/agent/dialect"
)

// turns against an obvious twin: lists that are searched. Whoever left a place in between has lost its turn there.
func TestTurns(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	const n = 20
	x := turns{beds: make([]bed, n)}
	x.count[out] = n
	var rest []int32
	wait := map[int32]time.Duration{}
	leave := func(i int32) {
		rest = slices.DeleteFunc(rest, func(j int32) bool { return i == j })
		delete(wait, i)
	}
	for step := range 20_000 {
		i := int32(r.IntN(n))
		switch at := time.Duration(step); r.IntN(5) {
		case 0:
			leave(i)
			x.sleep(i)
			rest = append(rest, i)
		case 1:
			leave(i)
			at += time.Duration(r.IntN(50))
			x.come(i, at, dialect.Scheduled)
			wait[i] = at
		case 2:
			leave(i)
			x.move(i, out)
		case 3:
			if x.count[resting] != len(rest) {
				t.Fatalf("%d rest, want %d", x.count[resting], len(rest))
			}
			if len(rest) > 0 {
				if got := x.next(talking); got != rest[0] {
					t.Fatalf("it is the turn of %d, want %d", got, rest[0])
				}
				rest = rest[1:]
			}
		case 4:
			at, ok := x.visits()
			first := time.Duration(-1)
			for _, w := range wait {
				if first < 0 || w < first {
					first = w
				}
			}
			if ok != (first >= 0) || ok && at != first || x.count[waiting] != len(wait) {
				t.Fatalf("the next comes at %v (%v), want %v", at, ok, first)
			}
			if ok {
				v := x.visitor()
				if wait[v.device] != first {
					t.Fatalf("%d comes, whose moment is %v", v.device, wait[v.device])
				}
				delete(wait, v.device)
			}
		}
	}
}
