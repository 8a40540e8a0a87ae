package authority_test

import (
	"errors"
	"testing"

	"rollcall/protocol"
	"rollcall/server/authority"
)

var (
	unset     = authority.Tenant{}
	intune    = authority.Tenant{Authority: protocol.Intune}
	sccm      = authority.Tenant{Authority: protocol.SCCM}
	bms       = authority.Tenant{Authority: protocol.Office365}
	accepting = authority.Tenant{Authority: protocol.Office365, AcceptUserless: true}
	coexist   = authority.Tenant{Authority: protocol.Office365, Coexistence: true}

	entitled  = &authority.User{IntuneLicence: true, BasicLicence: true}
	coManaged = &authority.User{CoManaged: true, BasicLicence: true}
	basic     = &authority.User{BasicLicence: true}
	none      = &authority.User{}
)

func TestResolve(t *testing.T) {
	for _, tt := range []struct {
		rule       protocol.Rule
		tenant     authority.Tenant
		user       *authority.User // nil: userless device
		registered protocol.Authority
		platform   protocol.Platform
		want       protocol.Authority
	}{
		{"AUTH-10", unset, entitled, protocol.Unknown, protocol.IOS, protocol.Unknown},
		{"AUTH-10", unset, nil, protocol.Unknown, protocol.IOS, protocol.Unknown},
		{"AUTH-11", intune, basic, protocol.Unknown, protocol.IOS, protocol.Intune},
		{"AUTH-11", intune, none, protocol.Office365, protocol.MacOS, protocol.Intune},
		{"AUTH-12", sccm, none, protocol.Unknown, protocol.Windows, protocol.Intune},
		{"AUTH-13", bms, entitled, protocol.Intune, protocol.IOS, protocol.Office365},
		{"AUTH-14", coexist, entitled, protocol.Office365, protocol.IOS, protocol.Intune},
		{"AUTH-14", coexist, &authority.User{IntuneLicence: true, CoManaged: true}, protocol.Office365, protocol.IOS, protocol.Intune},
		{"AUTH-15", coexist, coManaged, protocol.Office365, protocol.Windows, protocol.Intune},
		{"AUTH-16", coexist, basic, protocol.Intune, protocol.IOS, protocol.Office365},
		{"AUTH-17", coexist, none, protocol.Office365, protocol.Android, protocol.Office365},
		{"AUTH-18", intune, nil, protocol.Office365, protocol.IPadOS, protocol.Office365},
		{"AUTH-18", coexist, nil, protocol.Office365, protocol.IPadOS, protocol.Office365},
		{"AUTH-18", bms, nil, protocol.Intune, protocol.IOS, protocol.Intune},
		{"AUTH-19", intune, nil, protocol.Unknown, protocol.IPadOS, protocol.Intune},
		{"AUTH-19", sccm, nil, protocol.Unknown, protocol.IPadOS, protocol.Intune},
		{"AUTH-19", coexist, nil, protocol.Unknown, protocol.MacOS, protocol.Intune},
		{"AUTH-19", bms, nil, protocol.Unknown, protocol.IOS, protocol.Unknown},
		{"AUTH-19", accepting, nil, protocol.Unknown, protocol.IOS, protocol.Office365},
		{"AUTH-24", coexist, basic, protocol.Intune, protocol.MacOS, protocol.Intune},
		{"AUTH-46", coexist, basic, protocol.Unknown, protocol.MacOS, protocol.Unknown},
		{"AUTH-46", bms, entitled, protocol.Unknown, protocol.MacOS, protocol.Unknown},
		{"AUTH-46", accepting, nil, protocol.Unknown, protocol.MacOS, protocol.Unknown},
	} {
		t.Run(string(tt.rule), func(t *testing.T) {
			got, rule := authority.Resolve(tt.tenant, tt.user, tt.registered, tt.platform)
			if got != tt.want || rule != tt.rule {
				t.Errorf("Resolve(%+v, %+v, %s, %s) = %s by %s, want %s by %s", tt.tenant, tt.user, tt.registered, tt.platform, got, rule, tt.want, tt.rule)
			}
		})
	}
	if n := testing.AllocsPerRun(100, func() { authority.Resolve(coexist, basic, protocol.Intune, protocol.IOS) }); n != 0 {
		t.Errorf("Resolve allocates %v times", n)
	}
}

func TestAdmit(t *testing.T) {
	for _, tt := range []struct {
		rule     protocol.Rule // "": admitted
		tenant   authority.Tenant
		user     *authority.User
		platform protocol.Platform
		push     bool
		retry    bool
	}{
		{"AUTH-01", unset, entitled, protocol.IOS, true, false},
		{"AUTH-01", unset, nil, protocol.Windows, false, false},
		{"AUTH-19", bms, nil, protocol.IOS, true, false},
		{"AUTH-33", intune, entitled, protocol.IOS, false, true},
		{"AUTH-33", intune, nil, protocol.MacOS, false, true},
		{"AUTH-46", bms, basic, protocol.MacOS, true, false},
		{"AUTH-46", bms, basic, protocol.MacOS, false, false}, // the platform comes before the push certificate (AUTH-47)
		{"", intune, entitled, protocol.Windows, false, false},
		{"", intune, entitled, protocol.MacOS, true, false},
		{"", accepting, nil, protocol.IOS, true, false},
	} {
		t.Run(string(tt.rule), func(t *testing.T) {
			no := authority.Admit(tt.tenant, tt.user, tt.platform, tt.push)
			if tt.rule == "" {
				if no != nil {
					t.Errorf("Admit(%+v, %+v, %s, %v) = %v, want nil", tt.tenant, tt.user, tt.platform, tt.push, no)
				}
				return
			}
			if no == nil || !errors.Is(no, tt.rule) || no.Reason == "" || (no.RetryAfter > 0) != tt.retry {
				t.Errorf("Admit(%+v, %+v, %s, %v) = %+v, want %s, retryable %v", tt.tenant, tt.user, tt.platform, tt.push, no, tt.rule, tt.retry)
			}
		})
	}
}

func TestAUTH02Initial(t *testing.T) {
	for release, want := range map[uint16]protocol.Authority{1910: protocol.Unknown, 1911: protocol.Intune, 2008: protocol.Intune, 0: protocol.Unknown} {
		if got := authority.Initial(release); got != want {
			t.Errorf("Initial(%d) = %s, want %s", release, got, want)
		}
	}
}
