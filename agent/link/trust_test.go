package link

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"testing"
	"time"

	"rollcall/certs"
)

// What was found of a server's certificates holds for these certificates, this host, and as long as all of them are valid; what
// was refused is looked at again.
func TestVerdict(t *testing.T) {
	now := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	ca, err := certs.NewIssuer("one", now)
	if err != nil {
		t.Fatal(err)
	}
	other, err := certs.NewIssuer("one", now)
	if err != nil {
		t.Fatal(err)
	}
	leaf := func(ca *certs.Authority, name string, life time.Duration) *x509.Certificate {
		key, err := certs.GenerateKey(certs.P256)
		if err != nil {
			t.Fatal(err)
		}
		c, err := ca.IssueServer([]string{name}, key.Public(), now, life)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	good := leaf(ca, "mdm.example.org", 48*time.Hour)
	tr := &trust{pool: x509.NewCertPool()}
	tr.pool.AddCert(ca.Certificate())
	for _, tt := range []struct {
		name  string
		host  string
		at    time.Duration
		shown []*x509.Certificate
		want  bool
	}{
		{"nothing", "mdm.example.org", 0, nil, false},
		{"another authority's of the same name", "mdm.example.org", 0, []*x509.Certificate{leaf(other, "mdm.example.org", 48*time.Hour)}, false},
		{"good", "mdm.example.org", 0, []*x509.Certificate{good}, true},
		{"good again", "mdm.example.org", time.Hour, []*x509.Certificate{good}, true},
		{"for another host", "mdm.example.com", time.Hour, []*x509.Certificate{good}, false},
		{"another authority's after it", "mdm.example.org", time.Hour, []*x509.Certificate{leaf(other, "mdm.example.org", 48*time.Hour)}, false},
		{"when it has ended", "mdm.example.org", 49 * time.Hour, []*x509.Certificate{good}, false},
		{"before it begins", "mdm.example.org", -400 * 24 * time.Hour, []*x509.Certificate{good}, false},
		{"good after all that", "mdm.example.org", time.Hour, []*x509.Certificate{good}, true},
		{"another's for another host", "mdm.example.com", time.Hour, []*x509.Certificate{leaf(other, "mdm.example.org", 48*time.Hour)}, false},
	} {
		err := tr.verify(tt.host, func() time.Time { return now.Add(tt.at) })(tls.ConnectionState{PeerCertificates: tt.shown})
		if (err == nil) != tt.want {
			t.Errorf("%s: %v", tt.name, err)
		}
		if _, named := errors.AsType[x509.HostnameError](err); named != (tt.name == "for another host") { // whose words these are is known first
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}
