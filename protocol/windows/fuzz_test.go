package windows

import (
	"errors"
	"testing"

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
