package fleet

import (
	"fmt"
	"strconv"
	"strings"

	"rollcall/agent/dialect"
	"rollcall/fleet/population"
	"rollcall/protocol"
	"rollcall/protocol/android"
)

// A maker makes a population's devices. Models are shared.
type maker struct {
	population *population.Population
	seed       uint64
	apples     map[modelKey]*dialect.Model
	androids   map[modelKey]*dialect.AndroidModel
	windows    map[modelKey]*dialect.WindowsModel
	serials    map[string]bool // of Android devices, which are known by them
	habits     map[population.Habits]*dialect.WindowsHabits
}

// newMaker makes the maker of p's devices; d, nil: none, is the directory of those that are of one.
func newMaker(p *population.Population, seed uint64, d Directory) *maker {
	return &maker{
		population: p, seed: seed, apples: map[modelKey]*dialect.Model{}, androids: map[modelKey]*dialect.AndroidModel{},
		windows: map[modelKey]*dialect.WindowsModel{}, serials: map[string]bool{},
		habits: map[population.Habits]*dialect.WindowsHabits{
			0:                       {Spread: true, Directory: d},
			population.ProfileFails: {Spread: true, Directory: d, ProfileFails: profileFailsChance},
		},
	}
}

// device makes device i, never managed, with its number from 1 on.
func (m *maker) device(i int) Device {
	switch m.population.Devices[i].Platform {
	case protocol.Android:
		return m.android(i)
	case protocol.Windows:
		return m.pc(i)
	}
	return appleOf(m.apples, m.population, i, m.seed)
}

// Of an Android device, in bytes.
const (
	androidRAM     = 8 << 30
	androidStorage = 128 << 30
)

func (m *maker) android(i int) Device {
	d, esid := &m.population.Devices[i], ""
	if modeOf(d) == android.WorkProfilePersonal {
		esid = strings.ReplaceAll(d.UDID, "-", "")
	}
	return m.androidAs(i, esid)
}

// androidAs makes device i, an Android device that is known by an enterprise-specific id; empty: by its serial number.
func (m *maker) androidAs(i int, esid string) *dialect.Android {
	d := &m.population.Devices[i]
	key := modelKey{d.Model, d.Platform, d.OSVersion}
	model := m.androids[key]
	if model == nil {
		model = &dialect.AndroidModel{
			Brand: "unknown", Name: "unknown", AndroidVersion: d.OSVersion, APILevel: apiLevel(d.OSVersion), AgentVersion: "1.0.0", RAM: androidRAM, Storage: androidStorage,
		}
		if d.Model != nil {
			model.Brand, model.Name = or(d.Model.Manufacturer, model.Brand), or(d.Model.Name, model.Name)
		}
		m.androids[key] = model
	}
	w := dialect.AndroidWho{Number: protocol.Device(i + 1), Seed: draw(m.seed, i, forDevice, 0).Uint64(), Serial: d.Serial, ESID: esid}
	if w.Serial == "" || m.serials[w.Serial] { // an export need not know it, or can say the same of many
		w.Serial = d.UDID
	}
	m.serials[w.Serial] = true
	if !d.Userless() {
		w.UPN = m.population.Users[d.User].UPN
	}
	return dialect.NewAndroid(w, model, HabitsOf(d.Habits))
}

func or(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

// apiLevel is that of an Android version: 34 of 14, 31 of 12, 28 of 9. What cannot be read is taken for a new one.
func apiLevel(version string) int {
	first, _, _ := strings.Cut(version, ".")
	n, err := strconv.Atoi(first)
	switch {
	case err != nil || n > 100:
		return 34
	case n > 12:
		return n + 20
	}
	return n + 19
}

func (m *maker) pc(i int) *dialect.Windows {
	d := &m.population.Devices[i]
	key := modelKey{d.Model, d.Platform, d.OSVersion}
	model := m.windows[key]
	if model == nil {
		const professional = 48
		model = &dialect.WindowsModel{Manufacturer: "unknown", Name: "unknown", OSVersion: or(d.OSVersion, "10.0.22631.1"), Edition: professional}
		if d.Model != nil {
			model.Manufacturer, model.Name = or(d.Model.Manufacturer, model.Manufacturer), or(d.Model.Name, model.Name)
		}
		m.windows[key] = model
	}
	n := i + 1
	id := strings.ToUpper(strings.ReplaceAll(d.UDID, "-", ""))
	pc := dialect.NewWindows(dialect.WindowsWho{
		Number: protocol.Device(n), Seed: draw(m.seed, i, forDevice, 0).Uint64(), DeviceID: id, HWDevID: id, Serial: d.Serial, Name: d.Name,
		MAC: fmt.Sprintf("02-00-%02X-%02X-%02X-%02X", n>>24&0xff, n>>16&0xff, n>>8&0xff, n&0xff),
	}, model, m.habits[d.Habits&population.ProfileFails])
	if d.Has(population.CoManaged) {
		pc.SetCoManaged(0, coManagementFlags(d.Workloads))
	}
	return pc
}

// coManagementFlags are what Configuration Manager's client says of a PC (windows.md section 9).
func coManagementFlags(w population.Workloads) uint16 {
	flags := uint16(1) // configured
	for _, b := range [...]struct {
		of  population.Workloads
		bit uint16
	}{
		{population.Compliance, 2},
		{population.ResourceAccess, 4},
		{population.DeviceConfiguration, 8},
		{population.Update, 16},
		{population.EndpointProtection, 32},
		{population.ClientApps, 64},
		{population.OfficeApps, 128},
	} {
		if w&b.of != 0 {
			flags |= b.bit
		}
	}
	return flags
}
