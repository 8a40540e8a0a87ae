package dialect

import (
	"rollcall/protocol"
	"rollcall/protocol/apple"
)

// heard reads a notice: zero unless it tells of a change that the device has not heard of, signed with the key that came
// with the enrolment profile (HST-057). What is no news is not verified, so a steady check-in costs nothing.
func (d *Apple) heard(value string) protocol.Notice {
	if value == "" || !d.bonded() {
		return protocol.Notice{}
	}
	n, words, signature, err := apple.DecodeNotice(value)
	if err != nil || !d.core.News(n) || !d.bond.Value().notices.Verified(apple.NoticeHeader, words, signature) {
		return protocol.Notice{}
	}
	return n
}
