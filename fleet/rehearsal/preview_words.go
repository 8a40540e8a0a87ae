package rehearsal

import (
	"fmt"
	"strings"

	"rollcall/fleet/population"
	"rollcall/protocol"
	"rollcall/protocol/lang"
	"rollcall/server/authority"
)

// because says in a few words what a rule that resolves found.
var because = map[protocol.Rule]lang.Key{
	protocol.RuleUnknown:        lang.Key("no authority is set"),
	protocol.RuleIntune:         lang.Key("the tenant is Intune's"),
	protocol.RuleCoManaged:      lang.Key("the tenant is Intune's, beside Configuration Manager"),
	protocol.RuleBMS:            lang.Key("the tenant has Basic Mobility and Security alone"),
	protocol.RuleEntitled:       lang.Key("the user holds a licence that entitles Intune"),
	protocol.RuleCoManagedUser:  lang.Key("the user's PC is co-managed"),
	protocol.RuleBasic:          lang.Key("the user has a mailbox licence and none that entitles Intune"),
	protocol.RuleNoLicence:      lang.Key("the user holds no licence"),
	protocol.RuleUserless:       lang.Key("there is no user whose licence could decide"),
	protocol.RuleLicenceLost:    lang.Key("Basic Mobility and Security cannot take it, so it stays without a licence"),
	protocol.RuleUnsupportedBMS: lang.Key("Basic Mobility and Security does not manage it"),
}

// whyStranded says why a device never moves by itself.
var whyStranded = map[authority.Reason]lang.Key{
	authority.Expired:      lang.Key("its identity certificate has expired (AUTH-42)"),
	authority.Revoked:      lang.Key("its identity certificate was revoked (AUTH-42)"),
	authority.TopicChanged: lang.Key("the push certificate that it knows is gone for good, and no other reaches it (AUTH-32, AUTH-33)"),
	authority.Userless:     lang.Key("it has no user (AUTH-18)"),
	authority.Offline:      lang.Key("it is off line"),
}

// reason is why a device does what it does, in one line.
func (p *Preview) reason(l lang.Language, c *authority.Subject, j *authority.Judgement) string {
	what := string(j.After.Rule) + ": " + l.Say(because[j.After.Rule])
	switch j.Fate {
	case authority.Goes:
		what = "AUTH-53: " + l.Say("leaves, a retire, wipe or delete is pending")
	case authority.Moves:
		what += "; " + l.Say("moves from %s to %s", c.Registered.String(), j.After.Authority.String())
	case authority.Strands:
		what += "; " + l.Say("never moves by itself, for %s", l.Say(whyStranded[j.Stranded]))
	default:
		what += "; " + l.Say("stays with %s", c.Registered.String())
	}
	if j.Blocked != "" {
		what += "; " + l.Say("waits for a renewed push certificate (%s)", string(j.Blocked))
	}
	if j.MustEnrol && j.Fate != authority.Strands {
		what += "; " + l.Say("its identity certificate has ended: it must enrol again (AUTH-42)")
	}
	if j.After.Unlicensed {
		what += "; " + l.Say("unlicensed")
	}
	if !j.Reachable {
		what += "; " + l.Say("silent for more than 90 days")
	}
	return what
}

// action is what somebody can do about a device; "none" when nothing is needed.
func (p *Preview) action(l lang.Language, c *authority.Subject, j *authority.Judgement) string {
	var do []string
	if j.Blocked != "" && !j.Leaving {
		do = append(do, l.Say("upload the renewed Apple push certificate"))
	}
	switch {
	case j.Leaving:
		return l.Say("none")
	case j.NeedsSupport:
		return l.Say("have support move it, or unenrol it and enrol it again (AUTH-44)")
	case j.Stranded == authority.TopicChanged:
		return l.Say("enrol it again under the new push certificate (AUTH-44)")
	case j.MustEnrol:
		return l.Say("enrol it again (AUTH-44)")
	case j.Stranded == authority.Offline:
		return l.Say("bring it on line")
	case j.Fate == authority.Moves && j.After.Authority == protocol.Intune && p.Scene.After.Coexistence:
		do = append(do, l.Say("assign Intune mail and configuration to its user before (AUTH-38)"))
	case j.Fate == authority.Moves:
		do = append(do, l.Say("assign profiles of %s to its user before (AUTH-38)", j.After.Authority.String()))
	case j.After.Unlicensed:
		do = append(do, l.Say("assign a licence to the user, or retire the device"))
	case c.Is != nil && c.Unsure && p.Scene.After.Coexistence:
		do = append(do, l.Say("find out what licences its user has"))
	case j.After.Rule == protocol.RuleBasic && c.PlanOff:
		do = append(do, l.Say("to move it, switch on the Intune plan of its user's licence (AUTH-23)"))
	case j.After.Rule == protocol.RuleBasic:
		do = append(do, l.Say("to move it, assign a licence that entitles Intune to its user (AUTH-23)"))
	}
	if !j.Reachable && (j.Pending || j.Stale) {
		do = append(do, l.Say("bring it on line"))
	}
	if len(do) == 0 {
		return l.Say("none")
	}
	return strings.Join(do, "; ")
}

