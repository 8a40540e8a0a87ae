//go:build !agentonly

package main

import (
	"bytes"
	"compress/gzip"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/agent"
	"rollcall/agent/dialect"
	"rollcall/agent/link"
	"rollcall/certs"
	"rollcall/protocol"
	"rollcall/protocol/android"
	"rollcall/server"
	"rollcall/server/authority"
	"rollcall/server/delivery"
	"rollcall/server/device"
	"rollcall/server/store"
)

// Every kind of device enrols from its QR code by EST with P-256, gets its profiles, and is registered; on both stores (AND-070).
func TestAND070EnrolWire(t *testing.T) {
	for name, open := range map[string]func(testing.TB) store.Store{"memory": onMemory, "sqlite": onSQLite} {
		t.Run(name, func(t *testing.T) {
			l := newAndroidLab(t, open)
			l.assign("wifi", protocol.WiFi, "Office")
			l.assign("mail", protocol.Email, "Mail")
			for i, mode := range android.Modes {
				d := l.enrolled(i+1, mode)
				l.is(d, agent.Enrolled)
				r := l.record(d)
				if r.State.Life != delivery.Enrolled || r.State.Registered != protocol.Intune || r.State.Platform != protocol.Android || len(r.State.Queue) > 0 {
					t.Errorf("%s: %s, registered %s, %d commands wait", mode, r.State.Life, r.State.Registered, len(r.State.Queue))
				}
				if _, m, level := server.AndroidEnrolment(&r.Facts); m != mode || level != 34 || r.Facts.OSVersion != "14" {
					t.Errorf("%s: the record says %+v", mode, r.Facts)
				}
				signer, err := d.Signer(dialect.Current)
				if name, _ := d.Names(); err != nil || signer.Certificate.Subject.CommonName != name {
					t.Errorf("%s: certificate for %q, %v", mode, signer.Certificate.Subject, err)
				}
				want := []string{"wifi", "mail"}
				switch {
				case mode.Userless():
					want = nil
				case !mode.Google():
					want = []string{"wifi"} // there is no store to take an app from
				}
				if got := l.on(d); !slices.Equal(got, want) {
					t.Errorf("%s: %q on the device, want %q", mode, got, want)
				}
				if report := l.talks(d); report.Steps[dialect.CheckIn] != 1 {
					t.Errorf("%s: %d rounds of a steady check-in", mode, report.Steps[dialect.CheckIn])
				}
			}
		})
	}
}

// A token is for one device: the same one may ask again until it has checked in, nobody may later, and no other ever (AND-071, HST-037).
func TestAND071Tokens(t *testing.T) {
	l := newAndroidLab(t, onMemory)
	mode := android.FullyManaged
	token := l.invite(mode)
	ask := func(token, serial string) (int, []byte) {
		body := android.Append(nil, &android.EnrollRequest{
			Protocol: 1, Role: android.DPC, Mode: mode, Hardware: android.Hardware{Brand: "acme", Model: "A1", SerialNumber: serial}, Software: android.Software{APILevel: 34, AndroidVersion: "14"},
		})
		status, answer, err := l.says(nil, "POST", android.EnrollPath, map[string]string{"Authorization": "Bearer " + token}, body)
		l.check(err)
		return status, answer
	}
	status, first := ask(token, "S-001")
	if status != 200 {
		t.Fatalf("%d %s", status, first)
	}
	if status, again := ask(token, "S-001"); status != 200 || !bytes.Equal(first, again) {
		t.Errorf("asked again: %d %s, and before %s", status, again, first)
	}
	if status, answer := ask(token, "S-002"); status != 401 {
		t.Errorf("another device: %d %s", status, answer)
	} else if reason, _ := refusal(t, answer); reason != android.TokenUsed {
		t.Errorf("another device: %s", reason)
	}
	d := l.device(1, mode)
	lost := func(s dialect.Step) bool { return s == dialect.CheckIn } // the certificate is there, and nobody heard of the first check-in
	l.lost.Store(&lost)
	if _, err := l.link.EnrolAndroid(t.Context(), d, l.start(token, mode)); err == nil {
		t.Fatal("enrolled without an answer")
	}
	l.lost.Store(nil)
	if status, again := ask(token, "S-001"); status != 200 || !bytes.Equal(first[:40], again[:40]) {
		t.Errorf("before the check-in: %d %s", status, again)
	}
	if _, err := l.link.EnrolAndroid(t.Context(), d, l.start(token, mode)); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ token, reason string }{
		{token, android.TokenUsed}, {"nothing", android.TokenInvalid}, {strings.Replace(l.invite(mode), ".f.", ".d.", 1), android.TokenInvalid},
	} {
		status, answer := ask(tt.token, "S-001")
		if reason, _ := refusal(t, answer); status != 401 || reason != tt.reason {
			t.Errorf("%s: %d %s, want 401 %s", tt.token, status, reason, tt.reason)
		}
	}
	old := l.invite(mode)
	l.wait(2 * time.Hour)
	status, answer := ask(old, "S-003")
	if reason, _ := refusal(t, answer); status != 401 || reason != android.TokenExpired {
		t.Errorf("expired: %d %s", status, reason)
	}
	l.is(d, agent.Enrolled)
}

