//go:build !agentonly

package main

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/agent/dialect"
	"rollcall/protocol"
	"rollcall/protocol/android"
	"rollcall/protocol/apple"
	"rollcall/server"
	"rollcall/server/authority"
)

// put gives all users a profile of one authority.
func (l *androidLab) put(by protocol.Authority, name string, family protocol.Family, version string) {
	l.Helper()
	_, err := l.core.PutProfile(l.Context(), l.pnow(), server.System, server.ProfileChange{
		Authority: by, Name: name, Family: family, Identifier: "example." + name + "." + by.String(), Payload: apple.EncodeProfile(apple.NewProfile("example."+name, version, family)), Groups: []string{"all"},
	}, "")
	l.check(err)
}

// becomes changes the tenant's authority, after the preview that is returned.
func (l *androidLab) becomes(c authority.Change, devices int) *server.Preview {
	l.Helper()
	p, err := l.core.PreviewAuthority(l.Context(), l.pnow(), c)
	l.check(err)
	_, err = l.core.SetAuthority(l.Context(), l.pnow(), server.System, c, p.ID, devices)
	l.check(err)
	return p
}

// firstAnswer is what the next check-in brings in its first round; the device never hears it.
func (l *androidLab) firstAnswer(d *dialect.Android, checkin string) (a android.CheckInAnswer) {
	l.Helper()
	status, answer, err := l.says(d, http.MethodPost, android.CheckInPath, nil, l.message(d, checkin))
	l.check(err)
	if status != http.StatusOK {
		l.Fatalf("answered %d %s", status, answer)
	}
	l.check(android.Decode(answer, &a))
	return a
}

// By its user's licence a device moves with nothing of the authority before: the first policy after it holds none of that (AND-056, AUTH-23).
func TestAND056LicencePath(t *testing.T) {
	l := newAndroidLabOf(t, authority.Tenant{Authority: protocol.Office365, Release: 1910}, onMemory)
	hold := func(intune bool) {
		_, err := l.core.SetLicences(t.Context(), l.pnow(), server.System, []server.Licence{{UPN: "kim@example.test", Basic: true, Intune: intune}, {UPN: "ann@example.test", Intune: true}}, "")
		l.check(err)
	}
	hold(false)
	l.put(protocol.Office365, "mail", protocol.Email, "old")
	d := l.enrolled(1, android.FullyManaged)
	if got := l.on(d); !slices.Equal(got, []string{"mail"}) {
		t.Fatalf("%q on the device", got)
	}
	l.wait(time.Hour)
	l.becomes(authority.Change{Authority: protocol.Office365, Coexistence: true}, 1)
	l.put(protocol.Intune, "wifi", protocol.WiFi, "Office")
	l.talks(d)
	if st := l.record(d).State; st.Registered != protocol.Office365 {
		t.Fatalf("without a licence it is registered with %s", st.Registered)
	}
	hold(true)
	a := l.firstAnswer(d, "c-first")
	if a.Policy == nil || a.Complete {
		t.Fatalf("no new policy: %+v", a)
	}
	for _, e := range a.Policy.Profiles {
		if e.Authority == protocol.Office365 && (e.RemoveAfter == 0 || e.RemoveAfter > l.pnow() || len(e.Fields) > 0) {
			t.Errorf("the first policy still has %+v", e)
		}
	}
	if strings.Contains(string(a.Policy.Policy), "applications") {
		t.Errorf("the first policy still sets what the old mail profile did: %s", a.Policy.Policy)
	}
	l.talks(d)
	if st := l.record(d).State; st.Registered != protocol.Intune || !slices.Equal(l.on(d), []string{"wifi"}) || len(d.Profiles()) != 1 {
		t.Errorf("registered with %s, %q on the device, which has %+v", st.Registered, l.on(d), d.Profiles())
	}
}

