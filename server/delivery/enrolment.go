package delivery

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"time"

	"rollcall/protocol"
	"rollcall/server/authority"
)

// enrol is a device's hello: a new enrolment, or the first use of a renewed identity (apple.md section 11).
func (d *decision) enrol() {
	c, s := &d.in.Credential, d.s
	switch {
	case c.Device != 0 && c.Device != s.Device:
		d.stranger()
		return
	case c.ID != "" && c.ID != d.in.ID:
		d.refuse("HST-037", WhatWrongIdentity, "the certificate was issued for another device")
		return
	case c.Platform != protocol.NoPlatform && c.Platform != d.in.Platform:
		d.refuse("HST-037", WhatWrongIdentity, "the certificate was issued for another kind of device: "+c.Platform.String())
		return
	case c.Serial != "" && d.in.Facts != nil && d.in.Facts.Serial != "" && d.in.Facts.Serial != c.Serial:
		d.refuse("HST-042", WhatWrongIdentity, "the certificate was issued for another serial number")
		return
	}
	if !d.valid() {
		return
	}
	if c.Purpose == ForRenewal && s.Life == Enrolled {
		if d.blocked() {
			return
		}
		if c.Fingerprint != s.Identity.Fingerprint { // else the device says it again
			d.promote()
		}
		d.n.LastSeen = d.now
		d.facts()
		return
	}
	d.begin()
}

// begunFor is how long an enrolment that was begun holds its device's name against other users: each can try again meanwhile.
const begunFor = time.Hour

// Holds tells whether the enrolment of the device in state s, finished or not, holds its place at now: else it has to enrol again
// itself, has said farewell, or was begun long ago.
func (s *State) Holds(now protocol.Time) bool {
	if s.Life == Enrolling {
		return now < s.LastSeen.Add(begunFor)
	}
	return s.Life == Enrolled && now < s.Identity.NotAfter && !s.Departing()
}

// Yields tells whether a device of kind p that enrols at now with c may take the place of the one that s is of (HST-042, HST-051).
// While that one is enrolled, it must be the same kind of device, and c be its own, of its user, or of a device whose factory vouches for
// it: a name alone anybody can say, so a grant that is bound to one proves nothing. Whoever looks before giving a certificate looks at
// a Credential of what is known by then.
func (s *State) Yields(now protocol.Time, c *Credential, p protocol.Platform) bool {
	proved := c.Device == s.Device || c.Automated && c.ID != ""
	switch {
	case !s.Holds(now):
		return true
	case s.Life == Enrolling:
		return proved || c.User == s.User
	case p != s.Platform && p != protocol.NoPlatform && s.Platform != protocol.NoPlatform && !(p.Apple() && s.Platform.Apple()):
		return false
	}
	return proved || c.User != 0 && c.User == s.User
}

