package interop

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"rollcall/certs"
	"rollcall/protocol"
	"rollcall/server"
	"rollcall/server/delivery"
	"rollcall/server/device"
	"rollcall/server/store"
)

// startWindows starts a server, and says how to start clients that know its authority and have a bundle of a package, PEM; nil: none.
func startWindows(t *testing.T, pack []byte) (h *house, start func() *stranger) {
	python := naive(t)
	h = startServer(t, func(c *device.Config) { c.Windows = &device.Windows{} })
	return h, func() *stranger {
		dir := t.TempDir()
		for name, text := range map[string][]byte{
			"ca.pem": certs.CertificatesPEM(h.ca.Certificate()), "1.key": must(certs.KeyPEM(rsaKey()))(t), "2.key": must(certs.KeyPEM(spareKey()))(t), "package.pem": pack,
		} {
			if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return startStranger(t, python, "windows.py", dir, h.url)
	}
}

// TestWindowsNaiveClient: a client in another language, written from Microsoft's and OMA's specifications, is managed by our server.
func TestWindowsNaiveClient(t *testing.T) {
	ctx := context.Background()
	h, start := startWindows(t, nil)
	const ann = "ann@example.org"
	link := must(h.core.Invite(ctx, h.at(), h.users[0], protocol.Windows, time.Hour))(t)
	fault := told{"status": 500, "fault": "s:Authentication"}
	d := start()
	d.tells(told{"policy": "OnPremise", "version": "4.0"}, "discover", ann)
	d.tells(fault, "enroll", ann, "guess")
	d.tells(fault, "enroll", "bob@example.org", link)
	d.tells(told{"poll": "3"}, "enroll", ann, link)
	d.device, _ = d.does("names")["device"].(string)
	d.tells(told{"messages": 2, "header": "200"}, "session")
	r := h.recordOf(d)
	if p := r.State.Profiles; r.State.Life != delivery.Enrolled || r.State.Registered != protocol.Intune || r.Facts.Name != "NAIVE-1" ||
		len(p) != 1 || p[0].State != delivery.Installed || len(r.State.Queue) != 0 {
		t.Errorf("%+v, %d commands wait, profiles %+v", r.Facts, len(r.State.Queue), p)
	}
	must(h.core.Order(ctx, h.at(), r.State.Device, protocol.Command{Kind: protocol.Lock}))(t)
	d.tells(told{"messages": 2, "did": "[Exec Lock 200]"}, "session_twice")
	d.tells(told{"messages": 1, "did": "[]"}, "session")
	start().tells(fault, "enroll", ann, link) // the link was used
	d.tells(told{"messages": 1, "header": "401"}, "session_as", "ANOTHER")

	h.ahead(330 * 24 * time.Hour)
	d.tells(told{}, "renew")
	d.tells(told{"header": "200"}, "session_as_before") // AUTH-41: the new one was not used
	d.tells(told{"header": "200"}, "session")
	d.tells(told{"status": 403}, "session_as_before")

	d.tells(told{"messages": 1, "header": "200"}, "leave")
	if s := h.recordOf(d).State; s.Life != delivery.Enrolled || !s.Departing() {
		t.Errorf("%s after the farewell, which is an attempt", s.Life)
	}
	h.ahead(330*24*time.Hour + 17*time.Hour)
	if err := h.core.Tick(ctx, h.at()); err != nil {
		t.Fatal(err)
	}
	if s := h.recordOf(d).State; s.Life != delivery.Ended { // two intervals of silence (WIN-040)
		t.Errorf("%s after the farewell and two intervals of silence", s.Life)
	}
}

// TestWIN067NaivePackage: the same client enrols for nobody, by a provisioning package whose bootstrap certificate signs what it says, in
// canonical forms and by a signature that are Python's and openssl's.
func TestWIN067NaivePackage(t *testing.T) {
	ctx := context.Background()
	key := rsaKey()
	der := must(x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(1)}, &x509.Certificate{}, key.Public(), key))(t)
	cert := must(x509.ParseCertificate(der))(t)
	h, start := startWindows(t, append(certs.CertificatesPEM(cert), must(certs.KeyPEM(key))(t)...))
	authenticated := told{"status": 500, "fault": "s:Authentication"}
	start().tells(authenticated, "enroll_by_package") // nobody knows the package
	if err := h.core.PutPackage(ctx, h.at(), server.System, store.Package{
		Name: "classroom", Certificate: sha256.Sum256(der), Most: 1, Made: h.at(), Ends: h.at().Add(time.Hour),
	}); err != nil {
		t.Fatal(err)
	}
	start().tells(told{"status": 500, "fault": "a:InvalidSecurity"}, "enroll_by_package", true)
	d := start()
	d.tells(told{"poll": "3"}, "enroll_by_package")
	d.device, _ = d.does("names")["device"].(string)
	d.tells(told{"messages": 2, "header": "200"}, "session")
	if s := h.recordOf(d).State; s.Life != delivery.Enrolled || s.User != 0 || s.Registered != protocol.Intune {
		t.Errorf("%s, of user %d, registered with %s", s.Life, s.User, s.Registered)
	}
	start().tells(told{"status": 500, "kind": "DeviceCapReached"}, "enroll_by_package") // one machine was all
}
