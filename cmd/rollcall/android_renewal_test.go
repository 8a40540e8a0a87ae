//go:build !agentonly

package main

import (
	"crypto/rsa"
	"errors"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"rollcall/agent/dialect"
	"rollcall/agent/link"
	"rollcall/certs"
	"rollcall/certs/scep"
	"rollcall/protocol"
	"rollcall/protocol/android"
	"rollcall/server/device"
)

// A device that came by SCEP renews by a RenewalReq, which its certificate signs, in its last 42 days and not before; the certificate
// before counts until the new one is used (AND-081, APL-011).
func TestAND081SCEPRenewalWire(t *testing.T) {
	var keys []*rsa.PrivateKey
	for range 2 {
		key, err := certs.GenerateKey(certs.RSA2048)
		fatal(t, err)
		keys = append(keys, key.(*rsa.PrivateKey))
	}
	asked := 0
	l := newAndroidLab(t, onMemory, func(c *device.Config, carries *link.Config) {
		c.Android.RSA = true
		carries.RSAKeys = func(link.Device) (*rsa.PrivateKey, error) { asked++; return keys[asked-1], nil }
	})
	d := l.enrolled(1, android.FullyManaged)
	first, err := d.Signer(dialect.Current)
	l.check(err)

	client := scep.Client{URL: androidHost + "/scep", HTTP: l.client(nil)}
	_, err = client.Enrol(t.Context(), scep.EnrolRequest{Key: keys[1], Renew: &first, Now: l.now()})
	if no, ok := errors.AsType[*scep.Failure](err); !ok || no.Info != scep.BadRequest {
		t.Errorf("a renewal on the first day: %v", err)
	}
	l.wait(300 * 24 * time.Hour)
	l.talks(d)
	if asked != 1 {
		t.Error("asked for another identity before its time")
	}
	l.wait(30 * 24 * time.Hour)
	old, err := d.AppendBinary(nil)
	l.check(err)
	l.talks(d)
	next, err := d.Signer(dialect.Current)
	l.check(err)
	switch {
	case asked != 2 || !keys[1].PublicKey.Equal(next.Certificate.PublicKey):
		t.Fatalf("not renewed: %d keys, %s until %s", asked, next.Certificate.SerialNumber, next.Certificate.NotAfter)
	case next.Certificate.Subject.String() != first.Certificate.Subject.String():
		t.Errorf("the subject is %s, was %s", next.Certificate.Subject, first.Certificate.Subject)
	}
	var before dialect.Android
	l.check(before.UnmarshalBinary(old))
	before.Share(androidModel, &dialect.Habits{})
	status, answer, err := l.says(&before, http.MethodPost, android.CheckInPath, nil, l.message(&before, "c-9"))
	if err == nil && status == http.StatusOK {
		t.Errorf("the certificate before is taken after the new one was used: %s", answer)
	}
	l.talks(d)
}

// Behind a proxy that has taken TLS off, the certificate of a renewal by EST comes in the header that all else has it in (AND-081, APL-024).
func TestAND081RenewalByHeader(t *testing.T) {
	l := newAndroidLab(t, onMemory, func(c *device.Config, carries *link.Config) {
		c.Proxies, c.ProxyHeader = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, "X-Client-Cert"
		carries.CertificateHeader = c.ProxyHeader
	})
	d := l.enrolled(1, android.FullyManaged)
	first := d.Identity()
	l.wait(330 * 24 * time.Hour)
	l.talks(d)
	l.talks(d)
	if next := d.Identity(); next.Serial == first.Serial || l.record(d).State.Identity.NotAfter != next.NotAfter || next.NotAfter <= protocol.At(l.now().Add(300*24*time.Hour)) {
		t.Errorf("its identity was %+v and is %+v; the server has %+v", first, next, l.record(d).State.Identity)
	}
}
