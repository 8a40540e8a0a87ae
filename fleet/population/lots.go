package population

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
)

// often is how many devices are one lot: so often who makes them looks whether they are still wanted.
const often = 4096

// lots has do see to all numbers below n, in lots, on each processor one at a time: what do makes of one number must not hang on another.
// It stops where ctx ends.
func lots(ctx context.Context, n int, do func(from, to int)) {
	var next atomic.Int64
	work := func() {
		for from := int(next.Add(often)) - often; from < n && ctx.Err() == nil; from = int(next.Add(often)) - often {
			do(from, min(from+often, n))
		}
	}
	var group sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), (n+often-1)/often) - 1 { // beside the one that waits for them
		group.Go(work)
	}
	work()
	group.Wait()
}

// each is lots with one device after the other.
func each(ctx context.Context, devices []Device, do func(i int, d *Device)) {
	lots(ctx, len(devices), func(from, to int) {
		for i := from; i < to; i++ {
			do(i, &devices[i])
		}
	})
}
