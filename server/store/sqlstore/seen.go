package sqlstore

import "time"

// seenLag is how far last_seen on disk may be behind when nothing else of a device changes; seenBatch, how many such
// devices are written together while others wait.
const (
	seenLag   = 15 * time.Minute
	seenBatch = 256
)

func (d *devices) addLate(e *entry) {
	d.lateMu.Lock()
	d.late = append(d.late, e)
	d.lateMu.Unlock()
}

// takeSeen returns the devices whose last_seen is to be written, unless they are too few to be worth it now.
func (d *devices) takeSeen(few bool) seen {
	d.lateMu.Lock()
	defer d.lateMu.Unlock()
	if len(d.late) < seenBatch && !few {
		return nil
	}
	late := d.late
	d.late = nil
	return late
}

// seen writes last_seen of some devices.
type seen []*entry

func (s seen) write(w *writer) error {
	for _, e := range s {
		e.mu.Lock()
		at, stale := e.state.LastSeen, e.seen != e.state.LastSeen
		e.seen, e.late = at, false
		e.mu.Unlock()
		if stale {
			if _, err := w.exec(putSeen, int64(at), int64(e.number)); err != nil {
				return err
			}
		}
	}
	return nil
}
