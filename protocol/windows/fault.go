package windows

import (
	"fmt"
	"strings"
)

// FaultStatus is the HTTP status of an answer that is a [Fault] (WIN-021).
const FaultStatus = 500

// A Subcode is the reason of a [Fault] in the rough, without its prefix.
type Subcode string

// The subcodes (MS-MDE2, section 2.2.10).
const (
	SubcodeMessageFormat        Subcode = "MessageFormat"
	SubcodeAuthentication       Subcode = "Authentication"
	SubcodeAuthorization        Subcode = "Authorization"
	SubcodeCertificateRequest   Subcode = "CertificateRequest"
	SubcodeEnrollmentServer     Subcode = "EnrollmentServer"
	SubcodeInternalServiceFault Subcode = "InternalServiceFault"
	SubcodeInvalidSecurity      Subcode = "InvalidSecurity"
)

// An ErrorType is the finer reason of a [Fault].
type ErrorType string

// The error types.
const (
	ErrorDeviceCapReached      ErrorType = "DeviceCapReached"
	ErrorDeviceNotSupported    ErrorType = "DeviceNotSupported"
	ErrorNotSupported          ErrorType = "NotSupported"
	ErrorNotEligibleToRenew    ErrorType = "NotEligibleToRenew"
	ErrorInMaintenance         ErrorType = "InMaintenance"
	ErrorUserLicense           ErrorType = "UserLicense"
	ErrorInvalidEnrollmentData ErrorType = "InvalidEnrollmentData"
	ErrorCustomServerError     ErrorType = "CustomServerError"
)

// A Fault says no in the enrolment phase. Its code is always Receiver.
type Fault struct {
	Subcode   Subcode   // one of the constants, however the sender wrote its case; another: what was sent
	Reason    string    // for people
	ErrorType ErrorType // empty: there is no Detail
	Message   string    // of the Detail
	TraceID   string    // of the Detail; for support
}

func (*Fault) element() (namespace, string, string) { return nsSOAP12, "Fault", "" }

func (f *Fault) Error() string {
	why := string(f.Subcode)
	if f.ErrorType != "" {
		why = string(f.ErrorType)
	}
	return fmt.Sprintf("%s (%s): %s", why, f.HRESULT(), f.Reason)
}

// HRESULT returns what a device makes of the fault: the ErrorType's code, or else the Subcode's (WIN-026).
func (f *Fault) HRESULT() HRESULT {
	for _, row := range errorTypes {
		if row.name == f.ErrorType {
			return row.code
		}
	}
	for _, row := range subcodes {
		if row.name == f.Subcode {
			return row.code
		}
	}
	return EUnknownFault
}

var subcodes = [...]struct {
	name   Subcode
	prefix string
	code   HRESULT
}{
	{SubcodeMessageFormat, "s", EMessageFormat},
	{SubcodeAuthentication, "s", EAuthentication},
	{SubcodeAuthorization, "s", EAuthorization},
	{SubcodeCertificateRequest, "s", ECertificateRequest},
	{SubcodeEnrollmentServer, "s", EEnrollmentServer},
	{SubcodeInternalServiceFault, "a", EInternalService},
	{SubcodeInvalidSecurity, "a", EInvalidSecurity},
}

var errorTypes = [...]struct {
	name ErrorType
	code HRESULT
}{
	{ErrorDeviceCapReached, EDeviceCapReached},
	{ErrorDeviceNotSupported, EDeviceNotSupported},
	{ErrorNotSupported, ENotSupported},
	{ErrorNotEligibleToRenew, ENotEligibleToRenew},
	{ErrorInMaintenance, EInMaintenance},
	{ErrorUserLicense, EUserLicense},
	{ErrorInvalidEnrollmentData, EInvalidEnrollmentData},
	{ErrorCustomServerError, ECustomServerError},
}

// subcodeOf reads a subcode without regard to prefix and case: published samples are all lower-case.
func subcodeOf(qname string) Subcode {
	if _, local, prefixed := strings.Cut(qname, ":"); prefixed {
		qname = local
	}
	for _, row := range subcodes {
		if strings.EqualFold(string(row.name), qname) {
			return row.name
		}
	}
	return Subcode(qname)
}

// An HRESULT is how Windows numbers what went wrong. It is an error.
type HRESULT uint32

// The codes of an enrolment (windows.md section 4.2).
const (
	EMessageFormat          HRESULT = 0x80180001
	EAuthentication         HRESULT = 0x80180002
	EAuthorization          HRESULT = 0x80180003
	ECertificateRequest     HRESULT = 0x80180004
	EEnrollmentServer       HRESULT = 0x80180005
	EInternalService        HRESULT = 0x80180006
	EInvalidSecurity        HRESULT = 0x80180007
	EUnknownFault           HRESULT = 0x80180008
	EEnrollmentInProgress   HRESULT = 0x80180009
	EAlreadyEnrolled        HRESULT = 0x8018000A
	EDiscoveryCertDate      HRESULT = 0x8018000D
	EPasswordNeeded         HRESULT = 0x8018000E
	EWebSignIn              HRESULT = 0x8018000F
	EConnectivity           HRESULT = 0x80180010
	EInvalidTLSCertificate  HRESULT = 0x80180012
	EDeviceCapReached       HRESULT = 0x80180013
	EDeviceNotSupported     HRESULT = 0x80180014
	ENotSupported           HRESULT = 0x80180015
	ENotEligibleToRenew     HRESULT = 0x80180016
	EInMaintenance          HRESULT = 0x80180017
	EUserLicense            HRESULT = 0x80180018
	EInvalidEnrollmentData  HRESULT = 0x80180019
	EInsecureRedirect       HRESULT = 0x8018001A
	ECertificateStore       HRESULT = 0x8018001E // provisioning failed there
	EApplication            HRESULT = 0x8018001F // in APPLICATION w7
	EDMClient               HRESULT = 0x80180020
	EOtherProvisioning      HRESULT = 0x80180022
	EProvisioning           HRESULT = 0x80180023 // unspecified
	EClientCertificate      HRESULT = 0x80180024 // not found for TLS
	EManagementBlocked      HRESULT = 0x80180026
	EEmptyAnswer            HRESULT = 0x80180029
	ECancelled              HRESULT = 0x80180030
	EManagementUnconfigured HRESULT = 0x80180031
	ECustomServerError      HRESULT = 0x80180032
	ETooManyRequests        HRESULT = 0x80180033
)

// HTTPError is the code of an HTTP status that came without a usable fault; 429 has one of its own.
func HTTPError(status int) HRESULT {
	if status == 429 {
		return ETooManyRequests
	}
	return 0x80190000 | HRESULT(status&0xffff)
}

func (h HRESULT) String() string { return fmt.Sprintf("0x%08X", uint32(h)) }
func (h HRESULT) Error() string  { return h.String() }
