package dialect

import (
	"crypto/x509"
	"strings"
	"testing"

	"rollcall/agent"
	"rollcall/certs"
	"rollcall/protocol"
	"rollcall/protocol/apple"
	"rollcall/protocol/windows"
)

func strange(t testing.TB) *certs.Authority {
	t.Helper()
	ca, err := certs.NewAuthority(certs.P256, "stranger", noon.Time())
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

// TestHST027AnUpdateChangesNothingThatAMachineTrusts: no order of a stranger's ends the management afterwards, and no identity of a
// stranger's takes the place of the machine's.
func TestHST027AnUpdateChangesNothingThatAMachineTrusts(t *testing.T) {
	seal, other := newSeal(t), newSeal(t)
	ca := strange(t)
	without := func(i int) func(*apple.Profile) {
		return func(p *apple.Profile) { p.Payloads = append(p.Payloads[:i:i], p.Payloads[i+1:]...) }
	}
	notices := func(c []byte) func(*apple.Profile) {
		return func(p *apple.Profile) { p.Payloads[3].Certificate = c }
	}
	for name, tt := range map[string]struct {
		change func(*apple.Profile)
		why    string // empty: it is taken
	}{
		"its own server's": {func(*apple.Profile) {}, ""},
		"other names":      {func(p *apple.Profile) { p.DisplayName, p.Organization = "Other", "Other" }, ""},
		"another key":      {notices(other.Certificate().Raw), "the key of notices and orders"},
		"no key":           {without(3), "the key of notices and orders"},
		"a key of no use":  {notices(ca.RA().Certificate.Raw), "the key of notices and orders"},
		"another root":     {func(p *apple.Profile) { p.Payloads[2].Certificate = ca.Certificate().Raw }, "its authorities"},
		"no root":          {without(2), "its authorities"},
		"one root more": {func(p *apple.Profile) {
			p.Payloads = append(p.Payloads, apple.Payload{Type: apple.RootPayload, Identifier: "more", UUID: "9", Certificate: ca.Certificate().Raw})
		}, "its authorities"},
		"a pin": {func(p *apple.Profile) {
			p.Payloads[0].MDM.ServerURLPinningCertificateUUIDs = []string{p.Payloads[2].UUID}
		}, "what TLS is pinned to"},
		"SCEP elsewhere":     {func(p *apple.Profile) { p.Payloads[1].SCEP.URL = "https://other.example/scep" }, "the host of SCEP"},
		"SCEP without TLS":   {func(p *apple.Profile) { p.Payloads[1].SCEP.URL = "http://mdm.example/scep" }, "the host of SCEP"},
		"SCEP at other path": {func(p *apple.Profile) { p.Payloads[1].SCEP.URL = "https://mdm.example/scep/2" }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := machine(t, seal)
			s.reborn() // what it trusts is among what a device keeps
			before, bound := s.d.Identity(), s.d.bond
			renewal(t, s, withNotices(seal), tt.change)
			if tt.why == "" {
				s.issue()
				s.answer(200, nil)
				s.answer(200, nil)
				if m, _ := s.reported("R-1"); m.Status != protocol.Acknowledged || s.d.Identity() == before {
					t.Errorf("%s, identity %+v: the server's own renewal is not taken", m.Status, s.d.Identity())
				}
				return
			}
			m, _ := s.reported("R-1")
			if m.Status != protocol.Failed || !strings.Contains(s.act.Request.Why, tt.why+" may not change on a machine (HST-027)") {
				t.Errorf("%s, %q; want Error and %s", m.Status, s.act.Request.Why, tt.why)
			}
			s.answer(200, nil)
			s.rests()
			if s.d.Identity() != before || s.d.bond != bound || s.d.Phase() != agent.Enrolled {
				t.Errorf("phase %s, identity %+v: want what it had", s.d.Phase(), s.d.Identity())
			}
		})
	}

	t.Run("another CA", func(t *testing.T) { // whatever the profile says of it
		s, _ := machine(t, seal)
		before := s.d.Identity()
		own := s.ca
		for name, by := range map[string]*certs.Authority{"a stranger's": ca, "of its own name": copyOf(t, own)} {
			renewal(t, s, withNotices(seal))
			s.ca = by
			s.issue()
			s.ca = own
			if m, _ := s.reported("R-1"); m.Status != protocol.Failed || !strings.Contains(s.act.Request.Why, errStranger.Error()) {
				t.Errorf("%s: %s, %q", name, m.Status, s.act.Request.Why)
			}
			s.answer(200, nil)
			s.rests()
			if s.d.Identity() != before || s.d.Certificate(Next) != nil {
				t.Errorf("%s: the machine's identity is another", name)
			}
		}
		renewal(t, s, withNotices(seal))
		s.issue()
		s.wants(Authenticate)
	})
}

// copyOf is an authority with the name of another.
func copyOf(t testing.TB, ca *certs.Authority) *certs.Authority {
	t.Helper()
	same, err := certs.NewAuthority(certs.P256, ca.Certificate().Subject.CommonName, noon.Time())
	if err != nil {
		t.Fatal(err)
	}
	return same
}

