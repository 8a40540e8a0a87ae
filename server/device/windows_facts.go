package device

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/sirupsen/logrus"
	"golang.org/x/text/unicode/norm"

	"rollcall/protocol"
	"rollcall/protocol/windows"
	"rollcall/server"
	"rollcall/server/authority"
	"rollcall/server/csp"
	"rollcall/server/delivery"
)

// factsOf is what a device says of itself (WIN-015).
func factsOf(rst *windows.RequestSecurityToken) delivery.Facts {
	f := delivery.Facts{
		Name: rst.Item(windows.ItemDeviceName), Model: rst.Item(windows.ItemDeviceModel), Product: rst.Item(windows.ItemManufacturer),
		Serial: rst.Item(windows.ItemSerialNumber), OSVersion: rst.Item(windows.ItemOSVersion), Build: rst.Item(windows.ItemApplicationVersion),
		IMEI: rst.Item(windows.ItemIMEI), Hardware: rst.Item(windows.ItemHWDevID),
	}
	if f.OSVersion == "" {
		f.OSVersion = f.Build
	}
	said := map[string][]string{windows.ItemEnrollmentType: rst.Items(windows.ItemEnrollmentType)}
	room := maxSaid
	for _, i := range rst.Context {
		name, value := brief(i.Name), brief(i.Value)
		if room -= len(name) + len(value); name != windows.ItemEnrollmentType && room >= 0 {
			said[name] = append(said[name], value)
		}
	}
	raw, _ := json.Marshal(said) // texts
	f.Said = string(raw)
	briefly(&f)
	return f
}

// maxSaid bounds what is kept of a device's other words: a PC says some hundred bytes.
const maxSaid = 8 << 10

const maxName = 256 // characters of a text of a device's that are kept (HST-010)

// brief brings a text to NFC and cuts it.
func brief(s string) string {
	if len(s) > maxName*16 {
		s = s[:maxName*16] // more is never needed
	}
	s = norm.NFC.String(strings.ToValidUTF8(s, "\uFFFD"))
	n := 0
	for i := range s {
		if n++; n > maxName {
			return s[:i]
		}
	}
	return s
}

// briefly is brief for what a device says of itself.
func briefly(f *delivery.Facts) {
	for _, text := range []*string{&f.Name, &f.Model, &f.Product, &f.Serial, &f.OSVersion, &f.Build, &f.IMEI, &f.MEID, &f.Hardware} {
		*text = brief(*text)
	}
}

// enrolledAs is the EnrollmentType that a device enrolled with.
func enrolledAs(f *delivery.Facts) string {
	var said map[string][]string
	if json.Unmarshal([]byte(f.Said), &said) != nil || len(said[windows.ItemEnrollmentType]) == 0 {
		return ""
	}
	return said[windows.ItemEnrollmentType][0]
}

// learn takes note of a node's value.
func (t *turn) learn(uri, data string) {
	data = strings.TrimSpace(data)
	switch {
	case strings.HasSuffix(uri, "/Push/ChannelURI"):
		t.channel = &data
	case uri == csp.NodePushStatus(ProviderID):
		t.pushable = data
	case uri == csp.NodeConfigInfo:
		t.ev.CoManaged, t.ev.WorkloadsKnown = data != "", true // else the client has gone (windows.md section 9)
		t.ev.Workloads = workloadsOf(data)
	case uri == csp.NodeDeviceName:
		t.facts.Name = data
	case uri == csp.NodeModel:
		t.facts.Model = data
	case uri == csp.NodeManufacturer:
		t.facts.Product = data
	case uri == csp.NodeSerial:
		t.facts.Serial = data
	case uri == csp.NodeOSVersion:
		t.facts.OSVersion = data
	}
}

// learnt has the record keep what the message says of the device, where that is new: torn are the commands of which it could not undo its
// half.
func (h *Handler) learnt(t *turn, s *delivery.State, torn []protocol.CommandID) {
	if t.facts == (delivery.Facts{}) && t.pushable == "" && len(t.batch.Reports) == 0 {
		return
	}
	record, err := h.cfg.Server.Store().Record(context.Background(), s.Device) // it is in memory, and held
	if err != nil {
		return
	}
	briefly(&t.facts)
	now := merged(record.Facts, &t.facts)
	if t.pushable != "" {
		now.Said = server.KeepPushStatus(now.Said, t.pushable)
	}
	profiles := h.cfg.Server.World().Profiles
	for i := range t.batch.Reports {
		r := &t.batch.Reports[i]
		at := slices.IndexFunc(s.Queue, func(q delivery.Queued) bool { return q.ID == r.Command })
		if at < 0 || s.Queue[at].Profile == 0 || int(s.Queue[at].Profile) >= len(profiles) {
			continue
		}
		if half := slices.Contains(torn, r.Command); half || r.Status == protocol.Acknowledged {
			now.Said = server.KeepTorn(now.Said, profiles[s.Queue[at].Profile].Identifier, half)
		}
	}
	if now == record.Facts {
		return
	}
	if why := server.PushFault(&now); why != "" {
		h.cfg.Log.WithField("device", t.ev.ID).Warn("the device says that it cannot be woken: " + why)
	}
	if len(torn) > 0 {
		h.cfg.Log.WithFields(logrus.Fields{"device": t.ev.ID, "profiles": server.Torn(&now)}).Warn("the device could not undo its half of a profile (516): look at it")
	}
	t.facts = now
	t.ev.Facts = &t.facts
}

// coManagement are the bits of Configuration Manager's CoManagementFlags (windows.md section 9).
var coManagement = [...]struct {
	bit uint64
	on  authority.Workloads
}{
	{2, authority.Compliance},
	{4, authority.ResourceAccess},
	{8, authority.DeviceConfiguration},
	{16, authority.Update},
	{32, authority.EndpointProtection},
	{64, authority.ClientApps},
	{128, authority.OfficeApps},
}

// workloadsOf reads CoManagementFlags: the workloads that are not Configuration Manager's (WIN-068). Of flags that are no number, or
// without bit 1, nothing is known, and it keeps all.
func workloadsOf(data string) (on authority.Workloads) {
	flags, err := strconv.ParseUint(data, 10, 32)
	if err != nil || flags&1 == 0 {
		return 0
	}
	for _, c := range coManagement {
		if flags&c.bit != 0 {
			on |= c.on
		}
	}
	return on
}
