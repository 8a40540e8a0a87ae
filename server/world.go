package server

import (
	"cmp"
	"hash/fnv"
	"slices"
	"strings"

	"rollcall/protocol"
	"rollcall/server/authority"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

// A snapshot is what administrators decided, and what decisions read of it. It never changes; a change makes another one.
type snapshot struct {
	content *store.Content
	world   *delivery.World
	users   map[string]delivery.UserID // by UPN in lower case
}

func newSnapshot(c *store.Content) *snapshot {
	s := &snapshot{content: c, users: make(map[string]delivery.UserID, len(c.Users))}
	for i := range c.Users {
		s.users[strings.ToLower(c.Users[i].UPN)] = c.Users[i].ID
	}
	s.world = newWorld(c)
	return s
}

// slotOf is the authority whose push certificate the tenant's Apple devices are woken with: each has a slot of its own.
func slotOf(t authority.Tenant) protocol.Authority {
	if t.Authority == protocol.Office365 && t.Coexistence {
		return protocol.Intune
	}
	return t.Authority
}

func newWorld(c *store.Content) *delivery.World {
	w := &delivery.World{Tenant: c.Tenant, Settings: c.Settings, Profiles: make([]delivery.Profile, 1), Sets: make([]delivery.Set, 1)}
	if cert := c.Slot(slotOf(c.Tenant)); cert != nil {
		w.Push = delivery.PushSlot{Topic: cert.Topic, NotAfter: cert.NotAfter, Suspended: cert.Suspended}
	}
	newest := map[string]protocol.Profile{}
	for i := range c.Profiles { // by number
		p := &c.Profiles[i]
		for int(p.Number) >= len(w.Profiles) {
			w.Profiles = append(w.Profiles, delivery.Profile{})
		}
		w.Profiles[p.Number] = delivery.Profile{Name: p.Name, Family: p.Family, Identifier: p.Identifier, Payload: p.Payload}
		newest[p.Name] = p.Number // nothing assigns one that is removed
	}
	byGroup := map[string][]protocol.Profile{}
	for _, a := range c.Assignments {
		if p := newest[a.Profile]; p != 0 {
			byGroup[a.Group] = append(byGroup[a.Group], p)
		}
	}

	last := delivery.UserID(0)
	if n := len(c.Users); n > 0 {
		last = c.Users[n-1].ID
	}
	w.Users = make([]delivery.User, last+1)
	sets := map[string]uint32{"": 0} // by the names of the groups
	same := map[uint32]uint32{0: 0}  // by version
	for i := range c.Users {
		u := &c.Users[i]
		groups := strings.Join(u.Groups, "\x00")
		n, known := sets[groups]
		if !known {
			set := setOf(u.Groups, byGroup)
			if n, known = same[set.Version]; !known {
				n = uint32(len(w.Sets))
				w.Sets = append(w.Sets, set)
				same[set.Version] = n
			}
			sets[groups] = n
		}
		w.Users[u.ID] = delivery.User{User: u.User, Set: n}
	}
	return w
}

// setOf is the set of the users in these groups. Its version is a hash of its profiles, so that it is the same after a
// restart.
func setOf(groups []string, byGroup map[string][]protocol.Profile) (s delivery.Set) {
	for _, g := range groups {
		s.Profiles = append(s.Profiles, byGroup[g]...)
	}
	slices.Sort(s.Profiles)
	s.Profiles = slices.Compact(s.Profiles)
	if len(s.Profiles) == 0 {
		return delivery.Set{}
	}
	h := fnv.New32a()
	for _, p := range s.Profiles {
		h.Write([]byte{byte(p), byte(p >> 8), byte(p >> 16), byte(p >> 24)})
	}
	s.Version = h.Sum32()
	if s.Version == 0 || s.Version >= delivery.Unfinished { // these mean something else
		s.Version = 1
	}
	return s
}

// changedSets tells whose profiles differ between two worlds, by UserID; nil: nobody's.
func changedSets(old, new *delivery.World) (changed []bool) {
	for u := 1; u < min(len(old.Users), len(new.Users)); u++ {
		if old.Sets[old.Users[u].Set].Version == new.Sets[new.Users[u].Set].Version {
			continue
		}
		if changed == nil {
			changed = make([]bool, len(new.Users))
		}
		changed[u] = true
	}
	return changed
}

// UserByUPN finds a user; false: there is none.
func (s *Server) UserByUPN(upn string) (store.User, bool) {
	snap := s.snap.Load()
	id, ok := snap.users[strings.ToLower(upn)]
	if !ok {
		return store.User{}, false
	}
	i, ok := slices.BinarySearchFunc(snap.content.Users, id, func(u store.User, id delivery.UserID) int { return cmp.Compare(u.ID, id) })
	if !ok {
		return store.User{}, false
	}
	return snap.content.Users[i], true
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
