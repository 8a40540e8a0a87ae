package device

import (
	"context"
	"crypto/rsa"
	"slices"
	"strings"
	"time"

	"github.com/sirupsen/logrus"

	"rollcall/protocol"
	"rollcall/protocol/android"
	"rollcall/server"
	"rollcall/server/delivery"
)

// compose writes the answer to a round, and returns what a repeat gets; nil: nothing was decided that a repeat could not decide again.
func (x *androidRound) compose(dst []byte, out *delivery.Outcome) []byte {
	h, m, st := x.h, &x.msg, &out.State
	x.composed, x.gone = true, false
	if st.Life == delivery.Enrolling && m.Applied.PolicyVersion > 0 && x.ev.Verb != protocol.Enrol {
		return nil // it is to be enrolled first
	}
	w := h.cfg.Server.World()
	to, _, _ := w.Target(st)
	expected, _ := next(x.now, st)
	a := android.CheckInAnswer{
		Round: m.Round, Complete: out.Completed, State: android.Active, Next: expected,
		Authority: android.AuthorityState{Registered: st.Registered, Resolved: to.Authority, Epoch: w.Tenant.Epoch},
	}
	switch {
	case st.Life == delivery.Enrolling:
		a.State = android.Provisioning
	case st.Life == delivery.Ended: // it may not have heard: there is nothing to be done (HST-052)
		a.Complete, a.State = true, android.Deleted
	case m.Applied.State == android.Lost:
		a.State = android.Lost
	}
	if n := out.Reply.Notice; n != (protocol.Notice{}) {
		a.Authority.ChangedAt = n.ChangedAt
		if n.Epoch > m.Epoch || n.Rule != protocol.RuleRegistered {
			a.Authority.Notice = h.androidNotice(n)
		}
	}
	wants := st.Life == delivery.Enrolling || st.Life == delivery.Enrolled && x.batch.Phase == delivery.Asking
	if out.Reply.Kind == protocol.Work {
		wants = x.commands(&a, st, &out.Reply.Command) || wants
		for i := range out.Reply.More {
			wants = x.commands(&a, st, &out.Reply.More[i]) || wants
		}
	}
	if x.gone {
		return nil
	}
	if wants {
		a.Complete = false
		a.Policy = h.policyOf(w, x.now, st, x.p, &x.msg)
	}
	x.answer = android.AppendAnswer(x.answer[:0], &a)
	if out.Steady() && !wants {
		return nil
	}
	given := int64(0)
	if a.Policy != nil {
		given = a.Policy.Version
	}
	return append(stamp(dst, x.now, given), x.answer...)
}

// next says when the device is expected again (authority.md, table "Schedules"), and until when that is so.
func next(now protocol.Time, s *delivery.State) (c android.NextContact, until protocol.Time) {
	every := protocol.ScheduleOf(protocol.Android)
	age := time.Duration(0)
	if s.Life == delivery.Enrolled {
		age = now.Sub(s.EnrolledAt)
	}
	for _, q := range every.Quick {
		if age < q.For {
			return android.NextContact{After: android.Seconds(q.Every), Schedule: android.Quick}, now.Add(q.For - age)
		}
	}
	return android.NextContact{After: android.Seconds(every.Steady), Schedule: android.Steady}, forever
}

// commands says a command in the protocol's words, and tells whether it is one about the policy.
func (x *androidRound) commands(a *android.CheckInAnswer, st *delivery.State, c *protocol.Command) bool {
	out := android.Command{ID: c.ID.String()}
	if i := slices.IndexFunc(st.Queue, func(q delivery.Queued) bool { return q.ID == c.ID }); i >= 0 {
		out.CreateTime = st.Queue[i].At
	}
	enrollment, mode := "", android.Mode("")
	if c.Kind == protocol.Erase || c.Kind == protocol.Retire {
		if record, err := x.h.cfg.Server.Store().Record(context.Background(), x.p.cred.Device); err == nil { // it is in memory, and held
			enrollment, mode, _ = server.AndroidEnrolment(&record.Facts)
		}
	}
	switch c.Kind {
	case protocol.InstallProfile, protocol.RemoveProfile:
		return true
	case protocol.RenewIdentity:
		_, signs := x.p.leaf.PublicKey.(*rsa.PublicKey) // whatever is offered to new devices: it came by SCEP, and no other key signs a RenewalReq
		offer := x.h.offer(signs, x.p.id, "", 0)
		a.Renew = &offer
		return false
	case protocol.Lock:
		out.Type = android.Lock
	case protocol.Restart:
		out.Type = android.Reboot
	case protocol.ResetPasscode:
		out.Type, out.NewPassword = android.ResetPassword, c.Text
	case protocol.ClearAppData:
		out.Type, out.ClearAppsDataParams = android.ClearAppData, &android.ClearAppsDataParams{PackageNames: strings.Fields(c.Text)}
	case protocol.StartLostMode:
		out.Type, out.LostModeParams = android.StartLostMode, &android.LostModeParams{LostMessage: c.Text}
	case protocol.StopLostMode:
		out.Type = android.StopLostMode
	case protocol.Erase:
		out.Type = android.Wipe
		out.Order = x.h.androidOrder(x.now, x.p.id, enrollment, mode.Wiping())
	case protocol.Retire:
		if c.Text == delivery.AndDrop || c.Text == delivery.AndDelete {
			x.gone = true
			return false
		}
		if out.Type = android.RelinquishOwnership; mode.Removal() == android.RemoveProfile {
			out.Type = android.Wipe
		}
		out.Order = x.h.androidOrder(x.now, x.p.id, enrollment, mode.Removal())
	case protocol.DeviceInformation, protocol.SecurityInfo, protocol.ProfileList, protocol.CertificateList, protocol.InstalledApplicationList:
		out.Type = android.RequestDeviceInfo
	default: // nothing that an Android device could do; it says so
		out.Type = android.CommandType(c.Kind.String())
	}
	a.Commands = append(a.Commands, out)
	return false
}

