package population

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"rollcall/fleet/plan"
	"rollcall/protocol"
	"rollcall/protocol/lang"
)

// A managedRow is one record of Graph's managedDevices, or one line of the console's export in the same words.
type managedRow struct {
	ID           text       `json:"id"`
	Name         text       `json:"deviceName"`
	System       text       `json:"operatingSystem"`
	Version      text       `json:"osVersion"`
	Model        text       `json:"model"`
	Manufacturer text       `json:"manufacturer"`
	Serial       text       `json:"serialNumber"`
	UDID         text       `json:"udid"`
	Type         word       `json:"deviceType"`
	Owner        word       `json:"managedDeviceOwnerType"`
	OwnerBeta    word       `json:"ownerType"`
	UserID       text       `json:"userId"`
	UPN          text       `json:"userPrincipalName"`
	Enrolment    word       `json:"deviceEnrollmentType"`
	Agent        word       `json:"managementAgent"`
	State        word       `json:"managementState"`
	Registration word       `json:"deviceRegistrationState"`
	Enrolled     when       `json:"enrolledDateTime"`
	Contact      when       `json:"lastSyncDateTime"`
	CertEnd      when       `json:"managementCertificateExpirationDate"`
	Compliance   word       `json:"complianceState"`
	Join         word       `json:"joinType"`
	ByAutopilot  boolean    `json:"autopilotEnrolled"`
	Supervised   boolean    `json:"isSupervised"`
	Workloads    *workloads `json:"configurationManagerClientEnabledFeatures"`
	Actions      []struct {
		Name  word `json:"actionName"`
		State word `json:"actionState"`
	} `json:"deviceActionResults"`

	inferred bool // the source has no enrolment types
}

type workloads struct {
	ModernApps          boolean `json:"modernApps"`
	ResourceAccess      boolean `json:"resourceAccess"`
	DeviceConfiguration boolean `json:"deviceConfiguration"`
	CompliancePolicy    boolean `json:"compliancePolicy"`
	Update              boolean `json:"windowsUpdateForBusiness"`
	EndpointProtection  boolean `json:"endpointProtection"`
	OfficeApps          boolean `json:"officeApps"`
}

func (w *workloads) intune() Workloads {
	var bits Workloads
	for _, l := range []struct {
		on  boolean
		bit Workloads
	}{
		{w.CompliancePolicy, Compliance},
		{w.ResourceAccess, ResourceAccess},
		{w.DeviceConfiguration, DeviceConfiguration},
		{w.EndpointProtection, EndpointProtection},
		{w.Update, Update},
		{w.OfficeApps, OfficeApps},
		{w.ModernApps, ClientApps},
	} {
		if l.on {
			bits |= l.bit
		}
	}
	return bits
}

func (im *importer) managedRecord(file string, at place, raw []byte) *plan.Error {
	var row managedRow
	if err := json.Unmarshal(raw, &row); err != nil {
		return jsonError(file, at, raw, &row, err)
	}
	return im.managedDevice(&row, func(field, message string) *plan.Error {
		return &plan.Error{File: file, Line: at.line, Column: at.column, Field: field, Message: message}
	})
}

// agents maps managementAgent to who manages the device. Every other agent is not MDM of this tenant.
var agents = map[string]protocol.Authority{
	"mdm": protocol.Intune, "easmdm": protocol.Intune, "googleclouddevicepolicycontroller": protocol.Intune, "intuneaosp": protocol.Intune,
	"configurationmanagerclientmdm": protocol.Intune, "configurationmanagerclientmdmeas": protocol.Intune,
	"microsoft365managedmdm": protocol.Office365,
}

// managedBy returns who manages a device with this agent in the tenant.
func (im *importer) managedBy(agent string) (by protocol.Authority, known bool) {
	by, known = agents[agent]
	if im.o.BMSAgent != nil {
		if slices.ContainsFunc(im.o.BMSAgent, func(a string) bool { return member(agentNumbers, a) == agent }) {
			return protocol.Office365, true
		}
		if by == protocol.Office365 {
			by = protocol.Intune
		}
		return by, known
	}
	if im.alone() && (agent == "mdm" || agent == "easmdm") {
		by = protocol.Office365 // older data
	}
	return by, known
}

// alone tells whether Basic Mobility and Security is all the tenant has.
func (im *importer) alone() bool {
	return im.pop.Tenant.Authority == protocol.Office365 && !im.pop.Tenant.Coexistence
}

