package dialect

import (
	"crypto/x509"
	"strings"
	"time"
	"unique"

	"rollcall/agent"
	"rollcall/certs"
	"rollcall/protocol"
	"rollcall/protocol/windows"
)

// A WindowsModel is what many Windows devices have in common. It is shared and never changed.
type WindowsModel struct {
	Manufacturer string // Man
	Name         string // Mod
	OSVersion    string // 10.0.22631.1
	Edition      uint32 // product: 4 Enterprise, 48 Pro
	Firmware     string
	Language     string // empty: en-US
	ARM          bool
	Storage      int64 // MB
	Memory       int64 // MB

	// Tell answers for the facts of a machine that the rest of the model does not name, by the path of their node; false: the machine does
	// not say. Nil: the device is simulated, and its facts are made up.
	Tell func(path string) (value string, ok bool) `json:"-"`
}

func (m *WindowsModel) language() string {
	if m.Language == "" {
		return "en-US"
	}
	return m.Language
}

// WindowsHabits are how a group of devices behaves, shared and never changed. Chances are in millionths.
type WindowsHabits struct {
	ProfileFails uint32 // chance that the settings of a profile are answered with 500: see [SettingFails]
	NoPIN        bool   // RemoteLock/Lock is answered with 405
	// Spread has the endless set of polls count from a moment of the device's own (authority.md, "Schedules"), and not from its
	// enrolment: a population's, which enrols within minutes, would come as one for ever.
	Spread  bool
	Blocked bool // a policy of the machine's forbids that it is managed
	// Slow is how often a device that has got commands has still not done them when the time for an answer is over: it says so where it was
	// told to (EnableOmaDmKeepAliveMessage), else the session is lost.
	Slow uint8
	// Directory gives the tokens that a device of a directory shows in its sessions; nil: it shows none.
	Directory Directory
	// IssuesAfter is how long the authority of a SCEP profile makes the device wait; a device that is told to give up sooner has failed.
	// 0: it gives certificates at once.
	IssuesAfter time.Duration
	// Seal is the key of a real machine's server: its management ends by the server's own signed order alone (HST-027), and what was asked of
	// it is said with each request. Empty: the device is simulated. Ahead is as in [Habits].
	Seal   certs.SealKey
	Ahead  time.Duration
	Placer Placer // as in [Habits]; it finds the settings by [Windows.Settings]
	Doubts WindowsDoubts
}

// A Directory gives tokens by which a device of it says in a session whose it is, or with an empty upn only which one (windows.md section
// 9). No token, an error too, is none shown.
type Directory interface {
	Token(upn, device string) (string, error)
}

// WindowsDoubts are the questions that windows.md marks as open and that a device answers by its behaviour. The zero value is
// rollcall's choice.
type WindowsDoubts struct {
	UserScope      windows.Code // of ./User while its user is not signed in; 0: 405
	Uploads        bool         // results that are larger than the server says it takes go out in chunks, and do not abort the session
	MissingReplace bool         // Replace of a leaf that is not there is answered with 404, and not taken as Add
}

// A WindowsWho is what one device is called.
type WindowsWho struct {
	Number   protocol.Device
	Seed     uint64 // of its chance: different for each device
	DeviceID string // 32 hexadecimal digits: DevId and Source of every message
	HWDevID  string // hardware hash
	Serial   string
	Name     string // DeviceName
	MAC      string // 02-00-00-00-00-01
}

// Windows is one Windows device without I/O: enrolment, management sessions, settings, identity. Not safe for concurrent use.
type Windows struct {
	core    agent.Device
	model   *WindowsModel
	habits  *WindowsHabits
	who     string                 // of WindowsWho, with a separator between them
	account unique.Handle[account] // the server's side of the enrolment; see bonded
	self    resting                // identity, and what of the enrolment differs from device to device
	tree    tree                   // settings that servers made
	channel string                 // of push; empty: none

	now       protocol.Time // of the latest call
	next      protocol.Time // the next session; 0: none
	started   protocol.Time // from when the poll sets count
	contact   protocol.Time // when the server answered last
	renewed   protocol.Time // when the identity was renewed last; 0: never
	channelAt protocol.Time // when the channel was made
	renewal   renewState
	sessions  uint16 // begun in this enrolment
	comanaged uint16 // CoManagementFlags; 0: not co-managed
	tries     uint8  // connections that failed in a row
	failures  uint8  // sessions that failed in a row, for whatever reason
	users     bool   // next is by the sets of the signed-in user
	pushCode  uint8
	login     uint8 // see logins
	seen      uint8 // who was signed in once: 1 its user, 2 others
	*winTask        // what is under way; nil: nothing
}

// A renewState is how far the identity's renewal has come (windows.md section 5).
type renewState struct {
	due    protocol.Time // the next attempt; 0: none
	tried  protocol.Time
	code   windows.HRESULT
	status uint8 // 0 none, 1 running, 2 done, 3 failed
}

// An account is the server's side of an enrolment: what all devices of one server have in common.
type account struct {
	provider, address, discovery string
	anchors                      string // of TLS, DER
	store                        windows.Store
	retries                      int   // CONNRETRYFREQ
	initial, most                int64 // back-off in ms
	robo                         bool  // renews by itself
}

// The own texts of an enrolment, in resting.uuids.
const (
	ownUser = iota
	ownEnrolment
	ownName   // by which the device proves itself
	ownSecret // the same
	ownNonce  // the same, base64
	ownServer // the server's secret
	ownDirectory
	ownTexts
)

// windowsNames is how many texts Windows.who has.
const windowsNames = 5

