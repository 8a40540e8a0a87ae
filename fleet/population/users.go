package population

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strings"

	"rollcall/fleet/plan"

	"rollcall/protocol/lang"
)

// A userRow is one user of users.json.
type userRow struct {
	ID       text            `json:"id"`
	UPN      text            `json:"userPrincipalName"`
	Enabled  *boolean        `json:"accountEnabled"`
	Location json.RawMessage `json:"usageLocation"`
	licencesRow
}

// allUsers reads what the export says of users; JSON wins over CSV.
func (im *importer) allUsers(files *export) error {
	switch {
	case len(files.usersJSON) > 0:
		im.usersRead = true
		for _, f := range files.usersJSON {
			if err := im.userFile(f, im.add); err != nil {
				return err
			}
		}
		im.unfollowed(files.usersJSON)
	case len(files.usersCSV) > 0:
		im.usersRead = true
		return im.userTables(files.usersCSV, im.add)
	}
	return nil
}

// A taker takes a user from a line of a file, or says why it does not.
type taker func(id, upn string, u User, line int) (complaint string)

// add takes a user of the export. One who is there twice with different licences is a bad row, as in [importer.later]; of a row that
// shows none and one that does the latter counts, in whatever order they come.
func (im *importer) add(id, upn string, u User, line int) string {
	n := im.addUser(id, upn, u)
	if int(n) == len(im.userLines) {
		im.userLines = append(im.userLines, int32(line))
		return ""
	}
	switch have := &im.pop.Users[n]; {
	case u.Assumed:
	case have.Assumed:
		have.Licence, have.PlanOff, have.Assumed = u.Licence, u.PlanOff, false
		im.userLines[n] = int32(line)
	case have.Licence != u.Licence:
		return fmt.Sprintf("%s has other licences in line %d already", im.tokens.upn(cmp.Or(upn, id)), im.userLines[n])
	}
	return ""
}

// userTables reads CSVs of users, each user by take.
func (im *importer) userTables(files []input, take taker) error {
	return im.tables(files, userColumns, im.tell, func(l *line) *plan.Error {
		upn := known(l.cell("upn"))
		if upn == "" {
			return l.error("upn", "want a user principal name")
		}
		e := l.error("upn", "")
		if e.Message = take("", upn, User{Licence: im.cat.named(l.cell("licences"))}, e.Line); e.Message != "" {
			return e
		}
		return nil
	})
}

// userFile reads one file of users, each by take. A bad row is told like one of a device, but is no record of the
// population.
func (im *importer) userFile(f input, take taker) error {
	r, err := f.text()
	if err != nil {
		return err
	}
	defer r.Close()
	e := newElements(r)
	err = e.read(func(raw []byte, at place) error {
		var row userRow
		if err := json.Unmarshal(raw, &row); err != nil {
			return im.tell(jsonError(f.path, at, raw, &row, err))
		}
		if known(string(row.ID)) == "" && row.UPN == "" {
			return im.tell(&plan.Error{File: f.path, Line: at.line, Column: at.column, Field: "id", Message: "a user without id and userPrincipalName"})
		}
		u := User{Licence: im.fallback, Assumed: true}
		if row.shown() {
			u.Licence, u.Assumed = im.cat.decide(&row.licencesRow), false
			u.PlanOff = u.Licence&IntuneLicence == 0 && im.cat.planOff(&row.licencesRow)
		}
		u.Disabled = row.Enabled != nil && !bool(*row.Enabled)
		u.NoLocation = string(row.Location) == "null" || string(row.Location) == `""`
		if no := take(known(string(row.ID)), string(row.UPN), u, at.line); no != "" {
			return im.tell(&plan.Error{File: f.path, Line: at.line, Column: at.column, Field: "userPrincipalName", Message: no})
		}
		return nil
	}, func(at place, err error) error {
		return im.tell(&plan.Error{File: f.path, Line: at.line, Column: at.column, Message: err.Error()})
	})
	im.paged(e)
	if err != nil {
		return im.ended(err)
	}
	return nil
}

// addUser adds u, unless it is there already, and returns its index.
func (im *importer) addUser(id, upn string, u User) int32 {
	if have, ok := im.userOf(id, upn); ok {
		return have
	}
	u.Group = -1
	u.UPN = im.keep(im.tokens.upn(upn))
	if u.UPN == "" {
		u.UPN = im.keep(im.tokens.upn(id))
	}
	n := int32(len(im.pop.Users))
	im.pop.Users = append(im.pop.Users, u)
	im.userIDs = append(im.userIDs, strings.ToLower(id))
	if id != "" {
		im.users["id "+strings.ToLower(id)] = n
	}
	if upn != "" {
		im.users["upn "+strings.ToLower(upn)] = n
	}
	return n
}

// userOf finds a user by id, else by principal name.
func (im *importer) userOf(id, upn string) (int32, bool) {
	if n, ok := im.users["id "+strings.ToLower(id)]; ok && id != "" {
		return n, true
	}
	n, ok := im.users["upn "+strings.ToLower(upn)]
	return n, ok && upn != "" && (id == "" || im.userIDs[n] == "" || im.userIDs[n] == strings.ToLower(id))
}

// deviceUser returns the user whom a record names; device is the index that the device will have.
func (im *importer) deviceUser(id, upn string, device int) (user int32, foreign bool) {
	id, upn = known(id), known(upn)
	if id == "" && upn == "" {
		return Nobody, false
	}
	if byName, ok := im.users["upn "+strings.ToLower(upn)]; ok && id != "" && im.userIDs[byName] != "" && im.userIDs[byName] != strings.ToLower(id) {
		im.doubt(TwoUsers, device, lang.Later("its user id and its user principal name are of different users; the id was followed"),
			lang.Later("it would be %s's", im.pop.Users[byName].UPN))
		upn = ""
	}
	if _, ours := im.users["upn "+strings.ToLower(upn)]; !ours && im.foreign(upn) { // whatever the id says
		return Nobody, true
	}
	user, shown := im.userOf(id, upn)
	if !shown {
		user = im.addUser(id, upn, User{Licence: im.fallback, Assumed: true})
	}
	if im.usersRead && im.pop.Users[user].Assumed {
		im.doubt(UserUnknown, device, lang.Later("its user's licences are not in the export; taken as %s", className(im.fallback)), lang.Later("what that user's licences say"))
	}
	return user, false
}

// foreign tells whether upn is of a domain that the tenant does not have. Guests keep their own address in front
// of #EXT#.
func (im *importer) foreign(upn string) bool {
	_, domain, ok := strings.Cut(upn, "@")
	if !ok || len(im.pop.Tenant.Domains) == 0 || strings.Contains(strings.ToUpper(upn), "#EXT#") {
		return false
	}
	for _, d := range im.pop.Tenant.Domains {
		if strings.EqualFold(d, domain) {
			return false
		}
	}
	return true
}

func className(l Licence) lang.Key {
	switch {
	case l&IntuneLicence != 0:
		return lang.Key("entitled to Intune")
	case l&BMSLicence != 0:
		return lang.Key("Basic")
	}
	return lang.Key("without a licence")
}
