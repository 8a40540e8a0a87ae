//go:build linux

package main

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// What a child of the test does: dial, by its network, or end with a status.
const (
	dials  = "ROLLCALL_LOOPBACK_DIALS"
	status = "ROLLCALL_LOOPBACK_STATUS"
)

func TestMain(m *testing.M) {
	if text := os.Getenv(status); text != "" {
		n, _ := strconv.Atoi(text)
		if network := os.Getenv(dials); network != "" {
			if c, err := net.DialTimeout(network, os.Args[1], time.Second); err == nil { // nobody looks at what comes of it
				c.Close()
			}
		}
		os.Exit(n)
	}
	os.Exit(m.Run())
}

// TestAND101Loopback: whoever looks beyond loopback is found out, though it thinks that all is well; whoever does not is not.
func TestAND101Loopback(t *testing.T) {
	tool := filepath.Join(t.TempDir(), "loopback")
	if out, err := exec.Command("go", "build", "-o", tool, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		network, address string
		status, want     int
	}{
		"nothing":            {"", "", 0, 0},
		"loopback":           {"tcp", "127.0.0.1:1", 0, 0},
		"loopback by IPv6":   {"tcp", "[::1]:1", 0, 0},
		"it fails by itself": {"", "", 3, 3},
		"beyond":             {"tcp", "192.0.2.1:443", 0, 1},
		"beyond by IPv6":     {"tcp", "[2001:db8::1]:443", 0, 1},
		"beyond by UDP":      {"udp", "192.0.2.1:53", 0, 1},
		"beyond and fails":   {"tcp", "192.0.2.1:443", 3, 3},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command(tool, self, tt.address)
			cmd.Env = append(os.Environ(), status+"="+strconv.Itoa(tt.status), dials+"="+tt.network)
			out, err := cmd.CombinedOutput()
			got := 0
			if ended, ok := errors.AsType[*exec.ExitError](err); ok {
				got = ended.ExitCode()
			} else if err != nil {
				t.Fatal(err)
			}
			if got == unavailable {
				t.Skipf("no network of its own: %s", out)
			}
			if got != tt.want {
				t.Errorf("status %d, want %d: %s", got, tt.want, out)
			}
		})
	}
}
