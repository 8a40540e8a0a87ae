package policy

import (
	"errors"
	"strings"
	"testing"

	"rollcall/protocol"
	"rollcall/protocol/android"
	"rollcall/protocol/apple"
)

// Every family has a counterpart (AND-062, android.md section 5), and the same profile makes the same bytes (AND-061).
func TestAND062Families(t *testing.T) {
	for family, want := range map[protocol.Family]string{
		protocol.WiFi:          `"WiFi":{"SSID":"Office","AutoConnect":true,"Security":"WPA-PSK"}`,
		protocol.VPN:           `"alwaysOnVpnPackage":{"packageName":"com.example.vpn"}`,
		protocol.Email:         `"packageName":"com.google.android.gm","installType":"FORCE_INSTALLED"`,
		protocol.Certificate:   `"Certificates":[{"GUID":"com.example.x/com.example.x.payload","Type":"Authority","X509":"MII`,
		protocol.Configuration: `"passwordPolicies":[{"passwordScope":"SCOPE_DEVICE","passwordQuality":"NUMERIC","passwordMinimumLength":6}]`,
	} {
		document := apple.EncodeProfile(apple.NewProfile("com.example.x", "Office", family))
		p, err := Read(document)
		if err != nil {
			t.Errorf("%s: %v", family, err)
			continue
		}
		got := string(android.Append(nil, &p.Settings))
		again, _ := Read(document)
		if p.Family != family || !strings.Contains(got, want) || got != string(android.Append(nil, &again.Settings)) {
			t.Errorf("%s: family %s, %s; want %s", family, p.Family, got, want)
		}
	}
}

// What a policy says that is not known, or would not be meant, is refused by its name (HST-014, HST-072).
func TestHST014Documents(t *testing.T) {
	for document, want := range map[string]string{
		`{"cameraAcces":"X"}`:                     `"cameraAcces": unknown member`,
		`{"cameraAccess":"X","cameraAccess":"Y"}`: "duplicate",
		`{"applications":[{"packageName":""}]}`:   "applications[0].packageName",
		`{"statusReportingSettings":{}}`:          "statusReportingSettings",
		`{"policyEnforcementRules":[{"settingName":"x","blockAction":{"blockAfterDays":1}}]}`: "policyEnforcementRules[0]",
		`{}`:                      ErrNoCounterpart.Error(),
		`{"minimumApiLevel":1e3}`: "minimumApiLevel",
	} {
		if _, err := Read([]byte(document)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Read(%s): %v, want %q", document, err, want)
		}
	}
	for document, family := range map[string]protocol.Family{
		`{"openNetworkConfiguration":{"NetworkConfigurations":[{"GUID":"g","Name":"n","Type":"WiFi","WiFi":{"SSID":"s","Security":"None"}}]}}`: protocol.WiFi,
		`{"alwaysOnVpnPackage":{"packageName":"x"}}`:                                          protocol.VPN,
		`{"openNetworkConfiguration":{"Certificates":[{"GUID":"g","Type":"Authority"}]}}`:     protocol.Certificate,
		`{"applications":[{"packageName":"x","managedConfiguration":{"email_address":"a"}}]}`: protocol.Email,
		` {"cameraAccess":"CAMERA_ACCESS_DISABLED"}`:                                          protocol.Configuration,
	} {
		p, err := Read([]byte(document))
		if err != nil || p.Family != family || !IsDocument([]byte(document)) {
			t.Errorf("Read(%s): %v, want %s", document, err, family)
		}
	}
	empty := apple.NewProfile("com.example.x", "x", protocol.Configuration)
	empty.Payloads[0].Type = "com.apple.nothing"
	if _, err := Read(apple.EncodeProfile(empty)); !errors.Is(err, ErrNoCounterpart) {
		t.Errorf("a profile without a counterpart: %v", err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"cameraAccess":"CAMERA_ACCESS_DISABLED"}`))
	f.Add(apple.EncodeProfile(apple.NewProfile("com.example.x", "Office", protocol.WiFi)))
	f.Fuzz(func(t *testing.T, document []byte) {
		p, err := Read(document)
		if err != nil {
			return
		}
		if err := android.DecodeKnown(android.Append(nil, &p.Settings), new(android.Policy)); err != nil {
			t.Errorf("%s is not a policy: %v", document, err)
		}
	})
}

// A network is translated as what it is, or not at all: not an enterprise's as one with a password, which no device could join (AND-062).
func TestAND062Networks(t *testing.T) {
	type keys = map[string]any
	for _, tt := range []struct {
		settings keys
		want     string // empty: nothing has a counterpart
	}{
		{keys{"EncryptionType": "WPA2", "Password": "secret12"}, `{"SSID":"Office","AutoConnect":true,"Security":"WPA-PSK","Passphrase":"secret12"}`},
		{keys{"EncryptionType": "WEP", "AutoJoin": true}, `{"SSID":"Office","AutoConnect":true,"Security":"WEP-PSK"}`},
		{keys{"EncryptionType": "None", "AutoJoin": false}, `{"SSID":"Office","Security":"None"}`},
		{keys{"EncryptionType": "WPA2", "EAPClientConfiguration": keys{"AcceptEAPTypes": []any{int64(25)}}}, ""},
	} {
		profile := apple.NewProfile("com.example.x", "Office", protocol.WiFi)
		tt.settings["SSID_STR"] = "Office"
		profile.Payloads[0].Settings = tt.settings
		p, err := Read(apple.EncodeProfile(profile))
		switch {
		case tt.want == "" && !errors.Is(err, ErrNoCounterpart):
			t.Errorf("%v: %v, want that nothing has a counterpart", tt.settings, err)
		case tt.want != "" && err != nil:
			t.Errorf("%v: %v", tt.settings, err)
		case tt.want != "" && !strings.Contains(string(android.Append(nil, &p.Settings)), tt.want):
			t.Errorf("%v: %s, want %s", tt.settings, android.Append(nil, &p.Settings), tt.want)
		}
	}
}
