package agent

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
	"unsafe"

	"rollcall/protocol"
)

const start = protocol.Time(1_800_000_000_000_000)

// step calls Step and returns the actions' kinds and the verb of a Send, as one word each.
func step(d *Device, now protocol.Time, ev Event) []string {
	var out Actions
	d.Step(now, &ev, &out)
	var said []string
	for _, a := range out.List {
		switch a.Kind {
		case Send:
			said = append(said, a.CheckIn.Verb.String())
		case Execute:
			said = append(said, "execute")
		case Drop:
			said = append(said, "drop")
		case Forget:
			said = append(said, "forget")
		}
	}
	return said
}

func expect(t *testing.T, got []string, want ...string) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("actions %q, want %q", got, want)
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("actions %q, want %q", got, want)
		}
	}
}

func enrolled(t *testing.T, p protocol.Platform) *Device {
	t.Helper()
	d := NewDevice(7, p, 1)
	expect(t, step(&d, start, Event{Kind: Enrol, CheckOut: true}), "enrol")
	expect(t, step(&d, start, Event{Kind: Answered}), "ready")
	expect(t, step(&d, start, Event{Kind: Answered}))
	if d.Phase() != Enrolled {
		t.Fatalf("phase %s after the first Ready, want enrolled", d.Phase())
	}
	return &d
}

func work(id byte) Event {
	return Event{Kind: Answered, Reply: protocol.Reply{Kind: protocol.Work, Command: protocol.Command{ID: protocol.CommandID{id}}}}
}

func TestConversation(t *testing.T) {
	d := enrolled(t, protocol.IOS)
	if d.Due() != 0 {
		t.Errorf("an enrolled Apple device is due at %s, want never: it does not poll", d.Due())
	}
	expect(t, step(d, start+1, Event{Kind: Woken}), "ask")
	expect(t, step(d, start+1, work(1)), "execute")
	expect(t, step(d, start+1, Event{Kind: Executed, Status: protocol.Acknowledged}), "report")
	expect(t, step(d, start+1, work(2)), "execute")
	expect(t, step(d, start+1, Event{Kind: Executed, Status: protocol.Failed}), "report")
	expect(t, step(d, start+1, Event{Kind: Answered}))
	if !d.Resting() || d.Owes() {
		t.Error("the conversation has not ended")
	}
	expect(t, step(d, start+2, Event{Kind: Answered}))                                // an answer to nothing
	expect(t, step(d, start+2, Event{Kind: Executed, Status: protocol.Acknowledged})) // and a command that nobody gave
	expect(t, step(d, start+2, Event{Kind: Tick}))
}

func TestSchedule(t *testing.T) {
	d := enrolled(t, protocol.Windows)
	now := start
	for i := range 5 { // every 3 min for 15 min
		if got := d.Due().Sub(now); got != 3*time.Minute {
			t.Fatalf("contact %d due after %s, want 3m", i, got)
		}
		now = d.Due()
		expect(t, step(d, now-1, Event{Kind: Tick})) // too early: nothing
		expect(t, step(d, now, Event{Kind: Tick}), "ask")
		expect(t, step(d, now, Event{Kind: Answered}))
	}
	for now.Sub(start) < 2*time.Hour+15*time.Minute {
		if got := d.Due().Sub(now); got != 15*time.Minute {
			t.Fatalf("%s after enrolment the next contact is due after %s, want 15m", now.Sub(start), got)
		}
		now = d.Due()
		expect(t, step(d, now, Event{Kind: Tick}), "ask")
		expect(t, step(d, now, Event{Kind: Answered}))
	}
	first := d.Due().Sub(now)
	if first <= 0 || first > 8*time.Hour {
		t.Errorf("first steady contact after %s, want within 8h", first)
	}
	now = d.Due()
	expect(t, step(d, now, Event{Kind: Tick}), "ask")
	expect(t, step(d, now, Event{Kind: Answered}))
	if got := d.Due().Sub(now); got != 8*time.Hour {
		t.Errorf("second steady contact after %s, want 8h", got)
	}
}

