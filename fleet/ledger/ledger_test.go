package ledger

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"rollcall/agent/dialect"
	"rollcall/agent/link"
	"rollcall/protocol"
)

const (
	one   = "11111111-1111-4111-8111-111111111111"
	two   = "22222222-2222-4222-8222-2222222222AB"
	three = "33333333-3333-4333-8333-3333333333ab"
	four  = "44444444-4444-4444-8444-444444444444"
)

// A story writes into a ledger, one second a line.
type story struct {
	*Ledger
	now protocol.Time
}

func (s *story) tick() protocol.Time {
	s.now = s.now.Add(time.Second)
	return s.now
}

func begin(devices ...protocol.Device) *story {
	s := &story{New(Config{Devices: 3, Bound: time.Minute, Name: func(d protocol.Device) string { return fmt.Sprintf("D%d", d) }}), 1_000_000}
	for _, d := range devices {
		s.Enrolled(s.tick(), d)
	}
	return s
}

// order has a command asked for and taken.
func (s *story) order(d protocol.Device, id string) {
	s.Ordered(s.tick(), d, id, "RestartDevice", 0)
	s.Taken(s.tick(), d, id)
}

// does has d get a command and report it, which the server hears.
func (s *story) does(d protocol.Device, id string) {
	s.Delivered(s.tick(), d, id, "RestartDevice")
	s.Answered(s.tick(), d, id, protocol.Acknowledged, true)
}

func (s *story) idle(d protocol.Device) { s.NoWork(s.tick(), d) }

