package interop

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"testing"
	"time"

	"rollcall/certs"
	"rollcall/protocol"
	"rollcall/protocol/android"
	"rollcall/server"
	tenants "rollcall/server/authority"
	"rollcall/server/delivery"
	"rollcall/server/device"
	"rollcall/server/store"
)

// stranger invites a device of a mode and starts the client with its QR code.
func (h *house) stranger(python string, mode android.Mode) (*stranger, string) {
	h.Helper()
	user := h.users[0]
	if mode.Userless() {
		user = 0
	}
	token := must(h.core.InviteAndroid(context.Background(), h.at(), user, mode, time.Hour))(h)
	s := startStranger(h, python, "android.py", h.TempDir())
	if _, err := s.in.Write(append(android.Append(nil, must(h.device.Provisioning(token, mode))(h)), '\n')); err != nil {
		h.Fatal(err)
	}
	return s, token
}

// named asks the client what the server named its device.
func (s *stranger) named() { s.device = s.does("names")["device"].(string) }

// TestAndroidNaiveClient: a client in another language, written from the protocol's page alone, is managed by our server.
func TestAndroidNaiveClient(t *testing.T) {
	python := naive(t)
	ctx := context.Background()
	seal := must(certs.NewSeal("orders", time.Now()))(t)
	h := startServer(t, func(c *device.Config) { c.Android, c.Enrolment.Seal = &device.Android{}, seal })
	if err := h.core.Consent(ctx, h.at(), server.System, server.ConsentAndroid); err != nil {
		t.Fatal(err)
	}
	d, token := h.stranger(python, android.WorkProfileCompany)
	d.tells(told{"outcome": "complete", "rounds": 2, "did": "[apply mail]", "next": "QUICK"}, "enroll")
	d.named()
	r := h.recordOf(d)
	if r.State.Life != delivery.Enrolled || r.State.Registered != protocol.Intune || r.Facts.OSVersion != "14" || r.Facts.Serial == "" {
		t.Errorf("record %+v", r.Facts)
	}
	order := func(kind protocol.CommandKind) {
		t.Helper()
		must(h.core.Order(ctx, h.at(), r.State.Device, protocol.Command{Kind: kind}))(t)
	}
	order(protocol.Lock)
	order(protocol.DeviceInformation)
	if err := h.core.ApplyProfile(ctx, h.at(), "wifi", protocol.WiFi, "com.example.wifi", profile(), []string{"all"}); err != nil {
		t.Fatal(err)
	}
	d.tells(told{"outcome": "complete", "rounds": 2, "did": "[apply wifi LOCK DONE REQUEST_DEVICE_INFO DONE]"}, "checkin", "PUSH")
	d.tells(told{"outcome": "complete", "rounds": 1, "did": "[]"}, "checkin", "SCHEDULE")
	if r = h.recordOf(d); len(r.State.Queue) > 0 {
		t.Errorf("%d commands wait", len(r.State.Queue))
	}

	other, _ := h.stranger(python, android.Dedicated)
	other.tells(told{"outcome": "complete"}, "enroll")
	other.named()
	t.Run("wrong", func(t *testing.T) {
		other.tells(told{"status": 401, "reason": "TOKEN_USED", "outcome": "keep, later"}, "register", token)
		other.tells(told{"status": 401, "reason": "TOKEN_INVALID"}, "register", "guess")
		d.tells(told{"did": "[refuse policy]"}, "take", 0)
		d.tells(told{"did": "[refuse policy]"}, "take", 1, "wifi", "lifi")
		d.tells(told{"status": 400, "reason": "PROTOCOL_UNSUPPORTED", "outcome": "keep, later"}, "say", told{"protocol": 2})
		d.tells(told{"status": 403, "reason": "DEVICE_MISMATCH", "outcome": "keep, by schedule"}, "say", told{"device": other.device})
		d.tells(told{"complete": true, "state": "ACTIVE"}, "say", told{"unknown": 1, "results": []told{{"command": "nobody", "state": "DONE"}}})
		for _, version := range []string{"0", "1", "99999"} { // that it lost, that is not in force any more, and that there never was
			answer := d.does("say", told{"applied": told{"state": "ACTIVE", "policyVersion": version}})
			policy, _ := answer["policy"].(map[string]any)
			if now, _ := strconv.Atoi(fmt.Sprint(policy["version"])); answer["complete"] != false || version == "99999" && now <= 99999 || now <= 1 {
				t.Errorf("with policy %s: %v", version, answer)
			}
		}
		d.tells(told{"same": true}, "repeat")
		d.tells(told{"status": 403}, "guess")
		d.tells(told{"status": 403}, "renew_now")
	})
	t.Run("not from the server", func(t *testing.T) {
		signed := func(s *certs.Seal, device, enrollment string) string {
			o := android.Order{Device: device, Enrollment: enrollment, IssuedAt: time.Now().Unix(), Mode: android.Release}
			return must(s.JWS(android.OrderType, android.Append(nil, &o)))(t)
		}
		gone := func(order string) []byte {
			e := android.NewError(410, android.Unenrolled, "leave", nil)
			e.Error.Details = append(e.Error.Details, android.ErrorDetail{Type: android.UnenrollOrder, JWS: order})
			return android.Append(nil, e)
		}
		names := d.does("names")
		enrollment := names["enrollment"].(string)
		again := told{"outcome": "keep, later"}
		for name, tt := range map[string]struct {
			status int
			body   []byte
		}{
			"a page": {404, []byte("<html>gone</html>")}, "a page that says gone": {410, []byte("<html>gone</html>")},
			"no order": {410, android.Append(nil, android.NewError(410, android.Unenrolled, "leave", nil))},
			"forged":   {410, gone(signed(must(certs.NewSeal("orders", time.Now()))(t), d.device, enrollment))},
			"another":  {410, gone(signed(seal, "d-another", enrollment))}, "before": {410, gone(signed(seal, d.device, "e-before"))},
		} {
			h.answers(func(w http.ResponseWriter, _ *http.Request) bool {
				w.WriteHeader(tt.status)
				w.Write(tt.body)
				return true
			})
			if got := d.does("checkin", "SCHEDULE"); got["outcome"] != "keep, later" {
				t.Errorf("%s: %v", name, got)
			}
		}
		h.answers(func(w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("Retry-After", "900")
			w.WriteHeader(503)
			return true
		})
		d.tells(told{"outcome": "keep, later", "after": 900}, "checkin", "SCHEDULE")
		h.answers(func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path != android.CheckInPath {
				return false
			}
			w.WriteHeader(401)
			w.Write(android.Append(nil, android.NewError(401, android.NotRecognised, "who?", nil)))
			return true
		})
		d.tells(again, "checkin", "SCHEDULE")
		d.tells(again, "checkin", "SCHEDULE")
		d.tells(told{"outcome": "keep, later", "renewed": 403}, "checkin", "SCHEDULE") // it asks, and is too early
		order(protocol.Lock)
		lost := 0
		h.answers(func(w http.ResponseWriter, r *http.Request) bool {
			if lost++; lost > 1 {
				return false
			}
			h.device.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		})
		d.tells(told{"outcome": "complete", "rounds": 2, "did": "[LOCK DONE]"}, "checkin", "PUSH")
		h.answers(nil)
	})

	preview := must(h.core.PreviewAuthority(ctx, h.at(), tenants.Change{Authority: protocol.SCCM}))(t)
	must(h.core.SetAuthority(ctx, h.at(), server.System, tenants.Change{Authority: protocol.SCCM}, preview.ID, 1))(t)
	d.tells(told{"outcome": "complete", "epoch": 2}, "checkin", "SCHEDULE")
	d.tells(told{}, "wait", 8*24*3600)
	h.ahead(8 * 24 * time.Hour)
	d.tells(told{"outcome": "complete", "did": "[drop mail drop wifi]"}, "checkin", "SCHEDULE") // AUTH-27

	h.ahead(330 * 24 * time.Hour)
	d.tells(told{"status": 200}, "renew_now")
	d.tells(told{"state": "ACTIVE"}, "say_as_before") // AUTH-41: the new one was not used
	d.tells(told{"outcome": "complete"}, "checkin", "SCHEDULE")
	d.tells(told{"status": 403, "rule": "HST-032"}, "say_as_before")

	must(h.core.Order(ctx, h.at(), h.recordOf(other).State.Device, protocol.Command{Kind: protocol.Erase}))(t)
	other.tells(told{"outcome": "left", "mode": "RESET"}, "checkin", "PUSH")
	if life := h.recordOf(other).State.Life; life != delivery.Ended {
		t.Errorf("%s after the wipe", life)
	}
	if _, err := h.core.Delete(ctx, h.at(), server.System, []protocol.Device{r.State.Device}, 0); err != nil {
		t.Fatal(err)
	}
	d.tells(told{"status": 410, "outcome": "left", "mode": "RELEASE"}, "checkin", "SCHEDULE")
	if _, err := h.core.Store().Device(ctx, d.device); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the record after the farewell: %v", err)
	}
	d.tells(told{"outcome": "enrol again"}, "checkin", "SCHEDULE")
}

