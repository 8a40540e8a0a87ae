//go:build unix

package load

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"rollcall/agent/dialect"
	"rollcall/agent/link"
	"rollcall/certs"
	"rollcall/fleet"
)

// The figures of a fleet (architecture, section 8), for one second of processor time of its process:
//
//	go test ./fleet/load -run xxx -bench .

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
	n, err := startNull(listener, false, time.Now)
	if err != nil {
		panic(err)
	}
	announce(n.url(), n.ca)
	n.close()
}

// announce says where the server is, and returns when the other end is gone.
func announce(url string, ca *certs.Authority) {
	cert, key, err := ca.PEM()
	if err != nil {
		panic(err)
	}
	json.NewEncoder(os.Stdout).Encode(elsewhere{url, cert, key})
	io.Copy(io.Discard, os.Stdin)
}

// An elsewhere is a null server in another process.
type elsewhere struct {
	URL       string
	Cert, Key []byte
}

func startElsewhere(b *testing.B) (url string, ca *certs.Authority) {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "ROLLCALL_NULL_SERVER=yes")
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
	defer Tune(128, config.KeepOpen)()
	url, ca := startElsewhere(b)
	config.Roots = x509.NewCertPool()
	config.Roots.AddCert(ca.Certificate())
	if config.TransportKeys == nil {
		config.Identity = Mint(ca, time.Now)
	}
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

func converse(l *link.Link, d *dialect.Apple, _ dialect.Start) error {
	_, err := l.Converse(context.Background(), d, dialect.Synced)
	return err
}

func BenchmarkCheckIn(b *testing.B) {
	b.Run("kept", func(b *testing.B) { benchmark(b, link.Config{KeepOpen: true}, converse) })
	b.Run("resumed", func(b *testing.B) { benchmark(b, link.Config{Sessions: 1000}, converse) })
	hybrid := []tls.CurveID{tls.X25519MLKEM768} // Go's own choice, beside X25519 alone
	b.Run("resumed-hybrid", func(b *testing.B) { benchmark(b, link.Config{Sessions: 1000, Curves: hybrid}, converse) })
	b.Run("full", func(b *testing.B) { benchmark(b, link.Config{}, converse) })
	b.Run("full-hybrid", func(b *testing.B) { benchmark(b, link.Config{Curves: hybrid}, converse) })
}

func BenchmarkEnrol(b *testing.B) {
	enrol := func(b *testing.B, config link.Config) {
		var n atomic.Int64
		benchmark(b, config, func(l *link.Link, _ *dialect.Apple, start dialect.Start) error {
			_, err := l.Enrol(context.Background(), newPhone(1000+int(n.Add(1))), start)
			return err
		})
	}
	b.Run("minted", func(b *testing.B) { enrol(b, link.Config{}) })
	b.Run("scep", func(b *testing.B) {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			b.Fatal(err)
		}
		enrol(b, link.Config{TransportKeys: []*rsa.PrivateKey{key}})
	})
}

// BenchmarkAsleep tells what an enrolled device costs while it does nothing, key, certificate and its place in the load
// included.
func BenchmarkAsleep(b *testing.B) {
	const devices = 4000
	url, ca := startElsewhere(b)
	config := link.Config{Roots: x509.NewCertPool(), Identity: Mint(ca, time.Now)}
	config.Roots.AddCert(ca.Certificate())
	e := Endpoint{ServerURL: url + "/mdm", CheckInURL: url + "/checkin", Topic: "com.apple.mgmt.External.x"}
	profile, err := e.Profile()
	if err != nil {
		b.Fatal(err)
	}
	heap := func() float64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc)
	}
	for b.Loop() {
		before := heap()
		c := Config{
			Link: config, Pace: Constant(1, time.Second), Devices: make([]fleet.Device, devices),
			Start: ByProfile(profile),
		}
		for i := range c.Devices {
			c.Devices[i] = newPhone(i)
		}
		l, err := New(c)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := l.Enrol(b.Context()); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric((heap()-before)/devices, "B/device")
		runtime.KeepAlive(l)
		l.Close()
	}
}

// BenchmarkLoad is a check-in as a load makes it, with its bookkeeping.
func BenchmarkLoad(b *testing.B) {
	for name, config := range map[string]link.Config{"kept": {KeepOpen: true}, "resumed": {Sessions: 1000}} {
		b.Run(name, func(b *testing.B) {
			defer Tune(128, config.KeepOpen)()
			url, ca := startElsewhere(b)
			config.Roots = x509.NewCertPool()
			config.Roots.AddCert(ca.Certificate())
			config.Identity = Mint(ca, time.Now)
			e := Endpoint{ServerURL: url + "/mdm", CheckInURL: url + "/checkin", Topic: "com.apple.mgmt.External.x"}
			profile, err := e.Profile()
			if err != nil {
				b.Fatal(err)
			}
			c := Config{Link: config, Closed: 128, For: time.Second, Start: ByProfile(profile)}
			for i := range 256 {
				c.Devices = append(c.Devices, newPhone(i))
			}
			done, used := 0.0, time.Duration(0)
			for b.Loop() {
				l, err := New(c)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := l.Enrol(b.Context()); err != nil {
					b.Fatal(err)
				}
				before := cpu()
				if err := l.Run(b.Context()); err != nil {
					b.Fatal(err)
				}
				used += cpu() - before
				done += float64(l.total().sessions.done)
				l.Close()
			}
			b.ReportMetric(done/used.Seconds(), "/CPU-s")
		})
	}
}
