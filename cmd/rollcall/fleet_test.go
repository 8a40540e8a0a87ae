//go:build !agentonly

package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"rollcall/certs"
	"rollcall/fleet/ledger"
	"rollcall/fleet/load"
	"rollcall/fleet/report"
	"rollcall/protocol"
	"rollcall/protocol/apple"
	"rollcall/server/authority"
	"rollcall/server/push"
)

// serving starts a server on loopback for a test.
func serving(t *testing.T, change func(*serveConfig)) (s *runningServer, data string) {
	t.Helper()
	cfg := serveConfig{Data: t.TempDir(), Clock: realClock{}, Simulated: true, Tenant: &authority.Tenant{Authority: protocol.Intune, Release: 2611}}
	if change != nil {
		change(&cfg)
	}
	s, err := startServer(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, cfg.Data
}

// told is what one call of the program printed and came to.
type told struct {
	out, notes string
	err        error
}

// call calls a command as the program would.
func call(ctx context.Context, cmd *cobra.Command, args ...string) told {
	var out, notes bytes.Buffer
	root := &cobra.Command{Use: "rollcall", SilenceUsage: true, SilenceErrors: true}
	root.PersistentFlags().Bool("json", false, "")
	root.AddCommand(cmd)
	root.SetOut(&out)
	root.SetErr(&notes)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	return told{out.String(), notes.String(), err}
}

// A loaded is what a load printed with --json.
type loaded struct {
	report.Result
	Load   load.Section  `json:"load"`
	Ledger ledger.Counts `json:"ledger"`
}

// run calls fleet run. How busy the machine is decides whether the generator convicts itself: both are right.
func runLoad(t *testing.T, args ...string) loaded {
	t.Helper()
	got := call(t.Context(), fleetCommand(), append([]string{"fleet", "run", "--json", "--calibrate", "100ms"}, args...)...)
	if code := exitCode(got.err); code != 0 && code != 3 {
		t.Fatalf("exit code %d: %v\n%s", code, got.err, got.out)
	}
	var l loaded
	if err := json.Unmarshal([]byte(got.out), &l); err != nil {
		t.Fatalf("%v\n%s", err, got.out)
	}
	return l
}

// A fleet enrols with our server by SCEP over real mutual TLS, loads it, is kept, and loads it again from the file,
// resuming its sessions; the second run is compared with the first.
func TestFleetRun(t *testing.T) {
	s, data := serving(t, nil)
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	first := runLoad(t, "--target", s.URL, "--data", data, "--devices", "20", "--rate", "50/s", "--for", "1s", "--keep", file("kept"),
		"--report", file("report"), "--junit", file("junit.xml"), "--limit", "checkins.failed == 0", "--limit", "checkins.refused <= 5", "--metrics", "127.0.0.1:0")
	if c := first.CheckIns; c.Offered != 50 || c.Started != 50 || c.Done < 45 || c.P99 <= 0 { // a busy machine may turn some away
		t.Errorf("check-ins %+v, want 50", c)
	}
	x := &first.Load
	if x.Enrolment == nil || x.Enrolment.Devices != 20 || x.Identity != "scep" || x.Full < 45 || !x.SharedHost || x.Loop != "open" || x.WokenBy != "themselves" {
		t.Errorf("%+v", x)
	}
	if x.Generator.Calibration == nil || x.Generator.Calibration.Ceiling <= 0 {
		t.Errorf("calibration %+v", x.Generator.Calibration)
	}
	if first.Devices.Enrolled != 20 || len(first.Limits) != 2 || !first.Limits[0].OK {
		t.Errorf("%+v, %+v", first.Devices, first.Limits)
	}
	for _, name := range []string{"report/report.html", "report/result.json", "junit.xml"} {
		if st, err := os.Stat(file(name)); err != nil || st.Size() < 100 {
			t.Errorf("%s: %v", name, err)
		}
	}
	var suites struct {
		Suite []struct {
			Tests int `xml:"tests,attr"`
		} `xml:"testsuite"`
	}
	b, err := os.ReadFile(file("junit.xml"))
	if err == nil {
		err = xml.Unmarshal(b, &suites)
	}
	if err != nil || len(suites.Suite) != 1 || suites.Suite[0].Tests != 3 {
		t.Errorf("%+v (%v)", suites, err)
	}

	if first.Verdict == report.Invalid { // nothing is compared with such a run; here it is not about its figures
		b, err := os.ReadFile(file("report/result.json"))
		if err == nil {
			err = os.WriteFile(file("report/result.json"), bytes.Replace(b, []byte(`"verdict": "invalid"`), []byte(`"verdict": "ok"`), 1), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	again := []string{"--target", s.URL, "--data", data, "--fleet", file("kept"), "--rate", "50/s", "--for", "1s", "--resume"}
	second := runLoad(t, append(again, "--baseline", file("report/result.json"))...)
	x = &second.Load
	if c := second.CheckIns; c.Done < 45 || x.Enrolment != nil || x.Identity != "kept" || x.Resumed < 20 || x.Full < 20 {
		t.Errorf("%+v, %+v", c, x)
	}
	if b := x.Baseline; b == nil || b.Comparable || !strings.Contains(strings.Join(b.Why, " "), "handshakes: full then, resumed now") {
		t.Errorf("%+v", b)
	}
	got := call(t.Context(), fleetCommand(), "fleet", "run", "--target", s.URL, "--data", data, "--devices", "20", "--calibrate", "0s", "--rate", "5/s", "--for", "1s")
	if exitCode(got.err) != 2 || !strings.Contains(strings.Join(strings.Fields(got.out), " "), "another --seed makes others") {
		t.Errorf("devices that are enrolled already: %v\n%s", got.err, got.out)
	}
}

// Devices of several platforms load our server, each over its own protocol, with users of their own and without; the result says whose
// arrivals were done. What is kept, and what another server sees, is Apple's alone.
func TestFleetPlatforms(t *testing.T) {
	s, data := serving(t, nil)
	for seed, more := range [][]string{{}, {"--users"}} {
		got := runLoad(t, append(more, "--target", s.URL, "--data", data, "--devices", "6", "--platform", "ipados,android,windows", "--seed", strconv.Itoa(seed+3), "--rate", "12/s", "--for", "1s")...)
		if d := &got.Devices; d.Enrolled != 6 || d.ByPlatform[protocol.Android].Total == 0 || d.ByPlatform[protocol.Windows].Total == 0 || len(d.ByPlatform) != 3 {
			t.Errorf("%v: devices %+v", more, d)
		}
		if by := got.Load.DoneBy; by[protocol.IPadOS] == 0 || by[protocol.Android] == 0 || by[protocol.Windows] == 0 || got.CheckIns.Failed+got.CheckIns.Refused != 0 {
			t.Errorf("%v: done %v, %+v", more, by, got.CheckIns)
		}
	}
	kept := call(t.Context(), fleetCommand(), "fleet", "run", "--target", s.URL, "--data", data, "--platform", "android", "--keep", filepath.Join(t.TempDir(), "kept"))
	if exitCode(kept.err) != 1 || !strings.Contains(kept.err.Error(), "are not kept") {
		t.Errorf("kept: %v", kept.err)
	}
	if near := call(t.Context(), fleetCommand(), "fleet", "run", "--target", s.URL, "--data", data, "--platform", "window"); near.err == nil || !strings.Contains(near.err.Error(), "did you mean windows?") {
		t.Errorf("another platform: %v", near.err)
	}
}

// A fleet that is made once can be loaded from its file; where arrivals are enrolments, each is one.
func TestFleetMake(t *testing.T) {
	s, data := serving(t, nil)
	file := filepath.Join(t.TempDir(), "made")
	got := call(t.Context(), fleetCommand(), "fleet", "make", "--target", s.URL, "--data", data, "--devices", "12", "--keep", file)
	if got.err != nil || !strings.Contains(got.out, "12 devices enrolled in ") {
		t.Fatalf("%+v", got)
	}
	if st, err := os.Stat(file); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", st, err)
	}
	if got := call(t.Context(), fleetCommand(), "fleet", "make", "gap", "--target", s.URL, "--data", data, "--devices", "8", "--keep", file+"2"); !strings.Contains(got.notes, "of the plan's 8 devices are made: those of Windows and Android are left out") {
		t.Errorf("a plan with other devices than Apple's: %q", got.notes)
	}
	l := runLoad(t, "--target", s.URL, "--data", data, "--fleet", file, "--devices", "10", "--everyone", "500ms", "--keep-open")
	if c := l.CheckIns; c.Offered != 10 || c.Done < 8 || l.Load.Connections != "kept" || !l.Load.Retries || l.Devices.Total != 10 {
		t.Errorf("%+v, %+v", c, l.Load)
	}
	if l := runLoad(t, "--target", s.URL, "--data", data, "--devices", "10", "--enrolments", "10/s", "--for", "1s", "--seed", "9"); l.CheckIns.Done < 8 || l.Devices.Enrolled < 8 || l.Load.Arrivals != "enrolments" {
		t.Errorf("%+v, %+v", l.CheckIns, l.Load)
	}
	if l := runLoad(t, "--target", s.URL, "--data", data, "--fleet", file, "--closed", "3", "--for", "1s"); l.Load.Loop != "closed" || l.CheckIns.Done < 3 || !strings.Contains(l.Load.Pace, "3 devices at a time") {
		t.Errorf("%+v, %+v", l.CheckIns, l.Load)
	}
}

// A fleet mints its identities from a lab CA that the server trusts, and shows them as TLS has them, as a proxy would pass them on,
// or as a signature.
func TestFleetMinted(t *testing.T) {
	ca, err := certs.NewIssuer("lab", realClock{}.Now())
	if err != nil {
		t.Fatal(err)
	}
	certificate, key, err := ca.PEM()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	caName, keyName := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "ca.key")
	if err := errors.Join(os.WriteFile(caName, certificate, 0o600), os.WriteFile(keyName, key, 0o600)); err != nil {
		t.Fatal(err)
	}
	s, data := serving(t, func(c *serveConfig) {
		c.Lab, c.SignMessage, c.LegacySignature = []*x509.Certificate{ca.Certificate()}, true, true
		c.Proxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	})
	for i, auth := range []string{"mtls", "header", "signature"} {
		got := runLoad(t, "--target", s.URL, "--data", data, "--devices", "10", "--rate", "20/s", "--for", "1s", "--seed", fmt.Sprint(i),
			"--identity", "minted", "--identity-ca", caName, "--identity-key", keyName, "--auth", auth)
		if x := &got.Load; got.CheckIns.Done < 15 || x.Identity != "minted" || x.Enrolment.Devices != 10 || got.Devices.Enrolled != 10 {
			t.Errorf("%s: %+v, %+v", auth, got.CheckIns, x)
		}
	}
}

// Devices that are to be known by their signatures are not by their certificates: a server that takes none knows nobody.
func TestFleetSignatureAlone(t *testing.T) {
	s, data := serving(t, nil)
	got := call(t.Context(), fleetCommand(), "fleet", "run", "--json", "--calibrate", "0s", "--target", s.URL, "--data", data, "--devices", "2", "--rate", "5/s", "--for", "1s", "--auth", "signature")
	if got.err == nil || !strings.Contains(fmt.Sprint(got.err, got.out), "serve --sign-message): ") || !strings.Contains(fmt.Sprint(got.err, got.out), "Authenticate: status 400") {
		t.Errorf("%v: %s", got.err, got.out)
	}
}

// Devices are woken by the server's pushes through our push service, and the result says so.
func TestFleetPushed(t *testing.T) {
	ca := filepath.Join(t.TempDir(), "push.pem")
	if got := call(t.Context(), fleetCommand(), "fleet", "push-ca", ca); got.err != nil {
		t.Fatal(got.err)
	}
	address, roots := pushService(t, ca)
	s, data := serving(t, func(c *serveConfig) { c.Push = push.Config{URL: "https://" + address, Roots: roots} })
	got := runLoad(t, "--target", s.URL, "--data", data, "--devices", "10", "--rate", "20/s", "--for", "1s", "--apns-listen", address, "--apns-ca", ca)
	if x := &got.Load; x.WokenBy != "push" || x.Woken.Count < 10 || got.CheckIns.Done < 10 { // pushes that come close together are one
		t.Errorf("%+v, %+v", got.CheckIns, x)
	}
}

// A plan's timeline is played while the load runs: every device gets the command that was ordered, and the ledger says so.
func TestFleetPlan(t *testing.T) {
	s, data := serving(t, nil)
	name := filepath.Join(t.TempDir(), "commands.yaml")
	text := `population: {devices: 8, mix: {ios: 50, macos: 50}}
timeline:
  - {at: 0s, enrol: {}}
  - {at: 200ms, command: {kind: SecurityInfo, to: all}}
arrival: {checkins: 20/s, think: 10ms, connections: kept}
until: 1s
limits: [ledger.confirmed == 8, ledger.lost == 0, load.commands > 0]
`
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	got := runLoad(t, name, "--target", s.URL, "--data", data, "--report", filepath.Join(t.TempDir(), "report"))
	for _, l := range got.Limits {
		if !l.OK {
			t.Errorf("%+v", l)
		}
	}
	if got.CheckIns.Done < 15 || got.Load.Connections != "kept" || len(got.Limits) != 3 {
		t.Errorf("%+v, %+v", got.CheckIns, got.Load)
	}
}

// Nobody comes in the ready plan storm but whom the server pushes to after its change of authority: all of them do, each hears of
// the change and gets the profile that the server orders by itself. A server that tells one device nothing of it is named, and
// the device.
func TestFleetStorm(t *testing.T) {
	for _, silent := range []bool{false, true} {
		t.Run(map[bool]string{false: "told", true: "one is not told"}[silent], func(t *testing.T) {
			dir := t.TempDir()
			address, roots := pushService(t, filepath.Join(dir, "push.pem"))
			var deaf atomic.Pointer[string] // certificate of the device that is told nothing
			s, data := serving(t, func(c *serveConfig) {
				c.Push = push.Config{URL: "https://" + address, Roots: roots}
				c.Devices = func(h http.Handler) http.Handler {
					return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						if silent && len(r.TLS.PeerCertificates) > 0 {
							who := string(r.TLS.PeerCertificates[0].Raw)
							if deaf.CompareAndSwap(nil, &who); *deaf.Load() == who {
								w = mute{w}
								defer w.Header().Del(apple.NoticeHeader) // of an answer that is empty
							}
						}
						h.ServeHTTP(w, r)
					})
				}
			})
			file := filepath.Join(dir, "storm.fleet")
			if got := call(t.Context(), fleetCommand(), "fleet", "make", "storm", "--users", "--target", s.URL, "--data", data, "--devices", "6", "--keep", file); got.err != nil {
				t.Fatal(got.err)
			}
			got := call(t.Context(), fleetCommand(), "fleet", "run", "storm", "--users", "--json", "--calibrate", "0s", "--for", "15s", "--target", s.URL, "--data", data,
				"--fleet", file, "--apns-listen", address, "--apns-ca", filepath.Join(dir, "push.pem"))
			var r loaded
			if err := json.Unmarshal([]byte(got.out), &r); err != nil {
				t.Fatalf("%v: %v\n%s", err, got.err, got.out)
			}
			if c := r.Load.Called; c == nil || c.Devices != 6 || c.Came != 6 || r.Load.WokenBy != "push" || r.Load.Resumed != 0 {
				t.Errorf("%+v, %+v", c, r.Load)
			}
			if l := r.Ledger; l.Profiles != 12 || l.Unordered < 6 || l.NeverConverged != uint64(map[bool]int{true: 1}[silent]) || l.Faults() != l.NeverConverged {
				t.Errorf("%+v", l)
			}
			if silent && !strings.Contains(strings.Join(r.Reasons, " "), "never converged: change of authority of device 0000") {
				t.Errorf("%q", r.Reasons)
			}
			if strings.Contains(got.notes, "not played") {
				t.Errorf("notes %q", got.notes)
			}
		})
	}
}

