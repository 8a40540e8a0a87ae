package conformance

import (
	"context"
	"strings"
	"time"

	"rollcall/certs"
	"rollcall/protocol/windows"
)

// What takes time, or a change of the tenant's: renewal, and who manages Windows devices.

var windowsLaterStatements = []Statement{
	{
		ID: "WIN-063", Suite: Windows, Class: OfWindows, Must: true, check: checkWIN063,
		Says:   "A renewal outside its window, signed by another certificate than the connection's, or without one, is refused by NotEligibleToRenew.",
		Source: "windows.md 5, 14",
		Why:    "Whoever is let off one of these renews a certificate that is not his, or that was revoked.",
		How:    "A device asks at once for a renewal: by its own certificate, by another device's over its connection, and without a connection of its own.",
		Fix:    "Check in this order: connection and signer, chain, enrolment, window, key.",
	},
	{
		ID: "WIN-065", Suite: Windows, Class: OfWindows, Must: true, alone: true, check: checkWIN065,
		Says:   "In its window a renewal by the same authority brings a certificate for the same name, in a document without DMClient; a key that is not new is refused; the old certificate works until the new one is used, and then is refused.",
		Source: "windows.md 5, 14; WIN-063, WIN-064",
		Why:    "A device whose certificate ends must enrol again by hand; one whose old certificate stops too soon is locked out by a lost answer.",
		How:    "The clock goes to forty days before the end; a device renews with its old key, then with a new one, in base64 twice, by a PKCS#7 of the other name; both certificates are tried.",
		Fix:    "Keep both until the new one is shown, and say nothing in the document but the certificate and PROVIDER-ID.",
	},
	{
		ID: "WIN-068", Suite: Windows, Class: OfIntune, Must: true, alone: true, check: checkWIN068,
		Says:   "To a co-managed device what is of a workload goes only when that workload is not Configuration Manager's.",
		Source: "windows.md 9, 14; AUTH-51",
		Why:    "Two managers that set one policy undo each other, for ever.",
		How:    "The authority is changed to co-management; a device that says 1 for its flags gets nothing of a policy, and gets it when it says 9.",
		Fix:    "Get ConfigInfo of WMI_Bridge_Server in each session before the work is decided.",
	},
	{
		ID: "WIN-071", Suite: Windows, Class: OfIntune, Must: true, alone: true, check: checkWIN071,
		Says:   "After a change of authority a device is registered with the new one when a session has ended as sessions end, not before.",
		Source: "windows.md 11, 14; AUTH-21",
		Why:    "A device that counts as moved in the middle of a session has half of what it should have, and nobody sends the rest.",
		How:    "The authority is changed; a device begins a session and breaks it off, then completes one; who manages it is read in between.",
		Fix:    "Register in the transaction that answers a message with nothing but Status.",
	},
}

// renewal asks for another certificate by a CMS message that who signs.
func (d *pc) renewal(what string, csr []byte, who certs.Signer, doubled bool) (*Exchange, windows.Body) {
	signed, err := (&certs.Message{Content: csr}).Sign(who)
	if err != nil {
		d.a.unasked("no renewal could be signed: %v", err)
	}
	rst := &windows.RequestSecurityToken{Renew: true, Token: signed, Doubled: doubled, Context: []windows.ContextItem{
		{Name: windows.ItemDeviceType, Value: windows.DeviceDesktop}, {Name: windows.ItemApplicationVersion, Value: "10.0.22631.1"},
	}}
	credential := windows.Credential{Kind: windows.Password, Username: d.user}
	return d.soap(d.where.EnrollmentURL, what, credential, rst)
}

func checkWIN063(a *asking) {
	d, other := a.governed(), a.governed()
	ineligible := func(x *Exchange, body windows.Body) { d.refused(x, body, "", windows.ErrorNotEligibleToRenew) }
	ineligible(d.renewal("renewal a year before the end", d.plainCSR(d.newKey()), d.identity, false))
	ineligible(d.renewal("renewal that another device signed", d.plainCSR(d.newKey()), other.identity, false))
	own := d.identity
	d.as(certs.Signer{})
	x, body := d.renewal("renewal without a certificate of the connection", d.plainCSR(d.newKey()), own, false)
	d.refused(x, body, "", "")
	d.as(own)
	d.steady("after renewals that were refused")
}

