package host

import (
	"regexp"
	"testing"
	"time"

	"rollcall/protocol"
)

// The machine of the test tells what every machine does, and no value is one that firmware has where nobody filled it in.
func TestFactsAreTheMachines(t *testing.T) {
	f := ReadFacts(t.Context())
	if f.Name == "" || f.OS == "" || f.Arch == "" || f.Memory < 64<<20 {
		t.Errorf("facts %+v", f)
	}
	for _, s := range []string{f.Vendor, f.Model, f.Serial} {
		if filled(s) != s {
			t.Errorf("%q is no fact", s)
		}
	}
	for s, want := range map[string]string{"Default string": "", " To be filled by O.E.M.\n": "", "PF1ABCDE\n": "PF1ABCDE", "None": "", "Raspberry Pi 5\x00": "Raspberry Pi 5"} {
		if got := filled(s); got != want {
			t.Errorf("filled(%q) = %q, want %q", s, got, want)
		}
	}
}

// What the machine does not tell is absent from every answer.
func TestAbsentFactsStayAbsent(t *testing.T) {
	var none Facts
	for _, query := range []string{"DeviceName", "HostName", "OSVersion", "BuildVersion", "ModelName", "Model", "SerialNumber", "WiFiMAC", "EthernetMAC", "DeviceCapacity", "AvailableDeviceCapacity", "BatteryLevel", "IMEI"} {
		if v := none.answer(query, protocol.IPadOS); v != nil {
			t.Errorf("%s is %v, which nobody told", query, v)
		}
	}
	f := Facts{
		Name: "bench-3", OSVersion: "13.1", Vendor: "Lenovo", Model: "T480", Disks: []Disk{{Mount: "/", Size: 512e9, Free: 128e9}},
		Networks: []Network{{Name: "eth0", MAC: "02:00:00:00:00:01"}, {Name: "wlan0", MAC: "02:00:00:00:00:02", Wireless: true}},
	}
	for query, want := range map[string]any{
		"DeviceName": "bench-3", "OSVersion": "13.1", "ModelName": "Lenovo T480", "Model": "T480", "DeviceCapacity": 512.0, "AvailableDeviceCapacity": 128.0,
		"WiFiMAC": "02:00:00:00:00:02", "EthernetMAC": "02:00:00:00:00:01", "ProductName": "Mac (rollcall agent on )",
	} {
		if got := f.answer(query, protocol.MacOS); got != want {
			t.Errorf("%s = %v, want %v", query, got, want)
		}
	}
}

// A machine keeps its UDID over enrolments, which does not give its id away; without an id it is by chance.
func TestUDID(t *testing.T) {
	const id = "0123456789abcdef0123456789abcdef"
	pattern := regexp.MustCompile(`^[0-9A-F]{8}-[0-9A-F]{4}-8[0-9A-F]{3}-[89AB][0-9A-F]{3}-[0-9A-F]{12}$`)
	a := udidOf(machineOf(id))
	if !pattern.MatchString(a) || a != udidOf(machineOf(id+"\n")) || a == udidOf(machineOf("1"+id[1:])) {
		t.Errorf("udidOf = %s", a)
	}
	if one, other := udidOf(machineOf("")), udidOf(""); !pattern.MatchString(one) || one == other {
		t.Errorf("by chance: %s and %s", one, other)
	}
}

// A machine that lives as an Android device is more than a number in a list, whether its maker wrote a model into it or not.
func TestAnAndroidDeviceHasAModel(t *testing.T) {
	for model, want := range map[string]string{"XPS 13": "XPS 13", "": "rollcall agent on debian"} {
		if got := (&Facts{OS: "debian", Model: model}).androidModel(""); got.Name != want {
			t.Errorf("%q: %q, want %q", model, got.Name, want)
		}
	}
}

func TestClock(t *testing.T) {
	real := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	for name, tt := range map[string]struct {
		clock clock
		want  time.Time
	}{
		"the machine's":                    {clock{}, real},
		"ahead":                            {clock{Offset: 340 * 24 * time.Hour}, real.AddDate(0, 0, 340)},
		"the server's":                     {clock{Driven: protocol.At(real.AddDate(1, 0, 0))}, real.AddDate(1, 0, 0)},
		"off by an hour from the server's": {clock{Driven: protocol.At(real.AddDate(1, 0, 0)), Offset: time.Hour}, real.AddDate(1, 0, 0).Add(time.Hour)},
	} {
		if got := tt.clock.at(real); !got.Equal(tt.want) {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}
