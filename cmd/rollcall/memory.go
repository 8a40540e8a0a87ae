//go:build !agentonly

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"

	"rollcall/fleet/plan"
	"rollcall/fleet/population"
)

// What a device takes, roughly, in bytes: in a live run key, certificate and population included.
const (
	labDevice       = 30 << 10 // with the server's and the push service's part, and its lines of the event log
	rehearsedDevice = 3 << 10  // with the server's part
	loadedDevice    = 4 << 10
	keptConnection  = 32 << 10 // buffers and TLS state of a connection that stays open
)

// enoughMemory refuses a run of more devices than fit into so much free memory, with each of them so big; free 0: not known.
func enoughMemory(devices int, each, free int64) error {
	fit := free / each
	if free == 0 || int64(devices) <= fit {
		return nil
	}
	return fmt.Errorf("%d devices need %s of memory and %s are free: at most %d fit (--devices %d)", devices, inGiB(int64(devices)*each), inGiB(free), fit, fit)
}

func inGiB(n int64) string { return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30)) }

// manyDevices is how many take long enough to be made that somebody wants to see it.
const manyDevices = 200_000

// makePopulation makes the population of p, and shows on a terminal how far it is with a big one.
func makePopulation(ctx context.Context, w io.Writer, p *plan.Plan) (*population.Population, error) {
	file, ok := w.(*os.File)
	if n := p.Devices(); ok && n >= manyDevices && term.IsTerminal(int(file.Fd())) {
		bars := mpb.New(mpb.WithOutput(w), mpb.WithWidth(barWidth))
		bar := bars.AddBar(int64(n), mpb.BarRemoveOnComplete(), mpb.AppendDecorators(decor.CountersNoUnit(" %d of %d devices made")))
		defer bars.Wait()
		defer bar.Abort(true)
		return population.Make(ctx, p, func(made int) { bar.SetCurrent(int64(made)) })
	}
	return population.Make(ctx, p, nil)
}

// allowedMemory is how much memory the process may take before it looks harder for what it no longer needs: GOMEMLIMIT, mostly without
// end.
var allowedMemory = debug.SetMemoryLimit(-1)

// saveMemory has a rehearsal of so many devices take little memory beyond what it needs: most of what it has stays to the end. Until it
// has grown to what it needs in any case, little is collected: there is not much to be won.
func saveMemory(devices int) {
	const needed = 1400 // bytes a device, with what goes again
	spare := 25         // percent of what is needed
	if devices >= manyDevices {
		spare = 15
	}
	least := max(64<<20, int64(devices)*needed)
	if least >= allowedMemory {
		debug.SetGCPercent(spare)
		return
	}
	debug.SetMemoryLimit(least)
	debug.SetGCPercent(-1)
	whenGrown(least*100/int64(100+spare), func() {
		debug.SetGCPercent(spare)
		debug.SetMemoryLimit(allowedMemory)
	})
}

// whenGrown calls do after the first collection that finds so many bytes in use.
func whenGrown(bytes int64, do func()) {
	type sign struct{ _ *sign }
	runtime.AddCleanup(new(sign), func(int) { // a collection has found it
		live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
		metrics.Read(live)
		if int64(live[0].Value.Uint64()) < bytes {
			whenGrown(bytes, do)
			return
		}
		do()
	}, 0)
}
