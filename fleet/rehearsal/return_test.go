package rehearsal_test

import (
	"testing"
	"time"

	"rollcall/protocol"
)

// Android devices that were away together come back one after the other, within five minutes, with one check-in each, though they are
// overdue and have been called meanwhile (AND-082, AND-091).
func TestAND082Return(t *testing.T) {
	const devices = 500
	f := newFortnight(t, devices)
	f.arrive(devices, time.Hour)
	f.must(f.Run(f.Now().Add(8 * time.Hour)))
	var away []int
	for i := range devices {
		if f.Device(i).Platform() == protocol.Android {
			away = append(away, i)
			f.must(f.Reach(i, false))
		}
	}
	f.adds()
	for k := range 5 {
		f.wave(k)
	}
	f.must(f.Run(f.Now().Add(30 * time.Hour)))
	back, before := f.Now(), f.contacts
	for _, i := range away {
		f.must(f.Reach(i, true))
	}
	if f.contacts != before {
		t.Errorf("%d of %d devices came at once", f.contacts-before, len(away))
	}
	var early, late int
	for _, i := range away {
		switch wait := f.Device(i).Due().Sub(back); {
		case wait <= 0 || wait >= 5*time.Minute:
			t.Errorf("device %d comes %s after its return", i, wait)
		case wait < 150*time.Second:
			early++
		default:
			late++
		}
	}
	if early < 30 || late < 30 {
		t.Errorf("%d devices come in the first half, %d in the other", early, late)
	}
	moved := f.moved
	f.must(f.Run(back.Add(5 * time.Minute)))
	for _, i := range away {
		if due := f.Device(i).Due(); due <= back.Add(5*time.Minute) {
			t.Errorf("device %d is due %s again", i, due)
		}
	}
	if f.moved-moved < len(away)/2 {
		t.Errorf("%d of %d devices moved as they came", f.moved-moved, len(away))
	}
}

// A device that dropped profiles while it was away, and is back before its next contact, has that.
func TestAUTH27BackAfterTheSevenDays(t *testing.T) {
	f := newFortnight(t, 4)
	f.arrive(4, time.Hour)
	f.must(f.Run(f.Now().Add(9 * time.Hour)))
	const i = 3 // Android
	f.adds()
	for k := range 5 {
		f.wave(k)
	}
	f.must(f.Run(f.Now().Add(9 * time.Hour)))
	drops := f.Device(i).Drops()
	if drops == 0 {
		t.Fatal("nothing will leave the device")
	}
	f.must(f.Run(drops - 1))
	f.must(f.Reach(i, false))
	f.must(f.Run(drops + 1))
	f.must(f.Reach(i, true))
	next := f.Device(i).Due()
	f.must(f.Run(next.Add(time.Minute)))
	if f.Device(i).Due() == next {
		t.Errorf("the contact of %s did not take place", next)
	}
}