// NewWindows makes a device that has never been managed.
func NewWindows(w WindowsWho, m *WindowsModel, h *WindowsHabits) *Windows {
	d := &Windows{core: agent.NewDevice(w.Number, protocol.Windows, w.Seed)}
	d.Share(m, h)
	d.who = strings.Join([]string{plain(w.DeviceID), plain(w.HWDevID), plain(w.Serial), plain(w.Name), plain(w.MAC)}, separator)
	return d
}

// Share gives a device its model and habits, which a device read from bytes does not have.
func (d *Windows) Share(m *WindowsModel, h *WindowsHabits) { d.model, d.habits = m, h }

// Who returns the device's names; Seed is 0.
func (d *Windows) Who() WindowsWho {
	p := strings.SplitN(d.who, separator, windowsNames)
	return WindowsWho{Number: d.core.ID(), DeviceID: p[0], HWDevID: p[1], Serial: p[2], Name: p[3], MAC: p[4]}
}

// DeviceID returns what Who has as DeviceID.
func (d *Windows) DeviceID() string {
	id, _, _ := strings.Cut(d.who, separator)
	return id
}

// Number returns the number that the device was made with.
func (d *Windows) Number() protocol.Device { return d.core.ID() }

// Phase returns how far the device's management has come.
func (d *Windows) Phase() agent.Phase { return d.core.Phase() }

// Epoch returns the newest change of authority that the device has heard of.
func (d *Windows) Epoch() uint32 { return d.core.Epoch() }

// EnrolledAt returns when the server took the device; 0: never, or not yet.
func (d *Windows) EnrolledAt() protocol.Time { return d.core.EnrolledAt() }

// Drops returns when profiles of the authority before leave the device by themselves (AUTH-27); 0: none will.
func (d *Windows) Drops() protocol.Time { return d.core.Drops() }

// Expire removes them from a device that is off the network, and returns how many.
func (d *Windows) Expire(now protocol.Time) (dropped int) {
	var out Act
	d.now = now
	d.expire(&out)
	return int(out.Dropped)
}

// Woken tells whether a push to this channel wakes the device: call Begin with [Pushed] then.
func (d *Windows) Woken(channel string) bool {
	_, own := d.Push()
	return own != "" && channel == own
}

// bonded tells whether there is an enrolment.
func (d *Windows) bonded() bool { return d.account != unique.Handle[account]{} }

// provider is the name of the management account; empty: there is none.
func (d *Windows) provider() string {
	if !d.bonded() {
		return ""
	}
	return d.account.Value().provider
}

// own returns what the enrolment has of the device's own.
func (d *Windows) own() [ownTexts]string {
	var own [ownTexts]string
	copy(own[:], strings.Split(d.self.uuids(), separator))
	return own
}

// Manager returns whose enrolment it is: the management address and the provider's name. Empty: nobody's.
func (d *Windows) Manager() (server, provider string) {
	if !d.bonded() {
		return "", ""
	}
	return d.address(), d.provider()
}

// Identity returns what is known of the certificate in use.
func (d *Windows) Identity() Identity { return identityIn(d.self.identity().cert) }

func identityIn(der []byte) Identity {
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return Identity{}
	}
	return Identity{c.SerialNumber.Text(16), protocol.At(c.NotBefore), protocol.At(c.NotAfter)}
}

// Signer returns an identity ready for use, parsed anew at each call: there is only the Current one. The error tells that there is none.
func (d *Windows) Signer(w Which) (certs.Signer, error) { return d.identityOf(w).signer() }

// Certificate returns the certificate of an identity, DER, not to be changed; nil: there is none.
func (d *Windows) Certificate(w Which) []byte { return d.identityOf(w).cert }

func (d *Windows) identityOf(w Which) identity {
	if w != Current {
		return identity{}
	}
	return d.self.identity()
}

// logins are the words of the LoginStatus alert.
var logins = [...]string{windows.LoginNone, windows.LoginUser, windows.LoginOthers}

// A Login is who is signed in.
type Login uint8

// The logins.
const (
	LoginNone Login = iota
	LoginUser       // the enrolled user
	LoginOther
)

// SignIn tells who is signed in now, which may start a session (PollOnLogin, AllUsersPollOnFirstLogin). Unlocking is no sign-in.
func (d *Windows) SignIn(now protocol.Time, who Login) {
	d.now, d.login = now, uint8(who)
	if who == LoginNone || d.Phase() != agent.Enrolled {
		return
	}
	bit := uint8(1) << (who - 1)
	first := d.seen&bit == 0
	d.seen |= bit
	if who == LoginUser {
		d.userScheduled(now)
	}
	if isTrue(d.tree.value(d.node("Poll/PollOnLogin"))) || first && isTrue(d.tree.value(d.node("Poll/AllUsersPollOnFirstLogin"))) {
		d.soon(now)
	}
}

func isTrue(value string) bool { return value == "true" || value == "1" }

// SetCoManaged gives the device the flags of its Configuration Manager client: a changed value starts a session. 0: it has none.
func (d *Windows) SetCoManaged(now protocol.Time, flags uint16) {
	if d.comanaged != flags {
		d.comanaged = flags
		d.soon(now)
	}
}

// soon has a session at now.
func (d *Windows) soon(now protocol.Time) {
	if d.Phase() == agent.Enrolled {
		d.next, d.users = d.next.Sooner(now), false
	}
}

// forget leaves nothing of an enrolment that has ended (WIN-055).
func (d *Windows) forget() {
	*d = Windows{core: d.core, model: d.model, habits: d.habits, who: d.who, login: d.login, now: d.now, comanaged: d.comanaged}
}
