package sqlstore

import (
	"context"
	"fmt"

	"rollcall/protocol"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

// exchanges are the keys of a device's latest answers; the answers are on disk, where they are hardly ever asked for. The
// nth answer, counted from 0, is in slot nth modulo store.ExchangesKept.
type exchanges struct {
	next uint64
	keys [store.ExchangesKept]delivery.Key
}

func (x *exchanges) add(k delivery.Key) {
	x.keys[x.next%store.ExchangesKept] = k
	x.next++
}

// find returns the number of the newest answer with this key.
func (x *exchanges) find(k delivery.Key) (nth uint64, ok bool) {
	for i := uint64(1); i <= min(x.next, store.ExchangesKept); i++ {
		if x.keys[(x.next-i)%store.ExchangesKept] == k {
			return x.next - i, true
		}
	}
	return 0, false
}

func (s *Store) loadExchanges(d protocol.Device, x *exchanges) error {
	return s.query(context.Background(), s.read, selectFrom("exchanges", "nth", "key")+"WHERE device=? ORDER BY nth", func(r *row) {
		x.next = num[uint64](r)
		var k delivery.Key
		copy(k[:], r.blob())
		x.add(k)
	}, int64(d))
}

func (s *Store) answer(d protocol.Device, nth uint64) ([]byte, error) {
	var answer []byte
	found := false
	err := s.query(context.Background(), s.read, "SELECT answer FROM exchanges WHERE device=? AND nth=?", func(r *row) {
		answer, found = r.blob(), true
	}, int64(d), int64(nth)) // in whatever slot: a process before this one may have had fewer
	if err == nil && !found {
		err = fmt.Errorf("answer %d of device %d is gone", nth, d)
	}
	return answer, err
}
