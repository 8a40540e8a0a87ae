package host

import (
	"context"

	sys "github.com/shirou/gopsutil/v4/host"
	"golang.org/x/sys/windows/registry"
)

// firmware returns what the machine's maker wrote into it, as far as the registry has it: that is not the serial number.
func firmware(context.Context) (vendor, model, serial string) {
	k, err := registry.OpenKey(registry.LOCAL_MACHINE, `HARDWARE\DESCRIPTION\System\BIOS`, registry.QUERY_VALUE)
	if err != nil {
		return "", "", ""
	}
	defer k.Close()
	vendor, _, _ = k.GetStringValue("SystemManufacturer")
	model, _, _ = k.GetStringValue("SystemProductName")
	return filled(vendor), filled(model), ""
}

// machineID is the MachineGuid of the installation.
func machineID(ctx context.Context) string {
	id, _ := sys.HostIDWithContext(ctx)
	return id
}

// wireless cannot be told from the name of an interface here.
func wireless(string) bool { return false }
