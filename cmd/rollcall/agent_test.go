//go:build !agentonly

package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
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
)

// A labMachine is one pretended machine beside a server of a test.
type labMachine struct {
	t     *testing.T
	s     *runningServer
	api   *target.Rollcall
	dir   string
	ahead time.Duration // of its clock
	talk  time.Duration // host.Config's
	id    string
	user  string
	facts host.Facts
}

// transportKey is the one of all machines of tests: making one takes longer than an enrolment.
var transportKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

func newLabMachine(t *testing.T, cfg serveConfig) *labMachine {
	t.Helper()
	if cfg.Clock == nil {
		cfg.Clock = realClock{}
	}
	cfg.Data, cfg.Simulated, cfg.Tenant = t.TempDir(), true, &authority.Tenant{Release: 2611, Authority: protocol.Intune}
	s := startTestServer(t, cfg)
	m := &labMachine{
		t: t, s: s, api: clientOf(s), dir: filepath.Join(t.TempDir(), "state"), id: "0123456789abcdef0123456789abcdef", user: "ada@example.org",
		facts: host.Facts{Name: "bench-3", OS: "debian", OSVersion: "13.1", Kernel: "6.12.9", Vendor: "Lenovo", Model: "ThinkPad T480", Serial: "PF1ABCDE"},
	}
	if err := m.api.AddUsers(t.Context(), []target.User{{UPN: "ada@example.org", IntuneLicence: true}}); err != nil {
		t.Fatal(err)
	}
	return m
}

func (m *labMachine) open() *host.Host {
	m.t.Helper()
	h, err := m.tryOpen(false)
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { h.Close() })
	return h
}

func (m *labMachine) tryOpen(anew bool) (*host.Host, error) {
	return host.Open(m.t.Context(), m.dir, host.Config{
		Now:     func() time.Time { return time.Now().Add(m.ahead) },
		Facts:   func(context.Context) host.Facts { return m.facts },
		Machine: func(context.Context) string { return m.id },
		Anew:    anew,
		Talk:    m.talk,

		Transport: transportKey(),
	})
}

func (m *labMachine) invite() string {
	m.t.Helper()
	list, err := m.api.Invite(m.t.Context(), []string{m.user})
	if err != nil {
		m.t.Fatal(err)
	}
	return list[0].URL
}

func (m *labMachine) status() host.Status {
	m.t.Helper()
	s, err := host.Read(m.dir, time.Now(), m.facts)
	if err != nil {
		m.t.Fatal(err)
	}
	return s
}

func (m *labMachine) device() target.Device {
	m.t.Helper()
	var found []target.Device
	for d, err := range m.api.Devices(m.t.Context(), target.Filter{}) {
		if err != nil {
			m.t.Fatal(err)
		}
		found = append(found, d)
	}
	if len(found) != 1 {
		m.t.Fatalf("the server has %d devices, want 1", len(found))
	}
	return found[0]
}

func TestAgentEnrolsAndChecksIn(t *testing.T) {
	t.Parallel()
	m := newLabMachine(t, serveConfig{})
	h := m.open()
	link := m.invite()
	if err := h.Enrol(t.Context(), host.Join{URL: link, CA: "sha256:" + m.s.Fingerprint}); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(filepath.Join(m.dir, "agent.json")); err != nil || strings.Contains(string(b), link[strings.LastIndex(link, "/"):]) {
		t.Errorf("the link's token is kept: %v", err)
	}
	if d := m.device(); d.Life != "enrolled" || d.Serial != "PF1ABCDE" || d.Platform != protocol.IPadOS {
		t.Errorf("the server has %+v", d)
	}
	if err := h.CheckIn(t.Context()); err != nil {
		t.Error(err)
	}
	s := m.status()
	if s.State != "managed" || s.Server == "" || s.Organization != "rollcall" || s.Certificate == nil || len(s.Profiles) == 0 || !s.Profiles[0].Management || s.Good == 0 {
		t.Errorf("status %+v", s)
	}
	if _, err := m.tryOpen(false); err == nil {
		t.Error("two agents on one state")
	}
	h.Close()
	h = m.open() // a restart
	if err := h.CheckIn(t.Context()); err != nil {
		t.Error(err)
	}
	if err := h.Unenrol(t.Context()); err != nil {
		t.Error(err)
	}
	if s := m.status(); s.State != "unmanaged" || s.Ended == 0 {
		t.Errorf("status %+v", s)
	}
	if d := m.device(); d.Life == "enrolled" {
		t.Errorf("the server was not told: %+v", d)
	}
	if b, err := os.ReadFile(filepath.Join(m.dir, "agent.json.previous")); err == nil {
		t.Errorf("secrets of the enrolment are left: %.80s", b)
	}
}

