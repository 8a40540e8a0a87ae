package load

import (
	"bufio"
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"rollcall/agent/dialect"
	"rollcall/agent/link"
	"rollcall/certs"
	"rollcall/protocol"
)

// TestMain lets the test's own program be the null server of a benchmark: it must not share the process whose processor
// time is measured.
func TestMain(m *testing.M) {
	if os.Getenv("ROLLCALL_NULL_SERVER") == "" {
		os.Exit(m.Run())
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	n, err := startNull(listener, time.Now)
	if err != nil {
		panic(err)
	}
	cert, key, err := n.ca.PEM()
	if err != nil {
		panic(err)
	}
	json.NewEncoder(os.Stdout).Encode(elsewhere{n.url(), cert, key})
	io.Copy(io.Discard, os.Stdin) // until the other end is gone
	n.close()
}

// An elsewhere is a null server in another process.
type elsewhere struct {
	URL       string
	Cert, Key []byte
}

func startElsewhere(b *testing.B) (url string, ca *certs.Authority) {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "ROLLCALL_NULL_SERVER=1")
	in, err := cmd.StdinPipe()
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
		in.Close()
		cmd.Wait()
	})
	var e elsewhere
	if err := json.NewDecoder(bufio.NewReader(out)).Decode(&e); err != nil {
		b.Fatal(err)
	}
	if ca, err = certs.LoadAuthority(e.Cert, e.Key); err != nil {
		b.Fatal(err)
	}
	return e.URL, ca
}

func cpu() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// benchmark has 128 devices do something until it was done b.N times, and prints how often the fleet's process can do it in a
// second of processor time.
func benchmark(b *testing.B, config link.Config, do func(l *link.Link, d *dialect.Apple, start dialect.Start) error) {
	url, ca := startElsewhere(b)
	config.Roots = x509.NewCertPool()
	config.Roots.AddCert(ca.Certificate())
	config.Identity = Mint(ca, time.Now)
	l, err := link.New(config)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(l.Close)
	e := Endpoint{ServerURL: url + "/mdm", CheckInURL: url + "/checkin", Topic: "com.apple.mgmt.External.x"}
	profile, err := e.Profile()
	if err != nil {
		b.Fatal(err)
	}
	devices := make([]*dialect.Apple, 128)
	for i := range devices {
		devices[i] = newPhone(i)
		if _, err := l.Enrol(b.Context(), devices[i], dialect.Start{Profile: profile}); err != nil {
			b.Fatal(err)
		}
	}
	var turn atomic.Int64
	var all sync.WaitGroup
	before := cpu()
	b.ResetTimer()
	for _, d := range devices {
		all.Go(func() {
			for turn.Add(1) <= int64(b.N) {
				if err := do(l, d, dialect.Start{Profile: profile}); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/(cpu()-before).Seconds(), "/CPU-s")
}

func newPhone(i int) *dialect.Apple {
	who := dialect.Who{Number: protocol.Device(i + 1), Seed: uint64(i), UDID: fmt.Sprintf("00008101-%016X", i), Serial: fmt.Sprintf("RC%08d", i)}
	return dialect.NewApple(who, phone, &dialect.Habits{})
}

func converse(l *link.Link, d *dialect.Apple, _ dialect.Start) error {
	_, err := l.Converse(context.Background(), d, dialect.Synced)
	return err
}

func BenchmarkCheckIn(b *testing.B) {
	b.Run("kept", func(b *testing.B) { benchmark(b, link.Config{KeepOpen: true}, converse) })
	b.Run("resumed", func(b *testing.B) { benchmark(b, link.Config{Sessions: 1000}, converse) })
	b.Run("full", func(b *testing.B) { benchmark(b, link.Config{}, converse) })
}

func BenchmarkEnrol(b *testing.B) {
	b.Run("minted", func(b *testing.B) {
		var n atomic.Int64
		benchmark(b, link.Config{}, func(l *link.Link, _ *dialect.Apple, start dialect.Start) error {
			_, err := l.Enrol(context.Background(), newPhone(1000+int(n.Add(1))), start)
			return err
		})
	})
}
