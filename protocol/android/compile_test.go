package android

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"rollcall/protocol"
)

func part(id string, p Policy) Part {
	return Part{ManifestEntry: ManifestEntry{ID: id, Name: id, Version: 1}, Settings: p}
}

func wifi(id, ssid string) Policy {
	return Policy{OpenNetworkConfiguration: &ONC{NetworkConfigurations: []NetworkConfiguration{{GUID: id, Name: ssid, Type: "WiFi", WiFi: &WiFi{SSID: ssid, Security: "None"}}}}}
}

// The same parts make the same bytes, and the manifest says which profile a setting is from (AND-061).
func TestAND061(t *testing.T) {
	parts := []Part{
		part("p-wifi-1", wifi("p-wifi-1", "office")), part("p-wifi-2", wifi("p-wifi-2", "guests")),
		part("p-vpn", Policy{
			Applications:       []Application{{PackageName: "com.example.vpn", InstallType: "FORCE_INSTALLED", ManagedConfiguration: Raw(`{"a":1}`)}},
			AlwaysOnVPNPackage: &AlwaysOnVPNPackage{PackageName: "com.example.vpn"},
		}),
		part("p-config", Policy{CameraAccess: "CAMERA_ACCESS_DISABLED", PasswordPolicies: []PasswordPolicy{{PasswordScope: "SCOPE_DEVICE", PasswordMinimumLength: 6}}}),
	}
	one, two := Compile(FullyManaged, 34, parts), Compile(FullyManaged, 34, parts)
	if a, b := Append(nil, &one.Policy), Append(nil, &two.Policy); !bytes.Equal(a, b) {
		t.Errorf("the same parts make\n%s\nand\n%s", a, b)
	}
	if len(one.Conflicts) > 0 {
		t.Errorf("conflicts %+v", one.Conflicts)
	}
	if nets := one.Policy.OpenNetworkConfiguration.NetworkConfigurations; len(nets) != 2 || nets[1].WiFi.SSID != "guests" {
		t.Errorf("networks %+v", nets)
	}
	for i, want := range []string{"openNetworkConfiguration", "openNetworkConfiguration", "applications alwaysOnVpnPackage", "passwordPolicies cameraAccess"} {
		if got := strings.Join(one.Manifest[i].Fields, " "); got != want {
			t.Errorf("%s: fields %q, want %q", one.Manifest[i].ID, got, want)
		}
	}
	if len(parts[0].Settings.OpenNetworkConfiguration.NetworkConfigurations) != 1 {
		t.Error("compiling has changed a part")
	}
	if s := one.Policy.StatusReportingSettings; s == nil || !s.ApplicationReports || !s.NetworkInfo {
		t.Errorf("status reports %+v", s)
	}
}

// Of two parts that want a setting differently, the first has its way and the second is told (android.md, section 5).
func TestConflicts(t *testing.T) {
	c := Compile(FullyManaged, 34, []Part{
		part("first", Policy{CameraAccess: "A", AlwaysOnVPNPackage: &AlwaysOnVPNPackage{PackageName: "one"}, Applications: []Application{{PackageName: "app", InstallType: "AVAILABLE"}}}),
		part("second", Policy{CameraAccess: "B", AlwaysOnVPNPackage: &AlwaysOnVPNPackage{PackageName: "two", LockdownEnabled: true}, Applications: []Application{{PackageName: "app", InstallType: "BLOCKED", MinimumVersionCode: 3}}}),
		part("third", Policy{CameraAccess: "A"}),
	})
	want := []Conflict{
		{"second", "applications[0].installType", NotInvalidValue},
		{"second", "alwaysOnVpnPackage.packageName", NotInvalidValue},
		{"second", "cameraAccess", NotInvalidValue},
	}
	if !slices.Equal(c.Conflicts, want) {
		t.Errorf("conflicts %+v, want %+v", c.Conflicts, want)
	}
	if app := c.Policy.Applications; len(app) != 1 || app[0].InstallType != "AVAILABLE" || app[0].MinimumVersionCode != 3 || c.Policy.CameraAccess != "A" {
		t.Errorf("%+v", c.Policy)
	}
}

