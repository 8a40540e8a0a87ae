//go:build !windows && !darwin

package host

import (
	"context"

	"github.com/shirou/gopsutil/v4/disk"
	sys "github.com/shirou/gopsutil/v4/host"
	"github.com/shirou/gopsutil/v4/mem"
)

// The library is for these systems only: on Windows and macOS it brings far more along than the facts need, and on Windows it sets a
// value in the registry as soon as it is there.

// platform is the name and version of the operating system.
func platform(ctx context.Context) (name, version string) {
	name, _, version, _ = sys.PlatformInformationWithContext(ctx)
	return name, version
}

func kernel(ctx context.Context) string {
	version, _ := sys.KernelVersionWithContext(ctx)
	return version
}

// memory is how much there is, in bytes; 0: it cannot be told.
func memory(ctx context.Context) uint64 {
	m, err := mem.VirtualMemoryWithContext(ctx)
	if err != nil {
		return 0
	}
	return m.Total
}

func disks(ctx context.Context) (list []Disk) {
	parts, err := disk.PartitionsWithContext(ctx, false)
	if err != nil {
		return nil
	}
	seen := map[string]bool{}
	for _, p := range parts {
		if seen[p.Device] {
			continue // the same file system somewhere else
		}
		seen[p.Device] = true
		d := Disk{Mount: p.Mountpoint, Type: p.Fstype}
		d.Size, d.Free, _ = space(ctx, p.Mountpoint)
		list = append(list, d)
	}
	return list
}

// space is the size of the file system of a folder, and what is free there, in bytes.
func space(ctx context.Context, dir string) (size, free uint64, err error) {
	u, err := disk.UsageWithContext(ctx, dir)
	if err != nil {
		return 0, 0, err
	}
	return u.Total, u.Free, nil
}