// Devices that poll, and that one moment brought together, do not come together again an interval later; each keeps its place.
func TestScheduleSpreadsTheHerd(t *testing.T) {
	const devices, slots = 4800, 48 // of ten minutes
	var due [slots]int
	now := start.Add(24 * time.Hour)
	for i := range devices {
		d := NewDevice(protocol.Device(i+1), protocol.Windows, 7)
		d.phase, d.enrolledAt = Enrolled, start
		expect(t, step(&d, now, Event{Kind: Woken}), "ask")
		expect(t, step(&d, now, Event{Kind: Answered}))
		at := d.Due()
		due[(at.Sub(now)-1)/(10*time.Minute)]++
		expect(t, step(&d, at-1, Event{Kind: Woken}), "ask")
		expect(t, step(&d, at-1, Event{Kind: Answered}))
		if d.Due() != at {
			t.Fatalf("device %d left its place: %s, want %s", i, d.Due(), at)
		}
	}
	for at, n := range due {
		if mean := devices / slots; n < mean*2/3 || n > mean*4/3 {
			t.Errorf("%d of %d devices come in the ten minutes after %s, want about %d", n, devices, time.Duration(at)*10*time.Minute, mean)
		}
	}
}

func TestBackOff(t *testing.T) {
	d := enrolled(t, protocol.MacOS)
	now := start
	expect(t, step(d, now, Event{Kind: Woken}), "ask")
	want := time.Minute
	for range 10 {
		expect(t, step(d, now, Event{Kind: Failed}))
		got := d.Due().Sub(now)
		if got > want || got < want*3/4 {
			t.Errorf("wait %s, want %s less at most a quarter", got, want)
		}
		now, want = d.Due(), min(2*want, time.Hour)
		expect(t, step(d, now, Event{Kind: Tick}), "ask")
	}
	expect(t, step(d, now, Event{Kind: Answered}))
	expect(t, step(d, now, Event{Kind: Woken}), "ask")
	expect(t, step(d, now, Event{Kind: Failed}))
	if got := d.Due().Sub(now); got > time.Minute {
		t.Errorf("after a good contact the wait begins with %s, want at most 1m", got)
	}

	for _, tt := range []struct{ asked, least, most time.Duration }{
		{15 * time.Minute, 15 * time.Minute, 17 * time.Minute},
		{1e9 * time.Second, MaxWait, MaxWait + time.Hour}, // HST-120
	} {
		expect(t, step(d, now, Event{Kind: Woken}), "ask")
		expect(t, step(d, now, Event{Kind: Failed, RetryAfter: tt.asked}))
		if got := d.Due().Sub(now); got < tt.least || got > tt.most {
			t.Errorf("Retry-After %s: wait %s, want from %s to %s", tt.asked, got, tt.least, tt.most)
		}
	}
}

func TestAPL041ReadyIsRepeatedUntilConfirmed(t *testing.T) {
	d := NewDevice(7, protocol.IOS, 1)
	now := start
	expect(t, step(&d, now, Event{Kind: Enrol}), "enrol")
	expect(t, step(&d, now, Event{Kind: Answered}), "ready")
	for range 3 {
		expect(t, step(&d, now, Event{Kind: Failed}))
		if d.Phase() != Enrolling || d.Due() == 0 {
			t.Fatalf("phase %s, due %s; want enrolling and a time", d.Phase(), d.Due())
		}
		expect(t, step(&d, now, Event{Kind: Woken})) // not before it is enrolled
		now = d.Due()
		expect(t, step(&d, now, Event{Kind: Tick}), "ready")
	}
	expect(t, step(&d, now, Event{Kind: Answered}))
	if d.Phase() != Enrolled {
		t.Errorf("phase %s, want enrolled", d.Phase())
	}
	expect(t, step(&d, now, Event{Kind: NewToken}))
	expect(t, step(&d, d.Due(), Event{Kind: Tick}), "ready")
	expect(t, step(&d, now, Event{Kind: Answered}))
	if d.Owes() || d.Due() != 0 {
		t.Error("the new token is still owed after its 2xx")
	}
}

func TestAPL058ReturnsByItselfOnlyIfNotNowWasLast(t *testing.T) {
	d := enrolled(t, protocol.IOS)
	unlocks := start.Add(time.Hour)
	expect(t, step(d, start, Event{Kind: Woken}), "ask")
	expect(t, step(d, start, work(1)), "execute")
	expect(t, step(d, start, Event{Kind: Executed, Status: protocol.NotNow, Until: unlocks}), "report")
	expect(t, step(d, start, Event{Kind: Answered}))
	if d.Due() != unlocks {
		t.Errorf("NotNow last: due %s, want %s", d.Due(), unlocks)
	}
	expect(t, step(d, unlocks, Event{Kind: Tick}), "ask")
	expect(t, step(d, unlocks, work(1)), "execute")
	expect(t, step(d, unlocks, Event{Kind: Executed, Status: protocol.NotNow, Until: unlocks.Add(time.Hour)}), "report")
	expect(t, step(d, unlocks, work(2)), "execute")
	expect(t, step(d, unlocks, Event{Kind: Executed, Status: protocol.Acknowledged}), "report")
	expect(t, step(d, unlocks, Event{Kind: Answered}))
	if d.Due() != 0 {
		t.Errorf("NotNow was not the last word, yet the device is due %s", d.Due())
	}
	expect(t, step(d, unlocks, Event{Kind: Woken}), "ask")
	expect(t, step(d, unlocks, work(1)), "execute")
	expect(t, step(d, unlocks, Event{Kind: Executed, Status: protocol.NotNow, Until: unlocks.Add(time.Hour)}), "report")
	expect(t, step(d, unlocks, Event{Kind: Answered}))
	expect(t, step(d, unlocks, Event{Kind: Woken}), "ask")
	expect(t, step(d, unlocks, Event{Kind: Answered}))
	if d.Due() != 0 {
		t.Errorf("the last word was Idle, yet the device is due %s", d.Due())
	}
}

