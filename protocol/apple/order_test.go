package apple

import (
	"errors"
	"strings"
	"testing"

	"rollcall/protocol"
)

var givenOrders = []Order{
	{},
	{Device: "00008101-000A1B2C3D4E001E", Certificate: [32]byte{1, 2, 3}, At: 1_767_603_600_000_000},
}

func TestOrder(t *testing.T) {
	const want = `unenrol="00008101-000A1B2C3D4E001E", certificate=:AQIDAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:, at="2026-01-05T09:00:00Z", sig=:c2lnbmVk:`
	if got := OrderValue(OrderWords(&givenOrders[1]), []byte("signed")); got != want {
		t.Errorf("OrderValue = %s, want %s", got, want)
	}
	for _, o := range givenOrders {
		got, words, signature, err := DecodeOrder(OrderValue(OrderWords(&o), []byte("signed")))
		if err != nil || got != o || words != OrderWords(&o) || string(signature) != "signed" {
			t.Errorf("DecodeOrder of %+v = %+v, %q, %q, %v", o, got, words, signature, err)
		}
	}
}

func TestOrderHasOneForm(t *testing.T) {
	good := OrderValue(OrderWords(&givenOrders[1]), []byte("signed"))
	for _, bad := range []string{
		"", "unenrol", good + " ", " " + good, good[:len(good)-1], strings.Replace(good, ", ", ",", 1), strings.Replace(good, "AQID", "AQI", 1),
		strings.Replace(good, "09:00:00Z", "10:00:00+01:00", 1), strings.Replace(good, `", sig`, `", more, sig`, 1),
		strings.Replace(good, "00008101", `0"0`, 1), strings.Replace(good, "00008101", "0 0", 1), strings.Replace(good, "c2lnbmVk", "c2lnbmVk!", 1),
		strings.Replace(good, "00008101", strings.Repeat("A", 600), 1),
	} {
		if o, _, _, err := DecodeOrder(bad); !errors.Is(err, protocol.ErrMalformed) || o != (Order{}) {
			t.Errorf("DecodeOrder(%q) = %+v, %v; want nothing and ErrMalformed", bad, o, err)
		}
	}
}

func FuzzDecodeOrder(f *testing.F) {
	for _, o := range givenOrders {
		f.Add(OrderValue(OrderWords(&o), []byte("signed")))
	}
	f.Fuzz(func(t *testing.T, value string) {
		o, words, signature, err := DecodeOrder(value)
		if err == nil && OrderValue(OrderWords(&o), signature) != value {
			t.Errorf("%q was read as %+v, %q, which is %q", value, o, words, OrderValue(OrderWords(&o), signature))
		}
	})
}
