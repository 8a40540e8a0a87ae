// Package store is the server's port to whatever keeps its state: small interfaces over the state types of
// delivery and authority, plus [Memory]. What each method promises is said at the method; storetest holds every
// store against it.
//
// A promise that all methods share: when one that changes something returns nil, the change survives a crash of
// the process and of the machine (Memory: of neither); when it returns an error, nothing of it was kept.
package store

import (
	"context"
	"errors"

	"rollcall/protocol"
	"rollcall/server/delivery"
)

// Errors that callers tell apart; every store wraps them.
var (
	ErrNotFound = errors.New("not found")
	ErrFull     = errors.New("no space left") // reads go on; the caller may try again (HST-092)
	ErrClosed   = errors.New("store is closed")
)

// A Full is an [ErrFull] in a sentence for whoever can make room.
type Full struct {
	Place string // a folder or a file
	Err   error  // what the system or the database said
}

func (f *Full) Error() string {
	return "the disk of " + f.Place + " is full, or a quota or limit on its files is reached: make free space there, then try again"
}

// Unwrap returns ErrFull and what the system said.
func (f *Full) Unwrap() []error { return []error{ErrFull, f.Err} }

// A Store keeps everything that the server must not lose. Safe for concurrent use.
type Store interface {
	Devices
	Identities
	Catalogue
	Previews
	Close() error
}

// Devices keeps the state machines, their queues and the outbox of wake-ups.
type Devices interface {
	// Device returns the number of the device that the wire calls id, or ErrNotFound.
	Device(ctx context.Context, id string) (protocol.Device, error)

	// Begin gives the caller the device alone until Tx.End; others wait for it, until their ctx ends. ErrNotFound
	// when there is no such device.
	Begin(ctx context.Context, d protocol.Device) (Tx, error)

	// Create is Begin for the device that the wire calls id; where there is no record a new one (State zero but
	// for its number) is made. The new record is kept only if the Tx commits.
	Create(ctx context.Context, id string) (Tx, error)

	// Records returns up to n records with numbers above after, ascending.
	Records(ctx context.Context, after protocol.Device, n int) ([]Record, error)

	// States calls f with the state of each record, ascending by number, as it is at that moment: what is there to be read, and not
	// beyond the call. F must not call the store.
	States(ctx context.Context, f func(s *delivery.State)) error

	// Record returns one record, or ErrNotFound.
	Record(ctx context.Context, d protocol.Device) (Record, error)

	// History returns the commands of d, newest first, at most n.
	History(ctx context.Context, d protocol.Device, n int) ([]delivery.CommandChange, error)

	// Due returns up to n reachable devices (Life Enrolled, Push.Unreachable false) whose Wake is due at now or
	// before, by due time, then number. Without apple those of Apple are left out: their push service may be the one that
	// cannot be used.
	Due(ctx context.Context, now protocol.Time, n int, apple bool) ([]protocol.Device, error)

	// NextDue returns when the next such wake-up is due; 0: none.
	NextDue(ctx context.Context, apple bool) (protocol.Time, error)

	// Journal returns the first n journal lines, or fewer, that f picks, ascending.
	Journal(ctx context.Context, f LineFilter, n int) ([]Line, error)

	// Removed returns the numbers of the removed records that the wire called id, ascending, and RemovedID what it called
	// one, or ErrNotFound: the journal has their numbers still.
	Removed(ctx context.Context, id string) ([]protocol.Device, error)
	RemovedID(ctx context.Context, d protocol.Device) (string, error)

	// JournalEnd returns the sequence number of the newest journal line; 0: there is none.
	JournalEnd(ctx context.Context) (uint64, error)

	// VerifyJournal follows the journal from its first line to its head and returns the head. The error is a [*Break]
	// where a line was changed, removed, moved or slipped in since it was written, at the end too (HST-074).
	VerifyJournal(ctx context.Context) (Head, error)
}