// A mute writer tells nothing of a change of authority.
type mute struct{ http.ResponseWriter }

func (w mute) WriteHeader(status int) {
	w.Header().Del(apple.NoticeHeader)
	w.ResponseWriter.WriteHeader(status)
}

func (w mute) Write(b []byte) (int, error) {
	w.Header().Del(apple.NoticeHeader)
	return w.ResponseWriter.Write(b)
}

// pushService finds an address for --apns-listen, with a new CA in a file.
func pushService(t *testing.T, ca string) (address string, roots *x509.CertPool) {
	t.Helper()
	authority, err := pushCA(ca)
	if err != nil {
		t.Fatal(err)
	}
	if address, err = freeAddress(); err != nil {
		t.Fatal(err)
	}
	roots = x509.NewCertPool()
	roots.AddCert(authority.Certificate())
	return address, roots
}

// A plan without an arrival is loaded all the same: its devices come as often as they do by themselves, and what of it a load does
// not play is said in one sentence before it begins.
func TestFleetWithoutArrival(t *testing.T) {
	s, data := serving(t, nil)
	name := filepath.Join(t.TempDir(), "quiet.yaml")
	text := `population: {devices: 4, mix: {ios: 100}}
timeline:
  - {at: 0s, enrol: {}}
  - {at: 1h, ask_users_to_sync: all}
  - {at: 2h, command: {kind: SecurityInfo, to: all}}
  - {at: 3h, command: {kind: SecurityInfo, to: 50%}}
faults: [{at: 1h, for: 1h, server: busy}]
until: 8h
`
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	got := call(t.Context(), fleetCommand(), "fleet", "run", name, "--json", "--calibrate", "0s", "--for", "2s", "--target", s.URL, "--data", data)
	var r loaded
	if err := json.Unmarshal([]byte(got.out), &r); err != nil {
		t.Fatalf("%v: %v\n%s", err, got.err, got.out)
	}
	if c := r.CheckIns; c.Offered != 4 || r.Load.WokenBy != "themselves" || r.Ledger.Confirmed != 4 { // once in eight hours, told in two seconds
		t.Errorf("%+v, %+v, %+v", c, r.Load, r.Ledger)
	}
	for _, want := range []string{
		"not played by fleet run, of the plan quiet: ask_users_to_sync at 250ms, command at 750ms, faults[0]",
		"the plan quiet has no arrival: its devices come as often as they do by themselves, 2/s in all",
	} {
		if !strings.Contains(got.notes, want) {
			t.Errorf("notes %q, want %q", got.notes, want)
		}
	}
}

