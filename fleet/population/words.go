package population

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"rollcall/protocol"
)

// Graph's enumerations by number (graph.md): reports and PowerShell's objects show the number, Graph the member.
// Members are compared in lower case.
var (
	ownerNumbers = map[string]string{"0": "unknown", "1": "company", "2": "personal"}
	agentNumbers = map[string]string{
		"1": "eas", "2": "mdm", "3": "easmdm", "4": "intuneclient", "5": "easintuneclient", "8": "configurationmanagerclient",
		"10": "configurationmanagerclientmdm", "11": "configurationmanagerclientmdmeas", "16": "unknown", "32": "jamf",
		"64": "googleclouddevicepolicycontroller", "258": "microsoft365managedmdm", "512": "windowsmanagementcloudapi",
		"1024": "mssense", "2048": "intuneaosp",
	}
	typeNumbers = map[string]string{
		"0": "desktop", "8": "iphone", "9": "ipad", "11": "android", "14": "macmdm", "17": "androidforwork", "18": "androidenterprise",
		"22": "linux", "255": "unknown", "257": "cloudpc",
	}
	enrolmentNumbers = map[string]string{
		"0": "unknown", "1": "userenrollment", "2": "deviceenrollmentmanager", "3": "applebulkwithuser", "4": "applebulkwithoutuser",
		"5": "windowsazureadjoin", "6": "windowsbulkuserless", "7": "windowsautoenrollment", "8": "windowsbulkazuredomainjoin",
		"9": "windowscomanagement", "10": "windowsazureadjoinusingdeviceauth", "11": "appleuserenrollment",
		"12": "appleuserenrollmentwithserviceaccount", "14": "azureadjoinusingazurevmextension",
		"15": "androidenterprisededicateddevice", "16": "androidenterprisefullymanaged", "17": "androidenterprisecorporateworkprofile",
		"18": "androidaospuserowneddeviceenrollment", "19": "androidaospuserlessdeviceenrollment",
		"20": "appleacmebasicbyod", "21": "appleacmedepuserless", "22": "appleacmedepudacompanyportal",
		"23": "appleacmedepudasetupasstlegacy", "24": "appleacmedepudamodernauth", "25": "appleaccountdrivenuserenrollment",
	}
	stateNumbers = map[string]string{
		"0": "managed", "1": "retirepending", "2": "retirefailed", "3": "wipepending", "4": "wipefailed", "5": "unhealthy",
		"6": "deletepending", "7": "retireissued", "8": "wipeissued", "9": "wipecanceled", "10": "retirecanceled", "11": "discovered",
	}
	registrationNumbers = map[string]string{
		"0": "notregistered", "2": "registered", "3": "revoked", "4": "keyconflict", "5": "approvalpending", "6": "certificatereset",
		"7": "notregisteredpendingenrollment", "8": "unknown",
	}
	complianceNumbers = map[string]string{
		"0": "unknown", "1": "compliant", "2": "noncompliant", "3": "conflict", "4": "error", "254": "ingraceperiod", "255": "configmanager",
	}
	actionNumbers    = map[string]string{"0": "none", "1": "pending", "2": "canceled", "3": "active", "4": "done", "5": "failed", "6": "notsupported"}
	authorityNumbers = map[string]string{"0": "unknown", "1": "intune", "2": "sccm", "3": "office365"}
)

// member returns s, a member or its number, as a member in lower case.
func member(numbers map[string]string, s string) string {
	s = strings.ToLower(strings.TrimSpace(s))
	if m, ok := numbers[s]; ok {
		return m
	}
	return s
}

// enrolmentOf maps deviceEnrollmentType. userless tells whether devices of this type have no user.
func enrolmentOf(member string) (e Enrolment, userless bool) {
	switch member {
	case "deviceenrollmentmanager":
		return ByManager, false
	case "applebulkwithuser", "appleacmedepudacompanyportal", "appleacmedepudasetupasstlegacy", "appleacmedepudamodernauth":
		return Automated, false
	case "applebulkwithoutuser", "appleacmedepuserless":
		return Automated, true
	case "windowsbulkuserless", "windowsbulkazuredomainjoin":
		return Bulk, true
	case "windowsazureadjoinusingdeviceauth":
		return SelfDeployed, true
	case "windowsazureadjoin", "windowsautoenrollment", "azuredomainjoined":
		return Joined, false
	case "windowscomanagement":
		return CoManagement, false
	case "appleuserenrollment", "appleuserenrollmentwithserviceaccount", "appleaccountdrivenuserenrollment":
		return AppleUser, false
	case "azureadjoinusingazurevmextension":
		return CloudPC, false
	case "androidenterprisededicateddevice":
		return Dedicated, true
	case "androidenterprisefullymanaged":
		return FullyManaged, false
	case "androidaospuserowneddeviceenrollment":
		return AOSP, false
	case "androidaospuserlessdeviceenrollment":
		return AOSP, true
	case "androidenterprisecorporateworkprofile":
		return WorkProfile, false
	}
	return ByUser, false
}