// No authority, no consent, another mode, another role, no licence: each gate says no by its own name, and the token is not used up
// (AND-060, AUTH-01, AUTH-05, AUTH-47, HST-044).
func TestAUTH05AndroidGates(t *testing.T) {
	l := newAndroidLab(t, onMemory)
	mode := android.FullyManaged
	d := l.device(1, mode)
	refused := func(what, token, reason string) {
		t.Helper()
		_, err := l.link.EnrolAndroid(t.Context(), d, l.start(token, mode))
		f, ok := errors.AsType[*dialect.Failure](err)
		if !ok || f.Code != reason || f.Step != dialect.Enroll {
			t.Errorf("%s: %v, want %s", what, err, reason)
		}
	}
	wrong, err := l.core.InviteAndroid(t.Context(), l.pnow(), l.user, android.WorkProfileCompany, time.Hour)
	l.check(err)
	refused("another mode", wrong, android.ModeNotAllowed)
	users, err := l.core.PutUsers(t.Context(), l.pnow(), []store.User{{UPN: "bob@example.test"}})
	l.check(err)
	unlicensed, err := l.core.InviteAndroid(t.Context(), l.pnow(), users[0], mode, time.Hour)
	l.check(err)
	refused("another user", unlicensed, android.ModeNotAllowed)
	d = dialect.NewAndroid(dialect.AndroidWho{Number: 1, Seed: 1, Serial: "S-001", UPN: "bob@example.test"}, androidModel, &dialect.Habits{})
	refused("no licence", unlicensed, android.Unlicensed)
	_, err = l.core.PutUsers(t.Context(), l.pnow(), []store.User{{UPN: "bob@example.test", User: authority.User{IntuneLicence: true}}})
	l.check(err)
	if _, err := l.link.EnrolAndroid(t.Context(), d, l.start(unlicensed, mode)); err != nil {
		t.Errorf("the token was used up: %v", err)
	}
	settings := l.core.World().Settings
	settings.DeviceLimit = 1
	l.check(l.core.SetSettings(t.Context(), l.pnow(), server.System, settings))
	another, err := l.core.InviteAndroid(t.Context(), l.pnow(), users[0], mode, time.Hour)
	l.check(err)
	d = dialect.NewAndroid(dialect.AndroidWho{Number: 2, Seed: 2, Serial: "S-002", UPN: "bob@example.test"}, androidModel, &dialect.Habits{})
	refused("one too many, before it has a certificate", another, android.DeviceLimit)
	settings.DeviceLimit = 2
	l.check(l.core.SetSettings(t.Context(), l.pnow(), server.System, settings))
	if _, err := l.link.EnrolAndroid(t.Context(), d, l.start(another, mode)); err != nil {
		t.Errorf("the token of one that was one too many was used up: %v", err)
	}

	bare, err := server.Open(t.Context(), l.pnow(), server.Config{Store: store.NewMemory()})
	l.check(err)
	l.check(bare.SetUp(t.Context(), l.pnow(), authority.Tenant{Release: 1908}, delivery.Settings{}))
	if _, err := bare.InviteAndroid(t.Context(), l.pnow(), 0, android.Dedicated, time.Hour); !errors.Is(err, protocol.RuleUnset) {
		t.Errorf("without an authority: %v", err)
	}
	l.check(bare.SetUp(t.Context(), l.pnow(), authority.Tenant{Authority: protocol.Intune, Release: 2611}, delivery.Settings{}))
	if _, err := bare.InviteAndroid(t.Context(), l.pnow(), 0, android.Dedicated, time.Hour); !errors.Is(err, protocol.RuleConsent) {
		t.Errorf("without consent: %v", err)
	}
	if _, err := bare.InviteAndroid(t.Context(), l.pnow(), 0, android.AOSPUserless, time.Hour); err != nil {
		t.Errorf("a device without Google: %v", err)
	}
	if _, err := bare.InviteAndroid(t.Context(), l.pnow(), 0, android.AOSPUser, time.Hour); err == nil {
		t.Error("a user's device without a user is invited")
	}
}

// Whoever knows a serial number does not get the place of the device that has it (HST-042, HST-051).
func TestHST051SerialNumber(t *testing.T) {
	l := newAndroidLab(t, onMemory)
	d := l.enrolled(1, android.Dedicated)
	before := l.record(d)
	thief := l.device(1, android.Dedicated)
	token := l.invite(android.Dedicated)
	_, err := l.link.EnrolAndroid(t.Context(), thief, l.start(token, android.Dedicated))
	if f, ok := errors.AsType[*dialect.Failure](err); !ok || f.Code != android.Refused {
		t.Errorf("a second device with this serial number: %v", err)
	}
	l.talks(d)
	if after := l.record(d); after.State.Identity != before.State.Identity {
		t.Error("the first has lost its identity")
	}
	kim := l.enrolled(2, android.FullyManaged)
	again := l.device(2, android.FullyManaged) // the same user's, reset by hand
	_, err = l.link.EnrolAndroid(t.Context(), again, l.start(l.invite(android.FullyManaged), android.FullyManaged))
	l.check(err)
	if a, _ := kim.Names(); a != l.record(again).ID {
		t.Error("the record is another one (AUTH-44)")
	}
	if _, err := l.link.Converse(t.Context(), kim, dialect.Synced); err == nil {
		t.Error("the identity of the enrolment before is taken")
	}
}

