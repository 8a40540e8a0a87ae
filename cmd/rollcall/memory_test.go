//go:build !agentonly

package main

import (
	"strings"
	"testing"
)

// More devices than fit are refused with how many do; where the memory is not known, nobody is.
func TestEnoughMemory(t *testing.T) {
	for _, tt := range []struct {
		name       string
		devices    int
		each, free int64
		want       string // empty: they fit
	}{
		{"fit", 1000, 1 << 10, 1000 << 10, ""},
		{"one too many", 1001, 1 << 10, 1000 << 10, "--devices 1000"},
		{"many", 20_000_000, 20 << 10, 24 << 30, "20000000 devices need 381.5 GiB of memory and 24.0 GiB are free: at most 1258291 fit"},
		{"not known", 20_000_000, 20 << 10, 0, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := enoughMemory(tt.devices, tt.each, tt.free)
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}
