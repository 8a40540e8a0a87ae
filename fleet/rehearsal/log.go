package rehearsal

import (
	"bufio"
	"cmp"
	"encoding/json"
	"io"
	"slices"
	"sync"

	"rollcall/protocol"
)

// A Side is whose eyes saw a line of the log.
type Side string

// The sides. What the device says and what the server says are kept apart, so that a difference shows.
const (
	OfServer Side = "server"
	OfDevice Side = "device"
	OfPlan   Side = "plan"
)

// A Line is one event of a run.
type Line struct {
	At     protocol.Time `json:"at"`
	Side   Side          `json:"side"`
	Device string        `json:"device,omitempty"` // what the wire calls it; empty: the tenant
	What   string        `json:"what"`
	Rule   protocol.Rule `json:"rule,omitempty"`
	Detail string        `json:"detail,omitempty"`
}

// A Log is what changed during a run; steady check-ins are not in it. Safe for concurrent use.
type Log struct {
	mu    sync.Mutex
	lines []Line
}

// Add appends a line. Lines of one device and side are added in their order; those of different devices may come
// in any.
func (l *Log) Add(line Line) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, line)
}

// Lines returns all lines by time, then device, then side; what one side said of one device at one moment keeps
// its order. So the order does not depend on which of two devices was quicker.
func (l *Log) Lines() []Line {
	l.mu.Lock()
	defer l.mu.Unlock()
	lines := slices.Clone(l.lines)
	slices.SortStableFunc(lines, func(a, b Line) int {
		return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.Device, b.Device), cmp.Compare(a.Side, b.Side))
	})
	return lines
}

// rename gives devices that the server calls otherwise the names that the plan knows them by, also where their enrolment tells what it
// calls them: such a name is another for each server, and one seed tells one story (HST-124).
func (l *Log) rename(names map[string]string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.lines {
		line := &l.lines[i]
		name, ok := names[line.Device]
		if !ok {
			continue
		}
		if line.Detail == line.Device {
			line.Detail = name
		}
		line.Device = name
	}
}

// Histories returns for each device what happened to it, in order and without the moments: what must be the same
// whether or not the server restarted in between. Retries and refusals on the way are left out.
func (l *Log) Histories() map[string][]string {
	histories := map[string][]string{}
	for _, line := range l.Lines() {
		if line.Device == "" || !lasting[line.What] {
			continue
		}
		histories[line.Device] = append(histories[line.Device], string(line.Side)+": "+line.What+" "+line.Detail)
	}
	return histories
}

// Write writes the lines as JSON, one a line.
func Write(w io.Writer, lines []Line) error {
	b := bufio.NewWriter(w)
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	for i := range lines {
		if err := enc.Encode(&lines[i]); err != nil {
			return err
		}
	}
	return b.Flush()
}