// ExchangesKept is how many answers for repeated messages are kept of one device: those to all rounds of the longest conversation
// there is, the check-in of an Android device (AND-073).
const ExchangesKept = 16

// A Tx is one event's hold on one device.
type Tx interface {
	// State is the device's state; read only, valid until End.
	State() *delivery.State

	// Said is Said of the device's facts.
	Said() string

	// Answered fills out.Exchange and returns true when a message with this key was answered before, and is among the
	// [ExchangesKept] latest that were.
	Answered(key delivery.Key, out *delivery.Outcome) bool

	// Commit makes everything in out durable as one: what Changed names of the state, commands, effects, facts and
	// exchange. With nothing to write it costs no I/O; State still becomes the one others see.
	Commit(now protocol.Time, out *delivery.Outcome) error

	// End gives the device back; what was not committed is forgotten.
	End()
}

// A Record is one device as administrators see it.
type Record struct {
	ID    string // what the wire calls it
	State delivery.State
	Facts delivery.Facts
}

// A Grant is the right to one identity certificate: what stands behind one SCEP challenge or one enrolment link.
type Grant struct {
	Hash      [32]byte // of the challenge; the challenge itself is kept nowhere (HST-037)
	Purpose   delivery.Purpose
	User      delivery.UserID   // 0: userless
	Device    protocol.Device   // bound to; 0: not yet known
	ID        string            // the UDID it is bound to; empty: not known
	Serial    string            // ADE: the serial number it is bound to. Android: the enrolment and its mode
	Platform  protocol.Platform // the kind of device it is bound to; zero: any
	Automated bool
	Expires   protocol.Time

	UsedAt      protocol.Time // 0: not yet
	Transaction string        // SCEP transaction that used it
	Request     [32]byte      // SHA-256 of the CSR that used it
	Key         [32]byte      // SHA-256 of that CSR's public key
	Certificate []byte        // DER of what was issued
}

// Identities keeps grants and issued certificates.
type Identities interface {
	// AddGrant keeps a new grant. A known grant with its hash stays as it is, its use included; an unused one ends when g does,
	// if that is later: a renewal that is handed out again, and a link that is opened again, bring the same challenge again.
	AddGrant(ctx context.Context, g *Grant) error

	// Redeem looks up the grant with this hash (nil: there is none) and calls decide, alone on that grant. What
	// decide returns is committed as one: the grant as used, with it the enrolment link of that hash where there is one, and
	// the credential of the certificate that it made. A nil
	// credential: nothing is written. An error of decide is returned as it is and nothing is written.
	Redeem(ctx context.Context, hash [32]byte, decide func(g *Grant) (*Issued, error)) error

	// Credential returns the certificate with this fingerprint, or ErrNotFound. It is asked on every handshake.
	Credential(ctx context.Context, f delivery.Fingerprint) (delivery.Credential, error)

	// KeyUsed tells whether a certificate for this public key (SHA-256 of its PKIX form) was issued before.
	KeyUsed(ctx context.Context, key [32]byte) (bool, error)

	// AddTicket keeps a single-use enrolment link: a grant to a profile, whose own grant has the link's hash. Ticket looks
	// at it, Redeem uses it up; ErrNotFound when it is unknown, used or expired at now.
	AddTicket(ctx context.Context, t *Ticket) error
	Ticket(ctx context.Context, hash [32]byte, now protocol.Time) (*Ticket, error)
}

// Issued is a certificate made for a grant.
type Issued struct {
	Grant      Grant // with the fields of its use filled in
	Credential delivery.Credential
}

// A Ticket is an enrolment link: whoever opens it gets an enrolment profile for its user.
type Ticket struct {
	Hash     [32]byte
	User     delivery.UserID   // 0: userless
	Platform protocol.Platform // the kind of device that it is for; zero: any
	Expires  protocol.Time
	UsedAt   protocol.Time // when a device had its certificate by it; 0: not yet
}
