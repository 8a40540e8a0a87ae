package dialect

import (
	"strings"

	"rollcall/protocol/windows"
)

// An access is what may be done to a node of the settings tree: the access types of a device description.
type access uint8

const (
	mayAdd access = 1 << iota
	mayDelete
	mayGet
	mayReplace
	mayExec
)

// A csp is a node of the description of the settings tree. It is made once and shared by all devices.
type csp struct {
	name     string
	access   access
	format   string // of a leaf; empty: whatever comes
	leaf     bool
	deep     bool // whatever lies below is a leaf, or holds leaves
	children []*csp
	any      *csp // child of any name
	code     windows.Code
}

// descriptions are the nodes that a device has: path, access (Add, Delete, Get, Replace, Exec), format. "*" stands for any name and is
// made by Add; "**" for anything below. A number in place of the access is the answer to every command.
const descriptions = `
DevInfo/DevId G chr
DevInfo/Man G chr
DevInfo/Mod G chr
DevInfo/DmV G chr
DevInfo/Lang G chr
DevDetail/DevTyp G chr
DevDetail/OEM G chr
DevDetail/FwV G chr
DevDetail/SwV G chr
DevDetail/HwV G chr
DevDetail/LrgObj G bool
DevDetail/Ext/Microsoft/DeviceName G chr
DevDetail/Ext/Microsoft/DNSComputerName G chr
DevDetail/Ext/Microsoft/OSPlatform G chr
DevDetail/Ext/Microsoft/ProcessorArchitecture G int
DevDetail/Ext/Microsoft/LocalTime G chr
DevDetail/Ext/Microsoft/TotalStorage G int
DevDetail/Ext/Microsoft/FreeStorage G int
DevDetail/Ext/Microsoft/TotalRAM G int
DevDetail/Ext/Microsoft/SMBIOSSerialNumber G chr
DevDetail/Ext/WLANMACAddress G chr
DevDetail/Ext/DeviceHardwareData G chr
Device/DeviceStatus/SecureBootState G int
Device/DeviceStatus/OS/Edition G chr
Device/DeviceStatus/Compliance/EncryptionCompliance G int
Device/DeviceStatus/TPM/SpecificationVersion G chr
Device/DeviceStatus/Antivirus/Status G int
Device/DeviceStatus/Firewall/Status G int
Device/DeviceStatus/DomainName G chr
Device/DMClient/HWDevID G chr
Device/DMClient/Unenroll E chr
Device/DMClient/Provider/@/UPN GR chr
Device/DMClient/Provider/@/EntDMID GR chr
Device/DMClient/Provider/@/EntDeviceName GR chr
Device/DMClient/Provider/@/SignedEntDMID GR chr
Device/DMClient/Provider/@/ExchangeID GR chr
Device/DMClient/Provider/@/PublisherDeviceID GR chr
Device/DMClient/Provider/@/CommercialID AGRD chr
Device/DMClient/Provider/@/RequireMessageSigning GR bool
Device/DMClient/Provider/@/EnrollmentType G chr
Device/DMClient/Provider/@/AADDeviceID G chr
Device/DMClient/Provider/@/CertRenewTimeStamp G chr
Device/DMClient/Provider/@/ManagementServiceAddress GR chr
Device/DMClient/Provider/@/ManagementServerAddressList GR chr
Device/DMClient/Provider/@/SyncApplicationVersion AGRD chr
Device/DMClient/Provider/@/NumberOfDaysAfterLostContactToUnenroll AGRD int
Device/DMClient/Provider/@/EnableOmaDmKeepAliveMessage AGRD bool
Device/DMClient/Provider/@/AADResourceID AGRD chr
Device/DMClient/Provider/@/AADSendDeviceToken AGRD bool
Device/DMClient/Provider/@/ForceAadToken AGRD int
Device/DMClient/Provider/@/HelpPhoneNumber AGRD chr
Device/DMClient/Provider/@/HelpWebsite AGRD chr
Device/DMClient/Provider/@/HelpEmailAddress AGRD chr
Device/DMClient/Provider/@/Unenroll E chr
Device/DMClient/Provider/@/Poll/NumberOfFirstRetries AGRD int
Device/DMClient/Provider/@/Poll/IntervalForFirstSetOfRetries AGRD int
Device/DMClient/Provider/@/Poll/NumberOfSecondRetries AGRD int
Device/DMClient/Provider/@/Poll/IntervalForSecondSetOfRetries AGRD int
Device/DMClient/Provider/@/Poll/NumberOfRemainingScheduledRetries AGRD int
Device/DMClient/Provider/@/Poll/IntervalForRemainingScheduledRetries AGRD int
Device/DMClient/Provider/@/Poll/PollOnLogin AGRD bool
Device/DMClient/Provider/@/Poll/AllUsersPollOnFirstLogin AGRD bool
Device/DMClient/Provider/@/MultipleSession/NumberOfScheduledRetriesForUserSession AGRD int
Device/DMClient/Provider/@/MultipleSession/IntervalForScheduledRetriesForUserSession AGRD int
Device/DMClient/Provider/@/Push/PFN AGRD chr
Device/DMClient/Provider/@/Push/ChannelURI G chr
Device/DMClient/Provider/@/Push/Status G int
Device/DMClient/Provider/@/CustomEnrollmentCompletePage/Title AGRD chr
Device/DMClient/Provider/@/CustomEnrollmentCompletePage/BodyText AGRD chr
Device/DMClient/Provider/@/CustomEnrollmentCompletePage/HyperlinkHref AGRD chr
Device/DMClient/Provider/@/CustomEnrollmentCompletePage/HyperlinkText AGRD chr
Device/DMClient/Provider/@/FirstSyncStatus/SkipDeviceStatusPage AGRD bool
Device/DMClient/Provider/@/FirstSyncStatus/SkipUserStatusPage AGRD bool
Device/DMClient/Provider/@/FirstSyncStatus/TimeOutUntilSyncFailure AGRD int
Device/DMClient/Provider/@/FirstSyncStatus/BlockInStatusPage AGRD int
Device/DMClient/Provider/@/FirstSyncStatus/ExpectedPolicies AGRD chr
Device/DMClient/Provider/@/FirstSyncStatus/ExpectedNetworkProfiles AGRD chr
Device/DMClient/Provider/@/FirstSyncStatus/ExpectedMSIAppPackages AGRD chr
Device/DMClient/Provider/@/FirstSyncStatus/ExpectedModernAppPackages AGRD chr
Device/DMClient/Provider/@/FirstSyncStatus/ExpectedPFXCerts AGRD chr
Device/DMClient/Provider/@/FirstSyncStatus/ExpectedSCEPCerts AGRD chr
Device/DMClient/Provider/@/FirstSyncStatus/ServerHasFinishedProvisioning AGRD bool
Device/DMClient/Provider/@/FirstSyncStatus/IsSyncDone AGRD bool
Device/CertificateStore/Root/System/*/EncodedCertificate AGRD b64
Device/CertificateStore/CA/System/*/EncodedCertificate AGRD b64
Device/CertificateStore/My/User/%/EncodedCertificate G b64
Device/CertificateStore/My/System/%/EncodedCertificate G b64
Device/CertificateStore/My/WSTEP/Renew/ROBOSupport GR bool
Device/CertificateStore/My/WSTEP/Renew/RenewPeriod GR int
Device/CertificateStore/My/WSTEP/Renew/RetryInterval GR int
Device/CertificateStore/My/WSTEP/Renew/RetryAfterExpiryInterval AGRD int
Device/CertificateStore/My/WSTEP/Renew/ServerURL AGRD chr
Device/CertificateStore/My/WSTEP/Renew/Status G int
Device/CertificateStore/My/WSTEP/Renew/ErrorCode G int
Device/CertificateStore/My/WSTEP/Renew/LastRenewalAttemptTime G chr
Device/CertificateStore/My/WSTEP/Renew/RenewNow E
Device/RootCATrustedCertificates/Root/*/EncodedCertificate AGRD b64
Device/RootCATrustedCertificates/CA/*/EncodedCertificate AGRD b64
Device/ClientCertificateInstall/SCEP/*/Install/Enroll E
Device/ClientCertificateInstall/SCEP/*/Install/** AGRD
Device/ClientCertificateInstall/SCEP/*/Status G int
Device/ClientCertificateInstall/SCEP/*/ErrorCode G int
Device/ClientCertificateInstall/SCEP/*/CertThumbprint G chr
Device/ClientCertificateInstall/PFXCertInstall/*/Status G int
Device/ClientCertificateInstall/PFXCertInstall/*/** AGRD
Device/WiFi/Profile/*/WlanXml AGRD chr
Device/WiFi/Profile/*/ProxyPacUrl AGRD chr
Device/WiFi/Profile/*/ProxyWPAD AGRD bool
Device/WiFi/Profile/*/WiFiCost AGRD int
Device/VPNv2/*/** AGRD
Device/Policy/Config/*/* AGRD
Device/Policy/Result/%/% G
Device/Policy/ConfigOperations/ADMXInstall/** AGRD
Device/Personalization/DesktopImageUrl AGRD chr
Device/Personalization/LockScreenImageUrl AGRD chr
Device/RemoteLock/Lock E
Device/RemoteLock/LockAndResetPIN E
Device/RemoteLock/NewPINValue G chr
Device/RemoteWipe/doWipe E
Device/RemoteWipe/doWipeProtected E
Device/RemoteWipe/doWipePersistProvisionedData E
Device/RemoteWipe/doWipePersistUserData E
Device/RemoteWipe/doWipeCloud E
Device/RemoteWipe/doWipeCloudPersistUserData E
Device/RemoteWipe/doWipeCloudPersistProvisionedData E
Device/RemoteWipe/AutomaticRedeployment/doAutomaticRedeployment E
Device/Reboot/RebootNow E
Device/DeviceManageability/Capabilities/CSPVersions G chr
Device/DeviceManageability/Provider/*/ConfigInfo AGRD chr
Device/DeviceManageability/Provider/*/EnrollmentInfo AGRD chr
Device/DeviceManageability/Provider/*/PayloadTransfer AGRD chr
Device/NodeCache/** AGRD
Device/EnrollmentStatusTracking/** AGRD
Device/DeclaredConfiguration/** 406
User/VPNv2/*/** AGRD
User/Policy/Config/*/* AGRD
User/Policy/Result/%/% G
User/ActiveSync/Accounts/*/** AGRD
User/EMAIL2/*/** AGRD
User/ClientCertificateInstall/SCEP/*/Install/Enroll E
User/ClientCertificateInstall/SCEP/*/Install/** AGRD
User/ClientCertificateInstall/SCEP/*/Status G int
User/ClientCertificateInstall/SCEP/*/ErrorCode G int
User/ClientCertificateInstall/SCEP/*/CertThumbprint G chr
User/ClientCertificateInstall/PFXCertInstall/*/Status G int
User/ClientCertificateInstall/PFXCertInstall/*/** AGRD
User/EnrollmentStatusTracking/** AGRD
`

