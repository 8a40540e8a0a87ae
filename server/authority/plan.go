package authority

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"hash/fnv"
	"iter"
	"slices"

	"rollcall/protocol"
)

// A Preview is what a change does to all devices: what is true right after it, before any check-in.
type Preview struct {
	// ID names what was previewed: the change, and of each device who manages it before and after, by which rule, what holds
	// it, which profiles are meant for it and what becomes of those that it has.
	// The same world gives the same ID; whoever confirms the change names it.
	ID string

	Enrolled, Pending, Stale, Blocked, Stranded, NeedsSupport, MustEnrol, Unlicensed, Leaving int

	NewlyPending       int // of the pending ones, those that were not before the change
	WouldMove          int // pending, not stranded, not leaving; and those that support has ordered to (AUTH-18)
	WouldMoveReachable int // of these, in contact within 90 days
	WouldMoveBlocked   int // of these, held by the push certificate
	ReachableBlocked   int // of these, both
	WouldStay          int // all others that do not leave
	Prompts            int // users' devices that may ask to sign in to mail again (AUTH-37)
	Unprotected        int // devices that lose all and get nothing (AUTH-23)

	By       [len(Reasons) + 1]int // stranded by Reason
	Groups   []Group
	Profiles []ProfileGroup
	Misnamed []Misnamed
	Need     Need
}

// A Group is the devices that one rule treats alike.
type Group struct {
	Fate     Fate
	From, To protocol.Authority // registered, and who should manage it after the change
	Before   protocol.Rule      // that decided before the change
	Rule     protocol.Rule      // and decides after it
	Stranded Reason

	Devices, Reachable, Blocked, Stale, MustEnrol, Unlicensed, Unsure int
	Platforms                                                         [len(protocol.Platforms) + 1]int // by Platform
}

// A ProfileGroup counts profiles on devices to which the change does the same.
type ProfileGroup struct {
	Fall
	Family protocol.Family
	Count  int
}

// Misnamed counts devices on which an old profile stays beside a new one that would overwrite it, had it the same name and
// the same family (AUTH-26).
type Misnamed struct {
	Old, New Profile // name and family only
	Devices  int
}

// Need compares the users whose devices stay with BMS to the licence units that would move them (AUTH-09).
type Need struct {
	Users    int // who would need a unit
	PlansOff int // who only need a plan switched on
	Units    Units
	Short    int // units to buy
}

// Plan says what the scene does to devices, and calls each, unless it is nil, for every one of them: the pointers are valid
// during the call only. A device that no authority has registered yet is no part of it. The same code answers a preview
// and makes the change (AUTH-35, I10).
func Plan(s *Scene, devices iter.Seq[*Subject], each func(*Subject, *Judgement)) Preview {
	p := planner{s: s, hash: sha256.New(), fall: fnv.New64a(), groups: map[groupKey]*Group{}, profiles: map[profileKey]int{}, misnamed: map[misnamedKey]int{}}
	p.begin()
	for c := range devices {
		if c.Registered == protocol.Unknown {
			continue
		}
		j := s.Judge(c)
		p.count(c, &j)
		if each != nil {
			each(c, &j)
		}
	}
	return p.end()
}

type groupKey struct {
	fate         Fate
	from, to     protocol.Authority
	before, rule protocol.Rule
	stranded     Reason
}

type profileKey struct {
	Fall
	family protocol.Family
}

type misnamedKey struct {
	was, is             string
	wasFamily, isFamily protocol.Family
}

type planner struct {
	s        *Scene
	out      Preview
	hash     hash.Hash
	fall     hash.Hash64
	buf      []byte
	groups   map[groupKey]*Group
	profiles map[profileKey]int
	misnamed map[misnamedKey]int
	seen     []uint8 // by Owner: counted in Need
}

