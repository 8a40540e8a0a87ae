package apple

// MachineInfo is what a device in Setup Assistant posts, inside CMS, for its enrolment profile:
// apple-schema/other/machineinfo.yaml.
type MachineInfo struct {
	UDID                       string
	Serial                     string `plist:"SERIAL"`
	Product                    string `plist:"PRODUCT"`
	BuildVersion               string `plist:"VERSION"`
	OSVersion                  string `plist:"OS_VERSION"` // iOS 17, macOS 14
	Language                   string `plist:"LANGUAGE,omitempty"`
	IMEI                       string `plist:",omitempty"`
	MEID                       string `plist:",omitempty"`
	SoftwareUpdateDeviceID     string `plist:"SOFTWARE_UPDATE_DEVICE_ID,omitempty"`
	SupplementalBuildVersion   string `plist:"SUPPLEMENTAL_BUILD_VERSION,omitempty"`
	SupplementalOSVersionExtra string `plist:"SUPPLEMENTAL_OS_VERSION_EXTRA,omitempty"`
	CanRequestSoftwareUpdate   bool   `plist:"MDM_CAN_REQUEST_SOFTWARE_UPDATE,omitempty"`
}

// EncodeMachineInfo returns m as an XML plist, unsigned.
func EncodeMachineInfo(m *MachineInfo) []byte { panic("soon") }

// DecodeMachineInfo reads the content of the CMS. The error wraps [protocol.ErrMalformed].
func DecodeMachineInfo(body []byte) (*MachineInfo, error) { panic("soon") }
