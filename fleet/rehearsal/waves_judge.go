package rehearsal

import (
	"fmt"
	"slices"
	"time"

	"rollcall/fleet/plan"
	"rollcall/fleet/population"
	"rollcall/protocol"
	"rollcall/protocol/lang"
)

// A BoundResult is what became of one bound.
type BoundResult struct {
	Bound string `json:"bound"`
	Got   string `json:"got"`
	OK    bool   `json:"ok"`
	Aside bool   `json:"aside,omitempty"` // it was not held, and by nothing that waves or the plan's own changes do: it is told only

	Over float64 `json:"-"` // by how many a minute it was broken

	said func(l lang.Language) (bound, got string)
}

// In returns bound and outcome in a language; Bound and Got have them in English.
func (b *BoundResult) In(l lang.Language) (bound, got string) { return b.said(l) }

func boundResult(ok bool, over float64, said func(l lang.Language) (bound, got string)) BoundResult {
	b := BoundResult{OK: ok, Over: over, said: said}
	b.Bound, b.Got = said(lang.English)
	return b
}

// judge holds a rehearsal of the waves against their bounds, beside one without them: no wave puts a minute above its bound, or, where
// that time of the day is above it without any wave too, above that; and what a device lacks anyhow is no wave's fault either.
func (w *WavePlan) judge(with, without *Played) (results []BoundResult) {
	b := &w.bounds
	results = append(results, w.peaks(lang.Key("check-ins"), b.CheckIns, with, without, func(m *Minute) uint32 { return m.CheckIns })...)
	results = append(results, w.peaks(lang.Key("certificates"), b.Certificates, with, without, func(m *Minute) uint32 { return m.Issued })...)
	outside := w.outside()
	results = append(results, boundResult(outside == 0, 0, func(l lang.Language) (string, string) {
		return l.Say("hours %s to %s", clock(b.From), clock(b.To)), l.Say("%d {licence|licences} outside", outside)
	}))
	if b.Unprotected > 0 {
		devices, longest := w.exposed(with, without, b.Unprotected)
		w.Exposed = nil
		for _, i := range devices {
			if life := &with.Lives[i]; life.MovedAt == 0 { // its old profiles are nobody's any more, and it drops them
				w.Exposed = append(w.Exposed, Left{i, lang.Key("its user's licence ends its old profiles, and it does not come for new ones"), protocol.RuleSevenDays, stuck(i, life).Action})
				continue
			}
			w.Exposed = append(w.Exposed, Left{i, lang.Key("it moves, and is without a profile for longer than the bound"), protocol.RuleLicenceMoves, lang.Key("assign Intune's profiles before its wave")})
		}
		n := len(devices)
		results = append(results, boundResult(n == 0, 0, func(l lang.Language) (string, string) {
			return l.Say("unprotected <= %s", plan.Duration(b.Unprotected)), l.Say("%s, %d {device|devices} longer than that", plan.Duration(longest.Round(time.Minute)), n)
		}))
	}
	results = append(results, w.before(without)...)
	if with.Violated > 0 {
		results = append(results, boundResult(false, 0, func(l lang.Language) (string, string) {
			return l.Say("invariants"), l.Say("%d {violation|violations}", with.Violated)
		}))
	}
	return results
}

// peaks holds the minutes of a rehearsal against a bound; nothing: there is none.
func (w *WavePlan) peaks(what lang.Key, bound float64, with, without *Played, of func(m *Minute) uint32) []BoundResult {
	if bound == 0 {
		return nil
	}
	first := int(w.Days[0].At / time.Minute)
	var n, anyhow uint32
	over := 0.0
	for i := first; i < min(len(with.Minutes), len(without.Minutes)); i++ {
		there := uint32(0) // about that time of the day, without any wave
		for k := max(first, i-around); k <= min(i+around, len(without.Minutes)-1); k++ {
			there = max(there, of(&without.Minutes[k]))
		}
		is := of(&with.Minutes[i])
		if float64(there) <= bound || is > there {
			n = max(n, is)
		}
		anyhow = max(anyhow, there)
		over = max(over, float64(is)-max(bound, float64(there)))
	}
	return []BoundResult{boundResult(over == 0, over, func(l lang.Language) (string, string) {
		return fmt.Sprintf("%s <= %g/min", l.Say(what), bound), l.Say("%d/min (without any wave %d/min)", n, anyhow)
	})}
}

