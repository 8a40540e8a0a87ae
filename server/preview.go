package server

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"iter"

	"rollcall/protocol"
	"rollcall/server/authority"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

// A Preview is what a change would do, or did: the same code answers both (AUTH-35, I10). Its ID stands for all of it: the
// change and what becomes of each device. A change that is given another ID is refused and the difference named
// (HST-070).
type Preview struct {
	authority.Preview
	Before      authority.Tenant
	After       authority.Tenant // of a change that is no change of authority: Before
	Unsupported bool             // only force does it (AUTH-04)
	Confirm     bool             // the change needs the ID: it enables coexistence, opens the gap for enrolled devices, strands some or leaves some without profiles
	OpensGap    bool             // Apple devices wait for a renewed push certificate afterwards (AUTH-30)
	Warnings    []Warning
	Licensed    []Licensed // of a change of licences, in its order
	Devices     []Named    // all enrolled ones, by number
}

// A Warning is advice that goes with a preview, by rule: one sentence.
type Warning struct {
	Rule protocol.Rule
	Text string
}

// A step is what a plan does not find in the two contents that it compares.
type step struct {
	what        string // changes, besides the tenant
	licensed    []Licensed
	enables     bool // coexistence
	opensGap    bool
	unsupported bool
	blocked     int  // devices, before it
	unprotected int  // devices, before it, where that needs no confirmation
	nothing     bool // is changed: it is as it was, and needs none

	later    string               // the authority that brings the profile to devices, where the present one does not
	misnamed []authority.Misnamed // what it finds there then
	empty    []string             // groups that get the profile, and that nobody is in
	removes  int                  // profiles of the present one that a licence then takes from devices, whatever they are called
}

// plan previews the step from one content to another.
func (s *Server) plan(ctx context.Context, now protocol.Time, before, after *store.Content, step step) (*Preview, error) {
	p, err := s.look(ctx, now, before, after)
	if err != nil {
		return nil, err
	}
	p.finish(after, &step)
	return p, nil
}

// look is a preview as far as the two contents say it, to be finished.
func (s *Server) look(ctx context.Context, now protocol.Time, before, after *store.Content) (*Preview, error) {
	scene := &authority.Scene{
		Before: before.Tenant, After: after.Tenant, Now: now, Leaving: after.Settings.Leaving,
		Push:  authority.Push{Gap: after.Campaign.Gap != 0, Settings: after.Settings.Gap, Grace: after.Settings.PushGrace},
		Units: unitsOf(after),
	}
	topic := ""
	if cert := inUse(after); cert != nil {
		topic, scene.Push.Ends = cert.Topic, cert.NotAfter
	}
	was, is := s.World(), newWorld(after)
	var failed error
	p := &Preview{Before: before.Tenant, After: after.Tenant}
	if s.alone != nil {
		p.Devices = make([]Named, 0, s.alone.store.Size())
	}
	plan := authority.Plan(scene, s.subjects(ctx, was, is, topic, &failed), func(c *authority.Subject, j *authority.Judgement) {
		p.Devices = append(p.Devices, namedOf(c, j))
	})
	if failed != nil {
		return nil, failed
	}
	p.Preview = plan
	return p, nil
}

// finish adds what the step says of itself, and the identity.
func (p *Preview) finish(after *store.Content, step *step) {
	p.OpensGap, p.Unsupported, p.Licensed = step.opensGap, step.unsupported, step.licensed
	changes := p.After != p.Before && p.Before.Authority != protocol.Unknown
	p.Confirm = !step.nothing && p.Unprotected > step.unprotected || changes && (step.enables || p.Stranded > 0 || p.OpensGap && p.waits(&after.Settings.Gap))
	p.warn(step)
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %t %q %q", p.ID, p.Confirm, p.Warnings, step.what))
	p.ID = fmt.Sprintf("%s-%d-%d-%d-%d-%s", p.After.Name(), p.Before.Epoch, p.Pending, p.Stale, p.Stranded, hex.EncodeToString(sum[:12]))
}

// waits tells whether the gap holds any enrolled device.
func (p *Preview) waits(s *authority.GapSettings) bool {
	for i := range p.Groups {
		for _, x := range protocol.Platforms {
			if p.Groups[i].Platforms[x] > 0 && s.Covers(x) {
				return true
			}
		}
	}
	return false
}

// unitsOf are the licence units of a tenant. Where nobody says how many it owns, none is counted as free.
func unitsOf(c *store.Content) authority.Units {
	if !c.Settings.UnitsKnown {
		return authority.Units{}
	}
	return authority.Units{Known: true, Owned: c.Settings.Units, Free: c.Settings.Units - holders(c)}
}

// unowned tells whether the tenant owns no licence that entitles Intune: of one that does not say, whether nobody holds one.
func unowned(c *store.Content) bool {
	if c.Settings.UnitsKnown {
		return c.Settings.Units == 0
	}
	return holders(c) == 0
}

// holders counts the users who hold a licence that entitles Intune.
func holders(c *store.Content) (n int) {
	for i := range c.Users {
		if c.Users[i].IntuneLicence {
			n++
		}
	}
	return n
}