// A round whose answer was lost gets the same bytes again, and nothing is done twice, after a restart of the server too (AND-073, I3).
func TestAND073SameBytes(t *testing.T) {
	for name, open := range map[string]func(testing.TB) store.Store{"memory": onMemory, "sqlite": onSQLite} {
		t.Run(name, func(t *testing.T) {
			l := newAndroidLab(t, open)
			d := l.enrolled(1, android.FullyManaged)
			r := l.record(d)
			_, err := l.core.Order(t.Context(), l.pnow(), r.State.Device, protocol.Command{Kind: protocol.Lock})
			l.check(err)
			l.assign("wifi", protocol.WiFi, "Office")
			body := l.message(d, "c-1")
			_, first, err := l.says(d, "POST", android.CheckInPath, nil, body)
			l.check(err)
			var a android.CheckInAnswer
			l.check(android.DecodeKnown(first, &a))
			if a.Complete || len(a.Commands) != 1 || a.Commands[0].Type != android.Lock || a.Policy == nil {
				t.Fatalf("%s", first)
			}
			l.wait(time.Minute)
			if _, again, err := l.says(d, "POST", android.CheckInPath, nil, body); err != nil || !bytes.Equal(first, again) {
				t.Errorf("answered\n%s\nand then\n%s", first, again)
			}
			report := l.message(d, "c-1", func(m *android.CheckIn) {
				m.Round, m.Applied.PolicyVersion = 2, a.Policy.Version
				m.Results = []android.Result{{Command: a.Commands[0].ID, State: android.ResultDone}}
				m.Applied.Profiles = []android.AppliedProfile{{ID: "example.wifi", Version: a.Policy.Profiles[0].Version, Status: android.Applied}}
			})
			_, first, err = l.says(d, "POST", android.CheckInPath, nil, report)
			l.check(err)
			done := l.record(d).State.Reports
			for range 2 {
				if _, again, err := l.says(d, "POST", android.CheckInPath, nil, report); err != nil || !bytes.Equal(first, again) {
					t.Errorf("answered\n%s\nand then\n%s", first, again)
				}
			}
			if now := l.record(d).State.Reports; now != done || !slices.Equal(l.on(d), []string{"wifi"}) {
				t.Errorf("counted %+v, then %+v; on the device %q", done, now, l.on(d))
			}
		})
	}
}

// A report of a command that is through, that was never given, or that is another device's is answered, and counts for nothing (HST-052).
func TestHST052ReplayedReports(t *testing.T) {
	l := newAndroidLab(t, onMemory)
	d, other := l.enrolled(1, android.FullyManaged), l.enrolled(2, android.FullyManaged)
	lock := func(d *dialect.Android) string {
		id, err := l.core.Order(t.Context(), l.pnow(), l.record(d).State.Device, protocol.Command{Kind: protocol.Lock})
		l.check(err)
		return id.String()
	}
	through := lock(d)
	l.talks(d)
	waits := lock(other)
	_, err := l.core.Order(t.Context(), l.pnow(), l.record(d).State.Device, protocol.Command{Kind: protocol.Restart}) // which none of them is about
	l.check(err)
	before, theirs := l.record(d).State.Reports, l.record(other).State
	for i, id := range []string{through, through, waits, "00000000-0000-4000-8000-000000000000", "c-77"} {
		body := l.message(d, "c-"+string(rune('a'+i)), func(m *android.CheckIn) {
			m.Results = []android.Result{{Command: id, State: android.ResultError, ErrorCode: android.CodeUnsupported}}
		})
		if status, answer, err := l.says(d, "POST", android.CheckInPath, nil, body); err != nil || status != 200 {
			t.Errorf("%s: %d %s %v", id, status, answer, err)
		}
	}
	if now := l.record(d).State; now.Reports != before || len(now.Queue) != 1 {
		t.Errorf("counted %+v, then %+v; %+v waits", before, now.Reports, now.Queue)
	}
	if now := l.record(other).State; now.Reports != theirs.Reports || len(now.Queue) != len(theirs.Queue) {
		t.Errorf("the other device: %+v, then %+v", theirs.Queue, now.Queue)
	}
	l.talks(other)
	if now := l.record(other).State; len(now.Queue) != 0 {
		t.Errorf("the other device's lock still waits: %+v", now.Queue)
	}
}

// A device moves when its check-in is complete, and not before (AND-075, I2); old profiles are told to go.
func TestAND075Moves(t *testing.T) {
	l := newAndroidLab(t, onMemory)
	l.assign("wifi", protocol.WiFi, "Office")
	d := l.enrolled(1, android.FullyManaged)
	l.wait(time.Hour)
	p, err := l.core.PreviewAuthority(t.Context(), l.pnow(), authority.Change{Authority: protocol.SCCM})
	l.check(err)
	_, err = l.core.SetAuthority(t.Context(), l.pnow(), server.System, authority.Change{Authority: protocol.SCCM}, p.ID, 1)
	l.check(err)
	body := l.message(d, "c-1")
	_, answer, err := l.says(d, "POST", android.CheckInPath, nil, body)
	l.check(err)
	var a android.CheckInAnswer
	l.check(android.Decode(answer, &a))
	if epoch := l.record(d).State.Epoch; !a.Complete && epoch != 1 || a.Complete && epoch == 1 {
		t.Errorf("complete %t, registered in epoch %d", a.Complete, epoch)
	}
	if a.Authority.Epoch != 2 || a.Authority.Notice == "" {
		t.Errorf("the answer tells of no change: %s", answer)
	}
	report := l.talks(d)
	if l.record(d).State.Epoch != 2 || d.Epoch() != 2 || report.Notice.Epoch != 2 {
		t.Errorf("registered in epoch %d, the device knows %d", l.record(d).State.Epoch, d.Epoch())
	}
	l.wait(8 * 24 * time.Hour)
	d.Expire(l.pnow())
	l.talks(d)
	if len(d.Profiles()) != 0 || len(l.on(d)) != 0 {
		t.Errorf("after seven days %+v on the device, the server knows %q (AUTH-27)", d.Profiles(), l.on(d))
	}
}

