//go:build !agentonly

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"time"

	"rollcall/fleet/report"
	"rollcall/protocol/lang"
)

// A floor is what a bare event loop takes for as many events as a rehearsal had check-ins: the earliest is taken, its device touched,
// its next one put in, and nothing decided. Measured beside the rehearsal, it says how much of the time is the machine's.
type floor struct {
	Program    string  `json:"program"`
	Row        string  `json:"row"` // of the program's
	Events     uint64  `json:"events"`
	Seconds    float64 `json:"seconds"`
	CPUSeconds float64 `json:"cpu_seconds"`
	Ratio      float64 `json:"ratio"`     // of the rehearsal's wall time to it
	CPURatio   float64 `json:"cpu_ratio"` // and of its processor time
}

// floorRuns is how often the program is to run; it prints its median.
const floorRuns = "3"

// floorRow is what a program prints: a name, the number of devices, and millions of events for each second and for each of processor
// time. What stands in brackets is their spread.
var floorRow = regexp.MustCompile(`^(.*?)\s+n=(\d+)\s+million events per s ([\d.]+)(?: \[.*?\])? \| per CPU-s ([\d.]+)`)

// measureFloor runs the program for r, which workers played.
func measureFloor(ctx context.Context, program string, workers int, r *report.Result) (*floor, error) {
	if workers == 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	f := &floor{Program: program, Events: r.CheckIns.Started}
	if f.Events == 0 {
		return nil, errors.New("--floor: nobody checked in, so there is nothing to compare")
	}
	rows := "1024 a slot" // the fastest of one thread
	if workers > 1 {
		rows = "two shards"
	}
	devices := r.Devices.Total - r.Devices.LeftOut
	c := exec.CommandContext(ctx, program, "-n", strconv.Itoa(devices), "-events", strconv.FormatUint(f.Events, 10), "-runs", floorRuns, "-only", rows)
	var said bytes.Buffer
	c.Stderr = &said
	out, err := c.Output()
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, notFloor(program, err.Error(), said.Bytes())
	}
	best := 0.0
	for line := range strings.Lines(string(out)) {
		m := floorRow.FindStringSubmatch(strings.TrimSpace(line))
		if m == nil || m[2] != strconv.Itoa(devices) {
			continue
		}
		wall, _ := strconv.ParseFloat(m[3], 64) // digits by the pattern; what is no number is 0
		cpu, _ := strconv.ParseFloat(m[4], 64)
		if wall > best && cpu > 0 {
			best, f.Row = wall, m[1]
			f.Seconds, f.CPUSeconds = float64(f.Events)/1e6/wall, float64(f.Events)/1e6/cpu
		}
	}
	if best == 0 {
		want := fmt.Sprintf("it printed no line such as \"calendar, two shards n=%d million events per s 34.7 | per CPU-s 17.9\"", devices)
		return nil, notFloor(program, want, append(out, said.Bytes()...))
	}
	f.Ratio, f.CPURatio = r.WallSeconds/f.Seconds, r.CPUSeconds/f.CPUSeconds
	return f, nil
}

// notFloor says why a program is no floor, and what it said itself.
func notFloor(program, why string, said []byte) error {
	said = bytes.TrimSpace(said)
	if len(said) == 0 {
		return fmt.Errorf("--floor %s: %s", program, why)
	}
	return fmt.Errorf("--floor %s: %s; it said: %.300q", program, why, said)
}

// isProgram sees to it, before anything is played, that there is such a program.
func isProgram(name string) error {
	if _, err := exec.LookPath(name); name != "" && err != nil {
		return fmt.Errorf("--floor: want a program such as ./eventfloor: %w", err)
	}
	return nil
}

// says is what the floor says of a rehearsal, in a sentence.
func (f *floor) says(l lang.Language) string {
	return l.Say("A bare event loop (%s) takes %s for as many events, %s of processor time: the rehearsal took %s times as long, and %s times the processor.", f.Row,
		brief(l, f.Seconds), brief(l, f.CPUSeconds), l.Number(f.Ratio), l.Number(f.CPURatio))
}

// brief writes seconds that may be few.
func brief(l lang.Language, seconds float64) string {
	if seconds < 1 {
		return l.Say("%s ms", l.Number(seconds*1000))
	}
	return l.Say("%s s", l.Number(float64(time.Duration(seconds*1e9).Round(10*time.Millisecond))/1e9))
}
