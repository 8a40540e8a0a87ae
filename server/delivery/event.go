package delivery

import (
	"rollcall/protocol"
	"rollcall/server/authority"
)

// A Kind is what sort of event a device's state machine hears of.
type Kind uint8

// The kinds.
const (
	CheckInRound   Kind = iota + 1 // a round of the device's own conversation
	PushReport                     // what became of a wake-up
	Administered                   // an administrator ordered something for this device
	IdentityIssued                 // a renewal made a certificate for this device: Message.Credential
	RecordDue                      // the record may have reached its end (AUTH-43, AUTH-48)
	Supported                      // an administrator has a userless device move (AUTH-18)
	Displaced                      // the same machine enrolled anew, under another name
)

var kindNames = [...]string{"", "check-in", "push report", "administration", "identity issued", "clean-up", "support move", "displacement"}

func (k Kind) String() string { return kindNames[k%Kind(len(kindNames))] }

// A Purpose is what an identity certificate was issued for.
type Purpose uint8

// The purposes: a new enrolment, the renewal of one, and an enrolment under an identity of another authority's, which takes the
// place of no other.
const (
	ForEnrolment Purpose = iota + 1
	ForRenewal
	Adopted
)

// AndDelete is the Text of an order to Retire after which the record is removed as well; of a device that is not
// enrolled it is removed at once.
const AndDelete = "delete"

// AndDrop is the Text of an order to Retire that no command carries out: the device is told by its platform's own answer that it is
// managed no more.
const AndDrop = "drop"

// Farewell is the Text of an order to Retire that the device gave itself: it says that it is about to leave, which it may yet fail to do.
const Farewell = "farewell"

// Pending begins the Text of an InstallProfile that was given, and with which the device is not through, before the time since when: the next
// conversation asks what has become of it (windows.md, section 11), for a week. A device gives up by itself long before: one that says nothing
// else by then has failed.
const Pending = "pending since "

// A Credential is the certificate a message came with, as the store knows it.
type Credential struct {
	Identity
	Device    protocol.Device // bound to; 0: not bound yet
	User      UserID          // whom it was issued for; 0: userless
	Purpose   Purpose
	Automated bool              // issued to an ADE enrolment
	Platform  protocol.Platform // the kind of device that its grant is bound to; zero: any
	Revoked   bool
	Farewell  protocol.Time // Revoked, but until then its device may say with it that it left, as it was told to (APL-036, WIN-040)
	ID        string        // what the wire calls the device its grant is bound to, which proves nothing; empty: none
	Serial    string        // serial number the ADE grant is bound to; empty: none
}

// Facts are what a device says of itself when it enrols; data, never deciding anything (HST-058).
type Facts struct {
	Name, Model, Product, Serial, OSVersion, Build, IMEI, MEID string

	Hardware  string // of a PC, what outlives its operating system (HWDevID)
	Said      string // what else it said, as its platform's endpoint keeps it
	Directory string // of a PC, its id in the directory, by the verified token that it enrolled with; empty: it had none
}

// A PushResult is what the push service said.
type PushResult uint8

// The results, as the table of the APNs answers sorts them.
const (
	Accepted   PushResult = iota + 1 // taken; says nothing of delivery
	BadAddress                       // token unusable: unreachable until the next Ready
	Inactive                         // 410: unusable since InactiveSince
	TryLater                         // throttled or the service is ill: after RetryAfter
)