func TestReportStaysOwed(t *testing.T) {
	d := enrolled(t, protocol.IOS)
	now := start
	expect(t, step(d, now, Event{Kind: Woken}), "ask")
	expect(t, step(d, now, work(9)), "execute")
	expect(t, step(d, now, Event{Kind: Executed, Status: protocol.Acknowledged}), "report")
	expect(t, step(d, now, Event{Kind: Failed}))
	expect(t, step(d, d.Due(), Event{Kind: Tick}), "report")
	expect(t, step(d, now, Event{Kind: Refused}))
	var out Actions
	d.Step(now, &Event{Kind: Woken}, &out) // a push is no reason to forget it either
	if c := out.List[0].CheckIn; c.Verb != protocol.Report || c.Command != (protocol.CommandID{9}) || c.Status != protocol.Acknowledged {
		t.Errorf("said %+v, want the report of command 9", c)
	}
	expect(t, step(d, now, Event{Kind: Answered}))
	if d.Owes() {
		t.Error("the report is still owed after its answer")
	}
}

func TestThen(t *testing.T) {
	for _, tt := range []struct {
		name  string
		then  Then
		want  []string
		phase Phase
		off   bool
	}{
		{"wipe", Wipe, []string{"forget"}, Wiped, false},
		{"leave", Leave, []string{"leave"}, Enrolled, false},
		{"reboot", Reboot, nil, Enrolled, false},
		{"halt", Halt, nil, Enrolled, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := enrolled(t, protocol.IOS)
			expect(t, step(d, start, Event{Kind: Woken}), "ask")
			expect(t, step(d, start, work(1)), "execute")
			expect(t, step(d, start, Event{Kind: Executed, Status: protocol.Acknowledged, Then: tt.then}), "report")
			if d.Phase() != Enrolled || d.Off() {
				t.Fatal("acted before the report was delivered")
			}
			expect(t, step(d, start, work(2)), tt.want...) // the next command is not taken
			if d.Phase() != tt.phase || d.Off() != tt.off {
				t.Errorf("phase %s, off %v; want %s, %v", d.Phase(), d.Off(), tt.phase, tt.off)
			}
		})
	}
	t.Run("wipe unheard", func(t *testing.T) {
		d := enrolled(t, protocol.IOS)
		step(d, start, Event{Kind: Woken})
		step(d, start, work(1))
		step(d, start, Event{Kind: Executed, Status: protocol.Acknowledged, Then: Wipe})
		expect(t, step(d, start, Event{Kind: Failed}), "forget")
		if d.Phase() != Wiped {
			t.Errorf("phase %s, want wiped: the report is sent once", d.Phase())
		}
	})
	t.Run("off", func(t *testing.T) {
		d := enrolled(t, protocol.IOS)
		step(d, start, Event{Kind: Woken})
		step(d, start, work(1))
		step(d, start, Event{Kind: Executed, Status: protocol.Acknowledged, Then: Halt})
		step(d, start, Event{Kind: Answered})
		expect(t, step(d, start, Event{Kind: Woken}))
		step(d, start, Event{Kind: PowerOn})
		expect(t, step(d, start, Event{Kind: Woken}), "ask")
	})
}

func TestAPL036LeavesOnce(t *testing.T) {
	for _, answer := range []EventKind{Answered, Failed, Refused} {
		d := enrolled(t, protocol.IOS)
		expect(t, step(d, start, Event{Kind: Unenrol, CheckOut: true}), "leave")
		expect(t, step(d, start, Event{Kind: answer}), "forget")
		if d.Phase() != Removed || d.Due() != 0 {
			t.Errorf("phase %s, due %s after CheckOut's answer %d; want removed, never", d.Phase(), d.Due(), answer)
		}
	}
	d := enrolled(t, protocol.IOS)
	d.flags &^= checksOut
	expect(t, step(d, start, Event{Kind: Unenrol, CheckOut: true}), "forget") // none without the flag
}

