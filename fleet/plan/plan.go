package plan

import (
	"cmp"
	"time"

	"rollcall/protocol"
)

// A Plan is one plan file. Each field's meaning is its description, which [Schema] shows to editors too.
type Plan struct {
	Name       string     `yaml:"name" jsonschema_description:"what reports call the plan; default: the file's name"`
	Teaches    Sentence   `yaml:"teaches" jsonschema_description:"what the plan shows, in a sentence or two; rollcall plan list shows it"`
	Seed       uint64     `yaml:"seed" jsonschema_description:"same plan and seed, same story; default 0"`
	Until      Duration   `yaml:"until" jsonschema_description:"length of the story"`
	Step       Duration   `yaml:"step" jsonschema_description:"a driven clock takes together what is due within this; default 10m"`
	Tenant     Tenant     `yaml:"tenant" jsonschema_description:"the tenant as the story begins"`
	Population Population `yaml:"population" jsonschema_description:"who the devices and users are, and their habits"`
	Profiles   []Profile  `yaml:"profiles" jsonschema_description:"profiles that the timeline assigns"`
	Acts       []Act      `yaml:"acts" jsonschema_description:"the acts of the story, for progress and report"`
	Timeline   []Action   `yaml:"timeline" jsonschema_description:"what happens when, in order of time"`
	Faults     []Fault    `yaml:"faults" jsonschema_description:"what fails meanwhile"`
	Arrival    *Arrival   `yaml:"arrival" jsonschema_description:"how devices arrive in a live load; a rehearsal does without it"`
	Limits     []Limit    `yaml:"limits" jsonschema_description:"what must hold at the end"`
	IOwn       []string   `yaml:"i_own" jsonschema_description:"hosts that the plan may be played against; loopback needs no name"`

	text  []byte              // that it was parsed from
	file  string              // for messages
	where map[string]position // of each key and list item, by its path
	there *Tenancy            // that it was read for; nil: it has its own
}

// A Tenant is who manages, and the tenant's settings.
type Tenant struct {
	Authority   protocol.Authority `yaml:"authority" jsonschema_description:"who manages devices; default intune"`
	Coexistence bool               `yaml:"coexistence" jsonschema_description:"Intune has been added to an office365 tenant"`
	Release     int                `yaml:"release" jsonschema_description:"service release in which the tenant was made (yymm); from 1911 on it starts as intune"`
	Units       *int               `yaml:"units" jsonschema:"minimum=0" jsonschema_description:"licences that entitle Intune, owned (AUTH-09); default: not known, never short"`
	Consents    []Consent          `yaml:"consents" jsonschema_description:"data-sharing consents granted before the beginning (AUTH-05); default: all"`
	APNs        APNs               `yaml:"apns" jsonschema_description:"the Apple push certificate"`
	BMS         BMS                `yaml:"bms" jsonschema_description:"Basic Mobility and Security"`
	Identity    Identity           `yaml:"identity" jsonschema_description:"the devices' own certificates"`
	CoManaged   CoManagement       `yaml:"co_management" jsonschema_description:"who decides the workloads of co-managed PCs (AUTH-51)"`
	Gap         Gap                `yaml:"gap" jsonschema_description:"when Apple devices wait for a renewed push certificate (AUTH-30)"`
	CleanUp     Duration           `yaml:"clean_up" jsonschema_description:"records silent for so long are deleted, 30d to 270d (AUTH-48); default: none is"`
	OldProfiles Duration           `yaml:"old_profiles" jsonschema_description:"how long profiles of the authority before stay after a change, 1d to 90d (AUTH-27); default 7d"`
	Records     Duration           `yaml:"records" jsonschema_description:"how long a record outlives its identity certificate, 1d to 3650d (AUTH-43); default 180d"`
	Cadence     Duration           `yaml:"cadence" jsonschema_description:"time between two wake-ups of the schedule, of Apple devices, 1h to 24h (AUTH-21); default 8h"`
	Counted     Duration           `yaml:"device_contact" jsonschema_description:"how long after its latest contact a device counts against the limit, 1d to 365d (AUTH-47); default 90d"`
	Reach       Duration           `yaml:"reach" jsonschema_description:"time after which a wipe or retire that its device has not heard of is repeated, 1m to 1h (AUTH-53); default 15m"`
	DeviceLimit int                `yaml:"device_limit" jsonschema:"minimum=0" jsonschema_description:"devices that a user may enrol with Intune, 1 to 15 (AUTH-47); default 15"`
}

