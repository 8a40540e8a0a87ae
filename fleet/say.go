package fleet

import (
	"strings"
	"time"

	"rollcall/fleet/plan"
	"rollcall/fleet/population"
	"rollcall/protocol"
	"rollcall/protocol/lang"
)

// en is what acts are said in, by the sentences of the catalogue: event logs and results are in English, and a reader of another
// language has them retold.
const en = lang.English

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
		return Words{en.Say("Whoever is not enrolled any more enrols again"), en.Say("After a wipe, a removal or the end of an identity there is no other way back."), "AUTH-44"}
	case a.Enrol != nil:
		return c.sayEnrol(a)
	case a.Profiles != nil && a.Profiles.Assign != "":
		return Words{
			en.Say("Profile %q is assigned to %s", a.Profiles.Assign, group(a.Profiles.Group)),
			en.Say("Their devices are woken at once and take it at that contact; whoever is away takes it on return."), protocol.RuleWake,
		}
	case a.Profiles != nil:
		return Words{
			en.Say("Profile %q is unassigned from %s", a.Profiles.Unassign, group(a.Profiles.Group)),
			en.Say("It leaves their devices, which are woken for it."), protocol.RuleUnassigned,
		}
	case a.Command != nil:
		return sayCommand(a.Command)
	case a.Authority != nil:
		return saySetting(a.Authority)
	case a.Consent != 0:
		return Words{en.Say("The consent %s is granted", a.Consent), en.Say("From now on what that service needs may go to its vendor; a consent is never taken back."), protocol.RuleConsent}
	case a.Licences != nil:
		return sayLicensing(a.Licences)
	case a.SupportMove != nil:
		return Words{en.Say("Support moves %s", whom(*a.SupportMove)), en.Say("A device without a user moves only by this action and its next completed check-in."), protocol.RuleUserless}
	case a.APNs != nil && a.APNs.Upload == plan.OtherTopic:
		return Words{en.Say("A push certificate with another topic is uploaded"), en.Say("No enrolled device listens to it: each must enrol again."), protocol.RuleOtherTopic}
	case a.APNs != nil && a.APNs.Upload.Refused():
		return sayRefusedUpload(a.APNs.Upload)
	case a.APNs != nil:
		return Words{en.Say("A renewed push certificate is uploaded"), en.Say("It has the topic of the old one, so every device stays within reach and nobody has to enrol again."), "AUTH-32"}
	case a.AskUsersToSync != nil:
		return Words{en.Say("The users of %s are asked to sync", whom(*a.AskUsersToSync)), en.Say("They start a check-in by hand, within the hour."), protocol.RuleUserSync}
	case a.Absence != nil:
		return c.sayAbsence(a.Absence)
	case a.Unenrol != nil:
		return Words{en.Say("The users of %s remove management", whom(*a.Unenrol)), en.Say("The device says CheckOut and takes the profiles off; the server keeps its record."), "AUTH-44"}
	}
	if a.Reenrol != nil {
		w := Words{en.Say("The users of %s unenrol them and enrol them again", whom(a.Reenrol.Of)), en.Say("The remedy for a device in trouble: it joins the authority that is resolved at that moment."), "AUTH-44"}
		if a.Reenrol.Over > 0 {
			w.Name = en.Say("%s, within %s", w.Name, short(a.Reenrol.Over))
		}
		return w
	}
	return Words{en.Say("The server is restarted"), en.Say("On the same data and address: what it acknowledged before must hold afterwards (I3)."), ""}
}

func sayRefusedUpload(c plan.Certificate) Words {
	switch c {
	case plan.Expired:
		return Words{en.Say("Somebody uploads a push certificate that has ended"), en.Say("An upload is checked before it is taken, and the one in use stays."), protocol.RuleUpload}
	case plan.OtherAppleID:
		return Words{en.Say("Somebody uploads a push certificate made with another Apple ID"), en.Say("Its topic is another, which no enrolled device listens to: the server says so and waits for a confirmation that does not come."), protocol.RuleOtherTopic}
	}
	return Words{en.Say("Somebody uploads the push certificate of the beginning again"), en.Say("It is no newer than the one in use, which stays."), protocol.RuleUpload}
}

