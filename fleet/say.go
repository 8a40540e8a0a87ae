package fleet

import (
	"fmt"
	"strings"
	"time"

	"rollcall/fleet/plan"
	"rollcall/protocol"
)

// Words say what one act is.
type Words struct {
	Name string        // a sentence without its full stop
	Text string        // why it matters
	Rule protocol.Rule // behind it; empty: none
}

// Say puts a line of the timeline into words; no name: it concerns nobody of this population.
func (c *Cast) Say(a *plan.Action) Words {
	switch {
	case a.Enrol != nil && a.Enrol.Again:
		return Words{"Whoever is not enrolled any more enrols again", "After a wipe, a removal or the end of an identity there is no other way back.", "AUTH-44"}
	case a.Enrol != nil:
		return c.sayEnrol(a)
	case a.Profiles != nil && a.Profiles.Assign != "":
		return Words{
			fmt.Sprintf("Profile %q is assigned to %s", a.Profiles.Assign, group(a.Profiles.Group)),
			"Their devices are woken at once and take it at that contact; whoever is away takes it on return.", protocol.RuleWake,
		}
	case a.Profiles != nil:
		return Words{
			fmt.Sprintf("Profile %q is unassigned from %s", a.Profiles.Unassign, group(a.Profiles.Group)),
			"It leaves their devices, which are woken for it.", protocol.RuleUnassigned,
		}
	case a.Command != nil:
		return sayCommand(a.Command)
	case a.Authority != nil:
		return saySetting(a.Authority)
	case a.Consent != 0:
		return Words{"The consent " + a.Consent.String() + " is granted", "From now on what that service needs may go to its vendor; a consent is never taken back.", protocol.RuleConsent}
	case a.Licences != nil:
		return sayLicensing(a.Licences)
	case a.SupportMove != nil:
		return Words{"Support moves " + whom(*a.SupportMove), "A device without a user moves only by this action and its next completed check-in.", protocol.RuleUserless}
	case a.APNs != nil && a.APNs.Upload == plan.OtherTopic:
		return Words{"A push certificate with another topic is uploaded", "No enrolled device listens to it: each must enrol again.", protocol.RuleOtherTopic}
	case a.APNs != nil && a.APNs.Upload.Refused():
		return sayRefusedUpload(a.APNs.Upload)
	case a.APNs != nil:
		return Words{"A renewed push certificate is uploaded", "It has the topic of the old one, so every device stays within reach and nobody has to enrol again.", "AUTH-32"}
	case a.AskUsersToSync != nil:
		return Words{"The users of " + whom(*a.AskUsersToSync) + " are asked to sync", "They start a check-in by hand, within the hour.", protocol.RuleUserSync}
	case a.Absence != nil:
		return c.sayAbsence(a.Absence)
	case a.Unenrol != nil:
		return Words{"The users of " + whom(*a.Unenrol) + " remove management", "The device says CheckOut and takes the profiles off; the server keeps its record.", "AUTH-44"}
	}
	if a.Reenrol != nil {
		w := Words{"The users of " + whom(a.Reenrol.Of) + " unenrol them and enrol them again", "The remedy for a device in trouble: it joins the authority that is resolved at that moment.", "AUTH-44"}
		if a.Reenrol.Over > 0 {
			w.Name += ", within " + short(a.Reenrol.Over)
		}
		return w
	}
	return Words{"The server is restarted", "On the same data and address: what it acknowledged before must hold afterwards (I3).", ""}
}

func sayRefusedUpload(c plan.Certificate) Words {
	switch c {
	case plan.Expired:
		return Words{"Somebody uploads a push certificate that has ended", "An upload is checked before it is taken, and the one in use stays.", protocol.RuleUpload}
	case plan.OtherAppleID:
		return Words{"Somebody uploads a push certificate made with another Apple ID", "Its topic is another, which no enrolled device listens to: the server says so and waits for a confirmation that does not come.", protocol.RuleOtherTopic}
	}
	return Words{"Somebody uploads the push certificate of the beginning again", "It is no newer than the one in use, which stays.", protocol.RuleUpload}
}

