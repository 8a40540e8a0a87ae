//go:build !agentonly

package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"rollcall/fleet/target"
	"rollcall/protocol"
	"rollcall/server/delivery"
)

// onOwnNetwork says in the environment of a process that it has networks of its own.
const onOwnNetwork = "ROLLCALL_TEST_CAMPUS"

// onCampus runs a test in a process with a network and mounts of its own, in which it may do what root may, whoever runs it. Where a system
// lets nobody have that, the test skips itself.
func onCampus(t *testing.T, test func(t *testing.T)) {
	inNamespaces(t, "ip", &syscall.SysProcAttr{
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}, test)
}

// inNamespaces runs a test in a process that has users (as attr says), a network, mounts and processes of its own, and for which the system
// has a program.
func inNamespaces(t *testing.T, program string, attr *syscall.SysProcAttr, test func(t *testing.T)) {
	if os.Getenv(onOwnNetwork) != "" {
		test(t)
		return
	}
	t.Parallel()
	if _, err := exec.LookPath(program); err != nil {
		t.Skipf("no namespaces: there is no program %s", program)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=10m")
	cmd.Env = append(os.Environ(), onOwnNetwork+"=1")
	attr.Cloneflags = syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID // all processes end with this one
	cmd.SysProcAttr = attr
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Skipf("no namespaces: the system makes none: %v", err)
	}
	err = cmd.Wait()
	if reason, skipped := bytes.CutPrefix(lineWith(out.Bytes(), noCampus), []byte(noCampus)); err == nil && skipped {
		t.Skipf("no namespaces: %s", reason)
	}
	t.Logf("in namespaces:\n%s", &out)
	if err != nil {
		t.Error(err)
	}
}

// noCampus begins the line of a campus that cannot be made.
const noCampus = "no campus here: "

func lineWith(text []byte, prefix string) []byte {
	for line := range bytes.Lines(text) {
		if bytes.HasPrefix(line, []byte(prefix)) {
			return bytes.TrimSpace(line)
		}
	}
	return nil
}

// A campus is a laboratory: a switch, a server and machines, each with a network of its own. This process is at the switch.
type campus struct {
	t        *testing.T
	rollcall string // the program
	dir      string
	server   *exec.Cmd
	said     struct {
		URL         string `json:"url"`
		CA          string `json:"ca"`
		Fingerprint string `json:"ca_sha256"`
		Token       string `json:"token_file"`
	}
	api      *target.Rollcall
	machines []*campusMachine
	journal  chan target.Line // of rollcall audit --follow
	lines    []target.Line    // that came of it
	mark     uint64           // the sequence number of the last line of an earlier act
}

const (
	campusName   = "lab.example"
	campusServer = "10.9.0.1"
	campusSwitch = "10.9.0.254"
)

