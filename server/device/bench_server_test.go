//go:build unix

package device

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"rollcall/certs"
	"rollcall/protocol"
	"rollcall/protocol/apple"
	"rollcall/server"
	"rollcall/server/delivery"
	"rollcall/server/store"
	"rollcall/server/store/sqlstore"
)

var serverProfile = flag.String("serverprofile", "", "write a CPU profile of the benchmarks' server process to this file")

// A benchServer is a server in a process of its own, over SQLite, whose CPU time and memory are nobody else's.
type benchServer struct {
	Addr       string
	CA         []byte
	Identities []benchIdentity // of the devices that may connect

	in  io.WriteCloser
	out *bufio.Reader
}

type benchIdentity struct {
	UDID             string
	Certificate, Key []byte
}

// A benchSize is how many devices are enrolled, and how many of these, evenly spread, have an identity to connect with.
type benchSize struct{ Devices, Connected int }

// A benchAsk is one thing that the server process is asked for; a benchReply what it says, with its CPU time.
type benchAsk struct {
	Do   string   // cpu, rss, calm, peak, order, challenges or mint
	N    int      // order: commands for each of the connected devices; challenges: how many
	Keys [][]byte // mint: public keys, PKIX
}

type benchReply struct {
	CPU          time.Duration
	RSS          int64
	State        AdmissionState
	Challenges   []string
	Certificates [][]byte // DER
	Error        string
}

const benchVariable = "ROLLCALL_BENCH_SERVER"

// startBenchServer starts a server process and ends it with the benchmark.
func startBenchServer(b *testing.B, size benchSize) *benchServer {
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run", "^TestBenchServer$")
	if *serverProfile != "" {
		cmd.Args = append(cmd.Args, "-test.cpuprofile", *serverProfile)
	}
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d %d %s", benchVariable, size.Devices, size.Connected, b.TempDir()))
	cmd.Stderr = os.Stderr
	s := &benchServer{}
	if s.in, err = cmd.StdinPipe(); err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	s.out = bufio.NewReader(out)
	b.Cleanup(func() {
		s.in.Close()
		io.Copy(io.Discard, s.out)
		cmd.Wait()
	})
	s.read(b, s)
	return s
}

func (s *benchServer) read(b *testing.B, into any) {
	line, err := s.out.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, into)
	}
	if err != nil {
		b.Fatalf("server process: %v in %.200q", err, line)
	}
}

func (s *benchServer) ask(b *testing.B, a benchAsk) (r benchReply) {
	if err := json.NewEncoder(s.in).Encode(a); err != nil {
		b.Fatal(err)
	}
	s.read(b, &r)
	if r.Error != "" {
		b.Fatalf("server process: %s: %s", a.Do, r.Error)
	}
	return r
}

// cpu returns how much CPU time the server process has used.
func (s *benchServer) cpu(b *testing.B) time.Duration { return s.ask(b, benchAsk{Do: "cpu"}).CPU }

