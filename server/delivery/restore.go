package delivery

import (
	"slices"
	"strings"
	"time"

	"rollcall/protocol"
	"rollcall/server/authority"
)

// A Restoration is that the server's state was taken from a backup: devices may be ahead of it (HST-101). The zero
// Restoration is none.
type Restoration struct {
	Since protocol.Time // newest moment that the backup knows of: what happened later is unknown
	At    protocol.Time // when it was taken into use; 0: not yet
	Epoch uint32        // that began with it; 0: the tenant had none
}

const (
	// backdating is more than what a certificate is dated back by when it is issued.
	backdating = time.Hour

	// keptBack is how long nothing is removed for its age after a restoration: the device may be younger than its record.
	keptBack = 30 * 24 * time.Hour
)

// Covers tells whether a certificate that is valid from notBefore may have been issued in the time that was lost.
func (r *Restoration) Covers(notBefore protocol.Time) bool {
	return r.At != 0 && notBefore >= r.Since.Add(-backdating) && notBefore <= r.At
}

// behind tells whether the device in state s was not heard of since a restoration: what is on it is not certain.
func (w *World) behind(s *State) bool {
	return s.Epoch != 0 && s.Epoch < w.Restored.Epoch && s.Fresh < w.Restored.Epoch
}

// aged tells whether the record may go by its age.
func (d *decision) aged() bool {
	r := &d.w.Restored
	return !d.w.Doubt && (d.s.LastSeen >= r.At || d.now >= r.At.Add(keptBack))
}

// FromBackup is the Text of a ProfileList that is asked for after a restoration: managed profiles that the server knows
// nothing of are taken off when its report comes.
const FromBackup = "after a restoration"

// resynchronise is a device's first conversation after a restoration, beside its profiles, which all come again.
func (d *decision) resynchronise() {
	d.recallHarmful()
	d.queue(protocol.Command{Kind: protocol.DeviceInformation})
	d.queue(protocol.Command{Kind: protocol.SecurityInfo})
	d.queue(protocol.Command{Kind: protocol.ProfileList, Text: FromBackup})
}

// recallHarmful takes back what was ordered before the backup and cannot be undone: the device may have done it since, been
// set up anew, and would do it again.
func (d *decision) recallHarmful() {
	for i := 0; i < len(d.n.Queue); i++ {
		q := d.n.Queue[i]
		switch q.Kind {
		case protocol.Erase, protocol.Retire, protocol.Lock, protocol.Restart, protocol.ResetPasscode, protocol.ClearAppData, protocol.StartLostMode, protocol.StopLostMode:
		default:
			continue
		}
		if q.At >= d.w.Restored.At { // whoever ordered it knew
			continue
		}
		d.n.Queue = append(d.changeQueue()[:i], d.n.Queue[i+1:]...)
		i--
		d.out.Commands = append(d.out.Commands, CommandChange{Queued: q, Final: true})
		d.out.Changed |= Core
		d.journal(WhatWithdrawn, protocol.RuleRestored, q.Kind.String()+" was ordered before the backup and may have been done: order it again if it is still wanted")
	}
}

// listed is the report of the ProfileList of a restoration: identifiers of managed profiles, but that of the enrolment.
// One that nobody wants on the device, because it came after the backup or went before the end of the time that was lost, is
// taken off.
func (d *decision) listed(identifiers []string) {
	for _, identifier := range identifiers {
		if !d.stays(identifier) {
			d.queue(protocol.Command{Kind: protocol.RemoveProfile, Text: strings.Clone(identifier)})
		}
	}
}

// stays tells whether a profile that is on the device belongs there: by its record, or because profiles of its family stay when
// they are unassigned (AUTH-55).
func (d *decision) stays(identifier string) bool {
	if slices.ContainsFunc(d.n.Profiles, func(a Assigned) bool { return d.w.profile(a.Profile).Identifier == identifier }) {
		return true
	}
	i := slices.IndexFunc(d.w.Profiles, func(p Profile) bool { return p.Identifier == identifier })
	return i > 0 && !authority.Leaves(d.n.Subject(), d.w.Profiles[i].Family, d.w.Settings.Leaving)
}
