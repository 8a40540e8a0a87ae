package windows

import (
	"crypto/sha1" // how Windows names a certificate; nothing is trusted by it
	"encoding/base64"
	"fmt"
	"slices"
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
	var parts []Characteristic
	part := func(name string, p Parm) {
		at := slices.IndexFunc(parts, func(c Characteristic) bool { return c.Type == name })
		if at < 0 {
			at, parts = len(parts), append(parts, Characteristic{Type: name})
		}
		parts[at].Parms = append(parts[at].Parms, p)
	}
	for _, o := range d.Other {
		if name, setting, ok := strings.Cut(o.Name, "/"); ok {
			o.Name = setting
			part(name, o)
			continue
		}
		c.Parms = append(c.Parms, o)
	}
	if d.SkipUserStatus {
		part(partFirstSync, boolean("SkipUserStatusPage", true))
	}
	poll := Characteristic{Type: "Poll"}
	for i, set := range d.Poll.Sets() {
		poll.Parms = append(poll.Parms, integer(PollRetries[i], int64(set.Retries)), integer(PollIntervals[i], int64(set.Interval)))
	}
	poll.Parms = append(poll.Parms, boolean("PollOnLogin", d.Poll.OnLogin), boolean("AllUsersPollOnFirstLogin", d.Poll.AllUsersOnFirstLogin))
	c.Characteristics = append(c.Characteristics, poll)
	if d.PFN != "" {
		c.Characteristics = append(c.Characteristics, Characteristic{Type: "Push", Parms: []Parm{text("PFN", d.PFN)}})
	}
	c.Characteristics = append(c.Characteristics, parts...)
	return c
}

const (
	nodeLostContact = "NumberOfDaysAfterLostContactToUnenroll"
	partFirstSync   = "FirstSyncStatus"
)

// The names of the settings of the three sets of a [Poll], in their order.
var (
	PollRetries   = [3]string{"NumberOfFirstRetries", "NumberOfSecondRetries", "NumberOfRemainingScheduledRetries"}
	PollIntervals = [3]string{"IntervalForFirstSetOfRetries", "IntervalForSecondSetOfRetries", "IntervalForRemainingScheduledRetries"}
)

// Sets returns the three sets in the order in which they run.
func (p *Poll) Sets() [3]PollSet { return [3]PollSet{p.First, p.Second, p.Remaining} }
