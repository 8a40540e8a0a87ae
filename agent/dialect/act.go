package dialect

import (
	"crypto/x509/pkix"
	"fmt"
	"time"

	"rollcall/protocol"
)

// A Start says where an enrolment begins.
type Start struct {
	URL      string // of the enrolment profile; https
	ADE      bool   // the URL wants the signed MachineInfo, and the device is supervised
	Awaiting bool   // ADE: held in Setup Assistant until DeviceConfigured
	Profile  []byte // the profile itself, in place of URL
}

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

// An ActKind is what a device wants done.
type ActKind uint8

// The kinds.
const (
	Rest        ActKind = iota // nothing: the conversation is over
	Send                       // Act.Request, then call Answer
	GetIdentity                // Act.EST where it has a URL, else Act.SCEP; then call GotIdentity
	MakeRequest                // Windows: Act.CSR, then call GotRequest
	WebSignIn                  // Windows: a person signs in at Act.Page, then call GotToken
)

// An Act is one thing that a device wants done. The caller owns it and passes it again and again; what it points to is
// good until the next call.
type Act struct {
	Kind    ActKind
	Request Request
	SCEP    SCEP
	EST     EST
	CSR     CSR
	Page    string // URL
	Trust   Trust
	Heard   protocol.Notice // of a change of authority that is news to the device (HST-057); zero: the answer told of none
	Dropped uint16          // profiles that have just left by themselves, seven days after a change of authority (AUTH-27)
	Idle    bool            // Rest, of Android and Windows: the server has said that it has nothing for the device; Apple's says so by an empty answer
	Err     error           // Rest: what went wrong; nil: nothing. A *Failure, or what is wrong with the profile

	scratch []byte // Request.Body is made in it
}

// A Step names a request for reports.
type Step uint8

// The steps.
const (
	NoStep Step = iota
	FetchProfile
	FetchADE
	Identify // SCEP or EST
	Authenticate
	TokenUpdate
	Idle
	Report
	CheckOut
	Probe // of Windows: whether anybody is there
	Discovery
	Policy
	Certify  // a certificate is asked for
	Session  // a message of a management session
	Discover // of Android
	Enroll
	CheckIn
	Unenroll
)

var stepNames = [...]string{
	"", "profile", "ADE profile", "SCEP", "Authenticate", "TokenUpdate", "Idle", "Report", "CheckOut",
	"probe", "discovery", "policy", "certificate", "SyncML",
	"Android discovery", "Android enrolment", "Android check-in", "Android farewell",
}

func (s Step) String() string { return stepNames[int(s)%len(stepNames)] }

// Steps is how many steps there are: an array of this length counts by Step.
const Steps = len(stepNames)

// A Which is one of the identities that a request can come from.
type Which uint8

// The identities.
const (
	NoIdentity Which = iota
	Current
	Next     // of a renewal that the server has not confirmed
	Previous // of before a renewal: see Doubts.OldIdentityReports
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
	Bearer      string // of the header Authorization; empty: none
	DeviceToken string // of the header of that name; empty: none
	Body        []byte
	Identity    Which // the TLS client certificate
	Sign        Sign
	Stays       bool // a redirect is an answer like any other, and not followed

	// With Session: the server's commands that the message answers, and those of them whose code is 400 or above.
	Answered, Refused uint16

	// With CheckIn and Session: what the server asked for and is told of with this request, in its order.
	Orders []Order

	Repeat bool // sent before, and not confirmed
	Whole  bool // with CheckIn: a whole status report is in it, or began it, which answers every question that the server has

	// With Report: what is reported.
	Command string // RequestType
	UUID    string // CommandUUID
	Profile string // identifier of the profile that was to be installed or removed; empty: none, or not known any more
	Version string // its PayloadUUID, of one that was to be installed
	Status  protocol.Status
	Shown   string // message and telephone number that a DeviceLock has the screen show; empty: none, or not known any more
	Why     string // it was not done; empty: it was, or it is not known any more
}

// An Order is one thing that a server asked of an Android or a Windows device.
type Order struct {
	Command string // node below ./Device/Vendor/MSFT that was executed, LocURI that a simulated Windows device was to read, type of an Android command, or "profile"
	UUID    string // of the command, on a Windows machine its session, message and CmdID; empty: it has none
	Profile string // with "profile": its identifier, or node
	Gone    bool   // with "profile": it is not there any more
	Again   bool   // it was carried out before, and is not carried out now
	Status  protocol.Status
	Why     string // it was not done; empty: it was, or nobody knows
	Shown   string // what the screen is to show
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
	KeyUsage      []pkix.Extension // of the request
}

// EST is what to ask an EST server for (RFC 7030).
type EST struct {
	URL             string
	Subject         pkix.Name
	User, Challenge string // of a first certificate; empty: a renewal, over TLS with the identity in use
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
	Notice      string        // header Rollcall-Notice; empty: none
	Order       string        // header Rollcall-Order; empty: none
	Body        []byte
	Location    string // of a redirect that was not followed
	Err         error  // with Status 0: why
}

// A Failure is a step that did not succeed.
type Failure struct {
	Step       Step
	Status     int    // HTTP; 0: no answer
	Code       string // of a 403 with a body that has one
	RetryAfter time.Duration
	Err        error
}

func (f *Failure) Error() string {
	switch {
	case f.Status == 0:
		return fmt.Sprintf("%s: %v", f.Step, f.Err)
	case f.Code != "":
		return fmt.Sprintf("%s: status %d, %s", f.Step, f.Status, f.Code)
	case f.Err != nil:
		return fmt.Sprintf("%s: status %d: %v", f.Step, f.Status, f.Err)
	}
	return fmt.Sprintf("%s: status %d", f.Step, f.Status)
}

func (f *Failure) Unwrap() error { return f.Err }
