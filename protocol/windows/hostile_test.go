package windows

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"rollcall/protocol"
)

// text of a small message with something in its body.
func syncMLOf(body string) string {
	return `<SyncML xmlns="SYNCML:SYNCML1.2"><SyncHdr><VerDTD>1.2</VerDTD><VerProto>DM/1.2</VerProto><SessionID>1</SessionID><MsgID>1</MsgID>` +
		`<Target><LocURI>t</LocURI></Target><Source><LocURI>s</LocURI></Source></SyncHdr><SyncBody>` + body + `</SyncBody></SyncML>`
}

func soapOf(header, body string) string {
	return `<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" xmlns:a="http://www.w3.org/2005/08/addressing" ` +
		`xmlns:o="` + namespaces[nsSecurity] + `" xmlns:t="` + namespaces[nsTrust] + `"><s:Header><a:MessageID>m</a:MessageID>` + header +
		`</s:Header><s:Body>` + body + `</s:Body></s:Envelope>`
}

// headLast puts the one Header behind the Body.
func headLast(soap string) string {
	const ends = "</s:Header>"
	from, to := strings.Index(soap, "<s:Header>"), strings.Index(soap, ends)+len(ends)
	return strings.TrimSuffix(soap[:from]+soap[to:], "</s:Envelope>") + soap[from:to] + "</s:Envelope>"
}

func discoverOf(inner string) string {
	return `<Discover xmlns="` + namespaces[nsDiscovery] + `"><request><RequestVersion>5.0</RequestVersion>` + inner + `</request></Discover>`
}

