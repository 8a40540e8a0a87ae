//go:build !agentonly

package main

import (
	"encoding/pem"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/agent/host"
	"rollcall/agent/host/apply"
	"rollcall/fleet/target"
	"rollcall/protocol"
	"rollcall/protocol/android"
	"rollcall/protocol/apple"
)

// otherKinds are how a machine is invited as another device than one of Apple's.
var otherKinds = map[string]struct {
	kind      protocol.Platform
	invite    target.InviteOptions
	lock      string // what the journal calls it
	restart   string
	lockShown string
}{
	"windows": {protocol.Windows, target.InviteOptions{Platform: protocol.Windows}, "RemoteLock/Lock", "Reboot/RebootNow", ""},
	"android": {protocol.Android, target.InviteOptions{Platform: protocol.Android, Mode: android.AOSPUser}, "LOCK", "REBOOT", ""},
}

// kindMachine is a machine that has enrolled as a device of that kind.
func kindMachine(t *testing.T, name string, change func(*host.Join)) (*bench, error) {
	t.Helper()
	tt := otherKinds[name]
	return invitedMachine(t, tt.kind, tt.invite, change)
}

func invitedMachine(t *testing.T, kind protocol.Platform, invite target.InviteOptions, change func(*host.Join)) (*bench, error) {
	t.Helper()
	b := &bench{labMachine: newLabMachine(t, serveConfig{}), root: t.TempDir()}
	for _, dir := range []string{"usr/local/share/ca-certificates", "etc/NetworkManager/system-connections"} {
		if err := os.MkdirAll(filepath.Join(b.root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	b.before = b.files(t)
	b.facts.Arch, b.facts.Memory = "amd64", 16<<30
	if err := b.api.AddUsers(t.Context(), []target.User{{UPN: b.user, IntuneLicence: true, Groups: []string{"bench"}}}); err != nil {
		t.Fatal(err)
	}
	if invite.Mode != "" && invite.Mode.Google() {
		if err := b.api.Consent(t.Context(), "androidManagedStore"); err != nil {
			t.Fatal(err)
		}
	}
	list, err := b.api.InviteFor(t.Context(), []string{b.user}, invite)
	if err != nil {
		t.Fatal(err)
	}
	b.h = b.open()
	j := host.Join{URL: list[0].URL, CA: "sha256:" + b.s.Fingerprint, As: kind, Apply: apply.Config{Root: b.root, Families: protocol.Families[:]}}
	if change != nil {
		change(&j)
	}
	return b, b.h.Enrol(t.Context(), j)
}

func (b *bench) order(t *testing.T, kind target.OrderKind) {
	t.Helper()
	if _, err := b.api.Order(t.Context(), b.device().ID, target.Order{Kind: kind}); err != nil {
		t.Fatal(err)
	}
	if err := b.h.CheckIn(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func (b *bench) journal(t *testing.T, what string) host.Entry {
	t.Helper()
	list, err := host.Journal(b.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range slices.Backward(list) {
		if e.What == what {
			return e
		}
	}
	t.Errorf("the journal has no %s: %+v", what, list)
	return host.Entry{}
}

// A machine is managed as a Windows or an Android device: it reports true facts alone, makes files of profiles, does no harm to itself, acts
// where that was allowed, and leaves by its server's signed order (HST-027, HST-120).
func TestAgentAsAnotherKind(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the command is one of a Unix shell")
	}
	for name, tt := range otherKinds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			locked := filepath.Join(t.TempDir(), "locked")
			b, err := kindMachine(t, name, func(j *host.Join) { j.Allow = map[string]string{"lock": `echo locked >>"` + locked + `"`} })
			if err != nil {
				t.Fatal(err)
			}
			if err := b.h.CheckIn(t.Context()); err != nil {
				t.Fatal(err)
			}
			d := b.device()
			if d.Life != "enrolled" || d.Platform != tt.kind || d.Serial != b.facts.Serial {
				t.Errorf("the server has %+v", d)
			}
			s := b.status()
			if s.State != "managed" || s.Kind != tt.kind || s.UDID != d.ID || s.Certificate == nil || s.Alone != (tt.kind == protocol.Windows) || s.Good == 0 || s.Authority != protocol.Intune || s.Rule != protocol.RuleIntune {
				t.Errorf("status %+v", s)
			}

			b.order(t, target.Restart)
			if e := b.journal(t, tt.restart); e.Status != "Acknowledged" || !strings.HasPrefix(e.Note, "nothing was done") || e.UUID == "" {
				t.Errorf("the journal has %+v", e)
			}
			b.order(t, target.Lock)
			if text, err := os.ReadFile(locked); err != nil || string(text) != "locked\n" {
				t.Errorf("the owner's command left %q, %v", text, err)
			}

			ca := apple.NewProfile("org.example.ca", "A CA", protocol.Certificate)
			network := apple.NewProfile("org.example.wifi", "Office", protocol.WiFi)
			for id, p := range map[string]*apple.Profile{"ca": ca, "wifi": network} {
				change := target.ProfileChange{Name: id, Document: apple.EncodeProfile(p), Groups: []string{"bench"}}
				shown, err := b.api.PreviewProfile(t.Context(), change)
				if err == nil {
					change.Confirm = shown.ID
					_, err = b.api.PutProfile(t.Context(), change)
				}
				if err = errors.Join(err, b.h.CheckIn(t.Context())); err != nil {
					t.Fatal(err)
				}
			}
			var made []string
			for _, p := range b.status().Profiles {
				for _, x := range p.Payloads {
					made = append(made, x.File)
					text, err := os.ReadFile(x.File)
					if block, _ := pem.Decode(text); err != nil || x.Family == protocol.Certificate && block == nil || x.Family == protocol.WiFi && !strings.Contains(string(text), "ssid=79;102;102;105;99;101;") {
						t.Errorf("%s: %v: %q (%s)", x.File, err, text, x.Note)
					}
				}
			}
			if len(made) != 2 {
				t.Errorf("files %q, want one of each profile: %+v", made, b.status().Profiles)
			}
			for _, f := range host.Examine(t.Context(), b.dir, host.Config{}) {
				if !f.OK && f.Check != "agent" && f.Check != "folder" {
					t.Errorf("the doctor finds %+v", f)
				}
			}

			b.h.Close() // a restart
			b.h = b.open()
			b.order(t, target.Retire)
			if s := b.status(); s.State != "unmanaged" || !strings.Contains(s.EndedBy, "the server took it") {
				t.Errorf("after the order to leave: %+v", s)
			}
			if d := b.device(); d.Life == "enrolled" {
				t.Errorf("the server was not told: %+v", d)
			}
			if after := b.files(t); !maps.Equal(after, b.before) {
				t.Errorf("the machine is not as it was: %v, before %v", after, b.before)
			}
		})
	}
}

// An erase takes the agent's own state, and its owner can leave by himself: the server hears of both.
func TestAgentAsAnotherKindEnds(t *testing.T) {
	for name := range otherKinds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, erased := range []bool{true, false} {
				b, err := kindMachine(t, name, nil)
				if err != nil {
					t.Fatal(err)
				}
				if erased {
					b.order(t, target.Wipe)
				} else if err := b.h.Unenrol(t.Context()); err != nil {
					t.Errorf("unenrol: %v", err)
				}
				s := b.status()
				if s.State != "unmanaged" || strings.Contains(s.EndedBy, "erase") != erased {
					t.Errorf("erased %v: status %+v", erased, s)
				}
				d := b.device()
				says := name == "windows" && !erased && d.Queue == 1 // a farewell of a PC is an attempt until it is silent (WIN-040)
				if d.Life != "ended" && !says {
					t.Errorf("erased %v: the server has %+v", erased, d)
				}
			}
		})
	}
}