// How a description names children: "*" those that Add makes, "%" those that the device makes, "@" the provider's own.
const (
	made     = "*"
	given    = "%"
	provider = "@"
	below    = "**"
)

var settings = func() *csp {
	root := &csp{access: mayGet}
	for line := range strings.Lines(strings.TrimSpace(descriptions)) {
		fields := strings.Fields(line)
		at := root
		names := strings.Split(fields[0], "/")
		for i, name := range names {
			last := i == len(names)-1
			if name == below {
				at.deep = true
				at.describe(fields[1])
				break
			}
			at = at.child(name)
			if last {
				at.leaf, at.access = true, 0
				at.describe(fields[1])
				if len(fields) > 2 {
					at.format = fields[2]
				}
			}
		}
	}
	return root
}()

// describe gives c its access.
func (c *csp) describe(text string) {
	if text == "406" {
		c.code = windows.OptionalNotSupported
		return
	}
	for _, letter := range text {
		c.access |= [...]access{mayAdd, mayDelete, mayGet, mayReplace, mayExec}[strings.IndexRune("ADGRE", letter)]
	}
}

// child finds or makes a child of a description.
func (c *csp) child(name string) *csp {
	if name == made || name == given || name == provider {
		if c.any == nil {
			c.any = &csp{name: name, access: mayGet}
			if name == made {
				c.any.access |= mayAdd | mayDelete
			}
		}
		return c.any
	}
	for _, child := range c.children {
		if child.name == name {
			return child
		}
	}
	n := &csp{name: name, access: mayGet}
	c.children = append(c.children, n)
	return n
}

// find goes one name down; nil: there is nothing of the kind. Names of Windows' own are known in any case.
func (c *csp) find(name string) *csp {
	for _, child := range c.children {
		if strings.EqualFold(child.name, name) {
			return child
		}
	}
	switch {
	case c.any != nil:
		return c.any
	case c.deep:
		return &csp{access: c.access, deep: true, leaf: true, code: c.code}
	}
	return nil
}
