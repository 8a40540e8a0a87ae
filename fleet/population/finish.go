package population

import (
	"cmp"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"rollcall/protocol"
	"rollcall/protocol/lang"
)

// The kinds of doubt.
const (
	UserOnUserless  DoubtKind = "user_on_userless_type"
	TwoUsers        DoubtKind = "two_users"
	UserUnknown     DoubtKind = "user_unknown"
	NoUsers         DoubtKind = "no_users"
	AgentNotBMS     DoubtKind = "agent_not_bms"
	NotCoManaged    DoubtKind = "not_comanaged"
	WorkloadsDiffer DoubtKind = "workloads_differ"
	SKUUnknown      DoubtKind = "sku_unknown"
	LabelUnknown    DoubtKind = "label_unknown"
	Coexisting      DoubtKind = "coexistence"
	NoOwner         DoubtKind = "no_owner"
	TwoOwners       DoubtKind = "two_owners"
	IntunesApp      DoubtKind = "intune_app"
	NoApp           DoubtKind = "no_app"
	NoSignIn        DoubtKind = "no_sign_in"
	ObjectDisabled  DoubtKind = "object_disabled"
	ProfileOnBMS    DoubtKind = "profile_on_bms"
	EnrolledAgain   DoubtKind = "enrolled_again"
	CoarseEnd       DoubtKind = "certificate_end"
	CoarseEpoch     DoubtKind = "epoch"
	LoneContact     DoubtKind = "latest_contact"
	Unfollowed      DoubtKind = "next_page"
	Miscounted      DoubtKind = "count"
	OtherAuthority  DoubtKind = "authority"
	UnitsShort      DoubtKind = "units"
	EarlyMoment     DoubtKind = "moment_of_export"
	LateMoment      DoubtKind = "moment_after_contacts"
	LongCertificate DoubtKind = "certificate_too_long"
	LateUpload      DoubtKind = "push_certificate_after_export"
	LateChange      DoubtKind = "change_after_export"
	LateContact     DoubtKind = "contact_after_export"
	EarlyContact    DoubtKind = "contact_before_enrolment"
)

// latest takes the latest contact for the moment of the export. One that is far from every other may be a clock's or a hand's mistake,
// and then the others only seem to have been silent for so long.
func (im *importer) latest() {
	var last, before protocol.Time
	for i := range im.pop.Devices {
		at := im.pop.Devices[i].Contact.Earliest
		if at > last {
			last, before = at, last
		} else {
			before = max(before, at)
		}
	}
	im.pop.Tenant.AsOf = last
	if before != 0 && last.Sub(before) > 30*oneDay {
		im.doubt(LoneContact, -1, lang.Later("the latest contact is taken for the moment of the export, and it is %d days after every other one", int(last.Sub(before)/oneDay)), lang.Later("give the moment by --as-of, and mend that row"))
	}
}

// finish does what needs all records: the moment of the export, what follows from it, and the lists.
func (im *importer) finish(files *export) {
	p, t := im.pop, &im.pop.Tenant
	if t.AsOf == 0 {
		im.latest()
	}
	if t.ChangedAt > t.AsOf {
		im.doubt(LateChange, -1, lang.Later("the last change of authority (%s) is after the moment of the export (%s); taken as it is written", t.ChangedAt.Time().Format(time.DateOnly), t.AsOf.Time().Format(time.DateOnly)),
			lang.Later("it was before, and devices in contact since then have heard of it: mend changedAt, or give the moment by --as-of"))
	}
	directory := im.owners != nil
	im.moment()
	im.certificates()
	for i := range p.Devices {
		d := &p.Devices[i]
		if directory && d.Contact.Earliest != 0 {
			d.Contact.Latest = max(d.Contact.Earliest, min(d.Contact.Earliest.Add(coarse), t.AsOf))
		}
		im.contact(i, d)
		im.certificate(i, d, directory)
		im.epoch(i, d)
	}
	im.coexisting()
	im.unknowns(files)
	im.assumptions(directory)
	for i := range p.Doubts {
		if d := &p.Doubts[i]; d.Device >= 0 {
			d.Name = p.Devices[d.Device].Name
		}
	}
	slices.SortStableFunc(p.Doubts, func(a, b Doubt) int { return cmp.Compare(a.Device, b.Device) })
	for key, n := range im.left {
		key.Records = n
		p.LeftOut = append(p.LeftOut, key)
	}
	slices.SortFunc(p.LeftOut, func(a, b LeftOut) int {
		return cmp.Or(cmp.Compare(a.Reason, b.Reason), cmp.Compare(a.Platform, b.Platform))
	})
	p.BadRows = im.bad
	im.findings()
	for _, f := range files.empty {
		p.Findings = append(p.Findings, Finding{Rule: ruleExport, Text: lang.Later("%s holds no device record; the devices were read from other files", clean(filepath.Base(f.path)))})
	}
}

