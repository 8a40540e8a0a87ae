package sqlstore

import (
	"errors"
	"math/bits"
	"os"
	"sync/atomic"
	"time"

	"rollcall/server/store"
)

// Stats says what a store does; counters are since it was opened.
type Stats struct {
	Changes   uint64             // made durable, or refused, each in a group
	Groups    uint64             // transactions of changes
	GroupSize [GroupSizes]uint64 // how many groups had at most 1, 2, 4, 8 ... changes; the last: more than all of these
	Waiting   int                // changes that are not in a group yet
	Age       time.Duration      // of the oldest change that is not answered yet
	Devices   int
	Bytes     int64 // of database and log on the disk
}

// GroupSizes is the number of classes of Stats.GroupSize.
const GroupSizes = 12

// A tally is what the committer counts.
type tally struct {
	changes   atomic.Uint64
	groupSize [GroupSizes]atomic.Uint64

	full atomic.Bool // the disk had no room, and has not shown since that it has
}

func (t *tally) group(n int) {
	t.changes.Add(uint64(n))
	t.groupSize[min(bits.Len(uint(n-1)), GroupSizes-1)].Add(1)
}

// Stats returns how things stand.
func (s *Store) Stats() (st Stats) {
	st.Changes, st.Groups = s.tally.changes.Load(), uint64(s.groups.Load())
	for i := range st.GroupSize {
		st.GroupSize[i] = s.tally.groupSize[i].Load()
	}
	s.mu.Lock()
	st.Waiting = len(s.queue)
	oldest := s.working
	if oldest.IsZero() && st.Waiting > 0 {
		oldest = s.since
	}
	s.mu.Unlock()
	if !oldest.IsZero() {
		st.Age = time.Since(oldest)
	}
	s.devs.mu.RLock()
	st.Devices = len(s.devs.byID)
	s.devs.mu.RUnlock()
	for _, name := range []string{dbName, dbName + "-wal"} {
		if file, err := os.Stat(s.folder.file(name)); err == nil {
			st.Bytes += file.Size()
		}
	}
	return st
}

// Ready tells why the store cannot take changes now: it is closed, or its disk is full (HST-092).
func (s *Store) Ready() error {
	if err := s.err(); err != nil {
		return err
	}
	if s.tally.full.Load() {
		return &store.Full{Place: s.folder.path, Err: errors.New("no change could be kept since")}
	}
	return nil
}
