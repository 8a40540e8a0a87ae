package delivery

import "rollcall/protocol"

// A Key names a message whose protocol may repeat it; the zero Key names none.
type Key [16]byte

// An Exchange is what a repeated message gets again, byte for byte.
type Exchange struct {
	Key    Key
	Answer []byte
}

// Parts says which parts of a State a decision changed and must be durable.
type Parts uint8

// The parts. A round that changes none of them is not written at all: LastSeen and Push.Since may lag on disk.
const (
	Core     Parts = 1 << iota // everything that is not below
	Profiles                   // State.Profiles
	Wakes                      // State.Wake
	Secrets                    // Unlock, Escrow
	FactsToo                   // Outcome.Facts
	Gone                       // the record itself is removed, or not made, with its commands, facts and exchanges; its journal stays
	Address                    // State.Push
	Counts                     // State.Seq, Reports
)

// An EffectKind is what is to happen beside the device's own state, in the same commit.
type EffectKind uint8

// The kinds of effect.
const (
	Journal   EffectKind = iota + 1 // a line for the journal: Rule, What, Detail
	Bind                            // Credential now belongs to Device
	Revoke                          // Credential is no longer accepted
	Supersede                       // Credential was replaced by one that has been used since (AUTH-41): kept, so that Decide can say who still uses it
)

// What names what happened to a device, for journal, event log and report.
type What string

// What can happen so far. The list grows with the server; scripts may rely on the words.
const (
	WhatEnrolled         What = "enrolled"
	WhatEnded            What = "ended"
	WhatRegistered       What = "registered" // with an authority: Detail names it
	WhatRefused          What = "refused"
	WhatQueued           What = "command queued"
	WhatReported         What = "command reported"
	WhatProfileInstalled What = "profile installed"
	WhatProfileFailed    What = "profile failed"
	WhatProfileRemoved   What = "profile removed"
	WhatRenewalAsked     What = "renewal asked"
	WhatRenewed          What = "identity renewed"
	WhatOldIdentity      What = "old identity used"
	WhatWrongIdentity    What = "identity of another device"
	WhatDuplicate        What = "second device with this identifier"
	WhatSameSerial       What = "second device with this serial number"
	WhatUnreachable      What = "push address unusable"
	WhatReachable        What = "push address renewed"
	WhatUnknownReport    What = "report of an unknown command"
	WhatRecordRemoved    What = "record removed"
	WhatIssued           What = "identity issued"  // to a renewal; it is not used yet
	WhatDeferred         What = "command deferred" // NotNow
	WhatRevoked          What = "identity revoked"
	WhatWithdrawn        What = "commands withdrawn" // their enrolment is over
	WhatConfigured       What = "configured"         // let out of the setup assistant
	WhatTenant           What = "tenant changed"     // by an administrator: Detail says what
	WhatPushCertificate  What = "push certificate changed"
	WhatPushSuspended    What = "push certificate refused"
	WhatAttested         What = "attestation"          // of a device's key store, as it enrols: Detail says what
	WhatPushRefused      What = "push service refuses" // this server, whatever the device: not Apple's
)

// An Effect is one thing to be kept or done in the same durable commit as the state.
type Effect struct {
	Kind        EffectKind
	Device      protocol.Device
	Fingerprint Fingerprint   // Bind, Revoke, Supersede
	Farewell    protocol.Time // Revoke: until when its device may say with it that it left, as it was told to; 0: it may not
	Rule        protocol.Rule
	What        What
	Detail      string // one line; names of profiles and commands, never secrets
	Actor       string // Journal: who did it; filled in by the shell
}

// A CommandChange is one row of the command history to be written.
type CommandChange struct {
	Queued
	Status protocol.Status // NoStatus: newly queued; else how it was answered
	Final  bool            // it has left the queue
	Result []byte          // the raw report
	Errors string
}

// An Outcome is all that one decision decided. The caller owns it and passes it again and again: Commands, Effects
// and Exchange.Answer are overwritten by the next decision, and Result and Errors of a command may alias the request,
// so a store copies what it keeps of them. State and Facts may be kept as they are.
type Outcome struct {
	State     State
	Changed   Parts
	Reply     protocol.Reply
	Refusal   protocol.Refusal // zero: none
	Completed bool             // this round ended the check-in: only then may the device move (I2)
	Commands  []CommandChange
	Effects   []Effect
	Facts     *Facts
	Exchange  Exchange // zero key: none

	queues   [][]Queued // room for the next decisions'
	profiles [][]Assigned
}

// Reuse tells the outcome that nobody has the queue and the profiles any more that a state had before it was decided on: later
// decisions make their own where they were.
func (o *Outcome) Reuse(queue []Queued, profiles []Assigned) {
	o.queues = spare(o.queues, queue, o.State.Queue)
	o.profiles = spare(o.profiles, profiles, o.State.Profiles)
}

// spares is how many lists are kept to be made again.
const spares = 8

// spare adds old to all, unless it is the same as now.
func spare[T any](all [][]T, old, now []T) [][]T {
	if cap(old) == 0 || len(all) == spares || cap(now) > 0 && &old[:1][0] == &now[:1][0] {
		return all
	}
	return append(all, old[:0])
}

// again takes an empty list with room for more than n out of all.
func again[T any](all *[][]T, n, more int) []T {
	if last := len(*all) - 1; last >= 0 {
		list := (*all)[last]
		*all = (*all)[:last]
		if cap(list) > n {
			return list
		}
	}
	return make([]T, 0, n+more)
}

// Steady tells whether the decision left nothing but when the device was seen and when it is to be woken next.
func (o *Outcome) Steady() bool {
	return o.Changed&^Wakes == 0 && o.Reply.Kind != protocol.Work && o.Refusal.Rule == "" && len(o.Effects) == 0 && len(o.Commands) == 0 && o.Exchange.Key == (Key{})
}