// When the tenant's authority changes, what has a namesake of its family is replaced; what has none stays for seven days, marked, and is
// gone from the policy then (AND-057, AUTH-26, AUTH-27). A device without a user stays where it is registered, and loses the same
// (AND-059, AUTH-18, AUTH-28).
func TestAND057TenantPath(t *testing.T) {
	for _, tt := range []struct {
		name string
		mode android.Mode
	}{{"AND-057", android.FullyManaged}, {"AND-059 dedicated", android.Dedicated}, {"AND-059 AOSP", android.AOSPUserless}} {
		t.Run(tt.name, func(t *testing.T) {
			from, to := protocol.SCCM, protocol.Intune
			if tt.mode.Userless() { // in hybrid MDM there are none
				from, to = to, from
			}
			l := newAndroidLabOf(t, authority.Tenant{Authority: from, Release: 1910}, onMemory)
			l.put(from, "wifi", protocol.WiFi, "Old")
			l.put(from, "guests", protocol.WiFi, "Guests")
			d := l.enrolled(1, tt.mode)
			l.wait(time.Hour)
			l.becomes(authority.Change{Authority: to}, 1)
			l.put(to, "wifi", protocol.WiFi, "New")
			changed := l.core.World().Tenant.ChangedAt
			l.talks(d)
			st := l.record(d).State
			if !tt.mode.Userless() {
				if st.Registered != to || st.Epoch != 2 {
					t.Errorf("registered with %s in epoch %d", st.Registered, st.Epoch)
				}
				text, _ := d.Policy()
				var marked []string
				for _, e := range l.manifest(d) {
					if e.RemoveAfter != 0 {
						marked = append(marked, e.Name)
						if e.RemoveAfter != changed.Add(7*24*time.Hour) {
							t.Errorf("%s goes at %s, changed %s", e.Name, e.RemoveAfter, changed)
						}
					}
				}
				if !slices.Equal(marked, []string{"guests"}) || !strings.Contains(string(text), `"New"`) || strings.Contains(string(text), `"Old"`) || !strings.Contains(string(text), `"Guests"`) {
					t.Errorf("%q is marked; policy %s", marked, text)
				}
			} else if st.Registered != from || st.Epoch != 1 {
				t.Errorf("without a user: registered with %s in epoch %d", st.Registered, st.Epoch)
			}
			l.wait(8 * 24 * time.Hour)
			l.talks(d)
			l.talks(d)
			if text, _ := d.Policy(); strings.Contains(string(text), `"Guests"`) || slices.Contains(l.on(d), "guests") {
				t.Errorf("after seven days %q is on the device, whose policy is %s", l.on(d), text)
			}
		})
	}
}

// A device without a user keeps its authority when a user's would get another one, and is listed for support (AND-059, AUTH-18).
func TestAND059Support(t *testing.T) {
	for _, mode := range []android.Mode{android.Dedicated, android.AOSPUserless, android.AOSPUser} {
		l := newAndroidLabOf(t, authority.Tenant{Authority: protocol.Office365, Release: 1910, AcceptUserless: true}, onMemory)
		d := l.enrolled(1, mode)
		p := l.becomes(authority.Change{Authority: protocol.Office365, Coexistence: true}, 1)
		if (p.NeedsSupport == 1) != mode.Userless() {
			t.Errorf("%s: %d devices are listed for support", mode, p.NeedsSupport)
		}
		l.talks(d)
		if by := l.record(d).State.Registered; (by == protocol.Office365) != mode.Userless() {
			t.Errorf("%s: registered with %s", mode, by)
		}
	}
}

// manifest is that of the policy which a device that has none gets.
func (l *androidLab) manifest(d *dialect.Android) []android.ManifestEntry {
	l.Helper()
	status, answer, err := l.says(d, http.MethodPost, android.CheckInPath, nil, l.message(d, "c-none", func(m *android.CheckIn) {
		m.Applied.PolicyVersion, m.Applied.Profiles = 1, nil
	}))
	l.check(err)
	var a android.CheckInAnswer
	l.check(android.Decode(answer, &a))
	if status != http.StatusOK || a.Policy == nil {
		l.Fatalf("answered %d %s", status, answer)
	}
	return a.Policy.Profiles
}
