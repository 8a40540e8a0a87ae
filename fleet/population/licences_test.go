package population

import (
	"encoding/json"
	"testing"
)

// TestLicences walks the rules of who is entitled to what (graph.md, Users and licences).
func TestLicences(t *testing.T) {
	const (
		intune, mail, o365, foundation = `"c1ec4a95-1f05-45b3-a911-aa3fa01094f5"`, `"efb87545-963c-4e0d-99df-69c6916d9eb0"`, `"882e1d05-acd1-4ccb-8708-6ee03664b117"`, `"113feb6c-3fe4-4440-bddc-54d774bf0318"`
		smbiz, edu                     = `"8e9ff0ff-aa7a-4b20-83c1-2f636b600ac2"`, `"da24caf9-af8e-485c-b7c8-e73336da2693"`
		device, e3, standard, apps     = `"2b317a4a-77a6-4188-9437-b68a77b4e2c6"`, `"05E9A617-0261-4cee-bb44-138d3ef5d965"`, `"f245ecc8-75af-4f8e-b61f-27d8114de5f3"`, `"cdd28e44-67e3-425e-be4c-737fab2899d3"`
		ems, own, nobodys              = `"efccb6f7-5641-4e0e-bd10-b4976e1bf68e"`, `"11111111-0000-4000-8000-000000000001"`, `"99999999-0000-4000-8000-000000000009"`
	)
	plan := func(id, status string) string {
		return `{"servicePlanId":` + id + `,"capabilityStatus":"` + status + `"}`
	}
	detail := func(sku, id, status string) string {
		return `{"skuId":` + sku + `,"servicePlans":[{"servicePlanId":` + id + `,"provisioningStatus":"` + status + `"}]}`
	}
	sku := func(id, disabled string) string { return `{"skuId":` + id + `,"disabledPlans":[` + disabled + `]}` }
	for _, tt := range []struct {
		name, row string
		want      Licence
		planOff   bool
		unknown   int
	}{
		{"AUTH-14 plan enabled", `{"assignedPlans":[` + plan(intune, "Enabled") + `,` + plan(mail, "Enabled") + `]}`, IntuneLicence | BMSLicence, false, 0},
		{"warning counts", `{"assignedPlans":[` + plan(intune, "Warning") + `]}`, IntuneLicence, false, 0},
		{"education", `{"assignedPlans":[` + plan(edu, "Enabled") + `]}`, IntuneLicence, false, 0},
		{"deleted does not", `{"assignedPlans":[` + plan(intune, "Deleted") + `,` + plan(mail, "Suspended") + `]}`, NoLicence, false, 0},
		{"INTUNE_O365 never decides", `{"assignedPlans":[` + plan(o365, "Enabled") + `]}`, NoLicence, false, 0},
		{"INTUNE_SMBIZ alone does not", `{"assignedPlans":[` + plan(smbiz, "Enabled") + `]}`, NoLicence, false, 0},
		{"AUTH-17 a foundation is no mailbox", `{"assignedPlans":[` + plan(foundation, "Enabled") + `]}`, NoLicence, false, 0},
		{"details come first", `{"licenseDetails":[` + detail(e3, mail, "Success") + `],"assignedPlans":[` + plan(intune, "Enabled") + `]}`, BMSLicence, false, 0},
		{"empty details do not", `{"licenseDetails":[],"assignedPlans":[` + plan(intune, "Enabled") + `]}`, IntuneLicence, false, 0},
		{"details, disabled there", `{"licenseDetails":[` + detail(e3, intune, "Disabled") + `]}`, NoLicence, false, 0},
		{"AUTH-16 details, disabled at the user", `{"licenseDetails":[` + detail(e3, intune, "Success") + `,` + detail(e3, mail, "PendingInput") + `],"assignedLicenses":[` + sku(e3, intune) + `]}`, BMSLicence, true, 0},
		{"details, device licence", `{"licenseDetails":[` + detail(device, intune, "Success") + `]}`, NoLicence, false, 0},
		{"plans, device licence alone", `{"assignedPlans":[` + plan(intune, "Enabled") + `],"assignedLicenses":[` + sku(device, "") + `]}`, NoLicence, false, 0},
		{"plans, device licence beside one that does not", `{"assignedPlans":[` + plan(intune, "Enabled") + `,` + plan(mail, "Enabled") + `],"assignedLicenses":[` + sku(device, "") + `,` + sku(standard, "") + `]}`, BMSLicence, false, 0},
		{"plans, device licence beside one that does", `{"assignedPlans":[` + plan(intune, "Enabled") + `],"assignedLicenses":[` + sku(device, "") + `,` + sku(ems, "") + `]}`, IntuneLicence, false, 0},
		{"plans, device licence beside one switched off", `{"assignedPlans":[` + plan(intune, "Enabled") + `],"assignedLicenses":[` + sku(device, "") + `,` + sku(ems, intune) + `]}`, NoLicence, true, 0},
		{"products", `{"assignedLicenses":[` + sku(e3, "") + `]}`, IntuneLicence | BMSLicence, false, 0},
		{"products, a plan switched off", `{"assignedLicenses":[` + sku(e3, intune) + `]}`, BMSLicence, true, 0},
		{"products without anything", `{"assignedLicenses":[` + sku(apps, "") + `,` + sku(device, "") + `]}`, NoLicence, false, 0},
		{"Business Standard is no Premium", `{"assignedLicenses":[` + sku(standard, "") + `]}`, BMSLicence, false, 0},
		{"a product of the tenant's own list", `{"assignedLicenses":[` + sku(own, "") + `]}`, IntuneLicence | BMSLicence, false, 0},
		{"a product of the tenant's own list, a plan switched off", `{"assignedLicenses":[` + sku(own, mail) + `]}`, IntuneLicence, false, 0},
		{"a product nobody knows", `{"assignedLicenses":[` + sku(nobodys, "") + `]}`, NoLicence, false, 1},
		{"nothing", `{"assignedLicenses":[],"assignedPlans":[],"licenseDetails":[]}`, NoLicence, false, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var row licencesRow
			must(t, json.Unmarshal([]byte(tt.row), &row))
			c := catalogue{unknown: map[string]int{}, plans: map[string][]string{own[1 : len(own)-1]: {intune[1 : len(intune)-1], mail[1 : len(mail)-1]}}}
			got := c.decide(&row)
			off := got&IntuneLicence == 0 && c.planOff(&row)
			if got != tt.want || off != tt.planOff || len(c.unknown) != tt.unknown || !row.shown() {
				t.Errorf("decide(%s) = %b, plan off %t, unknown %v; want %b, %t, %d", tt.row, got, off, c.unknown, tt.want, tt.planOff, tt.unknown)
			}
		})
	}
	var none licencesRow
	if none.shown() {
		t.Error("a user without licence fields is taken for one without licences")
	}
}

// TestLicenceNames reads the admin centre's lists.
func TestLicenceNames(t *testing.T) {
	c := catalogue{unknown: map[string]int{}}
	for list, want := range map[string]Licence{
		"Unlicensed": NoLicence, "Microsoft 365 Business Basic": BMSLicence, "Microsoft 365 Business Standard": BMSLicence,
		"Office 365 E3+Enterprise Mobility + Security E3": BMSLicence | IntuneLicence, "Microsoft Intune Plan 1": IntuneLicence, "SPB": BMSLicence | IntuneLicence,
		"Microsoft Entra ID P1+Microsoft 365 Apps for business": NoLicence, "Enterprise Mobility + Security E5+Exchange Online (Plan 1)": BMSLicence | IntuneLicence,
		"Power BI Pro+Microsoft 365 E3": BMSLicence | IntuneLicence,
	} {
		if got := c.named(list); got != want {
			t.Errorf("named(%q) = %b, want %b", list, got, want)
		}
	}
	if len(c.unknown) != 1 || c.unknown["power bi pro"] != 1 {
		t.Errorf("unknown products: %v", c.unknown)
	}
}
