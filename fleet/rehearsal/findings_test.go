package rehearsal

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"rollcall/fleet"
	"rollcall/fleet/ledger"
	"rollcall/fleet/plan"
	"rollcall/fleet/population"
	"rollcall/fleet/report"
	"rollcall/protocol"
	"rollcall/protocol/lang"
	"rollcall/server/authority"
)

// invented is a story as a rehearsal could have told it, of n devices over two weeks: in each thousand some are of every kind.
func invented(n int) *Played {
	const hour = time.Hour
	start := fleet.Begin
	at := func(d time.Duration) protocol.Time { return start.Add(d) }
	p := &Played{
		Plan: &plan.Plan{Name: "invented", Seed: 7, Until: plan.Duration(14 * 24 * hour)}, Population: &population.Population{Total: n}, Seed: 7,
		Start: start, End: at(14 * 24 * hour), Gaps: []fleet.Gap{{Opened: at(hour), Closed: at(4 * 24 * hour)}},
		Acts: []fleet.Act{
			{At: at(hour), Name: "Intune is added beside Basic Mobility and Security", Text: "Each user's licences decide from now on; devices keep working as they are until their next completed check-in. The gap opens: Apple devices get 503 until a renewed push certificate is uploaded.", Rule: "AUTH-04", Main: true}, {At: at(4 * 24 * hour), Name: "A renewed push certificate is uploaded", Rule: protocol.RuleGapClosed, Main: true},
		},
		Checked: 12345, CheckIns: uint64(42 * n), Refused: uint64(n), Enrolments: uint64(n), Barred: map[protocol.Rule]Refusals{protocol.RulePushGap: {7, 3}, protocol.RulePushExpired: {5, 2}}, Renewals: 3, Removed: 2,
	}
	r := rand.New(rand.NewPCG(1, 2))
	for u := range max(1, n/2) {
		p.Population.Users = append(p.Population.Users, population.User{UPN: fmt.Sprintf("user-%d", u+1), Licence: population.BMSLicence})
	}
	for i := range n {
		d := population.Device{Name: fmt.Sprintf("device-%d", i+1), UDID: fmt.Sprintf("%08X", i+1), Platform: protocol.Platforms[i%5], User: int32(i / 2 % len(p.Population.Users))}
		l := Life{Enrolled: true, Registered: protocol.Intune, LastSeen: at(13*24*hour + 20*hour), CertEnd: at(365*24*hour + time.Duration(i%3)*24*hour), CheckIns: 42, Enrolments: 1}
		switch kind := i % 100; {
		case kind == 0: // userless
			d.User, d.Enrolment = population.Nobody, population.Automated
			l.Registered, l.Standing, l.why = protocol.Office365, Standing{Stranded: true, NeedsSupport: true}, reasonOf(protocol.RuleUserless)
		case kind == 1: // its identity ended
			l.Registered, l.Standing, l.MustEnrol, l.why = protocol.Office365, Standing{Pending: true, Stranded: true}, true, reasonOf(protocol.RuleNotRenewed)
			l.CertEnd, l.LastSeen, l.FirstPending = at(2*24*hour), at(hour/2), at(hour)
		case kind == 2: // away to the end
			l.Registered, l.Standing, l.Away, l.FirstPending = protocol.Office365, Standing{Pending: true, Stranded: true}, true, at(hour)
			l.LastSeen, l.lacks().Unprotected[protocol.Email], l.lacks().Unassigned, l.Bare = at(hour/2), 6*24*hour, 6*24*hour, true
		case kind == 3: // another topic
			l.Registered, l.Standing, l.why, l.FirstPending = protocol.Office365, Standing{Pending: true, Stranded: true}, reasonOf(protocol.RuleOtherTopic), at(hour)
		case kind == 4:
			l.Registered, l.Standing.Unlicensed = protocol.Office365, true
		case kind == 5:
			l.Registered, l.Standing, l.FirstPending = protocol.Office365, Standing{Pending: true}, at(13*24*hour)
		case kind == 6:
			l.Registered, l.Standing.Reregistered, l.FirstPending, l.MovedAt, l.Redundant = protocol.Office365, true, at(hour), at(5*hour), 2
		case kind == 7:
			l.Registered, l.Standing, l.FirstPending, l.why = protocol.Office365, Standing{Pending: true, Blocked: true}, at(hour), reasonOf(protocol.RulePushExpired)
			l.Silenced = 24 * hour
		default:
			l.Moved, l.Prompted, l.FirstPending = true, true, at(hour)
			l.MovedAt = at(hour + time.Duration(r.ExpFloat64()*float64(4*hour)))
			if d.Platform.Apple() {
				l.Blocked = 4*24*hour - hour
				l.MovedAt = at(4*24*hour + time.Duration(r.IntN(480))*time.Minute)
			}
			if kind < 60 {
				l.lacks().Unprotected[protocol.Email], l.lacks().Unprotected[protocol.Configuration] = 30*time.Minute, time.Duration(kind)*time.Minute
			}
		}
		p.Population.Devices = append(p.Population.Devices, d)
		p.Lives = append(p.Lives, l)
	}
	for h := range 14 * 24 {
		end := at(time.Duration(h+1) * hour)
		var x Hour
		for i := range p.Lives {
			l, k := &p.Lives[i], p.Population.Devices[i].Platform-1
			x.Enrolled[k]++
			switch {
			case l.Moved && l.MovedAt <= end:
				x.Moved[k]++
			case l.FirstPending != 0 && l.FirstPending <= end && (l.Moved || l.Pending):
				x.Pending[k]++
				if l.held() > 0 && end <= p.Gaps[0].Closed {
					x.Blocked[k]++
				}
			}
			if l.Stranded {
				x.Stranded[k]++
			}
		}
		p.Hours = append(p.Hours, x)
	}
	for m := range 14 * 24 * 60 {
		x := Minute{CheckIns: uint32(n/480 + r.IntN(n/400+2)), Wakes: uint32(n / 700), Issued: uint32(r.IntN(3))}
		if since := m - 60; since >= 0 && since < 30 {
			x.CheckIns += uint32(n * (30 - since) / 900)
			x.Wakes += uint32(n * (30 - since) / 600)
		}
		p.Minutes = append(p.Minutes, x)
	}
	return p
}