// A deleted device hears of it at its next check-in, by an order that is signed for it (AND-078); what it says afterwards is refused.
func TestAND078Deleted(t *testing.T) {
	for _, tt := range []struct {
		mode  android.Mode
		phase agent.Phase
	}{{android.WorkProfilePersonal, agent.Removed}, {android.WorkProfileCompany, agent.Removed}, {android.AOSPUserless, agent.Wiped}} {
		l := newAndroidLab(t, onMemory)
		d := l.enrolled(1, tt.mode)
		r := l.record(d)
		kept, err := d.AppendBinary(nil)
		l.check(err)
		_, err = l.core.Delete(t.Context(), l.pnow(), server.System, []protocol.Device{r.State.Device}, 1)
		l.check(err)
		if _, err := l.link.Converse(t.Context(), d, dialect.Scheduled); err == nil && d.Phase() == agent.Enrolled {
			l.wait(time.Hour)
		}
		if d.Phase() == agent.Enrolled {
			l.link.Converse(t.Context(), d, dialect.Synced)
		}
		l.is(d, tt.phase)
		if _, err := l.store.Device(t.Context(), r.ID); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s: the record is still there: %v", tt.mode, err)
		}
		var ghost dialect.Android
		l.check(ghost.UnmarshalBinary(kept))
		ghost.Share(androidModel, &dialect.Habits{})
		if status, answer, err := l.says(&ghost, "POST", android.CheckInPath, nil, l.message(&ghost, "c-9")); err == nil {
			t.Errorf("%s: the identity of a deleted device: %d %s", tt.mode, status, answer)
		}
	}
}

// Wipe and retire: the server has the result before anything is gone, and the certificate is refused afterwards (AND-079); what can only be
// reset is not retired (AUTH-53).
func TestAND079Wiped(t *testing.T) {
	for _, tt := range []struct {
		mode  android.Mode
		kind  protocol.CommandKind
		phase agent.Phase
	}{
		{android.WorkProfilePersonal, protocol.Erase, agent.Removed},
		{android.WorkProfilePersonal, protocol.Retire, agent.Removed},
		{android.WorkProfileCompany, protocol.Retire, agent.Removed},
		{android.FullyManaged, protocol.Erase, agent.Wiped},
		{android.FullyManaged, protocol.Retire, agent.Enrolled},
		{android.Dedicated, protocol.Retire, agent.Enrolled},
	} {
		l := newAndroidLab(t, onMemory)
		d := l.enrolled(1, tt.mode)
		r := l.record(d)
		kept, err := d.AppendBinary(nil)
		l.check(err)
		id, err := l.core.Order(t.Context(), l.pnow(), r.State.Device, protocol.Command{Kind: tt.kind})
		if tt.phase == agent.Enrolled {
			if !errors.Is(err, protocol.RuleRetire) {
				t.Errorf("%s %s: %v, want a refusal", tt.mode, tt.kind, err)
			}
			continue
		}
		l.check(err)
		l.talks(d)
		l.is(d, tt.phase)
		after := l.recordOf(r.ID)
		history, err := l.store.History(t.Context(), r.State.Device, 50)
		l.check(err)
		done := slices.ContainsFunc(history, func(c delivery.CommandChange) bool { return c.ID == id && c.Final && c.Status == protocol.Acknowledged })
		if after.State.Life != delivery.Ended || !done {
			t.Errorf("%s %s: %s, result stored: %t", tt.mode, tt.kind, after.State.Life, done)
		}
		var ghost dialect.Android
		l.check(ghost.UnmarshalBinary(kept))
		ghost.Share(androidModel, &dialect.Habits{})
		if status, _, err := l.says(&ghost, "POST", android.CheckInPath, nil, l.message(&ghost, "c-9")); err == nil {
			t.Errorf("%s %s: the old certificate is answered %d", tt.mode, tt.kind, status)
		}
	}
}

// A certificate speaks for its device alone: both stay as they are, and the journal says so (AND-080, HST-033).
func TestAND080OtherDevice(t *testing.T) {
	l := newAndroidLab(t, onMemory)
	d, other := l.enrolled(1, android.FullyManaged), l.enrolled(2, android.FullyManaged)
	name, enrollment := other.Names()
	before := []store.Record{l.record(d), l.record(other)}
	for path, body := range map[string][]byte{
		android.CheckInPath:  l.message(d, "c-1", func(m *android.CheckIn) { m.Device = name }),
		android.UnenrollPath: android.Append(nil, &android.UnenrollRequest{Device: name, Enrollment: enrollment, Reason: android.UserRequest}),
	} {
		status, answer, err := l.says(d, "POST", path, nil, body)
		l.check(err)
		if reason, _ := refusal(t, answer); status != 403 || reason != android.DeviceMismatch {
			t.Errorf("%s: %d %s", path, status, answer)
		}
	}
	own, _ := d.Names()
	status, answer, err := l.says(d, "POST", android.UnenrollPath, nil, android.Append(nil, &android.UnenrollRequest{Device: own, Enrollment: enrollment, Reason: android.UserRequest}))
	l.check(err)
	if reason, _ := refusal(t, answer); status != 403 || reason != android.DeviceMismatch {
		t.Errorf("another enrolment's farewell: %d %s", status, answer)
	}
	for i, d := range []*dialect.Android{d, other} {
		if now := l.record(d); now.State.Life != delivery.Enrolled || now.State.Identity != before[i].State.Identity {
			t.Errorf("device %d: %+v", i+1, now.State)
		}
	}
	lines, err := l.store.Journal(t.Context(), store.LineFilter{}, 100)
	l.check(err)
	if !slices.ContainsFunc(lines, func(x store.Line) bool { return x.Rule == "HST-033" }) {
		t.Error("the journal does not know")
	}
}