// begin is a new enrolment: nothing of an old one is left but its history (APL-034).
func (d *decision) begin() {
	c, s := &d.in.Credential, d.s
	if !s.Yields(d.now, c, d.in.Platform) {
		d.refuse("HST-051", WhatDuplicate, "a device with this identifier is enrolled, and the certificate was issued for neither it nor its user")
		if c.Purpose == ForEnrolment {
			d.effect(Revoke, c.Fingerprint) // it does not wait until the other one has gone
		}
		return
	}
	e := d.w.Enrolment(d.now, authority.Device{Platform: d.in.Platform, AndroidAPI: d.in.AndroidAPI, CoManaged: d.in.CoManaged}, c.Automated)
	e.Way, e.OtherMDM, e.Devices = d.in.Way, d.in.OtherMDM, d.in.Devices
	if _, no := authority.Admit(d.w.Tenant, d.w.User(c.User), e); no != nil {
		no.Notice = d.w.notice(s)
		d.refusal(no, WhatRefused)
		return
	}
	if !d.topic() {
		return
	}
	d.withdraw()
	*d.n = State{
		Device: s.Device, Place: s.Place, User: c.User, Platform: d.in.Platform, Life: Enrolling, Automated: c.Automated, LastSeen: d.now,
		Registered: s.Registered, RegisteredAt: s.RegisteredAt, Epoch: s.Epoch, // of the enrolment before, until Ready (I2)
		AndroidAPI: d.in.AndroidAPI, CoManaged: d.in.CoManaged || d.in.Way == authority.CoManagement, Identity: c.Identity, Seq: s.Seq, Reports: s.Reports,
		Workloads: d.in.Workloads, Told: d.in.WorkloadsKnown,
	}
	if d.n.Platform == protocol.NoPlatform {
		d.n.Platform = s.Platform
	}
	switch {
	case s.Life == Enrolling: // the answer may have been lost
		d.n.Rare = (&Rare{Replaced: s.Rare.Read().Replaced}).Kept()
	case s.Life == Enrolled && c.Device != s.Device && s.Holds(d.now) && s.GoneAt() == 0: // it may be another machine's, and both are to hear (HST-032)
		d.n.Rare = &Rare{Replaced: s.EnrolledAt}
	}
	d.ownRare = false
	d.out.Changed |= Core | Profiles | Wakes | Secrets
	if len(d.in.Token) > 0 { // said with its first word, used from Ready on
		d.n.Push.Token = clone(d.in.Token)
		d.out.Changed |= Address
	}
	if s.Life == Enrolled {
		d.journal(WhatEnded, "", "the device enrols again")
	}
	if c.Device != s.Device {
		d.effect(Bind, c.Fingerprint)
	}
	if old := s.Identity.Fingerprint; old != (Fingerprint{}) && old != c.Fingerprint {
		d.effect(Supersede, old)
	}
	d.facts()
}

// topic refuses an enrolment with a profile of another push certificate: it could never be woken (AUTH-32).
func (d *decision) topic() bool {
	if have := d.w.Push.Topic; d.in.Topic != "" && have != "" && d.in.Topic != have {
		d.refusal(&protocol.Refusal{
			Rule: protocol.RuleOtherTopic, Reason: "the enrolment profile names another topic than the push certificate", Notice: d.w.notice(d.s),
		}, WhatRefused)
		return false
	}
	return true
}

// ready tells where the device can be woken. The first one completes its enrolment (APL-031).
func (d *decision) ready() {
	in, n, s := d.in, d.n, d.s
	first := s.Life == Enrolling
	if s.Life == Enrolled && in.Awaiting && !s.Awaiting {
		// Only a wiped device is in its setup assistant again, whatever identity it came with (apple.md section 11).
		d.withdraw()
		*n = State{
			Device: s.Device, Place: s.Place, User: s.User, Platform: s.Platform, Life: Enrolling, Automated: s.Automated, LastSeen: d.now,
			Registered: s.Registered, RegisteredAt: s.RegisteredAt, Epoch: s.Epoch, AndroidAPI: s.AndroidAPI, CoManaged: s.CoManaged, Workloads: s.Workloads, Told: s.Told, Identity: n.Identity, Seq: s.Seq, Reports: s.Reports,
		}
		d.out.Changed |= Core | Profiles | Wakes | Secrets
		d.journal(WhatEnded, "", "the device was wiped")
		first = true
	}
	if first && !d.topic() {
		return
	}
	if !first && d.same() {
		n.Push.Since = d.now
		return
	}
	unreachable := n.Push.Unreachable
	n.Push = Push{Topic: d.ownTopic(), Magic: strings.Clone(in.Magic), Token: clone(in.Token), Since: d.now}
	n.Push.Unreachable = !s.Platform.Apple() && len(in.Token) == 0 // it polls, until it says where it can be woken
	d.out.Changed |= Address
	if n.Wake.Attempt > 0 && !s.Platform.Apple() {
		n.Wake.Attempt = 0 // what a push service said of another address holds up nothing
		d.out.Changed |= Wakes
	}
	if in.Unlock != nil {
		d.rare().Unlock = clone(in.Unlock)
		d.out.Changed |= Secrets
	}
	n.Awaiting = in.Awaiting
	if first {
		d.enrolled()
		return
	}
	if unreachable && !n.Push.Unreachable {
		d.out.Changed |= Wakes // it can go out again
		d.journal(WhatReachable, "", "")
	}
}

