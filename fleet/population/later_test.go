package population

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestLaterNames: whom the file of licences names twice, or alone, is told by name and line.
func TestLaterNames(t *testing.T) {
	path := filepath.Join(t.TempDir(), "after.csv")
	read := func(rows string) (*Population, error) {
		must(t, os.WriteFile(path, []byte("UserPrincipalName,Licenses\n"+rows), 0o600))
		return Import(Options{Path: filepath.Join("testdata", "bms-only"), KeepNames: true, LicenceFile: path})
	}
	_, err := read("user01@example.com,Intune\nuser02@example.com,Intune\nUSER01@example.com,Microsoft 365 Business Basic\n")
	if err == nil || !strings.Contains(err.Error(), path+":4") || !strings.Contains(err.Error(), "USER01@example.com has other licences in line 2 already") {
		t.Errorf("%v does not name both lines", err)
	}
	p, err := read("user01@example.com,Intune\nuser01@example.com,Intune\nuser1@example.com,Intune\n" + strings.Repeat("more@example.com,Intune\n", 12))
	if err != nil {
		t.Fatal(err)
	}
	told := ""
	for _, a := range p.Assumed {
		if a.What == "users whom only the file of licences names" {
			told = a.Assumed.String()
		}
	}
	if !strings.HasPrefix(told, "without a device, or misspelt: user1@example.com, more@") || !strings.HasSuffix(told, " and 3 more") {
		t.Errorf("strangers: %q", told)
	}
}

func TestLater(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		must(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	table := write("after.csv", "UserPrincipalName,Licenses\nuser01@example.com,Microsoft 365 Business Basic+Intune\nstranger@example.com,Intune\n")
	list := write("after.json", `{"value":[{"userPrincipalName":"USER01@example.com","assignedLicenses":[{"skuId":"061f9ace-7d42-4136-88ac-31dc755f143f","disabledPlans":[]}]},{"userPrincipalName":"user02@example.com"}]}`)
	for form, path := range map[string]string{"CSV": table, "JSON": list} {
		t.Run(form, func(t *testing.T) {
			p := mustImport(t, Options{Path: filepath.Join("testdata", "bms-only"), KeepNames: true, LicenceFile: path})
			if len(p.Later) != len(p.Users) {
				t.Fatalf("%d users later, want %d", len(p.Later), len(p.Users))
			}
			for i, u := range p.Users {
				want := u.Licence
				if u.UPN == "user01@example.com" {
					want |= IntuneLicence
					if form == "JSON" {
						want = IntuneLicence
					}
				}
				if p.Later[i].Licence != want {
					t.Errorf("%s: %d later, want %d", u.UPN, p.Later[i].Licence, want)
				}
			}
		})
	}
	for name, path := range map[string]string{
		"no such file": filepath.Join(dir, "none.csv"), "a folder": dir, "another table": write("devices.csv", "Name,Owner\na,b\n"), "a bad row": write("bad.csv", "UserPrincipalName,Licenses\n,Intune\n"),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Import(Options{Path: filepath.Join("testdata", "bms-only"), LicenceFile: path})
			if err == nil || !strings.Contains(err.Error(), path) {
				t.Errorf("error %v, want one that names %s", err, path)
			}
		})
	}
}
