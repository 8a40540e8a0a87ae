package host

import (
	"context"
	"os/exec"
	"strings"

	"golang.org/x/sys/unix"
)

// firmware returns what the machine's maker wrote into it.
func firmware(ctx context.Context) (vendor, model, serial string) {
	model, _ = unix.Sysctl("hw.model")
	return "Apple", filled(model), filled(registryValue(ctx, "IOPlatformSerialNumber"))
}

// registryValue finds a line `"name" = "value"` of the machine's in the registry of devices; empty: there is none.
func registryValue(ctx context.Context, name string) string {
	out, err := exec.CommandContext(ctx, "/usr/sbin/ioreg", "-rd1", "-c", "IOPlatformExpertDevice").Output()
	if err != nil {
		return ""
	}
	_, rest, ok := strings.Cut(string(out), `"`+name+`" = "`)
	if !ok {
		return ""
	}
	value, _, _ := strings.Cut(rest, `"`)
	return value
}

// machineID is the hardware's UUID.
func machineID(ctx context.Context) string { return registryValue(ctx, "IOPlatformUUID") }

// platform is the name and version of the operating system. The version is asked of a program: the kernel tells one to a program of
// ours that depends on what it was built with.
func platform(ctx context.Context) (name, version string) {
	out, _ := exec.CommandContext(ctx, "/usr/bin/sw_vers", "-productVersion").Output()
	return "darwin", strings.TrimSpace(string(out))
}

func kernel(context.Context) string {
	version, _ := unix.Sysctl("kern.osrelease")
	return version
}

// memory is how much there is, in bytes; 0: it cannot be told.
func memory(context.Context) uint64 {
	size, _ := unix.SysctlUint64("hw.memsize")
	return size
}

func disks(context.Context) (list []Disk) {
	n, err := unix.Getfsstat(nil, unix.MNT_WAIT)
	if err != nil {
		return nil
	}
	all := make([]unix.Statfs_t, n)
	if n, err = unix.Getfsstat(all, unix.MNT_WAIT); err != nil {
		return nil
	}
	seen := map[string]bool{}
	for i := range all[:n] {
		s := &all[i]
		device := unix.ByteSliceToString(s.Mntfromname[:])
		if seen[device] {
			continue // the same file system somewhere else
		}
		seen[device] = true
		d := Disk{Mount: unix.ByteSliceToString(s.Mntonname[:]), Type: unix.ByteSliceToString(s.Fstypename[:])}
		d.Size, d.Free = sizes(s)
		list = append(list, d)
	}
	return list
}

// space is the size of the file system of a folder, and what is free there, in bytes.
func space(_ context.Context, dir string) (size, free uint64, err error) {
	var s unix.Statfs_t
	err = unix.Statfs(dir, &s)
	size, free = sizes(&s)
	return size, free, err
}

func sizes(s *unix.Statfs_t) (size, free uint64) {
	return s.Blocks * uint64(s.Bsize), s.Bavail * uint64(s.Bsize)
}

// wireless cannot be told from the name of an interface here.
func wireless(string) bool { return false }
