package api

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"rollcall/protocol"
	"rollcall/server"
	"rollcall/server/authority"
	"rollcall/server/delivery"
)

const maxDays = 10000

// A state is how the tenant stands: its authority, the gap in its push certificates, and who is still to come.
type state struct {
	tenant
	Name     string        `json:"name"`             // of the authority; coexistence where Intune was added beside office365
	OldEnd   protocol.Time `json:"old_profiles_end"` // when those of the authority before leave at the latest (AUTH-27); empty: it is the first one
	Gap      gap           `json:"apns_gap"`
	Pending  int           `json:"pending"` // devices
	Stale    int           `json:"stale"`
	Stranded int           `json:"stranded"` // by another topic of the push certificate (AUTH-32)
}

type gap struct {
	Open      bool                `json:"open"`
	Since     protocol.Time       `json:"since"`
	Platforms []protocol.Platform `json:"platforms"` // whose check-ins and enrolments are refused
	Slot      protocol.Authority  `json:"slot"`      // whose certificate is waited for, or in use
	Topic     string              `json:"topic"`     // that an upload should have
	AppleID   string              `json:"apple_id"`
	Ended     bool                `json:"ended"`   // the certificate has ended or is refused by the push service
	Held      int                 `json:"held"`    // devices that cannot be woken now
	Blocked   int                 `json:"blocked"` // of these, pending or stale
}

func (h *Handler) getAuthority(c *call) (any, error) {
	g, err := h.cfg.Server.Gap(c.Context(), c.now)
	if err != nil {
		return nil, err
	}
	v, err := h.cfg.Server.Verify(c.Context(), c.now)
	if err != nil {
		return nil, err
	}
	t := h.cfg.Server.Content().Tenant
	var end protocol.Time
	if t.Epoch > 1 {
		end = t.OldEnd()
	}
	return state{
		h.tenant(), t.Name(), end,
		gap{g.Open, g.Since, append([]protocol.Platform{}, g.Platforms...), g.Slot, g.Topic, g.AppleID, g.Ended, g.Held, g.Blocked},
		v.Pending, v.Stale, v.Stranded,
	}, nil
}

type changeAuthority struct {
	Authority wanted `json:"authority"`
	Force     bool   `json:"force,omitempty"`
	Confirm   string `json:"confirm,omitempty"` // id of a preview of the same change
	Count     int    `json:"count,omitempty"`   // devices that it strands, as whoever wants it has typed (HST-071)
}

func (in *changeAuthority) change() (authority.Change, error) {
	if !in.Authority.given {
		return authority.Change{}, missing("authority")
	}
	return authority.Change{Authority: in.Authority.authority, Coexistence: in.Authority.coexistence, Force: in.Force}, nil
}

func (h *Handler) previewAuthority(c *call) (any, error) {
	change, err := c.body.(*changeAuthority).change()
	if err != nil {
		return nil, err
	}
	p, err := h.cfg.Server.PreviewAuthority(c.Context(), c.now, change)
	return h.answered(c.Context(), p, err)
}

func (h *Handler) setAuthority(c *call) (any, error) {
	in := c.body.(*changeAuthority)
	change, err := in.change()
	if err != nil {
		return nil, err
	}
	p, err := h.cfg.Server.SetAuthority(c.Context(), c.now, c.who, change, in.Confirm, in.Count)
	return h.answered(c.Context(), p, err)
}

// A verification compares expected and listed devices (AUTH-39).
type verification struct {
	Epoch       uint32           `json:"epoch"`
	Authorities []authorityCount `json:"authorities"`
	ThisEpoch   int              `json:"registered_in_epoch"`
	Pending     int              `json:"pending"`
	Stale       int              `json:"stale"`
	Stranded    int              `json:"stranded"`    // by another topic of the push certificate (AUTH-32)
	Outstanding []mismatch       `json:"outstanding"` // pending, stale and stranded devices; the first thousand
}

