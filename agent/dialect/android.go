package dialect

import (
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strings"
	"unique"

	"rollcall/agent"
	"rollcall/certs"
	"rollcall/protocol"
	"rollcall/protocol/android"
)

// An AndroidModel is what many Android devices have in common. It is shared and never changed.
type AndroidModel struct {
	Brand, Name    string // acme, A1
	AndroidVersion string // 14
	APILevel       int    // 34
	AgentVersion   string
	RAM, Storage   int64 // bytes
	Apps           []android.ApplicationReport

	// Tell fills in what the machine itself says of its status at that moment, and what the server asks of it is said with each request;
	// a machine has none of Google's apps, and its push id is FID (empty: it has none). Nil: the device is simulated, and its facts are made
	// up.
	Tell func(s *android.StatusReport) `json:"-"`
	FID  string                        `json:"-"`
}

// An AndroidWho is what one Android device is called.
type AndroidWho struct {
	Number protocol.Device
	Seed   uint64 // of its chance: different for each device
	Serial string
	ESID   string // enterprise-specific id: all that a personal device says of itself; empty: it says its serial number
	UPN    string // of its user; empty: userless
}

// Android is one Android device without I/O, with its agent in role dpc. Not safe for concurrent use.
type Android struct {
	core         agent.Device
	model        *AndroidModel
	habits       *Habits
	who          string                       // serial number, ESID and UPN with a separator between them
	names        string                       // what the server calls the device and the enrolment, with a separator between them; empty: not enrolled
	bond         unique.Handle[androidBond]   // the server's side of the enrolment
	policy       unique.Handle[policyInForce] // applied last
	self         resting                      // key and certificate
	done         []uint64                     // commands carried out, hashed, oldest first (AND-074)
	ver          int64                        // version of the policy in force; 0: none
	talks        uint32                       // check-ins begun
	tokens       uint16                       // push ids had so far
	tries        uint8                        // failed contacts in a row
	no           uint8                        // of these answered 401 since the last renewal
	lost         bool
	*androidTask // what is under way or owed; nil: nothing
}

// An androidBond is the server's side of an enrolment: what all devices of one server and mode have in common.
type androidBond struct {
	url     string // https://host:port, no slash at its end
	renewal string // where the device renews when nobody asks it to: an address of EST, or after "SCEP " one of SCEP
	keys    string // of orders, policies and notices: points, one after another
	issuers string // keys that sign identities, DER, one after another
	anchors string // of TLS, DER, one after another; empty: the caller's
	mode    android.Mode
}

// A policyInForce is a policy as it came, with what the device found out about it. Devices of one group have the same.
type policyInForce struct {
	policy   string // JSON
	profiles string // JSON of the manifest
	faults   string // JSON of the non-compliance details; empty: none
}

// An androidTask is what a device keeps only while it talks, or as long as the server has something to confirm.
type androidTask struct {
	step     Step
	start    AndroidStart
	checkin  string // id of the check-in
	round    int    // of the request that was sent last
	reason   android.Reason
	body     []byte                 // of the round that is not confirmed, sent again as it is (AND-073)
	answer   *android.CheckInAnswer // to be carried out
	then     agent.Then
	results  []android.Result
	orders   []Order        // that results are of, and profiles that came and left
	asked    bool           // the server wants a whole status report
	whole    bool           // body is one, or began with one
	renew    *android.Offer // of the identity, before the next request
	held     *Request       // waits for that
	incoming *identity      // of a renewal, not used yet
	resume   *comingBack    // an enrolment whose first check-in was cut off
	told     bool           // the server knows that the device leaves: nothing is said any more
	order    bool           // it leaves by the server's order
}

// comingBack is an enrolment up to its certificate, for a second try with the same token.
type comingBack struct {
	token, names string
	bond         androidBond
	identity     identity
}

// NewAndroid makes a device that has never been managed.
func NewAndroid(w AndroidWho, m *AndroidModel, h *Habits) *Android {
	d := &Android{core: agent.NewDevice(w.Number, protocol.Android, w.Seed)}
	d.who = strings.Join([]string{plain(w.Serial), plain(w.ESID), plain(w.UPN)}, separator)
	d.Share(m, h)
	return d
}

// Share gives a device its model and habits, which a device read from bytes does not have.
func (d *Android) Share(m *AndroidModel, h *Habits) { d.model, d.habits = m, h }

const androidNames = 3 // in Android.who

