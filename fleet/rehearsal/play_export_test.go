package rehearsal_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/fleet"
	"rollcall/fleet/plan"
	"rollcall/fleet/population"
	"rollcall/fleet/rehearsal"
	"rollcall/protocol"
	"rollcall/protocol/lang"
)

const oneDay = 24 * time.Hour

// asOf is the moment of the exports of these tests.
var asOf = fleet.Begin

// exported is a tenant's export with n devices, iPhones and PCs in turn, each with a user of its own that holds a mailbox licence; change
// makes of them what a test is about.
func exported(n int, t population.Tenant, change func(i int, d *population.Device, u *population.User)) *population.Population {
	t.AsOf = asOf
	t.Consents = nil
	p := &population.Population{Tenant: t, Total: n}
	for i := range n {
		u := population.User{UPN: fmt.Sprintf("user%d@example.com", i), Licence: population.BMSLicence, Group: -1}
		d := population.Device{
			Name: fmt.Sprintf("device-%d", i), UDID: fmt.Sprintf("00008110-%016X", i), Platform: [2]protocol.Platform{protocol.IOS, protocol.Windows}[i%2], User: int32(i),
			Registered: t.Authority, Current: true, Joins: population.Already, Contact: population.Span{Earliest: asOf.Add(-time.Hour), Latest: asOf.Add(-time.Hour)},
			CertEnd: asOf.Add(300 * oneDay),
		}
		change(i, &d, &u)
		p.Users, p.Devices = append(p.Users, u), append(p.Devices, d)
	}
	return p
}

func asItIs(int, *population.Device, *population.User) {}

var (
	onBMS    = population.Tenant{Authority: protocol.Office365, APNs: population.APNs{Topic: "com.apple.mgmt.own", Expires: asOf.Add(200 * oneDay)}}
	onIntune = population.Tenant{Authority: protocol.Intune, APNs: onBMS.APNs}
)

// quiet is a plan in which nobody does anything.
func quiet(t *testing.T, days int, more ...string) *plan.Plan {
	t.Helper()
	return parsed(t, fmt.Sprintf("until: %dd\npopulation: {already: {ios: 1}}\n%s", days, strings.Join(more, "\n")))
}

// finding returns the finding by a rule whose title begins so; zero: there is none.
func finding(out *rehearsal.Played, rule protocol.Rule, title string) (count uint64, devices int, consequence, action string) {
	for _, f := range out.Answer(0).Findings(lang.English) {
		if f.Rule == rule && strings.HasPrefix(f.Title, title) {
			return f.Count, f.Devices, f.Consequence, f.Action
		}
	}
	return 0, 0, "", ""
}

// told are the names of what happened, in order.
func told(out *rehearsal.Played) (names []string) {
	for _, a := range out.Acts {
		names = append(names, a.Name)
	}
	return names
}

// Identities that an export shows end when it says: inside the window they are renewed, the others keep their end, and one that was
// over before the beginning must enrol again (AUTH-41, AUTH-42).
func TestAUTH41ExportedIdentities(t *testing.T) {
	pop := exported(40, onIntune, func(i int, d *population.Device, u *population.User) {
		u.Licence |= population.IntuneLicence
		switch {
		case i < 10:
			d.CertEnd = asOf.Add(14 * oneDay)
		case i < 12:
			d.CertEnd, d.Contact.Latest, d.Contact.Earliest = asOf.Add(-20*oneDay), asOf.Add(-60*oneDay), asOf.Add(-60*oneDay)
		case i == 12:
			d.Traits |= population.Revoked
		}
	})
	out := played(t, rehearsal.Config{Plan: quiet(t, 14), Population: pop, Partition: 8})
	if out.Renewals != 10 {
		t.Errorf("%d renewed, want the 10 whose certificate ends in 14 days", out.Renewals)
	}
	for i := range out.Lives {
		l := &out.Lives[i]
		want := pop.Devices[i].CertEnd
		switch {
		case i < 10 && l.CertEnd < asOf.Add(360*oneDay), i > 12 && l.CertEnd != want, l.MustEnrol != (i >= 10 && i <= 12):
			t.Errorf("device %d: certificate until %s, must enrol again %t", i, l.CertEnd, l.MustEnrol)
		case i >= 10 && i < 12 && l.LastSeen != pop.Devices[i].Contact.Latest:
			t.Errorf("device %d was seen last at %s, the export says %s", i, l.LastSeen, pop.Devices[i].Contact.Latest)
		}
	}
}

// A record goes 180 days after the end that the export shows (AUTH-43).
func TestAUTH43ExportedRecord(t *testing.T) {
	pop := exported(6, onIntune, func(i int, d *population.Device, u *population.User) {
		u.Licence |= population.IntuneLicence
		if i < 2 {
			d.CertEnd = asOf.Add(-170 * oneDay)
		}
	})
	out := played(t, rehearsal.Config{Plan: quiet(t, 14), Population: pop})
	if out.Removed != 2 || out.Result(out.Answer(0)).Devices.Removed != 2 || out.Violated != 0 || out.Lives[0].Enrolled || !out.Lives[2].Enrolled {
		t.Errorf("%d records removed, want 2; %v", out.Removed, out.Violations)
	}
}

