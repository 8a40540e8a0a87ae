package rehearsal_test

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"rollcall/protocol"
)

var start = protocol.At(time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC))

// A timeline is a list of acts, each one line of words; the first sets the tenant up. Acts on devices count these in the
// order of their enrol lines; one that is not there is passed over, so that a list stays a timeline whatever is taken out.
//
//	tenant AUTHORITY LIFE     unknown, intune, sccm, bms, both; identities live LIFE days
//	put P GROUP               a new version of a profile of the shelf, assigned
//	assign P GROUP, unassign P GROUP, drop P
//	set AUTHORITY [force]     previewed and confirmed
//	look AUTHORITY, confirm   an administrator's preview, and a later confirmation of the last one
//	plans U LETTERS           a user's service plans, see opened; c: under co-management
//	helps U yes|no            a user is an enrolment manager
//	units N, limit N, silent DAYS, workload W WHO, gap on|off (gap.onCoexistence)
//	days OLD RECORDS GRACE    of old profiles after a change, of records, of a push certificate that has ended
//	counts DAYS, every HOURS  devices against the limit after their latest contact; wake-ups of the schedule
//	upload TOPIC DAYS [confirm]
//	enrol KIND U              a new device; U -: userless
//	again D, leave D, away D, back D, sync D, support D, order D, retire D, delete D, wipe D
//	lose D N                  the answer to its Nth report from now is lost; cut D N: the report itself, and the server restarts
//	busy D N, fails D N       it answers the next N commands NotNow; the next N profiles do not install, or do not leave
//	down, up, restart
//	clock OFF, confirmclock
//	wait TIME
type timeline []string

func (t timeline) String() string { return strings.Join(t, "; ") }

func parseTimeline(s string) (t timeline) {
	for act := range strings.SplitSeq(s, ";") {
		if act = strings.TrimSpace(act); act != "" {
			t = append(t, act)
		}
	}
	return t
}

// drawTimeline makes the timeline of a seed.
func drawTimeline(seed uint64) timeline {
	r := rand.New(rand.NewPCG(seed, 1))
	one := func(of ...string) string { return of[r.IntN(len(of))] }
	user := func() string { return one("0", "1", "2", "2", "-") }
	plans := func() string { return one("M", "MI", "I", "MO", "O", "A", "-", "Mi", "Mc", "c", "MIc", "MA", "MIA") }
	kind := func() string {
		return one("phone", "phone", "phone", "pad", "pad", "mac", "mac", "pc", "pc", "client", "client", "android", "android", "api", "api", "auto", "told", "grouped", "taken")
	}
	place := func() string { return strconv.Itoa(r.IntN(len(shelf))) }
	device := func() string { return strconv.Itoa(r.IntN(6)) }
	t := timeline{"tenant " + one("unknown", "intune", "sccm", "bms", "bms", "both") + " " + one("365", "365", "30", "6")}
	if r.IntN(3) == 0 {
		t = append(t, "gap off")
	}
	for i := range shelf {
		if r.IntN(5) < 3 {
			t = append(t, fmt.Sprintf("put %d %s", i, one("all", "all", "sales")))
		}
	}
	if r.IntN(8) > 0 {
		t = append(t, "upload A "+one("300", "300", "12"))
	}
	for range 2 + r.IntN(4) {
		t = append(t, "enrol "+kind()+" "+user())
	}
	acts := []struct {
		weight int
		say    func() string
	}{
		{8, func() string { return "wait " + one("1m", "20m", "2h", "9h", "30h", "3d", "8d") }},
		{6, func() string { return "set " + one("intune", "sccm", "bms", "both") + one("", "", " force") }},
		{5, func() string {
			return "upload " + one("A", "A", "A", "A", "B") + " " + one("365", "365", "9", "0") + one("", " confirm")
		}},
		{5, func() string { return "plans " + one("0", "1", "2") + " " + plans() }},
		{3, func() string { return "enrol " + kind() + " " + user() }},
		{3, func() string { return "away " + device() }},
		{3, func() string { return "back " + device() }},
		{3, func() string { return "sync " + device() }},
		{2, func() string { return "put " + place() + " " + one("all", "sales") }},
		{1, func() string { return "assign " + place() + " " + one("all", "sales") }},
		{2, func() string { return "unassign " + place() + " " + one("all", "sales") }},
		{1, func() string { return "drop " + place() }},
		{2, func() string { return "look " + one("intune", "sccm", "bms", "both") }},
		{2, func() string { return "confirm" }},
		{2, func() string { return "support " + device() }},
		{2, func() string { return "order " + device() }},
		{2, func() string { return "again " + device() }},
		{1, func() string { return "leave " + device() }},
		{1, func() string { return one("retire ", "delete ", "wipe ") + device() }},
		{4, func() string {
			d, lost := device(), one("lose ", "cut ")
			if r.IntN(2) == 0 {
				return lost + d + one(" 1", " 1", " 2", " 3")
			}
			// What it says again finds a gap: whatever the authority is, one of these changes it.
			return lost + d + " 1; order " + d + "; set both; set sccm; set intune; wait " + one("20m", "2h")
		}},
		{2, func() string { return "busy " + device() + one(" 1", " 2", " 4") }},
		{2, func() string { return "fails " + device() + one(" 1", " 2", " 5") }},
		{2, func() string { return "restart" }},
		{2, func() string { return one("down", "up", "up") }},
		{1, func() string { return "units " + one("-1", "-1", "0", "2", "5") }},
		{1, func() string {
			return "workload " + one("resource_access", "device_configuration") + " " + one("intune", "pilot", "configmgr")
		}},
		{1, func() string { return "limit " + one("1", "2", "15") }},
		{1, func() string { return "helps " + one("0", "1", "2") + " " + one("yes", "yes", "no") }},
		{1, func() string { return "silent " + one("0", "30") }},
		{1, func() string { return "days " + one("7 180 30", "1 180 30", "12 180 90", "2 20 5") }},
		{1, func() string { return "counts " + one("90", "3", "1") }},
		{1, func() string { return "every " + one("0", "2", "20") }},
		{1, func() string { return "gap " + one("on", "off") }},
		{1, func() string { return "clock " + one("1h", "-1h", "8d", "365d", "-365d", "0h", "0h", "0h") }},
		{1, func() string { return "confirmclock" }},
	}
	sum := 0
	for _, a := range acts {
		sum += a.weight
	}
	for range 6 + r.IntN(22) {
		n := r.IntN(sum)
		for _, a := range acts {
			if n -= a.weight; n < 0 {
				t = append(t, parseTimeline(a.say())...)
				break
			}
		}
	}
	switch r.IntN(12) {
	case 0:
		t = append(t, "wait 40d", "wait 200d")
	case 1:
		t = append(t, "wait 40d")
	}
	return append(t, "up", "wait 9h", "wait 8d")
}
