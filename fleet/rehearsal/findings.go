package rehearsal

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"rollcall/fleet/population"
	"rollcall/fleet/report"
	"rollcall/protocol"
	"rollcall/protocol/lang"
	"rollcall/server/authority"
)

// A concern is a kind of finding that is about single devices, each of which has something to be done about.
type concern uint8

// The concerns, in the order of harm: first what is lost until somebody takes the device in hand, then what is open to
// attack, then what waits, and last what is only untidy.
const (
	enrolsAgain concern = iota
	losesTopic
	wantsSupport
	cannotEnrol
	isHeld
	isSilenced
	isGone
	isBare
	wantsLicence
	isToCome
	isLeaving
	leftProfiles
	concerns
)

// A concerned says in words what a concern is about.
type concerned struct {
	rule                           protocol.Rule
	title, caption, reason, action lang.Key
}

var concernWords = [concerns]concerned{
	enrolsAgain: {
		protocol.RuleNotRenewed, lang.Key("Devices that must enrol again"), lang.Key("Their identity certificate has ended or was revoked; the server refuses them until they enrol again."),
		lang.Key("its identity certificate has ended or was revoked"), lang.Key("have the user enrol the device again (AUTH-44)"),
	},
	losesTopic: {
		protocol.RuleOtherTopic, lang.Key("Devices lost by another push topic"), lang.Key("The push certificate in force has another topic than the one they know, or can have no other: no push reaches them any more."),
		lang.Key("no push certificate that can be had reaches it any more"), lang.Key("have the user enrol the device again under the new push certificate (AUTH-44)"),
	},
	wantsSupport: {
		protocol.RuleUserless, lang.Key("Devices that need support"), lang.Key("They have no user whose licence could decide: no change moves them by itself."),
		lang.Key("it has no user, so nothing moves it by itself"), lang.Key("have support move the device, or unenrol it and enrol it again (AUTH-18, AUTH-44)"),
	},
	isHeld: {
		protocol.RulePushGap, lang.Key("Devices blocked at the end"), lang.Key("They can neither check in nor be reached until a renewed push certificate with the same topic is uploaded."),
		lang.Key("Apple's push certificate is not renewed, so it cannot check in"), lang.Key("upload the renewed push certificate, with the same Apple ID (AUTH-31)"),
	},
	cannotEnrol: {
		protocol.RuleGates, lang.Key("Devices that cannot enrol"), lang.Key("The server refuses their enrolment, and they try again and again."),
		lang.Key("the server refuses to enrol it"), lang.Key("see to what the rule asks for, and have the user enrol the device"),
	},
	isSilenced: {
		protocol.RulePushExpired, lang.Key("Devices that nobody reaches at the end"), lang.Key("The push certificate has ended: no push reaches them, so they do not check in."),
		lang.Key("the push certificate has ended, so nobody reaches it"), lang.Key("upload a renewed push certificate with the same Apple ID, within 30 days of its end (AUTH-33)"),
	},
	isGone: {
		protocol.RuleRegistered, lang.Key("Devices off the network to the end"), lang.Key("They were to move, and in all that time did not check in."),
		lang.Key("it was off the network to the end"), lang.Key("have the user switch the device on and sync it (AUTH-22)"),
	},
	isBare: {
		"AUTH-38", lang.Key("Devices without protection for a while"), lang.Key("Their old profiles were gone before new ones of the same family were there."),
		lang.Key("it was without protection for %s in all, over the families of profiles"), lang.Key("assign profiles of the new authority to the user before the change"),
	},
	wantsLicence: {
		protocol.RuleNoLicence, lang.Key("Devices of users without a licence"), lang.Key("Their users hold no licence for the authority that manages them: they stay where they are and are flagged."),
		lang.Key("its user holds no licence for the authority that manages it"), lang.Key("assign a licence to the user, or retire the device"),
	},
	isToCome: {
		protocol.RuleRegistered, lang.Key("Devices still to come"), lang.Key("They move or register anew at their next completed check-in."),
		lang.Key("it has not completed a check-in since it could move"), lang.Key("wait for the device, or ask the user to sync it (AUTH-22)"),
	},
	isLeaving: {
		protocol.RuleRetire, lang.Key("Devices still to leave"), lang.Key("A retirement, wipe or removal waits for them, and they have not checked in since."),
		lang.Key("a retirement, wipe or removal waits for it"), lang.Key("have the user switch the device on, or delete its record (AUTH-53)"),
	},
	leftProfiles: {
		"AUTH-36", lang.Key("Devices with profiles left behind"), lang.Key("Profiles of the old authority that nobody assigns any more are still on them."),
		lang.Key("profiles that nobody assigns are still on it"), lang.Key("remove them, or give new ones the same name and family (AUTH-26)"),
	},
}

