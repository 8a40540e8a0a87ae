package dialect

import (
	"fmt"
	"slices"

	"rollcall/protocol"
	"rollcall/protocol/apple"
)

// A query is one key of DeviceInformation: the right that it needs, on which systems it exists, and its value;
// nil: this device has none.
type query struct {
	right int64
	only  system
	value func(d *Apple, w *Who) any
}

// own are the queries about the device as it is managed, which no machine answers.
var own = map[string]bool{"UDID": true, "AwaitingConfiguration": true, "IsSupervised": true}

type system uint8

const (
	everywhere system = iota
	onIOS
	onMac
)

// queries are the keys that a simulated device knows (apple-schema/mdm/commands/information.device.yaml).
var queries = map[string]query{
	"UDID":                      {0, everywhere, func(_ *Apple, w *Who) any { return w.UDID }},
	"AwaitingConfiguration":     {0, everywhere, func(d *Apple, _ *Who) any { return d.awaits }},
	"HasBattery":                {0, onMac, func(d *Apple, _ *Who) any { return true }},
	"IsAppleSilicon":            {0, onMac, func(d *Apple, _ *Who) any { return true }},
	"HostName":                  {0, onMac, func(_ *Apple, w *Who) any { return w.Name }},
	"LocalHostName":             {0, onMac, func(_ *Apple, w *Who) any { return w.Name }},
	"PINRequiredForDeviceLock":  {0, onMac, func(*Apple, *Who) any { return false }},
	"PINRequiredForEraseDevice": {0, onMac, func(*Apple, *Who) any { return false }},

	"DeviceName":              {apple.RightDeviceInfo, everywhere, func(_ *Apple, w *Who) any { return w.Name }},
	"OSVersion":               {apple.RightDeviceInfo, everywhere, func(d *Apple, _ *Who) any { return d.model.OSVersion }},
	"BuildVersion":            {apple.RightDeviceInfo, everywhere, func(d *Apple, _ *Who) any { return d.model.Build }},
	"ModelName":               {apple.RightDeviceInfo, everywhere, func(d *Apple, _ *Who) any { return d.model.Name }},
	"Model":                   {apple.RightDeviceInfo, everywhere, func(d *Apple, _ *Who) any { return d.model.Number }},
	"ProductName":             {apple.RightDeviceInfo, everywhere, func(d *Apple, _ *Who) any { return d.model.Product }},
	"SerialNumber":            {apple.RightDeviceInfo, everywhere, func(_ *Apple, w *Who) any { return w.Serial }},
	"DeviceCapacity":          {apple.RightDeviceInfo, everywhere, func(d *Apple, _ *Who) any { return d.model.Capacity }},
	"AvailableDeviceCapacity": {apple.RightDeviceInfo, everywhere, func(d *Apple, _ *Who) any { return d.model.Capacity / 2 }},
	"BatteryLevel":            {apple.RightDeviceInfo, onIOS, func(*Apple, *Who) any { return 0.75 }},
	"IsSupervised":            {apple.RightDeviceInfo, everywhere, func(d *Apple, _ *Who) any { return d.ade }},
	"IMEI":                    {apple.RightDeviceInfo, onIOS, func(_ *Apple, w *Who) any { return w.IMEI }},

	"WiFiMAC":      {apple.RightNetworkInfo, everywhere, func(_ *Apple, w *Who) any { return mac("wifi", w.UDID) }},
	"EthernetMAC":  {apple.RightNetworkInfo, onMac, func(_ *Apple, w *Who) any { return mac("ethernet", w.UDID) }},
	"BluetoothMAC": {apple.RightNetworkInfo, everywhere, func(_ *Apple, w *Who) any { return mac("bluetooth", w.UDID) }},
	"IsRoaming":    {apple.RightNetworkInfo, onIOS, func(*Apple, *Who) any { return false }},

	"iTunesStoreAccountIsActive": {apple.RightApps, everywhere, func(*Apple, *Who) any { return false }},
}

// mac makes up an address of the locally administered kind.
func mac(kind, udid string) string {
	h := id(kind + udid)
	return fmt.Sprintf("02:%02x:%02x:%02x:%02x:%02x", byte(h), byte(h>>8), byte(h>>16), byte(h>>24), byte(h>>32))
}

// information answers DeviceInformation: of the keys asked those that are known and permitted (APL-060).
func (d *Apple) information(keys []string) map[string]any {
	w := d.Who()
	answers := make(map[string]any, len(keys))
	for _, key := range keys {
		q, known := queries[key]
		if !known || !d.right(q.right) || !d.has(q.only) {
			continue
		}
		var v any
		if tell := d.model.Tell; tell != nil && !own[key] {
			v = tell(key)
		} else {
			v = q.value(d, &w)
		}
		if v != nil && v != "" {
			answers[key] = v
		}
	}
	return answers
}

func (d *Apple) has(s system) bool {
	return s == everywhere || (s == onMac) == (d.model.Platform == protocol.MacOS)
}

// security answers SecurityInfo.
func (d *Apple) security() *apple.SecurityStatus {
	yes, no, both := true, false, int64(3)
	s := &apple.SecurityStatus{ManagementStatus: &apple.ManagementStatus{
		EnrolledViaDEP: &d.ade, UserApprovedEnrollment: &yes, IsUserEnrollment: &no,
	}}
	if d.model.Tell != nil { // a machine: what is not known of it is not said
		return s
	}
	if d.model.Platform == protocol.MacOS {
		s.FDEEnabled, s.SystemIntegrityProtectionEnabled = &yes, &yes
		s.BootstrapTokenAllowedForAuthentication = "not supported"
		return s
	}
	s.HardwareEncryptionCaps, s.PasscodePresent, s.PasscodeCompliant, s.PasscodeCompliantWithProfiles = &both, &yes, &yes, &yes
	return s
}

// applications answers InstalledApplicationList out of the model. None of them is managed.
func (d *Apple) applications(c apple.InstalledApplicationList) []apple.ApplicationItem {
	list := []apple.ApplicationItem{}
	for _, a := range d.model.Apps {
		if c.ManagedAppsOnly || len(c.Identifiers) > 0 && !slices.Contains(c.Identifiers, a.Identifier) {
			continue
		}
		if len(c.Items) > 0 {
			a = only(a, c.Items)
		}
		list = append(list, a)
	}
	return list
}

// only keeps the keys of an application that were asked for.
func only(a apple.ApplicationItem, keys []string) (kept apple.ApplicationItem) {
	for _, key := range keys {
		switch key {
		case "Identifier":
			kept.Identifier = a.Identifier
		case "Name":
			kept.Name = a.Name
		case "Version":
			kept.Version = a.Version
		case "ShortVersion":
			kept.ShortVersion = a.ShortVersion
		case "BundleSize":
			kept.BundleSize = a.BundleSize
		case "DynamicSize":
			kept.DynamicSize = a.DynamicSize
		case "Installing":
			kept.Installing = a.Installing
		case "IsValidated":
			kept.IsValidated = a.IsValidated
		}
	}
	return kept
}