// TestAndroidNaiveClientBySCEP: the same client comes by SCEP where that is offered (AND-070), renews when it is asked to, and not before
// (AND-081), and says good-bye when its user wants to leave.
func TestAndroidNaiveClientBySCEP(t *testing.T) {
	python := naive(t)
	must(os.Stat("testdata/scep.py"))(t) // the test is run again when it changes
	ctx := context.Background()
	seal := must(certs.NewSeal("orders", time.Now()))(t)
	h := startServer(t, func(c *device.Config) { c.Android, c.Enrolment.Seal = &device.Android{RSA: true}, seal })
	if err := h.core.Consent(ctx, h.at(), server.System, server.ConsentAndroid); err != nil {
		t.Fatal(err)
	}
	d, _ := h.stranger(python, android.AOSPUser)
	d.tells(told{"outcome": "complete", "rounds": 2, "did": "[apply mail]"}, "enroll")
	d.named()
	serial := d.does("names")["serial"]
	d.tells(told{"status": "pkiStatus 2"}, "renew_now")
	d.tells(told{"outcome": "complete", "did": "[]"}, "checkin", "SCHEDULE")
	h.ahead(330 * 24 * time.Hour)
	d.tells(told{"outcome": "complete", "did": "[renew 200]"}, "checkin", "SCHEDULE")
	if now := d.does("names")["serial"]; now == serial {
		t.Errorf("still known by the certificate %s", now)
	}
	d.tells(told{"outcome": "complete", "did": "[]"}, "checkin", "SCHEDULE")
	d.tells(told{"status": 403, "rule": "HST-032"}, "say_as_before")
	r := h.recordOf(d)
	d.does("say_goodbye", "USER_REQUEST")
	if life := must(h.core.Store().Record(ctx, r.State.Device))(t).State.Life; life != delivery.Ended {
		t.Errorf("%s after the good-bye", life)
	}
	d.tells(told{"outcome": "enrol again"}, "checkin", "SCHEDULE")
}