// managedDevice takes one record, or leaves it out with the first reason that holds.
func (im *importer) managedDevice(row *managedRow, bad func(field, message string) *plan.Error) *plan.Error {
	id := known(string(row.ID))
	switch {
	case id == "":
		return bad("id", "a device without id")
	case !im.fresh(id):
		return bad("id", fmt.Sprintf("device %s is there twice", clean(id)))
	}
	agent, kind := member(agentNumbers, string(row.Agent)), member(typeNumbers, string(row.Type))
	state, registration := member(stateNumbers, string(row.State)), member(registrationNumbers, string(row.Registration))
	platform := platformOf(string(row.System), kind, string(row.Model))
	by, enrolled := im.managedBy(agent)
	switch {
	case state == "discovered":
		im.leave(Discovered, platform)
		return nil
	case !enrolled:
		im.leave(Agent, platform)
		return nil
	case platform == protocol.MacOS && (im.alone() || by == protocol.Office365):
		im.leave(MacUnderBMS, platform)
		return nil
	case platform == protocol.NoPlatform:
		im.leave(NoSuchPlatform, platform)
		return nil
	}
	n := len(im.pop.Devices)
	user, foreign := im.deviceUser(string(row.UserID), string(row.UPN), n)
	if foreign {
		return bad("userPrincipalName", "a user of another tenant: the domain is none of this tenant's")
	}
	enrolment := member(enrolmentNumbers, string(row.Enrolment))
	d := Device{
		Platform: platform, User: user, Registered: by, Current: true, Joins: Already,
		Enrolled: protocol.Time(row.Enrolled), Contact: Span{protocol.Time(row.Contact), protocol.Time(row.Contact)}, CertEnd: protocol.Time(row.CertEnd),
	}
	if d.Ownership = ownershipOf(member(ownerNumbers, string(row.Owner))); d.Ownership == UnknownOwner {
		d.Ownership = ownershipOf(member(ownerNumbers, string(row.OwnerBeta)))
	}
	im.managedState(&d, row, state, registration)
	im.managedEnrolment(&d, n, row, agent, enrolment)
	im.coManaged(&d, n, row, agent, enrolment)
	if im.alone() && by == protocol.Intune {
		im.doubt(AgentNotBMS, n, lang.Later("its agent (%s) is Intune's, in a tenant that has only office365 (AUTH-46); kept as registered with Intune", agent),
			lang.Later("left out: not managed by this tenant"))
	}
	im.identify(&d, id, row)
	im.take(d)
	return nil
}

// managedState reads what is pending.
func (im *importer) managedState(d *Device, row *managedRow, state, registration string) {
	switch state {
	case "retirepending", "retireissued", "wipepending", "wipeissued", "deletepending":
		d.Traits |= Leaving
	}
	for _, a := range row.Actions {
		if state := member(actionNumbers, string(a.State)); state == "pending" || state == "active" {
			switch strings.ToLower(string(a.Name)) {
			case "retire", "wipe", "delete":
				d.Traits |= Leaving
			}
		}
	}
	switch registration {
	case "notregisteredpendingenrollment", "approvalpending":
		d.Traits |= Enrolling
		d.Registered, d.Joins = protocol.Unknown, Never
	case "revoked":
		d.Traits |= Revoked
	}
	switch member(complianceNumbers, string(row.Compliance)) {
	case "noncompliant":
		d.Traits |= Noncompliant
	case "ingraceperiod":
		d.Traits |= InGracePeriod
	}
	if row.Supervised {
		d.Traits |= Supervised
	}
}

// managedEnrolment reads how the device came under management.
func (im *importer) managedEnrolment(d *Device, n int, row *managedRow, agent, enrolment string) {
	var userless bool
	d.Enrolment, userless = enrolmentOf(enrolment)
	if d.Platform == protocol.Windows && !d.Userless() {
		d.Enrolment = directoryWay(d.Enrolment, enrolment, member(nil, string(row.Join)), bool(row.ByAutopilot))
	}
	if d.Userless() && (enrolment == "" || enrolment == "unknown" || enrolment == "unknownfuturevalue") {
		d.Enrolment, _ = userlessWay(d.Platform)
	}
	if row.inferred && enrolment == "" {
		im.assume(lang.Key("enrolment type"), lang.Key("the user's own; without a user: automated (Apple), bulk (Windows), dedicated (Android)"))
	}
	if userless && !d.Userless() {
		im.doubt(UserOnUserless, n, lang.Later("its enrolment type has no user, yet it names one; taken as that user's"), lang.Later("userless: it stays where it is registered (AUTH-18)"))
	}
	if agent == "googleclouddevicepolicycontroller" || d.Platform == protocol.Android && (d.Enrolment == Dedicated || d.Enrolment == FullyManaged || d.Enrolment == WorkProfile) {
		d.Traits |= AndroidAPI
	}
	if d.Platform == protocol.Android && d.Enrolment == ByUser && (member(typeNumbers, string(row.Type)) == "androidforwork" || strings.EqualFold(string(row.System), "AndroidForWork")) {
		d.Enrolment = WorkProfile // personally owned: not through Android Management API
	}
}

