package api

import (
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"

	"rollcall/protocol"
	"rollcall/server"
	"rollcall/server/authority"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

const (
	historyRows = 50       // commands that one device shows
	maxRaw      = 64 << 10 // bytes of a report that are shown
	scanRows    = 1000     // records that are read at once while a list is filtered
	scanPages   = 20       // and how often, before a page is handed out as it is
)

type devicePage struct {
	Devices []device `json:"devices"`
	Next    string   `json:"next"`
}

type device struct {
	ID           string             `json:"id"`
	Serial       string             `json:"serial"`
	Name         string             `json:"name"`
	Model        string             `json:"model"`
	OSVersion    string             `json:"os_version"`
	Platform     protocol.Platform  `json:"platform,omitzero"`
	User         string             `json:"user"`
	Life         string             `json:"life"`
	Registered   protocol.Authority `json:"registered"`
	Epoch        uint32             `json:"epoch"`
	Automated    bool               `json:"automated"`
	Awaiting     bool               `json:"awaiting"`
	Reachable    bool               `json:"reachable"`
	RegisteredAt protocol.Time      `json:"registered_at"`
	RegisteredBy protocol.Rule      `json:"registered_by,omitempty"` // the rule that has it there; none: it is to move, or is not enrolled
	EnrolledAt   protocol.Time      `json:"enrolled_at"`
	EndedAt      protocol.Time      `json:"ended_at"`
	LeavesAt     protocol.Time      `json:"leaves_at,omitzero"` // a PC that is leaving has left when it is silent until then
	LastSeen     protocol.Time      `json:"last_seen"`
	Wake         protocol.Time      `json:"wake"`
	Identity     identity           `json:"identity"`
	Queue        int                `json:"queue"`
	Reports      reports            `json:"reports"`
	Profiles     []deviceProfile    `json:"profiles"`
	Android      *androidDevice     `json:"android,omitempty"` // of Android devices alone
	Windows      *windowsDevice     `json:"windows,omitempty"` // of PCs alone, of which there is something to say
}

type windowsDevice struct {
	PushFault string   `json:"push_fault,omitempty"` // why it cannot be woken, as it says
	Torn      []string `json:"torn,omitempty"`       // identifiers of profiles that it carried out in part, which it could not undo (516)
}

// windowsOf is what the record of a PC says beyond others; nil: nothing.
func windowsOf(f *delivery.Facts) *windowsDevice {
	w := windowsDevice{server.PushFault(f), server.Torn(f)}
	if w.PushFault == "" && len(w.Torn) == 0 {
		return nil
	}
	return &w
}

type androidDevice struct {
	Mode          string          `json:"mode"`
	Enrollment    string          `json:"enrollment"` // by which token it enrolled
	APILevel      int             `json:"api_level"`
	PolicyVersion int64           `json:"policy_version"`     // of the policy that it has applied; 0: none yet
	NonCompliance []nonCompliance `json:"non_compliance"`     // why it does not comply, as its latest report said
	LeftOut       []leftOut       `json:"left_out,omitempty"` // settings that are not in its policy; of one device alone, lists have none
}

// A leftOut is a setting of a profile's that is not in its device's policy.
type leftOut struct {
	Profile string `json:"profile"`
	Setting string `json:"setting"`
	Reason  string `json:"reason"` // INVALID_VALUE: a profile before it has another; MANAGEMENT_MODE or API_LEVEL: the device has none such
}

type nonCompliance struct {
	Setting string `json:"setting"`
	Package string `json:"package,omitempty"`
	Reason  string `json:"reason"`
}

// androidOf is what the record of an Android device says beyond others.
func androidOf(f *delivery.Facts) *androidDevice {
	enrollment, mode, level := server.AndroidEnrolment(f)
	version, reasons := server.AndroidPolicy(f)
	a := &androidDevice{Mode: string(mode), Enrollment: enrollment, APILevel: level, PolicyVersion: version, NonCompliance: make([]nonCompliance, len(reasons))}
	for i, r := range reasons {
		a.NonCompliance[i] = nonCompliance(r)
	}
	return a
}

type identity struct {
	Fingerprint string        `json:"fingerprint"`
	NotBefore   protocol.Time `json:"not_before"`
	NotAfter    protocol.Time `json:"not_after"`
}

type reports struct {
	Acknowledged uint32 `json:"acknowledged"`
	Failed       uint32 `json:"failed"`
	FormatError  uint32 `json:"format_error"`
	NotNow       uint32 `json:"not_now"`
}

type deviceProfile struct {
	Name       string          `json:"name"`
	Number     uint32          `json:"number"`
	Identifier string          `json:"identifier"`
	Family     protocol.Family `json:"family,omitzero"`
	State      string          `json:"state"`
	At         protocol.Time   `json:"at"`
}

type details struct {
	device
	Compliance *compliance `json:"compliance"` // null: it is not enrolled
	CoManaged  bool        `json:"co_managed"` // Configuration Manager's client is there (AUTH-12)
	Workloads  []string    `json:"workloads"`  // of a co-managed device, that Intune decides (AUTH-51)
	Head       *command    `json:"head"`
	Commands   []command   `json:"commands"`
	LastRaw    string      `json:"last_raw"`
}

// A compliance is what three parties believe of one device, and since when (AUTH-29).
type compliance struct {
	Device       bool          `json:"device"` // it has what it should have
	Reported     protocol.Time `json:"reported"`
	Directory    bool          `json:"directory"`     // and has said so lately (AUTH-49)
	Console      bool          `json:"console"`       // what the console shows, which may lag after a change
	ConsoleSince protocol.Time `json:"console_since"` // the report that it shows
	ConfigMgr    bool          `json:"config_mgr"`    // Configuration Manager decides (AUTH-51)
}

type command struct {
	ID      string        `json:"id"`
	Kind    string        `json:"kind"`
	Profile string        `json:"profile"`
	Seq     uint64        `json:"seq"`
	At      protocol.Time `json:"at"`
	Status  string        `json:"status"`
	Final   bool          `json:"final"`
	Errors  string        `json:"errors"`
}

func (h *Handler) device(r *store.Record) device {
	s := &r.State
	w := h.cfg.Server.World()
	d := device{
		ID: r.ID, Serial: r.Facts.Serial, Name: r.Facts.Name, Model: r.Facts.Product, OSVersion: r.Facts.OSVersion,
		Platform: s.Platform, Life: s.Life.String(), Registered: s.Registered, Epoch: s.Epoch, Automated: s.Automated, Awaiting: s.Awaiting,
		Reachable: s.Life == delivery.Enrolled && len(s.Push.Token) > 0 && !s.Push.Unreachable &&
			(w.Push.Topic == "" || s.Push.Topic == w.Push.Topic),
		RegisteredAt: s.RegisteredAt, EnrolledAt: s.EnrolledAt, EndedAt: s.EndedAt, LeavesAt: s.GoneAt(), LastSeen: s.LastSeen, Wake: s.Wake.Due,
		Queue:    len(s.Queue),
		Reports:  reports{s.Reports.Acknowledged, s.Reports.Failed, s.Reports.FormatError, s.Reports.NotNow},
		Profiles: make([]deviceProfile, len(s.Profiles)),
	}
	if s.Life == delivery.Enrolled {
		d.RegisteredBy = w.Management(s).Rule
	}
	if s.Identity.NotAfter != 0 {
		d.Identity = identity{hex.EncodeToString(s.Identity.Fingerprint[:]), s.Identity.NotBefore, s.Identity.NotAfter}
	}
	if s.Platform == protocol.Android {
		d.Android = androidOf(&r.Facts)
	}
	if s.Platform == protocol.Windows {
		d.Windows = windowsOf(&r.Facts)
	}
	if users := h.cfg.Server.Content().Users; s.User > 0 && int(s.User) <= len(users) {
		d.User = users[s.User-1].UPN
	}
	for i, p := range s.Profiles {
		d.Profiles[i] = deviceProfile{Number: uint32(p.Profile), State: p.State.String(), At: p.At}
		if int(p.Profile) < len(w.Profiles) {
			known := &w.Profiles[p.Profile]
			d.Profiles[i].Name, d.Profiles[i].Identifier, d.Profiles[i].Family = known.Name, known.Identifier, known.Family
		}
	}
	return d
}

// getDevices lists devices, ended ones too, and as enrolling those that have said hello and no more: who got stuck there is to be found
// (APL-031).
func (h *Handler) getDevices(c *call) (any, error) {
	after, limit, err := c.page()
	if err != nil {
		return nil, err
	}
	var platform protocol.Platform
	if s, ok := c.query["platform"]; ok {
		if err := platform.UnmarshalText([]byte(s)); err != nil {
			return nil, wrongValue("platform", "%v", err)
		}
	}
	var who delivery.UserID
	if upn, ok := c.query["user"]; ok {
		u, known := h.cfg.Server.UserByUPN(upn)
		if !known {
			return nil, wrongValue("user", "there is no such user")
		}
		who = u.ID
	}
	if after > math.MaxUint32 {
		return nil, wrongValue("after", "is not a cursor of this list")
	}
	out := devicePage{Devices: []device{}}
	at := protocol.Device(after)
	for range scanPages {
		records, err := h.cfg.Server.Store().Records(c.Context(), at, scanRows)
		if err != nil {
			return nil, err
		}
		for i := range records {
			s := &records[i].State
			at = s.Device
			if s.Life < delivery.Enrolling || platform != protocol.NoPlatform && s.Platform != platform || who != 0 && s.User != who {
				continue
			}
			if out.Devices = append(out.Devices, h.device(&records[i])); len(out.Devices) == limit {
				out.Next = cursor(at)
				return out, nil
			}
		}
		if len(records) < scanRows {
			return out, nil
		}
	}
	out.Next = cursor(at)
	return out, nil
}

func (h *Handler) getPortal(c *call) (any, error) {
	after, limit, err := c.page()
	if err != nil {
		return nil, err
	}
	var a protocol.Authority
	if a.UnmarshalText([]byte(c.PathValue("authority"))) != nil || a == protocol.Unknown {
		return nil, errNotFound
	}
	if after > math.MaxUint32 {
		return nil, wrongValue("after", "is not a cursor of this list")
	}
	records, err := h.cfg.Server.Portal(c.Context(), a, protocol.Device(after), limit)
	if err != nil {
		return nil, err
	}
	out := devicePage{Devices: make([]device, len(records))}
	for i := range records {
		out.Devices[i] = h.device(&records[i])
	}
	if len(records) == limit {
		out.Next = cursor(records[limit-1].State.Device)
	}
	return out, nil
}

func cursor(d protocol.Device) string { return strconv.FormatUint(uint64(d), 10) }

func (h *Handler) getDevice(c *call) (any, error) {
	record, err := h.record(c)
	if err != nil {
		return nil, err
	}
	history, err := h.cfg.Server.Store().History(c.Context(), record.State.Device, historyRows)
	if err != nil {
		return nil, err
	}
	out := details{device: h.device(&record), CoManaged: record.State.CoManaged, Workloads: []string{}, Commands: make([]command, len(history))}
	w := h.cfg.Server.World()
	if a := out.Android; a != nil && record.State.Life == delivery.Enrolled {
		for _, no := range h.cfg.Server.AndroidLeftOut(c.now, &record) {
			a.LeftOut = append(a.LeftOut, leftOut{no.Profile, no.Field, string(no.Reason)})
		}
	}
	if s := &record.State; s.Life == delivery.Enrolled {
		k := w.Compliance(c.now, s)
		out.Compliance = &compliance{k.Device, k.Reported, k.Directory, k.Console, k.ConsoleSince, k.ConfigMgr}
		for i, name := range authority.WorkloadNames {
			if s.CoManaged && w.Workloads(s)&(1<<i) != 0 {
				out.Workloads = append(out.Workloads, name)
			}
		}
	}
	for i := range history {
		change := &history[i]
		out.Commands[i] = h.command(&change.Queued)
		out.Commands[i].Final, out.Commands[i].Errors = change.Final, change.Errors
		if change.Status != protocol.NoStatus {
			out.Commands[i].Status = change.Status.String()
		}
		if out.LastRaw == "" && len(change.Result) > 0 {
			out.LastRaw = strings.ToValidUTF8(string(change.Result[:min(len(change.Result), maxRaw)]), "\uFFFD")
		}
	}
	if len(record.State.Queue) > 0 {
		head := h.command(&record.State.Queue[0])
		out.Head = &head
	}
	return out, nil
}

func (h *Handler) command(q *delivery.Queued) command {
	out := command{ID: q.ID.String(), Kind: q.Kind.String(), Seq: q.Seq, At: q.At}
	if w := h.cfg.Server.World(); int(q.Profile) < len(w.Profiles) {
		out.Profile = w.Profiles[q.Profile].Name
	}
	return out
}

func (h *Handler) record(c *call) (store.Record, error) {
	d, err := h.cfg.Server.Store().Device(c.Context(), c.PathValue("id"))
	if err != nil {
		return store.Record{}, err
	}
	return h.cfg.Server.Store().Record(c.Context(), d)
}

type orderBody struct {
	PIN      string   `json:"pin,omitempty"`
	Message  string   `json:"message,omitempty"`  // lock, start-lost-mode
	Passcode string   `json:"passcode,omitempty"` // reset-passcode; left out: none
	Packages []string `json:"packages,omitempty"` // clear-app-data
	Drop     bool     `json:"drop,omitempty"`     // retire: by the platform's own answer, for a device that carries no commands out
}

const (
	maxPasscode = 64  // characters
	maxPackages = 100 // of one order
)

var packageName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*)+$`)

// check says what of an order is wrong.
func (in *orderBody) check(kind protocol.CommandKind) error {
	switch {
	case in.PIN != "" && kind != protocol.Lock && kind != protocol.Erase:
		return wrongValue("pin", "only a lock and a wipe have one")
	case in.PIN != "" && (len(in.PIN) != 6 || strings.Trim(in.PIN, "0123456789") != ""):
		return wrongValue("pin", "want six digits")
	case in.Message != "" && kind != protocol.Lock && kind != protocol.StartLostMode:
		return wrongValue("message", "only a lock and a lost mode have one")
	case in.Passcode != "" && kind != protocol.ResetPasscode:
		return wrongValue("passcode", "only a reset of the passcode has one")
	case len(in.Passcode) > maxPasscode:
		return wrongValue("passcode", "is longer than %d characters", maxPasscode)
	case in.Packages != nil && kind != protocol.ClearAppData:
		return wrongValue("packages", "only a removal of apps' data has them")
	case in.Drop && kind != protocol.Retire:
		return wrongValue("drop", "only a retirement can be one")
	case in.Message == "" && kind == protocol.StartLostMode:
		return missing("message")
	case kind == protocol.ClearAppData && (len(in.Packages) == 0 || len(in.Packages) > maxPackages):
		return wrongValue("packages", "want 1 to %d", maxPackages)
	}
	for i, name := range in.Packages {
		if len(name) > maxName || !packageName.MatchString(name) {
			return wrongValue(fmt.Sprintf("packages[%d]", i), "want the name of a package, such as com.example.mail")
		}
	}
	for field, text := range map[string]string{"message": in.Message, "passcode": in.Passcode} {
		if text == "" {
			continue
		}
		if err := goodName(field, text); err != nil {
			return err
		}
	}
	return nil
}

type ordered struct {
	Command string `json:"command"` // its id; empty: only a wake-up
}

func (h *Handler) order(c *call, kind protocol.CommandKind) (any, error) {
	in := c.body.(*orderBody)
	if err := in.check(kind); err != nil {
		return nil, err
	}
	record, err := h.record(c)
	if err != nil {
		return nil, err
	}
	if in.Drop {
		id, err := h.cfg.Server.Drop(c.Context(), c.now, record.State.Device)
		return ordered{id.String()}, err
	}
	if kind == protocol.Erase {
		list, err := h.cfg.Server.Wipe(c.Context(), c.now, c.who, []protocol.Device{record.State.Device}, in.PIN, 1)
		if err == nil {
			err = list[0].No
		}
		if err != nil {
			return nil, err
		}
		return ordered{list[0].Command.String()}, nil
	}
	text := cmp.Or(in.Message, in.Passcode, strings.Join(in.Packages, " ")) // only one of them is there
	id, err := h.cfg.Server.Order(c.Context(), c.now, record.State.Device, protocol.Command{Kind: kind, PIN: in.PIN, Text: text})
	if err != nil || id == (protocol.CommandID{}) {
		return ordered{}, err
	}
	return ordered{id.String()}, nil
}

func isNotFound(err error) bool { return errors.Is(err, store.ErrNotFound) }
