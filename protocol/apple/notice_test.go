package apple

import (
	"errors"
	"strings"
	"testing"
	"time"

	"rollcall/protocol"
)

var notices = []protocol.Notice{
	{},
	{Epoch: 2, ChangedAt: 1_767_603_600_000_000, Rule: "AUTH-21"},
	{Epoch: 1<<32 - 1, ChangedAt: 1_767_603_600_000_001, Rule: "AUTH-14"},
	{Epoch: 2, ChangedAt: 1_767_603_600_000_000, Rule: "AUTH-27", Kept: 3 * 24 * time.Hour},
}

func TestNotice(t *testing.T) {
	const want = `epoch=2, changed="2026-01-05T09:00:00Z", rule="AUTH-21", sig=:c2lnbmVk:`
	if got := NoticeValue(NoticeWords(notices[1]), []byte("signed")); got != want {
		t.Errorf("NoticeValue = %s, want %s", got, want)
	}
	const kept = `epoch=2, changed="2026-01-05T09:00:00Z", rule="AUTH-27", kept=259200` // the setting of AUTH-27
	if got := NoticeWords(notices[3]); got != kept {
		t.Errorf("NoticeWords = %s, want %s", got, kept)
	}
	for _, n := range notices {
		got, words, signature, err := DecodeNotice(NoticeValue(NoticeWords(n), []byte("signed")))
		if err != nil || got != n || words != NoticeWords(n) || string(signature) != "signed" {
			t.Errorf("DecodeNotice of %+v = %+v, %q, %q, %v", n, got, words, signature, err)
		}
	}
}

func TestNoticeHasOneForm(t *testing.T) {
	good := NoticeValue(NoticeWords(notices[1]), []byte("signed"))
	kept := NoticeValue(NoticeWords(notices[3]), []byte("signed"))
	for _, bad := range []string{
		strings.Replace(kept, "=259200", "=0", 1), strings.Replace(kept, "=259200", "=0259200", 1), strings.Replace(kept, "=259200", "=4294967296", 1),
		strings.Replace(kept, "=259200", "=4000000000", 1), strings.Replace(kept, "=259200", "=-1", 1), strings.Replace(kept, "=259200", "=", 1),
		"", "epoch=2", good + " ", " " + good, good[:len(good)-1], strings.Replace(good, ", ", ",", 1),
		strings.Replace(good, "epoch=2", "epoch=02", 1), strings.Replace(good, "epoch=2", "epoch=4294967296", 1),
		strings.Replace(good, "epoch=2", "epoch=-1", 1), strings.Replace(good, "09:00:00Z", "10:00:00+01:00", 1),
		strings.Replace(good, `", sig`, `", more, sig`, 1), strings.Replace(good, `", rule`, `",rule`, 1),
		strings.Replace(good, "c2lnbmVk", "c2lnbmVk!", 1), strings.Replace(good, "c2lnbmVk", "c2lnbm\rVk", 1), strings.Replace(good, "c2lnbmVk", "c2lnbmVk\n", 1),
		strings.Replace(good, "AUTH-21", "AUTH\x0021", 1),
		strings.Replace(good, "AUTH-21", strings.Repeat("A", 600), 1),
	} {
		if n, _, _, err := DecodeNotice(bad); !errors.Is(err, protocol.ErrMalformed) || n != (protocol.Notice{}) {
			t.Errorf("DecodeNotice(%q) = %+v, %v; want nothing and ErrMalformed", bad, n, err)
		}
	}
}

func FuzzDecodeNotice(f *testing.F) {
	for _, n := range notices {
		f.Add(NoticeValue(NoticeWords(n), []byte("signed")))
	}
	f.Fuzz(func(t *testing.T, value string) {
		n, words, signature, err := DecodeNotice(value)
		if err == nil && NoticeValue(NoticeWords(n), signature) != value {
			t.Errorf("%q was read as %+v, %q, which is %q", value, n, words, NoticeValue(NoticeWords(n), signature))
		}
	})
}
