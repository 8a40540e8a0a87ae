package android

import "rollcall/protocol"

// A PolicyUpdate is the whole policy of a device, never a difference; what is the same as before, the device leaves alone.
type PolicyUpdate struct {
	Name      string          `json:"name"`
	Version   int64           `json:"version,string"` // higher than any before
	Signature string          `json:"signature"`      // JWS without its payload: see the page, "Signed statements"
	Policy    Raw             `json:"policy"`         // a [Policy]
	Profiles  []ManifestEntry `json:"profiles"`
}

// A ManifestEntry is one profile that the policy was made from.
type ManifestEntry struct {
	ID          string             `json:"id"`
	Name        string             `json:"name"`
	Family      protocol.Family    `json:"family"`
	Authority   protocol.Authority `json:"authority"`
	Version     uint32             `json:"version"`              // differs between contents
	Fields      []string           `json:"fields,omitempty"`     // of the policy that come from it
	RemoveAfter protocol.Time      `json:"removeAfter,omitzero"` // it is of an authority before: from then on it has to go (AUTH-27)
}

// A Policy is what one device has to keep to: the part of Android Management API's Policy that rollcall knows.
type Policy struct {
	OpenNetworkConfiguration     *ONC                          `json:"openNetworkConfiguration,omitempty"`
	DeviceConnectivityManagement *DeviceConnectivityManagement `json:"deviceConnectivityManagement,omitempty"`
	Applications                 []Application                 `json:"applications,omitempty" key:"PackageName"`
	AlwaysOnVPNPackage           *AlwaysOnVPNPackage           `json:"alwaysOnVpnPackage,omitempty"`
	VPNConfigDisabled            bool                          `json:"vpnConfigDisabled,omitempty"`
	ChoosePrivateKeyRules        []ChoosePrivateKeyRule        `json:"choosePrivateKeyRules,omitempty" key:"PrivateKeyAlias"`
	PasswordPolicies             []PasswordPolicy              `json:"passwordPolicies,omitempty" key:"PasswordScope"`
	EncryptionPolicy             string                        `json:"encryptionPolicy,omitempty"`
	MinimumAPILevel              int                           `json:"minimumApiLevel,omitempty"`
	CameraAccess                 string                        `json:"cameraAccess,omitempty"`
	SystemUpdate                 *SystemUpdate                 `json:"systemUpdate,omitempty"`
	KioskCustomLauncherEnabled   bool                          `json:"kioskCustomLauncherEnabled,omitempty"`
	PolicyEnforcementRules       []PolicyEnforcementRule       `json:"policyEnforcementRules,omitempty" key:"SettingName"`
	StatusReportingSettings      *StatusReportingSettings      `json:"statusReportingSettings,omitempty"`
}

// ONC is Open Network Configuration: Wi-Fi networks and the certificates that they need.
type ONC struct {
	Type                  string                 `json:"Type,omitempty"`
	NetworkConfigurations []NetworkConfiguration `json:"NetworkConfigurations,omitempty" key:"GUID"`
	Certificates          []ONCCertificate       `json:"Certificates,omitempty" key:"GUID"`
}

// A NetworkConfiguration is one Wi-Fi network.
type NetworkConfiguration struct {
	GUID string `json:"GUID"`
	Name string `json:"Name"`
	Type string `json:"Type"` // WiFi
	WiFi *WiFi  `json:"WiFi,omitempty"`
}

// A WiFi is how to join. Security is None, WEP-PSK, WPA-PSK, WPA-EAP, WEP-8021X or WPA3-Enterprise_192.
type WiFi struct {
	SSID        string `json:"SSID,omitempty"`
	HexSSID     string `json:"HexSSID,omitempty"`
	HiddenSSID  bool   `json:"HiddenSSID,omitempty"`
	AutoConnect bool   `json:"AutoConnect,omitempty"`
	Security    string `json:"Security"`
	Passphrase  string `json:"Passphrase,omitempty"`
	EAP         *EAP   `json:"EAP,omitempty"`
}

// EAP is for enterprise networks, which name the server's authority and domain.
type EAP struct {
	Outer                  string   `json:"Outer"`           // EAP-TLS, EAP-TTLS, PEAP, EAP-SIM or EAP-AKA
	Inner                  string   `json:"Inner,omitempty"` // MSCHAPv2 or PAP
	Identity               string   `json:"Identity,omitempty"`
	Password               string   `json:"Password,omitempty"`
	ServerCARefs           []string `json:"ServerCARefs,omitempty"`
	DomainSuffixMatch      []string `json:"DomainSuffixMatch,omitempty"`
	ClientCertType         string   `json:"ClientCertType,omitempty"` // Ref or KeyPairAlias
	ClientCertRef          string   `json:"ClientCertRef,omitempty"`
	ClientCertKeyPairAlias string   `json:"ClientCertKeyPairAlias,omitempty"`
}

