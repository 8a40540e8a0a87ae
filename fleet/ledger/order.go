package ledger

import (
	"strings"

	"rollcall/protocol"
	"rollcall/protocol/lang"
)

// An order is one command that was asked for and is not yet confirmed. With device 0 it is free.
type order struct {
	id     protocol.CommandID
	asked  protocol.Time // when the administration was asked
	from   protocol.Time // since when it is owed: taken, or put off by the device
	device protocol.Device
	next   uint32
	kind   uint16
	lane   uint8
	is     mark
}

// Ordered notes that the administration is asked now for a command. Among orders of one lane that were asked for one after
// another, the device must see the earlier one first; lanes are what the server calls priorities, 0 where it has none.
func (l *Ledger) Ordered(now protocol.Time, d protocol.Device, id, kind string, lane uint8) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.account(d)
	key, is := keyOf(id)
	if l.order(a, key) != nil {
		return // asked for once more, since the first answer was lost
	}
	l.counts.Ordered++
	if at, knows := l.knows[d]; l.done.holds(hashOf(d, key)) || knows && at >= now && questions[kind] || l.cameBefore(now, d, id, kind) { // all over before its id was known here
		l.counts.Delivered++
		l.counts.Confirmed++
		l.counts.Taken++
		return
	}
	if got, ok := l.strays[key]; ok && got == d {
		is |= delivered
		l.counts.Delivered++
		l.counts.Unordered--
		delete(l.strays, key)
	} else if ok {
		l.find(Finding{Fault: Misdelivered, Command: id, Kind: kind, At: now}, got, lang.Later("meant for %s", l.name(d)))
		is |= named | strayed
	}
	if is&text != 0 {
		l.texts[key] = strings.Clone(id)
	}
	at := l.orders.take()
	l.orders.list[at] = order{id: key, asked: now, device: d, kind: uint16(l.kinds.of(kind)), lane: lane, is: is}
	last := &a.orders
	for *last != 0 {
		last = &l.orders.list[*last].next
	}
	*last = at
	l.byID[key] = at
	if is&delivered != 0 {
		l.inOrder(now, a, &l.orders.list[at], true)
	}
}

// Taken notes that the administration has taken an order: from now on the device has to get it.
func (l *Ledger) Taken(now protocol.Time, d protocol.Device, id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	key, _ := keyOf(id)
	if o := l.order(l.account(d), key); o != nil && o.is&taken == 0 {
		o.from = now
		o.is |= taken
		l.counts.Taken++
	}
}

// NotTaken notes that the administration has refused an order. One of which nobody knows is left as it is: it need not
// arrive, and may.
func (l *Ledger) NotTaken(d protocol.Device, id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	key, _ := keyOf(id)
	l.drop(l.account(d), key)
}

// Delivered notes that the server handed a command out to d.
func (l *Ledger) Delivered(now protocol.Time, d protocol.Device, id, kind string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.account(d)
	key, _ := keyOf(id)
	if l.done.holds(hashOf(d, key)) {
		l.find(Finding{Fault: Doubled, Command: id, Kind: kind, At: now}, d, lang.Later("delivered again after its report was confirmed"))
		return
	}
	o := l.order(a, key)
	switch {
	case o == nil:
		l.unordered(now, d, key, id, kind)
	case o.is&delivered != 0:
		l.counts.Retries++
	default:
		o.is |= delivered
		l.counts.Delivered++
		l.inOrder(now, a, o, true)
	}
}

// unordered takes a delivery that d was not meant to have, as far as is known.
func (l *Ledger) unordered(now protocol.Time, d protocol.Device, key protocol.CommandID, id, kind string) {
	if at, open := l.byID[key]; open {
		if o := &l.orders.list[at]; o.is&strayed == 0 { // it may be named already, for not having come where it should
			o.is |= named | strayed
			l.find(Finding{Fault: Misdelivered, Command: id, Kind: kind, At: now}, d, lang.Later("meant for %s", l.name(o.device)))
		}
		return
	}
	if got, known := l.strays[key]; known && got == d {
		l.counts.Retries++
		return
	}
	l.counts.Unordered++
	if len(l.latest) < Strays {
		l.latest = append(l.latest, key)
	} else {
		delete(l.strays, l.latest[l.oldest])
		l.latest[l.oldest] = key
		l.oldest = (l.oldest + 1) % Strays
	}
	l.strays[key] = d
}

