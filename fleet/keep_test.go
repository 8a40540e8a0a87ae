package fleet

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"rollcall/agent/dialect"
	"rollcall/protocol"
)

// someFleet has devices of two models and two habits.
func someFleet(n int) *Fleet {
	models := []*dialect.Model{{Platform: protocol.IOS, Product: "iPhone14,5"}, {Platform: protocol.MacOS, Product: "Mac14,9"}}
	habits := []*dialect.Habits{{}, {NotNow: 500_000}}
	f := &Fleet{devices: make([]device, n+1), wired: n} // the last one has no wire
	for i := range n {
		who := dialect.Who{Number: protocol.Device(i + 1), Seed: uint64(i), UDID: fmt.Sprintf("udid-%d", i), Serial: fmt.Sprintf("ROLLCALL%04d", i)}
		f.devices[i].Device = dialect.NewApple(who, models[i%2], habits[i/2%2])
	}
	return f
}

func TestKeep(t *testing.T) {
	f := someFleet(7)
	var file bytes.Buffer
	if err := f.Keep(&file); err != nil {
		t.Fatal(err)
	}
	got, err := Open(bytes.NewReader(file.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 7 {
		t.Fatalf("Open gave %d devices, want 7", len(got))
	}
	for i, a := range got {
		want := f.devices[i].Device.(*dialect.Apple)
		if a.Who().UDID != want.Who().UDID || a.Model().Product != want.Model().Product || *a.Habits() != *want.Habits() {
			t.Errorf("device %d came back as %+v, %+v, %+v", i, a.Who(), a.Model(), a.Habits())
		}
		before, _ := want.AppendBinary(nil)
		after, _ := a.AppendBinary(nil)
		if !bytes.Equal(before, after) {
			t.Errorf("device %d changed on the way", i)
		}
	}
}

// A file that is cut off anywhere, or of which one bit is wrong, is refused as a whole (HST-094, HST-121).
func TestHST121Kept(t *testing.T) {
	var file bytes.Buffer
	if err := someFleet(3).Keep(&file); err != nil {
		t.Fatal(err)
	}
	for n := range file.Len() {
		if _, err := Open(bytes.NewReader(file.Bytes()[:n])); !errors.Is(err, ErrKept) {
			t.Fatalf("the first %d of %d bytes: %v, want an error that is ErrKept", n, file.Len(), err)
		}
		flipped := bytes.Clone(file.Bytes())
		flipped[n] ^= 1
		if _, err := Open(bytes.NewReader(flipped)); !errors.Is(err, ErrKept) {
			t.Fatalf("a bit flipped in byte %d: %v, want an error that is ErrKept", n, err)
		}
	}
}

func FuzzOpen(f *testing.F) {
	var file bytes.Buffer
	if err := someFleet(2).Keep(&file); err != nil {
		f.Fatal(err)
	}
	f.Add(file.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		devices, err := Open(bytes.NewReader(b))
		if err == nil && len(devices) > len(b) {
			t.Errorf("%d devices in %d bytes", len(devices), len(b))
		}
	})
}
