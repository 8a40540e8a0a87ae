package rehearsal

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"hash"
	"io"
	"slices"
	"sync"
	"sync/atomic"
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
	Partition  int           `json:"partition"`            // devices in one
	Partitions int           `json:"partitions,omitempty"` // of a rehearsal that was cut short, how many were played, the first ones; 0: all
}

// A Source says where a population came from.
type Source struct {
	Made    bool   `json:"made,omitempty"`   // from the plan, with so many Devices
	Export  string `json:"export,omitempty"` // name of a tenant's export, as the user called it
	Devices int    `json:"devices"`
}

// log puts the lines of the tenant and of partitions in order, sums them for out, and writes them where somebody wants them.
func (s *stage) log(out *Played, tenant []Line, sheaves []*sheaf) error {
	header, err := s.header(len(sheaves))
	if err != nil {
		return err
	}
	var whole sheaf
	for i := range tenant {
		whole.add(&tenant[i], 0)
	}
	w := &logWriter{sum: sha256.New(), out: s.cfg.Log, name: s.named}
	if err = w.flush(header); err == nil {
		err = w.write(append([]*sheaf{&whole}, sheaves...), s.workers())
	}
	out.LogSHA256, out.LogLines = hex.EncodeToString(w.sum.Sum(nil)), w.lines+1
	return err
}

// header is the first line of the log of a story of which so many partitions were played.
func (s *stage) header(partitions int) ([]byte, error) {
	header := LogHeader{
		EventLog: LogVersion, Name: s.plan.Name, Plan: s.plan.Source(), Seed: s.plan.Seed, Population: s.cfg.Source, Start: s.start,
		Until: time.Duration(s.plan.Until).Seconds(), Partition: s.size(),
	}
	if partitions < len(s.shares) {
		header.Partitions = partitions
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(header)
	return b.Bytes(), err
}

// named is what the wire calls a device of the population plus 1.
func (s *stage) named(device uint32) string { return s.pop.Devices[device-1].UDID }

// A logWriter writes and sums text.
type logWriter struct {
	out   io.Writer // nil: nobody wants it
	sum   hash.Hash
	name  func(device uint32) string // of a device of the population plus 1, as the wire calls it
	lines uint64                     // written so far
}

func (w *logWriter) flush(text []byte) (err error) {
	w.sum.Write(text)
	if w.out != nil {
		_, err = w.out.Write(text)
	}
	return err
}

// What is put in order at a time: about so many lines, of so many bytes.
const (
	sliced     = 8 << 10
	lineLength = 192
)

// write writes the lines of sheaves, each of which is in order: time by time, and several workers put one in order each.
func (w *logWriter) write(sheaves []*sheaf, workers int) error {
	lots := lots(sheaves)
	texts := make([]chan []byte, len(lots))
	for i := range texts {
		texts[i] = make(chan []byte, 1)
	}
	room := make(chan []byte, 2*workers) // for texts; an empty channel: enough of them wait to be written
	for range cap(room) {
		room <- nil
	}
	var next atomic.Int32
	var group sync.WaitGroup
	if workers > 1 { // else who writes puts in order
		for range workers {
			group.Go(func() {
				for text := range room {
					if i := int(next.Add(1)) - 1; i < len(lots) {
						texts[i] <- w.merge(text[:0], lots[i])
					}
				}
			})
		}
	}
	defer group.Wait()
	defer close(room)
	for i := range lots {
		if workers == 1 {
			texts[i] <- w.merge((<-room)[:0], lots[i])
		}
		text := <-texts[i]
		if err := w.flush(text); err != nil {
			return err
		}
		for _, from := range lots[i] {
			w.lines += uint64(len(from.rest))
		}
		room <- text
	}
	return nil
}

// lots divides the lines of sheaves by time, so that each lot has about as many.
func lots(sheaves []*sheaf) (all [][]source) {
	const step = 256
	var times []protocol.Time
	rest := make([][]logged, len(sheaves))
	for k, s := range sheaves {
		for i := step - 1; i < len(s.lines); i += step {
			times = append(times, s.lines[i].at)
		}
		rest[k] = s.lines
	}
	slices.Sort(times)
	for cut := sliced / step; ; cut += sliced / step {
		var lot []source
		for k, s := range sheaves {
			n := len(rest[k])
			if cut < len(times) {
				n, _ = slices.BinarySearchFunc(rest[k], times[cut], func(l logged, t protocol.Time) int { return cmp.Compare(l.at, t) })
			}
			if n > 0 {
				lot = append(lot, source{s, rest[k][:n]})
				rest[k] = rest[k][n:]
			}
		}
		if len(lot) > 0 {
			all = append(all, lot)
		}
		if cut >= len(times) {
			return all
		}
	}
}

// A source is a sheaf whose lines are being put in order with those of others: the first of rest is next.
type source struct {
	*sheaf
	rest []logged
}

// merge appends all lines in order to text.
func (w *logWriter) merge(text []byte, of []source) []byte {
	var clock momentEncoder
	all := slices.Clone(of)
	if text == nil {
		text = make([]byte, 0, lineLength*sliced)
	}
	slices.SortFunc(all, func(a, b source) int { return a.rest[0].compare(&b.rest[0]) })
	for len(all) > 0 {
		first := &all[0]
		text = first.append(text, &first.rest[0], &clock, w.name)
		if first.rest = first.rest[1:]; len(first.rest) == 0 {
			all[0] = all[len(all)-1]
			all = all[:len(all)-1]
		}
		sink(all)
	}
	return text
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

// line logs what somebody saw of the device that k is about.
func (k *part) line(l Line) {
	if k.cfg.Lines != nil {
		k.cfg.Lines(l)
	}
	k.lines.add(&l, k.units[k.about].device+1)
}