// A family's settings are in the policy of every mode that has them, and are refused by name where it has not (AND-062).
func TestAND062(t *testing.T) {
	all := part("all", Policy{
		OpenNetworkConfiguration: wifi("w", "w").OpenNetworkConfiguration, Applications: []Application{{PackageName: "app"}},
		AlwaysOnVPNPackage: &AlwaysOnVPNPackage{PackageName: "vpn"}, CameraAccess: "CAMERA_ACCESS_DISABLED",
		SystemUpdate: &SystemUpdate{Type: "AUTOMATIC"}, DeviceConnectivityManagement: &DeviceConnectivityManagement{ConfigureWiFi: "X"},
	})
	for _, tt := range []struct {
		mode  Mode
		level int
		want  string
	}{
		{FullyManaged, 34, ""},
		{Dedicated, 34, ""},
		{FullyManaged, 22, "alwaysOnVpnPackage API_LEVEL, systemUpdate API_LEVEL"},
		{WorkProfileCompany, 34, "systemUpdate MANAGEMENT_MODE"},
		{WorkProfilePersonal, 34, "deviceConnectivityManagement MANAGEMENT_MODE, systemUpdate MANAGEMENT_MODE"},
		{AOSPUser, 34, "applications MANAGEMENT_MODE"},
	} {
		c := Compile(tt.mode, tt.level, []Part{all})
		var got []string
		for _, x := range c.Conflicts {
			got = append(got, x.Field+" "+string(x.Reason))
		}
		if strings.Join(got, ", ") != tt.want || c.Policy.OpenNetworkConfiguration == nil || c.Policy.CameraAccess == "" {
			t.Errorf("%s, API level %d: %q, want %q (%+v)", tt.mode, tt.level, got, tt.want, c.Policy)
		}
	}
	if s := Compile(WorkProfilePersonal, 34, nil).Policy.StatusReportingSettings; s.NetworkInfo {
		t.Error("a personal device is asked about its network")
	}
}

// What a QR code says is what a device reads, and a server without TLS is refused.
func TestProvisioning(t *testing.T) {
	p, err := NewProvisioning(Installer{Component: "a/.B", URL: "https://x/a.apk", Checksum: [32]byte{1}}, Bundle{ServerURL: "https://x/", Token: "t", Mode: Dedicated})
	if err != nil {
		t.Fatal(err)
	}
	var back ProvisioningData
	if err := DecodeKnown(Append(nil, p), &back); err != nil || back != *p || len(back.Checksum) != 43 {
		t.Errorf("%+v (%v), want %+v", back, err, p)
	}
	if z := p.ZeroTouch(); z.Location != "" || z.Bundle != p.Bundle || p.Location == "" {
		t.Errorf("zero-touch %+v", z)
	}
	if _, err := NewProvisioning(Installer{}, Bundle{ServerURL: "http://x/", Token: "t", Mode: Dedicated}); err == nil || !strings.Contains(err.Error(), "rollcall.SERVER_URL") {
		t.Errorf("%v, want the member", err)
	}
	if err := Decode([]byte(`{"android.app.extra.PROVISIONING_ADMIN_EXTRAS_BUNDLE":{"rollcall.SERVER_URL":"https://x/","rollcall.ENROLLMENT_TOKEN":"","rollcall.MODE":"DEDICATED"}}`), &back); !errors.Is(err, protocol.ErrMalformed) {
		t.Errorf("no token: %v", err)
	}
}

// What each mode is asked, when its management ends (android.md, section 3).
func TestModes(t *testing.T) {
	for _, tt := range []struct {
		mode            Mode
		userless        bool
		removal, wiping Removal
	}{
		{WorkProfilePersonal, false, RemoveProfile, RemoveProfile},
		{WorkProfileCompany, false, Release, Reset},
		{FullyManaged, false, "", Reset},
		{Dedicated, true, "", Reset},
		{AOSPUser, false, Release, Reset},
		{AOSPUserless, true, "", Reset},
	} {
		if tt.mode.Userless() != tt.userless || tt.mode.Removal() != tt.removal || tt.mode.Wiping() != tt.wiping {
			t.Errorf("%s: userless %t, removal %q, wipe %q", tt.mode, tt.mode.Userless(), tt.mode.Removal(), tt.mode.Wiping())
		}
	}
}

// A refusal says its reason and brings its order in details of their own.
func TestError(t *testing.T) {
	var e Error
	if err := Decode(golden(t, "gone.json"), &e); err != nil {
		t.Fatal(err)
	}
	if reason, _ := e.Info(); reason != Unenrolled || e.Order() == "" {
		t.Errorf("reason %q, order %q", reason, e.Order())
	}
	made := NewError(401, TokenUsed, "used", map[string]string{"rule": "HST-037"})
	if reason, m := made.Info(); reason != TokenUsed || m["rule"] != "HST-037" || made.Order() != "" || made.Error.Status != "UNAUTHENTICATED" {
		t.Errorf("%+v", made)
	}
}

// A notice says what package protocol says.
func TestNotice(t *testing.T) {
	n := protocol.Notice{Epoch: 4, ChangedAt: 5_000_000, Rule: protocol.RuleSevenDays, Kept: 3_600_000_000_000}
	var back Notice
	if err := Decode(Append(nil, NoticeOf(n)), &back); err != nil || back.Notice() != n {
		t.Errorf("%+v (%v), want %+v", back.Notice(), err, n)
	}
}
