package server

import (
	"context"

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
	Families []protocol.Family // of which nothing is assigned
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
	found := make([]Finding, len(w.Users))
	err := s.eachRecord(ctx, func(r *store.Record) {
		st := &r.State
		if st.Life != delivery.Enrolled || w.User(st.User) == nil {
			return
		}
		f := &found[st.User]
		if f.Devices++; f.Devices == 1 {
			to, _, _ := w.Target(st)
			f.Families = missing(w, w.SetOf(st), to.Authority)
		}
	})
	if err != nil {
		return nil, err
	}
	var out []Finding
	for i := range after.Users {
		u := &after.Users[i]
		f := &found[u.ID]
		if len(f.Families) > 0 {
			f.User, f.UPN, f.Since = u.ID, u.UPN, since
			out = append(out, *f)
		}
	}
	return out, nil
}

// missing are the families of which a set has nothing, of those that a offers.
func missing(w *delivery.World, set int, a protocol.Authority) (out []protocol.Family) {
	for _, f := range protocol.Families {
		has := a == protocol.Office365 && f != protocol.Email && f != protocol.Configuration
		for _, p := range w.Sets[set].Profiles {
			has = has || w.Profiles[p].Family == f
		}
		if !has {
			out = append(out, f)
		}
	}
	return out
}

// A Mismatch is a device that is not where it is expected, or not yet in this epoch (AUTH-39).
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
	Outstanding []Mismatch // pending and stale devices by number; the first thousand
}

// Verify compares what resolves with what the portals list (AUTH-39).
func (s *Server) Verify(ctx context.Context, _ protocol.Time) (*Verification, error) {
	w := s.World()
	v := &Verification{Epoch: w.Tenant.Epoch, Expected: map[protocol.Authority]int{}, Listed: map[protocol.Authority]int{}}
	err := s.eachRecord(ctx, func(r *store.Record) {
		st := &r.State
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
		if (pending || stale) && len(v.Outstanding) < maxMismatches {
			v.Outstanding = append(v.Outstanding, Mismatch{st.Device, to.Authority, st.Registered, st.Epoch, to.Rule})
		}
	})
	return v, err
}
