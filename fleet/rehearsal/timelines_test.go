package rehearsal_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// TestTimelines plays random timelines, each of its own seed, on the real code and on the twin: they must never differ, and I1
// to I10 hold. ROLLCALL_TIMELINES says how many, ROLLCALL_SEED which comes first. A timeline that fails is made as short as
// it can be; the line that is printed plays it again with ROLLCALL_TIMELINE, and kept in testdata/timelines it is played for
// ever.
func TestTimelines(t *testing.T) {
	if line := os.Getenv("ROLLCALL_TIMELINE"); line != "" {
		if name, what := fails(parseTimeline(line)); name != "" {
			t.Fatal(what)
		}
		return
	}
	n, first := number(t, "ROLLCALL_TIMELINES", 400), number(t, "ROLLCALL_SEED", 0)
	const batch = 64
	for from := first; from < first+n; from += batch {
		for i, name := range playAll(from, min(batch, first+n-from)) {
			if name == "" {
				continue
			}
			seed := from + i
			short := drawTimeline(uint64(seed))
			if os.Getenv("ROLLCALL_SHRINK") != "no" {
				short = shrink(short, name)
			}
			_, what := fails(short)
			t.Fatalf("found after %d timelines\nseed %d: %s\nROLLCALL_TIMELINE=%q", seed-first+1, seed, what, short)
		}
	}
	t.Logf("%d timelines", n)
}

func number(t *testing.T, variable string, otherwise int) int {
	s := os.Getenv(variable)
	if s == "" {
		return otherwise
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatalf("%s: %v", variable, err)
	}
	return n
}

// playAll plays n timelines, as many at once as there are processors, and says of each what it breaks.
func playAll(from, n int) []string {
	broken := make([]string, n)
	next := make(chan int)
	var done sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		done.Go(func() {
			for i := range next {
				broken[i], _ = fails(drawTimeline(uint64(from + i)))
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	done.Wait()
	return broken
}

// fails plays a timeline: the name of what does not hold first, and all in words; empty: nothing.
func fails(t timeline) (name, what string) {
	defer func() {
		if x := recover(); x != nil {
			name, what = "panic", fmt.Sprint("panic: ", x)
		}
	}()
	broken, err := play(t)
	if err != nil {
		return "error", strings.Join(append(broken, "error: "+err.Error()), "\n")
	}
	if len(broken) == 0 {
		return "", ""
	}
	name, _, _ = strings.Cut(broken[0], ":")
	return name, strings.Join(broken, "\n")
}

// TestTimelinesKept plays the timelines that once found something.
func TestTimelinesKept(t *testing.T) {
	files, err := filepath.Glob("testdata/timelines/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no timelines are kept: %v", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(data)) {
			if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
				continue
			}
			if name, what := fails(parseTimeline(line)); name != "" {
				t.Errorf("%s: %s\nROLLCALL_TIMELINE=%q", file, what, line)
			}
		}
	}
}
