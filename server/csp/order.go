package csp

import (
	"rollcall/protocol"
	"rollcall/protocol/windows"
)

// Nodes that the server asks for by itself.
const (
	NodeDeviceName   = "./DevDetail/Ext/Microsoft/DeviceName"
	NodeSerial       = "./DevDetail/Ext/Microsoft/SMBIOSSerialNumber"
	NodeOSVersion    = "./DevDetail/SwV"
	NodeModel        = "./DevInfo/Mod"
	NodeManufacturer = "./DevInfo/Man"
	NodeConfigInfo   = "./Device/Vendor/MSFT/DeviceManageability/Provider/WMI_Bridge_Server/ConfigInfo" // of Configuration Manager's client
)

// of a provider's account
func provider(id string) string {
	return "./Device/Vendor/MSFT/DMClient/Provider/" + windows.EscapeNode(id)
}

// NodeChannel is where a device says at which address it can be woken, and NodePushStatus why not.
func NodeChannel(providerID string) string    { return provider(providerID) + "/Push/ChannelURI" }
func NodePushStatus(providerID string) string { return provider(providerID) + "/Push/Status" }

// NodeNotice is where a device is told of a change of authority (AUTH-27): real devices take it and do nothing about it.
func NodeNotice(providerID string) string {
	return "./Device/Vendor/MSFT/DeviceManageability/Provider/" + windows.EscapeNode(providerID) + "/ConfigInfo"
}

// gets are the nodes that an order reads.
var gets = map[protocol.CommandKind][]string{
	protocol.DeviceInformation: {NodeDeviceName, NodeModel, NodeManufacturer, NodeSerial, NodeOSVersion, "./DevDetail/HwV", "./DevDetail/FwV"},
	protocol.SecurityInfo: {
		"./Vendor/MSFT/DeviceStatus/SecureBootState", "./Vendor/MSFT/DeviceStatus/Compliance/EncryptionCompliance",
		"./Vendor/MSFT/DeviceStatus/TPM/SpecificationVersion", "./Vendor/MSFT/DeviceStatus/Antivirus/Status", "./Vendor/MSFT/DeviceStatus/Firewall/Status",
	},
	protocol.ProfileList:              {"./Vendor/MSFT/WiFi/Profile", "./Device/Vendor/MSFT/VPNv2", "./Device/Vendor/MSFT/RootCATrustedCertificates/Root"},
	protocol.CertificateList:          {"./Vendor/MSFT/CertificateStore/Root/System", "./Vendor/MSFT/CertificateStore/My/System", "./Vendor/MSFT/CertificateStore/My/User"},
	protocol.InstalledApplicationList: {"./Device/Vendor/MSFT/EnterpriseModernAppManagement/AppManagement/AppStore", "./Device/Vendor/MSFT/EnterpriseDesktopAppManagement/MSI"},
}

// Reads tells whether an order only reads: then nodes that a device lacks are no failure of it.
func Reads(k protocol.CommandKind) bool { return gets[k] != nil }

// Order returns the commands of an order that is about no profile; none: Windows has no such thing. providerID is that of the
// management account.
func Order(k protocol.CommandKind, providerID string) (out []windows.Command) {
	exec := func(uri, format, data string) []windows.Command {
		return []windows.Command{{Verb: windows.Exec, Items: []windows.Item{{Target: uri, Meta: windows.Meta{Format: format}, Data: data}}}}
	}
	switch k {
	case protocol.Lock:
		return exec("./Device/Vendor/MSFT/RemoteLock/Lock", windows.FormatNull, "")
	case protocol.Erase:
		return exec("./Device/Vendor/MSFT/RemoteWipe/doWipe", windows.FormatChr, "")
	case protocol.Restart:
		return exec("./Device/Vendor/MSFT/Reboot/RebootNow", windows.FormatNull, "")
	case protocol.Retire:
		return exec("./Device/Vendor/MSFT/DMClient/Unenroll", windows.FormatChr, providerID)
	case protocol.RenewIdentity:
		return exec("./Device/Vendor/MSFT/CertificateStore/MY/WSTEP/Renew/RenewNow", windows.FormatNull, "")
	}
	for _, uri := range gets[k] {
		out = append(out, windows.Command{Verb: windows.Get, Items: []windows.Item{{Target: uri}}})
	}
	return out
}

// Notice tells a device of the newest change of authority (AUTH-27).
func Notice(providerID string, a protocol.Authority, n *protocol.Notice) windows.Command {
	return windows.Command{Verb: windows.Replace, Items: []windows.Item{{
		Target: NodeNotice(providerID), Meta: windows.Meta{Format: windows.FormatChr, Type: "text/plain"}, Data: windows.NoticeWords(a, *n),
	}}}
}
