package conformance

import "time"

// What Android devices do without their server's pushes, and without a network.

var androidDeviceAwayStatements = []Statement{
	{
		ID: "AND-082.device", Suite: AndroidDevice, Class: OfAndroid, Must: true, try: tryAND082Device,
		Says:   "A device that was off the network over several of its schedules makes up for all of them by one check-in.",
		Source: "android.md 7, 13; AND-082",
		Why:    "After an outage a whole fleet would come several times over, when its server can bear that least.",
		How:    "The device is off the network for more than a day and on it again; what it says then, and what comes next by itself, is read.",
		Fix:    "Keep the time of the next contact alone, and count from the check-in that came late.",
	},
	{
		ID: "AND-093.device", Suite: AndroidDevice, Class: OfAndroid, Must: true, try: tryAND093Device,
		Says:   "A device whose push id has changed tells the new one in its next check-in.",
		Source: "android.md 10, 13; AND-093",
		Why:    "The server sends no more to an id that has ended, and wakes the device no sooner than its schedule has it come.",
		How:    "The device is given another push id and checks in; the id in its rounds is compared with the one before.",
		Fix:    "Put the id into the first round after it has changed.",
	},
	{
		ID: "AND-094.device", Suite: AndroidDevice, Class: OfAndroid, Must: true, try: tryAND094Device,
		Says:   "A device that is never pushed comes by itself all the same, every eight hours at the latest.",
		Source: "android.md 7, 13; AND-094, AUTH-21",
		Why:    "A change of authority would wait for a push that was lost.",
		How:    "Time goes by without a push until the first hours of the enrolment are over and the device has come twice more; the times that it tells are compared, with an hour to spare.",
		Fix:    "Poll by the schedule, whatever pushes come.",
	},
}

// The steady cadence of android.md section 7, and what a device may be late by chance of its own.
const (
	steadyCadence = 8 * time.Hour
	spare         = time.Hour
)

// checkIns are how many check-ins rounds belong to.
func checkIns(rounds []*round) int {
	names := map[string]bool{}
	for _, r := range rounds {
		names[r.CheckIn.CheckIn] = true
	}
	return len(names)
}

func tryAND082Device(t *trial) {
	t.patient()
	t.needs(t.judge.Hands.Away != nil, "be off the network")
	b := t.admittedAt(nil)
	before := len(t.rounds(b))
	if t.simply(t.judge.Hands.Away); t.said != nil {
		t.unasked("the device does not come back%s", t.because())
	}
	if len(t.rounds(b)) == before && t.byItself(b) == nil {
		t.fail("back on the network the device does not come%s", t.because())
	}
	t.calm()
	back := t.rounds(b)[before:]
	t.last = back[len(back)-1].Exchange
	if n := checkIns(back); n != 1 {
		t.fail("back on the network the device checks in %d times, want once", n)
	}
	t.byItself(b) // perhaps soon: each device has a place of its own in its steady cadence
	if r := t.byItself(b); r != nil && r.Time < back[0].Time.Add(spare) {
		t.last = r.Exchange
		t.fail("%s after it came back the device checks in for the third time", r.Time.Sub(back[0].Time))
	}
}

func tryAND093Device(t *trial) {
	t.needs(t.judge.Hands.Token != nil, "get another push id")
	b := t.admittedAt(nil)
	id := func(rounds []*round) string {
		for _, r := range rounds {
			if r.Push != nil {
				t.last = r.Exchange
				return r.Push.FID
			}
		}
		return ""
	}
	first, before := id(t.rounds(b)), len(t.rounds(b))
	if first == "" {
		t.skip("the device has no push id")
	}
	if t.simply(t.judge.Hands.Token); t.said != nil {
		t.unasked("the device gets no other push id%s", t.because())
	}
	if len(t.rounds(b)) == before { // it may have come to tell it
		t.checksIn(b)
	}
	switch told := id(t.rounds(b)[before:]); told {
	case "":
		t.fail("the device tells no push id after it has changed")
	case first:
		t.fail("the device tells the push id that it had before")
	}
}

func tryAND094Device(t *trial) {
	t.patient()
	b := t.admittedAt(nil)
	last, steady := t.rounds(b)[0].Time, 0
	for range 40 { // far more than its first hours have
		r := t.byItself(b)
		if r == nil {
			t.fail("without a push the device does not come%s", t.because())
		}
		t.last = r.Exchange
		gap := r.Time.Sub(last)
		if gap > steadyCadence+spare {
			t.fail("without a push the device comes after %s, want %s at the latest", gap.Round(time.Minute), steadyCadence)
		}
		if gap > spare {
			steady++
		}
		if steady == 2 { // the first is as much sooner as its device likes
			return
		}
		last = r.Time
	}
	t.unasked("the device comes several times an hour for as long as it is looked at")
}