type authorityCount struct {
	Authority protocol.Authority `json:"authority"`
	Expected  int                `json:"expected"`
	Listed    int                `json:"listed"`
}

type mismatch struct {
	Device     string             `json:"device"`
	Expected   protocol.Authority `json:"expected"`
	Registered protocol.Authority `json:"registered"`
	Epoch      uint32             `json:"epoch"` // in which it registered
	Rule       protocol.Rule      `json:"rule"`
}

func (h *Handler) verifyAuthority(c *call) (any, error) {
	v, err := h.cfg.Server.Verify(c.Context(), c.now)
	if err != nil {
		return nil, err
	}
	out := verification{v.Epoch, []authorityCount{}, v.ThisEpoch, v.Pending, v.Stale, v.Stranded, make([]mismatch, len(v.Outstanding))}
	for _, a := range []protocol.Authority{protocol.Intune, protocol.Office365, protocol.Unknown} {
		if v.Expected[a]+v.Listed[a] > 0 {
			out.Authorities = append(out.Authorities, authorityCount{a, v.Expected[a], v.Listed[a]})
		}
	}
	name := h.names(c.Context())
	for i, m := range v.Outstanding {
		id, err := name(m.Device)
		if err != nil {
			return nil, err
		}
		out.Outstanding[i] = mismatch{id, m.Expected, m.Registered, m.Epoch, m.Rule}
	}
	return out, nil
}

type finding struct {
	User     string            `json:"user"`
	Devices  int               `json:"devices"`
	Families []protocol.Family `json:"families"` // of which nothing is assigned
	Since    protocol.Time     `json:"since"`    // late since then; empty: assign before the change
}

type readiness struct {
	Rule     protocol.Rule `json:"rule"`
	Findings []finding     `json:"findings"`
}

func (h *Handler) readiness(c *call) (any, error) {
	var change authority.Change
	if s, ok := c.query["authority"]; ok {
		var w wanted
		if err := w.UnmarshalText([]byte(s)); err != nil {
			return nil, wrongValue("authority", "%v", err)
		}
		change = authority.Change{Authority: w.authority, Coexistence: w.coexistence, Force: true}
	}
	list, err := h.cfg.Server.Readiness(c.Context(), c.now, change)
	if err != nil {
		return nil, err
	}
	out := readiness{"AUTH-38", make([]finding, len(list))}
	for i, f := range list {
		out.Findings[i] = finding{f.UPN, f.Devices, f.Families, f.Since}
	}
	return out, nil
}

type consent struct {
	Service string        `json:"service"`
	Title   string        `json:"title"`
	With    string        `json:"with"`
	For     string        `json:"for"`
	Shared  []shared      `json:"shared"` // AUTH-07
	Granted bool          `json:"granted"`
	By      string        `json:"by"`
	At      protocol.Time `json:"at"`
}

type shared struct {
	Data string `json:"data"`
	Why  string `json:"why"`
}

type consents struct {
	Consents []consent `json:"consents"`
}

func (h *Handler) getConsents(*call) (any, error) {
	out := consents{[]consent{}}
	for _, c := range h.cfg.Server.Consents() {
		one := consent{c.Service, c.Title, c.With, c.For, []shared{}, c.Granted, c.By, c.At}
		for _, s := range c.Shared {
			one.Shared = append(one.Shared, shared{s.Data, s.Why})
		}
		out.Consents = append(out.Consents, one)
	}
	return out, nil
}

func (h *Handler) grantConsent(c *call) (any, error) {
	if err := h.cfg.Server.Consent(c.Context(), c.now, c.who, c.PathValue("service")); err != nil {
		return nil, err
	}
	return h.getConsents(c)
}

type csr struct {
	Request []byte             `json:"request"` // base64 of PEM
	Slot    protocol.Authority `json:"slot"`
}

