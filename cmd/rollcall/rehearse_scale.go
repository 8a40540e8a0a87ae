//go:build !agentonly

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"rollcall/fleet/report"
)

// A measured is what one rehearsal of --scale took, in a process of its own.
type measured struct {
	Devices    int     `json:"devices"`
	Workers    int     `json:"workers,omitempty"` // 0: as many as there are processors
	CheckIns   uint64  `json:"checkins"`
	Seconds    float64 `json:"wall_seconds"`
	CPUSeconds float64 `json:"cpu_seconds"`
	Peak       int64   `json:"peak_rss_bytes"`
	Floor      *floor  `json:"floor,omitempty"`
	verdict    string
}

// A scaling is how time and memory grow with the number of devices.
type scaling struct {
	Version int        `json:"version"`
	Command string     `json:"command"`
	Verdict string     `json:"verdict"`
	Runs    []measured `json:"runs"`

	// Exponents of the number of devices, over all sizes: 1 is in proportion.
	TimeExponent   float64 `json:"time_exponent"` // of processor time, which a busy machine does not change
	WallExponent   float64 `json:"wall_exponent"`
	MemoryExponent float64 `json:"memory_exponent"`

	Workers    []measured `json:"workers"`     // one and two, of the largest size
	SecondCore float64    `json:"second_core"` // how many times as fast two workers are as one
}

// notScaled are flags that a measurement has no use for.
var notScaled = []string{"report", "log", "csv", "compare", "devices", "workers", "lang"}

// scale rehearses in sizes, each in a process of its own so that memory is its own too, and says how time and memory grow.
func (f *rehearseFlags) scale(cmd *cobra.Command, args []string) error {
	sizes := slices.Clone(f.sizes)
	slices.Sort(sizes)
	if sizes = slices.Compact(sizes); len(sizes) < 2 || sizes[0] < 1 {
		return errors.New("--scale: want two sizes or more, such as 10000,100000,1000000")
	}
	for _, name := range notScaled {
		if name != "lang" && cmd.Flags().Changed(name) {
			return fmt.Errorf("--scale measures, and has no use for --%s", name)
		}
	}
	out, _ := screenOf(cmd.OutOrStdout())
	if asJSON(cmd) {
		out = cmd.ErrOrStderr()
	}
	line := func(cells ...any) { fmt.Fprintf(out, "%10v %8v %12v %10v %10v %10v %8v %14v\n", cells...) }
	line("devices", "workers", "check-ins", "seconds", "CPU-s", "MiB", "B/device", "floor wall/CPU")
	s := &scaling{Version: 1, Command: "rehearse", Verdict: report.OK}
	run := func(devices, workers int) (*measured, error) {
		m, err := f.measure(cmd, args, devices, workers)
		if err != nil {
			return nil, err
		}
		if m.verdict != report.OK {
			s.Verdict = report.Failed
		}
		who, floor := "all", "-"
		if workers > 0 {
			who = strconv.Itoa(workers)
		}
		if m.Floor != nil {
			floor = fmt.Sprintf("%.1fx/%.1fx", m.Floor.Ratio, m.Floor.CPURatio)
		}
		line(devices, who, m.CheckIns, fmt.Sprintf("%.2f", m.Seconds), fmt.Sprintf("%.2f", m.CPUSeconds), m.Peak>>20, m.Peak/int64(devices), floor)
		return m, nil
	}
	for _, n := range sizes {
		m, err := run(n, 0)
		if err != nil {
			return err
		}
		s.Runs = append(s.Runs, *m)
	}
	for _, workers := range []int{1, 2} {
		m, err := run(sizes[len(sizes)-1], workers)
		if err != nil {
			return err
		}
		s.Workers = append(s.Workers, *m)
	}
	s.TimeExponent = exponent(s.Runs, func(m *measured) float64 { return m.CPUSeconds })
	s.WallExponent = exponent(s.Runs, func(m *measured) float64 { return m.Seconds })
	s.MemoryExponent = exponent(s.Runs, func(m *measured) float64 { return float64(m.Peak) })
	s.SecondCore = s.Workers[0].Seconds / s.Workers[1].Seconds
	if asJSON(cmd) {
		if err := json.NewEncoder(cmd.OutOrStdout()).Encode(s); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(out, "\nprocessor time grows with devices^%.2f (wall %.2f), memory with devices^%.2f; two workers are %.2f times as fast as one\n",
			s.TimeExponent, s.WallExponent, s.MemoryExponent, s.SecondCore)
	}
	if s.Verdict != report.OK {
		return failed{"a limit of the plan or an invariant did not hold"}
	}
	return nil
}

// measure rehearses with so many devices in another process.
func (f *rehearseFlags) measure(cmd *cobra.Command, args []string, devices, workers int) (*measured, error) {
	argv := append([]string{"rehearse", "--json", "--devices", strconv.Itoa(devices), "--workers", strconv.Itoa(workers)}, args...)
	cmd.Flags().Visit(func(flag *pflag.Flag) {
		if flag.Name == "scale" || flag.Name == "json" || slices.Contains(notScaled, flag.Name) {
			return
		}
		if list, ok := flag.Value.(pflag.SliceValue); ok {
			for _, v := range list.GetSlice() {
				argv = append(argv, "--"+flag.Name+"="+v)
			}
			return
		}
		argv = append(argv, "--"+flag.Name+"="+flag.Value.String())
	})
	c := exec.CommandContext(cmd.Context(), os.Args[0], argv...)
	c.Cancel = func() error { return c.Process.Signal(os.Interrupt) }
	c.WaitDelay = time.Minute // it ends its window first
	var said bytes.Buffer
	c.Stderr = &said
	out, failure := c.Output()
	if err := cmd.Context().Err(); err != nil {
		return nil, err
	}
	var r struct {
		report.Result
		Floor *floor                    `json:"floor"`
		Error *struct{ Message string } `json:"error"`
	}
	if err := json.Unmarshal(out, &r); err != nil || r.Error != nil || r.WallSeconds == 0 {
		if r.Error != nil {
			return nil, fmt.Errorf("%d devices: %s", devices, r.Error.Message)
		}
		return nil, fmt.Errorf("%d devices: %w: %.500s", devices, errors.Join(err, failure), bytes.TrimSpace(said.Bytes()))
	}
	return &measured{devices, workers, r.CheckIns.Started, r.WallSeconds, r.CPUSeconds, r.PeakRSSBytes, r.Floor, r.Verdict}, nil
}

// exponent is the slope of the straight line through the logarithms of devices and of what is measured, by least squares.
func exponent(runs []measured, of func(*measured) float64) float64 {
	var x, y, xx, xy float64
	for i := range runs {
		a, b := math.Log(float64(runs[i].Devices)), math.Log(of(&runs[i]))
		x, y, xx, xy = x+a, y+b, xx+a*a, xy+a*b
	}
	n := float64(len(runs))
	return (n*xy - x*y) / (n*xx - x*x)
}