func TestRenewal(t *testing.T) {
	begin := func(t *testing.T) *Device {
		d := enrolled(t, protocol.IOS)
		expect(t, step(d, start, Event{Kind: Woken}), "ask")
		expect(t, step(d, start, work(5)), "execute")
		expect(t, step(d, start, Event{Kind: Enrol, CheckOut: true}), "enrol")
		return d
	}
	t.Run("taken", func(t *testing.T) {
		d := begin(t)
		expect(t, step(d, start, Event{Kind: Answered}), "ready")
		expect(t, step(d, start, Event{Kind: Answered}), "report")
		expect(t, step(d, start, Event{Kind: Answered}))
		if d.Phase() != Enrolled || d.Owes() {
			t.Errorf("phase %s, owes %v; want enrolled and nothing", d.Phase(), d.Owes())
		}
	})
	t.Run("HST-034 answer lost", func(t *testing.T) {
		d := begin(t)
		expect(t, step(d, start, Event{Kind: Failed}))
		expect(t, step(d, d.Due(), Event{Kind: Tick}), "enrol")
		expect(t, step(d, start, Event{Kind: Answered}), "ready")
		expect(t, step(d, start, Event{Kind: Failed}))
		expect(t, step(d, d.Due(), Event{Kind: Tick}), "ready")
		expect(t, step(d, start, Event{Kind: Answered}), "report")
		expect(t, step(d, start, Event{Kind: Answered}))
	})
	t.Run("refused", func(t *testing.T) {
		d := begin(t)
		var out Actions
		d.Step(start, &Event{Kind: Refused}, &out)
		if c := out.List[0].CheckIn; c.Verb != protocol.Report || c.Status != protocol.Failed || d.Phase() != Enrolled {
			t.Errorf("said %+v in phase %s, want a report of failure, still enrolled", c, d.Phase())
		}
	})
}

func TestEnrolmentFails(t *testing.T) {
	for _, k := range []EventKind{Failed, Refused} {
		d := NewDevice(1, protocol.IOS, 1)
		expect(t, step(&d, start, Event{Kind: Enrol}), "enrol")
		expect(t, step(&d, start, Event{Kind: k}), "forget")
		if d.Phase() != New || d.Due() != 0 {
			t.Errorf("phase %s, due %s; want new, never: the user tries again, not the device", d.Phase(), d.Due())
		}
	}
	d := enrolled(t, protocol.IOS)
	expect(t, step(d, start, Event{Kind: Enrol})) // APL-004: not a second time
}

func TestHST057OnlyAHigherEpoch(t *testing.T) {
	d := enrolled(t, protocol.Windows)
	at := start.Add(time.Hour)
	for _, tt := range []struct {
		name    string
		epoch   uint32
		changed protocol.Time
		want    uint32
		until   protocol.Time // of a profile that came just before
	}{
		{"first", 3, at - 1, 3, at.Add(Grace) - 1},
		{"replayed", 3, at + 5, 3, 0},
		{"lower", 2, at + 5, 3, 0},
		{"none", 0, 0, 3, 0},
		{"from the future", 4, at.Add(1000 * time.Hour), 4, at.Add(Grace)},
	} {
		d.Install(Profile{Name: 1})
		step(d, at, Event{Kind: Woken})
		step(d, at, Event{Kind: Answered, Reply: protocol.Reply{Notice: protocol.Notice{Epoch: tt.epoch, ChangedAt: tt.changed}}})
		if until := d.Profiles()[0].Until; d.Epoch() != tt.want || until != tt.until {
			t.Errorf("%s: epoch %d, profile until %s; want %d, %s", tt.name, d.Epoch(), until, tt.want, tt.until)
		}
	}
}

// TestAUTH27Setting: old profiles stay as long as the device was told, where the tenant has set another time.
func TestAUTH27Setting(t *testing.T) {
	d := enrolled(t, protocol.IOS)
	changed := start.Add(time.Hour)
	d.Install(Profile{Name: 1, Content: 1, Family: protocol.Email})
	step(d, changed, Event{Kind: Woken})
	step(d, changed, Event{Kind: Refused, Notice: protocol.Notice{Epoch: 2, ChangedAt: changed, Rule: protocol.RuleSevenDays, Kept: 3 * 24 * time.Hour}})
	if want := changed.Add(3 * 24 * time.Hour); d.Drops() != want {
		t.Errorf("they leave at %s, want %s", d.Drops(), want)
	}
}

