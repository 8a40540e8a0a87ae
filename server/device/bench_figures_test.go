//go:build unix

package device

import (
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"flag"
	"fmt"
	"net/http"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/certs/scep"
)

var floor = flag.String("floor", "", "run this program (checkinfloor) beside the benchmark of the whole check-in, and print the ratio to it")

// The figures of a server process, for one CPU-second of it. Each wants a number of rounds of its own:
//
//	go test ./server/device -run xxx -bench 'CheckIn/(whole|durable)' -benchtime 100000x
//	go test ./server/device -run xxx -bench Command -benchtime 20000x
//	go test ./server/device -run xxx -bench Enrolment -benchtime 1000x
//	go test ./server/device -run xxx -bench KeptAlive -benchtime 4000x
//	go test ./server/device -run xxx -bench Devices -benchtime 1x -timeout 30m
//
// -count 5 gives five of each for a median; Devices takes the medians of five by itself, its three servers in turn.

// benchCheckIns has 64 devices check in on kept connections: TokenUpdates with a new token alone, or with an Idle after each.
func benchCheckIns(b *testing.B, durable bool) {
	s := startBenchServer(b, benchSize{benchDevices, benchDevices})
	phones := s.connectAll(b)
	b.ResetTimer()
	rate := s.checkIns(b, phones, b.N, durable)
	b.StopTimer()
	b.ReportMetric(rate, "checkins/server-cpu-s")
	if *floor != "" && b.N > 10_000 { // a short round of the benchmark says nothing
		b.ReportMetric(rate/floorRate(b), "of-floor")
	}
}

