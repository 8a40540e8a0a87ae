package authority_test

import (
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
	premium   = &authority.User{Premium: true}
	manager   = &authority.User{IntuneLicence: true, Manager: true}
)

func TestResolve(t *testing.T) {
	ios := func(registered protocol.Authority) authority.Device {
		return authority.Device{Platform: protocol.IOS, Registered: registered}
	}
	const no, of, in = protocol.Unknown, protocol.Office365, protocol.Intune
	mac := authority.Device{Platform: protocol.MacOS}
	macOfIntune := authority.Device{Platform: protocol.MacOS, Registered: in}
	api := authority.Device{Platform: protocol.Android, AndroidAPI: true}
	apiOfIntune := authority.Device{Platform: protocol.Android, AndroidAPI: true, Registered: in}
	pc := authority.Device{Platform: protocol.Windows, CoManaged: true, Registered: in}
	notPC := authority.Device{Platform: protocol.IOS, CoManaged: true, Registered: in}
	for _, tt := range []struct {
		rule       protocol.Rule
		name       string
		tenant     authority.Tenant
		user       *authority.User // nil: userless device
		device     authority.Device
		want       protocol.Authority
		coManaged  bool
		unlicensed bool
	}{
		{"AUTH-10", "unset", unset, entitled, ios(no), no, false, false},
		{"AUTH-10", "userless", unset, nil, ios(in), no, false, false},
		{"AUTH-11", "enrolling", intune, entitled, ios(no), in, false, false},
		{"AUTH-11", "AUTH-24 unlicensed", intune, basic, ios(in), in, false, true},
		{"AUTH-11", "from BMS", intune, none, ios(of), in, false, true},
		{"AUTH-11", "AUTH-12 adds co-managed", intune, none, pc, in, true, false},
		{"AUTH-12", "co-managed PC", sccm, coManaged, pc, in, true, false},
		{"AUTH-12", "other device", sccm, entitled, ios(in), in, false, false},
		{"AUTH-12", "only Windows is co-managed", sccm, none, notPC, in, false, true},
		{"AUTH-13", "entitled too", bms, entitled, ios(of), of, false, false},
		{"AUTH-13", "unlicensed", bms, none, ios(of), of, false, true},
		{"AUTH-13", "from Intune", bms, basic, ios(in), of, false, false},
		{"AUTH-14", "entitled", coexist, entitled, ios(of), in, false, false},
		{"AUTH-14", "before AUTH-15", coexist, &authority.User{IntuneLicence: true, CoManaged: true}, ios(of), in, false, false},
		{"AUTH-14", "entitled only", coexist, &authority.User{IntuneLicence: true}, mac, in, false, false},
		{"AUTH-14", "co-managed", coexist, entitled, pc, in, true, false},
		{"AUTH-15", "phone of a co-managed user", coexist, coManaged, ios(of), in, false, false},
		{"AUTH-15", "the PC", coexist, coManaged, pc, in, true, false},
		{"AUTH-16", "basic", coexist, basic, ios(of), of, false, false},
		{"AUTH-16", "AUTH-24 licence lost", coexist, basic, ios(in), of, false, false},
		{"AUTH-17", "no licence", coexist, none, ios(of), of, false, true},
		{"AUTH-18", "intune", intune, nil, ios(of), of, false, false},
		{"AUTH-18", "sccm", sccm, nil, ios(of), of, false, false},
		{"AUTH-18", "coexistence", coexist, nil, ios(of), of, false, false},
		{"AUTH-18", "office365", bms, nil, ios(in), in, false, false},
		{"AUTH-18", "Mac", bms, nil, macOfIntune, in, false, false},
		{"AUTH-19", "intune", intune, nil, ios(no), in, false, false},
		{"AUTH-19", "sccm", sccm, nil, ios(no), in, false, false},
		{"AUTH-19", "coexistence", coexist, nil, mac, in, false, false},
		{"AUTH-19", "refuse", bms, nil, ios(no), no, false, false},
		{"AUTH-19", "accept", accepting, nil, ios(no), of, false, false},
		{"AUTH-24", "Mac without entitlement", coexist, basic, macOfIntune, in, false, true},
		{"AUTH-24", "Mac in office365", bms, entitled, macOfIntune, in, false, false},
		{"AUTH-24", "Android Management API", coexist, none, apiOfIntune, in, false, true},
		{"AUTH-46", "Mac", coexist, basic, mac, no, false, false},
		{"AUTH-46", "Mac in office365", bms, entitled, mac, no, false, false},
		{"AUTH-46", "userless Mac, accept", accepting, nil, mac, no, false, false},
		{"AUTH-46", "userless Mac, refuse", bms, nil, mac, no, false, false},
		{"AUTH-46", "Android Management API", bms, basic, api, no, false, false},
		{"AUTH-46", "dedicated Android", accepting, nil, api, no, false, false},
	} {
		t.Run(string(tt.rule)+" "+tt.name, func(t *testing.T) {
			want := authority.Resolution{Authority: tt.want, Rule: tt.rule, CoManaged: tt.coManaged, Unlicensed: tt.unlicensed}
			if got := authority.Resolve(tt.tenant, tt.user, tt.device); got != want {
				t.Errorf("Resolve(%+v, %+v, %+v) = %+v, want %+v", tt.tenant, tt.user, tt.device, got, want)
			}
		})
	}
	if n := testing.AllocsPerRun(100, func() { authority.Resolve(coexist, basic, pc) }); n != 0 {
		t.Errorf("Resolve allocates %v times", n)
	}
}

func BenchmarkResolve(b *testing.B) {
	tenants := [...]authority.Tenant{intune, sccm, bms, coexist}
	users := [...]*authority.User{entitled, coManaged, basic, none, nil}
	devices := [...]authority.Device{{Platform: protocol.IOS, Registered: protocol.Office365}, {Platform: protocol.MacOS, Registered: protocol.Intune}, {Platform: protocol.Windows, CoManaged: true}}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		authority.Resolve(tenants[i&3], users[i%5], devices[i%3])
	}
}
