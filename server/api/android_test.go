package api

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"rollcall/protocol/android"
)

// newAndroidOffice is an office that serves Android devices.
func newAndroidOffice(t *testing.T) *office {
	o := newOffice(t)
	o.h.cfg.Provisioning = func(token string, mode android.Mode) (*android.ProvisioningData, error) {
		return android.NewProvisioning(android.Installer{Component: "a/.B", URL: "https://x/a.apk"}, android.Bundle{ServerURL: testURL + "/", Token: token, CASHA256: "ab", Mode: mode})
	}
	return o
}

const invitationsPath = "/rollcall/v1/invitations"

// TestAUTH05Invitation: no Android device is invited in a mode that uses Google's services before that was consented to; the refusal says how.
func TestAUTH05Invitation(t *testing.T) {
	o := newAndroidOffice(t)
	in := map[string]any{"users": []string{"ada@example.org"}, "platform": "android", "mode": "FULLY_MANAGED"}
	no := o.call("POST", invitationsPath, in, 409)["error"].(map[string]any)
	if no["rule"] != "AUTH-05" || !strings.Contains(no["message"].(string), "rollcall consent grant androidManagedStore") {
		t.Errorf("without consent: %v", no)
	}
	in["mode"] = "AOSP_USER"
	o.call("POST", invitationsPath, in, 201)
	o.call("POST", "/rollcall/v1/consents/androidManagedStore", map[string]any{}, 200)
	in["mode"] = "FULLY_MANAGED"
	o.call("POST", invitationsPath, in, 201)
}

// TestAndroidInvitation: the texts of an invitation are what a device reads, and name its token.
func TestAndroidInvitation(t *testing.T) {
	o := newAndroidOffice(t)
	o.call("POST", "/rollcall/v1/consents/androidManagedStore", map[string]any{}, 200)
	for _, tt := range []struct {
		user string
		mode android.Mode
	}{{"ada@example.org", android.WorkProfilePersonal}, {"", android.Dedicated}} {
		one := o.call("POST", invitationsPath, map[string]any{"users": []string{tt.user}, "platform": "android", "mode": tt.mode}, 201)["invitations"].([]any)[0].(map[string]any)
		var qr, zero android.ProvisioningData
		if err := errors.Join(android.Decode([]byte(one["qr"].(string)), &qr), android.Decode([]byte(one["zero_touch"].(string)), &zero)); err != nil {
			t.Fatal(err)
		}
		if qr.Bundle.Token != one["token"] || one["url"] != testURL+"/e/"+qr.Bundle.Token || qr.Bundle.Mode != tt.mode || qr.Location == "" {
			t.Errorf("QR code %+v of %v", qr, one)
		}
		if zero.Bundle != qr.Bundle || zero.Location != "" {
			t.Errorf("zero-touch %+v, want the same without the place of the agent", zero)
		}
		found, err := o.core.AndroidToken(t.Context(), o.now(), qr.Bundle.Token, "d-1")
		if err != nil || found.Mode != tt.mode || (found.User == 0) != (tt.user == "") {
			t.Errorf("token: %+v, %v", found, err)
		}
	}
	links, _ := json.Marshal(o.call("POST", invitationsPath, map[string]any{"users": []string{"ada@example.org"}, "platform": "macos"}, 201))
	if strings.Contains(string(links), "token") || strings.Contains(string(links), "qr") {
		t.Errorf("a Mac's invitation: %s", links)
	}
}

// TestHST014AndroidInvitation: what cannot be an Android invitation is refused by the field that is wrong.
func TestHST014AndroidInvitation(t *testing.T) {
	o := newAndroidOffice(t)
	for _, tt := range []struct{ platform, mode, user, field string }{
		{"android", "", "ada@example.org", "mode"},
		{"android", "fully", "ada@example.org", "mode"},
		{"macos", "FULLY_MANAGED", "ada@example.org", "mode"},
		{"", "DEDICATED", "", "mode"},
		{"android", "DEDICATED", "ada@example.org", "users[0]"},
		{"android", "AOSP_USER", "", "users[0]"},
		{"android", "AOSP_USER", "eve@example.org", "users[0]"},
		{"windows", "", "ada@example.org", "platform"},
	} {
		no := o.call("POST", invitationsPath, map[string]any{"users": []string{tt.user}, "platform": tt.platform, "mode": tt.mode}, 400)["error"].(map[string]any)
		if no["field"] != tt.field || no["rule"] != "HST-014" {
			t.Errorf("%+v: %v", tt, no)
		}
	}
	o.h.cfg.Provisioning = nil
	o.call("POST", invitationsPath, map[string]any{"users": []string{"ada@example.org"}, "platform": "android", "mode": "AOSP_USER"}, 409)
}
