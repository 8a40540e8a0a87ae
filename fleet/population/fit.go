package population

import (
	"fmt"
	"math"
	"slices"
	"time"

	"rollcall/fleet/plan"
	"rollcall/protocol"
	"rollcall/protocol/lang"
)

// A Note says where a fitted plan comes from, or what it assumes, at a path of the plan.
type Note struct {
	Path    string    `json:"path"`
	Text    lang.Text `json:"text"`
	Assumed bool      `json:"assumed"` // the export does not say it
}

// Fit returns a plan whose tenant, mix, licences and habits are those of p, an imported population: what it makes is like p in
// proportion, and names nobody of p. Where p knows how silent devices come back (see Since), the plan does too. Its timeline has
// the enrolments that are not complete, and nothing else. The notes say what was read from the export and what is assumed.
func (p *Population) Fit() (*plan.Plan, []Note) {
	f := fitter{from: p, to: &plan.Plan{Until: plan.Duration(14 * plan.Day), Seed: 1}}
	f.to.Name = "tenant of " + p.Tenant.AsOf.Time().Format(time.DateOnly)
	f.tenant()
	f.devices()
	f.users()
	f.ways()
	f.offline()
	f.silent()
	f.habits()
	f.profiles()
	return f.to, f.notes
}

type fitter struct {
	from  *Population
	to    *plan.Plan
	notes []Note
}

func (f *fitter) read(path string, text lang.Text) {
	f.notes = append(f.notes, Note{path, text, false})
}

func (f *fitter) assume(path string, text lang.Text) {
	f.notes = append(f.notes, Note{path, text, true})
}

func (f *fitter) tenant() {
	is, t := &f.from.Tenant, &f.to.Tenant
	t.Authority, t.Coexistence = is.Authority, is.Coexistence
	if is.Units.Known {
		t.Units = &f.from.Tenant.Units.Owned
	} else {
		f.assume("tenant", lang.Later("the export does not say how many licences that entitle Intune are owned: never too few"))
	}
	switch left := is.APNs.Expires.Sub(is.AsOf); {
	case is.APNs.Expires == 0:
		f.assume("tenant", lang.Later("the export does not say when the push certificate ends: in 365d"))
	case left <= 0:
		f.assume("tenant", lang.Later("the push certificate ended on %s, and a story cannot begin after that: in 365d", is.APNs.Expires.Time().Format(time.DateOnly)))
	default:
		t.APNs.Expires = plan.Duration(left.Round(time.Hour))
	}
	if is.Consents == nil {
		f.assume("tenant", lang.Later("the export does not say which consents are granted: all"))
		return
	}
	t.Consents = []plan.Consent{}
	for _, c := range plan.Consents {
		granted := is.Consents[c.String()]
		if !granted && f.needs(c) {
			granted = true
			f.assume("tenant", lang.Later("the consent %s is granted: devices are enrolled that need it", c))
		}
		if granted {
			t.Consents = append(t.Consents, c)
		}
	}
}

// needs tells whether devices are enrolled that nobody could have enrolled without c (AUTH-05).
func (f *fitter) needs(c plan.Consent) bool {
	return slices.ContainsFunc(f.from.Devices, func(d Device) bool {
		return d.Platform.Apple() && (c == plan.ApplePush || c == plan.AutomatedEnrolment && d.Userless()) || // a userless Android is Google's, under Android Enterprise
			d.Platform == protocol.Android && c == plan.AndroidEnterprise && (d.Userless() || d.Has(AndroidAPI))
	})
}

