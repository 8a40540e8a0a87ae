package apple

import (
	"fmt"

	"rollcall/protocol"
)

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

// RequestType implements [Command], as for all that follow.
func (InstallProfile) RequestType() string           { return "InstallProfile" }
func (RemoveProfile) RequestType() string            { return "RemoveProfile" }
func (DeviceInformation) RequestType() string        { return "DeviceInformation" }
func (SecurityInfo) RequestType() string             { return "SecurityInfo" }
func (ProfileList) RequestType() string              { return "ProfileList" }
func (CertificateList) RequestType() string          { return "CertificateList" }
func (InstalledApplicationList) RequestType() string { return "InstalledApplicationList" }
func (DeviceLock) RequestType() string               { return "DeviceLock" }
func (EraseDevice) RequestType() string              { return "EraseDevice" }
func (RestartDevice) RequestType() string            { return "RestartDevice" }
func (ShutDownDevice) RequestType() string           { return "ShutDownDevice" }
func (ClearPasscode) RequestType() string            { return "ClearPasscode" }
func (DeviceConfigured) RequestType() string         { return "DeviceConfigured" }
func (c Unknown) RequestType() string                { return c.Name }

func (c InstallProfile) arguments(w *writer)    { w.data("Payload", c.Payload) }
func (c RemoveProfile) arguments(w *writer)     { w.string("Identifier", c.Identifier) }
func (c DeviceInformation) arguments(w *writer) { w.strings("Queries", c.Queries) }
func (SecurityInfo) arguments(*writer)          {}
func (c ProfileList) arguments(w *writer)       { w.optionalBool("ManagedOnly", c.ManagedOnly) }
func (c CertificateList) arguments(w *writer)   { w.optionalBool("ManagedOnly", c.ManagedOnly) }

func (c InstalledApplicationList) arguments(w *writer) {
	w.optionalStrings("Identifiers", c.Identifiers)
	w.optionalBool("ManagedAppsOnly", c.ManagedAppsOnly)
	w.optionalStrings("Items", c.Items)
}

func (c DeviceLock) arguments(w *writer) {
	w.optionalString("Message", c.Message)
	w.optionalString("PhoneNumber", c.PhoneNumber)
	w.optionalString("PIN", c.PIN)
}

func (c EraseDevice) arguments(w *writer) {
	w.optionalBool("PreserveDataPlan", c.PreserveDataPlan)
	w.optionalBool("DisallowProximitySetup", c.DisallowProximitySetup)
	w.optionalString("PIN", c.PIN)
	w.optionalString("ObliterationBehavior", c.ObliterationBehavior)
	if r := c.ReturnToService; r != nil {
		w.key("ReturnToService")
		w.open()
		w.bool("Enabled", r.Enabled)
		w.optionalData("WiFiProfileData", r.WiFiProfileData)
		w.optionalData("MDMProfileData", r.MDMProfileData)
		w.close()
	}
}

func (c RestartDevice) arguments(w *writer) {
	w.optionalBool("RebuildKernelCache", c.RebuildKernelCache)
	w.optionalStrings("KextPaths", c.KextPaths)
	w.optionalBool("NotifyUser", c.NotifyUser)
}

func (ShutDownDevice) arguments(*writer)    {}
func (c ClearPasscode) arguments(w *writer) { w.data("UnlockToken", c.UnlockToken) }
func (DeviceConfigured) arguments(*writer)  {}
func (Unknown) arguments(*writer)           {}

// EncodeCommand appends the answer that carries c under uuid: an XML property list {CommandUUID, Command}.
func EncodeCommand(dst []byte, uuid string, c Command) []byte {
	w := writer{dst}
	w.begin()
	w.string("CommandUUID", uuid)
	w.key("Command")
	w.open()
	w.string("RequestType", c.RequestType())
	c.arguments(&w)
	w.close()
	w.end()
	return w.b
}

// DecodeCommand reads a server's answer of apple.md section 6.2, except the empty one. A RequestType that this
// package does not know gives [Unknown]. The error wraps [protocol.ErrMalformed] and names the key; a uuid that
// comes with an error is that of a command which was not understood (CommandFormatError).
func DecodeCommand(body []byte) (uuid string, c Command, err error) {
	s := newScanner(true)
	defer s.release()
	start := s.open(body, MaxMessage)
	var name, identifier string
	var payload []byte
	d := s.dict(s.value())
	for {
		key, ok := s.key(&d)
		if !ok {
			break
		}
		switch string(key) {
		case "CommandUUID":
			uuid = string(s.string())
		case "Command":
			name, identifier, payload = s.command()
		default:
			s.skip(s.value())
		}
	}
	end := s.finish()
	switch {
	case s.err != nil:
		return "", nil, s.err
	case uuid == "":
		return "", nil, fmt.Errorf("%w: command: no CommandUUID", protocol.ErrMalformed)
	case name == "":
		return uuid, nil, fmt.Errorf("%w: command: no RequestType", protocol.ErrMalformed)
	}
	missing := ""
	switch name { // what is sent often takes no second pass
	case "InstallProfile":
		c = InstallProfile{payload}
		if len(payload) == 0 {
			missing = "Payload"
		}
	case "RemoveProfile":
		c = RemoveProfile{identifier}
		if identifier == "" {
			missing = "Identifier"
		}
	default:
		read, known := commands[name]
		if !known {
			return uuid, Unknown{name}, nil
		}
		c, missing, err = read(s.b[start:end])
	}
	if missing != "" {
		err = fmt.Errorf("%w: %s: no %s", protocol.ErrMalformed, name, missing)
	}
	if err != nil {
		return uuid, nil, err
	}
	return uuid, c, nil
}

// command reads the dictionary Command, keeping what needs no library.
func (s *scanner) command() (name, identifier string, payload []byte) {
	d := s.dict(s.value())
	for {
		key, ok := s.key(&d)
		if !ok {
			return name, identifier, payload
		}
		switch string(key) {
		case "RequestType":
			name = string(s.string())
		case "Identifier":
			identifier = string(s.string())
		case "Payload":
			payload = s.data(nil)
		default:
			s.skip(s.value())
		}
	}
}

// commands reads the others from a document that has passed the gate, and names a required key that is missing.
var commands = map[string]func(doc []byte) (c Command, missing string, err error){
	"DeviceInformation":        arguments[DeviceInformation],
	"SecurityInfo":             arguments[SecurityInfo],
	"ProfileList":              arguments[ProfileList],
	"CertificateList":          arguments[CertificateList],
	"InstalledApplicationList": arguments[InstalledApplicationList],
	"DeviceLock":               arguments[DeviceLock],
	"EraseDevice":              arguments[EraseDevice],
	"RestartDevice":            arguments[RestartDevice],
	"ShutDownDevice":           arguments[ShutDownDevice],
	"ClearPasscode":            arguments[ClearPasscode],
	"DeviceConfigured":         arguments[DeviceConfigured],
}

func arguments[C Command](doc []byte) (Command, string, error) {
	var v struct{ Command C }
	if err := decodeGated(doc, &v); err != nil {
		return nil, "", err
	}
	missing := ""
	switch c := any(v.Command).(type) {
	case DeviceInformation:
		if c.Queries == nil {
			missing = "Queries"
		}
	case ClearPasscode:
		if len(c.UnlockToken) == 0 {
			missing = "UnlockToken"
		}
	}
	return v.Command, missing, nil
}
