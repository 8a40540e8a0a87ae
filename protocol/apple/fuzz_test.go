package apple

import (
	"bytes"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/micromdm/plist"

	"rollcall/protocol"
)

// seed gives the golden files and the rows of the hostile page to f.
func seed(f *testing.F, pattern string) {
	paths, err := filepath.Glob(filepath.Join("testdata", pattern))
	if err != nil || len(paths) == 0 {
		f.Fatalf("no seeds %s (%v)", pattern, err)
	}
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	for _, content := range []string{
		"<key>a</key><string>&lt;&#65;<![CDATA[]]]]><!-- - -->\r\nZo\u00EB</string>",
		"<key>a</key><array><integer> -1</integer><integer>+1</integer><real>1e3</real><date>2024-02-29T00:00:00Z</date><true></true></array>",
		"<key>ErrorChain</key><array><dict><key>ErrorCode</key><integer>18446744073709551615</integer></dict></array>",
		"<key>a</key><data>\n\tQQ =\r=</data><key/><dict/>",
		"<key>UDID</key><string>x</string>",
	} {
		f.Add([]byte(idle(content)))
	}
	f.Add([]byte("<plist><dict><key>Status</key><string>Idle</string><key>UDID</key><string>a</string></dict></plist>"))
	f.Add([]byte("\xEF\xBB\xBF" + idle("")))
	f.Add([]byte("\xFE\xFF\x00<\x00a"))
	f.Add([]byte("bplist00\xA1\x00"))
	f.Add([]byte(`<?xml version='1.0' standalone="yes"?><!DOCTYPE plist><plist ><true/></plist >`))
}

// malformed demands that a decoder's error says whose fault it was.
func malformed(t *testing.T, err error) {
	t.Helper()
	if err != nil && !errors.Is(err, protocol.ErrMalformed) && !errors.Is(err, ErrSigned) {
		t.Fatalf("error %v does not wrap %q", err, protocol.ErrMalformed)
	}
}

// again demands that what was decoded survives another round.
func again(t *testing.T, want, got any, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("what we encoded is refused: %v\n%+v", err, want)
	}
	if diff := cmp.Diff(want, got, equal); diff != "" {
		t.Fatalf("another round changed it (-want +got):\n%s", diff)
	}
}

// FuzzMessage holds the strict pass against gate and library: the same decision and the same values.
func FuzzMessage(f *testing.F) {
	seed(f, "*.plist")
	f.Fuzz(func(t *testing.T, body []byte) {
		var m, slow, next Message
		err, slowErr := DecodeMessage(body, &m), twin(body, &slow)
		malformed(t, err)
		if err == nil && slowErr != nil && gate(body, MaxMessage) != nil {
			return // a plus sign, which the library does not know and the gate before it refuses
		}
		if (err == nil) != (slowErr == nil) {
			t.Fatalf("the strict pass says %v, its twin %v", err, slowErr)
		}
		if err != nil {
			return
		}
		again(t, &slow, &m, nil)
		err = DecodeMessage(EncodeMessage(nil, &m), &next)
		again(t, &m, &next, err)
	})
}

// FuzzGate: what passes the gate is no surprise for the library.
func FuzzGate(f *testing.F) {
	seed(f, "*.plist")
	seed(f, "*.mobileconfig")
	f.Fuzz(func(t *testing.T, body []byte) {
		doc, err := gated(body, MaxMessage)
		malformed(t, err)
		if err != nil {
			return
		}
		var v, w any
		if err := decodeGated(doc, &v); err != nil {
			t.Fatalf("the library refuses what the gate took: %v", err)
		}
		err = decodePlist(encodePlist(v), MaxMessage, &w)
		again(t, v, w, err)
	})
}

func FuzzCommand(f *testing.F) {
	seed(f, "command-*.plist")
	f.Fuzz(func(t *testing.T, body []byte) {
		uuid, c, err := DecodeCommand(body)
		malformed(t, err)
		if err != nil {
			return
		}
		sameUUID, same, err := DecodeCommand(EncodeCommand(nil, uuid, c))
		again(t, c, same, err)
		if sameUUID != uuid {
			t.Fatalf("CommandUUID %q became %q", uuid, sameUUID)
		}
	})
}

func FuzzResult(f *testing.F) {
	seed(f, "result-*.plist")
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := DecodeResult(body)
		malformed(t, err)
		if err != nil {
			return
		}
		same, err := DecodeResult(EncodeResult(nil, messages["acknowledged"], r))
		again(t, r, same, err)
	})
}

func FuzzProfile(f *testing.F) {
	seed(f, "*.mobileconfig")
	f.Fuzz(func(t *testing.T, body []byte) {
		p, err := DecodeProfile(body)
		malformed(t, err)
		if err != nil {
			return
		}
		_, _, _ = p.Enrolment() // does not panic
		same, err := DecodeProfile(EncodeProfile(p))
		again(t, p, same, err)
	})
}

func FuzzMachineInfo(f *testing.F) {
	seed(f, "machineinfo.plist")
	f.Fuzz(func(t *testing.T, body []byte) {
		m, err := DecodeMachineInfo(body)
		malformed(t, err)
		if err != nil {
			return
		}
		same, err := DecodeMachineInfo(EncodeMachineInfo(m))
		again(t, m, same, err)
	})
}

