package population

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"rollcall/fleet/plan"
)

// later reads the licences that users will have after a change: a CSV of the admin centre, or users.json. Whom the file
// does not name keeps what the export says; whom the export does not name has no device, and is counted.
func (im *importer) later(file string) error {
	if file == "" {
		return nil
	}
	fsys, only, err := folder(file)
	switch {
	case err != nil:
		return err
	case only == "":
		return plan.Errors{{File: file, Rule: ruleExport, Message: "want a file of licences (a CSV with UserPrincipalName and Licenses, or users.json), not a folder"}}
	}
	p := im.pop
	p.Later = slices.Clone(p.Users)
	present := im.cat.unknown
	im.cat.unknown = map[string]int{}
	strangers := 0
	set := func(id, upn string, u User) {
		n, ok := im.userOf(id, known(upn))
		switch {
		case !ok:
			strangers++
		case !u.Assumed:
			p.Later[n].Licence, p.Later[n].PlanOff, p.Later[n].Assumed = u.Licence, u.PlanOff, false
		}
	}
	in := input{fsys, only, file}
	switch strings.ToLower(path.Ext(only)) {
	case ".json", ".jsonl", ".ndjson":
		err = im.userFile(in, set)
	default:
		err = im.userTables([]input{in}, set)
	}
	maps.Copy(im.cat.unknown, present) // a product is told once
	if strangers > 0 {
		im.assumed[[2]string{"users whom only the file of licences names", fmt.Sprintf("%d users without a device", strangers)}] = 0
	}
	return err
}
