//go:build !agentonly

package main

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/agent/host"
	"rollcall/agent/host/apply"
	"rollcall/fleet/target"
	"rollcall/protocol"
	"rollcall/protocol/apple"
	"rollcall/server"
	"rollcall/server/authority"
	"rollcall/server/delivery"
)

// A bench is a machine whose profiles become files below a root of its own.
type bench struct {
	*labMachine
	h      *host.Host
	root   string
	before map[string]string
}

func newBench(t *testing.T) *bench {
	t.Helper()
	root := t.TempDir()
	for _, dir := range []string{
		"usr/local/share/ca-certificates", "etc/NetworkManager/system-connections", "etc/swanctl/conf.d", "usr/lib/thunderbird/isp", "etc/security/pwquality.conf.d",
	} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "usr/lib/thunderbird/isp/example.org.xml"), []byte("the owner's own"), 0o600); err != nil {
		t.Fatal(err)
	}
	b := &bench{root: root}
	b.before = b.files(t)
	b.labMachine, b.h = enrolledMachine(t, serveConfig{}, func(j *host.Join) {
		j.Apply = apply.Config{Root: root, Families: protocol.Families[:]}
	})
	if err := b.api.AddUsers(t.Context(), []target.User{{UPN: b.user, IntuneLicence: true, Groups: []string{"bench"}}}); err != nil {
		t.Fatal(err)
	}
	return b
}

// files are the regular files below the root, with mode and content; times of folders change with what was in them.
func (b *bench) files(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for name := range snapshot(t, b.root, "") {
		st, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		out[name] = st.Mode().String()
		if !st.IsDir() {
			content, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			out[name] += string(content)
		}
	}
	return out
}