// devices counts who is there, and who is enrolling.
func (f *fitter) devices() {
	p, pop := f.from, &f.to.Population
	var joining plan.ByPlatform
	var managers [2][protocol.Office365 + 1]int // by user, userless
	onTheWay := 0
	for i := range p.Devices {
		d := &p.Devices[i]
		switch {
		case d.Joins != Already && !d.Userless():
			*numberOf(&joining, d.Platform)++
			pop.Devices++
		case d.Joins != Already:
		case d.Userless():
			*numberOf(&pop.Already.Userless.ByPlatform, d.Platform)++
			managers[1][d.Registered]++
		default:
			*numberOf(&pop.Already.ByPlatform, d.Platform)++
			managers[0][d.Registered]++
			u := &p.Users[d.User]
			if claim := u.Licence&IntuneLicence != 0 || u.CoManaged; p.Tenant.Coexistence && claim != (d.Registered == protocol.Intune) && d.Platform != protocol.MacOS {
				onTheWay++
			}
		}
	}
	f.read("population", lang.Later("%d devices are enrolled, %d of them without a user", pop.Already.Total()+pop.Already.Userless.Total(), pop.Already.Userless.Total()))
	if p.Tenant.Authority == protocol.SCCM {
		pop.Already.Registered, pop.Already.Userless.Registered = protocol.Intune, protocol.Intune
	}
	if onTheWay > 0 {
		f.assume("population.already", lang.Later("%d devices are not yet where their users' licences say; in the plan they are", onTheWay))
	}
	if n := managers[1]; p.Tenant.Coexistence && n[protocol.Intune]+n[protocol.Office365] > 0 {
		pop.Already.Userless.Registered = protocol.Office365
		if n[protocol.Intune] > n[protocol.Office365] {
			pop.Already.Userless.Registered = protocol.Intune
		}
		if least := min(n[protocol.Intune], n[protocol.Office365]); least > 0 {
			f.assume("population.already", lang.Later("%d devices without a user are managed by the other authority; in the plan all are by %s", least, pop.Already.Userless.Registered))
		}
	}
	if pop.Devices > 0 {
		parts := hundred(joining.IOS, joining.IPadOS, joining.MacOS, joining.Android, joining.Windows)
		pop.Mix = plan.ByPlatform{IOS: parts[0], IPadOS: parts[1], MacOS: parts[2], Android: parts[3], Windows: parts[4]}
		f.to.Timeline = append(f.to.Timeline, plan.Action{Enrol: &plan.Enrol{Over: plan.Duration(8 * time.Hour)}})
		f.read("population.devices", lang.Later("devices whose enrolment was not complete"))
	}
}

func numberOf(b *plan.ByPlatform, p protocol.Platform) *int {
	switch p {
	case protocol.IOS:
		return &b.IOS
	case protocol.IPadOS:
		return &b.IPadOS
	case protocol.MacOS:
		return &b.MacOS
	case protocol.Android:
		return &b.Android
	}
	return &b.Windows
}

// users takes the number of devices and the licences of those who have a device.
func (f *fitter) users() {
	p, pop := f.from, &f.to.Population
	devices := make([]int, len(p.Users))
	for i := range p.Devices {
		if d := &p.Devices[i]; !d.Userless() {
			devices[d.User]++
		}
	}
	var most, assumed, owners int
	var held [3]int // none, basic, intune
	for u, n := range devices {
		if n == 0 {
			continue
		}
		owners++
		most = max(most, n)
		if p.Users[u].Assumed {
			assumed++
		}
		switch l := p.Users[u].Licence; {
		case l&IntuneLicence != 0:
			held[2]++
		case l&BMSLicence != 0:
			held[1]++
		default:
			held[0]++
		}
	}
	if owners == 0 {
		return
	}
	counts := make([]int, min(most, 100)+1)
	for _, n := range devices {
		if n > 0 {
			counts[min(n, len(counts)-1)]++
		}
	}
	pop.DevicesPerUser = map[int]int{}
	for n, part := range hundred(counts...) {
		if part > 0 {
			pop.DevicesPerUser[n] = part
		}
	}
	parts := hundred(held[:]...)
	pop.Licences = plan.Licences{None: parts[0], Basic: parts[1], Intune: parts[2]}
	f.read("population.licences", lang.Later("of %d users with a device", owners))
	if assumed > 0 {
		f.assume("population.licences", lang.Later("users of devices whom the export does not name: %d; they count by --licence-default, or by a device under Intune", assumed))
	}
	f.assume("population", lang.Later("the export shows no groups; name yours by %s, and licences and profiles can be given to them", "groups: {sales: 30, field: 70}"))
}

