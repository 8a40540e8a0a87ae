package fleet

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"

	"rollcall/agent/dialect"
)

// A kept fleet is a file: keptMagic, the length and JSON of a keptHead, then for each device the indices of its model and
// habits and its bytes, and last a CRC-32C over all that. Lengths and indices are unsigned varints. It holds keys: whoever
// has the file is the fleet.
const keptMagic = "rollcall fleet 1\n"

// mostKept bounds what one length in a file may say: a header, or one device with its profiles.
const mostKept = 1 << 20

type keptHead struct {
	Devices int
	Models  []*dialect.Model
	Habits  []*dialect.Habits
}

// ErrKept is wrapped by every error about the bytes of a kept fleet.
var ErrKept = errors.New("not a whole file of a kept fleet")

// Keep writes Apple's devices, keys and certificates included. Only while Run is not running.
func (f *Fleet) Keep(w io.Writer) error {
	var devices []*dialect.Apple
	for i := range f.devices {
		if a, ok := f.devices[i].Device.(*dialect.Apple); ok {
			devices = append(devices, a)
		}
	}
	return Keep(w, devices)
}

// Keep writes devices, keys and certificates included. Nobody may use them meanwhile.
func Keep(w io.Writer, devices []*dialect.Apple) error {
	sum := crc32.New(crc32.MakeTable(crc32.Castagnoli))
	b := bufio.NewWriter(io.MultiWriter(w, sum))
	head := keptHead{Devices: len(devices)}
	models, habits := map[*dialect.Model]int{}, map[*dialect.Habits]int{}
	for _, a := range devices {
		index(models, &head.Models, a.Model())
		index(habits, &head.Habits, a.Habits())
	}
	h, err := json.Marshal(head)
	if err != nil {
		return err
	}
	b.WriteString(keptMagic) // a bufio.Writer keeps its first error for Flush
	b.Write(binary.AppendUvarint(nil, uint64(len(h))))
	b.Write(h)
	var one, place []byte
	for _, a := range devices {
		if one, err = a.AppendBinary(one[:0]); err != nil {
			return fmt.Errorf("device %s: %w", a.Who().UDID, err)
		}
		place = binary.AppendUvarint(place[:0], uint64(models[a.Model()]))
		place = binary.AppendUvarint(place, uint64(habits[a.Habits()]))
		b.Write(binary.AppendUvarint(place, uint64(len(one))))
		b.Write(one)
	}
	if err := b.Flush(); err != nil {
		return err
	}
	_, err = w.Write(sum.Sum(nil))
	return err
}

// index gives v its place in all, the first time that it is seen.
func index[T comparable](places map[T]int, all *[]T, v T) {
	if _, ok := places[v]; !ok {
		places[v] = len(*all)
		*all = append(*all, v)
	}
}

// Open reads what Keep wrote. The error wraps [ErrKept] when the bytes are not that.
func Open(r io.Reader) ([]*dialect.Apple, error) {
	in := &summed{r: bufio.NewReader(r), sum: crc32.New(crc32.MakeTable(crc32.Castagnoli))}
	magic := make([]byte, len(keptMagic))
	if _, err := io.ReadFull(in, magic); err != nil || string(magic) != keptMagic {
		return nil, fmt.Errorf("%w: it does not begin like one", ErrKept)
	}
	h, err := in.block()
	var head keptHead
	if err == nil {
		err = json.Unmarshal(h, &head)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: header: %w", ErrKept, err)
	}
	var devices []*dialect.Apple // grown as they come: the header's number is only a claim
	for i := range head.Devices {
		a := new(dialect.Apple)
		if err := in.device(a, &head); err != nil {
			return nil, fmt.Errorf("%w: device %d of %d: %w", ErrKept, i+1, head.Devices, err)
		}
		devices = append(devices, a)
	}
	want := in.sum.Sum(nil)
	got := make([]byte, len(want))
	if _, err := io.ReadFull(in.r, got); err != nil || string(got) != string(want) {
		return nil, fmt.Errorf("%w: its check sum is wrong", ErrKept)
	}
	return devices, nil
}

// summed reads and sums up what it read.
type summed struct {
	r   *bufio.Reader
	sum hash.Hash32
}

func (s *summed) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	s.sum.Write(p[:n])
	return n, err
}

func (s *summed) ReadByte() (byte, error) {
	b, err := s.r.ReadByte()
	if err == nil {
		s.sum.Write([]byte{b})
	}
	return b, err
}

func (s *summed) block() ([]byte, error) {
	n, err := binary.ReadUvarint(s)
	if err != nil {
		return nil, err
	}
	if n > mostKept {
		return nil, fmt.Errorf("%d bytes in one piece", n)
	}
	b := make([]byte, n)
	_, err = io.ReadFull(s, b)
	return b, err
}

func (s *summed) device(a *dialect.Apple, head *keptHead) error {
	model, err := binary.ReadUvarint(s)
	if err != nil {
		return err
	}
	habits, err := binary.ReadUvarint(s)
	if err != nil {
		return err
	}
	if model >= uint64(len(head.Models)) || habits >= uint64(len(head.Habits)) || head.Models[model] == nil || head.Habits[habits] == nil {
		return errors.New("no such model or habits")
	}
	b, err := s.block()
	if err != nil {
		return err
	}
	if err := a.UnmarshalBinary(b); err != nil {
		return err
	}
	a.Share(head.Models[model], head.Habits[habits])
	return nil
}
