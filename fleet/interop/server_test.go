package interop

import (
	"bytes"
	"context"
	"crypto/rsa"
	"errors"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/jessepeterson/mdmcommands"
	"github.com/micromdm/nanomdm/test/enrollment"
	"github.com/micromdm/plist"
	"github.com/smallstep/pkcs7"

	"rollcall/certs"
	"rollcall/protocol"
	"rollcall/server/delivery"
	"rollcall/server/device"
)

// refused tells whether err is the status with which the server refuses an identity (apple.md section 4.3).
func refused(err error) bool {
	var answer *enrollment.HTTPError
	return errors.As(err, &answer) && answer.StatusCode == http.StatusBadRequest
}

// bySignature lets devices in by Mdm-Signature alone.
func bySignature(c *device.Config) { c.SignMessage = true }

// TestNanomdmDevice: nanomdm's device enrols with our server by each way to bring its identity, is woken, and gets its
// commands.
func TestNanomdmDevice(t *testing.T) {
	for _, tt := range []struct {
		name      string
		configure func(*device.Config)
		sha1      bool
	}{
		{name: "mutual TLS"}, // with a signature of its own certificate in the header, which the server has not asked for
		{name: "Mdm-Signature", configure: bySignature},
		{name: "Mdm-Signature with SHA-1", configure: bySignature, sha1: true}, // as it signs unless told otherwise
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := startServer(t, tt.configure)
			in := h.invite(h.users[0])
			p := h.phone(in, h.identity(in, rsaKey()))
			if tt.sha1 {
				if err := pkcs7.SetDefaultDigestAlgorithm(pkcs7.OIDDigestAlgorithmSHA1); err != nil {
					t.Fatal(err)
				}
			}
			if err := p.DoAuthenticate(context.Background()); err != nil {
				t.Fatal(err)
			}
			if life := p.record().State.Life; life != delivery.Enrolling { // APL-031
				t.Errorf("%s after Authenticate, want enrolling", life)
			}
			p.enrol()
			r := p.record()
			if r.State.Life != delivery.Enrolled || r.State.User != h.users[0] || r.Facts.Serial != p.SerialNumber() || r.State.Registered != protocol.Intune {
				t.Errorf("record %+v, want enrolled for Ann", r)
			}
			if got, want := r.State.Push, p.GetPush(); got.Topic != want.Topic || got.Magic != want.PushMagic || !bytes.Equal(got.Token, want.Token) {
				t.Errorf("the server would push to %+v, the device is at %+v", got, want)
			}
			if err := h.core.Tick(context.Background(), h.at()); err != nil {
				t.Fatal(err)
			}
			if sent := h.pushes.Sent(); len(sent) != 1 || sent[0].Magic != p.GetPush().PushMagic || sent[0].Topic != topic { // APL-106
				t.Errorf("pushed %+v, want once to the device", sent)
			}
			if asked := p.drain(); !slices.Equal(asked, []string{"DeviceInformation", "SecurityInfo", "InstallProfile"}) {
				t.Errorf("asked %q", asked)
			}
			if again := p.drain(); len(again) != 0 {
				t.Errorf("asked %q again", again)
			}
		})
	}
}

// TestAPL021NanomdmDevice: without legacyCMS the SHA-1 signature of nanomdm's device is refused with 400 and the SHA-256
// one is not.
func TestAPL021NanomdmDevice(t *testing.T) {
	h := startServer(t, func(c *device.Config) { c.SignMessage, c.LegacySignature = true, false })
	in := h.invite(h.users[0])
	p := h.phone(in, h.identity(in, rsaKey()))
	if err := pkcs7.SetDefaultDigestAlgorithm(pkcs7.OIDDigestAlgorithmSHA1); err != nil {
		t.Fatal(err)
	}
	if err := p.DoAuthenticate(context.Background()); !refused(err) {
		t.Errorf("SHA-1: %v, want 400", err)
	}
	if err := pkcs7.SetDefaultDigestAlgorithm(pkcs7.OIDDigestAlgorithmSHA256); err != nil {
		t.Fatal(err)
	}
	p.enrol()
}

