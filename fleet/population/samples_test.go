package population

import (
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"rollcall/protocol"
)

// sample finds a whole sample tenant; its README has the counts that these tests expect.
func sample(t *testing.T, name string) string {
	t.Helper()
	shared := os.Getenv("ROLLCALL_SHARED")
	if shared == "" {
		t.Skip("ROLLCALL_SHARED is not set: the sample tenants are not here")
	}
	return filepath.Join(shared, "data", name)
}

// entitled is as much of resolving as the counts need: would d's user have it at Intune in coexistence?
func (p *Population) entitled(d *Device) bool {
	return !d.Userless() && (p.Users[d.User].Licence&IntuneLicence != 0 || p.Users[d.User].CoManaged)
}

// short is how many units to buy so that every user whose device stays with BMS could move (AUTH-09).
func (p *Population) short() int {
	need := map[int32]bool{}
	for i := range p.Devices {
		if d := &p.Devices[i]; d.Registered == protocol.Office365 && !d.Userless() && !p.entitled(d) && !p.Users[d.User].PlanOff && !p.Users[d.User].Assumed {
			need[d.User] = true
		}
	}
	return len(need) - p.Tenant.Units.Free
}

func count(p *Population, what func(*Device) bool) map[string]int {
	n := map[string]int{}
	for i := range p.Devices {
		if d := &p.Devices[i]; what(d) {
			n[d.Platform.String()]++
			n["all"]++
		}
	}
	return n
}

