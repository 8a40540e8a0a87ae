package windows

// MaxMessage is the most bytes of a SyncML message or of a SOAP envelope that are read (HST-001).
const MaxMessage = 1 << 20

// DefaultMaxMsgSize is what a device can receive that does not say it (WIN-035).
const DefaultMaxMsgSize = 524288

// A Message is one SyncML message (SyncML RepPro 1.2.2).
type Message struct {
	Header   SyncHdr
	Commands []Command // of the body, in order
	Final    bool      // the package ends with it
}

// A SyncHdr is the head of a [Message].
type SyncHdr struct {
	VerDTD, VerProto string // empty when encoding: 1.2 and DM/1.2
	SessionID        string // opaque
	MsgID            uint32
	Target           string // LocURI
	Source           string // LocURI
	SourceName       string // LocName; empty: none
	RespURI          string // where the next message goes; empty: as this one
	NoResp           bool
	Cred             *Cred
	MaxMsgSize       uint32 // bytes that the sender can receive; 0: not said
	MaxObjSize       uint32
}

// A Verb is what sort of [Command] an element is.
type Verb uint8

// The verbs. Unknown is an element of a body that is no command.
const (
	Unknown Verb = iota
	Add
	Alert
	Atomic
	Delete
	Exec
	Get
	Replace
	Results
	Sequence
	Status
	SyncHeader // SyncHdr, in Cmd of a Status alone
)

var verbNames = [...]string{"Unknown", "Add", "Alert", "Atomic", "Delete", "Exec", "Get", "Replace", "Results", "Sequence", "Status", "SyncHdr"}

func (v Verb) String() string {
	if int(v) < len(verbNames) {
		return verbNames[v]
	}
	return verbNames[Unknown]
}

// NoRef is CmdRef of a Status for a command that came without CmdID.
const NoRef int32 = -1

// A Command is one element of a body: a command, a Status or Results.
type Command struct {
	Verb   Verb
	Name   string // of an Unknown element
	CmdID  int32  // 0: it came without
	NoResp bool
	Cred   *Cred
	Meta   Meta
	Items  []Item
	Code   Code // of a Status: its Data. Of an Alert: its number

	// Of Status and Results: the command that is answered.
	MsgRef     uint32 // of Results that say none: 1
	CmdRef     int32  // 0: SyncHdr; NoRef: empty
	Cmd        Verb   // Unknown with Results: not said
	CmdName    string // with Cmd Unknown: what was said
	TargetRefs []string
	SourceRefs []string
	Chal       *Chal // of a Status

	Commands []Command // of Atomic and Sequence
}

// An Item is one node that a command concerns.
type Item struct {
	Target   string // LocURI
	Source   string // LocURI
	Meta     Meta
	Data     string
	MoreData bool // a chunk of a large object, not the last
}

// A Meta is metinf about a command or an item.
type Meta struct {
	Format string // chr, int, bool, b64, bin, xml, node, null, float, date, time; empty: chr
	Type   string // empty: text/plain
	Mark   string // of generic alerts: informational, warning, critical, fatal
	Size   uint32 // of a large object, with its first chunk; 0: not said
}

// The formats of a [Meta].
const (
	FormatChr  = "chr"
	FormatInt  = "int"
	FormatBool = "bool"
	FormatB64  = "b64"
	FormatBin  = "bin"
	FormatXML  = "xml"
	FormatNode = "node"
	FormatNull = "null"
)

// The types of alerts that mean something to either side (windows.md section 7).
const (
	TypeLoginStatus  = "com.microsoft/MDM/LoginStatus"
	TypeSyncType     = "com.microsoft.mdm.synctype"
	TypeUnenrollment = "com.microsoft:mdm.unenrollment.userrequest"
	TypeRequestPends = "com.microsoft.mdm.requestpending" // EnableOmaDmKeepAliveMessage: the device is still at the server's last commands
)

// The data of an alert of TypeSyncType: the scope that alone may be touched in the session.
const (
	SyncUser   = "user"
	SyncDevice = "device"
)

// The data of a LoginStatus alert.
const (
	LoginUser   = "user"   // the enrolled user is signed in
	LoginOthers = "others" // somebody else is
	LoginNone   = "none"
)

// A Code is the number of a Status or of an Alert.
type Code uint16

// The status codes (windows.md section 6.1).
const (
	OK                    Code = 200
	AcceptedForProcessing Code = 202
	AuthenticationTaken   Code = 212 // for the whole session
	ChunkBuffered         Code = 213
	OperationCancelled    Code = 214
	NotExecuted           Code = 215
	AtomicRolledBack      Code = 216
	BadRequest            Code = 400
	InvalidCredentials    Code = 401
	Forbidden             Code = 403
	NotFound              Code = 404
	NotAllowed            Code = 405
	OptionalNotSupported  Code = 406
	MissingCredentials    Code = 407
	Conflict              Code = 409
	Gone                  Code = 410
	SizeRequired          Code = 411
	RequestTooLarge       Code = 413
	URITooLong            Code = 414
	UnsupportedFormat     Code = 415
	ObjectTooLarge        Code = 416
	AlreadyExists         Code = 418
	DeviceFull            Code = 420
	SizeMismatch          Code = 424
	PermissionDenied      Code = 425
	CommandFailed         Code = 500
	NotImplemented        Code = 501
	ServiceUnavailable    Code = 503
	DTDNotSupported       Code = 505
	ProcessingError       Code = 506
	AtomicFailed          Code = 507
	DataStoreFailure      Code = 510
	ServerFailure         Code = 511
	ProtocolNotSupported  Code = 513
	RollBackFailed        Code = 516
)

// The numbers of alerts (windows.md section 7).
const (
	ServerInitiated Code = 1200 // a session begins, after a push
	ClientInitiated Code = 1201 // a session begins
	NextMessage     Code = 1222
	SessionAbort    Code = 1223
	ClientEvent     Code = 1224
	NoEndOfData     Code = 1225
	GenericAlert    Code = 1226
)