// before tells which bounds the story breaks itself, with the changes that it makes before the first wave: no size of waves mends that.
func (w *WavePlan) before(without *Played) (broken []BoundResult) {
	b := &w.bounds
	for _, p := range []struct {
		what  lang.Key
		bound float64
		of    func(m *Minute) uint32
	}{
		{lang.Key("check-ins"), b.CheckIns, func(m *Minute) uint32 { return m.CheckIns }},
		{lang.Key("certificates"), b.Certificates, func(m *Minute) uint32 { return m.Issued }},
	} {
		most := func(from, to time.Duration) (n uint32, when time.Duration) {
			for i := int(from / time.Minute); i < min(len(without.Minutes), int(to/time.Minute)); i++ {
				if is := p.of(&without.Minutes[i]); is > n {
					n, when = is, time.Duration(i)*time.Minute
				}
			}
			return n, when
		}
		over := func(n uint32, when time.Duration, what lang.Key) BoundResult {
			return boundResult(false, 0, func(l lang.Language) (string, string) {
				return fmt.Sprintf("%s <= %g/min", l.Say(p.what), p.bound), l.Say(what, n, plan.Duration(when))
			})
		}
		first := min(w.aside, w.Days[0].At)
		if n, when := most(0, first); p.bound > 0 && float64(n) > p.bound {
			why := lang.Key("%d/min after %s, as the story begins, whatever the waves")
			if w.adds {
				why = lang.Key("%d/min after %s, by adding Intune itself (AUTH-20), whatever the waves")
			}
			r := over(n, when, why)
			r.OK, r.Aside = true, true
			broken = append(broken, r)
		}
		if n, when := most(first, w.Days[0].At); p.bound > 0 && float64(n) > p.bound {
			broken = append(broken, over(n, when, lang.Key("%d/min after %s, before the first wave, by the plan's own changes")))
		}
	}
	n, longest := 0, time.Duration(0)
	for i := range without.Lives {
		life := &without.Lives[i]
		if life.MovedAt == 0 {
			continue // it lacks what it lacks, and no move is at fault
		}
		lack := life.Lack()
		bare := slices.Max(lack.Unprotected[:])
		if without.Population.Tenant.Coexistence {
			bare -= life.MovedAt.Sub(life.FirstPending)
		}
		if longest = max(longest, bare); bare > b.Unprotected {
			n++
		}
	}
	if b.Unprotected > 0 && n > 0 {
		broken = append(broken, boundResult(false, 0, func(l lang.Language) (string, string) {
			return l.Say("unprotected <= %s", plan.Duration(b.Unprotected)), l.Say("%s, %d {device|devices} longer than that without any wave, by the plan's own changes", plan.Duration(longest.Round(time.Minute)), n)
		}))
	}
	return broken
}

// outside counts the licences that the waves give outside working hours.
func (w *WavePlan) outside() (n int) {
	for _, at := range w.given {
		if !w.bounds.worked(w.cast.Start.Add(at).Time()) {
			n++
		}
	}
	return n
}

// settle names who did not make it in a rehearsal: of those that were expected to be left behind the ones that were, and with them
// whose user got a licence, and which had not moved by the end.
func (w *WavePlan) settle(with *Played) {
	expected := w.Left
	w.Left = nil
	for i := range with.Lives {
		life, d := &with.Lives[i], &with.Population.Devices[i]
		var before *Left
		if len(expected) > 0 && expected[0].Device == i {
			before, expected = &expected[0], expected[1:]
		}
		_, given := w.given[d.User]
		switch {
		case life.Registered == protocol.Intune:
		case before != nil:
			w.Left = append(w.Left, *before)
		case given && life.Enrolled && d.Registered == protocol.Office365:
			w.Left = append(w.Left, stuck(i, life))
		}
	}
}

// stuck says why a device has not moved by the end of a rehearsal.
func stuck(i int, life *Life) Left {
	switch {
	case life.MustEnrol:
		return Left{i, lang.Key("its identity has ended"), protocol.RuleNotRenewed, lang.Key("enrol it again")}
	case life.Why() == protocol.RulePushGap || life.Why() == protocol.RulePushExpired || life.Why() == protocol.RuleOtherTopic:
		return Left{i, lang.Key("Apple's push certificate does not reach it"), life.Why(), lang.Key("upload the renewed Apple push certificate")}
	case life.Away:
		return Left{i, lang.Key("it is off the network when the rehearsal ends"), protocol.RuleRegistered, lang.Key("wait for it")}
	}
	return Left{i, lang.Key("it has not checked in again when the rehearsal ends"), protocol.RuleRegistered, lang.Key("ask its user to sync")}
}

// around is how many minutes before and after one belong to the same time of the day.
const around = 15

// exposed returns the devices that the waves leave without a profile for longer than a time, and the longest of all.
func (w *WavePlan) exposed(with, without *Played, most time.Duration) (devices []int, longest time.Duration) {
	for i := range with.Lives {
		over := time.Duration(0)
		for f, d := range with.Lives[i].Lack().Unprotected {
			over = max(over, d-without.Lives[i].Lack().Unprotected[f])
		}
		if life := &with.Lives[i]; with.Population.Tenant.Coexistence { // of BMS's profiles from before the story nobody knows: they are on it until it moves (AUTH-25)
			if life.MovedAt == 0 {
				continue
			}
			over -= max(0, life.MovedAt.Sub(life.FirstPending))
		}
		if longest = max(longest, over); over > most {
			devices = append(devices, i)
		}
	}
	return devices, longest
}

// Entries calls f with each device that the waves do not move or expose, and each user without a unit, in a language, until f fails.
// Names are those of names.
func (w *WavePlan) Entries(l lang.Language, names *population.Population, f func(Entry) error) error {
	for _, left := range slices.Concat(w.Left, w.Exposed) {
		if err := f(Entry{names.Devices[left.Device].Name, userName(names, left.Device), fmt.Sprintf("%s (%s)", l.Say(left.Why), left.Rule), l.Say(left.Action)}); err != nil {
			return err
		}
	}
	for _, u := range w.NoUnit {
		reason := l.Say("no licence that entitles Intune is left for the user")
		if err := f(Entry{User: names.Users[u].UPN, Reason: reason + " (AUTH-09)", Action: l.Say("buy licences, or free some")}); err != nil {
			return err
		}
	}
	return nil
}
