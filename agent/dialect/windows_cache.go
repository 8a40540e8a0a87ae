package dialect

import (
	"strings"

	"rollcall/protocol/windows"
)

// changed lists the names of the nodes of a cache whose value is not the one that its server expects, with commas, which no name has. A
// node without a NodeURI is always among them (windows.md section 10, NodeCache).
func (d *Windows) changed(cache string) string {
	root := cache + "/Nodes"
	var list []string
	for _, h := range d.tree.below(root) {
		path := h.Value().path
		if len(path) == len(root) {
			continue
		}
		name, _, _ := strings.Cut(path[len(root)+1:], "/")
		if len(list) > 0 && list[len(list)-1] == name {
			continue
		}
		node := root + "/" + name
		expected, said := d.tree.get(node + "/ExpectedValue")
		now, there := d.cached(node)
		if !said || !there || now != expected.value {
			list = append(list, name)
		}
	}
	return strings.Join(list, ",")
}

// cached is the value now of what a node of a cache stands for: nothing of a cache itself, which would never end.
func (d *Windows) cached(node string) (string, bool) {
	p, code := d.locate(d.tree.value(node + "/NodeURI"))
	if code != windows.OK || strings.HasPrefix(p.path, "Device/NodeCache") {
		return "", false
	}
	l, code := d.read(&p)
	return l.value, code == windows.OK
}

// autoSet has a node of a cache expect what its NodeURI says now, once its AutoSetExpectedValue was written.
func (d *Windows) autoSet(path string) {
	node, ok := strings.CutSuffix(path, "/AutoSetExpectedValue")
	if !ok || !strings.HasPrefix(path, pathCache) {
		return
	}
	if now, there := d.cached(node); there {
		d.tree = d.tree.with(leaf{node + "/ExpectedValue", windows.FormatChr, now})
	}
}

// cspVersions says which settings the device knows, as DeviceManageability does: all of them in their first version.
var cspVersions = func() string {
	var b strings.Builder
	b.WriteString(`<?xml version="1.0" encoding="utf-8"?><DeviceManageability><Capabilities><CSPVersions>`)
	list := func(scope string, of *csp) {
		for _, c := range of.children {
			if c.name != "Device" && c.name != "User" {
				b.WriteString(`<CSP Node="` + scope + c.name + `" Version="1.0"/>`)
			}
		}
	}
	list("./", settings)
	for _, c := range settings.children {
		switch c.name {
		case "Device", "User":
			list("./"+c.name+"/Vendor/MSFT/", c)
		}
	}
	b.WriteString(`</CSPVersions></Capabilities></DeviceManageability>`)
	return b.String()
}()