// An Entry is one device of the list to act on.
type Entry struct{ Device, User, Reason, Action string }

// Entries calls f with every enrolled device, in a language and the export's order, until f fails. Names are those of names, the same
// export read with or without tokens.
func (p *Preview) Entries(l lang.Language, names *population.Population, f func(Entry) error) (err error) {
	p.each(func(i int, c *authority.Subject, j *authority.Judgement) {
		if err == nil {
			err = f(Entry{names.Devices[i].Name, userName(names, i), p.reason(l, c, j), p.action(l, c, j)})
		}
	})
	return err
}

func userName(names *population.Population, device int) string {
	if u := names.Devices[device].User; u != population.Nobody {
		return names.Users[u].UPN
	}
	return ""
}

// Tell says what a group of devices does: who manages them, as in "office365 → intune", and what and why in a few words.
func Tell(l lang.Language, g *authority.Group) (change, text string) {
	change = g.From.String()
	why := l.Say(because[g.Rule])
	switch g.Fate {
	case authority.Goes:
		text = l.Say("leave: a retire, wipe or delete is pending (AUTH-53)")
	case authority.Moves:
		change += " → " + g.To.String()
		text = l.Say("move at the next check-in: %s", why)
	case authority.Strands:
		text = l.Say("never move by themselves: %s", why)
		if g.Stranded != authority.Userless {
			text += "; " + l.Say(whyStranded[g.Stranded])
		}
	default:
		text = l.Say("stay: %s", why)
	}
	text += ". " + platforms(g)
	add := func(n int, sentence string) {
		if n > 0 {
			text += "; " + sentence
		}
	}
	if g.Fate == authority.Moves && g.Reachable < g.Devices {
		text += "; " + l.Say("%d not silent over 90 days", g.Reachable)
	}
	add(g.Blocked, l.Say("%d wait for a renewed push certificate", g.Blocked))
	add(g.Stale, l.Say("%d register again in the new epoch (AUTH-21)", g.Stale))
	add(g.MustEnrol, l.Say("%d must enrol again", g.MustEnrol))
	add(g.Unlicensed, l.Say("%d unlicensed", g.Unlicensed))
	add(g.Unsure, l.Say("of %d the user's licences are assumed", g.Unsure))
	return change, text
}

func platforms(g *authority.Group) string {
	var all []string
	for _, platform := range protocol.Platforms {
		if n := g.Platforms[platform]; n > 0 {
			all = append(all, fmt.Sprintf("%s %d", platformName[platform], n))
		}
	}
	return strings.Join(all, ", ")
}

var platformName = map[protocol.Platform]string{
	protocol.IOS: "iOS", protocol.IPadOS: "iPadOS", protocol.MacOS: "macOS", protocol.Android: "Android", protocol.Windows: "Windows",
}

// TellProfiles says what becomes of profiles, to follow their name.
func TellProfiles(l lang.Language, g *authority.ProfileGroup) string {
	switch g.Effect {
	case authority.Removed:
		return l.Say("stop applying and are removed at the check-in; no namesake is known to take their place")
	case authority.Replaced:
		return l.Say("are removed at the check-in, and namesakes take their place")
	case authority.Overwritten:
		return l.Say("are overwritten by their namesakes")
	case authority.Unassigned:
		return l.Say("leave, for nobody assigns them any more")
	case authority.Installed:
		return l.Say("come at the check-in, and were not there")
	case authority.Updated:
		return l.Say("are replaced by their newer version")
	}
	if g.Until == 0 {
		return l.Say("stay behind, redundant, until an administrator removes them")
	}
	return l.Say("stay until a namesake overwrites them, at the latest until %s", day(g.Until))
}

func day(t protocol.Time) string { return t.Time().Format("2006-01-02") }
