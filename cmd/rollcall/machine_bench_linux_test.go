//go:build !agentonly

package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"rollcall/agent/courier"
	"rollcall/protocol/wake"
)

// benchServer is a server process for a benchmark, and the line for a machine.
func benchServer(b *testing.B, program string) (server *exec.Cmd, said struct {
	CA, Agent string
	Port      string `json:"courier_port"`
},
) {
	b.Helper()
	dir := b.TempDir()
	server = exec.Command(program, "serve", "--listen", "127.0.0.1:0", "--courier", "127.0.0.1:0", "--data", filepath.Join(dir, "data"), "--json")
	out, err := server.StdoutPipe()
	if err == nil {
		err = server.Start()
	}
	if err == nil {
		err = json.NewDecoder(out).Decode(&said)
	}
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		server.Process.Signal(os.Interrupt)
		server.Wait()
	})
	return server, said
}

// build builds a program as it is given away.
func build(b *testing.B, args ...string) string {
	b.Helper()
	program := filepath.Join(b.TempDir(), "rollcall")
	args = append([]string{"build", "-trimpath", "-ldflags", "-s -w", "-o", program}, args...)
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	return program
}

// buildAgent builds the agent as the packages hold it.
func buildAgent(b *testing.B) string {
	b.Helper()
	text, err := os.ReadFile(filepath.FromSlash("../../.ci/package/build.args"))
	if err != nil {
		b.Fatal(err)
	}
	var args []string
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "-") {
			args = append(args, strings.TrimSpace(line))
		}
	}
	return build(b, args...)
}

// BenchmarkStreamsOfMachines is what each of a thousand streams costs the process of a server whose push service has them: resident memory
// before, with one stream so that what every stream needs is there, and after, when all are up. That has what handshakes have left, up to
// what a server lets gather before it collects (device.SpareHeap); what streams hold is seen when it has settled, after ROLLCALL_IDLE (at
// least 150s: the runtime collects every two minutes). What the kernel keeps of sockets is in neither. The devices' ends are agents' own, in
// this process. Each run has a server of its own: memory that streams before have left would be a gift.
func BenchmarkStreamsOfMachines(b *testing.B) {
	program := build(b)
	log := logrus.New()
	log.SetOutput(io.Discard)
	const streams = 1000
	for b.Loop() {
		server, said := benchServer(b, program)
		pem, err := os.ReadFile(said.CA)
		if err != nil {
			b.Fatal(err)
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(pem)
		ctx, stop := context.WithCancel(b.Context())
		var up, all sync.WaitGroup
		connect := func() {
			token := make([]byte, wake.TokenSize)
			rand.Read(token)
			up.Add(1)
			connected := sync.OnceFunc(up.Done)
			all.Go(func() {
				courier.Run(ctx, courier.Config{
					Address: func(context.Context) (string, error) { return net.JoinHostPort("127.0.0.1", said.Port), nil },
					TLS:     &tls.Config{RootCAs: roots}, ALPN: wake.APNs, Topic: "com.apple.mgmt.External.6f1c", Token: token, Counts: func([]byte) bool { return true }, Log: log, Woken: func() {},
					Changed: func(s courier.State) {
						if !s.Since.IsZero() {
							connected()
						}
					},
				})
			})
		}
		connect()
		up.Wait()
		before := resident(b, server.Process.Pid)
		for range streams {
			connect()
		}
		up.Wait()
		after := resident(b, server.Process.Pid)
		b.ReportMetric(float64(before)/1e6, "MB-before")
		b.ReportMetric(float64(after)/1e6, "MB-after")
		b.ReportMetric(float64(after-before)/streams, "bytes/stream")
		if idle, err := time.ParseDuration(os.Getenv("ROLLCALL_IDLE")); err == nil {
			time.Sleep(idle)
			settled := resident(b, server.Process.Pid)
			b.ReportMetric(float64(settled)/1e6, "MB-settled")
			b.ReportMetric(float64(settled-before)/streams, "settled-bytes/stream")
		}
		stop()
		all.Wait()
	}
}

// BenchmarkAgentProcess is what one agent costs its machine: its size, resident memory, the time from its start until it is connected, and,
// over the time of ROLLCALL_IDLE (such as 10m), in how many seconds it is awake while nothing happens. The runtime's own watch (sysmon) wakes
// once a minute, the stream's heartbeat every few; what such a moment needs of threads and locks ends within it.
func BenchmarkAgentProcess(b *testing.B) {
	program := buildAgent(b)
	st, err := os.Stat(program)
	if err != nil {
		b.Fatal(err)
	}
	_, said := benchServer(b, build(b))
	state := filepath.Join(b.TempDir(), "state")
	line := append(strings.Fields(strings.TrimPrefix(said.Agent, "rollcall ")), "--state", state)
	if out, err := exec.Command(program, line...).CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	for b.Loop() {
		agent := exec.Command(program, "agent", "run", "--beside", "--state", state)
		stderr, err := agent.StderrPipe()
		begun := time.Now()
		if err == nil {
			err = agent.Start()
		}
		if err != nil {
			b.Fatal(err)
		}
		lines := bufio.NewScanner(stderr)
		for lines.Scan() && !strings.Contains(lines.Text(), "wake-ups come by a stream now") {
		}
		b.ReportMetric(float64(time.Since(begun).Milliseconds()), "ms-to-connected")
		if idle, err := time.ParseDuration(os.Getenv("ROLLCALL_IDLE")); err == nil {
			time.Sleep(time.Minute) // until what begins has ended
			awake, before := 0, switches(b, agent.Process.Pid)
			for end := time.Now().Add(idle); time.Now().Before(end); {
				time.Sleep(time.Second)
				if now := switches(b, agent.Process.Pid); now != before {
					awake, before = awake+1, now
				}
			}
			b.ReportMetric(float64(awake)/idle.Minutes(), "awake-seconds/minute")
		}
		b.ReportMetric(float64(resident(b, agent.Process.Pid))/1e6, "resident-MB")
		b.ReportMetric(float64(st.Size())/1e6, "disk-MB")
		agent.Process.Signal(os.Interrupt)
		io.Copy(io.Discard, stderr)
		if err := agent.Wait(); err != nil {
			b.Fatal(err)
		}
	}
}

// resident is the memory of a process, in bytes.
func resident(b *testing.B, pid int) int { return procNumber(b, pid, "status", "VmRSS:") << 10 }

// switches are how often the threads of a process gave the processor back by themselves.
func switches(b *testing.B, pid int) (n int) {
	b.Helper()
	tasks, err := os.ReadDir(filepath.Join("/proc", strconv.Itoa(pid), "task"))
	if err != nil {
		b.Fatal(err)
	}
	for _, task := range tasks {
		n += procNumber(b, pid, "task/"+task.Name()+"/status", "voluntary_ctxt_switches:")
	}
	return n
}

func procNumber(b *testing.B, pid int, file, key string) int {
	b.Helper()
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), file))
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, key); ok {
			n, err := strconv.Atoi(strings.Fields(value)[0])
			if err == nil {
				return n
			}
		}
	}
	b.Fatal(errors.Join(err, errors.New(key+" is not in "+file)))
	return 0
}
