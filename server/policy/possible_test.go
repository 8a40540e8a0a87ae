package policy

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"rollcall/protocol"
)

// A policy that no Android could keep to is refused when it is uploaded, by its member and with the rule (HST-014, android.md section 5).
func TestHST014Impossible(t *testing.T) {
	wifi := func(kind, settings string) string {
		return `{"openNetworkConfiguration":{"NetworkConfigurations":[{"GUID":"g","Name":"n","Type":"` + kind + `","WiFi":{` + settings + `}}]}}`
	}
	eap := func(more string) string {
		return wifi("WiFi", `"SSID":"s","Security":"WPA-EAP","EAP":{"Outer":"PEAP"`+more+`}`)
	}
	const server = `,"ServerCARefs":["ca"],"DomainSuffixMatch":["example.test"]`
	apps := func(list ...string) string { return `{"applications":[` + strings.Join(list, ",") + `]}` }
	app := func(name, kind string) string {
		return `{"packageName":"` + name + `","installType":"` + kind + `"}`
	}
	password := func(settings string) string { return `{"passwordPolicies":[{` + settings + `}]}` }
	rule := func(block, wipe int) string {
		return fmt.Sprintf(`{"policyEnforcementRules":[{"settingName":"x","blockAction":{"blockAfterDays":%d},"wipeAction":{"wipeAfterDays":%d}}]}`, block, wipe)
	}
	var many []string
	for i := range mostApplications + 1 {
		many = append(many, app(fmt.Sprint("a", i), "BLOCKED"))
	}
	for _, good := range []string{
		wifi("WiFi", `"SSID":"s","Security":"None"`), wifi("WiFi", `"HexSSID":"00ff","Security":"WPA-PSK"`), eap(server), apps(many[1:]...),
		apps(app("a", "KIOSK"), app("b", "BLOCKED")), password(`"passwordScope":"SCOPE_PROFILE","passwordQuality":"COMPLEXITY_HIGH"`), rule(0, 1),
		`{"systemUpdate":{"type":"WINDOWED","startMinutes":1439}}`,
	} {
		if _, err := Read([]byte(good)); err != nil {
			t.Errorf("Read(%.200s): %v", good, err)
		}
	}
	const network = "openNetworkConfiguration.NetworkConfigurations[0]."
	for _, tt := range []struct{ document, want string }{
		{wifi("Ethernet", `"SSID":"s","Security":"None"`), network + `Type: "Ethernet"`},
		{`{"openNetworkConfiguration":{"NetworkConfigurations":[{"GUID":"g","Name":"n","Type":"WiFi"}]}}`, network + "WiFi: missing"},
		{`{"openNetworkConfiguration":{"NetworkConfigurations":[{"GUID":"","Name":"n","Type":"WiFi"}]}}`, network + "GUID: empty"},
		{wifi("WiFi", `"SSID":"s","Security":"FOO"`), network + `WiFi.Security: "FOO"`},
		{wifi("WiFi", `"Security":"None"`), network + "WiFi.SSID"},
		{wifi("WiFi", `"HexSSID":"0","Security":"None"`), network + "WiFi.HexSSID"},
		{wifi("WiFi", `"SSID":"s","Security":"WPA-EAP"`), network + "WiFi.EAP: missing"},
		{eap(`,"DomainSuffixMatch":["example.test"]`), network + "WiFi.EAP.ServerCARefs"},
		{eap(`,"ServerCARefs":["ca"]`), network + "WiFi.EAP.DomainSuffixMatch"},
		{eap(server + `,"Inner":"CHAP"`), network + `WiFi.EAP.Inner: "CHAP"`},
		{`{"openNetworkConfiguration":{"Certificates":[{"GUID":"g","Type":"Server"}]}}`, `openNetworkConfiguration.Certificates[0].Type: "Server"`},
		{`{"cameraAccess":"NOPE"}`, `cameraAccess: "NOPE"`},
		{`{"encryptionPolicy":"NOPE"}`, `encryptionPolicy: "NOPE"`},
		{`{"deviceConnectivityManagement":{"configureWifi":"NOPE"}}`, `deviceConnectivityManagement.configureWifi: "NOPE"`},
		{`{"alwaysOnVpnPackage":{"packageName":""}}`, "alwaysOnVpnPackage.packageName: empty"},
		{`{"minimumApiLevel":-1}`, "minimumApiLevel: -1"},
		{`{"systemUpdate":{"type":"NEVER"}}`, `systemUpdate.type: "NEVER"`},
		{`{"systemUpdate":{"type":"WINDOWED","endMinutes":1440}}`, "systemUpdate.endMinutes: 1440"},
		{password(`"passwordQuality":"WHATEVER"`), `passwordPolicies[0].passwordQuality: "WHATEVER"`},
		{password(`"passwordScope":"SCOPE_MOON"`), `passwordPolicies[0].passwordScope: "SCOPE_MOON"`},
		{password(`"passwordMinimumLength":-5`), "passwordPolicies[0].passwordMinimumLength: -5"},
		{password(`"passwordMinimumLength":4},{"passwordMinimumLength":6`), "passwordPolicies[1].passwordScope"},
		{apps(app("a", "KIOSK"), app("b", "KIOSK")), "applications[1].installType: KIOSK"},
		{apps(app("a", "SIDELOADED")), `applications[0].installType: "SIDELOADED"`},
		{apps(app("a", "BLOCKED"), app("b", "BLOCKED"), app("a", "KIOSK")), `applications[2].packageName: "a" is applications[0] already`},
		{apps(many...), "applications: 3001 of them"},
		{rule(10, 10), "policyEnforcementRules[0]"}, // blocked no earlier than wiped
		{rule(11, 10), "policyEnforcementRules[0]"},
		{rule(-1, 10), "policyEnforcementRules[0].blockAction.blockAfterDays"},
	} {
		_, err := Read([]byte(tt.document))
		if !errors.Is(err, protocol.ErrMalformed) || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "HST-014") {
			t.Errorf("Read(%.200s): %v, want %q and the rule", tt.document, err, tt.want)
		}
	}
}