// Renewal: only in its window, the old certificate holds until the new one was used once (AND-081, AUTH-41); after its end the TLS handshake
// is refused, and the device enrols again and keeps its record (AUTH-42).
func TestAND081RenewalWire(t *testing.T) {
	l := newAndroidLab(t, onSQLite)
	d := l.enrolled(1, android.FullyManaged)
	first, record := d.Identity(), l.record(d)
	key, err := certs.GenerateKey(certs.P256)
	l.check(err)
	csr, err := x509.CreateCertificateRequest(nil, &x509.CertificateRequest{Subject: pkix.Name{CommonName: record.ID}}, key)
	l.check(err)
	early, text, err := l.says(d, "POST", android.ESTPath+"/simplereenroll", map[string]string{"Content-Type": "application/pkcs10"}, []byte(base64.StdEncoding.EncodeToString(csr)))
	if err != nil || early != 403 {
		t.Errorf("a renewal on the first day: %d %s %v", early, text, err)
	}
	l.wait(300 * 24 * time.Hour)
	l.talks(d)
	if d.Identity() != first {
		t.Error("renewed before its time")
	}
	l.wait(30 * 24 * time.Hour) // 35 days before its end
	old, err := d.AppendBinary(nil)
	l.check(err)
	l.talks(d)
	if d.Identity().Serial == first.Serial || d.Renewing() {
		t.Fatalf("not renewed: %+v", d.Identity())
	}
	l.talks(d)
	var before dialect.Android
	l.check(before.UnmarshalBinary(old))
	before.Share(androidModel, &dialect.Habits{})
	status, answer, err := l.says(&before, "POST", android.CheckInPath, nil, l.message(&before, "c-9"))
	if err == nil && status == 200 {
		t.Errorf("the old identity is taken after the new one was used: %s", answer)
	}
	l.wait(400 * 24 * time.Hour)
	if _, err := l.link.Converse(t.Context(), d, dialect.Synced); err == nil || !d.MustEnrol(l.pnow()) {
		t.Errorf("an identity that has ended: %v", err)
	}
	_, err = l.link.EnrolAndroid(t.Context(), d, l.start(l.invite(android.FullyManaged), android.FullyManaged))
	l.check(err)
	if l.record(d).State.Device != record.State.Device {
		t.Error("the record is another one")
	}
}

// What is malformed, of another version, too large, packed or by another method is refused by its own name, and changes nothing (HST-001,
// 002, 006, 012, 014); a device keeps all it has (HST-027).
func TestHST014AndroidBadInput(t *testing.T) {
	l := newAndroidLab(t, onMemory)
	l.assign("wifi", protocol.WiFi, "Office")
	d := l.enrolled(1, android.FullyManaged)
	before := l.record(d)
	good := l.message(d, "c-1")
	zipped := func(b []byte) []byte {
		var out bytes.Buffer
		w := gzip.NewWriter(&out)
		w.Write(b)
		w.Close()
		return out.Bytes()
	}
	for _, tt := range []struct {
		name, method, encoding string
		body                   []byte
		status                 int
		reason                 string
	}{
		{"HST-001", "POST", "", bytes.Repeat([]byte("x"), android.MaxMessage+1), 413, android.TooLarge},
		{"HST-002", "POST", "", good[:len(good)-2], 400, android.Malformed},
		{"HST-006", "POST", "", bytes.Replace(good, []byte(`"round":1`), []byte(`"round":1,"round":2`), 1), 400, android.Malformed},
		{"HST-012 bomb", "POST", "gzip", zipped(make([]byte, 4<<20)), 413, android.TooLarge},
		{"HST-012 not packed", "POST", "gzip", good, 400, android.Malformed},
		{"HST-012 second member", "POST", "gzip", append(zipped(good), zipped(good)...), 400, android.Malformed},
		{"HST-012 behind it", "POST", "gzip", append(zipped(good), 'x'), 400, android.Malformed},
		{"HST-012 other", "POST", "br", good, 415, android.Malformed},
		{"HST-014 unknown member", "POST", "", bytes.Replace(good, []byte(`{"protocol":1`), []byte(`{"later":{"x":[1]},"protocol":1`), 1), 200, ""},
		{"packed", "POST", "gzip", zipped(bytes.Replace(good, []byte("c-1"), []byte("c-2"), 1)), 200, ""},
		{"version", "POST", "", bytes.Replace(good, []byte(`"protocol":1`), []byte(`"protocol":2`), 1), 400, android.ProtocolUnsupported},
		{"method", "GET", "", nil, 405, android.Malformed},
	} {
		status, answer, err := l.says(d, tt.method, android.CheckInPath, map[string]string{"Content-Encoding": tt.encoding}, tt.body)
		l.check(err)
		if status != tt.status {
			t.Errorf("%s: %d %.200s, want %d", tt.name, status, answer, tt.status)
		} else if tt.reason != "" {
			if reason, _ := refusal(t, answer); reason != tt.reason {
				t.Errorf("%s: %s, want %s", tt.name, reason, tt.reason)
			}
		}
	}
	status, answer, err := l.says(nil, "POST", android.CheckInPath, nil, good)
	l.check(err)
	if reason, _ := refusal(t, answer); status != 401 || reason != android.NotRecognised {
		t.Errorf("HST-030: %d %s", status, answer)
	}
	if after := l.record(d); !slices.EqualFunc(after.State.Profiles, before.State.Profiles, func(a, b delivery.Assigned) bool { return a.Profile == b.Profile && a.State == b.State }) || after.State.Life != delivery.Enrolled {
		t.Errorf("%+v, before %+v", after.State, before.State)
	}
	l.talks(d)
}

