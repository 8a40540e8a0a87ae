package authority

import (
	"time"

	"rollcall/protocol"
)

// A Scene is a change, or none, as far as it is the same for all devices. Before and After are the same tenant where only
// licences, certificates or profiles change, or nothing does: then it shows what the next check-ins do.
type Scene struct {
	Before, After Tenant
	Now           protocol.Time
	Push          Push // after the change
	Leaving       LeavingSettings
	Units         Units
}

// Units are the licences that entitle Intune (AUTH-09).
type Units struct {
	Known bool
	Owned int
	Free  int // not assigned to anybody after the change; negative: more are assigned than owned
}

// A Subject is one enrolled device with its user, before and after a change.
type Subject struct {
	Device
	Number protocol.Device // names it in the preview's identity
	Owner  uint32          // the user's number, counted once in Need; 0: userless
	Was    *User           // the user before the change; nil: userless
	Is     *User           // and after it
	Epoch  uint32          // in which it registered

	CertEnd    protocol.Time // end of its identity; 0: not known
	Revoked    bool          // its identity was
	OtherTopic bool          // its pushes have another topic than the push certificate after the change (AUTH-32)
	Away       bool          // off line beyond the horizon
	Supported  bool          // support has ordered it, a userless one, to move (AUTH-18)
	Leaving    bool          // a retire, wipe or delete is pending (AUTH-53)
	Contact    protocol.Time // the latest; 0: not known

	PlanOff bool // the user has a licence whose Intune plan only needs to be switched on
	Unsure  bool // the user's licences are not known

	Has      []Profile // on the device
	Failed   []Profile // meant for it, and given up: the device refused them
	Gets     []Profile // meant for it after the change; nil too if not Assigned
	Assigned bool      // Gets is known
}

// A Reason is why a device that should move never will by itself.
type Reason uint8

// The reasons, in the order in which the first that holds counts.
const (
	NotStranded Reason = iota
	Expired
	Revoked
	TopicChanged
	Userless
	Offline
)

var reasonNames = [...]string{"", "certificate_expired", "certificate_revoked", "topic_changed", "userless", "offline"}

// Reasons lists them.
var Reasons = [...]Reason{Expired, Revoked, TopicChanged, Userless, Offline}

func (r Reason) String() string { return reasonNames[r%Reason(len(reasonNames))] }

// A Fate is what a device will do, the first that holds.
type Fate uint8

// The fates.
const (
	Goes    Fate = iota // a retire, wipe or delete is pending, whatever else holds
	Moves               // at its next completed check-in, which a push certificate may hold up
	Strands             // should move, and never will by itself
	Stays               // where it is registered
)

var fateNames = [...]string{"leaves", "moves", "stranded", "stays"}

func (f Fate) String() string { return fateNames[f%Fate(len(fateNames))] }

// Judgement is what is true of one device right after a change, before any check-in, in the Words of authority.md.
type Judgement struct {
	Before, After Resolution // who should manage it

	Pending, Stale bool
	Blocked        protocol.Rule // AUTH-30 or AUTH-33; empty: not
	Stranded       Reason
	NeedsSupport   bool
	MustEnrol      bool
	Leaving        bool
	Reachable      bool // in contact within 90 days, or that is not known
	Fate           Fate
	Prompt         bool // moves, and its user may be asked to sign in to mail again (AUTH-37)
	Unprotected    bool // loses its profiles, and nothing is assigned in their place (AUTH-23)

	// Only [Plan] says these.
	Settings int    // profiles that come, go, or are replaced
	Falls    uint64 // stands for what becomes of its profiles
}

// silent is how long a device may be so and still count as reachable.
const silent = 90 * 24 * time.Hour

// anybody is a user who resolves wherever the tenant lets one (the Words: needs support).
var anybody = User{IntuneLicence: true, BasicLicence: true}

// Judge says what is true of c's device right after the change. It does not allocate.
func (s *Scene) Judge(c *Subject) Judgement {
	j := Judgement{
		Before: c.resolve(&s.Before, c.Was), After: c.resolve(&s.After, c.Is),
		Leaving:   c.Leaving,
		Reachable: c.Contact == 0 || s.Now.Sub(c.Contact) <= silent,
	}
	expired := c.CertEnd != 0 && c.CertEnd < s.Now
	j.MustEnrol = expired || c.Revoked
	j.Pending = c.Is != nil && j.After.Authority != protocol.Unknown && j.After.Authority != c.Registered
	j.Stale = c.Is != nil && j.After.Authority == c.Registered && c.Epoch < s.After.Epoch
	ordered := c.Is == nil && c.Supported && s.elsewhere(c) // never pending, in the Words, and it moves
	if j.Pending || j.Stale || ordered {
		j.Blocked = s.Push.held(s.Now, c.Platform)
	}
	topic := c.Platform.Apple() && (c.OtherTopic || s.Push.Lost(s.Now))
	if j.Pending || topic || c.Is == nil && s.elsewhere(c) {
		j.Stranded = c.stranded(expired, topic)
	}
	j.NeedsSupport = j.Stranded == Userless
	switch {
	case c.Leaving:
		j.Fate = Goes
	case (j.Pending || ordered) && j.Stranded == NotStranded:
		j.Fate = Moves
	case j.Stranded != NotStranded:
		j.Fate = Strands
	default:
		j.Fate = Stays
	}
	if j.Fate == Moves {
		s.loses(c, &j)
	}
	return j
}

// resolve says who should manage c's device. Support has a userless one managed like a user's (AUTH-18).
func (c *Subject) resolve(t *Tenant, u *User) Resolution {
	if u == nil && c.Supported {
		if to := Resolve(*t, &anybody, c.Device).Authority; to != protocol.Unknown {
			return Resolution{Authority: to, Rule: protocol.RuleUserless}
		}
	}
	return Resolve(*t, u, c.Device)
}

// elsewhere tells whether a user's device, in coexistence an entitled user's, would resolve otherwise than c's userless one
// is registered.
func (s *Scene) elsewhere(c *Subject) bool {
	to := Resolve(s.After, &anybody, c.Device).Authority
	return to != protocol.Unknown && to != c.Registered
}

func (c *Subject) stranded(expired, topic bool) Reason {
	switch {
	case expired:
		return Expired
	case c.Revoked:
		return Revoked
	case topic:
		return TopicChanged
	case c.Is == nil && !c.Supported:
		return Userless
	case c.Away:
		return Offline
	}
	return NotStranded
}

// loses looks at the profiles of a device that moves.
func (s *Scene) loses(c *Subject, j *Judgement) {
	for i := range c.Has {
		p := &c.Has[i]
		if p.Family == protocol.Email && p.Authority == protocol.Office365 && j.After.Authority == protocol.Intune {
			j.Prompt = true
		}
		if c.Assigned && len(c.Gets) == 0 && s.Fall(c, j, *p).Effect == Removed {
			j.Unprotected = true
		}
	}
}
