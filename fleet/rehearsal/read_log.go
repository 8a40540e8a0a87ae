package rehearsal

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"time"

	"rollcall/fleet/plan"
)

// longestLine is what a line of an event log may weigh, in bytes; the first holds a plan.
const longestLine = 4 << 20

// ReadLog reads an event log: its header, and its lines as they come. A log of a live run has no header; Header is then nil. Errors
// are of type [*plan.Error] and name the line; after one the lines end.
type ReadLog struct {
	Header *LogHeader

	name   string
	lines  *bufio.Scanner
	n      int    // of the line read last
	header []byte // its line
	ahead  []byte // the first line, where it is no header
	err    error
}

// OpenLog reads the header of a log that messages call name.
func OpenLog(name string, r io.Reader) (*ReadLog, error) {
	l := &ReadLog{name: name, lines: bufio.NewScanner(r)}
	l.lines.Buffer(make([]byte, 64<<10), longestLine)
	first, ok := l.next()
	if !ok {
		if l.err == nil {
			l.fail("empty: no event log")
		}
		return nil, l.err
	}
	first = bytes.TrimPrefix(first, []byte("\ufeff")) // editors on Windows begin UTF-8 with it
	var version struct {
		EventLog *int `json:"event_log"`
	}
	if text := bytes.TrimSpace(first); len(text) > 0 && text[0] != '{' {
		return nil, l.fail("no event log, which begins with a JSON object; rehearse --log writes one")
	}
	if err := json.NewDecoder(bytes.NewReader(first)).Decode(&version); err != nil {
		return nil, l.fail("no JSON: %s", said(err))
	}
	if version.EventLog == nil {
		l.ahead = bytes.Clone(first)
		return l, nil
	}
	if *version.EventLog != LogVersion {
		return nil, l.fail("an event log of version %d: this program reads version %d", *version.EventLog, LogVersion)
	}
	l.Header, l.header = &LogHeader{}, append(bytes.Clone(first), '\n')
	if err := strictly(first, l.Header); err != nil {
		return nil, l.fail("no header of an event log: %s", said(err))
	}
	return l, nil
}

// next returns the next line, which is good until the next call.
func (l *ReadLog) next() ([]byte, bool) {
	if l.lines.Scan() {
		l.n++
		return l.lines.Bytes(), true
	}
	switch err := l.lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		l.n++
		l.fail("longer than %d bytes", longestLine)
	case err != nil:
		l.err = fmt.Errorf("%s: %w", l.name, err)
	}
	return nil, false
}

func (l *ReadLog) fail(format string, args ...any) error {
	l.err = &plan.Error{File: l.name, Line: l.n, Column: min(l.n, 1), Message: fmt.Sprintf(format, args...)}
	return l.err
}

// Lines yields the events. The error that ended them is [ReadLog.Err].
func (l *ReadLog) Lines() iter.Seq[Line] {
	return func(yield func(Line) bool) {
		for {
			text, ok := l.ahead, l.ahead != nil
			if l.ahead = nil; !ok {
				if text, ok = l.next(); !ok {
					return
				}
			}
			var line Line
			if err := strictly(text, &line); err != nil {
				l.fail("no event: %s", said(err))
				return
			}
			if line.At == 0 || line.What == "" {
				l.fail("no event: it needs a moment (at) and what happened (what)")
				return
			}
			if !yield(line) {
				return
			}
		}
	}
}

// Err is why the lines ended before the file; nil: they did not.
func (l *ReadLog) Err() error { return l.err }

func strictly(text []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if d.More() {
		return errors.New("more than one object on a line")
	}
	return nil
}

// said is what encoding/json says of a line, without what it says of itself.
func said(err error) string {
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "the line is cut off"
	case errors.Is(err, io.EOF):
		return "the line is empty"
	}
	return strings.TrimPrefix(err.Error(), "json: ")
}

// Replayed is the plan of the header as it was played: its text, seed, length and number of devices. there is the tenant of the export
// that played it; nil: the plan made its population.
func (h *LogHeader) Replayed(there *plan.Tenancy) (*plan.Plan, error) {
	p, err := plan.Parse(h.Name, []byte(h.Plan))
	if err != nil && there != nil {
		p, err = plan.ParseFor(h.Name, []byte(h.Plan), there)
	}
	if err != nil {
		return nil, fmt.Errorf("the plan in the log's header: %w", err)
	}
	p.Name, p.Seed = h.Name, h.Seed
	p.Until = plan.Duration(h.Until * float64(time.Second))
	if h.Population.Made && h.Population.Devices != p.Devices() {
		return p.WithDevices(h.Population.Devices)
	}
	return p, nil
}
