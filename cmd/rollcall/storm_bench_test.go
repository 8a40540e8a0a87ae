//go:build unix && !agentonly

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"rollcall/fleet/report"
)

// BenchmarkStorm is the ready plan storm with b.N devices: a change of authority, after which the server pushes to everybody and each
// device reconnects with a full handshake, registers with the new authority, takes its profile and closes the connection.
// Server and fleet are processes of their own on this machine. It prints how long it took until the last one was done, the
// connections that the server kept at most, how many it turned away before and after their handshake, its peak of memory, what
// both cost, and the faults in the ledger.
//
//	ROLLCALL_STORM=FOLDER go test ./cmd/rollcall -run xxx -bench Storm -benchtime 100000x -timeout 3h
//
// The devices are made once, in ROLLCALL_STORM, with the data of their server; without it, each time. ROLLCALL_STORM_MINTED=1 mints their
// identities in place of SCEP: that is soon done, but such devices have no users, so that they hear of the change, and neither
// move nor take profiles.
func BenchmarkStorm(b *testing.B) {
	if b.N < 10 {
		return // says nothing
	}
	s := &storm{devices: strconv.Itoa(b.N), minted: os.Getenv("ROLLCALL_STORM_MINTED") != "", dir: os.Getenv("ROLLCALL_STORM"), binary: filepath.Join(b.TempDir(), "rollcall")}
	if s.dir == "" {
		s.dir = b.TempDir()
	}
	if out, err := exec.Command("go", "build", "-o", s.binary, ".").CombinedOutput(); err != nil {
		b.Fatalf("go build: %v\n%s", err, out)
	}
	s.dir = filepath.Join(s.dir, s.devices)
	if s.minted {
		s.dir += "-minted"
	}
	s.make(b)

	data := filepath.Join(b.TempDir(), "data") // the storm leaves it changed
	if err := os.CopyFS(data, os.DirFS(s.file("data"))); err != nil {
		b.Fatal(err)
	}
	server := s.serve(b, data)
	settings := exec.Command(s.binary, "authority", "settings", "--blast-limit", "-1", "--server", server.url, "--data", data) // HST-071
	if out, err := settings.CombinedOutput(); err != nil {
		b.Fatalf("authority settings: %v\n%s", err, out)
	}
	ended := make(chan struct{})
	kept := make(chan float64)
	go func() {
		most := 0.0
		for tick := time.NewTicker(200 * time.Millisecond); ; {
			select {
			case <-tick.C:
				most = max(most, scraped(server.metrics, `rollcall_connections{state="busy"}`)+scraped(server.metrics, `rollcall_connections{state="idle"}`))
			case <-ended:
				kept <- most
				return
			}
		}
	}()
	b.ResetTimer()
	r, fleet := s.run(b, data)
	b.StopTimer()
	close(ended)
	b.ReportMetric(<-kept, "connections-at-most")
	b.ReportMetric(scraped(server.metrics, `rollcall_turned_away_total{what="handshake"}`), "handshakes-away")
	b.ReportMetric(scraped(server.metrics, `rollcall_turned_away_total{what="request"}`), "requests-away")
	used, peak := server.stop(b)
	called := r.Load.Called
	if called == nil {
		b.Fatalf("nobody was called: %q", r.Reasons)
	}
	b.ReportMetric(called.Seconds, "s-to-drain")
	b.ReportMetric(float64(called.Devices-called.Came), "did-not-come")
	b.ReportMetric(float64(r.Ledger.Faults()), "ledger-faults")
	b.ReportMetric(float64(r.Load.Full), "full-handshakes")
	b.ReportMetric(float64(peak)/(1<<20), "MiB-server-peak")
	b.ReportMetric(used.Seconds(), "server-cpu-s")
	b.ReportMetric(fleet.Seconds(), "fleet-cpu-s")
	for _, reason := range r.Reasons {
		b.Log(reason)
	}
}

// A storm is where its devices are kept, and how many.
type storm struct {
	dir, binary, devices string
	minted               bool
}

func (s *storm) file(name string) string { return filepath.Join(s.dir, name) }

