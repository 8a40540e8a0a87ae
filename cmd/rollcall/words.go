//go:build !agentonly

package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// number is how many there are of something, by its name for one and for any other number.
func number(n int, one, several string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, several)
}

// tally says how often each of several things was, by name; none: nothing was.
func tally[K cmp.Ordered, N int | uint64](counts map[K]N) string {
	parts := make([]string, 0, len(counts))
	for _, k := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%d %v", counts[k], k))
	}
	return cmp.Or(strings.Join(parts, ", "), "none")
}
