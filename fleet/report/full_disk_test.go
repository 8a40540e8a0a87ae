//go:build linux || darwin

package report

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
)

// TestHST125FullDisk lets the disk end at every part of a report, by a limit on the size of files: each time
// one sentence says so, and the report that was there is as it was.
func TestHST125FullDisk(t *testing.T) {
	const child = "ROLLCALL_REPORT_FULL_DISK"
	dir := os.Getenv(child)
	if dir == "" { // the limit must not meet other tests
		cmd := exec.Command(os.Args[0], "-test.run=^TestHST125FullDisk$", "-test.count=1")
		cmd.Env = append(os.Environ(), child+"="+t.TempDir())
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	signal.Ignore(syscall.SIGXFSZ)
	r, s := sample(t)
	if err := WriteDir(dir, r, s, events("old\n"), false); err != nil {
		t.Fatal(err)
	}
	before := contents(t, dir)
	r.Seed = 8
	size := len(before[PageFile])
	var was syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &was); err != nil {
		t.Fatal(err)
	}
	for _, room := range []int{0, 1, 100, len(before[ResultFile]), size / 2, size - 2000} {
		limit := was
		limit.Cur = uint64(room)
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
			t.Fatal(err)
		}
		err := WriteDir(dir, r, s, events(strings.Repeat("x", 150)), true)
		if e := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &was); e != nil {
			t.Fatal(e)
		}
		if !errors.Is(err, syscall.EFBIG) || !strings.Contains(err.Error(), "no room") {
			t.Errorf("room for %d bytes: %v, want a sentence about room", room, err)
		}
		if got := contents(t, dir); fmt.Sprint(got) != fmt.Sprint(before) {
			t.Errorf("room for %d bytes: the old report was changed, or something was left behind", room)
		}
	}
	if err := WriteDir(dir, r, s, events("new\n"), true); err != nil {
		t.Errorf("with room again: %v", err)
	}
}
