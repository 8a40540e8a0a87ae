//go:build !agentonly

package main

import (
	"strings"
	"testing"
)

// TestDevicesDeleteSaysReset: who deletes a device reads beforehand that some are erased by it.
func TestDevicesDeleteSaysReset(t *testing.T) {
	if text := devicesDeleteCommand(new(client)).Long; !strings.Contains(text, "fully managed") || !strings.Contains(text, "factory reset") {
		t.Errorf("nothing of a factory reset in %q", text)
	}
}