// hundred divides 100 in the proportions of parts, none of which is negative: the remainders go to the largest.
func hundred(parts ...int) []int {
	sum := 0
	for _, n := range parts {
		sum += n
	}
	out := make([]int, len(parts))
	if sum == 0 {
		return out
	}
	left, order := 100, make([]int, len(parts))
	for i, n := range parts {
		out[i], order[i] = 100*n/sum, i
		left -= out[i]
	}
	slices.SortStableFunc(order, func(a, b int) int { return 100*parts[b]%sum - 100*parts[a]%sum })
	for _, i := range order[:left] {
		out[i]++
	}
	return out
}

// ways takes how Windows PCs and Android devices were enrolled. Which of them are co-managed a plan cannot say of devices that are there: these count as
// joined, which the device limit does not count either.
func (f *fitter) ways() {
	var n [6]int
	var alone [3]int   // without a user: by a package, self-deploying, by a package with a certificate
	var android [3]int // with a work profile or dedicated, fully managed, without Google's services
	for i := range f.from.Devices {
		d := &f.from.Devices[i]
		switch {
		case d.Platform == protocol.Android && d.Enrolment == AOSP:
			android[2]++
		case d.Platform == protocol.Android && d.Enrolment == FullyManaged:
			android[1]++
		case d.Platform == protocol.Android:
			android[0]++
		case d.Platform != protocol.Windows:
		case d.Userless() && d.Enrolment == SelfDeployed:
			alone[1]++
		case d.Userless() && d.Enrolment == Packaged:
			alone[2]++
		case d.Userless():
			alone[0]++
		case d.Enrolment == Joined, d.Has(CoManaged):
			n[3]++
		case d.Enrolment == ByManager:
			n[1]++
		case d.Enrolment == GroupPolicy:
			n[2]++
		case d.Enrolment == Autopilot:
			n[4]++
		case d.Enrolment == DirectoryRegistered:
			n[5]++
		default:
			n[0]++
		}
	}
	parts, userless, droids := hundred(n[:]...), hundred(alone[:]...), hundred(android[:]...)
	f.to.Population.Ways = plan.Ways{
		Manager: parts[1], GroupPolicy: parts[2], Joined: parts[3], Autopilot: parts[4], Registered: parts[5], SelfDeploying: userless[1], Bootstrap: userless[2],
		FullyManaged: droids[1], AOSP: droids[2],
	}
}

// The silences that are told apart: up to an away is a spell off the network, which everybody has.
const (
	awake = 9 * time.Hour // one interval of the schedule, and a little
	away  = 7 * oneDay
)

// silences are how long devices were silent, at least, shortest first, and how many devices that is known of.
func (f *fitter) silences() (list []time.Duration) {
	for i := range f.from.Devices {
		d := &f.from.Devices[i]
		if silent, _, ok := d.Contact.Silent(f.from.Tenant.AsOf); ok && d.Joins == Already {
			list = append(list, silent)
		}
	}
	slices.Sort(list)
	return list
}

// offline fits the spells off the network to the devices that were silent for more than an interval and less than a week.
func (f *fitter) offline() {
	list := f.silences()
	o := &f.to.Population.Offline
	from, _ := slices.BinarySearch(list, awake)
	to, _ := slices.BinarySearch(list, away)
	exact := slices.ContainsFunc(f.from.Devices, func(d Device) bool { return d.Contact.Latest != 0 && d.Contact.Earliest == d.Contact.Latest })
	if spells := list[from:to]; exact && len(spells) >= 5 {
		o.Share = shareOf(len(spells), len(list))
		median, upper := spells[len(spells)/2], spells[len(spells)*84/100] // two thirds lie within a factor of the median
		factor := min(max(math.Round(10*float64(upper)/float64(median))/10, 1.1), 20)
		o.Lasts = distribution("lognormal(%s, %.1f)", plan.Duration(median.Round(time.Hour)), factor)
		f.read("population.offline", lang.Later("%d of %d devices were silent for %s to %s", len(spells), len(list), plan.Duration(awake), plan.Duration(away)))
		return
	}
	o.Share, o.Lasts = 30_000, distribution("lognormal(4h, 2)")
	f.assume("population.offline", lang.Later("last contacts are too few or too coarse to tell spells off the network"))
}

