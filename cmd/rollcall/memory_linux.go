//go:build !agentonly

package main

import (
	"fmt"
	"os"
	"strings"
)

// freeMemory returns how many bytes this process may still take: of the machine, or of the control group that it is alone
// in; 0: not known.
func freeMemory() int64 {
	var free int64
	b, _ := os.ReadFile("/proc/meminfo")
	for line := range strings.Lines(string(b)) {
		if _, err := fmt.Sscanf(line, "MemAvailable: %d kB", &free); err == nil {
			free *= 1024
			break
		}
	}
	if most, used := ofGroup("memory.max"), ofGroup("memory.current"); most > used && used > 0 {
		free = min(free, most-used)
	}
	return free
}

// ofGroup reads a figure of the control group; 0: there is none.
func ofGroup(name string) (n int64) {
	b, _ := os.ReadFile("/sys/fs/cgroup/" + name)
	fmt.Sscan(string(b), &n)
	return n
}
