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

	"rollcall/fleet"
)

// progress shows how far a story has come: a bar on a terminal, nothing in a pipe.
type progress struct {
	bars  *mpb.Progress
	bar   *mpb.Bar
	last  atomic.Pointer[fleet.Progress]
	color bool
}

// ANSI sequences of the line that tells of the gap. Orange is one of the 256 colours that every terminal of today has.
const (
	orange = "\x1b[38;5;208m"
	plain  = "\x1b[0m"
)

// newProgress shows progress on w if that is a terminal.
func newProgress(w io.Writer) *progress {
	file, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return &progress{}
	}
	p := &progress{color: os.Getenv("NO_COLOR") == ""}
	p.last.Store(&fleet.Progress{})
	p.bars = mpb.New(mpb.WithOutput(w), mpb.WithWidth(40), mpb.WithRefreshRate(100*time.Millisecond))
	p.bar = p.bars.AddBar(0, mpb.BarRemoveOnComplete(),
		mpb.BarExtender(mpb.BarFillerFunc(func(w io.Writer, _ decor.Statistics) error {
			_, err := io.WriteString(w, p.gap())
			return err
		}), false),
		mpb.PrependDecorators(decor.Any(func(decor.Statistics) string { return p.day() })),
		mpb.AppendDecorators(decor.Any(func(decor.Statistics) string { return p.counts() })),
	)
	return p
}

func (p *progress) show(now fleet.Progress) {
	if p.bar == nil {
		return
	}
	p.last.Store(&now)
	p.bar.SetTotal(int64(now.End-now.Start), false)
	p.bar.SetCurrent(int64(max(now.Now-now.Start, 0)))
}

func (p *progress) done() {
	if p.bar != nil {
		p.bar.Abort(true)
		p.bars.Wait()
	}
}

func (p *progress) day() string {
	last := p.last.Load()
	at := last.Now.Sub(last.Start)
	if at < 0 {
		return "before the story "
	}
	day := fmt.Sprintf("day %d %02d:%02d ", int(at.Hours())/24, int(at.Hours())%24, int(at.Minutes())%60)
	if last.Part > 0 {
		day = fmt.Sprintf("act %d of %d, ", last.Part, last.Parts) + day
	}
	return day
}

// gap is a line for as long as Apple devices wait for a renewed push certificate (AUTH-30), else nothing.
func (p *progress) gap() string {
	last := p.last.Load()
	if !last.Gap {
		return ""
	}
	line := fmt.Sprintf("the gap is open: Apple devices get 503 until a renewed push certificate is uploaded (AUTH-30); %d refused so far", last.Counts.Refused)
	if p.color {
		line = orange + line + plain
	}
	return line + "\n"
}

func (p *progress) counts() string {
	last := p.last.Load()
	c := &last.Counts
	return fmt.Sprintf(" %d/%d enrolled · %d check-ins · %d pushes · %s", last.Enrolled, last.Devices, c.Done, c.Wakes, last.Act)
}
