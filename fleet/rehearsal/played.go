package rehearsal

import (
	"time"

	"rollcall/fleet"
	"rollcall/fleet/plan"
	"rollcall/fleet/population"
	"rollcall/protocol"
)

// A Played is what a rehearsal has to tell, whole or cut short: findings, lists, charts and the report are made of it and
// of nothing else. It holds about 150 bytes a device and some hundred an hour.
type Played struct {
	Plan       *plan.Plan
	Population *population.Population
	Seed       uint64
	Start, End protocol.Time // End is before Start plus the plan's until where it was cut short
	Partial    bool          // it was cut short

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
	Declined   uint64                   // enrolments that the gap refused
	Barred     map[protocol.Rule]uint64 // enrolments that the server refused, by any rule
	Renewals   uint64
	Removed    uint64  // records removed (AUTH-43, AUTH-48)
	Wire       *Spoken // nil: everything was played by rule alone
	LogSHA256  string  // of the event log's lines
	LogLines   uint64
}

// A Life is what became of one device.
type Life struct {
	Standing   // at the end
	Enrolled   bool
	MustEnrol  bool // only a new enrolment helps (AUTH-42)
	Away       bool // off the network at the end
	Registered protocol.Authority
	Cut        bool          // a push certificate with another topic stranded it, whatever became of it since
	Lapsed     bool          // its identity had ended before it enrolled again
	Bare       bool          // it is at the end without a profile that it had had
	Redundant  uint8         // profiles that nobody assigns any more, left on it at the end (AUTH-36)
	Why        protocol.Rule // why it is stranded or blocked, did not move, or cannot be reached; not enrolled: why the server refused that; empty: none of it

	FirstPending protocol.Time    // when it could have begun to move; 0: it was never to
	MovedAt      protocol.Time    // when it moved or registered anew; the latest; 0: it did not
	LastSeen     protocol.Time    // end of its latest completed check-in; 0: none
	CertEnd      protocol.Time    // end of its identity certificate; 0: it has none, or had one before the story and nobody knows its end
	Blocked      time.Duration    // time that the gap kept it from moving or registering anew
	Silenced     time.Duration    // time that nobody could reach it because the push certificate had ended, whatever it had to do
	Unprotected  [6]time.Duration // by protocol.Family: time without a profile of this family, which it had had
	Unassigned   time.Duration    // of that time, all families, while nobody had assigned another profile

	CheckIns   uint32
	Enrolments uint16
	Again      uint16 // of these, after another one
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