// What a tenant's devices lack together is more than a Duration holds (question 4).
func TestDeviceTimeOfMillions(t *testing.T) {
	a := &Answers{Bare: [len(protocol.Families) + 1]Times{protocol.Email: timesOf(slices.Repeat([]time.Duration{14 * 24 * time.Hour}, 200_000))}}
	a.Bare[protocol.Configuration] = a.Bare[protocol.Email]
	if got, want := a.bareHours(), uint64(2*14*24*200_000); got != want {
		t.Errorf("%d device-hours, want %d", got, want)
	}
}

// The seven questions of authority.md, "What a rehearsal answers".
func TestAnswers(t *testing.T) {
	p := invented(1000)
	a := p.Answer(0.5)
	for _, tt := range []struct {
		question  string
		got, want any
	}{
		{"1 movable", a.All.Movable, 940},
		{"1 moved", a.All.Moved, 920},
		{"1 registered anew", a.All.Reregistered, 10},
		{"1 half within", a.Half > 0 && a.Half < 4*24*time.Hour+8*time.Hour, true},
		{"1 95 in 100 within", a.Most >= a.Half && a.Most <= 4*24*time.Hour+8*time.Hour, true},
		{"1 all", a.Whole, Never},
		{"1 last", p.Lives[a.Last].MovedAt, slices.MaxFunc(p.Lives, func(x, y Life) int { return int(x.MovedAt - y.MovedAt) }).MovedAt},
		{"1 why", a.whyLast(lang.English), "the push certificate held it for 3 days 23 h (AUTH-30)"},
		{"1 platforms", len(a.ByPlatform), 5},
		{"1 authorities", len(a.ByAuthority), 2},
		{"1 enrolment types", len(a.Ways), 2},
		{"2 held", a.Held.Devices, 550},
		{"2 silenced", a.Silenced, Times{Devices: 10, Half: 24 * time.Hour, Longest: 24 * time.Hour, NinetyFive: 24 * time.Hour, Total: 240 * 3_600_000}},
		{"2 longest", a.Held.Longest, 95 * time.Hour},
		{"2 enrolments", a.Declined, uint64(7)},
		{"2 devices that could not enrol", a.Turned, 3},
		{"3 userless", a.Stranded[authority.Userless], 10},
		{"3 expired", a.Stranded[authority.Expired], 10},
		{"3 topic", a.Stranded[authority.TopicChanged], 10},
		{"3 offline", a.Stranded[authority.Offline], 10},
		{"3 must enrol", a.All.MustEnrol, 10},
		{"3 unlicensed", a.All.Unlicensed, 10},
		{"4 mail", a.Bare[protocol.Email].Total, DeviceTime((520*30*time.Minute + 10*6*24*time.Hour).Milliseconds())},
		{"4 redundant", a.Redundant, 20},
		{"5 removed", a.Removed, uint64(2)},
		{"5 renewed", a.Renewals, uint64(3)},
		{"6 peak at", a.CheckInPeak.At, time.Hour},
		{"6 over", a.Over > 0 && a.Over <= 30, true},
		{"7 findings", len(a.Findings(lang.English)) > 7, true},
	} {
		if tt.got != tt.want {
			t.Errorf("%s: %v, want %v", tt.question, tt.got, tt.want)
		}
	}
	early := invented(1)
	early.Lives[0] = Life{Enrolled: true, Registered: protocol.Intune, Standing: Standing{Moved: true}} // before the beginning
	if a := early.Answer(0); a.All.Moved != 1 || a.Last != -1 || a.Whole != 0 || !strings.Contains(strings.Join(a.lead(lang.English, early.Population), " "), "before the beginning") {
		t.Errorf("moved before the beginning: last %d, all after %s, %q", a.Last, a.Whole, a.lead(lang.English, early.Population))
	}
	if none := (&Played{Plan: p.Plan, Population: &population.Population{}, Start: p.Start, End: p.End}).Answer(0); none.Last != -1 || none.Half != Never || len(none.Findings(lang.Dutch)) != 0 {
		t.Errorf("a story of nobody: %+v", none)
	}
}

