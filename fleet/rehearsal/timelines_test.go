package rehearsal_test

import (
	"fmt"
	"os"
	"testing"
)

func TestTimelines(t *testing.T) {
	from, to := 0, 300
	fmt.Sscan(os.Getenv("FROM"), &from)
	fmt.Sscan(os.Getenv("TO"), &to)
	bad := 0
	for seed := from; seed < to; seed++ {
		tl := drawTimeline(uint64(seed))
		broken, err := play(tl)
		if err != nil || len(broken) > 0 {
			bad++
			if bad < 4 {
				t.Errorf("seed %d: %v %v\n%s", seed, broken, err, tl)
			}
		}
	}
	t.Logf("%d bad", bad)
}
