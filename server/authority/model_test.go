package authority_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"rollcall/protocol"
	"rollcall/server/authority"
)

// The model: the rules of authority.md once more, typed from its tables as words, slow and obvious. It shares no code
// with the package and knows nothing of its types; translate does that.

// whoManages is the table "Resolving": the first row that fits decides. apart are Macs and devices of Android Management
// API; new is a device that enrols.
const whoManages = `
AUTH-10 unknown     any                    any     any       | nobody
AUTH-18 any         userless               any     intune    | intune
AUTH-18 any         userless               other   office365 | office365
AUTH-46 bms,accepts userless               apart   new       | nobody
AUTH-19 bms         userless               other   new       | nobody
AUTH-19 accepts     userless               other   new       | office365
AUTH-19 any         userless               any     new       | intune
AUTH-11 intune      any                    any     any       | intune
AUTH-12 sccm        any                    any     any       | intune
AUTH-24 bms,accepts any                    apart   intune    | intune
AUTH-46 bms,accepts any                    apart   any       | nobody
AUTH-13 bms,accepts any                    other   any       | office365
AUTH-14 both        entitled               any     any       | intune
AUTH-15 both        comanaged              any     any       | intune
AUTH-24 both        basic,none             apart   intune    | intune
AUTH-46 both        basic,none             apart   any       | nobody
AUTH-16 both        basic                  other   any       | office365
AUTH-17 both        none                   other   any       | office365
`

// strandedFirst is the order in which a reason counts.
var strandedFirst = []string{"certificate expired", "certificate revoked", "push topic changed", "userless", "offline"}

// A model device, in words.
type thing struct {
	kind       string          // mac, api, pc, phone, android
	registered string          // new, intune, office365
	was, is    string          // userless, entitled, comanaged, basic, none
	facts      map[string]bool // client, old epoch, expired, revoked, other topic, away, leaving, silent, mail
	owner      int
	planOff    bool
	unsure     bool
}

func (d *thing) apart() bool { return d.kind == "mac" || d.kind == "api" }
func (d *thing) apple() bool { return d.kind == "mac" || d.kind == "phone" }

func fits(column, word string) bool {
	return column == "any" || slices.Contains(strings.Split(column, ","), word)
}

// manages looks a device up in the table.
func manages(tenant, user, registered string, apart bool) (who, rule string) {
	place := "other"
	if apart {
		place = "apart"
	}
	for _, line := range strings.Split(strings.TrimSpace(whoManages), "\n") {
		f := strings.Fields(line)
		if fits(f[1], tenant) && fits(f[2], user) && fits(f[3], place) && fits(f[4], registered) {
			return f[6], f[0]
		}
	}
	return "nobody", "no row"
}

// A world of the model.
type world struct {
	before, after string // unknown, intune, sccm, bms, accepts, both
	changed       bool   // the tenant's authority changes
	push          string // fine, gap, ended, lost
	devices       []thing
	free          int
}

// words says what is true of one device right after the change (the Words of authority.md).
func (w *world) words(d *thing) map[string]bool {
	is := map[string]bool{}
	to, rule := manages(w.after, d.is, d.registered, d.apart())
	is["to "+to], is["by "+rule] = true, true
	user := d.is != "userless"
	older := w.changed || d.facts["old epoch"]
	is["pending"] = user && to != "nobody" && to != d.registered
	is["stale"] = user && to == d.registered && older
	waits := is["pending"] || is["stale"]
	is["blocked"] = waits && d.apple() && w.push != "fine"
	is["must enrol again"] = d.facts["expired"] || d.facts["revoked"]
	is["leaving"] = d.facts["leaving"]
	is["reachable"] = !d.facts["silent"]
	topic := d.apple() && (d.facts["other topic"] || w.push == "lost")

	would := is["pending"]
	if !user { // had it an entitled user
		elsewhere, _ := manages(w.after, "entitled", d.registered, d.apart())
		would = elsewhere != "nobody" && elsewhere != d.registered
	}
	holds := map[string]bool{"certificate expired": d.facts["expired"], "certificate revoked": d.facts["revoked"], "push topic changed": topic, "userless": !user, "offline": d.facts["away"]}
	for _, reason := range strandedFirst {
		if holds[reason] && (would || topic) {
			is["stranded"], is["stranded: "+reason] = true, true
			break
		}
	}
	is["needs support"] = is["stranded: userless"]
	is["unlicensed"] = to == "office365" && d.is == "none" ||
		to == "intune" && (d.is == "basic" || d.is == "none") && !(d.kind == "pc" && d.facts["client"])
	is["moves"] = is["pending"] && !is["stranded"] && !is["leaving"]
	is["stays"] = !is["moves"] && !is["leaving"]
	is["asked to sign in"] = is["moves"] && d.registered == "office365" && d.facts["mail"]
	return is
}

