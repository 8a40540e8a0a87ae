package population

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"rollcall/fleet/plan"
	"rollcall/protocol"
)

// Coexistence is a flag beside office365, which Graph shows as intune; beside another authority it is a doubt, and a mistake where flags
// say both (AUTH-04, HST-122).
func TestAUTH04CoexistenceBesideAnotherAuthority(t *testing.T) {
	yes, none := true, protocol.Unknown
	for _, tt := range []struct {
		authority string
		options   Options
		doubt     bool
		refused   bool
	}{
		{"office365", Options{}, false, false},
		{"intune", Options{}, false, false},
		{"unknown", Options{}, true, false},
		{"sccm", Options{}, true, false},
		{"sccm", Options{Coexistence: &yes}, true, false},
		{"office365", Options{Authority: &none}, true, false},
		{"office365", Options{Authority: &none, Coexistence: &yes}, false, true},
	} {
		dir := t.TempDir()
		must(t, os.WriteFile(filepath.Join(dir, "tenant.json"), fmt.Appendf(nil, `{"organization":{"mobileDeviceManagementAuthority":%q},"rollcall":{"coexistence":true}}`, tt.authority), 0o600))
		must(t, os.WriteFile(filepath.Join(dir, "managedDevices.json"), []byte(`[{"id":"d1","operatingSystem":"iOS","managementAgent":"mdm"}]`), 0o600))
		tt.options.Path = dir
		p, err := Import(tt.options)
		if refused := errors.Is(err, protocol.Rule("AUTH-04")); refused != tt.refused || err != nil && !refused {
			t.Errorf("%s, %+v: %v, want refused %t", tt.authority, tt.options, err, tt.refused)
		}
		if err == nil && (doubts(p, OtherAuthority) == 1) != tt.doubt || err == nil && (p.Tenant.Authority != protocol.Office365 || !p.Tenant.Coexistence) {
			t.Errorf("%s, %+v: %v, want a doubt %t", tt.authority, tt.options, p.Doubts, tt.doubt)
		}
	}
}

// More users who are entitled to Intune than units is a doubt; as many is none (AUTH-09).
func TestAUTH09MoreHoldersThanUnits(t *testing.T) {
	const sku = "061f9ace-7d42-4136-88ac-31dc755f143f" // Intune
	for owned, want := range []int{1, 1, 0, 0} {
		dir := t.TempDir()
		must(t, os.WriteFile(filepath.Join(dir, "organization.json"), []byte(`{"mobileDeviceManagementAuthority":"intune"}`), 0o600))
		must(t, os.WriteFile(filepath.Join(dir, "subscribedSkus.json"), fmt.Appendf(nil, `[{"skuId":%q,"capabilityStatus":"Enabled","consumedUnits":2,"prepaidUnits":{"enabled":%d}}]`, sku, owned), 0o600))
		must(t, os.WriteFile(filepath.Join(dir, "users.json"), fmt.Appendf(nil, `[{"id":"u1","userPrincipalName":"a@example.com","assignedLicenses":[{"skuId":%q}]},{"id":"u2","userPrincipalName":"b@example.com","assignedLicenses":[{"skuId":%q}]}]`, sku, sku), 0o600))
		must(t, os.WriteFile(filepath.Join(dir, "managedDevices.json"), []byte(`[{"id":"d1","userId":"u1","operatingSystem":"iOS","managementAgent":"mdm"}]`), 0o600))
		p, err := Import(Options{Path: dir})
		if err != nil {
			t.Fatal(err)
		}
		if got := doubts(p, UnitsShort); got != want {
			t.Errorf("%d units: %d doubts, want %d: %v", owned, got, want, p.Doubts)
		}
	}
}

func doubts(p *Population, kind DoubtKind) (n int) {
	for _, d := range p.Doubts {
		if d.Kind == kind {
			n++
		}
	}
	return n
}

// What plays an export's devices is about all of them (HST-123).
func TestTenancyOfAnExport(t *testing.T) {
	p := &Population{Tenant: Tenant{Authority: protocol.Office365, Coexistence: true}, Devices: []Device{{Platform: protocol.IOS}, {Platform: protocol.IOS}, {Platform: protocol.Android, User: Nobody}}}
	got := *p.Tenancy()
	if got.Consents != nil || got.Authority != protocol.Office365 || !got.Coexistence || !got.Exported || got.Devices != (plan.ByPlatform{IOS: 2}) || got.Userless != (plan.ByPlatform{Android: 1}) {
		t.Errorf("%+v", got)
	}
}
