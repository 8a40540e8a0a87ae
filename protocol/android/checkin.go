package android

import (
	"errors"
	"fmt"

	"rollcall/protocol"
)

// MaxRounds is how many rounds one check-in may have.
const MaxRounds = 16

// A CheckIn is one round of a device's check-in: what is on it, and what became of what it was told to do in the round before.
type CheckIn struct {
	Protocol             int                   `json:"protocol"`
	CheckIn              string                `json:"checkin"` // the same in all rounds, another in each check-in
	Round                int                   `json:"round"`   // from 1
	Device               string                `json:"device"`
	Reason               Reason                `json:"reason"`
	Time                 protocol.Time         `json:"time,omitzero"` // the device's clock; decides nothing (HST-058)
	Epoch                uint32                `json:"epoch"`         // newest change of authority that it has heard of; decides nothing
	Applied              AppliedPolicy         `json:"applied"`
	Compliant            bool                  `json:"compliant"`
	NonComplianceDetails []NonComplianceDetail `json:"nonComplianceDetails,omitempty"`
	Status               *StatusReport         `json:"status,omitempty"`
	Push                 *Push                 `json:"push,omitempty"`
	Identity             *Identity             `json:"identity,omitempty"`
	Results              []Result              `json:"results,omitempty"`
}

func (c *CheckIn) check() error {
	switch err := checkProtocol(c.Protocol); {
	case err != nil:
		return err
	case !ValidID(c.CheckIn):
		return in("checkin", errID)
	case !ValidID(c.Device):
		return in("device", errID)
	case c.Round < 1 || c.Round > MaxRounds:
		return in("round", fmt.Errorf("%d: want 1 to %d", c.Round, MaxRounds))
	case c.Applied.PolicyVersion < 0:
		return in("applied.policyVersion", fmt.Errorf("%d: want 0 or more", c.Applied.PolicyVersion))
	case c.Status != nil && c.Status.SoftwareInfo != nil:
		if err := c.Status.SoftwareInfo.check(); err != nil {
			return in("status.softwareInfo", err)
		}
	}
	return c.Push.check()
}

// AppliedPolicy is the policy that the device keeps to.
type AppliedPolicy struct {
	State         State            `json:"state"`
	PolicyName    string           `json:"policyName,omitempty"`
	PolicyVersion int64            `json:"policyVersion,string,omitempty"` // 0: none yet
	Profiles      []AppliedProfile `json:"profiles,omitempty"`
}

// An AppliedProfile is what became of one profile of the policy.
type AppliedProfile struct {
	ID      string        `json:"id"`
	Version uint32        `json:"version"`
	Status  ProfileStatus `json:"status"`
	Reason  NonCompliance `json:"reason,omitempty"` // of FAILED and PENDING
}

// A NonComplianceDetail says which setting the device does not keep to, and why.
type NonComplianceDetail struct {
	SettingName         string        `json:"settingName"`         // of the policy: alwaysOnVpnPackage
	FieldPath           string        `json:"fieldPath,omitempty"` // applications[2].packageName
	PackageName         string        `json:"packageName,omitempty"`
	NonComplianceReason NonCompliance `json:"nonComplianceReason"`
}

// A StatusReport says how the device is. Each part is there where the policy asks for it, and where the device has something to say;
// hardwareInfo always, and before the first policy all.
type StatusReport struct {
	HardwareInfo       *Hardware           `json:"hardwareInfo,omitempty"`
	SoftwareInfo       *Software           `json:"softwareInfo,omitempty"`
	MemoryInfo         *MemoryInfo         `json:"memoryInfo,omitempty"`
	NetworkInfo        *NetworkInfo        `json:"networkInfo,omitempty"`
	DeviceSettings     *DeviceSettings     `json:"deviceSettings,omitempty"`
	ApplicationReports []ApplicationReport `json:"applicationReports,omitempty"`
}

// MemoryInfo is in bytes.
type MemoryInfo struct {
	TotalRAM             int64 `json:"totalRam,string,omitempty"`
	TotalInternalStorage int64 `json:"totalInternalStorage,string,omitempty"`
}

// NetworkInfo is how the device is on the network. A personal device says none of it.
type NetworkInfo struct {
	IMEI           string `json:"imei,omitempty"`
	MEID           string `json:"meid,omitempty"`
	WiFiMACAddress string `json:"wifiMacAddress,omitempty"`
}

// DeviceSettings are the settings that protect the device.
type DeviceSettings struct {
	IsDeviceSecure   bool   `json:"isDeviceSecure,omitempty"`
	EncryptionStatus string `json:"encryptionStatus,omitempty"`
	ADBEnabled       bool   `json:"adbEnabled,omitempty"`
}

// An ApplicationReport is one app.
type ApplicationReport struct {
	PackageName string `json:"packageName"`
	VersionCode int    `json:"versionCode,omitempty"`
	VersionName string `json:"versionName,omitempty"`
	State       string `json:"state,omitempty"` // INSTALLED or REMOVED
}

// An Identity is the certificate that the device has.
type Identity struct {
	Serial   string        `json:"serial"` // hexadecimal
	NotAfter protocol.Time `json:"notAfter,omitzero"`
}

// A CheckInAnswer answers one round.
type CheckInAnswer struct {
	Round     int            `json:"round"`
	Complete  bool           `json:"complete"` // the check-in is over, and the device is managed as it should be
	Authority AuthorityState `json:"authority"`
	State     State          `json:"state"`
	Policy    *PolicyUpdate  `json:"policy,omitempty"` // none: the one that the device has is right
	Commands  []Command      `json:"commands,omitempty"`
	Renew     *Offer         `json:"renew,omitempty"` // the identity is to be renewed, with the one in use
	Next      NextContact    `json:"next"`
}

func (a *CheckInAnswer) check() error {
	for i := range a.Commands {
		if !ValidID(a.Commands[i].ID) {
			return in(fmt.Sprintf("commands[%d].id", i), errID)
		}
	}
	if a.Policy != nil && a.Policy.Version <= 0 {
		return in("policy.version", errors.New("want 1 or more"))
	}
	return nil
}

// AuthorityState is who manages the device.
type AuthorityState struct {
	Registered protocol.Authority `json:"registered"`
	Resolved   protocol.Authority `json:"resolved"` // who should; another one until a check-in is complete
	Epoch      uint32             `json:"epoch"`
	ChangedAt  protocol.Time      `json:"changedAt,omitzero"`
	Notice     string             `json:"notice,omitempty"` // of the newest change, signed: see [Notice]
}

// NextContact is when the device is expected again.
type NextContact struct {
	After    Seconds  `json:"after"`
	Schedule Schedule `json:"schedule"`
}