func TestAUTH27OldProfilesGoAfterSevenDays(t *testing.T) {
	d := enrolled(t, protocol.IOS)
	changed := start.Add(time.Hour)
	d.Install(Profile{Name: 1, Content: 1, Family: protocol.Email})
	d.Install(Profile{Name: 2, Content: 2, Family: protocol.Configuration})
	step(d, changed, Event{Kind: Woken})
	step(d, changed, Event{Kind: Refused, Notice: protocol.Notice{Epoch: 2, ChangedAt: changed}}) // a refused device knows too
	d.Install(Profile{Name: 2, Content: 3, Family: protocol.Configuration})                       // a namesake overwrites (AUTH-26)
	d.next = 0
	if want := changed.Add(Grace); d.Due() != want {
		t.Fatalf("due %s, want %s", d.Due(), want)
	}
	expect(t, step(d, changed.Add(Grace)-1, Event{Kind: Tick}))
	expect(t, step(d, changed.Add(Grace), Event{Kind: Tick}), "drop")
	if p := d.Profiles(); len(p) != 1 || p[0].Content != 3 {
		t.Errorf("left: %+v, want the new authority's alone", p)
	}

	t.Run("learns late", func(t *testing.T) {
		d := enrolled(t, protocol.IOS)
		d.Install(Profile{Name: 1})
		late := start.Add(30 * 24 * time.Hour)
		step(d, late, Event{Kind: Woken})
		expect(t, step(d, late, Event{Kind: Answered, Reply: protocol.Reply{Notice: protocol.Notice{Epoch: 1, ChangedAt: start + 1}}}), "drop")
	})
	t.Run("two changes", func(t *testing.T) { // each takes what came before it, and later ones give no respite
		d := enrolled(t, protocol.IOS)
		hear := func(n protocol.Notice) {
			step(d, n.ChangedAt, Event{Kind: Woken})
			step(d, n.ChangedAt, Event{Kind: Answered, Reply: protocol.Reply{Notice: n}})
		}
		first, second := start.Add(time.Hour), start.Add(72*time.Hour)
		d.Install(Profile{Name: 1})
		hear(protocol.Notice{Epoch: 2, ChangedAt: first})
		d.Install(Profile{Name: 2})
		hear(protocol.Notice{Epoch: 3, ChangedAt: second})
		expect(t, step(d, first.Add(Grace), Event{Kind: Tick}), "drop")
		if due := d.Due(); len(d.Profiles()) != 1 || due != second.Add(Grace) {
			t.Errorf("left: %+v, due %s; want the second profile, %s", d.Profiles(), due, second.Add(Grace))
		}
		expect(t, step(d, second.Add(Grace), Event{Kind: Tick}), "drop")
		if due := d.Due(); due != 0 {
			t.Errorf("due %s with nothing left to drop", due)
		}
	})
	t.Run("off the network", func(t *testing.T) {
		d := enrolled(t, protocol.Android) // which polls: it would try to talk
		changed := start.Add(time.Hour)
		d.Install(Profile{Name: 1})
		step(d, changed, Event{Kind: Woken})
		step(d, changed, Event{Kind: Answered, Reply: protocol.Reply{Notice: protocol.Notice{Epoch: 2, ChangedAt: changed}}})
		var out Actions
		next := d.next
		if d.Expire(changed.Add(Grace)-1, &out); len(out.List) != 0 || d.Drops() != changed.Add(Grace) {
			t.Errorf("a moment before: %+v, and due %s", out.List, d.Drops())
		}
		if d.Expire(changed.Add(Grace), &out); len(out.List) != 1 || out.List[0].Kind != Drop || len(d.Profiles()) != 0 || d.Drops() != 0 || !d.Resting() || d.next != next {
			t.Errorf("after seven days: %+v, left %+v", out.List, d.Profiles())
		}
	})
	t.Run("change before the enrolment", func(t *testing.T) {
		d := enrolled(t, protocol.IOS)
		d.Install(Profile{Name: 1})
		late := start.Add(30 * 24 * time.Hour)
		step(d, late, Event{Kind: Woken})
		expect(t, step(d, late, Event{Kind: Answered, Reply: protocol.Reply{Notice: protocol.Notice{Epoch: 1, ChangedAt: start - 1}}}))
		if len(d.Profiles()) != 1 {
			t.Error("a profile that came after the change was dropped")
		}
	})
}

