package server

import (
	"encoding/json"
	"slices"
	"strings"

	"rollcall/server/delivery"
)

// A PC's [delivery.Facts.Said] is JSON, a name to the texts that were said under it (WIN-015). Two names are of its sessions, the others of
// its enrolment.
const (
	saidPush = "Push/Status"
	saidTorn = "516" // identifiers of profiles
)

// pushFaults are what Push/Status may say beside 0, that all is well (windows.md section 8).
var pushFaults = map[string]string{
	"1": "the package family name that it was told is none (serve --wns)", "2": "its account at the push service is invalid or has expired",
	"3": "the package family name is revoked", "4": "it has no channel", "5": "its channel has expired", "6": "it could not give up its old channel",
	"7": "a push came and it could hold no session, for its power or its connection", "8": "it does not know why",
}

// PushFault returns why a PC says that it cannot be woken, in its latest session that asked; empty: it does not say so (WIN-041).
func PushFault(f *delivery.Facts) string {
	if status := saidOf(f.Said, saidPush); len(status) > 0 {
		return pushFaults[status[0]]
	}
	return ""
}

// KeepPushStatus returns said with the PC's Push/Status; one without a fault is not kept.
func KeepPushStatus(said, status string) string {
	if pushFaults[status] == "" {
		return keepSaid(said, saidPush, nil)
	}
	return keepSaid(said, saidPush, []string{status})
}

// Torn returns the identifiers of the profiles of which a PC carried out a part that it could neither complete nor undo (516): somebody
// should look at it (windows.md section 6.1).
func Torn(f *delivery.Facts) []string { return saidOf(f.Said, saidTorn) }

// KeepTorn returns said with the profile of this identifier torn, or whole again.
func KeepTorn(said, identifier string, torn bool) string {
	list := slices.DeleteFunc(saidOf(said, saidTorn), func(one string) bool { return one == identifier })
	if torn {
		list = append(list, identifier)
	}
	return keepSaid(said, saidTorn, list)
}

// saidOf returns what was said under a name.
func saidOf(said, name string) []string {
	if !strings.Contains(said, `"`+name+`":[`) {
		return nil // as most
	}
	var all map[string][]string
	json.Unmarshal([]byte(said), &all) // this server wrote it
	return all[name]
}

// keepSaid returns said with this list under a name.
func keepSaid(said, name string, list []string) string {
	if slices.Equal(saidOf(said, name), list) {
		return said
	}
	all := map[string][]string{}
	json.Unmarshal([]byte(said), &all)
	if all[name] = list; len(list) == 0 {
		delete(all, name)
	}
	raw, _ := json.Marshal(all) // texts
	return string(raw)
}
