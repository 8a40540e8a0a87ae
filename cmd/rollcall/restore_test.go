//go:build !agentonly

package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"rollcall/agent"
	"rollcall/agent/dialect"
	"rollcall/agent/link"
	"rollcall/fleet/target"
	"rollcall/protocol"
	"rollcall/protocol/apple"
	"rollcall/server/authority"
	"rollcall/server/logs"
	"rollcall/server/store/sqlstore"
)

// A lost week is a server and its devices, over real mutual TLS under a driven clock, before and after a restoration.
type lostWeek struct {
	t      *testing.T
	cfg    serveConfig
	server *runningServer
	api    *target.Rollcall
	link   *link.Link
	log    bytes.Buffer

	mu  sync.Mutex
	did map[protocol.Device][]string // commands that were carried out
}

func newLostWeek(t *testing.T) *lostWeek {
	dir := filepath.Join(t.TempDir(), "data")
	w := &lostWeek{t: t, did: map[protocol.Device][]string{}, cfg: serveConfig{
		Data: dir, Clock: newDrivenClock(dir, time.Now()), Simulated: true, Tenant: &authority.Tenant{Release: 2611, Authority: protocol.Intune},
	}}
	w.cfg.Log = logs.New(&w.log, true)
	w.start()
	w.cfg.Listen = w.server.Addr // devices know it
	var err error
	w.link, err = link.New(link.Config{Roots: w.roots(), Now: w.cfg.Clock.Now, Watcher: w})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *lostWeek) start() {
	w.server = startTestServer(w.t, w.cfg)
	w.api = clientOf(w.server)
	w.api.HTTP.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: w.roots()}, DisableKeepAlives: true}
}

func (w *lostWeek) roots() *x509.CertPool {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(w.server.CA)
	return roots
}

func (w *lostWeek) Exchanged(d protocol.Device, x *link.Exchange) {
	if x.Step == dialect.Report && x.Status == http.StatusOK && !x.Repeat {
		w.mu.Lock()
		w.did[d] = append(w.did[d], x.Command)
		w.mu.Unlock()
	}
}

func (w *lostWeek) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatalf("%v\n%s", err, &w.log)
	}
}

// join enrols a device of a new user in a group.
func (w *lostWeek) join(number int, group string) *dialect.Apple {
	w.t.Helper()
	upn := fmt.Sprintf("user%d@example.org", number)
	w.must(w.api.AddUsers(w.t.Context(), []target.User{{UPN: upn, Groups: []string{group}, IntuneLicence: true}}))
	d := dialect.NewApple(dialect.Who{Number: protocol.Device(number), Seed: uint64(number), UDID: fmt.Sprintf("00008101-%016X", number), Serial: fmt.Sprintf("SERIAL%d", number)},
		&dialect.Model{Platform: protocol.IOS, Product: "iPhone14,5", OSVersion: "17.6"}, &dialect.Habits{})
	w.joinAgain(d, upn)
	return d
}

func (w *lostWeek) joinAgain(d *dialect.Apple, upn string) {
	w.t.Helper()
	invitations, err := w.api.Invite(w.t.Context(), []string{upn})
	w.must(err)
	_, err = w.link.Enrol(w.t.Context(), d, dialect.Start{URL: invitations[0].URL})
	w.must(err)
	w.talk(d)
}

// talk has the device talk until nothing is left to be said.
func (w *lostWeek) talk(d *dialect.Apple) {
	w.t.Helper()
	for range 3 {
		_, err := w.link.Converse(w.t.Context(), d, dialect.Synced)
		w.must(err)
	}
}

func (w *lostWeek) later(by time.Duration) {
	w.t.Helper()
	_, err := w.api.Step(w.t.Context(), protocol.At(w.cfg.Clock.Now().Add(by)))
	w.must(err)
}

func (w *lostWeek) apply(name, version, group string) {
	w.t.Helper()
	p := apple.NewProfile("example."+name, name, protocol.Email)
	p.Description = version
	w.must(w.api.ApplyProfile(w.t.Context(), name, apple.EncodeProfile(p), []string{group}))
}

// count tells how often a device carried out a command since n commands.
func (w *lostWeek) count(d *dialect.Apple, since int, command string) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.did[d.Number()][since:] {
		if c == command {
			n++
		}
	}
	return n
}

func (w *lostWeek) done(d *dialect.Apple) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.did[d.Number()])
}

