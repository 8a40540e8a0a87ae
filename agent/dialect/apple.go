package dialect

import (
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"time"

	"rollcall/agent"
	"rollcall/certs"
	"rollcall/protocol"
	"rollcall/protocol/apple"
)

// A Model is what many devices have in common. It is shared and never changed.
type Model struct {
	Platform  protocol.Platform // IOS, IPadOS or MacOS
	Name      string            // ModelName: iPhone, MacBook Pro
	Number    string            // Model: MLPF3, Mac14,9
	Product   string            // ProductName: iPhone14,5
	OSVersion string            // 17.6
	Build     string            // 21G80
	Capacity  float64           // gigabytes, 10^9 bytes
	Apps      []apple.ApplicationItem
}

// Habits are how a group of devices behaves, shared and never changed. Chances are in millionths. The zero value
// never refuses anything.
type Habits struct {
	NotNow       uint32        // chance that a command finds the device locked, of those that a lock holds up
	Locked       time.Duration // how long it then stays locked, more or less by half; 0: 30 min
	ProfileFails uint32        // chance that a profile does not install
	Legacy       bool          // Mdm-Signature as macOS makes it: BER, SHA-1, no attributes
	Doubts       Doubts
}

// Doubts are the questions of apple.md, appendix D, that a device answers by its behaviour. The zero value is
// rollcall's choice.
type Doubts struct {
	OldIdentityReports bool   // 1: the report of a renewal comes with the old identity
	IgnoresRetryAfter  bool   // 2
	GoneUnenrols       bool   // 3: 410, 404 and a plain 403 remove the enrolment
	NoRight            int64  // 4: ErrorCode of a command without the right for it; 0: 12004
	MachineInfoType    string // 7: Content-Type of the MachineInfo; empty: application/pkcs7-signature
}

// A Who is what one device is called.
type Who struct {
	Number protocol.Device
	Seed   uint64 // of its chance: different for each device
	UDID   string
	Serial string
	Name   string // DeviceName
	IMEI   string // empty: none
}

// Apple is one Apple device without I/O: device channel, profiles, identity. Not safe for concurrent use.
type Apple struct {
	core agent.Device
}

// NewApple makes a device that has never been managed.
func NewApple(w Who, m *Model, h *Habits) *Apple { panic("soon") }

// Share gives a device that was read from bytes its model and habits.
func (d *Apple) Share(m *Model, h *Habits) { panic("soon") }

// Who returns the device's names; Seed is 0.
func (d *Apple) Who() Who { panic("soon") }

// Model returns what NewApple or Share was given.
func (d *Apple) Model() *Model { panic("soon") }

// Phase returns how far the device's management has come.
func (d *Apple) Phase() agent.Phase { return d.core.Phase() }

// Due returns when the device wants [Apple.Begin] with [Scheduled]; 0: not until something happens to it. Apple devices do
// not poll: only a retry, a token that changed or the end of a NotNow is ever due.
func (d *Apple) Due() protocol.Time { return d.core.Due() }

// Owes tells whether the server has still to confirm something: a TokenUpdate, a report or a renewed identity.
func (d *Apple) Owes() bool { return d.core.Owes() }

// Off tells whether a ShutDownDevice has switched the device off; PowerOn ends that.
func (d *Apple) Off() bool { return d.core.Off() }

// PowerOn switches the device on.
func (d *Apple) PowerOn(now protocol.Time) { panic("soon") }

// Push returns where the device is reached: topic, token and magic. Token nil: it is not enrolled. The fleet
// registers the token at the push service, and removes it there when it changes.
func (d *Apple) Push() (topic string, token []byte, magic string) { panic("soon") }

// Woken tells whether a push with this magic wakes the device (APL-109). Begin with [Pushed] then.
func (d *Apple) Woken(magic string) bool { panic("soon") }

// ChangeToken gives the device another push token, as happens after a restore. A TokenUpdate is due at once (APL-041).
func (d *Apple) ChangeToken(now protocol.Time) { panic("soon") }

// Lock locks the screen until a time: commands that need it unlocked get NotNow. 0 unlocks.
func (d *Apple) Lock(until protocol.Time) { panic("soon") }

// An Identity is what is known of the device's certificate; Serial empty: it has none.
type Identity struct {
	Serial              string // hexadecimal
	NotBefore, NotAfter protocol.Time
}

// Identity returns what is known of the certificate in use.
func (d *Apple) Identity() Identity { panic("soon") }

// A Profile is one installed profile.
type Profile struct {
	Identifier string
	UUID       string
	Family     protocol.Family
	MDM        bool // the enrolment profile
}

// Profiles returns what is installed, the enrolment profile first.
func (d *Apple) Profiles() []Profile { panic("soon") }

// Signer returns an identity ready for use: parsed anew at each call.
func (d *Apple) Signer(w Which) (certs.Signer, error) { panic("soon") }

// A Start says where an enrolment begins.
type Start struct {
	URL      string // of the enrolment profile; https
	ADE      bool   // the URL wants the signed MachineInfo, and the device is supervised
	Awaiting bool   // ADE: held in Setup Assistant until DeviceConfigured
	Profile  []byte // the profile itself, in place of URL
}