func (c *Cast) sayEnrol(a *plan.Action) Words {
	e := a.Enrol
	w := Words{Text: "Each opens its user's link, obtains an identity by SCEP, and is managed from its first TokenUpdate on."}
	who := "All devices"
	switch imported := c.Population.Tenant.AsOf != 0; {
	case e.All() && !c.somebodyJoins(a), !e.All() && imported: // an export has no other devices than its own
		return Words{}
	case e.All() && imported:
		who = "Devices whose enrolment was not complete"
	case !e.All() && e.Total() == 0:
		who = devices(e.Userless.Total(), "device") + " without a user"
		w.Text = "Apple's automated enrolment: a device proves itself by its factory identity, and is held in Setup Assistant until it is configured."
		w.Rule = "AUTH-19"
	case !e.All():
		who = devices(e.New(), "more device")
	}
	w.Name = who + " enrol"
	if strings.HasPrefix(who, "1 ") {
		w.Name += "s"
	}
	if e.Over > 0 {
		w.Name += " within " + short(e.Over)
	}
	return w
}

// somebodyJoins tells whether a device enrols by a.
func (c *Cast) somebodyJoins(a *plan.Action) bool {
	for i := range c.Population.Devices {
		if j := c.Population.Devices[i].Joins; j >= time.Duration(a.At) && j <= time.Duration(a.At+a.Enrol.Over) {
			return true
		}
	}
	return false
}

func sayCommand(c *plan.Command) Words {
	to := whom(c.To)
	switch c.Kind {
	case protocol.Lock:
		return Words{sentence(to) + " are locked", "The device reports before it locks; a second lock is refused while one waits.", protocol.RuleWake}
	case protocol.Erase:
		return Words{sentence(to) + " are wiped", "The device reports first, then nothing is left of its enrolment; its identity is revoked.", protocol.RuleRetire}
	case protocol.Retire:
		return Words{sentence(to) + " are retired", "Management and its profiles leave, personal data stays; the identity is revoked.", protocol.RuleRetire}
	case protocol.Restart:
		return Words{sentence(to) + " are restarted", "The device reports first, and is back at the next push.", protocol.RuleWake}
	}
	return Words{
		sentence(to) + " are asked for " + c.Kind.String(),
		"One command and one push each; a device that is off the network finds the latest push, and the command, on return.", protocol.RuleWake,
	}
}

func (c *Cast) sayAbsence(a *plan.Absence) Words {
	shortest, longest := a.Lasts.Shortest(), a.Lasts.Longest()
	length := short(plan.Duration(shortest))
	if longest > shortest {
		length += " to " + short(plan.Duration(longest))
	}
	w := Words{Name: sentence(whom(a.Of)) + " leave the network for " + length, Text: "Commands wait at the server, and of all pushes the last one at the push service."}
	if shortest > time.Duration(c.Plan.Tenant.Identity.Window) {
		w.Text, w.Rule = "Most of their identities end meanwhile: the server then refuses the handshake, and only a new enrolment helps.", protocol.RuleNotRenewed
	}
	return w
}

// SayAlready says that so many devices are there when the story begins.
func SayAlready(n int) string { return "Enrolled already: " + devices(n, "device") }

// SayFault says how a fault begins, and how it ends.
func SayFault(f *plan.Fault) (begins, ends Words) {
	length := ""
	if f.For > 0 {
		length = " for " + short(f.For)
	}
	share := fmt.Sprintf("%s of", f.Share)
	if f.Share == plan.Whole {
		share = "all"
	}
	switch {
	case f.Server == plan.Down:
		return Words{Name: "The server is down" + length, Text: "Devices find nobody there and try again, each time after a longer while."}, Words{Name: "The server is up again"}
	case f.Server == plan.Busy:
		return Words{Name: "The server answers 503 to " + share + " the requests" + length, Text: "Devices come back, not sooner than Retry-After says."},
			Words{Name: "The server answers everybody again"}
	case f.Push == plan.PushDown:
		return Words{Name: "The push service is down" + length, Text: "Nobody is woken; of all pushes to a device the latest waits for it.", Rule: protocol.RuleWake},
			Words{Name: "The push service is up again"}
	case f.Push == plan.PushLost:
		return Words{
			Name: "From here on " + share + " the pushes are lost" + length,
			Text: "The device sleeps on until the next one; of a change of authority three more follow.", Rule: "AUTH-20",
		}, Words{Name: "No push is lost any more"}
	case f.DropResponse:
		return Words{
			Name: "From here on " + share + " the server's answers are lost on the way" + length,
			Text: "The server has done its part and the device cannot know: it says the same again, and it must count once.",
		}, Words{Name: "No answer is lost any more"}
	}
	return Words{Name: "From here on " + share + " the requests are cut off in the middle" + length, Text: "The server must not act on half a message."},
		Words{Name: "No request is cut off any more"}
}