// An answer of the enrolment that was lost, any of them, is followed by the same line again: there is one device with one identity (HST-121).
func TestHST121AnotherKindEnrolsAgainAfterALostAnswer(t *testing.T) {
	for name, tt := range otherKinds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var lost, seen atomic.Int64
			b := &bench{labMachine: newLabMachine(t, serveConfig{Devices: func(inner http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.Method != http.MethodPost || seen.Add(1) != lost.Load() {
						inner.ServeHTTP(w, r)
						return
					}
					inner.ServeHTTP(httptest.NewRecorder(), r) // it was taken
					panic(http.ErrAbortHandler)
				})
			}})}
			again := 0
			for n := range int64(4) {
				list, err := b.api.InviteFor(t.Context(), []string{b.user}, tt.invite)
				if err != nil {
					t.Fatal(err)
				}
				b.dir, b.id = filepath.Join(t.TempDir(), "state"), strings.Repeat(strconv.Itoa(int(n)+1), 32)
				lost.Store(n + 1)
				seen.Store(0)
				j := host.Join{URL: list[0].URL, CA: "sha256:" + b.s.Fingerprint, As: tt.kind}
				for try := 0; ; try++ {
					h := b.open()
					err := h.Enrol(t.Context(), j)
					if err == nil || b.status().State == "managed" {
						err = h.CheckIn(t.Context())
					}
					h.Close()
					if err == nil {
						break
					}
					if again++; try == 2 {
						t.Fatalf("answer %d was lost: %v", n+1, err)
					}
				}
			}
			if again == 0 {
				t.Error("no answer was lost")
			}
			devices := 0
			for d, err := range b.api.Devices(t.Context(), target.Filter{}) {
				if devices++; err != nil || d.Life != "enrolled" {
					t.Errorf("%v: %+v", err, d)
				}
			}
			if devices != 4 {
				t.Errorf("the server has %d devices, want 4", devices)
			}
		})
	}
}