// A device that reports an older policy than it had, as one does that was restored, gets the right one again (HST-101).
func TestHST101StalePolicyIsMended(t *testing.T) {
	l := newAndroidLab(t, onMemory)
	l.assign("wifi", protocol.WiFi, "Office")
	d := l.enrolled(1, android.FullyManaged)
	body := l.message(d, "c-1", func(m *android.CheckIn) { m.Applied.PolicyVersion, m.Applied.Profiles = 1, nil })
	_, answer, err := l.says(d, "POST", android.CheckInPath, nil, body)
	l.check(err)
	var a android.CheckInAnswer
	l.check(android.Decode(answer, &a))
	if a.Complete || a.Policy == nil || len(a.Policy.Profiles) != 1 {
		t.Errorf("%s", answer)
	}
	if report := l.talks(d); report.Steps[dialect.CheckIn] != 1 || !slices.Equal(l.on(d), []string{"wifi"}) {
		t.Errorf("%d rounds, %q on the device", report.Steps[dialect.CheckIn], l.on(d))
	}
}

// Profiles come, change and go; a policy of Google's words reaches Android devices alone, and what a device's mode has not is reported
// (AND-061, AND-062, AUTH-52, AUTH-55).
func TestAND062PoliciesWire(t *testing.T) {
	l := newAndroidLab(t, onSQLite)
	d, aosp := l.enrolled(1, android.WorkProfilePersonal), l.enrolled(2, android.AOSPUser)
	l.assign("wifi", protocol.WiFi, "Office")
	put := func(name, document string, family protocol.Family) {
		_, err := l.core.PutProfile(t.Context(), l.pnow(), server.System, server.ProfileChange{Name: name, Family: family, Identifier: "android." + name, Payload: []byte(document), Groups: []string{"all"}}, "")
		l.check(err)
	}
	put("camera", `{"cameraAccess":"CAMERA_ACCESS_DISABLED"}`, protocol.Configuration)
	put("updates", `{"systemUpdate":{"type":"AUTOMATIC"}}`, protocol.Configuration)
	l.talks(d)
	l.talks(aosp)
	if got := l.on(d); !slices.Equal(got, []string{"wifi", "camera"}) {
		t.Errorf("%q on the device", got)
	}
	if got := l.on(aosp); !slices.Equal(got, []string{"wifi", "camera", "updates"}) {
		t.Errorf("%q on the AOSP device", got)
	}
	text, version := d.Policy()
	if !strings.Contains(string(text), `"cameraAccess":"CAMERA_ACCESS_DISABLED"`) || strings.Contains(string(text), "systemUpdate") {
		t.Errorf("policy %s", text)
	}
	if failed := l.record(d).State.Profiles; !slices.ContainsFunc(failed, func(a delivery.Assigned) bool { return a.State == delivery.InstallFailed && a.GivenUp() }) {
		t.Errorf("what the mode has not is tried again: %+v", failed)
	}
	l.assign("wifi", protocol.WiFi, "Guests")
	l.talks(d)
	if text, now := d.Policy(); !strings.Contains(string(text), "Guests") || strings.Contains(string(text), "Office") || now <= version {
		t.Errorf("version %d, then %d: %s", version, now, text)
	}
	if _, err := l.core.TakeProfile(t.Context(), l.pnow(), server.System, server.ProfileRemoval{Name: "wifi"}, ""); err != nil {
		t.Fatal(err)
	}
	l.talks(d)
	if got := l.on(d); !slices.Equal(got, []string{"camera"}) || slices.ContainsFunc(d.Profiles(), func(p dialect.Profile) bool { return p.Family == protocol.WiFi }) {
		t.Errorf("%q on the device, which has %+v", got, d.Profiles())
	}
	_, version = d.Policy()
	r := l.record(d)
	if kept, reasons := server.AndroidPolicy(&r.Facts); kept != version || len(reasons) > 0 {
		t.Errorf("its record has version %d of the policy, and %v; the device has %d", kept, reasons, version)
	}
}

// The user removes management: the certificate is revoked with the answer.
func TestAndroidFarewell(t *testing.T) {
	l := newAndroidLab(t, onMemory)
	d := l.enrolled(1, android.WorkProfilePersonal)
	r := l.record(d)
	kept, err := d.AppendBinary(nil)
	l.check(err)
	_, err = l.link.Converse(t.Context(), d, dialect.UserRemoves)
	l.check(err)
	l.is(d, agent.Removed)
	if now := l.recordOf(r.ID); now.State.Life != delivery.Ended {
		t.Errorf("%s", now.State.Life)
	}
	var ghost dialect.Android
	l.check(ghost.UnmarshalBinary(kept))
	ghost.Share(androidModel, &dialect.Habits{})
	if status, _, err := l.says(&ghost, "POST", android.CheckInPath, nil, l.message(&ghost, "c-9")); err == nil {
		t.Errorf("its certificate is answered %d", status)
	}
	_, err = l.link.EnrolAndroid(t.Context(), d, l.start(l.invite(android.WorkProfilePersonal), android.WorkProfilePersonal))
	l.check(err)
}

