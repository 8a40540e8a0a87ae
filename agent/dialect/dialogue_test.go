package dialect

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"testing"

	"rollcall/protocol"
	"rollcall/protocol/apple"
)

var update = flag.Bool("update", false, "rewrite testdata/*.dialogue; read the diff before you keep it")

// TestDialogue writes down all that a device says, from its enrolment to its removal.
func TestDialogue(t *testing.T) {
	for _, tt := range []struct {
		name   string
		m      *Model
		start  Start
		habits Habits
	}{
		{"iphone", iPhone, Start{URL: "https://mdm.example/enrol"}, Habits{}},
		{"mac", mac13, Start{URL: "https://mdm.example/ade", ADE: true, Awaiting: true}, Habits{Legacy: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newScene(t, tt.m, &tt.habits)
			var said bytes.Buffer
			hear := func() {
				switch r := s.act.Request; s.act.Kind {
				case Send:
					fmt.Fprintf(&said, "→ %s: %s %s\n  %s; identity %d, signature %d, repeat %v\n%s\n", r.Step, r.Method, r.URL, r.ContentType, r.Identity, r.Sign, r.Repeat, r.Body)
				case GetIdentity:
					fmt.Fprintf(&said, "→ SCEP: %s, subject %s\n", s.act.SCEP.URL, s.act.SCEP.Subject)
				default:
					fmt.Fprintf(&said, "→ rests (%v), %s\n", s.act.Err, s.d.Phase())
				}
			}
			say := func(c apple.Command) {
				uuid := fmt.Sprintf("00000000-0000-4000-8000-%012d", said.Len())
				fmt.Fprintf(&said, "← %s\n", c.RequestType())
				s.answer(200, apple.EncodeCommand(nil, uuid, c))
				hear()
			}
			nothing := func() {
				fmt.Fprintln(&said, "← 200")
				s.answer(200, nil)
				hear()
			}
			if err := s.d.Enrol(s.now, tt.start, &s.act); err != nil {
				t.Fatal(err)
			}
			hear()
			fmt.Fprintln(&said, "← enrolment profile")
			s.answer(200, apple.EncodeProfile(s.profile(func(p *apple.Profile) { p.Payloads[0].MDM.SignMessage = tt.habits.Legacy })))
			hear()
			s.issue()
			hear()
			nothing()
			nothing()
			fmt.Fprintln(&said, "← push")
			s.wake()
			hear()
			for _, c := range []apple.Command{
				mail("com.example.mail", "Mail"),
				apple.ProfileList{},
				apple.SecurityInfo{},
				apple.InstalledApplicationList{},
				apple.DeviceInformation{Queries: []string{"UDID", "OSVersion", "BatteryLevel", "DeviceCapacity", "IsSupervised", "Unheard"}},
				apple.DeviceLock{Message: "Lost"},
				apple.Unknown{Name: "Dance"},
				apple.DeviceConfigured{},
				apple.RemoveProfile{Identifier: "com.example.none"},
			} {
				say(c)
			}
			nothing()
			fmt.Fprintln(&said, "← push, to a locked device")
			s.d.Lock(s.now + 1)
			s.wake()
			hear()
			say(apple.InstallProfile{Payload: apple.EncodeProfile(apple.NewProfile("com.example.wifi", "Wi-Fi", protocol.WiFi))})
			nothing()
			s.due()
			hear()
			say(apple.RemoveProfile{Identifier: "com.example.mdm"})
			nothing()
			nothing()
			golden := "testdata/" + tt.name + ".dialogue"
			if *update {
				if err := os.WriteFile(golden, said.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(said.Bytes(), want) {
				t.Errorf("%s changed; got:\n%s", golden, said.Bytes())
			}
		})
	}
}
