//go:build !agentonly

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	mrand "math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"rollcall/agent/host"
	"rollcall/fleet/target"
	"rollcall/protocol"
	"rollcall/protocol/apple"
)

// An agent process is killed with -9 between any two steps of enrolment, of a profile, of a renewal and of leaving, as whatever it is
// managed, in turn: at a file that changes in its folders, at a request, at an answer. Whoever starts it again has one identity, which is
// the server's, and every profile whole or not at all; in the end the machine's files are what they were (HST-121).
func TestHST121KillAgents(t *testing.T) {
	t.Parallel()
	kills := 4
	if n, err := strconv.Atoi(os.Getenv("ROLLCALL_KILLS")); err == nil {
		kills = n // the campaign
	}
	program, err := exec.LookPath("rollcall")
	if err != nil {
		t.Fatal(err)
	}
	seed := mrand.Uint64()
	k := &slayer{program: program, dice: mrand.New(mrand.NewPCG(seed, 0)), steps: map[string]int{}, doomed: map[string]int{}, killed: map[string]int{}}
	t.Logf("seed %d", seed)
	clock := newDrivenClock(t.TempDir(), time.Now())
	k.labMachine = newLabMachine(t, serveConfig{Clock: clock, Devices: k.over})
	var victims []*victim
	turn := k.dice.IntN(len(slain))
	for i := range (kills + 3) / 4 {
		kind := slain[(turn+i)%len(slain)]
		if i < len(slain) { // the first of each kind lives: its steps are counted
			victims = append(victims, newVictim(k, len(victims), kind, true))
		}
		victims = append(victims, newVictim(k, len(victims), kind, false))
	}
	for _, v := range victims {
		line := []string{v.invite(), "--ca", "sha256:" + k.s.Fingerprint, "--draw-id", "--root", v.root, "--apply", "wifi,email"}
		if v.kind != "ipad" {
			line = append(line, "--as", v.kind)
		}
		v.run("enrolment", append([]string{"enroll"}, line...)...)
		err := v.again("enroll", line...) // whoever pasted the line pastes it again
		if err != nil {
			err = v.again("check-in") // and a daemon only goes on
		}
		if err != nil {
			t.Errorf("%s: %v", v.killedAt, err)
		}
		v.one("enrolled")
	}
	n := 0
	for _, err := range k.api.Devices(t.Context(), target.Filter{}) {
		if n++; err != nil {
			t.Fatal(err)
		}
	}
	if n != len(victims) {
		t.Errorf("%d machines are %d devices", len(victims), n)
	}
	for _, act := range []struct{ what, version string }{{"profile", "one"}, {"renewal", "two"}} {
		k.assign(act.version)
		if act.what == "renewal" {
			if _, err := k.api.Step(t.Context(), protocol.At(clock.Now().Add(330*24*time.Hour))); err != nil {
				t.Fatal(err)
			}
		}
		late := map[*victim]string{} // Android devices that lost the server's offer: it makes another one in a week (AUTH-41)
		for _, v := range victims {
			first := v.status().Certificate.SHA256
			v.whole(act.what)
			v.run(act.what, "check-in")
			v.whole(act.what) // as the kill left it
			for range 3 {
				if err := v.again("check-in"); err != nil {
					t.Errorf("%s: %v", act.what, err)
				}
			}
			v.one(act.what)
			if got := v.whole(act.what); got != act.version {
				t.Errorf("%s: the machine has the profile of version %q, want %q", v.killedAt, got, act.version)
			}
			switch renewed := v.status().Certificate.SHA256 != first; {
			case act.what == "renewal" && !renewed && v.kind == "android":
				late[v] = first
			case renewed != (act.what == "renewal"):
				t.Errorf("%s: renewed: %v", v.killedAt, renewed)
			}
		}
		if len(late) == 0 {
			continue
		}
		if _, err := k.api.Step(t.Context(), protocol.At(clock.Now().Add(8*24*time.Hour))); err != nil {
			t.Fatal(err)
		}
		for v, first := range late {
			for range 2 {
				if err := v.again("check-in"); err != nil {
					t.Errorf("%s: %v", v.killedAt, err)
				}
			}
			v.one("renewal a week later")
			if v.status().Certificate.SHA256 == first {
				t.Errorf("%s: it is not renewed a week later", v.killedAt)
			}
		}
	}
	for _, v := range victims {
		v.run("leaving", "unenroll")
		v.whole("unenrolment")
		if err := v.again("unenroll"); err != nil && !strings.Contains(err.Error(), "nobody manages") {
			t.Errorf("%s: %v", v.killedAt, err)
		}
		if now := v.files(); v.status().State != "unmanaged" || !maps.Equal(now, v.before) {
			t.Errorf("%s: %s, with %v where %v was", v.killedAt, v.status().State, now, v.before)
		}
	}
	t.Logf("killed at %v steps of %v", k.killed, k.steps)
	// A process may be over before its last steps are seen, and lives then: one does now and then, many of an act do not.
	const many = 8
	for act, doomed := range k.doomed {
		if doomed >= many && k.killed[act] == 0 {
			t.Errorf("no %s was killed", act)
		}
	}
	if len(k.killed) == 0 {
		t.Error("nothing was killed")
	}
}