// Commands with their results: what the device says of each stands in the history (android.md, section 2.5).
func TestAND038CommandsWire(t *testing.T) {
	l := newAndroidLab(t, onMemory)
	d, personal := l.enrolled(1, android.Dedicated), l.enrolled(2, android.WorkProfilePersonal)
	order := func(d *dialect.Android, kind protocol.CommandKind, text string) protocol.CommandID {
		id, err := l.core.Order(t.Context(), l.pnow(), l.record(d).State.Device, protocol.Command{Kind: kind, Text: text})
		l.check(err)
		return id
	}
	result := func(d *dialect.Android, id protocol.CommandID, want protocol.Status, code string) {
		t.Helper()
		history, err := l.store.History(t.Context(), l.record(d).State.Device, 50)
		l.check(err)
		i := slices.IndexFunc(history, func(c delivery.CommandChange) bool { return c.ID == id && c.Final })
		if i < 0 || history[i].Status != want || history[i].Errors != code {
			t.Errorf("%+v, want %s %s", history, want, code)
		}
	}
	lost := order(d, protocol.StartLostMode, "Please bring me home")
	clear := order(d, protocol.ClearAppData, "com.example.mail com.example.none")
	passcode := order(d, protocol.ResetPasscode, "1234")
	info := order(d, protocol.DeviceInformation, "")
	l.talks(d)
	result(d, lost, protocol.Acknowledged, "")
	result(d, clear, protocol.Acknowledged, "com.example.none: APP_NOT_FOUND")
	result(d, passcode, protocol.Failed, android.CodeInvalidValue)
	result(d, info, protocol.Acknowledged, "")
	if d.State() != android.Lost {
		t.Errorf("the device is %s", d.State())
	}
	ordered := l.pnow()
	found := order(d, protocol.StopLostMode, "")
	boot := order(d, protocol.Restart, "")
	l.wait(time.Hour)
	var brings android.CheckInAnswer
	_, answer, err := l.says(d, "POST", android.CheckInPath, nil, l.message(d, "c-orders"))
	l.check(err)
	l.check(android.Decode(answer, &brings))
	if len(brings.Commands) != 2 || brings.Commands[0].CreateTime != ordered || brings.Commands[1].CreateTime != ordered {
		t.Errorf("commands that were ordered at %s come as %s", ordered, answer)
	}
	l.talks(d)
	result(d, found, protocol.Acknowledged, "")
	result(d, boot, protocol.Acknowledged, "")
	for _, tt := range []struct {
		d    *dialect.Android
		c    protocol.Command
		rule protocol.Rule
	}{
		{d, protocol.Command{Kind: protocol.ClearAppData}, "HST-014"},
		{d, protocol.Command{Kind: protocol.StartLostMode}, "HST-014"},
		{personal, protocol.Command{Kind: protocol.StartLostMode, Text: "x"}, "AND-038"},
		{personal, protocol.Command{Kind: protocol.StopLostMode}, "AND-038"},
		{personal, protocol.Command{Kind: protocol.Restart}, "AND-038"},
		{d, protocol.Command{Kind: protocol.Retire}, protocol.RuleRetire},
	} {
		n := l.record(tt.d).State.Device
		if _, err := l.core.Order(t.Context(), l.pnow(), n, tt.c); !errors.Is(err, tt.rule) {
			t.Errorf("%s: %v, want %s", tt.c.Kind, err, tt.rule)
		}
		lines, err := l.store.Journal(t.Context(), store.LineFilter{}, 10000)
		if err != nil || !slices.ContainsFunc(lines, func(l store.Line) bool { return l.Device == n && l.Rule == tt.rule && l.What == delivery.WhatRefused }) {
			t.Errorf("%s: the journal says nothing of the refusal: %v", tt.c.Kind, err)
		}
	}
}

// Of two devices that race with one token, one enrols (HST-037, AND-015 for the agent).
func TestHST037AndroidRace(t *testing.T) {
	l := newAndroidLab(t, onSQLite)
	start := l.start(l.invite(android.FullyManaged), android.FullyManaged)
	devices := []*dialect.Android{l.device(1, android.FullyManaged), l.device(2, android.FullyManaged)}
	done := make(chan error, len(devices))
	for _, d := range devices {
		go func() {
			_, err := l.link.EnrolAndroid(t.Context(), d, start)
			done <- err
		}()
	}
	won := 0
	for range devices {
		if err := <-done; err == nil {
			won++
		} else if f, ok := errors.AsType[*dialect.Failure](err); !ok || f.Code != android.TokenUsed && f.Step != dialect.Identify {
			t.Errorf("the other was told %v", err)
		}
	}
	if won != 1 {
		t.Errorf("%d of two enrolled with one token", won)
	}
}

