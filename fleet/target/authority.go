package target

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"rollcall/protocol"
)

// A State is how the tenant stands.
type State struct {
	Tenant
	Name     string        `json:"name"`             // of the authority; coexistence where Intune was added beside office365
	OldEnd   protocol.Time `json:"old_profiles_end"` // when those of the authority before leave at the latest (AUTH-27); 0: it is the first one
	Gap      Gap           `json:"apns_gap"`
	Pending  int           `json:"pending"` // devices
	Stale    int           `json:"stale"`
	Stranded int           `json:"stranded"` // by another topic of the push certificate (AUTH-32)
}

// A Gap is the gap in Apple's push certificates (AUTH-30, AUTH-33).
type Gap struct {
	Open      bool                `json:"open"`
	Since     protocol.Time       `json:"since"`
	Platforms []protocol.Platform `json:"platforms"` // whose check-ins and enrolments are refused
	Slot      protocol.Authority  `json:"slot"`      // whose certificate is waited for, or in use
	Topic     string              `json:"topic"`     // that an upload should have
	AppleID   string              `json:"apple_id"`  // with which that certificate was made
	Ended     bool                `json:"ended"`     // the certificate has ended or is refused by the push service
	Held      int                 `json:"held"`      // devices that cannot be woken now
	Blocked   int                 `json:"blocked"`   // of these, pending or stale
}

// Authority tells how the tenant stands. It looks at all devices.
func (r *Rollcall) Authority(ctx context.Context) (s State, err error) {
	err = r.call(ctx, http.MethodGet, "/rollcall/v1/authority", nil, &s)
	return s, err
}

// A Verification compares expected and listed devices (AUTH-39).
type Verification struct {
	Epoch       uint32           `json:"epoch"`
	Authorities []AuthorityCount `json:"authorities"`
	ThisEpoch   int              `json:"registered_in_epoch"`
	Pending     int              `json:"pending"`
	Stale       int              `json:"stale"`
	Stranded    int              `json:"stranded"`    // by another topic of the push certificate (AUTH-32)
	Outstanding []Mismatch       `json:"outstanding"` // the first thousand pending, stale and stranded devices
}

// An AuthorityCount is devices by the authority that should manage them, and by the portal that lists them.
type AuthorityCount struct {
	Authority protocol.Authority `json:"authority"`
	Expected  int                `json:"expected"`
	Listed    int                `json:"listed"`
}

// A Mismatch is a device that is not where it should be, or not yet in the present epoch.
type Mismatch struct {
	Device     string             `json:"device"`
	Expected   protocol.Authority `json:"expected"`
	Registered protocol.Authority `json:"registered"`
	Epoch      uint32             `json:"epoch"` // in which it registered
	Rule       protocol.Rule      `json:"rule"`
}

// VerifyAuthority compares who should manage each device with the portals.
func (r *Rollcall) VerifyAuthority(ctx context.Context) (v Verification, err error) {
	err = r.call(ctx, http.MethodGet, "/rollcall/v1/authority/verify", nil, &v)
	return v, err
}

// A Finding is a user with enrolled devices to whom nothing of some families is assigned (AUTH-38).
type Finding struct {
	User     string            `json:"user"`
	Devices  int               `json:"devices"`
	Families []protocol.Family `json:"families"`
	Since    protocol.Time     `json:"since"` // late since then; 0: assign before the change
}

// Readiness lists users who lack assignments, under the authority that a change to the one named would bring; empty: under
// the present one.
func (r *Rollcall) Readiness(ctx context.Context, authority string) ([]Finding, error) {
	path := "/rollcall/v1/authority/readiness"
	if authority != "" {
		path += "?" + url.Values{"authority": {authority}}.Encode()
	}
	var out struct {
		Findings []Finding `json:"findings"`
	}
	err := r.call(ctx, http.MethodGet, path, nil, &out)
	return out.Findings, err
}