// TestBenchServer is the server process of the benchmarks: it prints how to reach it, and then answers what it is asked.
func TestBenchServer(t *testing.T) {
	var size benchSize
	var dir string
	if _, err := fmt.Sscan(os.Getenv(benchVariable), &size.Devices, &size.Connected, &dir); err != nil {
		t.Skip("only as a process of the benchmarks")
	}
	kept, err := sqlstore.Open(context.Background(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Close()
	defer SpareHeap()() // as serve does
	l := newLabOn(t, kept)
	s := benchServer{Addr: l.addr, CA: certs.CertificatesPEM(l.ca.Certificate())}
	numbers, err := s.enrol(l, size)
	if err != nil {
		t.Fatal(err)
	}
	out := json.NewEncoder(os.Stdout)
	out.Encode(&s)
	for in := json.NewDecoder(os.Stdin); ; {
		var a benchAsk
		if err := in.Decode(&a); err != nil {
			return // the benchmark is over
		}
		var r benchReply
		if err := r.answer(l, &a, numbers); err != nil {
			r.Error = err.Error()
		}
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			t.Fatal(err)
		}
		r.CPU = time.Duration(u.Utime.Nano() + u.Stime.Nano())
		out.Encode(&r)
	}
}

// enrol enrols the devices: those that are to connect as devices do, the others straight into the store.
func (s *benchServer) enrol(l *lab, size benchSize) (connected []protocol.Device, err error) {
	every := size.Devices / size.Connected
	var phones []*phone
	err = together(size.Devices, func(i int) error {
		if i%every == 0 && i/every < size.Connected {
			return nil
		}
		tx, err := l.store.Create(context.Background(), udid(i))
		if err != nil {
			return err
		}
		defer tx.End()
		out := delivery.Outcome{State: *tx.State(), Changed: delivery.Core}
		out.State.Life, out.State.Registered = delivery.Enrolled, protocol.Intune
		return tx.Commit(l.pnow(), &out)
	})
	for i := 0; err == nil && i < size.Connected; i++ {
		p := l.phoneOf(udid(i*every), l.identity(store.Grant{Purpose: delivery.ForEnrolment})) // userless: AUTH-47 gives a user 15
		phones = append(phones, p)
	}
	if err == nil {
		err = together(len(phones), func(i int) error {
			phones[i].enrol()
			phones[i].http.CloseIdleConnections()
			return nil
		})
	}
	for i := 0; err == nil && i < len(phones); i++ {
		p := phones[i]
		var key []byte
		key, err = certs.KeyPEM(p.who.Key)
		s.Identities = append(s.Identities, benchIdentity{p.id, certs.CertificatesPEM(p.who.Certificate), key})
		connected = append(connected, l.record(p.id).State.Device)
	}
	return connected, err
}

// answer does what is asked.
func (r *benchReply) answer(l *lab, a *benchAsk, connected []protocol.Device) error {
	ctx := context.Background()
	switch a.Do {
	case "rss":
		debug.FreeOSMemory()
		return r.memory("VmRSS:")
	case "calm": // the peak of memory counts from here
		debug.FreeOSMemory()
		return os.WriteFile("/proc/self/clear_refs", []byte("5"), 0)
	case "peak":
		r.State = l.h.cfg.Admission.State()
		return r.memory("VmHWM:")
	case "order":
		return together(len(connected), func(i int) error {
			for range a.N {
				if _, err := l.core.Order(ctx, l.pnow(), connected[i], protocol.Command{Kind: protocol.SecurityInfo}); err != nil {
					return err
				}
			}
			return nil
		})
	case "challenges":
		r.Challenges = make([]string, a.N)
		return together(a.N, func(i int) (err error) {
			r.Challenges[i], err = l.core.Grant(ctx, l.pnow(), store.Grant{Purpose: delivery.ForEnrolment})
			return err
		})
	case "mint":
		r.Certificates = make([][]byte, len(a.Keys))
		return together(len(a.Keys), func(i int) (err error) {
			r.Certificates[i], err = mint(l, a.Keys[i])
			return err
		})
	}
	return nil
}

// memory reads a line of what the kernel says of this process.
func (r *benchReply) memory(name string) error {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	_, line, _ := strings.Cut(string(status), name)
	_, err = fmt.Sscan(line, &r.RSS)
	r.RSS *= 1024
	return err
}

// mint has the core issue an identity for a key, with no protocol around it.
func mint(l *lab, public []byte) ([]byte, error) {
	ctx := context.Background()
	key, err := x509.ParsePKIXPublicKey(public)
	if err != nil {
		return nil, err
	}
	challenge, err := l.core.Grant(ctx, l.pnow(), store.Grant{Purpose: delivery.ForEnrolment})
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(public)
	return l.core.Issue(ctx, l.pnow(), server.Claim{
		Challenge: challenge, Transaction: challenge, Request: sum, Key: sum,
		Make: func(*store.Grant) ([]byte, protocol.Time, protocol.Time, error) {
			leaf, err := l.ca.Issue(certs.IssueRequest{Public: key, Handle: challenge, Now: l.now()})
			if err != nil {
				return nil, 0, 0, err
			}
			return leaf.Raw, protocol.At(leaf.NotBefore), protocol.At(leaf.NotAfter), nil
		},
	})
}

// together calls do for each number below n, 64 at a time, and returns the first error.
func together(n int, do func(i int) error) error {
	var next atomic.Int64
	var wg sync.WaitGroup
	errs := make([]error, 64)
	for g := range errs {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && errs[g] == nil; i = int(next.Add(1)) - 1 {
				errs[g] = do(i)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// A benchPhone is one device on one connection, as cheap as it can be.
type benchPhone struct {
	id       string
	conn     *tls.Conn
	in       *bufio.Reader
	requests [4][]byte // TokenUpdate, Idle, another TokenUpdate, Idle
}

// dial connects to the server, with the lab's clock; nil: without an identity.
func (s *benchServer) dial(identity *tls.Certificate) (*tls.Conn, error) {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(s.CA)
	config := &tls.Config{RootCAs: roots, ServerName: testHost, CurvePreferences: []tls.CurveID{tls.X25519}, Time: benchTime}
	if identity != nil {
		config.Certificates = []tls.Certificate{*identity}
	}
	return tls.Dial("tcp", s.Addr, config)
}

func benchTime() time.Time { return time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC) }

// connect connects the i-th device that has an identity.
func (s *benchServer) connect(b *testing.B, i int) *benchPhone {
	who := s.Identities[i]
	cert, err := tls.X509KeyPair(who.Certificate, who.Key)
	if err != nil {
		b.Fatal(err)
	}
	conn, err := s.dial(&cert)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { conn.Close() })
	p := &benchPhone{id: who.UDID, conn: conn, in: bufio.NewReader(conn)}
	device := &phone{id: p.id}
	one, two := device.tokenUpdate(), device.tokenUpdate()
	two.Token = append(two.Token, '2') // so that each one is news
	for j, m := range []apple.Message{one, device.idle(), two, device.idle()} {
		p.requests[j] = wire(m)
	}
	return p
}

// connectAll connects every device that has an identity and has it check in, since a connection that says nothing is closed.
func (s *benchServer) connectAll(b *testing.B) []*benchPhone {
	phones := make([]*benchPhone, len(s.Identities))
	for i := range phones {
		phones[i] = s.connect(b, i)
		if err := phones[i].check(1); err != nil {
			b.Fatal(err)
		}
	}
	return phones
}

// wire is one message as it goes out.
func wire(m apple.Message) []byte {
	path, kind := commandPath, apple.CommandType
	if m.MessageType != apple.NoMessageType {
		path, kind = checkInPath, apple.CheckInType
	}
	body := encode(m)
	return append(fmt.Appendf(nil, "PUT %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: MDM/1.0\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n", path, testHost, kind, len(body)), body...)
}

// do sends one request and returns the body of its answer, which must be a 200.
func (p *benchPhone) do(request []byte) ([]byte, error) {
	if _, err := p.conn.Write(request); err != nil {
		return nil, err
	}
	resp, err := http.ReadResponse(p.in, nil)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != 200 {
		err = fmt.Errorf("answered %d %q", resp.StatusCode, body)
	}
	return body, err
}

// check checks in for the n-th time, when there is nothing to be done.
func (p *benchPhone) check(n int) error {
	body, err := p.do(p.requests[n&3])
	if err == nil && len(body) != 0 {
		err = fmt.Errorf("check-in %d answered %q", n, body)
	}
	return err
}

// work asks for commands and acknowledges each until there are none, and returns how many there were.
func (p *benchPhone) work() (n int, err error) {
	body, err := p.do(p.requests[1])
	for err == nil && len(body) > 0 {
		var uuid string
		if uuid, _, err = apple.DecodeCommand(body); err == nil {
			n++
			body, err = p.do(wire(apple.Message{UDID: p.id, Status: protocol.Acknowledged, CommandUUID: uuid}))
		}
	}
	return n, err
}

// enrolAs enrols a device that nobody knows with an identity: handshake, Authenticate, TokenUpdate.
func (s *benchServer) enrolAs(id string, key *ecdsa.PrivateKey, certificate []byte) error {
	conn, err := s.dial(&tls.Certificate{Certificate: [][]byte{certificate}, PrivateKey: key})
	if err != nil {
		return err
	}
	defer conn.Close()
	device, p := &phone{id: id}, &benchPhone{conn: conn, in: bufio.NewReader(conn)}
	if _, err = p.do(wire(device.authenticate())); err == nil {
		_, err = p.do(wire(device.tokenUpdate()))
	}
	return err
}