// short is how many units to buy (AUTH-09).
func (w *world) short() int {
	if w.after == "bms" || w.after == "accepts" {
		return max(0, -w.free)
	}
	need := map[int]bool{}
	for _, d := range w.devices {
		if d.registered == "office365" && (d.is == "basic" || d.is == "none") && !d.planOff && !d.unsure {
			need[d.owner] = true
		}
	}
	return max(0, len(need)-w.free)
}

// Drawing and translating.

var (
	tenants = map[string]authority.Tenant{"unknown": unset, "intune": intune, "sccm": sccm, "bms": bms, "accepts": accepting, "both": coexist}
	users   = map[string]*authority.User{"userless": nil, "entitled": entitled, "comanaged": coManaged, "basic": basic, "none": none}
)

func drawWorld(t *rapid.T) world {
	word := func(name string, of ...string) string { return rapid.SampledFrom(of).Draw(t, name) }
	w := world{
		before: word("before", "intune", "sccm", "bms", "accepts", "both"), push: word("push", "fine", "fine", "gap", "ended", "lost"),
		free: rapid.IntRange(-2, 5).Draw(t, "free units"),
	}
	w.after = word("after", w.before, "unknown", "intune", "sccm", "bms", "accepts", "both")
	w.changed = strings.Replace(w.before, "accepts", "bms", 1) != strings.Replace(w.after, "accepts", "bms", 1)
	classes := []string{"entitled", "comanaged", "basic", "none"}
	type person struct {
		was, is         string
		planOff, unsure bool
	}
	people := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) person {
		p := person{was: rapid.SampledFrom(classes).Draw(t, "was"), planOff: rapid.IntRange(0, 9).Draw(t, "plan off") == 0, unsure: rapid.IntRange(0, 9).Draw(t, "unsure") == 0}
		p.is = p.was
		if rapid.IntRange(0, 3).Draw(t, "licence changes") == 0 {
			p.is = rapid.SampledFrom(classes).Draw(t, "is")
		}
		return p
	}), 1, 4).Draw(t, "people")
	w.devices = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) thing {
		d := thing{kind: rapid.SampledFrom([]string{"mac", "api", "pc", "phone", "android"}).Draw(t, "kind"), was: "userless", is: "userless", facts: map[string]bool{}}
		d.registered = "intune"
		if !d.apart() && rapid.Bool().Draw(t, "BMS") {
			d.registered = "office365"
		}
		if n := rapid.IntRange(0, len(people)).Draw(t, "owner"); n > 0 {
			p := people[n-1]
			d.owner, d.was, d.is, d.planOff, d.unsure = n, p.was, p.is, p.planOff, p.unsure
		}
		for _, fact := range []string{"client", "old epoch", "expired", "revoked", "other topic", "away", "leaving", "silent", "mail"} {
			d.facts[fact] = rapid.IntRange(0, 5).Draw(t, fact) == 0
		}
		return d
	}), 0, 8).Draw(t, "devices")
	return w
}

func (w *world) translate() (authority.Scene, []*authority.Subject) {
	s := authority.Scene{Before: tenants[w.before], After: tenants[w.after], Now: now, Units: authority.Units{Known: true, Free: w.free}}
	s.Before.Epoch, s.After.Epoch = 5, 5
	if w.changed {
		s.After.Epoch = 6
	}
	s.Push = map[string]authority.Push{"gap": {Gap: true, Ends: now.Add(day)}, "ended": {Ends: now.Add(-day)}, "lost": {Ends: now.Add(-31 * day)}}[w.push]
	var all []*authority.Subject
	for i, d := range w.devices {
		c := &authority.Subject{Number: protocol.Device(i + 1), Owner: uint32(d.owner), Was: users[d.was], Is: users[d.is], Epoch: 5, CertEnd: now.Add(day), Contact: now, PlanOff: d.planOff, Unsure: d.unsure}
		c.Platform = map[string]protocol.Platform{"mac": protocol.MacOS, "api": protocol.Android, "pc": protocol.Windows, "phone": protocol.IOS, "android": protocol.Android}[d.kind]
		c.AndroidAPI, c.CoManaged = d.kind == "api", d.facts["client"]
		c.Registered = map[string]protocol.Authority{"intune": protocol.Intune, "office365": protocol.Office365}[d.registered]
		if d.facts["old epoch"] {
			c.Epoch = 4
		}
		if d.facts["expired"] {
			c.CertEnd = now.Add(-time.Hour)
		}
		if d.facts["silent"] {
			c.Contact = now.Add(-91 * day)
		}
		if d.facts["mail"] {
			c.Has = []authority.Profile{{Name: "mail", Family: protocol.Email, Authority: c.Registered}}
		}
		c.Revoked, c.OtherTopic, c.Away, c.Leaving = d.facts["revoked"], d.facts["other topic"], d.facts["away"], d.facts["leaving"]
		all = append(all, c)
	}
	return s, all
}

