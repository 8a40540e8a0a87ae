package server

import (
	"hash/fnv"
	"slices"
	"strings"

	"rollcall/protocol"
	"rollcall/server/authority"
	"rollcall/server/csp"
	"rollcall/server/delivery"
	"rollcall/server/policy"
	"rollcall/server/store"
)

// A snapshot is what administrators decided, and what decisions read of it. It never changes; a change makes another one.
type snapshot struct {
	content *store.Content
	world   *delivery.World
	users   map[string]delivery.UserID // by UPN in lower case
	nth     uint64                     // of this server's
}

// show has everybody see next from now on. The caller holds admin.
func (s *Server) show(next *snapshot) {
	next.nth = s.snap.Load().nth + 1
	s.snap.Store(next)
}

// Shown is the number of the present snapshot: as long as it is the same, so is the World.
func (s *Server) Shown() uint64 { return s.snap.Load().nth }

// newSnapshot makes the snapshot of c; was is that before, nil: there was none.
func newSnapshot(c *store.Content, was *snapshot) *snapshot {
	s := &snapshot{content: c, world: newWorld(c)}
	if was != nil && len(was.content.Users) == len(c.Users) && (len(c.Users) == 0 || &was.content.Users[0] == &c.Users[0]) { // the very same
		s.users = was.users
		return s
	}
	s.users = make(map[string]delivery.UserID, len(c.Users))
	for i := range c.Users {
		if !c.Users[i].Removed {
			s.users[strings.ToLower(c.Users[i].UPN)] = c.Users[i].ID
		}
	}
	return s
}

// owner is whose profiles a tenant's administrators make unless they say otherwise.
func owner(t authority.Tenant) protocol.Authority {
	if a := t.Slot(); a != protocol.Unknown {
		return a
	}
	return protocol.Intune
}

// inUse is the push certificate that wake-ups go out with; nil: there is none. In the gap it is the one of the authority
// before: whom the gap does not hold is woken with it (AUTH-30).
func inUse(c *store.Content) *store.PushCertificate {
	if c.Campaign.Gap != 0 {
		return c.Latest()
	}
	return c.Slot(c.Tenant.Slot())
}

func newWorld(c *store.Content) *delivery.World {
	w := &delivery.World{
		Tenant: c.Tenant, Settings: c.Settings, Gap: c.Campaign.Gap, Wakes: c.Campaign.Wakes, Restored: c.Restored,
		Profiles: make([]delivery.Profile, 1), Sets: make([]delivery.Set, 1),
	}
	if cert := inUse(c); cert != nil {
		w.Push = delivery.PushSlot{Topic: cert.Topic, NotAfter: cert.NotAfter, Suspended: cert.Suspended}
	}
	newest := map[store.Assignment]protocol.Profile{} // by name and authority
	for i := range c.Profiles {                       // by number
		p := &c.Profiles[i]
		for int(p.Number) >= len(w.Profiles) {
			w.Profiles = append(w.Profiles, delivery.Profile{})
		}
		w.Profiles[p.Number] = delivery.Profile{
			Name: p.Name, Family: p.Family, Authority: p.Authority, Identifier: p.Identifier, Payload: p.Payload,
			Windows: csp.IsDocument(p.Payload), UserScope: csp.UserScope(p.Family, p.Payload),
			Android: policy.IsDocument(p.Payload),
		}
		newest[store.Assignment{Profile: p.Name, Authority: p.Authority}] = p.Number // nothing assigns one that is removed
	}
	w.Missing = unconsented(c)
	byGroup := [len(delivery.User{}.Sets)]map[string][]protocol.Profile{}
	for i := range byGroup {
		byGroup[i] = map[string][]protocol.Profile{}
	}
	for _, a := range c.Assignments {
		if p := newest[store.Assignment{Profile: a.Profile, Authority: a.Authority}]; p != 0 {
			byGroup[a.Authority][a.Group] = append(byGroup[a.Authority][a.Group], p)
		}
	}

	last := delivery.UserID(0)
	if n := len(c.Users); n > 0 {
		last = c.Users[n-1].ID
	}
	w.Users = make([]delivery.User, last+1)
	type sets = [len(delivery.User{}.Sets)]uint32
	ofGroups := map[string]sets{"": {}} // by their names
	same := map[uint32]uint32{0: 0}     // by version
	known := func(set delivery.Set) uint32 {
		n, ok := same[set.Version]
		if !ok {
			n = uint32(len(w.Sets))
			w.Sets = append(w.Sets, set)
			same[set.Version] = n
		}
		return n
	}
	for i := range c.Users {
		u := &c.Users[i]
		groups := strings.Join(u.Groups, "\x00")
		s, ok := ofGroups[groups]
		if !ok {
			for a := range s {
				s[a] = known(setOf(u.Groups, byGroup[a]))
			}
			ofGroups[groups] = s
		}
		w.Users[u.ID] = delivery.User{User: u.User, Sets: s, Pilot: c.Settings.Pilots != "" && slices.Contains(u.Groups, c.Settings.Pilots)}
	}
	w.Licensed = holdsKnown(c)
	for i := 1; i < len(w.Sets); i++ { // parts are whole parts of themselves
		brings := func(on authority.Workloads) uint32 {
			return known(partOf(w, i, func(p *delivery.Profile) bool { return on.Brings(p.Family) }))
		}
		access, outside := brings(authority.ResourceAccess), brings(0)
		elsewhere := known(partOf(w, i, func(p *delivery.Profile) bool { return !p.Windows && !p.Android }))
		windows := known(partOf(w, i, func(p *delivery.Profile) bool { return !p.Android }))
		android := known(partOf(w, i, func(p *delivery.Profile) bool { return !p.Windows }))
		set := &w.Sets[i]
		set.Access, set.Outside, set.Mixed, set.Elsewhere = access, outside, elsewhere != uint32(i), elsewhere
		set.OnWindows, set.OnAndroid = windows, android
	}
	return w
}