// Who returns the device's names; Seed is 0.
func (d *Android) Who() AndroidWho {
	p := strings.SplitN(d.who, separator, androidNames)
	return AndroidWho{Number: d.core.ID(), Serial: p[0], ESID: p[1], UPN: p[2]}
}

// Number returns the number that the device was made with.
func (d *Android) Number() protocol.Device { return d.core.ID() }

// Phase returns how far the device's management has come.
func (d *Android) Phase() agent.Phase { return d.core.Phase() }

// Due returns when the device wants [Android.Begin] with [Scheduled]; 0: not until something happens to it.
func (d *Android) Due() protocol.Time { return d.core.Due() }

// Drops returns when profiles of the authority before leave the device by themselves (AUTH-27); 0: none will.
func (d *Android) Drops() protocol.Time { return d.core.Drops() }

// Expire has them leave a device that is off the network, and returns how many did.
func (d *Android) Expire(now protocol.Time) (dropped int) {
	var out agent.Actions
	d.core.Expire(now, &out)
	return len(out.List)
}

// Owes tells whether the server has still to confirm something.
func (d *Android) Owes() bool { return d.core.Owes() }

// Renewing tells whether a new identity waits for the server's first word about it.
func (d *Android) Renewing() bool { return d.androidTask != nil && d.incoming != nil }

// PowerOn switches the device on.
func (d *Android) PowerOn(now protocol.Time) {
	var out agent.Actions
	d.core.Step(now, &agent.Event{Kind: agent.PowerOn}, &out)
}

// Return tells the device that it is on the network again, and whether a push was kept for it meanwhile: what it missed it makes up for with
// one check-in, begun with [Scheduled] when Due says (AND-082).
func (d *Android) Return(now protocol.Time, pushed bool) {
	ev := agent.Event{Kind: agent.Returned}
	if pushed {
		ev.Kind = agent.Missed
	}
	var out agent.Actions
	d.core.Step(now, &ev, &out)
}

// Epoch returns the newest change of authority that the device has heard of.
func (d *Android) Epoch() uint32 { return d.core.Epoch() }

// EnrolledAt returns when the server took the device; 0: never, or not yet.
func (d *Android) EnrolledAt() protocol.Time { return d.core.EnrolledAt() }

// Names returns what the server calls the device and its enrolment; empty: it is not enrolled.
func (d *Android) Names() (device, enrollment string) {
	device, enrollment, _ = strings.Cut(d.names, separator)
	return device, enrollment
}

// Manager returns whose enrolment it is: the server's URL; empty: nobody's.
func (d *Android) Manager() string {
	if d.names == "" {
		return ""
	}
	return d.bond.Value().url
}

// Mode returns how the device is managed; empty: it is not.
func (d *Android) Mode() android.Mode {
	if d.names == "" {
		return ""
	}
	return d.bond.Value().mode
}

// State returns how the device stands.
func (d *Android) State() android.State {
	switch {
	case d.Phase() == agent.Removed || d.Phase() == agent.Wiped:
		return android.Deleted
	case d.lost:
		return android.Lost
	case d.ver == 0:
		return android.Provisioning
	}
	return android.Active
}

// Policy returns the policy in force, as it came, and its version; 0: there is none.
func (d *Android) Policy() (policy []byte, version int64) {
	if d.ver == 0 {
		return nil, 0
	}
	return []byte(d.policy.Value().policy), d.ver
}

// Profiles returns what is on the device.
func (d *Android) Profiles() []Profile {
	var list []Profile
	for _, e := range d.manifest() {
		if at := d.core.Find(id(e.ID)); at >= 0 {
			list = append(list, Profile{Identifier: e.ID, Family: e.Family, Content: d.core.Profiles()[at].Content})
		}
	}
	return list
}

// Fields returns the members of the policy in force that come from a profile.
func (d *Android) Fields(profile string) []string {
	for _, e := range d.manifest() {
		if e.ID == profile {
			return e.Fields
		}
	}
	return nil
}

// manifest returns the profiles of the policy in force, and those that stay on the device though it does not list them (AUTH-55).
func (d *Android) manifest() []android.ManifestEntry {
	if d.ver == 0 {
		return nil
	}
	var m struct {
		Profiles []android.ManifestEntry `json:"profiles"`
	}
	android.Decode([]byte(`{"profiles":`+d.policy.Value().profiles+`}`), &m) // was read before
	return m.Profiles
}

