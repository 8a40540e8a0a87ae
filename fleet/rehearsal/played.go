package rehearsal

import (
	"time"

	"rollcall/fleet"
	"rollcall/fleet/plan"
	"rollcall/fleet/population"
	"rollcall/protocol"
)

// A Played is what a rehearsal has to tell, whole or cut short: findings, lists, charts and the report are made of it and
// of nothing else. It holds about 80 bytes a device and some hundred an hour.
type Played struct {
	Plan       *plan.Plan
	Population *population.Population
	Seed       uint64
	Start, End protocol.Time // End is before Start plus the plan's until where it was cut short
	Partial    bool          // it was cut short
	Devices    []int         // that were played, where those were not all: by the population that was to play, whose part Population is; else nil

	Lives      []Life // by Population.Devices
	Hours      []Hour // by virtual hour from Start; states at its end
	Minutes    []Minute
	Acts       []fleet.Act
	Gaps       []fleet.Gap
	Silences   []fleet.Gap // from when the push certificate in use had ended (AUTH-33) until it was renewed
	Checked    uint64      // times that an invariant was held against an event
	Violated   uint64
	Violations []Violation // the first [Kept]
	CheckIns   uint64      // conversations that the server ended with nothing more to do
	Refused    uint64      // conversations that it refused
	Failed     uint64      // conversations that broke off
	Enrolments uint64
	Barred     map[protocol.Rule]Refusals // enrolments that the server refused
	Late       map[time.Duration]int      // users to whom something of another authority was assigned only so long after it was theirs (AUTH-38)
	Unassigned int                        // users to whom nothing of it is at the end
	Renewals   uint64
	Removed    uint64  // records removed (AUTH-43, AUTH-48)
	Wire       *Spoken // nil: everything was played by rule alone
	LogSHA256  string  // of the event log's lines
	LogLines   uint64
}

// Refusals count attempts that the server refused by one rule, and the devices that made them.
type Refusals struct {
	Attempts uint64
	Devices  int
}

// plus adds those of other devices.
func (r Refusals) plus(s Refusals) Refusals {
	return Refusals{r.Attempts + s.Attempts, r.Devices + s.Devices}
}

// An Hour is how many devices stood how at its end, by platform ([protocol.Platform] minus one).
type Hour struct {
	Enrolled, Moved, Pending, Stale, Blocked, Stranded, Away [len(protocol.Platforms)]uint32
}

// A Minute is what the server met in one virtual minute.
type Minute struct {
	CheckIns uint32 // conversations that devices began, whatever came of them
	Wakes    uint32 // pushes sent
	Issued   uint32 // identity certificates
}
