package dialect

import (
	"encoding/base64"
	"strconv"
	"strings"
	"time"

	"rollcall/agent"
	"rollcall/protocol"
	"rollcall/protocol/windows"
)

// Paths of nodes that the device itself looks at.
const (
	pathProvider = "Device/DMClient/Provider/"
	pathRenew    = "Device/CertificateStore/My/WSTEP/Renew/"
	pathMine     = "Device/CertificateStore/My/"
	pathRoot     = "Device/CertificateStore/Root/System/"
	pathCache    = "Device/NodeCache/"
	pathConfig   = "Device/DeviceManageability/Provider/"
	pathBridge   = pathConfig + "WMI_Bridge_Server/ConfigInfo"
)

// node is the path of a setting of the management account.
func (d *Windows) node(name string) string {
	return pathProvider + windows.EscapeNode(d.provider()) + "/" + name
}

// chr is the node at path whose value is a text.
func chr(path, value string) (leaf, bool) { return leaf{path, windows.FormatChr, value}, true }

// integer is the node at path whose value is a number.
func integer(path string, n int64) (leaf, bool) {
	return leaf{path, windows.FormatInt, strconv.FormatInt(n, 10)}, true
}

// moment is the node at path that says when something was; one that never was is not there.
func moment(path string, at protocol.Time) (leaf, bool) {
	if at == 0 {
		return leaf{}, false
	}
	return chr(path, at.Time().Format(time.RFC3339))
}

// computed is what a node is that no server writes. False: there is nothing of the kind.
func (d *Windows) computed(path string) (leaf, bool) {
	if rest, ok := strings.CutPrefix(path, pathProvider); ok {
		_, name, _ := strings.Cut(rest, "/")
		return d.ofAccount(path, name)
	}
	if name, ok := strings.CutPrefix(path, pathRenew); ok {
		return d.ofRenewal(path, name)
	}
	if rest, ok := strings.CutPrefix(path, pathMine); ok {
		store, rest, _ := strings.Cut(rest, "/")
		cert := d.self.identity().cert
		if len(cert) > 0 && store == string(d.account.Value().store) && rest == windows.Thumbprint(cert)+"/EncodedCertificate" {
			return leaf{path, windows.FormatB64, base64.StdEncoding.EncodeToString(cert)}, true
		}
		return leaf{}, false
	}
	if scope, rest, ok := strings.Cut(path, "/Policy/Result/"); ok {
		l, set := d.tree.get(scope + "/Policy/Config/" + rest)
		l.path = path
		return l, set && l.format != windows.FormatNode
	}
	if id, name, ok := cutLast(path); ok && strings.Contains(path, "/ClientCertificateInstall/SCEP/") {
		switch name {
		case "Status", "ErrorCode", "CertThumbprint":
			if !d.tree.has(id) {
				return leaf{}, false
			}
			return d.scep(path, id, name)
		}
	}
	if id, name, ok := cutLast(path); ok && name == "Status" && strings.Contains(path, "/ClientCertificateInstall/PFXCertInstall/") {
		_, installed := d.tree.get(id + "/PFXCertBlob")
		return leaf{path, windows.FormatInt, "0"}, installed // of Win32: no error
	}
	if cache, ok := strings.CutSuffix(path, "/ChangedNodes"); ok && strings.HasPrefix(path, pathCache) && strings.Count(path, "/") == 3 {
		return leaf{path, windows.FormatChr, d.changed(cache)}, d.tree.has(cache)
	}
	if path == pathBridge && d.comanaged != 0 { // WIN-069
		return chr(path, strconv.FormatUint(uint64(d.comanaged), 10))
	}
	return d.fact(path)
}

// ofAccount is a setting of the management account that the device writes itself.
func (d *Windows) ofAccount(path, name string) (leaf, bool) {
	switch name {
	case "EnrollmentType":
		return chr(path, map[windows.Store]string{windows.StoreUser: windows.EnrollmentFull, windows.StoreSystem: windows.EnrollmentDevice}[d.account.Value().store])
	case "AADDeviceID":
		if id := d.own()[ownDirectory]; id != "" {
			return chr(path, id)
		}
	case "CertRenewTimeStamp":
		return moment(path, d.renewed)
	case "Push/ChannelURI":
		if d.channel == "" {
			return leaf{path, windows.FormatNull, ""}, true
		}
		return chr(path, d.channel)
	case "Push/Status":
		return integer(path, int64(d.pushStatus()))
	}
	return leaf{}, false
}

// ofRenewal is what became of the latest renewal of the identity.
func (d *Windows) ofRenewal(path, name string) (leaf, bool) {
	switch name {
	case "Status":
		return integer(path, int64(d.renewal.status))
	case "ErrorCode":
		return integer(path, int64(d.renewal.code))
	case "LastRenewalAttemptTime":
		return moment(path, d.renewal.tried)
	}
	return leaf{}, false
}

