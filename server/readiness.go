package server

import (
	"context"
	"fmt"

	"rollcall/protocol"
	"rollcall/server/authority"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

// A Finding of the readiness check is one user with enrolled devices to whom nothing of some families is assigned (AUTH-38).
type Finding struct {
	User     delivery.UserID
	UPN      string
	Devices  int
	Families []protocol.Family // of which nothing is assigned, for one of these devices or more
	Since    protocol.Time     // the change after which it is late, counted from here; 0: "assign before" it
}

// Readiness lists the users with enrolled devices who lack assignments under the authority that their devices would have
// after change, by UserID; a zero change: under the present one, and then it is late (AUTH-38). Families that the authority
// does not offer are not asked for (AUTH-46).
func (s *Server) Readiness(ctx context.Context, now protocol.Time, change authority.Change) ([]Finding, error) {
	content := s.Content()
	after := content
	since := content.Tenant.ChangedAt
	if change != (authority.Change{}) {
		change.At = now
		next, no := authority.Transition(content.Tenant, change, authority.Facts{})
		if no != nil {
			return nil, no
		}
		after = content.With(&store.Change{Tenant: &next})
		since = 0
	}
	w := newWorld(after)
	found := make([]struct {
		devices  int
		families familySet
	}, len(w.Users))
	err := s.store.States(ctx, func(st *delivery.State) {
		if st.Life != delivery.Enrolled || w.User(st.User) == nil {
			return
		}
		to, _, _ := w.Target(st)
		f := &found[st.User]
		f.devices++
		f.families |= missing(w, w.SetOf(st), to.Authority)
	})
	if err != nil {
		return nil, err
	}
	var out []Finding
	for i := range after.Users {
		u := &after.Users[i]
		f := &found[u.ID]
		if f.families != 0 {
			out = append(out, Finding{u.ID, u.UPN, f.devices, f.families.list(), since})
		}
	}
	return out, nil
}

// late says, of a change of profiles, of which families it assigns something to users with devices who had nothing of them since
// the tenant's authority changed: the clock that the change started ends there (AUTH-38).
func (s *Server) late(ctx context.Context, now protocol.Time, before, after *store.Content) (lines []delivery.Effect, err error) {
	t := &before.Tenant
	if t.Epoch <= 1 || now <= t.ChangedAt {
		return nil, nil
	}
	was, is := newWorld(before), newWorld(after)
	if changedUsers(was, is) == nil {
		return nil, nil
	}
	type user struct{ before, still familySet } // of which nothing is assigned
	of := make([]user, len(is.Users))
	err = s.store.States(ctx, func(st *delivery.State) {
		if st.Life != delivery.Enrolled || is.User(st.User) == nil {
			return
		}
		to, _, _ := was.Target(st)
		u := &of[st.User]
		u.before |= missing(was, was.SetOf(st), to.Authority)
		u.still |= missing(is, is.SetOf(st), to.Authority)
	})
	var users [len(protocol.Families) + 1]int // by family
	for _, u := range of {
		for _, f := range (u.before &^ u.still).list() {
			users[f]++
		}
	}
	for _, f := range protocol.Families {
		if n := users[f]; n > 0 {
			hours := now.Sub(t.ChangedAt).Hours()
			lines = append(lines, line(delivery.WhatAssignedLate, "AUTH-38", fmt.Sprintf("%s for %d users, assigned %.1f hours late", f, n, hours))...)
		}
	}
	return lines, err
}

// A familySet is profile families, a bit for each.
type familySet uint8

func (s familySet) list() (out []protocol.Family) {
	for _, f := range protocol.Families {
		if s>>f&1 != 0 {
			out = append(out, f)
		}
	}
	return out
}

// missing are the families of which a set has nothing, of those that a offers.
func missing(w *delivery.World, set int, a protocol.Authority) (out familySet) {
	for _, f := range protocol.Families {
		has := a == protocol.Office365 && f != protocol.Email && f != protocol.Configuration
		for _, p := range w.Sets[set].Profiles {
			has = has || w.Profiles[p].Family == f
		}
		if !has {
			out |= 1 << f
		}
	}
	return out
}

// A Mismatch is a device that is not where it is expected, not yet in this epoch (AUTH-39), or stranded by another topic of the
// push certificate (AUTH-32), whose rule comes first.
type Mismatch struct {
	Device     protocol.Device
	Expected   protocol.Authority
	Registered protocol.Authority
	Epoch      uint32 // in which it registered
	Rule       protocol.Rule
}

// maxMismatches bounds a verification's list.
const maxMismatches = 1000

// A Verification compares expected and listed devices (AUTH-39).
type Verification struct {
	Epoch       uint32
	Expected    map[protocol.Authority]int // enrolled devices by the authority that resolves
	Listed      map[protocol.Authority]int // and by portal (AUTH-45)
	ThisEpoch   int                        // registered in the present epoch
	Pending     int
	Stale       int
	Stranded    int        // Apple devices that know another topic than the push certificate has (AUTH-32), pending or not
	Outstanding []Mismatch // pending, stale and stranded devices by number; the first thousand
}

// Verify compares what resolves with what the portals list (AUTH-39).
func (s *Server) Verify(ctx context.Context, now protocol.Time) (*Verification, error) {
	w := s.World()
	v := &Verification{Epoch: w.Tenant.Epoch, Expected: map[protocol.Authority]int{}, Listed: map[protocol.Authority]int{}}
	lost := (&authority.Push{Ends: w.Push.NotAfter, Grace: w.Settings.PushGrace}).Lost(now)
	err := s.store.States(ctx, func(st *delivery.State) {
		if st.Life != delivery.Enrolled {
			return
		}
		to, pending, stale := w.Target(st)
		pending = pending && st.User != 0 // a userless device is not; support moves it (AUTH-18)
		v.Expected[to.Authority]++
		v.Listed[st.Registered]++
		if st.Epoch == w.Tenant.Epoch {
			v.ThisEpoch++
		}
		if pending {
			v.Pending++
		}
		if stale {
			v.Stale++
		}
		stranded := st.Platform.Apple() && w.Push.Topic != "" && (lost || st.Push.Topic != w.Push.Topic)
		if stranded {
			v.Stranded++
			to.Rule = protocol.RuleOtherTopic
		}
		if (pending || stale || stranded) && len(v.Outstanding) < maxMismatches {
			v.Outstanding = append(v.Outstanding, Mismatch{st.Device, to.Authority, st.Registered, st.Epoch, to.Rule})
		}
	})
	return v, err
}