// begin names the change itself. Its moment is not part of that: the same change a minute later is the same.
func (p *planner) begin() {
	for _, t := range []*Tenant{&p.s.Before, &p.s.After} {
		p.buf = append(p.buf, byte(t.Authority), flag(t.coexists()), flag(t.AcceptUserless))
		p.buf = binary.LittleEndian.AppendUint32(p.buf, t.Epoch)
		p.buf = binary.LittleEndian.AppendUint64(p.buf, uint64(t.Kept))
	}
	p.buf = append(p.buf, flag(p.s.Push.Gap))
	for _, x := range protocol.Platforms {
		p.buf = append(p.buf, flag(p.s.Push.Settings.Covers(x)))
	}
	if u := &p.s.Units; u.Known {
		p.buf = binary.LittleEndian.AppendUint64(p.buf, uint64(u.Owned))
		p.buf = binary.LittleEndian.AppendUint64(p.buf, uint64(u.Free))
	}
	p.hash.Write(p.buf)
}

func flag(b bool) byte {
	if b {
		return 1
	}
	return 0
}

func (p *planner) count(c *Subject, j *Judgement) {
	o := &p.out
	p.falls(c, j)
	p.name(c, j)
	o.Enrolled++
	for _, x := range [...]struct {
		n  *int
		is bool
	}{
		{&o.Pending, j.Pending},
		{&o.NewlyPending, j.Pending && (c.Was == nil || j.Before.Authority == protocol.Unknown || j.Before.Authority == c.Registered)},
		{&o.Stale, j.Stale},
		{&o.Blocked, j.Blocked != ""},
		{&o.Stranded, j.Stranded != NotStranded},
		{&o.NeedsSupport, j.NeedsSupport},
		{&o.MustEnrol, j.MustEnrol},
		{&o.Unlicensed, j.After.Unlicensed},
		{&o.Leaving, j.Leaving},
		{&o.WouldMove, j.Fate == Moves},
		{&o.WouldMoveReachable, j.Fate == Moves && j.Reachable},
		{&o.WouldMoveBlocked, j.Fate == Moves && j.Blocked != ""},
		{&o.ReachableBlocked, j.Fate == Moves && j.Reachable && j.Blocked != ""},
		{&o.WouldStay, j.Fate == Stays || j.Fate == Strands},
		{&o.Prompts, j.Prompt},
		{&o.Unprotected, j.Unprotected},
	} {
		if x.is {
			*x.n++
		}
	}
	if j.Stranded != NotStranded {
		o.By[j.Stranded]++
	}
	p.group(c, j)
	p.need(c)
}

// falls counts what becomes of c's profiles, and has j.Falls stand for it, whatever their order: the sum of FNV-1a over the
// names of those that are meant for the device, and of those that do not stay on it, and how they come and go. Until when is
// not part of it, for that follows from the moment of the change.
func (p *planner) falls(c *Subject, j *Judgement) {
	add := func(x *Profile, f Fall) {
		p.buf = append(append(append(p.buf[:0], x.Name...), 0, byte(x.Family), byte(x.Authority), byte(f.Effect)), f.Rule...)
		p.fall.Reset()
		p.fall.Write(p.buf)
		j.Falls += p.fall.Sum64()
		if f.Effect != Keeps {
			p.profiles[profileKey{f, x.Family}]++
			j.Settings++
		}
	}
	for i := range c.Gets {
		add(&c.Gets[i], p.s.Gain(c, j, c.Gets[i]))
	}
	for i := range c.Has {
		f := p.s.Fall(c, j, c.Has[i])
		if f.Effect == Keeps {
			continue
		}
		add(&c.Has[i], f)
		if f.Effect == Redundant {
			p.beside(c, &c.Has[i])
		}
	}
}

// beside counts what is meant for the device and does not overwrite old, for want of one of its name and its family.
func (p *planner) beside(c *Subject, old *Profile) {
	for i := range c.Gets {
		g := &c.Gets[i]
		if g.Name == old.Name || g.Family == old.Family && g.Family != protocol.NoFamily {
			p.misnamed[misnamedKey{old.Name, g.Name, old.Family, g.Family}]++
		}
	}
}

