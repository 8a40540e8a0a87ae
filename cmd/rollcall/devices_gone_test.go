//go:build !agentonly

package main

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"rollcall/fleet/target"
)

// Of a device that is not enrolled it is said that its record is gone, and not that it has yet to hear of it (AUTH-53).
func TestAUTH53DeletedAtOnce(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	cmd := &cobra.Command{}
	cmd.SetOut(&out)
	d := &target.Deletion{Devices: []target.Deleted{{Device: "A", Gone: true}, {Device: "B"}}}
	if err := tellDelete(cmd, d, "hears of it", "was removed", "is erased"); err != nil {
		t.Fatal(err)
	}
	if lines := strings.Split(out.String(), "\n"); !strings.Contains(lines[0], "was removed") || !strings.Contains(lines[1], "hears of it") {
		t.Errorf("%s", &out)
	}
}
