package host

import (
	"context"

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
func machineID(context.Context) string {
	k, err := registry.OpenKey(registry.LOCAL_MACHINE, `SOFTWARE\Microsoft\Cryptography`, registry.QUERY_VALUE|registry.WOW64_64KEY)
	if err != nil {
		return ""
	}
	defer k.Close()
	id, _, _ := k.GetStringValue("MachineGuid")
	return id
}

// wireless cannot be told from the name of an interface here.
func wireless(string) bool { return false }
