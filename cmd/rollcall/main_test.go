//go:build !agentonly

package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"rollcall/protocol"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"rollcall": main})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			e.Setenv("NO_COLOR", "1")
			e.Values[phonesKey{}] = map[string]*scriptPhone{}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"freeport": freePort, "waitfor": waitFor, "takeport": takePort, "mode": fileMode, "exits": exits, "sql": changeDatabase, "follow": follow, "confirmed": confirmed, "empty": emptyFolder,
			"phone": phone, "eventlog": sameEventLog,
		},
	})
}

// freeport NAME sets the variable to an address on loopback that nobody listens on.
func freePort(ts *testscript.TestScript, _ bool, args []string) {
	address, err := freeAddress()
	ts.Check(err)
	ts.Setenv(args[0], address)
}

// takeport NAME listens on loopback until the script ends, and sets the variable to the address.
func takePort(ts *testscript.TestScript, _ bool, args []string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Setenv(args[0], l.Addr().String())
	ts.Defer(func() { l.Close() })
}

// waitfor ADDRESS waits until a server answers there.
func waitFor(ts *testscript.TestScript, _ bool, args []string) {
	for {
		c, err := tls.Dial("tcp", args[0], &tls.Config{InsecureSkipVerify: true}) // waits for the handshake once somebody listens
		if err == nil {
			c.Close()
			return
		}
		time.Sleep(lookAgain)
	}
}

// mode FILE 600 checks a file's permissions.
func fileMode(ts *testscript.TestScript, _ bool, args []string) {
	st, err := os.Stat(ts.MkAbs(args[0]))
	ts.Check(err)
	if got := strconv.FormatInt(int64(st.Mode().Perm()), 8); got != args[1] {
		ts.Fatalf("%s has mode %s, want %s", args[0], got, args[1])
	}
}

// exits CODE rollcall ARGUMENTS... runs the program and checks its exit code; stdout and stderr can be matched afterwards.
func exits(ts *testscript.TestScript, _ bool, args []string) {
	err := ts.Exec(args[1], args[2:]...)
	code := 0
	if coded, ok := err.(interface{ ExitCode() int }); ok {
		code = coded.ExitCode()
	} else if err != nil {
		code = -1
	}
	if fmt.Sprint(code) != args[0] {
		ts.Fatalf("exit code %d, want %s: %s", code, args[0], strings.Join(args[1:], " "))
	}
}

// sql FILE STATEMENT changes a database behind the server's back.
func changeDatabase(ts *testscript.TestScript, _ bool, args []string) {
	db, err := sql.Open("sqlite", ts.MkAbs(args[0]))
	ts.Check(err)
	_, err = db.Exec(args[1])
	ts.Check(err)
	ts.Check(db.Close())
}

// follow PATTERN ARGUMENTS... -- ARGUMENTS... runs the program with the first arguments, and with the second ones when the
// first has printed something; waits for a line of the first that matches, and stops it by a signal.
func follow(ts *testscript.TestScript, _ bool, args []string) {
	split := slices.Index(args, "--")
	pattern := regexp.MustCompile(args[0])
	var program string
	for _, dir := range filepath.SplitList(ts.Getenv("PATH")) {
		if name := filepath.Join(dir, "rollcall"); program == "" && exists(name) {
			program = name
		}
	}
	first := exec.Command(program, args[1:split]...)
	first.Dir, first.Env = ts.MkAbs("."), append(os.Environ(), "ROLLCALL_SERVER="+ts.Getenv("ROLLCALL_SERVER"))
	out, err := first.StdoutPipe()
	ts.Check(err)
	ts.Check(first.Start())
	lines := bufio.NewScanner(out)
	found := false
	for n := 0; !found && lines.Scan(); n++ {
		if n == 0 {
			ts.Check(ts.Exec("rollcall", args[split+1:]...))
		}
		found = pattern.MatchString(lines.Text())
	}
	ts.Check(first.Process.Signal(os.Interrupt))
	io.Copy(io.Discard, out)
	if err := first.Wait(); err != nil || !found {
		ts.Fatalf("%v: found %t, %v", args[1:split], found, err)
	}
}

// confirmed rollcall ARGUMENTS... runs a command that wants to be confirmed, and again with the id that it was shown with.
func confirmed(ts *testscript.TestScript, fails bool, args []string) {
	if ts.Exec(args[0], args[1:]...) == nil {
		ts.Fatalf("%v was not refused", args)
	}
	_, id, found := strings.Cut(ts.ReadFile("stdout"), "--confirm ")
	if !found {
		ts.Fatalf("%v names no id", args)
	}
	if err := ts.Exec(args[0], append(args[1:], "--confirm", strings.Fields(id)[0])...); (err != nil) != fails {
		ts.Fatalf("%v, confirmed: %v", args, err)
	}
}

type testVerdict string

func (v testVerdict) Error() string   { return string(v) }
func (v testVerdict) Verdict() string { return string(v) }

func TestExitCode(t *testing.T) {
	for _, tt := range []struct {
		name string
		err  error
		want int
	}{
		{"done", nil, 0},
		{"could not run", errors.New("port in use"), 1},
		{"failed", testVerdict("failed"), 2},
		{"refused by rule", fmt.Errorf("upload: %w", &protocol.Refusal{Rule: protocol.RuleOtherTopic}), 2},
		{"invalid", fmt.Errorf("run: %w", testVerdict("invalid")), 3},
		{"partial", testVerdict("partial"), 130},
		{"interrupted", interrupted{fmt.Errorf("run: %w", context.Canceled)}, 130},
	} {
		if got := exitCode(tt.err); got != tt.want {
			t.Errorf("%s: exitCode(%v) = %d, want %d", tt.name, tt.err, got, tt.want)
		}
	}
}
