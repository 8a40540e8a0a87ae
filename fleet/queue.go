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

// Before tells whether m is taken before n.
func (m moment) Before(n moment) bool {
	if m.at != n.at {
		return m.at < n.at
	}
	if m.device != n.device {
		return m.device < n.device
	}
	return m.kind < n.kind
}

// A queue is the moments to come.
type queue Heap[moment]

func (q queue) next() protocol.Time {
	if len(q) == 0 {
		return 0
	}
	return q[0].at
}

func (q *queue) push(m moment) { (*Heap[moment])(q).Push(m) }
func (q *queue) pop() moment   { return (*Heap[moment])(q).Pop() }
