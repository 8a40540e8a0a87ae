package windows

import "testing"

// A port goes behind any sort of host.
func TestReadAddress(t *testing.T) {
	for address, want := range map[string]string{
		"https://mdm.example/M": "https://mdm.example:8443/M", "https://[2001:db8::1]/M": "https://[2001:db8::1]:8443/M", "https://[::1]:443/M": "https://[::1]:8443/M",
	} {
		var a Application
		err := a.readAddress(&Characteristic{
			Type: "APPADDR", Parms: []Parm{{Name: "ADDR", Value: address}},
			Characteristics: []Characteristic{{Type: "PORT", Parms: []Parm{{Name: "PORTNBR", Value: "8443"}}}},
		})
		if err != nil || a.Address != want {
			t.Errorf("%s: %s, %v, want %s", address, a.Address, err, want)
		}
	}
}
