package dialect

import (
	"crypto/sha256"
	"encoding/binary"
	"strings"
	"time"
	"unique"

	"rollcall/agent"
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

	// Tell answers a query of DeviceInformation about the machine itself, as it is at that moment; nil: the machine does not say. No
	// function: the device is simulated, and its facts are made up. What a machine's function does not tell, nothing else makes up.
	Tell func(query string) any `json:"-"`
}

// Habits are how a group of devices behaves, shared and never changed. Chances are in millionths. The zero value
// never refuses anything.
type Habits struct {
	NotNow       uint32        // chance that a command finds the device locked, of those that a lock holds up
	Locked       time.Duration // how long it then stays locked, more or less by half; 0: 30 min
	ProfileFails uint32        // chance that a profile does not install
	Ordered      bool          // a real machine: its management ends only by the server's own signed order (HST-027)
	Ahead        time.Duration // with Ordered: the device's clock is so much ahead on purpose, and orders are judged without that
	Placer       Placer        // of a real machine; nil: nothing is made of profiles
	Legacy       bool          // Mdm-Signature as macOS makes it: BER, SHA-1, no attributes
	Doubts       Doubts
}

// A Placer makes something of a profile, a property list out of whatever signed it, before anybody hears that it is installed. Its error
// fails the installation. Content is what [Profile] has of it.
type Placer interface {
	Place(identifier string, content uint64, document []byte) error
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
	core   agent.Device
	model  *Model
	habits *Habits
	who    string              // UDID, serial, name and IMEI with a separator between them
	bond   unique.Handle[bond] // the enrolment; see bonded
	self   resting             // what of the enrolment differs from device to device
	docs   []unique.Handle[outline]
	magic  protocol.CommandID // PushMagic, new at each enrolment
	token  [sha256.Size]byte  // at the push service
	busy   protocol.Time      // locked until then
	recent [4]uint64          // CommandUUIDs carried out last, hashed
	ade    bool
	awaits bool // in Setup Assistant until DeviceConfigured
	*task       // what is under way or owed; nil: nothing
}

// A task is what a device keeps only while it talks, or as long as the server has something to confirm.
type task struct {
	step     Step // of the request that was sent last
	start    Start
	uuid     string        // CommandUUID of the command being carried out or reported
	command  string        // its RequestType
	order    apple.Command // nil: it was not understood
	profile  string        // identifier of the profile that it installs or removes; empty: none
	version  string        // PayloadUUID of the one that it installs
	shown    string        // what it has the screen show
	why      string        // it was not done
	report   []byte        // what came of it; nil: the message is made from the status alone
	repeated bool          // the report was sent before
	ordered  bool          // the server's own order to leave came with the command (HST-027)
	locks    bool          // the screen locks once the report is delivered
	incoming *incoming     // an enrolment profile whose identity the server has not taken yet
	old      *identity     // with Doubts.OldIdentityReports: of before the renewal, for its report
}

// An incoming is an enrolment profile on its way onto the device.
type incoming struct {
	bond  bond
	uuids string
	identity
}

// An identity is a key and its certificate at rest.
type identity struct{ key, cert []byte }

const (
	separator = "\x1f" // a character that XML cannot carry
	names     = 4      // in Apple.who
)

// NewApple makes a device that has never been managed.
func NewApple(w Who, m *Model, h *Habits) *Apple {
	d := &Apple{core: agent.NewDevice(w.Number, m.Platform, w.Seed)}
	d.who = strings.Join([]string{plain(w.UDID), plain(w.Serial), plain(w.Name), plain(w.IMEI)}, separator)
	d.Share(m, h)
	return d
}

func plain(s string) string { return strings.ReplaceAll(s, separator, "") }

// Share gives a device its model and habits, which a device read from bytes does not have.
func (d *Apple) Share(m *Model, h *Habits) { d.model, d.habits = m, h }

// Who returns the device's names; Seed is 0.
func (d *Apple) Who() Who {
	p := strings.SplitN(d.who, separator, names)
	return Who{Number: d.core.ID(), UDID: p[0], Serial: p[1], Name: p[2], IMEI: p[3]}
}

// UDID returns what Who has as UDID.
func (d *Apple) UDID() string {
	udid, _, _ := strings.Cut(d.who, separator)
	return udid
}

// Model returns what NewApple or Share was given.
func (d *Apple) Model() *Model { return d.model }

// Number returns the number that the device was made with.
func (d *Apple) Number() protocol.Device { return d.core.ID() }

// Habits returns what NewApple or Share was given.
func (d *Apple) Habits() *Habits { return d.habits }

// Phase returns how far the device's management has come.
func (d *Apple) Phase() agent.Phase { return d.core.Phase() }

// Due returns when the device wants [Apple.Begin] with [Scheduled]; 0: not until something happens to it. Apple devices do
// not poll: only a retry, a token that changed, the end of a NotNow or of the old authority's profiles is ever due.
func (d *Apple) Due() protocol.Time { return d.core.Due() }

// Drops returns when profiles of the authority before leave the device by themselves (AUTH-27); 0: none will.
func (d *Apple) Drops() protocol.Time { return d.core.Drops() }

