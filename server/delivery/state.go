package delivery

import (
	"rollcall/protocol"
	"rollcall/server/authority"
)

// A Life is how far an enrolment has come.
type Life uint8

// The lives. An Enrolling device has said hello (Apple: Authenticate) and is managed by nobody yet; Ended keeps its record
// (AUTH-43). Deleted is an enrolment whose record the clean-up rule took from all lists, until the device is heard of again
// (AUTH-48).
const (
	NoLife Life = iota
	Enrolling
	Enrolled
	Ended
	Deleted
)

var lifeNames = [...]string{"none", "enrolling", "enrolled", "ended", "deleted"}

func (l Life) String() string {
	if int(l) < len(lifeNames) {
		return lifeNames[l]
	}
	return "invalid"
}

// A UserID is a user's number in the tenant's [World], 0 for none.
type UserID uint32

// A Fingerprint is the SHA-256 of a certificate's DER; the zero value is none.
type Fingerprint [32]byte

// State is all that decisions about one device need; one row of a store. Byte slices, the Queue and Profiles
// slices and Rare are never changed in place: a decision that changes one makes a new one.
type State struct {
	// What a steady round looks at stands together.

	Device     protocol.Device
	User       UserID // 0: userless
	Platform   protocol.Platform
	Life       Life
	Registered protocol.Authority  // who manages it; Unknown before the first completed check-in (I1)
	Automated  bool                // enrolled by ADE
	Awaiting   bool                // held in the setup assistant until Configured is acknowledged
	Support    bool                // it moves at its next completed check-in, though it is userless (AUTH-18)
	AndroidAPI bool                // managed through Android Management API (AUTH-46)
	CoManaged  bool                // Windows with Configuration Manager's client (AUTH-12)
	Workloads  authority.Workloads // that Intune decides, as the client told (AUTH-51)
	Told       bool                // it told Workloads; else the tenant's deciders count
	Epoch      uint32              // in which it registered (I2)
	Heard      uint32              // newest change of authority that it heard of (AUTH-27)
	Fresh      uint32              // epoch for which its profiles were ordered to come again (AUTH-21)
	Set        uint32              // version of the profile set that Profiles and Queue were last reconciled with, Unsettled or Unfinished
	Place      uint32              // in the steady cadence, of 2^32; follows from its ID and is not kept on disk

	EnrolledAt protocol.Time // when the first Ready of this enrolment was committed
	LastSeen   protocol.Time // last completed round; may lag on disk, never in memory
	Wake       Wake
	Pace       Pace     // not kept on disk
	Identity   Identity // the one in use
	Queue      []Queued // not yet answered for good, oldest first
	Push       Push

	Profiles []Assigned   // on the device or on their way, by Profile number
	Seq      uint64       // sequence number of the newest command
	Reports  ReportCounts // commands by how they ended

	RegisteredAt protocol.Time // when the registered authority took over
	EndedAt      protocol.Time // with Ended
	Before       Report        // its latest report before the newest change, kept at its first contact since (AUTH-29)
	Rare         *Rare         // nil: all of it is zero
}

// Rare is the part of a state that most devices have nothing in most of the time.
type Rare struct {
	Renewal Renewal
	Next    Identity // issued by a renewal and not used yet; zero: none
	Strays  Pace     // reports of unknown commands in the journal (HST-052); not kept on disk
	Unlock  []byte   // Apple's UnlockToken; nil: none
	Escrow  []byte   // Apple's bootstrap token; nil: none

	Replaced protocol.Time // EnrolledAt of the enrolment whose place this one took (HST-032); 0: none
}

// noRare is what a state without has. Nobody writes it.
var noRare Rare

// Read returns r to be read; r may be nil.
func (r *Rare) Read() *Rare {
	if r == nil {
		return &noRare
	}
	return r
}

