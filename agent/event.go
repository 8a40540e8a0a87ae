package agent

import (
	"time"

	"rollcall/protocol"
)

// An EventKind is what sort of thing happened to a device.
type EventKind uint8

// The kinds, and what of [Event] each reads.
const (
	Tick     EventKind = iota + 1 // the time that [Device.Due] named has come
	Woken                         // a wake-up, or a user's sync (AUTH-22)
	Enrol                         // the device has what it needs to enrol, or to take a new identity in the command it is executing: CheckOut
	Answered                      // the server took the round that was sent: Reply
	Failed                        // the round got no answer that counts, or the conversation was cut off: RetryAfter, Notice. What is owed comes again
	Refused                       // the round got a final no: RetryAfter, Notice. Only an Enrol is given up for it
	Executed                      // the command of an Execute action was carried out: Status, Then, Until
	NewToken                      // the push address changed: the server must hear of it
	Unenrol                       // the user, or the server in its platform's own way, took the enrolment off: CheckOut; Then: Wipe, where the device is erased with it
	PowerOn                       // somebody switched the device on
	Returned                      // the device is on the network again: what was due meanwhile is made up for, as its platform does that
	Missed                        // a wake-up was kept while the device was off the network, and has come now that it returned
)

// An Event is one thing that happened to a device. Step keeps nothing of it.
type Event struct {
	Kind       EventKind
	Reply      protocol.Reply
	Notice     protocol.Notice
	RetryAfter time.Duration   // the least the server wants us to wait; 0: it did not say
	Status     protocol.Status // Executed: how the command went
	Then       Then            // Executed: what happens once the report is delivered
	Until      protocol.Time   // Executed with NotNow: when the reason will have gone; 0: unknown
	CheckOut   bool            // Enrol: this enrolment says good-bye when it is removed. Unenrol: say it now, if it does
}

// A Then is what a command does only after its report is delivered (apple.md section 6.5).
type Then uint8

// The things that come after a report.
const (
	Nothing Then = iota
	Wipe         // erase the device; the report is sent once, whatever becomes of it
	Leave        // remove the enrolment
	Reboot       // the conversation ends; the device is back when it is woken next
	Halt         // off until somebody switches it on
)

// An ActionKind is what a device wants done.
type ActionKind uint8

// The kinds, and what of [Action] each fills in. No action at all: the device rests.
const (
	Send    ActionKind = iota + 1 // CheckIn, and tell the device Answered, Failed or Refused
	Execute                       // Command, and tell the device Executed (or first Enrol, for a new identity)
	Drop                          // Profile has just left the device (AUTH-27)
	Forget                        // the enrolment has ended: identity, profiles and secrets are gone
)

// An Action is one thing that a device wants done.
type Action struct {
	Kind    ActionKind
	CheckIn protocol.CheckIn
	Command protocol.Command
	Profile Profile
}

// Actions is the output of [Device.Step]. The caller owns it and passes it again and again.
type Actions struct {
	List []Action
}

func (a *Actions) add(x Action) { a.List = append(a.List, x) }
