package device

import (
	"encoding/json"
	"net/http/httptest"
	"testing"

	"rollcall/protocol/android"
)

// TestAND078UnknownMode: an order to leave says what the device's mode has. Where nobody knows the mode it is the kind that takes least: none
// of whom it is not for obeys it.
func TestAND078UnknownMode(t *testing.T) {
	l := newDroidLab(t)
	for mode, want := range map[android.Mode]android.Removal{
		"": android.RemoveProfile, android.WorkProfilePersonal: android.RemoveProfile, android.WorkProfileCompany: android.Release,
		android.AOSPUser: android.Release, android.FullyManaged: android.Reset, android.Dedicated: android.Reset, android.AOSPUserless: android.Reset,
	} {
		w := httptest.NewRecorder()
		l.h.androidGone(w, l.h.now(), "d-1", "e-1", mode)
		var e android.Error
		l.must(json.Unmarshal(w.Body.Bytes(), &e))
		payload, ok := l.h.cfg.Enrolment.Seal.Key().OpenJWS(android.OrderType, e.Order())
		var o android.Order
		if ok {
			l.must(json.Unmarshal(payload, &o))
		}
		if !ok || o.Mode != want || o.Device != "d-1" || o.Enrollment != "e-1" || o.IssuedAt != int64(l.pnow()/1e6) {
			t.Errorf("%s: %s", mode, payload)
		}
		if mode != "" && !mode.Leaves(o.Mode) {
			t.Errorf("%s does not leave by %s", mode, o.Mode)
		}
	}
}