// A slayer counts the steps of one process at a time: what lasts of what it does. It kills it at one of them.
type slayer struct {
	*labMachine
	program string
	dice    *mrand.Rand
	steps   map[string]int // by act, of one that was left alone
	doomed  map[string]int // by act, processes that were to be killed
	killed  map[string]int // and those that were, before they were over

	mu      sync.Mutex
	n, at   int
	process *os.Process
}

// over counts requests and answers.
func (k *slayer) over(inner http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		k.step()
		inner.ServeHTTP(w, r)
		k.step()
	})
}

func (k *slayer) step() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.process == nil {
		return
	}
	if k.n++; k.n == k.at {
		k.process.Kill()
	}
}

// assign has the server want profiles of a version on every machine.
func (k *slayer) assign(version string) {
	k.t.Helper()
	for _, family := range []protocol.Family{protocol.WiFi, protocol.Email} {
		p := apple.NewProfile("org.example."+family.String(), family.String()+" "+version, family)
		if m := p.Payloads[0].Settings; family == protocol.WiFi {
			m["Password"] = "correct horse " + version
		} else {
			m["EmailAddress"], m["EmailAccountDescription"] = "ada@example.org", version
		}
		c := target.ProfileChange{Name: family.String(), Document: apple.EncodeProfile(p), Groups: []string{"bench"}}
		shown, err := k.api.PreviewProfile(k.t.Context(), c)
		if err == nil {
			c.Confirm = shown.ID
			_, err = k.api.PutProfile(k.t.Context(), c)
		}
		if err != nil {
			k.t.Fatal(err)
		}
	}
}

// slain are as what the machines are managed whose agents are killed.
var slain = []string{"ipad", "windows", "android"}

// A victim is a machine whose agents are killed.
type victim struct {
	*slayer
	number          int
	kind            string
	lives           bool
	dir, user, root string
	before          map[string]string // files below its root
	killedAt        string
}

const (
	wifiFolder = "etc/NetworkManager/system-connections"
	mailFolder = "usr/lib/thunderbird/isp"
)

func newVictim(k *slayer, number int, kind string, lives bool) *victim {
	v := &victim{slayer: k, number: number, kind: kind, lives: lives, dir: filepath.Join(k.t.TempDir(), "state"), root: k.t.TempDir(), user: fmt.Sprintf("u%d@example.org", number/10)} // AUTH-47
	err := errors.Join(os.Mkdir(v.dir, 0o700), os.MkdirAll(filepath.Join(v.root, wifiFolder), 0o755), os.MkdirAll(filepath.Join(v.root, mailFolder), 0o755),
		os.WriteFile(filepath.Join(v.root, mailFolder, "example.org.xml"), []byte("the owner's own"), 0o640))
	if err == nil && number%10 == 0 {
		err = k.api.AddUsers(k.t.Context(), []target.User{{UPN: v.user, IntuneLicence: true, Groups: []string{"bench"}}})
	}
	if err != nil {
		k.t.Fatal(err)
	}
	v.before = v.files()
	return v
}

func (v *victim) invite() string {
	v.t.Helper()
	list, err := v.api.InviteFor(v.t.Context(), []string{v.user}, otherKinds[v.kind].invite)
	if err != nil {
		v.t.Fatal(err)
	}
	return list[0].URL
}

// files are those below the root, with mode and content; a file on its way to its place is none yet.
func (v *victim) files() map[string]string {
	v.t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(v.root, func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || strings.HasSuffix(name, ".rollcall") {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		b, err := os.ReadFile(name)
		out[name] = info.Mode().String() + " " + string(b)
		return err
	})
	if err != nil {
		v.t.Fatal(err)
	}
	return out
}