// name adds to the identity what a confirmation must find again.
func (p *planner) name(c *Subject, j *Judgement) {
	p.buf = binary.LittleEndian.AppendUint32(p.buf[:0], uint32(c.Number))
	p.buf = append(p.buf, byte(c.Registered), byte(j.After.Authority), flag(j.Pending), flag(j.Stale), byte(j.Stranded), byte(j.Fate), flag(j.After.Unlicensed), flag(j.MustEnrol),
		flag(j.Reachable), flag(j.Prompt), flag(j.Unprotected), flag(c.PlanOff), flag(c.Unsure))
	p.buf = binary.LittleEndian.AppendUint64(p.buf, j.Falls)
	p.buf = append(append(append(p.buf, j.Before.Rule...), '/'), j.After.Rule...)
	p.buf = append(append(append(p.buf, '/'), j.Blocked...), '\n')
	p.hash.Write(p.buf)
}

func (p *planner) group(c *Subject, j *Judgement) {
	key := groupKey{j.Fate, c.Registered, j.After.Authority, j.Before.Rule, j.After.Rule, j.Stranded}
	g := p.groups[key]
	if g == nil {
		g = &Group{Fate: key.fate, From: key.from, To: key.to, Before: key.before, Rule: key.rule, Stranded: key.stranded}
		p.groups[key] = g
	}
	g.Devices++
	g.Platforms[c.Platform]++
	for _, x := range [...]struct {
		n  *int
		is bool
	}{
		{&g.Reachable, j.Reachable},
		{&g.Blocked, j.Blocked != ""},
		{&g.Stale, j.Stale},
		{&g.MustEnrol, j.MustEnrol},
		{&g.Unlicensed, j.After.Unlicensed},
		{&g.Unsure, c.Unsure},
	} {
		if x.is {
			*x.n++
		}
	}
}

// need counts each user with a device under BMS once.
func (p *planner) need(c *Subject) {
	if c.Is == nil || c.Registered != protocol.Office365 || c.Is.IntuneLicence || c.Is.CoManaged || c.Unsure || p.s.After.alone() {
		return
	}
	for int(c.Owner) >= len(p.seen) {
		p.seen = append(p.seen, make([]uint8, max(64, len(p.seen)))...)
	}
	if p.seen[c.Owner] != 0 {
		return
	}
	p.seen[c.Owner] = 1
	if c.PlanOff {
		p.out.Need.PlansOff++
	} else {
		p.out.Need.Users++
	}
}

func (p *planner) end() Preview {
	o := &p.out
	o.ID = hex.EncodeToString(p.hash.Sum(nil)[:12])
	o.Need.Units = p.s.Units
	o.Need.Short = max(0, o.Need.Users-p.s.Units.Free)
	for _, g := range p.groups {
		o.Groups = append(o.Groups, *g)
	}
	slices.SortFunc(o.Groups, func(a, b Group) int {
		return cmp.Or(cmp.Compare(a.Fate, b.Fate), cmp.Compare(a.Stranded, b.Stranded), cmp.Compare(a.To, b.To), cmp.Compare(a.From, b.From),
			cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Before, b.Before))
	})
	for k, n := range p.profiles {
		o.Profiles = append(o.Profiles, ProfileGroup{Fall: k.Fall, Family: k.family, Count: n})
	}
	slices.SortFunc(o.Profiles, func(a, b ProfileGroup) int {
		return cmp.Or(cmp.Compare(a.Effect, b.Effect), cmp.Compare(a.Family, b.Family), cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Until, b.Until))
	})
	for k, n := range p.misnamed {
		o.Misnamed = append(o.Misnamed, Misnamed{Profile{Name: k.was, Family: k.wasFamily}, Profile{Name: k.is, Family: k.isFamily}, n})
	}
	slices.SortFunc(o.Misnamed, func(a, b Misnamed) int {
		return cmp.Or(cmp.Compare(a.Old.Name, b.Old.Name), cmp.Compare(a.New.Name, b.New.Name), cmp.Compare(a.Old.Family, b.Old.Family), cmp.Compare(a.New.Family, b.New.Family))
	})
	return *o
}
