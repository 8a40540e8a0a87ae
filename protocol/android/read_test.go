package android

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"rollcall/protocol"
)

// messages are the golden files, each with a fresh value of its type.
var messages = map[string]func() any{
	"discovery.json":       func() any { return new(Discovery) },
	"enroll.json":          func() any { return new(EnrollRequest) },
	"enrolled.json":        func() any { return new(EnrollAnswer) },
	"checkin.json":         func() any { return new(CheckIn) },
	"checkin_steady.json":  func() any { return new(CheckIn) },
	"checkedin.json":       func() any { return new(CheckInAnswer) },
	"complete.json":        func() any { return new(CheckInAnswer) },
	"policy.json":          func() any { return new(Policy) },
	"unenroll.json":        func() any { return new(UnenrollRequest) },
	"refused.json":         func() any { return new(Error) },
	"gone.json":            func() any { return new(Error) },
	"provisioning.json":    func() any { return new(ProvisioningData) },
	"order.json":           func() any { return new(Order) },
	"notice.json":          func() any { return new(Notice) },
	"unenrolled.json":      func() any { return new(UnenrollAnswer) },
	"attested_enroll.json": func() any { return new(EnrollRequest) },
}

func golden(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return bytes.TrimSpace(b)
}

// The golden messages are known to the last member, and are written again as they were but for white space.
func TestGolden(t *testing.T) {
	for name, fresh := range messages {
		body, v := golden(t, name), fresh()
		if err := DecodeKnown(body, v); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		again := fresh()
		if err := DecodeKnown(Append(nil, v), again); err != nil || !reflect.DeepEqual(compacted(v), again) {
			t.Errorf("%s: written and read again (%v):\n%s", name, err, cmp.Diff(v, again))
		}
		if got, want := Append(nil, v), compact(t, body); !bytes.Equal(got, want) {
			t.Errorf("%s is written as\n%s\nand was\n%s", name, got, want)
		}
	}
}

// compact takes white space out that is not in a string.
func compact(t testing.TB, body []byte) []byte {
	t.Helper()
	var out []byte
	inside := false
	for i, c := range body {
		if c == '"' && (i == 0 || body[i-1] != '\\') {
			inside = !inside
		}
		if inside || !strings.ContainsRune(" \t\r\n", rune(c)) {
			out = append(out, c)
		}
	}
	return out
}

// compacted gives v with its raw values as they are written.
func compacted(v any) any {
	fresh := reflect.New(reflect.TypeOf(v).Elem()).Interface()
	if err := Decode(Append(nil, v), fresh); err != nil {
		return err
	}
	return fresh
}

const steady = `{"protocol":1,"checkin":"c1","round":1,"device":"d-1","reason":"SCHEDULE","epoch":1,"applied":{"state":"ACTIVE"},"compliant":true`