// TestHST057TheSevenDaysOfTheSameChange: that profiles outlive a change is taken back by a notice of the same change, once,
// and never given again.
func TestHST057TheSevenDaysOfTheSameChange(t *testing.T) {
	d := enrolled(t, protocol.IOS)
	d.Install(Profile{Name: 1, Family: protocol.Email})
	changed := start.Add(time.Hour)
	hear := func(rule protocol.Rule, refused bool) {
		t.Helper()
		n := protocol.Notice{Epoch: 2, ChangedAt: changed, Rule: rule}
		step(d, changed, Event{Kind: Woken})
		if refused {
			step(d, changed, Event{Kind: Refused, Notice: n})
		} else {
			step(d, changed, Event{Kind: Answered, Reply: protocol.Reply{Notice: n}})
		}
	}
	hear(protocol.RuleRegistered, true)
	if d.drops != 0 || d.News(protocol.Notice{Epoch: 2, Rule: protocol.RuleRegistered}) {
		t.Fatal("a profile that outlives the change is to go")
	}
	hear(protocol.RuleSevenDays, true) // a licence came
	if until := d.Profiles()[0].Until; until != changed.Add(Grace) {
		t.Errorf("the profile goes at %s, want %s", until, changed.Add(Grace))
	}
	b, err := d.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Cut(b); err != nil { // among what a device keeps
		t.Fatal(err)
	}
	d.Install(Profile{Name: 2, Family: protocol.WiFi}) // the new authority's
	for _, rule := range []protocol.Rule{protocol.RuleSevenDays, protocol.RuleRegistered} {
		hear(rule, false)
		if p := d.Profiles(); p[0].Until == 0 || p[1].Until != 0 {
			t.Errorf("after another notice by %s: %+v", rule, p)
		}
	}
	if !d.News(protocol.Notice{Epoch: 3, Rule: protocol.RuleRegistered}) || d.News(protocol.Notice{Epoch: 1, Rule: protocol.RuleSevenDays}) || d.News(protocol.Notice{}) {
		t.Error("what is news does not follow the epoch")
	}
}

func TestAUTH21BMSProfilesOutliveCoexistence(t *testing.T) {
	d := enrolled(t, protocol.IOS)
	d.Install(Profile{Name: 1, Family: protocol.Email})
	changed := start.Add(time.Hour)
	step(d, changed, Event{Kind: Woken})
	step(d, changed, Event{Kind: Refused, Notice: protocol.Notice{Epoch: 2, ChangedAt: changed, Rule: protocol.RuleRegistered}})
	d.next = 0
	if d.Epoch() != 2 || d.Due() != 0 {
		t.Errorf("epoch %d, due %s; want 2, and nothing to drop", d.Epoch(), d.Due())
	}
	expect(t, step(d, changed.Add(2*Grace), Event{Kind: Tick}))
	if len(d.Profiles()) != 1 {
		t.Error("a profile that outlives the change was dropped")
	}
}

func TestProfiles(t *testing.T) {
	d := NewDevice(1, protocol.IOS, 1)
	for i, tt := range []struct {
		p      Profile
		at     int
		old, n int
	}{
		{Profile{Name: 1, Content: 10}, 0, 0, 1},
		{Profile{Name: 2, Content: 20}, 1, 0, 2},
		{Profile{Name: 1, Content: 11}, 0, 10, 2},
	} {
		at, old := d.Install(tt.p)
		if at != tt.at || old.Content != uint64(tt.old) || len(d.Profiles()) != tt.n {
			t.Errorf("Install %d: at %d, old %d, %d profiles; want %d, %d, %d", i, at, old.Content, len(d.Profiles()), tt.at, tt.old, tt.n)
		}
	}
	d.Uninstall(0)
	if d.Find(1) >= 0 || d.Find(2) != 0 {
		t.Error("Uninstall took the wrong one")
	}
}

func TestDrawIsEven(t *testing.T) {
	d := NewDevice(1, protocol.IOS, 1)
	var seen [3]int
	for i := range uint64(3000) {
		seen[d.Draw(3, ChanceOfDialect, i)]++
	}
	for i, n := range seen {
		if n < 900 || n > 1100 {
			t.Errorf("%d of 3000 draws gave %d", n, i)
		}
	}
	if d.Draw(0, 0, 0) != 0 || d.Draw(1, 0, 0) != 0 {
		t.Error("a draw of nothing is not 0")
	}
	const all = 1<<64 - 1
	first := d.Draw(all, ChanceOfDialect, 7)
	other := NewDevice(2, protocol.IOS, 1)
	for what, v := range map[string]uint64{
		"another purpose": d.Draw(all, ChanceOfDialect+1, 7), "another key": d.Draw(all, ChanceOfDialect, 8), "another device": other.Draw(all, ChanceOfDialect, 7),
	} {
		if v == first {
			t.Errorf("%s draws the same", what)
		}
	}
	if again := d.Draw(all, ChanceOfDialect, 7); again != first {
		t.Errorf("the same draw gives %d, then %d", first, again)
	}
}

