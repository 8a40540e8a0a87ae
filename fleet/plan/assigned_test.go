package plan

import (
	"strings"
	"testing"
)

// Under coexistence a profile that is there already may be the one or the other authority's (AUTH-14, AUTH-46).
func TestAUTH14ProfilesOf(t *testing.T) {
	for _, c := range []struct{ name, tenant, profile, want string }{
		{"left by BMS", "{authority: office365, coexistence: true}", "{name: mail, family: email, assigned: all, of: office365}", ""},
		{"Intune's", "{authority: office365, coexistence: true}", "{name: wifi, family: wifi, assigned: all, of: intune}", ""},
		{"BMS has no Wi-Fi", "{authority: office365, coexistence: true}", "{name: wifi, family: wifi, assigned: all, of: office365}", "AUTH-46"},
		{"nobody's here", "{authority: intune}", "{name: mail, family: email, assigned: all, of: office365}", "office365 has no profiles in this tenant (AUTH-04)"},
		{"not before the story", "{authority: office365, coexistence: true}", "{name: mail, family: email, of: office365}", "profiles[0].of: only what is assigned before"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse("p.yaml", []byte("until: 1d\ntenant: "+c.tenant+"\npopulation: {devices: 3, mix: {ios: 100}}\nprofiles:\n  - "+c.profile+"\ntimeline:\n  - {at: 0s, enrol: {over: 1h}}\n"))
			if err != nil {
				if got := err.Error(); c.want == "" || !strings.Contains(got, c.want) {
					t.Fatalf("%s; want %q", got, c.want)
				}
			} else if c.want != "" {
				t.Fatalf("taken; want %q", c.want)
			}
		})
	}
}
