package apple

// A Command is one order for a device: one of the types of this file, each with the request keys of
// apple-schema/mdm/commands under Apple's names.
type Command interface {
	// RequestType is Apple's name of the command.
	RequestType() string
	// arguments writes the keys that stand beside RequestType.
	arguments(w *writer)
}

// The commands of apple.md section 7 that rollcall speaks. Optional keys are left out at their zero value.
type (
	// InstallProfile installs or replaces (same top-level PayloadIdentifier) a profile.
	InstallProfile struct {
		Payload []byte // XML, or CMS around it
	}
	// RemoveProfile removes a profile; the MDM profile itself: the device unenrols.
	RemoveProfile struct {
		Identifier string
	}
	// DeviceInformation asks for facts; the answer holds those that are known and permitted.
	DeviceInformation struct {
		Queries []string
	}
	// SecurityInfo asks for [Result].SecurityInfo.
	SecurityInfo struct{}
	// ProfileList asks for the installed profiles.
	ProfileList struct {
		ManagedOnly bool
	}
	// CertificateList asks for the installed certificates.
	CertificateList struct {
		ManagedOnly bool
	}
	// InstalledApplicationList asks for applications; Identifiers and Items narrow rows and keys.
	InstalledApplicationList struct {
		Identifiers     []string
		ManagedAppsOnly bool
		Items           []string
	}
	// DeviceLock locks the screen; with PIN (macOS, six characters) the whole Mac.
	DeviceLock struct {
		Message     string
		PhoneNumber string
		PIN         string
	}
	// EraseDevice wipes the device.
	EraseDevice struct {
		PreserveDataPlan       bool
		DisallowProximitySetup bool
		PIN                    string // macOS before T2, six characters
		ObliterationBehavior   string // Default, DoNotObliterate, ObliterateWithWarning, Always; empty: Default
		ReturnToService        *ReturnToService
	}
	// RestartDevice restarts; macOS may ask the user first.
	RestartDevice struct {
		RebuildKernelCache bool
		KextPaths          []string
		NotifyUser         bool
	}
	// ShutDownDevice switches off.
	ShutDownDevice struct{}
	// ClearPasscode takes the UnlockToken of the latest TokenUpdate that had one.
	ClearPasscode struct {
		UnlockToken []byte
	}
	// DeviceConfigured ends AwaitingConfiguration.
	DeviceConfigured struct{}
	// Unknown is any command that this package does not know; a device answers it with an Error.
	Unknown struct {
		Name string // RequestType
	}
)

// ReturnToService makes an erased device enrol again by itself.
type ReturnToService struct {
	Enabled         bool
	WiFiProfileData []byte
	MDMProfileData  []byte
}

// EncodeCommand appends the answer that carries c under uuid: an XML plist {CommandUUID, Command}.
func EncodeCommand(dst []byte, uuid string, c Command) []byte { panic("soon") }

// DecodeCommand reads what [EncodeCommand] writes; any device's answer of apple.md section 6.2 but the empty
// one. A RequestType that this package does not know gives [Unknown]. The error wraps
// [protocol.ErrMalformed] and names the key.
func DecodeCommand(body []byte) (uuid string, c Command, err error) { panic("soon") }
func (InstallProfile) RequestType() string                          { return "InstallProfile" }
func (InstallProfile) arguments(*writer)                            {}
func (RemoveProfile) RequestType() string                           { return "RemoveProfile" }
func (RemoveProfile) arguments(*writer)                             {}
func (DeviceInformation) RequestType() string                       { return "DeviceInformation" }
func (DeviceInformation) arguments(*writer)                         {}
func (SecurityInfo) RequestType() string                            { return "SecurityInfo" }
func (SecurityInfo) arguments(*writer)                              {}
func (ProfileList) RequestType() string                             { return "ProfileList" }
func (ProfileList) arguments(*writer)                               {}
func (CertificateList) RequestType() string                         { return "CertificateList" }
func (CertificateList) arguments(*writer)                           {}
func (InstalledApplicationList) RequestType() string                { return "InstalledApplicationList" }
func (InstalledApplicationList) arguments(*writer)                  {}
func (DeviceLock) RequestType() string                              { return "DeviceLock" }
func (DeviceLock) arguments(*writer)                                {}
func (EraseDevice) RequestType() string                             { return "EraseDevice" }
func (EraseDevice) arguments(*writer)                               {}
func (RestartDevice) RequestType() string                           { return "RestartDevice" }
func (RestartDevice) arguments(*writer)                             {}
func (ShutDownDevice) RequestType() string                          { return "ShutDownDevice" }
func (ShutDownDevice) arguments(*writer)                            {}
func (ClearPasscode) RequestType() string                           { return "ClearPasscode" }
func (ClearPasscode) arguments(*writer)                             {}
func (DeviceConfigured) RequestType() string                        { return "DeviceConfigured" }
func (DeviceConfigured) arguments(*writer)                          {}
func (c Unknown) RequestType() string                               { return c.Name }
func (Unknown) arguments(*writer)                                   {}