// What must be refused, by row of hostile.md.
func TestHostileRefused(t *testing.T) {
	token := `<o:BinarySecurityToken ValueType="` + typeUserToken + `">dG9rZW4=</o:BinarySecurityToken>`
	request := func(inner string) string {
		return `<t:RequestSecurityToken><t:RequestType>` + requestIssue + `</t:RequestType>` + inner + `</t:RequestSecurityToken>`
	}
	csr := `<o:BinarySecurityToken ValueType="` + typePKCS10 + `">MAA=</o:BinarySecurityToken>`
	deep := func(n int) string { return strings.Repeat("<x>", n) + strings.Repeat("</x>", n) }
	for _, tt := range []struct {
		rule, name, soap, syncml string
	}{
		{"HST-001", "a message of more than 1 MiB", "", syncMLOf(strings.Repeat(" ", MaxMessage))},
		{"HST-003", "document type", `<!DOCTYPE x SYSTEM "file:///etc/passwd">` + soapOf("", discoverOf("")), `<!DOCTYPE x>` + syncMLOf("")},
		{"HST-003", "entity bomb", `<!DOCTYPE x [<!ENTITY a "&b;&b;">]>` + soapOf("", discoverOf("")), syncMLOf("<Alert><Data>&a;</Data></Alert>")},
		{"HST-003", "processing instruction", `<?php x?>` + soapOf("", discoverOf("")), syncMLOf("<?x y?>")},
		{"HST-004", "nested too deep", soapOf("", discoverOf(deep(maxDepth))), syncMLOf(strings.Repeat("<Atomic>", 70) + strings.Repeat("</Atomic>", 70))},
		{"HST-004", "too many elements", "", syncMLOf(strings.Repeat("<Get/>", maxElements))},
		{"HST-006", "a second root", soapOf("", discoverOf("")) + "<x/>", syncMLOf("") + "<x/>"},
		{"HST-006", "text before the root", "x" + soapOf("", discoverOf("")), "x" + syncMLOf("")},
		{"HST-006", "an element twice", soapOf("", discoverOf("<RequestVersion>4.0</RequestVersion>")), syncMLOf("<Alert><Data>1200</Data><Data>1201</Data></Alert>")},
		{"HST-006", "SessionID twice", "", strings.Replace(syncMLOf(""), "<MsgID>", "<SessionID>2</SessionID><MsgID>", 1)},
		{"HST-006", "two bodies of SyncML", "", strings.Replace(syncMLOf(""), "</SyncML>", "<SyncBody/></SyncML>", 1)},
		{"HST-006", "attribute twice", soapOf("", discoverOf(`<x a="1" a="2"/>`)), syncMLOf(`<Get a="1" a="2"/>`)},
		{"HST-006", "attribute twice by two prefixes", soapOf("", discoverOf(`<x xmlns:p="u" xmlns:q="u" p:a="1" q:a="2"/>`)), ""},
		{"HST-006", "qualified and unqualified at once", soapOf(`<o:Security>`+strings.Replace(token, "ValueType", `o:ValueType="x" ValueType`, 1)+`</o:Security>`, discoverOf("")), ""},
		{"HST-008", "an envelope of another namespace", strings.Replace(soapOf("", discoverOf("")), "2003/05/soap-envelope", "2003/05/soap", 1), strings.Replace(syncMLOf(""), "SYNCML1.2", "SYNCML1.9", 1)},
		{"HST-008", "a body of another namespace", soapOf("", strings.Replace(discoverOf(""), "2012/01", "2013/01", 1)), ""},
		{"HST-008", "a prefix that stands for nothing", soapOf("", discoverOf("<p:x/>")), syncMLOf("<p:Get/>")},
		{"HST-008", "a prefix taken back", soapOf("", discoverOf(`<x xmlns:a=""/>`)), syncMLOf(`<Get xmlns:xmlns="x"/>`)},
		{"HST-009", "a number that is none", soapOf("", discoverOf("<OSEdition>-1</OSEdition>")), syncMLOf("<Alert><Data>0x4b0</Data></Alert>")},
		{"HST-010", "not UTF-8", soapOf("", discoverOf("<EmailAddress>\xff</EmailAddress>")), syncMLOf("<Get>\xc3</Get>")},
		{"HST-010", "NUL", soapOf("", discoverOf("<EmailAddress>\x00</EmailAddress>")), syncMLOf("<Alert><Item><Data>&#0;</Data></Item></Alert>")},
		{"HST-011", "UTF-7 declared", `<?xml version="1.0" encoding="UTF-7"?>` + soapOf("", discoverOf("")), `<?xml version="1.0" encoding="iso-8859-1"?>` + syncMLOf("")},
		{"HST-011", "UTF-16 declared, and UTF-8 sent", `<?xml version="1.0" encoding="UTF-16"?>` + soapOf("", discoverOf("")), ""},
		{"HST-018", "two elements in the body", soapOf("", discoverOf("")+discoverOf("")), ""},
		{"HST-018", "two bodies", strings.Replace(soapOf("", discoverOf("")), "</s:Envelope>", "<s:Body>"+discoverOf("")+"</s:Body></s:Envelope>", 1), ""},
		{"HST-018", "two headers", strings.Replace(soapOf("", discoverOf("")), "</s:Envelope>", "<s:Header/></s:Envelope>", 1), ""},
		{"HST-018", "header after body", headLast(soapOf("", discoverOf(""))), ""},
		{"HST-018", "two security headers", soapOf("<o:Security/><o:Security/>", discoverOf("")), ""},
		{"HST-018", "two tokens in one", soapOf("<o:Security>"+token+token+"</o:Security>", discoverOf("")), ""},
		{"HST-018", "a token wrapped in the header", soapOf("<x><o:Security>"+token+"</o:Security></x>", discoverOf("")), ""},
		{"HST-018", "a token wrapped inside Security", soapOf("<o:Security><o:Reference>"+token+"</o:Reference></o:Security>", discoverOf("")), ""},
		{"HST-018", "Security in the body", soapOf("", discoverOf("<x><o:Security>"+token+"</o:Security></x>")), ""},
		{"HST-018", "a signature where none is taken", soapOf("<o:Security>"+token+`<ds:Signature xmlns:ds="`+namespaces[nsSignature]+`"/></o:Security>`, discoverOf("")), ""},
		{"HST-018", "a request's token wrapped", soapOf("", request("<t:Wrapper>"+csr+"</t:Wrapper>"+csr)), ""},
		{"HST-018", "a request's token twice", soapOf("", request(csr+csr)), ""},
		{"HST-018", "a request inside the context", soapOf("", request(csr+`<AdditionalContext xmlns="`+namespaces[nsContext]+`"><x>`+csr+`</x></AdditionalContext>`)), ""},
		{"HST-018", "an envelope inside the body", soapOf("", discoverOf("<s:Body/>")), ""},
		{"HST-018", "a header that must be understood", soapOf(`<x s:mustUnderstand="1"/>`, discoverOf("")), ""},
		{"WIN-007", "a request in SOAP 1.1", strings.Replace(soapOf("", discoverOf("")), namespaces[nsSOAP12], namespaces[nsSOAP11], 1), ""},
		{"WIN-039", "markup in Data", "", syncMLOf("<Replace><CmdID>2</CmdID><Item><Data><WLANProfile/></Data></Item></Replace>")},
		{"HST-017", "something after Final", "", syncMLOf("<Final/><Get><CmdID>1</CmdID></Get>")},
		{"HST-017", "no head", "", `<SyncML xmlns="SYNCML:SYNCML1.2"><SyncBody/></SyncML>`},
		{"HST-017", "no Target", "", strings.Replace(syncMLOf(""), "<Target><LocURI>t</LocURI></Target>", "", 1)},
		{"HST-017", "no Source", "", strings.Replace(syncMLOf(""), "<Source><LocURI>s</LocURI></Source>", "", 1)},
		{"HST-017", "MsgID 0", "", strings.Replace(syncMLOf(""), "<MsgID>1<", "<MsgID>0<", 1)},
		{"HST-017", "no SessionID", "", strings.Replace(syncMLOf(""), "<SessionID>1</SessionID>", "", 1)},
		{"WIN-012", "Renew with PKCS#10", soapOf("", strings.Replace(request(csr), requestIssue, requestRenew, 1)), ""},
		{"WIN-013", "a token that is not base64", soapOf("", strings.Replace(request(csr), "MAA=", "M*A=", 1)), ""},
	} {
		t.Run(tt.rule+"/"+tt.name, func(t *testing.T) {
			if tt.soap != "" {
				if _, err := DecodeEnvelope([]byte(tt.soap)); !errors.Is(err, protocol.ErrMalformed) {
					t.Errorf("SOAP: %v, want a refusal", err)
				}
			}
			if tt.syncml != "" {
				if err := DecodeMessage([]byte(tt.syncml), new(Message)); !errors.Is(err, protocol.ErrMalformed) {
					t.Errorf("SyncML: %v, want a refusal", err)
				}
			}
		})
	}
}

