package fleet

import "rollcall/protocol"

// A kind is what happens to a device at a moment.
type kind uint8

const (
	enrols   kind = iota + 1 // it opens its enrolment link
	acts                     // what its own core asked for: a retry, a poll
	syncs                    // its user starts a check-in, as is their habit
	asked                    // its user starts a check-in, for once
	leaves                   // it goes off the network
	returns                  // it comes back
	unenrols                 // its user removes management
	reenrols                 // its user removes management and enrols it again
)

// A moment is one entry of the queue. Two of the same time are taken by device, then by kind, so that the order
// is the same in every run.
type moment struct {
	at     protocol.Time
	device uint32
	kind   kind
	why    reach // leaves, returns: which reason begins or ends
}

func (m moment) before(n moment) bool {
	if m.at != n.at {
		return m.at < n.at
	}
	if m.device != n.device {
		return m.device < n.device
	}
	return m.kind < n.kind
}

// A queue is a four-ary heap of moments: an array, no pointer an entry.
type queue []moment

func (q queue) next() protocol.Time {
	if len(q) == 0 {
		return 0
	}
	return q[0].at
}

func (q *queue) push(m moment) {
	h := append(*q, m)
	i := len(h) - 1
	for i > 0 {
		parent := (i - 1) / 4
		if !m.before(h[parent]) {
			break
		}
		h[i] = h[parent]
		i = parent
	}
	h[i] = m
	*q = h
}

func (q *queue) pop() moment {
	h := *q
	top, last := h[0], h[len(h)-1]
	h = h[:len(h)-1]
	*q = h
	for i := 0; len(h) > 0; {
		least := 4*i + 1
		if least >= len(h) {
			h[i] = last
			break
		}
		for c := least + 1; c < min(4*i+5, len(h)); c++ {
			if h[c].before(h[least]) {
				least = c
			}
		}
		if !h[least].before(last) {
			h[i] = last
			break
		}
		h[i] = h[least]
		i = least
	}
	return top
}
