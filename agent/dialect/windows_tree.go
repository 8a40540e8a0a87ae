package dialect

import (
	"encoding/base64"
	"slices"
	"strconv"
	"strings"
	"unique"

	"rollcall/protocol/windows"
)

// A leaf is one setting, or an empty interior node that a server made. Devices of one server have most of theirs in common: each
// distinct one is held once.
type leaf struct {
	path   string // names in their one spelling, with slashes: Device/WiFi/Profile/office/WlanXml
	format string // FormatNode: an interior node
	value  string
}

// A place is a node that a LocURI names.
type place struct {
	uri  string // as it came
	path string
	csp  *csp
}

// user tells whether the node is the user's.
func (p *place) user() bool { return strings.HasPrefix(p.path, "User/") }

// maxURI bounds a LocURI.
const maxURI = 2048

// locate finds a node of the description; the code tells why there is none.
func (d *Windows) locate(uri string) (place, windows.Code) {
	p := place{uri: uri}
	switch {
	case len(uri) > maxURI:
		return p, windows.URITooLong
	case uri == "" || strings.HasPrefix(uri, "/"):
		return p, windows.BadRequest
	case strings.Contains(uri, "?"): // ?list=StructData and its like
		return p, windows.OptionalNotSupported
	}
	spelled, code := windows.NodePath(strings.TrimSuffix(uri, "/"))
	if code != windows.OK {
		return p, code
	}
	at := settings
	var path strings.Builder
	for name := range strings.SplitSeq(spelled, "/") {
		next := at.find(name)
		if next == nil || next.name == provider && name != windows.EscapeNode(d.provider()) {
			return p, windows.NotFound
		}
		if path.Len() > 0 {
			path.WriteByte('/')
		}
		switch next.name {
		case "", made, given, provider:
			path.WriteString(name)
		default:
			path.WriteString(next.name)
		}
		at = next
	}
	p.path, p.csp = path.String(), at
	if at.code != 0 {
		return p, at.code
	}
	return p, windows.OK
}

// A tree is the settings of a device that are not the same on all: sorted by path, and never changed in place, so that keeping the
// slice is keeping the state.
type tree []unique.Handle[leaf]

// search returns where a path stands or would stand.
func (t tree) search(path string) (int, bool) {
	return slices.BinarySearchFunc(t, path, func(h unique.Handle[leaf], path string) int { return strings.Compare(h.Value().path, path) })
}

func (t tree) get(path string) (leaf, bool) {
	i, found := t.search(path)
	if !found {
		return leaf{}, false
	}
	return t[i].Value(), true
}

// value is the value of a path; empty: it is not there.
func (t tree) value(path string) string {
	l, _ := t.get(path)
	return l.value
}

// with returns t with a leaf.
func (t tree) with(l leaf) tree {
	i, found := t.search(l.path)
	if found && t[i].Value() == l {
		return t
	}
	if found {
		t = slices.Clone(t)
		t[i] = unique.Make(l)
		return t
	}
	n := make(tree, 0, len(t)+1) // exact: a device sleeps longer than it grows
	return append(append(append(n, t[:i]...), unique.Make(l)), t[i:]...)
}

// without returns t without a node and all below it, and how many that were.
func (t tree) without(path string) (tree, int) {
	kept := make(tree, 0, len(t))
	for _, h := range t {
		if !within(h.Value().path, path) {
			kept = append(kept, h)
		}
	}
	if len(kept) == len(t) {
		return t, 0
	}
	return kept, len(t) - len(kept)
}

// within tells whether path is the node or below it.
func within(path, node string) bool {
	rest, ok := strings.CutPrefix(path, node)
	return ok && (rest == "" || rest[0] == '/')
}

// below returns the leaves at a node and below it.
func (t tree) below(node string) (list tree) {
	i, _ := t.search(node)
	for ; i < len(t) && strings.HasPrefix(t[i].Value().path, node); i++ {
		if within(t[i].Value().path, node) { // "a-b" stands between "a" and "a/b"
			list = append(list, t[i])
		}
	}
	return list
}

// has tells whether there is anything at a node or below.
func (t tree) has(node string) bool {
	i, _ := t.search(node)
	for ; i < len(t) && strings.HasPrefix(t[i].Value().path, node); i++ {
		if within(t[i].Value().path, node) {
			return true
		}
	}
	return false
}

// What servers may have a device keep (HST-120).
const (
	mostLeaves = 4096
	mostBytes  = 16 << 20
)

// full tells whether there is no room for a value.
func (t tree) full(value string) bool {
	size := len(value)
	for _, h := range t {
		l := h.Value()
		size += len(l.path) + len(l.value)
	}
	return len(t) >= mostLeaves || size > mostBytes
}

