//go:build !agentonly

package main

import "testing"

// Nobody reads "1 users", or how Go prints a map.
func TestCountsAreWords(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{number(0, "user", "users"), "0 users"},
		{number(1, "user", "users"), "1 user"},
		{number(2, "user", "users"), "2 users"},
		{tally(map[string]uint64{}), "none"},
		{tally(map[string]uint64{"Unregistered": 1, "BadTopic": 12}), "12 BadTopic, 1 Unregistered"},
		{tally(map[int]int{410: 2, 406: 1}), "1 406, 2 410"},
	} {
		if c.got != c.want {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
}