func saySetting(s *plan.Setting) Words {
	w := Words{"The authority is set to " + s.Set.String(), "Each device registers with it at its next completed check-in, and keeps what it has until then.", "AUTH-04"}
	switch a, added := s.Set.Authority(); {
	case added:
		w.Name = "Intune is added beside Basic Mobility and Security"
		w.Text = "Each user's licences decide from now on; devices keep working as they are until their next completed check-in."
	case a == protocol.SCCM:
		w.Name = "Configuration Manager joins in: the authority is sccm"
		w.Text = "Intune manages the devices as before, in a new epoch: each registers anew, and the profiles of before have seven days."
	}
	return w
}

func sayLicensing(l *plan.Licensing) Words {
	names := map[string]string{
		protocol.IOS.String(): "the users of iPhones", protocol.IPadOS.String(): "the users of iPads", protocol.MacOS.String(): "the users of Macs",
		protocol.Android.String(): "the users of Android devices", protocol.Windows.String(): "the users of Windows devices",
		plan.All: "all users", plan.NoLicence: "the users without a licence", plan.OnlyBasic: "the users with a basic licence", plan.WithIntune: "the users with an Intune licence",
	}
	who, ok := names[l.To.Whom]
	if !ok {
		who = "the users of " + group(l.To.Whom)
	}
	if l.To.Share != plan.Whole {
		who = l.To.Share.String() + " of " + who
	}
	kinds := map[plan.Licence]string{plan.BasicLicence: "a basic licence", plan.IntuneLicence: "a licence that entitles Intune"}
	if l.In != "" {
		who += " in group " + l.In
	}
	w := Words{sentence(who) + " get " + kinds[l.Assign], "It moves their devices where each user's licences decide, at the next check-in: the old profiles are taken off there.", protocol.RuleLicenceMoves}
	if l.Assign == 0 {
		w = Words{sentence(who) + " lose " + kinds[l.Remove], "Where each user's licences decide, BMS has their devices again; elsewhere they stay and are flagged.", protocol.RuleLicenceLost}
	}
	if l.Over > 0 {
		w.Name += ", within " + short(l.Over)
	}
	return w
}

// short writes a length as plans do, rounded where a plan was squeezed: nobody reads 1s428.571ms.
func short(d plan.Duration) string {
	if time.Duration(d) >= time.Second {
		d = plan.Duration(time.Duration(d).Round(time.Second))
	}
	return d.String()
}

// whom says in words which devices t means.
func whom(t plan.Target) string {
	names := map[string]string{
		plan.All: "all devices", plan.Userless: "the devices without a user",
		protocol.IOS.String(): "the iPhones", protocol.IPadOS.String(): "the iPads", protocol.MacOS.String(): "the Macs",
		protocol.Android.String(): "the Android devices", protocol.Windows.String(): "the Windows devices",
	}
	name, ok := names[t.Whom]
	if !ok {
		name = "the devices of " + group(t.Whom)
	}
	if t.Share != plan.Whole {
		return t.Share.String() + " of " + name
	}
	return name
}

func devices(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func group(name string) string {
	if name == plan.All {
		return "everybody"
	}
	return "group " + name
}

// sentence begins s with a capital letter.
func sentence(s string) string { return strings.ToUpper(s[:1]) + s[1:] }