// A CA whose certificate is made anew for its key is the same CA.
func TestHST027AnAuthorityMayBeMadeLonger(t *testing.T) {
	longer := func(c *x509.Certificate, by certs.Signer) string {
		next := *c
		next.NotAfter = c.NotAfter.AddDate(10, 0, 0)
		der, err := x509.CreateCertificate(nil, &next, &next, c.PublicKey, by.Key)
		if err != nil {
			t.Fatal(err)
		}
		return string(der)
	}
	ca, other := strange(t), strange(t)
	was := string(ca.Certificate().Raw)
	if next := longer(ca.Certificate(), ca.Own()); next == was || !sameKeys(was, next) {
		t.Error("it is not taken for the same")
	}
	if sameKeys(was, string(other.Certificate().Raw)) || sameKeys(was, was+was) || sameKeys(was, "") {
		t.Error("another is taken for the same")
	}
}

// HST-027: the same of a machine that is managed as a Windows device: its key of orders is no part of what its server renews.
func TestHST027AWindowsMachineKeepsItsAuthority(t *testing.T) {
	ca := strange(t)
	for name, tt := range map[string]struct {
		by    *certs.Authority // of the renewed identity; nil: its own
		root  []byte           // in the document
		real  bool             // a machine
		taken bool
	}{
		"its own server's":         {nil, nil, true, true},
		"another CA":               {ca, nil, true, false},
		"another CA and its root":  {ca, ca.Certificate().Raw, true, false},
		"one root more":            {nil, ca.Certificate().Raw, true, false},
		"one root more, simulated": {nil, ca.Certificate().Raw, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			h := &WindowsHabits{}
			if tt.real {
				h.Seal = newSeal(t).Key()
			}
			s := managed(t, h)
			before, bound := string(s.d.Certificate(Current)), s.d.account
			s.now, s.d.next = s.d.renewal.due, 0
			if !s.d.Begin(s.now, Scheduled, &s.act) {
				t.Fatal("no renewal")
			}
			s.soap(&found)
			s.request()
			if tt.by != nil {
				s.ca = tt.by
			}
			c := s.issue()
			s.provision(&windows.Provisioning{Client: c.Raw, Root: tt.root, Store: windows.StoreUser, Application: windows.Application{ProviderID: "rollcall"}})
			if tt.taken {
				s.rests()
			} else {
				s.restsWith(windows.ECertificateStore)
			}
			if got := string(s.d.Certificate(Current)) != before; got != tt.taken || !tt.taken && s.d.account != bound {
				t.Errorf("taken: %t, want %t", got, tt.taken)
			}
		})
	}
}

// HST-120: a machine stays with the host that it was enrolled with, wherever its sessions and its renewals are sent.
func TestHST120AWindowsMachineStaysWithItsHost(t *testing.T) {
	for _, real := range []bool{true, false} {
		h := &WindowsHabits{}
		if real {
			h.Seal = newSeal(t).Key()
		}
		s := managed(t, h)
		const other, near = "https://other.example/dm", "https://mdm.example/dm"
		for _, tt := range []struct{ node, value, simulated, machine string }{
			{"ManagementServiceAddress", other, other, winServer},
			{"ManagementServiceAddress", near, near, near},
			{"ManagementServerAddressList", "<" + other + ">", other, near},
			{"ManagementServerAddressList", "<" + other + "><" + near + "/2>", other, near + "/2"},
		} {
			s.tell(on(windows.Replace, csps+"DMClient/Provider/rollcall/"+tt.node, tt.value, windows.FormatChr))
			s.ends()
			want := tt.simulated
			if real {
				want = tt.machine
			}
			if got := s.d.address(); got != want {
				t.Errorf("machine %t: %s %s: sessions go to %s, want %s", real, tt.node, tt.value, got, want)
			}
		}
		s.tell(on(windows.Replace, csps+"CertificateStore/MY/WSTEP/Renew/ServerURL", other, windows.FormatChr))
		s.ends()
		s.now, s.d.next = s.d.renewal.due, 0
		if !s.d.Begin(s.now, Scheduled, &s.act) {
			t.Fatal("no renewal")
		}
		if got := s.act.Request.URL; (got == other) == real {
			t.Errorf("machine %t: it renews at %s", real, got)
		}
	}
}

// HST-120: a CommandUUID is kept and said again, so it is no longer than one is; the command is not carried out.
func TestHST120ALongCommandUUID(t *testing.T) {
	for _, length := range []int{mostUUID, mostUUID + 1} {
		s := enrolled(t, iPhone, plainHabits)
		s.wake()
		s.answer(200, apple.EncodeCommand(nil, strings.Repeat("A", length), apple.ProfileList{}))
		if length <= mostUUID {
			s.reported(strings.Repeat("A", length))
			continue
		}
		if s.act.Kind != Rest || s.act.Err == nil || !strings.Contains(s.act.Err.Error(), "HST-120") || s.d.Phase() != agent.Enrolled {
			t.Errorf("act %d, %v, phase %s", s.act.Kind, s.act.Err, s.d.Phase())
		}
	}
}
