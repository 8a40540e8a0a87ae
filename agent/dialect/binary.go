package dialect

import (
	"encoding"
	"encoding/binary"
	"fmt"
	"strings"
	"unique"

	"rollcall/agent"
	"rollcall/certs"
	"rollcall/protocol"
)

// version begins the bytes of a device; another one is refused.
const version = 3

// AppendBinary appends the whole device, secrets included, for keeping in a file. A conversation under way is kept as
// one that was cut off.
func (d *Apple) AppendBinary(dst []byte) ([]byte, error) {
	dst, err := d.core.AppendBinary(append(dst, version))
	if err != nil {
		return nil, err
	}
	w := pen{dst}
	w.text(d.who)
	w.flag(d.bonded())
	if d.bonded() {
		b := d.bond.Value()
		w.bond(&b)
	}
	w.text(d.self.uuids())
	w.identity(d.self.identity())
	w.number(uint64(len(d.docs)))
	for _, h := range d.docs {
		o := h.Value()
		w.outline(&o)
	}
	w.b = append(append(w.b, d.magic[:]...), d.token[:]...)
	w.number(uint64(d.busy))
	for _, r := range d.recent {
		w.number(r)
	}
	w.flag(d.ade)
	w.flag(d.awaits)
	owes := d.task != nil && d.core.Owes()
	w.flag(owes)
	if owes {
		w.text(d.uuid)
		w.text(d.command)
		w.text(string(d.report))
		w.flag(d.repeated)
		w.flag(d.locks)
		w.flag(d.incoming != nil)
		if d.incoming != nil {
			w.bond(&d.incoming.bond)
			w.text(d.incoming.uuids)
			w.identity(d.incoming.identity)
		}
		w.flag(d.old != nil)
		if d.old != nil {
			w.identity(*d.old)
		}
	}
	return w.b, nil
}

// UnmarshalBinary reads what AppendBinary wrote. The error wraps [protocol.ErrMalformed]; d is then unchanged. Call Share
// before anything else.
func (d *Apple) UnmarshalBinary(b []byte) error {
	if len(b) == 0 || b[0] != version {
		return fmt.Errorf("device: not of version %d: %w", version, protocol.ErrMalformed)
	}
	var v Apple
	rest, err := v.core.Cut(b[1:])
	if err != nil {
		return err
	}
	r := eye{b: rest}
	v.who = r.text()
	r.bad = r.bad || strings.Count(v.who, separator) != names-1
	if r.flag() {
		v.bond = unique.Make(r.bond())
	}
	uuids := r.text()
	v.self = newResting(uuids, r.identity())
	p, profiles := v.core.Phase(), v.core.Profiles()
	managed := p == agent.Enrolled || p == agent.Enrolling
	n := r.number()
	switch {
	case managed && n != uint64(len(profiles)):
		r.bad = true
	case managed && n > 0:
		v.docs = make([]unique.Handle[outline], 0, n)
	}
	for i := uint64(0); i < n && !r.bad; i++ {
		o := r.outline()
		if managed { // one that was leaving has none any more
			r.bad = r.bad || profiles[i].Name != id(o.identifier)
			v.docs = append(v.docs, unique.Make(o))
		}
	}
	copy(v.magic[:], r.bytes(len(v.magic)))
	copy(v.token[:], r.bytes(len(v.token)))
	v.busy = protocol.Time(r.number())
	for i := range v.recent {
		v.recent[i] = r.number()
	}
	v.ade, v.awaits = r.flag(), r.flag()
	if r.flag() {
		v.task = r.task()
	}
	if r.bad || len(r.b) > 0 || managed && !v.bonded() {
		return fmt.Errorf("device: %w", protocol.ErrMalformed)
	}
	if !managed {
		v.forget() // an enrolment that was cut off before the server took it
	}
	if v.core.Owes() && v.task == nil {
		v.task = &task{}
	}
	*d = v
	return nil
}

// A pen writes; numbers are varints and texts have their length before them.
type pen struct{ b []byte }

func (w *pen) number(n uint64) { w.b = binary.AppendUvarint(w.b, n) }
func (w *pen) text(s string)   { w.number(uint64(len(s))); w.b = append(w.b, s...) }

func (w *pen) flag(f bool) {
	if f {
		w.b = append(w.b, 1)
	} else {
		w.b = append(w.b, 0)
	}
}

func (w *pen) identity(i identity) {
	w.text(string(i.key))
	w.text(string(i.cert))
}

func (w *pen) outline(o *outline) {
	for _, s := range [...]string{o.identifier, o.name, o.description, o.organization, o.uuids, o.payloads, o.certificates, o.signers} {
		w.text(s)
	}
	w.flag(o.removalDisallowed)
	w.number(uint64(o.family))
	w.number(o.content)
}

func (w *pen) bond(b *bond) {
	for _, s := range [...]string{b.serverURL, b.checkInURL, b.topic, b.mode, b.appleID, b.serverPins, b.checkInPins, b.anchors, string(b.notices)} {
		w.text(s)
	}
	w.number(uint64(b.rights))
	w.flag(b.signs)
	w.flag(b.checksOut)
	w.outline(&b.outline)
}

// An eye reads what a pen wrote. Once bad it gives zero values.
type eye struct {
	b   []byte
	bad bool
}

func (r *eye) number() uint64 {
	n, size := binary.Uvarint(r.b)
	if size <= 0 || r.bad {
		r.bad = true
		return 0
	}
	r.b = r.b[size:]
	return n
}

func (r *eye) bytes(n int) []byte {
	if r.bad || n > len(r.b) {
		r.bad = true
		return nil
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *eye) text() string {
	n := r.number()
	if n > uint64(len(r.b)) {
		r.bad = true
		return ""
	}
	return string(r.bytes(int(n)))
}

func (r *eye) flag() bool {
	b := r.bytes(1)
	if len(b) == 1 && b[0] > 1 {
		r.bad = true
	}
	return len(b) == 1 && b[0] == 1
}

func (r *eye) identity() (i identity) {
	if s := r.text(); s != "" {
		i.key = []byte(s)
	}
	if s := r.text(); s != "" {
		i.cert = []byte(s)
	}
	return i
}

func (r *eye) outline() (o outline) {
	for _, s := range [...]*string{&o.identifier, &o.name, &o.description, &o.organization, &o.uuids, &o.payloads, &o.certificates, &o.signers} {
		*s = r.text()
	}
	o.removalDisallowed = r.flag()
	family := r.number()
	if family > uint64(protocol.Configuration) {
		r.bad = true
	}
	o.family = protocol.Family(family)
	o.content = r.number()
	return o
}

func (r *eye) bond() (b bond) {
	for _, s := range [...]*string{&b.serverURL, &b.checkInURL, &b.topic, &b.mode, &b.appleID, &b.serverPins, &b.checkInPins, &b.anchors} {
		*s = r.text()
	}
	b.notices = certs.SealKey(r.text())
	b.rights = int64(r.number())
	b.signs, b.checksOut = r.flag(), r.flag()
	b.outline = r.outline()
	return b
}

func (r *eye) task() *task {
	t := &task{uuid: r.text(), command: r.text()}
	if s := r.text(); s != "" {
		t.report = []byte(s)
	}
	t.repeated, t.locks = r.flag(), r.flag()
	if r.flag() {
		t.incoming = &incoming{bond: r.bond(), uuids: r.text(), identity: r.identity()}
	}
	if r.flag() {
		i := r.identity()
		t.old = &i
	}
	return t
}

var (
	_ encoding.BinaryAppender    = (*Apple)(nil)
	_ encoding.BinaryUnmarshaler = (*Apple)(nil)
)
