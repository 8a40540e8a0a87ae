package population

import (
	"math/rand/v2"
	"strconv"
	"strings"

	"rollcall/protocol"
)

// A kind of hardware that a mix makes, with its weight among its platform's and, for Apple's phones and pads, the
// chip that their UDIDs begin with.
type hardware struct {
	Model
	weight int
	chip   uint32
}

var hardwareOf = map[protocol.Platform][]hardware{
	protocol.IOS: {
		{Model{"iPhone 13", "iPhone14,5", "Apple"}, 20, 0x8110},
		{Model{"iPhone 14", "iPhone14,7", "Apple"}, 25, 0x8110},
		{Model{"iPhone 15", "iPhone15,4", "Apple"}, 25, 0x8120},
		{Model{"iPhone 15 Pro", "iPhone16,1", "Apple"}, 10, 0x8130},
		{Model{"iPhone 16", "iPhone17,3", "Apple"}, 20, 0x8140},
	},
	protocol.IPadOS: {
		{Model{"iPad (9th generation)", "iPad12,1", "Apple"}, 35, 0x8030},
		{Model{"iPad (10th generation)", "iPad13,18", "Apple"}, 45, 0x8101},
		{Model{"iPad Air (5th generation)", "iPad13,16", "Apple"}, 20, 0x8103},
	},
	protocol.MacOS: {
		{Model{"MacBook Air", "MacBookAir10,1", "Apple"}, 30, 0},
		{Model{"MacBook Air", "Mac14,2", "Apple"}, 40, 0},
		{Model{"MacBook Pro", "Mac15,3", "Apple"}, 20, 0},
		{Model{"Mac mini", "Mac14,3", "Apple"}, 10, 0},
	},
	protocol.Android: {
		{Model{"Pixel 8", "", "Google"}, 25, 0},
		{Model{"Galaxy A55", "", "Samsung"}, 45, 0},
		{Model{"Galaxy XCover7", "", "Samsung"}, 30, 0},
	},
	protocol.Windows: {
		{Model{"Latitude 7450", "", "Dell Inc."}, 40, 0},
		{Model{"OptiPlex 7020", "", "Dell Inc."}, 30, 0},
		{Model{"Surface Laptop 5", "", "Microsoft Corporation"}, 30, 0},
	},
}

// A version of an operating system with its weight.
type version struct {
	name   string
	weight int
}

var versionsOf = map[protocol.Platform][]version{
	protocol.IOS:     {{"17.7.2", 15}, {"18.5", 25}, {"18.6", 60}},
	protocol.IPadOS:  {{"17.7.2", 20}, {"18.5", 25}, {"18.6", 55}},
	protocol.MacOS:   {{"14.7.6", 25}, {"15.5", 30}, {"15.6", 45}},
	protocol.Android: {{"13", 20}, {"14", 35}, {"15", 45}},
	protocol.Windows: {{"10.0.22631.5624", 45}, {"10.0.26100.4652", 55}},
}

// equip draws hardware and version of p.
func equip(r *rand.PCG, p protocol.Platform) (*hardware, string) {
	kinds, versions := hardwareOf[p], versionsOf[p]
	var weights [8]int
	for i := range kinds {
		weights[i] = kinds[i].weight
	}
	h := &kinds[weighted(r, 100, weights[:len(kinds)]...)]
	for i := range versions {
		weights[i] = versions[i].weight
	}
	return h, versions[weighted(r, 100, weights[:len(versions)]...)].name
}

// productOf returns Apple's ProductName for a marketing name, or one that exists when the name is not known.
func productOf(p protocol.Platform, model string) string {
	for i := range hardwareOf[p] {
		if h := &hardwareOf[p][i]; strings.EqualFold(h.Name, model) {
			return h.Product
		}
	}
	return hardwareOf[p][0].Product
}

// appendUDID appends an identifier in p's own form (apple.md section 6.1): 8-16 hex digits on iPhones and iPads,
// a UUID elsewhere, in upper case.
func appendUDID(b []byte, p protocol.Platform, chip uint32, hi, lo uint64) []byte {
	if p == protocol.IOS || p == protocol.IPadOS {
		if chip == 0 {
			chip = hardwareOf[p][0].chip
		}
		return appendHex(append(appendHex(b, uint64(chip), 8), '-'), lo, 16)
	}
	hi = hi&^0xf000 | 0x4000 // a random UUID, RFC 9562 section 5.4
	lo = lo&^(3<<62) | 2<<62
	for _, part := range [...]struct {
		value  uint64
		digits int
	}{{hi >> 32, 8}, {hi >> 16 & 0xffff, 4}, {hi & 0xffff, 4}, {lo >> 48, 4}} {
		b = append(appendHex(b, part.value, part.digits), '-')
	}
	return appendHex(b, lo&(1<<48-1), 12)
}

// appendHex appends the last digits of n, in upper case.
func appendHex(b []byte, n uint64, digits int) []byte {
	for digits--; digits >= 0; digits-- {
		b = append(b, "0123456789ABCDEF"[n>>(4*digits)&15])
	}
	return b
}

// appendDecimal appends n, with zeros before it where it has fewer digits.
func appendDecimal(b []byte, n, digits int) []byte {
	least := 1
	for range digits - 1 {
		least *= 10
	}
	for ; n < least && least > 1; least /= 10 {
		b = append(b, '0')
	}
	return strconv.AppendInt(b, int64(n), 10)
}