// An agent that is ahead on purpose believes its server's certificate, which has 90 days, by the true time, and goes by its own in all else:
// its identity ends, and what its server signs now is heard.
func TestAUTH42AnAgentAheadOfItsServer(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	m, h := enrolledMachine(t, serveConfig{}, func(j *host.Join) { j.Offset = 340 * day })
	if left := m.status().Certificate.DaysLeft; left < 20 || left > 25 {
		t.Errorf("%d days are left of a year after 340", left)
	}
	if _, err := m.api.Order(t.Context(), m.device().ID, target.Order{Kind: target.Retire}); err != nil {
		t.Fatal(err)
	}
	if err := h.CheckIn(t.Context()); err != nil || m.status().State != "unmanaged" {
		t.Errorf("told to leave, it is %s: %v", m.status().State, err)
	}
	if err := h.Enrol(t.Context(), host.Join{URL: m.invite(), CA: "sha256:" + m.s.Fingerprint, Offset: 400 * day}); err != nil {
		t.Fatal(err)
	}
	if err := h.CheckIn(t.Context()); err == nil || !strings.Contains(err.Error(), "the certificate of this machine ended on") {
		t.Errorf("400 days ahead: %v", err)
	}
	if err := h.Unenrol(t.Context()); err != nil {
		t.Error(err)
	}
}

// A PC asks for another certificate by its own clock, and one that its server finds too early keeps it from nothing else.
func TestAUTH41AWindowsMachineRenews(t *testing.T) {
	t.Parallel()
	b, err := kindMachine(t, "windows", func(j *host.Join) { j.Offset = 340 * 24 * time.Hour })
	if err != nil {
		t.Fatal(err)
	}
	if err := b.h.CheckIn(t.Context()); err == nil || !strings.Contains(err.Error(), "the certificate renews from") || !strings.Contains(err.Error(), "serve --clock driven") {
		t.Errorf("25 days before the end of its certificate: %v", err)
	}
	if note := b.status().Certificate.Note; !strings.Contains(note, "340d ahead") {
		t.Errorf("the status says of its certificate %q", note)
	}
	if err := b.h.CheckIn(t.Context()); err != nil || b.status().State != "managed" {
		t.Error(err)
	}
}

// A machine is erased, where that was allowed, by the orders that reset a device of its mode, by whichever way they come, and by no other: the
// user's own device is never reset (android.md, section 3; AND-078, AND-079).
func TestAND078WhatErasesAMachine(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the command is one of a Unix shell")
	}
	deletes := func(b *bench) error { return b.api.Delete(t.Context(), b.device().ID, 1) }
	orders := func(kind target.OrderKind) func(b *bench) error {
		return func(b *bench) error {
			_, err := b.api.Order(t.Context(), b.device().ID, target.Order{Kind: kind})
			return err
		}
	}
	for name, tt := range map[string]struct {
		mode   android.Mode
		order  func(b *bench) error
		erased string
	}{
		"a work profile that retires":       {android.WorkProfilePersonal, orders(target.Retire), ""},
		"a work profile that is wiped":      {android.WorkProfilePersonal, orders(target.Wipe), ""},
		"a work profile that is deleted":    {android.WorkProfilePersonal, deletes, ""},
		"a device that retires":             {android.AOSPUser, orders(target.Retire), ""},
		"a device that is deleted":          {android.AOSPUser, deletes, ""},
		"a device that is wiped":            {android.AOSPUser, orders(target.Wipe), "erased\n"},
		"one that leaves by a reset alone":  {android.FullyManaged, deletes, "erased\n"},
		"a company's device that is wiped":  {android.WorkProfileCompany, orders(target.Wipe), "erased\n"},
		"a company's device that goes free": {android.WorkProfileCompany, orders(target.Retire), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "erased")
			b, err := invitedMachine(t, protocol.Android, target.InviteOptions{Platform: protocol.Android, Mode: tt.mode}, func(j *host.Join) { j.Allow = map[string]string{"erase": `echo erased >>"` + file + `"`} })
			if err == nil {
				err = errors.Join(b.h.CheckIn(t.Context()), tt.order(b))
			}
			if err == nil {
				err = b.h.CheckIn(t.Context())
			}
			s := b.status()
			if err != nil || s.State != "unmanaged" {
				t.Fatalf("the machine is %s: %v", s.State, err)
			}
			if text, _ := os.ReadFile(file); string(text) != tt.erased {
				t.Errorf("the owner's command left %q, want %q", text, tt.erased)
			}
			if said := strings.Contains(s.EndedBy, "the command of --allow erase was begun"); said != (tt.erased != "") || strings.Contains(s.EndedBy, "nothing else") {
				t.Errorf("it ended because %q", s.EndedBy)
			}
		})
	}
}