// What is wrong is refused, by the name of the member.
func TestRefused(t *testing.T) {
	for _, tt := range []struct{ name, body, want string }{
		{"HST-002", steady, "ends where"},
		{"HST-002 in a string", `{"protocol":1,"checkin":"c`, "ends in a string"},
		{"HST-004", steady + `,"x":` + strings.Repeat("[", 70) + strings.Repeat("]", 70) + `}`, "HST-004"},
		{"HST-006 twice", steady + `,"device":"d-2"}`, `"device": duplicate member`},
		{"HST-006 twice, written otherwise", steady + `,"d\u0065vice":"d-2"}`, `"device": duplicate member`},
		{"HST-006 twice where nobody looks", steady + `,"x":{"a":{"b":1,"b":2}}}`, `"b": duplicate member`},
		{"HST-006 behind", steady + `} {}`, "bytes after"},
		{"HST-006 before", "\ufeff" + steady + `}`, "want an object"},
		{"HST-007 case", strings.Replace(steady, `"device"`, `"Device"`, 1) + `}`, "device: missing"},
		{"HST-007 look-alike", strings.Replace(steady, `"device"`, `"devic\u0435"`, 1) + `}`, "device: missing"},
		{"HST-009 range", strings.Replace(steady, `"epoch":1`, `"epoch":4294967296`, 1) + `}`, "epoch: "},
		{"HST-009 sign", strings.Replace(steady, `"epoch":1`, `"epoch":-1`, 1) + `}`, "epoch: "},
		{"HST-009 128 bits", strings.Replace(steady, `{"state":"ACTIVE"}`, `{"state":"ACTIVE","policyVersion":"340282366920938463463374607431768211456"}`, 1) + `}`, "applied.policyVersion: "},
		{"HST-009 fraction", strings.Replace(steady, `"round":1`, `"round":1.5`, 1) + `}`, "round: want a whole number"},
		{"HST-009 exponent", strings.Replace(steady, `"round":1`, `"round":1e0`, 1) + `}`, "round: want a whole number"},
		{"HST-009 beyond", steady + `,"x":1e400}`, "HST-009"},
		{"HST-009 February 30", steady + `,"time":"2026-02-30T00:00:00Z"}`, "time: "},
		{"HST-009 no zone", steady + `,"time":"2026-02-03T00:00:00"}`, "time: "},
		{"HST-009 year 10000", steady + `,"time":"10000-02-03T00:00:00Z"}`, "time: "},
		{"HST-010 UTF-8", steady + ",\"x\":\"\xff\"}", "not UTF-8"},
		{"HST-010 NUL", steady + `,"x":"\u0000"}`, "HST-010"},
		{"HST-010 surrogate", steady + `,"x":"\ud800"}`, "HST-010"},
		{"HST-050 device", strings.Replace(steady, "d-1", "../x", 1) + `}`, "device: "},
		{"HST-050 check-in", strings.Replace(steady, "c1", strings.Repeat("c", 65), 1) + `}`, "checkin: "},
		{"HST-001 push", steady + `,"push":{"kind":"fcm","fid":"` + strings.Repeat("f", 4097) + `"}}`, "push.fid: 4097 bytes"},
		{"version", strings.Replace(steady, `"protocol":1`, `"protocol":2`, 1) + `}`, "protocol: another version"},
		{"no version", strings.Replace(steady, `"protocol":1,`, ``, 1) + `}`, "protocol: missing"},
		{"null where it must be", strings.Replace(steady, `"device":"d-1"`, `"device":null`, 1) + `}`, "device: want a string"},
		{"round 17", strings.Replace(steady, `"round":1`, `"round":17`, 1) + `}`, "round: 17"},
		{"reason", strings.Replace(steady, "SCHEDULE", "schedule", 1) + `}`, "reason: "},
		{"deep member", strings.Replace(steady, `"ACTIVE"}`, `"ACTIVE","profiles":[{"id":"a","version":1,"status":"APPLIED"},{"id":"b","version":"1","status":"APPLIED"}]}`, 1) + `}`, "applied.profiles[1].version: want a whole number"},
		{"no object", `[]`, "want an object"},
		{"nothing", ``, "ends where an object"},
		{"leading zero", strings.Replace(steady, `"round":1`, `"round":01`, 1) + `}`, "round: "},
		{"control character", steady + ",\"x\":\"\n\"}", "control character"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var c CheckIn
			err := Decode([]byte(tt.body), &c)
			if !errors.Is(err, protocol.ErrMalformed) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Decode(%.200s): %v, want %q", tt.body, err, tt.want)
			}
		})
	}
	if err := Decode(make([]byte, MaxMessage+1), new(CheckIn)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("HST-001: %v", err)
	}
	if err := Decode([]byte(strings.Replace(steady, `"protocol":1`, `"protocol":2`, 1)+`}`), new(CheckIn)); !errors.Is(err, ErrVersion) {
		t.Errorf("version: %v", err)
	}
}

// Members that a side does not know are passed over on the wire (android.md, section 8), and refused by name in what people write.
func TestHST014UnknownMembers(t *testing.T) {
	body := []byte(steady + `,"later":{"a":[1,-2.5e-3,true,null,"\ud83d\ude00"]},"time":null}`)
	var c CheckIn
	if err := Decode(body, &c); err != nil || c.Device != "d-1" || c.Time != 0 {
		t.Errorf("Decode: %v, %+v", err, c)
	}
	if err := DecodeKnown(body, &c); err == nil || !strings.Contains(err.Error(), `"later": unknown member`) {
		t.Errorf("DecodeKnown: %v, want the name of the member", err)
	}
	var p Policy
	err := DecodeKnown([]byte(`{"openNetworkConfiguration":{"NetworkConfigurations":[{"GUID":"1","Name":"n","Type":"WiFi","WiFi":{"Security":"None","Ssid":"x"}}]}}`), &p)
	if err == nil || !strings.Contains(err.Error(), `openNetworkConfiguration.NetworkConfigurations[0].WiFi."Ssid": unknown member`) {
		t.Errorf("DecodeKnown: %v, want the whole path", err)
	}
}