func FuzzPush(f *testing.F) {
	seed(f, "push.json")
	f.Fuzz(func(t *testing.T, body []byte) {
		magic, err := DecodePush(body)
		malformed(t, err)
		if err != nil {
			return
		}
		same, err := DecodePush(EncodePush(nil, magic))
		again(t, magic, same, err)
	})
}

func FuzzForbidden(f *testing.F) {
	seed(f, "forbidden-*")
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, kind := range []string{"application/json", "application/xml"} {
			got, err := DecodeForbidden(kind, body)
			malformed(t, err)
			if err != nil {
				continue
			}
			same, err := DecodeForbidden("application/json", got.JSON())
			again(t, got, same, err)
			same, err = DecodeForbidden("application/xml", got.Plist())
			if strings.IndexFunc(string(got.JSON()), func(r rune) bool { return !isChar(r) }) < 0 && !strings.Contains(string(got.JSON()), `\u`) { // XML cannot say every character of JSON
				again(t, got, same, err)
			}
		}
	})
}

func FuzzBootstrapToken(f *testing.F) {
	seed(f, "reply-escrow*.plist")
	f.Fuzz(func(t *testing.T, body []byte) {
		token, err := DecodeBootstrapToken(body)
		malformed(t, err)
		if err != nil {
			return
		}
		same, err := DecodeBootstrapToken(EncodeReply(nil, &protocol.Reply{Kind: protocol.Escrow, Escrow: token}))
		again(t, token, same, err)
	})
}

// twin is DecodeMessage the slow way: the gate, then the library, then the same final checks.
func twin(body []byte, m *Message) error {
	s := scanner{}
	start := s.open(body, MaxMessage)
	s.skip(s.value())
	end := s.finish()
	if s.err != nil {
		return s.err
	}
	var v struct {
		MessageType, Status                        *string
		CommandUUID, UDID, EnrollmentID            string
		EnrollmentUserID, UserID                   string
		UserShortName, UserLongName                string
		Topic, PushMagic                           string
		OSVersion, BuildVersion, ProductName       string
		SerialNumber, IMEI, MEID                   string
		DeviceName, Model, ModelName               string
		DigestResponse, TokenServiceType, Endpoint string
		Token, UnlockToken, BootstrapToken, Data   []byte
		AwaitingConfiguration, NotOnConsole        bool
		TokenParameters                            TokenParameters
		ErrorChain                                 []struct {
			ErrorCode                                               whole
			ErrorDomain, LocalizedDescription, USEnglishDescription string
		}
	}
	if err := plist.NewXMLDecoder(bytes.NewReader(s.b[start:end])).Decode(&v); err != nil {
		return err
	}
	*m = Message{
		CommandUUID: v.CommandUUID, UDID: v.UDID, EnrollmentID: v.EnrollmentID, EnrollmentUserID: v.EnrollmentUserID, UserID: v.UserID,
		UserShortName: v.UserShortName, UserLongName: readable(v.UserLongName), Topic: v.Topic, PushMagic: v.PushMagic,
		OSVersion: v.OSVersion, BuildVersion: v.BuildVersion, ProductName: v.ProductName, SerialNumber: v.SerialNumber, IMEI: v.IMEI,
		MEID: v.MEID, DeviceName: readable(v.DeviceName), Model: readable(v.Model), ModelName: readable(v.ModelName),
		DigestResponse: v.DigestResponse, TokenServiceType: v.TokenServiceType, Endpoint: v.Endpoint,
		Token: v.Token, UnlockToken: v.UnlockToken, BootstrapToken: v.BootstrapToken, Data: v.Data,
		AwaitingConfiguration: v.AwaitingConfiguration, NotOnConsole: v.NotOnConsole, TokenParameters: v.TokenParameters,
	}
	for _, e := range v.ErrorChain {
		m.ErrorChain = append(m.ErrorChain, ErrorItem{int64(e.ErrorCode), e.ErrorDomain, e.LocalizedDescription, e.USEnglishDescription})
	}
	var seen set
	if v.MessageType != nil {
		seen |= 1 << fieldMessageType
		word := scanner{b: []byte("<string>" + *v.MessageType + "</string>")}
		if m.MessageType = word.messageType(); word.err != nil {
			return word.err
		}
	}
	if v.Status != nil {
		seen |= 1 << fieldStatus
		word := scanner{b: []byte("<string>" + *v.Status + "</string>")}
		if m.Status = word.status(); word.err != nil {
			return word.err
		}
	}
	return m.check(seen, len(body))
}

// whole is an integer that stops at the end of int64, where the library would wrap.
type whole int64

func (w *whole) UnmarshalPlist(read func(any) error) error {
	var v any
	if err := read(&v); err != nil {
		return err
	}
	switch n := v.(type) {
	case int64:
		*w = whole(n)
	case uint64:
		*w = whole(min(n, math.MaxInt64))
	default:
		return plist.UnmarshalTypeError{Value: "no integer"}
	}
	return nil
}