// checkIns has the phones check in n times together, and returns how often for one CPU-second of the server.
func (s *benchServer) checkIns(b *testing.B, phones []*benchPhone, n int, durable bool) float64 {
	step := 1
	if durable {
		step = 2 // every other one is an Idle
	}
	before := s.cpu(b)
	err := together(len(phones), func(i int) (err error) {
		for k := n * i / len(phones); err == nil && k < n*(i+1)/len(phones); k++ {
			err = phones[i].check(k * step)
		}
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return float64(n) / (s.cpu(b) - before).Seconds()
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

// BenchmarkCommand has 64 devices fetch and acknowledge b.N commands, five of each before it is through, over mutual TLS on
// kept connections; queueing and every report are durable. commands counts the CPU time of queueing too (by the core,
// without the administration's HTTP), reports does not.
func BenchmarkCommand(b *testing.B) {
	const each = 5
	s := startBenchServer(b, benchSize{benchDevices, benchDevices})
	phones := s.connectAll(b)
	var done atomic.Int64
	var queueing, reporting time.Duration
	b.ResetTimer()
	for done.Load() < int64(b.N) {
		start := s.cpu(b)
		queued := s.ask(b, benchAsk{Do: "order", N: each}).CPU
		err := together(len(phones), func(i int) error {
			n, err := phones[i].work()
			if err == nil && n != each {
				err = fmt.Errorf("%s had %d commands, want %d", phones[i].id, n, each)
			}
			done.Add(int64(n))
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
		queueing += queued - start
		reporting += s.cpu(b) - queued
	}
	b.StopTimer()
	b.ReportMetric(float64(done.Load())/(queueing+reporting).Seconds(), "commands/server-cpu-s")
	b.ReportMetric(float64(done.Load())/reporting.Seconds(), "reports/server-cpu-s")
}

// BenchmarkEnrolment enrols b.N new devices, 64 at a time: an identity, a full handshake with it, Authenticate and
// TokenUpdate. scep asks for the identity by SCEP with an RSA transport key, over connections that devices share; minted has
// the core issue it for a key, without a protocol. Profiles are not fetched and the challenges are made beforehand.
func BenchmarkEnrolment(b *testing.B) {
	b.Run("scep", func(b *testing.B) {
		s := startBenchServer(b, benchSize{1, 1})
		transport, err := scep.NewTransport(transportKey(), benchTime())
		if err != nil {
			b.Fatal(err)
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(s.CA)
		web := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64, TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: testHost, Time: benchTime}}}
		defer web.CloseIdleConnections()
		client := scep.Client{URL: "https://" + s.Addr + scepPath, HTTP: web, Cache: new(scep.CACache)}
		challenges := s.ask(b, benchAsk{Do: "challenges", N: b.N}).Challenges
		s.enrolments(b, func(i int) (*ecdsa.PrivateKey, []byte, error) {
			key := newKey()
			leaf, err := client.Enrol(context.Background(), scep.EnrolRequest{
				Key: key, Transport: transport, Subject: pkix.Name{CommonName: "device"}, Challenge: challenges[i], Now: benchTime(),
			})
			if err != nil {
				return nil, nil, err
			}
			return key, leaf.Raw, nil
		})
	})
	b.Run("minted", func(b *testing.B) {
		s := startBenchServer(b, benchSize{1, 1})
		keys := make([]*ecdsa.PrivateKey, b.N)
		public := make([][]byte, b.N)
		for i := range keys {
			keys[i] = newKey()
			public[i], _ = x509.MarshalPKIXPublicKey(keys[i].Public())
		}
		before := s.cpu(b)
		minted := s.ask(b, benchAsk{Do: "mint", Keys: public})
		minting := minted.CPU - before
		used := s.enrolments(b, func(i int) (*ecdsa.PrivateKey, []byte, error) { return keys[i], minted.Certificates[i], nil })
		b.ReportMetric(float64(b.N)/(used+minting).Seconds(), "enrolments/server-cpu-s")
	})
}

// enrolments enrols b.N devices with the identities that get gives, and returns the server's CPU time.
func (s *benchServer) enrolments(b *testing.B, get func(i int) (*ecdsa.PrivateKey, []byte, error)) time.Duration {
	b.ResetTimer()
	before := s.cpu(b)
	err := together(b.N, func(i int) error {
		key, certificate, err := get(i)
		if err == nil {
			err = s.enrolAs(udid(1000+i), key, certificate)
		}
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	used := s.cpu(b) - before
	b.StopTimer()
	b.ReportMetric(float64(b.N)/used.Seconds(), "enrolments/server-cpu-s")
	return used
}

// BenchmarkKeptAlive measures what a connection costs the server process that has been used and is kept: its resident memory
// after b.N devices have checked in twice, less that before they connected, after a garbage collection each. The kernel's
// side of the sockets is not in it.
func BenchmarkKeptAlive(b *testing.B) {
	if b.N < 100 {
		return // says nothing
	}
	s := startBenchServer(b, benchSize{b.N, b.N})
	before := s.ask(b, benchAsk{Do: "rss"}).RSS
	b.ResetTimer()
	phones := s.connectAll(b)
	for _, p := range phones {
		if err := p.check(0); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	after := s.ask(b, benchAsk{Do: "rss"}).RSS
	b.ReportMetric(float64(after-before)/float64(b.N)/1024, "KiB/connection")
}

// BenchmarkDevices shows what the number of enrolled devices does to a check-in: the same 1,000 connections, spread evenly
// over all that are enrolled, check in at servers with 1,000, 10,000 and 100,000 of them, in turn, five times; 64 of them at a time.
func BenchmarkDevices(b *testing.B) {
	sizes := []int{1_000, 10_000, 100_000}
	const connected, checkIns, rounds = 1_000, 40_000, 5
	var servers []*benchServer
	var phones [][]*benchPhone
	for _, n := range sizes {
		servers = append(servers, startBenchServer(b, benchSize{n, connected}))
	}
	for _, s := range servers { // when all are there: a connection that nobody uses is soon closed
		phones = append(phones, s.connectAll(b))
	}
	for b.Loop() {
		rates := make([][]float64, len(sizes))
		for range rounds {
			for i, s := range servers {
				rates[i] = append(rates[i], s.checkIns(b, phones[i], checkIns, false))
			}
		}
		for i, n := range sizes {
			slices.Sort(rates[i])
			b.ReportMetric(rates[i][rounds/2], fmt.Sprintf("checkins/server-cpu-s@%d", n))
		}
		b.ReportMetric(100-100*rates[2][rounds/2]/rates[0][rounds/2], "%-less-at-100000")
	}
}