// HST-116: certificates that end in the same week are forecast, and a few are no crowd.
func TestHST116ForecastOfTheWeek(t *testing.T) {
	found := func(a *Answers) bool {
		return slices.ContainsFunc(a.Findings(lang.English), func(f report.Finding) bool { return f.Rule == protocol.RuleRenewal })
	}
	p := invented(1000)
	if a := p.Answer(0); !found(a) {
		t.Errorf("all end in one week, and nobody says so: %v", a.Weeks)
	}
	for i := range p.Lives {
		p.Lives[i].CertEnd = p.End.Add(time.Duration(i%52) * week)
	}
	if a := p.Answer(0); found(a) {
		t.Errorf("they end evenly over the year, and it is called a crowd: %v", a.Weeks)
	}
}

// HST-118: what is counted for many is what is counted one by one, in any order.
func TestHST118AnswersInAnyOrder(t *testing.T) {
	p := invented(500)
	want := p.Answer(0)
	sum := map[authority.Reason]int{}
	var moved, bare int
	for i := range p.Lives {
		one := *p
		one.Lives, one.Population = p.Lives[i:i+1], &population.Population{Users: p.Population.Users, Devices: p.Population.Devices[i : i+1]}
		a := one.Answer(0)
		for r, n := range a.Stranded {
			sum[r] += n
		}
		moved += a.All.Moved
		bare += a.BareAny
	}
	if moved != want.All.Moved || bare != want.BareAny || fmt.Sprint(sum) != fmt.Sprint(want.Stranded) {
		t.Errorf("one by one %d moved, %d bare, %v; together %d, %d, %v", moved, bare, sum, want.All.Moved, want.BareAny, want.Stranded)
	}
	back := *p
	back.Lives, back.Population = slices.Clone(p.Lives), &population.Population{Users: p.Population.Users, Devices: slices.Clone(p.Population.Devices)}
	slices.Reverse(back.Lives)
	slices.Reverse(back.Population.Devices)
	if got, want := back.Answer(0).Findings(lang.English), want.Findings(lang.English); !slices.Equal(got, want) {
		t.Errorf("backwards:\n%v\nwant\n%v", got, want)
	}
}

