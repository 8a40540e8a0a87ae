package server

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"rollcall/protocol"
	"rollcall/server/authority"
)

// shownNow is a preview with what is remembered of one.
func shownNow() *Preview {
	p := &Preview{
		After:    authority.Tenant{Kept: 3 * aDay},
		Warnings: []Warning{{"AUTH-23", "2 devices lose all profiles and get none in their place"}},
		Licensed: []Licensed{{"a@example.org", "basic", "basic, intune"}},
	}
	for i := range 300 {
		p.Devices = append(p.Devices, Named{
			Device: protocol.Device(1 + i*i), From: protocol.Office365, To: protocol.Intune, Fate: authority.Moves, Pending: true,
			Before: "AUTH-13", Rule: "AUTH-14", Blocked: "AUTH-30", Settings: uint16(i % 3), Falls: 1<<63 + uint64(i%3),
		})
	}
	return p
}

// TestHST070Remembered: what is kept of a preview is all that a difference is made of, in a few bytes for each device.
func TestHST070Remembered(t *testing.T) {
	for _, want := range []*Preview{shownNow(), {Devices: []Named{}}} {
		b, err := want.remember()
		if err != nil {
			t.Fatal(err)
		}
		got, err := recall(b)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("recalled (-want +got):\n%s", diff)
		}
	}
	p := shownNow()
	small, _ := p.remember()
	for i := range 1000 {
		n := p.Devices[i%300]
		n.Device = p.Devices[len(p.Devices)-1].Device + 1
		p.Devices = append(p.Devices, n)
	}
	large, _ := p.remember()
	if each := float64(len(large)-len(small)) / 1000; each > 4 {
		t.Errorf("a device takes %.1f bytes", each)
	}
}

// FuzzRecall: what is no preview is an error, and what is one is written again the same.
func FuzzRecall(f *testing.F) {
	b, _ := shownNow().remember()
	f.Add(b)
	f.Add([]byte("{}"))
	f.Add([]byte(`{"Kinds":[{}],"Devices":"AQA="}`))
	f.Add([]byte(`{"Kinds":[{}],"Devices":"//////////8BAA=="}`))
	f.Add([]byte(`{"Devices":"AQA="}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := recall(b)
		if err != nil {
			return
		}
		again, err := p.remember()
		if err != nil {
			t.Fatal(err)
		}
		back, err := recall(again)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(p.Devices, back.Devices); diff != "" {
			t.Fatal(diff)
		}
	})
}

// TestHST070Words: a time is told in days, its default too.
func TestHST070Words(t *testing.T) {
	for d, want := range map[time.Duration]string{0: "7 days", 3 * aDay: "3 days"} {
		if got := inDays(d); got != want {
			t.Errorf("inDays(%s) = %q, want %q", d, got, want)
		}
	}
}