func (w *lostWeek) journal(f target.LineFilter) (lines []string) {
	w.t.Helper()
	for l, err := range w.api.Journal(w.t.Context(), f) {
		w.must(err)
		lines = append(lines, l.What+": "+l.Detail)
	}
	return lines
}

func installed(d *dialect.Apple) (identifiers []string) {
	for _, p := range d.Profiles() {
		if !p.MDM {
			identifiers = append(identifiers, strings.TrimPrefix(p.Identifier, "example."))
		}
	}
	slices.Sort(identifiers)
	return identifiers
}

// TestHST101Restored: a backup is restored that is older than the devices. They hold newer profiles and renewed
// certificates, carried out orders that the backup still holds, and one enrolled since; after their next check-in all are as
// the restored server wants them, none was told to unenrol, and the operator knows what is left to do.
func TestHST101Restored(t *testing.T) {
	ctx := t.Context()
	w := newLostWeek(t)
	w.apply("mail", "first", "sales")
	w.apply("calendar", "first", "sales")
	w.apply("contacts", "first", "field")
	steady, renewed, locked, moved := w.join(1, "sales"), w.join(2, "sales"), w.join(3, "sales"), w.join(4, "field")
	_, err := w.api.Order(ctx, locked.UDID(), target.Order{Kind: target.Lock, PIN: "123456"})
	w.must(err)
	unused, err := w.api.Invite(ctx, []string{"user1@example.org"})
	w.must(err)
	w.later(time.Hour)
	backup := filepath.Join(t.TempDir(), "backup.db")
	w.must(sqlstore.Backup(ctx, w.cfg.Data, backup))

	// What the backup does not know.
	w.apply("mail", "second", "sales")
	w.apply("news", "first", "sales")
	w.must(w.api.RemoveProfile(ctx, "calendar"))
	w.must(w.api.AddUsers(ctx, []target.User{{UPN: "user4@example.org", Groups: []string{"sales"}, IntuneLicence: true}}))
	for _, d := range []*dialect.Apple{steady, renewed, locked, moved} {
		w.talk(d)
	}
	w.later(340 * 24 * time.Hour)
	before := renewed.Identity()
	w.talk(renewed)
	w.talk(renewed)
	latest := renewed.Identity()
	if before.Serial == latest.Serial {
		t.Fatal("the identity was not renewed")
	}
	late := w.join(5, "sales")
	shown, err := w.api.PreviewAuthority(ctx, target.Change{Authority: "sccm"})
	w.must(err)
	_, err = w.api.SetAuthority(ctx, target.Change{Authority: "sccm", Confirm: shown.ID})
	w.must(err)
	w.link.Converse(ctx, moved, dialect.Synced) // refused in the gap (AUTH-30), and told of the change
	epoch := moved.Epoch()
	if epoch < 2 || w.count(locked, 0, "DeviceLock") != 1 {
		t.Fatalf("epoch %d, %v", epoch, w.did[locked.Number()])
	}

	w.must(w.server.Close())
	elsewhere := filepath.Join(t.TempDir(), "restored")
	w.must(os.Mkdir(elsewhere, 0o700))
	w.must(os.Rename(backup, filepath.Join(elsewhere, "rollcall.db")))
	w.cfg.Data = elsewhere
	w.start()
	w.later(time.Minute)

	resp, err := w.api.HTTP.Get(unused[0].URL)
	w.must(err)
	if resp.Body.Close(); resp.StatusCode != http.StatusNotFound {
		t.Errorf("an enrolment link from before the backup, which may have been used, is answered %s", resp.Status)
	}
	for _, tt := range []struct {
		name   string
		device *dialect.Apple
		want   []string
	}{
		{"steady", steady, []string{"calendar", "mail"}},
		{"renewed", renewed, []string{"calendar", "mail"}},
		{"locked", locked, []string{"calendar", "mail"}},
		{"moved", moved, []string{"contacts"}},
	} {
		since := w.done(tt.device)
		w.talk(tt.device)
		if tt.device.Phase() != agent.Enrolled {
			t.Errorf("%s: it is %s", tt.name, tt.device.Phase())
		}
		if got := installed(tt.device); !slices.Equal(got, tt.want) {
			t.Errorf("%s: it has %v, want %v", tt.name, got, tt.want)
		}
		if n := w.count(tt.device, since, "InstallProfile"); n < len(tt.want) {
			t.Errorf("%s: %d profiles came again, want %d: which version it had nobody knew", tt.name, n, len(tt.want))
		}
		if n := w.count(tt.device, since, "DeviceLock"); n != 0 {
			t.Errorf("%s: it was locked again", tt.name)
		}
		for _, command := range []string{"ProfileList", "DeviceInformation", "SecurityInfo"} {
			if n := w.count(tt.device, since, command); n != 1 {
				t.Errorf("%s: %d times %s", tt.name, n, command)
			}
		}
		of, err := w.api.Device(ctx, tt.device.UDID())
		if err != nil || of.Life != "enrolled" || of.Queue != 0 || of.Epoch <= epoch || tt.device.Epoch() != of.Epoch {
			t.Errorf("%s: %+v, %v; the device has heard of epoch %d", tt.name, of.Device, err, tt.device.Epoch())
		}
		since = w.done(tt.device)
		w.talk(tt.device)
		if n := w.done(tt.device); n != since {
			t.Errorf("%s: and again %v", tt.name, w.did[tt.device.Number()][since:])
		}
	}
	if of, err := w.api.Device(ctx, renewed.UDID()); err != nil || of.Identity.NotAfter != latest.NotAfter || renewed.Identity() != latest {
		t.Errorf("the server knows the renewed device by %+v, %v; it has %+v", of.Identity, err, latest)
	}
	if lines := w.journal(target.LineFilter{Device: renewed.UDID(), What: "identity recalled"}); len(lines) != 1 {
		t.Errorf("the journal says of the renewed device %q", lines)
	}
	if lines := w.journal(target.LineFilter{Device: locked.UDID(), What: "commands withdrawn", Rule: protocol.RuleRestored}); len(lines) != 1 {
		t.Errorf("the journal says of the locked device %q", lines)
	}

	// The device that nobody knows stays as it is, and the operator hears what to do; that helps.
	for range 2 {
		if _, err := w.link.Converse(ctx, late, dialect.Synced); err == nil {
			t.Error("the device that enrolled after the backup was served")
		}
	}
	if late.Phase() != agent.Enrolled || !slices.Equal(installed(late), []string{"mail", "news"}) {
		t.Errorf("the device that enrolled after the backup is %s with %v", late.Phase(), installed(late))
	}
	lines := w.journal(target.LineFilter{What: "unknown since the restoration"})
	if len(lines) != 1 || !strings.Contains(lines[0], late.UDID()) || !strings.Contains(lines[0], "enrol again") || !strings.Contains(w.log.String(), lines[0][len("unknown since the restoration: "):]) {
		t.Errorf("the operator hears %q", lines)
	}
	w.must(w.api.AddUsers(ctx, []target.User{{UPN: "user5@example.org", Groups: []string{"sales"}, IntuneLicence: true}}))
	again := dialect.NewApple(late.Who(), late.Model(), late.Habits()) // its user has removed the profile
	w.joinAgain(again, "user5@example.org")
	if of, err := w.api.Device(ctx, again.UDID()); err != nil || of.Life != "enrolled" || !slices.Equal(installed(again), []string{"calendar", "mail"}) {
		t.Errorf("enrolled again: %+v, %v, %v", of.Device, err, installed(again))
	}

	w.later(8 * 24 * time.Hour) // the seven days of a change that did not happen (AUTH-27)
	if w.talk(moved); !slices.Equal(installed(moved), []string{"contacts"}) {
		t.Errorf("a week later the device that had heard of a later change has %v", installed(moved))
	}

	// A start is no restoration.
	state, err := w.api.Authority(ctx)
	w.must(err)
	for range 2 {
		w.must(w.server.Close())
		w.start()
		if now, err := w.api.Authority(ctx); err != nil || now.Epoch != state.Epoch {
			t.Errorf("epoch %d after a start, %v; it was %d", now.Epoch, err, state.Epoch)
		}
	}
	if lines := w.journal(target.LineFilter{What: "tenant changed", Rule: protocol.RuleRestored}); len(lines) != 1 {
		t.Errorf("restorations in the journal: %q", lines)
	}
	for _, d := range []*dialect.Apple{steady, renewed} {
		since := w.done(d)
		w.talk(d)
		if n := w.done(d); n != since {
			t.Errorf("after a start device %d did %v", d.Number(), w.did[d.Number()][since:])
		}
	}
}
