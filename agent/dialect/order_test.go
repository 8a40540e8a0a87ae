package dialect

import (
	"crypto/sha256"
	"strings"
	"testing"
	"time"

	"rollcall/agent"
	"rollcall/certs"
	"rollcall/protocol"
	"rollcall/protocol/apple"
)

// order is o as a header, signed by seal.
func order(t testing.TB, seal *certs.Seal, o apple.Order) string {
	t.Helper()
	words := apple.OrderWords(&o)
	signature, err := seal.Sign(apple.OrderHeader, words)
	if err != nil {
		t.Fatal(err)
	}
	return apple.OrderValue(words, signature)
}

// machine is a real one, and the order by which its server lets it go.
func machine(t testing.TB, seal *certs.Seal) (*scene, apple.Order) {
	s := enrolled(t, iPhone, &Habits{Ordered: true}, withNotices(seal))
	return s, apple.Order{Device: s.d.UDID(), Certificate: sha256.Sum256(s.d.Certificate(Current)), At: s.now}
}

func unrecognized() *Response {
	return &Response{Status: 403, ContentType: "application/json", Body: (&apple.Forbidden{Code: apple.UnrecognizedDevice}).JSON()}
}

// TestHST027OnlyItsServersSignedOrderUnenrolsAMachine: what a proxy answers ends nothing, nor an order that is forged, kept or not for
// this machine.
func TestHST027OnlyItsServersSignedOrderUnenrolsAMachine(t *testing.T) {
	seal, other := newSeal(t), newSeal(t)
	_, own := machine(t, seal)
	for name, tt := range map[string]struct {
		header func(o apple.Order) string
		leaves bool
	}{
		"its own":                {func(o apple.Order) string { return order(t, seal, o) }, true},
		"none":                   {func(apple.Order) string { return "" }, false},
		"another server's":       {func(o apple.Order) string { return order(t, other, o) }, false},
		"another device's":       {func(o apple.Order) string { o.Device = "A"; return order(t, seal, o) }, false},
		"of an enrolment before": {func(apple.Order) string { return order(t, seal, own) }, false},
		"of two days ago":        {func(o apple.Order) string { o.At = o.At.Add(-48 * time.Hour); return order(t, seal, o) }, false},
		"of two days ahead":      {func(o apple.Order) string { o.At = o.At.Add(48 * time.Hour); return order(t, seal, o) }, false},
		"changed":                {func(o apple.Order) string { return strings.Replace(order(t, seal, o), `unenrol="0`, `unenrol="1`, 1) }, false},
		"a notice's signature": {func(o apple.Order) string {
			signature, _ := seal.Sign(apple.NoticeHeader, apple.OrderWords(&o))
			return apple.OrderValue(apple.OrderWords(&o), signature)
		}, false},
		"two": {func(o apple.Order) string { return order(t, seal, o) + ", " + order(t, seal, o) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			s, o := machine(t, seal)
			s.wake()
			r := unrecognized()
			r.Order = tt.header(o)
			s.d.Answer(s.now, r, &s.act)
			if tt.leaves { // and the server hears of it
				s.wants(CheckOut)
				s.answer(200, nil)
			}
			if got := s.d.Phase(); (got == agent.Removed) != tt.leaves {
				t.Errorf("403: phase %s", got)
			}

			for uuid, c := range map[string]apple.Command{"1": apple.RemoveProfile{Identifier: "com.example.mdm"}, "2": apple.EraseDevice{}} {
				s, o := machine(t, seal)
				s.wake()
				s.d.Answer(s.now, &Response{Status: 200, Order: tt.header(o), Body: apple.EncodeCommand(nil, uuid, c)}, &s.act)
				want := protocol.Failed
				if tt.leaves {
					want = protocol.Acknowledged
				}
				if m, _ := s.reported(uuid); m.Status != want {
					t.Errorf("%s: reported %s, want %s", c.RequestType(), m.Status, want)
				}
				s.answer(200, nil)
				if tt.leaves && s.act.Kind == Send {
					s.wants(CheckOut)
					s.answer(200, nil)
				}
				if got := s.d.Phase(); (got != agent.Enrolled) != tt.leaves {
					t.Errorf("%s: phase %s", c.RequestType(), got)
				}
			}
		})
	}
	for _, status := range []int{401, 403, 404, 410, 400, 500} {
		s, o := machine(t, seal)
		s.wake()
		s.d.Answer(s.now, &Response{Status: status, ContentType: "text/html", Body: []byte("<html>"), Order: order(t, seal, o)}, &s.act)
		if got := s.d.Phase(); got != agent.Enrolled {
			t.Errorf("a proxy's %d: phase %s", status, got)
		}
	}
}

// A machine answers with what it knows: what it does not tell is absent, and nothing is made up.
func TestAMachineTellsOnlyWhatItKnows(t *testing.T) {
	known := map[string]any{"OSVersion": "13.1", "SerialNumber": "PF1ABCDE", "DeviceCapacity": 512.0, "IMEI": nil}
	real := *iPhone
	real.Tell = func(query string) any { return known[query] }
	s := enrolled(t, &real, plainHabits)
	var all []string
	for key := range queries {
		all = append(all, key)
	}
	_, r := s.command("1", apple.DeviceInformation{Queries: all})
	for key, v := range r.QueryResponses {
		if known[key] != v && !own[key] {
			t.Errorf("%s is %v, which nobody told", key, v)
		}
	}
	if r.QueryResponses["OSVersion"] != "13.1" || r.QueryResponses["UDID"] != s.d.UDID() {
		t.Errorf("it told %v", r.QueryResponses)
	}
	if _, r = s.command("2", apple.SecurityInfo{}); r.SecurityInfo.PasscodePresent != nil || r.SecurityInfo.HardwareEncryptionCaps != nil {
		t.Errorf("it told %+v of its security", r.SecurityInfo)
	}
}
