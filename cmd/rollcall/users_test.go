//go:build !agentonly

package main

import (
	"strings"
	"testing"
)

// TestLicencesNamed: a change of licences says one thing of each licence and of each user.
func TestLicencesNamed(t *testing.T) {
	for _, tt := range []struct {
		upns, assign, remove []string
		want                 string
	}{
		{[]string{"ada@x"}, []string{"premium"}, []string{"basic", "premium"}, "premium: --assign and --remove name it both"},
		{[]string{"ada@x", "bob@x", "ADA@x"}, []string{"intune"}, nil, "user ADA@x is named twice"},
		{[]string{"ada@x"}, nil, []string{"bogus"}, `--remove "bogus": want intune`},
		{[]string{"ada@x", "bob@x"}, []string{"intune"}, []string{"basic"}, ""},
	} {
		list, err := licensed(tt.upns, tt.assign, tt.remove)
		if tt.want == "" {
			if err != nil || len(list) != len(tt.upns) || list[1].UPN != "bob@x" || list[1].Assign[0] != "intune" || list[1].Remove[0] != "basic" || list[1].Basic {
				t.Errorf("%v: %+v, %v", tt, list, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v: %v, want %s", tt, err, tt.want)
		}
	}
}