// moment doubts that of the export where most devices have been in contact, or have enrolled, after it, or all of them long before.
func (im *importer) moment() {
	p, after, last := im.pop, 0, protocol.Time(0)
	for i := range p.Devices {
		d := &p.Devices[i]
		at := max(d.Contact.Earliest, d.Enrolled)
		last = max(last, at)
		if at > p.Tenant.AsOf.Add(oneDay) {
			after++
		}
	}
	if silence := p.Tenant.AsOf.Sub(last); last != 0 && silence > 90*oneDay && len(p.Devices) > 1 { // so nobody in it could be reached (AUTH-38)
		im.doubt(LateMoment, -1, lang.Later("the moment of the export (%s) is %d days after every last contact and enrolment in it; taken as it is written", p.Tenant.AsOf.Time().Format(time.DateOnly), int(silence/oneDay)),
			lang.Later("it was earlier: mend asOf, or give the moment by --as-of"))
	}
	if im.early = after > 1 && 2*after > len(p.Devices); im.early { // else it may be the device that is wrong
		im.doubt(EarlyMoment, -1, lang.Later("the moment of the export (%s) is before the enrolment or the last contact of %d of %d devices; taken as it is written", p.Tenant.AsOf.Time().Format(time.DateOnly), after, len(p.Devices)),
			lang.Later("it was later: mend asOf, or give the moment by --as-of"))
	}
}

// longest is how long a certificate lives at most from the moment of the export on: a year from its issue (AUTH-33, AUTH-40), which a day
// may lie between.
const longest = 366 * oneDay

// certificates doubts those that cannot have been there at the moment of the export: what ends later than a certificate lives was issued
// after it. A push certificate is then taken as issued at that moment, or no renewed one could end later (AUTH-34).
func (im *importer) certificates() {
	if im.early { // which says why
		return
	}
	p, t := im.pop, &im.pop.Tenant
	day := func(at protocol.Time) string { return at.Time().Format(time.DateOnly) }
	otherwise := lang.Later("the moment of the export was later: mend asOf, or give it by --as-of")
	switch {
	case t.APNs.Expires > t.AsOf.Add(longest):
		im.doubt(LongCertificate, -1, lang.Later("the Apple push certificate ends on %s, and one lives a year: it was made after the moment of the export (%s); taken as made at that moment", day(t.APNs.Expires), day(t.AsOf)), otherwise)
		t.APNs.Expires = t.AsOf.Add(longest - oneDay)
	case t.APNs.Modified > t.AsOf.Add(oneDay):
		im.doubt(LateUpload, -1, lang.Later("the Apple push certificate was uploaded (%s) after the moment of the export (%s); taken as it is written", day(t.APNs.Modified), day(t.AsOf)), otherwise)
	}
	n := 0
	for i := range p.Devices {
		if p.Devices[i].CertEnd > t.AsOf.Add(longest) {
			n++
		}
	}
	if n > 0 {
		im.doubt(LongCertificate, -1, lang.Later("the identity certificates of %d of %d devices end more than a year after the moment of the export (%s), and one lives a year; taken as it is written", n, len(p.Devices), day(t.AsOf)), otherwise)
	}
}

// contact doubts a last contact that cannot have been: more than a day after the export, which takes a while itself, or before the
// enrolment.
func (im *importer) contact(i int, d *Device) {
	if d.Contact.Earliest > im.pop.Tenant.AsOf.Add(oneDay) && !im.early { // else all of them are doubted at once
		im.doubt(LateContact, i, lang.Later("its last contact (%s) is after the moment of the export; taken as in contact", d.Contact.Earliest.Time().Format(time.DateOnly)),
			lang.Later("it may have been silent for long"))
	}
	if d.Contact.Earliest != 0 && d.Contact.Latest < d.Enrolled {
		im.doubt(EarlyContact, i, lang.Later("its last contact (%s) is before its enrolment (%s); both were taken", d.Contact.Latest.Time().Format(time.DateOnly), d.Enrolled.Time().Format(time.DateOnly)),
			lang.Later("it enrolled again and has not been in contact since, or one of the two is wrong"))
	}
}