// names returns the names of the children of a node, sorted: those that are always there, those that the device makes, those that were
// added.
func (d *Windows) names(p *place) []string {
	var list []string
	for _, c := range p.csp.children {
		child := place{path: p.path + "/" + c.name, csp: c}
		if c.access&mayExec != 0 || d.there(&child) {
			list = append(list, c.name)
		}
	}
	if p.csp.any != nil && p.csp.any.name == provider {
		list = append(list, windows.EscapeNode(d.provider()))
	}
	list = append(list, d.givenNames(p)...)
	for _, h := range d.tree.below(p.path) {
		path := h.Value().path
		if len(path) == len(p.path) {
			continue
		}
		name, _, _ := strings.Cut(path[len(p.path)+1:], "/")
		list = append(list, name)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// there tells whether a node exists.
func (d *Windows) there(p *place) bool {
	if p.csp.leaf {
		if _, ok := d.computed(p.path); ok {
			return true
		}
		if !p.csp.deep {
			_, ok := d.tree.get(p.path)
			return ok
		}
	}
	switch p.csp.name {
	case "", made:
		return d.tree.has(p.path)
	case given:
		return len(d.givenNames(p)) > 0 || slices.Contains(d.givenNames(&place{path: parent(p.path)}), p.path[strings.LastIndexByte(p.path, '/')+1:])
	}
	return true
}

func parent(path string) string {
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		return path[:i]
	}
	return ""
}

// read is the answer to a Get.
func (d *Windows) read(p *place) (leaf, windows.Code) {
	if p.csp.access&mayGet == 0 {
		return leaf{}, windows.NotAllowed
	}
	if l, ok := d.computed(p.path); ok && p.csp.leaf {
		return l, windows.OK
	}
	if l, ok := d.tree.get(p.path); ok && l.format != windows.FormatNode {
		return l, windows.OK
	}
	if !d.there(p) || p.csp.leaf && !p.csp.deep {
		return leaf{}, windows.NotFound
	}
	names := d.names(p)
	for i, name := range names { // WIN-051: each name encoded
		if plain, err := windows.UnescapeNode(name); err == nil {
			names[i] = windows.EscapeNode(plain)
		}
	}
	return leaf{p.path, windows.FormatNode, strings.Join(names, "/")}, windows.OK
}

// write is the answer to an Add or a Replace.
func (d *Windows) write(p *place, verb windows.Verb, meta *windows.Meta, data string) windows.Code {
	needed := mayAdd
	if verb == windows.Replace {
		needed = mayReplace
	}
	old, exists := d.tree.get(p.path)
	_, fixed := d.computed(p.path)
	if verb == windows.Add && (exists && old.format != windows.FormatNode || fixed && p.csp.leaf) {
		d.addedAgain(p.path)
		return windows.AlreadyExists
	}
	if p.csp.access&needed == 0 || fixed && p.csp.deep {
		return windows.NotAllowed
	}
	if meta.Format == windows.FormatNode || !p.csp.leaf {
		switch {
		case verb != windows.Add || p.csp.leaf && !p.csp.deep || data != "":
			return windows.NotAllowed
		case d.there(p):
			d.addedAgain(p.path)
			return windows.AlreadyExists
		}
		if d.tree.full("") {
			return windows.DeviceFull
		}
		d.tree = d.tree.with(leaf{p.path, windows.FormatNode, ""})
		return windows.OK
	}
	if p.csp.deep && !exists && d.tree.has(p.path) { // an interior node
		return windows.NotAllowed
	}
	if verb == windows.Replace && !exists && d.habits.Doubts.MissingReplace {
		return windows.NotFound
	}
	format := meta.Format
	if format == "" {
		format = windows.FormatChr
		if p.csp.format != "" {
			format = p.csp.format
		}
	}
	if p.csp.format != "" && format != p.csp.format || !fits(format, data) {
		return windows.UnsupportedFormat
	}
	if d.tree.full(data) {
		return windows.DeviceFull
	}
	d.tree = d.tree.with(leaf{p.path, format, data})
	d.autoSet(p.path)
	if p.csp.name == "DesktopImageUrl" || p.csp.name == "LockScreenImageUrl" {
		return windows.AcceptedForProcessing
	}
	return windows.OK
}

// addedAgain is that something was added that is there already: an account of ActiveSync is gone then (windows.md section 11).
func (d *Windows) addedAgain(path string) {
	if node, _ := profileOf(path); strings.HasPrefix(node, "User/ActiveSync/") {
		d.tree, _ = d.tree.without(node)
		d.accounts = append(d.accounts, node)
	}
}

// fits tells whether a value is of its format.
func fits(format, value string) bool {
	switch format {
	case windows.FormatInt:
		_, err := strconv.ParseInt(value, 10, 64)
		return err == nil
	case windows.FormatBool:
		return value == "true" || value == "false" || value == "1" || value == "0"
	case windows.FormatB64, windows.FormatBin:
		_, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(value), ""))
		return err == nil
	case windows.FormatChr, windows.FormatXML, windows.FormatNull, "float", "date", "time":
		return true
	}
	return false
}

// remove is the answer to a Delete.
func (d *Windows) remove(p *place) windows.Code {
	if p.csp.access&mayDelete == 0 {
		return windows.NotAllowed
	}
	n := 0
	if d.tree, n = d.tree.without(p.path); n == 0 {
		return windows.NotFound
	}
	return windows.OK
}