// What the rows above are made of is taken as it is: a refusal is of what was done to it.
func TestHostileTaken(t *testing.T) {
	for _, soap := range []string{soapOf("", discoverOf("")), soapOf("<o:Security/><x/>", discoverOf("<x xmlns:p='u' p:a='1' a='2'/>"))} {
		if _, err := DecodeEnvelope([]byte(soap)); err != nil {
			t.Error(err)
		}
	}
	for _, syncml := range []string{
		syncMLOf(""), syncMLOf("<Get/>"), syncMLOf(strings.Repeat("<Atomic>", 60) + strings.Repeat("</Atomic>", 60)),
		"<!-- -->" + syncMLOf("<Alert><Data>1200</Data></Alert>") + "\n<!-- -->", `<?xml version='1.0' standalone="yes"?>` + syncMLOf(""),
	} {
		if err := DecodeMessage([]byte(syncml), new(Message)); err != nil {
			t.Error(err)
		}
	}
}

// HST-002: every message cut anywhere is refused.
func TestHST002CutShort(t *testing.T) {
	for name := range examples(t) {
		decode := decoderOf(name)
		body := bytes.TrimSpace(read(t, filepath.Join("testdata", name+".xml")))
		step := 1 + len(body)/400
		for n := 0; n < len(body); n += step {
			if _, err := decode(body[:n]); err == nil {
				t.Fatalf("%s cut to %d of %d bytes was taken", name, n, len(body))
			}
		}
	}
}

// HST-008, HST-017: an element of another namespace is no command, whatever its name; unknown ones keep their CmdID, for the Status.
func TestHST017UnknownCommands(t *testing.T) {
	var m Message
	body := syncMLOf(`<e:Exec xmlns:e="evil"><CmdID>9</CmdID></e:Exec><Copy><CmdID>3</CmdID><Item/></Copy><Atomic><CmdID>4</CmdID><Atomic><CmdID>5</CmdID></Atomic>` +
		`<e:Delete xmlns:e="evil"/></Atomic><Get><Item/></Get><Status><CmdID>6</CmdID><MsgRef>99999999999</MsgRef><CmdRef>99999999999</CmdRef><Cmd>Put</Cmd><Data>99999</Data></Status>`)
	if err := DecodeMessage([]byte(body), &m); err != nil {
		t.Fatal(err)
	}
	got := ""
	for _, c := range m.Commands {
		got += fmt.Sprintf("%s %s %d;", c.Verb, c.Name, c.CmdID)
		for _, c := range c.Commands {
			got += fmt.Sprintf(" %s %s %d;", c.Verb, c.Name, c.CmdID)
		}
	}
	const want = "Unknown Exec 9;Unknown Copy 3;Atomic  4; Atomic  5; Unknown Delete 0;Get  0;Status  6;"
	if got != want {
		t.Errorf("read %q, want %q", got, want)
	}
	if s := m.Commands[4]; s.MsgRef != 1<<32-1 || s.CmdRef != 1<<31-1 || s.CmdName != "Put" || s.Code != 1<<16-1 {
		t.Errorf("HST-009: numbers beyond their range became %d, %d, %d", s.MsgRef, s.CmdRef, s.Code)
	}
	if m.Final {
		t.Error("Final was read where there is none")
	}
}

