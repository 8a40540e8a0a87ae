package apple

import (
	"fmt"

	"rollcall/protocol"
)

// MachineInfo is what a device in Setup Assistant posts, inside CMS, for its enrolment profile:
// apple-schema/other/machineinfo.yaml.
type MachineInfo struct {
	UDID                       string
	Serial                     string `plist:"SERIAL"`
	Product                    string `plist:"PRODUCT"`
	BuildVersion               string `plist:"VERSION"`
	OSVersion                  string `plist:"OS_VERSION,omitempty"` // iOS 17, macOS 14
	Language                   string `plist:"LANGUAGE,omitempty"`
	IMEI                       string `plist:",omitempty"`
	MEID                       string `plist:",omitempty"`
	SoftwareUpdateDeviceID     string `plist:"SOFTWARE_UPDATE_DEVICE_ID,omitempty"`
	SupplementalBuildVersion   string `plist:"SUPPLEMENTAL_BUILD_VERSION,omitempty"`
	SupplementalOSVersionExtra string `plist:"SUPPLEMENTAL_OS_VERSION_EXTRA,omitempty"`
	CanRequestSoftwareUpdate   bool   `plist:"MDM_CAN_REQUEST_SOFTWARE_UPDATE,omitempty"`
}

// EncodeMachineInfo returns m as an XML plist, unsigned.
func EncodeMachineInfo(m *MachineInfo) []byte { return encodePlist(m) }

// DecodeMachineInfo reads the content of the CMS. OS_VERSION may be absent, as devices before iOS 17 and macOS 14
// do not send it; a device without UDID, SERIAL, PRODUCT or VERSION is refused. The error wraps
// [protocol.ErrMalformed].
func DecodeMachineInfo(body []byte) (*MachineInfo, error) {
	m := new(MachineInfo)
	if err := decodePlist(body, MaxCheckIn, m); err != nil {
		return nil, fmt.Errorf("MachineInfo: %w", err)
	}
	for _, f := range [...]struct{ key, value string }{
		{"UDID", m.UDID}, {"SERIAL", m.Serial}, {"PRODUCT", m.Product}, {"VERSION", m.BuildVersion},
	} {
		if f.value == "" {
			return nil, fmt.Errorf("%w: MachineInfo: no %s", protocol.ErrMalformed, f.key)
		}
	}
	if !identifier(m.UDID) {
		return nil, fmt.Errorf("%w: MachineInfo: UDID is not one (HST-050)", protocol.ErrMalformed)
	}
	return m, nil
}