// A Gap says when a change of authority opens the gap in Apple's push certificates, and for whom.
type Gap struct {
	OnCoexistence *bool               `yaml:"on_coexistence" jsonschema_description:"adding Intune to office365 opens it; default true"`
	Platforms     []protocol.Platform `yaml:"platforms" jsonschema_description:"who waits in it; default ios, ipados, macos"`
}

// CoManagement says who decides each workload of co-managed PCs; default: Configuration Manager.
type CoManagement struct {
	Pilot               string  `yaml:"pilot" jsonschema_description:"group of the population whose PCs are in the pilot"`
	Compliance          Decider `yaml:"compliance"`
	ResourceAccess      Decider `yaml:"resource_access"`
	DeviceConfiguration Decider `yaml:"device_configuration" jsonschema_description:"with resource access and endpoint protection"`
	EndpointProtection  Decider `yaml:"endpoint_protection"`
	Update              Decider `yaml:"update"`
	OfficeApps          Decider `yaml:"office_apps"`
	ClientApps          Decider `yaml:"client_apps"`
}

// Deciders lists who decides, in the order of the fields.
func (c *CoManagement) Deciders() [7]Decider {
	return [...]Decider{c.Compliance, c.ResourceAccess, c.DeviceConfiguration, c.EndpointProtection, c.Update, c.OfficeApps, c.ClientApps}
}

// APNs is the Apple push certificate in force as the story begins (AUTH-33).
type APNs struct {
	Topic   string   `yaml:"topic" jsonschema:"pattern=^com\\.apple\\.mgmt\\." jsonschema_description:"push topic; default: one made from the plan's name"`
	Expires Duration `yaml:"expires" jsonschema_description:"its end, counted from the beginning; default 365d"`

	Grace    Duration   `yaml:"grace" jsonschema_description:"after its end, in which it can be renewed, 1d to 365d (AUTH-33); default 30d"`
	Warnings []Duration `yaml:"warnings" jsonschema_description:"how long before its end it is warned of, in whole days, the longest first (AUTH-33); default 30d, 14d, 7d, 1d"`
}

// WarningDays are the warnings in days; nil: the default.
func (a *APNs) WarningDays() (days []int) {
	for _, w := range a.Warnings {
		days = append(days, int(time.Duration(w)/Day))
	}
	return days
}

// BMS holds the settings of Basic Mobility and Security.
type BMS struct {
	Userless Gate `yaml:"userless" jsonschema_description:"whether userless devices may enrol under office365 alone; default accept"`
}

// Identity is the life of the devices' own certificates (AUTH-40, AUTH-41).
type Identity struct {
	Lifetime Duration `yaml:"lifetime" jsonschema_description:"validity of an identity certificate; default 365d"`
	Window   Duration `yaml:"window" jsonschema_description:"it is renewed within this time before its end; default 42d"`
	Retry    Duration `yaml:"retry" jsonschema_description:"time between two tries to renew it, up to 90d (AUTH-41); default 7d"`
}

