package delivery_test

import (
	"fmt"
	"testing"
	"time"

	"rollcall/protocol"
	"rollcall/server/delivery"
)

func TestScheduleAfterEnrolment(t *testing.T) {
	p := newPhone(t)
	p.enrol()
	p.ready()
	var waits []time.Duration
	for p.now < p.s.EnrolledAt.Add(20*time.Hour) {
		p.push(delivery.Accepted)
		p.drain()
		waits = append(waits, p.s.Wake.Due.Sub(p.now))
		p.now = p.s.Wake.Due
	}
	quick, steady := 15*time.Minute, 8*time.Hour
	if waits[4] <= 0 || waits[4] > steady {
		t.Errorf("first steady wake-up after %s, want within %s", waits[4], steady)
	}
	waits[4] = steady
	equal(t, "wake-ups", waits, []time.Duration{quick, quick, quick, quick, steady, steady, steady})
}

// The steady cadence is spread evenly ("Schedules" of authority.md): devices that one moment woke together do not come together
// again an interval later, in place or by a decision.
func TestScheduleSpreadsTheHerd(t *testing.T) {
	const devices, slots = 4800, 48 // of ten minutes
	var due [slots]int
	p := settled(t)
	p.now = p.now.Add(28 * time.Hour)
	w := p.w
	for i := range devices {
		s := p.s
		s.Place = delivery.PlaceOf(fmt.Sprintf("00008110-%016X", i*0x5851f42d4c957f2d))
		s.Device, s.Wake = protocol.Device(i+1), delivery.Wake{Due: p.now, Reason: delivery.Changed}
		var out delivery.Outcome
		ev := reportTo(&s, delivery.Message{Push: delivery.Accepted, PushedAt: p.now, Sent: s.Wake})
		s.Wake.Reason, ev.Sent.Reason = delivery.Scheduled, delivery.Scheduled
		delivery.Decide(p.now, w, &s, &ev, &out)
		if !w.Woken(p.now, &s) || s.Wake != out.State.Wake {
			t.Fatalf("in place %+v, decided %+v", s.Wake, out.State.Wake)
		}
		due[(s.Wake.Due.Sub(p.now)-1)/(10*time.Minute)]++
	}
	for at, n := range due {
		if mean := devices / slots; n < mean*2/3 || n > mean*4/3 {
			t.Errorf("%d of %d devices come in the ten minutes after %s, want about %d", n, devices, time.Duration(at)*10*time.Minute, mean)
		}
	}
}

func TestAUTH22Sync(t *testing.T) {
	p := settled(t)
	p.push(delivery.Accepted)
	p.now = p.now.Add(2 * time.Minute)
	p.order(protocol.Command{}) // only a wake-up
	if p.s.Wake.Due > p.now || p.s.Wake.Reason != delivery.Changed || len(p.s.Queue) != 0 || p.out.Changed != delivery.Wakes {
		t.Errorf("wake-up %+v, queue %v", p.s.Wake, p.s.Queue)
	}
}

func TestAPL101Inactive(t *testing.T) {
	p := settled(t)
	since := p.s.Push.Since
	inactive := func(at protocol.Time) {
		p.event(reportTo(&p.s, delivery.Message{Push: delivery.Inactive, InactiveSince: at, PushedAt: p.now, Sent: p.s.Wake}))
	}
	p.now = p.now.Add(time.Minute)
	inactive(since.Add(-time.Second)) // older than the last TokenUpdate
	if p.s.Push.Unreachable || p.s.Wake.Due < p.now.Add(time.Minute) {
		t.Errorf("push %+v, wake-up %+v, want it ignored and tried later", p.s.Push, p.s.Wake)
	}
	inactive(since.Add(time.Second))
	if !p.s.Push.Unreachable || p.s.Life != delivery.Enrolled || p.count(delivery.WhatUnreachable) != 1 {
		t.Errorf("push %+v, life %s, want unreachable and enrolled", p.s.Push, p.s.Life)
	}
	p.now = p.now.Add(time.Hour)
	p.ready()
	if p.s.Push.Unreachable || p.count(delivery.WhatReachable) != 1 || p.s.Wake.Due == 0 {
		t.Errorf("push %+v, wake-up %+v after TokenUpdate, want it revived", p.s.Push, p.s.Wake)
	}
}

// TestAPL101SameMoment: an address that became inactive in the very millisecond in which the device told it is inactive.
func TestAPL101SameMoment(t *testing.T) {
	p := settled(t)
	p.event(reportTo(&p.s, delivery.Message{Push: delivery.Inactive, InactiveSince: p.s.Push.Since, PushedAt: p.now, Sent: p.s.Wake}))
	if !p.s.Push.Unreachable {
		t.Errorf("push %+v, want unreachable", p.s.Push)
	}
}