// The certificates that an export shows are forecast, and those of an invented past are not (HST-116).
func TestHST116ForecastOfAStory(t *testing.T) {
	crowd := exported(200, onIntune, func(i int, d *population.Device, u *population.User) {
		u.Licence |= population.IntuneLicence
		d.CertEnd = asOf.Add(300*oneDay + time.Duration(i)*time.Minute)
	})
	spread := exported(200, onIntune, func(i int, d *population.Device, u *population.User) {
		u.Licence |= population.IntuneLicence
		d.CertEnd = asOf.Add(60*oneDay + time.Duration(i)*oneDay)
	})
	for name, tt := range map[string]struct {
		c    rehearsal.Config
		want int
	}{
		"all in one week":               {rehearsal.Config{Plan: quiet(t, 2), Population: crowd}, 200},
		"over months":                   {rehearsal.Config{Plan: quiet(t, 2), Population: spread}, 0},
		"enrolled in the story":         {rehearsal.Config{Plan: parsed(t, "until: 2d\npopulation: {devices: 200, mix: {android: 100}}\ntimeline: [{at: 0s, enrol: {over: 1h}}]")}, 200},
		"there already, nobody knows":   {rehearsal.Config{Plan: parsed(t, "until: 2d\npopulation: {already: {android: 200}}\ntimeline: []")}, 0},
		"certificate-year renews alike": {rehearsal.Config{Plan: ready(t, "certificate-year", 0)}, 700},
	} {
		_, devices, _, _ := finding(played(t, tt.c), protocol.RuleRenewal, "Certificates that end in the same week")
		if devices < tt.want || tt.want == 0 && devices > 0 {
			t.Errorf("%s: %d devices in the finding, want %d", name, devices, tt.want)
		}
	}
}

// A push certificate that has ended in the export has ended in the story: it blocks Apple's devices from the beginning, and after 30 days
// they are lost to it, whatever is uploaded (AUTH-33).
func TestAUTH33EndedInTheExport(t *testing.T) {
	for _, tt := range []struct {
		name            string
		ends            time.Duration
		moved, stranded int
		text            string
	}{
		{"10 days ahead", 10 * oneDay, 20, 0, "The push certificate ends in 7 days"},
		{"10 days ago", -10 * oneDay, 20, 0, "The push certificate has ended"},
		{"a year ago", -365 * oneDay, 10, 10, "The push certificate can be renewed no more"},
	} {
		tenant := onBMS
		tenant.APNs.Expires = asOf.Add(tt.ends)
		pop := exported(20, tenant, func(_ int, _ *population.Device, u *population.User) { u.Licence |= population.IntuneLicence })
		p := quiet(t, 12, "tenant: {authority: office365, release: 1910}", "timeline: [{at: 1d, authority: {set: coexistence}}, {at: 5d, apns: {upload: renewed}}]")
		out := played(t, rehearsal.Config{Plan: p, Population: pop, Partition: 8})
		a := out.Answer(0)
		if a.All.Moved != tt.moved || a.All.Stranded != tt.stranded {
			t.Errorf("%s: %d moved, %d stranded; want %d, %d", tt.name, a.All.Moved, a.All.Stranded, tt.moved, tt.stranded)
		}
		if !slices.Contains(told(out), tt.text) {
			t.Errorf("%s: nobody says %q: %q", tt.name, tt.text, told(out))
		}
		if out.Violated != 0 {
			t.Errorf("%s: %v", tt.name, out.Violations)
		}
	}
}

// A tenant that has bought units and assigned none, as AUTH-35 advises, can be asked the question; one that owns none is told that it
// must, and what would happen then; a plan of one's own is refused (AUTH-09).
func TestAUTH09UnitsOfTheExport(t *testing.T) {
	for _, tt := range []struct {
		name   string
		units  population.Units
		unsaid bool // that it owns some
	}{
		{"bought", population.Units{Known: true, Owned: 10, Free: 10}, false},
		{"none", population.Units{Known: true}, true},
		{"nobody says", population.Units{}, true},
	} {
		tenant := onBMS
		tenant.Units = tt.units
		pop := exported(8, tenant, asItIs)
		for i := range pop.Users {
			pop.Users[i].Licence = population.BMSLicence
		}
		p, err := rehearsal.Question(0, 7, pop)
		if err != nil {
			t.Fatal(err)
		}
		pop.Adopt(p)
		out := played(t, rehearsal.Config{Plan: p, Population: pop})
		if n, _, _, _ := finding(out, "AUTH-09", "Users whose licences"); (n == 8) != tt.unsaid || n%8 != 0 {
			t.Errorf("%s: licences are to be bought for %d users", tt.name, n)
		}
		p.Tenant.Units = nil
		if _, err = rehearsal.Play(t.Context(), rehearsal.Config{Plan: p, Population: pop}); (err != nil) != tt.unsaid {
			t.Errorf("%s: a plan without a word of it: %v", tt.name, err)
		}
	}
}

