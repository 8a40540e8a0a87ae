package rehearsal_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"rollcall/fleet"
	"rollcall/fleet/plan"
	"rollcall/fleet/population"
	"rollcall/fleet/rehearsal"
	"rollcall/fleet/report"
	"rollcall/protocol"
)

// ready returns a ready plan, with so many devices where n is not 0.
func ready(t *testing.T, name string, n int) *plan.Plan {
	t.Helper()
	p, err := plan.BuiltIn(name)
	if err == nil && n != 0 {
		p, err = p.WithDevices(n)
	}
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func parsed(t *testing.T, text string) *plan.Plan {
	t.Helper()
	p, err := plan.Parse("test.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func played(t *testing.T, c rehearsal.Config) *rehearsal.Played {
	t.Helper()
	if c.Population == nil {
		c.Population = population.New(c.Plan)
	}
	out, err := rehearsal.Play(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Every ready plan can be rehearsed, breaks no invariant, and keeps the limits that it sets itself.
func TestPlayReadyPlans(t *testing.T) {
	for _, name := range plan.BuiltIns() {
		t.Run(name, func(t *testing.T) {
			out := played(t, rehearsal.Config{Plan: ready(t, name, 0)})
			result := out.Result(out.Answer(0))
			out.Judge(result)
			if result.Verdict != report.OK {
				t.Errorf("%s: %q", result.Verdict, result.Reasons)
			}
			if out.Partial || out.End.Sub(out.Start) != time.Duration(out.Plan.Until) {
				t.Errorf("it ends after %s", out.End.Sub(out.Start))
			}
		})
	}
}

// One seed and input tell the same story, to the byte of its log, however many workers play it (HST-124).
func TestHST124Workers(t *testing.T) {
	seeds, many := map[string]uint64{}, uint64(20)
	if testing.Short() {
		many = 2 // the race detector needs no more
	}
	for seed := range many {
		p := ready(t, "lab", 150)
		p.Seed = seed
		var first *rehearsal.Played
		for _, workers := range []int{1, 2, 4} {
			var log bytes.Buffer
			out := played(t, rehearsal.Config{Plan: p, Workers: workers, Partition: 16, Log: &log})
			if sum := sha256.Sum256(log.Bytes()); hex.EncodeToString(sum[:]) != out.LogSHA256 || uint64(bytes.Count(log.Bytes(), []byte("\n"))) != out.LogLines {
				t.Fatalf("seed %d: the log's sum or its lines are not those of its bytes", seed)
			}
			if first == nil {
				first = out
				seeds[out.LogSHA256] = seed
				t.Logf("seed %d tells %s", seed, out.LogSHA256)
				continue
			}
			if out.LogSHA256 != first.LogSHA256 {
				t.Errorf("seed %d: another log with %d workers", seed, workers)
			}
			if diff := cmp.Diff(first, out, cmpopts.IgnoreFields(rehearsal.Played{}, "Plan", "Population"), cmp.AllowUnexported(rehearsal.Life{})); diff != "" {
				t.Errorf("seed %d: another outcome with %d workers:\n%s", seed, workers, diff)
			}
		}
	}
	if uint64(len(seeds)) != many {
		t.Errorf("%d seeds tell %d stories", many, len(seeds))
	}
}

// A log begins with all that it takes to play the story again, and its lines are in order of time.
func TestLogHeader(t *testing.T) {
	p := ready(t, "support", 60)
	var log bytes.Buffer
	out := played(t, rehearsal.Config{Plan: p, Partition: 16, Log: &log, Source: rehearsal.Source{Made: true, Devices: 60}})
	lines := bytes.Split(bytes.TrimSpace(log.Bytes()), []byte("\n"))
	var h rehearsal.LogHeader
	if err := json.Unmarshal(lines[0], &h); err != nil || h.EventLog != rehearsal.LogVersion || h.Seed != p.Seed || h.Population.Devices != 60 || h.Start != out.Start {
		t.Fatalf("header %+v, %v", h, err)
	}
	again, err := plan.Parse("again.yaml", []byte(h.Plan))
	if err == nil {
		again, err = again.WithDevices(h.Population.Devices)
	}
	if err != nil {
		t.Fatal(err)
	}
	if replayed := played(t, rehearsal.Config{Plan: again, Partition: h.Partition, Source: h.Population}); replayed.LogSHA256 != out.LogSHA256 {
		t.Errorf("what the header says plays another story")
	}
	before := protocol.Time(0)
	for _, text := range lines[1:] {
		var l rehearsal.Line
		if err := json.Unmarshal(text, &l); err != nil || l.At < before {
			t.Fatalf("%s after %s: %v", text, before, err)
		}
		before = l.At
		if b, _ := json.Marshal(&l); !bytes.Equal(b, text) && !bytes.ContainsAny(text, "<>&") {
			t.Fatalf("written as %s, encoding/json writes %s", text, b)
		}
	}
}

// A rehearsal that is interrupted tells what was played until then, and judges no limit (HST-125).
func TestHST125Interrupted(t *testing.T) {
	p := ready(t, "lab", 100)
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	out, err := rehearsal.Play(ctx, rehearsal.Config{Plan: p, Population: population.New(p), Progress: func(now fleet.Progress) {
		if now.Now.Sub(now.Start) >= 5*24*time.Hour {
			interrupt()
		}
	}})
	if err != nil || !out.Partial {
		t.Fatalf("partial %t, %v", out.Partial, err)
	}
	if at := out.End.Sub(out.Start); at < 5*24*time.Hour || at > 6*24*time.Hour || len(out.Hours) != int(at/time.Hour) {
		t.Errorf("it ends after %s, with %d hours", at, len(out.Hours))
	}
	result := out.Result(out.Answer(0))
	out.Judge(result)
	if result.Verdict != report.Partial || result.Limits[0].Got != report.NotJudged || result.Devices.Enrolled == 0 {
		t.Errorf("%s, %+v, %d enrolled", result.Verdict, result.Limits[0], result.Devices.Enrolled)
	}
}

// Of a rehearsal of many devices that is interrupted there are those that were played first, to the end of the story, and nothing of the
// others; its log says how many partitions they are, and with that it can be played again (HST-125).
func TestHST125FirstPartitions(t *testing.T) {
	p := ready(t, "lab", 100)
	pop := population.New(p)
	for workers := 1; workers <= 3; workers++ {
		var log, again bytes.Buffer
		ctx, interrupt := context.WithCancel(t.Context())
		out, err := rehearsal.Play(ctx, rehearsal.Config{Plan: p, Population: pop, Partition: 10, Workers: workers, Log: &log, Progress: func(now fleet.Progress) {
			if now.Played >= 30 {
				interrupt()
			}
		}})
		interrupt()
		if err != nil || !out.Partial {
			t.Fatalf("partial %t, %v", out.Partial, err)
		}
		if n := len(out.Devices); n == 0 || n == 100 || len(out.Lives) != n || len(out.Population.Devices) != n {
			t.Fatalf("%d devices, %d lives, %d in the population", n, len(out.Lives), len(out.Population.Devices))
		}
		for i, d := range out.Devices {
			if out.Population.Devices[i].UDID != pop.Devices[d].UDID {
				t.Fatalf("device %d of those that were played is not device %d", i, d)
			}
		}
		header, _, _ := bytes.Cut(log.Bytes(), []byte("\n"))
		var h rehearsal.LogHeader
		if err := json.Unmarshal(header, &h); err != nil || h.Partitions == 0 {
			t.Fatalf("header %s: %v", header, err)
		}
		first := played(t, rehearsal.Config{Plan: p, Population: pop, Partition: 10, Partitions: h.Partitions, Log: &again})
		if first.End == out.End { // else not even the first was through
			if last, same := bytes.CutPrefix(log.Bytes(), again.Bytes()); !same || bytes.Count(last, []byte("\n")) != 1 {
				t.Errorf("with %d workers: the first %d partitions tell another story", workers, h.Partitions)
			}
			if diff := cmp.Diff(first, out, cmpopts.IgnoreFields(rehearsal.Played{}, "Plan", "Population", "Partial", "LogSHA256", "LogLines"), cmp.AllowUnexported(rehearsal.Life{})); diff != "" {
				t.Errorf("with %d workers: of the first %d partitions there is another outcome:\n%s", workers, h.Partitions, diff)
			}
		}
		result := out.Result(out.Answer(0))
		if d := &result.Devices; d.Total != 100 || d.LeftOut != 100-len(out.Devices) || d.LeftOutBy[string(population.NotPlayed)] != d.LeftOut {
			t.Errorf("%d devices, %d left out: %v", d.Total, d.LeftOut, d.LeftOutBy)
		}
	}
}

// What the server refuses by rule is the rehearsal's refusal, with its moment: a change that strands users of BMS needs force.
func TestPlayRefused(t *testing.T) {
	p := parsed(t, `
until: 2d
tenant: {authority: office365, release: 1910}
population: {devices: 40, mix: {ios: 100}, licences: {basic: 100}}
timeline:
  - {at: 0s, enrol: {over: 1h}}
  - {at: 1d, authority: {set: coexistence}}
`)
	_, err := rehearsal.Play(t.Context(), rehearsal.Config{Plan: p, Population: population.New(p), Partition: 8})
	if no := new(protocol.Refusal); !errors.As(err, &no) || no.Rule != "AUTH-09" {
		t.Errorf("nobody holds a licence that entitles Intune: %v, want a refusal by AUTH-09", err)
	}
}

// A device's life: it is pending from the change on, blocked as long as the gap is open, could move from its end on, and has moved
// within one interval; the mail that BMS gave it leaves at that check-in, and comes back when Intune's is assigned.
func TestPlayLives(t *testing.T) {
	p := parsed(t, `
until: 6d
tenant: {authority: office365, release: 1910}
population: {devices: 40, mix: {ios: 50, windows: 50}, licences: {intune: 100}}
profiles: [{name: mail, family: email}]
timeline:
  - {at: 0s, enrol: {over: 1h}}
  - {at: 2h, profiles: {assign: mail, group: all}}
  - {at: 1d, authority: {set: coexistence}}
  - {at: 2d, apns: {upload: renewed}}
  - {at: 4d, profiles: {assign: mail, group: all}}
`)
	out := played(t, rehearsal.Config{Plan: p, Partition: 8})
	const hour, day = time.Hour, 24 * time.Hour
	change := out.Start.Add(day)
	for i := range out.Lives {
		l := &out.Lives[i]
		if l.Standing != (rehearsal.Standing{Moved: true}) || !l.Enrolled || l.Registered != protocol.Intune || l.Why() != "" {
			t.Fatalf("device %d: %+v", i, l)
		}
		blocked, free, within := time.Duration(0), change, time.Minute // the gap holds the wake-up of no PC (AUTH-20, AUTH-30)
		if out.Population.Devices[i].Platform.Apple() {
			blocked, free, within = day, change.Add(day), 8*hour+10*time.Minute
		}
		if l.Blocked != blocked || l.FirstPending != free || l.MovedAt < free || l.MovedAt.Sub(free) > within {
			t.Errorf("device %d: blocked for %s, free since %s, moved %s later", i, l.Blocked, l.FirstPending, l.MovedAt.Sub(free))
		}
		bare := out.Start.Add(4 * day).Sub(l.MovedAt)
		if got := l.Lack().Unprotected[protocol.Email]; got < bare || got > bare+9*hour {
			t.Errorf("device %d: %s without mail, want %s and until it came", i, got, bare)
		}
		if l.CheckIns == 0 || l.Enrolments != 1 || l.LastSeen < out.End.Add(-9*hour) {
			t.Errorf("device %d: %d check-ins, %d enrolments, seen %s", i, l.CheckIns, l.Enrolments, l.LastSeen)
		}
	}
	if len(out.Gaps) != 1 || out.Gaps[0] != (fleet.Gap{Opened: change, Closed: change.Add(day)}) {
		t.Errorf("gaps %v", out.Gaps)
	}
	at := func(h int) string {
		x := &out.Hours[h-1]
		return fmt.Sprint(x.Enrolled[0], x.Pending[0], x.Blocked[0], x.Moved[0], x.Enrolled[4], x.Blocked[4], x.Moved[4])
	}
	for h, want := range map[int]string{23: "20 0 0 0 20 0 0", 47: "20 20 20 0 20 0 20", 60: "20 0 0 20 20 0 20"} {
		if got := at(h); got != want {
			t.Errorf("at the end of hour %d: %s, want %s", h, got, want)
		}
	}
	sum := uint64(0)
	for _, m := range out.Minutes {
		sum += uint64(m.CheckIns)
	}
	if all := out.CheckIns + out.Refused + out.Failed + out.Enrolments; sum != all {
		t.Errorf("%d conversations by the minute, %d in all", sum, all)
	}
}

// A push certificate that has ended keeps the wake-ups of Apple's devices back, and nobody else's: a profile that is assigned then is on the
// others within a minute.
func TestAUTH33WakesTheOthers(t *testing.T) {
	p := parsed(t, `
until: 4d
tenant: {apns: {topic: com.apple.mgmt.External.a, expires: +1d}}
population: {devices: 40, mix: {ios: 50, android: 25, windows: 25}, licences: {intune: 100}}
profiles: [{name: mail, family: email}]
timeline:
  - {at: 0s, enrol: {over: 1h}}
  - {at: 2d, profiles: {assign: mail, group: all}}
`)
	var log bytes.Buffer
	out := played(t, rehearsal.Config{Plan: p, Log: &log})
	assigned, soon, late := out.Start.Add(2*24*time.Hour), 0, 0
	for line := range strings.Lines(log.String()) {
		var l struct {
			At   protocol.Time
			Side string
			What string
		}
		if err := json.Unmarshal([]byte(line), &l); err == nil && l.Side == "server" && l.What == "profile installed" {
			if l.At.Sub(assigned) < time.Minute {
				soon++
			} else {
				late++
			}
		}
	}
	if soon != 20 || late != 0 { // Apple's devices come by when they are woken
		t.Errorf("within a minute %d have the profile, want the 20 PCs and Android devices; %d later, want none", soon, late)
	}
}

// Identities that were issued together are renewed spread over the steady interval, each once, and nobody's ends (HST-116).
func TestHST116Renewals(t *testing.T) {
	p := parsed(t, `
until: 11d
tenant: {identity: {lifetime: 10d, window: 3d}}
population: {devices: 960, mix: {ios: 40, android: 30, windows: 30}}
timeline:
  - {at: 0s, enrol: {over: 8h}}
`)
	out := played(t, rehearsal.Config{Plan: p, Partition: 200})
	if out.Renewals != 960 {
		t.Errorf("%d renewals of 960", out.Renewals)
	}
	most := uint32(0)
	for _, m := range out.Minutes[24*60:] {
		most = max(most, m.Issued)
	}
	if even := uint32(960 / (8 * 60)); most > 6*even {
		t.Errorf("%d renewals in one minute, evenly spread they would be %d", most, even)
	}
	for i := range out.Lives {
		if l := &out.Lives[i]; l.MustEnrol || !l.Enrolled || l.CertEnd < out.Start.Add(17*24*time.Hour) {
			t.Fatalf("device %d: %+v", i, l)
		}
	}
}

// What becomes of a device is the same whether it is played with few others or with all (HST-118).
func TestHST118Partitions(t *testing.T) {
	for _, name := range []string{"gap", "from-intune", "support", "userless"} {
		t.Run(name, func(t *testing.T) {
			p := ready(t, name, 120)
			whole, parts := played(t, rehearsal.Config{Plan: p}), played(t, rehearsal.Config{Plan: p, Partition: 7})
			for i := range whole.Lives {
				a, b := &whole.Lives[i], &parts.Lives[i]
				if a.Standing != b.Standing || a.Enrolled != b.Enrolled || a.Registered != b.Registered || a.MustEnrol != b.MustEnrol || a.Why() != b.Why() ||
					a.Enrolments != b.Enrolments || (a.MovedAt == 0) != (b.MovedAt == 0) || a.Redundant != b.Redundant {
					t.Errorf("device %d among all: %+v\namong few: %+v", i, a, b)
				}
			}
			if whole.Enrolments != parts.Enrolments || !maps.Equal(whole.Barred, parts.Barred) || len(whole.Gaps) != len(parts.Gaps) {
				t.Errorf("%d enrolments and %v refused, or %d and %v", whole.Enrolments, whole.Barred, parts.Enrolments, parts.Barred)
			}
		})
	}
}

// A plan's userless Android devices that Basic Mobility and Security manages already came by a user who has left: it takes none of Google's
// interface (AUTH-46), and where they are they stay (AUTH-18).
func TestAUTH18UserlessAndroidAlready(t *testing.T) {
	for _, tenant := range []string{"{authority: office365}", "{authority: intune}", "{authority: office365, coexistence: true}"} {
		p := parsed(t, "until: 3d\ntenant: "+tenant+"\npopulation: {devices: 1, mix: {android: 100}, already: {userless: {android: 4, registered: "+map[bool]string{true: "intune", false: "office365"}[strings.Contains(tenant, "authority: intune")]+"}}}\ntimeline: [{at: 0s, enrol: {over: 1h}}]\n")
		out := played(t, rehearsal.Config{Plan: p})
		for i := range out.Lives {
			if l := &out.Lives[i]; !l.Enrolled {
				t.Errorf("%s: device %d: %s", tenant, i, l.Why())
			}
		}
	}
}