// pushCSR makes a certificate request for the slot of the authority in force.
func (h *Handler) pushCSR(c *call) (any, error) {
	t := h.cfg.Server.Content().Tenant
	pem, err := h.cfg.Server.PushCSR(c.Context(), c.now, c.who, t.Slot())
	return csr{pem, t.Slot()}, err
}

// settings are the tenant's, as a change has them: what is left out stays as it is.
type settings struct {
	Version          string              `json:"version,omitempty"`               // of the settings as they were read; in a change: refused where they are others by now (HST-070)
	CleanUpDays      *int                `json:"clean_up_days,omitzero"`          // AUTH-48: records silent for so long are deleted; 0: none are
	Units            *int                `json:"intune_units,omitzero"`           // AUTH-09: licences owned that entitle Intune; -1: not known
	DeviceLicences   *bool               `json:"device_licences,omitzero"`        // AUTH-47: for userless devices
	DeviceLimit      *int                `json:"device_limit,omitzero"`           // AUTH-47: devices a user may have; 0: 15
	GapOnCoexistence *bool               `json:"gap_on_coexistence,omitzero"`     // AUTH-30
	GapPlatforms     []protocol.Platform `json:"gap_platforms,omitzero"`          // AUTH-30
	Attempts         []int64             `json:"attempts_seconds,omitzero"`       // AUTH-20: three further wake-ups after a change; 0: the default
	ValidityDays     *int                `json:"compliance_days,omitzero"`        // AUTH-49
	LagDays          *int                `json:"console_lag_days,omitzero"`       // AUTH-29: of the console's figures after a change; 0: 7
	OldProfileDays   *int                `json:"old_profile_days,omitzero"`       // AUTH-27: how long profiles of the authority before stay after a change that comes; 0: 7
	RecordDays       *int                `json:"record_days,omitzero"`            // AUTH-43: how long records outlive their identity; 0: 180
	PushGraceDays    *int                `json:"push_grace_days,omitzero"`        // AUTH-33: in which a push certificate that has ended can be renewed; 0: 30
	PushWarningDays  []int               `json:"push_warning_days,omitzero"`      // AUTH-33: before its end, falling; empty: 30, 14, 7, 1
	CountedDays      *int                `json:"device_contact_days,omitzero"`    // AUTH-47: a device in contact within it counts against the limit of its user; 0: 90
	Cadence          *int64              `json:"cadence_seconds,omitzero"`        // AUTH-21: between two wake-ups of the schedule, of Apple devices; 0: 8 hours
	Reach            *int64              `json:"reach_seconds,omitzero"`          // AUTH-53: after which a wipe or retire that was not heard of is repeated; 0: 15 minutes
	Lifetime         *int64              `json:"identity_seconds,omitzero"`       // AUTH-40: of identities that are issued from now on; 0: 365 days
	Window           *int64              `json:"renewal_window_seconds,omitzero"` // AUTH-41: before the end of an identity, in which it is renewed; 0: 42 days
	Renew            *int64              `json:"renewal_retry_seconds,omitzero"`  // AUTH-41: between two tries; 0: 7 days
	AcceptUserless   *bool               `json:"accept_userless,omitzero"`        // AUTH-19: userless devices may enrol under office365 alone
	LicenceGate      *string             `json:"licence_gate,omitzero"`           // AUTH-47: where-known, always or never
	Workloads        []workload          `json:"workloads,omitzero"`              // AUTH-51; in a change those that are switched
	PilotGroup       *string             `json:"pilot_group,omitzero"`            // AUTH-51: of the users whose clients are in the pilot
	UnlicensedAdmins *bool               `json:"unlicensed_admins,omitzero"`      // AUTH-08: an administrator need hold no Intune licence
	Blast            *int                `json:"blast_limit,omitzero"`            // HST-071: devices that wipes, deletions and changes may touch in an hour; 0: 1000; -1: any number
}

// unitsUnknown is that nobody says how many licences the tenant owns.
const unitsUnknown = -1

