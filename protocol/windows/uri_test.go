package windows_test

import (
	"testing"

	"rollcall/protocol/windows"
)

// windows.md sections 6 and 11: a node has one spelling, however a LocURI writes it.
func TestNodePath(t *testing.T) {
	for _, tt := range []struct {
		uri, want string
		code      windows.Code
	}{
		{"./Device/Vendor/MSFT/WiFi/Profile/office", "Device/WiFi/Profile/office", windows.OK},
		{"./Vendor/MSFT/WiFi/Profile/%6Fffice", "Device/WiFi/Profile/office", windows.OK},
		{"./device/vendor/msft/WiFi/Profile/Office", "Device/WiFi/Profile/Office", windows.OK},
		{"./User/Vendor/MSFT/EMAIL2/{1}", "User/EMAIL2/%7B1%7D", windows.OK},
		{"./User/Vendor/MSFT/EMAIL2/%7b1%7d", "User/EMAIL2/%7B1%7D", windows.OK},
		{"./Vendor/MSFT/a%2Fb/c", "Device/a%2Fb/c", windows.OK},
		{"./DevInfo/DevId", "DevInfo/DevId", windows.OK},
		{"./Device/WiFi/Profile/office", "", windows.NotFound},
		{"/Vendor/MSFT/WiFi", "", windows.NotFound},
		{"./Vendor/MSFT/a//b", "", windows.BadRequest},
		{"./Vendor/MSFT/a%zz", "", windows.BadRequest},
	} {
		if got, code := windows.NodePath(tt.uri); got != tt.want || code != tt.code {
			t.Errorf("NodePath(%q) = %q, %d, want %q, %d", tt.uri, got, code, tt.want, tt.code)
		}
	}
}
