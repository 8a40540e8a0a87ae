package rehearsal_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/fleet/plan"
	"rollcall/fleet/population"
	"rollcall/fleet/rehearsal"
	"rollcall/protocol"
	"rollcall/protocol/lang"
)

// entries are the list to act on, a line each.
func entries(t *testing.T, out *rehearsal.Played) (list []string) {
	t.Helper()
	err := out.Answer(0).Entries(lang.English, out.Population, func(e rehearsal.Entry) error {
		list = append(list, e.Device+" "+e.Reason+"; "+e.Action)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// A push certificate that ends in the story is warned of, and silences Apple's devices, whatever they have to do, until it is renewed; where
// it is not, the list names them (AUTH-33).
func TestAUTH33EndsInTheStory(t *testing.T) {
	tenant := onIntune
	tenant.APNs.Expires = asOf.Add(9 * oneDay)
	pop := exported(20, tenant, func(_ int, _ *population.Device, u *population.User) { u.Licence |= population.IntuneLicence })
	for name, tt := range map[string]struct {
		timeline string
		for_     time.Duration
		listed   int
	}{
		"renewed after 6 days": {"timeline: [{at: 15d, apns: {upload: renewed}}]", 6 * oneDay, 0},
		"never":                {"timeline: []", 11 * oneDay, 10},
	} {
		out := played(t, rehearsal.Config{Plan: quiet(t, 20, tt.timeline), Population: pop})
		for _, want := range []string{"The push certificate ends in 7 days", "The push certificate ends in 1 day", "The push certificate has ended"} {
			if !slices.Contains(told(out), want) {
				t.Errorf("%s: nobody says %q: %q", name, want, told(out))
			}
		}
		_, devices, consequence, action := finding(out, protocol.RulePushExpired, "Devices silenced")
		if held := out.Answer(0).Held; devices != 10 || held.Devices != 10 || held.Longest != tt.for_ || !strings.Contains(action, "before it ends") || !strings.Contains(consequence, lang.English.Span(tt.for_)) {
			t.Errorf("%s: %d devices in the finding, %+v held; %s; %s", name, devices, held, consequence, action)
		}
		if list := entries(t, out); len(list) != tt.listed || len(list) > 0 && !strings.Contains(list[0], "AUTH-33: the push certificate has ended") {
			t.Errorf("%s: list of %d: %q", name, len(list), list)
		}
		if _, n, _, _ := finding(out, "AUTH-38", "Device-hours"); n != 0 {
			t.Errorf("%s: %d devices without protection, where nothing changes", name, n)
		}
	}
}

// The event log says when the push certificate ends, as the log's other lines.
func TestAUTH33EndIsLogged(t *testing.T) {
	var log bytes.Buffer
	played(t, rehearsal.Config{Plan: ready(t, "late-renewal", 40), Log: &log})
	if !bytes.Contains(log.Bytes(), []byte(`"side":"server","what":"The push certificate has ended","rule":"AUTH-33"`)) {
		t.Error("no line of the log says that the push certificate has ended")
	}
}

// Whoever enrols again is counted, those that were there before the story too, and is a finding with its cause: another topic (AUTH-32), an identity that ended
// (AUTH-42), or somebody's wish (AUTH-44).
func TestAUTH44EnrolledAgain(t *testing.T) {
	own := exported(20, onBMS, func(i int, _ *population.Device, u *population.User) { u.Licence |= population.IntuneLicence })
	topic := "tenant: {authority: office365, release: 1910}\ntimeline: [{at: 1d, authority: {set: coexistence}}, {at: 2d, apns: {upload: other-topic}}, {at: 4d, enrol: {again: true, over: 1h}}]"
	for name, tt := range map[string]struct {
		c      rehearsal.Config
		rule   protocol.Rule
		title  string
		again  int
		least  int
		forced bool
	}{
		"another topic, of devices that were there": {rehearsal.Config{Plan: quiet(t, 7, topic), Population: own}, protocol.RuleOtherTopic, "Devices that another push topic has stranded", 10, 10, true},
		"another topic, ready plan":                 {rehearsal.Config{Plan: ready(t, "wrong-topic", 0)}, protocol.RuleOtherTopic, "Devices that another push topic has stranded", 200, 200, true},
		"identities that ended":                     {rehearsal.Config{Plan: ready(t, "certificate-year", 200)}, protocol.RuleNotRenewed, "Devices whose identity had ended", 0, 1, true},
		"the plan's wish":                           {rehearsal.Config{Plan: quiet(t, 3, "timeline: [{at: 1d, reenrol: {of: 100%}}]"), Population: exported(6, onIntune, func(_ int, _ *population.Device, u *population.User) { u.Licence |= population.IntuneLicence })}, protocol.RuleAgain, "Devices that were enrolled again", 6, 6, false},
	} {
		var log bytes.Buffer
		tt.c.Log = &log
		out := played(t, tt.c)
		a := out.Answer(0)
		_, devices, _, action := finding(out, tt.rule, tt.title)
		if devices < tt.least || action == "" || tt.again != 0 && a.Again != tt.again {
			t.Errorf("%s: %d devices in the finding, %d enrolled again; want %d, %d", name, devices, a.Again, tt.least, tt.again)
		}
		headline := a.Story(lang.English, out.Population).Headline
		if strings.Contains(headline, fmt.Sprintf("%d had to enrol again", devices)) != tt.forced {
			t.Errorf("%s: headline %q", name, headline)
		}
		if name == "another topic, ready plan" && !strings.Contains(strings.Join(a.Story(lang.English, out.Population).Lead, " "), "(AUTH-32)") {
			t.Errorf("%s: the last device is said to be late for another reason: %q", name, a.Story(lang.English, out.Population).Lead)
		}
	}
}

// Devices that the server refuses to enrol are a finding with the rule, how often, and what opens the way; the list names them (AUTH-47).
func TestAUTH47RefusedEnrolments(t *testing.T) {
	for _, tt := range []struct{ plan, rule, action string }{
		{"tenant: {device_limit: 1}\npopulation: {devices: 8, mix: {android: 100}, devices_per_user: {2: 100}}", "AUTH-47", "raise the device limit"},
	} {
		out := played(t, rehearsal.Config{Plan: parsed(t, "until: 2d\n"+tt.plan+"\ntimeline: [{at: 0s, enrol: {over: 1h}}]")})
		count, devices, consequence, action := finding(out, protocol.Rule(tt.rule), "Devices that cannot enrol")
		if devices != 4 || count != 4 || out.Barred["AUTH-47"].Attempts < 8 || !strings.Contains(consequence, fmt.Sprintf("refused %d attempts of 4 devices to enrol", out.Barred["AUTH-47"].Attempts)) || !strings.Contains(action, tt.action) {
			t.Errorf("%s: %d devices, refused %d times, %q; %v", tt.rule, devices, count, action, out.Barred)
		}
		if list := entries(t, out); len(list) != 4 || !strings.Contains(list[0], tt.rule+": the server refuses to enrol it") || !strings.Contains(list[0], tt.action) {
			t.Errorf("%s: list of %d: %q", tt.rule, len(list), list)
		}
	}
}

// Without protection is who has lost a profile, and not who has been assigned a first one; what is to be done fits the cause (AUTH-38).
func TestAUTH38Unprotected(t *testing.T) {
	const assign = "{at: 1h, profiles: {assign: mail}}"
	entitled := func(_ int, _ *population.Device, u *population.User) { u.Licence |= population.IntuneLicence }
	for name, tt := range map[string]struct {
		timeline string
		devices  int
		action   string
	}{
		"a first assignment":          {assign, 0, ""},
		"nobody assigns a new one":    {assign + ", {at: 2d, authority: {set: coexistence}}, {at: 2d, apns: {upload: renewed}}", 20, "create the profiles"},
		"those away when it comes":    {assign + ", {at: 1d, absence: {of: 100%, lasts: 10d}}, {at: 2d, authority: {set: coexistence}}, {at: 2d, apns: {upload: renewed}}, {at: 2d, profiles: {assign: mail}}", 20, "switch them on"},
		"a new one is there in time":  {assign + ", {at: 2d, authority: {set: coexistence}}, {at: 2d, profiles: {assign: mail}}, {at: 2d, apns: {upload: renewed}}", 0, ""},
		"unassigned, and nothing new": {assign + ", {at: 2d, profiles: {unassign: mail}}", 0, ""},
	} {
		p := quiet(t, 14, "tenant: {authority: office365, release: 1910}", "profiles: [{name: mail, family: email}]", "timeline: ["+tt.timeline+"]")
		out := played(t, rehearsal.Config{Plan: p, Population: exported(20, onBMS, entitled)})
		_, devices, consequence, action := finding(out, "AUTH-38", "Device-hours")
		if devices != tt.devices || !strings.Contains(action, tt.action) {
			t.Errorf("%s: %d devices, want %d: %s To do: %s", name, devices, tt.devices, consequence, action)
		}
	}
}

// Who may be asked for a mail password has a user, and had mail of Basic Mobility and Security, or nobody knows what it had (AUTH-37).
func TestAUTH37Prompts(t *testing.T) {
	const moves = "timeline: [{at: 0s, enrol: {over: 1m}}, {at: 1d, authority: {set: coexistence}}, {at: 1d, apns: {upload: renewed}}, {at: 2d, licences: {assign: intune, to: all}}]"
	const people = "population: {devices: 5, mix: {android: 100}, licences: {basic: 100}}"
	own := "until: 3d\ntenant: {authority: office365, release: 1910, units: 10}\n"
	half := exported(20, onBMS, func(i int, d *population.Device, u *population.User) {
		if u.Licence |= population.IntuneLicence; i%2 == 0 {
			d.User, d.Enrolment = population.Nobody, population.Automated
		}
	})
	for name, tt := range map[string]struct {
		c    rehearsal.Config
		want int
	}{
		"mail":                       {rehearsal.Config{Plan: parsed(t, own+people+"\nprofiles: [{name: mail, family: email, assigned: all}]\n"+moves)}, 5},
		"no mail":                    {rehearsal.Config{Plan: parsed(t, own+people+"\nprofiles: [{name: passcode, family: configuration, assigned: all}]\n"+moves)}, 0},
		"an export's, half userless": {rehearsal.Config{Plan: parsed(t, "until: 4d\npopulation: {already: {ios: 1, userless: {ios: 1}}}\ntenant: {authority: office365, release: 1910}\ntimeline: [{at: 1d, authority: {set: coexistence}}, {at: 1d, apns: {upload: renewed}}, {at: 2d, support_move: all}]"), Population: half}, 10},
	} {
		out := played(t, tt.c)
		moved := 0
		for i := range out.Lives {
			if out.Lives[i].Moved {
				moved++
			}
		}
		if _, devices, _, _ := finding(out, "AUTH-37", "Users asked"); devices != tt.want || moved != len(out.Lives) {
			t.Errorf("%s: %d devices, want %d; %d of %d moved", name, devices, tt.want, moved, len(out.Lives))
		}
	}
}

// TestHST016Figures: a limit may name each figure that a rehearsal has, however deep, and none beside them.
func TestHST016Figures(t *testing.T) {
	p := parsed(t, "until: 4d\ntenant: {authority: office365, units: 9}\npopulation: {devices: 9, mix: {ios: 50, windows: 50}, licences: {intune: 100}}\nprofiles: [{name: mail, family: email, assigned: all}]\n"+
		"timeline: [{at: 0s, enrol: {over: 1m}}, {at: 1d, authority: {set: coexistence}}, {at: 2d, apns: {upload: renewed}}]")
	out := played(t, rehearsal.Config{Plan: p, Wire: plan.Whole})
	result := out.Result(out.Answer(0))
	var all map[string]any
	b, err := json.Marshal(map[string]any{"rehearsal": result.Sections["rehearsal"], "devices": result.Devices})
	if err == nil {
		err = json.Unmarshal(b, &all)
	}
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	var walk func(key string, v any)
	walk = func(key string, v any) {
		if inside, ok := v.(map[string]any); ok {
			for name, v := range inside {
				if !strings.Contains(name, "-") { // else nobody can write it
					walk(strings.TrimPrefix(key+"."+name, "."), v)
				}
			}
			return
		}
		n++
		var l plan.Limit
		if err := l.UnmarshalText([]byte(key + " == 0")); err != nil {
			t.Error(err)
		}
		if l.UnmarshalText([]byte(key+".nothing == 0")) == nil {
			t.Errorf("a limit on %s.nothing is taken", key)
		}
	}
	walk("", all)
	if n < 60 {
		t.Errorf("only %d figures", n)
	}
}

// Of a device that moves twice the first move is timed, and one that is pending again and away to the end has not moved, though its first move took
// the time that it took (AUTH-21).
func TestAUTH21MovesTwice(t *testing.T) {
	const before = "until: 20d\ntenant: {authority: office365, release: 1910, units: 10}\npopulation: {devices: 5, mix: {android: 100}, licences: {basic: 100}}\ntimeline: [{at: 0s, enrol: {over: 1m}}, {at: 2d, authority: {set: coexistence}}, {at: 2d, apns: {upload: renewed}}, {at: 3d, licences: {assign: intune, to: all}}, "
	for name, tt := range map[string]struct {
		then                       string
		moved, repeated, returning int // of 5 that could
		headline                   string
	}{
		"once":           {"]", 5, 0, 0, "All 5 devices that could move did"},
		"back and forth": {"{at: 6d, licences: {remove: intune, to: all}}, {at: 10d, licences: {assign: intune, to: all}}]", 5, 5, 0, "All 5 devices that could move did; 5 have moved more than once"},
		"pending again":  {"{at: 5d, absence: {of: all, lasts: 20d}}, {at: 6d, licences: {remove: intune, to: all}}]", 0, 0, 5, "All 5 devices that could move did; 5 are to move again; 5 never will by themselves"},
	} {
		out := played(t, rehearsal.Config{Plan: parsed(t, before+tt.then)})
		a := out.Answer(0)
		took, _ := out.Result(a).Sections["moved"].(map[string]float64)
		if a.All.Moved != tt.moved || a.All.Movable != 5 || a.All.Repeated != tt.repeated || a.All.Returning != tt.returning || a.Half > oneDay && tt.moved > 0 || took == nil || took["p95_ms"] > float64(oneDay/time.Millisecond) {
			t.Errorf("%s: %+v, half after %s, %v; want %d", name, a.All, a.Half, took, tt.moved)
		}
		if got := a.Story(lang.English, out.Population).Headline; got != tt.headline {
			t.Errorf("%s: %q, want %q", name, got, tt.headline)
		}
	}
}

// Enrolments that the push certificate has the server refuse are counted as attempts, and with them the devices that made them: in the
// finding, beside the tables and in what programs read (question 2).
func TestAUTH30AttemptsInTheGap(t *testing.T) {
	const people = "population: {devices: 9, already: {ios: 4}, mix: {ios: 50, android: 50}, licences: {intune: 100}}\n"
	for _, tt := range []struct {
		rule                 protocol.Rule
		plan, finding, story string
	}{
		{
			protocol.RulePushGap, "until: 4d\ntenant: {authority: office365, release: 1910}\n" + people + "timeline: [{at: 1h, authority: {set: coexistence}}, {at: 2h, enrol: {over: 1h}}, {at: 2d, apns: {upload: renewed}}]",
			"Devices held by the push certificate", "%d attempts to enrol were refused in the gap, of %d devices.",
		},
		{
			protocol.RulePushExpired, "until: 6d\ntenant: {authority: intune, apns: {topic: com.apple.mgmt.External.1, expires: +1d}}\n" + people + "timeline: [{at: 2d, enrol: {over: 1h}}, {at: 4d, apns: {upload: renewed}}]",
			"Devices silenced by a push certificate", "",
		},
	} {
		out := played(t, rehearsal.Config{Plan: parsed(t, tt.plan)})
		a := out.Answer(0)
		apple := 0
		for i := range out.Population.Devices {
			if d := &out.Population.Devices[i]; d.Platform.Apple() && d.Joins > 0 {
				apple++
			}
		}
		attempts := out.Barred[tt.rule].Attempts
		if apple < 2 || attempts <= uint64(apple) {
			t.Errorf("%s: %d attempts of %d devices", tt.rule, attempts, apple)
		}
		want := fmt.Sprintf(" %d attempts to enrol were refused meanwhile, of %d devices.", attempts, apple)
		if _, _, consequence, _ := finding(out, tt.rule, tt.finding); !strings.HasSuffix(consequence, want) {
			t.Errorf("%s: finding %q, want %q", tt.rule, consequence, want)
		}
		b, err := json.Marshal(a.Sections()["answers"])
		if err != nil {
			t.Fatal(err)
		}
		inJSON := []string{fmt.Sprintf(`"barred":{"%s":%d}`, tt.rule, attempts), fmt.Sprintf(`"barred_devices":{"%s":%d}`, tt.rule, apple)}
		if tt.story != "" {
			inJSON = append(inJSON, fmt.Sprintf(`"devices_refused":%d,`, apple), fmt.Sprintf(`"enrolments_refused":%d,`, attempts))
			if lead := strings.Join(a.Story(lang.English, out.Population).Lead, " "); !strings.Contains(lead, fmt.Sprintf(tt.story, attempts, apple)) {
				t.Errorf("%s: %q, want %q", tt.rule, lead, fmt.Sprintf(tt.story, attempts, apple))
			}
		}
		for _, want := range inJSON {
			if !bytes.Contains(b, []byte(want)) {
				t.Errorf("%s: %s has no %s", tt.rule, b, want)
			}
		}
	}
}

// A device without a user that is last was moved by support, and by no licence (question 1).
func TestAUTH18SupportMovesTheLast(t *testing.T) {
	out := played(t, rehearsal.Config{Plan: ready(t, "userless", 80)})
	a := out.Answer(0)
	lead := strings.Join(a.Story(lang.English, out.Population).Lead, " ")
	if !out.Population.Devices[a.Last].Userless() || !strings.Contains(lead, "support moved it only 2 days after the first could move (AUTH-18)") {
		t.Errorf("%q", lead)
	}
}

// A device that was kept from moving and moves by its new enrolment is last because of that, and of no licence (question 1).
func TestAUTH44TheLastEnrolsAgain(t *testing.T) {
	out := played(t, rehearsal.Config{Plan: parsed(t, "until: 9d\ntenant: {authority: office365, release: 1910}\npopulation: {already: {ios: 2, android: 2}, licences: {intune: 100}}\ntimeline: [{at: 1d, authority: {set: coexistence}}, {at: 2d, reenrol: {of: ios}}, {at: 5d, apns: {upload: renewed}}]")})
	lead := strings.Join(out.Answer(0).Story(lang.English, out.Population).Lead, " ")
	if !strings.Contains(lead, "it moved by enrolling again, 4 days") || !strings.Contains(lead, "(AUTH-44)") {
		t.Errorf("%q", lead)
	}
}

// Of devices that all move within moments none is called the last, with a reason for it; of others one is (question 1).
func TestNobodyIsLastOfAllAtOnce(t *testing.T) {
	for absent, last := range map[string]bool{"": false, "{at: 1h, absence: {of: 50%, lasts: 40h}}, ": true} {
		out := played(t, rehearsal.Config{Plan: parsed(t, "until: 4d\nseed: 3\ntenant: {authority: office365, release: 1910}\npopulation: {already: {android: 6}, licences: {intune: 100}}\ntimeline: ["+absent+"{at: 1d, authority: {set: coexistence}}]")})
		a := out.Answer(0)
		answers, _ := a.Sections()["answers"].(map[string]any)
		if lead := strings.Join(a.Story(lang.English, out.Population).Lead, " "); strings.Contains(lead, "The last, ") != last || a.All.Moved != 6 || (answers["last"] != nil) != last {
			t.Errorf("%q: %d moved; %s; %v", absent, a.All.Moved, lead, answers["last"])
		}
	}
}

// A limit on how long devices took to move is judged by the longest wait of each: no quick move hides a slow one before it, and none a slow one
// after it. Half, most and all of them had moved by their first moves (AUTH-21, AUTH-24).
func TestAUTH24NoMoveHidesAnother(t *testing.T) {
	const day = float64(oneDay / time.Millisecond)
	const before = "until: 6d\nseed: 3\ntenant: {authority: office365, release: 1910, units: 11}\npopulation: {devices: 11, mix: {android: 100}, licences: {intune: 100}}\nlimits: [moved.p95 < 4h]\nfaults: [{at: 100h, for: 44h, push: lost}]\ntimeline: [{at: 0s, enrol: {over: 1h}}, "
	for name, tt := range map[string]struct {
		then     string
		atLeast  float64       // moved.p95, in days
		half     time.Duration // not before
		within   time.Duration // all first moves, from the first device that could
		waitings int           // that the answers count; 0: not looked at
	}{
		"slow":                {"{at: 4h, absence: {of: all, lasts: 30h}}, {at: 5h, authority: {set: coexistence}}]", 1, oneDay, 40 * time.Hour, 11},
		"slow, then quick":    {"{at: 4h, absence: {of: all, lasts: 30h}}, {at: 5h, authority: {set: coexistence}}, {at: 48h, licences: {remove: intune, to: all}}]", 1, oneDay, 40 * time.Hour, 11},
		"quick, then slow":    {"{at: 5h, authority: {set: coexistence}}, {at: 30h, absence: {of: all, lasts: 40h}}, {at: 31h, licences: {remove: intune, to: all}}]", 1, 0, 9 * time.Hour, 11},
		"quick, then to come": {"{at: 5h, authority: {set: coexistence}}, {at: 139h, licences: {remove: intune, to: all}}]", 0.2, 0, 0, 0},
	} {
		out := played(t, rehearsal.Config{Plan: parsed(t, before+tt.then)})
		a := out.Answer(0)
		took, _ := out.Result(a).Sections["moved"].(map[string]float64)
		if took["p95_ms"] < tt.atLeast*day || len(out.FailedLimits()) != 1 {
			t.Errorf("%s: %v, and the limit that does not hold is among %v", name, took, out.FailedLimits())
		}
		if tt.waitings > 0 && (a.Wait.Devices != tt.waitings || a.Half < tt.half || a.Whole > tt.within || a.Whole == rehearsal.Never || a.Wait.NinetyFive < oneDay) {
			t.Errorf("%s: half after %s, all after %s, waits %+v", name, a.Half, a.Whole, a.Wait)
		}
	}
	// Who is still to move has taken the time until the end so far, for whichever of its moves; the stranded never will.
	const hour = time.Hour
	wait := func(first, moved, again time.Duration, s rehearsal.Standing) rehearsal.Life {
		l := rehearsal.Life{Standing: s, FirstPending: asOf.Add(first)}
		if moved > 0 {
			l.MovedAt = asOf.Add(moved)
		}
		if again > 0 {
			l.Waited(again)
		}
		return l
	}
	pending, gone := rehearsal.Standing{Pending: true}, rehearsal.Standing{Pending: true, Stranded: true}
	for name, tt := range map[string]struct {
		of   rehearsal.Life
		want float64 // hours; 0: it is not among them
	}{
		"moved":                    {wait(hour, 3*hour, 0, rehearsal.Standing{Moved: true}), 2},
		"moved, then slower":       {wait(hour, 3*hour, 9*hour, rehearsal.Standing{Moved: true}), 9},
		"moved, then quicker":      {wait(hour, 3*hour, hour, rehearsal.Standing{Moved: true}), 2},
		"to come":                  {wait(4*hour, 0, 0, pending), 20},
		"stranded":                 {wait(4*hour, 0, 0, gone), 0},
		"pending for nothing":      {wait(4*hour, 0, 0, rehearsal.Standing{}), 0},
		"stranded on its way back": {wait(hour, 3*hour, 0, gone), 2},
	} {
		out := &rehearsal.Played{Plan: quiet(t, 1), Population: exported(1, onIntune, asItIs), Start: asOf, End: asOf.Add(24 * hour), Lives: []rehearsal.Life{tt.of}}
		took, _ := out.Result(out.Answer(0)).Sections["moved"].(map[string]float64)
		if got := took["p95_ms"] / float64(hour/time.Millisecond); got != tt.want {
			t.Errorf("%s: took %g h, want %g", name, got, tt.want)
		}
	}
	// Who moves back first did so by a licence that went, and in no turn.
	tenant := onIntune
	tenant.Authority, tenant.Coexistence = protocol.Office365, true
	pop := exported(8, tenant, func(i int, d *population.Device, u *population.User) {
		u.Licence |= population.IntuneLicence
		d.Registered = protocol.Intune
		if i == 0 {
			u.Licence, d.Registered = population.BMSLicence, protocol.Intune // it moves back as the story begins
		}
	})
	out := played(t, rehearsal.Config{Plan: quiet(t, 4, "tenant: {authority: office365, release: 1910}", "timeline: [{at: 2d, licences: {remove: intune, to: all}}]"), Population: pop})
	if lead := strings.Join(out.Answer(0).Story(lang.English, out.Population).Lead, " "); !strings.Contains(lead, "it was to move back only 2 days after the first could move (AUTH-24)") {
		t.Errorf("the last moved back: %s", lead)
	}
}

// In the question that needs no plan exported devices have their authority's profiles as the story begins: who stays loses nothing, who is silent neither,
// and who moves is without from the move on; that a later renewal counts fewer hours is said (AUTH-23, AUTH-38).
func TestAUTH38Question(t *testing.T) {
	pop := exported(20, onBMS, func(i int, d *population.Device, u *population.User) {
		if i < 6 {
			u.Licence |= population.IntuneLicence
		}
		if i > 16 {
			d.Contact.Latest, d.Contact.Earliest = asOf.Add(-60*oneDay), asOf.Add(-60*oneDay)
		}
	})
	pop.Tenant.Units = population.Units{Known: true, Owned: 10}
	before := uint64(0)
	for _, wait := range rehearsal.Waits {
		p, err := rehearsal.Question(wait, 7, pop)
		if err != nil {
			t.Fatal(err)
		}
		pop.Adopt(p)
		out := played(t, rehearsal.Config{Plan: p, Population: pop})
		for i := range out.Lives {
			if l := &out.Lives[i]; (l.Lack().Unprotected[protocol.Email] > 0) != l.Moved {
				t.Errorf("renewed after %s: device %d moved %t and was without mail for %s", wait, i, l.Moved, l.Lack().Unprotected[protocol.Email])
			}
		}
		count, devices, consequence, _ := finding(out, "AUTH-38", "Device-hours")
		if devices != 6 || !strings.Contains(consequence, "6 devices are still without at the end, where the count stops") || before != 0 && count > before {
			t.Errorf("renewed after %s: %d hours on %d devices, %d before: %s", wait, count, devices, before, consequence)
		}
		before = count
	}
}

// What leaves in the export leaves at its next check-in, and what has not come by is named (AUTH-53).
func TestAUTH53LeavingInTheExport(t *testing.T) {
	pop := exported(8, onIntune, func(i int, d *population.Device, u *population.User) {
		u.Licence |= population.IntuneLicence
		if i < 4 {
			d.Traits |= population.Leaving
		}
		if i == 3 {
			d.Contact.Latest, d.Contact.Earliest = asOf.Add(-60*oneDay), asOf.Add(-60*oneDay)
		}
	})
	out := played(t, rehearsal.Config{Plan: quiet(t, 2), Population: pop})
	for i := range out.Lives {
		if out.Lives[i].Enrolled != (i >= 3) {
			t.Errorf("device %d: enrolled %t", i, out.Lives[i].Enrolled)
		}
	}
	if _, devices, _, _ := finding(out, protocol.RuleRetire, "Devices still to leave"); devices != 1 || !slices.Contains(told(out), "To leave: 4 devices") {
		t.Errorf("%d devices in the finding, and told was %q", devices, told(out))
	}
}

// The doubts of an export are on screen, on the page and in the result of whatever is rehearsed with it.
func TestDoubtsOfTheExport(t *testing.T) {
	pop := exported(4, onIntune, func(_ int, _ *population.Device, u *population.User) { u.Licence |= population.IntuneLicence })
	pop.Doubts = []population.Doubt{{Kind: population.TwoOwners, Device: 1, Name: "device-1", Text: lang.Later("its user's licences are not in the export; taken as %s", lang.Key("Basic")), Other: lang.Later("what that user's licences say")}}
	out := played(t, rehearsal.Config{Plan: quiet(t, 1), Population: pop})
	if count, _, _, _ := finding(out, "", "Doubts about the export"); count != 1 {
		t.Errorf("a finding of %d doubts", count)
	}
	a := out.Answer(0)
	table := ""
	for _, x := range a.Story(lang.English, pop).Tables {
		if x.Title == "Doubts about the export" {
			table = fmt.Sprint(x.Rows)
		}
	}
	if !strings.Contains(table, "device-1 its user's licences are not in the export; taken as Basic. Otherwise: what that user's licences say") {
		t.Errorf("the table of doubts: %s", table)
	}
	for _, x := range a.Story(lang.Dutch, pop).Tables {
		if x.Title == "Twijfels over de export" && !strings.Contains(fmt.Sprint(x.Rows), "device-1 de licenties van zijn gebruiker staan niet in de export; opgevat als Basic. Anders: wat de licenties van die gebruiker zeggen") {
			t.Errorf("in Dutch: %s", x.Rows)
		}
	}
	if section := fmt.Sprint(a.Sections()["export"]); !strings.Contains(section, "its user's licences are not in the export") {
		t.Errorf("the result: %s", section)
	}
}