// platformOf maps the free text of operatingSystem, with deviceType and model as further signs.
func platformOf(system, deviceType, model string) protocol.Platform {
	system = strings.ToLower(strings.TrimSpace(system))
	pad := deviceType == "ipad" || hasPrefixFold(model, "iPad")
	switch {
	case system == "ipados", system == "ipad", (system == "ios" || system == "ios/ipados") && pad:
		return protocol.IPadOS
	case system == "ios", system == "ios/ipados", system == "iphone", system == "ipod":
		return protocol.IOS
	case system == "macos", system == "mac os x", system == "macmdm":
		return protocol.MacOS
	case strings.HasPrefix(system, "android"):
		return protocol.Android
	case strings.HasPrefix(system, "windows"):
		return protocol.Windows
	case system != "":
		return protocol.NoPlatform
	}
	switch deviceType {
	case "desktop", "cloudpc":
		return protocol.Windows
	case "macmdm":
		return protocol.MacOS
	case "iphone":
		return protocol.IOS
	case "ipad":
		return protocol.IPadOS
	case "android", "androidforwork", "androidenterprise":
		return protocol.Android
	}
	return protocol.NoPlatform
}

func ownershipOf(member string) Ownership {
	switch member {
	case "company", "corporate":
		return Company
	case "personal":
		return Personal
	}
	return UnknownOwner
}

var errTime = errors.New("want a time such as 2026-11-01T08:00:00Z; in PowerShell write it by .ToString('o')")

// parseTime reads a time as Graph (RFC 3339), PowerShell (/Date(ms)/) and the console (2026-10-31 22:14:05.0000000,
// in UTC) write it. Empty and the year 1 are never: 0. A number of digits after the seconds is cut to microseconds.
func parseTime(s string) (protocol.Time, error) {
	if s = strings.TrimSpace(s); s == "" {
		return 0, nil
	}
	if ms, ok := strings.CutPrefix(s, "/Date("); ok {
		ms = strings.TrimSuffix(ms, ")/")
		if i := strings.LastIndexAny(ms, "+-"); i > 0 {
			ms = ms[:i] // the zone is for show: the number counts in UTC
		}
		n, err := strconv.ParseInt(ms, 10, 64)
		if err != nil {
			return 0, errTime
		}
		return timeOf(time.UnixMilli(n))
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02 15:04:05"} {
		if t, err := time.Parse(layout, s); err == nil {
			return timeOf(t)
		}
	}
	return 0, errTime
}

// lastYear is where times are cut off: "no end" is the year 9999, and lengths of time reach 292 years.
const lastYear = 2260

func timeOf(t time.Time) (protocol.Time, error) {
	switch y := t.UTC().Year(); {
	case y <= 1 || y == 1601: // never, the second as Windows counts
		return 0, nil
	case y < 1970 || y > 9999:
		return 0, errTime
	case y > lastYear:
		t = time.Date(lastYear, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	return protocol.At(t), nil
}

func parseBool(s string) (bool, error) {
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "true", "yes", "1":
		return true, nil
	case "false", "no", "0", "", "null", "unknown":
		return false, nil
	}
	return false, errors.New("want true or false")
}

// known returns s without what means nothing: white space and the GUID of zeros.
func known(s string) string {
	s = strings.TrimSpace(s)
	if s == "00000000-0000-0000-0000-000000000000" {
		return ""
	}
	return s
}

// plainCell takes off the apostrophe with which a spreadsheet's formulae were made harmless (HST-067).
func plainCell(s string) string {
	if len(s) > 1 && s[0] == '\'' && strings.IndexByte("=+-@", s[1]) >= 0 {
		return s[1:]
	}
	return s
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}
