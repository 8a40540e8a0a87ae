package api

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"rollcall/protocol"
	"rollcall/protocol/android"
	"rollcall/server"
	"rollcall/server/delivery"
	"rollcall/server/store"
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
	if strings.Contains(string(links), `"token"`) || strings.Contains(string(links), `"qr"`) {
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
		{"windows", "FULLY_MANAGED", "ada@example.org", "mode"},
		{"phone", "", "ada@example.org", "platform"},
	} {
		no := o.call("POST", invitationsPath, map[string]any{"users": []string{tt.user}, "platform": tt.platform, "mode": tt.mode}, 400)["error"].(map[string]any)
		if no["field"] != tt.field || no["rule"] != "HST-014" {
			t.Errorf("%+v: %v", tt, no)
		}
	}
	o.h.cfg.Provisioning = nil
	o.call("POST", invitationsPath, map[string]any{"users": []string{"ada@example.org"}, "platform": "android", "mode": "AOSP_USER"}, 409)
}

// TestHST071Delete: the preview says what would be erased and in what mode, the deletion wants the number of it, and does what the preview
// said.
func TestHST071Delete(t *testing.T) {
	o := newAndroidOffice(t)
	company, personal := o.enrolAndroid(android.FullyManaged), o.enrolAndroid(android.WorkProfilePersonal)
	in := map[string]any{"devices": []string{company, o.device, personal}}
	queued := func(id string) float64 {
		return o.call("GET", "/rollcall/v1/devices/"+id, nil, 200)["queue"].(float64)
	}
	before, others := queued(company), queued(personal)
	want := map[string]any{
		"devices": []any{
			map[string]any{"device": company, "mode": "FULLY_MANAGED", "erases": true},
			map[string]any{"device": o.device, "erases": false},
			map[string]any{"device": personal, "mode": "WORK_PROFILE_PERSONAL", "erases": false},
		},
		"erases": 1.0, "by_mode": []any{map[string]any{"mode": "FULLY_MANAGED", "devices": 1.0}},
	}
	if got := o.call("POST", "/rollcall/v1/orders/delete/preview", in, 200); !reflect.DeepEqual(got, want) {
		t.Errorf("preview: %v", got)
	}
	no := o.call("POST", "/rollcall/v1/orders/delete", in, 409)["error"].(map[string]any)
	if no["rule"] != "HST-071" || queued(company) != before || queued(personal) != others {
		t.Errorf("without the number: %v", no)
	}
	in["count"] = 1
	if got := o.call("POST", "/rollcall/v1/orders/delete", in, 200); !reflect.DeepEqual(got, want) || queued(company) != before+1 || queued(personal) != others+1 {
		t.Errorf("deletion: %v", got)
	}
	if got := o.call("DELETE", "/rollcall/v1/devices/"+company+"?count=1", nil, 200); got["erases"] != 1.0 || queued(company) != before+1 {
		t.Errorf("once more: %v", got)
	}
}

// enrolAndroid puts an Android device of Ada's in a mode into the core without a wire.
func (o *office) enrolAndroid(mode android.Mode) (id string) {
	o.t.Helper()
	ctx := context.Background()
	id = "d-" + string(mode)
	who := o.identity(store.Grant{ID: id, Platform: protocol.Android})
	o.droid = who
	var out delivery.Outcome
	for _, verb := range []protocol.Verb{protocol.Enrol, protocol.Ready} {
		cred, err := o.core.Credential(ctx, who)
		if err != nil {
			o.t.Fatal(err)
		}
		ev := delivery.Event{Kind: delivery.CheckInRound, ID: id, Device: cred.Device}
		ev.Verb, ev.Platform, ev.Credential = verb, protocol.Android, cred
		ev.Facts = &delivery.Facts{Name: "acme A1", Said: "e-1 " + string(mode), OSVersion: "14", Build: "34"}
		if err := o.core.Handle(ctx, o.now(), &ev, &out); err != nil {
			o.t.Fatal(err)
		}
	}
	return id
}