// directoryWay is by, as far as a user's PC does not say more: how it belongs to the directory, and whether Autopilot set it up. What is
// joined to a domain too enrols by itself as its group policy says.
func directoryWay(by Enrolment, enrolment, join string, autopilot bool) Enrolment {
	switch {
	case by != ByUser && by != Joined:
	case autopilot:
		return Autopilot
	case join == "azureadregistered":
		return DirectoryRegistered
	case join == "hybridazureadjoined" && enrolment == "windowsautoenrollment":
		return GroupPolicy
	case join == "azureadjoined", join == "hybridazureadjoined":
		return Joined
	}
	return by
}

// coManaged reads the signs of co-management (AUTH-12, AUTH-51).
func (im *importer) coManaged(d *Device, n int, row *managedRow, agent, enrolment string) {
	signs := strings.HasPrefix(agent, "configurationmanagerclientmdm") || row.Workloads != nil
	if !signs && enrolment != "windowscomanagement" {
		return
	}
	if !signs || d.Platform != protocol.Windows || d.Registered == protocol.Office365 || !build16299(string(row.Version)) {
		im.doubt(NotCoManaged, n, lang.Later("it shows signs of co-management that do not hold for it (AUTH-12); taken as not co-managed"),
			lang.Later("co-managed: all its user's devices resolve to Intune (AUTH-15)"))
		return
	}
	d.Traits |= CoManaged
	if d.User != Nobody {
		im.pop.Users[d.User].CoManaged = true
	}
	if w := row.Workloads; w != nil {
		d.Workloads = w.intune()
		if bool(w.DeviceConfiguration) && !(bool(w.ResourceAccess) && bool(w.EndpointProtection)) {
			im.doubt(WorkloadsDiffer, n, lang.Later("device configuration is Intune's, resource access or endpoint protection is not (AUTH-51); taken as Intune's"),
				lang.Later("those workloads stay with Configuration Manager"))
			d.Workloads |= ResourceAccess | EndpointProtection
		}
	}
}

// build16299 tells whether version is Windows 10 1709 or later; no version is taken for yes.
func build16299(version string) bool {
	if version == "" {
		return true
	}
	parts := strings.Split(version, ".")
	if len(parts) < 3 {
		return true
	}
	build, err := strconv.Atoi(parts[2])
	return err != nil || build >= 16299
}

// identify fills in names and hardware.
func (im *importer) identify(d *Device, key string, row *managedRow) {
	product := ""
	if d.Platform.Apple() {
		product = productOf(d.Platform, string(row.Model))
	}
	d.Model = im.model(Model{clean(string(row.Model)), product, clean(string(row.Manufacturer))})
	d.OSVersion = im.share(clean(string(row.Version)))
	name := string(row.Name)
	if name == "" {
		name = key
	}
	d.Name = im.keep(im.tokens.name("device", name))
	d.Serial = im.keep(im.tokens.serial(string(row.Serial), key))
	im.scratch = im.tokens.udid(im.scratch[:0], d.Platform, string(row.UDID), key)
	d.UDID = im.strings.keep(im.scratch)
}

// take adds d to the population.
func (im *importer) take(d Device) {
	im.pop.Total++
	im.pop.Devices, im.pop.keys = append(im.pop.Devices, d), append(im.pop.keys, im.key)
}

// year is how long an identity certificate lives where the export does not say (AUTH-40), as a [protocol.Time].
const year = protocol.Time(365 * 24 * time.Hour / time.Microsecond)

// certEnd returns the first end of a yearly certificate, first issued at from, that is after contact.
func certEnd(from, contact protocol.Time) protocol.Time {
	if from == 0 {
		return 0
	}
	return from + year*(max(0, contact-from)/year+1)
}
