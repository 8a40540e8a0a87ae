package population

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"rollcall/fleet/plan"
	"rollcall/protocol/lang"
)

// strangersNamed is how many users are named whom only the file of licences names; more are counted.
const strangersNamed = 10

// later reads the licences that users will have after a change: a CSV of the admin centre, or users.json. Whom the file
// does not name keeps what the export says; whom the export does not name has no device, or is misspelt, and is named. A user
// who is there twice with different licences is a bad row: neither of the two is known to be the one that is meant.
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
	var strangers []string
	others := 0
	lines := map[int32]int{} // of the users so far
	set := func(id, upn string, u User, line int) string {
		n, ok := im.userOf(id, known(upn))
		first, twice := lines[n]
		switch {
		case !ok && len(strangers) == strangersNamed:
			others++
		case !ok:
			strangers = append(strangers, im.tokens.upn(cmp.Or(upn, id)))
		case u.Assumed:
		case twice && p.Later[n].Licence != u.Licence:
			return fmt.Sprintf("%s has other licences in line %d already", im.tokens.upn(cmp.Or(upn, id)), first)
		default:
			lines[n] = line
			p.Later[n].Licence, p.Later[n].PlanOff, p.Later[n].Assumed = u.Licence, u.PlanOff, false
		}
		return ""
	}
	in := input{fsys, only, file}
	switch strings.ToLower(path.Ext(only)) {
	case ".json", ".jsonl", ".ndjson":
		err = im.userFile(in, set)
	default:
		err = im.userTables([]input{in}, set)
	}
	maps.Copy(im.cat.unknown, present) // a product is told once
	if len(strangers) > 0 {
		text := lang.Later("without a device, or misspelt: %s", strings.Join(strangers, ", "))
		if others > 0 {
			text = lang.Later("without a device, or misspelt: %s and %d more", strings.Join(strangers, ", "), others)
		}
		im.assuming(lang.Key("users whom only the file of licences names"), text)
	}
	return err
}
