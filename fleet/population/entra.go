package population

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"rollcall/fleet/plan"
	"rollcall/protocol"
	"rollcall/protocol/lang"
)

// An entraRow is one device of the directory (GET /devices?$expand=registeredOwners).
type entraRow struct {
	DeviceID     text       `json:"deviceId"`
	ID           text       `json:"id"`
	Name         text       `json:"displayName"`
	ProfileType  text       `json:"profileType"`
	System       text       `json:"operatingSystem"`
	Version      text       `json:"operatingSystemVersion"`
	Model        text       `json:"model"`
	Manufacturer text       `json:"manufacturer"`
	Managed      boolean    `json:"isManaged"`
	Management   text       `json:"managementType"`
	App          text       `json:"mdmAppId"`
	Owners       []ownerRow `json:"registeredOwners"`
	Ownership    text       `json:"deviceOwnership"`
	Trust        text       `json:"trustType"`
	SignIn       when       `json:"approximateLastSignInDateTime"`
	Registered   when       `json:"registrationDateTime"`
	Compliant    *boolean   `json:"isCompliant"`
	Enabled      *boolean   `json:"accountEnabled"`
	Enrolment    word       `json:"enrollmentType"`
	ProfileName  text       `json:"enrollmentProfileName"`
}

type ownerRow struct {
	ID  text `json:"id"`
	UPN text `json:"userPrincipalName"`
}

// The MDM applications that mdmAppId names.
const (
	appBMS    = "7add3ecd-5b01-452e-b4bf-cdaf9df1d097" // Office 365 Mobile
	appIntune = "0000000a-0000-0000-c000-000000000000"
)

// coarse is how far behind the last contact the directory's last sign-in can be: it is replaced only when it is
// over 14 days (give or take 5) old.
const coarse = 19 * 24 * time.Hour

// ownerKey tells whether a device is enrolled again: the same name and owner.
type ownerKey struct {
	name string
	user int32
}

func (im *importer) entraRecord(file string, at place, raw []byte) *plan.Error {
	var row entraRow
	if err := json.Unmarshal(raw, &row); err != nil {
		return jsonError(file, at, raw, &row, err)
	}
	return im.entraDevice(&row, func(field, message string) *plan.Error {
		return &plan.Error{File: file, Line: at.line, Column: at.column, Field: field, Message: message}
	})
}

// entraDevice takes one record, or leaves it out with the first reason that holds.
func (im *importer) entraDevice(row *entraRow, bad func(field, message string) *plan.Error) *plan.Error {
	key := known(string(row.DeviceID))
	switch {
	case key == "":
		return bad("deviceId", "a device without deviceId")
	case !im.fresh(key):
		return bad("deviceId", fmt.Sprintf("device %s is there twice", clean(key)))
	}
	platform := platformOf(string(row.System), "", string(row.Model))
	if why := im.entraReason(row, platform); why != "" {
		im.leave(why, platform)
		return nil
	}
	n := len(im.pop.Devices)
	d := Device{Platform: platform, Registered: protocol.Office365, Current: true, Joins: Already, Enrolled: protocol.Time(row.Registered)}
	d.Contact.Earliest = protocol.Time(row.SignIn)
	foreign := false
	if d.User, foreign = im.entraOwner(row, n); foreign {
		return bad("registeredOwners", "a user of another tenant: the domain is none of this tenant's")
	}
	if im.intunesApp(row) && im.pop.Tenant.Coexistence || im.googles(row) {
		d.Registered = protocol.Intune
	}
	d.Enrolment, _ = enrolmentOf(member(enrolmentNumbers, string(row.Enrolment)))
	switch {
	case strings.EqualFold(string(row.Ownership), "company"):
		d.Ownership = Company
	case strings.EqualFold(string(row.Ownership), "personal"), strings.EqualFold(string(row.Trust), "Workplace"):
		d.Ownership = Personal
	case strings.EqualFold(string(row.Trust), "AzureAd"), strings.EqualFold(string(row.Trust), "ServerAd"):
		d.Ownership = Company
	}
	if im.googles(row) {
		d.Traits |= AndroidAPI
	}
	if row.Compliant != nil && !bool(*row.Compliant) {
		d.Traits |= Noncompliant
	}
	if row.Enabled != nil && !bool(*row.Enabled) {
		d.Traits |= Disabled
	}
	im.entraDoubts(row, &d, n)
	im.identify(&d, key, &managedRow{Name: row.Name, Model: row.Model, Manufacturer: row.Manufacturer, Version: row.Version})
	im.enrolledAgain(row, &d, n)
	im.take(d)
	return nil
}