// Kept returns r; nil where all of it is zero.
func (r *Rare) Kept() *Rare {
	if r == nil || r.Renewal == (Renewal{}) && r.Next == (Identity{}) && r.Strays == (Pace{}) && r.Unlock == nil && r.Escrow == nil && r.Replaced == 0 {
		return nil
	}
	return r
}

// Push is where and how a device can be woken. Token nil: it cannot. Only Apple's devices have a Topic and a Magic; their Token is
// APNs' one, a Windows device's the URI of its WNS channel, an Android device's the id of its FCM registration.
type Push struct {
	Topic       string
	Magic       string
	Token       []byte
	Since       protocol.Time // when this address was told to us last; may lag on disk
	Unreachable bool          // the push service refused it since; the next Ready clears it, of others than Apple's one with another address
}

// A WakeReason is why a device is to be woken; the larger wins when two meet.
type WakeReason uint8

// The reasons.
const (
	NoWake    WakeReason = iota
	Scheduled            // the steady cadence or the quick phase after enrolment
	Retry                // a NotNow or an unanswered wake-up is tried again
	Changed              // something was assigned, unassigned or ordered (AUTH-52), or a user's sync (AUTH-22)
)

// A Wake is the one pending wake-up of a device: a row of the outbox. Due 0: none. A second wake-up before
// the first went out is the same one, the sooner of the two.
type Wake struct {
	Due     protocol.Time
	Reason  WakeReason
	Attempt uint8 // how many went out for this reason already
}

// Pace is how often a device has done something since a moment.
type Pace struct {
	Since protocol.Time
	Times uint32
}

// An Identity is a certificate that a device holds.
type Identity struct {
	Fingerprint         Fingerprint
	NotBefore, NotAfter protocol.Time
}

// A Renewal is the state of renewing the identity (AUTH-41). The zero value: none is outstanding.
type Renewal struct {
	Asked   protocol.Time      // when the outstanding RenewIdentity was queued
	Command protocol.CommandID // its id, until it is reported; zero: none is outstanding, and Asked spaces the next
	Tries   uint8
}

// A Report is what a device's report said of its compliance: it had all profiles that it should have had then.
type Report struct {
	At       protocol.Time
	Complied bool
}

// A ProfileState is how far one profile is on one device.
type ProfileState uint8

// The states of a profile on a device.
const (
	Installing ProfileState = iota + 1
	Installed
	InstallFailed
	Removing
	RemoveFailed
	Clearing    // what there may be of one that failed to install is on its way off: only to devices that have profiles in parts
	ClearFailed // and did not go
)

var profileStateNames = [...]string{"", "installing", "installed", "install failed", "removing", "remove failed", "removing", "remove failed"}

func (p ProfileState) String() string {
	return profileStateNames[p%ProfileState(len(profileStateNames))]
}

// Leaves tells whether the profile is on its way off the device.
func (p ProfileState) Leaves() bool { return p == Removing || p == Clearing }

// Partial tells whether the profile never was on the device as a whole: what it was to write over may be as it was.
func (p ProfileState) Partial() bool { return p == InstallFailed || p == Clearing || p == ClearFailed }

// stuck tells whether the profile did not go.
func (p ProfileState) stuck() bool { return p == RemoveFailed || p == ClearFailed }

// Assigned is one profile of one device.
type Assigned struct {
	Profile protocol.Profile
	State   ProfileState
	Tries   uint8
	At      protocol.Time // when State was reached
}

// Queued is a command that waits for its final answer.
type Queued struct {
	protocol.Command               // Payload is nil: the world knows the document
	Seq              uint64        // order within the device
	At               protocol.Time // when it was queued; before LastSeen only where the device was heard of since, however clocks are set
	NotNow           bool          // answered so in the present conversation; on disk: the last answer
	Offers           uint8         // in the present conversation; not kept on disk
}

// ReportCounts counts commands by how they ended.
type ReportCounts struct {
	Acknowledged, Failed, FormatError, NotNow uint32
}