// A Population is who the devices and users are. Devices that the timeline or Already name are beside Devices.
type Population struct {
	Devices        int            `yaml:"devices" jsonschema:"minimum=0" jsonschema_description:"devices with a user that the mix makes"`
	Mix            ByPlatform     `yaml:"mix" jsonschema_description:"their platforms, in parts of 100"`
	DevicesPerUser map[int]int    `yaml:"devices_per_user" jsonschema_description:"number of devices: parts of 100 of the users; default 1: 100"`
	Licences       Licences       `yaml:"licences" jsonschema_description:"the users' licences, in parts of 100; default: what the tenant needs"`
	Groups         map[string]int `yaml:"groups" jsonschema_description:"groups of users, in parts of 100; what is missing to 100 is in no group"`
	Already        Already        `yaml:"already" jsonschema_description:"devices enrolled before the story begins"`
	Offline        Offline        `yaml:"offline" jsonschema_description:"spells without a network"`
	Silent         []Silence      `yaml:"silent" jsonschema_description:"devices of already that have been silent for long when the story begins, and how they come back"`
	Clocks         Clocks         `yaml:"clocks" jsonschema_description:"devices whose clock is wrong (HST-058); rehearsed only"`
	Ways           Ways           `yaml:"ways" jsonschema_description:"how Windows PCs enrol, in parts of 100; what is missing to 100, by the user with an enrolment link (AUTH-47)"`
	OtherMDM       Share          `yaml:"other_mdm" jsonschema_description:"Android and Windows devices that are managed elsewhere when they want to enrol (AUTH-47)"`
	Habits         Habits         `yaml:"habits" jsonschema_description:"what devices and their users tend to do"`
}

// ByPlatform is a number for each platform: parts of 100 or devices, as its key says.
type ByPlatform struct {
	IOS     int `yaml:"ios" jsonschema:"minimum=0"`
	IPadOS  int `yaml:"ipados" jsonschema:"minimum=0"`
	MacOS   int `yaml:"macos" jsonschema:"minimum=0"`
	Android int `yaml:"android" jsonschema:"minimum=0"`
	Windows int `yaml:"windows" jsonschema:"minimum=0"`
}

// Of returns p's number.
func (b *ByPlatform) Of(p protocol.Platform) int {
	switch p {
	case protocol.IOS:
		return b.IOS
	case protocol.IPadOS:
		return b.IPadOS
	case protocol.MacOS:
		return b.MacOS
	case protocol.Android:
		return b.Android
	case protocol.Windows:
		return b.Windows
	}
	return 0
}

// Total returns the sum over all platforms.
func (b *ByPlatform) Total() int { return b.IOS + b.IPadOS + b.MacOS + b.Android + b.Windows }

// Licences are classes of users in parts of 100: no licence, one that BMS serves, one that entitles Intune.
type Licences struct {
	None   int `yaml:"none" jsonschema:"minimum=0"`
	Basic  int `yaml:"basic" jsonschema:"minimum=0"`
	Intune int `yaml:"intune" jsonschema:"minimum=0"`
}

// Ways are how Windows PCs and Android devices enrol (AUTH-47, windows.md section 9, android.md section 8), in parts of 100. Where PCs
// speak, they bring a token of the directory. The users of a manager's PCs are enrolment managers.
type Ways struct {
	Manager     int `yaml:"manager" jsonschema:"minimum=0" jsonschema_description:"a device-enrolment manager's account"`
	GroupPolicy int `yaml:"group_policy" jsonschema:"minimum=0"`
	Joined      int `yaml:"joined" jsonschema:"minimum=0" jsonschema_description:"joined to the directory (Microsoft Entra)"`
	Autopilot   int `yaml:"autopilot" jsonschema:"minimum=0"`
	Registered  int `yaml:"registered" jsonschema:"minimum=0" jsonschema_description:"the users' own, registered with the directory; the device limit holds for them"`

	Bootstrap     int `yaml:"bootstrap" jsonschema:"minimum=0" jsonschema_description:"of the PCs without a user, in parts of 100: by a provisioning package with a bootstrap certificate"`
	SelfDeploying int `yaml:"self_deploying" jsonschema:"minimum=0" jsonschema_description:"of the PCs without a user, in parts of 100: by Autopilot with the device's own token; the others by a provisioning package"`

	FullyManaged int `yaml:"fully_managed" jsonschema:"minimum=0" jsonschema_description:"of the users' Android devices, in parts of 100"`
	AOSP         int `yaml:"aosp" jsonschema:"minimum=0" jsonschema_description:"of the Android devices, in parts of 100: without Google's services; the others are work profiles, and dedicated where they have no user"`
}

// total is the parts that users' PCs do not enrol by an enrolment link.
func (w *Ways) total() int { return w.Manager + w.GroupPolicy + w.Joined + w.Autopilot + w.Registered }

