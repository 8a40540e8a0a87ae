package store

import "hash/maphash"

// An index finds numbers by what they stand for: it keeps nothing but the numbers, where a map would keep three times as much of each
// device. The zero index is empty.
type index struct {
	slots []uint32 // a number is at its hash, or in the next place that was free; 0: free. At most three in four are taken
	taken int
}

// seed is of the hashes of all indexes.
var seed = maphash.MakeSeed()

// find returns the number with this hash of which is says so; 0: there is none.
func (x *index) find(hash uint64, is func(n uint32) bool) uint32 {
	if x.taken == 0 {
		return 0
	}
	for at := x.place(hash); x.slots[at] != 0; at = x.place(uint64(at) + 1) {
		if n := x.slots[at]; is(n) {
			return n
		}
	}
	return 0
}

func (x *index) place(hash uint64) int { return int(hash & uint64(len(x.slots)-1)) }

// grow makes room for n numbers.
func (x *index) grow(n int, hashOf func(n uint32) uint64) {
	size := max(64, len(x.slots))
	for 4*n > 3*size {
		size *= 2
	}
	if size == len(x.slots) {
		return
	}
	all := x.slots
	x.slots, x.taken = make([]uint32, size), 0
	for _, n := range all {
		if n != 0 {
			x.put(hashOf(n), n)
		}
	}
}

// add adds a number that is not there.
func (x *index) add(n uint32, hashOf func(n uint32) uint64) {
	x.grow(x.taken+1, hashOf)
	x.put(hashOf(n), n)
}

func (x *index) put(hash uint64, n uint32) {
	at := x.place(hash)
	for x.slots[at] != 0 {
		at = x.place(uint64(at) + 1)
	}
	x.slots[at] = n
	x.taken++
}

// remove takes out a number that is there, and has those after it move up that would not be found otherwise.
func (x *index) remove(n uint32, hashOf func(n uint32) uint64) {
	at := x.place(hashOf(n))
	for x.slots[at] != n {
		at = x.place(uint64(at) + 1)
	}
	x.slots[at] = 0
	x.taken--
	for at = x.place(uint64(at) + 1); x.slots[at] != 0; at = x.place(uint64(at) + 1) {
		moved := x.slots[at]
		x.slots[at] = 0
		x.taken--
		x.put(hashOf(moved), moved)
	}
}
