package fleet

import (
	"crypto/sha1" //nolint:gosec // by which Windows names certificates
	"fmt"

	"rollcall/fleet/ledger"
	"rollcall/fleet/plan"
	"rollcall/protocol"
	"rollcall/protocol/apple"
	"rollcall/protocol/windows"
)

// A Profile is a profile of a plan as devices have it.
type Profile struct {
	Identifier string
	// Node is where a Windows device has it, which hears of no identifier: a LocURI, of accounts the one above theirs. Empty: another one
	// of the plan's is at the same place, so that nobody can tell them apart.
	Node    string
	Setting bool // no account, network or certificate: it may stay on Android and Windows devices (AUTH-55)
}

// ProfileOf returns a profile that a plan names.
func ProfileOf(p *plan.Plan, name string) Profile {
	x := Profile{Identifier: identifierOf(name)}
	for i := range p.Profiles {
		if of := &p.Profiles[i]; of.Name == name {
			x.Node = nodeOf(of)
			x.Setting = of.Family == protocol.Configuration || of.Family == protocol.NoFamily
		}
	}
	for i := range p.Profiles {
		if of := &p.Profiles[i]; of.Name != name && nodeOf(of) == x.Node {
			x.Node = ""
			break
		}
	}
	return x
}

func nodeOf(p *plan.Profile) string {
	const vendor = "./Device/Vendor/MSFT/"
	switch p.Family {
	case protocol.WiFi:
		return vendor + "WiFi/Profile/" + windows.EscapeNode(p.Name)
	case protocol.VPN:
		return vendor + "VPNv2/" + windows.EscapeNode(p.Name)
	case protocol.Email:
		return "./User/Vendor/MSFT/EMAIL2"
	case protocol.Certificate:
		certificate := apple.NewProfile(identifierOf(p.Name), p.Name, p.Family).Payloads[0].Certificate
		return fmt.Sprintf("%sRootCATrustedCertificates/Root/%X", vendor, sha1.Sum(certificate))
	}
	return vendor + "Policy/Config/DeviceLock/MinDevicePasswordLength"
}

// Meant tells a ledger that the administration is asked now to have the profile on a device of a platform, or off it.
func (x Profile) Meant(now protocol.Time, to *ledger.Ledger, d protocol.Device, of protocol.Platform, on bool) {
	identifier := x.Identifier
	if of == protocol.Windows {
		identifier = x.Node
	}
	switch {
	case identifier == "":
	case on:
		to.Wanted(now, d, identifier, "")
	case x.Setting && !of.Apple():
		to.MayStay(d, identifier)
	default:
		to.Unwanted(now, d, identifier)
	}
}