// Already are the devices that are enrolled before the story begins, Present's with a user.
type Already struct {
	Present
	Userless Present `yaml:"userless" jsonschema_description:"devices without a user, beside them"`
}

// Present is a number of enrolled devices and who manages them.
type Present struct {
	Registered protocol.Authority `yaml:"registered" jsonschema_description:"who manages them; default: the tenant's authority, in coexistence whom their users' licences say"`
	ByPlatform
}

// Offline is the part of the devices that is without a network at any moment, and for how long at a time.
type Offline struct {
	Share Share        `yaml:"share" jsonschema_description:"part of the devices that is off line at any moment"`
	Lasts Distribution `yaml:"lasts" jsonschema_description:"how long a spell lasts"`
}

// Clocks are the devices whose clock is wrong: half of them ahead, half behind.
type Clocks struct {
	Share Share        `yaml:"share" jsonschema_description:"part of the devices"`
	Off   Distribution `yaml:"off" jsonschema_description:"how far their clocks are ahead or behind"`
}

// A Silence is a part of the devices that are there before the story, and has not been seen for a time then.
type Silence struct {
	Share Share        `yaml:"share" jsonschema_description:"part of the devices of already"`
	For   Distribution `yaml:"for" jsonschema_description:"how long they have been silent as the story begins"`
	Back  Rate         `yaml:"back" jsonschema_description:"how many of them come back, such as 10%/w; default: none ever does"`
}

// Habits are what devices and their users tend to do. A share is a share of the devices.
type Habits struct {
	NotNow           Share `yaml:"not_now" jsonschema_description:"devices that first answer NotNow to what may be put off"`
	UnreachableNight Share `yaml:"unreachable_night" jsonschema_description:"devices that are switched off at night"`
	SyncsByHand      Rate  `yaml:"syncs_by_hand" jsonschema_description:"how often the user of a device starts a check-in by hand (AUTH-22), such as 5%/d"`
	ProfileFails     Share `yaml:"profile_fails" jsonschema_description:"devices on which a profile fails at first"`
	Dozes            Share `yaml:"dozes" jsonschema_description:"Android devices that nobody uses but to start a check-in: after an hour a wake-up of normal priority waits for a window of doze; live only"`
	Demoted          Share `yaml:"demoted" jsonschema_description:"wake-ups of Android devices that Google takes down to normal priority, since they show nothing; live only"`
}

// A Profile is one profile of the server's.
type Profile struct {
	Name     string          `yaml:"name" jsonschema_description:"its name; with the family it decides what overwrites what (AUTH-26)"`
	Family   protocol.Family `yaml:"family"`
	Assigned string          `yaml:"assigned" jsonschema_description:"the group that it is assigned to before the story begins, or all: who is enrolled then has it; default: nobody, until the timeline assigns it"`

	// Whose it is: in a tenant that coexistence is set for, profiles are Intune's unless they were left by Basic Mobility and Security.
	Of protocol.Authority `yaml:"of" jsonschema_description:"whose profile it is that is assigned before the story: office365 or intune, under coexistence; default: of who assigns profiles then (AUTH-14)"`
}

// An Act is one part of the story, until the next begins.
type Act struct {
	At   Duration `yaml:"at" jsonschema_description:"when it begins, counted from the beginning"`
	Name string   `yaml:"name" jsonschema_description:"what it is called"`
}

