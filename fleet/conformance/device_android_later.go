package conformance

import (
	"slices"
	"time"

	"rollcall/protocol"
	"rollcall/protocol/android"
)

// What Android devices do after an answer that is lost, after a restart, and as time goes by.

var androidDeviceLaterStatements = []Statement{
	{
		ID: "AND-058.device", Suite: AndroidDevice, Class: OfAndroid, Must: true, try: tryAND058Device,
		Says:   "A device that knows of a change of authority takes off what is left of the one before at the end of its time, without another word of the server's.",
		Source: "android.md 8; AND-058, AUTH-27",
		Why:    "A device that is off the network for the end of the seven days would keep to an authority that decides nothing any more.",
		How:    "A profile is listed with a removeAfter in ten minutes, beside the signed notice of a change, after which old profiles stay so long; the policy stays as it is, and the rounds that come later are read.",
		Fix:    "Keep when the time is over, and take the profile off then.",
	},
	{
		ID: "AND-071.device", Suite: AndroidDevice, Class: OfAndroid, Must: true, try: tryAND071Device,
		Says:   "A device that got no answer to its request to enrol asks again by the same token and as the same hardware.",
		Source: "android.md 8; AND-071",
		Why:    "By these alone a server knows the enrolment again; to another hardware the token is used.",
		How:    "The answer to the first request to enrol is a cut connection; the device, or whoever holds it, tries again.",
		Fix:    "Tell what the hardware has, and make up nothing of it.",
	},
	{
		ID: "AND-072.device", Suite: AndroidDevice, Class: OfAndroid, Must: true, try: tryAND072Device,
		Says:   "After its enrolment the device comes every 3 minutes for 15, and every 15 minutes then.",
		Source: "android.md 7; authority.md, Schedules",
		Why:    "What is assigned to a device that has just enrolled would reach it hours later.",
		How:    "Time goes by until the device comes by itself, seven times; the times that it tells are compared.",
		Fix:    "Count from the enrolment, whatever came in between.",
	},
	{
		ID: "AND-074.device", Suite: AndroidDevice, Class: OfAndroid, Must: true, try: tryAND074Device,
		Says:   "A command that was carried out before a restart and not confirmed is reported after it, and not carried out again.",
		Source: "android.md 8; AND-074",
		Why:    "A server that hears nothing holds the command; one that is carried out twice is worse.",
		How:    "Lost mode is started, and the connection cut at the report; the device is restarted and checks in.",
		Fix:    "Write down what was carried out before it is reported.",
	},
}

func tryAND058Device(t *trial) {
	t.patient()
	b := t.admittedAt(nil)
	old := android.ManifestEntry{ID: "p-old", Name: "old", Family: protocol.WiFi, Authority: protocol.Office365, Version: 1}
	if !t.keepsTo(b, 5, old) {
		t.unasked("the device does not apply a second profile")
	}
	all := t.rounds(b)
	n := protocol.Notice{Epoch: 5, ChangedAt: all[len(all)-1].Time, Rule: protocol.RuleSevenDays, Kept: 10 * time.Minute} // by the clock that it goes by
	old.RemoveAfter = n.ChangedAt.Add(n.Kept)
	text, err := b.seal.JWS(android.NoticeType, android.Append(nil, android.NoticeOf(n)))
	if err != nil {
		t.unasked("no notice: %v", err)
	}
	t.set(b, func() {
		b.change = func(a *android.CheckInAnswer) {
			a.Authority.Epoch, a.Authority.ChangedAt, a.Authority.Notice = n.Epoch, n.ChangedAt, text
		}
	})
	if !t.keepsTo(b, 6, old) {
		t.fail("a profile that has ten minutes left is gone")
	}
	r := t.comesAfter(b, old.RemoveAfter)
	t.last = r.Exchange
	if slices.ContainsFunc(r.Applied.Profiles, func(p android.AppliedProfile) bool { return p.ID == old.ID }) {
		t.fail("at %s a profile is still there whose removeAfter was %s", r.Time, old.RemoveAfter)
	}
}

// comesAfter lets time go by until the device checks in after end, by its own clock, and returns the round.
func (t *trial) comesAfter(b *booth, end protocol.Time) *round {
	for range 20 { // it may come several times before
		if r := t.byItself(b); r != nil && r.Time > end {
			return r
		}
	}
	t.unasked("the device does not come by itself%s", t.because())
	return nil
}

// byItself lets time go by until the device does what is due, and returns the first round of that; nil: there was nothing to say.
func (t *trial) byItself(b *booth) *round {
	before := len(t.rounds(b))
	t.later(func() bool { return len(t.rounds(b)) > before })
	if all := t.rounds(b); len(all) > before {
		return all[before]
	}
	return nil
}

func tryAND071Device(t *trial) {
	b := t.booth(func(b *booth) { b.lost = 1 })
	link := b.link()
	in := t.joins(b, link)
	t.judge.mu.Lock()
	asked := len(b.askings)
	t.judge.mu.Unlock()
	if asked == 0 {
		t.unasked("nobody has asked to enrol%s", t.because())
	}
	if !in { // it has given up, and is given the same text again
		in = t.joins(b, link)
	}
	t.judge.mu.Lock()
	askings := slices.Clone(b.askings)
	t.judge.mu.Unlock()
	for _, a := range askings[1:] {
		if a != askings[0] {
			t.fail("the request to enrol that was lost came again by another token or as other hardware: %q, was %q", a.hardware, askings[0].hardware)
		}
	}
	if !in {
		t.fail("after an answer that was lost the device does not enrol%s", t.because())
	}
}

func tryAND072Device(t *trial) {
	t.patient()
	b := t.admittedAt(nil)
	last := t.rounds(b)[0].Time
	for i, want := range []time.Duration{3, 3, 3, 3, 3, 15, 15} {
		r := t.byItself(b)
		if r == nil {
			t.fail("after %d check-ins the device does not come by itself%s", i+1, t.because())
		}
		t.last = r.Exchange
		if got := r.Time.Sub(last); got.Round(time.Minute) != want*time.Minute {
			t.fail("check-in %d after enrolment came %s after the one before, want %d min", i+1, got, want)
		}
		last = r.Time
	}
}

func tryAND074Device(t *trial) {
	t.needs(t.judge.Hands.Restart != nil, "restart it")
	b := t.admittedAt(nil)
	t.set(b, func() {
		b.commands = []android.Command{{ID: "c-restarted", Type: android.StartLostMode, LostModeParams: &android.LostModeParams{LostMessage: "conform"}}}
		b.answers = func(m *round) *reply {
			if len(m.Results) > 0 {
				return &reply{cut: true}
			}
			return nil
		}
	})
	t.checksIn(b)
	if t.simply(t.judge.Hands.Restart); t.said != nil {
		t.unasked("the device does not restart%s", t.because())
	}
	t.set(b, func() { b.answers = nil })
	for _, r := range t.checksIn(b) {
		for _, one := range r.Results {
			t.last = r.Exchange
			if one.Command == "c-restarted" && one.State == android.ResultDone {
				return
			}
			t.fail("after a restart %s is reported as %q %s", one.Command, one.State, one.ErrorCode)
		}
	}
	t.fail("after a restart a command that was carried out is not reported")
}
