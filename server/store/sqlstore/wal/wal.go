// Package wal judges an SQLite write-ahead log without SQLite. Start with [Check].
package wal

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Check finds damage in a write-ahead log that SQLite would take for its end (HST-094; format:
// sqlite.org/fileformat2.html, section 4). SQLite reads frames up to the first one whose checksum is wrong and forgets the
// rest, because that is what a power loss leaves. But a transaction is only begun after the one before it was
// synced: where the wrong frame is followed by the end of its own transaction and by a frame of yet another one, it
// was on the disk once, acknowledged, and something damaged it. The last transaction of a log cannot be judged so.
// The error is a [Damage], or that of the file system; a log that is not there is whole.
func Check(name string) error {
	f, err := os.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	r := bufio.NewReaderSize(f, 1<<20)
	var head [32]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil // shorter than a header: never used
	}
	if head == [32]byte{} {
		return nil // made, but lost before its first sync
	}
	var order binary.ByteOrder = binary.LittleEndian
	switch binary.BigEndian.Uint32(head[0:]) {
	case 0x377f0682:
	case 0x377f0683:
		order = binary.BigEndian
	default:
		return Damage{name, 0}
	}
	page := int(binary.BigEndian.Uint32(head[8:]))
	if page < 512 || page > 65536 || page&(page-1) != 0 {
		return Damage{name, 0}
	}
	salt := [8]byte(head[16:24])
	sum := checksum(order, [2]uint32{}, head[:24])
	if sum != [2]uint32{binary.BigEndian.Uint32(head[24:]), binary.BigEndian.Uint32(head[28:])} {
		return Damage{name, 0}
	}
	frame := make([]byte, 24+page)
	wrong, ended := 0, false // first wrong frame, 1 for the first; whether a transaction ended at or after it
	for i := 1; ; i++ {
		if _, err := io.ReadFull(r, frame); err != nil {
			return nil
		}
		ours := [8]byte(frame[8:16]) == salt
		if wrong == 0 {
			sum = checksum(order, sum, frame[:8])
			sum = checksum(order, sum, frame[24:])
			if ours && sum == [2]uint32{binary.BigEndian.Uint32(frame[16:]), binary.BigEndian.Uint32(frame[20:])} {
				continue
			}
			wrong = i
		}
		if ours && ended {
			return Damage{name, wrong}
		}
		if ours && binary.BigEndian.Uint32(frame[4:]) != 0 {
			ended = true
		}
	}
}

// Damage says that a log holds what no loss of power leaves.
type Damage struct {
	Name  string // of the file
	Frame int    // the first wrong one, 1 for the first; 0: the header
}

func (d Damage) Error() string {
	base := filepath.Base(d.Name)
	if d.Frame == 0 {
		return base + " has a wrong header"
	}
	return fmt.Sprintf("%s is wrong in frame %d, and later ones were written after it", base, d.Frame)
}

// checksum continues the checksum of a log over b, whose length is a multiple of 8.
func checksum(order binary.ByteOrder, s [2]uint32, b []byte) [2]uint32 {
	for ; len(b) >= 8; b = b[8:] {
		s[0] += order.Uint32(b) + s[1]
		s[1] += order.Uint32(b[4:]) + s[0]
	}
	return s
}