// Findings come by harm: what needs hands on a device before what was open, before what waits, before what is untidy.
func TestFindingsGolden(t *testing.T) {
	a := invented(1000).Answer(1)
	for l, file := range map[lang.Language]string{lang.English: "findings.en.txt", lang.Dutch: "findings.nl.txt"} {
		var got strings.Builder
		for _, f := range a.Findings(l) {
			fmt.Fprintf(&got, "%s %s (%d, %d)\n  %s\n  %s\n", f.Rule, f.Title, f.Count, f.Devices, f.Consequence, f.Action)
		}
		golden(t, file, []byte(got.String()))
		var page bytes.Buffer
		if err := report.Summary(&page, &report.Result{Command: "rehearse", Verdict: report.OK, Seed: 7, VirtualSeconds: 1}, a.Story(l, a.Population), false); err != nil {
			t.Fatal(err)
		}
		golden(t, strings.Replace(file, "findings", "rehearsed", 1), page.Bytes())
	}
}

func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", file)
	if flag.Lookup("update").Value.String() == "true" {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s changed; got:\n%s", path, got)
	}
}

// The headline says what is so of every kind of device there is, in both languages.
func TestHeadline(t *testing.T) {
	moved := Life{Enrolled: true, Standing: Standing{Moved: true}, Moves: 1}
	twice := Life{Enrolled: true, Standing: Standing{Moved: true}, Moves: 2}
	again := Life{Enrolled: true, Standing: Standing{Pending: true}, Moves: 1}
	lost := Life{Enrolled: true, Standing: Standing{Pending: true, Stranded: true}, Moves: 1}
	waits := Life{Enrolled: true, Standing: Standing{Pending: true}}
	blocked := Life{Enrolled: true, Standing: Standing{Pending: true, Blocked: true}}
	older := Life{Enrolled: true, Standing: Standing{Stale: true, Blocked: true}}
	anew := Life{Enrolled: true, Standing: Standing{Reregistered: true}}
	gone := Life{Enrolled: true, Standing: Standing{Pending: true, Stranded: true}}
	for _, tt := range []struct {
		name           string
		lives          []Life
		partial        bool
		english, dutch string
	}{
		{"nobody", nil, false, "No device was to move", "Geen enkel apparaat hoefde over te gaan"},
		{"nobody moves", []Life{anew, anew}, false, "No device was to move; 2 devices registered anew", "Geen enkel apparaat hoefde over te gaan; 2 apparaten registreerden opnieuw"},
		{"nobody moves, and who registers anew is blocked", []Life{older}, false, "No device was to move; 1 is blocked", "Geen enkel apparaat hoefde over te gaan; 1 wordt tegengehouden"},
		{"nobody can", []Life{gone, anew}, false, "No device could move by itself; 1 never will by itself", "Geen enkel apparaat kon vanzelf overgaan; 1 gaat nooit vanzelf over"},
		{"nobody has", []Life{waits, waits}, false, "None of the 2 devices that could move did", "Geen van de 2 apparaten die konden overgaan, ging over"},
		{"one has not", []Life{waits}, false, "The one device that could move did not", "Het ene apparaat dat kon overgaan, ging niet over"},
		{"one", []Life{moved}, false, "The one device that could move did", "Het ene apparaat dat kon overgaan, ging over"},
		{"all", []Life{moved, moved}, false, "All 2 devices that could move did", "Alle 2 apparaten die konden overgaan, gingen over"},
		{"some", []Life{moved, waits, gone}, false, "1 of the 2 devices that could move has; 1 never will by itself", "1 van de 2 apparaten die konden overgaan, ging over; 1 gaat nooit vanzelf over"},
		{"some twice", []Life{moved, twice, twice}, false, "All 3 devices that could move did; 2 have moved more than once", "Alle 3 apparaten die konden overgaan, gingen over; 2 gingen meer dan eens over"},
		{"pending again", []Life{again, again}, false, "All 2 devices that could move did; 2 are to move again", "Alle 2 apparaten die konden overgaan, gingen over; 2 moeten opnieuw overgaan"},
		{"one pending again, and away", []Life{lost, anew}, false, "The one device that could move did; 1 is to move again; 1 never will by itself", "Het ene apparaat dat kon overgaan, ging over; 1 moet opnieuw overgaan; 1 gaat nooit vanzelf over"},
		{"pending again and not yet", []Life{again, waits, moved}, false, "2 of the 3 devices that could move have; 1 is to move again", "2 van de 3 apparaten die konden overgaan, gingen over; 1 moet opnieuw overgaan"},
		{"all blocked", []Life{blocked, blocked}, false, "All 2 devices that are to move are blocked", "Alle 2 apparaten die moeten overgaan, worden tegengehouden"},
		{"all blocked, and one that registers anew", []Life{blocked, older}, false, "The one device that is to move is blocked; 1 more is blocked", "Het ene apparaat dat moet overgaan, wordt tegengehouden; nog 1 wordt tegengehouden"},
		{"some blocked", []Life{moved, blocked}, false, "1 of the 2 devices that could move has; 1 is blocked", "1 van de 2 apparaten die konden overgaan, ging over; 1 wordt tegengehouden"},
		{"cut short before", []Life{anew}, true, "Interrupted after 14 days; until then: no device was to move; 1 device registered anew", "Onderbroken na 14 dagen; tot dan: geen enkel apparaat hoefde over te gaan; 1 apparaat registreerde opnieuw"},
		{"cut short between", []Life{moved, waits, gone}, true, "Interrupted after 14 days; until then: 1 of the 2 devices that could move has; 1 could not by itself", "Onderbroken na 14 dagen; tot dan: 1 van de 2 apparaten die konden overgaan, ging over; 1 kon dat niet vanzelf"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := invented(len(tt.lives))
			p.Lives, p.Partial = tt.lives, tt.partial
			a := p.Answer(0)
			if got := a.headline(lang.English); got != tt.english {
				t.Errorf("%q, want %q", got, tt.english)
			}
			if got := a.headline(lang.Dutch); got != tt.dutch {
				t.Errorf("%q, want %q", got, tt.dutch)
			}
		})
	}
}

