package dialect

import (
	"crypto/sha256"
	"time"

	"rollcall/certs"
	"rollcall/protocol"
	"rollcall/protocol/apple"
)

// orderLife is how far an order's time may lie from the device's, either way: clocks of laboratories are not set well, and an order
// that somebody kept is to end.
const orderLife = 24 * time.Hour

// ordered tells whether value is the server's own order to leave, for this device under the identity in use, given about now and signed
// with the key that came with the enrolment profile (HST-027).
func (d *Apple) ordered(now protocol.Time, value string) bool {
	return d.bonded() && ordered(value, d.UDID(), d.Certificate(Current), d.bond.Value().notices, now.Add(-d.habits.Ahead))
}

func ordered(value, device string, certificate []byte, by certs.SealKey, now protocol.Time) bool {
	if value == "" {
		return false
	}
	o, words, signature, err := apple.DecodeOrder(value)
	return err == nil && o.Device == device && o.Certificate == sha256.Sum256(certificate) && now.Sub(o.At).Abs() <= orderLife &&
		by.Verified(apple.OrderHeader, words, signature)
}
