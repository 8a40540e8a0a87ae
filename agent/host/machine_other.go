//go:build !linux && !darwin && !windows

package host

import (
	"context"

	sys "github.com/shirou/gopsutil/v4/host"
)

// firmware is not read on this system.
func firmware(context.Context) (vendor, model, serial string) { return "", "", "" }

func machineID(ctx context.Context) string {
	id, _ := sys.HostIDWithContext(ctx)
	return id
}

func wireless(string) bool { return false }
