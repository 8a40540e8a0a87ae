package fleet

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/fleet/plan"
	"rollcall/fleet/population"
	"rollcall/fleet/target"
	"rollcall/protocol"
)

// A push service that loses pushes loses its share of them; the rest arrives.
func TestPushLost(t *testing.T) {
	f := stood(t, few+"faults:\n  - {at: 0s, for: 1h, share: 25%, push: lost}\n")
	if _, err := f.play(t.Context(), f.start); err != nil {
		t.Fatal(err)
	}
	const pushes = 4000
	for n := range pushes {
		f.pushed(n%8, "magic")
	}
	c, came := f.Counts(), len(f.mail())
	if int(c.Lost)+came != pushes || c.Lost < pushes/5 || c.Lost > pushes*3/10 {
		t.Errorf("of %d pushes %d were lost and %d came, want a quarter lost", pushes, c.Lost, came)
	}
	if _, err := f.play(t.Context(), f.start.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if f.pushed(0, "magic"); len(f.mail()) != 1 {
		t.Error("a push is lost after the end of the fault")
	}
}

// A strict target refuses every push certificate that it knows, and another topic that is not confirmed.
type strict struct {
	tenant
	known []string
}

func (s *strict) UploadPush(_ context.Context, u target.PushUpload) error {
	switch text := string(u.Certificate); {
	case slices.Contains(s.known, text):
		return &target.Error{Status: 409, Rule: protocol.RuleUpload, Message: "not newer"}
	case strings.HasSuffix(text, "-2") && !u.Confirm:
		return &target.Error{Status: 409, Rule: protocol.RuleOtherTopic, Message: "another topic"}
	default:
		s.known = append(s.known, text)
	}
	return nil
}

func (s *strict) MakeTestPush(_ context.Context, topic string, _ time.Duration) ([]byte, error) {
	return []byte(topic), nil
}

// An upload that is to be refused is: the outcome names the rule, and the topic in use stays. One that is taken ends the run.
func TestAUTH34RefusedUploads(t *testing.T) {
	f := stood(t, few)
	s := &strict{}
	f.target = s
	if err := f.setUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	topic := f.topic
	for c, rule := range map[plan.Certificate]string{plan.NotNewer: "AUTH-34", plan.Expired: "AUTH-34", plan.OtherAppleID: "AUTH-32"} {
		if err := f.failUpload(t.Context(), c); err != nil || !strings.Contains(f.outcome, "Refused by "+rule) || f.topic != topic {
			t.Errorf("%s: %v, %q, topic %s", c, err, f.outcome, f.topic)
		}
	}
	s.known = nil
	if err := f.failUpload(t.Context(), plan.NotNewer); err == nil {
		t.Error("a certificate that was taken is no mistake")
	}
}

// A tenancy remembers its settings.
type tenancy struct {
	tenant
	Tenancy
	settings []target.Settings
}

func (t *tenancy) SetSettings(_ context.Context, s target.Settings) error {
	t.settings = append(t.settings, s)
	return nil
}

func (t *tenancy) Consent(context.Context, string) error { return nil }

// The settings that a plan names are made before the story, and no others.
func TestSettings(t *testing.T) {
	for text, want := range map[string]string{
		"": "[]",
		"tenant: {units: 9, clean_up: 60d, device_limit: 5, gap: {on_coexistence: false, platforms: [ios]}}\n": "9 60 5 false [ios]",
		"tenant: {old_profiles: 3d, records: 90d, apns: {grace: 60d, warnings: [20d, 2d]}}\n":                  "3 90 60 [20 2]",
		"tenant: {cadence: 4h, device_contact: 30d, reach: 5m}\n":                                              "14400 30 300",
	} {
		f := stood(t, few+text)
		target := &tenancy{}
		f.target = target
		if err := f.setUp(t.Context()); err != nil {
			t.Fatal(err)
		}
		got := fmt.Sprint(target.settings)
		if len(target.settings) > 0 {
			s := target.settings[0]
			if s.Units != nil {
				got = fmt.Sprint(*s.Units, *s.CleanUpDays, *s.DeviceLimit, *s.GapOnCoexistence, s.GapPlatforms)
			} else if s.Cadence != nil {
				got = fmt.Sprint(int64(*s.Cadence), *s.CountedDays, int64(*s.Reach))
			} else {
				got = fmt.Sprint(*s.OldProfileDays, *s.RecordDays, *s.PushGraceDays, s.PushWarningDays)
			}
		}
		if got != want {
			t.Errorf("%q: the settings are %s, want %s", text, got, want)
		}
	}
}

// Whoever unenrols and enrols again does both in one go, and only who is enrolled.
func TestAUTH44Reenrol(t *testing.T) {
	f := stood(t, few+"  - {at: 3h, reenrol: {of: all, over: 1h}}\n")
	f.queue = nil
	if _, err := f.play(t.Context(), f.start.Add(3*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if len(f.queue) != 8 {
		t.Fatalf("%d moments, want one for each device", len(f.queue))
	}
	jobs := map[int]job{}
	for len(f.queue) > 0 {
		m := f.queue.pop()
		if m.kind != reenrols || m.at < f.start.Add(3*time.Hour) || m.at >= f.start.Add(4*time.Hour) {
			t.Errorf("%+v is no enrolment anew within the hour", m)
		}
		f.take(m.at, m, jobs)
	}
	if len(jobs) != 0 { // nobody is enrolled here
		t.Errorf("%d devices that are not enrolled enrol again", len(jobs))
	}
}

// All devices of a live run have one clock.
func TestClocksAreRehearsed(t *testing.T) {
	p, err := plan.Parse("clocks.yaml", []byte("until: 1d\npopulation: {devices: 4, mix: {ios: 100}, clocks: {share: 50%, off: 1d}}\ntimeline:\n  - {at: 0s, enrol: {}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = New(t.Context(), Config{Plan: p, Population: population.New(p), URL: "https://127.0.0.1", Target: &tenant{}, Server: &powered{}, Push: &tokens{}, Clock: Driven(Begin), Stepper: still{}})
	if err == nil || !strings.Contains(err.Error(), "clocks.yaml:2:43: population.clocks: ") {
		t.Errorf("%v, want a refusal that names the line", err)
	}
	ahead, behind, right := 0, 0, 0
	for i := range 4000 {
		switch off := DrawsOf(p).Clock(i); {
		case off == plan.Day:
			ahead++
		case off == -plan.Day:
			behind++
		case off == 0:
			right++
		default:
			t.Fatalf("a clock is off by %s", off)
		}
	}
	if ahead < 900 || behind < 900 || right < 1800 || right > 2200 {
		t.Errorf("%d clocks are ahead, %d behind and %d right", ahead, behind, right)
	}
}
