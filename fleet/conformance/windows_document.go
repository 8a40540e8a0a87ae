package conformance

import (
	"encoding/base64"
	"slices"
	"strconv"
	"strings"
	"time"

	"rollcall/protocol/windows"
)

// What the provisioning document says.

var windowsDocumentStatements = []Statement{
	{
		ID: "WIN-016", Suite: Windows, Class: OfWindows, Must: true, check: checkWIN016,
		Says:   "EnrollmentType Device puts the certificate into My/System, Full into My/User, and the search criteria name the same store.",
		Source: "windows.md 4.1, 14",
		Why:    "A device looks for its certificate where the criteria say: where they disagree, it never has a session.",
		How:    "A device of each type enrols, and its document is read.",
		Fix:    "Decide the store once, by EnrollmentType.",
	},
	{
		ID: "WIN-017", Suite: Windows, Class: OfWindows, Must: true, check: checkWIN017,
		Says:   "The document has CertificateStore, APPLICATION and DMClient, in this order and nothing else, a PrivateKeyContainer, two APPAUTH with nonces, one name of the provider, and typed settings of renewal.",
		Source: "windows.md 4.1, 14",
		Why:    "Windows takes a document as a whole: one setting that it does not know, or misses, ends the enrolment with 80180023 (measured on Windows 11 25H2).",
		How:    "A device enrols, and its document is read as strictly as Windows does.",
		Fix:    "Send these three and do the rest in the first session.",
	},
	{
		ID: "WIN-018", Suite: Windows, Class: OfWindows, Must: true, check: checkWIN018,
		Says:   "SSLCLIENTCERTSEARCHCRITERIA names the subject of the certificate that was issued.",
		Source: "windows.md 4.1, 14",
		Why:    "By another name the device finds no certificate, and shows none.",
		How:    "A device enrols, and both are compared.",
		Fix:    "Write the criteria from the certificate.",
	},
	{
		ID: "WIN-019", Suite: Windows, Class: OfWindows, Must: true, check: checkWIN019,
		Says:   "Of the three sets of polls exactly one is endless.",
		Source: "windows.md 8, 14",
		Why:    "With none the device falls silent for good when they are through; with an early one the later are off.",
		How:    "The document's Poll is read.",
		Fix:    "Give the last set an interval and 0 retries.",
	},
	{
		ID: "WIN-020", Suite: Windows, Class: OfWindows, Must: true, check: checkWIN020,
		Says:   "A certificate begins at most an hour before now, and is not due for renewal when it is issued.",
		Source: "windows.md 4, 14",
		Why:    "One that is renewed from its birth is renewed with each session; one that is dated back by half its life ends when nobody expects it (fleet#52601).",
		How:    "A device enrols, and its certificate is held against RenewPeriod.",
		Fix:    "Date back by an hour at most; keep the window below the lifetime.",
	},
	{
		ID: "WIN-067", Suite: Windows, Class: OfWindows, Must: true, check: checkWIN067,
		Says:   "A device that enrols without a user gets a document without one, and no page that waits for one.",
		Source: "windows.md 9, 14",
		Why:    "A kiosk that waits for somebody's settings at its first start waits for ever.",
		How:    "A device enrols by an invitation for nobody; UPN and SkipUserStatusPage of its document are read.",
		Fix:    "Leave UPN out and skip the user's page where nobody enrols.",
	},
}

// application is a setting of the management account.
func (g *given) application(name string) string {
	for _, c := range g.document {
		if c.Type == "APPLICATION" {
			return parm(c.Parms, name)
		}
	}
	return ""
}

// provider are the settings of DMClient's provider; path goes on below it.
func (g *given) provider(path ...string) []windows.Parm {
	list := within(g.document, "DMClient", "Provider")
	for i, name := range path {
		at := slices.IndexFunc(list, func(c windows.Characteristic) bool { return i == 0 || c.Type == name })
		if at < 0 {
			return nil
		}
		if i == len(path)-1 {
			return list[at].Parms
		}
		list = list[at].Characteristics
	}
	return nil
}

func checkWIN016(a *asking) {
	for kind, store := range map[string]string{windows.EnrollmentFull: "User", windows.EnrollmentDevice: "System"} {
		d := a.machine()
		d.kind = kind
		d.enrol()
		if d.given.store != store {
			a.fail("the certificate of a device of EnrollmentType %s is in My/%s", kind, d.given.store)
		}
		if s := d.given.application("SSLCLIENTCERTSEARCHCRITERIA"); !strings.Contains(s, "Stores=My%5C"+store) {
			a.fail("the search criteria of a device of EnrollmentType %s are %q", kind, s)
		}
	}
}

