package plan

import (
	"embed"
	"path"
	"slices"
	"strings"
)

//go:embed plans/*.yaml
var builtIn embed.FS

// BuiltIn returns the ready plan of that name; [BuiltIns] lists them.
func BuiltIn(name string) (*Plan, error) {
	data, err := builtIn.ReadFile(path.Join("plans", name+".yaml"))
	if err != nil || !slices.Contains(BuiltIns(), name) {
		e := &Error{File: name, Message: "no ready plan of this name; there are " + strings.Join(BuiltIns(), ", ")}
		e.Nearest = Nearest(name, BuiltIns())
		return nil, Errors{e}
	}
	return Parse(name+".yaml", data)
}

// ForItsOwn tells whether p is a ready plan whose limits were written for the devices that it makes, and say nothing of an
// export's. Only the plan tenant was written for an export's.
func (p *Plan) ForItsOwn() bool {
	ready, err := BuiltIn(p.Name)
	return err == nil && ready.Source() == p.Source() && p.Name != "tenant"
}

// BuiltIns returns the names of the ready plans in order.
func BuiltIns() []string {
	entries, err := builtIn.ReadDir("plans")
	if err != nil {
		return nil // cannot be: the folder is part of the program
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = strings.TrimSuffix(e.Name(), ".yaml")
	}
	return names
}
