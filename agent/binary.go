package agent

import (
	"encoding"
	"encoding/binary"
	"fmt"

	"rollcall/protocol"
)

// kept is what a device is in a file, in this order, big-endian; its profiles follow.
type kept struct {
	Next, EnrolledAt, Until, Drops, NotBefore, NotAfter protocol.Time

	Seed     uint64
	Command  protocol.CommandID
	ID       protocol.Device
	Epoch    uint32
	Round    uint16
	Enrolled uint16
	Platform protocol.Platform
	Phase    Phase
	Before   Phase
	Talk     uint8
	Status   protocol.Status
	Then     Then
	Tries    uint8
	Flags    uint16
	Profiles uint16
}

// AppendBinary appends d in a form of fixed length for its number of profiles. It knows no version: whoever keeps
// devices in a file writes one.
func (d *Device) AppendBinary(dst []byte) ([]byte, error) {
	k := kept{
		d.next, d.enrolledAt, d.until, d.drops, d.identity.NotBefore, d.identity.NotAfter,
		d.seed, d.command, d.id, d.epoch, d.round, d.enrolments, d.platform, d.phase, d.before, uint8(d.talk), d.status, d.then, d.tries, uint16(d.flags),
		uint16(len(d.profiles)),
	}
	dst, err := binary.Append(dst, binary.BigEndian, &k)
	if err != nil {
		return nil, err
	}
	return binary.Append(dst, binary.BigEndian, d.profiles)
}

// Cut reads a device from the front of b and returns what follows it. A conversation that was under way is one that
// was cut off. The error wraps [protocol.ErrMalformed].
func (d *Device) Cut(b []byte) (rest []byte, err error) {
	var k kept
	n, err := binary.Decode(b, binary.BigEndian, &k)
	if err != nil {
		return nil, fmt.Errorf("device: too short: %w", protocol.ErrMalformed)
	}
	if k.Platform > protocol.Windows || k.Phase > Wiped || k.Before > Wiped || k.Before.managed() || k.Talk > uint8(leaving) || k.Status > protocol.NotNow || k.Then > Halt {
		return nil, fmt.Errorf("device: unknown state: %w", protocol.ErrMalformed)
	}
	v := Device{
		next: k.Next, enrolledAt: k.EnrolledAt, until: k.Until, drops: k.Drops, identity: Identity{k.NotBefore, k.NotAfter},
		seed: k.Seed, command: k.Command, id: k.ID, epoch: k.Epoch, round: k.Round, enrolments: k.Enrolled, platform: k.Platform, phase: k.Phase, before: k.Before,
		talk: talk(k.Talk), flags: flag(k.Flags), status: k.Status, then: k.Then, tries: k.Tries,
	}
	rest = b[n:]
	if k.Profiles > 0 {
		v.profiles = make([]Profile, k.Profiles)
		if n, err = binary.Decode(rest, binary.BigEndian, v.profiles); err != nil {
			return nil, fmt.Errorf("device: profiles: too short: %w", protocol.ErrMalformed)
		}
		rest = rest[n:]
	}
	v.resume()
	if !v.phase.managed() {
		v.strip(v.phase)
	}
	*d = v
	return rest, nil
}

// resume ends the conversation of a device that was kept in the middle of one.
func (d *Device) resume() {
	switch {
	case d.talk == quiet:
		return
	case d.talk == leaving && d.flags&erased != 0:
		d.phase = Wiped
	case d.talk == leaving:
		d.phase = Removed
	case d.talk == enrolling && d.flags&renewing == 0:
		d.phase = d.before
	default:
		d.next = 1 // long past: at once
	}
	d.talk = quiet
}

var _ encoding.BinaryAppender = (*Device)(nil)
