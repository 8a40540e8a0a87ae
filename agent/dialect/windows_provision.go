package dialect

import (
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"unique"

	"rollcall/agent"
	"rollcall/protocol"
	"rollcall/protocol/windows"
)

// certified takes the provisioning document: all of it, or nothing (WIN-025).
func (d *Windows) certified(b *windows.RequestSecurityTokenResponse, r *Response, out *Act) {
	if d.key == nil {
		return
	}
	document, err := windows.DecodeDocument(b.Document)
	if err != nil {
		d.giveUp(fmt.Errorf("%w: %w", windows.EProvisioning, err), r, out)
		return
	}
	p, err := windows.ReadProvisioning(document)
	if err != nil {
		d.giveUp(err, r, out)
		return
	}
	c, err := x509.ParseCertificate(p.Client)
	public, _ := d.key.Public().(interface{ Equal(crypto.PublicKey) bool })
	if err != nil || public == nil || !public.Equal(c.PublicKey) {
		d.giveUp(fmt.Errorf("the certificate is not of the device's key: %w", windows.ECertificateStore), r, out)
		return
	}
	if d.renews {
		d.replaced(p, c, r, out)
		return
	}
	d.provisioned(p, c, r, out)
}

// provisioned takes up the management that the document describes and begins the first session.
func (d *Windows) provisioned(p *windows.Provisioning, c *x509.Certificate, r *Response, out *Act) {
	a, m := &p.Application, p.DMClient
	want := windows.StoreUser
	if d.start.Device {
		want = windows.StoreSystem
	}
	subject, store, _ := windows.ReadSearchCriteria(a.Search)
	switch {
	case m == nil || a.Address == "":
		d.giveUp(fmt.Errorf("no account: %w", windows.EDMClient), r, out)
		return
	case p.Store != want:
		d.giveUp(fmt.Errorf("the certificate is for My/%s: %w", p.Store, windows.ECertificateStore), r, out)
		return
	case store != p.Store || subject != c.Subject.String():
		d.giveUp(fmt.Errorf("the search criteria find no certificate: %w", windows.EClientCertificate), r, out)
		return
	}
	key, err := packKey(d.key)
	if err != nil {
		d.giveUp(windows.ECertificateStore, r, out)
		return
	}
	t := d.winTask
	robo := t.federated // which renews whatever the document says
	if p.Renewal != nil {
		robo = robo || p.Renewal.ROBO
	}
	discovery := t.discovery
	if p.Renewal != nil && secure(p.Renewal.ServerURL) {
		discovery = p.Renewal.ServerURL
	}
	own := [ownTexts]string{
		ownUser: t.start.Email, ownEnrolment: m.EntDMID, ownName: a.ServerAuth.Name, ownSecret: a.ServerAuth.Secret,
		ownServer: a.ClientAuth.Secret, ownNonce: base64.StdEncoding.EncodeToString(a.ClientAuth.Nonce), ownDirectory: t.start.Directory,
	}
	for i := range own {
		own[i] = plain(own[i])
	}
	d.account = unique.Make(account{
		provider: a.ProviderID, address: a.Address, discovery: discovery, anchors: string(p.Root) + string(p.Intermediate), store: p.Store,
		retries: a.ConnRetryFreq, initial: a.InitialBackoff, most: a.MaxBackoff, robo: robo,
	})
	d.self = newResting(strings.Join(own[:], separator), identity{key, p.Client})
	d.tree = d.provision(p)
	d.sessions, d.renewal, d.failures = 0, renewState{}, 0
	d.step1(&agent.Event{Kind: agent.Enrol, CheckOut: true}, out)
	d.step1(&agent.Event{Kind: agent.Answered}, out) // the certificate
	d.step1(&agent.Event{Kind: agent.Answered}, out) // the account: there is nothing more to say
	d.core.SetIdentity(agent.Identity{NotBefore: protocol.At(c.NotBefore), NotAfter: protocol.At(c.NotAfter)})
	d.started, d.contact = d.now, d.now
	d.renewAfter(0)
	d.scheduled(d.now)
	d.open(Synced, out)
}

// provision makes the first settings of an enrolment.
func (d *Windows) provision(p *windows.Provisioning) (t tree) {
	set := func(path, format, value string) {
		if value != "" {
			t = t.with(leaf{path, format, value})
		}
	}
	number := func(path string, n int64) { set(path, windows.FormatInt, strconv.FormatInt(n, 10)) }
	certificate := func(path string, der []byte) {
		if len(der) > 0 {
			set(path+windows.Thumbprint(der)+"/EncodedCertificate", windows.FormatB64, base64.StdEncoding.EncodeToString(der))
		}
	}
	m := p.DMClient
	certificate(pathRoot, p.Root)
	certificate("Device/CertificateStore/CA/System/", p.Intermediate)
	if r := p.Renewal; r != nil {
		set(pathRenew+"ROBOSupport", windows.FormatBool, strconv.FormatBool(r.ROBO))
		number(pathRenew+"RenewPeriod", int64(r.RenewPeriod))
		number(pathRenew+"RetryInterval", int64(r.RetryInterval))
		set(pathRenew+"ServerURL", windows.FormatChr, r.ServerURL)
	}
	for i, s := range m.Poll.Sets() {
		number(d.node("Poll/"+windows.PollRetries[i]), int64(s.Retries))
		number(d.node("Poll/"+windows.PollIntervals[i]), int64(s.Interval))
	}
	set(d.node("Poll/PollOnLogin"), windows.FormatBool, strconv.FormatBool(m.Poll.OnLogin))
	set(d.node("Poll/AllUsersPollOnFirstLogin"), windows.FormatBool, strconv.FormatBool(m.Poll.AllUsersOnFirstLogin))
	set(d.node("UPN"), windows.FormatChr, m.UPN)
	set(d.node("EntDMID"), windows.FormatChr, m.EntDMID)
	set(d.node("EntDeviceName"), windows.FormatChr, m.EntDeviceName)
	set(d.node("Push/PFN"), windows.FormatChr, m.PFN)
	if m.LostContactDays > 0 {
		number(d.node("NumberOfDaysAfterLostContactToUnenroll"), int64(m.LostContactDays))
	}
	for _, o := range m.Other {
		if p, code := d.locate(locURI(d.node(o.Name))); code == windows.OK {
			set(p.path, p.csp.format, o.Value)
		}
	}
	if m.SkipUserStatus {
		set(d.node("FirstSyncStatus/SkipUserStatusPage"), windows.FormatBool, "true")
	}
	return t
}