// inOrder holds the delivery of o against the orders before it, which it overtakes only where it is certain that it is o's.
func (l *Ledger) inOrder(now protocol.Time, a *account, o *order, certain bool) {
	at := a.orders
	for ; &l.orders.list[at] != o; at = l.orders.list[at].next {
		if e := &l.orders.list[at]; certain && e.lane == o.lane && e.is&(taken|delivered) == taken && e.from <= o.asked {
			if _, already := l.passed[at]; !already {
				l.passed[at] = l.text(o)
			}
		}
	}
	if by, late := l.passed[at]; late {
		delete(l.passed, at)
		o.is |= named
		l.find(Finding{Fault: Reordered, Command: l.text(o), Kind: l.kinds.list[o.kind], At: now}, o.device, lang.Later("after %s, which was asked for later", by))
	}
}

// Answered notes that d reported on a command. heard: with a 2xx the server confirmed the report.
func (l *Ledger) Answered(now protocol.Time, d protocol.Device, id string, s protocol.Status, heard bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.account(d)
	key, _ := keyOf(id)
	if s == protocol.NotNow {
		if o := l.order(a, key); o != nil {
			o.from = now
		}
		return
	}
	if !heard || l.done.holds(hashOf(d, key)) {
		return
	}
	l.done.add(hashOf(d, key))
	if l.drop(a, key) {
		l.counts.Confirmed++
	}
}

// NoWork notes that the server told d that there was no work, in answer to a request that began at a time.
func (l *Ledger) NoWork(begun protocol.Time, d protocol.Device) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.account(d)
	for at := a.orders; at != 0; at = l.orders.list[at].next {
		if o := &l.orders.list[at]; o.is&taken != 0 && o.from <= begun {
			o.is |= denied
		}
	}
	for at := a.profiles; at != 0; at = l.profiles.list[at].next {
		if p := &l.profiles.list[at]; p.from <= begun && !p.settled() {
			p.is |= denied
		}
	}
}

// order returns a's open order; nil: there is none.
func (l *Ledger) order(a *account, key protocol.CommandID) *order {
	for at := a.orders; at != 0; at = l.orders.list[at].next {
		if o := &l.orders.list[at]; o.id == key {
			return o
		}
	}
	return nil
}

// drop forgets a's open order, and tells whether there was one.
func (l *Ledger) drop(a *account, key protocol.CommandID) bool {
	for last := &a.orders; *last != 0; last = &l.orders.list[*last].next {
		if l.orders.list[*last].id == key {
			l.free(last)
			return true
		}
	}
	return false
}

// free takes an order out of its list: last points to it.
func (l *Ledger) free(last *uint32) {
	at := *last
	o := &l.orders.list[at]
	*last = o.next
	if l.byID[o.id] == at {
		delete(l.byID, o.id)
		if o.is&text != 0 {
			delete(l.texts, o.id)
		}
	}
	if len(l.passed) > 0 {
		delete(l.passed, at)
	}
	*o = order{}
	l.orders.give(at)
}

// void forgets the orders of a that were asked for before a time.
func (l *Ledger) void(a *account, before protocol.Time) {
	for last := &a.orders; *last != 0; {
		if o := &l.orders.list[*last]; o.asked >= before {
			last = &o.next
			continue
		}
		l.free(last)
		l.counts.Void++
	}
}

// text returns an order's id as the server writes it.
func (l *Ledger) text(o *order) string {
	switch {
	case o.is&text != 0:
		return l.texts[o.id]
	case o.is&lower != 0:
		return strings.ToLower(o.id.String())
	}
	return o.id.String()
}