// Settings are the tenant's settings. In a change nil leaves one as it is.
type Settings struct {
	Version          string              `json:"version,omitempty"`               // of those that were read: a change of others is refused (HST-070); empty: of whatever they are
	CleanUpDays      *int                `json:"clean_up_days,omitzero"`          // AUTH-48; 0: no record is deleted for its silence
	Units            *int                `json:"intune_units,omitzero"`           // AUTH-09; -1: not known
	DeviceLicences   *bool               `json:"device_licences,omitzero"`        // AUTH-47
	UnlicensedAdmins *bool               `json:"unlicensed_admins,omitzero"`      // AUTH-08
	DeviceLimit      *int                `json:"device_limit,omitzero"`           // AUTH-47; 0: 15
	GapOnCoexistence *bool               `json:"gap_on_coexistence,omitzero"`     // AUTH-30
	GapPlatforms     []protocol.Platform `json:"gap_platforms,omitzero"`          // AUTH-30
	Attempts         []Seconds           `json:"attempts_seconds,omitzero"`       // AUTH-20; 0: the default
	ValidityDays     *int                `json:"compliance_days,omitzero"`        // AUTH-49; 0: the default
	LagDays          *int                `json:"console_lag_days,omitzero"`       // AUTH-29; 0: the default
	OldProfileDays   *int                `json:"old_profile_days,omitzero"`       // AUTH-27; 0: the default
	RecordDays       *int                `json:"record_days,omitzero"`            // AUTH-43; 0: the default
	PushGraceDays    *int                `json:"push_grace_days,omitzero"`        // AUTH-33; 0: the default
	PushWarningDays  []int               `json:"push_warning_days,omitzero"`      // AUTH-33, falling; empty: the default
	CountedDays      *int                `json:"device_contact_days,omitzero"`    // AUTH-47; 0: the default
	Cadence          *Seconds            `json:"cadence_seconds,omitzero"`        // AUTH-21, of Apple devices; 0: the default
	Reach            *Seconds            `json:"reach_seconds,omitzero"`          // AUTH-53; 0: the default
	Lifetime         *Seconds            `json:"identity_seconds,omitzero"`       // AUTH-40; 0: the default
	Window           *Seconds            `json:"renewal_window_seconds,omitzero"` // AUTH-41; 0: the default
	Renew            *Seconds            `json:"renewal_retry_seconds,omitzero"`  // AUTH-41; 0: the default
	AcceptUserless   *bool               `json:"accept_userless,omitzero"`        // AUTH-19
	LicenceGate      *string             `json:"licence_gate,omitzero"`           // AUTH-47: where-known, always or never
	Workloads        []Workload          `json:"workloads,omitzero"`              // AUTH-51
	PilotGroup       *string             `json:"pilot_group,omitzero"`            // AUTH-51: of the users whose clients are in the pilot
	Blast            *int                `json:"blast_limit,omitzero"`            // HST-071: devices an hour; 0: the default; -1: any number
}

// A Workload of co-managed clients, and who decides it: configmgr, pilot or intune.
type Workload struct {
	Workload string `json:"workload"`
	Decider  string `json:"decider"`
}

// Settings returns the tenant's settings.
func (r *Rollcall) Settings(ctx context.Context) (s Settings, err error) {
	err = r.call(ctx, http.MethodGet, "/rollcall/v1/settings", nil, &s)
	return s, err
}

// SetSettings changes those that are not nil.
func (r *Rollcall) SetSettings(ctx context.Context, s Settings) error {
	return r.call(ctx, http.MethodPost, "/rollcall/v1/settings", s, nil)
}

// A Consent is a data-sharing consent, granted or not (AUTH-05), with what is shared under it (AUTH-07).
type Consent struct {
	Service string        `json:"service"` // Graph's id
	Title   string        `json:"title"`
	With    string        `json:"with"`
	For     string        `json:"for"`
	Shared  []Shared      `json:"shared"`
	Granted bool          `json:"granted"`
	By      string        `json:"by"`
	At      protocol.Time `json:"at"`
}

// Shared is one thing that goes to a third party.
type Shared struct {
	Data string `json:"data"`
	Why  string `json:"why"`
}

// Consents lists the data-sharing consents.
func (r *Rollcall) Consents(ctx context.Context) ([]Consent, error) {
	var out struct {
		Consents []Consent `json:"consents"`
	}
	err := r.call(ctx, http.MethodGet, "/rollcall/v1/consents", nil, &out)
	return out.Consents, err
}

// Consent grants the data-sharing consent of a service, for good.
func (r *Rollcall) Consent(ctx context.Context, service string) error {
	return r.call(ctx, http.MethodPost, "/rollcall/v1/consents/"+url.PathEscape(service), struct{}{}, nil)
}

// PushCSR has the server make a key and a request (PEM) for the push certificate of the authority in force, whose slot
// comes back too.
func (r *Rollcall) PushCSR(ctx context.Context) (csr []byte, slot protocol.Authority, err error) {
	var out struct {
		Request []byte             `json:"request"`
		Slot    protocol.Authority `json:"slot"`
	}
	err = r.call(ctx, http.MethodPost, "/rollcall/v1/apns/csr", struct{}{}, &out)
	return out.Request, out.Slot, err
}