// HST-008: what an inner element makes of a prefix ends with it.
func TestHST008PrefixesEnd(t *testing.T) {
	body := strings.Replace(soapOf("", discoverOf(`<x xmlns:a="other" xmlns="other"><a:y/></x>`)), "</s:Header>", `<a:To>here</a:To></s:Header>`, 1)
	e, err := DecodeEnvelope([]byte(body))
	if err != nil || e.Header.To != "here" {
		t.Errorf("%+v, %v", e, err)
	}
}

// The head of a message that is refused can be answered, and a request that is refused can be named.
func TestRefusedWithItsHead(t *testing.T) {
	var m Message
	err := DecodeMessage([]byte(syncMLOf("<Replace><Item><Data><x/></Data></Item></Replace>")), &m)
	if err == nil || m.Header.SessionID != "1" || m.Header.Source != "s" {
		t.Errorf("head %+v, %v", m.Header, err)
	}
	e, err := DecodeEnvelope([]byte(soapOf("", "<x/>")))
	if err == nil || e == nil || e.Header.MessageID != "m" || e.Body != nil {
		t.Errorf("envelope %+v, %v", e, err)
	}
}

// WIN-014: credentials are told apart by element and ValueType, and printing one shows no secret.
func TestWIN014Credentials(t *testing.T) {
	bst := func(kind, text string) string {
		return `<o:Security><o:BinarySecurityToken ValueType="` + kind + `">` + text + `</o:BinarySecurityToken></o:Security>`
	}
	for _, tt := range []struct {
		header string
		kind   CredentialKind
		token  string
	}{
		{"", NoCredential, ""},
		{"<o:Security/>", NoCredential, ""},
		{bst(typeUserToken, "dG9r\r\nZW4="), UserToken, "token"},
		{bst(typeJWT, "dG9rZW4="), JWT, "token"},
		{bst(typeJWT, "eyJ.eyJ.sig"), JWT, "eyJ.eyJ.sig"},
		{bst("x509", "dG9rZW4="), OtherToken, "token"},
		{"<o:Security><o:UsernameToken><o:Username> ada </o:Username><o:Password> se cret</o:Password></o:UsernameToken></o:Security>", Password, ""},
	} {
		e, err := DecodeEnvelope([]byte(soapOf(tt.header, discoverOf(""))))
		if err != nil {
			t.Errorf("%s: %v", tt.header, err)
			continue
		}
		c := e.Header.Credential
		if c.Kind != tt.kind || string(c.Token) != tt.token {
			t.Errorf("%s: read %s %q, want %s %q", tt.header, c.Kind, c.Token, tt.kind, tt.token)
		}
		if c.Kind == Password && (c.Username != "ada" || c.Password != " se cret") {
			t.Errorf("read %q, %q", c.Username, c.Password)
		}
		for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
			if shown := fmt.Sprintf(verb, e.Header); strings.Contains(shown, "se cret") || strings.Contains(shown, "eyJ") || strings.Contains(shown, "116 111") {
				t.Errorf("%s shows a secret: %s", verb, shown)
			}
		}
	}
}

// Errors never show what was in a message.
func TestErrorsKeepSecrets(t *testing.T) {
	for _, body := range []string{
		soapOf("<o:Security><o:UsernameToken><o:Password>hunter2&nope;</o:Password></o:UsernameToken></o:Security>", discoverOf("")),
		soapOf("<o:Security><o:BinarySecurityToken>hunter2</o:BinarySecurityToken></o:Security>", discoverOf("")),
	} {
		if _, err := DecodeEnvelope([]byte(body)); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("error %v", err)
		}
	}
}

// HST-001, HST-004: what a hostile document may cost in memory is bounded, however it is made.
func TestHST004Bounded(t *testing.T) {
	for name, body := range map[string]string{
		"open elements":  strings.Repeat("<a>", MaxMessage/3),
		"namespaces":     soapOf("", discoverOf("<x"+strings.Repeat(` xmlns:p="u"`, 10000)+"/>")),
		"many children":  syncMLOf(strings.Repeat("<Get/>", maxElements-20)),
		"many comments":  syncMLOf(strings.Repeat("<!---->", MaxMessage/8)),
		"many ampersand": syncMLOf("<Alert><Item><Data>" + strings.Repeat("&amp;", MaxMessage/6) + "</Data></Item></Alert>"),
		"many sections":  syncMLOf("<Alert><Item><Data>" + strings.Repeat("<![CDATA[]]>", MaxMessage/13) + "</Data></Item></Alert>"),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_ = DecodeMessage([]byte(body), new(Message))
		_, _ = DecodeEnvelope([]byte(body))
		runtime.ReadMemStats(&after)
		if got := after.TotalAlloc - before.TotalAlloc; got > 64<<20 {
			t.Errorf("%s: %d bytes allocated", name, got)
		}
	}
}
