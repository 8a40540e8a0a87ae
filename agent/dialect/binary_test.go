package dialect

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"

	"rollcall/agent"
	"rollcall/certs"
	"rollcall/protocol"
	"rollcall/protocol/apple"
)

func TestBinaryKeepsEverything(t *testing.T) {
	s := enrolled(t, iPhone, plainHabits)
	s.command("1", mail("com.example.mail", "Mail"))
	s.command("2", apple.InstallProfile{Payload: apple.EncodeProfile(apple.NewProfile("com.example.ca", "CA", protocol.Certificate))})
	_, before := s.command("3", apple.ProfileList{})
	_, certificates := s.command("4", apple.CertificateList{})
	who, identity := s.d.Who(), s.d.Identity()
	tp, token, magic := s.d.Push()
	s.reborn()
	_, after := s.command("5", apple.ProfileList{})
	_, again := s.command("6", apple.CertificateList{})
	if fmt.Sprint(before) != fmt.Sprint(after) || fmt.Sprint(certificates) != fmt.Sprint(again) {
		t.Errorf("lists %+v and %+v", before, after)
	}
	tp2, token2, magic2 := s.d.Push()
	if s.d.Who() != who || s.d.Identity() != identity || tp != tp2 || !bytes.Equal(token, token2) || magic != magic2 {
		t.Errorf("who %+v, identity %+v", s.d.Who(), s.d.Identity())
	}
	if _, err := s.d.Signer(Current); err != nil {
		t.Error(err)
	}
}

// A device that has profiles is kept before its good-bye goes out, as one that has left: else nobody would tell the server.
func TestBinaryKeepsOneThatLeaves(t *testing.T) {
	s := enrolled(t, iPhone, plainHabits)
	s.command("1", mail("com.example.mail", "Mail"))
	var out Act
	if !s.d.Begin(s.now, UserRemoves, &out) || out.Request.Step != CheckOut {
		t.Fatalf("%+v", out)
	}
	b, err := s.d.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	var d Apple
	if err := d.UnmarshalBinary(b); err != nil || d.Phase() != agent.Removed || len(d.Profiles()) != 0 {
		t.Errorf("phase %v, %d profiles, %v", d.Phase(), len(d.Profiles()), err)
	}
}

func TestBinaryRefuses(t *testing.T) {
	s := enrolled(t, iPhone, plainHabits)
	s.command("1", mail("com.example.mail", "Mail"))
	b, err := s.d.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	for n := range b { // HST-121: every shorter file
		var d Apple
		if err := d.UnmarshalBinary(b[:n]); !errors.Is(err, protocol.ErrMalformed) {
			t.Fatalf("%d of %d bytes: %v", n, len(b), err)
		}
	}
	var d Apple
	if err := d.UnmarshalBinary(append(b[:len(b):len(b)], 0)); err == nil {
		t.Error("one byte too many was taken")
	}
	if err := d.UnmarshalBinary(append([]byte{version + 1}, b[1:]...)); err == nil {
		t.Error("another version was taken")
	}
	s.d.who = "only a UDID"
	if b, err = s.d.AppendBinary(nil); err != nil {
		t.Fatal(err)
	}
	if err := d.UnmarshalBinary(b); !errors.Is(err, protocol.ErrMalformed) {
		t.Errorf("a device without names: %v", err)
	}
}

// seeds are kept devices in three states: at rest, with a report to repeat, in a renewal. They are small, since
// the fuzzer shortens what it finds byte by byte: no certificates, short names.
func seeds(t testing.TB) (list [][]byte) {
	short := func(p *apple.Profile) {
		p.Payloads, p.DisplayName = p.Payloads[:2], ""
		m := p.Payloads[0].MDM
		m.ServerURL, m.CheckInURL, m.Topic = "https://s", "", "com.apple.mgmt.x"
	}
	keep := func(s *scene) {
		s.d.self, s.d.who = newResting(s.d.self.uuids(), identity{s.d.self.identity().key, []byte("c")}), "u"+separator+separator+separator
		if s.d.task != nil && s.d.incoming != nil {
			s.d.incoming.cert = []byte("c")
		}
		b, err := s.d.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, b)
	}
	s := enrolled(t, iPhone, plainHabits, short)
	keep(s)
	s = enrolled(t, iPhone, plainHabits, short)
	s.command("1", mail("a", "A"))
	s.wake()
	s.give("2", apple.RestartDevice{})
	s.lost()
	keep(s)
	s = enrolled(t, iPhone, plainHabits, short)
	s.wake()
	s.answer(200, apple.EncodeCommand(nil, "3", apple.InstallProfile{Payload: apple.EncodeProfile(s.profile(short))}))
	s.issue()
	s.lost()
	keep(s)
	return list
}

func FuzzUnmarshalBinary(f *testing.F) {
	for _, b := range seeds(f) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var d, e Apple
		if err := d.UnmarshalBinary(b); err != nil {
			if !errors.Is(err, protocol.ErrMalformed) {
				t.Fatalf("error %v does not wrap ErrMalformed", err)
			}
			return
		}
		once, err := d.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := e.UnmarshalBinary(once); err != nil {
			t.Fatal(err)
		}
		if twice, _ := e.AppendBinary(nil); !bytes.Equal(once, twice) {
			t.Fatal("decode of encode differs")
		}
	})
}

