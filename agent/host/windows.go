package host

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"rollcall/agent"
	"rollcall/agent/dialect"
	"rollcall/agent/link"
	"rollcall/certs"
	"rollcall/protocol"
	"rollcall/protocol/apple"
	"rollcall/protocol/wake"
	"rollcall/protocol/windows"
)

// A windowsDevice is the machine as a Windows device. Where its server names an app for it, a service that simulates Microsoft's wakes it.
type windowsDevice struct{ *dialect.Windows }

var (
	errInvitation = errors.New("the enrolment link brought no invitation: the server is an older one, or something else stands before it")
	errNoSeal     = errors.New("the server has no key to sign the end of a management with, and a machine leaves by no other order (HST-027)")
)

// invitationOf reads what the link brought.
func invitationOf(b []byte) (i windows.Invitation, err error) {
	if json.Unmarshal(b, &i) != nil || i.Server == "" || i.Token == "" {
		return i, errInvitation
	}
	if len(i.Seal) == 0 {
		return i, errNoSeal
	}
	_, err = certs.SealKeyOfSPKI(i.Seal)
	return i, err
}

func (d *windowsDevice) enrol(ctx context.Context, h *Host) (link.Report, error) {
	i, err := invitationOf(h.rec.Pending.Profile)
	if err != nil {
		return link.Report{}, err
	}
	hardware := sha256.Sum256([]byte("hardware " + h.rec.UDID))
	d.Windows = dialect.NewWindows(dialect.WindowsWho{
		Number: 1, Seed: rand.Uint64(), DeviceID: strings.ReplaceAll(h.rec.UDID, "-", ""), HWDevID: hex.EncodeToString(hardware[:]),
		Serial: h.facts.Serial, Name: h.facts.Name, MAC: strings.ToUpper(strings.ReplaceAll(h.facts.mac(false), ":", "-")),
	}, nil, nil)
	d.share(h)
	s := dialect.WindowsStart{
		Email: i.User, Discovery: i.Server, Device: i.User == "",
		Credential: windows.Credential{Kind: windows.Password, Username: i.User, Password: i.Token},
	}
	if i.User != "" { // whoever enrols it sits before it
		d.SignIn(protocol.At(h.now()), dialect.LoginUser)
	}
	return h.link.EnrolWindows(ctx, d.Windows, s)
}

// share: it leaves by its server's signed order alone (HST-027).
func (d *windowsDevice) share(h *Host) {
	f := h.facts
	seal, _ := certs.SealKeyOfSPKI(h.rec.Seal) // was read before it was kept
	d.Share(&dialect.WindowsModel{
		Manufacturer: f.Vendor, Name: f.Model, OSVersion: f.OSVersion, ARM: f.Arch == "arm64", Tell: f.windowsNode,
	}, &dialect.WindowsHabits{Seal: seal, Ahead: h.rec.Clock.Offset, Placer: placer{h}})
	if now, where := protocol.At(h.now()), d.push().where; h.listener != nil && where != "" && now >= d.ChannelDue() {
		d.SetChannel(now, where, dialect.PushReady) // a stream keeps it good
	}
}

// windowsNode is what the machine says of itself at a node; false: nothing.
func (f *Facts) windowsNode(path string) (string, bool) {
	const mega = 1e6
	size, free := f.capacity()
	number := func(n uint64) (string, bool) { return strconv.FormatUint(n, 10), n > 0 }
	text := func(s string) (string, bool) { return s, s != "" }
	switch path {
	case "DevDetail/OEM":
		return text(f.Vendor)
	case "DevDetail/Ext/Microsoft/OSPlatform":
		return text(f.OS)
	case "DevDetail/Ext/Microsoft/DNSComputerName":
		return text(f.Name)
	case "DevDetail/Ext/Microsoft/ProcessorArchitecture":
		return number(map[string]uint64{"amd64": 9, "arm64": 12}[f.Arch])
	case "DevDetail/Ext/Microsoft/TotalStorage":
		return number(size / mega)
	case "DevDetail/Ext/Microsoft/FreeStorage":
		return number(free / mega)
	case "DevDetail/Ext/Microsoft/TotalRAM":
		return number(f.Memory / mega)
	case "DevDetail/Ext/Microsoft/SMBIOSSerialNumber":
		return text(f.Serial)
	case "DevDetail/Ext/WLANMACAddress":
		return text(strings.ReplaceAll(f.mac(true), ":", ""))
	}
	return "", false
}

// Renewing: a renewed identity is in use at once.
func (d *windowsDevice) Renewing() bool { return false }

func (d *windowsDevice) taken() bool { return d.Phase() == agent.Enrolled }

