//go:build linux

// Loopback runs a command in a network that has loopback and nothing else, and fails with it, or because some process of it tried to reach
// anything else, whatever came of that (AND-101): the kernel counts what it finds no route for. It is for tests: go test -exec loopback.
//
// A system that makes no networks for whoever runs it ends it with status 69 (EX_UNAVAILABLE), before the command began.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// inside is in the environment of the process that is in the network already.
const inside = "ROLLCALL_LOOPBACK"

const unavailable = 69

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: loopback COMMAND [ARGUMENT...]")
		os.Exit(2)
	}
	if os.Getenv(inside) == "" {
		os.Exit(enter())
	}
	os.Unsetenv(inside)
	os.Exit(run())
}

// enter runs this program again in a network of its own. Who is not root is itself there, and may do no more than bring that network up.
func enter() int {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET}
	if uid, gid := os.Getuid(), os.Getgid(); uid != 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  unix.CLONE_NEWNET | unix.CLONE_NEWUSER,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: uid, HostID: uid, Size: 1}}, GidMappings: []syscall.SysProcIDMap{{ContainerID: gid, HostID: gid, Size: 1}},
			AmbientCaps: []uintptr{unix.CAP_NET_ADMIN},
		}
	}
	return wait(cmd, unavailable)
}

// run runs the command, and says whether anything of it looked beyond loopback.
func run() int {
	if err := raise(); err != nil {
		fmt.Fprintln(os.Stderr, "loopback: the interface lo does not come up:", err)
		return unavailable
	}
	before := lost()
	status := wait(exec.Command(os.Args[1], os.Args[2:]...), 127)
	if n := lost() - before; n > 0 {
		dir, _ := os.Getwd()
		fmt.Fprintf(os.Stderr, "AND-101: %s in %s tried to reach what is not loopback, %d times (strace -f -e trace=connect,sendto shows what)\n", os.Args[1], dir, n)
		return max(status, 1)
	}
	return status
}

// wait runs a command with this process's files, passes signals on to it, and returns its status; unstarted: it could not be run.
func wait(cmd *exec.Cmd, unstarted int) int {
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGQUIT) // the last is how go test ends what takes too long
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(os.Stderr, "loopback:", err)
		return unstarted
	}
	go func() {
		for s := range signals {
			_ = cmd.Process.Signal(s) // it may have ended
		}
	}()
	err := cmd.Wait()
	if ended, ok := errors.AsType[*exec.ExitError](err); ok && ended.ExitCode() >= 0 {
		return ended.ExitCode()
	} else if err != nil { // by a signal
		fmt.Fprintln(os.Stderr, "loopback:", err)
		return 1
	}
	return 0
}

func raise() error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, lo)
}

// lost is how many packets and connections of this network had no route so far (RFC 4293, ipSystemStatsOutNoRoutes).
func lost() (n int) {
	four, _ := os.ReadFile("/proc/self/net/snmp")
	names, values, _ := bytes.Cut(four, []byte("\n")) // Ip: is the first of its pairs of lines
	values, _, _ = bytes.Cut(values, []byte("\n"))
	of := strings.Fields(string(values))
	for i, name := range strings.Fields(string(names)) {
		if name == "OutNoRoutes" && i < len(of) {
			n += number(of[i])
		}
	}
	six, _ := os.ReadFile("/proc/self/net/snmp6") // not there without IPv6
	for line := range strings.Lines(string(six)) {
		if f := strings.Fields(line); len(f) == 2 && f[0] == "Ip6OutNoRoutes" {
			n += number(f[1])
		}
	}
	return n
}

func number(text string) int {
	n, _ := strconv.Atoi(text) // the kernel's
	return n
}
