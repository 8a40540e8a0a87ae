package ledger

import (
	"runtime"
	"time"

	"rollcall/protocol"
	"rollcall/protocol/lang"
)

// share is how many devices are looked at in one go, while nobody can write: some ten microseconds.
const share = 2048

// Check names what is beyond its bound at now. It looks at all that is open, so call it now and then; who writes meanwhile waits
// for a small share of the devices at most.
func (l *Ledger) Check(now protocol.Time) {
	for from := 0; l.look(now, from); from += share {
		runtime.Gosched() // or who waits for the lock might wait on
	}
}

// look judges a share of the devices, and tells whether there are more.
func (l *Ledger) look(now protocol.Time, from int) (more bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	to := min(from+share, len(l.devices))
	l.judge(now, from, to, false)
	return to < len(l.devices)
}

// Close judges everything, at the end: besides what is beyond its bound it names every order that never arrived although the
// server has told the device since that there was no work. Nothing is to be written into l any more.
func (l *Ledger) Close(now protocol.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.judge(now, 0, len(l.devices), true)
}

// Unheard notes, before Close, that d could not ask for work once more at the end: what it is still owed nobody will see arrive, so
// all of that is named. It returns how many orders these are.
func (l *Ledger) Unheard(now protocol.Time, d protocol.Device) (orders int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.account(d)
	for at := a.orders; at != 0; at = l.orders.list[at].next {
		o := &l.orders.list[at]
		if o.is&(taken|named) != taken {
			continue
		}
		orders++
		o.is |= named
		why := lang.Later("taken and not delivered in %s: the device could not ask for work at the end", lasted(o.from, now))
		if o.is&delivered != 0 {
			why = lang.Later("delivered, and the report not confirmed in %s: the device could not tell it at the end", lasted(o.from, now))
		}
		l.find(Finding{Fault: Stuck, Command: l.text(o), Kind: l.kinds.list[o.kind], At: now}, d, why)
	}
	for at := a.profiles; at != 0; at = l.profiles.list[at].next {
		if p := &l.profiles.list[at]; !p.settled() && p.is&(named|refused) == 0 {
			l.unsettled(now, p, d)
		}
	}
	return orders
}

func lasted(from, to protocol.Time) string { return to.Sub(from).Round(time.Millisecond).String() }

// unsettled names a profile of d that is not as it should be.
func (l *Ledger) unsettled(now protocol.Time, p *profile, d protocol.Device) {
	p.is |= named
	why := lang.Later("wanted, and not there")
	switch {
	case p.want == 0:
		why = lang.Later("not wanted any more, and still there")
	case p.have != 0:
		why = lang.Later("there in another version than the wanted one")
	}
	l.find(Finding{Fault: NeverConverged, Profile: l.ids.list[p.name], At: now}, d, why)
}

// judge looks at the devices with numbers from one up to another.
func (l *Ledger) judge(now protocol.Time, first, beyond int, end bool) {
	if l.held {
		return
	}
	for d := first; d < beyond; d++ {
		a := &l.devices[d]
		if !a.enrolled || a.away {
			continue
		}
		late := func(from protocol.Time) bool {
			from = max(from, a.since, l.since)
			return now.Sub(from) > l.bound && (!l.asked || a.answered > from)
		}
		for at := a.orders; at != 0; at = l.orders.list[at].next {
			o := &l.orders.list[at]
			if o.is&(taken|named) != taken {
				continue
			}
			f, of := Finding{Command: l.text(o), Kind: l.kinds.list[o.kind], At: now}, protocol.Device(d)
			var why lang.Text
			switch missing := o.is&delivered == 0; {
			case missing && o.is&denied != 0 && (end || late(o.from)):
				f.Fault, why = Lost, lang.Later("the server has told the device since that there was no work")
				if got, ok := l.elsewhere(o); ok {
					f.Fault, why, of = Misdelivered, lang.Later("meant for %s", l.name(of)), got
				}
			case !late(o.from):
				continue
			case missing:
				f.Fault, why = Stuck, lang.Later("taken and not delivered within %s", l.bound.String())
			default:
				f.Fault, why = Stuck, lang.Later("delivered, and the report not confirmed within %s", l.bound.String())
			}
			o.is |= named
			l.find(f, of, why)
		}
		for at := a.profiles; at != 0; at = l.profiles.list[at].next {
			p := &l.profiles.list[at]
			if p.settled() || p.is&(named|refused) != 0 || !late(p.from) && (!end || p.is&denied == 0) {
				continue
			}
			l.unsettled(now, p, protocol.Device(d))
		}
	}
}

// find counts a finding about d and keeps it while there is room, with why it is one.
func (l *Ledger) find(f Finding, d protocol.Device, why lang.Text) {
	*l.counts.of(f.Fault)++
	if len(l.findings) < Kept {
		f.Device, f.Detail = l.name(d), why.String()
		l.findings = append(l.findings, f)
	}
}

// Counts returns what was counted so far, but Open and Refused, for which all has to be looked at.
func (l *Ledger) Counts() Counts {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.counts
}

// Result returns what was found so far.
func (l *Ledger) Result() Result {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := Result{Counts: l.counts, Findings: append([]Finding{}, l.findings...)}
	for i := range l.orders.list {
		if o := &l.orders.list[i]; o.device != 0 && o.is&named == 0 {
			r.Open++
		}
	}
	for i := range l.profiles.list {
		if p := &l.profiles.list[i]; p.is&refused != 0 && !p.settled() {
			r.Refused++
		}
	}
	return r
}