// Begin begins a conversation. What is due comes first, whoever asks: nobody asks for a renewal.
func (d *windowsDevice) Begin(now protocol.Time, why dialect.Why, out *dialect.Act) bool {
	if due := d.Due(); why == dialect.Synced && due != 0 && due <= now && d.Windows.Begin(now, dialect.Scheduled, out) {
		return true
	}
	return d.Windows.Begin(now, why, out)
}

func (*windowsDevice) back(protocol.Time) (wait bool) { return false }

func (d *windowsDevice) settled(protocol.Time) {}

func (d *windowsDevice) listed() string { return d.DeviceID() }

func (d *windowsDevice) organization() string {
	_, provider := d.Manager()
	return provider
}

func (d *windowsDevice) push() address {
	pfn, channel := d.Push()
	if pfn == "" {
		return address{}
	}
	return address{service: wake.WNS, topic: pfn, where: channel}
}

func (d *windowsDevice) woken(string) bool { return d.taken() }

func (d *windowsDevice) reached(h *Host, where string) bool {
	if where == d.push().where {
		return true
	}
	d.SetChannel(protocol.At(h.now()), where, dialect.PushReady)
	return false
}

func (d *windowsDevice) profiles() (list []dialect.Profile) {
	for _, p := range d.Profiles() {
		if p.Content == 0 { // not installed yet
			continue
		}
		list = append(list, dialect.Profile{Identifier: p.Node, Family: p.Family, Content: p.Content})
	}
	return list
}

// windowsPayloads are the types of payloads by the family of their node, where they have a type of their own.
var windowsPayloads = map[protocol.Family]string{protocol.VPN: "com.apple.vpn.managed", protocol.Email: "com.apple.eas.account", protocol.WiFi: "com.apple.wifi.managed"}

func (d *windowsDevice) document(p *dialect.Profile) []byte {
	settings := d.Settings(&dialect.WindowsProfile{Node: p.Identifier})
	family := p.Family
	for _, x := range d.Profiles() {
		if x.Node == p.Identifier { // one that is not installed yet has none
			family = x.Family
		}
	}
	payload := apple.Payload{Type: "com.microsoft.csp", Identifier: p.Identifier, UUID: uuidOf(p.Identifier), Settings: map[string]any{}}
	if t := windowsPayloads[family]; t != "" {
		payload.Type = t
	}
	network, isNetwork := networkOf(settings["WlanXml"])
	der, err := base64.StdEncoding.DecodeString(settings["EncodedCertificate"])
	switch {
	case family == protocol.Certificate && err == nil && len(der) > 0:
		payload.Type, payload.Settings, payload.Certificate = apple.RootPayload, nil, der
	case family == protocol.WiFi && isNetwork:
		payload.Settings = network
	default:
		for _, path := range slices.Sorted(maps.Keys(settings)) {
			payload.Settings[path] = settings[path]
		}
	}
	return apple.EncodeProfile(&apple.Profile{Identifier: p.Identifier, UUID: payload.UUID, DisplayName: p.Identifier, Payloads: []apple.Payload{payload}})
}

// A wlanProfile is a Wi-Fi network as Windows writes it (windows.md section 11).
type wlanProfile struct {
	SSID   string `xml:"SSIDConfig>SSID>name"`
	Hidden bool   `xml:"SSIDConfig>nonBroadcast"`
	Mode   string `xml:"connectionMode"`
	Auth   string `xml:"MSM>security>authEncryption>authentication"`
	Cipher string `xml:"MSM>security>authEncryption>encryption"`
	OneX   bool   `xml:"MSM>security>authEncryption>useOneX"`
	Key    string `xml:"MSM>security>sharedKey>keyMaterial"`
	Sealed bool   `xml:"MSM>security>sharedKey>protected"`
}

// networkOf says a Wi-Fi network in the keys of a payload of Apple's; false: it is not of a kind that has a shared secret or none.
func networkOf(text string) (map[string]any, bool) {
	var w wlanProfile
	if xml.Unmarshal([]byte(text), &w) != nil || w.SSID == "" || w.OneX || w.Sealed {
		return nil, false
	}
	kind := map[string]string{"open": "None", "WPAPSK": "WPA", "WPA2PSK": "WPA2", "WPA3SAE": "WPA3"}[w.Auth]
	if kind == "" || w.Auth == "open" && w.Cipher != "none" {
		return nil, false
	}
	return map[string]any{"SSID_STR": w.SSID, "EncryptionType": kind, "Password": w.Key, "HIDDEN_NETWORK": w.Hidden, "AutoJoin": w.Mode != "manual"}, true
}
