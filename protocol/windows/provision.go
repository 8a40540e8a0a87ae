package windows

import (
	"crypto/sha1" // how Windows names a certificate; nothing is trusted by it
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// Thumbprint is how Windows names a certificate: SHA-1 of its DER in upper-case hexadecimal.
func Thumbprint(der []byte) string { return fmt.Sprintf("%X", sha1.Sum(der)) }

// Document writes p as an enrolment's document, or as a renewal's when Renewal and DMClient are nil (windows.md sections 4.1 and 5).
func (p *Provisioning) Document() Document {
	var store []Characteristic
	certificate := func(der []byte) Characteristic {
		return Characteristic{Type: Thumbprint(der), Parms: []Parm{{Name: "EncodedCertificate", Value: base64.StdEncoding.EncodeToString(der)}}}
	}
	in := func(types []string, inner ...Characteristic) Characteristic {
		c := Characteristic{Type: types[len(types)-1], Characteristics: inner}
		for i := len(types) - 2; i >= 0; i-- {
			c = Characteristic{Type: types[i], Characteristics: []Characteristic{c}}
		}
		return c
	}
	if len(p.Root) > 0 {
		store = append(store, in([]string{"Root", "System"}, certificate(p.Root)))
	}
	if len(p.Intermediate) > 0 {
		store = append(store, in([]string{"CA", "System"}, certificate(p.Intermediate)))
	}
	mine := in([]string{"My", string(p.Store)}, certificate(p.Client), Characteristic{Type: "PrivateKeyContainer"})
	if r := p.Renewal; r != nil {
		renew := Characteristic{Type: "Renew", Parms: []Parm{
			boolean("ROBOSupport", r.ROBO), integer("RenewPeriod", int64(r.RenewPeriod)), integer("RetryInterval", int64(r.RetryInterval)),
		}}
		if r.ServerURL != "" {
			renew.Parms = append(renew.Parms, text("ServerURL", r.ServerURL))
		}
		mine.Characteristics = append(mine.Characteristics, Characteristic{Type: "WSTEP", Characteristics: []Characteristic{renew}})
	}
	d := Document{{Type: "CertificateStore", Characteristics: append(store, mine)}, p.Application.characteristic(p.DMClient == nil)}
	if p.DMClient != nil {
		d = append(d, in([]string{"DMClient", "Provider"}, p.DMClient.characteristic(p.Application.ProviderID)))
	}
	return d
}

func (a *Application) characteristic(renews bool) Characteristic {
	if renews {
		return Characteristic{Type: "APPLICATION", Parms: []Parm{{Name: "PROVIDER-ID", Value: a.ProviderID}}}
	}
	c := Characteristic{Type: "APPLICATION", Parms: []Parm{
		{Name: "APPID", Value: "w7"},
		{Name: "PROVIDER-ID", Value: a.ProviderID},
		{Name: "NAME", Value: a.Name},
		{Name: "ADDR", Value: a.Address},
		{Name: "CONNRETRYFREQ", Value: strconv.Itoa(a.ConnRetryFreq)},
		{Name: "INITIALBACKOFFTIME", Value: strconv.FormatInt(a.InitialBackoff, 10)},
		{Name: "MAXBACKOFFTIME", Value: strconv.FormatInt(a.MaxBackoff, 10)},
		{Name: "BACKCOMPATRETRYDISABLED", NoValue: true},
		{Name: "DEFAULTENCODING", Value: SyncMLContentType},
		{Name: "SSLCLIENTCERTSEARCHCRITERIA", Value: a.Search},
	}}
	auth := func(level string, x *Auth) {
		parms := []Parm{{Name: "AAUTHLEVEL", Value: level}, {Name: "AAUTHTYPE", Value: x.Type}}
		if x.Name != "" {
			parms = append(parms, Parm{Name: "AAUTHNAME", Value: x.Name})
		}
		parms = append(parms, Parm{Name: "AAUTHSECRET", Value: x.Secret}, Parm{Name: "AAUTHDATA", Value: base64.StdEncoding.EncodeToString(x.Nonce)})
		c.Characteristics = append(c.Characteristics, Characteristic{Type: "APPAUTH", Parms: parms})
	}
	auth("CLIENT", &a.ClientAuth)
	auth("APPSRV", &a.ServerAuth)
	return c
}

func (d *DMClient) characteristic(provider string) Characteristic {
	c := Characteristic{Type: provider}
	if d.UPN != "" {
		c.Parms = append(c.Parms, text("UPN", d.UPN))
	}
	c.Parms = append(c.Parms, text("EntDMID", d.EntDMID))
	if d.EntDeviceName != "" {
		c.Parms = append(c.Parms, text("EntDeviceName", d.EntDeviceName))
	}
	if d.LostContactDays != 0 {
		c.Parms = append(c.Parms, integer(nodeLostContact, int64(d.LostContactDays)))
	}
	c.Parms = append(c.Parms, d.Other...)
	poll := Characteristic{Type: "Poll"}
	for i, set := range d.Poll.Sets() {
		poll.Parms = append(poll.Parms, integer(PollRetries[i], int64(set.Retries)), integer(PollIntervals[i], int64(set.Interval)))
	}
	poll.Parms = append(poll.Parms, boolean("PollOnLogin", d.Poll.OnLogin), boolean("AllUsersPollOnFirstLogin", d.Poll.AllUsersOnFirstLogin))
	c.Characteristics = append(c.Characteristics, poll)
	if d.PFN != "" {
		c.Characteristics = append(c.Characteristics, Characteristic{Type: "Push", Parms: []Parm{text("PFN", d.PFN)}})
	}
	if d.SkipUserStatus {
		c.Characteristics = append(c.Characteristics, Characteristic{Type: "FirstSyncStatus", Parms: []Parm{boolean("SkipUserStatusPage", true)}})
	}
	return c
}

const nodeLostContact = "NumberOfDaysAfterLostContactToUnenroll"

// The names of the settings of the three sets of a [Poll], in their order.
var (
	PollRetries   = [3]string{"NumberOfFirstRetries", "NumberOfSecondRetries", "NumberOfRemainingScheduledRetries"}
	PollIntervals = [3]string{"IntervalForFirstSetOfRetries", "IntervalForSecondSetOfRetries", "IntervalForRemainingScheduledRetries"}
)

// Sets returns the three sets in the order in which they run.
func (p *Poll) Sets() [3]PollSet { return [3]PollSet{p.First, p.Second, p.Remaining} }

// ReadProvisioning reads the document of an enrolment or of a renewal as strictly as the device that must obey it: a characteristic
// or setting that is not known, or one that cannot hold, refuses all of it. The error wraps the [HRESULT] of the part that is
// wrong (WIN-025).
func ReadProvisioning(d Document) (*Provisioning, error) {
	p := &Provisioning{}
	seen := map[string]bool{}
	for i := range d {
		c := &d[i]
		var code HRESULT
		var err error
		switch c.Type {
		case "CertificateStore":
			code, err = ECertificateStore, p.readStore(c)
		case "APPLICATION":
			code, err = EApplication, p.Application.read(c)
		case "DMClient":
			p.DMClient = &DMClient{}
			code, err = EDMClient, p.DMClient.read(c, &p.Application)
		default:
			code, err = EOtherProvisioning, errors.New("unknown characteristic")
		}
		if err == nil && seen[c.Type] {
			err = errors.New("twice")
		}
		if err != nil {
			return nil, fmt.Errorf("provisioning: %.40q: %w: %w", c.Type, code, err)
		}
		seen[c.Type] = true
	}
	switch {
	case !seen["CertificateStore"]:
		return nil, fmt.Errorf("provisioning: no CertificateStore: %w", ECertificateStore)
	case !seen["APPLICATION"]:
		return nil, fmt.Errorf("provisioning: no APPLICATION: %w", EApplication)
	}
	return p, nil
}

func unknown(what string) error { return fmt.Errorf("unknown setting %.60q", what) }

func (p *Provisioning) readStore(c *Characteristic) error {
	if len(c.Parms) > 0 {
		return unknown(c.Parms[0].Name)
	}
	for i := range c.Characteristics {
		top := &c.Characteristics[i]
		for j := range top.Characteristics {
			child := &top.Characteristics[j]
			var err error
			switch top.Type + "/" + child.Type {
			case "Root/System":
				err = readOne(child, &p.Root)
			case "CA/System":
				err = readOne(child, &p.Intermediate)
			case "My/User", "My/System":
				if len(p.Client) > 0 {
					return errors.New("a certificate in My twice")
				}
				p.Store = Store(child.Type)
				err = p.readMine(child)
			case "My/WSTEP":
				err = p.readRenew(child)
			default:
				err = unknown(top.Type + "/" + child.Type)
			}
			if err != nil {
				return err
			}
		}
		if len(top.Parms) > 0 {
			return unknown(top.Parms[0].Name)
		}
	}
	if len(p.Client) == 0 {
		return errors.New("no certificate in My")
	}
	return nil
}

// readCertificate reads a characteristic that is named after the certificate in it.
func readCertificate(c *Characteristic) (*x509.Certificate, error) {
	if len(c.Parms) != 1 || c.Parms[0].Name != "EncodedCertificate" || len(c.Characteristics) > 0 {
		return nil, fmt.Errorf("want EncodedCertificate alone in %.60q", c.Type)
	}
	der, ok := base64Of(c.Parms[0].Value)
	if !ok || !strings.EqualFold(c.Type, Thumbprint(der)) {
		return nil, fmt.Errorf("%.60q is not the thumbprint of the certificate in it", c.Type)
	}
	return x509.ParseCertificate(der)
}

func readOne(c *Characteristic, der *[]byte) error {
	if len(c.Characteristics) != 1 || len(c.Parms) > 0 || len(*der) > 0 {
		return fmt.Errorf("want one certificate in %s", c.Type)
	}
	x, err := readCertificate(&c.Characteristics[0])
	if err == nil {
		*der = x.Raw
	}
	return err
}

// readMine reads My/User or My/System: the certificate, perhaps an intermediate beside it, and the container of the key.
func (p *Provisioning) readMine(c *Characteristic) error {
	contained := false
	for i := range c.Characteristics {
		child := &c.Characteristics[i]
		if child.Type == "PrivateKeyContainer" {
			contained = true
			continue
		}
		x, err := readCertificate(child)
		if err != nil {
			return err
		}
		into := &p.Client
		if x.IsCA {
			into = &p.Intermediate
		}
		if len(*into) > 0 {
			return fmt.Errorf("two certificates in My/%s", c.Type)
		}
		*into = x.Raw
	}
	if !contained || len(c.Parms) > 0 {
		return fmt.Errorf("want PrivateKeyContainer in My/%s", c.Type)
	}
	return nil
}

func (p *Provisioning) readRenew(c *Characteristic) error {
	if len(c.Characteristics) != 1 || c.Characteristics[0].Type != "Renew" || len(c.Parms) > 0 || p.Renewal != nil {
		return errors.New("want Renew alone in My/WSTEP")
	}
	p.Renewal = &Renewal{RenewPeriod: 42, RetryInterval: 7}
	r := &parms{list: c.Characteristics[0].Parms, typed: true}
	p.Renewal.ROBO = r.boolean("ROBOSupport", false)
	p.Renewal.RenewPeriod = int(r.integer("RenewPeriod", 42))
	p.Renewal.RetryInterval = int(r.integer("RetryInterval", 7))
	r.typed = false
	p.Renewal.ServerURL = r.text("ServerURL")
	if p.Renewal.RetryInterval == 0 {
		r.fail("RetryInterval")
	}
	return r.finish()
}

// parms reads settings by name, each once, and refuses those that nobody asked for.
type parms struct {
	list  []Parm
	typed bool // the datatype must be said
	known []string
	err   error
}

func (r *parms) fail(name string) {
	if r.err == nil {
		r.err = fmt.Errorf("setting %.60q: no good value", name)
	}
}

func (r *parms) find(name string) *Parm {
	r.known = append(r.known, name)
	var found *Parm
	for i := range r.list {
		if r.list[i].Name != name {
			continue
		}
		if found != nil {
			r.fail(name)
		}
		found = &r.list[i]
	}
	return found
}

func (r *parms) text(name string) string {
	if p := r.find(name); p != nil {
		return strings.TrimSpace(p.Value)
	}
	return ""
}

// number reads an integer of a setting that needs no datatype.
func (r *parms) number(name string, otherwise, most int64) int64 {
	p := r.find(name)
	if p == nil {
		return otherwise
	}
	n, err := strconv.ParseUint(strings.TrimSpace(p.Value), 10, 63)
	if err != nil || n > uint64(most) {
		r.fail(name)
		return otherwise
	}
	return int64(n)
}

func (r *parms) integer(name string, otherwise int64) int64 {
	if p := r.find(name); p != nil && (r.typed || p.Datatype != "") && p.Datatype != DatatypeInteger {
		r.fail(name)
	}
	return r.number(name, otherwise, 1<<31-1)
}

func (r *parms) boolean(name string, otherwise bool) bool {
	p := r.find(name)
	if p == nil {
		return otherwise
	}
	if (r.typed || p.Datatype != "") && p.Datatype != DatatypeBoolean {
		r.fail(name)
	}
	switch strings.ToLower(strings.TrimSpace(p.Value)) {
	case "true", "1":
		return true
	case "false", "0":
		return false
	}
	r.fail(name)
	return otherwise
}

func (r *parms) finish() error {
	for i := range r.list {
		known := false
		for _, name := range r.known {
			known = known || name == r.list[i].Name
		}
		if !known && r.err == nil {
			r.err = unknown(r.list[i].Name)
		}
	}
	return r.err
}

func (a *Application) read(c *Characteristic) error {
	r := &parms{list: c.Parms}
	a.ProviderID, a.Name, a.Address, a.Search = r.text("PROVIDER-ID"), r.text("NAME"), r.text("ADDR"), r.text("SSLCLIENTCERTSEARCHCRITERIA")
	id := r.text("APPID")
	a.ConnRetryFreq = int(r.number("CONNRETRYFREQ", 3, 1<<16))
	a.InitialBackoff, a.MaxBackoff = r.number("INITIALBACKOFFTIME", 16000, 1<<40), r.number("MAXBACKOFFTIME", 86400000, 1<<40)
	encoding := r.text("DEFAULTENCODING")
	for _, name := range []string{"BACKCOMPATRETRYDISABLED", "PROTOVER", "ROLE", "USEHWDEVID"} {
		r.find(name)
	}
	if err := r.finish(); err != nil {
		return err
	}
	auths := 0
	for i := range c.Characteristics {
		child := &c.Characteristics[i]
		var err error
		switch child.Type {
		case "APPAUTH":
			auths++
			err = a.readAuth(child)
		case "APPADDR":
			err = a.readAddress(child)
		default:
			err = unknown(child.Type)
		}
		if err != nil {
			return err
		}
	}
	switch {
	case a.ProviderID == "" || EscapeNode(a.ProviderID) != a.ProviderID && strings.ContainsAny(a.ProviderID, "/%"):
		return errors.New("PROVIDER-ID that is no name of a node")
	case id == "" && a.Address == "" && auths == 0: // a renewal's
		return nil
	case id != "w7":
		return errors.New("APPID is not w7")
	case encoding != "" && encoding != SyncMLContentType:
		return fmt.Errorf("DEFAULTENCODING is not %s", SyncMLContentType)
	case a.ClientAuth.Type == "" || a.ServerAuth.Type == "":
		return errors.New("want two APPAUTH, CLIENT and APPSRV")
	}
	if u, err := url.Parse(a.Address); err != nil || u.Scheme != "https" || u.Host == "" {
		return errors.New("ADDR is no https URL")
	}
	if _, _, err := ReadSearchCriteria(a.Search); err != nil {
		return err
	}
	return nil
}

func (a *Application) readAuth(c *Characteristic) error {
	r := &parms{list: c.Parms}
	level := r.text("AAUTHLEVEL")
	x := Auth{Type: r.text("AAUTHTYPE"), Name: r.text("AAUTHNAME"), Secret: r.text("AAUTHSECRET")}
	nonce, ok := base64Of(r.text("AAUTHDATA"))
	x.Nonce = nonce
	if err := r.finish(); err != nil {
		return err
	}
	into := &a.ServerAuth
	if level == "CLIENT" {
		into = &a.ClientAuth
	}
	switch {
	case len(c.Characteristics) > 0 || level != "CLIENT" && level != "APPSRV" || into.Type != "":
		return errors.New("want one APPAUTH for CLIENT and one for APPSRV")
	case x.Type != "DIGEST" && (x.Type != "BASIC" || level == "CLIENT"):
		return fmt.Errorf("AAUTHTYPE of %s", level)
	case !ok || len(nonce) == 0: // without one, devices end before the first session
		return fmt.Errorf("AAUTHDATA of %s is no nonce in base64", level)
	}
	*into = x
	return nil
}

func (a *Application) readAddress(c *Characteristic) error {
	r := &parms{list: c.Parms}
	address := r.text("ADDR")
	r.find("ADDRTYPE")
	if address != "" {
		a.Address = address
	}
	if err := r.finish(); err != nil {
		return err
	}
	for i := range c.Characteristics {
		port := &c.Characteristics[i]
		if port.Type != "PORT" || len(port.Characteristics) > 0 {
			return unknown(port.Type)
		}
		p := &parms{list: port.Parms}
		n := p.number("PORTNBR", 0, 1<<16-1)
		if err := p.finish(); err != nil {
			return err
		}
		if u, err := url.Parse(a.Address); n != 0 && err == nil {
			u.Host = u.Hostname() + ":" + strconv.FormatInt(n, 10)
			a.Address = u.String()
		}
	}
	return nil
}

// providerSettings are those of DMClient/Provider that change nothing in what rollcall's devices do.
var providerSettings = []string{
	"SignedEntDMID", "ExchangeID", "PublisherDeviceID", "HelpPhoneNumber", "HelpWebsite", "HelpEmailAddress", "SyncApplicationVersion",
	"RequireMessageSigning", "EnableOmaDmKeepAliveMessage", "AADResourceID", "AADSendDeviceToken", "CommercialID",
}

// providerParts are the characteristics of DMClient/Provider beside Poll and Push, and what may be in them.
var providerParts = map[string][]string{
	"CustomEnrollmentCompletePage": {"Title", "BodyText", "HyperlinkHref", "HyperlinkText"},
	"FirstSyncStatus": {
		"SkipDeviceStatusPage", "TimeOutUntilSyncFailure", "BlockInStatusPage", "ExpectedPolicies", "ExpectedNetworkProfiles",
		"ExpectedMSIAppPackages", "ExpectedModernAppPackages", "ExpectedPFXCerts", "ExpectedSCEPCerts", "ServerHasFinishedProvisioning", "IsSyncDone",
	},
}

func (d *DMClient) read(c *Characteristic, a *Application) error {
	if len(c.Characteristics) != 1 || c.Characteristics[0].Type != "Provider" || len(c.Characteristics[0].Characteristics) != 1 || len(c.Parms) > 0 {
		return errors.New("want one Provider")
	}
	p := &c.Characteristics[0].Characteristics[0]
	if p.Type != a.ProviderID {
		return errors.New("the provider is not PROVIDER-ID of APPLICATION (WIN-017)")
	}
	r := &parms{list: p.Parms}
	d.UPN, d.EntDMID, d.EntDeviceName = r.text("UPN"), r.text("EntDMID"), r.text("EntDeviceName")
	d.LostContactDays = int(r.integer(nodeLostContact, 0))
	for _, name := range providerSettings {
		if x := r.find(name); x != nil {
			d.Other = append(d.Other, *x)
		}
	}
	if err := r.finish(); err != nil {
		return err
	}
	for i := range p.Characteristics {
		child := &p.Characteristics[i]
		r := &parms{list: child.Parms}
		switch child.Type {
		case "Poll":
			d.Poll.read(r)
		case "Push":
			d.PFN = r.text("PFN")
		default:
			names, known := providerParts[child.Type]
			if !known {
				return unknown(child.Type)
			}
			if child.Type == "FirstSyncStatus" {
				d.SkipUserStatus = r.boolean("SkipUserStatusPage", false)
			}
			for _, name := range names {
				r.find(name)
			}
		}
		if err := r.finish(); err != nil {
			return err
		}
	}
	return nil
}

// read reads the sets; where a setting is absent, Windows' own default stands.
func (p *Poll) read(r *parms) {
	for i, set := range [3]*PollSet{&p.First, &p.Second, &p.Remaining} {
		retries, interval := int64(0), int64(0)
		if i == 0 {
			retries, interval = 10, 15
		}
		set.Retries, set.Interval = uint32(r.integer(PollRetries[i], retries)), uint32(r.integer(PollIntervals[i], interval))
	}
	p.OnLogin = r.boolean("PollOnLogin", false)
	p.AllUsersOnFirstLogin = r.boolean("AllUsersPollOnFirstLogin", false)
}