// Nobody is loaded who was not meant to be, and what cannot be played is said in one sentence before anything is sent
// (HST-127, HST-126).
func TestFleetRefuses(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	const here = "https://127.0.0.1:1"
	plan := "population: {devices: 3, mix: {ios: 100}}\ntimeline: [{at: 0s, enrol: {}}]\n"
	ca, err := certs.NewIssuer("lab", realClock{}.Now())
	if err != nil {
		t.Fatal(err)
	}
	certificate, key, err := ca.PEM()
	if err != nil {
		t.Fatal(err)
	}
	caName, keyName := file("ca.pem", string(certificate)), file("ca.key", string(key))
	t.Setenv("ROLLCALL_TOKEN", "x")
	for _, tt := range []struct{ args, want string }{
		{"", "--target: which server?"},
		{"--target http://127.0.0.1:1", "want a URL such as https://127.0.0.1:8443"},
		{"--target https://mdm.example.org", "HST-127"},
		{"--target https://mdm.example.org --i-own-this other.example.org", "--i-own-this mdm.example.org"},
		{"--target " + here + " --admin https://mdm.example.org", "HST-127"},
		{"--target " + here + " --server nanodm", "did you mean nanomdm?"},
		{"--target " + here + " --identity minted", "needs --identity-ca FILE"},
		{"--target " + here + " --server nanomdm --identity scep", "NanoMDM hands out no enrolment profiles"},
		{"--target " + here + " --server nanomdm --identity-ca " + caName + " --identity-key " + keyName, "--topic: which?"},
		{"--target " + here + " --server nanomdm --identity-ca " + keyName + " --identity-key " + caName, "--identity-ca and --identity-key: "},
		{"--target " + here + " --server other", "by --admin-command"},
		{"--target " + here + " --rate fast", "such as 500/s"},
		{"--target " + here + " --rate 0/s", "nobody arrives"},
		{"--target " + here + " --for 0s", "without an end"},
		{"--target " + here + " --limit checkins.p99", "is no condition"},
		{"--target " + here + " --devices 0", "--devices: at least 1"},
		{"--target " + here + " " + file("endless.yaml", plan+"arrival: {checkins: 1/s}\n"), "until"},
		{"--target " + here + " --apns-listen 127.0.0.1:0 --apns-ca " + filepath.Join(dir, "push.pem") + " " + file("quiet.yaml", plan+"until: 1m\n"), "neither an arrival nor an act"},
		{"--target " + here + " --users --server nanomdm --topic com.apple.mgmt.External.x --identity-ca " + caName + " --identity-key " + keyName, "--users: only where a rollcall server invites"},
		{"--target " + here + " --fleet " + file("bad.fleet", "rollcall fleet 1\nxx"), "not a whole file of a kept fleet"},
		{"--target " + here + " --baseline " + file("cut.json", `{"version":1,"load":{"lo`), "the file is cut off"},
		{"--target " + here + " --keep-open --devices 90000000", "ulimit -n"},
		{"--target " + here + " --calibrate 50ms --rate 900000/s --for 1s", "generator saturated"},
		{"--target " + here + " --calibrate 50ms --rate 900000/s --for 1s --metrics 127.0.0.1:none", "--metrics: "},
		{"--target " + here + " --calibrate 0s --devices 2", "connection refused"},
		{"--target " + here + " --report " + file("file", ""), "report folder"},
		{"--target " + here + " --junit " + filepath.Join(dir, "no", "such.xml"), "--junit: "},
	} {
		got := call(t.Context(), fleetCommand(), append([]string{"fleet", "run"}, fields(tt.args, dir)...)...)
		if got.err == nil || !strings.Contains(got.err.Error()+got.out, tt.want) {
			t.Errorf("fleet run %s: %v, want %q", tt.args, got.err, tt.want)
		}
	}
	if got := call(t.Context(), fleetCommand(), "fleet", "run", "--schema"); got.err != nil || !json.Valid([]byte(got.out)) {
		t.Errorf("schema: %v", got.err)
	}
}