func TestBadAddress(t *testing.T) {
	p := settled(t)
	p.push(delivery.BadAddress)
	if !p.s.Push.Unreachable || p.s.Life != delivery.Enrolled {
		t.Errorf("push %+v, life %s, want unreachable and enrolled", p.s.Push, p.s.Life)
	}
}

// TestReportOfAnOlderAddress: whatever a push service says of an address that the device replaced while the push was under way, it says
// nothing of the one that it has, which gets the wake-up. When the one was pushed to and the other told makes no difference: reports, and
// check-ins that others are committed before, come with older times (WIN-042, AND-093, APL-101).
func TestReportOfAnOlderAddress(t *testing.T) {
	told := []delivery.Message{{Topic: topic, Magic: "magic", Token: []byte("token 2")}, {Topic: topic, Magic: "magic 2", Token: []byte("token")}, {Token: []byte("token 2")}}
	for _, platform := range []protocol.Platform{protocol.IOS, protocol.Windows, protocol.Android} {
		for _, result := range []delivery.PushResult{delivery.Accepted, delivery.BadAddress, delivery.Inactive, delivery.TryLater} {
			for _, moved := range []time.Duration{-time.Second, 0, time.Second} {
				for i, m := range told {
					for _, turn := range []bool{false, true} { // of a change of authority: its own wake-up is due later, or never
						p := settled(t)
						p.s.Platform = platform
						p.s.Wake = delivery.Wake{Due: p.now, Reason: delivery.Changed}
						if turn {
							p.s.Wake = delivery.Wake{Due: p.now.Add(time.Hour), Reason: delivery.Scheduled}
						}
						report := reportTo(&p.s, delivery.Message{Push: result, PushedAt: p.now, InactiveSince: p.now.Add(time.Minute), RetryAfter: p.now.Add(time.Hour), Sent: p.s.Wake})
						at := p.now
						p.now = at.Add(moved)
						p.says(protocol.CheckIn{Verb: protocol.Ready}, m)
						p.now = at // when the wake-ups were due of which this was one
						p.event(report)
						if p.s.Push.Unreachable || p.s.Wake.Due == 0 || p.s.Wake.Due > p.now || p.out.Changed&delivery.Wakes == 0 {
							t.Errorf("%s told address %d %s after a push whose result is %d, turn %t: push %+v, wake-up %+v; want it woken there at once",
								platform, i, moved, result, turn, p.s.Push, p.s.Wake)
						}
					}
				}
			}
		}
	}
}

// TestHST084ClaimThatIsLate: that another device has its address says nothing of one that has told a new one since, and is nothing to
// wake it for.
func TestHST084ClaimThatIsLate(t *testing.T) {
	for _, told := range []string{"token", "token 2"} {
		p := settled(t)
		claim := reportTo(&p.s, delivery.Message{Push: delivery.BadAddress})
		p.now++
		p.says(protocol.CheckIn{Verb: protocol.Ready}, delivery.Message{Topic: topic, Magic: "magic", Token: []byte(told)})
		p.event(claim)
		if p.s.Push.Unreachable || p.out.Changed != 0 {
			t.Errorf("%q told since: push %+v, changed %b; want nothing of it", told, p.s.Push, p.out.Changed)
		}
	}
}

// TestReportOfAnAddressToldAgain: an Apple device's token that it tells while it is being refused is tried once more; the others tell
// theirs at each contact, and it is refused (WIN-042, AND-093).
func TestReportOfAnAddressToldAgain(t *testing.T) {
	for _, platform := range []protocol.Platform{protocol.IOS, protocol.Windows, protocol.Android} {
		p := settled(t)
		p.s.Platform = platform
		p.s.Wake = delivery.Wake{Due: p.now, Reason: delivery.Changed}
		report := reportTo(&p.s, delivery.Message{Push: delivery.BadAddress, PushedAt: p.now, Sent: p.s.Wake})
		p.now++
		p.ready()
		p.event(report)
		if got, want := p.s.Push.Unreachable, !platform.Apple(); got != want {
			t.Errorf("%s: unreachable %t after the token that it told again was refused, want %t", platform, got, want)
		}
		if p.s.Wake.Due > p.now {
			t.Errorf("%s: wake-up %+v, want it due", platform, p.s.Wake)
		}
		p.push(delivery.BadAddress)
		if !p.s.Push.Unreachable {
			t.Errorf("%s: push %+v, refused since", platform, p.s.Push)
		}
		p = settled(t) // and what was taken is taken: the device that it woke may be quicker than the report
		p.s.Platform = platform
		report = reportTo(&p.s, delivery.Message{Push: delivery.Accepted, PushedAt: p.now, Sent: p.s.Wake})
		p.now++
		p.ready()
		p.event(report)
		if p.s.Wake.Due != 0 && p.s.Wake.Due <= p.now {
			t.Errorf("%s: wake-up %+v after it was taken", platform, p.s.Wake)
		}
	}
}

