package rehearsal

import (
	"bytes"
	"errors"
	"hash/maphash"

	"rollcall/protocol"
)

// errRecalled ends a partition that has come past a moment at which the story is another than an earlier log has.
var errRecalled = errors.New("the earlier log has another story")

// A recalled is an earlier log while its story is played again: four bytes of each line, by the partition of the device that it is
// about. The plan's own lines are not there: what they count is known when all partitions have been played.
type recalled struct {
	seed maphash.Seed
	sums [][]uint32 // by partition
}

// recall reads the lines of an earlier log.
func (s *stage) recall(log *ReadLog) (*recalled, error) {
	parts := make(map[string]uint32, len(s.pop.Devices))
	for i := range s.pop.Devices {
		name := s.pop.Devices[i].UDID
		if text := appendText(nil, name); len(text) != len(name)+2 {
			name = string(text[1 : len(text)-1])
		}
		parts[name] = s.at[i].part
	}
	r := &recalled{seed: maphash.MakeSeed(), sums: make([][]uint32, len(s.shares))}
	for {
		line, ok := log.next()
		if !ok {
			return r, log.Err()
		}
		if k, known := parts[string(aboutWhom(line))]; known {
			r.sums[k] = append(r.sums[k], r.sum(line))
		}
	}
}

func (r *recalled) sum(line []byte) uint32 { return uint32(maphash.Bytes(r.seed, line)) }

// aboutWhom is the name of the device that a log's line is about, as JSON has it.
func aboutWhom(line []byte) []byte {
	_, rest, _ := bytes.Cut(line, []byte(`,"device":"`))
	for i := 0; i < len(rest); i++ {
		switch rest[i] {
		case '\\':
			i++
		case '"':
			return rest[:i]
		}
	}
	return nil
}

// compare holds the partition's lines, as far as all of a moment are there, against the earlier log's, and returns the moment of the
// first that differs; 0: none does so far. No line of the whole story that comes before the first difference is later than that.
func (k *part) compare(was *recalled) protocol.Time {
	var clock momentEncoder
	var text []byte
	sums, name := was.sums[k.number], k.named
	for ; k.compared < len(k.lines.lines) && k.lines.lines[k.compared].at < k.now; k.compared++ {
		l := &k.lines.lines[k.compared]
		text = k.lines.append(text[:0], l, &clock, name)
		if k.compared == len(sums) || was.sum(text[:len(text)-1]) != sums[k.compared] {
			return l.at
		}
	}
	return 0
}