// TestSameStory plays random events on a device twice, once through a file at every step where it rests, and demands the
// same actions.
func TestSameStory(t *testing.T) {
	for seed := range uint64(50) {
		chance := rand.New(rand.NewPCG(seed, 0))
		a, b := NewDevice(1, protocol.Android, seed), NewDevice(1, protocol.Android, seed)
		now := start
		for range 200 {
			now = now.Add(time.Duration(chance.Uint64N(uint64(2 * time.Hour))))
			ev := Event{
				Kind: EventKind(chance.IntN(int(PowerOn)) + 1), Status: protocol.Status(chance.IntN(4) + 1), Then: Then(chance.IntN(5)),
				Notice: protocol.Notice{Epoch: uint32(chance.IntN(9)), ChangedAt: now}, CheckOut: true,
			}
			ev.Reply.Kind = protocol.ReplyKind(chance.IntN(2))
			if a.phase.managed() && chance.IntN(3) == 0 {
				p := Profile{Name: chance.Uint64N(5) + 1, Content: chance.Uint64()}
				a.Install(p)
				b.Install(p)
			}
			var x, y Actions
			a.Step(now, &ev, &x)
			b.Step(now, &ev, &y)
			if len(x.List) != len(y.List) {
				t.Fatalf("seed %d: %+v and %+v", seed, x.List, y.List)
			}
			for i := range x.List {
				if x.List[i].Kind != y.List[i].Kind || x.List[i].CheckIn != y.List[i].CheckIn {
					t.Fatalf("seed %d: %+v and %+v", seed, x.List, y.List)
				}
			}
			if b.Resting() {
				kept, err := b.AppendBinary(nil)
				if err != nil {
					t.Fatal(err)
				}
				b = Device{}
				if rest, err := b.Cut(kept); err != nil || len(rest) != 0 {
					t.Fatalf("Cut: %v, %d bytes left", err, len(rest))
				}
			}
		}
	}
}

func TestKeptInTheMiddle(t *testing.T) {
	d := enrolled(t, protocol.IOS)
	step(d, start, Event{Kind: Woken})
	step(d, start, work(3))
	step(d, start, Event{Kind: Executed, Status: protocol.Acknowledged})
	kept, err := d.AppendBinary([]byte("before"))
	if err != nil {
		t.Fatal(err)
	}
	var e Device
	rest, err := e.Cut(append(kept[len("before"):], "after"...))
	if err != nil || string(rest) != "after" {
		t.Fatalf("Cut: %q, %v", rest, err)
	}
	if e.Due() == 0 || e.Due() > start {
		t.Fatalf("due %s, want at once", e.Due())
	}
	expect(t, step(&e, start, Event{Kind: Tick}), "report") // APL-059: across a restart

	n := NewDevice(1, protocol.IOS, 1)
	step(&n, start, Event{Kind: Enrol})
	kept, _ = n.AppendBinary(nil)
	if _, err := e.Cut(kept); err != nil || e.Phase() != New {
		t.Errorf("a device kept before its server took it is %s (%v), want new", e.Phase(), err)
	}
	d.phase = Removed // bytes that no device makes: an enrolment's remains without the enrolment
	d.Install(Profile{Name: 1})
	kept, _ = d.AppendBinary(nil)
	if _, err := e.Cut(kept); err != nil || len(e.Profiles()) != 0 || e.Owes() {
		t.Errorf("%v, profiles %v, owes %v", err, e.Profiles(), e.Owes())
	}
}

func FuzzCut(f *testing.F) {
	d := NewDevice(1, protocol.IOS, 1)
	d.phase = Enrolled
	d.Install(Profile{Name: 1, Content: 2, Family: protocol.Email})
	seed, _ := d.AppendBinary(nil)
	f.Add(seed)
	f.Add(seed[:40])
	f.Fuzz(func(t *testing.T, b []byte) {
		var d Device
		rest, err := d.Cut(b)
		if err != nil {
			if !errors.Is(err, protocol.ErrMalformed) {
				t.Fatalf("error %v does not wrap ErrMalformed", err)
			}
			return
		}
		once, err := d.AppendBinary(nil)
		if err != nil || len(once) > len(b)-len(rest) {
			t.Fatalf("read %d bytes, wrote %d (%v)", len(b)-len(rest), len(once), err)
		}
		var e Device
		if _, err := e.Cut(once); err != nil {
			t.Fatal(err)
		}
		if twice, _ := e.AppendBinary(nil); !bytes.Equal(once, twice) {
			t.Fatal("decode of encode differs")
		}
		var out Actions
		for k := Tick; k <= PowerOn; k++ {
			d.Step(start, &Event{Kind: k}, &out)
		}
	})
}