func TestHST081APL104TryLater(t *testing.T) {
	p := settled(t)
	for _, wait := range []time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 16 * time.Minute, 32 * time.Minute, time.Hour, time.Hour} {
		p.push(delivery.TryLater)
		if got := p.s.Wake.Due.Sub(p.now); got != wait {
			t.Fatalf("tried again in %s, want %s", got, wait)
		}
		for range 10 { // ten commands do not make it sooner
			p.orders(protocol.SecurityInfo)
		}
		if got := p.s.Wake.Due.Sub(p.now); got < wait-time.Second {
			t.Fatalf("tried again in %s after new orders, want %s", got, wait)
		}
		p.now = p.s.Wake.Due
	}
	after := p.now.Add(3 * time.Hour)
	p.event(reportTo(&p.s, delivery.Message{Push: delivery.TryLater, RetryAfter: after, PushedAt: p.now, Sent: p.s.Wake}))
	if p.s.Wake.Due != after {
		t.Errorf("tried again at %s, want what the service asked for: %s", p.s.Wake.Due, after)
	}
}

func TestAPL106OrderDuringAPush(t *testing.T) {
	p := settled(t)
	p.orders(protocol.SecurityInfo)
	for range 5 { // at the very moment at which the push is under way
		sent := p.s.Wake
		p.orders(protocol.SecurityInfo)
		p.event(reportTo(&p.s, delivery.Message{Push: delivery.Accepted, PushedAt: p.now, Sent: sent}))
		if p.s.Wake.Due > p.now || p.s.Wake.Reason != delivery.Changed {
			t.Fatalf("wake-up %+v, want one for the newer command", p.s.Wake)
		}
	}
}

func TestHST056NotNowForEver(t *testing.T) {
	p := settled(t)
	p.push(delivery.Accepted)
	p.now = p.now.Add(28 * time.Hour)
	p.orders(protocol.InstalledApplicationList)
	var waits []time.Duration
	for range 8 {
		p.push(delivery.Accepted)
		p.ask()
		p.report(protocol.NotNow)
		p.gotNothing()
		waits = append(waits, p.s.Wake.Due.Sub(p.now))
		p.now = p.s.Wake.Due
	}
	equal(t, "wake-ups", waits[:5], []time.Duration{15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 4 * time.Hour})
	if waits[5] > 8*time.Hour || waits[6] != 8*time.Hour || waits[7] != 8*time.Hour {
		t.Errorf("later wake-ups after %v, want the schedule's", waits[5:])
	}
	p.drain()
	if p.s.Wake.Reason != delivery.Scheduled {
		t.Errorf("wake-up %+v with nothing left to do, want the schedule's", p.s.Wake)
	}
}

// TestHST082NobodyComes: the push service says yes and delivers nothing. Work gets three more attempts, then the schedule.
func TestHST082NobodyComes(t *testing.T) {
	steady := func(t *testing.T) *phone {
		p := settled(t)
		p.now = p.s.EnrolledAt.Add(28 * time.Hour)
		return p
	}
	waits := func(p *phone, n int) (all []time.Duration) {
		for range n {
			p.push(delivery.Accepted)
			all = append(all, p.s.Wake.Due.Sub(p.now))
			p.now = p.s.Wake.Due
		}
		return all
	}
	quarter, rest, last := 15*time.Minute, 45*time.Minute, 3*time.Hour
	t.Run("an order", func(t *testing.T) {
		p := steady(t)
		p.orders(protocol.SecurityInfo)
		got := waits(p, 6)
		equal(t, "attempts", got[:3], []time.Duration{quarter, rest, last})
		for _, w := range got[4:] {
			if w != 8*time.Hour {
				t.Errorf("then it waits %v, want the schedule", got[3:])
			}
		}
		if p.s.Wake.Reason != delivery.Scheduled || len(p.s.Queue) != 1 {
			t.Errorf("wake-up %+v, queue %v; want the schedule, and the order kept", p.s.Wake, p.s.Queue)
		}
	})
	t.Run("a sync", func(t *testing.T) {
		p := steady(t)
		p.order(protocol.Command{})
		equal(t, "attempts", waits(p, 3), []time.Duration{quarter, rest, last})
	})
	t.Run("nothing waits", func(t *testing.T) {
		p := steady(t)
		p.push(delivery.Accepted)
		p.drain()
		p.now = p.s.Wake.Due
		p.push(delivery.Accepted)
		if p.s.Wake.Reason != delivery.Scheduled {
			t.Errorf("wake-up %+v: a scheduled one is not repeated", p.s.Wake)
		}
	})
	t.Run("it comes", func(t *testing.T) {
		p := steady(t)
		p.orders(protocol.SecurityInfo)
		waits(p, 2)
		p.drain()
		if p.s.Wake.Reason != delivery.Scheduled {
			t.Errorf("wake-up %+v once it came, want the schedule's", p.s.Wake)
		}
		p.order(protocol.Command{})
		sent := p.s.Wake
		at := p.now
		p.now = p.now.Add(time.Second)
		p.drain() // before the push service's answer is here
		p.event(reportTo(&p.s, delivery.Message{Push: delivery.Accepted, PushedAt: at, Sent: sent}))
		if p.s.Wake.Reason != delivery.Scheduled {
			t.Errorf("wake-up %+v though it came, want the schedule's", p.s.Wake)
		}
	})
}