// same tells whether a Ready says nothing that is worth a write. An Apple device tells its token because it is good again; the others
// tell what they have at each contact, and an address that was refused stays so (WIN-042, AND-093).
func (d *decision) same() bool {
	in, s, p := d.in, d.s, &d.s.Push
	return (!p.Unreachable || !s.Platform.Apple()) && in.Awaiting == s.Awaiting && in.Topic == p.Topic && in.Magic == p.Magic && bytes.Equal(in.Token, p.Token) &&
		(in.Unlock == nil || bytes.Equal(in.Unlock, s.Rare.Read().Unlock))
}

// ownTopic is the message's topic, without keeping the request or another copy of what the world has.
func (d *decision) ownTopic() string {
	if d.in.Topic == d.w.Push.Topic {
		return d.w.Push.Topic
	}
	return strings.Clone(d.in.Topic)
}

// enrolled completes an enrolment: the device is listed, registers with the authority that is right now, and gets what it
// should have. Apple's devices complete no round of commands before, so this is their first completed check-in (I1, I2).
func (d *decision) enrolled() {
	n := d.n
	device := n.Subject()
	device.Registered = protocol.Unknown // this enrolment's first (AUTH-44)
	to := authority.Resolve(d.w.Tenant, d.w.User(n.User), device)
	if to.Authority == protocol.Unknown {
		d.refuse(to.Rule, WhatRefused, "nobody manages this device")
		return
	}
	n.Life, n.EnrolledAt, n.EndedAt = Enrolled, d.now, 0
	n.Registered, n.RegisteredAt, n.Epoch = to.Authority, d.now, d.w.Tenant.Epoch
	n.Heard = n.Epoch
	d.out.Completed = true
	d.journal(WhatEnrolled, "", "")
	d.journal(WhatRegistered, to.Rule, to.Authority.String())
	if n.CoManaged && n.Told { // it said so when it enrolled
		d.decided()
	}
	d.queue(protocol.Command{Kind: protocol.DeviceInformation})
	d.queue(protocol.Command{Kind: protocol.SecurityInfo})
	if d.in.Batch == nil { // else its first conversation goes on, and may tell what it should have
		d.reconcile(true)
	}
	if n.Awaiting {
		d.queue(protocol.Command{Kind: protocol.Configured})
	}
	n.Wake = Wake{Due: d.now, Reason: Changed}
	d.out.Changed |= Core | Wakes
}

// end ends the enrolment. The record stays (AUTH-43), unless an administrator's order to delete it waits (AUTH-53).
func (d *decision) end(r protocol.Rule, why string) {
	n := d.n
	deleted := d.deleted()
	d.withdraw()
	n.Life, n.EndedAt, n.Awaiting = Ended, d.now, false
	n.Push, n.Wake, n.Profiles, n.Set = Push{}, Wake{}, nil, 0
	*d.rare() = Rare{Strays: n.Rare.Read().Strays}
	d.out.Changed |= Core | Profiles | Wakes | Secrets
	d.journal(WhatEnded, r, why)
	if deleted {
		d.remove(protocol.RuleRetire, "an administrator deleted it")
	}
}

// leave is a farewell. A device that holds many commands at once says it in place of an answer to the order to leave; of itself a PC
// says only that it tries (windows.md, section 7).
func (d *decision) leave() {
	i := slices.IndexFunc(d.n.Queue, func(q Queued) bool { return q.Kind == protocol.Retire })
	switch {
	case i >= 0 && d.n.Queue[i].Text == Farewell: // it says so again, and the silence begins anew
	case i >= 0 && d.in.Batch != nil:
		d.obeyed(i)
	case d.in.Batch != nil && d.s.Platform == protocol.Windows && d.s.Life == Enrolled:
		d.queue(protocol.Command{Kind: protocol.Retire, Text: Farewell})
	default:
		d.end("", leftByItself)
		if d.s.Platform == protocol.Android { // its protocol has it so (android.md, section 8)
			d.effect(Revoke, d.n.Identity.Fingerprint)
		}
	}
}

const leftByItself = "the device left"

// obeyed is that the order at i was carried out, of which no report comes.
func (d *decision) obeyed(i int) {
	ordered := *d.in
	ordered.Status = protocol.Acknowledged
	d.in = &ordered
	d.settle(i)
}

