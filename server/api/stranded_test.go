package api

import (
	"strings"
	"testing"
)

// TestAUTH32Stranded: whoever asks how the tenant or the certificate stands is told how many devices another topic has stranded,
// and the verification names them under that rule.
func TestAUTH32Stranded(t *testing.T) {
	o := newOffice(t)
	stranded := func(want float64) (warnings, outstanding string) {
		t.Helper()
		push, verified := o.call("GET", "/rollcall/v1/apns", nil, 200), o.call("GET", "/rollcall/v1/authority/verify", nil, 200)
		for _, got := range []map[string]any{push, verified, o.call("GET", "/rollcall/v1/authority", nil, 200)} {
			if got["stranded"] != want {
				t.Errorf("%v, want %v stranded", got, want)
			}
		}
		for _, w := range push["warnings"].([]any) {
			warnings += w.(map[string]any)["rule"].(string) + " " + w.(map[string]any)["message"].(string) + "\n"
		}
		for _, m := range verified["outstanding"].([]any) {
			outstanding += m.(map[string]any)["device"].(string) + " " + m.(map[string]any)["rule"].(string) + "\n"
		}
		return warnings, outstanding
	}
	stranded(0)
	o.call("POST", "/rollcall/v1/apns", o.push("com.apple.mgmt.External.2", 500, "confirm", true, "count", 1), 200)
	warnings, outstanding := stranded(1)
	if !strings.Contains(warnings, "AUTH-32 1 enrolled devices know another topic") || outstanding != o.device+" AUTH-32\n" {
		t.Errorf("warnings %q, outstanding %q", warnings, outstanding)
	}
}
