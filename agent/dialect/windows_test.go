package dialect

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/agent"
	"rollcall/certs"
	"rollcall/protocol"
	"rollcall/protocol/windows"
)

// WIN-025: a document that cannot be obeyed ends the enrolment, and nothing of it stays.
func TestWIN025EnrolmentLeavesNothing(t *testing.T) {
	other, err := certs.GenerateKey(certs.P256)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		change func(*winScene, *windows.Provisioning)
		want   windows.HRESULT
	}{
		{"another store", func(_ *winScene, p *windows.Provisioning) { p.Store = windows.StoreSystem }, windows.ECertificateStore},
		{"another key", func(s *winScene, p *windows.Provisioning) { p.Client = s.certificate(other.Public()).Raw }, windows.ECertificateStore},
		{"criteria of another", func(_ *winScene, p *windows.Provisioning) {
			p.Application.Search = windows.SearchCriteria("other", windows.StoreUser)
		}, windows.EClientCertificate},
		{"no nonce", func(_ *winScene, p *windows.Provisioning) { p.Application.ClientAuth.Nonce = nil }, windows.EApplication},
		{"no DMClient", func(_ *winScene, p *windows.Provisioning) { p.DMClient = nil }, windows.EDMClient},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newWinScene(t, plainWindows)
			s.certify(winStart)
			s.provision(s.provisioning(s.issue(), func(p *windows.Provisioning) { tt.change(s, p) }))
			s.restsWith(tt.want)
			if s.d.Phase() != agent.New || s.d.bonded() || len(s.d.tree) > 0 || s.d.Certificate(Current) != nil || s.d.Due() != 0 || s.d.winTask != nil {
				t.Errorf("left behind: %+v", s.d)
			}
			if s.d.Begin(s.now, Synced, &s.act) {
				t.Error("a session of a device that is not enrolled")
			}
			if err := s.d.Enrol(s.now, winStart, &s.act); err != nil {
				t.Errorf("it may try again: %v", err)
			}
		})
	}
	s := newWinScene(t, plainWindows)
	s.certify(winStart)
	s.soap(&windows.RequestSecurityTokenResponse{Document: []byte(`<wap-provisioningdoc><characteristic type="Nothing"/></wap-provisioningdoc>`)})
	s.restsWith(windows.EOtherProvisioning)
}

// WIN-026: every answer that is none gives the device its code.
func TestWIN026Codes(t *testing.T) {
	envelope := func(b windows.Body) []byte { return windows.EncodeEnvelope(nil, &windows.Envelope{Body: b}) }
	fault := &windows.Fault{Subcode: windows.SubcodeAuthorization, ErrorType: windows.ErrorUserLicense}
	for _, tt := range []struct {
		name string
		r    Response
		want windows.HRESULT
	}{
		{"a fault", Response{Status: 500, Body: envelope(fault)}, windows.EUserLicense},
		{"an unknown fault", Response{Status: 500, Body: envelope(&windows.Fault{Subcode: "other"})}, windows.EUnknownFault},
		{"a fault with 200", Response{Status: 200, Body: envelope(fault)}, 0x801900C8},
		{"no fault with 500", Response{Status: 500, Body: []byte("<html>")}, 0x801901F4},
		{"an answer with 500", Response{Status: 500, Body: envelope(&found)}, 0x801901F4},
		{"403", Response{Status: 403}, 0x80190193},
		{"429", Response{Status: 429}, windows.ETooManyRequests},
		{"nothing", Response{Status: 200}, windows.EEmptyAnswer},
		{"something else", Response{Status: 200, Body: []byte("<html/>")}, windows.EMessageFormat},
		{"the answer to another question", Response{Status: 200, Body: envelope(&windows.GetPoliciesResponse{Policy: windows.Policy{Schema: 3}})}, windows.EMessageFormat},
		{"no connection", Response{Err: errors.New("refused")}, windows.EConnectivity},
		{"a certificate of nobody's", Response{Err: x509.UnknownAuthorityError{}}, windows.EInvalidTLSCertificate},
		{"a certificate that has ended", Response{Err: x509.CertificateInvalidError{Reason: x509.Expired}}, windows.EDiscoveryCertDate},
		{"plain HTTP", Response{Status: 200, Body: envelope(&windows.DiscoverResponse{AuthPolicy: windows.OnPremise, EnrollmentURL: "http://x/"})}, windows.EMessageFormat},
		{"a policy that was not offered", Response{Status: 200, Body: envelope(&windows.DiscoverResponse{AuthPolicy: windows.Certificate, EnrollmentURL: winEnrol})}, windows.EMessageFormat},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newWinScene(t, plainWindows)
			if err := s.d.Enrol(s.now, winStart, &s.act); err != nil {
				t.Fatal(err)
			}
			s.answer(200, nil)
			s.wants(Discovery)
			s.d.Answer(s.now, &tt.r, &s.act)
			s.restsWith(tt.want)
			if f, ok := errors.AsType[*Failure](s.act.Err); !ok || f.Step != Discovery || s.d.Phase() != agent.New {
				t.Errorf("%v, %s", s.act.Err, s.d.Phase())
			}
		})
	}
	s := newWinScene(t, plainWindows) // GetPolicies that faults ends it: no going on with defaults
	if err := s.d.Enrol(s.now, winStart, &s.act); err != nil {
		t.Fatal(err)
	}
	s.answer(200, nil)
	s.soap(&found)
	s.soap(fault)
	s.restsWith(windows.EUserLicense)
}

// WIN-027: one enrolment at a time.
func TestWIN027SecondEnrolment(t *testing.T) {
	s := newWinScene(t, plainWindows)
	s.certify(winStart)
	var act Act
	if err := s.d.Enrol(s.now, winStart, &act); !errors.Is(err, windows.EEnrollmentInProgress) {
		t.Errorf("while enrolling: %v", err)
	}
	s.provision(s.provisioning(s.issue()))
	s.ends()
	if err := s.d.Enrol(s.now, winStart, &act); !errors.Is(err, windows.EAlreadyEnrolled) || !errors.Is(err, ErrManaged) {
		t.Errorf("while enrolled: %v", err)
	}
}

// WIN-028: HTTPS, then a redirect by plain HTTP with consent, then nobody.
func TestWIN028Discovery(t *testing.T) {
	begin := func(t *testing.T, consents bool) *winScene {
		s := newWinScene(t, plainWindows)
		start := winStart
		start.Consents = consents
		if err := s.d.Enrol(s.now, start, &s.act); err != nil {
			t.Fatal(err)
		}
		if r := s.act.Request; r.URL != winDiscovery || r.Method != "GET" || r.Step != Probe {
			t.Fatalf("probe %+v", r)
		}
		s.answer(0, nil)
		s.wants(Probe)
		if r := s.act.Request; r.URL != "http"+winDiscovery[5:] || !r.Stays {
			t.Fatalf("second probe %+v", r)
		}
		return s
	}
	s := begin(t, true)
	s.d.Answer(s.now, &Response{Status: 302, Location: "https://mdm.example/EnrollmentServer/Discovery.svc"}, &s.act)
	s.wants(Discovery)
	if s.act.Request.URL != "https://mdm.example/EnrollmentServer/Discovery.svc" {
		t.Error(s.act.Request.URL)
	}
	s = begin(t, false)
	s.d.Answer(s.now, &Response{Status: 302, Location: "https://mdm.example/"}, &s.act)
	s.restsWith(windows.EInsecureRedirect)
	s = begin(t, true)
	s.d.Answer(s.now, &Response{Status: 302, Location: "http://mdm.example/"}, &s.act)
	s.restsWith(windows.EConnectivity)
	s = begin(t, true)
	s.answer(200, nil)
	s.restsWith(windows.EConnectivity)
	for _, wrong := range []string{"http://mdm.example/", "mdm.example", "https://"} {
		if err := newWinScene(t, plainWindows).d.Enrol(noon, WindowsStart{Discovery: wrong}, new(Act)); err == nil {
			t.Errorf("%q was taken", wrong)
		}
	}
	if err := newWinScene(t, plainWindows).d.Enrol(noon, WindowsStart{}, new(Act)); err == nil {
		t.Error("a device that knows neither address nor user")
	}
}

