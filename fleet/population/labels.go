package population

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// The labels that the console shows in place of members, by field. They vary with its age and language, so that
// [Options.Labels] adds to them. A member itself and its number are always understood.
var consoleLabels = map[string]map[string]string{
	"managedDeviceOwnerType": {"corporate": "company", "company": "company", "personal": "personal", "unknown": "unknown"},
	"complianceState": {
		"compliant": "compliant", "noncompliant": "noncompliant", "notcompliant": "noncompliant", "ingraceperiod": "ingraceperiod",
		"seeconfigmgr": "configmanager", "notevaluated": "unknown",
	},
	"managementAgent": {
		"intune": "mdm", "co-managed": "configurationmanagerclientmdm", "configmgr": "configurationmanagerclient", "mde": "mssense",
		"microsoft365": "microsoft365managedmdm", "office365": "microsoft365managedmdm", "basicmobilityandsecurity": "microsoft365managedmdm",
	},
	"managementState": {"notmanaged": "discovered"},
	"deviceRegistrationState": {
		"yes": "registered", "no": "notregistered", "notregistered": "notregistered",
	},
	"operatingSystem": {
		"ios/ipados": "ios/ipados", "ios": "ios", "ipados": "ipados", "macos": "macos", "windows": "windows", "linux": "linux", "chromeos": "chromeos", "chromeos(beta)": "chromeos",
		"windowsmobile": "windows mobile", "windowsholographic": "windows", "android": "android", "androidenterprise": "android", "androidforwork": "android androidforwork",
		"android(personally-ownedworkprofile)":  "android androidforwork",
		"android(corporate-ownedworkprofile)":   "android androidenterprisecorporateworkprofile",
		"android(fullymanaged)":                 "android androidenterprisefullymanaged",
		"android(dedicated)":                    "android androidenterprisededicateddevice",
		"android(deviceadministrator)":          "android",
		"android(aosp)":                         "android",
		"android(personally-owned-workprofile)": "android androidforwork",
	},
	"deviceEnrollmentType": {},
}

var memberNumbers = map[string]map[string]string{
	"managedDeviceOwnerType": ownerNumbers, "complianceState": complianceNumbers, "managementAgent": agentNumbers, "managementState": stateNumbers,
	"deviceRegistrationState": registrationNumbers, "operatingSystem": typeNumbers, "deviceEnrollmentType": enrolmentNumbers,
}

// labels is the table of one import, with what it did not know.
type labels struct {
	added   map[[2]string]string // field and label: member
	unknown map[[2]string]int    // column and label: rows
}

// newLabels reads the user's own labels, "column: label" each.
func newLabels(own map[string]string) (*labels, error) {
	l := &labels{added: map[[2]string]string{}, unknown: map[[2]string]int{}}
	for key, member := range own {
		column, label, ok := strings.Cut(key, ":")
		field := ""
		for f, names := range managedColumns.headers {
			if _, labelled := consoleLabels[f]; labelled && (slices.Contains(names, header(column)) || header(f) == header(column)) {
				field = f
			}
		}
		if !ok || field == "" {
			return nil, fmt.Errorf(`label %q: want "column: label", with a column such as Managed by, OS, Ownership`, key)
		}
		l.added[[2]string{field, header(label)}] = strings.ToLower(member)
	}
	return l, nil
}

// label returns a cell's member. What is not known is noted and stays as it is.
func (im *importer) label(l *line, field string) word {
	cell := l.cell(field)
	label := header(cell)
	if label == "" {
		return ""
	}
	if m, ok := im.labels.added[[2]string{field, label}]; ok {
		return word(m)
	}
	if m, ok := consoleLabels[field][label]; ok {
		return word(m)
	}
	numbers := memberNumbers[field]
	if _, ok := numbers[label]; ok {
		return word(label)
	}
	for _, m := range numbers {
		if m == label {
			return word(label)
		}
	}
	key := [2]string{strings.TrimSpace(l.table.shown[l.table.index[field]]), strings.Clone(cell)}
	if _, there := im.labels.unknown[key]; there || len(im.labels.unknown) < maxBad {
		im.labels.unknown[key]++
	}
	return word(label)
}

type unmatched struct {
	text string
	rows int
}

func (l *labels) unmatched() []unmatched {
	var list []unmatched
	for _, key := range slices.SortedFunc(maps.Keys(l.unknown), func(a, b [2]string) int { return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1])) }) {
		list = append(list, unmatched{key[0] + ": " + key[1], l.unknown[key]})
	}
	return list
}
