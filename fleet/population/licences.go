package population

import (
	"slices"
	"strings"
)

// Service plans by id (graph.md, Users and licences).
var (
	intunePlans = set(
		"c1ec4a95-1f05-45b3-a911-aa3fa01094f5", // INTUNE_A
		"3e170737-c728-4eae-bbb9-3f3360f7184c", // INTUNE_A_VL
		"d216f254-796f-4dab-bbfa-710686e646b9", // INTUNE_A_GOV
		"da24caf9-af8e-485c-b7c8-e73336da2693", // INTUNE_EDU
	)
	mailPlans = set(
		"9aaf7827-d63c-4b61-89c3-182f06f82e5c", // EXCHANGE_S_STANDARD
		"efb87545-963c-4e0d-99df-69c6916d9eb0", // EXCHANGE_S_ENTERPRISE
		"4a82b400-a79f-41a4-b4e2-e94f5787b113", // EXCHANGE_S_DESKLESS
		"1126bef5-da20-4f07-b45e-ad25d2581aa8", // EXCHANGE_S_ESSENTIALS
		"e9b4930a-925f-45e2-ac2a-3f7788ca6fdd", // for governments
		"8c3069c0-ccdb-44be-ab77-986203a67df2", // for governments
	)
)

// deviceLicence is INTUNE_A_D: it entitles no user, though its plans hold INTUNE_A.
const deviceLicence = "2b317a4a-77a6-4188-9437-b68a77b4e2c6"

// A product is what one SKU opens for a user.
type product struct {
	name, part, sku string
	opens           Licence
}

var products = []product{
	{"microsoft 365 business basic", "o365_business_essentials", "3b555118-da6a-4418-894f-7df1e2096870", BMSLicence},
	{"microsoft 365 business standard", "o365_business_premium", "f245ecc8-75af-4f8e-b61f-27d8114de5f3", BMSLicence}, // sic
	{"microsoft 365 business premium", "spb", "cbdc14ab-d96c-4c30-b9f4-6ada7cdc1d46", BMSLicence | IntuneLicence},
	{"microsoft 365 apps for business", "o365_business", "cdd28e44-67e3-425e-be4c-737fab2899d3", NoLicence},
	{"office 365 e1", "standardpack", "18181a46-0d4e-45cd-891e-60aabd171b4e", BMSLicence},
	{"office 365 e3", "enterprisepack", "6fd2c87f-b296-42f0-b197-1e91e994b900", BMSLicence},
	{"office 365 e5", "enterprisepremium", "c7df2760-2c81-4ef7-b578-5b5392b571df", BMSLicence},
	{"office 365 f3", "desklesspack", "4b585984-651b-448a-9e53-3b10f069cf7f", BMSLicence},
	{"microsoft 365 e3", "spe_e3", "05e9a617-0261-4cee-bb44-138d3ef5d965", BMSLicence | IntuneLicence},
	{"microsoft 365 e5", "spe_e5", "06ebc4ee-1bb5-47dd-8120-11324bc54e06", BMSLicence | IntuneLicence},
	{"microsoft 365 f1", "m365_f1", "44575883-256e-4a79-9da4-ebe9acabe2b2", IntuneLicence},
	{"microsoft 365 f1", "m365_f1_comm", "50f60901-3181-4b75-8a2c-4c8e4c1d5a72", IntuneLicence},
	{"microsoft 365 f3", "spe_f1", "66b55226-6b4f-492c-910c-a3b7a3c9d993", BMSLicence | IntuneLicence},
	{"enterprise mobility + security e3", "ems", "efccb6f7-5641-4e0e-bd10-b4976e1bf68e", IntuneLicence},
	{"enterprise mobility + security e5", "emspremium", "b05e124f-c7cc-45a0-a6aa-8cf78c946968", IntuneLicence},
	{"intune", "intune_a", "061f9ace-7d42-4136-88ac-31dc755f143f", IntuneLicence},
	{"intune device", "intune_a_d", deviceLicence, NoLicence},
	{"exchange online (plan 1)", "exchangestandard", "4b9405b0-7788-4568-add1-99614e613b69", BMSLicence},
	{"exchange online (plan 2)", "exchangeenterprise", "19ec0d23-8335-4cbd-94ac-6050e30712fa", BMSLicence},
	{"entra id p1", "aad_premium", "078d2b04-f1bd-4111-bbd4-b4b1b354cef4", NoLicence},
}

// More names under which the admin centre has sold the same products.
var otherNames = map[string]string{
	"microsoft intune": "intune", "microsoft intune plan 1": "intune", "intune plan 1": "intune", "microsoft intune device": "intune device",
	"microsoft entra id p1": "entra id p1", "azure active directory premium p1": "entra id p1", "office 365 business essentials": "microsoft 365 business basic",
	"office 365 business premium": "microsoft 365 business standard", "microsoft 365 business": "microsoft 365 business premium",
	"exchange online plan 1": "exchange online (plan 1)", "exchange online plan 2": "exchange online (plan 2)", "ems e3": "enterprise mobility + security e3",
	"ems e5": "enterprise mobility + security e5",
}

func set(ids ...string) map[string]bool {
	s := make(map[string]bool, len(ids))
	for _, id := range ids {
		s[id] = true
	}
	return s
}

// licencesRow is what the export says of one user's licences. A nil list is not there, an empty one is.
type licencesRow struct {
	Assigned []struct {
		SKU      string   `json:"skuId"`
		Disabled []string `json:"disabledPlans"`
	} `json:"assignedLicenses"`
	Plans []struct {
		Plan   string `json:"servicePlanId"`
		Status string `json:"capabilityStatus"`
	} `json:"assignedPlans"`
	Details []struct {
		SKU   string `json:"skuId"`
		Plans []struct {
			Plan   string `json:"servicePlanId"`
			Status string `json:"provisioningStatus"`
		} `json:"servicePlans"`
	} `json:"licenseDetails"`
}

