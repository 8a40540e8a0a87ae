package population

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"rollcall/fleet/plan"
	"rollcall/protocol"
	"rollcall/protocol/lang"
)

const maxTenantFile = 64 << 20

// A tenantRow is what the small files of an export say of the tenant: tenant.json has all of it, each answer under
// its name; organization.json, subscribedSkus.json and apns.json have one each.
type tenantRow struct {
	Organization *page[organizationRow] `json:"organization"`
	Push         *pushRow               `json:"applePushNotificationCertificate"`
	Consents     *page[consentRow]      `json:"dataSharingConsents"`
	SKUs         *page[skuRow]          `json:"subscribedSkus"`
	Rollcall     *rollcallRow           `json:"rollcall"`
}

// A page is one Graph answer: a collection, a bare array, or a single object.
type page[T any] struct {
	Value    []T          `json:"value"`
	Rollcall *rollcallRow `json:"rollcall"`
}

func (p *page[T]) UnmarshalJSON(data []byte) error {
	if data[0] == '[' {
		return json.Unmarshal(data, &p.Value)
	}
	var collection struct {
		Value    *[]T         `json:"value"`
		Rollcall *rollcallRow `json:"rollcall"`
	}
	if err := json.Unmarshal(data, &collection); err != nil {
		return err
	}
	p.Rollcall = collection.Rollcall
	if collection.Value != nil {
		p.Value = *collection.Value
		return nil
	}
	p.Value = make([]T, 1)
	return json.Unmarshal(data, &p.Value[0])
}

type organizationRow struct {
	DisplayName string `json:"displayName"`
	Authority   word   `json:"mobileDeviceManagementAuthority"`
	Domains     []struct {
		Name string `json:"name"`
	} `json:"verifiedDomains"`
}

type pushRow struct {
	AppleID  text `json:"appleIdentifier"`
	Topic    text `json:"topicIdentifier"`
	Modified when `json:"lastModifiedDateTime"`
	Expires  when `json:"expirationDateTime"`
}

type consentRow struct {
	ID      text    `json:"id"`
	Granted boolean `json:"granted"`
}

type skuRow struct {
	SKU      string `json:"skuId"`
	Status   string `json:"capabilityStatus"`
	Consumed int    `json:"consumedUnits"`
	Prepaid  struct {
		Enabled int `json:"enabled"`
		Warning int `json:"warning"`
	} `json:"prepaidUnits"`
	Plans []struct {
		Plan string `json:"servicePlanId"`
	} `json:"servicePlans"`
}

// A rollcallRow says what Graph does not.
type rollcallRow struct {
	Coexistence *bool `json:"coexistence"`
	Base        word  `json:"baseAuthority"`
	AsOf        when  `json:"asOf"`
	ChangedAt   when  `json:"changedAt"`
}

// tenant reads the small files into one row.
func (im *importer) tenant(files *export) error {
	for _, f := range files.tenant {
		var row tenantRow
		if err := im.whole(f, &row); err != nil {
			return err
		}
		im.row.merge(&row)
	}
	for _, f := range files.organization {
		var p page[organizationRow]
		if err := im.whole(f, &p); err != nil {
			return err
		}
		im.row.merge(&tenantRow{Organization: &p, Rollcall: p.Rollcall})
	}
	for _, f := range files.skus {
		var p page[skuRow]
		if err := im.whole(f, &p); err != nil {
			return err
		}
		im.row.merge(&tenantRow{SKUs: &p})
	}
	for _, f := range files.apns {
		var p page[pushRow]
		if err := im.whole(f, &p); err != nil {
			return err
		}
		if len(p.Value) > 0 {
			im.row.merge(&tenantRow{Push: &p.Value[0]})
		}
	}
	return im.settle(files)
}

func (r *tenantRow) merge(more *tenantRow) {
	if more.Organization != nil {
		r.Organization = more.Organization
		if more.Rollcall == nil {
			more.Rollcall = more.Organization.Rollcall
		}
	}
	if more.Push != nil {
		r.Push = more.Push
	}
	if more.Consents != nil {
		r.Consents = more.Consents
	}
	if more.SKUs != nil {
		r.SKUs = more.SKUs
	}
	if more.Rollcall != nil {
		r.Rollcall = more.Rollcall
	}
}

// whole reads one small file.
func (im *importer) whole(f input, v any) error {
	r, err := f.text()
	if err != nil {
		return err
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, maxTenantFile+1))
	if err != nil {
		return fmt.Errorf("%s: %w", f.path, err)
	}
	if len(data) > maxTenantFile {
		return plan.Errors{{File: f.path, Rule: ruleExport, Message: "a file about the tenant is at most 64 MiB"}}
	}
	if err := json.Unmarshal(data, v); err != nil {
		return plan.Errors{jsonError(f.path, place{1, 1}, data, v, err)}
	}
	return nil
}

