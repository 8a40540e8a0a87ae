package fleet

import (
	"errors"
	"testing"
)

func TestHST127Own(t *testing.T) {
	mine := []string{"MDM.example.org", "192.0.2.7", "[2001:db8::1]", "lab.example."}
	for _, tt := range []struct {
		target string
		owned  bool
	}{
		{"https://127.0.0.1:8443", true},
		{"https://127.9.9.9", true},
		{"https://[::1]:443", true},
		{"https://[::ffff:127.0.0.1]:443", true},
		{"https://localhost:8443", true},
		{"https://LocalHost.", true},
		{"https://mdm.example.org", true},
		{"https://mdm.example.org.:9443/some/path", true},
		{"https://192.0.2.7:1", true},
		{"https://[::ffff:192.0.2.7]", true},
		{"https://[2001:DB8:0::1]:2", true},
		{"https://lab.example", true},

		{"https://example.org", false},
		{"https://not.mdm.example.org", false},
		{"https://mdm.example.org.evil.example", false},
		{"https://mdm.example.org@evil.example", false},
		{"https://evil.example/mdm.example.org", false},
		{"https://evil.example?mdm.example.org", false},
		{"https://evil.example#@mdm.example.org", false},
		{"https://localhost.evil.example", false},
		{"https://127.0.0.1.nip.io", false},
		{"https://127.1", false}, // not every resolver's loopback
		{"https://2130706433", false},
		{"https://0.0.0.0:8443", false},
		{"https://[::]", false},
		{"https://192.0.2.70", false},
		{"https://192.0.2.7.", true},
		{"https://[::ffff:192.0.2.8]", false},
	} {
		err := Own(tt.target, mine)
		if (err == nil) != tt.owned || err != nil && !errors.Is(err, ruleOwn) {
			t.Errorf("Own(%q) = %v, want it taken: %v", tt.target, err, tt.owned)
		}
	}
	for _, target := range []string{"", "https://", "://", "https:///path", "https://[::1", "\x00"} {
		if err := Own(target, mine); err == nil || errors.Is(err, ruleOwn) {
			t.Errorf("Own(%q) = %v, want an error about the URL", target, err)
		}
	}
	if err := Own("https://mdm.example.org", nil); !errors.Is(err, ruleOwn) {
		t.Errorf("a foreign host, nobody named: %v", err)
	}
}
