package rehearsal

import (
	"fmt"
	"strings"

	"rollcall/fleet/population"
	"rollcall/protocol"
	"rollcall/server/authority"
)

// because says in a few words what a rule that resolves found.
var because = map[protocol.Rule]string{
	protocol.RuleUnknown:        "no authority is set",
	protocol.RuleIntune:         "the tenant is Intune's",
	protocol.RuleCoManaged:      "the tenant is Intune's, beside Configuration Manager",
	protocol.RuleBMS:            "the tenant has Basic Mobility and Security alone",
	protocol.RuleEntitled:       "the user holds a licence that entitles Intune",
	protocol.RuleCoManagedUser:  "the user's PC is co-managed",
	protocol.RuleBasic:          "the user has a mailbox licence and none that entitles Intune",
	protocol.RuleNoLicence:      "the user holds no licence",
	protocol.RuleUserless:       "there is no user whose licence could decide",
	protocol.RuleLicenceLost:    "Basic Mobility and Security cannot take it, so it stays without a licence",
	protocol.RuleUnsupportedBMS: "Basic Mobility and Security does not manage it",
}

// whyStranded says why a device never moves by itself.
var whyStranded = map[authority.Reason]string{
	authority.Expired:      "its identity certificate has expired (AUTH-42)",
	authority.Revoked:      "its identity certificate was revoked (AUTH-42)",
	authority.TopicChanged: "the push certificate that it knows is gone for good, and no other reaches it (AUTH-32, AUTH-33)",
	authority.Userless:     "it has no user (AUTH-18)",
	authority.Offline:      "it is off line",
}

// reason is why a device does what it does, in one line.
func (p *Preview) reason(c *authority.Subject, j *authority.Judgement) string {
	var s strings.Builder
	what := func() {
		fmt.Fprintf(&s, "%s: %s", j.After.Rule, because[j.After.Rule])
	}
	switch j.Fate {
	case authority.Goes:
		s.WriteString("AUTH-53: leaves, a retire, wipe or delete is pending")
	case authority.Moves:
		what()
		fmt.Fprintf(&s, "; moves from %s to %s", c.Registered, j.After.Authority)
	case authority.Strands:
		what()
		fmt.Fprintf(&s, "; never moves by itself, for %s", whyStranded[j.Stranded])
	default:
		what()
		fmt.Fprintf(&s, "; stays with %s", c.Registered)
	}
	if j.Blocked != "" {
		fmt.Fprintf(&s, "; waits for a renewed push certificate (%s)", j.Blocked)
	}
	if j.MustEnrol && j.Fate != authority.Strands {
		s.WriteString("; its identity certificate has ended: it must enrol again (AUTH-42)")
	}
	if j.After.Unlicensed {
		s.WriteString("; unlicensed")
	}
	if !j.Reachable {
		s.WriteString("; silent for more than 90 days")
	}
	return s.String()
}

// action is what somebody can do about a device; "none" when nothing is needed.
func (p *Preview) action(c *authority.Subject, j *authority.Judgement) string {
	var do []string
	if j.Blocked != "" && !j.Leaving {
		do = append(do, "upload the renewed Apple push certificate")
	}
	switch {
	case j.Leaving:
		return "none"
	case j.NeedsSupport:
		return "have support move it, or unenrol it and enrol it again (AUTH-44)"
	case j.Stranded == authority.TopicChanged:
		return "enrol it again under the new push certificate (AUTH-44)"
	case j.MustEnrol:
		return "enrol it again (AUTH-44)"
	case j.Stranded == authority.Offline:
		return "bring it on line"
	case j.Fate == authority.Moves && j.After.Authority == protocol.Intune && p.Scene.After.Coexistence:
		do = append(do, "assign Intune mail and configuration to its user before (AUTH-38)")
	case j.Fate == authority.Moves:
		do = append(do, "assign profiles of "+j.After.Authority.String()+" to its user before (AUTH-38)")
	case j.After.Unlicensed:
		do = append(do, "assign a licence to its user, or retire it")
	case c.Is != nil && c.Unsure && p.Scene.After.Coexistence:
		do = append(do, "find out what licences its user has")
	case j.After.Rule == protocol.RuleBasic && c.PlanOff:
		do = append(do, "to move it, switch on the Intune plan of its user's licence (AUTH-23)")
	case j.After.Rule == protocol.RuleBasic:
		do = append(do, "to move it, assign a licence that entitles Intune to its user (AUTH-23)")
	}
	if !j.Reachable && (j.Pending || j.Stale) {
		do = append(do, "bring it on line")
	}
	if len(do) == 0 {
		return "none"
	}
	return strings.Join(do, "; ")
}

// An Entry is one device of the list to act on.
type Entry struct{ Device, User, Reason, Action string }

// Entries calls f with every enrolled device, in the export's order, until f fails. Names are those of names, the same
// export read with or without tokens.
func (p *Preview) Entries(names *population.Population, f func(Entry) error) (err error) {
	p.each(func(i int, c *authority.Subject, j *authority.Judgement) {
		if err == nil {
			err = f(Entry{names.Devices[i].Name, userName(names, i), p.reason(c, j), p.action(c, j)})
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
func Tell(g *authority.Group) (change, text string) {
	var s strings.Builder
	change = g.From.String()
	switch g.Fate {
	case authority.Goes:
		s.WriteString("leave: a retire, wipe or delete is pending (AUTH-53)")
	case authority.Moves:
		change += " → " + g.To.String()
		s.WriteString("move at the next check-in: " + because[g.Rule])
	case authority.Strands:
		s.WriteString("never move by themselves: " + because[g.Rule])
		if g.Stranded != authority.Userless {
			fmt.Fprintf(&s, "; %s", whyStranded[g.Stranded])
		}
	default:
		s.WriteString("stay: " + because[g.Rule])
	}
	s.WriteString(". " + platforms(g))
	if g.Fate == authority.Moves && g.Reachable < g.Devices {
		fmt.Fprintf(&s, "; %d not silent over 90 days", g.Reachable)
	}
	if g.Blocked > 0 {
		fmt.Fprintf(&s, "; %d wait for a renewed push certificate", g.Blocked)
	}
	if g.Stale > 0 {
		fmt.Fprintf(&s, "; %d register again in the new epoch (AUTH-21)", g.Stale)
	}
	if g.MustEnrol > 0 {
		fmt.Fprintf(&s, "; %d must enrol again", g.MustEnrol)
	}
	if g.Unlicensed > 0 {
		fmt.Fprintf(&s, "; %d unlicensed", g.Unlicensed)
	}
	if g.Unsure > 0 {
		fmt.Fprintf(&s, "; of %d the user's licences are assumed", g.Unsure)
	}
	return change, s.String()
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
func TellProfiles(g *authority.ProfileGroup) string {
	switch g.Effect {
	case authority.Removed:
		return "stop applying and are removed at the check-in; no namesake is known to take their place"
	case authority.Replaced:
		return "are removed at the check-in, and namesakes take their place"
	case authority.Overwritten:
		return "are overwritten by their namesakes"
	case authority.Unassigned:
		return "leave, for nobody assigns them any more"
	case authority.Installed:
		return "come at the check-in, and were not there"
	case authority.Updated:
		return "are replaced by their newer version"
	}
	if g.Until == 0 {
		return "stay behind, redundant, until an administrator removes them"
	}
	return "stay until a namesake overwrites them, at the latest until " + day(g.Until)
}

func day(t protocol.Time) string { return t.Time().Format("2006-01-02") }
