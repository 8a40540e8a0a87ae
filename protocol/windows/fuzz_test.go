package windows

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"rollcall/protocol"
)

// seed gives the examples and the rows of the hostile page to f.
func seed(f *testing.F) {
	for _, paths := range examples(f) {
		for _, path := range paths {
			f.Add(read(f, path))
		}
	}
	for _, body := range []string{
		`<o:Security><o:UsernameToken><o:Username>&lt;&#65;</o:Username><o:Password><![CDATA[]]]]><!-- - -->` + "\r\nZo\u00EB</o:Password></o:UsernameToken></o:Security>",
		`<x s:mustUnderstand="0" xmlns:p='u' p:a="&quot;&#10;"/>`,
	} {
		f.Add([]byte(soapOf(body, discoverOf(""))))
	}
	for _, body := range []string{
		`<Alert><CmdID>1</CmdID><NoResp/><Cred><Meta><Type xmlns="syncml:metinf">syncml:auth-md5</Type></Meta><Data>x</Data></Cred><Data>1226</Data></Alert>`,
		`<Status><CmdRef/><Cmd>SyncHdr</Cmd><TargetRef>a</TargetRef><SourceRef>b</SourceRef><Chal><Meta><NextNonce>QQ==</NextNonce></Meta></Chal><Data>407</Data></Status>`,
		`<e:Exec xmlns:e="evil"/><Sequence><Copy><CmdID>3</CmdID></Copy></Sequence>`,
		`<Add><Item><Meta><Size xmlns="syncml:metinf">99</Size><Mark>fatal</Mark></Meta><Data>` + "a\r\nb]] &gt;" + `</Data><MoreData/></Item></Add><Final/>`,
	} {
		f.Add([]byte(syncMLOf(body)))
	}
	f.Add([]byte("\xEF\xBB\xBF<?xml version='1.0' encoding='UTF-8' standalone=\"yes\"?>" + syncMLOf("")))
	f.Add([]byte("\xFE\xFF\x00<\x00a"))
	f.Add([]byte(`<wap-provisioningdoc><characteristic type="a"><parm name="b" value="&lt;&#10;"/><parm name="c" datatype="integer"/></characteristic></wap-provisioningdoc>`))
}

// malformed demands that a decoder's error says whose fault it was.
func malformed(t *testing.T, err error) {
	t.Helper()
	if err != nil && !errors.Is(err, protocol.ErrMalformed) {
		t.Fatalf("error %v does not wrap %q", err, protocol.ErrMalformed)
	}
}

// again demands that what was decoded survives another round.
func again(t *testing.T, want, got any, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("what we encoded is refused: %v\n%+v", err, want)
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("another round changed it (-want +got):\n%s", diff)
	}
}

func FuzzNotice(f *testing.F) {
	for _, text := range []string{
		"authority=intune;epoch=2;changedAt=2027-01-15T08:00:00Z", "authority=office365;epoch=4294967295;changedAt=9999-12-31T23:59:59Z;rule=AUTH-12;kept=604800",
		"authority=intune;epoch=02;changedAt=2027-01-15T08:00:00Z", "authority=intune;epoch=2;changedAt=2027-01-15T08:00:00+01:00", "67", "epoch=1;epoch=1;epoch=1",
		"authority=intune;epoch=1;changedAt=2027-01-15T08:00:00Z;kept=3153600000", "authority=intune;epoch=1;changedAt=2027-01-15T08:00:00Z;kept=3153600001",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a, n, err := ReadNotice(text)
		malformed(t, err)
		if err != nil {
			if n != (protocol.Notice{}) || a != 0 {
				t.Fatalf("%q is refused, and says %v %+v", text, a, n)
			}
			return
		}
		if made := NoticeWords(a, n); made != text {
			t.Fatalf("%q is written %q", text, made)
		}
	})
}

func FuzzSearchCriteria(f *testing.F) {
	for _, text := range []string{
		SearchCriteria("1D8A5C0E-7A0F-4C6B-9A55-3E0E7F0C1B22", StoreUser), SearchCriteria("a b+c&d=e%f", StoreSystem),
		"Subject=CN%3Da%26b%2Bc%25d%20e&Stores=My%5CSystem", "Subject=CN%3Da", `Subject=&Stores=My\User`, "Stores=My%5C&Subject=a", "Subject=a;b&Stores=My%5CUser", "Subject=CN%3Da&Subject=CN%3Db&Stores=My%5CUser&Stores=Root%5CUser", "%zz",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		subject, store, err := ReadSearchCriteria(text)
		malformed(t, err)
		name, common := strings.CutPrefix(subject, "CN=")
		if err != nil || !common {
			return
		}
		again, place, err := ReadSearchCriteria(SearchCriteria(name, store))
		if err != nil || again != subject || place != store {
			t.Fatalf("%q reads %q in %q, and written again %q in %q (%v)", text, subject, store, again, place, err)
		}
	})
}

func FuzzNode(f *testing.F) {
	for _, name := range []string{"office", "a%20b", "%7B1%7D", "%", "%zz", "a/b", "%2f", "%00", "Zo%C3%AB", "+", "%25%32%30"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, text string) {
		name, err := UnescapeNode(text)
		malformed(t, err)
		if err != nil {
			return
		}
		made := EscapeNode(name)
		if strings.ContainsFunc(made, func(r rune) bool { return r >= utf8.RuneSelf || !unreserved(byte(r)) && r != '%' }) {
			t.Fatalf("%q is no one name of a LocURI", made)
		}
		if again, err := UnescapeNode(made); err != nil || again != name {
			t.Fatalf("%q is written %q, which is %q (%v)", name, made, again, err)
		}
	})
}

func FuzzMessage(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		var m, next Message
		err := DecodeMessage(body, &m)
		malformed(t, err)
		if err != nil {
			return
		}
		made := EncodeMessage(nil, &m)
		if len(made) > MaxMessage { // escapes made it longer
			return
		}
		err = DecodeMessage(made, &next)
		again(t, &m, &next, err)
	})
}

func FuzzEnvelope(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		e, err := DecodeEnvelope(body)
		malformed(t, err)
		if err != nil {
			return
		}
		made := EncodeEnvelope(nil, e)
		if len(made) > MaxMessage {
			return
		}
		next, err := DecodeEnvelope(made)
		if e.Header.Action == "" && next != nil {
			next.Header.Action = "" // an envelope without one gets its body's
		}
		again(t, e, next, err)
	})
}

func FuzzDocument(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		d, err := DecodeDocument(body)
		malformed(t, err)
		if err != nil {
			return
		}
		if made := EncodeDocument(nil, d); len(made) <= MaxMessage {
			next, err := DecodeDocument(made)
			again(t, d, next, err)
		}
		p, err := ReadProvisioning(d)
		if err != nil {
			if _, coded := errors.AsType[HRESULT](err); !coded {
				t.Fatalf("error %v without an HRESULT", err)
			}
			return
		}
		next, err := ReadProvisioning(p.Document())
		if err == nil && p.Renewal == nil != (next.Renewal == nil) || p.DMClient == nil && p.Application.Address != "" {
			return // neither an enrolment's nor a renewal's
		}
		again(t, p, next, err)
	})
}
