package windows

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"rollcall/protocol"
)

// What the examples of the specification say, beside being read at all.
func TestExamples(t *testing.T) {
	body := func(name string) Body {
		t.Helper()
		e, err := DecodeEnvelope(read(t, filepath.Join("testdata", name+".xml")))
		if err != nil {
			t.Fatal(err)
		}
		return e.Body
	}
	check := func(name string, got, want any) {
		t.Helper()
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	check("discover", body("discover"), &Discover{
		EmailAddress: "ada@example.test", RequestVersion: Version{5, 0}, DeviceType: DeviceDesktop, ApplicationVersion: "10.0.22631.1",
		OSEdition: 48, AuthPolicies: []string{OnPremise, Federated},
	})
	check("discover-response", body("discover-response"), &DiscoverResponse{
		AuthPolicy: OnPremise, EnrollmentVersion: Version{5, 0}, PolicyURL: "https://mdm.example.test/EnrollmentServer/Policy.svc",
		EnrollmentURL: "https://mdm.example.test/EnrollmentServer/Enrollment.svc",
	})
	p := body("policies").(*GetPoliciesResponse).Policy
	if p.Schema != 3 || p.MinimalKeyLength != 2048 || p.HashAlgorithm != OIDSHA256 || len(p.Providers) != 2 || p.Validity.Hours() != 8760 {
		t.Errorf("WIN-010: policy %+v", p)
	}
	check("fault", body("fault"), &Fault{
		Subcode: SubcodeAuthorization, Reason: "No device management licence", ErrorType: ErrorUserLicense, Message: "No device management licence",
		TraceID: "trace-7",
	})
	r := body("rst").(*RequestSecurityToken)
	if r.Renew || len(r.Token) < 500 || r.Item(ItemDeviceID) != "8090C8B484A0E24EB5C56E806CB4EE5B" || r.Item(ItemEnrollmentType) != EnrollmentFull || len(r.Items(ItemMAC)) != 1 {
		t.Errorf("request %+v", r.Context)
	}
	single, doubled := body("renewal").(*RequestSecurityToken), body("renewal-doubled").(*RequestSecurityToken)
	if !single.Renew || single.Doubled || !doubled.Doubled || string(single.Token) != string(doubled.Token) {
		t.Error("WIN-064: single and double base64 are not the same token")
	}
	var m Message
	if err := DecodeMessage(read(t, filepath.Join("testdata", "package3.xml")), &m); err != nil {
		t.Fatal(err)
	}
	check("package 3", m.Commands[2], Command{Verb: Status, CmdID: 3, MsgRef: 1, CmdRef: 6, Cmd: Add, Code: AlreadyExists})
	check("package 3", m.Commands[4], Command{Verb: Results, CmdID: 5, MsgRef: 1, CmdRef: 5, Items: []Item{{
		Source: "./Device/Vendor/MSFT/DMClient/Provider/rollcall/Push/ChannelURI", Meta: Meta{Format: FormatChr},
		Data: "https://wns2-sim.notify.windows.com/?token=channel",
	}}})
}

// WIN-015: unknown context items are kept, and repeated ones are a list.
func TestWIN015ContextItems(t *testing.T) {
	want := &RequestSecurityToken{Token: []byte{0x30, 0}, Context: []ContextItem{
		{ItemMAC, "A2-19"}, {"Of tomorrow <&>", "x"}, {ItemMAC, "A2:20"}, {ItemIMEI, ""},
	}}
	e, err := DecodeEnvelope(EncodeEnvelope(nil, &Envelope{Body: want}))
	if err != nil {
		t.Fatal(err)
	}
	got := e.Body.(*RequestSecurityToken)
	if diff := cmp.Diff(want, got); diff != "" || len(got.Items(ItemMAC)) != 2 || got.Item("mac") != "" {
		t.Errorf("%v\n%s", got.Items(ItemMAC), diff)
	}
}

// WIN-026: each row of the fault table gives its HRESULT, whatever the sender's prefix and case.
func TestWIN026Faults(t *testing.T) {
	for subcode, want := range map[Subcode]HRESULT{
		SubcodeMessageFormat: 0x80180001, SubcodeAuthentication: 0x80180002, SubcodeAuthorization: 0x80180003, SubcodeCertificateRequest: 0x80180004,
		SubcodeEnrollmentServer: 0x80180005, SubcodeInternalServiceFault: 0x80180006, SubcodeInvalidSecurity: 0x80180007, "Nonsense": 0x80180008,
	} {
		body := string(EncodeEnvelope(nil, &Envelope{Body: &Fault{Subcode: subcode}}))
		for _, body := range []string{body, strings.Replace(body, ":"+string(subcode)+"<", ":"+strings.ToLower(string(subcode))+"<", 1)} {
			e, err := DecodeEnvelope([]byte(body))
			if err != nil || e.Body.(*Fault).HRESULT() != want {
				t.Errorf("%s: %v, %v, want %s", subcode, e, err, want)
			}
		}
	}
	for kind, want := range map[ErrorType]HRESULT{
		ErrorDeviceCapReached: 0x80180013, ErrorDeviceNotSupported: 0x80180014, ErrorNotSupported: 0x80180015, ErrorNotEligibleToRenew: 0x80180016,
		ErrorInMaintenance: 0x80180017, ErrorUserLicense: 0x80180018, ErrorInvalidEnrollmentData: 0x80180019, ErrorCustomServerError: 0x80180032,
		"Nonsense": 0x80180003,
	} {
		if got := (&Fault{Subcode: SubcodeAuthorization, ErrorType: kind}).HRESULT(); got != want {
			t.Errorf("%s: %s, want %s", kind, got, want)
		}
	}
	for status, want := range map[int]HRESULT{400: 0x80190190, 401: 0x80190191, 403: 0x80190193, 404: 0x80190194, 503: 0x801901F7, 429: 0x80180033} {
		if got := HTTPError(status); got != want {
			t.Errorf("status %d: %s, want %s", status, got, want)
		}
	}
}

// WIN-018: the search criteria name the subject and the store of the certificate.
func TestWIN018SearchCriteria(t *testing.T) {
	const want = `Subject=CN%3D1D8A5C0E-7A0F&Stores=My%5CSystem`
	if got := SearchCriteria("1D8A5C0E-7A0F", StoreSystem); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	for _, name := range []string{"1D8A5C0E-7A0F", "Ada & Co. + 100 %", "Zoë"} {
		subject, store, err := ReadSearchCriteria(SearchCriteria(name, StoreUser))
		if subject != "CN="+name || store != StoreUser || err != nil {
			t.Errorf("%s: %s, %s, %v", name, subject, store, err)
		}
	}
	for _, wrong := range []string{"", "Subject=x", "Stores=My%5CUser", "Subject=%zz&Stores=My%5CUser", "Subject=x&Stores=CA%5CUser"} {
		if _, _, err := ReadSearchCriteria(wrong); !errors.Is(err, protocol.ErrMalformed) {
			t.Errorf("%s: %v", wrong, err)
		}
	}
}

func TestNodes(t *testing.T) {
	for name, want := range map[string]string{"rollcall": "rollcall", "MS DM Server": "MS%20DM%20Server", "{4a}": "%7B4a%7D", "a/b": "a%2Fb", "ë": "%C3%AB", "": ""} {
		got := EscapeNode(name)
		back, err := UnescapeNode(got)
		if got != want || back != name || err != nil {
			t.Errorf("%q: %q, want %q, and back %q, %v", name, got, want, back, err)
		}
	}
	if _, err := UnescapeNode("%zz"); !errors.Is(err, protocol.ErrMalformed) {
		t.Errorf("%v", err)
	}
}

func TestVersions(t *testing.T) {
	for text, want := range map[string]Version{"3.0": {3, 0}, "9.1": {9, 1}, "10": {10, 0}} {
		if got, err := parseVersion(text); got != want || err != nil {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for _, wrong := range []string{"", "x", "3.", ".0", "3.0.1", "-3.0", "99999.0"} {
		if _, err := parseVersion(wrong); !errors.Is(err, protocol.ErrMalformed) {
			t.Errorf("%q: %v", wrong, err)
		}
	}
	if !(Version{3, 9}).Before(Version{4, 0}) || !(Version{4, 0}).Before(Version{4, 1}) || (Version{4, 0}).Before(Version{4, 0}) {
		t.Error("versions are not in order")
	}
}

// The credentials of windows.md section 6: B64(MD5(B64(MD5(user:password)):nonce)); the figure is from the specification of
// SyncML's own example (Bruce2, OhBehave, nonce "Nonce").
func TestCredentials(t *testing.T) {
	c := NewCred(AuthMD5, "Bruce2", "OhBehave", []byte("Nonce"))
	if c.Data != "Zz6EivR3yeaaENcRN6lpAQ==" {
		t.Errorf("digest %s", c.Data)
	}
	basic := NewCred(AuthBasic, "Bruce2", "OhBehave", nil)
	if basic.Data != "QnJ1Y2UyOk9oQmVoYXZl" {
		t.Errorf("basic %s", basic.Data)
	}
	for _, tt := range []struct {
		c     *Cred
		pass  string
		nonce string
		want  bool
	}{
		{c, "OhBehave", "Nonce", true},
		{c, "OhBehave", "Other", false},
		{c, "ohbehave", "Nonce", false},
		{basic, "OhBehave", "anything", true},
		{basic, "ohbehave", "", false},
		{&Cred{Type: "syncml:auth-none", Data: c.Data}, "OhBehave", "Nonce", false},
		{&Cred{Type: AuthMD5, Data: c.Data[:8]}, "OhBehave", "Nonce", false},
	} {
		if got := tt.c.Proves("Bruce2", tt.pass, []byte(tt.nonce)); got != tt.want {
			t.Errorf("%s %s, %s: %t", tt.c.Type, tt.pass, tt.nonce, got)
		}
	}
}

// WIN-025, WIN-017: what a device refuses in a provisioning document, and the code of the part that is wrong.
func TestWIN025Provisioning(t *testing.T) {
	good := string(read(t, filepath.Join("testdata", "provisioning.golden")))
	replace := func(pairs ...string) string { return strings.NewReplacer(pairs...).Replace(good) }
	for _, tt := range []struct {
		name string
		body string
		want HRESULT
	}{
		{"as it is", good, 0},
		{"no PFN", replace(`<characteristic type="Push"><parm name="PFN" value="Rollcall.Test_1234" datatype="string"/></characteristic>`, ""), 0},
		{"unknown characteristic", replace(`</wap-provisioningdoc>`, `<characteristic type="RootCATrustedCertificates"/></wap-provisioningdoc>`), EOtherProvisioning},
		{"no CertificateStore", replace(`type="CertificateStore"`, `type="Nothing"`), EOtherProvisioning},
		{"another certificate than its thumbprint", replace(`type="C959`, `type="C958`), ECertificateStore},
		{"no certificate", replace(`name="EncodedCertificate"`, `name="Encoded"`), ECertificateStore},
		{"no container of the key", replace(`<characteristic type="PrivateKeyContainer"/>`, ""), ECertificateStore},
		{"untyped", replace(`value="true" datatype="boolean"/><parm name="RenewPeriod"`, `value="true"/><parm name="RenewPeriod"`), ECertificateStore},
		{"a store of another name", replace(`type="WSTEP"`, `type="Other"`), ECertificateStore},
		{"APPID", replace(`value="w7"`, `value="w4"`), EApplication},
		{"plain HTTP", replace(`value="https://mdm`, `value="http://mdm`), EApplication},
		{"WBXML", replace(`dm+xml"`, `dm+wbxml"`), EApplication},
		{"one APPAUTH", replace(`value="APPSRV"`, `value="CLIENT"`), EApplication},
		{"no nonce", replace(`value="bm9uY2Utb2Ytb25l"`, `value=""`), EApplication},
		{"BASIC for the server", replace(`<parm name="AAUTHLEVEL" value="CLIENT"/><parm name="AAUTHTYPE" value="DIGEST"/>`, `<parm name="AAUTHLEVEL" value="CLIENT"/><parm name="AAUTHTYPE" value="BASIC"/>`), EApplication},
		{"unknown setting of w7", replace(`name="NAME"`, `name="TITLE"`), EApplication},
		{"criteria", replace(`&amp;Stores=My%5CUser`, ``), EApplication},
		{"another provider", replace(`<characteristic type="rollcall">`, `<characteristic type="other">`), EDMClient},
		{"unknown setting of DMClient", replace(`name="UPN"`, `name="User"`), EDMClient},
		{"a number that is none", replace(`name="NumberOfFirstRetries" value="5"`, `name="NumberOfFirstRetries" value="five"`), EDMClient},
		{"unknown part of DMClient", replace(`type="Push"`, `type="Pull"`), EDMClient},
		{"twice", replace(`</wap-provisioningdoc>`, good[strings.Index(good, `<characteristic type="DMClient">`):]), EDMClient},
	} {
		d, err := DecodeDocument([]byte(tt.body))
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		_, err = ReadProvisioning(d)
		if code, _ := errors.AsType[HRESULT](err); code != tt.want || (err == nil) != (tt.want == 0) {
			t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
		}
	}
}

// WIN-063: the document of a renewal holds the certificate and the provider's name alone.
func TestWIN063RenewalDocument(t *testing.T) {
	d, err := DecodeDocument(read(t, filepath.Join("testdata", "renewal-document.xml")))
	if err != nil {
		t.Fatal(err)
	}
	p, err := ReadProvisioning(d)
	if err != nil || p.DMClient != nil || p.Renewal != nil || p.Application.Address != "" || p.Application.ProviderID != "rollcall" || len(p.Client) == 0 {
		t.Errorf("%+v, %v", p, err)
	}
}

// AUTH-27: the words that tell of a change of authority have one form.
func TestAUTH27Notice(t *testing.T) {
	at := protocol.Time(1_800_000_000_000_000)
	for _, n := range []protocol.Notice{
		{Epoch: 3, ChangedAt: at},
		{Epoch: 1<<32 - 1, ChangedAt: at, Rule: protocol.RuleSevenDays, Kept: 48 * 3600 * 1e9},
	} {
		a, got, err := ReadNotice(NoticeWords(protocol.Intune, n))
		if a != protocol.Intune || got != n || err != nil {
			t.Errorf("%+v came back as %s, %+v, %v", n, a, got, err)
		}
	}
	good := NoticeWords(protocol.Intune, protocol.Notice{Epoch: 3, ChangedAt: at})
	for _, wrong := range []string{
		"", "epoch=3", good + ";", good + ";x=1", strings.Replace(good, "intune", "nobody", 1), strings.Replace(good, "epoch=3", "epoch=03", 1),
		strings.Replace(good, "epoch=3", "epoch=4294967296", 1), good + ";kept=9999999999", good + ";kept=3153600001", good + ";rule=a b", good + ";epoch=3",
	} {
		if _, _, err := ReadNotice(wrong); !errors.Is(err, protocol.ErrMalformed) {
			t.Errorf("%q: %v", wrong, err)
		}
	}
}

// The settings of a provider's parts are read and written in their part, each part once (windows.md section 4.1).
func TestProviderParts(t *testing.T) {
	example, err := document(read(t, filepath.Join("testdata", "provisioning.xml")))
	if err != nil {
		t.Fatal(err)
	}
	p := example.(*Provisioning)
	written := func(skips bool, other ...Parm) Document {
		p.DMClient.SkipUserStatus, p.DMClient.Other = skips, other
		return p.Document()
	}
	want := []Parm{
		{Name: "HelpWebsite", Value: "https://help.example", Datatype: DatatypeString},
		{Name: "FirstSyncStatus/TimeOutUntilSyncFailure", Value: "90", Datatype: DatatypeInteger},
		{Name: "FirstSyncStatus/IsSyncDone", Value: "false", Datatype: DatatypeBoolean},
		{Name: "CustomEnrollmentCompletePage/Title", Value: "Welcome", Datatype: DatatypeString},
	}
	for _, skips := range []bool{true, false} {
		d := written(skips, want...)
		got, err := ReadProvisioning(d)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got.DMClient.Other); diff != "" || got.DMClient.SkipUserStatus != skips {
			t.Errorf("skips %v, want %v; settings (-want +got):\n%s", got.DMClient.SkipUserStatus, skips, diff)
		}
		provider := &d[2].Characteristics[0].Characteristics[0]
		provider.Characteristics = append(provider.Characteristics, Characteristic{Type: "FirstSyncStatus"})
		if _, err := ReadProvisioning(d); !errors.Is(err, EDMClient) {
			t.Errorf("a part that is there twice: %v", err)
		}
	}
	if _, err := ReadProvisioning(written(true, Parm{Name: "FirstSyncStatus/Title", Value: "x"})); !errors.Is(err, EDMClient) {
		t.Errorf("a setting of another part: %v", err)
	}
}
