package dialect

import (
	"bytes"
	"encoding/binary"
	"strings"
	"unique"

	"github.com/google/uuid"
	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// A resting is what a device's enrolment has of its own, while it does nothing: its key, its certificate, and the UUIDs of its enrolment
// profile and of the payloads in it. Of the bytes of a certificate a device keeps those that are its own; what an authority puts
// into each (its name, what the certificate is for, the kinds of key and signature) is held once for all its devices. That is a
// third of a device's memory. The zero resting has nothing.
type resting struct {
	shared unique.Handle[mould]
	own    string // UUIDs, key and own pieces of the certificate, a varint of its length before each
}

// A mould is what the certificates of one authority have in common, DER: before the first own piece nothing, then what follows each.
type mould [pieces]string

// pieces is how many own pieces a certificate has: its lengths, serial number, validity and subject, public key, key
// identifier, signature.
const pieces = 6

// newResting packs an identity and UUIDs with separators between them. A certificate that is not as RFC 5280, section 4.1 has it is one
// piece.
func newResting(uuids string, i identity) resting {
	if uuids == "" && len(i.cert) == 0 && len(i.key) == 0 {
		return resting{}
	}
	ends, starts := cut(i.cert)
	var m mould
	var own []byte
	put := func(b []byte) { own = append(binary.AppendUvarint(own, uint64(len(b))), b...) }
	put(packUUIDs(uuids))
	put(i.key)
	from := 0
	for p := range pieces {
		put(i.cert[from:ends[p]])
		m[p] = string(i.cert[ends[p]:starts[p]])
		from = starts[p]
	}
	return resting{unique.Make(m), string(own)}
}

// cut finds where the own pieces of a certificate end, and where the next ones begin.
func cut(der []byte) (ends, starts [pieces]int) {
	for p := range pieces {
		ends[p], starts[p] = len(der), len(der)
	}
	at := func(rest cryptobyte.String) int { return len(der) - len(rest) }
	input := cryptobyte.String(der)
	var whole, algorithm, bits cryptobyte.String
	if !input.ReadASN1(&whole, cbasn1.SEQUENCE) || len(input) > 0 {
		return ends, starts
	}
	// The signed part is walked to the end of der rather than to its own, so that at holds in it as well.
	var signed cryptobyte.String
	walk := whole
	if !whole.ReadASN1Element(&signed, cbasn1.SEQUENCE) || !whole.ReadASN1Element(&algorithm, cbasn1.SEQUENCE) ||
		!whole.ReadASN1Element(&bits, cbasn1.BIT_STRING) || len(whole) > 0 || !signed.ReadASN1(&signed, cbasn1.SEQUENCE) {
		return ends, starts
	}
	walk = walk[len(walk)-len(signed)-len(algorithm)-len(bits):]
	var e, s [pieces]int
	s[5], e[5] = len(der), len(der)
	e[0] = at(walk)
	ok := walk.SkipOptionalASN1(cbasn1.Tag(0).ContextSpecific().Constructed()) // version
	s[0] = at(walk)
	ok = ok && walk.SkipASN1(cbasn1.INTEGER)
	e[1] = at(walk)
	ok = ok && walk.SkipASN1(cbasn1.SEQUENCE) && walk.SkipASN1(cbasn1.SEQUENCE) // signature algorithm, issuer
	s[1] = at(walk)
	ok = ok && walk.SkipASN1(cbasn1.SEQUENCE) && walk.SkipASN1(cbasn1.SEQUENCE) // validity, subject
	e[2] = at(walk)
	key := walk
	ok = ok && walk.SkipASN1(cbasn1.SEQUENCE) && key.ReadASN1(&key, cbasn1.SEQUENCE) && key.SkipASN1(cbasn1.SEQUENCE)
	if !ok || len(key) < pointHeader {
		return ends, starts
	}
	e[3] = at(walk)
	s[2] = e[3] - len(key) + pointHeader
	s[3], e[4] = e[3], e[3]
	if i := bytes.Index(walk[:len(walk)-len(algorithm)-len(bits)], keyIdentifier); i >= 0 {
		s[3] = e[3] + i + len(keyIdentifier)
		e[4] = s[3]
		if rest := walk[i+len(keyIdentifier):]; rest.SkipASN1(cbasn1.OCTET_STRING) {
			e[4] = at(rest)
		}
	}
	s[4] = len(der) - len(bits)
	if e[4] > s[4] {
		return ends, starts
	}
	return e, s
}

// pointHeader is how many bytes before a P-256 point are the same for all: BIT STRING, its length, no bits unused, not compressed.
const pointHeader = 4

// keyIdentifier is the object identifier of the extension that names a device's own key (RFC 5280, section 4.2.1.2).
var keyIdentifier = []byte{0x06, 0x03, 0x55, 0x1d, 0x0e}

// identity unpacks the identity.
func (r resting) identity() (i identity) {
	if r == (resting{}) {
		return i
	}
	m := r.shared.Value()
	size := len(r.own)
	for _, s := range m {
		size += len(s)
	}
	_, own := piece(r.own)
	next, own := piece(own)
	b := append(make([]byte, 0, size), next...)
	key := len(b)
	for p := range pieces {
		next, own = piece(own)
		b = append(append(b, next...), m[p]...)
	}
	if key > 0 {
		i.key = b[:key:key]
	}
	if len(b) > key {
		i.cert = b[key:]
	}
	return i
}

// uuids unpacks the UUIDs.
func (r resting) uuids() string {
	if r == (resting{}) {
		return ""
	}
	packed, _ := piece(r.own)
	return unpackUUIDs(packed)
}

// piece takes the first piece off what newResting made.
func piece(own string) (first, others string) {
	n, shift := 0, 0
	for i := 0; ; i++ {
		n |= int(own[i]&0x7f) << shift
		shift += 7
		if own[i] < 0x80 {
			return own[i+1 : i+1+n], own[i+1+n:]
		}
	}
}

// How UUIDs are packed; the first byte tells.
const (
	asText    = iota // as they came
	upperCase        // 16 bytes each
	lowerCase        // 16 bytes each
)

func packUUIDs(text string) []byte {
	upper, lower := []byte{upperCase}, []byte{lowerCase}
	for s := range strings.SplitSeq(text, separator) {
		id, err := uuid.Parse(s)
		if err != nil {
			upper, lower = nil, nil
			break
		}
		upper, lower = append(upper, id[:]...), append(lower, id[:]...)
	}
	for _, packed := range [...][]byte{upper, lower} {
		if packed != nil && unpackUUIDs(string(packed)) == text { // as servers write them, and the document must be the same again
			return packed
		}
	}
	return append([]byte{asText}, text...)
}

func unpackUUIDs(packed string) string {
	how, packed := packed[0], packed[1:]
	if how == asText {
		return packed
	}
	var list []string
	for ; len(packed) > 0; packed = packed[len(uuid.UUID{}):] {
		s := uuid.UUID([]byte(packed[:len(uuid.UUID{})])).String()
		if how == upperCase {
			s = strings.ToUpper(s)
		}
		list = append(list, s)
	}
	return strings.Join(list, separator)
}
