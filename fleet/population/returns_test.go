package population

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"rollcall/protocol"
)

// snapshot imports an export of iPhones, by id, that were last in contact so many days before asOf.
func snapshot(t *testing.T, asOf protocol.Time, silent map[string]float64) *Population {
	t.Helper()
	var b strings.Builder
	for id, days := range silent {
		at := asOf.Add(-time.Duration(days * float64(oneDay)))
		fmt.Fprintf(&b, `{"id":%q,"managementAgent":"mdm","operatingSystem":"iOS","enrolledDateTime":"2026-01-01T00:00:00Z","lastSyncDateTime":%q}`+"\n", id, at.Time().Format(time.RFC3339))
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "managedDevices.json"), []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	intune := protocol.Intune
	return mustImport(t, Options{Path: dir, AsOf: asOf, Authority: &intune})
}

// Two exports of one tenant say how silent devices come back, by how long they had been silent.
func TestSince(t *testing.T) {
	later := protocol.At(time.Date(2026, 11, 1, 8, 0, 0, 0, time.UTC))
	earlier := later.Add(-10 * oneDay)
	old := snapshot(t, earlier, map[string]float64{"A": 0.1, "b": 2, "c": 6.9, "d": 7, "e": 20, "f": 29, "g": 40, "h": 80, "i": 120, "gone": 3})
	p := snapshot(t, later, map[string]float64{"a": 0.2, "B": 1, "c": 16.9, "d": 17, "e": 1, "f": 0.1, "g": 50, "h": 2, "i": 130, "new": 1})
	if err := p.Since(old); err != nil {
		t.Fatal(err)
	}
	want := Returns{10 * oneDay, []Return{{oneDay, 7 * oneDay, 2, 1}, {7 * oneDay, 30 * oneDay, 3, 2}, {30 * oneDay, 90 * oneDay, 2, 1}, {90 * oneDay, 0, 1, 0}}}
	if diff := cmp.Diff(want, p.Returns); diff != "" {
		t.Errorf("Since (-want +got):\n%s", diff)
	}
	if err := old.Since(p); err == nil || !strings.Contains(err.Error(), "which is not before") {
		t.Errorf("the newer as the older: %v", err)
	}
	if err := p.Since(snapshot(t, earlier, map[string]float64{"x": 1})); err == nil || !strings.Contains(err.Error(), "same tenant") {
		t.Errorf("another tenant: %v", err)
	}
	if r := p.Resample(100, 1); r.Returns.Between != want.Between {
		t.Error("a larger population forgets it")
	}
}

// A device comes back at the rate of those that had been silent as long: in the time between the exports that share of them.
func TestComeback(t *testing.T) {
	asOf := protocol.At(time.Date(2026, 11, 1, 8, 0, 0, 0, time.UTC))
	p := &Population{Tenant: Tenant{AsOf: asOf}}
	for range 2000 {
		for _, days := range []int{0, 3, 10, 40, 100} {
			at := asOf.Add(-time.Duration(days) * oneDay)
			p.Devices = append(p.Devices, Device{Contact: Span{at, at}})
		}
	}
	if _, known := p.Comeback(1, 7); known {
		t.Error("known without an older export")
	}
	p.Returns = Returns{5 * oneDay, []Return{{oneDay, 7 * oneDay, 4, 3}, {7 * oneDay, 30 * oneDay, 10, 2}, {30 * oneDay, 90 * oneDay, 0, 0}, {90 * oneDay, 0, 6, 0}}}
	var within [5]int
	for i := range p.Devices {
		after, known := p.Comeback(i, 7)
		kind := i % 5
		if again, _ := p.Comeback(i, 7); again != after {
			t.Fatalf("device %d comes back after %s, and after %s", i, after, again)
		}
		switch {
		case kind == 0 && (after != 0 || !known), kind == 3 && known, kind == 4 && (after != Never || !known):
			t.Fatalf("silent for the %dth length: back after %s, known %t", kind, after, known)
		case after > 0 && after < 5*oneDay:
			within[kind]++
		}
	}
	if within[1] < 1400 || within[1] > 1600 || within[2] < 320 || within[2] > 480 {
		t.Errorf("of 2,000 devices each %v came back within the time between the exports, want about 1,500 and 400", within[1:3])
	}
}

// Of two coarse times nobody knows whether the device was back between them, and what had to enrol again comes back by no network: neither
// is counted as back, the latter not as silent either (AUTH-42).
func TestAUTH42SinceCountsWhatIsKnown(t *testing.T) {
	later := protocol.At(time.Date(2026, 11, 1, 8, 0, 0, 0, time.UTC))
	earlier := later.Add(-10 * oneDay)
	at := func(asOf protocol.Time, spans ...Span) *Population {
		p := &Population{Tenant: Tenant{AsOf: asOf}}
		for i, s := range spans {
			p.keys = append(p.keys, uint64(i))
			p.Devices = append(p.Devices, Device{Contact: s})
		}
		return p
	}
	was := Span{earlier.Add(-20 * oneDay), earlier.Add(-8 * oneDay)}
	back := Span{later.Add(-oneDay), later}
	old := at(earlier, was, was, was, was)
	old.Devices[2].CertEnd = earlier
	old.Devices[3].Traits = Revoked
	p := at(later, Span{was.Earliest, was.Latest.Add(oneDay)}, back, back, back)
	if err := p.Since(old); err != nil {
		t.Fatal(err)
	}
	if got, want := p.Returns.Bands[1], (Return{7 * oneDay, 30 * oneDay, 2, 1}); got != want {
		t.Errorf("of those silent for over a week %+v, want %+v", got, want)
	}
}