func (c *Cast) sayEnrol(a *plan.Action) Words {
	e := a.Enrol
	w := Words{Text: en.Say("Each opens its user's link, obtains an identity certificate, and is managed from its first check-in on.")}
	w.Name = en.Say("All devices enrol")
	switch imported := c.Population.Tenant.AsOf != 0; {
	case e.All() && !c.somebodyJoins(a), !e.All() && imported: // an export has no other devices than its own
		return Words{}
	case e.All() && imported:
		w.Name = en.Say("Devices whose enrolment was not complete enrol")
	case e.CoManaged > 0 && e.CoManaged == e.New():
		w.Name = en.Say("%d {PC enrols|PCs enrol} through Configuration Manager", e.CoManaged)
		w.Text = en.Say("Configuration Manager's client enrols each with a token of its user's, and says in the first session which workloads are Intune's.")
		w.Rule = "AUTH-51"
	case !e.All() && e.Total()+e.CoManaged == 0:
		w.Name = en.Say("%d {device|devices} without a user {enrols|enrol}", e.Userless.Total())
		w.Text = sayUserless(&e.Userless)
		w.Rule = "AUTH-19"
	case !e.All():
		w.Name = en.Say("%d more {device enrols|devices enrol}", e.New())
		if n := e.Userless.Total(); n > 0 {
			w.Text = en.Say("Whoever has a user opens its link, obtains an identity certificate, and is managed from its first check-in on.") + " " +
				en.Say("%d of them {has|have} no user.", n) + " " + sayUserless(&e.Userless)
		}
	}
	if e.Over > 0 {
		w.Name = en.Say("%s within %s", w.Name, short(e.Over))
	}
	return w
}

// sayUserless says how devices without a user enrol, each platform in its own way.
func sayUserless(of *plan.ByPlatform) string {
	var ways []string
	if of.IOS+of.IPadOS+of.MacOS > 0 {
		ways = append(ways, en.Say("Apple's automated enrolment: a device proves itself by its factory identity, and is held in Setup Assistant until it is configured."))
	}
	if of.Android > 0 {
		ways = append(ways, en.Say("Android's dedicated mode: after a factory reset the device scans a code, whose enrolment token belongs to no user."))
	}
	if of.Windows > 0 {
		ways = append(ways, en.Say("Windows' bulk enrolment: a provisioning package brings a token that stands for no user."))
	}
	return strings.Join(ways, " ")
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
		return Words{en.Say("%s are locked", sentence(to)), en.Say("The device reports before it locks; a second lock is refused while one waits."), protocol.RuleWake}
	case protocol.Erase:
		return Words{en.Say("%s are wiped", sentence(to)), en.Say("The device reports first, then nothing is left of its enrolment; its identity is revoked."), protocol.RuleRetire}
	case protocol.Retire:
		return Words{en.Say("%s are retired", sentence(to)), en.Say("Management and its profiles leave, personal data stays; the identity is revoked."), protocol.RuleRetire}
	case protocol.Restart:
		return Words{en.Say("%s are restarted", sentence(to)), en.Say("The device reports first, and is back at the next push."), protocol.RuleWake}
	}
	return Words{
		en.Say("%s are asked for %s", sentence(to), c.Kind),
		en.Say("One command and one push each; a device that is off the network finds the latest push, and the command, on return."), protocol.RuleWake,
	}
}

func (c *Cast) sayAbsence(a *plan.Absence) Words {
	shortest, longest := a.Lasts.Shortest(), a.Lasts.Longest()
	length := short(plan.Duration(shortest))
	if longest > shortest {
		length = en.Say("%s to %s", length, short(plan.Duration(longest)))
	}
	w := Words{Name: en.Say("%s leave the network for %s", sentence(whom(a.Of)), length), Text: en.Say("Commands wait at the server, and of all pushes the last one at the push service.")}
	if shortest > time.Duration(c.Plan.Tenant.Identity.Window) {
		w.Text, w.Rule = en.Say("Most of their identities end meanwhile: the server then refuses the handshake, and only a new enrolment helps."), protocol.RuleNotRenewed
	}
	return w
}

// SayAlready says that so many devices are there when the story begins.
func SayAlready(n int) string { return en.Say("Enrolled already: %d {device|devices}", n) }

// SayBefore says since when devices of a population are there: an export's have enrolled when it says.
func SayBefore(p *population.Population) string {
	if p.Tenant.AsOf != 0 {
		return en.Say("They are as the export has them, each registered with the authority that manages it.")
	}
	return en.Say("They enrolled in the eight hours before, each registered with the authority that manages it.")
}

// SayLeaving says that devices leave whose retirement, wipe or removal was pending in an export (AUTH-53).
func SayLeaving(n int) Words {
	return Words{
		Name: en.Say("To leave: %d {device|devices}", n),
		Text: en.Say("A retirement, wipe or removal of theirs was pending in the export; it takes effect at their next check-in."), Rule: protocol.RuleRetire,
	}
}

// SayAssigned says that a profile was assigned before the story began.
func SayAssigned(p *plan.Profile) string {
	return en.Say("Profile %q was assigned to %s before", p.Name, group(p.Assigned))
}