// An Action is one line of the timeline: a moment and exactly one thing that happens then.
type Action struct {
	At             Duration    `yaml:"at" jsonschema_description:"when, counted from the beginning"`
	Enrol          *Enrol      `yaml:"enrol" jsonschema_description:"devices enrol"`
	Authority      *Setting    `yaml:"authority" jsonschema_description:"the tenant's authority changes (AUTH-04)"`
	Consent        Consent     `yaml:"consent" jsonschema_description:"a data-sharing consent is granted (AUTH-05)"`
	Licences       *Licensing  `yaml:"licences" jsonschema_description:"users get a licence or lose it (AUTH-23, AUTH-24)"`
	SupportMove    *Target     `yaml:"support_move" jsonschema_description:"support moves userless devices (AUTH-18)"`
	Profiles       *Assignment `yaml:"profiles" jsonschema_description:"a profile is assigned to a group of users or unassigned"`
	Command        *Command    `yaml:"command" jsonschema_description:"an administrator's command"`
	APNs           *Upload     `yaml:"apns" jsonschema_description:"a push certificate is uploaded"`
	AskUsersToSync *Target     `yaml:"ask_users_to_sync" jsonschema_description:"users start a check-in by hand within the hour (AUTH-22)"`
	Absence        *Absence    `yaml:"absence" jsonschema_description:"devices leave the network and come back"`
	Unenrol        *Target     `yaml:"unenrol" jsonschema_description:"users remove management from their devices (AUTH-44)"`
	Reenrol        *Reenrol    `yaml:"reenrol" jsonschema_description:"users unenrol their devices and enrol them again (AUTH-44)"`
	Waves          *Waves      `yaml:"waves" jsonschema_description:"one part of the users after another gets a licence"`
	RestartServer  bool        `yaml:"restart_server" jsonschema_description:"the server stops and starts again"`

	path string // where it is in the file; empty: nowhere, or as its index says
	wave bool   // one of a Waves
}

// Kind returns the key of what happens, such as "enrol", and "" for an action that does nothing.
func (a *Action) Kind() string {
	if k := a.kinds(); len(k) > 0 {
		return k[0]
	}
	return ""
}

func (a *Action) kinds() []string {
	var kinds []string
	for _, k := range []struct {
		name string
		set  bool
	}{
		{"enrol", a.Enrol != nil},
		{"authority", a.Authority != nil},
		{"consent", a.Consent != 0},
		{"licences", a.Licences != nil},
		{"support_move", a.SupportMove != nil},
		{"profiles", a.Profiles != nil},
		{"command", a.Command != nil},
		{"apns", a.APNs != nil},
		{"ask_users_to_sync", a.AskUsersToSync != nil},
		{"absence", a.Absence != nil},
		{"unenrol", a.Unenrol != nil},
		{"reenrol", a.Reenrol != nil},
		{"waves", a.Waves != nil},
		{"restart_server", a.RestartServer},
	} {
		if k.set {
			kinds = append(kinds, k.name)
		}
	}
	return kinds
}

// Enrol lets devices enrol, spread over a time. Without numbers it is all of the population that has not
// enrolled yet; with numbers it is so many new devices beside those of the population.
type Enrol struct {
	Over  Duration `yaml:"over" jsonschema_description:"the enrolments are spread over this time"`
	Again bool     `yaml:"again" jsonschema_description:"those whose enrolment has ended, and nobody else"`
	ByPlatform
	Userless  ByPlatform `yaml:"userless" jsonschema_description:"new devices without a user"`
	CoManaged int        `yaml:"co_managed" jsonschema:"minimum=0" jsonschema_description:"new Windows PCs that Configuration Manager's client enrols by itself (AUTH-51)"`
}

// New is how many new devices e brings.
func (e *Enrol) New() int { return e.Total() + e.Userless.Total() + e.CoManaged }

// All tells whether e is about the devices of the population that have not enrolled yet.
func (e *Enrol) All() bool { return !e.Again && e.New() == 0 }

// A Setting sets the tenant's authority.
type Setting struct {
	Set   Regime `yaml:"set" jsonschema_description:"the authority; coexistence adds Intune to office365"`
	Force bool   `yaml:"force" jsonschema_description:"make a change that is unsupported (AUTH-04)"`
}

// A Reenrol has the users of some devices take management off and enrol them again at once: the remedy for a device in trouble.
type Reenrol struct {
	Of   Target   `yaml:"of" jsonschema_description:"which devices"`
	Over Duration `yaml:"over" jsonschema_description:"spread over this time"`
}

// Waves give a licence to one part of the users after another. [Parse] makes one Licensing of each.
type Waves struct {
	Assign Licence  `yaml:"assign" jsonschema_description:"the licence that users get; default intune"`
	To     []Target `yaml:"to" jsonschema_description:"the users of each wave in order, as in licences"`
	Every  Duration `yaml:"every" jsonschema_description:"from one wave to the next; default 1d"`
	Over   Duration `yaml:"over" jsonschema_description:"each wave is spread over this time"`
}

