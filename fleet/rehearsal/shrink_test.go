package rehearsal_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"
)

// shrink makes a timeline that breaks name shorter, as long as it still does: fewer acts, fewer devices, shorter waits.
func shrink(t timeline, name string) timeline {
	still := func(s timeline) bool { got, _ := fails(s); return got == name }
	for again := true; again; {
		again = false
		for size := len(t) / 2; size >= 1; size /= 2 {
			for at := 1; at+size <= len(t); {
				if s := slices.Delete(slices.Clone(t), at, at+size); still(s) {
					t, again = s, true
				} else {
					at++
				}
			}
		}
		for at := 1; at < len(t); at++ {
			for _, s := range simpler(t, at) {
				if still(s) {
					t, again = s, true
					break
				}
			}
		}
	}
	return t
}

// simpler are timelines that are t but for one act that is simpler.
func simpler(t timeline, at int) (all []timeline) {
	with := func(act string) {
		if s := slices.Clone(t); act != t[at] {
			s[at] = act
			all = append(all, s)
		}
	}
	f := strings.Fields(t[at])
	switch f[0] {
	case "enrol": // without this device, whoever comes after it one place further in front
		s, before := slices.Delete(slices.Clone(t), at, at+1), 0
		for _, act := range t[:at] {
			if strings.HasPrefix(act, "enrol ") {
				before++
			}
		}
		for i, act := range s {
			g := strings.Fields(act)
			if len(g) >= 2 && slices.Contains(onDevice, g[0]) {
				if d, _ := strconv.Atoi(g[1]); d > before {
					g[1] = strconv.Itoa(d - 1)
					s[i] = strings.Join(g, " ")
				}
			}
		}
		all = append(all, s)
	case "wait":
		for _, shorter := range []string{"1m", "20m", "2h", "9h", "30h", "3d", "8d"} {
			if shorter == f[1] {
				break
			}
			with("wait " + shorter)
		}
	case "set", "upload":
		if len(f) > 2 {
			with(strings.TrimSuffix(strings.TrimSuffix(t[at], " force"), " confirm"))
		}
	case "cut":
		with("lose" + strings.TrimPrefix(t[at], "cut"))
		fallthrough
	case "lose", "busy", "fails":
		if len(f) > 2 {
			with(f[0] + " " + f[1] + " 1")
		}
	}
	return all
}

// TestShrink: a long timeline that breaks something is made short, and stays one that breaks the same.
func TestShrink(t *testing.T) {
	long := parseTimeline("tenant intune 365; upload A 300; enrol phone 0; enrol pc 1; wait 2h; order 1; put 1 all; wait 9h; nonsense; wait 9h")
	name, _ := fails(long)
	if got := shrink(long, name).String(); name != "error" || got != "tenant intune 365; nonsense" {
		t.Errorf("shrunk to %q, which is %q", got, name)
	}
}