// Every beginning of every golden message is refused (HST-002).
func TestHST002Prefixes(t *testing.T) {
	for name, fresh := range messages {
		body := golden(t, name)
		for n := range body {
			if err := Decode(body[:n], fresh()); err == nil {
				t.Fatalf("%s: its first %d bytes are taken: %s", name, n, body[:n])
			}
		}
	}
}

// A million keys cost a linear time, and a member twice is found behind them (HST-014).
func TestHST014ManyKeys(t *testing.T) {
	var b strings.Builder
	b.WriteString(steady)
	for i := range 80_000 {
		fmt.Fprintf(&b, `,"k%d":0`, i)
	}
	if err := Decode([]byte(b.String()+`}`), new(CheckIn)); err != nil {
		t.Error(err)
	}
	if err := Decode([]byte(b.String()+`,"k41":0}`), new(CheckIn)); err == nil || !strings.Contains(err.Error(), `"k41": duplicate`) {
		t.Errorf("%v, want k41 twice", err)
	}
}

// A user's name in a userless mode is refused, and so is a device that nobody could know again.
func TestEnrollRequest(t *testing.T) {
	for _, tt := range []struct{ body, want string }{
		{`{"protocol":1,"role":"dpc","mode":"DEDICATED","hardware":{"brand":"a","model":"b","serialNumber":"1"},"software":{"apiLevel":34,"androidVersion":"14"},"user":{"upn":"kim@example.test"}}`, "user: "},
		{`{"protocol":1,"role":"dpc","mode":"FULLY_MANAGED","hardware":{"brand":"a","model":"b"},"software":{"apiLevel":34,"androidVersion":"14"}}`, "hardware: "},
		{`{"protocol":1,"role":"dpc","mode":"FULLY_MANAGED","hardware":{"brand":"a","model":"b","serialNumber":"1"},"software":{"apiLevel":-1,"androidVersion":"14"}}`, "software.apiLevel: "},
		{`{"protocol":1,"role":"owner","mode":"FULLY_MANAGED","hardware":{"brand":"a","model":"b","serialNumber":"1"},"software":{"apiLevel":34,"androidVersion":"14"}}`, "role: "},
	} {
		if err := Decode([]byte(tt.body), new(EnrollRequest)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Decode(%s): %v, want %q", tt.body, err, tt.want)
		}
	}
}

func fuzz[T any](f *testing.F, names ...string) {
	for _, name := range names {
		f.Add(golden(f, name))
	}
	f.Add([]byte(`{"a":1e400}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		v, again := new(T), new(T)
		if Decode(body, v) != nil {
			return
		}
		written := Append(nil, v)
		if err := DecodeKnown(written, again); err != nil {
			t.Fatalf("%s\nwas written as\n%s\nand is not read again: %v", body, written, err)
		}
		if twice := Append(nil, again); !bytes.Equal(written, twice) {
			t.Fatalf("%s\nis written as\n%s\nand then as\n%s", body, written, twice)
		}
	})
}

func FuzzDiscovery(f *testing.F)     { fuzz[Discovery](f, "discovery.json") }
func FuzzEnrollRequest(f *testing.F) { fuzz[EnrollRequest](f, "enroll.json", "attested_enroll.json") }
func FuzzEnrollAnswer(f *testing.F)  { fuzz[EnrollAnswer](f, "enrolled.json") }
func FuzzCheckIn(f *testing.F)       { fuzz[CheckIn](f, "checkin.json", "checkin_steady.json") }
func FuzzCheckInAnswer(f *testing.F) { fuzz[CheckInAnswer](f, "checkedin.json", "complete.json") }
func FuzzPolicy(f *testing.F)        { fuzz[Policy](f, "policy.json") }
func FuzzUnenroll(f *testing.F)      { fuzz[UnenrollRequest](f, "unenroll.json") }
func FuzzError(f *testing.F)         { fuzz[Error](f, "refused.json", "gone.json") }
func FuzzProvisioning(f *testing.F)  { fuzz[ProvisioningData](f, "provisioning.json") }
func FuzzOrder(f *testing.F)         { fuzz[Order](f, "order.json") }
func FuzzNotice(f *testing.F)        { fuzz[Notice](f, "notice.json") }

func BenchmarkDecodeCheckIn(b *testing.B) {
	body := golden(b, "checkin_steady.json")
	var c CheckIn
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		if err := Decode(body, &c); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendAnswer(b *testing.B) {
	var a CheckInAnswer
	if err := Decode(golden(b, "complete.json"), &a); err != nil {
		b.Fatal(err)
	}
	var out []byte
	b.ReportAllocs()
	for b.Loop() {
		out = Append(out[:0], &a)
	}
}