// Expire removes them from a device that is off the network, and returns how many.
func (d *Apple) Expire(now protocol.Time) (dropped int) {
	var out agent.Actions
	d.core.Expire(now, &out)
	for i := range out.List {
		d.dropped(out.List[i].Profile)
	}
	return len(out.List)
}

// Owes tells whether the server has still to confirm something: a TokenUpdate, a report or a renewed identity.
func (d *Apple) Owes() bool { return d.core.Owes() }

// Renewing tells whether a new identity waits for the server's first word about it.
func (d *Apple) Renewing() bool { return d.core.Renewing() }

// Awaiting tells whether the device is held in Setup Assistant until DeviceConfigured.
func (d *Apple) Awaiting() bool { return d.awaits }

// Off tells whether a ShutDownDevice has switched the device off; PowerOn ends that.
func (d *Apple) Off() bool { return d.core.Off() }

// PowerOn switches the device on.
func (d *Apple) PowerOn(now protocol.Time) { d.tell(now, &agent.Event{Kind: agent.PowerOn}) }

// Epoch returns the newest change of authority that the device has heard of.
func (d *Apple) Epoch() uint32 { return d.core.Epoch() }

// EnrolledAt returns when the server took the device; 0: never, or not yet.
func (d *Apple) EnrolledAt() protocol.Time { return d.core.EnrolledAt() }

// Manager returns whose enrolment it is: the URL at which the server is asked for commands, and what its profile calls the
// organisation. Empty: nobody's.
func (d *Apple) Manager() (server, organization string) {
	if !d.bonded() {
		return "", ""
	}
	b := d.bond.Value()
	return b.serverURL, b.outline.organization
}

// Heeds tells whether the device can tell that a notice of such a change is its server's: the key came with its enrolment
// profile.
func (d *Apple) Heeds() bool { return d.bonded() && d.bond.Value().notices != "" }

// Push returns where the device is reached: topic, token and magic. Token nil: it is not managed. The fleet
// registers the token at the push service, and removes it there when it changes.
func (d *Apple) Push() (topic string, token []byte, magic string) {
	if !d.bonded() {
		return "", nil, ""
	}
	return d.bond.Value().topic, d.token[:], d.magic.String()
}

// Woken tells whether a push with this magic wakes the device (APL-109): call Begin with [Pushed] then.
func (d *Apple) Woken(magic string) bool {
	return d.Phase() == agent.Enrolled && !d.Off() && magic == d.magic.String()
}

// ChangeToken gives the device another push token, as happens after a restore. A TokenUpdate is due at once (APL-041).
func (d *Apple) ChangeToken(now protocol.Time) {
	d.newToken(now)
	d.tell(now, &agent.Event{Kind: agent.NewToken})
}

// Lock locks the screen until a time: commands that need it unlocked get NotNow. 0 unlocks.
func (d *Apple) Lock(until protocol.Time) { d.busy = until }

// bonded tells whether there is an enrolment, finished or not.
func (d *Apple) bonded() bool { return d.bond != unique.Handle[bond]{} }

// tell gives the core an event that starts no conversation.
func (d *Apple) tell(now protocol.Time, ev *agent.Event) {
	var out agent.Actions
	d.core.Step(now, ev, &out)
}

// What a device draws numbers for.
const (
	chanceToken = agent.ChanceOfDialect + iota
	chanceMagic
	chanceLocked
	chanceUnlocks
	chanceProfile
	chanceBackOff
)

// newToken draws a push token, newMagic a PushMagic: others in each enrolment.
func (d *Apple) newToken(now protocol.Time) { d.fill(now, d.token[:], chanceToken) }
func (d *Apple) newMagic(now protocol.Time) { d.fill(now, d.magic[:], chanceMagic) }

func (d *Apple) fill(now protocol.Time, b []byte, what agent.Chance) {
	key := uint64(now)<<10 | uint64(d.core.Enrolments()%256)<<2 // two bits for the place
	for i := 0; i < len(b); i += 8 {
		binary.BigEndian.PutUint64(b[i:], d.core.Draw(1<<64-1, what, key|uint64(i/8)))
	}
}

// unlockToken is what the device gave the server for ClearPasscode; iOS and iPadOS have one.
func (d *Apple) unlockToken() []byte {
	if d.model.Platform == protocol.MacOS {
		return nil
	}
	sum := sha256.Sum256(append([]byte("unlock"), d.magic[:]...))
	return sum[:]
}

// right tells whether the enrolment permits one of rights; 0 is permitted always.
func (d *Apple) right(rights int64) bool {
	return rights == 0 || d.bonded() && d.bond.Value().rights&rights == rights
}

// id is how the first bytes of a hash stand for a text.
func id(s string) uint64 {
	sum := sha256.Sum256([]byte(s))
	return binary.BigEndian.Uint64(sum[:])
}

// remembers tells whether a command was carried out a short while ago (HST-055).
func (d *Apple) remembers(uuid string) bool {
	h := id(uuid)
	for _, r := range d.recent {
		if r == h {
			return true
		}
	}
	return false
}

func (d *Apple) remember(uuid string) {
	copy(d.recent[1:], d.recent[:])
	d.recent[0] = id(uuid)
}