// SupportMove has a userless device move at its next check-in (AUTH-18).
func (r *Rollcall) SupportMove(ctx context.Context, device string) error {
	return r.call(ctx, http.MethodPost, "/rollcall/v1/devices/"+url.PathEscape(device)+"/support-move", struct{}{}, nil)
}

// A Wiping is one device of a wipe.
type Wiping struct {
	Device  string        `json:"device"`
	Command string        `json:"command"` // id of the order; empty: none was given
	Rule    protocol.Rule `json:"rule"`    // why it is not erased; empty: it is
	Reason  string        `json:"reason"`
}

// A WipeOrder is devices to be erased.
type WipeOrder struct {
	Devices []string `json:"devices"`
	PIN     string   `json:"pin,omitempty"`   // six digits, for Macs
	Count   int      `json:"count,omitempty"` // of the devices, as whoever wants it has typed (HST-071)
}

// PreviewWipe tells which devices a wipe would erase. Nothing is changed.
func (r *Rollcall) PreviewWipe(ctx context.Context, w WipeOrder) ([]Wiping, error) {
	return r.wipe(ctx, w, "/preview")
}

// Wipe erases devices at their next check-in; one that cannot be is named with its reason.
func (r *Rollcall) Wipe(ctx context.Context, w WipeOrder) ([]Wiping, error) {
	return r.wipe(ctx, w, "")
}

func (r *Rollcall) wipe(ctx context.Context, w WipeOrder, what string) ([]Wiping, error) {
	var out struct {
		Devices []Wiping `json:"devices"`
	}
	err := r.call(ctx, http.MethodPost, "/rollcall/v1/orders/wipe"+what, w, &out)
	return out.Devices, err
}

// RemoveUser takes a user who has no enrolled device from the tenant.
func (r *Rollcall) RemoveUser(ctx context.Context, upn string) error {
	return r.call(ctx, http.MethodDelete, "/rollcall/v1/users?"+url.Values{"upn": {upn}}.Encode(), nil, nil)
}

// Delete retires a device and removes its record once it has heard of it; at once where it is not enrolled (AUTH-53). One that would
// erase itself is refused, unless count is 1: it is meant (HST-071). Else count is 0.
func (r *Rollcall) Delete(ctx context.Context, device string, count int) error {
	path := "/rollcall/v1/devices/" + url.PathEscape(device)
	if count != 0 {
		path += "?count=" + strconv.Itoa(count)
	}
	return r.call(ctx, http.MethodDelete, path, nil, nil)
}

// A Deletion is what a deletion does to devices, or would do.
type Deletion struct {
	Devices []Deleted `json:"devices"`
	Erases  int       `json:"erases"`  // how many of them erase themselves
	ByMode  []Erased  `json:"by_mode"` // the same by their mode
}

// Erased is how many devices of a mode erase themselves.
type Erased struct {
	Mode    string `json:"mode"`
	Devices int    `json:"devices"`
}

// A Deleted is one device of a deletion.
type Deleted struct {
	Device string `json:"device"`
	Mode   string `json:"mode,omitempty"` // of an Android device
	Erases bool   `json:"erases"`         // it has no other way out than to erase itself
	Gone   bool   `json:"gone,omitempty"` // it is not enrolled, and its record goes at once
}

// A DeleteOrder is devices to be deleted.
type DeleteOrder struct {
	Devices []string `json:"devices"`
	Count   int      `json:"count,omitempty"` // of those that erase themselves by it, as whoever wants it has typed (HST-071)
}

// PreviewDelete tells what a deletion would do. Nothing is changed.
func (r *Rollcall) PreviewDelete(ctx context.Context, o DeleteOrder) (d Deletion, err error) {
	err = r.call(ctx, http.MethodPost, "/rollcall/v1/orders/delete/preview", o, &d)
	return d, err
}

// DeleteAll is [Rollcall.Delete] of several devices, and of those that erase themselves.
func (r *Rollcall) DeleteAll(ctx context.Context, o DeleteOrder) (d Deletion, err error) {
	err = r.call(ctx, http.MethodPost, "/rollcall/v1/orders/delete", o, &d)
	return d, err
}

// Reenrol unenrols a device at its next check-in and makes a link for its user to enrol it again (AUTH-44).
func (r *Rollcall) Reenrol(ctx context.Context, device string) (i Invitation, err error) {
	err = r.call(ctx, http.MethodPost, "/rollcall/v1/devices/"+url.PathEscape(device)+"/reenrol", struct{}{}, &i)
	return i, err
}
