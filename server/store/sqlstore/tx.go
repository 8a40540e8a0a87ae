package sqlstore

import (
	"database/sql/driver"
	"fmt"

	"rollcall/protocol"
	"rollcall/server/authority"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

// A tx is one hold on one device, and the change that its commit writes.
type tx struct {
	s   *Store
	e   *entry // nil: ended
	err error  // what could not be read; nothing decided without it is kept

	now protocol.Time
	out *delivery.Outcome
}

func (t *tx) State() *delivery.State { return &t.e.state }

func (t *tx) Said() string { return t.e.facts.Said } // only the holder writes it

func (t *tx) End() {
	e := t.e
	if e == nil {
		return
	}
	if !e.kept && !e.gone {
		t.remove()
	}
	t.e = nil
	e.release()
}

func (t *tx) Answered(key delivery.Key, out *delivery.Outcome) bool {
	if key == (delivery.Key{}) || !t.recall() {
		return false
	}
	nth, ok := t.e.exchanges.find(key)
	if !ok {
		return false
	}
	var answer []byte
	if answer, t.err = t.s.answer(t.e.number, nth); t.err != nil {
		return false
	}
	out.Exchange.Key = key
	out.Exchange.Answer = append(out.Exchange.Answer[:0], answer...)
	return true
}

// recall has the device's exchanges in memory.
func (t *tx) recall() bool {
	if t.e.exchanges != nil {
		return true
	}
	x := new(exchanges)
	if t.e.kept {
		if t.err = t.s.loadExchanges(t.e.number, x); t.err != nil {
			return false
		}
	}
	t.e.exchanges = x
	return true
}

func (t *tx) Commit(now protocol.Time, out *delivery.Outcome) error {
	t.s.tick(now)
	if t.e.gone {
		return fmt.Errorf("device %d: %w", t.e.number, store.ErrNotFound)
	}
	if t.err != nil {
		return fmt.Errorf("device %d: %w", t.e.number, t.err)
	}
	exchange := out.Exchange.Key != (delivery.Key{})
	if t.e.kept && out.Changed == 0 && len(out.Commands) == 0 && len(out.Effects) == 0 && !exchange {
		if t.s.over.Load() {
			return t.s.err()
		}
		t.publish(out)
		return nil
	}
	if exchange && !t.recall() {
		return fmt.Errorf("device %d: %w", t.e.number, t.err)
	}
	t.now, t.out = now, out
	err := t.s.commit(t)
	t.out = nil
	if err != nil {
		return fmt.Errorf("device %d: %w", t.e.number, err)
	}
	t.s.certs.apply(t.e.number, out.Effects)
	if out.Changed&delivery.Gone != 0 {
		t.remove()
		return nil
	}
	if exchange {
		t.e.exchanges.add(out.Exchange.Key)
	}
	t.publish(out)
	return nil
}

// publish makes out.State what others see.
func (t *tx) publish(out *delivery.Outcome) {
	e := t.e
	e.mu.Lock()
	written := !e.kept || out.Changed&(delivery.Core|delivery.Address|delivery.Counts|delivery.Wakes) != 0
	place := e.state.Place
	e.state = out.State
	e.state.Device, e.state.Place = e.number, place
	if out.Changed&delivery.FactsToo != 0 && out.Facts != nil {
		e.facts = *out.Facts
	}
	e.kept = true
	late := false
	if written {
		e.seen = e.state.LastSeen
	} else if !e.late && e.state.LastSeen.Sub(e.seen) >= seenLag {
		e.late, late = true, true
	}
	e.mu.Unlock()
	if late {
		t.s.devs.addLate(e)
	}
	if due := dueOf(&e.state); due != e.due || e.apple != e.state.Platform.Apple() {
		t.s.dues.set(e, due)
	}
}

// remove takes the device out of memory. Whoever waits for it finds that it is gone.
func (t *tx) remove() {
	e := t.e
	e.mu.Lock()
	kept := e.kept
	e.gone, e.kept = true, false
	e.mu.Unlock()
	t.s.devs.forget(e, kept)
	t.s.dues.set(e, 0)
}

// write writes what the outcome names.
func (t *tx) write(w *writer) error {
	e, out := t.e, t.out
	d, s := int64(e.number), &out.State
	b := batch{w: w}
	if out.Changed&delivery.Gone != 0 {
		if e.kept {
			b.do(addRemoved, d, e.id)
		}
		b.do(dropDevice, d)
		b.effects(t.now, e.number, out.Effects)
		return b.err
	}
	switch {
	case !e.kept:
		b.do(addDevice, append(deviceValues(w.values[:0], s), d, e.id)...)
	case out.Changed&delivery.Core != 0:
		b.do(putDevice, append(deviceValues(w.values[:0], s), d)...)
	default: // what most rounds change, a fifth of the columns
		b.parts(d, &e.state.Push, s, out.Changed)
	}
	if out.Changed&delivery.Secrets != 0 {
		b.do(putSecrets, d, s.Rare.Read().Unlock, s.Rare.Read().Escrow)
	}
	if f := out.Facts; f != nil && out.Changed&delivery.FactsToo != 0 {
		b.do(putFacts, d, f.Name, f.Model, f.Product, f.Serial, f.OSVersion, f.Build, f.IMEI, f.MEID, f.Hardware, f.Said, f.Directory)
	}
	if out.Changed&delivery.Profiles != 0 {
		b.profiles(d, e.state.Profiles, s.Profiles)
	}
	for i := range out.Commands {
		b.command(d, &out.Commands[i])
	}
	b.effects(t.now, e.number, out.Effects)
	if x := &out.Exchange; x.Key != (delivery.Key{}) {
		nth := e.exchanges.next
		b.do(putExchange, d, int64(nth%store.ExchangesKept), int64(nth), x.Key[:], x.Answer)
	}
	return b.err
}

// parts writes what a change names of a device's row that is not Core. Was is the address on disk.
func (b *batch) parts(d int64, was *delivery.Push, s *delivery.State, changed delivery.Parts) {
	if changed&delivery.Address != 0 {
		if p := &s.Push; p.Topic == was.Topic && p.Magic == was.Magic {
			b.do(moveAddress, p.Token, int64(p.Since), flag(p.Unreachable), int64(s.LastSeen), d)
		} else {
			b.do(putAddress, p.Topic, p.Magic, p.Token, int64(p.Since), flag(p.Unreachable), int64(s.LastSeen), d)
		}
	}
	if changed&delivery.Counts != 0 {
		r := &s.Reports
		b.do(putCounts, int64(s.Wake.Due), int64(s.Wake.Reason), int64(s.Wake.Attempt), int64(s.LastSeen), int64(s.Seq),
			int64(r.Acknowledged), int64(r.Failed), int64(r.FormatError), int64(r.NotNow), d)
	} else if changed&delivery.Wakes != 0 {
		b.do(putWake, int64(s.Wake.Due), int64(s.Wake.Reason), int64(s.Wake.Attempt), int64(s.LastSeen), d)
	}
}

// profiles writes the difference of two lists, both by profile number.
func (b *batch) profiles(d int64, have, want []delivery.Assigned) {
	for len(have) > 0 || len(want) > 0 {
		switch {
		case len(want) == 0 || len(have) > 0 && have[0].Profile < want[0].Profile:
			b.do(dropProfile, d, int64(have[0].Profile))
			have = have[1:]
		case len(have) > 0 && have[0] == want[0]:
			have, want = have[1:], want[1:]
		default:
			if len(have) > 0 && have[0].Profile == want[0].Profile {
				have = have[1:]
			}
			a := &want[0]
			b.do(putProfile, d, int64(a.Profile), int64(a.State), int64(a.Tries), int64(a.At))
			want = want[1:]
		}
	}
}

// Commands with a final answer that a device keeps: historyKept, and up to historySlack that wait to be dropped together.
const (
	historyKept  = 100
	historySlack = 16
)

func (b *batch) command(d int64, c *delivery.CommandChange) {
	seq := int64(c.Seq)
	values := []driver.Value{
		d, seq, c.ID[:], int64(c.Kind), int64(c.Profile), c.PIN, c.Text, int64(c.At), flag(c.NotNow),
		int64(c.Status), c.Result, c.Errors,
	}
	if !c.Final {
		b.do(putQueued, values...)
		return
	}
	b.do(dropQueued, d, seq)
	b.do(addHistory, values...)
	if seq%historySlack == 0 {
		b.do(trimHistory, d, seq-historyKept)
	}
}

func (b *batch) effects(now protocol.Time, d protocol.Device, effects []delivery.Effect) {
	for i := range effects {
		switch e := &effects[i]; e.Kind {
		case delivery.Journal:
			b.journal(now, e)
		case delivery.Bind:
			b.bind(d, e.Fingerprint)
		case delivery.Revoke:
			b.do(revokeCredential, int64(e.Farewell), e.Fingerprint[:])
		case delivery.Supersede:
			b.do(supersedeCredential, int64(now), e.Fingerprint[:])
		}
	}
}

// bind gives a certificate to the first device that uses it: of two that decide at once, each believes to be the first.
func (b *batch) bind(d protocol.Device, f delivery.Fingerprint) {
	if b.err != nil {
		return
	}
	var n int64
	n, b.err = b.w.exec(bindCredential, int64(d), f[:], int64(d))
	if b.err == nil && n == 0 {
		b.err = fmt.Errorf("certificate %x is unknown or belongs to another device", f[:8])
	}
}

// deviceValues appends the columns of deviceColumns but for the number, which is the last of them.
func deviceValues(to []driver.Value, s *delivery.State) []driver.Value {
	r := s.Rare.Read()
	return append(to,
		int64(s.User), int64(s.Platform), int64(s.Life), int64(s.Registered), flag(s.Automated), flag(s.Awaiting), int64(s.Epoch),
		int64(s.RegisteredAt), int64(s.EnrolledAt), int64(s.EndedAt), int64(s.LastSeen),
		s.Push.Topic, s.Push.Magic, s.Push.Token, int64(s.Push.Since), flag(s.Push.Unreachable),
		known(s.Identity.Fingerprint[:]), int64(s.Identity.NotBefore), int64(s.Identity.NotAfter),
		known(r.Next.Fingerprint[:]), int64(r.Next.NotBefore), int64(r.Next.NotAfter),
		int64(r.Renewal.Asked), known(r.Renewal.Command[:]), int64(r.Renewal.Tries), int64(r.Replaced),
		int64(s.Set), int64(s.Seq), int64(s.Reports.Acknowledged), int64(s.Reports.Failed), int64(s.Reports.FormatError), int64(s.Reports.NotNow),
		flag(s.Support), int64(s.Heard), int64(s.Fresh), flag(s.AndroidAPI), flag(s.CoManaged), int64(s.Workloads), flag(s.Told), int64(s.Before.At), flag(s.Before.Complied),
		int64(s.Wake.Due), int64(s.Wake.Reason), int64(s.Wake.Attempt))
}

// scanDevice reads the columns of deviceColumns.
func scanDevice(r *row, s *delivery.State) {
	s.User, s.Platform, s.Life = num[delivery.UserID](r), num[protocol.Platform](r), num[delivery.Life](r)
	s.Registered, s.Automated, s.Awaiting, s.Epoch = num[protocol.Authority](r), r.flag(), r.flag(), num[uint32](r)
	s.RegisteredAt, s.EnrolledAt, s.EndedAt, s.LastSeen = r.time(), r.time(), r.time(), r.time()
	s.Push = delivery.Push{Topic: r.text(), Magic: r.text(), Token: r.blob(), Since: r.time(), Unreachable: r.flag()}
	var rare delivery.Rare
	s.Identity, rare.Next = scanIdentity(r), scanIdentity(r)
	rare.Renewal.Asked = r.time()
	copy(rare.Renewal.Command[:], r.blob())
	rare.Renewal.Tries, rare.Replaced = num[uint8](r), r.time()
	s.Rare = rare.Kept()
	s.Set, s.Seq = num[uint32](r), num[uint64](r)
	s.Reports = delivery.ReportCounts{Acknowledged: num[uint32](r), Failed: num[uint32](r), FormatError: num[uint32](r), NotNow: num[uint32](r)}
	s.Support, s.Heard, s.Fresh, s.AndroidAPI, s.CoManaged = r.flag(), num[uint32](r), num[uint32](r), r.flag(), r.flag()
	s.Workloads, s.Told, s.Before = num[authority.Workloads](r), r.flag(), delivery.Report{At: r.time(), Complied: r.flag()}
	s.Wake = delivery.Wake{Due: r.time(), Reason: num[delivery.WakeReason](r), Attempt: num[uint8](r)}
	s.Device = num[protocol.Device](r)
}

func scanIdentity(r *row) (i delivery.Identity) {
	copy(i.Fingerprint[:], r.blob())
	i.NotBefore, i.NotAfter = r.time(), r.time()
	return i
}