// SayFault says how a fault begins, and how it ends.
func SayFault(f *plan.Fault) (begins, ends Words) {
	defer func() {
		if f.For > 0 {
			begins.Name = en.Say("%s for %s", begins.Name, short(f.For))
		}
	}()
	share := en.Say("%s of", f.Share)
	if f.Share == plan.Whole {
		share = en.Say("all")
	}
	switch {
	case f.Server == plan.Down:
		return Words{Name: en.Say("The server is down"), Text: en.Say("Devices find nobody there and try again, each time after a longer while.")}, Words{Name: en.Say("The server is up again")}
	case f.Server == plan.Busy:
		return Words{Name: en.Say("The server answers 503 to %s the requests", share), Text: en.Say("Devices come back, not sooner than Retry-After says.")},
			Words{Name: en.Say("The server answers everybody again")}
	case f.Push == plan.PushDown:
		return Words{Name: en.Say("The push service is down"), Text: en.Say("Nobody is woken; of all pushes to a device the latest waits for it."), Rule: protocol.RuleWake},
			Words{Name: en.Say("The push service is up again")}
	case f.Push == plan.PushLost:
		return Words{
			Name: en.Say("From here on %s the pushes are lost", share),
			Text: en.Say("The device sleeps on until the next one; of a change of authority three more follow."), Rule: "AUTH-20",
		}, Words{Name: en.Say("No push is lost any more")}
	case f.DropResponse:
		return Words{
			Name: en.Say("From here on %s the server's answers are lost on the way", share),
			Text: en.Say("The server has done its part and the device cannot know: it says the same again, and it must count once."),
		}, Words{Name: en.Say("No answer is lost any more")}
	}
	return Words{Name: en.Say("From here on %s the requests are cut off in the middle", share), Text: en.Say("The server must not act on half a message.")},
		Words{Name: en.Say("No request is cut off any more")}
}

func saySetting(s *plan.Setting) Words {
	w := Words{en.Say("The authority is set to %s", s.Set), en.Say("Each device registers with it at its next completed check-in, and keeps what it has until then."), "AUTH-04"}
	switch a, added := s.Set.Authority(); {
	case added:
		w.Name = en.Say("Intune is added beside Basic Mobility and Security")
		w.Text = en.Say("Each user's licences decide from now on; devices keep working as they are until their next completed check-in.")
	case a == protocol.SCCM:
		w.Name = en.Say("Configuration Manager joins in: the authority is sccm")
		w.Text = en.Say("Intune manages the devices as before, in a new epoch: each registers anew, and the profiles of before have seven days.")
	}
	return w
}

func sayLicensing(l *plan.Licensing) Words {
	names := map[string]string{
		protocol.IOS.String(): en.Say("the users of iPhones"), protocol.IPadOS.String(): en.Say("the users of iPads"), protocol.MacOS.String(): en.Say("the users of Macs"),
		protocol.Android.String(): en.Say("the users of Android devices"), protocol.Windows.String(): en.Say("the users of Windows devices"),
		plan.All: en.Say("all users"), plan.NoLicence: en.Say("the users without a licence"), plan.OnlyBasic: en.Say("the users with a basic licence"), plan.WithIntune: en.Say("the users with an Intune licence"),
	}
	who, ok := names[l.To.Whom]
	if !ok {
		who = en.Say("the users of %s", group(l.To.Whom))
	}
	if l.To.Share != plan.Whole {
		who = en.Say("%s of %s", l.To.Share, who)
	}
	kinds := map[plan.Licence]string{plan.BasicLicence: en.Say("a basic licence"), plan.IntuneLicence: en.Say("a licence that entitles Intune")}
	if l.In != "" {
		who = en.Say("%s in group %s", who, l.In)
	}
	w := Words{en.Say("%s get %s", sentence(who), kinds[l.Assign]), en.Say("It moves their devices where each user's licences decide, at the next check-in: the old profiles are taken off there."), protocol.RuleLicenceMoves}
	if l.Assign == 0 {
		w = Words{en.Say("%s lose %s", sentence(who), kinds[l.Remove]), en.Say("Where each user's licences decide, BMS has their devices again; elsewhere they stay and are flagged."), protocol.RuleLicenceLost}
	}
	if l.Over > 0 {
		w.Name = en.Say("%s, within %s", w.Name, short(l.Over))
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
		plan.All: en.Say("all devices"), plan.Userless: en.Say("the devices without a user"),
		protocol.IOS.String(): en.Say("the iPhones"), protocol.IPadOS.String(): en.Say("the iPads"), protocol.MacOS.String(): en.Say("the Macs"),
		protocol.Android.String(): en.Say("the Android devices"), protocol.Windows.String(): en.Say("the Windows devices"),
	}
	name, ok := names[t.Whom]
	if !ok {
		name = en.Say("the devices of %s", group(t.Whom))
	}
	if t.Share != plan.Whole {
		return en.Say("%s of %s", t.Share, name)
	}
	return name
}

func group(name string) string {
	if name == plan.All {
		return en.Say("everybody")
	}
	return en.Say("group %s", name)
}

// sentence begins s with a capital letter.
func sentence(s string) string { return strings.ToUpper(s[:1]) + s[1:] }
