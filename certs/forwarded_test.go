package certs

import (
	"bytes"
	"encoding/base64"
	"encoding/pem"
	"net/url"
	"strings"
	"testing"
)

// forwarded writes a certificate as proxies do: the byte sequence of RFC 9440, nginx's $ssl_client_escaped_cert, and the same
// with the + of base64 left alone.
func forwarded(der []byte) [3]string {
	escaped := strings.ReplaceAll(url.QueryEscape(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))), "+", "%20")
	return [...]string{":" + base64.StdEncoding.EncodeToString(der) + ":", escaped, strings.ReplaceAll(escaped, "%2B", "+")}
}

func TestAPL024ReadForwarded(t *testing.T) {
	want := ecAuthority().Certificate().Raw
	for _, form := range forwarded(want) {
		if c, err := ReadForwarded(form); err != nil || !bytes.Equal(c.Raw, want) {
			t.Errorf("%.40q: %v", form, err)
		}
	}
}

func FuzzReadForwarded(f *testing.F) {
	forms := forwarded(ecAuthority().Certificate().Raw)
	for _, s := range append(forms[:], "", ":", "::", ":*:", "%", "%2", ":"+strings.Repeat("A", 100), forms[1]+forms[1]) {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := ReadForwarded(s)
		if err != nil {
			return
		}
		for _, form := range forwarded(c.Raw) {
			if again, err := ReadForwarded(form); err != nil || !bytes.Equal(again.Raw, c.Raw) {
				t.Errorf("%q became another certificate: %v", form, err)
			}
		}
	})
}
