package dialect

import (
	"crypto/sha256"
	"time"

	"rollcall/protocol"
	"rollcall/protocol/apple"
)

// orderLife is how far an order's time may lie from the device's, either way: clocks of laboratories are not set well, and an order
// that somebody kept is to end.
const orderLife = 24 * time.Hour

// ordered tells whether value is the server's own order to leave, for this device under the identity in use, given about now and signed
// with the key that came with the enrolment profile (HST-027).
func (d *Apple) ordered(now protocol.Time, value string) bool {
	if value == "" || !d.bonded() {
		return false
	}
	o, words, signature, err := apple.DecodeOrder(value)
	return err == nil && o.Device == d.UDID() && o.Certificate == sha256.Sum256(d.Certificate(Current)) && now.Sub(o.At).Abs() <= orderLife &&
		d.bond.Value().notices.Verified(apple.OrderHeader, words, signature)
}