// concerns are those of a device that is stranded for this reason, a bit for each.
func (l *Life) concerns(d *population.Device, reason authority.Reason) (bits uint16) {
	waits := (l.Pending || l.Stale) && !l.Stranded && !l.MustEnrol
	for c, is := range [concerns]bool{
		enrolsAgain:  l.MustEnrol && reason != authority.TopicChanged,
		losesTopic:   reason == authority.TopicChanged,
		wantsSupport: reason == authority.Userless,
		cannotEnrol:  !l.Enrolled && l.Why() != "",
		isHeld:       l.Standing.Blocked && !l.Stranded && !l.MustEnrol,
		isSilenced:   l.Enrolled && l.Why() == protocol.RulePushExpired && !l.Standing.Blocked && !l.Stranded && !l.MustEnrol,
		isGone:       reason == authority.Offline,
		isBare:       l.bare() > 0,
		wantsLicence: l.Unlicensed,
		isToCome:     waits && !l.Standing.Blocked,
		isLeaving:    l.Enrolled && d.Has(population.Leaving) && l.Again == 0,
		leftProfiles: l.Redundant > 0,
	} {
		if is {
			bits |= 1 << c
		}
	}
	return bits
}

// has tells whether device i is concerned.
func (a *Answers) has(i int, c concern) bool { return a.concerns[i]&(1<<c) != 0 }

// ruleOf is the rule behind a concern of one device.
func (l *Life) ruleOf(c concern) protocol.Rule {
	switch {
	case c == cannotEnrol:
		return l.Why()
	case c == isHeld && l.Why() == protocol.RulePushExpired, c == losesTopic && l.Why() == protocol.RulePushExpired:
		return protocol.RulePushExpired
	case c == wantsLicence && l.Registered == protocol.Intune:
		return protocol.RuleLicenceLost
	}
	return concernWords[c].rule
}