// A workload of co-managed clients, and who decides it: configmgr, pilot or intune.
type workload struct {
	Workload string `json:"workload"`
	Decider  string `json:"decider"`
}

func (h *Handler) getSettings(*call) (any, error) {
	s := h.cfg.Server.Settings()
	days := func(d time.Duration) *int { return new(int(d / (24 * time.Hour))) }
	seconds := func(d time.Duration) *int64 { return new(inSeconds(d)) }
	units := unitsUnknown
	if s.UnitsKnown {
		units = s.Units
	}
	out := settings{
		s.Version(), days(s.Silent), &units, &s.DeviceLicences, &s.DeviceLimit, new(!s.Gap.NotOnCoexistence), append([]protocol.Platform{}, s.Gap.Platforms...),
		[]int64{},
		days(s.Validity), days(s.Lag), days(s.Old), days(s.Records), days(s.PushGrace), append([]int{}, s.PushWarnings...),
		days(s.Counted), seconds(s.Cadence), seconds(s.Reach), seconds(s.Lifetime), seconds(s.Window), seconds(s.Renew), &s.AcceptUserless, new(s.Licences.String()), nil, &s.Pilots, &s.UnlicensedAdmins, &s.Blast,
	}
	for i, name := range authority.WorkloadNames {
		out.Workloads = append(out.Workloads, workload{name, s.Workloads[i].String()})
	}
	if s.Gap.Platforms == nil {
		out.GapPlatforms = append(out.GapPlatforms, protocol.IOS, protocol.IPadOS, protocol.MacOS)
	}
	for _, d := range s.Attempts {
		out.Attempts = append(out.Attempts, inSeconds(d))
	}
	return out, nil
}

func (h *Handler) setSettings(c *call) (any, error) {
	in := c.body.(*settings)
	change, err := in.read()
	if err != nil {
		return nil, err
	}
	if err := h.cfg.Server.ChangeSettings(c.Context(), c.now, c.who, in.Version, change); err != nil {
		return nil, err
	}
	return h.getSettings(c)
}

// read checks what was given, and returns what it changes.
func (in *settings) read() (change func(*server.Settings), err error) {
	var attempts [3]time.Duration
	if in.Attempts != nil && len(in.Attempts) != len(attempts) {
		return nil, wrongValue("attempts_seconds", "want three")
	}
	for i, n := range in.Attempts {
		if attempts[i], err = duration("attempts_seconds", n, maxDuration); err != nil {
			return nil, err
		}
	}
	for _, l := range in.lengths(new(server.Settings)) {
		if l.given != nil && (*l.given < 0 || *l.given > l.most) {
			return nil, wrongValue(l.field, "want 0 to %d", l.most)
		}
	}
	var gate delivery.LicenceGate
	if in.LicenceGate != nil {
		if err := gate.UnmarshalText([]byte(*in.LicenceGate)); err != nil {
			return nil, wrongValue("licence_gate", "%v", err)
		}
	}
	if in.PilotGroup != nil && *in.PilotGroup != "" {
		if err := goodName("pilot_group", *in.PilotGroup); err != nil {
			return nil, err
		}
	}
	switched := map[int]authority.Decider{}
	for i, w := range in.Workloads {
		at := slices.Index(authority.WorkloadNames[:], w.Workload)
		by, ok := authority.DeciderNamed(w.Decider)
		if at < 0 {
			return nil, wrongValue(fmt.Sprintf("workloads[%d].workload", i), "want one of %s", strings.Join(authority.WorkloadNames[:], ", "))
		}
		if !ok {
			return nil, wrongValue(fmt.Sprintf("workloads[%d].decider", i), "want configmgr, pilot or intune")
		}
		switched[at] = by
	}
	return func(set *server.Settings) {
		if n := in.Units; n != nil {
			if set.UnitsKnown, set.Units = *n != unitsUnknown, *n; !set.UnitsKnown {
				set.Units = 0
			}
		}
		if in.UnlicensedAdmins != nil {
			set.UnlicensedAdmins = *in.UnlicensedAdmins
		}
		if in.DeviceLicences != nil {
			set.DeviceLicences = *in.DeviceLicences
		}
		if in.DeviceLimit != nil {
			set.DeviceLimit = *in.DeviceLimit
		}
		if in.GapOnCoexistence != nil {
			set.Gap.NotOnCoexistence = !*in.GapOnCoexistence
		}
		if in.GapPlatforms != nil {
			set.Gap.Platforms = in.GapPlatforms
		}
		if in.Attempts != nil {
			set.Attempts = attempts
		}
		for _, l := range in.lengths(set) {
			if l.given != nil {
				*l.to = time.Duration(*l.given) * l.unit
			}
		}
		if in.PushWarningDays != nil {
			set.PushWarnings = append([]int(nil), in.PushWarningDays...) // empty: nil, the default
		}
		if in.AcceptUserless != nil {
			set.AcceptUserless = *in.AcceptUserless
		}
		if in.LicenceGate != nil {
			set.Licences = gate
		}
		for i, by := range switched {
			set.Workloads[i] = by
		}
		if in.PilotGroup != nil {
			set.Pilots = *in.PilotGroup
		}
		if in.Blast != nil {
			set.Blast = *in.Blast
		}
	}, nil
}