// Ctrl-C in the middle of a load keeps what was measured until then, marked partial; the exit code is 130 (HST-126).
func TestHST126Interrupted(t *testing.T) {
	s, data := serving(t, nil)
	address, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	dir := filepath.Join(t.TempDir(), "report")
	ended := make(chan told, 1)
	go func() {
		ended <- call(ctx, fleetCommand(), "fleet", "run", "--json", "--target", s.URL, "--data", data, "--devices", "4", "--rate", "50/s", "--for", "1h",
			"--calibrate", "50ms", "--metrics", address, "--report", dir)
	}()
	for scraped(address, `rollcall_fleet_conversations_total{outcome="done"}`) < 5 {
		select {
		case got := <-ended:
			t.Fatalf("it ended by itself: %+v", got)
		case <-time.After(lookAgain):
		}
	}
	stop()
	got := <-ended
	var r loaded
	if err := json.Unmarshal([]byte(got.out), &r); err != nil {
		t.Fatal(err)
	}
	if exitCode(got.err) != 130 || r.Verdict != report.Partial || r.CheckIns.Done < 5 || !strings.Contains(r.Reasons[0], "interrupted") {
		t.Errorf("%v: %s %q, %+v", got.err, r.Verdict, r.Reasons, r.CheckIns)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "result.json")); err != nil || !bytes.Contains(b, []byte(`"partial"`)) {
		t.Errorf("the report: %v", err)
	}
}

// scraped reads one figure from a metrics endpoint; 0: it is not there yet.
func scraped(address, name string) (n float64) {
	resp, err := http.Get("http://" + address + "/metrics")
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0
	}
	if _, after, ok := strings.Cut(string(b), "\n"+name+" "); ok {
		fmt.Sscan(after, &n)
	}
	return n
}

// Results that cannot be written hinder no other, and each says why.
func TestFleetWriteFails(t *testing.T) {
	f := fleetRunFlags{junit: filepath.Join(t.TempDir(), "no", "such", "junit.xml"), keep: filepath.Join(t.TempDir(), "no", "kept")}
	var out bytes.Buffer
	cmd := fleetRunCommand()
	cmd.SetOut(&out)
	err := f.write(cmd, &report.Result{Command: "fleet run", Verdict: report.OK}, &report.Story{}, nil)
	if err == nil || !errors.Is(err, os.ErrNotExist) || !strings.Contains(out.String(), "rollcall fleet run") {
		t.Errorf("%v\n%s", err, &out)
	}
}
