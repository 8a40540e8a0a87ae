package windows

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

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
			u.Host = strings.TrimSuffix(u.Host, ":"+u.Port()) + ":" + strconv.FormatInt(n, 10) // brackets of an IPv6 host stay
			a.Address = u.String()
		}
	}
	return nil
}

// providerSettings are those of DMClient/Provider itself that no field has.
var providerSettings = []string{
	"SignedEntDMID", "ExchangeID", "PublisherDeviceID", "HelpPhoneNumber", "HelpWebsite", "HelpEmailAddress", "SyncApplicationVersion",
	"RequireMessageSigning", "EnableOmaDmKeepAliveMessage", "AADResourceID", "AADSendDeviceToken", "ForceAadToken", "CommercialID",
}

// providerParts are the characteristics of DMClient/Provider beside Poll and Push, and what may be in them.
var providerParts = map[string][]string{
	"CustomEnrollmentCompletePage": {"Title", "BodyText", "HyperlinkHref", "HyperlinkText"},
	partFirstSync: {
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
		if slices.ContainsFunc(p.Characteristics[:i], func(c Characteristic) bool { return c.Type == child.Type }) {
			return fmt.Errorf("%.40q twice", child.Type)
		}
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
			if child.Type == partFirstSync {
				d.SkipUserStatus = r.boolean("SkipUserStatusPage", false)
			}
			for _, name := range names {
				if x := r.find(name); x != nil {
					of := *x
					of.Name = child.Type + "/" + name
					d.Other = append(d.Other, of)
				}
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
