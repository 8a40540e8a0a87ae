package rehearsal_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"rollcall/fleet/population"
	"rollcall/protocol"
	"rollcall/server"
)

func upn(i int) string { return fmt.Sprintf("u%d@example.org", i) }

// opened is what an export's importer makes of each combination of service plans.
var opened = sync.OnceValue(func() map[string]population.Licence {
	ids := map[string][2]string{
		"I": {"c1ec4a95-1f05-45b3-a911-aa3fa01094f5", "Enabled"}, "i": {"c1ec4a95-1f05-45b3-a911-aa3fa01094f5", "Deleted"},
		"O": {"882e1d05-acd1-4ccb-8699-6ee03927d771", "Enabled"}, "M": {"9aaf7827-d63c-4b61-89c3-182f06f82e5c", "Enabled"}, "A": {"41781fb2-bc02-4b7c-bd55-b576c07bb09d", "Enabled"},
	}
	dir, err := os.MkdirTemp("", "plans")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	all := map[string]population.Licence{"": 0}
	var names, users, devices []string
	for _, letters := range []string{"M", "MI", "I", "MO", "O", "A", "Mi", "MA", "MIA"} {
		var plans []string
		for _, l := range strings.Split(letters, "") {
			plans = append(plans, fmt.Sprintf(`{"servicePlanId":%q,"capabilityStatus":%q,"service":"x"}`, ids[l][0], ids[l][1]))
		}
		name := fmt.Sprintf("u%d@example.org", len(names))
		users = append(users, fmt.Sprintf(`{"id":"0000000%d-0000-0000-0000-000000000000","userPrincipalName":%q,"assignedPlans":[%s]}`, len(names), name, strings.Join(plans, ",")))
		devices = append(devices, fmt.Sprintf(`{"id":"1000000%d-0000-0000-0000-000000000000","operatingSystem":"iOS","userPrincipalName":%q,"managementAgent":"mdm","enrolledDateTime":"2026-01-01T00:00:00Z","lastSyncDateTime":"2026-02-01T00:00:00Z"}`, len(names), name))
		names = append(names, letters)
	}
	for file, list := range map[string][]string{"users.json": users, "managedDevices.json": devices} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(`{"value":[`+strings.Join(list, ",")+`]}`), 0o600); err != nil {
			panic(err)
		}
	}
	unset := protocol.Office365
	pop, err := population.Import(population.Options{Path: dir, KeepNames: true, Authority: &unset})
	if err != nil {
		panic(err)
	}
	for i, letters := range names {
		for k := range pop.Users {
			if strings.EqualFold(pop.Users[k].UPN, fmt.Sprintf("u%d@example.org", i)) {
				all[letters] = pop.Users[k].Licence
			}
		}
	}
	if len(all) != len(names)+1 {
		panic(fmt.Sprintf("the importer knows %d of %d users", len(all)-1, len(names)))
	}
	return all
})

// licences are a user's, as the server takes them.
func licences(i int, plans string) server.Licence {
	l := server.Licence{UPN: upn(i), CoManaged: strings.Contains(plans, "c"), Premium: strings.Contains(plans, "A")}
	opens := opened()[strings.Trim(plans, "c-")]
	l.Intune, l.Basic = opens&population.IntuneLicence != 0, opens&population.BMSLicence != 0
	return l
}
