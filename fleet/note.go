package fleet

import "rollcall/protocol"

// What names something that the fleet saw happen to a device, for the event log. What the server saw is in its
// journal; the two are kept apart, so that a difference shows.
type What string

// What a fleet sees.
const (
	Joined    What = "enrolled"         // on the device
	NotJoined What = "enrolment failed" // Detail: why
	Left      What = "left the network" // at night, for a spell or because the plan says so
	Returned  What = "back on the network"
	Renewed   What = "identity replaced"           // Detail: its end
	Outlived  What = "profiles left by themselves" // seven days after a change of authority (AUTH-27); Detail: how many
	Removed   What = "management removed"          // Detail: by whom
	Wiped     What = "wiped"
	Refused   What = "refused"        // Detail: by what
	Locked    What = "identity ended" // it must enrol again (AUTH-42)
)

// A Note is one line of what the fleet saw.
type Note struct {
	At     protocol.Time
	Device int // index in the population
	What   What
	Detail string
}

func (f *Fleet) note(at protocol.Time, device int, what What, detail string) {
	f.lives(at, device, what)
	if f.notes != nil {
		f.notes(Note{at, device, what, detail})
	}
}
