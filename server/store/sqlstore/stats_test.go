package sqlstore

import (
	"errors"
	"testing"

	"rollcall/server/store"
)

func TestStats(t *testing.T) {
	s := openDir(t, t.TempDir())
	before := s.Stats()
	d := enrol(t, s, "A")
	for n := range uint64(3) {
		if err := step(s, d, n+1); err != nil {
			t.Fatal(err)
		}
	}
	enrol(t, s, "B")
	got := s.Stats()
	if got.Devices != 2 || got.Changes < before.Changes+5 || got.Groups < 1 || got.Waiting != 0 || got.Bytes == 0 {
		t.Errorf("%+v", got)
	}
	sum := uint64(0)
	for _, n := range got.GroupSize {
		sum += n
	}
	if sum < got.Groups-1 || sum > got.Groups { // the last group may be counted in between
		t.Errorf("%d groups in classes, %d in all", sum, got.Groups)
	}
	var ty tally
	for n, class := range map[int]int{1: 0, 2: 1, 3: 2, 4: 2, 5: 3, 8: 3, 1024: 10, 1025: 11, 5000: 11} {
		was := ty.groupSize[class].Load()
		if ty.group(n); ty.groupSize[class].Load() != was+1 {
			t.Errorf("a group of %d is not in class %d", n, class)
		}
	}
	if err := s.Ready(); err != nil {
		t.Errorf("Ready = %v", err)
	}
	s.Close()
	if err := s.Ready(); !errors.Is(err, store.ErrClosed) {
		t.Errorf("Ready of a closed store = %v", err)
	}
}