// google tells whether Google's services are on the device.
func (d *Android) google() bool { return d.bond.Value().mode.Google() && !d.real() }

// real tells whether the device is a machine.
func (d *Android) real() bool { return d.model != nil && d.model.Tell != nil }

// Push returns the id under which the device is woken through FCM; empty: it is not managed, or has no Google services.
func (d *Android) Push() string {
	switch {
	case d.names == "":
		return ""
	case d.real():
		return d.model.FID
	case !d.google():
		return ""
	}
	var b [16]byte
	key := uint64(d.core.Enrolments())<<16 | uint64(d.tokens)
	for i := 0; i < len(b); i += 8 {
		binary.BigEndian.PutUint64(b[i:], d.core.Draw(1<<64-1, chanceToken, key<<1|uint64(i/8)))
	}
	return "f-" + hex.EncodeToString(b[:])
}

// ChangeToken gives the device another push id, as happens after a restore. It tells the server at its next check-in, which is due at once.
func (d *Android) ChangeToken(now protocol.Time) {
	d.tokens++
	var out agent.Actions
	d.core.Step(now, &agent.Event{Kind: agent.NewToken}, &out)
}

// Woken tells whether a push to this id wakes the device: call Begin with [Pushed] then.
func (d *Android) Woken(fid string) bool {
	return d.Phase() == agent.Enrolled && !d.core.Off() && fid == d.Push()
}

// Identity returns what is known of the certificate in use.
func (d *Android) Identity() Identity { return identityOfCertificate(d.self.identity().cert) }

// MustEnrol tells whether the device's identity has ended: the server hears it no more, and it enrols again (AUTH-42).
func (d *Android) MustEnrol(now protocol.Time) bool {
	end := d.core.Identity().NotAfter
	return d.Phase() == agent.Enrolled && end != 0 && now >= end
}

// Signer returns an identity ready for use, parsed anew at each call. The error tells that there is none.
func (d *Android) Signer(w Which) (certs.Signer, error) { return d.identityOf(w).signer() }

// Certificate returns the certificate of an identity, DER, not to be changed; nil: there is none.
func (d *Android) Certificate(w Which) []byte { return d.identityOf(w).cert }

func (d *Android) identityOf(w Which) identity {
	switch {
	case w == Current:
		return d.self.identity()
	case w == Next && d.androidTask != nil && d.incoming != nil:
		return *d.incoming
	}
	return identity{}
}

// keepsCommands is how many commands a device remembers at least.
const keepsCommands = 1000

func (d *Android) remembers(command string) bool { return slices.Contains(d.done, id(command)) }

func (d *Android) remember(command string) {
	if len(d.done) >= keepsCommands {
		d.done = slices.Delete(d.done, 0, 1)
	}
	grown := make([]uint64, len(d.done), len(d.done)+1) // exact: a device sleeps longer than it grows
	copy(grown, d.done)
	d.done = append(grown, id(command))
}

// signed tells whether the statement is the server's; its payload is then read into v.
func (d *Android) signed(typ, text string, v any) bool {
	if d.names == "" || text == "" {
		return false
	}
	for point := range slices.Chunk([]byte(d.bond.Value().keys), sealPoint) {
		if payload, ok := certs.SealKey(point).OpenJWS(typ, text); ok {
			return android.Decode(payload, v) == nil
		}
	}
	return false
}

// sealPoint is the length of a public key on P-256 as a [certs.SealKey].
const sealPoint = 65

// heard reads a notice: zero unless it tells of a change that the device has not heard of, signed by its server (HST-057).
func (d *Android) heard(text string) protocol.Notice {
	var n android.Notice
	if text == "" || !d.signed(android.NoticeType, text, &n) || !d.core.News(n.Notice()) {
		return protocol.Notice{}
	}
	return n.Notice()
}

// ordered tells whether text is the server's own order to leave, for this device in this enrolment (HST-027).
func (d *Android) ordered(text string) (android.Removal, bool) {
	var o android.Order
	device, enrollment := d.Names()
	if !d.signed(android.OrderType, text, &o) || o.Device != device || o.Enrollment != enrollment {
		return "", false
	}
	return o.Mode, true
}

// forget leaves nothing of an enrolment that has ended.
func (d *Android) forget() {
	*d = Android{core: d.core, model: d.model, habits: d.habits, who: d.who, tokens: d.tokens, talks: d.talks}
}