// entraReason returns the first reason to leave row out, and "" to take it.
func (im *importer) entraReason(row *entraRow, p protocol.Platform) Reason {
	app := known(string(row.App))
	switch management := strings.ToLower(string(row.Management)); {
	case row.ProfileType != "" && !strings.EqualFold(string(row.ProfileType), "RegisteredDevice"):
		return ProfileType
	case management != "" && management != "mdm" && management != "easmdm" && management != "unknown" && management != "googleclouddevicepolicycontroller":
		return ManagementType
	case !bool(row.Managed):
		return NotManaged
	case app != "" && !strings.EqualFold(app, appBMS) && !strings.EqualFold(app, appIntune):
		return OtherMDM
	case p == protocol.MacOS && !(im.intunesApp(row) && im.pop.Tenant.Coexistence):
		return MacUnderBMS
	case p == protocol.NoPlatform:
		return NoSuchPlatform
	}
	return ""
}

func (im *importer) intunesApp(row *entraRow) bool {
	return strings.EqualFold(string(row.App), appIntune)
}

func (im *importer) googles(row *entraRow) bool {
	return strings.EqualFold(string(row.Management), "googleCloudDevicePolicyController")
}

// entraOwner returns the device's user, with what is doubtful about the owners.
func (im *importer) entraOwner(row *entraRow, n int) (user int32, foreign bool) {
	if len(row.Owners) == 0 || known(string(row.Owners[0].ID))+known(string(row.Owners[0].UPN)) == "" {
		im.doubt(NoOwner, n, lang.Later("it has no owner, though Basic Mobility and Security enrols nobody without a user; it stays where it is (AUTH-18)"),
			lang.Later("a user's device: AUTH-14 or AUTH-16, as that user's licences say"))
		return Nobody, false
	}
	user, foreign = im.deviceUser(string(row.Owners[0].ID), string(row.Owners[0].UPN), n)
	if foreign || len(row.Owners) == 1 {
		return user, foreign
	}
	second := row.Owners[1]
	other, shown := im.userOf(known(string(second.ID)), known(string(second.UPN)))
	first := &im.pop.Users[user]
	text := lang.Later("it has %d owners; the first, %s (%s), was taken", len(row.Owners), first.UPN, className(first.Licence))
	reading := lang.Later("that owner's licences would decide")
	if shown {
		u := &im.pop.Users[other]
		text = lang.Later("it has %d owners; the first, %s (%s), was taken, not %s", len(row.Owners), first.UPN, className(first.Licence), u.UPN)
		reading = lang.Later("%s's device (%s): it would resolve alike", u.UPN, className(u.Licence))
		if u.Licence&IntuneLicence != first.Licence&IntuneLicence {
			reading = lang.Later("%s's device (%s): it would resolve otherwise", u.UPN, className(u.Licence))
		}
	}
	im.doubt(TwoOwners, n, text, reading)
	if shown {
		im.pop.Doubts[len(im.pop.Doubts)-1].Owner = other
	}
	return user, false
}

// entraDoubts notes what contradicts itself.
func (im *importer) entraDoubts(row *entraRow, d *Device, n int) {
	switch coexistence := im.pop.Tenant.Coexistence; {
	case im.googles(row):
		im.doubt(AgentNotBMS, n, lang.Later("it is managed through Android Management API, which is never under BMS (AUTH-46); kept as registered with Intune"), lang.Later("left out: not managed by this tenant"))
	case im.intunesApp(row) && !coexistence:
		im.doubt(IntunesApp, n, lang.Later("its MDM application is Intune's, in a tenant without coexistence; taken as registered with office365"), lang.Later("already registered with Intune"))
	case known(string(row.App)) == "" && coexistence:
		im.doubt(NoApp, n, lang.Later("it names no MDM application, in a tenant with two; taken as registered with office365"), lang.Later("registered with Intune"))
	}
	if row.SignIn == 0 {
		im.doubt(NoSignIn, n, lang.Later("its last sign-in is empty, which does not mean idle; its habits come from the mix"), lang.Later("idle since it was registered"))
	}
	if d.Traits&Disabled != 0 {
		im.doubt(ObjectDisabled, n, lang.Later("its directory object is disabled; kept: still enrolled, cut off from data"), lang.Later("blocked on purpose: it will not be in use"))
	}
	if row.ProfileName != "" && d.Registered == protocol.Office365 {
		im.doubt(ProfileOnBMS, n, lang.Later("it has an enrolment profile, which BMS does not know; taken as its user's own"), lang.Later("automated or bulk enrolment, and then not under BMS"))
	}
}

// enrolledAgain finds a device of the same name and owner; the older of the two is the doubt.
func (im *importer) enrolledAgain(row *entraRow, d *Device, n int) {
	key := ownerKey{strings.ToLower(string(row.Name)), d.User}
	before, there := im.owners[key]
	im.owners[key] = int32(n)
	if !there || row.Name == "" || d.User == Nobody {
		return
	}
	older, newer := before, int32(n)
	if d.Enrolled < im.pop.Devices[before].Enrolled {
		older, newer = newer, older
		im.owners[key] = before
	}
	im.doubt(EnrolledAgain, int(older), lang.Later("its owner has another device of the same name, registered later (record %d); both were kept", newer+1),
		lang.Later("the same device enrolled again: this record is a leftover, one device fewer"))
}