// The busiest minute is the first of those in which there was most, and none where nothing happened.
func TestBusiestMinute(t *testing.T) {
	a := &Answers{Played: &Played{Minutes: []Minute{{CheckIns: 1}, {CheckIns: 3, Wakes: 2}, {Issued: 5}, {CheckIns: 3, Wakes: 2, Issued: 5}}}}
	a.storm()
	if a.CheckInPeak != (Peak{time.Minute, 3}) || a.WakePeak != (Peak{time.Minute, 2}) || a.IssuePeak != (Peak{2 * time.Minute, 5}) {
		t.Errorf("most check-ins %+v, pushes %+v, certificates %+v", a.CheckInPeak, a.WakePeak, a.IssuePeak)
	}
	a = &Answers{Played: &Played{Minutes: make([]Minute, 3)}}
	if a.storm(); a.CheckInPeak != (Peak{}) {
		t.Errorf("without any check-in the busiest minute is %+v", a.CheckInPeak)
	}
}

// Check-ins are counted by what became of them: what the server refused is none that failed, and an enrolment is none.
func TestCheckInsByOutcome(t *testing.T) {
	k, u := new(part), new(unit)
	for _, c := range []Contact{
		{Done: true},
		{Refusal: protocol.RulePushGap},
		{Refusal: protocol.RuleOtherTopic},
		{},
		{Began: protocol.Enrol, Done: true},
		{Began: protocol.Enrol, Refusal: protocol.RuleGates},
	} {
		k.count(&c, u)
	}
	if k.done != 1 || k.refused != 2 || k.failed != 1 || u.checkIns != 1 {
		t.Errorf("%d done, %d refused, %d failed, %d of the device; want 1, 2, 1, 1", k.done, k.refused, k.failed, u.checkIns)
	}
	p := invented(1)
	p.CheckIns, p.Failed, p.Refused = 100, 20, 3
	if got, want := p.Result(p.Answer(0)).CheckIns, (report.CheckIns{Offered: 123, Started: 123, Done: 100, Failed: 20, Refused: 3}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestEntries(t *testing.T) {
	a := invented(100).Answer(0)
	var got []Entry
	if err := a.Entries(lang.English, a.Population, func(e Entry) error { got = append(got, e); return nil }); err != nil {
		t.Fatal(err)
	}
	for i, want := range map[int]Entry{
		0: {"device-1", "", "AUTH-18: it has no user, so nothing moves it by itself", "have support move the device, or unenrol it and enrol it again (AUTH-18, AUTH-44)"},
		1: {"device-2", "user-1", "AUTH-42: its identity certificate has ended or was revoked", "have the user enrol the device again (AUTH-44)"},
		4: {"device-5", "user-3", "AUTH-17: its user holds no licence for the authority that manages it", "assign a licence to the user, or retire the device"},
		5: {"device-6", "user-3", "AUTH-21: it has not completed a check-in since it could move", "wait for the device, or ask the user to sync it (AUTH-22)"},
		7: {"device-8", "user-4", "AUTH-33: Apple's push certificate is not renewed, so it cannot check in", "upload the renewed push certificate, with the same Apple ID (AUTH-31)"},
	} {
		if got[i] != want {
			t.Errorf("entry %d: %q, want %q", i, got[i], want)
		}
	}
	stop := fmt.Errorf("stop")
	if err := a.Entries(lang.Dutch, a.Population, func(Entry) error { return stop }); err != stop {
		t.Errorf("an entry that cannot be written: %v", err)
	}
}

// A page of a hundred thousand devices is as small as any, and its lists show 200 rows and how many there are.
func TestPageOfMany(t *testing.T) {
	a := invented(100_000).Answer(50)
	var page bytes.Buffer
	if err := report.Page(&page, &report.Result{Command: "rehearse", Verdict: report.OK, Seed: 7}, a.Story(lang.English, a.Population)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"200 of 1,000 are shown. All of them are in devices.csv beside this page.", "200 of 53,000 are shown."} {
		if !bytes.Contains(page.Bytes(), []byte(want)) {
			t.Errorf("the page of %d bytes does not say %q", page.Len(), want)
		}
	}
	if page.Len() > 500_000 {
		t.Errorf("%d bytes", page.Len())
	}
}

// No English reaches the Dutch report of a story in which all went wrong that can.
func TestDutchReportIsDutch(t *testing.T) {
	p := invented(1000)
	p.Violated, p.Removed = 2, 2
	for i, why := range []protocol.Rule{protocol.RuleConsent, protocol.RuleUserless} {
		p.Lives[90+i] = Life{why: reasonOf(why)}
		p.Population.Devices[80+i].Traits |= population.Leaving
	}
	p.Population.Doubts = []population.Doubt{{Kind: population.NoOwner, Name: "device-4", Owner: population.Nobody, Text: lang.Later("its directory object is disabled; kept: still enrolled, cut off from data"), Other: lang.Later("idle since it was registered")}}
	a := p.Answer(1)
	a.Cut, a.Forced, a.Lapsed, a.Reversed = 3, 3, 1, 2
	s := a.Story(lang.Dutch, a.Population)
	if n := len(s.Findings); n != 22 {
		t.Errorf("%d findings: not one of each", n)
	}
	s.Plan = ""
	result := &report.Result{
		Version: 1, Command: "rehearse", Verdict: report.Failed, Seed: 7, VirtualSeconds: 86400, WallSeconds: 1, CPUSeconds: 1, PeakRSSBytes: 1 << 30, EventLogSHA256: "abc",
		Devices:    report.Devices{Total: 1001, Enrolled: 1000, LeftOut: 1, Moved: 5, LeftOutBy: map[string]int{"not_managed": 1}, ByPlatform: map[protocol.Platform]report.PlatformSize{protocol.IOS: {Total: 1000}}},
		Invariants: report.Invariants{Checked: 9, Violated: 2}, CheckIns: report.CheckIns{Offered: 3, Done: 3},
		Limits: []report.Limit{{Limit: "moved.p95 < 12h", Got: report.NotJudged, OK: true}, {Limit: "checkins.p99 < 50ms", Got: "1d"}, {Limit: "wall_seconds < 1s", Got: report.NotApplicable, OK: true}},
		Reasons: []string{
			lang.English.Say("%s does not hold for %s: %s", "I3", "device-7", lang.English.Say("command %s was answered for good and was not waiting", "7F")),
			lang.English.Say("ledger: %s", ledger.Finding{Fault: ledger.Lost, Device: "device-7", Command: "7F", Detail: lang.English.Say("meant for %s", "device-8")}.String()),
			lang.English.Say("limit %s: got %s", "checkins.p99 < 50ms", "1d"),
		},
	}
	var page, summary bytes.Buffer
	if err := report.Page(&page, result, s); err != nil {
		t.Fatal(err)
	}
	if err := report.Summary(&summary, result, s, false); err != nil {
		t.Fatal(err)
	}
	root, err := html.Parse(&page)
	if err != nil {
		t.Fatal(err)
	}
	sentences := inEnglish(t)
	for _, text := range append(textsOf(root), summary.String()) {
		if word := english.FindString(deviceNames.ReplaceAllString(text, "")); word != "" {
			t.Errorf("%q in %.200q", word, text)
		}
		words := strings.Join(strings.Fields(text), " ")
		for _, sentence := range sentences {
			if strings.Contains(words, sentence) {
				t.Errorf("%q is told in English: %.200q", sentence, text)
			}
		}
	}
}

// textsOf are the texts of a page, as people see and hear them.
func textsOf(root *html.Node) (texts []string) {
	for n := range root.Descendants() {
		if n.Type == html.TextNode && n.Parent.Data != "style" && n.Parent.Data != "script" {
			texts = append(texts, n.Data)
		}
		for _, attr := range n.Attr {
			if attr.Key == "aria-label" || attr.Key == "title" {
				texts = append(texts, attr.Val)
			}
		}
	}
	return texts
}

// inEnglish are the parts of the catalogue's English sentences between their arguments that are several words, and in no Dutch one.
func inEnglish(t *testing.T) (parts []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "..", "protocol", "lang", "catalogue", "*.txt"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	var dutch strings.Builder
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for line := range strings.Lines(string(data)) {
			if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
				continue
			}
			if n++; n%2 == 0 {
				dutch.WriteString(line + "\n")
				continue
			}
			for _, part := range argument.Split(line, -1) {
				if part = strings.TrimSpace(part); len(part) > 12 && strings.Contains(part, " ") {
					parts = append(parts, part)
				}
			}
		}
	}
	in := dutch.String()
	return slices.DeleteFunc(parts, func(part string) bool { return strings.Contains(in, part) })
}

