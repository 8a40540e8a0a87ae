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

// A logged is a line of a partition, made and waiting for the others of its window: it holds no pointer, for there may be millions.
type logged struct {
	at             protocol.Time
	device         uint32 // of the population plus 1; 0: the tenant
	chunk, from, n uint32 // its text, in the sheaf
	server         bool
}

func (l *logged) compare(m *logged) int {
	side := 0
	switch {
	case l.server == m.server:
	case m.server:
		side = -1
	default:
		side = 1
	}
	return cmp.Or(cmp.Compare(l.at, m.at), cmp.Compare(l.device, m.device), side)
}

// A sheaf is lines that wait, and their text in chunks.
type sheaf struct {
	lines  []logged
	chunks [][]byte
	enc    lineEncoder
}

// add adds a line about a device of the population plus 1; 0: the tenant.
func (s *sheaf) add(l *Line, device uint32, free *chunks) {
	last := len(s.chunks) - 1
	if last < 0 || cap(s.chunks[last])-len(s.chunks[last]) < aLine {
		s.chunks = append(s.chunks, free.take())
		last++
	}
	from := len(s.chunks[last])
	s.chunks[last] = s.enc.append(s.chunks[last], l)
	s.lines = append(s.lines, logged{
		at: l.At, device: device, chunk: uint32(last), from: uint32(from), n: uint32(len(s.chunks[last]) - from), server: l.Side == OfServer,
	})
}

// sort puts the lines in order; those of one moment, device and side stay as they came.
func (s *sheaf) sort() {
	slices.SortStableFunc(s.lines, func(a, b logged) int { return a.compare(&b) })
}

// first is the text of the first of lines, which are the sheaf's.
func (s *sheaf) first(lines []logged) []byte {
	l := &lines[0]
	return s.chunks[l.chunk][l.from : l.from+l.n]
}

// clear empties the sheaf.
func (s *sheaf) clear(free *chunks) {
	free.give(s.chunks)
	s.lines, s.chunks = s.lines[:0], s.chunks[:0]
}

// Chunks are room for text that is used again and again.
type chunks struct {
	mu   sync.Mutex
	free [][]byte
}

const (
	aLine     = 512 // most lines are shorter, in bytes
	textChunk = 64 << 10
)

func (c *chunks) take() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	last := len(c.free) - 1
	if last < 0 {
		return make([]byte, 0, textChunk)
	}
	chunk := c.free[last]
	c.free = c.free[:last]
	return chunk
}

func (c *chunks) give(list [][]byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, chunk := range list {
		c.free = append(c.free, chunk[:0])
	}
}

// A logWriter puts the lines of all partitions in order, and sums them.
type logWriter struct {
	out   io.Writer // nil: nobody wants them
	sum   hash.Hash
	text  []byte // put in order, and not yet written
	lines uint64
	whole sheaf // of the tenant, since the last window
	free  chunks
}

func newLogWriter(c *Config, p *player) (*logWriter, error) {
	w := &logWriter{sum: sha256.New(), out: c.Log}
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
	return w, w.write(b.Bytes())
}

func (w *logWriter) write(text []byte) error {
	w.lines++
	if w.text = append(w.text, text...); len(w.text) < textChunk {
		return nil
	}
	return w.flush()
}

// flush sums and writes what was put in order.
func (w *logWriter) flush() (err error) {
	w.sum.Write(w.text)
	if w.out != nil {
		_, err = w.out.Write(w.text)
	}
	w.text = w.text[:0]
	return err
}

// tenant adds a line that is no device's.
func (w *logWriter) tenant(l Line) { w.whole.add(&l, 0, &w.free) }

// A source is a sheaf whose lines are being put in order with those of others: the first of rest is next.
type source struct {
	*sheaf
	rest []logged
}

// take writes what the partitions have logged since it was called last.
func (w *logWriter) take(parts []*part) error {
	var all []source
	for _, k := range parts {
		if len(k.sheaf.lines) > 0 {
			all = append(all, source{&k.sheaf, k.sheaf.lines})
		}
	}
	if len(w.whole.lines) > 0 {
		all = append(all, source{&w.whole, w.whole.lines})
	}
	slices.SortFunc(all, func(a, b source) int { return a.rest[0].compare(&b.rest[0]) })
	for len(all) > 0 {
		if err := w.write(all[0].first(all[0].rest)); err != nil {
			return err
		}
		if all[0].rest = all[0].rest[1:]; len(all[0].rest) == 0 {
			all[0] = all[len(all)-1]
			all = all[:len(all)-1]
		}
		sink(all)
	}
	for _, k := range parts {
		k.sheaf.clear(&w.free)
	}
	w.whole.clear(&w.free)
	return nil
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
	err = w.flush()
	return hex.EncodeToString(w.sum.Sum(nil)), err
}

// A lineEncoder writes lines as encoding/json would, without its cost.
type lineEncoder struct {
	second protocol.Time // of prefix
	prefix []byte        // a moment up to its second
}

const perSecond = protocol.Time(time.Second / time.Microsecond)

func (e *lineEncoder) append(b []byte, l *Line) []byte {
	b = append(e.moment(append(b, `{"at":"`...), l.At), `","side":`...)
	b = appendText(b, string(l.Side))
	for _, x := range [...]struct {
		key, value string
		always     bool
	}{{`,"device":`, l.Device, false}, {`,"what":`, l.What, true}, {`,"rule":`, string(l.Rule), false}, {`,"detail":`, l.Detail, false}} {
		if x.always || x.value != "" {
			b = appendText(append(b, x.key...), x.value)
		}
	}
	return append(b, "}\n"...)
}

// moment writes t as RFC 3339 in UTC, without zeros at the end of a second's parts.
func (e *lineEncoder) moment(b []byte, t protocol.Time) []byte {
	part := t % perSecond
	if second := t - part; second != e.second || e.prefix == nil {
		e.second, e.prefix = second, second.Time().AppendFormat(e.prefix[:0], "2006-01-02T15:04:05")
	}
	b = append(b, e.prefix...)
	if part != 0 {
		digits := [7]byte{'.'}
		for i := 6; i > 0; i-- {
			digits[i] = byte('0' + part%10)
			part /= 10
		}
		b = append(b, bytes.TrimRight(digits[:], "0")...)
	}
	return append(b, 'Z')
}

// appendText writes s as JSON.
func appendText(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c >= 0x7f || c == '"' || c == '\\' {
			var text bytes.Buffer
			enc := json.NewEncoder(&text)
			enc.SetEscapeHTML(false)
			enc.Encode(s) // a string always encodes
			return append(b, bytes.TrimSuffix(text.Bytes(), []byte("\n"))...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}

// line logs what somebody saw of the device that k is about.
func (k *part) line(l Line) {
	if k.cfg.Lines != nil {
		k.cfg.Lines(l)
	}
	k.sheaf.add(&l, k.units[k.about].device+1, &k.player.log.free)
}
