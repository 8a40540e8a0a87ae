package windows

import (
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestWellFormed has another parser than ours say whether what we write is XML with namespaces: each example of the specification, and
// messages full of texts that XML has its own ideas about (WIN-039).
func TestWellFormed(t *testing.T) {
	lint, err := exec.LookPath("xmllint")
	if err != nil {
		t.Skip("no xmllint (Debian: libxml2-utils)")
	}
	made := map[string][]byte{}
	for name := range examples(t) {
		v, err := decoderOf(name)(read(t, filepath.Join("testdata", name+".xml")))
		if err != nil {
			t.Fatal(err)
		}
		made[name] = encoded(v)
	}
	for name, text := range map[string]string{
		"markup": `</Data></Item><x a="b" c='d'>&amp;&#x1;]]><![CDATA[ <!-- --> <?x?>`, "space": " \t\r\n\u0085\u2028", "letters": "ü€\U0001F512\uFFFD", "controls": "\x00\x01\x1F\x7F\uFFFE", "no UTF-8": "\xff\xc3\x28",
	} {
		made["soap "+name] = EncodeEnvelope(nil, &Envelope{
			Header: Header{MessageID: text, To: text, RelatesTo: text, Created: time.Unix(0, 0), Expires: time.Unix(9, 0), Credential: Credential{Kind: Password, Username: text, Password: text}},
			Body:   &RequestSecurityToken{Token: []byte("0"), Context: []ContextItem{{Name: text, Value: text}}},
		})
		made["fault "+name] = EncodeEnvelope(nil, &Envelope{Body: &Fault{Subcode: SubcodeAuthorization, ErrorType: ErrorNotSupported, Reason: text, Message: text, TraceID: text}})
		made["syncml "+name] = EncodeMessage(nil, &Message{
			Header: SyncHdr{SessionID: text, MsgID: 1, Target: text, Source: text, SourceName: text, Cred: &Cred{Data: text}},
			Commands: []Command{
				{Verb: Replace, CmdID: 2, Items: []Item{{Target: text, Source: text, Data: text, Meta: Meta{Format: text, Type: text, Mark: text}}}},
				{Verb: Status, CmdID: 3, CmdName: text, TargetRefs: []string{text}, Code: OK},
			}, Final: true,
		})
		made["document "+name] = EncodeDocument(nil, Document{{Type: text, Parms: []Parm{{Name: text, Value: text}}}})
	}
	dir := t.TempDir()
	args := []string{"--noout", "--nonet"}
	for i, name := range slices.Sorted(maps.Keys(made)) {
		file := filepath.Join(dir, strings.ReplaceAll(name, " ", "-")+".xml")
		writeFile(t, file, string(made[name]))
		if args = append(args, file); i == 0 {
			writeFile(t, filepath.Join(dir, "broken.xml"), string(made[name][:len(made[name])-1]))
		}
	}
	if exec.Command(lint, "--noout", filepath.Join(dir, "broken.xml")).Run() == nil {
		t.Error("xmllint takes a message that is cut short")
	}
	if out, err := exec.Command(lint, args...).CombinedOutput(); err != nil {
		t.Errorf("%v\n%.4000s", err, out)
	}
}
