package rehearsal

import (
	"testing"
	"time"

	"rollcall/fleet"
	"rollcall/fleet/plan"
	"rollcall/fleet/population"
	"rollcall/protocol"
	"rollcall/protocol/lang"
	"rollcall/server/authority"
)

// A device that is lost to one thing is not named for another that would not help it: each is in one finding of what holds it (question 3).
func TestConcernsDoNotOverlap(t *testing.T) {
	leaving := &population.Device{Traits: population.Leaving}
	held := Standing{Pending: true, Blocked: true}
	topic := Standing{Pending: true, Stranded: true}
	for name, tt := range map[string]struct {
		of     Life
		d      *population.Device
		reason authority.Reason
		want   []concern
	}{
		"held":                            {Life{Enrolled: true, Standing: held}, new(population.Device), authority.NotStranded, []concern{isHeld}},
		"held, and must enrol again":      {Life{Enrolled: true, Standing: held, MustEnrol: true}, new(population.Device), authority.NotStranded, []concern{enrolsAgain}},
		"leaving":                         {Life{Enrolled: true}, leaving, authority.NotStranded, []concern{isLeaving}},
		"left, and enrolled again":        {Life{Enrolled: true, Again: 1}, leaving, authority.NotStranded, nil},
		"left":                            {Life{}, leaving, authority.NotStranded, nil},
		"its identity ended":              {Life{Enrolled: true, Standing: topic, MustEnrol: true}, new(population.Device), authority.Expired, []concern{enrolsAgain}},
		"another topic":                   {Life{Enrolled: true, Standing: topic}, new(population.Device), authority.TopicChanged, []concern{losesTopic}},
		"another topic, its identity too": {Life{Enrolled: true, Standing: topic, MustEnrol: true}, new(population.Device), authority.TopicChanged, []concern{losesTopic}},
	} {
		want := uint16(0)
		for _, c := range tt.want {
			want |= 1 << c
		}
		if got := tt.of.concerns(tt.d, tt.reason); got != want {
			t.Errorf("%s: concerns %b, want %b", name, got, want)
		}
	}
}

// A device under Intune whose user lost the licence stays there by another rule than one whose user never had any (AUTH-17, AUTH-24).
func TestAUTH24LicenceLost(t *testing.T) {
	p := invented(100)
	for i := range 2 {
		p.Lives[4+i] = Life{Enrolled: true, Registered: [2]protocol.Authority{protocol.Intune, protocol.Office365}[i], Standing: Standing{Unlicensed: true}}
	}
	a, got := p.Answer(0), map[string]string{}
	if err := a.Entries(lang.English, p.Population, func(e Entry) error { got[e.Device] = e.Reason; return nil }); err != nil {
		t.Fatal(err)
	}
	const says = ": its user holds no licence for the authority that manages it"
	if got["device-5"] != "AUTH-24"+says || got["device-6"] != "AUTH-17"+says {
		t.Errorf("under Intune: %q; under BMS: %q", got["device-5"], got["device-6"])
	}
}

// While one profile takes the place of another a device is not called unprotected: from a minute on it is (AUTH-38).
func TestAUTH38Changeover(t *testing.T) {
	for bare, want := range map[time.Duration]int{changeover - 1: 0, changeover: 1} {
		p := invented(1)
		p.Lives[0] = Life{Enrolled: true, lack: &Lack{Unprotected: [6]time.Duration{protocol.Email: bare}, Unassigned: bare}}
		a := p.Answer(0)
		if a.BareAny != want || a.Bare[protocol.Email].Devices != want || (a.BareFor > 0) != (want > 0) || a.has(0, isBare) != (want > 0) {
			t.Errorf("without mail for %s: %d devices, %d by family, for %d ms, concerned %t; want %d", bare, a.BareAny, a.Bare[protocol.Email].Devices, a.BareFor, a.has(0, isBare), want)
		}
	}
}

// An export whose push certificate is older than its change of authority has the gap open, in coexistence too unless the plan says that
// enabling it opens none (AUTH-30).
func TestAUTH30GapOfAnExport(t *testing.T) {
	yes, no := true, false
	changed := fleet.Begin
	for name, tt := range map[string]struct {
		coexistence bool
		modified    protocol.Time
		set         *bool
		want        protocol.Time
	}{
		"a change of authority":                 {false, changed - 1, nil, changed},
		"a change of authority, no gap by plan": {false, changed - 1, &no, changed},
		"coexistence":                           {true, changed - 1, nil, changed},
		"coexistence, a gap by plan":            {true, changed - 1, &yes, changed},
		"coexistence, no gap by plan":           {true, changed - 1, &no, 0},
		"renewed since":                         {true, changed, nil, 0},
		"nobody knows":                          {true, 0, nil, 0},
	} {
		p, pop := new(plan.Plan), new(population.Population)
		p.Tenant.Gap.OnCoexistence = tt.set
		pop.Tenant.Coexistence, pop.Tenant.ChangedAt, pop.Tenant.APNs.Modified = tt.coexistence, changed, tt.modified
		if got := gapBefore(p, pop); got != tt.want {
			t.Errorf("%s: open since %s, want %s", name, got, tt.want)
		}
	}
}
