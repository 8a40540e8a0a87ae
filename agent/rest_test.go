package agent

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"rollcall/protocol"
)

// Whatever a device is up to, Rest does what Step does, or nothing.
func TestRestIsWhatStepDoes(t *testing.T) {
	now := protocol.At(time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC))
	rested := 0
	for seed := range uint64(20000) {
		r := rand.New(rand.NewPCG(seed, 0))
		d := NewDevice(1, protocol.Platforms[r.IntN(len(protocol.Platforms))], seed)
		d.phase, d.enrolledAt, d.enrolments = Enrolled, now.Add(-time.Duration(r.IntN(5000))*time.Minute), 1
		d.next, d.round, d.command = now.Add(-time.Duration(r.IntN(2))*time.Minute), uint16(r.IntN(5)), protocol.CommandID{7}
		what, notice := []EventKind{Tick, Woken}[r.IntN(2)], protocol.Notice{}
		for range r.IntN(4) {
			switch r.IntN(9) {
			case 0:
				d.phase = Phase(r.IntN(5))
			case 1:
				d.talk = talk(r.IntN(7))
			case 2:
				d.flags |= 1 << r.IntN(8)
			case 3:
				d.next = []protocol.Time{0, now, now + 1}[r.IntN(3)]
			case 4:
				d.drops = now.Add(time.Duration(r.IntN(3)-1) * time.Hour)
				d.profiles = []Profile{{Name: 1, Until: d.drops}, {Name: 2}}
			case 5:
				d.status, d.until = protocol.NotNow, now.Add(time.Hour)
			case 6:
				d.tries = uint8(r.IntN(8))
			case 7:
				d.epoch = uint32(r.IntN(3))
			case 8:
				notice = protocol.Notice{Epoch: uint32(r.IntN(3)), Rule: []protocol.Rule{protocol.RuleRegistered, protocol.RuleSevenDays}[r.IntN(2)], ChangedAt: now.Add(-time.Hour)}
			}
		}
		stepped, out := d, Actions{}
		stepped.profiles = append([]Profile(nil), d.profiles...)
		stepped.Step(now, &Event{Kind: what}, &out)
		asks := len(out.List) == 1 && out.List[0].Kind == Send && out.List[0].CheckIn.Verb == protocol.Ask
		if asks {
			stepped.Step(now, &Event{Kind: Answered, Reply: protocol.Reply{Kind: protocol.Done, Notice: notice}}, &out)
			asks = len(out.List) == 0
		}
		got := d
		switch ok := got.Rest(now, what, notice); {
		case !ok && !cmp.Equal(got, d, cmp.AllowUnexported(Device{})):
			t.Fatalf("seed %d: Rest is not sure, and has changed the device:\n%s", seed, cmp.Diff(d, got, cmp.AllowUnexported(Device{})))
		case ok && (!asks || !cmp.Equal(got, stepped, cmp.AllowUnexported(Device{}))):
			t.Fatalf("seed %d: Rest does not what Step does (asks alone: %t):\n%s", seed, asks, cmp.Diff(stepped, got, cmp.AllowUnexported(Device{})))
		case ok:
			rested++
		}
	}
	if rested < 5000 {
		t.Errorf("of 20000 devices %d rested: hardly any", rested)
	}
}

func BenchmarkRest(b *testing.B) {
	now := protocol.At(time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC))
	d := NewDevice(1, protocol.IOS, 7)
	d.phase, d.enrolledAt = Enrolled, now
	b.ReportAllocs()
	for b.Loop() {
		if now = now.Add(8 * time.Hour); !d.Rest(now, Woken, protocol.Notice{}) {
			b.Fatal("it does not rest")
		}
	}
}