// run starts an agent and kills it at a step; that of the first machine lives.
func (v *victim) run(act string, args ...string) {
	v.t.Helper()
	cmd := exec.Command(v.program, append([]string{"agent", "--state", v.dir}, args...)...)
	stop := watchFolders(v.t, v.step, v.dir, v.root)
	v.mu.Lock()
	v.n, v.at = 0, 0
	act = v.kind + " " + act
	if !v.lives {
		v.at = 1 + v.dice.IntN(v.steps[act])
	}
	v.killedAt = fmt.Sprintf("machine %d, %s killed at step %d", v.number, act, v.at)
	err := cmd.Start()
	v.process = cmd.Process
	v.mu.Unlock()
	if err == nil {
		err = cmd.Wait()
	}
	stop()
	v.mu.Lock()
	defer v.mu.Unlock()
	v.process = nil
	if v.lives {
		if err != nil {
			v.t.Errorf("%s: %v", act, err)
		}
		v.steps[act] = max(v.steps[act], v.n)
		return
	}
	v.doomed[act]++
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.Sys().(syscall.WaitStatus).Signaled() {
		v.killed[act]++
	}
}

// again runs a command to its end.
func (v *victim) again(command string, args ...string) error {
	out, err := exec.Command(v.program, append([]string{"agent", command, "--state", v.dir}, args...)...).CombinedOutput()
	if err != nil && strings.Contains(string(out), "agent unenroll") { // it is enrolled
		return nil
	}
	if err != nil {
		return fmt.Errorf("agent %s: %w: %s", command, err, out)
	}
	return nil
}

func (v *victim) status() host.Status {
	v.t.Helper()
	s, err := host.Read(v.dir, time.Now(), v.facts)
	if err != nil {
		v.t.Fatalf("%s: %v", v.killedAt, err)
	}
	return s
}

// one wants the machine to have the identity that the server knows, and to be one device.
func (v *victim) one(what string) {
	v.t.Helper()
	s := v.status()
	var d target.Device
	for x, err := range v.api.Devices(v.t.Context(), target.Filter{}) {
		if err != nil {
			v.t.Fatalf("%s: %s: %v", v.killedAt, what, err)
		}
		if s.Certificate != nil && x.Identity.Fingerprint == s.Certificate.SHA256 { // each platform's has a name of its own
			d = x
		}
	}
	if s.State != "managed" || s.Certificate == nil || d.Life != "enrolled" || d.Identity.Fingerprint != s.Certificate.SHA256 {
		v.t.Errorf("%s: %s: the machine has %+v, the server %+v", v.killedAt, what, s.Certificate, d.Identity)
	}
}

// whole wants every file of a profile to be as one version has it, and returns the version of all; empty: they are not of one.
func (v *victim) whole(what string) (version string) {
	v.t.Helper()
	seen := map[string]bool{}
	for name, text := range v.files() {
		switch {
		case v.kind != "ipad" && strings.Contains(name, mailFolder) && text == v.before[name]: // their mail has no such file
		case text == v.before[waiting(name)]: // the file that was there, until its place is free again
		case text == v.before[name]:
			seen["none"] = true
		case strings.Contains(text, "psk=correct horse one\n"), strings.Contains(text, "<displayName>one</displayName>") && strings.Contains(text, "</clientConfig>"):
			seen["one"] = true
		case strings.Contains(text, "psk=correct horse two\n"), strings.Contains(text, "<displayName>two</displayName>") && strings.Contains(text, "</clientConfig>"):
			seen["two"] = true
		default:
			v.t.Errorf("%s: %s: %s is %q", v.killedAt, what, name, text)
		}
	}
	if len(seen) == 1 {
		for version = range seen {
		}
	}
	return version
}

// waiting is the place of a file that waits beside it; empty: name is of none.
func waiting(name string) string {
	dir, file := filepath.Split(name)
	place, is := strings.CutSuffix(strings.TrimPrefix(file, "."), ".rollcall-before")
	if !is {
		return ""
	}
	return dir + place
}

// watchFolders calls step at everything that happens to files in folders and below, until stop.
func watchFolders(t *testing.T, step func(), folders ...string) (stop func()) {
	t.Helper()
	fd, err := syscall.InotifyInit1(syscall.IN_NONBLOCK | syscall.IN_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "inotify")
	add := func() {
		for _, dir := range folders {
			filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
				if err == nil && e.IsDir() {
					syscall.InotifyAddWatch(fd, name, syscall.IN_CREATE|syscall.IN_MODIFY|syscall.IN_MOVED_TO|syscall.IN_DELETE|syscall.IN_CLOSE_WRITE|syscall.IN_ATTRIB)
				}
				return nil // what is gone again is no step
			})
		}
	}
	add()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for b := make([]byte, 64<<10); ; {
			n, err := f.Read(b)
			if err != nil {
				return
			}
			for at := 0; at < n; {
				e := (*syscall.InotifyEvent)(unsafe.Pointer(&b[at]))
				at += syscall.SizeofInotifyEvent + int(e.Len)
				if e.Mask&syscall.IN_ISDIR != 0 {
					add()
				}
				step()
			}
		}
	}()
	return func() { f.Close(); <-done }
}
