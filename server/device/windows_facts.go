package device

import (
	"encoding/json"
	"strconv"
	"strings"

	"golang.org/x/text/unicode/norm"

	"rollcall/protocol/windows"
	"rollcall/server/authority"
	"rollcall/server/csp"
	"rollcall/server/delivery"
)

// factsOf is what a device says of itself (WIN-015).
func factsOf(rst *windows.RequestSecurityToken) delivery.Facts {
	f := delivery.Facts{
		Name: rst.Item(windows.ItemDeviceName), Model: rst.Item(windows.ItemDeviceModel), Product: rst.Item(windows.ItemManufacturer),
		Serial: rst.Item(windows.ItemSerialNumber), OSVersion: rst.Item(windows.ItemOSVersion), Build: rst.Item(windows.ItemApplicationVersion),
		IMEI: rst.Item(windows.ItemIMEI), Hardware: rst.Item(windows.ItemHWDevID),
	}
	if f.OSVersion == "" {
		f.OSVersion = f.Build
	}
	said := map[string][]string{windows.ItemEnrollmentType: rst.Items(windows.ItemEnrollmentType)}
	room := maxSaid
	for _, i := range rst.Context {
		name, value := brief(i.Name), brief(i.Value)
		if room -= len(name) + len(value); name != windows.ItemEnrollmentType && room >= 0 {
			said[name] = append(said[name], value)
		}
	}
	raw, _ := json.Marshal(said) // texts
	f.Said = string(raw)
	briefly(&f)
	return f
}

// maxSaid bounds what is kept of a device's other words: a PC says some hundred bytes.
const maxSaid = 8 << 10

const maxName = 256 // characters of a text of a device's that are kept (HST-010)

// brief brings a text to NFC and cuts it.
func brief(s string) string {
	if len(s) > maxName*16 {
		s = s[:maxName*16] // more is never needed
	}
	s = norm.NFC.String(strings.ToValidUTF8(s, "\uFFFD"))
	n := 0
	for i := range s {
		if n++; n > maxName {
			return s[:i]
		}
	}
	return s
}

// briefly is brief for what a device says of itself.
func briefly(f *delivery.Facts) {
	for _, text := range []*string{&f.Name, &f.Model, &f.Product, &f.Serial, &f.OSVersion, &f.Build, &f.IMEI, &f.MEID, &f.Hardware} {
		*text = brief(*text)
	}
}

// enrolledAs is the EnrollmentType that a device enrolled with.
func enrolledAs(f *delivery.Facts) string {
	var said map[string][]string
	if json.Unmarshal([]byte(f.Said), &said) != nil || len(said[windows.ItemEnrollmentType]) == 0 {
		return ""
	}
	return said[windows.ItemEnrollmentType][0]
}

// learn takes note of a node's value.
func (t *turn) learn(uri, data string) {
	data = strings.TrimSpace(data)
	switch {
	case strings.HasSuffix(uri, "/Push/ChannelURI"):
		t.channel = &data
	case uri == csp.NodePushStatus(ProviderID):
		t.unpushed = data
	case uri == csp.NodeConfigInfo:
		t.ev.CoManaged, t.ev.WorkloadsKnown = data != "", true // else the client has gone (windows.md section 9)
		t.ev.Workloads = workloadsOf(data)
	case uri == csp.NodeDeviceName:
		t.facts.Name = data
	case uri == csp.NodeModel:
		t.facts.Model = data
	case uri == csp.NodeManufacturer:
		t.facts.Product = data
	case uri == csp.NodeSerial:
		t.facts.Serial = data
	case uri == csp.NodeOSVersion:
		t.facts.OSVersion = data
	}
}

// pushFaults are what Push/Status may say beside 0, that all is well (windows.md section 8).
var pushFaults = map[string]string{
	"1": "the package family name that it was told is none (serve --wns)", "2": "its account at the push service is invalid or has expired",
	"3": "the package family name is revoked", "4": "it has no channel", "5": "its channel has expired", "6": "it could not give up its old channel",
	"7": "a push came and it could hold no session, for its power or its connection", "8": "it does not know why",
}

// coManagement are the bits of Configuration Manager's CoManagementFlags (windows.md section 9).
var coManagement = [...]struct {
	bit uint64
	on  authority.Workloads
}{
	{2, authority.Compliance},
	{4, authority.ResourceAccess},
	{8, authority.DeviceConfiguration},
	{16, authority.Update},
	{32, authority.EndpointProtection},
	{64, authority.ClientApps},
	{128, authority.OfficeApps},
}

// workloadsOf reads CoManagementFlags: the workloads that are not Configuration Manager's (WIN-068). Of flags that are no number, or
// without bit 1, nothing is known, and it keeps all.
func workloadsOf(data string) (on authority.Workloads) {
	flags, err := strconv.ParseUint(data, 10, 32)
	if err != nil || flags&1 == 0 {
		return 0
	}
	for _, c := range coManagement {
		if flags&c.bit != 0 {
			on |= c.on
		}
	}
	return on
}
