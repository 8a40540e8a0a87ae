package android

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// A twin is a CheckIn to whoever reads by reflection alone.
type twin CheckIn

func (t *twin) check() error { return (*CheckIn)(t).check() }

// alike holds the reader of steady check-ins against the one of all messages: the same verdict, in the same words, and the same message, whatever
// was in the room before.
func alike(t *testing.T, body []byte, used *CheckIn) {
	t.Helper()
	for _, decode := range []func([]byte, any) error{Decode, DecodeKnown} {
		var slow twin
		no, want := decode(body, used), decode(body, &slow)
		if fmt.Sprint(no) != fmt.Sprint(want) {
			t.Fatalf("%s\nis answered %v, and by reflection %v", body, no, want)
		}
		if want == nil && !reflect.DeepEqual(*used, CheckIn(slow)) {
			t.Fatalf("%s\nis read as\n%+v\nand by reflection as\n%+v", body, *used, slow)
		}
	}
}

// Both ways read every golden check-in alike, cut anywhere and with each of its bytes replaced.
func TestTwin(t *testing.T) {
	var used CheckIn
	for _, name := range []string{"checkin.json", "checkin_steady.json"} {
		body := compact(t, golden(t, name))
		alike(t, body, &used)
		for i := range body {
			alike(t, body[:i], &used)
			for _, c := range []byte(`"x]0` + "\xff") {
				changed := bytes.Clone(body)
				changed[i] = c
				alike(t, changed, &used)
			}
		}
	}
	for _, body := range []string{
		steady + `,"applied":{"state":"ACTIVE"}}`, steady + `,"time":""}`, steady + `,"time":null,"push":null}`,
		strings.Replace(steady, `"epoch"`, `"time":"1970-01-01T00:00:00Z","epoch"`, 1) + `}`, strings.Replace(steady, `"epoch"`, `"time":"","epoch"`, 1) + `}`, steady + `,"reason":null}`,
		`{"applied":{"profiles":[],"state":"LOST","profiles":[]}}`, `{"applied":{"profiles":[]},"applied":null}`, `{"applied":{"profiles":[null]}}`,
		`{"applied":{"profiles":[{"version":-1}]}}`, `{"applied":{"policyVersion":7}}`, `{"applied":{"policyVersion":"007"}}`,
		`{"protocol":99999999999999999999,"round":-1}`, `{"compliant":"true"}`,
	} {
		alike(t, []byte(body), &used)
	}
}

func FuzzTwin(f *testing.F) {
	f.Add(golden(f, "checkin.json"))
	f.Add(golden(f, "checkin_steady.json"))
	f.Add([]byte(steady + `,"time":"2026-02-30T00:00:00,5Z"}`))
	var used CheckIn
	f.Fuzz(func(t *testing.T, body []byte) { alike(t, body, &used) })
}

// A check-in that is read where another was holds nothing of that one.
func TestDecodeInUsedRoom(t *testing.T) {
	var c CheckIn
	if err := Decode(golden(t, "checkin.json"), &c); err != nil {
		t.Fatal(err)
	}
	if err := Decode([]byte(steady+`}`), &c); err != nil {
		t.Fatal(err)
	}
	want := CheckIn{Protocol: 1, CheckIn: "c1", Round: 1, Device: "d-1", Reason: ReasonSchedule, Epoch: 1, Applied: AppliedPolicy{State: Active}, Compliant: true}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("%+v", c)
	}
	if allocs := testing.AllocsPerRun(100, func() { _ = Decode(steadyBody, &c) }); allocs > 2 { // the names of check-in and policy
		t.Errorf("%v allocations", allocs)
	}
}

var steadyBody = Append(nil, &CheckIn{
	Protocol: 1, CheckIn: "c-1", Round: 1, Device: "d-1", Reason: ReasonSchedule, Time: 1_790_000_000_000_000, Epoch: 1, Compliant: true,
	Applied: AppliedPolicy{State: Active, PolicyName: "policies/d-1", PolicyVersion: 7, Profiles: []AppliedProfile{{ID: "p", Version: 1, Status: Applied}}},
})

// No Android has an API level below 1.
func TestCheckInAPILevel(t *testing.T) {
	body := `{"protocol":1,"checkin":"c","round":1,"device":"d","reason":"SCHEDULE","time":"2026-11-24T06:00:00Z","epoch":1,"applied":{"state":"ACTIVE"},"compliant":true,"status":{"softwareInfo":{"apiLevel":%d,"androidVersion":"14"}}}`
	for level, want := range map[int]string{-1: "status.softwareInfo.apiLevel: ", 0: "status.softwareInfo.apiLevel: ", 34: ""} {
		err := Decode(fmt.Appendf(nil, body, level), new(CheckIn))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%d: %v, want %q", level, err, want)
		}
	}
}