// TestNanomdmDeviceQueue: our queue against the expectations of nanomdm's own end-to-end test, by its device.
func TestNanomdmDeviceQueue(t *testing.T) {
	h := startServer(t, nil)
	in := h.invite(h.users[1]) // who has no profiles
	p := h.phone(in, h.identity(in, rsaKey()))
	p.enrol()
	p.drain()
	d := p.record().State.Device
	order := func(kind protocol.CommandKind) string {
		t.Helper()
		return must(h.core.Order(context.Background(), h.at(), d, protocol.Command{Kind: kind}))(t).String()
	}
	wants := func(reported, status, uuid, requestType string) {
		t.Helper()
		c, _ := p.report(reported, status)
		if uuid == "" && c != nil || uuid != "" && (c == nil || c.CommandUUID != uuid || c.Command.RequestType != requestType) {
			t.Errorf("%s %s was answered with %+v, want %s %s", status, reported, c, requestType, uuid)
		}
	}
	t.Run("basic", func(t *testing.T) {
		wants("", "Idle", "", "")
		first, second := order(protocol.ProfileList), order(protocol.CertificateList)
		wants("", "Idle", first, "ProfileList")
		wants("", "Idle", first, "ProfileList") // APL-051
		wants(first, "Acknowledged", second, "CertificateList")
		wants(first, "Acknowledged", second, "CertificateList") // APL-052
		wants(second, "Acknowledged", "", "")
		wants("", "Idle", "", "")
	})
	t.Run("error", func(t *testing.T) {
		uuid := order(protocol.SecurityInfo)
		wants("", "Idle", uuid, "SecurityInfo")
		wants(uuid, "Error", "", "")
		last := must(h.core.Store().History(context.Background(), d, 1))(t)[0]
		if last.ID.String() != uuid || last.Status != protocol.Failed || last.Errors != "MCInstallationErrorDomain 4001: no" { // APL-055
			t.Errorf("kept %+v, want the failure with its chain", last)
		}
	})
	t.Run("not now", func(t *testing.T) { // APL-056: nanomdm ends the connection at once, we may offer once more
		uuid := order(protocol.SecurityInfo)
		wants("", "Idle", uuid, "SecurityInfo")
		offers := 1
		for c, _ := p.report(uuid, "NotNow"); c != nil && offers < 10; c, _ = p.report(uuid, "NotNow") {
			offers++
		}
		if offers > 2 {
			t.Errorf("offered %d times on one connection, want at most twice", offers)
		}
		wants("", "Idle", uuid, "SecurityInfo")
		wants(uuid, "Acknowledged", "", "")
	})
	t.Run("unknown", func(t *testing.T) { wants("NOBODY-KNOWS-THIS", "Acknowledged", "", "") }) // APL-053
}

// TestNanomdmDeviceEnrolsAgain: nanomdm's device enrols a second time and nothing of the first is left (APL-034), its
// bootstrap token included (APL-037).
func TestNanomdmDeviceEnrolsAgain(t *testing.T) {
	h := startServer(t, nil)
	in := h.invite(h.users[0])
	p := h.phone(in, h.identity(in, rsaKey()))
	p.enrol()
	ctx := context.Background()
	if tok, err := p.DoGetBootstrapToken(ctx); err != nil || tok != nil && len(tok.BootstrapToken) > 0 {
		t.Errorf("bootstrap token before there is one: %v, %v", tok, err)
	}
	if err := p.DoEscrowBootstrapToken(ctx, []byte("secret")); err != nil {
		t.Fatal(err)
	}
	if tok, err := p.DoGetBootstrapToken(ctx); err != nil || tok == nil || tok.BootstrapToken.String() == "" || string(tok.BootstrapToken) != "c2VjcmV0" {
		t.Errorf("bootstrap token %v, %v, want what was sent (which nanomdm's device encodes twice)", tok, err)
	}
	first := p.record()
	must(h.core.Order(ctx, h.at(), first.State.Device, protocol.Command{Kind: protocol.CertificateList}))(t)
	p.enrol()
	second := p.record()
	if second.State.Device != first.State.Device || second.State.Life != delivery.Enrolled || second.State.Identity != first.State.Identity {
		t.Errorf("before %+v, now %+v; want the same device, enrolled", first.State, second.State)
	}
	if tok, err := p.DoGetBootstrapToken(ctx); err != nil || tok != nil && len(tok.BootstrapToken) > 0 {
		t.Errorf("bootstrap token of the enrolment before: %v, %v", tok, err)
	}
	if asked := p.drain(); !slices.Equal(asked, []string{"DeviceInformation", "SecurityInfo", "InstallProfile"}) {
		t.Errorf("asked %q, want what a new enrolment gets", asked)
	}

	// With another identity of the same user, as a wiped device has.
	in = h.invite(h.users[0])
	p.as(h.identity(in, spareKey()))
	p.enrol()
	if third := p.record(); third.State.Device != first.State.Device || third.State.Identity == first.State.Identity {
		t.Errorf("enrolled as %+v with the identity of %+v", third.State, first.State)
	}
}