func TestFaults(t *testing.T) {
	later := func(s *story) { s.now = s.now.Add(2 * time.Minute) }
	for _, tt := range []struct {
		name string
		play func(*story)
		want string // findings, one a line; empty: clean
	}{
		{"all is well", func(s *story) { s.order(1, one); s.order(1, two); s.does(1, one); s.does(1, two); s.idle(1) }, ""},

		{
			"lost", func(s *story) { s.order(1, one); s.idle(1) },
			"lost: RestartDevice " + one + " of device D1: the server has told the device since that there was no work",
		},
		{
			"lost before another", func(s *story) { s.order(1, one); s.order(1, two); s.does(1, two); s.idle(1) },
			"lost: RestartDevice " + one + " of device D1: the server has told the device since that there was no work",
		},
		{"delivered after it was told that there was no work", func(s *story) { s.order(1, one); s.idle(1); s.Check(s.tick()); s.does(1, one) }, ""},
		{"not asked for work since", func(s *story) { s.NoWork(s.tick(), 1); s.order(1, one) }, ""},
		{"taken while the device was asking", func(s *story) {
			begun := s.tick()
			s.order(1, one)
			s.NoWork(begun, 1)
		}, ""},
		{"never taken", func(s *story) { s.Ordered(s.tick(), 1, one, "RestartDevice", 0); s.idle(1); later(s) }, ""},
		{"refused", func(s *story) {
			s.Ordered(s.tick(), 1, one, "RestartDevice", 0)
			s.NotTaken(1, one)
			s.idle(1)
			later(s)
		}, ""},

		{
			"doubled", func(s *story) { s.order(1, one); s.does(1, one); s.does(1, one) },
			"doubled: RestartDevice " + one + " of device D1: delivered again after its report was confirmed",
		},
		{
			"doubled, long after", func(s *story) {
				s.order(1, one)
				s.does(1, one)
				for _, id := range ids(1000) {
					s.order(1, id)
					s.does(1, id)
				}
				s.does(1, one)
			},
			"doubled: RestartDevice " + one + " of device D1: delivered again after its report was confirmed",
		},
		{"done by another device too", func(s *story) { s.order(1, one); s.does(1, one); s.order(2, one); s.does(2, one) }, ""},
		{
			"doubled, never ordered", func(s *story) { s.does(1, three); s.does(1, three) },
			"doubled: RestartDevice " + three + " of device D1: delivered again after its report was confirmed",
		},
		{"handed out again before it was confirmed", func(s *story) {
			s.order(1, one)
			s.Delivered(s.tick(), 1, one, "RestartDevice")
			s.Answered(s.tick(), 1, one, protocol.Acknowledged, false)
			s.does(1, one)
		}, ""},
		{"report repeated", func(s *story) {
			s.order(1, one)
			s.Delivered(s.tick(), 1, one, "RestartDevice")
			for _, heard := range []bool{false, false, true, true} {
				s.Answered(s.tick(), 1, one, protocol.Acknowledged, heard)
			}
		}, ""},

		{
			"reordered", func(s *story) { s.order(1, one); s.order(1, two); s.does(1, two); s.does(1, one) },
			"reordered: RestartDevice " + one + " of device D1: after " + two + ", which was asked for later",
		},
		{
			"reordered, with ids of its own", func(s *story) { s.order(1, "a-1"); s.order(1, "a-2"); s.does(1, "a-2"); s.does(1, "a-1") },
			"reordered: RestartDevice a-1 of device D1: after a-2, which was asked for later",
		},
		{
			"reordered before its id was known", func(s *story) {
				s.order(1, one)
				s.Delivered(s.tick(), 1, two, "RestartDevice")
				s.order(1, two)
				s.Answered(s.tick(), 1, two, protocol.Acknowledged, true)
				s.does(1, one)
			},
			"reordered: RestartDevice " + one + " of device D1: after " + two + ", which was asked for later",
		},
		{"asked for together", func(s *story) {
			s.Ordered(s.tick(), 1, one, "", 0)
			s.Ordered(s.tick(), 1, two, "", 0)
			s.Taken(s.tick(), 1, one)
			s.Taken(s.tick(), 1, two)
			s.does(1, two)
			s.does(1, one)
		}, ""},
		{"of another lane", func(s *story) {
			s.order(1, one)
			s.Ordered(s.tick(), 1, two, "", 1)
			s.Taken(s.tick(), 1, two)
			s.does(1, two)
			s.does(1, one)
		}, ""},
		{"after NotNow", func(s *story) {
			s.order(1, one)
			s.order(1, two)
			s.Delivered(s.tick(), 1, one, "")
			s.Answered(s.tick(), 1, one, protocol.NotNow, true)
			s.does(1, two)
			s.does(1, one)
		}, ""},

		{
			"stuck before delivery", func(s *story) { s.order(1, one); later(s) },
			"stuck: RestartDevice " + one + " of device D1: taken and not delivered within 1m0s",
		},
		{"stuck after delivery", func(s *story) {
			s.order(1, one)
			s.Delivered(s.tick(), 1, one, "")
			s.Answered(s.tick(), 1, one, protocol.Acknowledged, false)
			later(s)
		}, "stuck: RestartDevice " + one + " of device D1: delivered, and the report not confirmed within 1m0s"},
		{
			"cannot ask at the end", func(s *story) {
				s.order(1, one)
				s.order(1, two)
				s.Ordered(s.tick(), 1, three, "RestartDevice", 0)
				s.Delivered(s.tick(), 1, one, "")
				s.Wanted(s.now, 1, "vpn", "")
				s.NotInstalled(1, "vpn")
				s.Wanted(s.tick(), 1, "wifi", "")
				s.order(2, four)
				if n := s.Unheard(s.tick(), 1); n != 2 {
					panic(n)
				}
			},
			"stuck: RestartDevice " + one + " of device D1: delivered, and the report not confirmed in 8s: the device could not tell it at the end\n" +
				"stuck: RestartDevice " + two + " of device D1: taken and not delivered in 6s: the device could not ask for work at the end\n" +
				"never converged: profile wifi of device D1: wanted, and not there",
		},
		{"put off by the device", func(s *story) {
			s.order(1, one)
			s.Delivered(s.tick(), 1, one, "")
			later(s)
			s.Answered(s.tick(), 1, one, protocol.NotNow, true)
		}, ""},
		{"off the network", func(s *story) { s.order(1, one); s.Left(1); later(s) }, ""},
		{"just back", func(s *story) { s.order(1, one); s.Left(1); later(s); s.Returned(s.tick(), 1) }, ""},
		{"server down", func(s *story) { s.order(1, one); s.Held(); later(s) }, ""},
		{"server just back", func(s *story) { s.order(1, one); s.Held(); later(s); s.Resumed(s.tick()) }, ""},
		{"enrolment ended", func(s *story) { s.order(1, one); s.Ended(s.tick(), 1); later(s) }, ""},
		{"enrolled anew", func(s *story) { s.order(1, one); s.Enrolled(s.tick(), 1); s.idle(1); later(s) }, ""},
		{
			"ordered as it enrolled anew", func(s *story) {
				enrolled := s.tick()
				s.order(1, one)
				s.Enrolled(enrolled, 1)
				later(s)
			},
			"stuck: RestartDevice " + one + " of device D1: taken and not delivered within 1m0s",
		},
		{
			"ordered after a new enrolment", func(s *story) { s.Enrolled(s.tick(), 1); s.order(1, three); later(s) },
			"stuck: RestartDevice " + three + " of device D1: taken and not delivered within 1m0s",
		},

		{
			"misdelivered", func(s *story) { s.order(1, one); s.does(2, one); s.idle(1); later(s) },
			"misdelivered: RestartDevice " + one + " of device D2: meant for D1",
		},
		{
			"misdelivered when it was stuck", func(s *story) { s.order(1, one); later(s); s.Check(s.tick()); s.does(2, one); s.does(2, one) },
			"stuck: RestartDevice " + one + " of device D1: taken and not delivered within 1m0s\n" +
				"misdelivered: RestartDevice " + one + " of device D2: meant for D1\n" +
				"doubled: RestartDevice " + one + " of device D2: delivered again after its report was confirmed",
		},
		{
			"misdelivered, and handed out there again", func(s *story) {
				s.order(1, one)
				s.Delivered(s.tick(), 2, one, "RestartDevice")
				s.does(2, one)
			},
			"misdelivered: RestartDevice " + one + " of device D2: meant for D1",
		},
		{
			"misdelivered before its id was known", func(s *story) { s.does(2, one); s.order(1, one); s.idle(1) },
			"misdelivered: RestartDevice " + one + " of device D2: meant for D1",
		},
		{"delivered before its id was known", func(s *story) {
			s.Delivered(s.tick(), 1, one, "")
			s.order(1, one)
			s.Answered(s.tick(), 1, one, protocol.Acknowledged, true)
			s.does(1, two)
			s.order(1, two)
			s.idle(1)
		}, ""},
		{"one id for two devices", func(s *story) { s.order(1, one); s.order(2, one); s.does(2, one); s.does(1, one) }, ""},

		{
			"an id that is no UUID", func(s *story) { s.order(1, "restart-7"); s.idle(1) },
			"lost: RestartDevice restart-7 of device D1: the server has told the device since that there was no work",
		},

		{"profile arrives", func(s *story) {
			s.Wanted(s.tick(), 1, "wifi", "2")
			s.Installed(s.tick(), 1, "wifi", "2")
			s.idle(1)
			later(s)
		}, ""},
		{
			"profile dropped", func(s *story) { s.Wanted(s.tick(), 1, "wifi", "2"); s.idle(1) },
			"never converged: profile wifi of device D1: wanted, and not there",
		},
		{
			"profile late", func(s *story) { s.Wanted(s.tick(), 1, "wifi", ""); later(s) },
			"never converged: profile wifi of device D1: wanted, and not there",
		},
		{"old version stays", func(s *story) {
			s.Wanted(s.tick(), 1, "wifi", "1")
			s.Installed(s.tick(), 1, "wifi", "1")
			s.Wanted(s.tick(), 1, "wifi", "2")
			s.idle(1)
		}, "never converged: profile wifi of device D1: there in another version than the wanted one"},
		{"not taken off", func(s *story) {
			s.Wanted(s.tick(), 1, "wifi", "")
			s.Installed(s.tick(), 1, "wifi", "1")
			s.Unwanted(s.tick(), 1, "wifi")
			s.idle(1)
		}, "never converged: profile wifi of device D1: not wanted any more, and still there"},
		{"may stay", func(s *story) {
			s.Wanted(s.tick(), 1, "wifi", "")
			s.Installed(s.tick(), 1, "wifi", "1")
			s.Unwanted(s.tick(), 1, "wifi")
			s.MayStay(1, "wifi")
			s.idle(1)
		}, ""},
		{"taken off", func(s *story) {
			s.Wanted(s.tick(), 1, "wifi", "")
			s.Installed(s.tick(), 1, "wifi", "1")
			s.Unwanted(s.tick(), 1, "wifi")
			s.Removed(1, "wifi")
			s.idle(1)
		}, ""},
		{"could not be installed", func(s *story) { s.Wanted(s.tick(), 1, "wifi", ""); s.NotInstalled(1, "wifi"); s.idle(1); later(s) }, ""},
		{
			"gone once it was installed after all", func(s *story) {
				s.Wanted(s.tick(), 1, "wifi", "")
				s.NotInstalled(1, "wifi")
				s.Installed(s.tick(), 1, "wifi", "1")
				s.Removed(1, "wifi")
				s.idle(1)
			},
			"never converged: profile wifi of device D1: wanted, and not there",
		},
		{"gone with the enrolment", func(s *story) {
			s.Wanted(s.tick(), 1, "wifi", "")
			s.Installed(s.tick(), 1, "wifi", "1")
			s.Ended(s.tick(), 1)
			later(s)
			s.Enrolled(s.tick(), 1)
			s.idle(1)
		}, "never converged: profile wifi of device D1: wanted, and not there"},
		{
			"another device's profile", func(s *story) {
				s.Wanted(s.tick(), 1, "wifi", "")
				s.Installed(s.tick(), 1, "wifi", "1")
				s.Installed(s.tick(), 2, "wifi", "1")
			},
			"misdelivered: profile wifi of device D2: installed, and never meant for this device",
		},
		{"the server's own profile", func(s *story) { s.Installed(s.tick(), 1, "agent", "1"); s.idle(1) }, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := begin(1, 2)
			tt.play(s)
			s.Check(s.tick())
			s.Close(s.tick())
			r := s.Result()
			var got []string
			for _, f := range r.Findings {
				got = append(got, f.String())
			}
			if g := strings.Join(got, "\n"); g != tt.want {
				t.Errorf("found %q, want %q", g, tt.want)
			}
			if r.Faults() != uint64(len(got)) {
				t.Errorf("counted %d faults of %d", r.Faults(), len(got))
			}
		})
	}
}

