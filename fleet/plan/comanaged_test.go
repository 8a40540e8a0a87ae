package plan

import (
	"strings"
	"testing"
)

// TestAUTH51CoManagement: what a plan cannot say of co-managed PCs and of ways to enrol.
func TestAUTH51CoManagement(t *testing.T) {
	for _, tt := range []struct{ name, tenant, population, enrol, want string }{
		{"fine", "{co_management: {pilot: sales, compliance: pilot, update: intune, client_apps: configmgr}}", "groups: {sales: 50}", "{co_managed: 3}", ""},
		{"no pilot", "{co_management: {compliance: pilot}}", "groups: {sales: 50}", "{co_managed: 3}", "a workload is the pilot's, and no pilot group is named (AUTH-51)"},
		{"unknown pilot", "{co_management: {pilot: sale}}", "groups: {sales: 50}", "{co_managed: 3}", `no group is called "sale"`},
		{"no such decider", "{co_management: {compliance: sccm}}", "groups: {sales: 50}", "{co_managed: 3}", "want one of configmgr, pilot, intune"},
		{"under BMS", "{authority: office365, release: 1910}", "groups: {sales: 50}", "{co_managed: 3}", "Configuration Manager enrols its clients with Intune, and the authority is office365 alone at this time (AUTH-51)"},
		{"again", "{authority: intune}", "groups: {sales: 50}", "{again: true, co_managed: 3}", "again is about devices that were enrolled"},
		{"more than all", "{authority: intune}", "ways: {joined: 60, autopilot: 50}", "{co_managed: 3}", "the ways add up to 110 parts of 100"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse("test.yaml", []byte("until: 2d\ntenant: "+tt.tenant+"\npopulation:\n  devices: 10\n  mix: {windows: 100}\n  "+tt.population+
				"\ntimeline:\n  - {at: 0s, enrol: {over: 1h}}\n  - {at: 1h, enrol: "+tt.enrol+"}\n"))
			switch {
			case tt.want == "" && err != nil:
				t.Error(err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("%v\ndoes not say %q", err, tt.want)
			}
		})
	}
}
