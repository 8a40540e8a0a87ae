package host

import (
	"context"
	"os"
	"path/filepath"
)

// firmware returns what the machine's maker wrote into it. The serial number is for root's eyes alone.
func firmware(context.Context) (vendor, model, serial string) {
	read := func(name string) string {
		b, _ := os.ReadFile(filepath.Join("/sys/class/dmi/id", name))
		return filled(string(b))
	}
	vendor, model, serial = read("sys_vendor"), read("product_name"), read("product_serial")
	if model == "" { // a board without such firmware
		b, _ := os.ReadFile("/proc/device-tree/model")
		model = filled(string(b))
	}
	if serial == "" {
		b, _ := os.ReadFile("/proc/device-tree/serial-number")
		serial = filled(string(b))
	}
	return vendor, model, serial
}

// machineID is the system's id (machine-id(5)); that of the present boot, or of firmware that only root reads, would change.
func machineID(context.Context) string {
	for _, name := range []string{"/etc/machine-id", "/var/lib/dbus/machine-id"} {
		if b, err := os.ReadFile(name); err == nil && len(b) >= 32 {
			return string(b)
		}
	}
	return ""
}

func wireless(name string) bool {
	_, err := os.Stat(filepath.Join("/sys/class/net", filepath.Base(name), "wireless"))
	return err == nil
}