// Where devices come when their runner has them come, nothing is late before the server has answered the device since.
func TestAsked(t *testing.T) {
	s := begin()
	s.asked = true
	s.Enrolled(s.tick(), 1)
	s.order(1, one)
	s.now = s.now.Add(2 * time.Minute)
	for _, step := range []struct {
		status int
		stuck  uint64
	}{{0, 0}, {503, 1}} {
		begun := s.tick()
		s.Exchanged(begun, s.tick(), 1, &link.Exchange{Step: dialect.Idle, Status: step.status})
		s.Check(s.tick())
		if got := s.Result(); got.Stuck != step.stuck || got.Open != 1-step.stuck { // what is named is open no more
			t.Errorf("after an answer of %d: %+v", step.status, got.Counts)
		}
	}
}

// Every device is looked at, however many there are.
func TestCheckLooksAtAll(t *testing.T) {
	for _, n := range []int{share - 1, share, share + 1, 2*share + 5} {
		l := New(Config{Devices: n, Bound: time.Minute})
		for d := range protocol.Device(n + 1) {
			l.Enrolled(1, d)
			l.Wanted(1, d, "wifi", "")
		}
		l.Check(protocol.Time(0).Add(time.Hour))
		if got := l.Result(); got.NeverConverged != uint64(n+1) {
			t.Errorf("%d of %d were looked at", got.NeverConverged, n+1)
		}
	}
}