// remains is that a device is heard of that has said farewell: it did not leave after all.
func (d *decision) remains() {
	i := slices.IndexFunc(d.n.Queue, farewell)
	if i < 0 {
		return
	}
	q := d.n.Queue[i]
	d.n.Queue = append(d.changeQueue()[:i], d.n.Queue[i+1:]...)
	d.out.Commands = append(d.out.Commands, CommandChange{Queued: q, Final: true})
	d.journal(WhatWithdrawn, "", "the device did not leave")
}

func farewell(q Queued) bool { return q.Kind == protocol.Retire && q.Text == Farewell }

// Departing tells whether the device in state s has said farewell, and was not heard of since.
func (s *State) Departing() bool { return slices.ContainsFunc(s.Queue, farewell) }

// How long a PC that was told to leave, or that said so itself, is silent before it has left: it sends no report (windows.md, section 7).
const silentOrdered = 24 * time.Hour

// GoneAt is when the silence of the device in state s will mean that it has left; 0: it is not leaving, or would say so.
func (s *State) GoneAt() protocol.Time {
	if s.Life != Enrolled || s.Platform != protocol.Windows {
		return 0
	}
	for i := range s.Queue {
		switch q := &s.Queue[i]; {
		case q.Kind != protocol.Retire:
		case q.Text == Farewell:
			return s.LastSeen.Add(2 * protocol.ScheduleOf(s.Platform).Steady)
		case s.LastSeen > q.At && !q.NotNow: // it was here since, and takes all that waits for it at once
			return s.LastSeen.Add(silentOrdered)
		}
	}
	return 0
}

// gone is that the silence of a device that was leaving has lasted.
func (d *decision) gone() {
	d.obeyed(slices.IndexFunc(d.n.Queue, func(q Queued) bool { return q.Kind == protocol.Retire }))
}

// displaced is that the same machine enrolled anew under another name (WIN-024).
func (d *decision) displaced() {
	if d.s.Life != Enrolled && d.s.Life != Enrolling {
		return
	}
	d.effect(Revoke, d.n.Identity.Fingerprint)
	d.end("WIN-024", "the machine was enrolled anew")
}

// leaving tells whether an order that ends the enrolment waits, and deleted whether one to delete the record then. Those from
// before a backup are taken back.
func (d *decision) leaving() bool {
	return slices.ContainsFunc(d.n.Queue, func(q Queued) bool {
		return leaves(q.Kind) && q.At >= d.w.Restored.At
	})
}

// partsFor is how long a device that obeyed the order to leave may say farewell over a new connection. It says so at once or never.
const partsFor = time.Hour

func leaves(k protocol.CommandKind) bool { return k == protocol.Retire || k == protocol.Erase }

func (d *decision) deleted() bool { return d.w.Deleted(d.n) }

// Deleted tells whether a device is on its way out by an order to retire after which its record is removed.
func (w *World) Deleted(s *State) bool {
	return slices.ContainsFunc(s.Queue, func(q Queued) bool {
		return q.Kind == protocol.Retire && q.Text == AndDelete && q.At >= w.Restored.At
	})
}

// withdraw empties the queue: its commands belong to an enrolment that is over.
func (d *decision) withdraw() {
	if len(d.n.Queue) == 0 {
		return
	}
	for _, q := range d.n.Queue {
		d.out.Commands = append(d.out.Commands, CommandChange{Queued: q, Final: true})
	}
	d.journal(WhatWithdrawn, "", strconv.Itoa(len(d.n.Queue)))
	d.n.Queue = nil
}

// facts keeps what the device said of itself.
func (d *decision) facts() {
	if f := d.in.Facts; f != nil {
		d.out.Facts = &Facts{
			Name: strings.Clone(f.Name), Model: strings.Clone(f.Model), Product: strings.Clone(f.Product), Serial: strings.Clone(f.Serial),
			OSVersion: strings.Clone(f.OSVersion), Build: strings.Clone(f.Build), IMEI: strings.Clone(f.IMEI), MEID: strings.Clone(f.MEID),
			Hardware: strings.Clone(f.Hardware), Said: strings.Clone(f.Said), Directory: strings.Clone(f.Directory),
		}
		d.out.Changed |= FactsToo
	}
}
