package host

import (
	"context"
	"encoding"

	"rollcall/agent/dialect"
	"rollcall/agent/link"
	"rollcall/protocol"
)

// A device is this machine as what it is managed: one of package dialect's, each in a file of its own.
type device interface {
	link.Device
	encoding.BinaryAppender
	encoding.BinaryUnmarshaler
	Due() protocol.Time
	Expire(now protocol.Time) (dropped int)
	EnrolledAt() protocol.Time
	Identity() dialect.Identity
	Renewing() bool // an identity waits for the server's first word about it

	enrol(ctx context.Context, h *Host) (link.Report, error) // with what the link brought
	share(h *Host)                                           // what the machine is now, and what is done for the device
	taken() bool                                             // the server has it: there is nothing to begin again
	settled(now protocol.Time)                               // after each conversation
	back(now protocol.Time) (wait bool)                      // it was away, and is to wait until it is due: not all that were come at once
	listed() string                                          // as what its server lists it; empty: as its UDID
	organization() string                                    // as the server calls itself
	push() address
	woken(magic string) bool
	// reached takes where a push service says that it reaches the machine; false: that is new, and the server is to hear of it.
	reached(h *Host, where string) (known bool)
	profiles() []dialect.Profile
	// document is a profile as a property list, where it did not come as one.
	document(p *dialect.Profile) []byte
}

// An address is what a device says to its push service.
type address struct {
	service string // as package wake calls it; empty: nothing wakes the device
	topic   string
	token   []byte // nil: a secret of the host's
	magic   string // empty: all that comes wakes it
	where   string // the service reaches it there, as far as the server knows; empty: nowhere yet, or by its token
}

// newDevice makes a device of a kind, for its bytes or an enrolment.
func newDevice(kind protocol.Platform) device {
	switch kind {
	case protocol.Windows:
		return &windowsDevice{&dialect.Windows{}}
	case protocol.Android:
		return &androidDevice{&dialect.Android{}}
	}
	return &appleDevice{&dialect.Apple{}}
}

// read makes the device that the state has; nil: there is none.
func (r *record) read() (device, error) {
	if r.Device == nil {
		return nil, nil
	}
	d := newDevice(r.Kind)
	return d, d.UnmarshalBinary(r.Device)
}