// TestAND038Orders: what only Android devices can do is ordered of them, by the words of a command; a mode that cannot is refused, and so
// is another platform and what says too little. The journal has each refusal.
func TestAND038Orders(t *testing.T) {
	o := newAndroidOffice(t)
	company, personal := o.enrolAndroid(android.FullyManaged), o.enrolAndroid(android.WorkProfilePersonal)
	for _, tt := range []struct {
		device, order string
		body          string
		status        int
		rule, field   string
	}{
		{company, "reset-passcode", `{"passcode":"correct horse"}`, 200, "", ""},
		{personal, "reset-passcode", `{}`, 200, "", ""},
		{company, "clear-app-data", `{"packages":["com.example.mail","com.example.chat"]}`, 200, "", ""},
		{company, "start-lost-mode", `{"message":"call 5"}`, 200, "", ""},
		{company, "stop-lost-mode", `{}`, 200, "", ""},
		{personal, "start-lost-mode", `{"message":"call 5"}`, 409, "AND-038", ""},
		{personal, "stop-lost-mode", `{}`, 409, "AND-038", ""},
		{personal, "restart", `{}`, 409, "AND-038", ""},
		{company, "retire", `{}`, 409, "AUTH-53", ""},
		{o.device, "reset-passcode", `{}`, 409, "HST-014", ""},
		{o.device, "stop-lost-mode", `{}`, 409, "HST-014", ""},
		{company, "start-lost-mode", `{}`, 400, "HST-014", "message"},
		{company, "clear-app-data", `{}`, 400, "HST-014", "packages"},
		{company, "clear-app-data", `{"packages":["com.example.mail","a b.c"]}`, 400, "HST-014", "packages[1]"},
		{company, "lock", `{"passcode":"1"}`, 400, "HST-014", "passcode"},
		{company, "lock", `{"packages":["a.b"]}`, 400, "HST-014", "packages"},
		{company, "reset-passcode", `{"passcode":"` + strings.Repeat("1", 65) + `"}`, 400, "HST-014", "passcode"},
	} {
		before := len(o.lines(store.LineFilter{}))
		answer := o.call("POST", "/rollcall/v1/devices/"+tt.device+"/"+tt.order, tt.body, tt.status)
		no, _ := answer["error"].(map[string]any)
		field, _ := no["field"].(string)
		if rule, _ := no["rule"].(string); rule != tt.rule || field != tt.field {
			t.Errorf("%+v: %v", tt, answer)
		}
		lines := o.lines(store.LineFilter{After: uint64(before)})
		if tt.rule != "" && (len(lines) != 1 || string(lines[0].Rule) != tt.rule || lines[0].Actor != "token:admin") {
			t.Errorf("%+v: the journal has %+v, want the one refusal", tt, lines)
		}
	}
	history := o.call("GET", "/rollcall/v1/devices/"+company, nil, 200)["commands"].([]any)
	for _, want := range []string{"ResetPasscode", "ClearAppData", "StartLostMode", "StopLostMode"} {
		if !slices.ContainsFunc(history, func(c any) bool { return c.(map[string]any)["kind"] == want }) {
			t.Errorf("no %s in %v", want, history)
		}
	}
	if strings.Contains(o.log.String(), "correct horse") { // HST-068
		t.Error("a passcode is in the log")
	}
}

// TestAUTH44AndroidAgain: an Android device is told to leave, and its link has it back in the mode that it had. One that could leave only
// by being erased is refused and stays as it is.
func TestAUTH44AndroidAgain(t *testing.T) {
	o := newAndroidOffice(t)
	for mode, leaves := range map[android.Mode]bool{android.WorkProfilePersonal: true, android.FullyManaged: false} {
		id := o.enrolAndroid(mode)
		if o.call("POST", "/rollcall/v1/consents/androidManagedStore", map[string]any{}, 200); !leaves {
			no := o.call("POST", "/rollcall/v1/devices/"+id+"/reenrol", map[string]any{}, 409)["error"].(map[string]any)
			if no["rule"] != "AUTH-53" {
				t.Errorf("%s: %v", mode, no)
			}
		} else {
			link := o.call("POST", "/rollcall/v1/devices/"+id+"/reenrol", map[string]any{}, 201)
			token, _ := link["token"].(string)
			found, err := o.core.AndroidToken(t.Context(), o.now(), token, id)
			if err != nil || found.Mode != mode || !strings.HasSuffix(link["url"].(string), token) || !strings.Contains(link["qr"].(string), token) {
				t.Errorf("%s: %+v, %v; %v", mode, found, err, link)
			}
		}
		history := o.call("GET", "/rollcall/v1/devices/"+id, nil, 200)["commands"].([]any)
		if told := slices.ContainsFunc(history, func(c any) bool { return c.(map[string]any)["kind"] == "Retire" }); told != leaves {
			t.Errorf("%s: told to leave: %t, want %t", mode, told, leaves)
		}
	}
}