// holdsKnown tells whether it is known who holds which licence.
func holdsKnown(c *store.Content) bool {
	return c.Settings.UnitsKnown || slices.ContainsFunc(c.Users, func(u store.User) bool { return u.IntuneLicence || u.BasicLicence })
}

// setOf is the set of the users in these groups. Its version is a hash of its profiles, so that it is the same after a
// restart.
func setOf(groups []string, byGroup map[string][]protocol.Profile) (s delivery.Set) {
	for _, g := range groups {
		s.Profiles = append(s.Profiles, byGroup[g]...)
	}
	slices.Sort(s.Profiles)
	return versioned(slices.Compact(s.Profiles))
}

// partOf is what of a set is picked: for a co-managed device what applies while Intune decides some workloads (AUTH-51), and for
// devices other than Windows' what is not for those alone.
func partOf(w *delivery.World, set int, pick func(*delivery.Profile) bool) delivery.Set {
	var part []protocol.Profile
	for _, p := range w.Sets[set].Profiles {
		if pick(&w.Profiles[p]) {
			part = append(part, p)
		}
	}
	return versioned(part)
}

func versioned(profiles []protocol.Profile) (s delivery.Set) {
	if len(profiles) == 0 {
		return delivery.Set{}
	}
	s.Profiles = profiles
	h := fnv.New32a()
	for _, p := range s.Profiles {
		h.Write([]byte{byte(p), byte(p >> 8), byte(p >> 16), byte(p >> 24)})
	}
	s.Version = h.Sum32()
	if s.Version == 0 || s.Version >= delivery.Leftover { // these mean something else
		s.Version = 1
	}
	return s
}

// changedUsers tells whose devices a change of the world concerns, by UserID; nil: nobody's: whose profiles differ, of the
// authority that the user's devices are with, or whose licences do, where those decide (AUTH-23, AUTH-24, AUTH-52).
func changedUsers(old, new *delivery.World) (changed []bool) {
	decide := new.Tenant.Authority == protocol.Office365 && new.Tenant.Coexistence
	for u := 1; u < min(len(old.Users), len(new.Users)); u++ {
		before, after := &old.Users[u], &new.Users[u]
		same := !decide || before.User == after.User
		for a := 0; a < len(before.Sets) && same; a++ {
			same = !inForce(&new.Tenant, protocol.Authority(a)) || old.Sets[before.Sets[a]].Version == new.Sets[after.Sets[a]].Version
		}
		if same {
			continue
		}
		if changed == nil {
			changed = make([]bool, len(new.Users))
		}
		changed[u] = true
	}
	return changed
}

// inForce tells whether devices of t may have a's profiles because those are assigned.
func inForce(t *authority.Tenant, a protocol.Authority) bool {
	return a == t.Slot() || a == t.Authority
}

// UserByUPN finds a user; false: there is none.
func (s *Server) UserByUPN(upn string) (store.User, bool) { return s.snap.Load().userByUPN(upn) }

func (s *snapshot) userByUPN(upn string) (store.User, bool) {
	id, ok := s.users[strings.ToLower(upn)]
	if !ok {
		return store.User{}, false
	}
	u := s.content.User(id)
	if u == nil {
		return store.User{}, false
	}
	return *u, true
}

// Serial finds a device that is assigned to the tenant; false: there is none.
func (s *Server) Serial(serial string) (store.Serial, bool) {
	all := s.Content().Serials
	i, ok := slices.BinarySearchFunc(all, serial, func(x store.Serial, serial string) int { return strings.Compare(x.Serial, serial) })
	if !ok {
		return store.Serial{}, false
	}
	return all[i], true
}