// fact is what a machine is: a real one says it where a simulated one makes it up.
func (d *Windows) fact(path string) (leaf, bool) {
	m, w := d.model, d.Who()
	if m.Tell != nil && madeUp[path] {
		value, ok := m.Tell(path)
		format := windows.FormatChr
		if p, code := d.locate(locURI(path)); code == windows.OK {
			format = p.csp.format
		}
		return leaf{path, format, value}, ok
	}
	switch path {
	case "DevInfo/DevId":
		return chr(path, w.DeviceID)
	case "DevInfo/Man", "DevDetail/OEM":
		return chr(path, m.Manufacturer)
	case "DevInfo/Mod":
		return chr(path, m.Name)
	case "DevInfo/DmV":
		return chr(path, "1.3")
	case "DevInfo/Lang":
		return chr(path, m.language())
	case "DevDetail/DevTyp":
		return chr(path, "Desktop")
	case "DevDetail/FwV", "DevDetail/HwV":
		return chr(path, m.Firmware)
	case "DevDetail/SwV":
		return chr(path, m.OSVersion)
	case "DevDetail/LrgObj":
		return leaf{path, windows.FormatBool, "true"}, true
	case "DevDetail/Ext/Microsoft/DeviceName", "DevDetail/Ext/Microsoft/DNSComputerName":
		return chr(path, w.Name)
	case "DevDetail/Ext/Microsoft/OSPlatform":
		return chr(path, "Windows 10")
	case "DevDetail/Ext/Microsoft/ProcessorArchitecture":
		if m.ARM {
			return integer(path, 12)
		}
		return integer(path, 9)
	case "DevDetail/Ext/Microsoft/LocalTime":
		return chr(path, d.now.Time().Format(time.RFC3339))
	case "DevDetail/Ext/Microsoft/TotalStorage":
		return integer(path, m.Storage)
	case "DevDetail/Ext/Microsoft/FreeStorage":
		return integer(path, m.Storage/2)
	case "DevDetail/Ext/Microsoft/TotalRAM":
		return integer(path, m.Memory)
	case "DevDetail/Ext/Microsoft/SMBIOSSerialNumber":
		return chr(path, w.Serial)
	case "DevDetail/Ext/WLANMACAddress":
		return chr(path, strings.ReplaceAll(w.MAC, "-", ""))
	case "DevDetail/Ext/DeviceHardwareData", "Device/DMClient/HWDevID":
		return chr(path, w.HWDevID)
	case "Device/DeviceStatus/SecureBootState", "Device/DeviceStatus/Compliance/EncryptionCompliance":
		return integer(path, 1)
	case "Device/DeviceStatus/Antivirus/Status", "Device/DeviceStatus/Firewall/Status":
		return integer(path, 0)
	case "Device/DeviceStatus/OS/Edition":
		return chr(path, strconv.FormatUint(uint64(m.Edition), 10))
	case "Device/DeviceStatus/TPM/SpecificationVersion":
		return chr(path, "2.0")
	case "Device/DeviceStatus/DomainName":
		return chr(path, "")
	case "Device/DeviceManageability/Capabilities/CSPVersions":
		return chr(path, cspVersions)
	}
	return leaf{}, false
}

// madeUp are the facts that a simulated device has to make up.
var madeUp = map[string]bool{
	"DevDetail/FwV": true, "DevDetail/HwV": true, "DevDetail/OEM": true, "DevDetail/Ext/Microsoft/OSPlatform": true,
	"DevDetail/Ext/Microsoft/DNSComputerName": true, "DevDetail/Ext/Microsoft/ProcessorArchitecture": true,
	"DevDetail/Ext/Microsoft/TotalStorage": true, "DevDetail/Ext/Microsoft/FreeStorage": true, "DevDetail/Ext/Microsoft/TotalRAM": true,
	"DevDetail/Ext/Microsoft/SMBIOSSerialNumber": true, "DevDetail/Ext/WLANMACAddress": true,
	"Device/DeviceStatus/SecureBootState": true, "Device/DeviceStatus/Compliance/EncryptionCompliance": true,
	"Device/DeviceStatus/Antivirus/Status": true, "Device/DeviceStatus/Firewall/Status": true, "Device/DeviceStatus/OS/Edition": true,
	"Device/DeviceStatus/TPM/SpecificationVersion": true, "Device/DeviceStatus/DomainName": true,
}

// cutLast cuts a path before its last name.
func cutLast(path string) (before, name string, ok bool) {
	i := strings.LastIndexByte(path, '/')
	if i < 0 {
		return path, "", false
	}
	return path[:i], path[i+1:], true
}

