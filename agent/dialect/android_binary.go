package dialect

import (
	"encoding"
	"fmt"
	"strings"
	"unique"

	"rollcall/agent"
	"rollcall/protocol"
	"rollcall/protocol/android"
)

// androidVersion begins the bytes of an Android device; but for the one before it, which had no orders, another one is refused.
const androidVersion = 0x43

// AppendBinary appends the whole device, secrets included, for keeping in a file. A conversation under way is kept as one that was cut
// off: what was carried out and not reported is.
func (d *Android) AppendBinary(dst []byte) ([]byte, error) {
	dst, err := d.core.AppendBinary(append(dst, androidVersion))
	if err != nil {
		return nil, err
	}
	w := pen{dst}
	w.text(d.who)
	w.text(d.names)
	if d.names != "" {
		b := d.bond.Value()
		w.androidBond(&b)
	}
	w.identity(d.self.identity())
	w.number(uint64(d.ver))
	if d.ver != 0 {
		p := d.policy.Value()
		for _, s := range [...]string{p.policy, p.profiles, p.faults} {
			w.text(s)
		}
	}
	w.number(uint64(len(d.done)))
	for _, h := range d.done {
		w.number(h)
	}
	for _, n := range [...]uint64{uint64(d.talks), uint64(d.tokens), uint64(d.tries), uint64(d.no)} {
		w.number(n)
	}
	w.flag(d.lost)
	t := d.androidTask
	keeps := t != nil && (d.core.Owes() || t.incoming != nil || t.resume != nil)
	w.flag(keeps)
	if keeps {
		w.text(t.checkin)
		w.number(uint64(t.round))
		w.text(string(t.reason))
		w.text(string(t.body))
		w.number(uint64(len(t.orders)))
		for _, o := range t.orders { // a machine acts once the server has heard of them, perhaps by the body sent again
			for _, s := range [...]string{o.Command, o.UUID, o.Profile, o.Why, o.Shown} {
				w.text(s)
			}
			w.number(uint64(o.Status))
			w.flag(o.Gone)
			w.flag(o.Again)
		}
		w.flag(t.told)
		w.flag(t.incoming != nil)
		if t.incoming != nil {
			w.identity(*t.incoming)
		}
		w.flag(t.resume != nil)
		if t.resume != nil {
			w.text(t.resume.token)
			w.text(t.resume.names)
			w.androidBond(&t.resume.bond)
			w.identity(t.resume.identity)
		}
	}
	return w.b, nil
}

// UnmarshalBinary reads what AppendBinary wrote. The error wraps [protocol.ErrMalformed]; d is then unchanged. Call Share before anything
// else.
func (d *Android) UnmarshalBinary(b []byte) error {
	if len(b) == 0 || b[0] != androidVersion && b[0] != androidVersion-1 {
		return fmt.Errorf("Android device: not of version %d: %w", androidVersion, protocol.ErrMalformed)
	}
	var v Android
	rest, err := v.core.Cut(b[1:])
	if err != nil {
		return err
	}
	r := eye{b: rest}
	v.who, v.names = r.text(), r.text()
	r.bad = r.bad || strings.Count(v.who, separator) != androidNames-1 || v.names != "" && strings.Count(v.names, separator) != 1
	if v.names != "" {
		v.bond = unique.Make(r.androidBond())
	}
	v.self = newResting("", r.identity())
	if v.ver = int64(r.number()); v.ver != 0 {
		p := policyInForce{r.text(), r.text(), r.text()}
		r.bad = r.bad || android.Decode([]byte(p.policy), new(android.Policy)) != nil
		v.policy = unique.Make(p)
	}
	n := r.number()
	if n > keepsCommands {
		r.bad = true
	}
	for range min(n, keepsCommands) {
		v.done = append(v.done, r.number())
	}
	v.talks, v.tokens, v.tries, v.no = uint32(r.number()), uint16(r.number()), uint8(r.number()), uint8(r.number())
	v.lost = r.flag()
	if r.flag() {
		t := &androidTask{checkin: r.text(), round: int(r.number()), reason: android.Reason(r.text())}
		if s := r.text(); s != "" {
			t.body = []byte(s)
		}
		if b[0] == androidVersion {
			for n := r.number(); n > 0 && !r.bad; n-- {
				o := Order{Command: r.text(), UUID: r.text(), Profile: r.text(), Why: r.text(), Shown: r.text()}
				o.Status, o.Gone, o.Again = protocol.Status(r.number()), r.flag(), r.flag()
				t.orders = append(t.orders, o)
			}
		}
		t.told = r.flag()
		if r.flag() {
			i := r.identity()
			t.incoming = &i
		}
		if r.flag() {
			t.resume = &comingBack{r.text(), r.text(), r.androidBond(), r.identity()}
		}
		v.androidTask = t
	}
	p := v.core.Phase()
	managed := p == agent.Enrolled || p == agent.Enrolling
	if r.bad || len(r.b) > 0 || v.core.Platform() != protocol.Android || managed && v.names == "" || v.ver != 0 && v.names == "" {
		return fmt.Errorf("Android device: %w", protocol.ErrMalformed)
	}
	if !managed { // an enrolment that was cut off before the server took it
		resume := (*comingBack)(nil)
		if v.androidTask != nil {
			resume = v.resume
		}
		v.forget()
		if resume != nil {
			v.need().resume = resume
		}
	}
	*d = v
	return nil
}

func (w *pen) androidBond(b *androidBond) {
	for _, s := range [...]string{b.url, b.renewal, b.keys, b.issuers, b.anchors, string(b.mode)} {
		w.text(s)
	}
}

func (r *eye) androidBond() (b androidBond) {
	b.url, b.renewal, b.keys, b.issuers, b.anchors = r.text(), r.text(), r.text(), r.text(), r.text()
	if b.mode.UnmarshalText([]byte(r.text())) != nil || len(b.keys)%sealPoint != 0 {
		r.bad = true
	}
	return b
}

var (
	_ encoding.BinaryAppender    = (*Android)(nil)
	_ encoding.BinaryUnmarshaler = (*Android)(nil)
)