// The web sign-in of AuthPolicy Federated, and a device without a user.
func TestWindowsCredentials(t *testing.T) {
	federated := windows.DiscoverResponse{AuthPolicy: windows.Federated, EnrollmentURL: winEnrol, AuthenticationURL: "https://mdm.example/auth?x=1"}
	begin := func(start WindowsStart) *winScene {
		s := newWinScene(t, plainWindows)
		if err := s.d.Enrol(s.now, start, &s.act); err != nil {
			t.Fatal(err)
		}
		s.answer(200, nil)
		return s
	}
	s := begin(WindowsStart{Email: "ada@example"})
	s.soap(&federated)
	if s.act.Kind != WebSignIn || s.act.Page != "https://mdm.example/auth?appru=ms-app%3A%2F%2Fwindows.immersivecontrolpanel&login_hint=ada%40example&x=1" {
		t.Fatalf("%d, %s, %v", s.act.Kind, s.act.Page, s.act.Err)
	}
	s.d.GotToken(s.now, []byte("token"), nil, &s.act)
	s.request() // no policy service: straight to the certificate
	if c := s.asked().Header.Credential; c.Kind != windows.UserToken || string(c.Token) != "token" {
		t.Errorf("credential %v", c)
	}
	s = begin(WindowsStart{Email: "ada@example"})
	s.soap(&federated)
	s.d.GotToken(s.now, nil, errors.New("closed"), &s.act)
	s.restsWith(windows.EWebSignIn)
	s = begin(WindowsStart{Email: "ada@example"})
	s.soap(&found)
	s.restsWith(windows.EPasswordNeeded)

	s = begin(WindowsStart{Discovery: winDiscovery, Device: true, Oobe: true, Automatic: true, Credential: windows.Credential{Kind: windows.JWT, Token: []byte("a.b.c")}})
	s.soap(&windows.DiscoverResponse{AuthPolicy: windows.Federated, EnrollmentURL: winEnrol})
	s.request()
	r := s.asked().Body.(*windows.RequestSecurityToken)
	for name, want := range map[string]string{
		windows.ItemEnrollmentType: windows.EnrollmentDevice, windows.ItemTargetedUserLoggedIn: "false", windows.ItemNotInOobe: "false",
		windows.ItemUXInitiated: "false", windows.ItemDeviceID: winID, windows.ItemHWDevID: "4A6F",
	} {
		if got := r.Item(name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	c := s.issue()
	s.provision(s.provisioning(c, func(p *windows.Provisioning) {
		p.Store, p.DMClient.UPN, p.Application.Search = windows.StoreSystem, "", windows.SearchCriteria(winHandle, windows.StoreSystem)
	}))
	s.wants(Session)
	m := s.hears()
	if m.Commands[1].Items[0].Data != windows.LoginNone || s.act.Request.URL != winServer+"?mode=Machine" {
		t.Errorf("%+v, %s", m.Commands[1], s.act.Request.URL)
	}
	if got, _ := s.tell(on(windows.Get, "./User/Vendor/MSFT/VPNv2")); got != "405" {
		t.Errorf("WIN-053: %s", got)
	}
}

// WIN-044, WIN-045: package 1 of a session.
func TestWIN044Package1(t *testing.T) {
	s := managed(t, plainWindows)
	sessions := map[string]bool{"1": true}
	for _, tt := range []struct {
		why   Why
		login Login
		alert windows.Code
		mode  string
	}{
		{Synced, LoginUser, windows.ClientInitiated, "?mode=Maintenance"},
		{Pushed, LoginNone, windows.ServerInitiated, "?mode=Machine"},
		{Synced, LoginOther, windows.ClientInitiated, "?mode=Machine"},
	} {
		s.d.login = uint8(tt.login)
		s.begin(tt.why)
		m := s.hears()
		if s.act.Request.URL != winServer+tt.mode || m.Header.Target != s.act.Request.URL || m.Header.Source != winID || !m.Final || m.Header.MsgID != 1 {
			t.Errorf("head %+v, %s", m.Header, s.act.Request.URL)
		}
		if r := s.act.Request; r.ContentType != windows.SyncMLContentType || r.Identity != Current || r.Method != "POST" {
			t.Errorf("request %+v", r)
		}
		if sessions[m.Header.SessionID] {
			t.Errorf("SessionID %s again", m.Header.SessionID)
		}
		sessions[m.Header.SessionID] = true
		var names []string
		for i, c := range m.Commands {
			if c.CmdID != int32(i)+2 {
				t.Errorf("CmdID %d at %d", c.CmdID, i)
			}
			for _, item := range c.Items {
				names = append(names, item.Source)
			}
		}
		if m.Commands[0].Code != tt.alert || m.Commands[1].Items[0].Meta.Type != windows.TypeLoginStatus || m.Commands[1].Items[0].Data != logins[tt.login] {
			t.Errorf("alerts %+v", m.Commands[:2])
		}
		if got := strings.Join(names, " "); got != " ./DevInfo/DevId ./DevInfo/Man ./DevInfo/Mod ./DevInfo/DmV ./DevInfo/Lang" {
			t.Errorf("items %s", got)
		}
		s.says(on(windows.Get, "./DevInfo/Man"))
		t.Run("WIN-045", func(t *testing.T) {
			if m := s.hears(); m.Header.MsgID != 2 || m.Commands[0].CmdID != 1 {
				t.Errorf("MsgID %d, CmdID %d", m.Header.MsgID, m.Commands[0].CmdID)
			}
		})
		s.ends()
	}
	s.tell(on(windows.Add, csps+"DMClient/Provider/rollcall/SyncApplicationVersion", "2.0"))
	s.ends()
	s.begin(Synced)
	if got := s.hears().Header.SessionID; len(got) != 2 {
		t.Errorf("SessionID %s, want two hexadecimal digits from SyncApplicationVersion 2.0 on", got)
	}
}

// WIN-046: a message with only Status and Final ends the session; one without Final does not.
func TestWIN046End(t *testing.T) {
	s := managed(t, plainWindows)
	s.begin(Synced)
	s.saysPart(false)
	m := s.hears()
	if last := m.Commands[len(m.Commands)-1]; last.Verb != windows.Alert || last.Code != windows.NextMessage {
		t.Errorf("answered %+v, want alert 1222", m.Commands)
	}
	s.ends()
	if s.d.Begin(s.now, Scheduled, &s.act) {
		t.Error("it goes on")
	}
}

// WIN-047: Status for SyncHdr, then one for each command in order, then Results.
func TestWIN047Order(t *testing.T) {
	s := managed(t, plainWindows)
	s.begin(Synced)
	two := on(windows.Get, "./DevInfo/Man")
	two.Items = append(two.Items, windows.Item{Target: "./DevInfo/Nope"}, windows.Item{Target: "./DevInfo/Mod"})
	quiet := on(windows.Add, csps+"NodeCache/a", "1")
	quiet.NoResp = true
	s.says(two, on(windows.Delete, csps+"WiFi/Profile/none"), atomic(on(windows.Add, csps+"VPNv2/x/A", "1")), windows.Command{Verb: windows.Sequence, Commands: []windows.Command{on(windows.Get, "./DevInfo/Lang")}},
		windows.Command{Verb: windows.Alert, Code: windows.NextMessage}, quiet)
	got := ""
	for _, c := range s.hears().Commands {
		got += fmt.Sprintf("%s %d %d %s %s;", c.Verb, c.MsgRef, c.CmdRef, c.Cmd, strings.Join(c.TargetRefs, ""))
		if c.Verb == windows.Status {
			got = strings.TrimSuffix(got, ";") + fmt.Sprintf("=%d;", c.Code)
		}
	}
	const want = "Status 1 0 SyncHdr =200;Status 1 100 Get ./DevInfo/Man=200;Status 1 100 Get ./DevInfo/Nope=404;Status 1 100 Get ./DevInfo/Mod=200;" +
		"Status 1 101 Delete =404;Status 1 102 Atomic =200;Status 1 103 Add =200;Status 1 104 Sequence =200;Status 1 105 Get =200;Status 1 106 Alert =200;" +
		"Results 1 100 Unknown ;Results 1 100 Unknown ;Results 1 105 Unknown ;"
	if got != want {
		t.Errorf("said\n%s\nwant\n%s", got, want)
	}
}

// WIN-048: what each verb does to a node.
func TestWIN048Nodes(t *testing.T) {
	wifi := csps + "WiFi/Profile/office/WlanXml"
	poll := csps + "DMClient/Provider/rollcall/Poll/"
	for _, tt := range []struct {
		name     string
		commands []windows.Command
		want     string
	}{
		{"Add", []windows.Command{on(windows.Add, wifi, "a"), on(windows.Add, wifi, "b"), on(windows.Get, wifi)}, "200 418 200"},
		{"Replace", []windows.Command{on(windows.Replace, wifi, "a"), on(windows.Replace, wifi, "b")}, "200 200"},
		{"Delete", []windows.Command{on(windows.Delete, wifi), on(windows.Add, wifi, "a"), on(windows.Delete, csps+"WiFi/Profile/office"), on(windows.Get, wifi)}, "404 200 200 404"},
		{"Get", []windows.Command{on(windows.Get, csps+"WiFi/Profile"), on(windows.Get, csps+"WiFi/Profile/none"), on(windows.Get, csps+"None")}, "200 404 404"},
		{"a verb it lacks", []windows.Command{on(windows.Replace, "./DevInfo/Man", "x"), on(windows.Delete, "./DevInfo/Man"), on(windows.Exec, "./DevInfo/Man"), on(windows.Get, csps+"Reboot/RebootNow"), on(windows.Add, csps+"Policy/Result/A/B", "1")}, "405 405 405 405 405"},
		{"an existing one of the device's own", []windows.Command{on(windows.Add, "./DevInfo/Man", "x")}, "418"},
		{"an interior node", []windows.Command{on(windows.Add, csps+"VPNv2/corp", "", windows.FormatNode), on(windows.Add, csps+"VPNv2/corp", "", windows.FormatNode), on(windows.Get, csps+"VPNv2/corp"), on(windows.Replace, csps+"VPNv2/corp", "x"), on(windows.Replace, csps+"WiFi", "x"), on(windows.Delete, csps+"WiFi")}, "200 418 200 405 405 405"},
		{"unknown tree", []windows.Command{on(windows.Get, "./Nowhere/x"), on(windows.Get, "/DevInfo/Man"), on(windows.Get, "DevInfo/Man"), on(windows.Get, "./DevInfo//Man"), on(windows.Get, ""), on(windows.Get, "./"+strings.Repeat("x", 3000))}, "404 400 404 400 400 414"},
		{"another spelling", []windows.Command{on(windows.Get, "./vendor/msft/dmclient/HWDEVID"), on(windows.Get, "./Vendor/MSFT/DMClient/HWDevID")}, "200 200"},
		{"another provider", []windows.Command{on(windows.Get, csps+"DMClient/Provider/other/UPN"), on(windows.Get, csps+"DMClient/Provider/rollcall/UPN")}, "404 200"},
		{"format", []windows.Command{on(windows.Replace, poll+"NumberOfFirstRetries", "x", windows.FormatInt), on(windows.Replace, poll+"NumberOfFirstRetries", "4", windows.FormatChr), on(windows.Replace, poll+"NumberOfFirstRetries", "4"), on(windows.Replace, poll+"PollOnLogin", "yes", windows.FormatBool), on(windows.Add, csps+"RootCATrustedCertificates/Root/AB/EncodedCertificate", "*", windows.FormatB64)}, "415 415 200 415 415"},
		{"declared configuration", []windows.Command{on(windows.Get, csps+"DeclaredConfiguration/Host/x"), on(windows.Get, csps+"DMClient?list=StructData")}, "406 406"},
		{"a picture", []windows.Command{on(windows.Replace, csps+"Personalization/DesktopImageUrl", "https://x/y.jpg")}, "202"},
		{"policies", []windows.Command{on(windows.Replace, csps+"Policy/Config/DeviceLock/Max", "15", windows.FormatInt), on(windows.Get, csps+"Policy/Result/DeviceLock/Max"), on(windows.Get, csps+"Policy/Result/DeviceLock/Min")}, "200 200 404"},
		{"lock", []windows.Command{on(windows.Exec, csps+"RemoteLock/Lock", "", windows.FormatNull)}, "200"},
		{"no item", []windows.Command{{Verb: windows.Get}}, "400"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := managed(t, plainWindows)
			if got, _ := s.tell(tt.commands...); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
	s := managed(t, &WindowsHabits{NoPIN: true, Doubts: WindowsDoubts{MissingReplace: true}})
	if got, _ := s.tell(on(windows.Exec, csps+"RemoteLock/Lock"), on(windows.Replace, wifi, "a")); got != "405 404" {
		t.Errorf("%s", got)
	}
	s = managed(t, &WindowsHabits{ProfileFails: 1_000_000})
	if got, _ := s.tell(on(windows.Add, wifi, "a"), on(windows.Add, csps+"NodeCache/a", "a")); got != "500 200" || len(s.d.Profiles()) > 0 {
		t.Errorf("%s, %v", got, s.d.Profiles())
	}
}

// WIN-049, WIN-050: Atomic is all or nothing.
func TestWIN049Atomic(t *testing.T) {
	a, b, c := csps+"VPNv2/x/A", csps+"VPNv2/x/B", csps+"VPNv2/x/C"
	for _, tt := range []struct {
		rule     string
		commands []windows.Command
		want     string
		left     int // leaves of VPNv2
	}{
		{"WIN-049", []windows.Command{atomic(on(windows.Add, a, "1"), on(windows.Add, b, "1"), on(windows.Add, c, "1"))}, "200 200 200 200", 3},
		{"WIN-049", []windows.Command{atomic(on(windows.Add, a, "1"), on(windows.Add, a, "2"), on(windows.Add, c, "1"))}, "507 216 418 215", 0},
		{"WIN-049", []windows.Command{on(windows.Add, a, "0"), atomic(on(windows.Replace, a, "1"), on(windows.Delete, b))}, "200 507 216 404", 1},
		{"WIN-049", []windows.Command{atomic(windows.Command{Verb: windows.Add, Items: []windows.Item{{Target: a, Data: "1"}, {Target: a, Data: "2"}}}, on(windows.Add, c, "1"))}, "507 216 418 215", 0},
		{"WIN-050", []windows.Command{atomic(on(windows.Add, a, "1"), atomic(on(windows.Add, b, "1")), on(windows.Add, c, "1"))}, "507 216 500 215 215", 0},
		{"WIN-050", []windows.Command{atomic(on(windows.Add, a, "1"), on(windows.Get, a))}, "507 216 500", 0},
		{"WIN-050", []windows.Command{atomic(on(windows.Add, a, "1"), on(windows.Replace, a, "2"))}, "507 216 500", 0},
		{"WIN-050", []windows.Command{{Verb: windows.Add, CmdID: -1, Items: []windows.Item{{Target: a, Data: "1"}}}}, "400", 0},
		{"WIN-050", []windows.Command{{Verb: windows.Unknown, Name: "Copy"}, on(windows.Add, a, "1")}, "400 200", 1},
		{"WIN-050", []windows.Command{atomic(windows.Command{Verb: windows.Unknown, Name: "Copy"}, on(windows.Add, a, "1"))}, "507 400 215", 0},
	} {
		s := managed(t, plainWindows)
		nameless := tt.commands[0].CmdID < 0
		got, _ := s.tell(tt.commands...)
		left := 0
		for _, h := range s.d.tree {
			if strings.HasPrefix(h.Value().path, "Device/VPNv2/") {
				left++
			}
		}
		if got != tt.want || left != tt.left || len(s.d.Profiles()) != min(left, 1) {
			t.Errorf("%s: %s, want %s; %d leaves, want %d; profiles %v", tt.rule, got, tt.want, left, tt.left, s.d.Profiles())
		}
		if tt.left == 1 && s.d.tree.value("Device/VPNv2/x/A") == "1" && strings.HasPrefix(tt.want, "200 507") {
			t.Error("WIN-049: the old value did not come back")
		}
		for _, c := range s.body.Commands {
			if nameless && c.Verb == windows.Status && c.Cmd == windows.Add && c.CmdRef != windows.NoRef {
				t.Errorf("WIN-050: CmdRef %d of a command without CmdID", c.CmdRef)
			}
		}
	}
	// What an Exec in it would do is not done either.
	s := managed(t, plainWindows)
	if got, _ := s.tell(atomic(on(windows.Exec, csps+"RemoteWipe/doWipe"), on(windows.Delete, a))); got != "507 216 404" {
		t.Error(got)
	}
	s.ends()
	if s.d.Phase() != agent.Enrolled {
		t.Error("wiped by a command that was rolled back")
	}
}

// WIN-051: the Results of an interior node are the names below it.
func TestWIN051Interior(t *testing.T) {
	s := managed(t, plainWindows)
	s.tell(on(windows.Add, csps+"WiFi/Profile/my%20office/WlanXml", "a"), on(windows.Add, csps+"WiFi/Profile/b/WlanXml", "a"), on(windows.Add, csps+"WiFi/Profile/b-c/WlanXml", "a"))
	for uri, want := range map[string]string{
		csps + "WiFi/Profile":                 "b/b-c/my%20office",
		csps + "WiFi/Profile/b":               "WlanXml",
		csps + "DMClient":                     "HWDevID/Provider/Unenroll",
		csps + "DMClient/Provider":            "rollcall",
		csps + "CertificateStore/My/User":     windows.Thumbprint(s.d.Certificate(Current)),
		csps + "CertificateStore/My/System":   "",
		"./DevInfo":                           "DevId/DmV/Lang/Man/Mod",
		csps + "DeviceManageability/Provider": "",
	} {
		_, results := s.tell(on(windows.Get, uri))
		if len(results) != 1 || results[0].Data != want || results[0].Meta.Format != windows.FormatNode || results[0].Source != uri {
			t.Errorf("%s: %+v, want %s", uri, results, want)
		}
	}
	_, results := s.tell(on(windows.Get, csps+"CertificateStore/My/User/"+windows.Thumbprint(s.d.Certificate(Current))+"/EncodedCertificate"))
	if len(results) != 1 || results[0].Data != base64.StdEncoding.EncodeToString(s.d.Certificate(Current)) {
		t.Errorf("%+v", results)
	}
}

// WIN-052: large objects.
func TestWIN052LargeObjects(t *testing.T) {
	piece := func(uri, data string, size uint32, more bool) windows.Command {
		return windows.Command{Verb: windows.Add, Items: []windows.Item{{Target: uri, Data: data, MoreData: more, Meta: windows.Meta{Size: size}}}}
	}
	uri := csps + "WiFi/Profile/x/WlanXml"
	asks := func(s *winScene, code windows.Code) bool {
		for _, c := range s.hears().Commands {
			if c.Verb == windows.Alert && c.Code == code {
				return true
			}
		}
		return false
	}
	s := managed(t, plainWindows)
	for i, c := range []windows.Command{piece(uri, "ab", 6, true), piece(uri, "cd", 0, true)} {
		if got, _ := s.tell(c); got != "213" || !asks(s, windows.NextMessage) {
			t.Errorf("chunk %d: %s", i, got)
		}
	}
	if got, _ := s.tell(piece(uri, "ef", 0, false)); got != "200" || s.d.tree.value("Device/WiFi/Profile/x/WlanXml") != "abcdef" {
		t.Errorf("last chunk: %s, %q", got, s.d.tree.value("Device/WiFi/Profile/x/WlanXml"))
	}
	for name, tt := range map[string]struct {
		list []windows.Command
		want string
	}{
		"too short": {[]windows.Command{piece(uri, "ab", 6, true), piece(uri, "cd", 0, false)}, "424"},
		"too long":  {[]windows.Command{piece(uri, "ab", 3, true), piece(uri, "cd", 0, true)}, "424"},
		"no size":   {[]windows.Command{piece(uri, "ab", 0, true)}, "411"},
		"too large": {[]windows.Command{piece(uri, "ab", maxObject+1, true)}, "416"},
		"no end":    {[]windows.Command{piece(uri, "ab", 6, true), on(windows.Add, csps+"NodeCache/a", "1")}, "200"},
	} {
		s := managed(t, plainWindows)
		got := ""
		for _, c := range tt.list {
			got, _ = s.tell(c)
		}
		if got != tt.want || s.d.object != nil || s.d.tree.has("Device/WiFi/Profile/x") || asks(s, windows.NoEndOfData) != (name == "no end") {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
}

// WIN-053: the user's nodes are there while their user is.
func TestWIN053UserScope(t *testing.T) {
	mail := "./User/Vendor/MSFT/ActiveSync/Accounts/%7B4a%7D/EmailAddress"
	for _, tt := range []struct {
		login  Login
		doubts WindowsDoubts
		want   string
	}{
		{LoginUser, WindowsDoubts{}, "200 200"},
		{LoginNone, WindowsDoubts{}, "405 200"},
		{LoginOther, WindowsDoubts{UserScope: windows.CommandFailed}, "500 200"},
	} {
		s := managed(t, &WindowsHabits{Doubts: tt.doubts})
		s.d.SignIn(s.now, tt.login)
		if got, _ := s.tell(on(windows.Add, mail, "ada@example"), on(windows.Get, "./DevInfo/Man")); got != tt.want {
			t.Errorf("%d: %s, want %s", tt.login, got, tt.want)
		}
	}
}

// WIN-054, WIN-055: leaving by the server's order.
func TestWIN054Unenroll(t *testing.T) {
	for _, uri := range []string{csps + "DMClient/Unenroll", csps + "DMClient/Provider/rollcall/Unenroll"} {
		s := managed(t, plainWindows)
		s.tell(on(windows.Add, csps+"WiFi/Profile/office/WlanXml", "a"))
		if got, _ := s.tell(on(windows.Exec, uri, "other", windows.FormatChr)); got != "500" {
			t.Errorf("wrong provider: %s", got)
		}
		session := s.body.Header.SessionID
		s.says(on(windows.Exec, uri, "rollcall", windows.FormatChr))
		m := s.hears()
		if m.Header.MsgID != 1 || m.Header.SessionID == session || m.Commands[0].Verb != windows.Alert {
			t.Errorf("want a new session and no Status: %+v", m)
		}
		if bye := m.Commands[2]; bye.Code != windows.GenericAlert || bye.Items[0].Meta != (windows.Meta{Type: windows.TypeUnenrollment, Format: windows.FormatInt}) || bye.Items[0].Data != "1" {
			t.Errorf("alert %+v", bye)
		}
		s.ends()
		t.Run("WIN-055", func(t *testing.T) {
			if s.d.Phase() != agent.Removed || len(s.d.tree) > 0 || s.d.Certificate(Current) != nil || s.d.Due() != 0 || len(s.d.core.Profiles()) > 0 || len(s.d.Profiles()) > 0 {
				t.Errorf("left behind: %+v", s.d)
			}
		})
		if err := s.d.Enrol(s.now, winStart, &s.act); err != nil {
			t.Errorf("it may enrol again: %v", err)
		}
	}
}

// WIN-056: the user's leaving is said once, and happens whatever comes of it.
func TestWIN056UserLeaves(t *testing.T) {
	for status, body := range map[int][]byte{0: nil, 403: nil, 500: nil, 200: []byte("<html/>")} {
		s := managed(t, plainWindows)
		s.begin(UserRemoves)
		if m := s.hears(); m.Commands[2].Code != windows.GenericAlert {
			t.Errorf("%+v", m.Commands)
		}
		s.answer(status, body)
		if s.act.Kind != Rest || s.d.Phase() != agent.Removed || s.d.bonded() {
			t.Errorf("%d: phase %s", status, s.d.Phase())
		}
	}
}

// The server's wipe is reported first, and done even if the report is lost.
func TestWindowsWipe(t *testing.T) {
	for _, arrives := range []bool{true, false} {
		s := managed(t, plainWindows)
		if got, _ := s.tell(on(windows.Exec, csps+"RemoteWipe/doWipe", "", windows.FormatChr)); got != "200" {
			t.Error(got)
		}
		if arrives {
			s.says(on(windows.Get, "./DevInfo/Man")) // it does not hear that any more
		} else {
			s.answer(0, nil)
		}
		if s.act.Kind != Rest || s.d.Phase() != agent.Wiped || s.d.bonded() {
			t.Errorf("phase %s", s.d.Phase())
		}
	}
	s := managed(t, plainWindows)
	s.tell(on(windows.Exec, csps+"Reboot/RebootNow"))
	s.ends()
	if s.d.Phase() != agent.Enrolled || s.d.Due() == 0 {
		t.Error("gone after a restart")
	}
	s.begin(Synced)
	s.ends()
}

// WIN-057: the sets run one after the other.
func TestWIN057Poll(t *testing.T) {
	const minute = protocol.Time(60_000_000)
	sets := func(v ...uint32) windows.Poll {
		return windows.Poll{First: windows.PollSet{Interval: v[0], Retries: v[1]}, Second: windows.PollSet{Interval: v[2], Retries: v[3]}, Remaining: windows.PollSet{Interval: v[4], Retries: v[5]}}
	}
	for name, tt := range map[string]struct {
		p    windows.Poll
		want string // minutes since the enrolment
	}{
		"rollcall":              {windows.DefaultPoll, "3 6 9 12 15 30 45 60 75 90 105 120 135 615 1095"},
		"an endless first set":  {sets(1, 0, 5, 5, 5, 0), "1 2 3 4"},
		"first set off":         {sets(0, 5, 2, 2, 10, 0), "2 4 14 24"},
		"an endless second set": {sets(3, 2, 7, 0, 1, 0), "3 6 13 20"},
		"all that end":          {sets(3, 2, 7, 1, 10, 2), "3 6 13 23 33"},
		"nothing":               {sets(0, 0, 0, 0, 0, 0), ""},
		"longer than any clock": {sets(3, 1, 4294967295, 4294967295, 1, 0), "3 52560003"}, // HST-009
	} {
		got := ""
		now := noon
		for range len(strings.Fields(tt.want)) {
			if now = pollAfter(tt.p, noon, now, nil); now == 0 {
				break
			}
			got += fmt.Sprintf(" %d", (now-noon)/minute)
		}
		if strings.TrimSpace(got) != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
		if next := pollAfter(tt.p, noon, now, nil); (name == "all that end" || name == "nothing") && next != 0 {
			t.Errorf("%s: never silent", name)
		}
	}
	s := managed(t, plainWindows)
	if got := s.d.Due(); got != s.now+3*minute {
		t.Errorf("first session after %s", got.Sub(s.now))
	}
	s.tell(on(windows.Replace, csps+"DMClient/Provider/rollcall/Poll/IntervalForFirstSetOfRetries", "7", windows.FormatInt))
	if s.d.next != s.now+3*minute {
		t.Error("a changed node holds within the session already")
	}
	s.ends()
	if got := s.d.Due(); got != s.now+7*minute {
		t.Errorf("after the change: %s", got.Sub(s.now))
	}
	s.tell(on(windows.Delete, csps+"DMClient/Provider/rollcall/Poll/IntervalForFirstSetOfRetries"))
	s.ends()
	if got := s.d.Due(); got != s.now+15*minute {
		t.Errorf("Windows' own default: %s", got.Sub(s.now))
	}
	if s.d.Begin(s.now, Scheduled, &s.act) {
		t.Error("a session before its time")
	}
	s.now = s.d.Due()
	s.begin(Scheduled)
}

// The endless set of a fleet's device counts from a moment of its own, whenever it enrolled (authority.md, "Schedules"): those that
// enrolled together do not come as one for ever.
func TestWIN057Spread(t *testing.T) {
	s := managed(t, &WindowsHabits{Spread: true})
	steady := s.d.started.Add(135 * time.Minute)
	for _, tt := range []struct{ now, want protocol.Time }{
		{s.d.started.Add(16 * time.Minute), s.d.started.Add(30 * time.Minute)},
		{steady, s.d.core.Scheduled(steady)},
		{steady.Add(100 * time.Hour), s.d.core.Scheduled(steady.Add(100 * time.Hour))},
	} {
		if s.d.scheduled(tt.now); s.d.next != tt.want {
			t.Errorf("after %s the next session is at %s, want %s", tt.now, s.d.next, tt.want)
		}
	}
	if plain := pollAfter(s.d.poll(), s.d.started, steady, nil); plain == s.d.core.Scheduled(steady) {
		t.Error("its own moment is that of its enrolment: this says nothing")
	}
}

// PollOnLogin and AllUsersPollOnFirstLogin; unlocking is no sign-in.
func TestWindowsSignIn(t *testing.T) {
	due := func(onLogin, first bool, who ...Login) bool {
		s := newWinScene(t, plainWindows)
		s.certify(winStart)
		s.provision(s.provisioning(s.issue(), func(p *windows.Provisioning) {
			p.DMClient.Poll.OnLogin, p.DMClient.Poll.AllUsersOnFirstLogin = onLogin, first
		}))
		s.ends()
		for _, w := range who {
			s.d.scheduled(s.now)
			s.d.SignIn(s.now, w)
		}
		return s.d.Due() == s.now
	}
	for _, tt := range []struct {
		onLogin, first bool
		who            []Login
		want           bool
	}{
		{true, false, []Login{LoginUser}, true},
		{true, false, []Login{LoginOther}, true},
		{true, false, []Login{LoginNone}, false},
		{false, true, []Login{LoginUser}, true},
		{false, true, []Login{LoginUser, LoginUser}, false},
		{false, true, []Login{LoginUser, LoginOther}, true}, // once for each user
		{false, true, []Login{LoginOther, LoginUser}, true},
		{false, true, []Login{LoginOther, LoginOther}, false},
		{false, true, []Login{LoginOther, LoginUser, LoginOther}, false},
		{false, false, []Login{LoginUser}, false},
	} {
		if got := due(tt.onLogin, tt.first, tt.who...); got != tt.want {
			t.Errorf("%+v: %t", tt, got)
		}
	}
}

// WIN-058: connections that fail are tried again soon, as often as the account says; answers that are none wait for the schedule.
func TestWIN058Retries(t *testing.T) {
	s := managed(t, plainWindows, func(p *windows.Provisioning) { p.Application.ConnRetryFreq = 4 })
	s.later(11 * time.Hour)
	var waits []time.Duration
	for range 4 {
		s.begin(Synced)
		s.answer(0, nil)
		waits = append(waits, s.d.Due().Sub(s.now))
		s.now = s.d.Due()
	}
	if fmt.Sprint(waits[:3]) != "[30s 1m0s 1m40s]" || waits[3] < time.Hour {
		t.Errorf("waits %v", waits)
	}
	s.begin(Synced)
	s.answer(503, nil)
	if wait := s.d.Due().Sub(s.now); wait < time.Hour || s.d.tries != 0 {
		t.Errorf("after 503: %s", wait)
	}
	for i := range 4 { // a server whose answers end in the middle of sessions is spared too
		s.tell(on(windows.Get, "./DevInfo/Man"))
		s.answer(0, nil)
		if wait := s.d.Due().Sub(s.now); (wait > time.Hour) != (i == 3) {
			t.Errorf("attempt %d, broken off after its first answer: the next in %s", i+1, wait)
		}
	}
}

// WIN-059: no answer takes the enrolment off; too long a silence does, where the server wanted that.
func TestWIN059NeverUnenrols(t *testing.T) {
	s := managed(t, plainWindows, func(p *windows.Provisioning) { p.DMClient.LostContactDays = 3 })
	for _, status := range []int{0, 301, 400, 401, 403, 404, 410, 429, 500, 503} {
		s.begin(Synced)
		s.answer(status, nil)
		if s.d.Phase() != agent.Enrolled || s.act.Err == nil || s.d.Due() == 0 {
			t.Fatalf("%d: phase %s, %v", status, s.d.Phase(), s.act.Err)
		}
	}
	for _, body := range []string{"", "<html/>", "<SyncML/>"} {
		s.begin(Synced)
		s.answer(200, []byte(body))
		if s.d.Phase() != agent.Enrolled || s.act.Err == nil {
			t.Fatalf("%q: phase %s", body, s.d.Phase())
		}
	}
	s.later(3*day - time.Minute)
	s.begin(Scheduled)
	s.answer(503, nil)
	s.later(time.Minute)
	if s.d.Due() != s.now {
		t.Errorf("due %s, want now", s.d.Due())
	}
	if s.d.Begin(s.now, Scheduled, &s.act) || s.d.Phase() != agent.Removed || s.d.bonded() {
		t.Errorf("phase %s after three days of silence", s.d.Phase())
	}
}

// A device that lost the answer to its renewal manages by its old identity, and renews at the next attempt.
func TestWIN066AnswerLost(t *testing.T) {
	s := managed(t, plainWindows)
	old := string(s.d.Certificate(Current))
	s.now = s.d.renewal.due
	renews := func() {
		t.Helper()
		s.d.next = 0
		if !s.d.Begin(s.now, Scheduled, &s.act) {
			t.Fatalf("due %s, now %s", s.d.Due(), s.now)
		}
		s.wants(Discovery)
		s.soap(&found)
		s.request()
	}
	renews()
	s.issue()
	s.answer(0, nil) // is lost
	s.begin(Synced)
	if r := s.act.Request; r.Identity != Current || string(s.d.Certificate(Current)) != old || s.d.Phase() != agent.Enrolled {
		t.Errorf("it comes by %v, phase %s; the old identity is there: %t", r.Identity, s.d.Phase(), string(s.d.Certificate(Current)) == old)
	}
	s.ends()
	s.now = s.d.renewal.due
	renews()
	c := s.issue()
	s.provision(&windows.Provisioning{Client: c.Raw, Store: windows.StoreUser, Application: windows.Application{ProviderID: "rollcall"}})
	s.rests()
	if string(s.d.Certificate(Current)) != string(c.Raw) {
		t.Error("the next attempt has brought no identity")
	}
}

// WIN-061, WIN-062: renewing the identity.
func TestWIN061Renewal(t *testing.T) {
	s := managed(t, plainWindows)
	end := s.d.core.Identity().NotAfter
	opens := end.Add(-60 * day)
	if s.d.renewal.due != opens {
		t.Fatalf("renewal due %s, want %s", s.d.renewal.due, opens)
	}
	old := string(s.d.Certificate(Current))
	begin := func() {
		t.Helper()
		s.d.next = 0
		if s.d.Due() != s.now || !s.d.Begin(s.now, Scheduled, &s.act) {
			t.Fatalf("due %s, now %s", s.d.Due(), s.now)
		}
		s.wants(Discovery) // WIN-062
		if !s.act.Request.Stays {
			t.Error("WIN-062: a redirect would be followed")
		}
	}
	s.now = opens
	begin()
	s.d.Answer(s.now, &Response{Status: 302, Location: "https://mdm.example/"}, &s.act) // WIN-062
	s.restsWith(windows.HTTPError(302))
	if s.d.renewal.due != opens.Add(4*day) {
		t.Errorf("next attempt %s", s.d.renewal.due.Sub(opens))
	}
	s.now = s.d.renewal.due
	begin()
	s.soap(&found)
	s.request()
	if r := s.act.Request; r.Identity != Current || !r.Stays {
		t.Errorf("request %+v", r)
	}
	e := s.asked()
	if c := e.Header.Credential; c.Kind != windows.Password || c.Username != "ada@example" || c.Password != "" {
		t.Errorf("credential %v", c)
	}
	s.issue()
	s.answer(0, nil) // is lost
	if v, _ := s.d.Setting(csps + "CertificateStore/MY/WSTEP/Renew/Status"); v != "3" {
		t.Errorf("Renew/Status %s, want 3", v)
	}
	s.begin(Synced)
	s.ends()
	s.now = s.d.renewal.due
	begin()
	s.soap(&found)
	s.request()
	c := s.issue()
	s.provision(&windows.Provisioning{Client: c.Raw, Store: windows.StoreUser, Application: windows.Application{ProviderID: "rollcall"}})
	s.rests()
	if string(s.d.Certificate(Current)) != string(c.Raw) || s.d.renewal.due != protocol.At(c.NotAfter).Add(-60*day) {
		t.Error("the new identity is not in use")
	}
	if before, err := x509.ParseCertificate([]byte(old)); err != nil || before.PublicKey.(*ecdsa.PublicKey).Equal(c.PublicKey) {
		t.Error("WIN-061: the key is the old one")
	}
	for name, want := range map[string]string{"Status": "2", "ErrorCode": "0"} {
		if v, _ := s.d.Setting(csps + "CertificateStore/My/WSTEP/Renew/" + name); v != want {
			t.Errorf("Renew/%s = %s, want %s", name, v, want)
		}
	}
	s.begin(Synced)
	s.ends()

	// RenewNow renews at once; a document of something else changes nothing.
	s.tell(on(windows.Exec, csps+"CertificateStore/MY/WSTEP/Renew/RenewNow"))
	s.ends()
	begin()
	s.soap(&found)
	s.request()
	s.provision(s.provisioning(s.issue()))
	s.restsWith(windows.ECertificateStore)
	s.now = s.d.renewal.due
	begin()
	s.soap(&found)
	s.request()
	stranger, err := s.ca.Issue(certs.IssueRequest{Public: s.issue().PublicKey, Handle: "another", Now: s.now.Time()})
	if err != nil {
		t.Fatal(err)
	}
	s.provision(&windows.Provisioning{Client: stranger.Raw, Store: windows.StoreUser, Application: windows.Application{ProviderID: "rollcall"}})
	s.restsWith(windows.ECertificateStore)
	if string(s.d.Certificate(Current)) != string(c.Raw) {
		t.Error("another identity than before")
	}

	// After its end nothing is tried any more.
	s.now = protocol.At(c.NotAfter)
	if s.d.Begin(s.now, Scheduled, &s.act) || s.d.Begin(s.now, Synced, &s.act) || s.d.Due() != 0 || s.d.Phase() != agent.Enrolled {
		t.Error("WIN-061: it goes on with an identity that has ended")
	}
	if code, _ := errors.AsType[windows.HRESULT](s.act.Err); code != windows.EClientCertificate {
		t.Errorf("%v", s.act.Err)
	}
}

// WIN-061: attempts stop where the certificate ends, and a device that must not renew by itself does not.
func TestWIN061Stops(t *testing.T) {
	s := managed(t, plainWindows)
	s.now = s.d.core.Identity().NotAfter.Add(-3 * day)
	s.d.next = 0
	if !s.d.Begin(s.now, Scheduled, &s.act) {
		t.Fatal("no renewal inside its window")
	}
	s.answer(503, nil)
	if s.d.renewal.due != 0 {
		t.Errorf("another attempt at %s, after the end", s.d.renewal.due)
	}
	// A server that refuses to renew hears of it again by RetryInterval, while management goes on, and after the end only where it has
	// said so: then a device that is out of management comes back by itself.
	for _, after := range []string{"", "10"} {
		s = managed(t, plainWindows)
		if after != "" {
			s.tell(on(windows.Add, csps+"CertificateStore/MY/WSTEP/Renew/RetryAfterExpiryInterval", after, windows.FormatInt))
			s.ends()
		}
		end := s.d.core.Identity().NotAfter
		refused := func() {
			t.Helper()
			if s.now = s.d.renewal.due; s.d.next < s.now {
				s.d.next = 0
			}
			if s.d.Due() != s.now || !s.d.Begin(s.now, Scheduled, &s.act) {
				t.Fatalf("due %s, now %s", s.d.Due(), s.now)
			}
			s.soap(&found)
			s.request()
			s.soap(&windows.Fault{Subcode: windows.SubcodeCertificateRequest, ErrorType: windows.ErrorNotEligibleToRenew, Reason: "no"})
			s.restsWith(windows.ENotEligibleToRenew)
			if v, _ := s.d.Setting(csps + "CertificateStore/My/WSTEP/Renew/Status"); v != "3" {
				t.Errorf("Renew/Status %s after a refusal, want 3", v)
			}
		}
		tries := 0
		for at := end.Add(-60 * day); s.d.renewal.due != 0 && s.d.renewal.due < end; at = at.Add(4 * day) {
			if s.d.renewal.due != at {
				t.Fatalf("attempt %d %s before the end, want %s", tries, end.Sub(s.d.renewal.due), end.Sub(at))
			}
			refused()
			s.begin(Synced) // management goes on
			s.ends()
			tries++
		}
		if tries != 15 {
			t.Errorf("%d attempts in a window of 60 days, want one every 4", tries)
		}
		if after == "" {
			if s.d.renewal.due != 0 {
				t.Errorf("the next attempt is %s", s.d.renewal.due)
			}
			continue
		}
		for n := range 2 {
			if s.d.renewal.due != end.Add(time.Duration(n+1)*10*day) {
				t.Fatalf("attempt %d %s after the end, want every 10 days", n, s.d.renewal.due.Sub(end))
			}
			refused()
			if s.d.Begin(s.now, Synced, &s.act) {
				t.Error("a session with an identity that has ended")
			}
		}
		s.now = s.d.renewal.due
		s.d.Begin(s.now, Scheduled, &s.act)
		s.soap(&found)
		s.request()
		s.provision(&windows.Provisioning{Client: s.issue().Raw, Store: windows.StoreUser, Application: windows.Application{ProviderID: "rollcall"}})
		s.rests()
		s.begin(Synced)
		s.ends()
	}
	s = managed(t, plainWindows, func(p *windows.Provisioning) { p.Renewal.ROBO = false })
	if s.d.renewal.due != 0 {
		t.Error("renews by itself, though ROBOSupport is false")
	}
}

// WIN-069: what Configuration Manager's client says.
func TestWIN069CoManagement(t *testing.T) {
	s := managed(t, plainWindows)
	uri := csps + "DeviceManageability/Provider/WMI_Bridge_Server/ConfigInfo"
	if got, _ := s.tell(on(windows.Get, uri)); got != "404" {
		t.Errorf("not co-managed: %s", got)
	}
	s.ends()
	s.d.SetCoManaged(s.now, 67)
	if s.d.Due() != s.now {
		t.Error("a changed value starts no session")
	}
	if got, results := s.tell(on(windows.Get, uri)); got != "200" || results[0].Data != "67" {
		t.Errorf("%s, %v", got, results)
	}
}

// AUTH-26: what the server writes once more after it has told of the change, even in the same message, is of the new authority, though it
// says the same: it stays.
func TestAUTH26WindowsSameAgain(t *testing.T) {
	s := managed(t, plainWindows)
	uri := csps + "WiFi/Profile/office/WlanXml"
	s.tell(on(windows.Add, uri, "a"), on(windows.Add, csps+"WiFi/Profile/old/WlanXml", "a"))
	s.ends()
	notice := windows.NoticeWords(protocol.Intune, protocol.Notice{Epoch: 2, ChangedAt: s.now - s.now%1_000_000, Rule: protocol.RuleSevenDays})
	s.tell(on(windows.Replace, csps+"DeviceManageability/Provider/rollcall/ConfigInfo", notice, windows.FormatChr), on(windows.Replace, uri, "a"))
	s.ends()
	s.d.Expire(s.now.Add(8 * day))
	if list := s.d.Profiles(); len(list) != 1 || list[0].Node != csps+"WiFi/Profile/office" || list[0].Until != 0 {
		t.Errorf("%+v", list)
	}
}

// AUTH-26, AUTH-27: a device that hears of a change more than seven days late drops what it had at once, and not what the same message
// says again, before or after the notice.
func TestAUTH26WindowsSameAgainLate(t *testing.T) {
	for _, first := range []bool{true, false} {
		s := managed(t, plainWindows)
		uri := csps + "WiFi/Profile/office/WlanXml"
		s.tell(on(windows.Add, uri, "a"), on(windows.Add, csps+"WiFi/Profile/old/WlanXml", "a"))
		s.ends()
		s.now = s.now.Add(9 * day)
		at := s.now.Add(-8 * day)
		said := []windows.Command{
			on(windows.Replace, csps+"DeviceManageability/Provider/rollcall/ConfigInfo", windows.NoticeWords(protocol.Intune, protocol.Notice{Epoch: 2, ChangedAt: at - at%1_000_000, Rule: protocol.RuleSevenDays}), windows.FormatChr),
			on(windows.Replace, uri, "a"),
		}
		if !first {
			slices.Reverse(said)
		}
		s.tell(said...)
		s.ends()
		if list := s.d.Profiles(); len(list) != 1 || list[0].Node != csps+"WiFi/Profile/office" || list[0].Until != 0 {
			t.Errorf("told first: %v: %+v", first, list)
		}
	}
}

// WIN-072, AUTH-27: once the device has heard of the change, what it had before leaves after seven days, without contact.
func TestWIN072Drops(t *testing.T) {
	s := managed(t, plainWindows)
	s.later(time.Hour)
	s.tell(on(windows.Add, csps+"WiFi/Profile/old/WlanXml", "a"), on(windows.Replace, csps+"Policy/Config/DeviceLock/Max", "15", windows.FormatInt))
	s.ends()
	s.later(time.Hour)
	changed := s.now.Add(-time.Minute)
	changed -= changed % 1_000_000
	notice := windows.NoticeWords(protocol.Intune, protocol.Notice{Epoch: 2, ChangedAt: changed, Rule: protocol.RuleSevenDays})
	s.tell(on(windows.Replace, csps+"DeviceManageability/Provider/rollcall/ConfigInfo", notice, windows.FormatChr))
	s.ends()
	if s.act.Heard.Epoch != 2 || s.d.Epoch() != 2 || s.d.Drops() != changed.Add(7*day) {
		t.Fatalf("heard %+v, epoch %d, drops %s", s.act.Heard, s.d.Epoch(), s.d.Drops())
	}
	s.tell(on(windows.Add, csps+"WiFi/Profile/new/WlanXml", "a"), on(windows.Replace, csps+"Policy/Config/DeviceLock/Max", "20", windows.FormatInt)) // AUTH-26
	s.ends()
	s.now = changed.Add(7*day) - 1
	s.d.Begin(s.now, Scheduled, &s.act)
	s.answer(0, nil)
	if len(s.d.Profiles()) != 3 {
		t.Errorf("profiles %v before the seven days are over", s.d.Profiles())
	}
	s.now++
	s.d.next = 0
	bytes, err := s.d.AppendBinary(nil)
	off := new(Windows) // the same one, off the network
	if err == nil {
		err = off.UnmarshalBinary(bytes)
	}
	off.Share(s.d.model, s.d.habits)
	if err != nil || off.Expire(s.now-1) != 0 || off.Expire(s.now) != 1 || off.Expire(s.now) != 0 || len(off.Profiles()) != 2 {
		t.Errorf("off the network: %v, %v", err, off.Profiles())
	}
	if s.d.Begin(s.now, Scheduled, &s.act); s.act.Kind != Rest || s.act.Dropped != 1 {
		t.Errorf("act %d, dropped %d", s.act.Kind, s.act.Dropped)
	}
	var left []string
	for _, p := range s.d.Profiles() {
		left = append(left, strings.TrimPrefix(p.Node, csps))
	}
	if got := strings.Join(left, " "); got != "Policy/Config/DeviceLock/Max WiFi/Profile/new" || s.d.tree.has("Device/WiFi/Profile/old") {
		t.Errorf("left: %s", got)
	}
	s.begin(Synced) // an older notice is no news (HST-057)
	s.says(on(windows.Replace, csps+"DeviceManageability/Provider/rollcall/ConfigInfo", windows.NoticeWords(protocol.Intune, protocol.Notice{Epoch: 1, ChangedAt: changed})))
	s.ends()
	if s.d.Epoch() != 2 || s.act.Heard.Epoch != 0 {
		t.Error("HST-057: an older change was believed")
	}
}

// AUTH-27: what a device was told of a change it knows, however the session ended in which it was told: the next one need not say it
// again.
func TestAUTH27ToldInASessionThatWasCutOff(t *testing.T) {
	s := managed(t, plainWindows)
	s.later(time.Hour)
	s.tell(on(windows.Replace, csps+"DeviceManageability/Provider/rollcall/ConfigInfo", windows.NoticeWords(protocol.Intune, protocol.Notice{Epoch: 2, ChangedAt: s.now}), windows.FormatChr))
	s.answer(0, nil)
	s.begin(Synced)
	s.ends()
	if s.d.Epoch() != 2 {
		t.Errorf("epoch %d, want 2", s.d.Epoch())
	}
}

// HST-054, HST-033: an answer of another session, or for another device, is none.
func TestHST054OtherSession(t *testing.T) {
	for _, change := range []func(*windows.SyncHdr){
		func(h *windows.SyncHdr) { h.SessionID = "99" }, func(h *windows.SyncHdr) { h.Target = "somebody" },
	} {
		s := managed(t, plainWindows)
		s.begin(Synced)
		h := windows.SyncHdr{SessionID: s.hears().Header.SessionID, MsgID: 1, Target: winID, Source: winServer}
		change(&h)
		s.answer(200, windows.EncodeMessage(nil, &windows.Message{Header: h, Final: true, Commands: []windows.Command{{Verb: windows.Exec, CmdID: 5, Items: []windows.Item{{Target: csps + "RemoteWipe/doWipe"}}}}}))
		if s.act.Kind != Rest || s.act.Err == nil || s.d.Phase() != agent.Enrolled || s.d.winTask != nil {
			t.Errorf("%+v: %v, %s", h, s.act.Err, s.d.Phase())
		}
	}
}

// Application-layer authentication: a challenge is answered once, and a server's wrong proof ends the session.
func TestWindowsChallenge(t *testing.T) {
	s := managed(t, plainWindows)
	s.begin(Synced)
	h := windows.SyncHdr{SessionID: s.hears().Header.SessionID, MsgID: 1, Target: winID, Source: winServer}
	challenge := windows.EncodeMessage(nil, &windows.Message{Header: h, Final: true, Commands: []windows.Command{{
		Verb: windows.Status, CmdID: 1, MsgRef: 1, Cmd: windows.SyncHeader, Code: windows.MissingCredentials,
		Chal: &windows.Chal{Type: windows.AuthMD5, Format: windows.FormatB64, NextNonce: []byte("nonce")},
	}}})
	s.answer(200, challenge)
	m := s.hears()
	if m.Header.MsgID != 2 || m.Header.Cred == nil || !m.Header.Cred.Proves(winHandle, "s2", []byte("nonce")) || m.Commands[0].Code != windows.ClientInitiated {
		t.Fatalf("answered %+v", m.Header)
	}
	s.answer(200, challenge)
	if s.act.Kind != Rest || !errors.Is(s.act.Err, errCredentials) || s.d.Phase() != agent.Enrolled {
		t.Errorf("%v", s.act.Err)
	}
	for proof, want := range map[*windows.Cred]error{
		windows.NewCred(windows.AuthMD5, "rollcall", "s1", []byte("n1")): nil,
		windows.NewCred(windows.AuthMD5, "rollcall", "s2", []byte("n1")): errServerCredentials,
	} {
		s.begin(Synced)
		h := windows.SyncHdr{SessionID: s.hears().Header.SessionID, MsgID: 1, Target: winID, Source: winServer, Cred: proof}
		s.answer(200, windows.EncodeMessage(nil, &windows.Message{Header: h, Final: true}))
		if s.act.Kind != Rest || !errors.Is(s.act.Err, want) {
			t.Errorf("%v, want %v", s.act.Err, want)
		}
	}
}

// An address that no session can go to is none: the device stays where its server is (HST-120).
func TestHST120NoSuchAddress(t *testing.T) {
	for _, to := range []string{"http://mdm.example/dm", "::::", "https://", "nowhere"} {
		s := managed(t, plainWindows)
		s.tell(on(windows.Replace, csps+"DMClient/Provider/rollcall/ManagementServiceAddress", to),
			on(windows.Replace, csps+"DMClient/Provider/rollcall/ManagementServerAddressList", "<"+to+"><http://a.example/>"))
		s.ends()
		if s.begin(Synced); !strings.HasPrefix(s.act.Request.URL, winServer) {
			t.Errorf("%s: it goes to %s", to, s.act.Request.URL)
		}
	}
}

// The server moves the device to another address, and a message to another.
func TestWindowsAddresses(t *testing.T) {
	s := managed(t, plainWindows)
	s.tell(on(windows.Replace, csps+"DMClient/Provider/rollcall/ManagementServiceAddress", "https://other.example/dm?tenant=7"))
	if s.act.Request.URL != winServer+"?mode=Maintenance" {
		t.Error("moved within the session")
	}
	s.ends()
	s.begin(Synced)
	if s.act.Request.URL != "https://other.example/dm?tenant=7&mode=Maintenance" {
		t.Error(s.act.Request.URL)
	}
	s.ends()
	s.tell(on(windows.Replace, csps+"DMClient/Provider/rollcall/ManagementServerAddressList", "<https://a.example/><https://b.example/>"))
	s.ends()
	for _, want := range []string{"https://a.example/", "https://b.example/", "https://a.example/"} {
		s.begin(Synced)
		if !strings.HasPrefix(s.act.Request.URL, want) {
			t.Errorf("%s, want %s", s.act.Request.URL, want)
		}
		s.answer(0, nil)
	}
}

// The push channel: what the server reads of it, and when a session tells of it.
func TestWindowsChannel(t *testing.T) {
	s := managed(t, plainWindows)
	status := func() string {
		t.Helper()
		_, results := s.tell(on(windows.Get, csps+"DMClient/Provider/rollcall/Push/ChannelURI"), on(windows.Get, csps+"DMClient/Provider/rollcall/Push/Status"))
		s.ends()
		return results[0].Data + " " + results[1].Data
	}
	if pfn, _ := s.d.Push(); pfn != "Rollcall.Test_1234" || s.d.ChannelDue() == 0 {
		t.Errorf("PFN %s", pfn)
	}
	if got := status(); got != " 4" {
		t.Errorf("without a channel: %s", got)
	}
	s.d.SetChannel(s.now, "https://wns.notify.windows.com/?token=a", PushReady)
	if s.d.Due() != s.now {
		t.Error("a new channel starts no session")
	}
	if !s.d.Woken("https://wns.notify.windows.com/?token=a") || s.d.Woken("https://wns.notify.windows.com/?token=b") || s.d.Woken("") {
		t.Error("woken by another channel than its own, or not by that")
	}
	if got := status(); got != "https://wns.notify.windows.com/?token=a 0" {
		t.Errorf("with a channel: %s", got)
	}
	if s.d.ChannelDue() != s.now.Add(15*day) {
		t.Errorf("channel due %s", s.d.ChannelDue())
	}
	s.later(30 * day)
	if got := status(); !strings.HasSuffix(got, " 5") {
		t.Errorf("after 30 days: %s", got)
	}
	s.d.SetChannel(s.now, "", PushBadPFN)
	if got := status(); got != " 1" {
		t.Errorf("bad PFN: %s", got)
	}
}

// SCEP profiles: Status follows Enroll.
func TestWindowsSCEP(t *testing.T) {
	s := managed(t, plainWindows)
	corp := csps + "ClientCertificateInstall/SCEP/corp"
	if got, results := s.tell(atomic(on(windows.Add, corp, "", windows.FormatNode), on(windows.Add, corp+"/Install/ServerURL", "https://scep.example/"),
		on(windows.Exec, corp+"/Install/Enroll"))); got != "200 200 200 200" || len(results) > 0 {
		t.Fatal(got)
	}
	if _, results := s.tell(on(windows.Get, corp+"/Status"), on(windows.Get, corp+"/CertThumbprint")); results[0].Data != "1" || len(results[1].Data) != 40 {
		t.Errorf("%v", results)
	}
	if got, _ := s.tell(on(windows.Exec, csps+"ClientCertificateInstall/SCEP/none/Install/Enroll"), on(windows.Get, csps+"ClientCertificateInstall/SCEP/none/Status")); got != "500 404" {
		t.Error(got)
	}
	if p := s.d.Profiles(); len(p) != 1 || p[0].Family != protocol.Certificate {
		t.Errorf("%v", p)
	}
}

// A SCEP profile whose authority takes its time: pending until the try that brings the certificate, failed where the last of them brings none.
func TestWindowsSCEPWaits(t *testing.T) {
	corp := csps + "ClientCertificateInstall/SCEP/corp"
	for name, tt := range map[string]struct {
		after time.Duration
		tries []windows.Command
		says  string // Status after each five minutes
	}{
		"at the second try":  {after: 8 * time.Minute, says: "2 2 1 1"},
		"in vain":            {after: time.Hour, says: "2 2 2 16"},
		"as the server says": {after: time.Hour, tries: []windows.Command{on(windows.Add, corp+"/Install/RetryCount", "2", windows.FormatInt), on(windows.Add, corp+"/Install/RetryDelay", "30", windows.FormatInt)}, says: "2 2 2 2 2 2 2 2 2 2 2 2 1"},
	} {
		t.Run(name, func(t *testing.T) {
			s := managed(t, plainWindows)
			s.d.Share(s.d.model, &WindowsHabits{IssuesAfter: tt.after})
			all := append([]windows.Command{on(windows.Add, corp, "", windows.FormatNode), on(windows.Add, corp+"/Install/ServerURL", "https://scep.example/")}, tt.tries...)
			s.tell(atomic(append(all, on(windows.Exec, corp+"/Install/Enroll"))...))
			s.ends()
			for i, want := range strings.Fields(tt.says) {
				codes, results := s.tell(on(windows.Get, corp+"/Status"), on(windows.Get, corp+"/CertThumbprint"), on(windows.Get, corp+"/ErrorCode"))
				s.ends()
				there := strings.Split(codes, " ")[1] == "200"
				if results[0].Data != want || there != (want == "1") || (results[len(results)-1].Data == "0") != (want != "16") {
					t.Fatalf("after %d minutes: %s %v, want %s", 5*i, codes, results, want)
				}
				s.later(5 * time.Minute)
			}
		})
	}
}

// HST-120: a hostile server cannot make the device keep or say without bound, nor talk for ever.
func TestHST120HostileWindowsServer(t *testing.T) {
	s := managed(t, plainWindows)
	s.begin(Synced)
	list := make([]windows.Command, 0, 3000)
	for i := range 3000 {
		list = append(list, on(windows.Add, fmt.Sprintf("%sNodeCache/n%d", csps, i), "x"))
	}
	s.says(list...)
	for i := range list {
		list[i] = on(windows.Add, fmt.Sprintf("%sNodeCache/m%d", csps, i), "x")
	}
	s.says(list...)
	if codes, _ := s.codes(); !strings.HasSuffix(codes, "420") || len(s.d.tree) > mostLeaves {
		t.Errorf("%d settings were kept", len(s.d.tree))
	}
	for i := range list {
		list[i] = on(windows.Get, csps+"NodeCache")
	}
	s.says(list...)
	if codes, _ := s.codes(); !strings.HasSuffix(codes, "413") || len(s.act.Request.Body) > windows.MaxMessage {
		t.Errorf("an answer of %d bytes", len(s.act.Request.Body))
	}
	for range mostMessages {
		if s.act.Kind != Send {
			break
		}
		s.says(on(windows.Get, "./DevInfo/Man"))
	}
	if s.act.Kind != Rest || !errors.Is(s.act.Err, errEndless) || s.d.Phase() != agent.Enrolled {
		t.Errorf("%v after %d messages", s.act.Err, mostMessages)
	}
}

// A server that says how little it takes gets an abort in place of more, as Windows 11 does (windows.md section 6).
func TestWindowsMaxMsgSize(t *testing.T) {
	s := managed(t, plainWindows)
	s.begin(Synced)
	h := windows.SyncHdr{SessionID: s.hears().Header.SessionID, MsgID: 1, Target: winID, Source: winServer, MaxMsgSize: 600}
	s.answer(200, windows.EncodeMessage(nil, &windows.Message{Header: h, Final: true, Commands: []windows.Command{
		{Verb: windows.Get, CmdID: 5, Items: []windows.Item{{Target: "./DevInfo"}}}, {Verb: windows.Get, CmdID: 6, Items: []windows.Item{{Target: "./DevDetail/Ext/Microsoft"}}},
	}}))
	m := s.hears()
	if last := m.Commands[len(m.Commands)-1]; last.Code != windows.SessionAbort || m.Header.MsgID != 2 || len(s.act.Request.Body) > 800 {
		t.Errorf("said %+v", m)
	}
	s.says()
	if s.act.Kind != Rest || !errors.Is(s.act.Err, errTooLarge) || s.d.Phase() != agent.Enrolled {
		t.Errorf("%v", s.act.Err)
	}
}
