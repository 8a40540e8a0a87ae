package host

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"

	"rollcall/agent"
	"rollcall/agent/dialect"
	"rollcall/agent/link"
	"rollcall/protocol"
	"rollcall/protocol/android"
	"rollcall/protocol/apple"
	"rollcall/protocol/wake"
)

// An androidDevice is the machine as an Android device. A service that simulates Google's wakes it, where its server has one.
type androidDevice struct{ *dialect.Android }

// androidLevel is the API level whose commands and settings are carried out, as far as a machine has them.
const androidLevel = 34

// bundleOf reads what the link brought.
func bundleOf(b []byte) (android.Bundle, error) {
	var p android.ProvisioningData
	if err := android.Decode(b, &p); err != nil {
		return android.Bundle{}, fmt.Errorf("%w: %w", errInvitation, err)
	}
	return p.Bundle, nil
}

func (d *androidDevice) enrol(ctx context.Context, h *Host) (link.Report, error) {
	b, err := bundleOf(h.rec.Pending.Profile)
	if err != nil {
		return link.Report{}, err
	}
	// A serial number may be of several machines, or missing; the id that is specific to device and enterprise is not.
	d.Android = dialect.NewAndroid(dialect.AndroidWho{Number: 1, Seed: rand.Uint64(), ESID: h.rec.UDID, UPN: b.User}, nil, nil)
	d.share(h)
	return h.link.EnrolAndroid(ctx, d.Android, dialect.AndroidStart{URL: b.ServerURL, Token: b.Token, Mode: b.Mode})
}

func (d *androidDevice) share(h *Host) {
	d.Share(h.facts.androidModel(h.rec.Registration), &dialect.Habits{Placer: placer{h}})
}

// androidModel is the machine in the words of an Android device, which has no name: one whose maker wrote no model into it, as most virtual
// machines, would be nothing but a number in a list.
func (f *Facts) androidModel(registration string) *dialect.AndroidModel {
	return &dialect.AndroidModel{
		Brand: f.Vendor, Name: cmp.Or(f.Model, f.product()), AndroidVersion: strings.TrimSpace(f.OS + " " + f.OSVersion), APILevel: androidLevel,
		Tell: f.androidStatus, FID: registration,
	}
}

// androidStatus fills in what the machine says of itself.
func (f *Facts) androidStatus(s *android.StatusReport) {
	if s.HardwareInfo.SerialNumber = f.Serial; f.Serial == "" {
		s.HardwareInfo.SerialNumber = s.HardwareInfo.EnterpriseSpecificID
	}
	if size, _ := f.capacity(); size > 0 || f.Memory > 0 {
		s.MemoryInfo = &android.MemoryInfo{TotalRAM: int64(f.Memory), TotalInternalStorage: int64(size)}
	}
	if mac := f.mac(true); mac != "" {
		s.NetworkInfo = &android.NetworkInfo{WiFiMACAddress: mac}
	}
}

// taken: an enrolment whose first round had no answer is begun again, with the same token and key.
func (d *androidDevice) taken() bool {
	return d.Phase() == agent.Enrolled || d.Phase() == agent.Enrolling && d.Owes()
}

// Begin begins a conversation. An enrolment that is not complete goes on, whoever asks, and at once.
func (d *androidDevice) Begin(now protocol.Time, why dialect.Why, out *dialect.Act) bool {
	if why == dialect.Synced && d.Phase() == agent.Enrolling {
		now, why = max(now, d.Due()), dialect.Scheduled
	}
	return d.Android.Begin(now, why, out)
}

func (d *androidDevice) settled(now protocol.Time) { d.PowerOn(now) }

func (d *androidDevice) listed() string {
	name, _ := d.Names()
	return name
}

// back puts off a contact that was missed (AND-082). What the server has still to hear waits for nothing.
func (d *androidDevice) back(now protocol.Time) (wait bool) {
	if due := d.Due(); due == 0 || due > now || d.Owes() || d.Phase() != agent.Enrolled {
		return false
	}
	d.Return(now, false)
	return d.Due() > now
}

func (d *androidDevice) organization() string { return "" }

func (d *androidDevice) push() address { return address{service: wake.FCM, where: d.Push()} }

func (d *androidDevice) woken(string) bool { return d.Woken(d.Push()) }

func (d *androidDevice) reached(h *Host, where string) bool {
	if where == d.Push() {
		return true
	}
	h.rec.Registration = where
	d.share(h)
	d.ChangeToken(protocol.At(h.now()))
	return false
}

func (d *androidDevice) profiles() []dialect.Profile { return d.Profiles() }

// document is what a profile put into the policy in force.
func (d *androidDevice) document(p *dialect.Profile) []byte {
	text, _ := d.Policy()
	var policy android.Policy
	var members map[string]json.RawMessage
	if android.Decode(text, &policy) != nil || json.Unmarshal(text, &members) != nil {
		return nil
	}
	out := apple.Profile{Identifier: p.Identifier, UUID: uuidOf(p.Identifier), DisplayName: p.Identifier}
	add := func(kind, identifier string, settings map[string]any, certificate []byte) {
		out.Payloads = append(out.Payloads, apple.Payload{Type: kind, Identifier: identifier, UUID: uuidOf(identifier), Settings: settings, Certificate: certificate})
	}
	if net := policy.OpenNetworkConfiguration; net != nil {
		for _, n := range net.NetworkConfigurations {
			if settings := wifiOf(n.WiFi); settings != nil && d.owns(p, n.GUID) {
				add("com.apple.wifi.managed", n.GUID, settings, nil)
			}
		}
		for _, c := range net.Certificates {
			if der, err := base64.StdEncoding.DecodeString(c.X509); err == nil && len(der) > 0 && c.Type == "Authority" && d.owns(p, c.GUID) {
				add(apple.RootPayload, c.GUID, nil, der)
			}
		}
	}
	if len(out.Payloads) == 0 { // the members of the policy that come from it
		settings := map[string]any{}
		for _, name := range d.Fields(p.Identifier) {
			settings[name] = string(members[name])
		}
		add("com.google.android.policy", p.Identifier, settings, nil)
	}
	return apple.EncodeProfile(&out)
}

// owns tells whether an item of a list that several profiles add to is this one's: those that the server makes begin with its name.
func (d *androidDevice) owns(p *dialect.Profile, guid string) bool {
	owner, _, named := strings.Cut(guid, "/")
	if owner == p.Identifier {
		return true
	}
	for _, other := range d.Profiles() {
		if named && other.Identifier == owner {
			return false
		}
	}
	return p.Family == protocol.WiFi || p.Family == protocol.Certificate
}

// wifiOf says a Wi-Fi network in the keys of a payload of Apple's; nil: it is not of a kind that has a shared secret or none.
func wifiOf(w *android.WiFi) map[string]any {
	if w == nil || w.SSID == "" {
		return nil
	}
	kind := map[string]string{"None": "None", "WPA-PSK": "WPA2"}[w.Security]
	if kind == "" {
		return nil
	}
	return map[string]any{"SSID_STR": w.SSID, "EncryptionType": kind, "Password": w.Passphrase, "HIDDEN_NETWORK": w.HiddenSSID, "AutoJoin": w.AutoConnect}
}
