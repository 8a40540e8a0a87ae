package dialect

import (
	"encoding"
	"fmt"
	"slices"
	"strings"
	"unique"

	"rollcall/agent"
	"rollcall/protocol"
	"rollcall/protocol/windows"
)

// windowsVersion begins the bytes of a Windows device; another one is refused.
const windowsVersion = 'W'

// AppendBinary appends the whole device, secrets included, for keeping in a file. A conversation under way is kept as one that was
// cut off: an enrolment or renewal has then not begun, and a session comes again by the schedule.
func (d *Windows) AppendBinary(dst []byte) ([]byte, error) {
	dst, err := d.core.AppendBinary(append(dst, windowsVersion))
	if err != nil {
		return nil, err
	}
	w := pen{dst}
	w.text(d.who)
	w.flag(d.bonded())
	if d.bonded() {
		a := d.account.Value()
		for _, s := range [...]string{a.provider, a.address, a.discovery, a.anchors, string(a.store)} {
			w.text(s)
		}
		for _, n := range [...]int64{int64(a.retries), a.initial, a.most} {
			w.number(uint64(n))
		}
		w.flag(a.robo)
	}
	w.text(d.self.uuids())
	w.identity(d.self.identity())
	w.number(uint64(len(d.tree)))
	for _, h := range d.tree {
		l := h.Value()
		w.text(l.path)
		w.text(l.format)
		w.text(l.value)
	}
	w.text(d.channel)
	for _, t := range [...]protocol.Time{d.now, d.next, d.started, d.contact, d.renewed, d.channelAt, d.renewal.due, d.renewal.tried} {
		w.number(uint64(t))
	}
	for _, n := range [...]uint64{
		uint64(d.renewal.code), uint64(d.renewal.status), uint64(d.sessions), uint64(d.comanaged), uint64(d.tries), uint64(d.pushCode), uint64(d.login),
	} {
		w.number(n)
	}
	w.number(uint64(d.seen))
	return w.b, nil
}

// UnmarshalBinary reads what AppendBinary wrote. The error wraps [protocol.ErrMalformed]; d is then unchanged. Call Share before
// anything else.
func (d *Windows) UnmarshalBinary(b []byte) error {
	if len(b) == 0 || b[0] != windowsVersion {
		return fmt.Errorf("device: not of version %c: %w", windowsVersion, protocol.ErrMalformed)
	}
	var v Windows
	rest, err := v.core.Cut(b[1:])
	if err != nil {
		return err
	}
	r := eye{b: rest}
	v.who = r.text()
	r.bad = r.bad || strings.Count(v.who, separator) != windowsNames-1
	if r.flag() {
		var a account
		for _, s := range [...]*string{&a.provider, &a.address, &a.discovery, &a.anchors, (*string)(&a.store)} {
			*s = r.text()
		}
		a.retries, a.initial, a.most = int(r.small(1<<16)), int64(r.small(1<<40)), int64(r.small(1<<40))
		a.robo = r.flag()
		v.account = unique.Make(a)
	}
	uuids := r.text()
	v.self = newResting(uuids, r.identity())
	for range r.small(mostLeaves) {
		v.tree = append(v.tree, unique.Make(leaf{r.text(), r.text(), r.text()}))
		if r.bad {
			break
		}
	}
	v.tree = slices.Clip(v.tree)
	r.bad = r.bad || !slices.IsSortedFunc(v.tree, func(a, b unique.Handle[leaf]) int { return strings.Compare(a.Value().path, b.Value().path) })
	v.channel = r.text()
	for _, t := range [...]*protocol.Time{&v.now, &v.next, &v.started, &v.contact, &v.renewed, &v.channelAt, &v.renewal.due, &v.renewal.tried} {
		*t = protocol.Time(r.number())
	}
	v.renewal.code = windows.HRESULT(r.small(1<<32 - 1))
	v.renewal.status = uint8(r.small(renewFailed))
	v.sessions, v.comanaged = uint16(r.small(1<<16-1)), uint16(r.small(1<<16-1))
	v.tries, v.pushCode, v.login = uint8(r.small(1<<8-1)), uint8(r.small(PushUnknown)), uint8(r.small(uint64(len(logins)-1)))
	v.seen = uint8(r.small(1<<2 - 1))
	enrolled := v.core.Phase() == agent.Enrolled
	if r.bad || len(r.b) > 0 || enrolled && !v.bonded() {
		return fmt.Errorf("device: %w", protocol.ErrMalformed)
	}
	if !enrolled { // it was leaving: nothing is left of the enrolment
		v.forget()
	}
	*d = v
	return nil
}

// small reads a number that is at most so much.
func (r *eye) small(most uint64) uint64 {
	n := r.number()
	if n > most {
		r.bad = true
		return 0
	}
	return n
}

var (
	_ encoding.BinaryAppender    = (*Windows)(nil)
	_ encoding.BinaryUnmarshaler = (*Windows)(nil)
)