func (l *licencesRow) shown() bool { return l.Assigned != nil || l.Plans != nil || l.Details != nil }

// A catalogue says what SKUs open: by the table above, else by their plans in the tenant's subscribedSkus.
type catalogue struct {
	plans   map[string][]string // of the tenant's SKUs
	unknown map[string]int      // SKUs that neither knows: users who have them
}

// decide returns what a user's licences open, from the first of licenseDetails, assignedPlans, assignedLicenses that
// is there and not empty.
func (c *catalogue) decide(l *licencesRow) Licence {
	var opens Licence
	switch {
	case len(l.Details) > 0:
		for _, sku := range l.Details {
			for _, p := range sku.Plans {
				if !strings.EqualFold(p.Status, "Disabled") && !l.disabled(sku.SKU, p.Plan) {
					opens |= opensPlan(p.Plan, sku.SKU)
				}
			}
		}
	case len(l.Plans) > 0:
		under := ""
		if l.deviceOnly(c) {
			under = deviceLicence
		}
		for _, p := range l.Plans {
			if strings.EqualFold(p.Status, "Enabled") || strings.EqualFold(p.Status, "Warning") {
				opens |= opensPlan(p.Plan, under)
			}
		}
	default:
		for i := range l.Assigned {
			opens |= c.assigned(l, i, true)
		}
	}
	return opens
}

// deviceOnly tells whether a device licence is all that could bring l's Intune plans.
func (l *licencesRow) deviceOnly(c *catalogue) bool {
	device := false
	for i, a := range l.Assigned {
		if strings.EqualFold(a.SKU, deviceLicence) {
			device = true
		} else if c.assigned(l, i, false)&IntuneLicence != 0 {
			return false
		}
	}
	return device
}

// planOff tells whether one of l's licences would entitle Intune if its plan were switched on.
func (c *catalogue) planOff(l *licencesRow) bool {
	all := licencesRow{Assigned: slices.Clone(l.Assigned)}
	for i := range all.Assigned {
		all.Assigned[i].Disabled = nil
		if c.assigned(&all, i, false)&IntuneLicence != 0 {
			return true
		}
	}
	return false
}

// assigned returns what l's i-th SKU opens; note counts it when nothing knows it.
func (c *catalogue) assigned(l *licencesRow, i int, note bool) Licence {
	sku := strings.ToLower(l.Assigned[i].SKU)
	for _, p := range products {
		if p.sku == sku {
			opens := p.opens
			for _, plan := range l.Assigned[i].Disabled {
				opens &^= opensPlan(plan, "")
			}
			return opens
		}
	}
	plans, ok := c.plans[sku]
	if !ok {
		if note {
			c.miss(sku)
		}
		return NoLicence
	}
	var opens Licence
	for _, p := range plans {
		if !l.disabled(sku, p) {
			opens |= opensPlan(p, sku)
		}
	}
	return opens
}

// miss counts a product that nothing knows.
func (c *catalogue) miss(name string) {
	if _, there := c.unknown[name]; there || len(c.unknown) < maxBad {
		c.unknown[name]++
	}
}

func (l *licencesRow) disabled(sku, plan string) bool {
	for _, a := range l.Assigned {
		if !strings.EqualFold(a.SKU, sku) {
			continue
		}
		for _, d := range a.Disabled {
			if strings.EqualFold(d, plan) {
				return true
			}
		}
	}
	return false
}

// opensPlan returns what one enabled plan under one SKU opens.
func opensPlan(plan, sku string) Licence {
	plan = strings.ToLower(plan)
	switch {
	case intunePlans[plan] && !strings.EqualFold(sku, deviceLicence):
		return IntuneLicence
	case mailPlans[plan]:
		return BMSLicence
	}
	return NoLicence
}

// named returns what the products of the admin centre's list open: their names joined by +, where "Enterprise
// Mobility + Security E3" has one of its own.
func (c *catalogue) named(list string) Licence {
	const inside = "\x00"
	var opens Licence
	for name := range strings.SplitSeq(strings.ReplaceAll(list, " + ", inside), "+") {
		name = strings.ToLower(strings.TrimSpace(strings.ReplaceAll(name, inside, " + ")))
		if name == "" || name == "unlicensed" {
			continue
		}
		if usual, ok := otherNames[name]; ok {
			name = usual
		}
		found := false
		for _, p := range products {
			if p.name == name || p.part == name || p.sku == name {
				opens |= p.opens
				found = true
				break
			}
		}
		if !found {
			c.miss(name)
		}
	}
	return opens
}

// units adds up the licences that entitle Intune.
func (c *catalogue) units(skus []skuRow) Units {
	u := Units{Known: len(skus) > 0}
	for _, s := range skus {
		sku := strings.ToLower(s.SKU)
		var opens Licence
		known := false
		for _, p := range products {
			if p.sku == sku {
				opens, known = p.opens, true
			}
		}
		for _, p := range c.plans[sku] {
			if !known {
				opens |= opensPlan(p, sku)
			}
		}
		if opens&IntuneLicence == 0 || !strings.EqualFold(s.Status, "Enabled") && !strings.EqualFold(s.Status, "Warning") {
			continue
		}
		owned := s.Prepaid.Enabled + s.Prepaid.Warning
		u.Owned += owned
		u.Free += max(0, owned-s.Consumed)
	}
	return u
}

var licenceDefaults = map[string]Licence{"": BMSLicence, "basic": BMSLicence, "intune": BMSLicence | IntuneLicence, "none": NoLicence}
