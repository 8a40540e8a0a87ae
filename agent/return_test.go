package agent

import (
	"testing"
	"time"

	"rollcall/protocol"
)

// Android devices that an outage kept away come back once each, spread over five minutes by chance of their own (AND-082): whether their
// contact was due meanwhile, a wake-up was kept for them, or both. The others come at once.
func TestAND082Return(t *testing.T) {
	const spread = 5 * time.Minute
	back := start.Add(30 * time.Hour)
	for name, tt := range map[string]struct {
		after  time.Duration // of the latest contact
		missed int           // wake-ups
	}{
		"overdue":           {30 * time.Hour, 0},
		"and woken":         {30 * time.Hour, 10},
		"woken, not yet so": {10 * time.Minute, 1},
	} {
		t.Run(name, func(t *testing.T) {
			var early, late int
			for n := range protocol.Device(400) {
				d := NewDevice(n+1, protocol.Android, 1)
				d.phase, d.enrolledAt = Enrolled, start.Add(-time.Hour*24)
				d.next = d.Scheduled(back.Add(-tt.after))
				if tt.missed > 0 && tt.after < time.Hour && d.next <= back.Add(spread) {
					continue // it is about to come by its schedule
				}
				expect(t, step(&d, back, Event{Kind: Returned}))
				for range tt.missed {
					expect(t, step(&d, back, Event{Kind: Missed}))
				}
				again := d
				if step(&again, back, Event{Kind: Returned}); again.Due() != d.Due() {
					t.Fatalf("device %d: due %s, and asked again %s", d.id, d.Due(), again.Due())
				}
				switch wait := d.Due().Sub(back); {
				case wait < 0 || wait >= spread:
					t.Fatalf("device %d comes %s after its return, want within %s", d.id, wait, spread)
				case wait < spread/2:
					early++
				default:
					late++
				}
				at := d.Due()
				expect(t, step(&d, at, Event{Kind: Tick}), "ask")
				expect(t, step(&d, at, Event{Kind: Answered}))
				if d.Due() != d.Scheduled(at) {
					t.Fatalf("device %d is due %s again, want by its schedule, %s", d.id, d.Due(), d.Scheduled(at))
				}
			}
			if early < 150 || late < 150 {
				t.Errorf("%d devices came in the first half, %d in the other", early, late)
			}
		})
	}
}

// Nobody waits who was not away, or whose user asks.
func TestReturnAtOnce(t *testing.T) {
	back := start.Add(30 * time.Hour)
	d := enrolled(t, protocol.Windows)
	expect(t, step(d, back, Event{Kind: Returned}), "ask")
	expect(t, step(d, back, Event{Kind: Missed})) // it is talking, and comes again
	expect(t, step(d, back, Event{Kind: Answered}))
	if d.Due() != back {
		t.Errorf("woken while it talked, and due %s", d.Due())
	}
	expect(t, step(enrolled(t, protocol.IOS), back, Event{Kind: Missed}), "ask")

	d = enrolled(t, protocol.Android)
	next := d.Due()
	if expect(t, step(d, start, Event{Kind: Returned})); d.Due() != next {
		t.Errorf("back before its contact, and due %s, want %s", d.Due(), next)
	}
	step(d, back, Event{Kind: Returned})
	expect(t, step(d, back, Event{Kind: Woken}), "ask")
	expect(t, step(d, back, Event{Kind: Answered}))
	if d.Due() != d.Scheduled(back) {
		t.Errorf("has come, and is due %s", d.Due())
	}
	gone := NewDevice(1, protocol.Android, 1)
	for _, kind := range []EventKind{Returned, Missed} {
		if expect(t, step(&gone, back, Event{Kind: kind})); gone.Due() != 0 {
			t.Errorf("not managed, and due %s", gone.Due())
		}
	}
}

// A PC is enrolled with its certificate, whatever becomes of its first session; all others with the second word (WIN-025, APL-031, AND-070).
func TestWIN025EnrolledWithTheCertificate(t *testing.T) {
	for _, platform := range protocol.Platforms {
		var out Actions
		d := NewDevice(1, platform, 1)
		d.Step(1, &Event{Kind: Enrol}, &out)
		d.Step(1, &Event{Kind: Answered}, &out)
		d.Step(1, &Event{Kind: Failed}, &out)
		want := Enrolling
		if platform == protocol.Windows {
			want = Enrolled
		}
		if d.Phase() != want || !d.Owes() || d.Due() == 0 {
			t.Errorf("%s is %s, want %s; it owes its first word: %v, at %s", platform, d.Phase(), want, d.Owes(), d.Due())
		}
	}
}