// concealed is what a Get shows of a value: no secret comes out again (windows.md section 11).
func concealed(l leaf) leaf {
	const key = "keyMaterial"
	_, name, _ := cutLast(l.path)
	switch strings.ToLower(name) {
	case "password", "authsecret", "pfxcertpassword", "challenge":
		l.value = strings.Repeat("*", 8)
	case "wlanxml":
		first, last := strings.Index(l.value, key), strings.LastIndex(l.value, key)
		if first == last {
			break
		}
		begin, end := first+strings.IndexByte(l.value[first:], '>')+1, strings.LastIndex(l.value[:last], "</")
		if begin > first && begin < end {
			l.value = l.value[:begin] + l.value[end:]
		}
	}
	return l
}

// What Status of a SCEP profile says.
const (
	scepDone    = 1
	scepPending = 2
	scepFailed  = 16
	scepUnknown = 32
)

// scep is what became of a SCEP profile: no authority is asked, the certificate is as good as there once the authority has taken its time.
func (d *Windows) scep(path, profile, name string) (leaf, bool) {
	status := d.scepStatus(profile + "/Install/")
	switch name {
	case "ErrorCode":
		status = map[int]int{scepFailed: int(windows.ECertificateRequest)}[status]
	case "CertThumbprint":
		return leaf{path, windows.FormatChr, windows.Thumbprint([]byte(d.DeviceID() + profile))}, status == scepDone
	}
	return leaf{path, windows.FormatInt, strconv.Itoa(status)}, true
}

// scepStatus is Status of a SCEP profile whose settings are at install. The device asks again by itself, RetryCount times every RetryDelay
// minutes, and no alert says how it ended (windows.md section 11).
func (d *Windows) scepStatus(install string) int {
	at, err := strconv.ParseInt(d.tree.value(install+"Enroll"), 10, 64)
	if err != nil {
		return scepUnknown
	}
	number := func(name string, otherwise uint64) time.Duration {
		if n, err := strconv.ParseUint(d.tree.value(install+name), 10, 16); err == nil {
			otherwise = n
		}
		return time.Duration(otherwise)
	}
	count, delay := number("RetryCount", 3), max(number("RetryDelay", 5), 1)*time.Minute
	tries := (d.habits.IssuesAfter + delay - 1) / delay
	switch {
	case d.now < protocol.Time(at).Add(min(tries, count)*delay):
		return scepPending
	case tries > count:
		return scepFailed
	}
	return scepDone
}

// givenNames are the names of children that the device makes by itself.
func (d *Windows) givenNames(p *place) []string {
	cert := d.self.identity().cert
	switch {
	case len(cert) > 0 && p.path == pathMine+string(d.account.Value().store):
		return []string{windows.Thumbprint(cert)}
	case p.path == strings.TrimSuffix(pathConfig, "/") && d.comanaged != 0:
		return []string{"WMI_Bridge_Server"}
	}
	return nil
}

// What Push/Status says (windows.md section 8).
const (
	PushReady       = 0
	PushBadPFN      = 1
	PushNoChannel   = 4
	PushExpired     = 5
	PushNotPossible = 7 // a push came, and no session could be
	PushUnknown     = 8
	channelLife     = 30 * 24 * time.Hour
	channelHalf     = channelLife / 2
)

func (d *Windows) pushStatus() uint8 {
	switch {
	case d.channel == "" && d.pushCode == PushReady:
		return PushNoChannel
	case d.channel != "" && d.now >= d.channelAt.Add(channelLife):
		return PushExpired
	}
	return d.pushCode
}

// Push returns where the device is reached: the package family name that its server gave, and the channel that it has. A caller who runs
// a push service gives it a channel by [Windows.SetChannel]. Empty: it wants none, or has none.
func (d *Windows) Push() (pfn, channel string) {
	if d.Phase() != agent.Enrolled {
		return "", ""
	}
	return d.tree.value(d.node("Push/PFN")), d.channel
}

// ChannelDue returns when the device wants a channel, or another one: at 15 of its 30 days; 0: it wants none.
func (d *Windows) ChannelDue() protocol.Time {
	switch pfn, channel := d.Push(); {
	case pfn == "":
		return 0
	case channel == "":
		return 1
	}
	return d.channelAt.Add(channelHalf)
}

// SetChannel gives the device its channel, or by a code of Push/Status the reason why there is none. A session tells the server.
func (d *Windows) SetChannel(now protocol.Time, uri string, code uint8) {
	d.channel, d.pushCode, d.channelAt = plain(uri), code, now
	if d.Phase() == agent.Enrolled && d.winTask == nil {
		d.soon(now)
	}
}
