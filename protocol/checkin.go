package protocol

// A Verb is what a device wants of one round.
type Verb uint8

// The verbs, with Apple's messages for them.
const (
	NoVerb    Verb = iota
	Enrol          // a new relationship or a renewed identity (Authenticate)
	Ready          // enrolled and reachable at this push address (TokenUpdate)
	Ask            // nothing to report, give me work (Idle)
	Report         // what became of a command
	Leave          // management was removed on the device (CheckOut)
	PutEscrow      // keep this secret for me (SetBootstrapToken); empty: forget it
	GetEscrow      // give it back (GetBootstrapToken)
)

var verbNames = [...]string{"", "enrol", "ready", "ask", "report", "leave", "put escrow", "get escrow"}

func (v Verb) String() string { return name(verbNames[:], uint8(v)) }

// A Status is what a device says of a command.
type Status uint8

// The statuses; the names are Apple's, which the other platforms' map onto.
const (
	NoStatus Status = iota
	Acknowledged
	Failed             // Error: tried and failed
	CommandFormatError // not understood
	NotNow             // later; the command stays queued
)

var statusNames = [...]string{"", "Acknowledged", "Error", "CommandFormatError", "NotNow"}

func (s Status) String() string               { return name(statusNames[:], uint8(s)) }
func (s Status) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// A CheckIn is one round of a device's conversation, in the words that all platforms share.
type CheckIn struct {
	Device   Device
	Epoch    uint32 // newest change of authority the device says it has heard of; never decides anything
	Round    uint16 // 1 for the first round of a conversation
	Verb     Verb
	Status   Status    // of Command, with Report
	Awaiting bool      // with Ready: held in its setup assistant until a Configured command
	Command  CommandID // with Report; zero: the device did not say which
}

// A ReplyKind is the shape of an answer.
type ReplyKind uint8

// The shapes: nothing more to do, commands, or a secret given back.
const (
	Done ReplyKind = iota
	Work
	Escrow
)

// A Reply answers one CheckIn.
type Reply struct {
	Kind    ReplyKind
	Command Command   // with Work
	More    []Command // with Work, to a round that takes several: those after Command
	Escrow  []byte    // with Escrow; empty: none is kept
	Notice  Notice    // zero: nothing new
}