// Enrol begins an enrolment. The error tells what of s is wrong, or that the device is managed already (APL-004).
func (d *Apple) Enrol(now protocol.Time, s Start, out *Act) error { panic("soon") }

// A Why is what starts a conversation.
type Why uint8

// The reasons.
const (
	Scheduled   Why = iota // what Due named has come
	Pushed                 // Woken said so
	Synced                 // the user asked for it (AUTH-22)
	UserRemoves            // the user removes the enrolment profile
)

func (w Why) String() string {
	return [...]string{"scheduled", "pushed", "synced", "user removes"}[w%4]
}

// Begin starts a conversation and tells whether there is anything to do: out is then the first thing.
func (d *Apple) Begin(now protocol.Time, why Why, out *Act) bool { panic("soon") }

// Answer tells the device what its request brought, and what to do next.
func (d *Apple) Answer(now protocol.Time, r *Response, out *Act) { panic("soon") }

// GotIdentity tells the device what became of GetIdentity: its key and certificate, or why there is none.
func (d *Apple) GotIdentity(now protocol.Time, key crypto.Signer, c *x509.Certificate, err error, out *Act) {
	panic("soon")
}

// Abandon ends a conversation that nobody carries on. What the server has still to hear stays due.
func (d *Apple) Abandon(now protocol.Time) { panic("soon") }

// An ActKind is what a device wants done.
type ActKind uint8

// The kinds.
const (
	Rest        ActKind = iota // nothing: the conversation is over
	Send                       // Act.Request, then call Answer
	GetIdentity                // Act.SCEP, then call GotIdentity
)

// An Act is one thing that a device wants done. The caller owns it and passes it again and again; what it points to is
// good until the next call.
type Act struct {
	Kind    ActKind
	Request Request
	SCEP    SCEP
	Trust   Trust
	Err     error // Rest: what went wrong; nil: nothing. A *Failure, or what is wrong with the profile
}

// A Step names a request for reports.
type Step uint8

// The steps.
const (
	NoStep Step = iota
	FetchProfile
	FetchADE
	Identify // SCEP
	Authenticate
	TokenUpdate
	Idle
	Report
	CheckOut
)

var stepNames = [...]string{"", "profile", "ADE profile", "SCEP", "Authenticate", "TokenUpdate", "Idle", "Report", "CheckOut"}

func (s Step) String() string { return stepNames[int(s)%len(stepNames)] }

// Steps is how many steps there are: an array of this length counts by Step.
const Steps = len(stepNames)

// A Which is one of the identities that a request can come from.
type Which uint8

// The identities.
const (
	NoIdentity Which = iota
	Current
	Next // of a renewal that the server has not confirmed
)

// A Sign is how a request is signed.
type Sign uint8

// The ways.
const (
	NoSignature     Sign = iota
	SignBody             // header Mdm-Signature: detached CMS over Body by the identity
	SignLegacy           // the same as macOS makes it
	SignMachineInfo      // the body sent is CMS around Body by the factory identity
)

// A Request is one HTTP request.
type Request struct {
	Step        Step
	Method      string
	URL         string
	ContentType string
	UserAgent   string
	Body        []byte
	Identity    Which // the TLS client certificate
	Sign        Sign

	// With Report: what is reported.
	Command string // RequestType
	Status  protocol.Status
	Repeat  bool // sent before, and not confirmed
}

// SCEP is what to ask a certificate authority for (apple.md section 3.3).
type SCEP struct {
	URL           string
	Name          string // of the CA, sent as message of GetCACert
	Subject       pkix.Name
	Challenge     string
	CAFingerprint []byte // empty: not checked
	Retries       int    // polls after PENDING
	RetryDelay    time.Duration
	Keysize       int // bits, of an RSA key
}

// Trust is whom to believe beside the roots that the caller trusts anyway: certificates, DER, one after another. Pinned:
// these alone.
type Trust struct {
	Anchors string
	Pinned  bool
}

// A Response is what a request brought.
type Response struct {
	Status      int  // HTTP; 0: there was no answer
	Refused     bool // with Status 0: the server's TLS did not take our certificate
	ContentType string
	RetryAfter  time.Duration // 0: not said
	Notice      protocol.Notice
	Body        []byte
	Err         error // with Status 0: why
}

// A Failure is a step that did not succeed.
type Failure struct {
	Step       Step
	Status     int    // HTTP; 0: no answer
	Code       string // of a 403 with a body that has one
	RetryAfter time.Duration
	Err        error
}

func (f *Failure) Error() string { panic("soon") }
func (f *Failure) Unwrap() error { return f.Err }

// AppendBinary appends the whole device, secrets included, for keeping in a file. A conversation under way is kept as
// one that was cut off.
func (d *Apple) AppendBinary(dst []byte) ([]byte, error) { panic("soon") }

// UnmarshalBinary reads what AppendBinary wrote. The error wraps [protocol.ErrMalformed]; d is then unchanged. Call Share
// before anything else.
func (d *Apple) UnmarshalBinary(b []byte) error { panic("soon") }