// A Licensing gives users a licence, or takes it away. Those of an Over get it Every so often, each at a turn of its own.
type Licensing struct {
	Assign Licence  `yaml:"assign" jsonschema_description:"the licence that users get"`
	Remove Licence  `yaml:"remove" jsonschema_description:"the licence that users lose"`
	To     Target   `yaml:"to" jsonschema_description:"which users: all, by their licences now none, basic or intune, those with a device of a platform, a group, or a share of one of these; default all"`
	In     string   `yaml:"in" jsonschema_description:"only users of this group; a share is a share of these"`
	Over   Duration `yaml:"over" jsonschema_description:"spread over this time"`
	Every  Duration `yaml:"every" jsonschema_description:"of that time some get it every so often; default 1h"`
}

// Turns is how many times some of l's users get it.
func (l *Licensing) Turns() int {
	return max(1, int(l.Over/cmp.Or(l.Every, Duration(time.Hour))))
}

// An Assignment gives a profile to a group of users, or takes it away. The profile is the authority's in force: under
// coexistence Intune's.
type Assignment struct {
	Assign   string `yaml:"assign" jsonschema_description:"name of the profile to assign"`
	Unassign string `yaml:"unassign" jsonschema_description:"name of the profile to unassign (AUTH-55)"`
	Group    string `yaml:"group" jsonschema_description:"a group of the population, or all; default all"`
}

// A Command is an administrator's command for some devices.
type Command struct {
	Kind protocol.CommandKind `yaml:"kind"`
	To   Target               `yaml:"to" jsonschema_description:"which devices; default all"`
}

// commands are the kinds that a plan can send.
var commands = [...]protocol.CommandKind{
	protocol.DeviceInformation, protocol.SecurityInfo, protocol.ProfileList, protocol.CertificateList,
	protocol.InstalledApplicationList, protocol.Lock, protocol.Restart, protocol.Erase, protocol.Retire,
}

// An Upload puts a push certificate into the slot of the authority in force; where Slot names one, it must be that.
type Upload struct {
	Upload Certificate        `yaml:"upload" jsonschema_description:"renewed: the same topic for another year; other-topic: reaches no enrolled device (AUTH-32); not-newer: the file in use again, expired: the file of the beginning after its end, other-apple-id: another topic that nobody confirms; these three are refused"`
	Slot   protocol.Authority `yaml:"slot" jsonschema_description:"whose certificate it is; default: that of the authority in force, under coexistence intune"`
}

// An Absence takes devices off the network.
type Absence struct {
	Of    Target       `yaml:"of" jsonschema_description:"which devices"`
	Lasts Distribution `yaml:"lasts" jsonschema_description:"how long each of them stays away"`
}

// A Fault is one thing that fails, from At on and For so long; without For until the end. Exactly one of the
// last four fields is set.
type Fault struct {
	At           Duration `yaml:"at" jsonschema_description:"from when on; default: from the beginning"`
	For          Duration `yaml:"for" jsonschema_description:"for how long; default: until the end"`
	Share        Share    `yaml:"share" jsonschema_description:"part of the requests, or pushes, that meet it; default all"`
	Server       Trouble  `yaml:"server" jsonschema_description:"down: nobody answers; busy: it answers 503"`
	DropResponse bool     `yaml:"drop_response" jsonschema_description:"the server's answer is lost on the way"`
	Reset        bool     `yaml:"reset" jsonschema_description:"the connection is reset in the middle of the request"`
	Push         Outage   `yaml:"push" jsonschema_description:"down: no push reaches anybody until it is up again, then the latest does; lost: pushes vanish"`
}

// Source returns the text that the plan was parsed from: what was changed since, such as its seed, is not in it.
func (p *Plan) Source() string { return string(p.text) }

// Devices returns how many devices the plan makes in all.
func (p *Plan) Devices() int {
	n := 0
	for _, c := range p.counts() {
		n += *c
	}
	return n
}