func newCampus(t *testing.T, machines int) *campus {
	s := &campus{t: t, dir: t.TempDir()}
	var err error
	if s.rollcall, err = exec.LookPath("rollcall"); err != nil {
		t.Fatal(err)
	}
	hosts := filepath.Join(s.dir, "hosts")
	if err := os.WriteFile(hosts, []byte("127.0.0.1 localhost\n"+campusServer+" "+campusName+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	err = errors.Join(syscall.Mount("tmpfs", "/run", "tmpfs", 0, ""), syscall.Mount(hosts, "/etc/hosts", "", syscall.MS_BIND, ""))
	lines := []string{"link set lo up", "link add switch type bridge", "addr add " + campusSwitch + "/24 dev switch", "link set switch up"}
	plug := func(name, addr string) {
		lines = append(lines, "netns add "+name, "link add "+name+" type veth peer name eth0 netns "+name, "link set "+name+" master switch up")
		s.batch(&lines, name, "addr add "+addr+"/24 dev eth0", "link set lo up", "link set eth0 up")
	}
	plug("server", campusServer)
	for i := range machines {
		m := &campusMachine{campus: s, name: fmt.Sprintf("m%d", i), state: filepath.Join(s.dir, fmt.Sprintf("state%d", i)), user: fmt.Sprintf("user%d@example.org", i)}
		s.machines = append(s.machines, m)
		plug(m.name, m.address())
	}
	if err == nil {
		err = s.ip(lines...)
	}
	if err != nil {
		fmt.Printf("%s%.200q\n", noCampus, err)
		t.SkipNow()
	}
	return s
}

// batch appends commands for one network.
func (s *campus) batch(lines *[]string, name string, commands ...string) {
	for _, c := range commands {
		*lines = append(*lines, "netns exec "+name+" ip "+c)
	}
}

// ip changes networks.
func (s *campus) ip(lines ...string) error {
	cmd := exec.Command("ip", "-batch", "-")
	cmd.Stdin = strings.NewReader(strings.Join(lines, "\n"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// in changes one network.
func (s *campus) in(name string, commands ...string) {
	s.t.Helper()
	for _, c := range commands {
		if out, err := exec.Command("ip", append([]string{"-n", name}, strings.Fields(c)...)...).CombinedOutput(); err != nil {
			s.t.Fatalf("ip -n %s %s: %v: %s", name, c, err, out)
		}
	}
}

// command is the program in a network.
func (s *campus) command(network string, args ...string) *exec.Cmd {
	return exec.Command("ip", append([]string{"netns", "exec", network, s.rollcall}, args...)...)
}

// serve starts the server at an address, and waits until it serves.
func (s *campus) serve(address string) {
	s.t.Helper()
	s.server = s.command("server", "serve", "--listen", address+":8443", "--name", campusName, "--data", filepath.Join(s.dir, "data"),
		"--clock", "driven", "--lab", "--authority", "office365", "--service-release", "1910", "--json")
	s.server.Stderr = os.Stderr
	out, err := s.server.StdoutPipe()
	if err == nil {
		err = s.server.Start()
	}
	if err == nil {
		err = json.NewDecoder(out).Decode(&s.said)
	}
	if err != nil {
		s.t.Fatalf("the server does not start: %v", err)
	}
	s.t.Cleanup(s.stop)
	if s.api != nil {
		return
	}
	ca, err := os.ReadFile(s.said.CA)
	if err != nil {
		s.t.Fatal(err)
	}
	token, err := os.ReadFile(s.said.Token)
	if err != nil {
		s.t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	s.api = &target.Rollcall{URL: s.said.URL, Token: string(bytes.TrimSpace(token)), HTTP: &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true,
	}}}
}

func (s *campus) stop() {
	if s.server != nil {
		s.server.Process.Signal(os.Interrupt)
		if err := s.server.Wait(); err != nil {
			s.t.Errorf("the server: %v", err)
		}
		s.server = nil
	}
}

// follow has rollcall audit --follow say what happens; stop ends it.
func (s *campus) follow() (stop func()) {
	s.t.Helper()
	cmd := exec.Command(s.rollcall, "audit", "--follow", "--json", "--server", s.said.URL, "--data", filepath.Join(s.dir, "data"))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		s.t.Fatal(err)
	}
	s.journal, s.lines = make(chan target.Line, 10_000), nil // it is told from its beginning
	to := s.journal
	go func() {
		defer close(to)
		for lines := json.NewDecoder(out); ; {
			var l target.Line
			if lines.Decode(&l) != nil {
				return
			}
			to <- l
		}
	}()
	stop = sync.OnceFunc(func() {
		cmd.Process.Signal(os.Interrupt)
		for range to {
		}
		if err := cmd.Wait(); err != nil {
			s.t.Errorf("rollcall audit --follow: %v", err)
		}
	})
	s.t.Cleanup(stop)
	return stop
}

// act begins a new act of the story: what happened before does not count.
func (s *campus) act(name string) {
	if n := len(s.lines); n > 0 {
		s.mark = s.lines[n-1].Seq
	}
	s.t.Logf("%s %s", time.Now().Format("05.000"), name)
}

// sees waits until the journal has a line of this act about each of the machines, and returns the last one.
func (s *campus) sees(what delivery.What, detail string, machines ...*campusMachine) (last target.Line) {
	s.t.Helper()
	waits := map[string]string{}
	for _, m := range machines {
		waits[m.udid] = m.name
	}
	for i := 0; len(waits) > 0; i++ {
		if i == len(s.lines) {
			l, ok := <-s.journal
			if !ok {
				s.t.Fatalf("rollcall audit --follow ended, and nothing was %s (%s) of %v", what, detail, waits)
			}
			s.lines = append(s.lines, l)
		}
		if l := s.lines[i]; l.Seq > s.mark && l.What == string(what) && strings.HasPrefix(l.Detail, detail) && waits[l.Device] != "" {
			delete(waits, l.Device)
			last = l
		}
	}
	return last
}

// step steps the server's clock.
func (s *campus) step(by time.Duration) {
	s.t.Helper()
	clock, err := s.api.Clock(s.t.Context())
	if err == nil {
		_, err = s.api.Step(s.t.Context(), clock.Now.Add(by))
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// A campusMachine is a machine with its agent.
type campusMachine struct {
	campus                  *campus
	name, state, user, udid string
	serial                  string // of its certificate
	agent                   *exec.Cmd
	said                    lines // what its agent said last
}

func (m *campusMachine) address() string { return "10.9.0.1" + strings.TrimPrefix(m.name, "m") }

// run runs a command of the agent to its end.
func (m *campusMachine) run(command string, args ...string) (out string, err error) {
	cmd := m.campus.command(m.name, append([]string{"agent", command, "--state", m.state}, args...)...)
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err = cmd.Run(); err != nil {
		err = errors.New(strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), err
}

func (m *campusMachine) must(command string, args ...string) string {
	m.campus.t.Helper()
	out, err := m.run(command, args...)
	if err != nil {
		m.campus.t.Fatalf("%s: agent %s: %v", m.name, command, err)
	}
	return out
}

// refuses wants a command to fail, in one sentence that says this.
func (m *campusMachine) refuses(says, command string, args ...string) {
	m.campus.t.Helper()
	if _, err := m.run(command, args...); err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "\n") {
		m.campus.t.Errorf("%s: agent %s: %v; want one sentence with %q", m.name, command, err, says)
	}
}

// status reads the machine's state.
func (m *campusMachine) status() (s struct {
	State, UDID, Why string
	Authority        protocol.Authority
	Rule             protocol.Rule
	Change           *struct{ Epoch uint32 }
	Certificate      *struct{ Serial, SHA256 string }
	Runs             bool
	Stream           struct{ Since time.Time }
},
) {
	m.campus.t.Helper()
	if err := json.Unmarshal([]byte(m.must("status", "--json")), &s); err != nil {
		m.campus.t.Fatal(err)
	}
	return s
}

// profiles are the identifiers of what is installed.
func (m *campusMachine) profiles() (list []string) {
	m.campus.t.Helper()
	var s struct{ Profiles []struct{ Identifier string } }
	if err := json.Unmarshal([]byte(m.must("status", "--json")), &s); err != nil {
		m.campus.t.Fatal(err)
	}
	for _, p := range s.Profiles {
		list = append(list, p.Identifier)
	}
	return list
}

// line asks the server for the machine's line, as what follows agent enroll.
func (m *campusMachine) line() []string {
	m.campus.t.Helper()
	list, err := m.campus.api.Invite(m.campus.t.Context(), []string{m.user})
	if err != nil {
		m.campus.t.Fatal(err)
	}
	return []string{list[0].URL, "--ca", "sha256:" + m.campus.said.Fingerprint, "--draw-id"} // they are copies of one machine
}

// start starts the agent, and waits until it is connected to the push service.
func (m *campusMachine) start() {
	m.campus.t.Helper()
	m.agent = m.campus.command(m.name, "agent", "run", "--state", m.state, "--json")
	stderr, err := m.agent.StderrPipe()
	if err == nil {
		err = m.agent.Start()
	}
	if err != nil {
		m.campus.t.Fatal(err)
	}
	m.said = make(lines, 10_000)
	go func(said lines) {
		defer close(said)
		for text := bufio.NewScanner(stderr); text.Scan(); {
			var l struct{ Msg string }

			if json.Unmarshal(text.Bytes(), &l) == nil {
				said <- l.Msg
			}
		}
	}(m.said)
	m.campus.t.Cleanup(m.halt)
}

func (m *campusMachine) halt() {
	if m.agent != nil {
		m.agent.Process.Signal(syscall.SIGTERM)
		for range m.said {
		}
		if err := m.agent.Wait(); err != nil {
			m.campus.t.Errorf("%s: agent run: %v", m.name, err)
		}
		m.agent = nil
	}
}

// connected waits for a stream of wake-ups.
func (m *campusMachine) connected() { m.said.wait("wake-ups come by a stream now") }

// forward is a proxy that passes connections on.
func (s *campus) forward(from, to string) {
	s.t.Helper()
	l, err := net.Listen("tcp", from)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { l.Close() })
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer in.Close()
				out, err := net.Dial("tcp", to)
				if err != nil {
					return
				}
				go func() { io.Copy(out, in); out.(*net.TCPConn).CloseWrite() }()
				io.Copy(in, out)
				out.Close()
			}()
		}
	}()
}
