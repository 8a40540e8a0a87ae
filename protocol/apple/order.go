package apple

import (
	"encoding/base64"
	"fmt"
	"strings"

	"rollcall/protocol"
)

// OrderHeader is the header by which a server proves that an answer which ends a device's management is its own: beside a 403 with
// [UnrecognizedDevice], and beside a command that removes the enrolment profile or erases. The name is rollcall's own; devices that do
// not know it ignore it.
const OrderHeader = "Rollcall-Order"

// maxOrder bounds an order in bytes; a real one has some 250.
const maxOrder = 512

// An Order is for one device under one identity, so that it means nothing to any other, nor to the same one when it is enrolled anew.
type Order struct {
	Device      string        // UDID
	Certificate [32]byte      // SHA-256 of the identity certificate, DER, that the device came with
	At          protocol.Time // when it was given
}

// OrderWords returns what is signed of o: the header's value without the signature, as a dictionary of RFC 9651. Device must be made
// of ASCII letters, digits, hyphens, dots and underscores.
func OrderWords(o *Order) string {
	at, _ := o.At.MarshalText() // has no error
	return fmt.Sprintf(`unenrol="%s", certificate=:%s:, at="%s"`, o.Device, base64.StdEncoding.EncodeToString(o.Certificate[:]), at)
}

// OrderValue returns the value of [OrderHeader].
func OrderValue(words string, signature []byte) string { return signedValue(words, signature) }

// DecodeOrder reads the value of [OrderHeader] and does not verify it: words are what signature is about. Only what OrderValue writes
// of [OrderWords] is taken, so that an order has one form. The error wraps [protocol.ErrMalformed].
func DecodeOrder(value string) (o Order, words string, signature []byte, err error) {
	wrong := func(what string) (Order, string, []byte, error) {
		return Order{}, "", nil, fmt.Errorf("%s: %s: %w", OrderHeader, what, protocol.ErrMalformed)
	}
	words, signature, what := cutSigned(value, maxOrder)
	if what != "" {
		return wrong(what)
	}
	device, rest, _ := strings.Cut(strings.TrimPrefix(words, `unenrol="`), `", certificate=:`)
	certificate, rest, _ := strings.Cut(rest, `:, at="`)
	sum, err := oneForm(certificate)
	if err != nil || len(sum) != len(o.Certificate) {
		return wrong("certificate")
	}
	o.Device, o.Certificate = device, [32]byte(sum)
	if o.At.UnmarshalText([]byte(strings.TrimSuffix(rest, `"`))) != nil {
		return wrong("at")
	}
	if strings.Trim(device, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._") != "" || OrderWords(&o) != words {
		return wrong("not in its one form")
	}
	return o, words, signature, nil
}