// inWords is a judgement as the model would say it.
func inWords(j *authority.Judgement) map[string]bool {
	who := j.After.Authority.String()
	if j.After.Authority == protocol.Unknown {
		who = "nobody"
	}
	is := map[string]bool{
		"to " + who: true, "by " + string(j.After.Rule): true, "pending": j.Pending, "stale": j.Stale, "blocked": j.Blocked != "", "must enrol again": j.MustEnrol,
		"leaving": j.Leaving, "reachable": j.Reachable, "stranded": j.Stranded != authority.NotStranded, "needs support": j.NeedsSupport, "unlicensed": j.After.Unlicensed,
		"moves": j.Fate == authority.Moves, "stays": j.Fate == authority.Stays || j.Fate == authority.Strands, "asked to sign in": j.Prompt,
	}
	reason := map[authority.Reason]string{authority.Expired: "certificate expired", authority.Revoked: "certificate revoked", authority.TopicChanged: "push topic changed", authority.Userless: "userless", authority.Offline: "offline"}
	if j.Stranded != authority.NotStranded {
		is["stranded: "+reason[j.Stranded]] = true
	}
	return is
}

func trueOnes(m map[string]bool) string {
	var all []string
	for k, v := range m {
		if v {
			all = append(all, k)
		}
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

// TestTwin holds Plan against the model, device by device and in its counts.
func TestTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		s, all := w.translate()
		want := map[string]int{}
		p := authority.Plan(&s, slices.Values(all), func(c *authority.Subject, j *authority.Judgement) {
			d := &w.devices[c.Number-1]
			is := w.words(d)
			if got, want := trueOnes(inWords(j)), trueOnes(is); got != want {
				t.Fatalf("%+v\n got %s\nwant %s", *d, got, want)
			}
			if is["moves"] && is["blocked"] {
				want["moves, blocked"]++
			}
			if is["moves"] && is["reachable"] {
				want["moves, reachable"]++
			}
			for k, v := range is {
				if v {
					want[k]++
				}
			}
		})
		for name, got := range map[string]int{
			"pending": p.Pending, "stale": p.Stale, "blocked": p.Blocked, "stranded": p.Stranded, "needs support": p.NeedsSupport, "must enrol again": p.MustEnrol,
			"unlicensed": p.Unlicensed, "leaving": p.Leaving, "moves": p.WouldMove, "moves, blocked": p.WouldMoveBlocked, "moves, reachable": p.WouldMoveReachable,
			"stays": p.WouldStay, "asked to sign in": p.Prompts, "stranded: offline": p.By[authority.Offline],
		} {
			if got != want[name] {
				t.Fatalf("%s: %d, want %d", name, got, want[name])
			}
		}
		if p.Enrolled != len(all) || p.WouldMove+p.WouldStay+p.Leaving != p.Enrolled {
			t.Fatalf("%d move, %d stay, %d leave: want %d in all", p.WouldMove, p.WouldStay, p.Leaving, len(all))
		}
		grouped := 0
		for _, g := range p.Groups {
			grouped += g.Devices
		}
		if grouped != len(all) {
			t.Fatalf("%d devices in groups, want %d", grouped, len(all))
		}
		if p.Need.Short != w.short() {
			t.Fatalf("%d units short, want %d", p.Need.Short, w.short())
		}
		if again := authority.Plan(&s, slices.Values(all), nil); again.ID != p.ID || fmt.Sprint(again) != fmt.Sprint(p) {
			t.Fatal("the same world gives another preview")
		}
	})
}

// TestTwinResolve walks all there is, enrolling devices too.
func TestTwinResolve(t *testing.T) {
	for tenant := range tenants {
		for user := range users {
			for _, d := range []thing{{kind: "mac"}, {kind: "api"}, {kind: "pc"}, {kind: "phone"}} {
				for registered, a := range map[string]protocol.Authority{"new": protocol.Unknown, "intune": protocol.Intune, "office365": protocol.Office365} {
					if d.apart() && registered == "office365" {
						continue // neither is ever under BMS (AUTH-46)
					}
					device := authority.Device{Registered: a, AndroidAPI: d.kind == "api"}
					device.Platform = map[string]protocol.Platform{"mac": protocol.MacOS, "api": protocol.Android, "pc": protocol.Windows, "phone": protocol.IOS}[d.kind]
					got := authority.Resolve(tenants[tenant], users[user], device)
					who, rule := manages(tenant, user, registered, d.apart())
					if name := strings.Replace(got.Authority.String(), "unknown", "nobody", 1); name != who || string(got.Rule) != rule {
						t.Errorf("%s, %s, %s, %s: %s by %s, want %s by %s", tenant, user, d.kind, registered, name, got.Rule, who, rule)
					}
				}
			}
		}
	}
}
