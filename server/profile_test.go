package server_test

import (
	"strings"
	"testing"

	"rollcall/protocol"
	"rollcall/server"
)

// TestHST014EnrolmentProfileIsNobodys: a profile with the enrolment profile's identifier would replace it on every device,
// and its removal would end their enrolments.
func TestHST014EnrolmentProfileIsNobodys(t *testing.T) {
	x := newTenant(t)
	err := x.ApplyProfile(x.ctx, x.now, "wifi", protocol.WiFi, server.EnrolmentIdentifier, []byte("v1"), []string{"all"})
	x.refused(err, protocol.RuleNamesake)
	if err == nil || !strings.Contains(err.Error(), "PayloadIdentifier") || len(x.Content().Profiles) != 0 {
		t.Errorf("%v, want a refusal that names the field and keeps nothing", err)
	}
}