// The same with SCEP and RSA 2048 (AND-070): the certificate is for the device that the token is bound to.
func TestAND070SCEP(t *testing.T) {
	made, err := certs.GenerateKey(certs.RSA2048)
	fatal(t, err)
	l := newAndroidLab(t, onMemory, func(c *device.Config, carries *link.Config) {
		c.Android.RSA = true
		carries.RSAKeys = func(link.Device) (*rsa.PrivateKey, error) { return made.(*rsa.PrivateKey), nil }
	})
	d := l.enrolled(1, android.FullyManaged)
	signer, err := d.Signer(dialect.Current)
	l.check(err)
	if name, _ := d.Names(); signer.Certificate.Subject.CommonName != name || !made.Public().(*rsa.PublicKey).Equal(signer.Certificate.PublicKey) {
		t.Errorf("certificate for %q", signer.Certificate.Subject)
	}
	l.talks(d)
}

// A gap in Apple's push certificates is nothing to Android: enrolment, check-in and commands go on (AND-060, AUTH-30).
func TestAND060Gap(t *testing.T) {
	l := newAndroidLab(t, onMemory)
	d := l.enrolled(1, android.WorkProfilePersonal)
	l.wait(time.Hour)
	p, err := l.core.PreviewAuthority(t.Context(), l.pnow(), authority.Change{Authority: protocol.SCCM})
	l.check(err)
	_, err = l.core.SetAuthority(t.Context(), l.pnow(), server.System, authority.Change{Authority: protocol.SCCM}, p.ID, 1)
	l.check(err)
	if l.core.World().Gap == 0 {
		t.Fatal("there is no gap")
	}
	id, err := l.core.Order(t.Context(), l.pnow(), l.record(d).State.Device, protocol.Command{Kind: protocol.Lock})
	l.check(err)
	l.talks(d)
	history, err := l.store.History(t.Context(), l.record(d).State.Device, 20)
	l.check(err)
	if !slices.ContainsFunc(history, func(c delivery.CommandChange) bool { return c.ID == id && c.Final }) || l.record(d).State.Epoch != 2 {
		t.Errorf("epoch %d, history %+v", l.record(d).State.Epoch, history)
	}
	l.is(l.enrolled(3, android.FullyManaged), agent.Enrolled)
}

// All pushes lost: devices come by their schedule, and move within one interval of it (AND-094, AUTH-21); ten wake-ups of one that was
// away are one check-in (AND-091).
func TestAND094Schedule(t *testing.T) {
	l := newAndroidLab(t, onMemory)
	d := l.enrolled(1, android.FullyManaged)
	p, err := l.core.PreviewAuthority(t.Context(), l.pnow(), authority.Change{Authority: protocol.SCCM})
	l.check(err)
	_, err = l.core.SetAuthority(t.Context(), l.pnow(), server.System, authority.Change{Authority: protocol.SCCM}, p.ID, 1)
	l.check(err)
	changed := l.now()
	for l.record(d).State.Epoch != 2 {
		due := d.Due().Time()
		if due.Sub(changed) > 8*time.Hour {
			t.Fatalf("not moved until %s", due)
		}
		l.clock.Store(&due)
		_, err := l.link.Converse(t.Context(), d, dialect.Scheduled)
		l.check(err)
	}
	l.wait(30 * time.Hour)
	before := l.record(d).State.LastSeen
	if report, err := l.link.Converse(t.Context(), d, dialect.Scheduled); err != nil || report.Steps[dialect.CheckIn] != 1 || l.record(d).State.LastSeen == before {
		t.Errorf("%+v, %v", report, err)
	}
	if report, err := l.link.Converse(t.Context(), d, dialect.Scheduled); err != nil || report.Steps[dialect.CheckIn] != 0 {
		t.Errorf("once more: %+v, %v", report, err)
	}
}

// An address is its who said it last: the device that said it before is not woken there any more (HST-084).
func TestHST084AndroidAddress(t *testing.T) {
	l := newAndroidLab(t, onMemory)
	d, other := l.enrolled(1, android.FullyManaged), l.enrolled(2, android.FullyManaged)
	fid := d.Push()
	if before := l.record(d).State.Push; string(before.Token) != fid || before.Unreachable {
		t.Fatalf("the device is woken at %q, said %q", before.Token, fid)
	}
	status, answer, err := l.says(other, "POST", android.CheckInPath, nil, l.message(other, "c-claim", func(m *android.CheckIn) {
		m.Push = &android.Push{Kind: "fcm", FID: fid}
	}))
	if err != nil || status != 200 {
		t.Fatalf("%d %s %v", status, answer, err)
	}
	if a, b := l.record(d).State.Push, l.record(other).State.Push; !a.Unreachable || string(b.Token) != fid || b.Unreachable {
		t.Errorf("the first: %+v, the second: %+v", a, b)
	}
}

// What a device's clock says decides nothing, however wrong it is (HST-058).
func TestHST058AndroidClock(t *testing.T) {
	l := newAndroidLab(t, onMemory)
	d := l.enrolled(1, android.FullyManaged)
	l.wait(time.Hour)
	for name, at := range map[string]protocol.Time{"c-past": 1, "c-future": l.pnow().Add(75 * 365 * 24 * time.Hour)} {
		status, answer, err := l.says(d, "POST", android.CheckInPath, nil, l.message(d, name, func(m *android.CheckIn) { m.Time = at }))
		if err != nil || status != 200 {
			t.Errorf("at %s: %d %s %v", at, status, answer, err)
		}
		if seen := l.record(d).State.LastSeen; seen > l.pnow() || seen < l.pnow().Add(-2*time.Hour) {
			t.Errorf("a device whose clock says %s was seen at %s, and it is %s", at, seen, l.pnow())
		}
	}
	l.talks(d)
}
