//go:build !agentonly

package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"

	"rollcall/fleet/load"
	"rollcall/protocol/lang"
)

// loadProgress shows how far a load has come: a bar on a terminal, nothing in a pipe.
type loadProgress struct {
	bars *mpb.Progress
	bar  *mpb.Bar
	last atomic.Pointer[load.Progress]
	in   lang.Language
}

func newLoadProgress(w io.Writer, in lang.Language) *loadProgress {
	file, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return &loadProgress{}
	}
	p := &loadProgress{in: in}
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
		return " " + p.in.Say("the generator measures itself")
	case now.Enrolling && now.GaveUp > 0:
		return " " + p.in.Say("%d of %d {device|devices} enrolled, %d gave up", now.Enrolled, now.Devices, now.GaveUp)
	case now.Enrolling:
		return " " + p.in.Say("%d of %d {device|devices} enrolled", now.Enrolled, now.Devices)
	}
	text := " " + p.in.Say("%s of %s · %d offered · %d done · %d failed · %d talk", p.in.Span(now.At.Round(time.Second)), p.in.Span(now.Length), now.Offered, now.Done, now.Failed, now.Busy)
	if now.Faults > 0 {
		text += " · " + p.in.Say("%d went wrong", now.Faults)
	}
	return text
}

// serveMetrics serves what a load shows until stop.
func serveMetrics(address string, l *load.Load) (stop func(), err error) {
	registry := prometheus.NewRegistry()
	if err := registry.Register(l.Metrics()); err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("--metrics: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	s := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(listener) }()
	return func() {
		s.Close()
		<-ended
	}, nil
}
