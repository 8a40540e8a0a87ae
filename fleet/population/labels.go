package population

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"rollcall/fleet/plan"
	"rollcall/protocol"
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
	unknown map[[2]string]*seen  // by column and label
}

// A seen is how often a label was seen, and where first.
type seen struct {
	rows int
	at   string
}

// newLabels reads the user's own labels, "column: label" each.
func newLabels(own map[string]string) (*labels, error) {
	l := &labels{added: map[[2]string]string{}, unknown: map[[2]string]*seen{}}
	for key, member := range own {
		added, err := labelled(key, member)
		if err != nil {
			err.File = "labels"
			return nil, err
		}
		l.added[added] = strings.ToLower(member)
	}
	return l, nil
}

// labelled returns field and label of an own label, whose meaning must be a member of the field, in any case. The error is
// without a place.
func labelled(key, member string) (added [2]string, err *plan.Error) {
	column, label, ok := strings.Cut(key, ":")
	field := ""
	for f, names := range managedColumns.headers {
		if _, labelled := consoleLabels[f]; labelled && (slices.Contains(names, header(column)) || header(f) == header(column)) {
			field = f
		}
	}
	if !ok || field == "" {
		return added, &plan.Error{Rule: ruleExport, Field: key, Message: `want "column: label", with a column such as Managed by, OS, Ownership`}
	}
	members := slices.Sorted(maps.Values(consoleLabels[field]))
	members = append(members, slices.Sorted(maps.Values(memberNumbers[field]))...)
	if m := strings.ToLower(member); !slices.Contains(members, m) {
		return added, &plan.Error{
			Rule: ruleExport, Field: key, Message: fmt.Sprintf("%q is no member of %s", member, field), Nearest: plan.Nearest(m, members),
		}
	}
	return [2]string{field, header(label)}, nil
}

// ReadLabels reads [Options.Labels] of a file: one JSON object such as {"Managed by: Office 365": "microsoft365ManagedMdm"}. A
// label that is there twice, of no column, or with a meaning that is no member of its field is an error that names the line.
func ReadLabels(file string, b []byte) (map[string]string, error) {
	own := map[string]string{}
	d := json.NewDecoder(bytes.NewReader(b))
	fail := func(e *plan.Error) error {
		before := b[:min(d.InputOffset(), int64(len(b)))]
		e.File, e.Line, e.Column = file, 1+bytes.Count(before, []byte("\n")), len(before)-bytes.LastIndexByte(before, '\n')
		return e
	}
	const want = `want one JSON object such as {"Managed by: Office 365": "microsoft365ManagedMdm"}`
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, fail(&plan.Error{Rule: ruleExport, Message: want})
	}
	for d.More() {
		name, err := d.Token()
		key, _ := name.(string)
		if err != nil {
			return nil, fail(&plan.Error{Rule: ruleExport, Message: want})
		}
		value, err := d.Token()
		member, ok := value.(string)
		if err != nil || !ok {
			return nil, fail(&plan.Error{Rule: ruleExport, Field: key, Message: "want a text"})
		}
		if _, twice := own[key]; twice {
			return nil, fail(&plan.Error{Rule: ruleExport, Field: key, Message: "is there twice"})
		}
		if _, err := labelled(key, member); err != nil {
			return nil, fail(err)
		}
		own[key] = member
	}
	if _, err := d.Token(); err != nil {
		return nil, fail(&plan.Error{Rule: ruleExport, Message: want})
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fail(&plan.Error{Rule: ruleExport, Message: "something follows the object"})
	}
	return own, nil
}

// label returns a cell's member. What is not known is noted and stays as it is.
func (im *importer) label(l *line, field string) word {
	cell := l.cell(field)
	label := header(cell)
	if label == "" {
		return ""
	}
	if m, ok := im.labels.known(field, label); ok {
		return m
	}
	key := [2]string{l.shown(l.column(field)), strings.Clone(cell)}
	if of := im.labels.unknown[key]; of != nil {
		of.rows++
	} else if len(im.labels.unknown) < maxBad {
		at := l.error(field, "")
		im.labels.unknown[key] = &seen{1, fmt.Sprintf("%s:%d:%d", filepath.Base(at.File), at.Line, at.Column)}
	}
	return word(label)
}

// known returns the member that a label of a field means; a member or its number means itself.
func (l *labels) known(field, label string) (word, bool) {
	if m, ok := l.added[[2]string{field, label}]; ok {
		return word(m), true
	}
	if m, ok := consoleLabels[field][label]; ok {
		return word(m), true
	}
	numbers := memberNumbers[field]
	if _, ok := numbers[label]; ok {
		return word(label), true
	}
	for _, m := range numbers {
		if m == label {
			return word(label), true
		}
	}
	return "", false
}

// agrees holds the columns of each field that l's table has twice against each other. What is empty or not known
// contradicts nothing.
func (im *importer) agrees(l *line) *plan.Error {
	for _, field := range l.table.twice {
		before, meant := -1, ""
		for _, i := range l.table.index[field] {
			m, ok := im.labels.known(field, header(plainCell(l.cells[i])))
			if !ok {
				continue
			}
			means := member(memberNumbers[field], string(m))
			if field == "operatingSystem" {
				means = systemOf(means)
			}
			if means == "unknown" {
				continue
			}
			if before >= 0 && means != meant {
				return l.at(i, l.shown(i), fmt.Sprintf("%q contradicts %s of the same row, which is %q", l.cells[i], l.shown(before), l.cells[before]))
			}
			before, meant = i, means
		}
	}
	return nil
}

// systemOf is the platform of what a column of systems or of types of devices means, as far as both can tell: the console has one label
// for iPhones and iPads.
func systemOf(means string) string {
	system, _, _ := strings.Cut(means, " ")
	switch p := cmp.Or(platformOf(system, "", ""), platformOf("", means, "")); p {
	case protocol.NoPlatform:
		return means
	case protocol.IPadOS:
		return protocol.IOS.String()
	default:
		return p.String()
	}
}

type unmatched struct {
	text string
	seen
}

func (l *labels) unmatched() []unmatched {
	var list []unmatched
	for _, key := range slices.SortedFunc(maps.Keys(l.unknown), func(a, b [2]string) int { return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1])) }) {
		list = append(list, unmatched{key[0] + ": " + key[1], *l.unknown[key]})
	}
	return list
}