// certificate assumes an end where the export shows none: the first yearly one after the last contact.
func (im *importer) certificate(i int, d *Device, directory bool) {
	if d.CertEnd != 0 || d.Enrolled == 0 || d.Registered == protocol.Unknown {
		return
	}
	d.CertEnd = certEnd(d.Enrolled, d.Contact.Latest)
	d.Traits |= AssumedCertEnd
	im.assume(lang.Key("end of the identity certificate"), lang.Key("enrolment + 365 days x n, the first after the last contact"))
	if other := certEnd(d.Enrolled, d.Contact.Earliest); directory && other != d.CertEnd {
		im.doubt(CoarseEnd, i, lang.Later("its last sign-in is too coarse to tell which yearly certificate it has; the later one was taken"), lang.Later("its certificate ends on %s", other.Time().Format(time.DateOnly)))
	}
}

// epoch tells whether d has been in contact since the tenant's last change (AUTH-21).
func (im *importer) epoch(i int, d *Device) {
	changed := im.pop.Tenant.ChangedAt
	if changed == 0 || d.Registered == protocol.Unknown {
		return
	}
	since := func(contact protocol.Time) bool {
		if contact == 0 {
			contact = d.Enrolled
		}
		return contact == 0 || contact > changed
	}
	d.Current = since(d.Contact.Latest)
	if since(d.Contact.Earliest) != d.Current {
		im.doubt(CoarseEpoch, i, lang.Later("its last sign-in is too coarse to tell whether it has heard of the last change of authority; taken as yes"), lang.Later("it has not: pending or stale until its next check-in"))
	}
}

// coexisting takes authority intune beside devices of BMS's agent as coexistence, unless the export or a flag says.
func (im *importer) coexisting() {
	t := &im.pop.Tenant
	if im.coexistence != nil || t.Authority != protocol.Intune {
		return
	}
	n := 0
	for i := range im.pop.Devices {
		if im.pop.Devices[i].Registered == protocol.Office365 {
			n++
		}
	}
	if n > 0 {
		t.Authority, t.Coexistence = protocol.Office365, true
		im.doubt(Coexisting, -1, lang.Later("the authority is intune, yet %d devices are under BMS; taken as coexistence", n), lang.Later("intune alone (--coexistence=false): those devices are stale data"))
	}
}

// unknowns notes what the tables of licences and labels do not know, and the absence of users.
func (im *importer) unknowns(files *export) {
	if !im.usersRead && len(im.pop.Users) > 0 {
		text := lang.Later("no file about users; all %d are taken as %s", len(im.pop.Users), className(im.fallback))
		if n := im.underIntune(); n > 0 {
			text = lang.Later("no file about users; %d, who have a device under Intune, are taken as %s, and the other %d as %s", n, className(IntuneLicence), len(im.pop.Users)-n, className(im.fallback))
		}
		im.doubt(NoUsers, -1, text, lang.Later("what their licences say"))
	}
	about := func(kind DoubtKind, text, other lang.Text) {
		im.pop.Doubts = append(im.pop.Doubts, Doubt{Kind: kind, Device: -1, Owner: Nobody, Text: text, Other: other})
	}
	for _, sku := range slices.Sorted(maps.Keys(im.cat.unknown)) {
		about(SKUUnknown, lang.Later("the product %s of %d users is not known; it counts for nothing", clean(sku), im.cat.unknown[sku]), lang.Later("it may bring a mailbox or entitle Intune"))
	}
	for _, l := range im.labels.unmatched() {
		about(LabelUnknown, lang.Later("the label %s is not known (%d {row|rows}, first at %s)", clean(l.text), l.rows, clean(l.at)), lang.Later("name its meaning with --labels FILE"))
	}
	if u, n := im.pop.Tenant.Units, im.pop.Holders().entitled(); u.Known && n > u.Owned {
		about(UnitsShort, lang.Later("%d users hold a licence that entitles Intune, and the tenant owns %d; those who have one keep it", n, u.Owned),
			lang.Later("subscribedSkus is not complete, or licences are about to be taken away (AUTH-09)"))
	}
	if len(files.unused) > 0 {
		im.assume(lang.Key("other files"), lang.Key("not needed"))
	}
}

