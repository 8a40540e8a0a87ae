package csp

import (
	"slices"

	"rollcall/protocol/windows"
)

// Before is what profiles have set on a device before a command about one of them. The zero Before: nothing.
type Before struct {
	Old     *Profile   // what the profile takes the place of; nil: nothing
	Others  bool       // Old is the authority's before: what both have alike is written again, or the device would drop it with what is left of that authority (AUTH-26, AUTH-27)
	Partial bool       // the profile itself failed: each of its commands may have been done, and none need be
	Tried   []*Profile // what failed under the profile's name, likewise
	Kept    []*Profile // other profiles: what they have set stays
	Past    []*Profile // other profiles, of the authority before: what they have set stays, but for what is known to be overwritten (AUTH-27)
}

// Install returns what brings p to a device. A node that was there is replaced, never deleted and added, and one that is as it should be
// is left alone (WIN-070); what only profiles had of which p takes the place goes last.
func (p *Profile) Install(b Before) (out []windows.Command) {
	have := b.have()
	for i := range p.Commands {
		if c := &p.Commands[i]; b.Others || have.changes(c) {
			out = append(out, have.over(c))
		}
	}
	return append(out, b.gone(nil, p)...)
}

// Remove returns what takes p off a device, together with what p replaced or was to replace. A node that is missing is as it should
// be (404).
func (p *Profile) Remove(b Before) []windows.Command {
	if b.Partial {
		b.Tried = append([]*Profile{p}, b.Tried...)
		return b.gone(nil)
	}
	return b.gone(p.Commands)
}

// gone returns what deletes the nodes that were written by commands, and by the profiles of which another takes the place, where those that
// stay did not. Of the authority before nothing stays that one of the new authority's wrote over: its time ended there. What failed need not
// have written anything, and takes nothing along of that authority's: what it has written over after all goes with the old profile, when the
// time of that is up.
func (b *Before) gone(commands []windows.Command, stay ...*Profile) []windows.Command {
	stay = append(stay, b.Kept...)
	past := append(slices.Clone(b.Past), stay...)
	var s sweep
	switch {
	case b.Old == nil:
	case b.Others: // it has overwritten none of its own authority's
		s.delete(b.Old.Commands, past)
	default:
		s.delete(b.Old.Commands, stay)
	}
	s.delete(commands, stay)
	for _, p := range b.Tried {
		s.delete(p.Commands, past)
	}
	return s.out
}

// A sweep deletes nodes, each once.
type sweep struct {
	deleted map[key]bool
	out     []windows.Command
}

// delete deletes the nodes that commands have written, as wholes where nothing that is kept is in them.
func (s *sweep) delete(commands []windows.Command, kept []*Profile) {
	stays := map[key]bool{} // with all that it is below
	for _, p := range kept {
		for _, c := range leaves(p.Commands) {
			for k := range keyOf(c.Items[0].Target).above {
				stays[k] = true
			}
		}
	}
	for _, c := range leaves(commands) {
		node := c.Items[0].Target
		if r := root(node); !stays[keyOf(r)] {
			node = r
		}
		k := keyOf(node)
		below := false
		for up := range k.above {
			below = below || s.deleted[up]
		}
		if c.Verb != windows.Exec && !stays[k] && !below {
			if s.deleted == nil {
				s.deleted = map[key]bool{}
			}
			s.deleted[k] = true
			s.out = append(s.out, windows.Command{Verb: windows.Delete, Items: []windows.Item{{Target: node}}})
		}
	}
}

// nodes are those that a device has.
type nodes map[key]there

// there is what a node holds; not sure: it may hold something else.
type there struct {
	item windows.Item
	sure bool
}

func (b *Before) have() nodes {
	have := nodes{}
	if b.Old != nil {
		for _, c := range leaves(b.Old.Commands) {
			if c.Verb != windows.Exec {
				have[keyOf(c.Items[0].Target)] = there{c.Items[0], true}
			}
		}
	}
	for _, p := range b.Tried {
		for _, c := range leaves(p.Commands) {
			uri := c.Items[0].Target
			k := keyOf(uri)
			if _, ok := have[k]; ok || AddsOnce(uri) { // what may be missing is added, and replaced where it is there: but for an account
				have[k] = there{}
			}
		}
	}
	return have
}

// changes tells whether c does anything on a device that has nodes already.
func (have nodes) changes(c *windows.Command) bool {
	if c.Verb == windows.Atomic {
		return slices.ContainsFunc(c.Commands, func(child windows.Command) bool { return child.Verb != windows.Exec && have.changes(&child) })
	}
	is := &c.Items[0]
	was := have[keyOf(is.Target)]
	return c.Verb == windows.Exec || !was.sure || was.item.Data != is.Data || was.item.Meta.Format != is.Meta.Format
}

// over is c for a device that has nodes already.
func (have nodes) over(c *windows.Command) windows.Command {
	out := *c
	switch c.Verb {
	case windows.Atomic:
		out.Commands = nil
		for i := range c.Commands {
			child := &c.Commands[i]
			if item := &child.Items[0]; child.Verb == windows.Add && item.Meta.Format == windows.FormatNode {
				if _, ok := have[keyOf(item.Target)]; ok { // a node without a value cannot be replaced
					continue
				}
			}
			out.Commands = append(out.Commands, have.over(child))
		}
	case windows.Add:
		uri := c.Items[0].Target
		_, is := have[keyOf(uri)]
		if !is && AddsOnce(uri) {
			account := keyOf(root(uri))
			for k := range have {
				for up := range k.above {
					is = is || up == account
				}
			}
		}
		if is {
			out.Verb = windows.Replace
		}
	}
	return out
}
