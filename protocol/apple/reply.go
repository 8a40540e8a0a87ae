package apple

import "rollcall/protocol"

// queries are the facts that DeviceInformation asks for when rollcall's server sends it.
var queries = []string{
	"UDID", "DeviceName", "OSVersion", "BuildVersion", "ModelName", "Model", "ProductName", "SerialNumber", "IMEI", "MEID",
	"DeviceCapacity", "AvailableDeviceCapacity", "BatteryLevel", "IsSupervised", "AwaitingConfiguration",
}

// EncodeReply appends the body that answers a device: a command, a bootstrap token, or nothing at all (zero
// bytes, as apple.md section 6.2 asks). RenewIdentity is an InstallProfile of Payload, Retire a RemoveProfile
// of the MDM profile, whose identifier Text carries; DeviceInformation asks for a fixed list of facts.
func EncodeReply(dst []byte, r *protocol.Reply) []byte {
	switch r.Kind {
	case protocol.Escrow:
		w := writer{dst}
		w.begin()
		w.optionalData("BootstrapToken", r.Escrow)
		w.end()
		return w.b
	case protocol.Work:
		if c := commandOf(&r.Command); c != nil {
			return EncodeCommand(dst, r.Command.ID.String(), c)
		}
	}
	return dst
}

// commandOf says c in Apple's words; nil for NoCommand.
func commandOf(c *protocol.Command) Command {
	switch c.Kind {
	case protocol.InstallProfile, protocol.RenewIdentity:
		return InstallProfile{c.Payload}
	case protocol.RemoveProfile, protocol.Retire:
		return RemoveProfile{c.Text}
	case protocol.Configured:
		return DeviceConfigured{}
	case protocol.DeviceInformation:
		return DeviceInformation{queries}
	case protocol.SecurityInfo:
		return SecurityInfo{}
	case protocol.ProfileList:
		return ProfileList{}
	case protocol.CertificateList:
		return CertificateList{}
	case protocol.InstalledApplicationList:
		return InstalledApplicationList{}
	case protocol.Lock:
		return DeviceLock{Message: c.Text, PIN: c.PIN}
	case protocol.Erase:
		return EraseDevice{PIN: c.PIN}
	case protocol.Restart:
		return RestartDevice{}
	}
	return nil
}

// DecodeBootstrapToken reads the answer to GetBootstrapToken. None is nil, also when the body is empty. The
// error wraps [protocol.ErrMalformed].
func DecodeBootstrapToken(body []byte) ([]byte, error) {
	if len(body) == 0 {
		return nil, nil
	}
	var v struct{ BootstrapToken []byte }
	if err := decodePlist(body, MaxCheckIn, &v); err != nil {
		return nil, err
	}
	return v.BootstrapToken, nil
}