// settle makes the tenant of what flags and files say; flags win.
func (im *importer) settle(files *export) error {
	t, r, o := &im.pop.Tenant, &im.row, &im.o
	t.Epoch = 1
	im.cat.plans = map[string][]string{}
	authority := ""
	if r.Organization != nil && len(r.Organization.Value) > 0 {
		org := &r.Organization.Value[0]
		t.Name, authority = im.tokens.name("tenant", org.DisplayName), member(authorityNumbers, string(org.Authority))
		for _, d := range org.Domains {
			t.Domains = append(t.Domains, strings.ToLower(d.Name))
		}
	}
	if r.Rollcall != nil {
		t.ChangedAt, t.AsOf = protocol.Time(r.Rollcall.ChangedAt), protocol.Time(r.Rollcall.AsOf)
		if r.Rollcall.Coexistence != nil {
			im.coexistence = r.Rollcall.Coexistence
		}
		if authority == "" {
			authority = member(authorityNumbers, string(r.Rollcall.Base))
		}
	}
	if o.Coexistence != nil {
		im.coexistence = o.Coexistence
	}
	if o.AsOf != 0 {
		t.AsOf = o.AsOf
	}
	switch {
	case o.Authority != nil:
		t.Authority = *o.Authority
	case authority != "":
		if err := t.Authority.UnmarshalText([]byte(authority)); err != nil {
			return plan.Errors{{File: o.Path, Field: "mobileDeviceManagementAuthority", Message: err.Error()}}
		}
	case im.coexistence != nil && *im.coexistence:
	case files.managed():
		t.Authority = protocol.Intune // Graph shows managed devices only where Intune is active
	default:
		return plan.Errors{{File: o.Path, Field: "authority", Message: "the export does not say who the tenant's authority is; give --authority office365 (or what it is)"}}
	}
	if im.coexistence != nil && *im.coexistence {
		stated := o.Authority != nil || authority != ""
		if contradicts := stated && t.Authority != protocol.Office365 && t.Authority != protocol.Intune; contradicts && o.Authority != nil && o.Coexistence != nil {
			return &plan.Error{File: "--authority", Field: t.Authority.String(), Rule: "AUTH-04", Message: "coexistence is a flag beside office365, so --coexistence contradicts it"}
		} else if contradicts {
			im.doubt(OtherAuthority, -1, lang.Later("the authority is %s, and Intune has been added to Basic Mobility and Security; taken as coexistence", t.Authority.String()),
				lang.Later("%s alone (--coexistence=false)", t.Authority.String()))
		}
		t.Authority, t.Coexistence = protocol.Office365, true
	}
	if r.Push != nil {
		t.APNs = APNs{Topic: string(r.Push.Topic), AppleID: im.tokens.upn(string(r.Push.AppleID)), Modified: protocol.Time(r.Push.Modified), Expires: protocol.Time(r.Push.Expires)}
	}
	im.answers()
	if r.Consents != nil {
		t.Consents = map[string]bool{}
		for _, c := range r.Consents.Value {
			t.Consents[string(c.ID)] = bool(c.Granted)
		}
	}
	if r.SKUs != nil {
		for _, s := range r.SKUs.Value {
			for _, p := range s.Plans {
				sku := strings.ToLower(s.SKU)
				im.cat.plans[sku] = append(im.cat.plans[sku], p.Plan)
			}
		}
		t.Units = im.cat.units(r.SKUs.Value)
	}
	return nil
}

// answers lets what the administrator said about the push certificate win over the export.
func (im *importer) answers() {
	t, o := &im.pop.Tenant.APNs, &im.o.APNs
	if o.Topic != "" {
		t.Topic = o.Topic
	}
	if o.AppleID != "" {
		t.AppleID = im.tokens.upn(o.AppleID)
	}
	if o.Modified != 0 {
		t.Modified = o.Modified
	}
	if o.Expires != 0 {
		t.Expires = o.Expires
	}
}

// Values of JSON that come in more than one spelling. Each takes null as nothing.
type (
	text    string // a string; a number as its digits
	word    string // a member of an enumeration: string or number
	boolean bool   // true, "True"
	when    protocol.Time
)

func scalarOf(data []byte) (string, error) {
	switch data[0] {
	case '"':
		var s string
		err := json.Unmarshal(data, &s)
		return s, err
	case '{', '[':
		return "", errors.New("want a single value")
	case 'n':
		return "", nil
	}
	return string(data), nil
}

func (t *text) UnmarshalJSON(data []byte) error {
	s, err := scalarOf(data)
	*t = text(s)
	return err
}

func (w *word) UnmarshalJSON(data []byte) error {
	s, err := scalarOf(data)
	*w = word(s)
	return err
}

func (f *boolean) UnmarshalJSON(data []byte) error {
	s, err := scalarOf(data)
	if err != nil {
		return err
	}
	b, err := parseBool(s)
	*f = boolean(b)
	return err
}

func (w *when) UnmarshalJSON(data []byte) error {
	s, err := scalarOf(data)
	if err != nil {
		return err
	}
	t, err := parseTime(s)
	*w = when(t)
	return err
}
