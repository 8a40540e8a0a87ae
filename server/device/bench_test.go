//go:build unix

package device

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"rollcall/certs"
	"rollcall/protocol"
	"rollcall/protocol/apple"
	"rollcall/server/delivery"
	"rollcall/server/store"
	"rollcall/server/store/sqlstore"
)

var floor = flag.String("floor", "", "run this program (checkinfloor) beside the benchmark of the whole check-in, and print the ratio to it")

const benchDevices = 64 // as many connections

// BenchmarkCheckIn measures a check-in part by part and whole: half TokenUpdates with a new token, each one durable, and
// half Idles. The whole runs over mutual TLS, kept alive, against a server process of its own, over SQLite; its figure
// is check-ins for one CPU-second of that process.
func BenchmarkCheckIn(b *testing.B) {
	p := &phone{id: udid(1)}
	bodies := [][]byte{encode(p.tokenUpdate()), encode(p.idle())}
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		var m apple.Message
		for i := 0; b.Loop(); i++ {
			if err := apple.DecodeMessage(bodies[i&1], &m); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("decide", func(b *testing.B) {
		l := newLab(b)
		p := l.phone(udid(1)).enrol()
		state, world := l.record(p.id).State, l.core.World()
		cred, err := l.core.Credential(context.Background(), state.Identity.Fingerprint)
		if err != nil {
			b.Fatal(err)
		}
		var out delivery.Outcome
		ev := delivery.Event{Kind: delivery.CheckInRound, Device: state.Device}
		ev.Credential, ev.Round, ev.Topic, ev.Magic, ev.Token = cred, 1, testTopic, "magic", []byte("token of some length, as they are")
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			ev.Verb = protocol.Ask
			if i&1 == 0 {
				ev.Verb = protocol.Ready
				ev.Token[0]++
			}
			delivery.Decide(l.pnow(), world, &state, &ev, &out)
		}
		if out.Refusal.Rule != "" {
			b.Fatal(&out.Refusal)
		}
	})
	b.Run("commit", func(b *testing.B) {
		kept, err := sqlstore.Open(context.Background(), b.TempDir())
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { kept.Close() })
		devices := make([]protocol.Device, benchDevices)
		for i := range devices {
			tx, err := kept.Create(context.Background(), udid(i))
			if err != nil {
				b.Fatal(err)
			}
			out := delivery.Outcome{State: *tx.State(), Changed: delivery.Core}
			out.State.Life = delivery.Enrolled
			if err := tx.Commit(1, &out); err != nil {
				b.Fatal(err)
			}
			devices[i] = tx.State().Device
			tx.End()
		}
		var next atomic.Uint32
		b.ReportAllocs()
		b.SetParallelism(benchDevices)
		b.RunParallel(func(pb *testing.PB) {
			d := devices[next.Add(1)%benchDevices]
			var out delivery.Outcome
			for n := protocol.Time(2); pb.Next(); n++ {
				tx, err := kept.Begin(context.Background(), d)
				if err != nil {
					b.Error(err)
					return
				}
				out.State, out.Changed = *tx.State(), 0
				if out.State.LastSeen = n; n&1 == 0 {
					out.State.Push.Since, out.Changed = n, delivery.Core
				}
				err = tx.Commit(n, &out)
				tx.End()
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	})
	b.Run("encode", func(b *testing.B) {
		replies := []protocol.Reply{{}, {Kind: protocol.Work, Command: protocol.Command{Kind: protocol.SecurityInfo, ID: noCommand}}}
		var buf []byte
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			buf = apple.EncodeReply(buf[:0], &replies[i&1])
		}
	})
	b.Run("whole", benchWhole)
}

func benchWhole(b *testing.B) {
	s := startBenchServer(b)
	var phones []*benchPhone
	for i := range s.Identities {
		phones = append(phones, s.connect(b, i))
	}
	var left atomic.Int64
	left.Store(int64(b.N))
	var wg sync.WaitGroup
	b.ResetTimer()
	before := s.cpu(b)
	for _, p := range phones {
		wg.Go(func() {
			for n := 0; left.Add(-1) >= 0; n++ {
				if err := p.round(n); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	used := s.cpu(b) - before
	b.StopTimer()
	rate := float64(b.N) / used.Seconds()
	b.ReportMetric(rate, "checkins/server-cpu-s")
	if *floor != "" && b.N > 10_000 { // a short round of the benchmark says nothing
		b.ReportMetric(rate/floorRate(b), "of-floor")
	}
}

var floorLine = regexp.MustCompile(`per server CPU-s ([0-9.]+)`)

// floorRate runs the floor program with what the server does: net/http, a scanner, modernc's SQLite.
func floorRate(b *testing.B) float64 {
	out, err := exec.Command(*floor, "-http", "nethttp", "-decode", "scan", "-store", "modernc", "-conns", strconv.Itoa(benchDevices), "-runs", "1", "-dir", b.TempDir()).CombinedOutput()
	m := floorLine.FindSubmatch(out)
	if err != nil || m == nil {
		b.Fatalf("%s: %v\n%s", *floor, err, out)
	}
	rate, err := strconv.ParseFloat(string(m[1]), 64)
	if err != nil {
		b.Fatal(err)
	}
	return rate
}

// A benchServer is a server in a process of its own.
type benchServer struct {
	Addr       string
	CA         []byte
	Identities []benchIdentity

	ask    io.WriteCloser
	answer *bufio.Reader
}

type benchIdentity struct{ Certificate, Key []byte }

const benchVariable = "ROLLCALL_BENCH_SERVER"

func startBenchServer(b *testing.B) *benchServer {
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run", "^TestBenchServer$")
	cmd.Env = append(os.Environ(), benchVariable+"="+b.TempDir())
	cmd.Stderr = os.Stderr
	s := &benchServer{}
	s.ask, err = cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		s.ask.Close()
		io.Copy(io.Discard, s.answer)
		cmd.Wait()
	})
	s.answer = bufio.NewReader(out)
	line, err := s.answer.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, s)
	}
	if err != nil {
		b.Fatalf("server process: %v in %s", err, line)
	}
	return s
}

// cpu asks how much CPU time the server process has used.
func (s *benchServer) cpu(b *testing.B) time.Duration {
	fmt.Fprintln(s.ask)
	line, err := s.answer.ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	var n time.Duration
	fmt.Sscan(line, &n)
	return n
}

// TestBenchServer is the server process of the benchmark: it prints how to reach it, and its CPU time for each line
// that it reads.
func TestBenchServer(t *testing.T) {
	dir := os.Getenv(benchVariable)
	if dir == "" {
		t.Skip("only as a process of BenchmarkCheckIn")
	}
	kept, err := sqlstore.Open(context.Background(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Close()
	l := newLabOn(t, kept)
	s := benchServer{Addr: l.addr, CA: certs.CertificatesPEM(l.ca.Certificate())}
	for i := range benchDevices {
		p := l.phoneOf(udid(i), l.identity(store.Grant{Purpose: delivery.ForEnrolment})).enrol() // userless: AUTH-47 gives a user 15
		p.http.CloseIdleConnections()
		key, err := certs.KeyPEM(p.who.Key)
		if err != nil {
			t.Fatal(err)
		}
		s.Identities = append(s.Identities, benchIdentity{certs.CertificatesPEM(p.who.Certificate), key})
	}
	json.NewEncoder(os.Stdout).Encode(&s)
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			t.Fatal(err)
		}
		fmt.Println(u.Utime.Nano() + u.Stime.Nano())
	}
}

// A benchPhone is one device on one connection, as cheap as it can be.
type benchPhone struct {
	conn     *tls.Conn
	in       *bufio.Reader
	requests [4][]byte
}

func (s *benchServer) connect(b *testing.B, i int) *benchPhone {
	cert, err := tls.X509KeyPair(s.Identities[i].Certificate, s.Identities[i].Key)
	if err != nil {
		b.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(s.CA)
	at := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC) // the lab's clock
	conn, err := tls.Dial("tcp", s.Addr, &tls.Config{
		RootCAs: roots, ServerName: testHost, Certificates: []tls.Certificate{cert}, CurvePreferences: []tls.CurveID{tls.X25519},
		Time: func() time.Time { return at },
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { conn.Close() })
	p := &benchPhone{conn: conn, in: bufio.NewReader(conn)}
	who := &phone{id: udid(i)}
	one, two := who.tokenUpdate(), who.tokenUpdate()
	two.Token = append(two.Token, '2') // so that each one is news
	for j, m := range []apple.Message{one, who.idle(), two, who.idle()} {
		path, kind := commandPath, apple.CommandType
		if m.MessageType != apple.NoMessageType {
			path, kind = checkInPath, apple.CheckInType
		}
		body := encode(m)
		p.requests[j] = append(fmt.Appendf(nil, "PUT %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: MDM/1.0\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n", path, testHost, kind, len(body)), body...)
	}
	return p
}

func (p *benchPhone) round(n int) error {
	if _, err := p.conn.Write(p.requests[n&3]); err != nil {
		return err
	}
	resp, err := http.ReadResponse(p.in, nil)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(resp.Body)
	if err == nil && (resp.StatusCode != 200 || len(body) != 0) {
		err = fmt.Errorf("round %d answered %d %q", n, resp.StatusCode, body)
	}
	return err
}