func checkWIN065(a *asking) {
	if a.Steps.Step == nil {
		a.skip("the server's clock cannot be set, and its identities live too long to wait for")
	}
	if a.Steps.PushState != nil && a.Steps.UploadPush != nil {
		a.freshPush()
	}
	d := a.governed()
	a.stepTo(d.identity.Certificate.NotAfter.Add(-40 * 24 * time.Hour))
	old := d.identity
	d.as(old)
	x, body := d.renewal("renewal with the key that it has", d.plainCSR(old.Key), old, false)
	d.refused(x, body, "", "")
	key := d.newKey()
	signed, err := (&certs.Message{Content: d.plainCSR(key)}).Sign(old)
	if err != nil {
		a.unasked("no renewal could be signed: %v", err)
	}
	rst := &windows.RequestSecurityToken{Renew: true, Token: signed, Doubled: true}
	raw := string(d.request(d.where.EnrollmentURL, windows.Credential{Kind: windows.Password, Username: d.user}, rst))
	const enrollment = "http://schemas.microsoft.com/windows/pki/2009/01/enrollment#PKCS7"
	const wsse = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd#PKCS7"
	x, body = d.envelope(d.where.EnrollmentURL, "renewal with a new key", []byte(strings.Replace(raw, enrollment, wsse, 1)))
	g, why := readGiven(body, key)
	switch {
	case g == nil:
		a.fail("%s in its window was answered %s: %s", x.What, x.answer(), why)
	case g.leaf.Subject.String() != old.Certificate.Subject.String() || string(g.leaf.RawIssuer) != string(old.Certificate.RawIssuer) || !g.leaf.NotAfter.After(old.Certificate.NotAfter):
		a.fail("the renewed certificate is for %s by %s until %s", g.leaf.Subject, g.leaf.Issuer, g.leaf.NotAfter.UTC().Format(time.DateOnly))
	case within(g.document, "DMClient") != nil:
		a.fail("the document of a renewal has DMClient")
	}
	d.steady("before the renewed certificate was used, by the old one,")
	d.issued = append(d.issued, certs.Signer{Certificate: g.leaf, Key: key})
	now := d.issued[len(d.issued)-1]
	d.as(now)
	d.sync()
	d.as(old)
	d.shut("the first use of the renewed one")
	d.as(now)
	d.steady("by the renewed certificate")
}

// configInfo is where Configuration Manager's client says which workloads are not its own.
const configInfo = "./Device/Vendor/MSFT/DeviceManageability/Provider/WMI_Bridge_Server/ConfigInfo"

// opensQuietly has the gap that a change of authority opens for Apple's devices closed when the check is over.
func (a *asking) opensQuietly() {
	a.needs(a.Steps.SetAuthority != nil, "change the authority")
	if a.Steps.UploadPush == nil {
		return
	}
	topic, _ := a.present()
	a.restore = func(ctx context.Context) { a.restorePush(ctx, topic) }
}

func checkWIN068(a *asking) {
	a.needs(a.Steps.Profile != nil, "assign a profile")
	a.opensQuietly()
	d := a.governed()
	a.changeAuthority()
	d.as(d.identity)
	node := policyNode("Workload")
	d.tree[configInfo] = "1"
	d.sync()
	d.assigned(settings(windows.FormatInt, "Add "+node+"=1"))
	d.sync()
	if got := d.did(node); len(got) > 0 {
		a.fail("a device whose workloads are all Configuration Manager's gets %v", got)
	}
	d.tree[configInfo] = "13" // configured, resource access, device configuration
	d.sync()
	if got := d.did(node); len(got) == 0 {
		a.fail("a device whose configuration is not Configuration Manager's any more gets nothing of it")
	}
}

func checkWIN071(a *asking) {
	a.needs(a.Steps.Known != nil, "tell who manages a device")
	a.opensQuietly()
	d := a.governed()
	if a.Steps.Profile != nil {
		d.assigned(settings(windows.FormatInt, "Add "+policyNode("Moves")+"=1"))
		d.sync()
	}
	before := d.known()
	a.changeAuthority()
	d.as(d.identity)
	d.tree[configInfo] = "255"
	moved := func() bool {
		s := d.known()
		return s.Authority != before.Authority || s.Epoch != before.Epoch
	}
	x := d.say(d.begin())
	if answer := d.heard(x); more(answer) && moved() { // it is cut off
		a.failBy(x, "a device that has begun a session counts as moved")
	}
	m := d.begin()
	for range mostMessages {
		x := d.say(m)
		answer := d.heard(x)
		switch ended := !more(answer); {
		case !ended && moved():
			a.failBy(x, "in the middle of a session a device counts as moved")
		case ended && !moved():
			a.failBy(x, "after a session that ended as it should a device is still registered with %s in epoch %d", before.Authority, before.Epoch)
		case ended:
			return
		}
		m = d.obey(answer)
	}
	a.fail("a session of %d messages did not end", mostMessages)
}
