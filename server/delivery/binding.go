package delivery

import (
	"strconv"

	"rollcall/protocol"
)

// identify holds the certificate of a message against the device that the message names (apple.md section 4.3; APL-023).
// It says no by itself. The first message with a renewed identity makes that the device's own and retires the one
// before (AUTH-41).
func (d *decision) identify() bool {
	c, s := &d.in.Credential, d.s
	present := c.Fingerprint == s.Identity.Fingerprint
	switch {
	case s.Life == NoLife || !present && c.Device == 0:
		d.refuse("HST-033", WhatWrongIdentity, "the certificate is not enrolled")
	case !present && c.Device != s.Device:
		d.stranger()
	case present && s.Life == Ended && d.in.Verb == protocol.Leave:
		return true // a repeated farewell, perhaps of a device that was told to go (APL-036)
	case !d.valid():
	case present:
		return true
	case c.Purpose == ForRenewal && (s.Life == Enrolled || s.Life == Deleted):
		d.promote()
		return true
	default:
		d.oldIdentity()
	}
	return false
}

// valid refuses a certificate outside its life or revoked. A certificate that its device has replaced is told apart,
// since somebody must have kept it.
func (d *decision) valid() bool {
	c, s := &d.in.Credential, d.s
	replaced := c.Device == s.Device && c.Fingerprint != s.Identity.Fingerprint && s.Life != NoLife &&
		(c.Revoked || c.NotBefore < s.Identity.NotBefore)
	switch {
	case replaced:
		d.oldIdentity()
	case c.Revoked:
		d.refuse(protocol.RuleNotRenewed, WhatRefused, "the identity is revoked")
	case d.now >= c.NotAfter:
		d.refuse(protocol.RuleNotRenewed, WhatRefused, "the identity expired on "+c.NotAfter.String())
	case d.now < c.NotBefore:
		d.refuse("HST-031", WhatRefused, "the identity is not valid before "+c.NotBefore.String())
	default:
		return true
	}
	return false
}

func (d *decision) oldIdentity() {
	d.refuse("HST-032", WhatOldIdentity, "the identity was replaced by a newer one")
}

// stranger refuses a device that calls itself another one. Both hear of it in the journal; neither changes (HST-033).
func (d *decision) stranger() {
	other := d.in.Credential.Device
	d.refuse("HST-033", WhatWrongIdentity, "the certificate belongs to device "+strconv.Itoa(int(other)))
	d.out.Effects = append(d.out.Effects, Effect{
		Kind: Journal, Device: other, Rule: "HST-033", What: WhatWrongIdentity, Detail: "used for device " + strconv.Itoa(int(d.s.Device)),
	})
}

// promote makes the renewed identity that the message came with the device's own.
func (d *decision) promote() {
	d.effect(Supersede, d.s.Identity.Fingerprint)
	d.n.Identity = d.in.Credential.Identity
	rare := d.rare()
	rare.Next, rare.Renewal.Asked, rare.Renewal.Tries = Identity{}, 0, 0 // the command itself waits for its report
	d.out.Changed |= Core
	d.journal(WhatRenewed, protocol.RuleRenewal, "valid until "+d.n.Identity.NotAfter.String())
}