// A length is a setting that is a length of time, as a request has it and where it goes.
type length struct {
	field string
	given *int64 // nil: it is left as it is
	unit  time.Duration
	most  int64
	to    *time.Duration
}

// lengths are the settings that are lengths of time, on their way from a request to set.
func (in *settings) lengths(set *server.Settings) []length {
	days := func(field string, n *int, to *time.Duration) length {
		l := length{field: field, unit: 24 * time.Hour, most: maxDays, to: to}
		if n != nil {
			l.given = new(int64(*n))
		}
		return l
	}
	seconds := func(field string, n *int64, to *time.Duration) length {
		return length{field, n, time.Second, inSeconds(maxDuration), to}
	}
	return []length{
		days("clean_up_days", in.CleanUpDays, &set.Silent),
		days("compliance_days", in.ValidityDays, &set.Validity),
		days("console_lag_days", in.LagDays, &set.Lag),
		days("old_profile_days", in.OldProfileDays, &set.Old),
		days("record_days", in.RecordDays, &set.Records),
		days("push_grace_days", in.PushGraceDays, &set.PushGrace),
		days("device_contact_days", in.CountedDays, &set.Counted),
		seconds("cadence_seconds", in.Cadence, &set.Cadence),
		seconds("reach_seconds", in.Reach, &set.Reach),
		seconds("identity_seconds", in.Lifetime, &set.Lifetime),
		seconds("renewal_window_seconds", in.Window, &set.Window),
		seconds("renewal_retry_seconds", in.Renew, &set.Renew),
	}
}

// supportMove and reenrol are the two ways for a device that does not move by itself (AUTH-18, AUTH-44).
func (h *Handler) supportMove(c *call) (any, error) {
	record, err := h.record(c)
	if err != nil {
		return nil, err
	}
	return done{}, h.cfg.Server.SupportMove(c.Context(), c.now, c.who, record.State.Device)
}

func (h *Handler) reenrol(c *call) (any, error) {
	record, err := h.record(c)
	if err != nil {
		return nil, err
	}
	ticket, err := h.cfg.Server.Reenrol(c.Context(), c.now, c.who, record.State.Device, inviteLifetime)
	if err != nil {
		return nil, err
	}
	again := invitation{User: h.device(&record).User, URL: h.cfg.URL + linkPath + ticket, Expires: c.now.Add(inviteLifetime)}
	if record.State.Platform == protocol.Android && h.cfg.Provisioning != nil {
		_, mode, _ := server.AndroidEnrolment(&record.Facts)
		err = h.provision(ticket, mode, &again)
	}
	return again, err
}