// TestAND028Shown: a device shows its mode, its enrolment and what its latest report said of its policy; no text of a device's gets further
// than its words.
func TestAND028Shown(t *testing.T) {
	o := newAndroidOffice(t)
	id := o.enrolAndroid(android.FullyManaged)
	shown := func() map[string]any {
		return o.call("GET", "/rollcall/v1/devices/"+id, nil, 200)["android"].(map[string]any)
	}
	if a := shown(); a["mode"] != "FULLY_MANAGED" || a["enrollment"] != "e-1" || a["api_level"] != 34.0 || a["policy_version"] != 0.0 || len(a["non_compliance"].([]any)) != 0 {
		t.Errorf("before a report: %v", a)
	}
	m := android.CheckIn{Applied: android.AppliedPolicy{PolicyVersion: 7}, NonComplianceDetails: []android.NonComplianceDetail{
		{SettingName: "applications", PackageName: "com.example.mail", NonComplianceReason: android.NotInstalled},
		{SettingName: "password Policies:\x1b[0m", NonComplianceReason: android.NotUserAction},
	}}
	record, err := o.core.Store().Device(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	kept, err := o.core.Store().Record(t.Context(), record)
	if err != nil {
		t.Fatal(err)
	}
	kept.Facts.Said = string(server.AppendAndroid(nil, kept.Facts.Said, m.Applied.PolicyVersion, &m))
	o.tells(id, &kept.Facts)
	want := []any{
		map[string]any{"setting": "applications", "package": "com.example.mail", "reason": "APP_NOT_INSTALLED"},
		map[string]any{"setting": "passwordPolicies0m", "reason": "USER_ACTION"},
	}
	if a := shown(); a["mode"] != "FULLY_MANAGED" || a["policy_version"] != 7.0 || !reflect.DeepEqual(a["non_compliance"], want) {
		t.Errorf("after a report: %v", a)
	}
	if o.call("GET", "/rollcall/v1/devices/"+o.device, nil, 200)["android"] != nil {
		t.Error("an iPhone is shown as an Android device")
	}
}

// TestAND062LeftOut: a setting that did not get into a device's policy is shown with it: its mode has none such, or another profile was first.
func TestAND062LeftOut(t *testing.T) {
	o := newAndroidOffice(t)
	for _, p := range [][2]string{
		{"first", `{"cameraAccess":"CAMERA_ACCESS_DISABLED","systemUpdate":{"type":"AUTOMATIC"},"applications":[{"packageName":"a.b","installType":"BLOCKED"}]}`},
		{"second", `{"minimumApiLevel":30,"applications":[{"packageName":"a.b","installType":"KIOSK"}]}`},
	} {
		_, err := o.core.PutProfile(t.Context(), o.now(), server.System, server.ProfileChange{
			Name: p[0], Family: protocol.Configuration, Identifier: "android." + p[0], Payload: []byte(p[1]), Groups: []string{"field"},
		}, "")
		if err != nil {
			t.Fatal(err)
		}
	}
	id := o.enrolAndroid(android.WorkProfilePersonal)
	want := []any{
		map[string]any{"profile": "android.first", "setting": "systemUpdate", "reason": "MANAGEMENT_MODE"},
		map[string]any{"profile": "android.second", "setting": "applications[0].installType", "reason": "INVALID_VALUE"},
	}
	if a := o.call("GET", "/rollcall/v1/devices/"+id, nil, 200)["android"].(map[string]any); !reflect.DeepEqual(a["left_out"], want) {
		t.Errorf("%v, want %v", a, want)
	}
}

// tells is a round in which an Android device says f of itself.
func (o *office) tells(id string, f *delivery.Facts) {
	o.t.Helper()
	ctx := context.Background()
	cred, err := o.core.Credential(ctx, o.droid)
	if err != nil {
		o.t.Fatal(err)
	}
	ev := delivery.Event{Kind: delivery.CheckInRound, ID: id, Device: cred.Device}
	ev.Verb, ev.Platform, ev.Credential, ev.Facts, ev.Batch = protocol.Ask, protocol.Android, cred, f, &delivery.Batch{}
	if err := o.core.Handle(ctx, o.now(), &ev, new(delivery.Outcome)); err != nil {
		o.t.Fatal(err)
	}
}
