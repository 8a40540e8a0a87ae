package storetest

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"rollcall/protocol"
	"rollcall/server/store"
)

// previews: what was shown stays for as long as it may be confirmed, and no more of it than the bounds (HST-070).
func previews(s *suite) {
	show := func(id string, when protocol.Time, shown []byte) {
		s.Helper()
		s.must(s.KeepPreview(s.ctx, &store.Preview{ID: id, At: when, Shown: shown}))
	}
	has := func(ids ...string) (found []string) {
		s.Helper()
		for _, id := range ids {
			switch _, err := s.Preview(s.ctx, id); {
			case err == nil:
				found = append(found, id)
			case !errors.Is(err, store.ErrNotFound):
				s.must(err)
			}
		}
		return found
	}
	show("a", at, []byte("one\x00"))
	s.each(func(when string) {
		got, err := s.Preview(s.ctx, "a")
		s.must(err)
		s.equal(when+"preview", *got, store.Preview{ID: "a", At: at, Shown: []byte("one\x00")})
		_, err = s.Preview(s.ctx, "b")
		s.wantErr(when+"an unknown preview", err, store.ErrNotFound)
	})

	show("b", at.Add(time.Hour), []byte("b"))
	show("a", at.Add(time.Hour), []byte("one\x00")) // shown again, and lives on
	show("c", at.Add(store.PreviewLife), []byte("c"))
	s.each(func(when string) {
		s.equal(when+"at the end of the life of the first", has("a", "b", "c"), []string{"a", "b", "c"})
	})
	show("d", at.Add(time.Hour+store.PreviewLife+time.Microsecond), []byte("d"))
	s.each(func(when string) { s.equal(when+"after it", has("a", "b", "c", "d"), []string{"c", "d"}) })
	show("e", at, []byte("e")) // the clock was set back
	s.equal("with the clock set back", has("c", "d", "e"), []string{"c", "d", "e"})

	var ids []string
	for i := range store.PreviewsKept + 3 {
		ids = append(ids, fmt.Sprintf("n%03d", i))
		show(ids[i], at, []byte{byte(i)})
		if i == 4 {
			show("n000", at, []byte{0}) // it is the newest again
		}
	}
	s.each(func(when string) {
		want := slices.Clone(ids[3:]) // n000 was shown after n004, so that only n001 to n003 are too old
		want = append([]string{"n000"}, want[1:]...)
		s.equal(when+"the newest", has(ids...), want)
	})

	half := make([]byte, store.PreviewsBytes/2)
	show("half", at, half)
	show("the other half", at, half)
	show("too much", at, half[:1])
	s.each(func(when string) {
		s.equal(when+"as many bytes", has(append(ids, "half", "the other half", "too much")...), []string{"the other half", "too much"})
	})
	show("all of it", at, append(half, half...))
	show("more than that", at, append(half, half...))
	s.equal("the newest in any case", has("too much", "all of it", "more than that"), []string{"more than that"})
}
