package apple

import (
	"bytes"
	"encoding/hex"
	"time"

	"rollcall/protocol"
)

const (
	phone  = "00008101-000A1B2C3D4E001E"
	mac    = "A5F0C3D2-1B4E-4C6F-9A8B-0D1E2F3A4B5C"
	tablet = "00008030-001122334455002E"
	byod   = "E3A1B2C3-D4E5-4F60-8A9B-0C1D2E3F4A5B"
	user   = "6F1D2C3B-4A59-4687-9786-A5B4C3D2E1F0"
	topic  = "com.apple.mgmt.External.11111111-2222-4333-8444-555555555555"
	order  = "7B1D0C2E-93A4-4F56-8B7C-1D2E3F405162"
)

func octets(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

var (
	pushToken   = octets("00fc13adff785122b4ad28809a3420982341241421348097878e577c991de8f0")
	unlockToken = bytes.Repeat([]byte("unlock!"), 64)
)

// messages are one of every message that a device sends, by the name of its golden file. A name ends in -mac,
// -user, -shared or -byod for the kind of enrolment that the schema has its own rules for.
var messages = map[string]*Message{
	"authenticate-ios": {
		MessageType: Authenticate, Topic: topic, UDID: phone, OSVersion: "17.6", BuildVersion: "21G80", ProductName: "iPhone13,2",
		SerialNumber: "ROLLCALL0001", IMEI: "35 685010 123456 2", MEID: "35685010123456",
	},
	"authenticate-mac": {
		MessageType: Authenticate, Topic: topic, UDID: mac, OSVersion: "15.1", BuildVersion: "24B83", ProductName: "Mac14,2",
		SerialNumber: "ROLLCALL0002", DeviceName: "Zoë’s Mac & <friends>", Model: "Mac14,2", ModelName: "MacBook Air",
	},
	"authenticate-byod": {MessageType: Authenticate, Topic: topic, EnrollmentID: byod, OSVersion: "18.1", BuildVersion: "22B83", ProductName: "iPhone14,5"},
	"tokenupdate-ios": {
		MessageType: TokenUpdate, Topic: topic, UDID: phone, Token: pushToken, PushMagic: "4C1E9A2F-0B3D-4E5F-8A6B-7C8D9E0F1A2B",
		UnlockToken: unlockToken,
	},
	"tokenupdate-awaiting": {
		MessageType: TokenUpdate, Topic: topic, UDID: tablet, Token: pushToken, PushMagic: "magic", AwaitingConfiguration: true,
	},
	"tokenupdate-mac": {MessageType: TokenUpdate, Topic: topic, UDID: mac, Token: pushToken, PushMagic: "magic"},
	"tokenupdate-user-mac": {
		MessageType: TokenUpdate, Topic: topic, UDID: mac, Token: pushToken, PushMagic: "other magic",
		UserID: user, UserShortName: "zoe", UserLongName: "Zoë van Dijk", NotOnConsole: true,
	},
	"tokenupdate-shared": {
		MessageType: TokenUpdate, Topic: topic, UDID: tablet, Token: pushToken, PushMagic: "magic",
		UserID: SharedUserID, UserShortName: "zoe@school.example",
	},
	"tokenupdate-byod": {MessageType: TokenUpdate, Topic: topic, EnrollmentID: byod, Token: pushToken, PushMagic: "magic"},
	"tokenupdate-byod-user-mac": {
		MessageType: TokenUpdate, Topic: topic, EnrollmentID: byod, EnrollmentUserID: user, Token: pushToken, PushMagic: "magic",
		UserLongName: "Zoë van Dijk", UserShortName: "zoe",
	},
	"checkout-ios":              {MessageType: CheckOut, Topic: topic, UDID: phone},
	"setbootstrap-mac":          {MessageType: SetBootstrapToken, UDID: mac, BootstrapToken: []byte("escrowed"), AwaitingConfiguration: true},
	"clearbootstrap-mac":        {MessageType: SetBootstrapToken, UDID: mac},
	"getbootstrap-mac":          {MessageType: GetBootstrapToken, UDID: mac},
	"userauthenticate-user-mac": {MessageType: UserAuthenticate, UDID: mac, UserID: user},
	"userdigest-user-mac": {
		MessageType: UserAuthenticate, UDID: mac, UserID: user, DigestResponse: `Digest username="zoe",realm="r",nonce="n",uri="/",response="0"`,
	},
	"gettoken-ios": {
		MessageType: GetToken, UDID: phone, TokenServiceType: watchPairing,
		TokenParameters: TokenParameters{SecurityToken: "s", PhoneUDID: phone, WatchUDID: "00008006-0011223344550066"},
	},
	"gettoken-mac":    {MessageType: GetToken, UDID: mac, TokenServiceType: "com.apple.maid"},
	"declarative-ios": {MessageType: DeclarativeManagement, UDID: phone, Endpoint: "status", Data: []byte(`{"StatusItems":{}}`)},

	"idle":          {UDID: phone},
	"idle-mac":      {UDID: mac},
	"idle-user-mac": {UDID: mac, UserID: user, UserShortName: "zoe", UserLongName: "Zoë van Dijk"},
	"acknowledged":  {Status: protocol.Acknowledged, CommandUUID: order, UDID: phone},
	"notnow":        {Status: protocol.NotNow, CommandUUID: order, UDID: phone},
	"formaterror":   {Status: protocol.CommandFormatError, CommandUUID: order, UDID: phone},
	"error": {Status: protocol.Failed, CommandUUID: order, UDID: phone, ErrorChain: []ErrorItem{
		{4001, "MCInstallationErrorDomain", "Profile-installatie mislukt", "Profile Installation Failed"},
		{-25299, "NSOSStatusErrorDomain", "duplicaat", ""},
	}},
}

// results are one of every answer to a command, by RequestType and the name of the golden file.
var results = map[string]struct {
	request string
	result  *Result
}{
	"result-deviceinformation": {"DeviceInformation", &Result{QueryResponses: map[string]any{
		"UDID": phone, "OSVersion": "17.6", "SerialNumber": "ROLLCALL0001", "IsSupervised": false, "BatteryLevel": 0.75,
		"DeviceCapacity": 128.0,
	}}},
	"result-deviceinformation-none": {"DeviceInformation", &Result{QueryResponses: map[string]any{}}},
	"result-securityinfo": {"SecurityInfo", &Result{SecurityInfo: &SecurityStatus{
		HardwareEncryptionCaps: new(int64(3)), PasscodePresent: new(false), PasscodeCompliant: new(true), PasscodeCompliantWithProfiles: new(true),
		ManagementStatus: &ManagementStatus{IsUserEnrollment: new(false)},
	}}},
	"result-securityinfo-mac": {"SecurityInfo", &Result{SecurityInfo: &SecurityStatus{
		FDEEnabled: new(true), SystemIntegrityProtectionEnabled: new(true), BootstrapTokenAllowedForAuthentication: "allowed",
		ManagementStatus: &ManagementStatus{
			EnrolledViaDEP: new(true), UserApprovedEnrollment: new(true), IsUserEnrollment: new(false), IsActivationLockManageable: new(true),
		},
	}}},
	"result-profilelist": {"ProfileList", &Result{ProfileList: []ProfileListItem{{
		PayloadUUID: user, PayloadIdentifier: "example.wifi", PayloadVersion: 1, PayloadDisplayName: "Wi-Fi", IsManaged: true,
		SignerCertificates: [][]byte{{0x30, 0x03}},
		PayloadContent: []ProfileListPayload{{
			PayloadType: "com.apple.wifi.managed", PayloadVersion: 1, PayloadIdentifier: "example.wifi.payload", PayloadUUID: order,
		}},
	}}}},
	"result-profilelist-none": {"ProfileList", &Result{ProfileList: []ProfileListItem{}}},
	"result-certificatelist": {"CertificateList", &Result{CertificateList: []CertificateItem{
		{"rollcall sample root", false, []byte{0x30, 0x82}}, {"device", true, []byte{0x30, 0x83}},
	}}},
	"result-applications": {"InstalledApplicationList", &Result{InstalledApplicationList: []ApplicationItem{{
		Identifier: "com.example.app", Name: "App", Version: "1234", ShortVersion: "1.2", BundleSize: 12 << 30, IsValidated: true, DynamicSize: 7,
	}}}},
	"result-lock": {"DeviceLock", &Result{MessageResult: "Success"}},
}

// orders are one of every command, by the name of the golden file.
var orders = map[string]Command{
	"command-installprofile":      InstallProfile{[]byte("<plist/>")},
	"command-removeprofile":       RemoveProfile{"example.wifi"},
	"command-deviceinformation":   DeviceInformation{queries},
	"command-securityinfo":        SecurityInfo{},
	"command-profilelist":         ProfileList{ManagedOnly: true},
	"command-certificatelist-mac": CertificateList{},
	"command-applications":        InstalledApplicationList{Identifiers: []string{"com.example.app"}, ManagedAppsOnly: true, Items: []string{"Name"}},
	"command-devicelock-mac":      DeviceLock{Message: "Lost & found", PhoneNumber: "+31 20 555", PIN: "123456"},
	"command-erasedevice":         EraseDevice{PreserveDataPlan: true, DisallowProximitySetup: true, ReturnToService: &ReturnToService{Enabled: true, WiFiProfileData: []byte("wifi"), MDMProfileData: []byte("mdm")}},
	"command-erasedevice-mac":     EraseDevice{PIN: "123456", ObliterationBehavior: "ObliterateWithWarning"},
	"command-restartdevice-mac":   RestartDevice{RebuildKernelCache: true, KextPaths: []string{"/Library/Extensions/x.kext"}, NotifyUser: true},
	"command-shutdowndevice":      ShutDownDevice{},
	"command-clearpasscode":       ClearPasscode{unlockToken},
	"command-deviceconfigured":    DeviceConfigured{},
	"command-unknown":             Unknown{"FutureCommand"},
}

// enrolment is an enrolment profile with every key that rollcall's server sets.
func enrolment() *Profile {
	return &Profile{
		Identifier: "example.rollcall.enrol", UUID: "D1E2F3A4-B5C6-4789-8A9B-0C1D2E3F4A5B", DisplayName: "Management",
		Description: "Enrols this device", Organization: "Example", RemovalDisallowed: true, Scope: "System",
		Payloads: []Payload{
			{Type: RootPayload, Identifier: "example.rollcall.root", UUID: "0A0B0C0D-0000-4000-8000-000000000001", Certificate: []byte{0x30, 0x82, 1}},
			{
				Type: SCEPPayload, Identifier: "example.rollcall.scep", UUID: "0A0B0C0D-0000-4000-8000-000000000002",
				SCEP: &SCEP{
					URL: "https://mdm.example.com/scep", Name: "rollcall", Subject: [][][]string{{{"O", "Example"}}, {{"CN", "%SerialNumber%"}}},
					Challenge: "secret", Keysize: 2048, KeyType: "RSA", KeyUsage: 5, CAFingerprint: bytes.Repeat([]byte{7}, 32), Retries: 3, RetryDelay: 10,
				},
			},
			{
				Type: MDMPayload, Identifier: "example.rollcall.mdm", UUID: "0A0B0C0D-0000-4000-8000-000000000003",
				MDM: &MDM{
					IdentityCertificateUUID: "0A0B0C0D-0000-4000-8000-000000000002", Topic: topic, ServerURL: "https://mdm.example.com/mdm",
					CheckInURL: "https://mdm.example.com/checkin", SignMessage: true, AccessRights: AllRights, CheckOutWhenRemoved: true,
					ServerCapabilities: []string{"com.apple.mdm.per-user-connections", "com.apple.mdm.bootstraptoken"},
				},
			},
		},
	}
}

// profiles are one of every kind, by the name of the golden file.
var profiles = map[string]*Profile{
	"profile-enrolment":     enrolment(),
	"profile-email":         NewProfile("example.email", "Mail", protocol.Email),
	"profile-vpn":           NewProfile("example.vpn", "VPN", protocol.VPN),
	"profile-certificate":   NewProfile("example.certificate", "Root", protocol.Certificate),
	"profile-wifi":          NewProfile("example.wifi", "Wi-Fi", protocol.WiFi),
	"profile-configuration": NewProfile("example.passcode", "Passcode", protocol.Configuration),
	"profile-encrypted":     {Identifier: "example.secret", UUID: user, Encrypted: []byte{0x30, 0x80}, RemovalDate: time.Date(2030, 2, 28, 23, 59, 59, 0, time.UTC)},
}

var machine = &MachineInfo{
	UDID: phone, Serial: "ROLLCALL0001", Product: "iPhone13,2", BuildVersion: "21G80", OSVersion: "17.6", Language: "nl", IMEI: "356850101234562",
	MEID: "35685010123456", SoftwareUpdateDeviceID: "iPhone13,2", SupplementalBuildVersion: "21G80", SupplementalOSVersionExtra: "(a)",
	CanRequestSoftwareUpdate: true,
}

var forbidden = map[string]*Forbidden{
	"unrecognized": {Code: UnrecognizedDevice, Description: "removed by administrator"},
	"update":       {Code: SoftwareUpdateRequired, Message: "Update first", Details: &ForbiddenDetails{OSVersion: "17.6", BuildVersion: "21G80"}},
}
