package android

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
)

// A Part is one profile on its way into a policy.
type Part struct {
	ManifestEntry
	Settings Policy // what the profile says; StatusReportingSettings are the compiler's own
}

// A Conflict is a setting of a part that did not get into the policy.
type Conflict struct {
	Profile string        // its ID
	Field   string        // fieldPath in the part's settings
	Reason  NonCompliance // INVALID_VALUE: a part before it wants another value; MANAGEMENT_MODE: the mode has no such setting; API_LEVEL
}

// A Compiled is the policy of one device.
type Compiled struct {
	Policy    Policy
	Manifest  []ManifestEntry
	Conflicts []Conflict
}

// Compile makes one policy of the parts, first come first served: two parts may want the same, but not a setting differently; the
// second is then a conflict. Lists whose items have a key are merged by it. It is pure, and the same parts in the same order give the
// same bytes (AND-061). Every policy asks for all parts of a status report (android.md, section 5).
func Compile(mode Mode, apiLevel int, parts []Part) Compiled {
	var c Compiled
	for i := range parts {
		m := merge{mode: mode, level: apiLevel, part: &parts[i], into: &c}
		entry := parts[i].ManifestEntry
		entry.Fields = nil
		m.fields(reflect.ValueOf(&c.Policy).Elem(), reflect.ValueOf(&parts[i].Settings).Elem(), "")
		for _, f := range m.taken {
			top, _, _ := strings.Cut(f, ".")
			top, _, _ = strings.Cut(top, "[")
			if n := len(entry.Fields); n == 0 || entry.Fields[n-1] != top {
				entry.Fields = append(entry.Fields, top)
			}
		}
		c.Manifest = append(c.Manifest, entry)
	}
	if net := c.Policy.OpenNetworkConfiguration; net != nil && net.Type == "" {
		net.Type = "UnencryptedConfiguration"
	}
	personal := mode == WorkProfilePersonal
	c.Policy.StatusReportingSettings = &StatusReportingSettings{
		ApplicationReports: true, DeviceSettings: true, SoftwareInfo: true, MemoryInfo: true, NetworkInfo: !personal,
	}
	return c
}

// A merge is one part on its way in.
type merge struct {
	mode  Mode
	level int
	part  *Part
	into  *Compiled
	taken []string
}

func (m *merge) conflict(path string, why NonCompliance) {
	m.into.Conflicts = append(m.into.Conflicts, Conflict{m.part.ID, path, why})
}

// fields merges a struct, member by member.
func (m *merge) fields(to, from reflect.Value, under string) {
	t := to.Type()
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		value := from.Field(i)
		switch {
		case value.IsZero(), f.Name == "StatusReportingSettings":
		case under == "" && unavailable[name].stops(m.mode, m.level) != "":
			m.conflict(name, unavailable[name].stops(m.mode, m.level))
		default:
			m.member(to.Field(i), value, under+name, f.Tag.Get("key"))
		}
	}
}

func (m *merge) member(to, from reflect.Value, path, key string) {
	switch {
	case from.Kind() == reflect.Slice && key != "":
		m.list(to, from, path, key)
	case to.IsZero():
		to.Set(from)
		if from.Kind() == reflect.Pointer { // the part keeps its own
			copied := reflect.New(from.Type().Elem())
			m.fields(copied.Elem(), from.Elem(), path+".")
			to.Set(copied)
			return
		}
		m.taken = append(m.taken, path)
	case from.Kind() == reflect.Pointer:
		m.fields(to.Elem(), from.Elem(), path+".")
	case same(to, from):
		m.taken = append(m.taken, path)
	default:
		m.conflict(path, NotInvalidValue)
	}
}

// list merges the items of a list by their key.
func (m *merge) list(to, from reflect.Value, path, key string) {
	for i := range from.Len() {
		item := from.Index(i)
		at := fmt.Sprintf("%s[%d]", path, i)
		there := -1
		for j := range to.Len() {
			if to.Index(j).FieldByName(key).String() == item.FieldByName(key).String() {
				there = j
			}
		}
		switch {
		case there < 0:
			to.Set(reflect.Append(to, reflect.Zero(item.Type())))
			m.fields(to.Index(to.Len()-1), item, at+".")
		default:
			m.fields(to.Index(there), item, at+".")
		}
	}
}

func same(a, b reflect.Value) bool {
	if x, ok := a.Interface().(Raw); ok {
		return bytes.Equal(x, b.Interface().(Raw))
	}
	return reflect.DeepEqual(a.Interface(), b.Interface())
}

// A need is what a setting needs of a device.
type need struct {
	owner   bool // the agent owns the device
	company bool // the device is the company's
	google  bool // apps come from a store
	level   int
}

// unavailable are the settings that not every device has, by their name in [Policy] (android.md, sections 2.4 and 5).
var unavailable = map[string]need{
	"systemUpdate":                 {owner: true, level: 23},
	"kioskCustomLauncherEnabled":   {owner: true},
	"deviceConnectivityManagement": {company: true},
	"applications":                 {google: true},
	"alwaysOnVpnPackage":           {level: 24},
}

func (n need) stops(m Mode, level int) NonCompliance {
	switch {
	case n.owner && m.WorkProfile(), n.company && !m.CompanyOwned(), n.google && !m.Google():
		return NotManagementMode
	case level < n.level:
		return NotAPILevel
	}
	return ""
}