func checkWIN017(a *asking) {
	d := a.machine()
	d.enrol()
	var top []string
	for _, c := range d.given.document {
		top = append(top, c.Type)
	}
	if !slices.Equal(top, []string{"CertificateStore", "APPLICATION", "DMClient"}) {
		a.fail("the document has %q", top)
	}
	if store := within(d.given.document, "CertificateStore", "My", d.given.store); !slices.ContainsFunc(store, func(c windows.Characteristic) bool { return c.Type == "PrivateKeyContainer" }) {
		a.fail("there is no PrivateKeyContainer beside the certificate")
	}
	for _, c := range within(d.given.document, "CertificateStore", "My", "WSTEP") {
		for _, p := range c.Parms {
			if p.Datatype == "" {
				a.fail("the setting %s of the renewal has no datatype", p.Name)
			}
		}
	}
	levels := map[string]bool{}
	for _, c := range within(d.given.document, "APPLICATION") {
		if c.Type != "APPAUTH" {
			continue
		}
		level := parm(c.Parms, "AAUTHLEVEL")
		levels[level] = true
		if nonce, err := base64.StdEncoding.DecodeString(parm(c.Parms, "AAUTHDATA")); err != nil || len(nonce) == 0 {
			a.fail("APPAUTH %s has the nonce %q", level, parm(c.Parms, "AAUTHDATA"))
		}
	}
	if !levels["CLIENT"] || !levels["APPSRV"] {
		a.fail("the document has APPAUTH of %v, want CLIENT and APPSRV", levels)
	}
	if p := within(d.given.document, "DMClient", "Provider"); len(p) != 1 || p[0].Type != d.given.application("PROVIDER-ID") {
		a.fail("DMClient has %d providers, and APPLICATION is %q's", len(p), d.given.application("PROVIDER-ID"))
	}
	if _, err := windows.ReadProvisioning(d.given.document); err != nil {
		a.fail("a device refuses the document: %v", err)
	}
}

func checkWIN018(a *asking) {
	d := a.machine()
	d.enrol()
	subject, store, err := windows.ReadSearchCriteria(d.given.application("SSLCLIENTCERTSEARCHCRITERIA"))
	if want := "CN=" + d.given.leaf.Subject.CommonName; err != nil || subject != want {
		a.fail("the search criteria name %q in %s, the certificate is %q (%v)", subject, store, want, err)
	}
}

func checkWIN019(a *asking) {
	d := a.machine()
	d.enrol()
	poll := d.given.provider("", "Poll")
	if poll == nil {
		a.fail("the document has no Poll")
	}
	endless := 0
	for i := range windows.PollIntervals {
		interval, retries := parm(poll, windows.PollIntervals[i]), parm(poll, windows.PollRetries[i])
		if interval != "" && interval != "0" && retries == "0" {
			endless++
		}
	}
	if endless != 1 {
		a.fail("%d sets of polls are endless, want 1", endless)
	}
}

func checkWIN020(a *asking) {
	d := a.machine()
	asked := a.now()
	d.enrol()
	c := d.given.leaf
	if c.NotBefore.Before(asked.Add(-time.Hour - time.Minute)) {
		a.fail("the certificate begins at %s, and it is %s", c.NotBefore.UTC().Format(time.RFC3339), asked.UTC().Format(time.RFC3339))
	}
	period := 42
	for _, r := range within(d.given.document, "CertificateStore", "My", "WSTEP") {
		if n, err := strconv.Atoi(parm(r.Parms, "RenewPeriod")); err == nil {
			period = n
		}
	}
	if due := c.NotAfter.AddDate(0, 0, -period); !due.After(asked) {
		a.fail("the certificate ends at %s and is renewed %d days before: from its birth on", c.NotAfter.UTC().Format(time.DateOnly), period)
	}
}

func checkWIN067(a *asking) {
	d := a.bareMachine()
	d.find()
	d.invite(0)
	d.kind, d.login = windows.EnrollmentDevice, windows.LoginNone
	d.enrol()
	if upn := parm(d.given.provider(""), "UPN"); upn != "" {
		a.fail("the document of a device that is nobody's names %q", upn)
	}
	if parm(d.given.provider("", "FirstSyncStatus"), "SkipUserStatusPage") != "true" {
		a.fail("a device that is nobody's is told to wait for its user")
	}
}
