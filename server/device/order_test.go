package device

import (
	"context"
	"crypto/sha256"
	"testing"

	"rollcall/protocol"
	"rollcall/protocol/apple"
)

// TestHST027AnEndIsProved: with every answer by which a device is to leave goes an order, signed by this server for this device under
// this identity, and with no other answer. The 403 of apple.md section 12 is an administrator's explicit order alone.
func TestHST027AnEndIsProved(t *testing.T) {
	l := newLab(t, withSeal(t))
	key := l.key()
	check := func(p *phone, a answer, status int) {
		t.Helper()
		o, words, signature, err := apple.DecodeOrder(a.header.Get(apple.OrderHeader))
		if a.status != status || err != nil || o != (apple.Order{Device: p.id, Certificate: sha256.Sum256(p.who.Certificate.Raw), At: l.pnow()}) {
			t.Fatalf("answered %d with order %+v (%v)", a.status, o, err)
		}
		if !key.Verified(apple.OrderHeader, words, signature) || key.Verified(apple.NoticeHeader, words, signature) {
			t.Error("the order is not signed as one")
		}
	}
	for n, kind := range []protocol.CommandKind{protocol.Retire, protocol.Erase} {
		p := l.phone(udid(n)).enrol()
		l.order(p.id, protocol.Lock)
		if a := p.send(p.idle()); len(a.body) == 0 || a.header.Get(apple.OrderHeader) != "" {
			t.Errorf("a lock came as %q with order %q", a.body, a.header.Get(apple.OrderHeader))
		}
		l.order(p.id, kind)
		id, _, _ := apple.DecodeCommand(p.send(p.idle()).body)
		check(p, p.send(apple.Message{UDID: p.id, Status: protocol.Acknowledged, CommandUUID: id}), 200)
		check(p, p.send(p.idle()), 200) // and again, until it is reported
	}

	p := l.phone(udid(9)).enrol()
	p.leaves = true
	if _, err := l.core.Drop(context.Background(), l.pnow(), l.record(p.id).State.Device); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the first may be lost
		a := p.send(p.idle())
		check(p, a, 403)
		if f, err := apple.DecodeForbidden(a.header.Get("Content-Type"), a.body); err != nil || f.Code != apple.UnrecognizedDevice {
			t.Errorf("the body says %+v, %v", f, err)
		}
	}
	if a := p.send(apple.Message{MessageType: apple.CheckOut, UDID: p.id, Topic: testTopic}); a.status != 200 {
		t.Errorf("its good-bye answered %d %q", a.status, a.body)
	}
	if got := l.record(p.id).State.Life.String(); got != "ended" {
		t.Errorf("after its good-bye the record says %s", got)
	}
}
