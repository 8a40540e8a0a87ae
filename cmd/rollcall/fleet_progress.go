//go:build !agentonly

package main

import (
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"

	"rollcall/fleet/load"
	"rollcall/fleet/plan"
)

// loadProgress shows how far a load has come: a bar on a terminal, nothing in a pipe.
type loadProgress struct {
	bars *mpb.Progress
	bar  *mpb.Bar
	last atomic.Pointer[load.Progress]
}

func newLoadProgress(w io.Writer) *loadProgress {
	file, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return &loadProgress{}
	}
	p := &loadProgress{}
	p.bars = mpb.New(mpb.WithOutput(w), mpb.WithWidth(30), mpb.WithRefreshRate(100*time.Millisecond))
	p.bar = p.bars.AddBar(0, mpb.BarRemoveOnComplete(), mpb.AppendDecorators(decor.Any(func(decor.Statistics) string { return p.text() })))
	return p
}

func (p *loadProgress) show(now load.Progress) {
	if p.bar == nil {
		return
	}
	p.last.Store(&now)
	total, current := int64(now.Length), int64(now.At)
	if now.Enrolling {
		total, current = int64(now.Devices), int64(now.Enrolled)
	}
	p.bar.SetTotal(total, false)
	p.bar.SetCurrent(min(current, total))
}

func (p *loadProgress) done() {
	if p.bar != nil {
		p.bar.Abort(true)
		p.bars.Wait()
	}
}

func (p *loadProgress) text() string {
	now := p.last.Load()
	switch {
	case now == nil:
		return " the generator measures itself"
	case now.Enrolling:
		return fmt.Sprintf(" %d of %d devices enrolled", now.Enrolled, now.Devices)
	}
	return fmt.Sprintf(" %s of %s · %d offered · %d done · %d failed · %d talk", plan.Duration(now.At.Round(time.Second)), plan.Duration(now.Length), now.Offered, now.Done, now.Failed, now.Busy)
}