// Findings returns what went wrong or will, ordered by harm.
func (a *Answers) Findings(l lang.Language) (found []report.Finding) {
	var n [concerns]int
	var rules [concerns]protocol.Rule
	for i := range a.Lives {
		if a.concerns[i] == 0 {
			continue
		}
		for c := range concerns {
			if a.has(i, c) {
				if n[c] == 0 {
					rules[c] = a.Lives[i].ruleOf(c)
				}
				n[c]++
			}
		}
	}
	add := func(rule protocol.Rule, title string, count uint64, devices int, consequence, action string) {
		if count > 0 {
			found = append(found, report.Finding{Rule: rule, Title: title, Count: count, Devices: devices, Consequence: consequence, Action: action})
		}
	}
	of := func(c concern) { // what a concern comes to for all of its devices
		w := &concernWords[c]
		add(rules[c], l.Say(w.title), uint64(n[c]), n[c], l.Say(w.caption), l.Say(w.action))
	}
	add("", l.Say("Invariants violated"), a.Violated, 0,
		l.Say("The model broke a rule of its own %d {time|times}; what follows may be wrong.", a.Violated), l.Say("send plan, seed and event log to whoever makes rollcall"))
	add("AUTH-09", l.Say("Users whose licences for Intune are to be bought"), uint64(a.unbought()), 0,
		l.Say("The tenant owns no licence that entitles Intune, as far as its export says, and without one Intune cannot be added; this is played as if it had bought some."),
		l.Say("buy one for each user who is to move, before the change"))
	of(enrolsAgain)
	of(losesTopic)
	add(protocol.RuleOtherTopic, l.Say("Devices that another push topic has stranded"), uint64(a.Cut), a.Cut,
		l.Say("No push reached them any more: each had to enrol again, and %d of them did.", a.Forced-a.Lapsed), l.Say("renew the push certificate with the Apple ID that it was made with: then its topic stays"))
	of(wantsSupport)
	found = append(found, a.barred(l)...)
	of(isHeld)
	of(isSilenced)
	of(isGone)
	add("AUTH-38", l.Say("Device-hours without protection"), a.bareHours(), a.BareAny, a.bareInWords(l), a.protects(l))
	add("AUTH-38", l.Say("Users to whom nothing was assigned in time"), uint64(a.Lateness.Devices+a.Unassigned), 0, a.lateInWords(l),
		l.Say("assign before the change: create profiles of the new authority, and assign them to the groups of these users"))
	h := &a.ByGap
	add(protocol.RulePushGap, l.Say("Devices held by the push certificate"), uint64(h.Devices), h.Devices,
		l.Say("Half of them could not check in for %s or longer; the longest was %s.", l.Span(h.Half), l.Span(h.Longest))+a.refused(l, protocol.RulePushGap),
		l.Say("have the renewed certificate ready and upload it within the hour of the change, from the same Apple ID (AUTH-31, AUTH-32)"))
	h = &a.Silenced
	add(protocol.RulePushExpired, l.Say("Devices silenced by a push certificate that had ended"), uint64(h.Devices), h.Devices,
		l.Say("Nobody could reach half of them for %s or longer; the longest was %s.", l.Span(h.Half), l.Span(h.Longest))+a.refused(l, protocol.RulePushExpired),
		l.Say("renew the push certificate before it ends, with the same Apple ID"))
	add(protocol.RuleNotRenewed, l.Say("Devices whose identity had ended and that enrolled again"), uint64(a.Lapsed), a.Lapsed,
		l.Say("They were away while identities are renewed, so the server refused them until their users enrolled them again."), l.Say("bring silent devices on line before their certificate ends"))
	add(protocol.RuleCampaign, l.Say("Minutes over the server's capacity"), uint64(a.Over), 0,
		l.Say("The server takes %s check-ins a minute; at the peak, on %s, devices began %d.", l.Number(math.Round(a.Capacity*60)), a.moment(l, a.CheckInPeak), a.CheckInPeak.Count),
		l.Say("assign the licences in waves (rollcall plan waves), or pace the wake-ups of the change"))
	of(wantsLicence)
	if at, most, all := a.busiest(); crowded(most, all, len(a.Weeks)) {
		add(protocol.RuleRenewal, l.Say("Certificates that end in the same week"), uint64(most), most,
			l.Say("Of %d identity certificates %s end in the week from %s: they are renewed in the weeks before, all at once.", all, l.Percent(float64(most)/float64(all)), l.Date(a.End.Add(time.Duration(at)*week).Time())),
			l.Say("enrol over weeks: each device renews at its first check-in in its window, so that a longer window spreads nothing (AUTH-41, HST-116)"))
	}
	of(isToCome)
	of(isLeaving)
	if prompts := a.prompts(); prompts > 0 {
		add("AUTH-37", l.Say("Users asked to sign in to mail again"), uint64(prompts), prompts,
			l.Say("A device that goes from Basic Mobility and Security to Intune may ask for the mail password again."), l.Say("tell the users beforehand"))
	}
	add(protocol.RuleAgain, l.Say("Devices that were enrolled again"), uint64(a.Reversed), a.Reversed,
		l.Say("Their management had been removed or they were wiped; each took its user's time."), l.Say("tell the users beforehand"))
	of(leftProfiles)
	add("", l.Say("Doubts about the export"), uint64(len(a.Population.Doubts)), 0,
		l.Say("Records that can be read in two ways; what is said here is so by the likelier one."), l.Say("look at each in the report, or by rollcall preview, and mend the export where it is wrong"))
	if doubts := doubts(a.Plan, a.Population); len(doubts) > 0 {
		var all []string
		for i := range doubts {
			all = append(all, upper(doubts[i].In(l))+".")
		}
		add(doubts[0].Rule, l.Say("Doubts about the plan"), uint64(len(doubts)), 0, strings.Join(all, " "), l.Say("mend the plan where it is not meant so"))
	}
	add(protocol.RuleRecordKept, l.Say("Records removed"), a.Removed, 0,
		l.Say("Their identity ended 180 days before, or a clean-up rule removed them; the devices are not wiped."), l.Say("bring silent devices on line before their certificate ends"))
	return found
}

