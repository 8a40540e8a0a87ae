package sqlstore

import (
	"os"
	"time"

	"rollcall/protocol"
)

// How long rows are kept that have ended, and how often they are looked for. Times of the callers' clock.
const (
	pruneEvery     = time.Hour
	grantsKept     = 7 * 24 * time.Hour
	credentialKept = 365 * 24 * time.Hour
)

// prune drops grants, tickets and certificates that ended long ago.
func (s *Store) prune(now protocol.Time) {
	err := s.w.transact([]*job{{change: changeFunc(func(w *writer) error {
		b := batch{w: w}
		b.do(pruneGrants, int64(now.Add(-grantsKept)))
		b.do(pruneTickets, int64(now.Add(-grantsKept)))
		b.do(pruneCredentials, int64(now.Add(-credentialKept)))
		return b.err
	})}}, false)
	if s.judge(err) != nil {
		return
	}
	s.certs.mu.Lock()
	for f, c := range s.certs.known {
		if c.NotAfter < now.Add(-credentialKept) {
			delete(s.certs.known, f)
		}
	}
	s.certs.mu.Unlock()
}

// checkpoint copies what is in the log into the database, so that the next change begins the log anew. It is done between two
// groups: beside them it would never come to the end of the log, which would grow as long as there is load (HST-095).
func (s *Store) checkpoint() {
	if _, err := s.w.exec(checkpointLog); s.judge(err) == nil {
		s.dirty = 0
	}
}

// reserveSize is space that is given up when the disk is full, so that the log can be copied and made short (HST-092).
const reserveSize = 4 << 20

// keepReserve makes the reserve where there is none. That it cannot be made is no error: the disk is full already, and
// where it can, it is so no more.
func (s *Store) keepReserve() {
	name := s.folder.file(reserveName)
	if st, err := os.Stat(name); err == nil && st.Size() == reserveSize {
		return
	}
	// Written, not only made long: a hole reserves nothing. It has its name when it is whole.
	part := name + ".part"
	if os.WriteFile(part, make([]byte, reserveSize), 0o600) != nil || os.Rename(part, name) != nil {
		os.Remove(part)
		return
	}
	s.tally.full.Store(false)
}

// makeRoom is called while the disk is full.
func (s *Store) makeRoom() {
	os.Remove(s.folder.file(reserveName))
	s.full = false
	s.dirty = max(s.dirty, 1)
	s.checkpoint()
	if !s.full {
		s.keepReserve()
	}
}
