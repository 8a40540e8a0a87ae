package windows

// A Document is a wap-provisioningdoc: characteristics inside characteristics, with parms.
type Document []Characteristic

// A Characteristic is a node of a [Document].
type Characteristic struct {
	Type            string
	Parms           []Parm
	Characteristics []Characteristic
}

// A Parm is a setting of a [Characteristic].
type Parm struct {
	Name, Value string
	Datatype    string // integer, boolean, string; empty: none written
	NoValue     bool   // there is no value attribute at all, which is how flags are written
}

// Datatypes of a [Parm].
const (
	DatatypeString  = "string"
	DatatypeInteger = "integer"
	DatatypeBoolean = "boolean"
)

// A Store is where the client's certificate goes.
type Store string

// The two stores.
const (
	StoreUser   Store = "User"   // EnrollmentType Full
	StoreSystem Store = "System" // EnrollmentType Device
)

// Provisioning is what an enrolment's or a renewal's [Document] says (windows.md sections 4.1 and 5).
type Provisioning struct {
	Root         []byte // DER; empty: none new
	Intermediate []byte // DER; empty: none
	Client       []byte // DER of the certificate
	Store        Store
	Renewal      *Renewal // nil: with a renewal
	Application  Application
	DMClient     *DMClient // nil: with a renewal (WIN-063)
}

// A Renewal is CertificateStore/My/WSTEP/Renew.
type Renewal struct {
	ROBO          bool
	RenewPeriod   int    // days before expiry; when reading, 42 where it is absent
	RetryInterval int    // days; when reading, 7 where it is absent
	ServerURL     string // of discovery; empty: as at enrolment
}

// An Application is the management account (w7).
type Application struct {
	ProviderID     string
	Name           string
	Address        string // management URL; empty: a renewal, which changes nothing but the certificate
	ConnRetryFreq  int    // tries for errors of the network; when reading, 3 where it is absent
	InitialBackoff int64  // ms; when reading, 16000 where it is absent
	MaxBackoff     int64  // ms; when reading, 86400000 where it is absent
	Search         string // SSLCLIENTCERTSEARCHCRITERIA: see SearchCriteria
	ClientAuth     Auth   // AAUTHLEVEL CLIENT: by which the server proves itself
	ServerAuth     Auth   // AAUTHLEVEL APPSRV: by which the device does
}

// An Auth is one APPAUTH. It is secret.
type Auth struct {
	Type   string // BASIC or DIGEST
	Name   string // of APPSRV
	Secret string
	Nonce  []byte // AAUTHDATA, out of its base64
}

// A DMClient is DMClient/Provider/<PROVIDER-ID>.
type DMClient struct {
	UPN             string // empty: no user
	EntDMID         string // enrolment ID
	EntDeviceName   string
	Poll            Poll
	PFN             string // of push; empty: none
	SkipUserStatus  bool   // FirstSyncStatus/SkipUserStatusPage, of devices without a user
	LostContactDays int    // NumberOfDaysAfterLostContactToUnenroll; 0: never
	Other           []Parm // further settings, as they came: of the provider itself, or of a part of it (FirstSyncStatus/IsSyncDone)
}

// A Poll is the schedule: three sets that run one after the other, counted from the enrolment (windows.md section 8). The zero
// Poll means nothing; see [DefaultPoll].
type Poll struct {
	First, Second, Remaining PollSet
	OnLogin                  bool // a session at every sign-in
	AllUsersOnFirstLogin     bool // one at each user's first sign-in
}

// A PollSet is Retries sessions Interval minutes apart. Interval 0: off. Retries 0 with an Interval: endless.
type PollSet struct{ Interval, Retries uint32 }

// Endless tells whether the set never ends.
func (s PollSet) Endless() bool { return s.Interval != 0 && s.Retries == 0 }

// DefaultPoll is rollcall's schedule: 5 sessions 3 min apart, 8 of 15 min, then every 8 h (windows.md section 8).
var DefaultPoll = Poll{
	First: PollSet{3, 5}, Second: PollSet{15, 8}, Remaining: PollSet{480, 0},
	OnLogin: true, AllUsersOnFirstLogin: true,
}