// A Message is one event's content. Strings and slices may alias a request's buffer: Decide copies what it keeps.
type Message struct {
	protocol.CheckIn
	Credential Credential // CheckInRound, IdentityIssued
	Platform   protocol.Platform
	CoManaged  bool          // Enrol, and of a PC with WorkloadsKnown: Configuration Manager's client is there (AUTH-12)
	AndroidAPI bool          // Enrol: through Android Management API (AUTH-46)
	Way        authority.Way // Enrol: how it enrols (AUTH-47)
	OtherMDM   bool          // Enrol: it is managed elsewhere (AUTH-47)
	Devices    int           // Enrol: of the same user, that count against the limit

	Workloads      authority.Workloads // CheckInRound of a co-managed client: those that Intune decides (AUTH-51)
	WorkloadsKnown bool                // it says so; else what it said last, or the tenant's deciders

	Batch *Batch // CheckInRound of a platform whose messages hold many commands and reports; nil: one of each

	Topic, Magic  string   // Ready; PushReport: of the address that it went to
	Token, Unlock []byte   // Ready, the first of Android's Enrol too; Unlock nil: not given. PushReport: Token of the address that it went to
	Escrow        []byte   // PutEscrow
	Facts         *Facts   // Enrol, and rounds that carry facts; nil: none
	Result        []byte   // Report: the raw report, kept with the command
	Installed     []string // Report of a ProfileList: identifiers of the managed profiles but that of the enrolment
	Missing       bool     // Report of a RemoveProfile: it failed because the profile is not there
	Errors        string   // Report: the error chain as text, top first

	Push          PushResult    // PushReport
	InactiveSince protocol.Time // PushReport, Inactive
	RetryAfter    protocol.Time // PushReport, TryLater: not before
	PushedAt      protocol.Time // PushReport: when it was sent; 0: nothing was, the address is known to be another device's
	Told          protocol.Time // PushReport: Push.Since of the address that it went to, as it was then
	Sent          Wake          // PushReport: the wake-up that was sent; one asked for since then stays

	Order protocol.Command // Administered: the command to queue; Kind NoCommand: only wake the device (sync)

	Seed [2]uint64 // drawn by the shell; command ids of this decision come from it
}

// A Batch is what a round says beside its CheckIn where one message reports on many commands, and its answer may hold many.
type Batch struct {
	Reports   []CommandReport      // with Report
	Again     []protocol.CommandID // handed out in this conversation, and not through yet: they are handed out once more
	Phase     Phase
	Late      bool // with Report, the first round in which commands are handed out, since the one before was Inquiring
	SignedOut bool // nobody is signed in whose profiles the device could take: those of Profile.UserScope wait
	Untold    bool // what the answer tells of a change of authority the device has heard of in the conversation's next round, not before
	UserAlone bool // the conversation is the signed-in user's: all else waits, the notice of a change of authority too
}

// A CommandReport is what a round says of one command of many.
type CommandReport struct {
	Command protocol.CommandID
	Status  protocol.Status
	Result  []byte // kept with the command
	Errors  string // what failed, on one line
	Missing bool   // of a RemoveProfile: it failed because the profile is not there
	Final   bool   // it failed for good: trying again is of no use
	Pending bool   // with NotNow: the device is at it, and is only asked what has become of it
}

// A Phase is where in a conversation a round of a [Batch] stands.
type Phase uint8

// The phases. By default the conversation ends as soon as nothing is to be handed out.
const (
	Answering Phase = iota
	Asking          // the endpoint has questions of its own: the conversation goes on, whatever is handed out
	Inquiring       // as Asking, and what the device should have depends on the answers: nothing is handed out yet
	Partial         // the device has not said all yet: nothing is handed out
)

// An Event is one thing that happened to one device.
type Event struct {
	Kind   Kind
	Device protocol.Device
	ID     string // the wire's name of the device: needed with Enrol, when there may be no record yet
	Key    Key    // of a message that its protocol may repeat; zero: not kept
	Prior  Key    // of the message whose answer this one goes on from; zero: it begins a conversation
	Message

	// Prepare, where given, fills in what follows from that answer's record (nil: there is none) and from the device's state, of which it
	// keeps nothing. It is called once, while the device is held and before anything is decided.
	Prepare func(prior []byte, s *State)

	// Encode, where given, writes what the exchange record is to hold for what was decided; nil: a repeat is decided afresh.
	Encode func(dst []byte, out *Outcome) []byte
}
