package dialect

import (
	"slices"
	"strings"

	"rollcall/agent"
	"rollcall/protocol"
	"rollcall/protocol/windows"
)

// profileNodes are the nodes below which each name, or so many names, is one profile of a family (windows.md section 11).
var profileNodes = []struct {
	node   string
	names  int
	family protocol.Family
}{
	{"WiFi/Profile/", 1, protocol.WiFi},
	{"VPNv2/", 1, protocol.VPN},
	{"ActiveSync/Accounts/", 1, protocol.Email},
	{"EMAIL2/", 1, protocol.Email},
	{"RootCATrustedCertificates/Root/", 1, protocol.Certificate},
	{"RootCATrustedCertificates/CA/", 1, protocol.Certificate},
	{"ClientCertificateInstall/SCEP/", 1, protocol.Certificate},
	{"ClientCertificateInstall/PFXCertInstall/", 1, protocol.Certificate},
	{"Policy/Config/", 2, protocol.Configuration},
	{"Policy/ConfigOperations/ADMXInstall/", 1, protocol.Configuration},
}

// profileOf returns the node of the profile that a path belongs to; empty: it belongs to none.
func profileOf(path string) (node string, family protocol.Family) {
	scope, rest, _ := strings.Cut(path, "/")
	for _, n := range profileNodes {
		names, ok := strings.CutPrefix(rest, n.node)
		if !ok {
			continue
		}
		end := 0
		for range n.names {
			i := strings.IndexByte(names[end:], '/')
			if i < 0 {
				end = len(names) + 1
				break
			}
			end += i + 1
		}
		if end-1 > len(names) || strings.Count(names, "/") < n.names-1 {
			return "", protocol.NoFamily
		}
		return scope + "/" + n.node + names[:end-1], n.family
	}
	return "", protocol.NoFamily
}

// settle tells the core what has become of the profile at a node, and its caller whether it is there.
func (d *Windows) settle(node string, family protocol.Family) bool {
	version, there := d.content(node)
	name := id(node)
	at := d.core.Find(name)
	switch {
	case !there && at >= 0:
		d.core.Uninstall(at)
	case there: // the same again too: it is of the authority in force now (AUTH-26)
		d.core.Install(agent.Profile{Name: name, Content: version, Family: family})
	}
	return there
}

// content tells versions of what is at a node apart; not there: nothing is.
func (d *Windows) content(node string) (version uint64, there bool) {
	var content strings.Builder
	for _, h := range d.tree.below(node) {
		l := h.Value()
		content.WriteString(l.path + separator + l.format + separator + l.value + separator)
	}
	return id(content.String()), content.Len() > 0
}

// place has something made of the profiles that commands touched, where the device is a machine. One of which it cannot be is as it was
// before, and its commands are answered with 500.
func (d *Windows) place(r *reply, before tree) (failed bool) {
	if d.habits.Placer == nil {
		return false
	}
	for node, x := range r.touched {
		version, there := d.content(node)
		if x.placed || !there {
			continue
		}
		err := d.habits.Placer.Place(locURI(node), version, nil)
		if err == nil {
			x.placed = true
			r.touched[node] = x
			continue
		}
		failed = true
		d.tree, _ = d.tree.without(node)
		for _, h := range before.below(node) {
			d.tree = d.tree.with(h.Value())
		}
		for i := range r.commands {
			if c := &r.commands[i]; slices.Contains(x.refs, c.CmdRef) && done(c.Code) {
				c.Code = windows.CommandFailed
			}
		}
		delete(r.touched, node)
		d.note(Order{Command: ProfileOrder, Profile: locURI(node), Status: protocol.Failed, Why: err.Error()})
	}
	return failed
}

// dropped takes the settings of a profile off the device, which the core has dropped (AUTH-27, WIN-072).
func (d *Windows) dropped(p agent.Profile) {
	for _, h := range d.tree {
		if node, _ := profileOf(h.Value().path); node != "" && id(node) == p.Name {
			d.tree, _ = d.tree.without(node)
			return
		}
	}
}

// A WindowsProfile is one installed profile: a node and what is below it.
type WindowsProfile struct {
	Node    string // LocURI
	Family  protocol.Family
	Until   protocol.Time // when it leaves by itself; 0: never
	Content uint64        // differs between versions
}

// Profiles returns what is installed, in the order of the nodes.
func (d *Windows) Profiles() (list []WindowsProfile) {
	last := ""
	for _, h := range d.tree {
		node, family := profileOf(h.Value().path)
		if node == "" || node == last {
			continue
		}
		last = node
		p := WindowsProfile{Node: locURI(node), Family: family}
		if at := d.core.Find(id(node)); at >= 0 {
			p.Until, p.Content = d.core.Profiles()[at].Until, d.core.Profiles()[at].Content
		}
		list = append(list, p)
	}
	return list
}

// Settings returns what is below the node of a profile: paths from there, and values.
func (d *Windows) Settings(p *WindowsProfile) map[string]string {
	settings := map[string]string{}
	for _, h := range d.tree {
		l := h.Value()
		if node, _ := profileOf(l.path); node != "" && locURI(node) == p.Node && l.format != windows.FormatNode {
			settings[strings.TrimPrefix(l.path[len(node):], "/")] = l.value
		}
	}
	return settings
}

// locURI writes a path as a LocURI.
func locURI(path string) string {
	scope, rest, _ := strings.Cut(path, "/")
	if scope == "Device" || scope == "User" {
		return "./" + scope + "/Vendor/MSFT/" + rest
	}
	return "./" + path
}

// Setting returns the value of a setting of the device; false: it is not there, or not a leaf.
func (d *Windows) Setting(uri string) (string, bool) {
	p, code := d.locate(uri)
	if code != windows.OK {
		return "", false
	}
	l, code := d.read(&p)
	return l.value, code == windows.OK && l.format != windows.FormatNode
}
