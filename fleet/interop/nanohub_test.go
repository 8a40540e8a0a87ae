package interop

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/jessepeterson/mdmcommands"
	"github.com/micromdm/plist"

	"rollcall/agent"
	"rollcall/agent/dialect"
	"rollcall/agent/link"
	"rollcall/certs"
	"rollcall/protocol"
)

// TestNanohub: our device enrols with nanohub, is woken through nanopush and our APNs, and carries out what nanohub's API
// queues, whichever way its identity gets there.
func TestNanohub(t *testing.T) {
	for _, tt := range []struct {
		front
		and      string
		habits   dialect.Habits
		micromdm bool // identity by micromdm's SCEP server
	}{
		{front: byTLS},
		{front: byTLS, and: ", identity by micromdm's SCEP", micromdm: true},
		{front: byProxy},
		{front: bySign},
		{front: bySign, and: " of a Mac", habits: dialect.Habits{Legacy: true}},
	} {
		t.Run(tt.name+tt.and, func(t *testing.T) {
			var theirs *theirCA
			if tt.micromdm {
				modernise(t)
				theirs = startTheirs(t, "challenge")
			}
			h := startHub(t, tt.front, theirs)
			p := h.phone(1, &tt.habits)
			if report, err := p.enrol("challenge"); err != nil {
				t.Fatalf("%v after %+v", err, report)
			}
			h.checkEnrolled(p)
			h.checkCommands(p)
		})
	}
}

// checkEnrolled compares what nanohub knows of p with p itself.
func (h *hub) checkEnrolled(p *phone) {
	h.Helper()
	topic, token, magic := p.Push()
	if got := h.pushInfo(); got == nil || got.Topic != topic || !bytes.Equal(got.Token, token) || got.PushMagic != magic {
		h.Errorf("nanohub would push to %+v, want %s %x %q", got, topic, token, magic)
	}
	var said struct{ MessageType, Topic, SerialNumber, ProductName, OSVersion, BuildVersion, UDID string }
	if err := plist.Unmarshal(h.said[0], &said); err != nil {
		h.Fatal(err)
	}
	if said.MessageType != "Authenticate" || said.SerialNumber != "ROLLCALL0001" || said.ProductName != iPhone.Product || said.OSVersion != "17.6" || said.UDID != udid {
		h.Errorf("Authenticate said %+v", said)
	}
}

// checkCommands has nanohub's API give the commands of this test, made and read by mdmcommands, which is generated from
// Apple's schema.
func (h *hub) checkCommands(p *phone) {
	h.Helper()
	ask := mdmcommands.NewDeviceInformationCommand("CMD-1") // any text is a CommandUUID
	ask.Command.Queries = []string{"OSVersion", "SerialNumber", "UDID", "DeviceCapacity", "IsSupervised", "NoSuchQuery"}
	p.order(ask)
	var information mdmcommands.DeviceInformationResponse
	h.heard("CMD-1", &information)
	q := information.QueryResponses
	if err := information.Validate(); err != nil || deref(q.OSVersion) != "17.6" || deref(q.SerialNumber) != "ROLLCALL0001" || deref(q.UDID) != udid ||
		deref(q.DeviceCapacity) != 128 || deref(q.IsSupervised) || q.Model != nil {
		h.Errorf("DeviceInformation: %+v, %v", information, err)
	}

	install := mdmcommands.NewInstallProfileCommand("CMD-2")
	install.Command.Payload = must(certs.SignAttached(profile(), identity(h, h.ca, "signer"), time.Now()))(h)
	list := mdmcommands.NewProfileListCommand("CMD-3")
	if report := p.order(install, list); report.Commands != 2 || report.Errors != 0 {
		h.Errorf("InstallProfile, ProfileList: %+v, want two reports", report)
	}
	if got := h.profiles("CMD-3"); !slices.Equal(got, []string{enrolledBy, "com.example.mail"}) {
		h.Errorf("ProfileList: %q after InstallProfile", got)
	}

	remove := mdmcommands.NewRemoveProfileCommand("CMD-4")
	remove.Command.Identifier = "com.example.mail"
	p.order(remove, mdmcommands.NewProfileListCommand("CMD-5"))
	if got := h.profiles("CMD-5"); h.status("CMD-4") != "Acknowledged" || !slices.Equal(got, []string{enrolledBy}) {
		h.Errorf("ProfileList: %q after RemoveProfile %s", got, h.status("CMD-4"))
	}

	again := mdmcommands.NewRemoveProfileCommand("CMD-6") // there is none left
	again.Command.Identifier = "com.example.mail"
	unknown := mdmcommands.NewGenericCommand("MakeCoffee", "CMD-7")
	if report := p.order(again, unknown); report.Commands != 2 || report.Errors != 2 {
		h.Errorf("two commands that fail: %+v", report)
	}
	for _, uuid := range []string{"CMD-6", "CMD-7"} {
		var failed mdmcommands.GenericResponse
		h.heard(uuid, &failed)
		if failed.Status != "Error" || failed.ErrorChain == nil || len(*failed.ErrorChain) == 0 || (*failed.ErrorChain)[0].ErrorDomain == "" {
			h.Errorf("%s: %+v, want an Error with its chain", uuid, failed)
		}
	}
	if report := must(p.link.Converse(context.Background(), p.Apple, dialect.Synced))(h); report.Commands != 0 {
		h.Errorf("nanohub gave %d commands more; all were reported", report.Commands)
	}
}

