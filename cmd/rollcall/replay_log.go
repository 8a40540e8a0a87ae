//go:build !agentonly

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"rollcall/fleet/plan"
	"rollcall/fleet/population"
	"rollcall/fleet/rehearsal"
	"rollcall/protocol"
	"rollcall/protocol/lang"
)

// openLog opens an event log and reads its header. The caller closes the file.
func openLog(name string) (*os.File, *rehearsal.ReadLog, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, nil, err
	}
	log, err := rehearsal.OpenLog(name, file)
	if err != nil {
		file.Close()
		return nil, nil, err
	}
	return file, log, nil
}

// replayed are the plan and the population of the header.
func (f *populationFlags) replayed(cmd *cobra.Command, h *rehearsal.LogHeader) (p *plan.Plan, pop *population.Population, err error) {
	switch {
	case h.Population.Made && f.export != "":
		return nil, nil, errors.New("--export: the population of this log was made from its plan")
	case h.Population.Made:
		if p, err = h.Replayed(nil); err == nil {
			pop, err = makePopulation(cmd.Context(), cmd.ErrOrStderr(), p)
		}
		return p, pop, err
	case f.export == "":
		return nil, nil, fmt.Errorf("the log is of a tenant's own devices (%s): name the same export by --export", h.Population.Export)
	}
	if pop, err = f.imported(cmd); err != nil {
		return nil, nil, err
	}
	if p, err = h.Replayed(pop.Tenancy()); err != nil {
		return nil, nil, err
	}
	if len(pop.Devices) != h.Population.Devices {
		pop = pop.Resample(h.Population.Devices, p.Seed)
	}
	pop.Adopt(p)
	pop.Assume(p)
	return p, pop, nil
}

// errDiffers ends a replay at the first line that differs, errCut where the story in the file was interrupted.
var (
	errDiffers = errors.New("differs")
	errCut     = errors.New("interrupted")
)

// A comparison holds what is written to it against a file, line by line, up to the first difference.
type comparison struct {
	file    *bufio.Reader
	rest    []byte // of what was written: no whole line yet
	n       uint64 // lines that were compared
	differs bool
	torn    bool          // the file ends inside the line that differs
	cut     protocol.Time // when the story in the file was interrupted; 0: it was not, or not yet
	was, is []byte        // the first lines that differ; empty: the end
}

func (c *comparison) Write(b []byte) (int, error) {
	c.rest = append(c.rest, b...)
	used := 0
	for {
		end := bytes.IndexByte(c.rest[used:], '\n')
		if end < 0 {
			c.rest = append(c.rest[:0], c.rest[used:]...)
			return len(b), nil
		}
		line := c.rest[used : used+end]
		used += end + 1
		if err := c.next(line); err != nil {
			return 0, err
		}
	}
}

// next holds one line against the file's.
func (c *comparison) next(line []byte) error {
	was, err := c.file.ReadBytes('\n')
	if err == nil {
		was = bytes.TrimSuffix(was[:len(was)-1], []byte("\r")) // by mail, or from an editor on Windows
	}
	if c.n++; c.n == 1 {
		was = bytes.TrimPrefix(was, []byte("\ufeff"))
	}
	if err != nil && len(was) == 0 || string(was) != string(line) {
		if c.interrupted(was) {
			return errCut
		}
		c.differs, c.was, c.is = true, was, append([]byte(nil), line...)
		c.torn = err != nil && len(was) > 0 && bytes.HasPrefix(line, was)
		return errDiffers
	}
	return nil
}

// interrupted tells whether a line of the file says that its story was, and notes when.
func (c *comparison) interrupted(was []byte) bool {
	last := rehearsal.Line{}
	if json.Unmarshal(was, &last) != nil || last.Side != rehearsal.OfPlan || last.What != rehearsal.Interrupted {
		return false
	}
	c.cut = last.At
	return true
}

// end sees to it that the file has no more than was played.
func (c *comparison) end() {
	if c.differs {
		return
	}
	if was, _ := c.file.ReadBytes('\n'); len(was) > 0 {
		c.n++
		if c.interrupted(was) {
			return
		}
		c.differs, c.was, c.is = true, was, nil
	}
}

// orEnd is a line as it is shown: of a long one, such as the header with its plan, where it differs from the other.
func orEnd(in lang.Language, line, other []byte) string {
	const shown, before = 300, 60
	if len(line) == 0 {
		return in.Say("(it has ended)")
	}
	from := 0
	for from < min(len(line), len(other)) && line[from] == other[from] {
		from++
	}
	if from -= before; from <= 0 || len(line) <= shown {
		return string(line[:min(len(line), shown)])
	}
	return "..." + string(line[from:min(len(line), from+shown)])
}