func TestCounts(t *testing.T) {
	s := begin(1, 2)
	s.order(1, one)
	s.order(1, two)
	s.order(2, three)
	s.Delivered(s.tick(), 1, one, "")
	s.does(1, one)
	s.does(1, "the server's own")
	s.Ended(s.tick(), 2)
	s.Wanted(s.tick(), 1, "wifi", "")
	s.NotInstalled(1, "wifi")
	got := s.Result().Counts
	want := Counts{Ordered: 3, Taken: 3, Delivered: 1, Confirmed: 1, Void: 1, Retries: 1, Unordered: 1, Open: 1, Profiles: 1, Refused: 1}
	if got != want {
		t.Errorf("counts %+v, want %+v", got, want)
	}
}

// steady is one device's order from beginning to end, and a question without an answer.
func steady(l *Ledger, now protocol.Time, d protocol.Device, id string) {
	l.Ordered(now, d, id, "DeviceInformation", 0)
	l.Taken(now+1, d, id)
	l.Delivered(now+2, d, id, "DeviceInformation")
	l.Answered(now+3, d, id, protocol.Acknowledged, true)
	l.NoWork(now+4, d)
}

func ids(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = protocol.CommandID{byte(i), byte(i >> 8), byte(i >> 16), 15: 1}.String()
	}
	return list
}

func TestSteadyPathAllocatesNothing(t *testing.T) {
	l, all := New(Config{Devices: 1000}), ids(1<<17)
	list, own := all[:1<<16], all[1<<16:]
	i := 0
	round := func() {
		d := protocol.Device(1 + i%1000)
		steady(l, protocol.Time(i+1)*10, d, list[i%len(list)])
		l.Delivered(protocol.Time(i+1)*10, d, own[i%len(own)], "SecurityInfo")
		i++
	}
	for range 2 * Strays { // what is remembered fills up
		round()
	}
	if n := testing.AllocsPerRun(1000, round); n != 0 {
		t.Errorf("%v allocations a round, want 0", n)
	}
	if r := l.Result(); r.Faults() != 0 {
		t.Errorf("found %v", r.Findings[0])
	}
}
