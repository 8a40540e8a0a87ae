package target

import (
	"context"
	"net/http"

	"rollcall/protocol"
)

// A Preview is what a change does, or did: what is true right after it, before any check-in (AUTH-35). All counts are
// devices but where another word is said.
type Preview struct {
	ID          string        `json:"id"` // confirms the same change, as long as the world is the same
	Before      string        `json:"before"`
	After       string        `json:"after"`
	Epoch       uint32        `json:"epoch"`
	ChangedAt   protocol.Time `json:"changed_at"`
	Unsupported bool          `json:"unsupported"` // only force does it (AUTH-04)
	Confirm     bool          `json:"confirm"`     // the change wants the ID
	OpensGap    bool          `json:"opens_gap"`   // Apple devices wait for a renewed push certificate afterwards (AUTH-30)

	Enrolled           int            `json:"enrolled"`
	Pending            int            `json:"pending"`
	NewlyPending       int            `json:"newly_pending"` // of these, by this change
	Stale              int            `json:"stale"`
	Blocked            int            `json:"blocked"`
	Stranded           int            `json:"stranded"`
	StrandedBy         []ReasonCount  `json:"stranded_by"`
	NeedsSupport       int            `json:"needs_support"`
	MustEnrol          int            `json:"must_enrol_again"`
	Unlicensed         int            `json:"unlicensed"`
	Leaving            int            `json:"leaving"`
	WouldMove          int            `json:"would_move"`
	WouldMoveReachable int            `json:"would_move_reachable"`
	WouldMoveBlocked   int            `json:"would_move_blocked"`
	WouldStay          int            `json:"would_stay"`
	Prompts            int            `json:"mail_prompts"` // AUTH-37
	Unprotected        int            `json:"unprotected"`  // AUTH-23
	Groups             []Group        `json:"groups"`
	Devices            []Named        `json:"devices"` // those that it concerns; the first thousand
	Profiles           []ProfileGroup `json:"profiles"`

	UnitsKnown bool      `json:"intune_units_known"` // AUTH-09
	Units      int       `json:"intune_units"`
	UnitsFree  int       `json:"intune_units_free"`
	UnitsShort int       `json:"intune_units_short"`
	Users      int       `json:"users_staying"` // users whose devices stay for want of a unit
	Warnings   []Warning `json:"warnings"`
}

// A ReasonCount is devices that are stranded for one reason.
type ReasonCount struct {
	Reason  string `json:"reason"` // certificate_expired, certificate_revoked, topic_changed, userless or offline
	Devices int    `json:"devices"`
}

// A Group is the devices that one rule treats alike.
type Group struct {
	Fate       string             `json:"fate"` // leaves, moves, stranded or stays
	From       protocol.Authority `json:"from"` // who registered them
	To         protocol.Authority `json:"to"`   // who should manage them
	Before     protocol.Rule      `json:"rule_before"`
	Rule       protocol.Rule      `json:"rule"`
	Stranded   string             `json:"stranded"` // a reason; empty: they are not
	Devices    int                `json:"devices"`
	Reachable  int                `json:"reachable"`
	Blocked    int                `json:"blocked"`
	Stale      int                `json:"stale"`
	MustEnrol  int                `json:"must_enrol_again"`
	Unlicensed int                `json:"unlicensed"`
	Unsure     int                `json:"unsure"`
	Platforms  []PlatformCount    `json:"platforms"`
}

// A Named is one device that a change concerns.
type Named struct {
	Device     string             `json:"device"` // what the wire calls it
	Fate       string             `json:"fate"`   // as its group's
	From       protocol.Authority `json:"from"`
	To         protocol.Authority `json:"to"`
	Before     protocol.Rule      `json:"rule_before"`
	Rule       protocol.Rule      `json:"rule"`
	Stranded   string             `json:"stranded"`
	Blocked    protocol.Rule      `json:"blocked"` // what holds it
	Pending    bool               `json:"pending"`
	Stale      bool               `json:"stale"`
	MustEnrol  bool               `json:"must_enrol_again"`
	Unlicensed bool               `json:"unlicensed"`
	Settings   int                `json:"profiles"` // that come, go, or are replaced
}

// A PlatformCount is devices of one platform.
type PlatformCount struct {
	Platform protocol.Platform `json:"platform"`
	Devices  int               `json:"devices"`
}

// A ProfileGroup is profiles on devices to which the change does the same.
type ProfileGroup struct {
	Effect  string          `json:"effect"` // removed, replaced, overwritten, redundant, unassigned, installed or updated
	Rule    protocol.Rule   `json:"rule"`
	Family  protocol.Family `json:"family"`
	Until   protocol.Time   `json:"until"` // they leave at the latest; 0: no such moment
	Devices int             `json:"devices"`
}

// A Change is a change of authority that somebody wants.
type Change struct {
	Authority string `json:"authority"` // intune, sccm, office365 or coexistence
	Force     bool   `json:"force,omitempty"`
	Confirm   string `json:"confirm,omitempty"` // id of a preview of the same change
	Count     int    `json:"count,omitempty"`   // devices that it strands, as whoever wants it has typed (HST-071)
}

// PreviewAuthority tells what a change would do now. Nothing is changed.
func (r *Rollcall) PreviewAuthority(ctx context.Context, c Change) (p Preview, err error) {
	c.Confirm, c.Count = "", 0
	err = r.call(ctx, http.MethodPost, "/rollcall/v1/authority/preview", c, &p)
	return p, err
}

// SetAuthority changes the authority and tells what that does. An [*Error] with a Preview wants it confirmed, or is why an
// earlier confirmation is none any more.
func (r *Rollcall) SetAuthority(ctx context.Context, c Change) (p Preview, err error) {
	err = r.call(ctx, http.MethodPost, "/rollcall/v1/authority", c, &p)
	return p, err
}

// A Licence is what one user holds after a change of licences: all of it, or, with Assign or Remove, that beside what it holds
// already, so that nobody else's change is lost (HST-070).
type Licence struct {
	UPN       string   `json:"upn"`
	Intune    bool     `json:"intune,omitempty"`
	Basic     bool     `json:"basic,omitempty"`
	CoManaged bool     `json:"co_managed,omitempty"`
	Premium   bool     `json:"directory_premium,omitempty"` // Azure AD Premium (AUTH-51)
	Assign    []string `json:"assign,omitempty"`            // intune, basic, premium or co-managed
	Remove    []string `json:"remove,omitempty"`
}

type licences struct {
	Licences []Licence `json:"licences"`
	Confirm  string    `json:"confirm,omitempty"`
}

// PreviewLicences tells what SetLicences would do now. Nothing is changed.
func (r *Rollcall) PreviewLicences(ctx context.Context, list []Licence) (p Preview, err error) {
	err = r.call(ctx, http.MethodPost, "/rollcall/v1/users/licences/preview", licences{Licences: list}, &p)
	return p, err
}

// SetLicences says what users hold from now on, and tells what that does. Confirm is the id of a preview of the same
// list, or empty.
func (r *Rollcall) SetLicences(ctx context.Context, list []Licence, confirm string) (p Preview, err error) {
	err = r.call(ctx, http.MethodPost, "/rollcall/v1/users/licences", licences{list, confirm}, &p)
	return p, err
}