// enrolled is a machine that has enrolled.
func enrolledMachine(t *testing.T, cfg serveConfig, change ...func(*host.Join)) (*labMachine, *host.Host) {
	t.Helper()
	m := newLabMachine(t, cfg)
	h := m.open()
	j := host.Join{URL: m.invite(), CA: "sha256:" + m.s.Fingerprint}
	for _, f := range change {
		f(&j)
	}
	if err := h.Enrol(t.Context(), j); err != nil {
		t.Fatal(err)
	}
	if err := h.CheckIn(t.Context()); err != nil {
		t.Fatal(err)
	}
	return m, h
}

// snapshot is every file below dir but those below without, with its bytes and mode.
func snapshot(t *testing.T, dir, without string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil || name == without {
			return cmp.Or(err, fs.SkipDir)
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		all[name] = info.Mode().String() + info.ModTime().String()
		if !e.IsDir() {
			b, err := os.ReadFile(name)
			all[name] += string(b)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// A machine is asked for everything harmful: each is acknowledged, written down and shown, and the machine is as it was, byte for byte
// outside the state folder. The erase takes the agent's own state, and nothing else.
func TestHST120AMachineComesToNoHarm(t *testing.T) {
	t.Parallel()
	machine := t.TempDir() // stands for the whole machine
	m := newLabMachine(t, serveConfig{})
	m.dir = filepath.Join(machine, "var", "state")
	for _, name := range []string{"home/ada/thesis.txt", "etc/passwd", "var/beside"} {
		name = filepath.Join(machine, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(name), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Mkdir(m.dir, 0o755), os.MkdirAll(filepath.Join(machine, "etc/NetworkManager/system-connections"), 0o755)); err != nil {
		t.Fatal(err)
	}
	before := snapshot(t, machine, m.dir)
	h := m.open()
	j := host.Join{URL: m.invite(), CA: "sha256:" + m.s.Fingerprint, Apply: apply.Config{Root: machine, Families: []protocol.Family{protocol.Email}}}
	if err := h.Enrol(t.Context(), j); err != nil {
		t.Fatal(err)
	}
	if err := m.api.AddUsers(t.Context(), []target.User{{UPN: m.user, IntuneLicence: true, Groups: []string{"lab"}}}); err != nil {
		t.Fatal(err)
	}
	network := target.ProfileChange{Name: "network", Document: apple.EncodeProfile(apple.NewProfile("org.example.network", "of a family that was not allowed", protocol.WiFi)), Groups: []string{"lab"}}
	shown, err := m.api.PreviewProfile(t.Context(), network)
	if err == nil {
		network.Confirm = shown.ID
		_, err = m.api.PutProfile(t.Context(), network)
	}
	if err = errors.Join(err, h.CheckIn(t.Context())); err != nil || len(m.status().Profiles) != 2 {
		t.Fatalf("%d profiles, %v", len(m.status().Profiles), err)
	}
	id := m.device().ID
	for kind, want := range map[target.OrderKind]string{target.Lock: "DeviceLock", target.Restart: "RestartDevice", target.Wipe: "EraseDevice"} {
		if kind == target.Wipe {
			continue // last
		}
		if _, err := m.api.Order(t.Context(), id, target.Order{Kind: kind}); err != nil {
			t.Fatal(err)
		}
		if err := h.CheckIn(t.Context()); err != nil {
			t.Fatal(err)
		}
		if e := m.status().Asked; e == nil || e.What != want || e.Status != "Acknowledged" || !strings.HasPrefix(e.Note, "nothing was done") {
			t.Errorf("after %s the status shows %+v", kind, e)
		}
	}
	if err := h.CheckIn(t.Context()); err != nil {
		t.Errorf("after a restart that was none: %v", err)
	}
	if _, err := m.api.Order(t.Context(), id, target.Order{Kind: target.Wipe}); err != nil {
		t.Fatal(err)
	}
	if err := h.CheckIn(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := m.status()
	if s.State != "unmanaged" || s.Asked == nil || s.Asked.What != "EraseDevice" || !strings.Contains(s.EndedBy, "erase") || s.Certificate != nil {
		t.Errorf("after the erase the status is %+v", s)
	}
	if d := m.device(); d.Life != "ended" {
		t.Errorf("the server has %+v", d)
	}
	list, err := host.Journal(m.dir)
	if err != nil {
		t.Fatal(err)
	}
	var seen []string
	for _, e := range list {
		seen = append(seen, e.What)
	}
	for _, want := range []string{"enrolled", "DeviceLock", "RestartDevice", "EraseDevice", "ended"} {
		if !slices.Contains(seen, want) {
			t.Errorf("the journal has %v, and no %s", seen, want)
		}
	}
	if after := snapshot(t, machine, m.dir); !maps.Equal(before, after) {
		t.Errorf("the machine was touched outside the state folder:\nbefore %v\nafter %v", before, after)
	}
	for name, text := range snapshot(t, m.dir, "") {
		if strings.Contains(text, `"key"`) || strings.Contains(text, `"device":`) {
			t.Errorf("%s still has secrets: %.200s", name, text)
		}
	}
}

// What was allowed by name is done once its report is delivered, once, by the owner's command; nothing else is.
func TestAgentActsWhereItIsAllowed(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("the command is one of a Unix shell")
	}
	done := filepath.Join(t.TempDir(), "done")
	m, h := enrolledMachine(t, serveConfig{}, func(j *host.Join) { j.Allow = map[string]string{"lock": `echo locked >>"` + done + `"`} })
	for _, kind := range []target.OrderKind{target.Restart, target.Lock} {
		if _, err := m.api.Order(t.Context(), m.device().ID, target.Order{Kind: kind}); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		if err := h.CheckIn(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if b, err := os.ReadFile(done); err != nil || string(b) != "locked\n" {
		t.Errorf("the owner's command left %q, %v", b, err)
	}
}

// Each mistake of joining is one sentence that says what to do, and leaves nothing behind that a right line would stumble over.
func TestAgentJoiningMistakes(t *testing.T) {
	t.Parallel()
	m := newLabMachine(t, serveConfig{})
	pin := "sha256:" + m.s.Fingerprint
	invite := func(o target.InviteOptions) string {
		list, err := m.api.InviteFor(t.Context(), []string{"ada@example.org"}, o)
		if err != nil {
			t.Fatal(err)
		}
		if list[0].CA != pin {
			t.Fatalf("the invitation names the CA %q, want %q", list[0].CA, pin)
		}
		return list[0].URL
	}
	h := m.open()
	used := invite(target.InviteOptions{Platform: protocol.IPadOS})
	for name, tt := range map[string]struct {
		join  host.Join
		ahead time.Duration
		want  string
	}{
		"wrong hash":   {host.Join{URL: used, CA: "sha256:" + strings.Repeat("ab", 32)}, 0, "it shows sha256:"},
		"no hash":      {host.Join{URL: used}, 0, "paste the whole line, with --ca"},
		"no hash text": {host.Join{URL: used, CA: "md5:12"}, 0, "want sha256: and 64 hexadecimal digits"},
		"clock behind": {host.Join{URL: used, CA: pin}, -8 * 365 * 24 * time.Hour, "set the clock"},
		"clock ahead":  {host.Join{URL: used, CA: pin}, 30 * 365 * 24 * time.Hour, "set the clock"},
		"other kind":   {host.Join{URL: used, CA: pin, As: protocol.MacOS}, 0, "for another kind of device, ipados"},
		"unknown":      {host.Join{URL: m.s.URL + "/e/nothing", CA: pin}, 0, "does not know this enrolment link"},
		"no https":     {host.Join{URL: "http://lab.example.org/e/x", CA: pin}, 0, "no https URL"},
		"nobody there": {host.Join{URL: "https://127.0.0.1:1/e/x", CA: pin}, 0, "nobody answers at 127.0.0.1:1"},
		"an act":       {host.Join{URL: used, CA: pin, Allow: map[string]string{"explode": "x"}}, 0, "want one of lock"},
	} {
		m.ahead = tt.ahead
		err := h.Enrol(t.Context(), tt.join)
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "/e/") {
			t.Errorf("%s: %v; want one sentence with %q, and no token in it", name, err, tt.want)
		}
		if s := m.status().State; s != "unmanaged" {
			t.Errorf("%s: the machine is %s", name, s)
		}
	}
	m.ahead = 0
	if err := h.Enrol(t.Context(), host.Join{URL: used, CA: pin}); err != nil {
		t.Fatal(err)
	}
	if err := h.Enrol(t.Context(), host.Join{URL: used, CA: pin}); err == nil || !strings.Contains(err.Error(), "agent unenroll") {
		t.Errorf("enrolled twice: %v", err)
	}
	h.Close()

	m.dir, m.id = filepath.Join(t.TempDir(), "other"), strings.Repeat("1", 32) // another machine
	h = m.open()
	if err := h.Enrol(t.Context(), host.Join{URL: used, CA: pin}); err == nil || !strings.Contains(err.Error(), "it was used, or is too old") {
		t.Errorf("a link used twice: %v", err)
	}
	h.Close()

	if err := m.api.AddUsers(t.Context(), []target.User{{UPN: "bob@example.org", IntuneLicence: true}}); err != nil {
		t.Fatal(err)
	}
	list, err := m.api.Invite(t.Context(), []string{"bob@example.org"})
	if err != nil {
		t.Fatal(err)
	}
	m.dir, m.id = filepath.Join(t.TempDir(), "copy"), "0123456789abcdef0123456789abcdef" // a copy of the first machine
	h = m.open()
	copied := host.Join{URL: list[0].URL, CA: pin}
	if err := h.Enrol(t.Context(), copied); err == nil || !strings.Contains(err.Error(), "--draw-id") {
		t.Errorf("a copy of a machine: %v", err)
	}
	copied.Allow = map[string]string{"lock": "true"} // the same line again goes by what it says now
	if err := h.Enrol(t.Context(), copied); err == nil || m.status().Allowed["lock"] == "" {
		t.Errorf("%v: allowed is %v", err, m.status().Allowed)
	}
	copied.Draw = true
	if err := h.Enrol(t.Context(), copied); err == nil || !strings.Contains(err.Error(), "ask for a new line") {
		t.Errorf("the same line with an identifier by chance: %v", err)
	}
	if list, err = m.api.Invite(t.Context(), []string{"bob@example.org"}); err != nil {
		t.Fatal(err)
	}
	copied.URL = list[0].URL
	if err := h.Enrol(t.Context(), copied); err != nil {
		t.Errorf("a copy with an identifier by chance: %v", err)
	}
}

// An enrolment that was begun and cut off, and whose challenge is too old by the time it goes on, is given up: another line begins anew, and
// an agent that runs asks for nothing more.
func TestAnEnrolmentTooOldIsGivenUp(t *testing.T) {
	t.Parallel()
	clock := newDrivenClock(t.TempDir(), time.Now())
	var cut atomic.Bool
	m := newLabMachine(t, serveConfig{Clock: clock, Devices: func(inner http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if cut.Load() && strings.HasPrefix(r.URL.Path, "/scep") {
				panic(http.ErrAbortHandler)
			}
			inner.ServeHTTP(w, r)
		})
	}})
	h := m.open()
	j := host.Join{URL: m.invite(), CA: "sha256:" + m.s.Fingerprint}
	cut.Store(true)
	if err := h.Enrol(t.Context(), j); err == nil || m.status().State != "enrolling" {
		t.Fatalf("cut off: %v, %s", err, m.status().State)
	}
	cut.Store(false)
	clock.Step(clock.Now().AddDate(0, 2, 0))
	if err := h.CheckIn(t.Context()); err == nil || !strings.Contains(err.Error(), "ask for a new line") || m.status().State != "unmanaged" {
		t.Errorf("too old: %v, %s", err, m.status().State)
	}
	j.URL = m.invite()
	if err := h.Enrol(t.Context(), j); err != nil {
		t.Errorf("by another line: %v", err)
	}
}

// What stands in front of a server cannot take a machine out of management, nor can a state folder that came from another machine be
// used (HST-027, HST-121).
func TestHST027AProxyUnenrolsNoMachine(t *testing.T) {
	t.Parallel()
	var status atomic.Int64
	m, h := enrolledMachine(t, serveConfig{Devices: func(inner http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if code := status.Load(); code != 0 {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(int(code))
				io.WriteString(w, `{"code":"com.apple.unrecognized.device"}`)
				return
			}
			inner.ServeHTTP(w, r)
		})
	}})
	for _, code := range []int64{401, 403, 404, 410, 503} {
		status.Store(code)
		if err := h.CheckIn(t.Context()); err == nil {
			t.Errorf("%d went well", code)
		}
		if s := m.status(); s.State != "managed" || s.Why == "" {
			t.Errorf("after %d: %+v", code, s)
		}
	}
	status.Store(0)
	if err := h.CheckIn(t.Context()); err != nil {
		t.Errorf("after the proxy: %v", err)
	}
	h.Close()
	m.id = strings.Repeat("f", 32)
	if _, err := m.tryOpen(false); err == nil || !strings.Contains(err.Error(), "--anew") {
		t.Errorf("the state of another machine: %v", err)
	}
	if anew, err := m.tryOpen(true); err != nil || anew.CheckIn(t.Context()) == nil {
		t.Errorf("begun anew: %v", err)
	} else {
		anew.Close()
	}
	m.id = "0123456789abcdef0123456789abcdef"
	h = m.open()
	if _, err := m.api.Order(t.Context(), m.device().ID, target.Order{Kind: target.Retire, Drop: true}); err != nil {
		t.Fatal(err)
	}
	if err := h.CheckIn(t.Context()); err != nil || m.status().State != "unmanaged" {
		t.Errorf("dropped by its server's order: %v, %+v", err, m.status())
	}
	if d := m.device(); d.Life != "ended" {
		t.Errorf("the server has %+v", d)
	}
}

// A machine reads its server's driven clock by itself: it renews in time (AUTH-41), and where nobody let it, its identity ends (AUTH-42),
// which it is told in one sentence, and its record goes after 180 days more (AUTH-43).
func TestAUTH41AMachineLivesByItsServersClock(t *testing.T) {
	t.Parallel()
	clock := newDrivenClock(t.TempDir(), time.Now())
	m, h := enrolledMachine(t, serveConfig{Clock: clock})
	first := m.status()
	if first.Driven == 0 {
		t.Fatalf("the machine's clock is not the server's: %+v", first)
	}
	step := func(days int) {
		t.Helper()
		if _, err := m.api.Step(t.Context(), protocol.At(clock.Now().Add(time.Duration(days)*24*time.Hour))); err != nil {
			t.Fatal(err)
		}
	}
	for range 12 {
		step(30)
		if err := h.CheckIn(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	renewed := m.status()
	if renewed.Certificate.Serial == first.Certificate.Serial || renewed.Driven <= first.Driven || renewed.State != "managed" {
		t.Errorf("after a year the identity is not renewed: %+v", renewed)
	}
	for range 13 {
		step(30)
	}
	if err := h.CheckIn(t.Context()); err == nil || !strings.Contains(err.Error(), "before it was renewed") || strings.Contains(err.Error(), "\n") {
		t.Errorf("an ended identity: %v", err)
	}
	if s := m.status(); s.State != "managed" || s.Why == "" {
		t.Errorf("an ended identity is no removal: %+v", s)
	}
	for range 7 {
		step(30)
	}
	for d, err := range m.api.Devices(t.Context(), target.Filter{}) {
		t.Errorf("its record is still there: %+v, %v", d, err)
	}
}

// A daemon has a conversation for each wake-up whose magic is its own, shows what came of it, and ends with its context, or once nobody
// manages the machine any more.
func TestAgentRuns(t *testing.T) {
	t.Parallel()
	var last atomic.Int64
	m, h := enrolledMachine(t, serveConfig{Devices: func(inner http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			heard := &statusOf{ResponseWriter: w, status: http.StatusOK}
			inner.ServeHTTP(heard, r)
			last.Store(int64(heard.status))
		})
	}})
	id := m.device().ID
	order := func(kind target.OrderKind) {
		t.Helper()
		if _, err := m.api.Order(t.Context(), id, target.Order{Kind: kind}); err != nil {
			t.Fatal(err)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	wakes, ended := make(chan string), make(chan error)
	run := func() { ended <- h.Run(ctx, wakes) }
	magic := h.Magic()
	go run()
	wakes <- "of another device" // taken once the first check-in is over
	order(target.Lock)
	wakes <- "of another device"
	wakes <- "of another device" // taken once the one before is done with
	if e := m.status().Asked; e == nil || e.What == "DeviceLock" {
		t.Errorf("a wake-up with another magic: %+v", e)
	}
	wakes <- magic
	wakes <- ""
	if e := m.status().Asked; e == nil || e.What != "DeviceLock" {
		t.Errorf("after a wake-up: %+v", e)
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("stopped: %v", err)
	}
	ctx = t.Context()
	go run()
	order(target.Retire)
	for open := true; open; {
		select {
		case wakes <- magic:
		case err := <-ended:
			if open = false; err != nil || m.status().State != "unmanaged" {
				t.Errorf("retired: %v, %+v", err, m.status())
			}
		}
	}
	if last.Load() != http.StatusOK { // APL-036
		t.Errorf("its farewell was answered %d", last.Load())
	}
}

// A statusOf keeps the status of an answer.
type statusOf struct {
	http.ResponseWriter
	status int
}

func (s *statusOf) WriteHeader(status int) {
	s.status = status
	s.ResponseWriter.WriteHeader(status)
}

// The status says by which rule the machine is managed as it is, once a change of authority was heard of, whatever became of the
// conversation; what is heard lasts over a restart.
func TestHST057AMachineKnowsTheRule(t *testing.T) {
	t.Parallel()
	m, h := enrolledMachine(t, serveConfig{})
	if s := m.status(); s.Authority != protocol.Intune || s.Rule != protocol.RuleIntune || s.Since.Time().Sub(s.Enrolled.Time()).Abs() > time.Hour || s.Change != nil {
		t.Errorf("before any change: %s by %s since %d (enrolled %d), change %+v", s.Authority, s.Rule, s.Since, s.Enrolled, s.Change)
	}
	now := protocol.At(time.Now())
	change := authority.Change{Authority: protocol.SCCM, At: now}
	shown, err := m.s.Server.PreviewAuthority(t.Context(), now, change)
	if err == nil {
		_, err = m.s.Server.SetAuthority(t.Context(), now, server.System, change, shown.ID, shown.Stranded)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := h.CheckIn(t.Context()); err == nil || !strings.Contains(err.Error(), "AUTH-30") || strings.Contains(err.Error(), "\n") {
		t.Errorf("in the gap: %v", err) // until a push certificate is uploaded again
	}
	h.Close()
	m.open() // a restart
	s := m.status()
	if c := s.Change; s.State != "managed" || c == nil || c.Rule != protocol.RuleRegistered || c.Epoch != 2 || c.At != now || s.Bad == 0 || s.Authority != protocol.Intune || s.Rule != protocol.RuleIntune {
		t.Errorf("after the change: %+v, %+v", s, s.Change)
	}
}

// What a server does not say any more is not shown as so, and one that says another authority with each answer fills no journal (HST-120).
func TestHST120WhoManagesIsWhatWasSaidLast(t *testing.T) {
	t.Parallel()
	var silent, fickle atomic.Bool
	var answers atomic.Int64
	m, h := enrolledMachine(t, serveConfig{Devices: func(inner http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if silent.Load() {
				r.Header.Del(apple.ManagementHeader)
			}
			if n := answers.Add(1); fickle.Load() {
				says := protocol.Management{Authority: protocol.Intune, Since: 1, Rule: protocol.RuleIntune}
				if n%2 == 0 {
					says.Authority = protocol.SCCM
				}
				w.Header().Set(apple.ManagementHeader, apple.ManagementValue(says))
			}
			inner.ServeHTTP(w, r)
		})
	}})
	if s := m.status(); s.Authority != protocol.Intune {
		t.Errorf("at first: %s", s.Authority)
	}
	silent.Store(true)
	if err := h.CheckIn(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := m.status(); s.Authority != protocol.Unknown || s.Rule != "" || s.Since != s.Enrolled {
		t.Errorf("after an answer without a word of it: %s by %q since %d", s.Authority, s.Rule, s.Since)
	}
	fickle.Store(true)
	const talks = 4
	for range talks {
		for _, kind := range []target.OrderKind{target.Lock, target.Restart} {
			if _, err := m.api.Order(t.Context(), m.status().UDID, target.Order{Kind: kind}); err != nil {
				t.Fatal(err)
			}
		}
		if err := h.CheckIn(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	moved := 0
	list, err := host.Journal(m.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		if e.What == "moved" {
			moved++
		}
	}
	if said := answers.Load(); moved >= talks || said < 3*talks {
		t.Errorf("%d moves are told of %d answers in %d conversations", moved, said, talks)
	}
}

// A server that never comes to an end is left, as one that cannot be talked to, and the machine is what it was (HST-120).
func TestHST120AnEndlessConversation(t *testing.T) {
	t.Parallel()
	m, h := enrolledMachine(t, serveConfig{})
	for _, talk := range []time.Duration{1, 0} {
		h.Close()
		m.talk = talk
		h = m.open()
		err := h.CheckIn(t.Context())
		if s := m.status(); s.State != "managed" || (err == nil) != (talk == 0) || err != nil && !(strings.Contains(err.Error(), "without end") && s.Why == err.Error()) {
			t.Errorf("within %s: %v, %+v", talk, err, s)
		}
	}
}

// A hostile server, and a broken one, cost the machine neither its identity nor its disk nor its patience (HST-120): what comes next goes
// well.
func TestHST120AHostileServer(t *testing.T) {
	t.Parallel()
	var hostile atomic.Pointer[http.HandlerFunc]
	m, h := enrolledMachine(t, serveConfig{Devices: func(inner http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if f := hostile.Load(); f != nil {
				(*f)(w, r)
				return
			}
			inner.ServeHTTP(w, r)
		})
	}})
	before := m.status().Certificate
	for name, answer := range map[string]http.HandlerFunc{
		"endless body": func(w http.ResponseWriter, _ *http.Request) {
			for b := make([]byte, 1<<20); ; {
				if _, err := w.Write(b); err != nil {
					return
				}
			}
		},
		"another host": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://192.0.2.1/apple/mdm", http.StatusFound)
		},
		"wait for 31 years": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "1000000000")
			w.WriteHeader(http.StatusServiceUnavailable)
		},
		"no plist": func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>welcome to this hotel</html>") },
		"cut off":  func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"forged removal": func(w http.ResponseWriter, _ *http.Request) {
			hostile.Store(nil) // the report goes to the server
			w.Write(apple.EncodeCommand(nil, "1B9D6BCD-BBFD-4B2D-9B5D-AB8DFBBD4BED", apple.RemoveProfile{Identifier: server.EnrolmentIdentifier}))
		},
		"forged erasure": func(w http.ResponseWriter, _ *http.Request) {
			hostile.Store(nil)
			w.Write(apple.EncodeCommand(nil, "2B9D6BCD-BBFD-4B2D-9B5D-AB8DFBBD4BED", apple.EraseDevice{}))
		},
	} {
		hostile.Store(&answer)
		err := h.CheckIn(t.Context())
		forged := strings.HasPrefix(name, "forged")
		if (err == nil) != forged || err != nil && strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
		s := m.status()
		if s.State != "managed" || *s.Certificate != *before || s.Next.Time().After(time.Now().Add(26*time.Hour)) {
			t.Errorf("%s: %+v", name, s)
		}
		if forged && s.Asked.Status != "Error" {
			t.Errorf("%s was reported as %+v", name, s.Asked)
		}
		hostile.Store(nil)
		if err := h.CheckIn(t.Context()); err != nil {
			t.Errorf("after %s: %v", name, err)
		}
	}
	size := 0
	for _, text := range snapshot(t, m.dir, "") {
		size += len(text)
	}
	if size > 256<<10 {
		t.Errorf("the state folder has %d bytes", size)
	}
}