// subjects are the enrolled devices, as the rules see them. One Subject is used again and again.
func (s *Server) subjects(ctx context.Context, was, is *delivery.World, topic string, failed *error) iter.Seq[*authority.Subject] {
	return func(yield func(*authority.Subject) bool) {
		gets := make([][]authority.Profile, len(is.Sets)) // by set
		for i := range is.Sets {
			for _, p := range is.Sets[i].Profiles {
				gets[i] = append(gets[i], profileOf(is, p))
			}
		}
		c := authority.Subject{Assigned: true}
		more := true
		*failed = s.store.States(ctx, func(st *delivery.State) {
			if !more || st.Life != delivery.Enrolled {
				return
			}
			c.Device, c.Number, c.Owner, c.Epoch = st.Subject(), st.Device, uint32(st.User), st.Epoch
			c.Was, c.Is = was.User(st.User), is.User(st.User)
			c.CertEnd, c.Contact = st.Identity.NotAfter, st.LastSeen
			c.OtherTopic = topic != "" && st.Push.Topic != topic
			c.Supported, c.Leaving = st.Support, leaving(st)
			c.Has, c.Failed = c.Has[:0], c.Failed[:0]
			owner := is.OwnerOf(st)
			for i := range st.Profiles {
				a := &st.Profiles[i]
				switch x := profileOf(is, a.Profile); {
				case a.GivenUp():
					c.Failed = append(c.Failed, x)
				case a.State != delivery.Installing && a.State != delivery.InstallFailed:
					x.Old = is.Old(a.Profile, owner)
					c.Has = append(c.Has, x)
				}
			}
			c.Gets = gets[is.SetOf(st)]
			more = yield(&c)
		})
	}
}

func profileOf(w *delivery.World, p protocol.Profile) authority.Profile {
	if int(p) >= len(w.Profiles) {
		return authority.Profile{}
	}
	q := &w.Profiles[p]
	a := q.Authority
	if a == protocol.SCCM {
		a = protocol.Intune // who manages the device, whatever the tenant is called
	}
	return authority.Profile{Name: q.Name, Family: q.Family, Authority: a, Version: uint32(p)}
}

// leaving tells whether the device goes away at its next check-in (AUTH-53).
func leaving(st *delivery.State) bool {
	for i := range st.Queue {
		if k := st.Queue[i].Kind; k == protocol.Retire || k == protocol.Erase {
			return true
		}
	}
	return false
}

// warn adds the advice that goes with the numbers.
func (p *Preview) warn(step *step) {
	say := func(r protocol.Rule, format string, args ...any) {
		p.Warnings = append(p.Warnings, Warning{r, fmt.Sprintf(format, args...)})
	}
	if p.Unsupported {
		say("AUTH-04", "the service does not offer this change: it is unsupported, and only force makes it")
	}
	if step.enables && p.WouldMove > 0 {
		say(protocol.RulePreview, "%d devices of users who hold an Intune licence move at once: assign no Intune licences before coexistence is on, or assign Intune policies to those users first", p.WouldMove)
	}
	if p.Unprotected > 0 {
		say(protocol.RuleLicenceMoves, "%d devices lose all profiles and get none in their place", p.Unprotected)
	}
	if step.later != "" {
		say("AUTH-38", "no device gets this profile before the authority is %s; rollcall preview --set %s shows what it does then", step.later, step.later)
	}
	if step.removes > 0 {
		say(protocol.RuleNamesake, "once the authority is %s, a device moves by its user's licence, and at that check-in its profiles of %s (the tenant has %d) leave it, whatever they are called (AUTH-23): the same name and family matters only where the authority of the tenant itself changes",
			step.later, p.Before.Authority, step.removes)
	}
	for _, g := range step.empty {
		say(protocol.RulePreview, "nobody is in the group %q: who is added to it gets the profile then", g)
	}
	p.sayMisnamed(step)
	if p.Prompts > 0 {
		say("AUTH-37", "the users of %d devices may be asked to sign in to mail again", p.Prompts)
	}
	if released := step.blocked - p.Blocked; released > 0 {
		say(protocol.RuleGapClosed, "%d devices that are to register, and were held, can check in again", released)
	}
	if p.OpensGap {
		say(protocol.RulePushGap, "Apple devices cannot check in or enrol until a renewed push certificate is uploaded for %s", p.After.Slot())
	}
	if p.NeedsSupport > 0 {
		say(protocol.RuleUserless, "%d userless devices stay where they are until support moves them", p.NeedsSupport)
	}
	if !p.Need.Units.Known && (step.enables || p.Unsupported && p.After.Authority == protocol.Intune) {
		say("AUTH-09", "how many licences that entitle Intune the tenant owns is not known, so nothing says that they are enough: rollcall authority settings --intune-units N does")
	}
	if p.Need.Units.Known && p.Need.Short > 0 {
		say("AUTH-09", "%d licence units are missing to move every user", p.Need.Short)
	}
}

// maxMisnamed bounds the profiles that a preview names for having another name than their successors.
const maxMisnamed = 10

// sayMisnamed names profiles that stay beside others of their family, for want of the same name (AUTH-26).
func (p *Preview) sayMisnamed(step *step) {
	list, then := p.Misnamed, ""
	if step.later != "" {
		list, then = step.misnamed, "once the authority is "+step.later+", "
	}
	for i := range list {
		m := &list[i]
		if i == maxMisnamed {
			p.Warnings = append(p.Warnings, Warning{protocol.RuleNamesake, fmt.Sprintf("%s%d more profiles stay beside others", then, len(list)-i)})
			return
		}
		p.Warnings = append(p.Warnings, Warning{protocol.RuleNamesake, fmt.Sprintf(
			"%s%q (%s) stays on %d devices beside %q (%s): only a profile of the same name and family overwrites it",
			then, m.Old.Name, m.Old.Family, m.Devices, m.New.Name, m.New.Family)})
	}
}