// argument is where a sentence of the catalogue has an argument, or a choice by one.
var argument = regexp.MustCompile(`%(?:\[\d+\])?[a-z]|\{[^{}]*\}`)

// english are words that no Dutch text has.
var english = regexp.MustCompile(`(?i)\b(the|and|devices?|which|with|this|are|were|not|by|enrolled|moved|blocked|rules?|day|days|shown|to|from|user|at|for|most|all|check-ins done)\b`)

var deviceNames = regexp.MustCompile(`\b(device|user)-\d+|report-data|devices\.csv|moved\.p95`)

// Device-hours are rounded to the nearest, what was there at all is one, and their sum is that of the families as they are shown (AUTH-38).
func TestAUTH38HoursRounded(t *testing.T) {
	for in, want := range map[time.Duration]uint64{0: 0, time.Second: 1, 89 * time.Minute: 1, 90 * time.Minute: 2, 1333*time.Hour + 11*time.Minute: 1333} {
		var sum DeviceTime
		if sum.add(in); sum.hours() != want {
			t.Errorf("%s are %d device-hours, want %d", in, sum.hours(), want)
		}
	}
	var a Answers
	a.Bare[protocol.Email].Total.add(1333*time.Hour + 20*time.Minute)
	a.Bare[protocol.Configuration].Total.add(1333*time.Hour + 20*time.Minute)
	if got := a.bareHours(); got != 2666 {
		t.Errorf("1,333 and 1,333 device-hours are %d in all", got)
	}
}