// unbought counts the users with devices for whom a licence is still to be bought, where the plan has the tenant own some and its export
// says that it owns none.
func (a *Answers) unbought() int {
	if u := a.Plan.Tenant.Units; u == nil || *u == 0 || a.Population.Tenant.AsOf == 0 || !a.Population.Unowned() {
		return 0
	}
	with := make([]bool, len(a.Population.Users))
	n := 0
	for i := range a.Population.Devices {
		if d := &a.Population.Devices[i]; !d.Userless() && !with[d.User] {
			with[d.User] = true
			n++
		}
	}
	return n
}

// refused says how many attempts to enrol were refused by rule meanwhile, and of how many devices; none: nothing.
func (a *Answers) refused(l lang.Language, rule protocol.Rule) string {
	r := a.Barred[rule]
	if r.Attempts == 0 {
		return ""
	}
	return " " + l.Say("%d {attempt|attempts} to enrol {1:was|were} refused meanwhile, of %d {device|devices}.", r.Attempts, r.Devices)
}

// barred are the findings about devices that the server does not enrol, one for each rule: the most first.
func (a *Answers) barred(l lang.Language) (found []report.Finding) {
	devices := map[protocol.Rule]int{}
	for i := range a.Lives {
		if a.has(i, cannotEnrol) {
			devices[a.Lives[i].Why()]++
		}
	}
	rules := slices.SortedFunc(maps.Keys(devices), func(x, y protocol.Rule) int { return cmp.Or(devices[y]-devices[x], cmp.Compare(x, y)) })
	for _, rule := range rules {
		found = append(found, report.Finding{
			Rule: rule, Title: l.Say(concernWords[cannotEnrol].title), Count: uint64(devices[rule]), Devices: devices[rule],
			Consequence: l.Say("The server refused %d {attempt|attempts} of %d {device|devices} to enrol by this rule, and %d {device is|devices are} not enrolled at the end.", a.Barred[rule].Attempts, a.Barred[rule].Devices, devices[rule]),
			Action:      l.Say(opens(rule)),
		})
	}
	return found
}

// opens is what has the server enrol devices that it refuses by a rule.
func opens(rule protocol.Rule) lang.Key {
	switch rule {
	case protocol.RuleUnset:
		return lang.Key("set the tenant's authority first")
	case protocol.RuleConsent:
		return lang.Key("grant the consent before the first device of its kind enrols")
	case protocol.RuleUnsupportedBMS, protocol.RuleUserlessEnrol:
		return lang.Key("add Intune and give the user a licence for it: BMS cannot take the device")
	case protocol.RulePushGap, protocol.RulePushExpired:
		return lang.Key("upload a renewed push certificate, with the same Apple ID")
	case protocol.RuleGates:
		return lang.Key("assign the user a licence for the authority that is to manage the device, or raise the device limit")
	}
	return concernWords[cannotEnrol].action
}

// bareHours is the device-hours of all families, as they are shown one by one: whoever adds these up gets the same.
func (a *Answers) bareHours() (sum uint64) {
	for f := range a.Bare {
		sum += a.Bare[f].Total.hours()
	}
	return sum
}

// bareInWords says by family for how long devices were without protection.
func (a *Answers) bareInWords(l lang.Language) string {
	var all []string
	var longest time.Duration
	for f := range a.Bare {
		if t := &a.Bare[f]; t.Devices > 0 {
			all = append(all, l.Family(protocol.Family(f))+" "+l.Number(float64(t.Total.hours())))
			longest = max(longest, t.Longest)
		}
	}
	text := l.Say("By family: %s. The longest: one device went %s without a profile that it had had.", strings.Join(all, ", "), l.Span(longest))
	if a.BareStill > 0 {
		text += " " + l.Say("%d {device is|devices are} still without at the end, where the count stops: moving later only makes it look shorter.", a.BareStill)
	}
	return text
}