// assign has the server install a profile of each family.
func (b *bench) assign(version string) {
	b.t.Helper()
	b.ask(version)
	if err := b.h.CheckIn(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
}

// ask has the server ask for that.
func (b *bench) ask(version string) {
	b.t.Helper()
	for _, family := range protocol.Families {
		p := apple.NewProfile("org.example."+family.String(), family.String()+" "+version, family)
		switch m := p.Payloads[0].Settings; family {
		case protocol.WiFi:
			m["Password"] = "correct horse " + version
		case protocol.Email:
			m["EmailAddress"] = "ada@example.org"
		case protocol.VPN:
			m["VPNType"], m["IKEv2"] = "IKEv2", map[string]any{"RemoteAddress": "vpn.example.org", "AuthenticationMethod": "SharedSecret", "SharedSecret": version}
		}
		c := target.ProfileChange{Name: family.String(), Document: apple.EncodeProfile(p), Groups: []string{"bench"}}
		shown, err := b.api.PreviewProfile(b.t.Context(), c)
		if err == nil {
			c.Confirm = shown.ID
			_, err = b.api.PutProfile(b.t.Context(), c)
		}
		if err != nil {
			b.t.Fatal(err)
		}
	}
}

// applied wants every profile to be a file of the system that says so of this version, and the status to show it with no secret.
func (b *bench) applied(version string) {
	b.t.Helper()
	s := b.status()
	if len(s.Applied) != 5 || len(s.Profiles) != 6 {
		b.t.Errorf("%d profiles", len(s.Profiles))
	}
	for _, p := range s.Profiles {
		if p.Management {
			continue
		}
		if len(p.Payloads) != 1 || p.Payloads[0].File == "" || p.Folder == "" {
			b.t.Errorf("%+v", p)
			continue
		}
		content, err := os.ReadFile(p.Payloads[0].File)
		if err != nil || p.Family == protocol.WiFi && !strings.Contains(string(content), "psk=correct horse "+version) {
			b.t.Errorf("%s: %q, %v", p.Identifier, content, err)
		}
	}
	if text, err := json.Marshal(s); err != nil || strings.Contains(string(text), "correct horse") {
		b.t.Errorf("the status shows a secret: %s, %v", text, err)
	}
}

func (b *bench) restored(what string) {
	b.t.Helper()
	if now := b.files(b.t); !maps.Equal(now, b.before) {
		b.t.Errorf("%s: %d files are not the %d of before: %v", what, len(now), len(b.before), now)
	}
	if _, err := os.Stat(filepath.Join(b.dir, "profiles")); err == nil {
		b.t.Errorf("%s: the state folder still has profiles", what)
	}
}

// Profiles of all families become files, a namesake's are in their place, and a removal by the server and leaving management put back
// what was there, byte for byte.
func TestAUTH26ProfilesBecomeFiles(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.assign("one")
	b.applied("one")
	b.h.Close()
	for _, p := range b.status().Profiles[1:] { // as a crash before the files leaves it
		if err := os.Remove(p.Payloads[0].File); err != nil {
			t.Fatal(err)
		}
	}
	b.h = b.open()
	b.applied("one")
	b.assign("two")
	b.applied("two")
	for _, family := range protocol.Families {
		if err := b.api.RemoveProfile(t.Context(), family.String()); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.h.CheckIn(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.restored("removed")
	b.assign("three")
	b.applied("three")
	if err := b.h.Unenrol(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.restored("unenrolled")
	if d := b.device(); d.Life != "ended" {
		t.Errorf("a machine that left with its profiles is %s", d.Life)
	}
}

// Seven days after a change of authority the old one's profiles leave the machine, and their files with them, though the server is not
// to be reached in the gap.
func TestAUTH27FilesLeaveAfterSevenDays(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.assign("one")
	now := protocol.At(time.Now())
	change := authority.Change{Authority: protocol.SCCM, At: now}
	shown, err := b.s.Server.PreviewAuthority(t.Context(), now, change)
	if err == nil {
		_, err = b.s.Server.SetAuthority(t.Context(), now, server.System, change, shown.ID, shown.Stranded)
	}
	if err != nil {
		t.Fatal(err)
	}
	b.h.CheckIn(t.Context()) // refused: until a push certificate is uploaded again
	b.ahead = 7*24*time.Hour - time.Minute
	b.h.CheckIn(t.Context())
	b.applied("one")
	b.ahead += 2 * time.Minute
	b.h.CheckIn(t.Context())
	b.restored("after seven days")
}

// A family that its owner names no more leaves the system, and comes back with its name.
func TestAgentIsSetOtherwise(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.assign("one")
	b.applied("one")
	if err := b.h.Change(host.Change{Apply: &apply.Config{Root: b.root}}); err != nil {
		t.Fatal(err)
	}
	if now := b.files(t); !maps.Equal(now, b.before) {
		t.Errorf("files that no --apply names: %v", now)
	}
	b.h.Close()
	b.h = b.open() // it lasts
	if s := b.status(); len(s.Applied) != 0 || len(s.Profiles) != 6 {
		t.Errorf("%v of %d profiles", s.Applied, len(s.Profiles))
	}
	if err := b.h.Change(host.Change{Apply: &apply.Config{Root: b.root, Families: protocol.Families[:]}}); err != nil {
		t.Fatal(err)
	}
	b.applied("one")
}

// A profile whose file cannot be made is reported as one that failed, with the reason, and nothing of it stays; the server tries again by
// its own rules.
func TestAProfileThatFailsIsReported(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	isp := filepath.Join(b.root, "usr/lib/thunderbird/isp/example.org.xml")
	if err := errors.Join(os.Remove(isp), os.Mkdir(isp, 0o755)); err != nil {
		t.Fatal(err)
	}
	b.assign("one")
	told := false
	for line, err := range b.api.Journal(t.Context(), target.LineFilter{What: string(delivery.WhatReported)}) {
		if err != nil {
			t.Fatal(err)
		}
		told = told || strings.HasPrefix(line.Detail, "InstallProfile email: Error") && strings.Contains(line.Detail, "example.org.xml is there, and is no file")
	}
	if !told {
		t.Error("the server does not know why")
	}
	list, err := host.Journal(b.dir)
	if err != nil || !slices.ContainsFunc(list, func(e host.Entry) bool {
		return e.Status == "Error" && strings.Contains(e.Note, "is there, and is no file")
	}) {
		t.Errorf("the machine's journal does not say why: %+v, %v", list, err)
	}
	for _, p := range b.status().Profiles {
		if p.Family == protocol.Email {
			t.Errorf("the machine has %+v", p)
		}
	}
}

// A file of a profile that cannot be there is told once, however many other profiles come while it is so, and is no fault of theirs.
func TestHST121OneLineOfWhatIsInTheWay(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.assign("one")
	isp := filepath.Join(b.root, "usr/lib/thunderbird/isp/example.org.xml")
	if err := errors.Join(os.Remove(isp), os.Mkdir(isp, 0o755)); err != nil {
		t.Fatal(err)
	}
	for _, version := range []string{"two", "three"} {
		b.ask(version)
		if err := b.h.CheckIn(t.Context()); !errors.Is(err, host.ErrFiles) {
			t.Fatal(err)
		}
	}
	if s := b.status(); !strings.Contains(s.Trouble, isp) {
		t.Errorf("the status says %q", s.Trouble)
	}
	told := 0
	list, err := host.Journal(b.dir)
	for _, e := range list {
		if e.What == "files" && e.Status == "failed" {
			told++
		}
	}
	if err != nil || told != 1 {
		t.Errorf("told %d times: %+v, %v", told, list, err)
	}
	if err := os.Remove(isp); err != nil {
		t.Fatal(err)
	}
	if err := b.h.CheckIn(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := b.status(); s.Trouble != "" {
		t.Errorf("moved away, and the status says %q", s.Trouble)
	}
}

// A command that hears of profiles is run once the conversation has ended: the server, whose patience it would take, has the report by then
// (HST-121).
func TestCommandsOfProfilesHoldNoConversationUp(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("the command is one of a Unix shell")
	}
	heard := filepath.Join(t.TempDir(), "heard")
	var asked, early atomic.Int32
	m, h := enrolledMachine(t, serveConfig{Devices: func(inner http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked.Add(1)
			if _, err := os.Stat(heard); err == nil {
				early.Add(1)
			}
			inner.ServeHTTP(w, r)
		})
	}}, func(j *host.Join) { j.Apply = apply.Config{OnProfile: `echo "$ROLLCALL_ACTION" >>"` + heard + `"`} })
	b := &bench{labMachine: m, h: h}
	if err := b.api.AddUsers(t.Context(), []target.User{{UPN: b.user, IntuneLicence: true, Groups: []string{"bench"}}}); err != nil {
		t.Fatal(err)
	}
	asked.Store(0)
	b.assign("one")
	text, err := os.ReadFile(heard)
	if n := strings.Count(string(text), "install"); err != nil || n != len(protocol.Families) || asked.Load() == 0 || early.Load() != 0 {
		t.Errorf("%d of %d were heard of (%v), %d of %d requests after the first", n, len(protocol.Families), err, early.Load(), asked.Load())
	}
}

// An owner's command has each profile on its standard input.
func TestAgentTellsOfProfiles(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("the command is one of a Unix shell")
	}
	b := newBench(t)
	heard := filepath.Join(t.TempDir(), "heard")
	if err := b.h.Unenrol(t.Context()); err != nil {
		t.Fatal(err)
	}
	j := host.Join{URL: b.invite(), CA: "sha256:" + b.s.Fingerprint, Apply: apply.Config{OnProfile: `echo "$ROLLCALL_ACTION $ROLLCALL_PROFILE $(grep -c plist)" >>"` + heard + `"`}}
	if err := b.h.Enrol(t.Context(), j); err != nil {
		t.Fatal(err)
	}
	b.assign("one")
	if err := b.h.Unenrol(t.Context()); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(heard)
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range protocol.Families {
		for _, action := range []string{"install", "remove"} {
			if n := strings.Count(string(text), action+" org.example."+family.String()+" "); n != 1 {
				t.Errorf("%s of %s was heard %d times in %q", action, family, n, text)
			}
		}
	}
	if strings.Contains(string(text), " 0\n") {
		t.Errorf("a profile was not on the standard input: %q", text)
	}
	if now := b.files(t); !maps.Equal(now, b.before) {
		t.Errorf("files that no --apply named: %v", now)
	}
}