func TestNoPushOutsideAnEnrolment(t *testing.T) {
	p := newPhone(t)
	p.enrol()
	p.push(delivery.Accepted)
	if p.s.Wake.Due != 0 {
		t.Errorf("wake-up %+v before Ready", p.s.Wake)
	}
}

func TestWakeAskAlwaysDiffers(t *testing.T) {
	at := start
	for _, w := range []delivery.Wake{
		{},
		{Due: at, Reason: delivery.Scheduled},
		{Due: at, Reason: delivery.Changed},
		{Due: at - 1, Reason: delivery.Changed},
		{Due: at.Add(time.Hour), Reason: delivery.Changed, Attempt: 3},
		{Due: at.Add(time.Hour), Reason: delivery.Retry, Attempt: 3},
	} {
		got := w.Ask(at, delivery.Changed)
		if got == w || got.Reason != delivery.Changed || w.Reason != delivery.Changed && got.Attempt != 0 {
			t.Errorf("%+v.Ask = %+v", w, got)
		}
		if throttled := w.Attempt > 0 && w.Reason == delivery.Changed; got.Due <= at == throttled {
			t.Errorf("%+v.Ask is due at %s, throttled %v", w, got.Due, throttled)
		}
	}
}

// TestWIN042ForgottenChannel: a channel or registration that the push service refused is not tried again when the device tells the same
// one at its next contact, but when it tells another (AND-093). An Apple device that tells its token says that it is good again.
func TestWIN042ForgottenChannel(t *testing.T) {
	for _, platform := range []protocol.Platform{protocol.Windows, protocol.Android, protocol.IOS} {
		p := settled(t)
		p.s.Platform = platform
		address := string(p.s.Push.Token)
		p.push(delivery.BadAddress)
		if !p.s.Push.Unreachable {
			t.Fatalf("%s: push %+v, want unreachable", platform, p.s.Push)
		}
		tell := func(address string) {
			p.now = p.now.Add(time.Hour)
			p.says(protocol.CheckIn{Verb: protocol.Ready}, delivery.Message{Topic: p.s.Push.Topic, Magic: p.s.Push.Magic, Token: []byte(address), Unlock: p.s.Rare.Read().Unlock})
		}
		tell(address)
		if got, want := p.s.Push.Unreachable, !platform.Apple(); got != want {
			t.Errorf("%s: unreachable %t after it told the same address, want %t", platform, got, want)
		}
		tell(address + "2")
		if p.s.Push.Unreachable || string(p.s.Push.Token) != address+"2" {
			t.Errorf("%s: push %+v after it told another address", platform, p.s.Push)
		}
	}
}

// Devices that poll come by themselves: their schedule wants no push, and one that puts its work off is woken again within an interval all
// the same (AUTH-52, HST-056).
func TestScheduleWakesNobodyWhoPolls(t *testing.T) {
	for _, platform := range []protocol.Platform{protocol.Windows, protocol.Android} {
		p := settled(t)
		p.s.Platform = platform
		p.order(protocol.Command{Kind: protocol.InstalledApplicationList})
		if p.s.Wake.Reason != delivery.Changed || p.s.Wake.Due > p.now {
			t.Errorf("%s: wake-up %+v for an order, want one at once", platform, p.s.Wake)
		}
		p.push(delivery.Accepted)
		p.ask()
		p.report(protocol.NotNow)
		for range 20 {
			p.push(delivery.Accepted)
			if wait := p.s.Wake.Due.Sub(p.now); p.s.Wake.Reason != delivery.Retry || wait <= 0 || wait > 8*time.Hour {
				t.Fatalf("%s: wake-up %+v after %s, want another one within an interval", platform, p.s.Wake, wait)
			}
			p.now = p.s.Wake.Due
		}
		p.drain()
		if p.s.Wake != (delivery.Wake{}) {
			t.Errorf("%s: wake-up %+v with nothing to do, want none", platform, p.s.Wake)
		}
	}
}