// Devices that an export shows pending are pending as the story begins, and move in it, at the next check-in after their latest; nobody who is where
// it belongs goes to and fro (AUTH-14, AUTH-23).
func TestAUTH14PendingInTheExport(t *testing.T) {
	tenant := onBMS
	tenant.Coexistence = true
	pop := exported(24, tenant, func(i int, d *population.Device, u *population.User) {
		switch {
		case i < 6: // pending: the user has had a licence since the device was seen last
			u.Licence |= population.IntuneLicence
			d.Contact.Latest = asOf.Add(-time.Duration(i+1) * time.Hour)
		case i < 12: // a Mac without a claim stays with Intune, and its user's phone with BMS
			d.Platform, d.Registered = protocol.MacOS, protocol.Intune
		case i < 18:
			d.User -= 6
		default: // those of the first have another device, which is Intune's already
			d.User -= 18
			d.Registered = protocol.Intune
		}
	})
	out := played(t, rehearsal.Config{Plan: quiet(t, 3), Population: pop, Partition: 5})
	a := out.Answer(0)
	if a.All.Moved != 6 || a.All.Pending != 0 || out.Violated != 0 {
		t.Errorf("%d moved, %d pending, %v; want 6, 0", a.All.Moved, a.All.Pending, out.Violations)
	}
	for i := range out.Lives {
		l := &out.Lives[i]
		if l.Moved != (i < 6) {
			t.Errorf("device %d: moved %t", i, l.Moved)
		}
		if next := pop.Devices[i].Contact.Latest.Add(8 * time.Hour); i < 6 && (l.FirstPending != asOf || l.MovedAt < next || l.MovedAt > asOf.Add(8*time.Hour+10*time.Minute)) {
			t.Errorf("device %d could move at %s and did at %s; want %s and not before %s", i, l.FirstPending, l.MovedAt, asOf, next)
		}
	}
}

// A rehearsal that is interrupted before the story begins says of nobody who is not enrolled yet that it must enrol again (HST-125).
func TestHST125InterruptedBeforeTheStory(t *testing.T) {
	pop := exported(40, onIntune, func(i int, d *population.Device, u *population.User) {
		u.Licence |= population.IntuneLicence
		d.CertEnd = asOf.Add(-time.Hour)
	})
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	interrupt()
	out, err := rehearsal.Play(ctx, rehearsal.Config{Plan: quiet(t, 2), Population: pop})
	if err != nil || !out.Partial {
		t.Fatalf("partial %t, %v", out.Partial, err)
	}
	if d := out.Result(out.Answer(0)).Devices; d.Enrolled != 0 || d.MustEnrol != 0 || d.Enrolling != 40 {
		t.Errorf("%d enrolled, %d must enrol again, %d not yet; want none, none, 40", d.Enrolled, d.MustEnrol, d.Enrolling)
	}
}

// A gap that is open in the export is open as the story begins, until the renewed certificate comes (AUTH-30, AUTH-31).
func TestAUTH30OpenInTheExport(t *testing.T) {
	tenant := onBMS
	tenant.Coexistence = true
	tenant.ChangedAt, tenant.APNs.Modified = asOf.Add(-2*oneDay), asOf.Add(-90*oneDay)
	pop := exported(20, tenant, func(_ int, _ *population.Device, u *population.User) { u.Licence |= population.IntuneLicence })
	out := played(t, rehearsal.Config{Plan: quiet(t, 5, "timeline: [{at: 3d, apns: {upload: renewed}}]"), Population: pop, Partition: 8})
	for i := range out.Lives {
		l, apple := &out.Lives[i], pop.Devices[i].Platform.Apple()
		if !l.Moved || apple != (l.Blocked > 0) || apple && l.MovedAt < asOf.Add(3*oneDay) {
			t.Errorf("device %d: moved %t at %s, blocked for %s", i, l.Moved, l.MovedAt, l.Blocked)
		}
	}
	if _, devices, _, _ := finding(out, protocol.RulePushGap, "Devices held"); devices != 10 || out.Violated != 0 || !slices.Contains(told(out), "The gap is open") {
		t.Errorf("%d devices in the finding, %v, told %q", devices, out.Violations, told(out))
	}
}

// The clean-up counts from the last contact that the export shows of a silent device, not from the story's beginning (AUTH-48).
func TestAUTH48SilentInTheExport(t *testing.T) {
	pop := exported(6, onIntune, func(i int, d *population.Device, u *population.User) {
		u.Licence |= population.IntuneLicence
		if i < 2 {
			d.Contact.Latest, d.Contact.Earliest = asOf.Add(-50*oneDay), asOf.Add(-50*oneDay)
		}
	})
	out := played(t, rehearsal.Config{Plan: quiet(t, 14, "tenant: {clean_up: 60d}"), Population: pop})
	if out.Removed != 2 || out.Violated != 0 {
		t.Errorf("%d records removed, want the 2 that are silent for 60 days; %v", out.Removed, out.Violations)
	}
}
