package certs

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"testing"
)

func TestAPL084MachineInfo(t *testing.T) {
	info := []byte("<plist version=\"1.0\"><dict><key>SERIAL</key><string>R1</string></dict></plist>")
	factory := rsaAuthority()
	roots := []*x509.Certificate{factory.Certificate()}
	key := ecKey()
	old := createLeaf(t, factory, &x509.Certificate{NotBefore: at.AddDate(-9, 0, 0), NotAfter: at.AddDate(-8, 0, 0)}, key.Public())
	// A line under the root that signs devices.
	lineKey := ecKey()
	line := &Authority{ca: Signer{Key: lineKey, Certificate: createLeaf(t, factory, &x509.Certificate{
		Subject: pkix.Name{CommonName: "line 1"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, lineKey.Public())}}
	byLine := identity(t, line, key)
	noCA := &Authority{ca: Signer{Key: lineKey, Certificate: createLeaf(t, factory, &x509.Certificate{
		Subject: pkix.Name{CommonName: "device that signs"}, BasicConstraintsValid: true,
	}, lineKey.Public())}}
	byDevice := identity(t, noCA, key)
	// Two CAs that signed one another: the way up must end.
	loop := &Authority{ca: Signer{Key: lineKey}}
	template := &x509.Certificate{Subject: pkix.Name{CommonName: "loop"}, IsCA: true, BasicConstraintsValid: true, NotBefore: at, NotAfter: at.AddDate(1, 0, 0)}
	loop.ca.Certificate = must(createCertificate(template, template, lineKey.Public(), lineKey))
	inLoop := identity(t, loop, key)
	chain := func(s Signer, list ...*x509.Certificate) Signer { s.Chain = list; return s }
	sign := func(s Signer) []byte { return must(SignAttached(info, s, at)) }
	for _, tt := range []struct {
		name  string
		data  []byte
		roots []*x509.Certificate
		want  error
	}{
		{"factory identity", sign(identity(t, factory, key)), roots, nil},
		{"long expired", sign(Signer{Certificate: old, Key: key}), roots, nil},
		{"through a line", sign(chain(byLine, line.ca.Certificate)), roots, nil},
		{"RSA-1024 and SHA-1 of an old factory", read(t, "machineinfo.der"), []*x509.Certificate{opensslAuthority(t).ca.Certificate}, nil},
		{"line missing", sign(byLine), roots, ErrForeign},
		{"signed by a device", sign(chain(byDevice, noCA.ca.Certificate)), roots, ErrForeign},
		{"loop", sign(chain(inLoop, loop.ca.Certificate)), roots, ErrForeign},
		{"wrong signer", sign(identity(t, ecAuthority(), key)), roots, ErrForeign},
		{"no roots", sign(identity(t, factory, key)), nil, ErrForeign},
		{"key of another", sign(Signer{Certificate: old, Key: ecKey()}), roots, ErrSignature},
		{"detached", must(SignDetached(info, identity(t, factory, key), at)), roots, ErrMalformed},
		{"unsigned plist", info, roots, ErrMalformed},
		{"MD5", read(t, "md5.der"), roots, ErrMalformed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := VerifyMachineInfo(tt.data, tt.roots)
			if !errors.Is(err, tt.want) {
				t.Fatalf("VerifyMachineInfo = %v, want %v", err, tt.want)
			}
			if err == nil && !bytes.HasPrefix(s.Content, []byte("<plist")) {
				t.Errorf("content %q", s.Content)
			}
		})
	}
}