// TestHST121 changes bytes of kept devices: whatever is still taken for a device can live with what it then is.
func TestHST121(t *testing.T) {
	commands := [][]byte{nil}
	for _, c := range []apple.Command{
		apple.ProfileList{},
		apple.CertificateList{},
		mail("a", "A"),
		apple.DeviceInformation{Queries: []string{"UDID", "WiFiMAC"}},
		apple.RemoveProfile{Identifier: "a"},
	} {
		commands = append(commands, apple.EncodeCommand(nil, "9", c))
	}
	seal := newSeal(t)
	news := notice(t, seal, protocol.Notice{Epoch: 1 << 31, ChangedAt: 1})
	chance, taken := rand.New(rand.NewPCG(1, 1)), 0
	for _, seed := range seeds(t) {
		for range 1000 {
			b := bytes.Clone(seed)
			for range 1 + chance.IntN(3) {
				b[chance.IntN(len(b))] = byte(chance.Uint32())
			}
			var d Apple
			if d.UnmarshalBinary(b) != nil {
				continue
			}
			taken++
			d.Share(iPhone, plainHabits)
			var act Act
			d.Identity()
			d.Signer(Current)
			d.Profiles()
			d.Begin(noon, Pushed, &act)
			for _, c := range commands {
				d.Answer(noon, &Response{Status: 200, Body: c}, &act)
			}
			d.Answer(noon, &Response{Status: 503, Notice: news}, &act)
			d.Begin(noon, UserRemoves, &act)
		}
	}
	if taken < 100 {
		t.Errorf("only %d devices were taken: the test says little", taken)
	}
}

// asleep makes n enrolled devices with an identity each, five profiles in common and the UUIDs of the
// enrolment profile their own.
func asleep(t testing.TB, n int) []*Apple {
	ca, err := authority()
	if err != nil {
		t.Fatal(err)
	}
	key, err := certs.GenerateKey(certs.P256)
	if err != nil {
		t.Fatal(err)
	}
	c, err := ca.Issue(certs.IssueRequest{Public: key.Public(), Handle: "0123456789abcdef0123456789abcdef", Now: noon.Time()})
	if err != nil {
		t.Fatal(err)
	}
	builder := &scene{ca: ca}
	raw := apple.EncodeProfile(builder.profile())
	var profiles [][]byte
	for i := range 5 {
		profiles = append(profiles, apple.EncodeCommand(nil, fmt.Sprint(i), mail(fmt.Sprintf("com.example.profile.%d", i), "Name")))
	}
	devices := make([]*Apple, n)
	for i := range devices {
		d := NewApple(Who{
			Number: protocol.Device(i + 1), Seed: 1, UDID: fmt.Sprintf("00008101-%016X", i), Serial: fmt.Sprintf("RC%010d", i), Name: fmt.Sprintf("iPhone %d", i),
		}, iPhone, plainHabits)
		own := fmt.Appendf(nil, "8000-%011d", i) // each device's document has other UUIDs
		var act Act
		if err := d.Enrol(noon, Start{Profile: bytes.ReplaceAll(raw, []byte("AAAAAAAA-0000-4000-8000-00000000000"), append([]byte("AAAAAAAA-0000-4000-"), own...))}, &act); err != nil {
			t.Fatal(err)
		}
		d.GotIdentity(noon, key, c, nil, &act) // its own copy of key and certificate
		d.Answer(noon, &Response{Status: 200}, &act)
		d.Answer(noon, &Response{Status: 200}, &act)
		d.Begin(noon, Pushed, &act)
		for _, p := range profiles {
			d.Answer(noon, &Response{Status: 200, Body: p}, &act)
		}
		d.Answer(noon, &Response{Status: 200}, &act)
		if act.Kind != Rest || act.Err != nil || len(d.Profiles()) != 6 {
			t.Fatalf("device %d: %+v, %d profiles", i, act, len(d.Profiles()))
		}
		devices[i] = d
	}
	return devices
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func measure(t testing.TB, n int) uint64 {
	before := heap()
	devices := asleep(t, n)
	after := heap()
	runtime.KeepAlive(devices)
	return (after - before) / uint64(n)
}

// TestAsleepDeviceIsSmall holds the budget of a kilobyte with a small fleet, in which what the test itself takes counts too;
// BenchmarkAsleepDevice measures a large one.
func TestAsleepDeviceIsSmall(t *testing.T) {
	if got := measure(t, 500); got > 1100 {
		t.Errorf("an asleep device takes %d bytes, want at most 1100", got)
	} else {
		t.Logf("an asleep device takes %d bytes, key, certificate and five profiles included", got)
	}
}

// BenchmarkAsleepDevice makes 100,000 asleep devices whatever b.N is: run it with -benchtime 1x.
func BenchmarkAsleepDevice(b *testing.B) {
	const n = 100_000
	for b.Loop() {
		b.ReportMetric(float64(measure(b, n)), "B/device")
	}
}

// BenchmarkConversation is one conversation without network: woken, Idle, one command, its report.
func BenchmarkConversation(b *testing.B) {
	d := asleep(b, 1)[0]
	command := apple.EncodeCommand(nil, "A", apple.DeviceInformation{Queries: []string{"UDID", "OSVersion", "SerialNumber"}})
	var act Act
	b.ReportAllocs()
	for b.Loop() {
		d.Begin(noon, Pushed, &act)
		d.Answer(noon, &Response{Status: 200, Body: command}, &act)
		d.Answer(noon, &Response{Status: 200}, &act)
	}
}
