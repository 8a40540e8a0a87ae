package rehearsal

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"hash"
	"io"
	"slices"
	"time"

	"rollcall/protocol"
)

// LogVersion is the version of the event log's form.
const LogVersion = 1

// Interrupted is what happened last in the log of a rehearsal that was cut short.
const Interrupted = "interrupted"

// A LogHeader is the first line of an event log: with it the whole story can be played again. The other lines are each a
// [Line], by time, then by device in the order of the population, the tenant's first; then the device's own before the server's.
type LogHeader struct {
	EventLog   int           `json:"event_log"` // [LogVersion]
	Name       string        `json:"name"`      // of the plan
	Plan       string        `json:"plan"`      // its text
	Seed       uint64        `json:"seed"`
	Population Source        `json:"population"`
	Start      protocol.Time `json:"start"`
	Until      float64       `json:"until_seconds"`
	Partition  int           `json:"partition"` // devices in one
}

// A Source says where a population came from.
type Source struct {
	Made    bool   `json:"made,omitempty"`   // from the plan, with so many Devices
	Export  string `json:"export,omitempty"` // name of a tenant's export, as the user called it
	Devices int    `json:"devices"`
}

// A logWriter puts the lines of all partitions in order, and sums them: those of a window while the next one is played.
type logWriter struct {
	out    io.Writer // nil: nobody wants them
	sum    hash.Hash
	clock  momentEncoder
	name   func(device uint32) string // of a device of the population plus 1, as the wire calls it
	text   []byte                     // put in order, and not yet written
	lines  uint64
	whole  [2]sheaf // of the tenant: since the last window, and those under way
	beside bool     // others play meanwhile
	done   chan error
}

func newLogWriter(c *Config, p *player) (*logWriter, error) {
	w := &logWriter{sum: sha256.New(), out: c.Log, beside: p.workers() > 1, name: func(device uint32) string { return p.pop.Devices[device-1].UDID }}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(LogHeader{
		EventLog: LogVersion, Name: c.Plan.Name, Plan: c.Plan.Source(), Seed: c.Plan.Seed, Population: c.Source, Start: p.start,
		Until: time.Duration(c.Plan.Until).Seconds(), Partition: p.size(),
	})
	if err != nil {
		return nil, err
	}
	w.text, w.lines = b.Bytes(), 1
	return w, nil
}

// tenant adds a line that is no device's.
func (w *logWriter) tenant(l Line) { w.whole[0].add(&l, 0) }

// take takes what the partitions have logged since it was called last, and writes it. An error may come with the next call.
func (w *logWriter) take(parts []*part) error {
	if err := w.wait(); err != nil {
		return err
	}
	var all []source
	put := func(s *[2]sheaf) {
		s[0], s[1] = s[1], s[0]
		s[0].clear()
		if len(s[1].lines) > 0 {
			all = append(all, source{&s[1], s[1].lines})
		}
	}
	for _, k := range parts {
		put(&k.sheaves)
	}
	put(&w.whole)
	if !w.beside {
		return w.merge(all)
	}
	w.done = make(chan error, 1)
	go func() { w.done <- w.merge(all) }()
	return nil
}

// wait waits until what was taken is written.
func (w *logWriter) wait() error {
	if w.done == nil {
		return nil
	}
	err := <-w.done
	w.done = nil
	return err
}

// A source is a sheaf whose lines are being put in order with those of others: the first of rest is next.
type source struct {
	*sheaf
	rest []logged
}

// merge writes all lines in order.
func (w *logWriter) merge(all []source) error {
	slices.SortFunc(all, func(a, b source) int { return a.rest[0].compare(&b.rest[0]) })
	for len(all) > 0 {
		first := &all[0]
		w.text = first.append(w.text, &first.rest[0], w)
		w.lines++
		if len(w.text) >= textChunk {
			if err := w.flush(); err != nil {
				return err
			}
		}
		if first.rest = first.rest[1:]; len(first.rest) == 0 {
			all[0] = all[len(all)-1]
			all = all[:len(all)-1]
		}
		sink(all)
	}
	return nil
}

const textChunk = 64 << 10

// flush sums and writes what was put in order.
func (w *logWriter) flush() (err error) {
	w.sum.Write(w.text)
	if w.out != nil {
		_, err = w.out.Write(w.text)
	}
	w.text = w.text[:0]
	return err
}

// sink puts the first of all where it belongs: all is a heap by its first lines.
func sink(all []source) {
	for i := 0; ; {
		least := i
		for _, child := range [...]int{2*i + 1, 2*i + 2} {
			if child < len(all) && all[child].rest[0].compare(&all[least].rest[0]) < 0 {
				least = child
			}
		}
		if least == i {
			return
		}
		all[i], all[least] = all[least], all[i]
		i = least
	}
}

// close ends the log and returns its sum.
func (w *logWriter) close() (sum string, err error) {
	if err = w.wait(); err == nil {
		err = w.flush()
	}
	return hex.EncodeToString(w.sum.Sum(nil)), err
}

// line logs what somebody saw of the device that k is about.
func (k *part) line(l Line) {
	if k.cfg.Lines != nil {
		k.cfg.Lines(l)
	}
	k.sheaves[0].add(&l, k.units[k.about].device+1)
}
