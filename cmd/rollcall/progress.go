//go:build !agentonly

package main

import (
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"

	"rollcall/fleet"
	"rollcall/protocol/lang"
)

// progress shows how far a story has come: a bar on a terminal, nothing in a pipe.
type progress struct {
	bars  *mpb.Progress
	bar   *mpb.Bar
	last  atomic.Pointer[fleet.Progress]
	lang  lang.Language
	head  string // of what the progress is; empty: of what was called
	color bool
}

// ANSI sequences of the line that tells of the gap. Orange is one of the 256 colours that every terminal of today has.
const (
	orange = "\x1b[38;5;208m"
	plain  = "\x1b[0m"
)

// barWidth is the length of the bar, where there is room.
const barWidth = 40

// newProgress shows progress on w, in l, if that is a terminal.
func newProgress(w io.Writer, l lang.Language) *progress { return newProgressOf(w, l, "") }

// newProgressOf says before it of what.
func newProgressOf(w io.Writer, l lang.Language, head string) *progress {
	file, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return &progress{}
	}
	p := &progress{lang: l, head: head, color: os.Getenv("NO_COLOR") == ""}
	p.last.Store(&fleet.Progress{})
	p.bars = mpb.New(mpb.WithOutput(w), mpb.WithWidth(barWidth), mpb.WithRefreshRate(100*time.Millisecond))
	p.bar = p.bars.AddBar(0, mpb.BarRemoveOnComplete(),
		mpb.BarExtender(mpb.BarFillerFunc(func(w io.Writer, s decor.Statistics) error {
			_, err := io.WriteString(w, p.gap(s.AvailableWidth))
			return err
		}), false),
		mpb.PrependDecorators(decor.Any(func(decor.Statistics) string { return p.day() })),
		mpb.AppendDecorators(decor.Any(func(s decor.Statistics) string { return p.counts(s.AvailableWidth) })),
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
	if last.ByLots {
		return p.head + p.lang.Say("%d of %d {device|devices} played", last.Played, last.Devices) + " "
	}
	at := last.Now.Sub(last.Start)
	if at < 0 {
		return p.head + p.lang.Say("before the story") + " "
	}
	day := p.lang.Say("day %d %s", int(at.Hours())/24, fmt.Sprintf("%02d:%02d", int(at.Hours())%24, int(at.Minutes())%60))
	if last.Part > 0 {
		day = p.lang.Say("act %d of %d, %s", last.Part, last.Parts, day)
	}
	return p.head + day + " "
}

// gap is a line of at most so many characters for as long as Apple devices wait for a renewed push certificate (AUTH-30), else
// nothing: one that is broken would spoil the bar above it.
func (p *progress) gap(width int) string {
	last := p.last.Load()
	if !last.Gap {
		return ""
	}
	line := fit(p.lang.Say("the gap is open: Apple devices get 503 until a renewed push certificate is there (AUTH-30); %s check-ins refused so far", fmt.Sprint(last.Counts.Refused)), width)
	if p.color {
		line = orange + line + plain
	}
	return line + "\n"
}

// barRoom is what is left for the bar when the line is full, so that it keeps its length whatever the plan did last.
const barRoom = barWidth + 2

// counts is what stands behind the bar, where width characters are left for both.
func (p *progress) counts(width int) string {
	last := p.last.Load()
	c := &last.Counts
	counts := " " + p.lang.Say("%s enrolled · %s check-ins · %s pushes", fmt.Sprintf("%d/%d", last.Enrolled, last.Devices), fmt.Sprint(c.Done), fmt.Sprint(c.Wakes))
	if last.Faults > 0 {
		counts += " · " + p.lang.Say("%s went wrong", fmt.Sprint(last.Faults))
	}
	room := width - barRoom - utf8.RuneCountInString(counts+" · ")
	if room < 16 || last.Act == "" {
		return counts
	}
	return counts + " · " + fit(p.lang.Retell(last.Act), room)
}

// fit cuts text to width characters.
func fit(text string, width int) string {
	if runes := []rune(text); len(runes) > width {
		return string(runes[:max(width-1, 0)]) + "…"
	}
	return text
}

// A screen is a terminal that knows how wide it is.
type screen struct{ *os.File }

// Columns returns how many characters fit on a line.
func (s screen) Columns() int {
	width, _, err := term.GetSize(int(s.Fd()))
	if err != nil {
		return 80
	}
	return width
}

// screenOf returns w so that it knows its width, and whether colours may be used on it.
func screenOf(w io.Writer) (to io.Writer, color bool) {
	file, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return w, false
	}
	return screen{file}, os.Getenv("NO_COLOR") == ""
}