// TestAPL023NanomdmDevice: an identity is refused for another device, for an enrolled device of another user, after it was
// replaced, and when it is not of our CA; the device itself is unaffected.
func TestAPL023NanomdmDevice(t *testing.T) {
	key := makeKey()
	for name, configure := range map[string]func(*device.Config){"mutual TLS": nil, "Mdm-Signature": bySignature} {
		t.Run(name, func(t *testing.T) {
			ctx := context.Background()
			h := startServer(t, configure)
			in := h.invite(h.users[0])
			mine := h.identity(in, rsaKey())
			victim := h.phone(in, mine)
			if err := victim.DoTokenUpdate(ctx); !refused(err) {
				t.Errorf("TokenUpdate before Authenticate: %v, want 400", err)
			}
			victim.enrol()
			before := victim.record()
			bobs := h.invite(h.users[1])
			other := h.identity(bobs, spareKey())
			victim.as(other)
			if err := victim.DoAuthenticate(ctx); !refused(err) {
				t.Errorf("Authenticate with an identity of another user: %v, want 400", err)
			}
			bobs = h.invite(h.users[1]) // what tried to take a place is taken nowhere (HST-051)
			other = h.identity(bobs, key)
			attacker := h.phone(bobs, other)
			attacker.enrol()
			if err := victim.DoAuthenticate(ctx); !refused(err) {
				t.Errorf("Authenticate with the identity of another device: %v, want 400", err)
			}
			if err := victim.DoTokenUpdate(ctx); !refused(err) {
				t.Errorf("TokenUpdate with the identity of another device: %v, want 400", err)
			}
			if got := victim.record(); got.State.Identity != before.State.Identity || !bytes.Equal(got.State.Push.Token, before.State.Push.Token) {
				t.Errorf("the device was changed: %+v, was %+v", got.State, before.State)
			}
			if err := enrollment.ReplaceIdentityRandom(victim.Enrollment); err != nil { // self-signed
				t.Fatal(err)
			}
			certificate, key, err := victim.GetIdentity(ctx)
			if err != nil {
				t.Fatal(err)
			}
			victim.as(certs.Signer{Certificate: certificate, Key: key.(*rsa.PrivateKey)})
			if err := victim.DoTokenUpdate(ctx); err == nil { // TLS refuses at the handshake, a signature with 400
				t.Error("TokenUpdate with a self-signed identity was taken")
			}
			victim.as(mine)
			if err := victim.DoTokenUpdate(ctx); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestAPL092NanomdmDeviceRenews: near the end of its identity nanomdm's device is given the enrolment profile again, gets
// another identity with its challenge, and goes on as the same enrolment; the old identity is refused from then on.
func TestAPL092NanomdmDeviceRenews(t *testing.T) {
	ctx := context.Background()
	h := startServer(t, nil)
	in := h.invite(h.users[0])
	old := h.identity(in, rsaKey())
	p := h.phone(in, old)
	p.enrol()
	p.drain()
	if err := p.DoEscrowBootstrapToken(ctx, []byte("secret")); err != nil {
		t.Fatal(err)
	}
	h.mu.Lock()
	h.off = time.Until(old.Certificate.NotAfter) - 40*24*time.Hour // inside the 42 days (APL-091)
	h.mu.Unlock()
	c, body := p.report("", "Idle")
	if c == nil || c.Command.RequestType != "InstallProfile" {
		t.Fatalf("asked %+v, want InstallProfile", c)
	}
	var install mdmcommands.InstallProfileCommand
	if err := plist.Unmarshal(body, &install); err != nil {
		t.Fatal(err)
	}
	renewal := h.read(install.Command.Payload)
	if renewal.challenge == in.challenge || renewal.serverURL != in.serverURL || renewal.checkInURL != in.checkInURL { // APL-090
		t.Errorf("renewal %+v, enrolment %+v; want another challenge and nothing else", renewal, in)
	}
	p.as(h.identity(renewal, spareKey()))
	p.enrol()
	if next, _ := p.report(c.CommandUUID, "Acknowledged"); next != nil {
		t.Errorf("asked %+v after the renewal, want nothing", next)
	}
	if tok, err := p.DoGetBootstrapToken(ctx); err != nil || tok == nil || string(tok.BootstrapToken) != "c2VjcmV0" {
		t.Errorf("bootstrap token %v, %v, want the one of before", tok, err)
	}
	p.as(old)
	if err := p.DoTokenUpdate(ctx); err == nil {
		t.Error("the old identity is still taken")
	}
}