// profiles are the identifiers of a ProfileList.
func (h *hub) profiles(uuid string) []string {
	h.Helper()
	var list mdmcommands.ProfileListResponse
	h.heard(uuid, &list)
	if err := list.Validate(); err != nil {
		h.Error(err)
	}
	var names []string
	for _, item := range list.ProfileList {
		names = append(names, item.PayloadIdentifier)
	}
	return names
}

func deref[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// TestNanohubRefuses: nanohub refuses an identity of a CA that it does not know, and our device is then not managed and
// keeps nothing.
func TestNanohubRefuses(t *testing.T) {
	for _, f := range []front{byTLS, byProxy, bySign} {
		t.Run(f.name, func(t *testing.T) {
			h := startHub(t, f, nil)
			h.issuer = must(rsaAuthority())(t)
			p := h.phone(1, &dialect.Habits{})
			_, err := p.enrol("challenge")
			var failed *dialect.Failure
			if !errors.As(err, &failed) || failed.Step != dialect.Authenticate {
				t.Fatalf("enrolled with a foreign identity: %v", err)
			}
			if got := h.pushInfo(); p.Phase() == agent.Enrolled || len(p.Profiles()) != 0 || got != nil {
				t.Errorf("phase %s, %d profiles, nanohub would push to %v", p.Phase(), len(p.Profiles()), got)
			}
		})
	}
}

// enrolled is a device that has enrolled with a nanohub of its own.
func enrolled(t testing.TB) (*hub, *phone) {
	t.Helper()
	h := startHub(t, byTLS, nil)
	p := h.phone(1, &dialect.Habits{})
	must(p.enrol("challenge"))(t)
	return h, p
}

// managed tells whether nanohub holds the device for enrolled, by what it would hand on to another server.
func (h *hub) managed() bool {
	h.Helper()
	messages := make(chan any, 100)
	if err := h.store.RetrieveMigrationCheckins(context.Background(), messages); err != nil {
		h.Fatal(err)
	}
	return len(messages) > 0
}

// TestAPL036Nanohub: a device that leaves says so, by an order of nanohub or by its user's, and nanohub holds it for
// enrolled no more. But nanomdm's store in memory hands its push address out as before, so that nanohub would go on
// pushing (APL-036); its SQL stores do not.
func TestAPL036Nanohub(t *testing.T) {
	for name, leave := range map[string]func(h *hub, p *phone) link.Report{
		"RemoveProfile": func(h *hub, p *phone) link.Report { // APL-061
			remove := mdmcommands.NewRemoveProfileCommand("CMD-1")
			remove.Command.Identifier = enrolledBy
			return p.order(remove)
		},
		"user": func(h *hub, p *phone) link.Report {
			return must(p.link.Converse(context.Background(), p.Apple, dialect.UserRemoves))(h)
		},
	} {
		t.Run(name, func(t *testing.T) {
			h, p := enrolled(t)
			if !h.managed() {
				t.Fatal("nanohub does not know the device")
			}
			if report := leave(h, p); report.Steps[dialect.CheckOut] != 1 || p.Phase() == agent.Enrolled {
				t.Errorf("%d CheckOuts, phase %s", report.Steps[dialect.CheckOut], p.Phase())
			}
			var last struct{ MessageType, UDID, Topic string }
			if err := plist.Unmarshal(h.said[len(h.said)-1], &last); err != nil || last.MessageType != "CheckOut" || last.UDID != udid || last.Topic != topic {
				t.Errorf("nanohub heard %+v last, %v", last, err)
			}
			if h.managed() {
				t.Error("nanohub holds the device for enrolled")
			}
			if h.pushInfo() == nil {
				t.Error("nanohub has forgotten the push address; say so in doc.go")
			}
		})
	}
}

// TestAPL057Nanohub: a locked device says NotNow; nanohub offers the command no more on this connection, and again when
// the device comes back by itself after it was unlocked.
func TestAPL057Nanohub(t *testing.T) {
	h, p := enrolled(t)
	p.Lock(protocol.At(p.now().Add(time.Hour)))
	install := mdmcommands.NewInstallProfileCommand("CMD-1")
	install.Command.Payload = profile()
	if report := p.order(install); report.NotNow != 1 || report.Commands != 0 || h.status("CMD-1") != "NotNow" {
		t.Fatalf("%+v, status %s; want one NotNow", report, h.status("CMD-1"))
	}
	if p.Due() == 0 {
		t.Fatal("the device does not mean to come back")
	}
	p.mu.Lock()
	p.off = time.Until(p.Due().Time()) + time.Second
	p.mu.Unlock()
	report := must(p.link.Converse(context.Background(), p.Apple, dialect.Scheduled))(t)
	if report.Commands != 1 || h.status("CMD-1") != "Acknowledged" || len(p.Profiles()) != 2 {
		t.Errorf("%+v, status %s, %d profiles; want the profile installed", report, h.status("CMD-1"), len(p.Profiles()))
	}
}

// TestAPL035NanohubRenews: nanohub renews an identity by InstallProfile of the enrolment profile. Our device does it to the
// letter of apple.md section 11; nanohub takes the Authenticate for a new enrolment and forgets what was queued
// behind (APL-035).
func TestAPL035NanohubRenews(t *testing.T) {
	h, p := enrolled(t)
	before := must(p.Signer(dialect.Current))(t)
	renew := mdmcommands.NewInstallProfileCommand("RENEW-1")
	renew.Command.Payload = h.profile("next")
	report := p.order(renew, mdmcommands.NewDeviceInformationCommand("RENEW-2"))
	after := must(p.Signer(dialect.Current))(t)
	if report.Steps[dialect.Authenticate] != 1 || report.Steps[dialect.TokenUpdate] != 1 || h.status("RENEW-1") != "Acknowledged" || p.Owes() {
		t.Errorf("%+v, InstallProfile %s, owes %t; want Authenticate, TokenUpdate and the report", report, h.status("RENEW-1"), p.Owes())
	}
	if after.Certificate.Equal(before.Certificate) || p.Phase() != agent.Enrolled {
		t.Errorf("serial %x before, %x after; phase %s", before.Certificate.SerialNumber, after.Certificate.SerialNumber, p.Phase())
	}
	if report.Commands != 1 {
		t.Errorf("%d commands reported; if nanohub keeps its queue over a renewal now, say so in doc.go", report.Commands)
	}
	p.online()
	h.checkCommands(p)
}

// TestAPL023Nanohub: nanohub takes the Authenticate of any certificate of its CA for any UDID, which APL-023 forbids: the
// second device that says it is the first becomes it.
func TestAPL023Nanohub(t *testing.T) {
	h, first := enrolled(t)
	second := h.phone(2, &dialect.Habits{})
	if _, err := second.enrol("challenge"); err != nil {
		t.Fatalf("%v; if nanohub protects an enrolled UDID now, say so in doc.go", err)
	}
	if _, _, magic := second.Push(); h.pushInfo().PushMagic != magic {
		t.Errorf("nanohub would push magic %q, want the second device's %q", h.pushInfo().PushMagic, magic)
	}
	// The first device is refused with 500, where apple.md section 4.3 has 400, and stays enrolled (APL-093).
	_, err := first.link.Converse(context.Background(), first.Apple, dialect.Synced)
	var failed *dialect.Failure
	if !errors.As(err, &failed) || failed.Status != http.StatusInternalServerError || first.Phase() != agent.Enrolled {
		t.Errorf("the first device: %v, phase %s; want status 500, still enrolled", err, first.Phase())
	}
}