// firstOrders is how many orders beside those for profiles an enrolment brings.
const firstOrders = 2

// policyOf compiles the policy of the device in state st: what it should have, what is on it, and what of an authority before has to go.
func (h *Handler) policyOf(w *delivery.World, now protocol.Time, st *delivery.State, p *peer, m *android.CheckIn) *android.PolicyUpdate {
	id := m.Device
	facts := h.factsOf(p)
	enrollment, mode, level := server.AndroidEnrolment(facts)
	if m.Status != nil && m.Status.SoftwareInfo != nil {
		level = m.Status.SoftwareInfo.APILevel
	}
	here, old := server.AndroidParts(w, now, st, func(p protocol.Profile) android.Part { return h.part(w, p) })
	version := max(int64(st.Seq), after(max(m.Applied.PolicyVersion, server.AndroidVersion(facts)), 1))
	if st.Life == delivery.Enrolling {
		version = after(version, firstOrders+len(here)) // those that its enrolment brings, which this policy carries out
	}
	c := android.Compile(mode, level, append(here, old...))
	for _, no := range c.Conflicts {
		h.cfg.Log.WithFields(logrus.Fields{"device": id, "profile": no.Profile, "field": no.Field, "reason": no.Reason}).Info("a setting is not in the policy")
	}
	u := &android.PolicyUpdate{
		Name: policyPrefix + id, Version: version, Policy: android.Append(nil, &c.Policy), Profiles: c.Manifest,
	}
	if u.Profiles == nil {
		u.Profiles = []android.ManifestEntry{}
	}
	signature, err := h.cfg.Enrolment.Seal.DetachedJWS(android.PolicyType, u.Signed(id, enrollment))
	if err != nil {
		h.cfg.Log.WithError(err).WithField("device", id).Error("a policy cannot be signed")
	}
	u.Signature = signature
	return u
}

// factsOf is what the record of a device says of it, before there is one what its token said.
func (h *Handler) factsOf(p *peer) *delivery.Facts {
	if p.cred.Device != 0 {
		if record, err := h.cfg.Server.Store().Record(context.Background(), p.cred.Device); err == nil { // it is in memory, and held
			return &record.Facts
		}
	}
	return &delivery.Facts{Said: p.cred.Serial}
}

// part is what a profile says, read once.
func (h *Handler) part(w *delivery.World, p protocol.Profile) android.Part {
	if known, ok := h.android.parts.Load(p); ok {
		return *known.(*android.Part)
	}
	part, err := server.AndroidPart(w, p)
	if err != nil {
		h.cfg.Log.WithError(err).WithField("profile", part.Name).Info("a profile says nothing to Android devices")
	}
	h.android.parts.Store(p, part)
	return *part
}

// stuck says why a profile cannot be on a device at all; empty: it can.
func (h *Handler) stuck(profile protocol.Profile, p *peer) android.NonCompliance {
	part := h.part(h.cfg.Server.World(), profile)
	_, mode, level := server.AndroidEnrolment(h.factsOf(p))
	c := android.Compile(mode, level, []android.Part{part})
	switch {
	case len(c.Manifest[0].Fields) > 0:
		return ""
	case len(c.Conflicts) > 0:
		return c.Conflicts[0].Reason
	}
	return android.NotSupported
}
