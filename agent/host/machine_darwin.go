package host

import (
	"context"
	"os/exec"
	"strings"

	sys "github.com/shirou/gopsutil/v4/host"
	"golang.org/x/sys/unix"
)

// firmware returns what the machine's maker wrote into it.
func firmware(ctx context.Context) (vendor, model, serial string) {
	model, _ = unix.Sysctl("hw.model")
	out, err := exec.CommandContext(ctx, "/usr/sbin/ioreg", "-rd1", "-c", "IOPlatformExpertDevice").Output()
	if err == nil {
		serial = registryValue(string(out), "IOPlatformSerialNumber")
	}
	return "Apple", filled(model), filled(serial)
}

// registryValue finds a line `"name" = "value"`.
func registryValue(out, name string) string {
	_, rest, ok := strings.Cut(out, `"`+name+`" = "`)
	if !ok {
		return ""
	}
	value, _, _ := strings.Cut(rest, `"`)
	return value
}

// machineID is the hardware's UUID.
func machineID(ctx context.Context) string {
	id, _ := sys.HostIDWithContext(ctx)
	return id
}

// wireless cannot be told from the name of an interface here.
func wireless(string) bool { return false }