// An ONCCertificate is an authority's, or one with its key; base64 of DER.
type ONCCertificate struct {
	GUID   string `json:"GUID"`
	Type   string `json:"Type"` // Authority or Client
	X509   string `json:"X509,omitempty"`
	PKCS12 string `json:"PKCS12,omitempty"`
}

// DeviceConnectivityManagement limits what the user may do to the network.
type DeviceConnectivityManagement struct {
	ConfigureWiFi string `json:"configureWifi,omitempty"`
}

// An Application is what becomes of one app.
type Application struct {
	PackageName                  string   `json:"packageName"`
	InstallType                  string   `json:"installType,omitempty"` // FORCE_INSTALLED, AVAILABLE, BLOCKED or KIOSK
	ManagedConfiguration         Raw      `json:"managedConfiguration,omitempty"`
	DelegatedScopes              []string `json:"delegatedScopes,omitempty"`
	AlwaysOnVPNLockdownExemption string   `json:"alwaysOnVpnLockdownExemption,omitempty"`
	MinimumVersionCode           int      `json:"minimumVersionCode,omitempty"`
	DefaultPermissionPolicy      string   `json:"defaultPermissionPolicy,omitempty"`
	LockTaskAllowed              bool     `json:"lockTaskAllowed,omitempty"`
}

// AlwaysOnVPNPackage is the VPN that is never off.
type AlwaysOnVPNPackage struct {
	PackageName     string `json:"packageName"`
	LockdownEnabled bool   `json:"lockdownEnabled,omitempty"`
}

// A ChoosePrivateKeyRule lets apps use a key.
type ChoosePrivateKeyRule struct {
	URLPattern      string   `json:"urlPattern,omitempty"`
	PackageNames    []string `json:"packageNames,omitempty"`
	PrivateKeyAlias string   `json:"privateKeyAlias"`
}

// A PasswordPolicy is how strong the password of a scope must be.
type PasswordPolicy struct {
	PasswordScope         string `json:"passwordScope,omitempty"`   // SCOPE_DEVICE or SCOPE_PROFILE
	PasswordQuality       string `json:"passwordQuality,omitempty"` // NUMERIC, ALPHANUMERIC, COMPLEXITY_HIGH, …
	PasswordMinimumLength int    `json:"passwordMinimumLength,omitempty"`
	MaximumFailed         int    `json:"maximumFailedPasswordsForWipe,omitempty"`
}

// SystemUpdate is how the system is updated; the device's owner alone may say so.
type SystemUpdate struct {
	Type         string `json:"type"` // AUTOMATIC, WINDOWED or POSTPONE
	StartMinutes int    `json:"startMinutes,omitempty"`
	EndMinutes   int    `json:"endMinutes,omitempty"`
}

// A PolicyEnforcementRule says what happens to a device that does not keep to a setting: days until it is blocked, and wiped.
type PolicyEnforcementRule struct {
	SettingName string       `json:"settingName"`
	BlockAction *BlockAction `json:"blockAction,omitempty"`
	WipeAction  *WipeAction  `json:"wipeAction,omitempty"`
}

// A BlockAction blocks the device or its work profile.
type BlockAction struct {
	BlockAfterDays int    `json:"blockAfterDays"`
	BlockScope     string `json:"blockScope,omitempty"`
}

// A WipeAction resets the device or removes its work profile.
type WipeAction struct {
	WipeAfterDays int  `json:"wipeAfterDays"`
	PreserveFRP   bool `json:"preserveFrp,omitempty"`
}

// StatusReportingSettings say which parts of a [StatusReport] the device sends.
type StatusReportingSettings struct {
	ApplicationReports bool `json:"applicationReportsEnabled,omitempty"`
	DeviceSettings     bool `json:"deviceSettingsEnabled,omitempty"`
	SoftwareInfo       bool `json:"softwareInfoEnabled,omitempty"`
	MemoryInfo         bool `json:"memoryInfoEnabled,omitempty"`
	NetworkInfo        bool `json:"networkInfoEnabled,omitempty"`
}