// A week of certificates stands out by their number, by its share of all, and by how much that is above an even share of the weeks.
func TestCertificatesCrowdAWeek(t *testing.T) {
	for _, tt := range []struct {
		most, all, weeks int
		want             bool
	}{
		{100, 300, 10, true},
		{99, 297, 10, false},  // too few
		{100, 400, 52, false}, // a quarter, not more
		{100, 300, 9, false},  // three times its even share, not more
	} {
		if got := crowded(tt.most, tt.all, tt.weeks); got != tt.want {
			t.Errorf("%d of %d certificates in one of %d weeks: %t, want %t", tt.most, tt.all, tt.weeks, got, tt.want)
		}
	}
}

// A device whose new profiles wait for it needs its user; one to which nobody assigned any needs profiles (AUTH-38).
func TestAUTH38ActionOfOneDevice(t *testing.T) {
	a := invented(1).Answer(0)
	a.Lives[0] = Life{}
	a.Lives[0].lacks().Unassigned = changeover - 1
	if got := a.actionOf(0, isBare); got != waitsForIt {
		t.Errorf("its profiles wait for it: %q", got)
	}
	a.Lives[0].lacks().Unassigned = changeover
	if got := a.actionOf(0, isBare); got != concernWords[isBare].action {
		t.Errorf("it was assigned none: %q", got)
	}
}