// underIntune takes users as entitled to Intune who have a device there beside Basic Mobility and Security, unless the class of
// users was given: under coexistence nothing but a licence brings a device to Intune (AUTH-14), co-management apart (AUTH-15). It
// returns how many they are.
func (im *importer) underIntune() (n int) {
	p := im.pop
	if im.o.LicenceDefault != "" || p.Tenant.Authority != protocol.Office365 || !p.Tenant.Coexistence {
		return 0
	}
	for i := range p.Devices {
		d := &p.Devices[i]
		if d.Userless() || d.Registered != protocol.Intune || d.Has(CoManaged) || p.Users[d.User].Licence&IntuneLicence != 0 {
			continue
		}
		n++
		p.Users[d.User].Licence |= IntuneLicence
		if p.Later != nil && p.Later[d.User].Assumed {
			p.Later[d.User].Licence = p.Users[d.User].Licence
		}
	}
	return n
}

// assumptions lists what this kind of export never says.
func (im *importer) assumptions(directory bool) {
	p := im.pop
	if n := len(p.Devices); directory && n > 0 {
		for _, a := range []struct{ What, Assumed lang.Key }{
			{lang.Key("supervision"), lang.Key("no")},
			{lang.Key("automated or bulk enrolment"), lang.Key("no: the user's own")},
			{lang.Key("co-management"), lang.Key("none")},
			{lang.Key("serial number and IMEI"), lang.Key("made up; no link to Apple's enrolment records")},
			{lang.Key("queued actions"), lang.Key("none")},
			{lang.Key("exact last check-in"), lang.Key("drawn between the last sign-in and 19 days after it")},
			{lang.Key("families of the BMS policies"), lang.Key("email and configuration")},
		} {
			im.assuming(a.What, lang.Later(a.Assumed)).Devices = n
		}
	}
	for _, a := range im.assumed {
		p.Assumed = append(p.Assumed, *a)
	}
	slices.SortFunc(p.Assumed, func(a, b Assumption) int { return cmp.Compare(a.What, b.What) })
}

// findings compares the tenant's papers with its devices.
func (im *importer) findings() {
	p, t := im.pop, &im.pop.Tenant
	apple, work := 0, 0
	for i := range p.Devices {
		d := &p.Devices[i]
		if d.Platform.Apple() {
			apple++
		}
		if d.Platform == protocol.Android && d.Enrolment != ByUser && d.Enrolment != AOSP || d.Has(AndroidAPI) {
			work++
		}
	}
	find := func(rule protocol.Rule, devices int, text lang.Text) {
		p.Findings = append(p.Findings, Finding{Rule: rule, Text: text, Devices: devices})
	}
	if granted, said := t.Consents["androidManagedStore"]; said && !granted && work > 0 {
		find(protocol.RuleConsent, work, lang.Later("Google's consent is not granted, yet there are devices under Android Enterprise"))
	}
	if granted, said := t.Consents["appleMDMPushCertificate"]; said && !granted && apple > 0 {
		find(protocol.RuleConsent, apple, lang.Later("Apple's consent is not granted, yet there are Apple devices"))
	}
	if apple == 0 {
		return
	}
	const day = 24 * time.Hour
	switch end, left := t.APNs.Expires, t.APNs.Expires.Sub(t.AsOf); {
	case end == 0:
		find(protocol.RulePushExpired, apple, lang.Later("the end of the Apple push certificate is not known"))
	case left < -30*day:
		find(protocol.RulePushExpired, apple, lang.Later("the Apple push certificate ended more than 30 days ago: another topic is needed, and every Apple device must enrol again"))
	case left < 0:
		find(protocol.RulePushExpired, apple, lang.Later("the Apple push certificate has ended: no Apple device checks in until it is renewed"))
	case left <= 30*day:
		find(protocol.RulePushExpired, apple, lang.Later("the Apple push certificate ends in %d {day|days}", int(left/day)))
	}
	if t.APNs.Modified != 0 && t.APNs.Modified < t.ChangedAt {
		find(protocol.RulePushGap, apple, lang.Later("the Apple push certificate is older than the last change of authority: the gap is open"))
	}
}