// make enrols the devices, unless they are there.
func (s *storm) make(b *testing.B) {
	if exists(s.file("devices.fleet")) {
		return
	}
	if err := os.RemoveAll(s.dir); err != nil { // what was interrupted
		b.Fatal(err)
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		b.Fatal(err)
	}
	for _, name := range []string{"server", "push"} { // the server's is in its devices' profiles
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err == nil {
			err = errors.Join(l.Close(), os.WriteFile(s.file(name), []byte(l.Addr().String()), 0o600))
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	for _, name := range []string{"push.pem", "lab.pem"} {
		if _, err := pushCA(s.file(name)); err != nil {
			b.Fatal(err)
		}
	}
	server := s.serve(b, s.file("data"))
	args := []string{"fleet", "make", "storm", "--target", server.url, "--data", s.file("data"), "--devices", s.devices, "--keep", s.file("devices.fleet")}
	if s.minted {
		args = append(args, "--identity", "minted", "--identity-ca", s.file("lab.pem"), "--identity-key", s.file("lab.pem.key"))
	} else {
		args = append(args, "--users")
	}
	if out, err := exec.Command(s.binary, args...).CombinedOutput(); err != nil {
		b.Fatalf("fleet make: %v\n%s", err, out)
	}
	server.stop(b)
}

// run is the storm itself.
func (s *storm) run(b *testing.B, data string) (r loaded, used time.Duration) {
	args := []string{
		"fleet", "run", "storm", "--json", "--calibrate", "0s", "--target", "https://" + s.address(b, "server"), "--data", data, "--fleet", s.file("devices.fleet"),
		"--apns-listen", s.address(b, "push"), "--apns-ca", s.file("push.pem"),
	}
	if !s.minted {
		args = append(args, "--users")
	}
	cmd := exec.Command(s.binary, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if code := cmd.ProcessState.ExitCode(); code != 0 && code != 2 && code != 3 {
		b.Fatalf("fleet run: %v\n%s", err, &stderr)
	}
	if err := json.Unmarshal(out, &r); err != nil {
		b.Fatal(err)
	}
	if r.Verdict == report.Partial {
		b.Fatal("the storm was interrupted")
	}
	return r, cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
}

func (s *storm) address(b *testing.B, name string) string {
	text, err := os.ReadFile(s.file(name))
	if err != nil {
		b.Fatal(err)
	}
	return string(text)
}

// A stormServer is a server in a process of its own.
type stormServer struct {
	process      *exec.Cmd
	url, metrics string
}

func (s *storm) serve(b *testing.B, data string) *stormServer {
	args := []string{"serve", "--lab", "--json", "--listen", s.address(b, "server"), "--data", data, "--metrics", "127.0.0.1:0", "--apns-url", "https://" + s.address(b, "push"), "--apns-ca", s.file("push.pem")}
	if s.minted {
		args = append(args, "--identity-ca", s.file("lab.pem"))
	}
	v := &stormServer{process: exec.Command(s.binary, args...)}
	var stderr bytes.Buffer
	v.process.Stderr = &stderr
	stdout, err := v.process.StdoutPipe()
	if err == nil {
		err = v.process.Start()
	}
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		v.process.Process.Kill()
		v.process.Wait() // stopped already, or killed: its error says no more
	})
	var said struct{ URL, Metrics string }
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &said)
	}
	if err != nil {
		b.Fatalf("the server does not start: %v\n%s", err, &stderr)
	}
	v.url, v.metrics = said.URL, strings.TrimPrefix(said.Metrics, "http://")
	return v
}

// stop ends the server, and returns the processor time that it used and the most memory that it held, in bytes.
func (v *stormServer) stop(b *testing.B) (used time.Duration, peak int64) {
	v.process.Process.Signal(syscall.SIGTERM)
	if err := v.process.Wait(); err != nil {
		b.Errorf("the server: %v", err)
	}
	state := v.process.ProcessState
	u, ok := state.SysUsage().(*syscall.Rusage)
	if !ok {
		return 0, 0
	}
	peak = u.Maxrss
	if runtime.GOOS != "darwin" { // where it is in KiB
		peak *= 1024
	}
	return state.UserTime() + state.SystemTime(), peak
}
