package agent

import (
	"time"

	"rollcall/protocol"
)

// A Phase is how far a device's management has come.
type Phase uint8

// The phases.
const (
	New       Phase = iota // never managed, or an enrolment that did not come about
	Enrolling              // said hello, not yet taken
	Enrolled
	Removed // the enrolment was taken off
	Wiped   // the device was erased
)

var phaseNames = [...]string{"new", "enrolling", "enrolled", "removed", "wiped"}

func (p Phase) String() string {
	if int(p) < len(phaseNames) {
		return phaseNames[p]
	}
	return "invalid"
}

// MarshalText gives the name that String gives.
func (p Phase) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// Times of a device that no server sets.
const (
	FirstRetry = time.Minute        // back-off after the first failure; doubles
	LastRetry  = time.Hour          // longest back-off
	MaxWait    = 24 * time.Hour     // longest Retry-After that is believed (HST-120)
	Grace      = 7 * 24 * time.Hour // how long profiles of the old authority stay, unless a notice says otherwise (AUTH-27)
)

// A talk is where a device stands in its conversation.
type talk uint8

const (
	quiet     talk = iota
	enrolling      // Enrol was sent
	readying       // Ready was sent
	asking         // Ask was sent
	executing      // a command is being carried out
	reporting      // Report was sent
	leaving        // Leave was sent
)

// A flag is a thing that a device must not forget between two conversations.
type flag uint16

const (
	readyDue  flag = 1 << iota // the server has not confirmed the push address
	reportDue                  // the server has not confirmed the report of command
	renewing                   // a new identity waits for the server's first word about it
	wanted                     // this conversation is to ask for work
	again                      // woken while it was talking
	checksOut                  // the enrolment says good-bye when it is removed
	off                        // switched off
	grace                      // told that what it had at the change of epoch has an end (AUTH-27)
	erased                     // nothing is left of the device when it leaves
)

// A Device is one managed device without its network, disk and clock. The caller brings an event and the
// time, and carries out the actions in order. Step does not block, log, start goroutines or keep its
// arguments: the same events at the same times give the same actions. Not safe for concurrent use.
type Device struct {
	next       protocol.Time // next contact by schedule or retry; 0: none
	enrolledAt protocol.Time // when the server took the device; 0: never
	until      protocol.Time // when the reason of the latest NotNow will have gone; 0: unknown or none
	drops      protocol.Time // when the first profile leaves by itself, or might have; 0: none will
	identity   Identity
	seed       uint64 // of all its chance
	profiles   []Profile
	command    protocol.CommandID // being executed, or reported and not confirmed
	id         protocol.Device
	epoch      uint32 // newest change of authority heard of
	round      uint16 // of this conversation
	enrolments uint16 // begun so far
	platform   protocol.Platform
	phase      Phase
	before     Phase // what to fall back to when the enrolment fails
	talk       talk
	status     protocol.Status // of command
	then       Then            // once the report is delivered
	tries      uint8           // contacts that failed in a row
	flags      flag
}

// An Identity is the life of the certificate by which a device is known: whole seconds, as X.509 keeps them.
type Identity struct {
	NotBefore, NotAfter protocol.Time
}

// NewDevice makes a device that has never been managed. The seed is the source of all its chance: two devices of
// a fleet should not share one.
func NewDevice(id protocol.Device, platform protocol.Platform, seed uint64) Device {
	return Device{id: id, platform: platform, seed: seed}
}

// ID returns the number that the device was made with.
func (d *Device) ID() protocol.Device { return d.id }

// Platform returns the platform that the device was made with.
func (d *Device) Platform() protocol.Platform { return d.platform }

// Phase returns how far the device's management has come.
func (d *Device) Phase() Phase { return d.phase }

// Resting tells whether no conversation is under way.
func (d *Device) Resting() bool { return d.talk == quiet }

// Off tells whether the device was shut down.
func (d *Device) Off() bool { return d.flags&off != 0 }

// Owes tells whether the server has still to confirm something: a push address, a report or a new identity.
func (d *Device) Owes() bool { return d.flags&(readyDue|reportDue|renewing) != 0 }

// Renewing tells whether a new identity waits for the server's first word about it.
func (d *Device) Renewing() bool { return d.flags&renewing != 0 }

// Epoch returns the newest change of authority that the device has heard of.
func (d *Device) Epoch() uint32 { return d.epoch }

// News tells whether n says what the device has not heard: of a newer change of authority (HST-057), or of the same one that
// the seven days of AUTH-27 hold after all, which no notice takes back: a licence may come while a gap holds the device.
func (d *Device) News(n protocol.Notice) bool {
	return n.Epoch > d.epoch || n.Epoch == d.epoch && n.Epoch != 0 && n.Rule != protocol.RuleRegistered && d.flags&grace == 0
}

// Enrolments returns how many enrolments were begun, those that did not come about among them; after 65,535 it starts again.
func (d *Device) Enrolments() uint16 { return d.enrolments }

// EnrolledAt returns when the server took the device; 0: never, or not yet.
func (d *Device) EnrolledAt() protocol.Time { return d.enrolledAt }

// Identity returns the life of the device's certificate; zero: it has none.
func (d *Device) Identity() Identity { return d.identity }

// SetIdentity tells the device of its certificate.
func (d *Device) SetIdentity(i Identity) { d.identity = i }

// Due returns when the device wants a [Tick]; 0: not until something happens to it.
func (d *Device) Due() protocol.Time {
	if d.flags&off != 0 || d.talk != quiet {
		return 0
	}
	return d.next.Sooner(d.drops)
}

// Drops returns when profiles of the authority before leave d by themselves, on the network or not (AUTH-27); 0: none will.
func (d *Device) Drops() protocol.Time { return d.drops }

// Expire has them leave when their time is over, as a [Tick] does, and starts no conversation: d is off the network.
func (d *Device) Expire(now protocol.Time, out *Actions) {
	out.List = out.List[:0]
	d.expire(now, out)
}

// Hear takes what the server says of the newest change amid a conversation, before what else it says is carried out: that is of the
// authority in force (AUTH-26).
func (d *Device) Hear(now protocol.Time, n protocol.Notice, out *Actions) {
	out.List = out.List[:0]
	d.learn(now, n, out)
}

// Step tells d what happened at now and overwrites out with what d wants done. A steady check-in
// allocates nothing. An event that does not fit (an answer to nothing, a wake-up of a device that is off or
// not managed) changes nothing.
func (d *Device) Step(now protocol.Time, ev *Event, out *Actions) {
	out.List = out.List[:0]
	switch ev.Kind {
	case Tick:
		d.tick(now, out)
	case Woken:
		d.woken(out)
	case Enrol:
		d.enrol(ev, out)
	case Answered:
		d.learn(now, ev.Reply.Notice, out)
		d.answered(now, ev, out)
	case Failed, Refused:
		d.learn(now, ev.Notice, out)
		d.failed(now, ev, out)
	case Executed:
		if d.talk == executing {
			d.status, d.then, d.until = ev.Status, ev.Then, ev.Until
			d.flags = d.flags&^renewing | reportDue
			d.report(out)
		}
	case NewToken:
		if d.phase == Enrolled {
			d.flags |= readyDue
			d.next = now
		}
	case Unenrol:
		d.unenrol(ev, out)
	case PowerOn:
		d.flags &^= off
	case Returned, Missed:
		d.returned(now, ev.Kind == Missed, out)
	}
}
