//go:build !agentonly

package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestCapacity(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	for text, want := range map[string]capacity{
		"500": 500, "12.5/s": 12.5, "0": 0, "-1/s": 0, "+Inf": 0, "many": 0,
		file("good", `{"command":"fleet run","verdict":"ok","checkins":{"per_second":812.5}}`):     812.5,
		file("invalid", `{"command":"fleet run","verdict":"invalid","checkins":{"per_second":9}}`): 0,
		file("lab", `{"command":"lab","verdict":"ok","checkins":{"per_second":9}}`):                0,
		file("none", `{"command":"fleet run","verdict":"ok","checkins":{"per_second":0}}`):         0,
		file("other", `[]`): 0,
	} {
		var got capacity
		if err := got.Set(text); got != want || (err == nil) != (want > 0) {
			t.Errorf("%s: %v, %v; want %v", text, got, err, want)
		}
	}
}
