package windows

import (
	"fmt"
	"strconv"
	"strings"
)

func unknown(what string) error { return fmt.Errorf("unknown setting %.60q", what) }

// parms reads settings by name, each once, and refuses those that nobody asked for.
type parms struct {
	list  []Parm
	typed bool // the datatype must be said
	known []string
	err   error
}

func (r *parms) fail(name string) {
	if r.err == nil {
		r.err = fmt.Errorf("setting %.60q: no good value", name)
	}
}

func (r *parms) find(name string) *Parm {
	r.known = append(r.known, name)
	var found *Parm
	for i := range r.list {
		if r.list[i].Name != name {
			continue
		}
		if found != nil {
			r.fail(name)
		}
		found = &r.list[i]
	}
	return found
}

func (r *parms) text(name string) string {
	if p := r.find(name); p != nil {
		return strings.TrimSpace(p.Value)
	}
	return ""
}

// number reads an integer of a setting that needs no datatype.
func (r *parms) number(name string, otherwise, most int64) int64 {
	p := r.find(name)
	if p == nil {
		return otherwise
	}
	n, err := strconv.ParseUint(strings.TrimSpace(p.Value), 10, 63)
	if err != nil || n > uint64(most) {
		r.fail(name)
		return otherwise
	}
	return int64(n)
}

func (r *parms) integer(name string, otherwise int64) int64 {
	if p := r.find(name); p != nil && (r.typed || p.Datatype != "") && p.Datatype != DatatypeInteger {
		r.fail(name)
	}
	return r.number(name, otherwise, 1<<31-1)
}

func (r *parms) boolean(name string, otherwise bool) bool {
	p := r.find(name)
	if p == nil {
		return otherwise
	}
	if (r.typed || p.Datatype != "") && p.Datatype != DatatypeBoolean {
		r.fail(name)
	}
	switch strings.ToLower(strings.TrimSpace(p.Value)) {
	case "true", "1":
		return true
	case "false", "0":
		return false
	}
	r.fail(name)
	return otherwise
}

func (r *parms) finish() error {
	for i := range r.list {
		known := false
		for _, name := range r.known {
			known = known || name == r.list[i].Name
		}
		if !known && r.err == nil {
			r.err = unknown(r.list[i].Name)
		}
	}
	return r.err
}