func expect(t *testing.T, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

const day = 24 * time.Hour

func TestSampleBMSOnly(t *testing.T) {
	p := mustImport(t, Options{Path: sample(t, "bms-only"), KeepNames: true})
	asOf := p.Tenant.AsOf
	everything := func(*Device) bool { return true }
	expect(t, "enrolled", count(p, everything), map[string]int{"ios": 12, "ipados": 5, "android": 11, "windows": 5, "all": 33})
	expect(t, "left out", p.LeftOut, []LeftOut{
		{ManagementType, protocol.IOS, 1},
		{NotManaged, protocol.MacOS, 3},
		{NotManaged, protocol.Android, 1},
		{NotManaged, protocol.Windows, 4},
		{OtherMDM, protocol.Windows, 1},
		{ProfileType, protocol.Windows, 1},
	})
	expect(t, "records", p.Total, 44)
	expect(t, "would move", count(p, p.entitled), map[string]int{"ios": 3, "ipados": 2, "android": 3, "windows": 1, "all": 9})
	kinds := map[DoubtKind]string{}
	for _, d := range p.Doubts {
		kinds[d.Kind] += d.Name
	}
	expect(t, "doubts", kinds, map[DoubtKind]string{
		TwoOwners: "EB-IPAD-005", NoOwner: "EB-WIN-005", UserUnknown: "EB-AND-011", IntunesApp: "EB-IOS-004",
		EnrolledAgain: "user12_iPhone", NoSignIn: "EB-IOS-007", ObjectDisabled: "EB-AND-005",
	})
	silent := func(over time.Duration) map[string]int {
		return count(p, func(d *Device) bool { least, _, ok := d.Contact.Silent(asOf); return ok && least > over })
	}
	expect(t, "silent over 90 days", silent(90*day), map[string]int{"ios": 2, "ipados": 1, "all": 3})
	for i := range p.Devices {
		d := &p.Devices[i]
		least, most, ok := d.Contact.Silent(asOf)
		want, named := map[string][2]time.Duration{"EB-AND-002": {26, 45}, "EB-IOS-012": {56, 75}, "EB-IOS-009": {181, 200}, "EB-WIN-002": {5, 24}}[d.Name]
		if named && (!ok || least/day != want[0] || most/day != want[1]) {
			t.Errorf("%s is silent for %d to %d days, want %v", d.Name, least/day, most/day, want)
		}
	}
	expired := count(p, func(d *Device) bool { return d.CertEnd < asOf })
	due := count(p, func(d *Device) bool { return d.CertEnd >= asOf && d.CertEnd.Sub(asOf) <= 42*day })
	expect(t, "expired", expired, map[string]int{"ios": 1, "ipados": 1, "all": 2})
	expect(t, "due", due, map[string]int{"ios": 1, "all": 1})
	expect(t, "personal", count(p, func(d *Device) bool { return d.Ownership == Personal })["all"], 25)
	expect(t, "company", count(p, func(d *Device) bool { return d.Ownership == Company })["all"], 8)
	expect(t, "unlicensed", count(p, func(d *Device) bool { return !d.Userless() && p.Users[d.User].Licence == NoLicence }), map[string]int{"android": 1, "all": 1})
	expect(t, "Apple devices", count(p, func(d *Device) bool { return d.Platform.Apple() })["all"], 17)
	users, entitled := 0, 0
	for _, u := range p.Users {
		if !u.Assumed {
			users++
		}
		if u.Licence&IntuneLicence != 0 {
			entitled++
		}
	}
	expect(t, "users and entitled", []int{users, entitled}, []int{25, 7})
	expect(t, "units", p.Tenant.Units, Units{Known: true, Owned: 10, Free: 2})
	expect(t, "units short", p.short(), 14)
	expect(t, "push ends in days", int(p.Tenant.APNs.Expires.Sub(asOf)/day), 20)
	disabled, nowhere := 0, 0
	for _, u := range p.Users {
		if u.Disabled {
			disabled++
		}
		if u.NoLocation {
			nowhere++
		}
	}
	expect(t, "disabled accounts, without location", []int{disabled, nowhere}, []int{1, 1})
}

func TestSampleCoexistence(t *testing.T) {
	folder := sample(t, "coexistence")
	table := t.TempDir() // the same tenant without its JSON of devices
	must(t, os.CopyFS(table, os.DirFS(folder)))
	must(t, os.Remove(filepath.Join(table, "managedDevices.json")))
	for form, path := range map[string]string{"JSON": folder, "CSV": table} {
		t.Run(form, func(t *testing.T) {
			p := mustImport(t, Options{Path: path, KeepNames: true})
			asOf := p.Tenant.AsOf
			expect(t, "platforms", count(p, func(*Device) bool { return true }), map[string]int{"ios": 19, "ipados": 5, "macos": 4, "android": 18, "windows": 14, "all": 60})
			expect(t, "co-managed", count(p, func(d *Device) bool { return d.Has(CoManaged) })["all"], 4)
			expect(t, "Intune", count(p, func(d *Device) bool { return d.Registered == protocol.Intune && !d.Has(CoManaged) })["all"], 40)
			expect(t, "BMS", count(p, func(d *Device) bool { return d.Registered == protocol.Office365 })["all"], 16)
			pending := map[string]int{}
			unlicensed := map[string]int{}
			for i := range p.Devices {
				d := &p.Devices[i]
				if d.Registered == protocol.Office365 && p.entitled(d) {
					pending[p.Users[d.User].UPN]++
				}
				if d.Registered == protocol.Office365 && !d.Userless() && p.Users[d.User].Licence == NoLicence {
					unlicensed[p.Users[d.User].UPN]++
				}
			}
			expect(t, "pending (AUTH-14, AUTH-15)", pending, map[string]int{"user12@example.com": 1, "user13@example.com": 1, "user14@example.com": 1, "user30@example.com": 1})
			expect(t, "unlicensed (AUTH-17)", unlicensed, map[string]int{"user29@example.com": 1})
			expect(t, "userless (AUTH-18)", count(p, (*Device).Userless), map[string]int{"ipados": 5, "android": 4, "windows": 2, "all": 11})
			expired := map[string]bool{}
			for i := range p.Devices {
				if d := &p.Devices[i]; d.CertEnd < asOf {
					expired[d.Name] = true
				}
			}
			expect(t, "expired (AUTH-42)", expired, map[string]bool{"EX-AND-013": true, "EX-IOS-021": true, "EX-IPAD-032": true})
			expect(t, "due (AUTH-41)", count(p, func(d *Device) bool { return d.CertEnd >= asOf && d.CertEnd.Sub(asOf) <= 42*day })["all"], 8)
			silent := func(over time.Duration) int {
				return count(p, func(d *Device) bool { least, _, ok := d.Contact.Silent(asOf); return ok && least > over })["all"]
			}
			expect(t, "silent over 7 and 90 days", []int{silent(7 * day), silent(90 * day)}, []int{12, 4})
			expect(t, "leaving", count(p, func(d *Device) bool { return d.Has(Leaving) })["all"], 1)
			expect(t, "noncompliant", count(p, func(d *Device) bool { return d.Has(Noncompliant) })["all"], 7)
			expect(t, "in grace period", count(p, func(d *Device) bool { return d.Has(InGracePeriod) })["all"], 1)
			expect(t, "older epoch", count(p, func(d *Device) bool { return !d.Current })["all"], 0)
			expect(t, "doubts", len(p.Doubts), 0)
			expect(t, "units short (AUTH-09)", p.short(), 5)
			rules := map[protocol.Rule]int{}
			for _, f := range p.Findings {
				rules[f.Rule] = f.Devices
			}
			expect(t, "findings (AUTH-05)", rules, map[protocol.Rule]int{protocol.RuleConsent: 12})
			expect(t, "Apple devices", count(p, func(d *Device) bool { return d.Platform.Apple() })["all"], 28)
			workloads := maps.Collect(func(yield func(string, Workloads) bool) {
				for i := range p.Devices {
					if d := &p.Devices[i]; d.Workloads != 0 && !yield(d.Name, d.Workloads) {
						return
					}
				}
			})
			if form == "JSON" {
				expect(t, "workloads (AUTH-51)", workloads, map[string]Workloads{
					"EX-WIN-055": Compliance | ResourceAccess | Update, "EX-WIN-056": Update,
					"EX-WIN-057": Compliance | ResourceAccess | DeviceConfiguration | EndpointProtection | Update | OfficeApps | ClientApps,
					"EX-WIN-058": Compliance | ResourceAccess | OfficeApps,
				})
			}
		})
	}
}