// silent fits who has been silent for over a week, by bands, and how they come back.
func (f *fitter) silent() {
	p, list := f.from, f.silences()
	ended := 0
	for i := range p.Devices {
		if d := &p.Devices[i]; d.Joins == Already && over(d, p.Tenant.AsOf) {
			ended++
		}
	}
	for b, from := range bands[1:] {
		to := 10 * 365 * oneDay
		if b+2 < len(bands) {
			to = bands[b+2]
		}
		first, _ := slices.BinarySearch(list, from)
		last, _ := slices.BinarySearch(list, to)
		in := list[first:last]
		if len(in) == 0 {
			continue
		}
		longest := min(max(in[len(in)-1], from+time.Hour), to)
		s := plan.Silence{Share: shareOf(len(in), len(list)), For: distribution("uniform(%s, %s)", plan.Duration(from), plan.Duration(longest.Truncate(time.Hour)))}
		path := fmt.Sprintf("population.silent[%d]", len(f.to.Population.Silent))
		back, known := p.Returns.rate(from)
		switch {
		case known:
			f.read(path, lang.Later("%d of %d devices; those that came back between the two exports say how many do", len(in), len(list)))
		case from < 30*oneDay:
			back = 200_000
		case from < 90*oneDay:
			back = 50_000
		}
		switch {
		case !known && p.Returns.Between != 0:
			f.assume(path, lang.Later("%d of %d devices; in the older export none was silent for as long, so how they come back is a guess", len(in), len(list)))
		case !known:
			f.assume(path, lang.Later("%d of %d devices; one export does not say how they come back (give an older one by --previous)", len(in), len(list)))
		}
		if back > 0 {
			s.Back = plan.Rate{Share: back, Per: 7 * oneDay}
		}
		f.to.Population.Silent = append(f.to.Population.Silent, s)
	}
	if ended > 0 {
		f.assume("population.silent", lang.Later("%d devices must enrol again (identity expired or revoked); in the plan they are as others that were silent for so long", ended))
	}
}

// rate returns which part of the devices that were silent for so long comes back in a week.
func (r *Returns) rate(silent time.Duration) (plan.Share, bool) {
	band := r.band(silent)
	if r.Between == 0 || band == nil || band.Silent == 0 {
		return 0, false
	}
	stay := 1 - float64(band.Back)/float64(band.Silent)
	week := 1 - math.Pow(stay, float64(7*oneDay)/float64(r.Between))
	return plan.Share(math.Round(1000*week) * 1000), true // to a tenth of a percent, so that no last bit of a machine shows
}

// habits are what no export shows.
func (f *fitter) habits() {
	f.to.Population.Habits = plan.Habits{NotNow: 80_000, UnreachableNight: 300_000, SyncsByHand: plan.Rate{Share: 50_000, Per: oneDay}, ProfileFails: 10_000}
	f.assume("population.habits", lang.Later("no export shows them: NotNow, nights switched off, syncs by hand and profiles that fail are a guess"))
}

// profiles are what an export is assumed to have of Basic Mobility and Security: see [Population.Assume].
func (f *fitter) profiles() {
	if f.from.Assume(f.to) {
		f.assume("profiles", lang.Later("the export does not say what Basic Mobility and Security has put on its devices: email and configuration; put your own in their place"))
	}
}

// shareOf is n of whole, to a hundredth of a percent.
func shareOf(n, whole int) plan.Share {
	return plan.Share((int64(n)*10_000 + int64(whole)/2) / int64(whole) * 100)
}

// distribution makes one of a text that is well formed.
func distribution(format string, args ...any) (d plan.Distribution) {
	if err := d.UnmarshalText(fmt.Appendf(nil, format, args...)); err != nil {
		panic(err) // a mistake of this file
	}
	return d
}