// A moment that is given, and is before most of what the export has, is refused, and not played with all that follows from it (HST-122).
func TestHST122EarlyMoment(t *testing.T) {
	intune := protocol.Intune
	_, err := Import(Options{Path: "testdata/bms-only", Authority: &intune, AsOf: mustTime("2020-01-01T00:00:00Z")})
	if err == nil || !strings.HasPrefix(err.Error(), "--as-of: 2020-01-01T00:00:00Z is before ") {
		t.Errorf("%v, want a word about --as-of", err)
	}
}

// A moment long after all that the export has is doubted: nobody in it could be reached any more (HST-122, AUTH-38).
func TestHST122LateMoment(t *testing.T) {
	const csv = "Device ID,Enrollment date,Last check-in,Managed by,Ownership,OS,Primary user UPN\n" +
		"d1,2026-01-01T00:00:00Z,2026-05-01T00:00:00Z,Intune,Personal,iOS,a@example.com\nd2,2026-09-01T00:00:00Z,,Intune,Personal,iOS,a@example.com\n"
	for moment, want := range map[string]bool{"2026-11-29T00:00:00Z": false, "2026-12-02T00:00:00Z": true} {
		p, err := load(Options{Path: "FOLDER", AsOf: mustTime(moment)}, fstest.MapFS{"a.csv": {Data: []byte(csv)}}, "", BMSLicence)
		if err != nil {
			t.Fatal(err)
		}
		if got := slices.ContainsFunc(p.Doubts, func(d Doubt) bool { return d.Kind == LateMoment }); got != want {
			t.Errorf("%s: doubts %v, want one about the moment: %t", moment, p.Doubts, want)
		}
	}
}

// Certificates that cannot have been there at the moment of an export are doubted, and of a push certificate no more is taken than a
// renewed one can outlive; what just can have been is not doubted (HST-122, AUTH-33, AUTH-40).
func TestHST122MomentBeforeCertificates(t *testing.T) {
	const head = "Device ID,Enrollment date,Last check-in,Managed by,Ownership,OS,Primary user UPN,Management certificate expiration date\n"
	const row = ",2026-01-01T00:00:00Z,2026-10-01T00:00:00Z,Intune,Personal,iOS,a@example.com,"
	asOf := mustTime("2026-10-01T12:00:00Z")
	for _, tt := range []struct {
		name, end string // of d2's certificate
		apns      APNs
		want      []DoubtKind
		says      string
		expires   protocol.Time
	}{
		{name: "all a year at most", end: "2027-10-01T00:00:00Z", apns: APNs{Expires: asOf.Add(365 * oneDay), Modified: asOf}, expires: asOf.Add(365 * oneDay)},
		{name: "push certificate", end: "2027-01-01T00:00:00Z", apns: APNs{Expires: mustTime("2030-01-01T00:00:00Z")}, want: []DoubtKind{LongCertificate}, says: "ends on 2030-01-01", expires: asOf.Add(365 * oneDay)},
		{name: "uploaded later", end: "2027-01-01T00:00:00Z", apns: APNs{Expires: asOf.Add(300 * oneDay), Modified: asOf.Add(3 * oneDay)}, want: []DoubtKind{LateUpload}, says: "(2026-10-04) after the moment of the export (2026-10-01)", expires: asOf.Add(300 * oneDay)},
		{name: "identity", end: "2027-10-04T00:00:00Z", apns: APNs{Expires: asOf.Add(300 * oneDay)}, want: []DoubtKind{LongCertificate}, says: "of 1 of 2 devices end more than a year", expires: asOf.Add(300 * oneDay)},
	} {
		p, err := load(Options{Path: "FOLDER", AsOf: asOf, APNs: tt.apns}, fstest.MapFS{"a.csv": {Data: []byte(head + "d1" + row + "2027-01-01T00:00:00Z\nd2" + row + tt.end + "\n")}}, "", BMSLicence)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		var kinds []DoubtKind
		var said []string
		for i := range p.Doubts {
			if k := p.Doubts[i].Kind; k == LongCertificate || k == LateUpload {
				kinds, said = append(kinds, k), append(said, p.Doubts[i].Text.String())
			}
		}
		if !slices.Equal(kinds, tt.want) || !strings.Contains(strings.Join(said, "; "), tt.says) || p.Tenant.APNs.Expires != tt.expires {
			t.Errorf("%s: doubts %v %q, the push certificate ends on %s", tt.name, kinds, said, p.Tenant.APNs.Expires)
		}
	}
}
