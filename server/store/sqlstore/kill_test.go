package sqlstore

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"testing"

	"rollcall/protocol"
)

// killDevices change all the time in the process that is killed.
const killDevices = 8

// TestHST090Kill kills a loaded process at random moments. It says every acknowledgement; after each restart those are compared with
// what is there: none lost, none applied twice, and what was not acknowledged is wholly there or wholly not. ROLLCALL_KILLS is
// how many times (default 3).
func TestHST090Kill(t *testing.T) {
	if dir := os.Getenv("ROLLCALL_TEST_LOAD"); dir != "" {
		load(dir)
	}
	cycles := 3
	if v := os.Getenv("ROLLCALL_KILLS"); v != "" {
		var err error
		if cycles, err = strconv.Atoi(v); err != nil {
			t.Fatal("ROLLCALL_KILLS: ", err)
		}
	}
	dir := t.TempDir()
	s := openDir(t, dir)
	for i := range killDevices {
		enrol(t, s, fmt.Sprint("device ", i))
	}
	s.Close()
	acked := make([]uint64, killDevices+1)
	lines := uint64(0)
	for cycle := range cycles {
		loadAndKill(t, dir, 1+rand.IntN(400), acked)
		s, err := Open(context.Background(), dir)
		if err != nil {
			t.Fatalf("cycle %d: %v", cycle, err)
		}
		lines = 0
		for d := 1; d <= killDevices; d++ {
			// One step may be under way when the process ends.
			acked[d] = verify(t, s, protocol.Device(d), acked[d], acked[d]+1)
			lines += acked[d]
		}
		var n uint64
		if err := s.read.db.QueryRow("SELECT count(*) FROM journal").Scan(&n); err != nil || n != lines {
			t.Errorf("cycle %d: %d lines in the journal, %v; want one for each of %d steps", cycle, n, err, lines)
		}
		if _, err := s.VerifyJournal(context.Background()); err != nil {
			t.Errorf("cycle %d: %v", cycle, err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("cycle %d: %v", cycle, err)
		}
		if t.Failed() {
			t.FailNow()
		}
	}
	t.Logf("%d kills, %d acknowledged steps", cycles, lines)
}

// loadAndKill runs load in a process of its own, kills it after some acknowledgements, and adds up what it acknowledged.
func loadAndKill(t *testing.T, dir string, after int, acked []uint64) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestHST090Kill$")
	cmd.Env = append(os.Environ(), "ROLLCALL_TEST_LOAD="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	read := bufio.NewReader(out)
	for n := 0; ; n++ {
		text, err := read.ReadString('\n')
		if err != nil {
			break // half a line acknowledges nothing
		}
		var d int
		var k uint64
		if _, err := fmt.Sscanf(text, "%d %d\n", &d, &k); err != nil || d < 1 || d >= len(acked) || k != acked[d]+1 {
			t.Errorf("the loaded process says %q after step %d", text, acked[max(0, min(d, len(acked)-1))])
			break
		}
		acked[d] = k
		if n == after {
			cmd.Process.Kill() // and read on: what is in the pipe was acknowledged
		}
	}
	cmd.Process.Kill()
	cmd.Wait()
}

// load changes all devices until it is killed, and writes "device step" for each acknowledged step.
func load(dir string) {
	s, err := Open(context.Background(), dir)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	var wg sync.WaitGroup
	for d := protocol.Device(1); d <= killDevices; d++ {
		wg.Go(func() {
			rec, err := s.Record(context.Background(), d)
			for k := rec.State.Seq + 1; err == nil; k++ {
				if err = step(s, d, k); err == nil {
					_, err = fmt.Printf("%d %d\n", d, k)
				}
			}
			fmt.Fprintln(os.Stderr, err)
		})
	}
	wg.Wait()
	os.Exit(1)
}