// lateInWords says how long after their change users had nothing assigned (AUTH-38).
func (a *Answers) lateInWords(l lang.Language) string {
	var parts []string
	if t := &a.Lateness; t.Devices > 0 {
		parts = append(parts, l.Say("To %d {user|users} something was assigned late: to half of them within %s of the change, to the last %s late.", t.Devices, hoursLate(l, t.Half), hoursLate(l, t.Longest)))
	}
	if a.Unassigned > 0 {
		parts = append(parts, l.Say("To %d {user|users} nothing of the new authority is assigned at the end.", a.Unassigned))
	}
	return strings.Join(parts, " ")
}

// hoursLate writes how late something was in hours, as AUTH-38 has it.
func hoursLate(l lang.Language, d time.Duration) string {
	return l.Say("%s h", l.Number(math.Round(d.Hours()*10)/10))
}

// assignable tells whether devices were without a profile because nobody had assigned another one.
func (a *Answers) assignable() bool { return a.BareFor >= DeviceTime(changeover/time.Millisecond) }

// protects is what would have kept profiles on the devices: new ones, where nobody had assigned any, or contact with those whose new
// ones waited for them.
func (a *Answers) protects(l lang.Language) string {
	if a.assignable() {
		return l.Say("create the profiles of the new authority and assign them to the users' groups before the change, with the names of the old ones (AUTH-26)")
	}
	return l.Say("the new profiles wait for these devices: have their users switch them on and sync them (AUTH-22)")
}

const waitsForIt = lang.Key("have the user switch the device on and sync it (AUTH-22): the new profiles wait for it")

// actionOf is what is to be done about a concern of device i.
func (a *Answers) actionOf(i int, c concern) lang.Key {
	switch l := &a.Lives[i]; {
	case c == cannotEnrol:
		return opens(l.Why())
	case c == isBare && l.Lack().Unassigned < changeover:
		return waitsForIt
	}
	return concernWords[c].action
}

func (a *Answers) moment(l lang.Language, p Peak) string { return l.Moment(p.At, a.End.Sub(a.Start)) }

// crowded tells whether a week has so many of all certificates that it stands out: more than a quarter, and three times its even
// share. A few devices are no crowd.
func crowded(most, all, weeks int) bool { return most >= 100 && 4*most > all && most*weeks > 3*all }

// prompts counts the devices whose users may have been asked for their mail password (AUTH-37).
func (a *Answers) prompts() (n int) {
	for i := range a.Lives {
		n += one(a.Lives[i].Prompted)
	}
	return n
}

// An Entry of a rehearsal's list to act on is one device about which something is to be done. Entries calls f with each, in the
// population's order, until f fails. Names are those of names, the same population with or without tokens.
func (a *Answers) Entries(l lang.Language, names *population.Population, f func(Entry) error) error {
	var reasons [concerns]string // said once
	actions := map[lang.Key]string{}
	for c := range concerns {
		if c != isBare {
			reasons[c] = l.Say(concernWords[c].reason)
		}
	}
	bare := map[time.Duration]string{} // many devices have the same
	for i := range a.Lives {
		if a.concerns[i] == 0 {
			continue
		}
		e := Entry{Device: names.Devices[i].Name, User: userName(names, i)}
		for c := range concerns {
			if !a.has(i, c) {
				continue
			}
			reason := reasons[c]
			if c == isBare {
				minutes := a.Lives[i].bare().Round(time.Minute)
				if bare[minutes] == "" {
					bare[minutes] = l.Say(concernWords[c].reason, l.Span(minutes))
				}
				reason = bare[minutes]
			}
			if e.Reason != "" {
				e.Reason += "; "
				e.Action += "; "
			}
			e.Reason += string(a.Lives[i].ruleOf(c)) + ": " + reason
			action := a.actionOf(i, c)
			if actions[action] == "" {
				actions[action] = l.Say(action)
			}
			e.Action += actions[action]
		}
		if err := f(e); err != nil {
			return err
		}
	}
	return nil
}
