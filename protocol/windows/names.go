package windows

// Paths at which rollcall's server serves; only DiscoveryPath is fixed by the protocol (windows.md section 1).
const (
	DiscoveryPath  = "/EnrollmentServer/Discovery.svc"
	PolicyPath     = "/EnrollmentServer/Policy.svc"
	EnrollmentPath = "/EnrollmentServer/Enrollment.svc"
	ManagementPath = "/ManagementServer/MDM.svc"
)

// Content types of messages as they are sent.
const (
	SOAPContentType   = "application/soap+xml; charset=utf-8"
	SyncMLContentType = "application/vnd.syncml.dm+xml"
	WBXMLContentType  = "application/vnd.syncml.dm+wbxml" // answered with 415 (windows.md section 13)
)

// User agents of devices. A server decides nothing by them.
const (
	EnrollUserAgent     = "ENROLLClient"
	ManagementUserAgent = "MSFT OMA DM Client/1.2.0.1"
)

// The AuthPolicy words of discovery: what a client offers, and the one that a server chose.
const (
	OnPremise   = "OnPremise"   // user name and password
	Federated   = "Federated"   // a token that a web page gave
	Certificate = "Certificate" // a bootstrap certificate
)

// DeviceDesktop is the DeviceType of all but phones.
const DeviceDesktop = "CIMClient_Windows"

// Names of context items of a [RequestSecurityToken] (windows.md section 4).
const (
	ItemDeviceID             = "DeviceID"
	ItemEnrollmentType       = "EnrollmentType"
	ItemDeviceType           = "DeviceType"
	ItemHWDevID              = "HWDevID"
	ItemDeviceName           = "DeviceName"
	ItemLocale               = "Locale"
	ItemOSEdition            = "OSEdition"
	ItemOSVersion            = "OSVersion"
	ItemApplicationVersion   = "ApplicationVersion"
	ItemRequestVersion       = "RequestVersion"
	ItemMAC                  = "MAC"
	ItemIMEI                 = "IMEI"
	ItemTargetedUserLoggedIn = "TargetedUserLoggedIn"
	ItemUXInitiated          = "UXInitiated"
	ItemNotInOobe            = "NotInOobe"
	ItemEnrollmentData       = "EnrollmentData"
	ItemManufacturer         = "Manufacturer"
	ItemDeviceModel          = "DeviceModel"
	ItemSerialNumber         = "SerialNumber"
	ItemZeroTouch            = "ZeroTouchProvisioning"
)

// Values of EnrollmentType.
const (
	EnrollmentFull   = "Full"   // of a user: the certificate goes to My/User
	EnrollmentDevice = "Device" // the certificate goes to My/System
)

// namespace is a namespace that the messages use; foreign is every other one.
type namespace uint8

const (
	foreign namespace = iota
	nsNone
	nsSOAP12
	nsSOAP11
	nsAddressing
	nsUtility  // WS-Security utility
	nsSecurity // WS-Security extension
	nsTrust
	nsContext
	nsDiscovery
	nsPolicy
	nsWSTEP
	nsDiagnostics
	nsSchema // XML Schema instance
	nsSyncML
	nsSyncML11
	nsMetInf
	nsSignature // XML signatures
	nsXML
)

var namespaces = [...]string{
	nsSOAP12:      "http://www.w3.org/2003/05/soap-envelope",
	nsSOAP11:      "http://schemas.xmlsoap.org/soap/envelope/",
	nsAddressing:  "http://www.w3.org/2005/08/addressing",
	nsUtility:     "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd",
	nsSecurity:    "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd",
	nsTrust:       "http://docs.oasis-open.org/ws-sx/ws-trust/200512",
	nsContext:     "http://schemas.xmlsoap.org/ws/2006/12/authorization",
	nsDiscovery:   "http://schemas.microsoft.com/windows/management/2012/01/enrollment",
	nsPolicy:      "http://schemas.microsoft.com/windows/pki/2009/01/enrollmentpolicy",
	nsWSTEP:       "http://schemas.microsoft.com/windows/pki/2009/01/enrollment",
	nsDiagnostics: "http://schemas.microsoft.com/2004/09/ServiceModel/Diagnostics",
	nsSchema:      "http://www.w3.org/2001/XMLSchema-instance",
	nsSyncML:      "SYNCML:SYNCML1.2",
	nsSyncML11:    "SYNCML:SYNCML1.1",
	nsMetInf:      "syncml:metinf",
	nsSignature:   "http://www.w3.org/2000/09/xmldsig#",
	nsXML:         "http://www.w3.org/XML/1998/namespace",
}

// The actions of messages.
const (
	ActionDiscover            = "http://schemas.microsoft.com/windows/management/2012/01/enrollment/IDiscoveryService/Discover"
	ActionDiscoverResponse    = ActionDiscover + "Response"
	ActionGetPolicies         = "http://schemas.microsoft.com/windows/pki/2009/01/enrollmentpolicy/IPolicy/GetPolicies"
	ActionGetPoliciesResponse = ActionGetPolicies + "Response"
	ActionRST                 = "http://schemas.microsoft.com/windows/pki/2009/01/enrollment/RST/wstep"
	ActionRSTRC               = "http://schemas.microsoft.com/windows/pki/2009/01/enrollment/RSTRC/wstep"
)

// URIs of the messages that are neither namespaces nor actions.
const (
	anonymous        = "http://www.w3.org/2005/08/addressing/anonymous"
	tokenType        = "http://schemas.microsoft.com/5.0.0.0/ConfigurationManager/Enrollment/DeviceEnrollmentToken"
	typeProvisioning = "http://schemas.microsoft.com/5.0.0.0/ConfigurationManager/Enrollment/DeviceEnrollmentProvisionDoc"
	typeUserToken    = "http://schemas.microsoft.com/5.0.0.0/ConfigurationManager/Enrollment/DeviceEnrollmentUserToken"
	typeJWT          = "urn:ietf:params:oauth:token-type:jwt"
	typeX509v3       = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-x509-token-profile-1.0#X509v3"
	encodingBase64   = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd#base64binary"
	requestIssue     = "http://docs.oasis-open.org/ws-sx/ws-trust/200512/Issue"
	requestRenew     = "http://docs.oasis-open.org/ws-sx/ws-trust/200512/Renew"
	typePKCS10       = "http://schemas.microsoft.com/windows/pki/2009/01/enrollment#PKCS10"
	typePKCS7        = "http://schemas.microsoft.com/windows/pki/2009/01/enrollment#PKCS7"
	passwordText     = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-username-token-profile-1.0#PasswordText"
)