func TestSteadyStepAllocatesNothing(t *testing.T) {
	d := enrolled(t, protocol.Android)
	var out Actions
	now := start.Add(24 * time.Hour)
	tick, answer := Event{Kind: Tick}, Event{Kind: Answered, Reply: protocol.Reply{Notice: protocol.Notice{Epoch: 1}}}
	d.Step(now, &Event{Kind: Woken}, &out)
	d.Step(now, &answer, &out)
	if n := testing.AllocsPerRun(1000, func() {
		now = d.Due()
		d.Step(now, &tick, &out)
		if len(out.List) != 1 {
			t.Fatal("nothing was said")
		}
		d.Step(now, &answer, &out)
	}); n != 0 {
		t.Errorf("a steady check-in allocates %v times, want 0", n)
	}
	if size := unsafe.Sizeof(*d); size > 144 {
		t.Errorf("a device is %d bytes, want at most 144", size)
	}
}

// BenchmarkSteadyStep is one steady check-in (Tick, then Answered) of one of a million devices, in the order of their
// numbers.
func BenchmarkSteadyStep(b *testing.B) {
	devices := make([]Device, 1_000_000)
	for i := range devices {
		devices[i] = NewDevice(protocol.Device(i+1), protocol.Android, uint64(i))
		d := &devices[i]
		d.phase, d.enrolledAt, d.next, d.flags = Enrolled, start, start.Add(24*time.Hour), 0
	}
	var out Actions
	tick, answer := Event{Kind: Tick}, Event{Kind: Answered}
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		d := &devices[i%len(devices)]
		now := d.next
		d.Step(now, &tick, &out)
		d.Step(now, &answer, &out)
	}
}

// AUTH-27: a device that hears that its profiles are of the authority in force again forgets when they were to go.
func TestAUTH27InForceAgain(t *testing.T) {
	now := protocol.Time(1_767_600_000_000_000)
	d := NewDevice(1, protocol.Windows, 1)
	var out Actions
	step := func(at protocol.Time, ev Event) { d.Step(at, &ev, &out) }
	step(now, Event{Kind: Enrol})
	step(now, Event{Kind: Answered})
	step(now, Event{Kind: Answered})
	d.Install(Profile{Name: 1})
	for i, rule := range []protocol.Rule{protocol.RuleSevenDays, protocol.RuleRegistered} {
		now = now.Add(time.Hour)
		step(now, Event{Kind: Woken})
		step(now, Event{Kind: Answered, Reply: protocol.Reply{Notice: protocol.Notice{Epoch: uint32(i) + 2, ChangedAt: now, Rule: rule}}})
		if goes := d.Profiles()[0].Until != 0; goes != (rule == protocol.RuleSevenDays) {
			t.Errorf("after a notice of %s the profile leaves by itself: %v", rule, goes)
		}
	}
	step(now.Add(8*24*time.Hour), Event{Kind: Tick})
	if len(d.Profiles()) != 1 {
		t.Error("the profile of the authority in force is gone")
	}
}

// The wait until the next try is of a try and an hour: who failed a moment later, as at a server that counts its devices in another order,
// comes again as much later, and each try and each hour has a wait of its own.
func TestTheNextTryIsDrawnForASpell(t *testing.T) {
	tries := func(from protocol.Time, asked time.Duration) (waits []time.Duration) {
		d := enrolled(t, protocol.Android)
		now := from
		for range 5 {
			step(d, now, Event{Kind: Woken})
			step(d, now, Event{Kind: Failed, RetryAfter: asked})
			waits = append(waits, d.Due().Sub(now))
		}
		return waits
	}
	hour := start - start%protocol.Time(time.Hour/time.Microsecond)
	for _, asked := range []time.Duration{0, 15 * time.Minute} {
		first := tries(hour.Add(time.Minute), asked)
		for _, later := range []time.Duration{time.Microsecond, 7 * time.Millisecond, time.Minute} {
			if again := tries(hour.Add(time.Minute+later), asked); !slices.Equal(again, first) {
				t.Errorf("asked for %s, %s later the waits are %v, and before %v", asked, later, again, first)
			}
		}
		if other := tries(hour.Add(time.Hour), asked); slices.Equal(other, first) {
			t.Errorf("asked for %s, an hour later the waits are the same: %v", asked, other)
		}
		if asked > 0 && first[0] == first[1] {
			t.Errorf("asked for %s, two tries wait as long: %v", asked, first)
		}
	}
}
