package store

import (
	"cmp"
	"maps"
	"slices"
	"sort"

	"rollcall/protocol"
	"rollcall/server/delivery"
)

// With returns the content after change, with nothing of c changed: what Load returns after Apply of the same. Both
// share what did not change, so neither may be changed in place.
func (c *Content) With(change *Change) *Content {
	n := *c
	if change.Tenant != nil {
		n.Tenant = *change.Tenant
	}
	if change.Campaign != nil {
		n.Campaign = *change.Campaign
	}
	if change.Restored != nil {
		n.Restored = *change.Restored
	}
	if change.Clock != nil {
		n.Clock = *change.Clock
	}
	if change.Settings != nil {
		n.Settings = *change.Settings
	}
	n.Users = merge(c.Users, change.Users, func(a, b *User) int { return cmp.Compare(a.ID, b.ID) })
	n.Profiles = merge(c.Profiles, change.Profiles, func(a, b *Profile) int { return cmp.Compare(a.Number, b.Number) })
	n.Assignments = merge(c.Assignments, change.Assign, compareAssignments)
	if len(change.Unassign) > 0 {
		n.Assignments = slices.DeleteFunc(slices.Clone(n.Assignments), func(a Assignment) bool { return slices.Contains(change.Unassign, a) })
	}
	if p := change.Push; p != nil {
		n.Push = slices.DeleteFunc(slices.Clone(c.Push), func(q PushCertificate) bool { return q.Slot == p.Slot && q.NotBefore == p.NotBefore })
		n.Push = append(n.Push, *p)
		slices.SortStableFunc(n.Push, func(a, b PushCertificate) int {
			return cmp.Or(cmp.Compare(a.Slot, b.Slot), cmp.Compare(b.UploadedAt, a.UploadedAt), cmp.Compare(b.NotBefore, a.NotBefore))
		})
	}
	n.Consents = merge(c.Consents, change.Consents, func(a, b *Consent) int { return cmp.Compare(a.Service, b.Service) })
	n.Serials = merge(c.Serials, change.Serials, func(a, b *Serial) int { return cmp.Compare(a.Serial, b.Serial) })
	n.Tokens = merge(c.Tokens, change.Tokens, func(a, b *Token) int { return cmp.Compare(a.Name, b.Name) })
	n.Packages = merge(c.Packages, change.Packages, func(a, b *Package) int { return cmp.Compare(a.Name, b.Name) })
	n.Admissions = merge(c.Admissions, change.Admit, compareAdmissions)
	n.Secrets = maps.Clone(c.Secrets)
	if n.Secrets == nil {
		n.Secrets = make(map[string][]byte)
	}
	maps.Copy(n.Secrets, change.Secrets)
	return &n
}

func compareAssignments(a, b *Assignment) int {
	return cmp.Or(cmp.Compare(a.Profile, b.Profile), cmp.Compare(a.Group, b.Group), cmp.Compare(a.Authority, b.Authority))
}

func compareAdmissions(a, b *Admission) int {
	return cmp.Or(cmp.Compare(a.Package, b.Package), cmp.Compare(a.Hardware, b.Hardware))
}

// PackageOf returns the package with this certificate; nil: there is none.
func (c *Content) PackageOf(f delivery.Fingerprint) *Package {
	for i := range c.Packages {
		if c.Packages[i].Certificate == f {
			return &c.Packages[i]
		}
	}
	return nil
}

// Admitted are the machines that a package admitted, by Hardware.
func (c *Content) Admitted(name string) []Admission {
	from := sort.Search(len(c.Admissions), func(i int) bool { return c.Admissions[i].Package >= name })
	to := sort.Search(len(c.Admissions), func(i int) bool { return c.Admissions[i].Package > name })
	return c.Admissions[from:to]
}

// merge returns have with the elements of add, in order; one that compares equal is replaced.
func merge[T any](have, add []T, compare func(a, b *T) int) []T {
	if len(add) == 0 {
		return have
	}
	out := append(make([]T, 0, len(have)+len(add)), have...)
	for i := range add {
		k := len(out) // mostly it is after all of them
		if k > 0 && compare(&out[k-1], &add[i]) >= 0 {
			k = sort.Search(k, func(k int) bool { return compare(&out[k], &add[i]) >= 0 })
		}
		if k < len(out) && compare(&out[k], &add[i]) == 0 {
			out[k] = add[i]
		} else {
			out = slices.Insert(out, k, add[i])
		}
	}
	return out
}

// Relicenses tells whether change does nothing but give existing users other licences.
func (c *Content) Relicenses(change *Change) bool {
	for i := range change.Users {
		u := &change.Users[i]
		was := c.User(u.ID)
		if was == nil || u.UPN != was.UPN || u.Name != was.Name || u.Removed != was.Removed || !slices.Equal(u.Groups, was.Groups) {
			return false
		}
	}
	return len(change.Users) > 0 && change.Tenant == nil && change.Campaign == nil && change.Restored == nil && change.Clock == nil && change.Settings == nil &&
		change.Push == nil && len(change.Profiles)+len(change.Assign)+len(change.Unassign)+len(change.Consents)+len(change.Serials)+len(change.Tokens)+len(change.Packages)+len(change.Admit)+len(change.Secrets) == 0
}

// relicense is With of a change that only relicenses, in place.
func (c *Content) relicense(change *Change) {
	for i := range change.Users {
		c.User(change.Users[i].ID).User = change.Users[i].User
	}
}

// User returns a user; nil: there is none.
func (c *Content) User(id delivery.UserID) *User {
	k := int(id) - 1
	if k < 0 || k >= len(c.Users) || c.Users[k].ID != id {
		return nil
	}
	return &c.Users[k]
}

// Newest returns the newest version of a's profile called name that is not removed; nil: there is none.
func (c *Content) Newest(a protocol.Authority, name string) *Profile {
	for i := len(c.Profiles) - 1; i >= 0; i-- {
		if p := &c.Profiles[i]; p.Name == name && p.Authority == a {
			if p.Removed {
				return nil
			}
			return p
		}
	}
	return nil
}

// Slot returns the certificate in use in an authority's slot; nil: there is none.
func (c *Content) Slot(a protocol.Authority) *PushCertificate {
	for i := range c.Push {
		if c.Push[i].Slot == a {
			return &c.Push[i]
		}
	}
	return nil
}

// Latest returns the certificate that was uploaded last, whatever its slot: the one that enrolled Apple devices know; nil:
// there is none.
func (c *Content) Latest() (latest *PushCertificate) {
	for i := range c.Push {
		if p := &c.Push[i]; latest == nil || p.UploadedAt > latest.UploadedAt || p.UploadedAt == latest.UploadedAt && p.Slot == c.Tenant.Slot() {
			latest = p
		}
	}
	return latest
}
