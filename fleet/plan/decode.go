package plan

import (
	"encoding"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"

	"rollcall/protocol"
)

type position struct{ line, column int }

// A decoder turns the YAML tree into a plan and collects what is wrong. The library's own decoder stops at the
// first mistake, cannot say which word was meant and follows aliases without end.
type decoder struct {
	file    string
	errs    Errors
	where   map[string]position
	anchors map[string]ast.Node
	nodes   int
}

func (d *decoder) fail(at *token.Token, path, format string, args ...any) *Error {
	e := &Error{File: d.file, Field: path, Message: fmt.Sprintf(format, args...)}
	if at != nil && at.Position != nil {
		e.Line, e.Column = at.Position.Line, at.Position.Column
	}
	if len(d.errs) < maxShown {
		d.errs = append(d.errs, e)
	}
	return e
}

func (d *decoder) refuse(at *token.Token, path, format string, args ...any) {
	d.fail(at, path, format, args...).Rule = ruleYAML
}

// node decodes n into v, which is settable.
func (d *decoder) node(n ast.Node, v reflect.Value, path string, depth int) {
	if d.nodes++; d.nodes > maxNodes {
		if d.nodes == maxNodes+1 {
			d.refuse(n.GetToken(), path, "more than %d values once aliases are followed", maxNodes)
		}
		return
	}
	if depth > maxDepth {
		d.refuse(n.GetToken(), path, "%s", tooDeep)
		return
	}
	switch n := n.(type) {
	case *ast.AnchorNode:
		d.anchors[n.Name.GetToken().Value] = n.Value
		d.node(n.Value, v, path, depth+1)
		return
	case *ast.AliasNode:
		name := n.Value.GetToken()
		to, ok := d.anchors[name.Value]
		if !ok {
			d.fail(name, path, "no anchor &%s before this", name.Value).Nearest = Nearest(name.Value, slices.Sorted(maps.Keys(d.anchors)))
			return
		}
		d.node(to, v, path, depth+1)
		return
	}
	d.at(path, start(n))
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		d.text(n, u, v.Type(), path)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		fields := fieldsOf(v.Type())
		d.pairs(n, path, "keys such as "+example(fields), func(key *token.Token, value ast.Node) {
			index, ok := fields[key.Value]
			if !ok {
				d.unknownKey(key, path, slices.Sorted(maps.Keys(fields)))
				return
			}
			d.at(join(path, key.Value), key)
			d.node(value, v.FieldByIndex(index), join(path, key.Value), depth+1)
		})
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		d.pairs(n, path, "a mapping", func(key *token.Token, value ast.Node) {
			k, e := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			if d.set(key, key.Value, k, path) {
				d.node(value, e, join(path, key.Value), depth+1)
				v.SetMapIndex(k, e)
			}
		})
	case reflect.Slice:
		list, ok := n.(*ast.SequenceNode)
		if !ok {
			d.fail(n.GetToken(), path, "want a list, got %s", called(n))
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), len(list.Values), len(list.Values)))
		for i, value := range list.Values {
			d.node(value, v.Index(i), fmt.Sprintf("%s[%d]", path, i), depth+1)
		}
	default:
		if s, ok := scalar(n); ok {
			d.set(n.GetToken(), s, v, path)
		} else {
			d.fail(n.GetToken(), path, "want %s, got %s", wanted(v.Kind()), called(n))
		}
	}
}

// at notes where path is; the key of a pair counts, not its value.
func (d *decoder) at(path string, t *token.Token) {
	if _, known := d.where[path]; !known && t != nil && t.Position != nil {
		d.where[path] = position{t.Position.Line, t.Position.Column}
	}
}

// start returns the first token of n; a block mapping's own token is its first colon.
func start(n ast.Node) *token.Token {
	switch n := n.(type) {
	case *ast.MappingNode:
		if !n.IsFlowStyle && len(n.Values) > 0 {
			return n.Values[0].Key.GetToken()
		}
	case *ast.MappingValueNode:
		return n.Key.GetToken()
	}
	return n.GetToken()
}

// pairs calls do for each pair of the mapping n.
func (d *decoder) pairs(n ast.Node, path, want string, do func(key *token.Token, value ast.Node)) {
	var values []*ast.MappingValueNode
	switch n := n.(type) {
	case *ast.MappingNode:
		values = n.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{n}
	default:
		d.fail(n.GetToken(), path, "want %s, got %s", want, called(n))
		return
	}
	seen := map[string]bool{}
	for i := 0; i < len(values); i++ {
		pair := values[i]
		key := pair.Key.GetToken()
		// In {lasts: lognormal(3d, 2.5)} the comma belongs to the value, though YAML cuts there.
		if s, ok := pair.Value.(*ast.StringNode); ok && i+1 < len(values) && strings.Contains(s.Value, "(") && !strings.Contains(s.Value, ")") {
			if rest := values[i+1]; rest.Value.Type() == ast.NullType && strings.HasSuffix(rest.Key.GetToken().Value, ")") {
				s.Value += ", " + rest.Key.GetToken().Value
				i++
			}
		}
		if seen[key.Value] {
			d.refuse(key, path, "key %q is there twice", key.Value)
			continue
		}
		seen[key.Value] = true
		do(key, pair.Value)
	}
}

// unknownKey names the nearest key that is valid here, or else all of them.
func (d *decoder) unknownKey(key *token.Token, path string, valid []string) {
	e := d.fail(key, path, "unknown key %q", key.Value)
	if e.Nearest = Nearest(key.Value, valid); e.Nearest == "" {
		e.Message += "; want one of " + strings.Join(valid, ", ")
	}
}

// text decodes a scalar by the type's own rules.
func (d *decoder) text(n ast.Node, u encoding.TextUnmarshaler, t reflect.Type, path string) {
	s, ok := scalar(n)
	if !ok {
		s = ""
	}
	valid := words(t)
	if valid != nil && !slices.Contains(valid, s) {
		e := d.fail(n.GetToken(), path, "%s; want one of %s", got(n), strings.Join(valid, ", "))
		e.Nearest = Nearest(s, valid)
		return
	}
	err := u.UnmarshalText([]byte(s))
	if err == nil && ok {
		return
	}
	var limit *limitError
	switch {
	case errors.As(err, &limit):
		e := d.fail(n.GetToken(), path, "%s", limit.message)
		e.Rule, e.Nearest = limit.rule, limit.nearest
	case errors.Is(err, errMoreThanAll):
		d.fail(n.GetToken(), path, "%s; %v", got(n), err).Rule = ruleContradiction
	case err != nil:
		d.fail(n.GetToken(), path, "%s; %v", got(n), err)
	}
}

// set puts the plain scalar s into v.
func (d *decoder) set(at *token.Token, s string, v reflect.Value, path string) bool {
	var err error
	switch v.Kind() {
	case reflect.String:
		if !plainName(s) {
			err = errName
		}
		v.SetString(s)
	case reflect.Bool:
		v.SetBool(s == "true")
		if s != "true" && s != "false" {
			err = strconv.ErrSyntax
		}
	case reflect.Int:
		var i int64
		i, err = strconv.ParseInt(strings.ReplaceAll(s, "_", ""), 10, 64)
		if err == nil && (i < 0 || i > maxCount) {
			err = strconv.ErrRange
		}
		v.SetInt(i)
	case reflect.Uint64:
		var i uint64
		i, err = strconv.ParseUint(strings.ReplaceAll(s, "_", ""), 0, 64)
		v.SetUint(i)
	}
	if err != nil {
		d.fail(at, path, "%q; want %s", clip(s), wanted(v.Kind()))
	}
	return err == nil
}

// maxCount bounds every count of a plan; the largest population meant is a million.
const maxCount = 100_000_000

func wanted(k reflect.Kind) string {
	switch k {
	case reflect.Bool:
		return "true or false"
	case reflect.Int:
		return fmt.Sprintf("a whole number from 0 to %d", maxCount)
	case reflect.Uint64:
		return "a whole number from 0 to 18446744073709551615"
	}
	return "a name of at most 100 letters, digits, spaces and signs"
}

var errName = errors.New("not a name")

// plainName tells whether s can stand in a report and a terminal as it is.
func plainName(s string) bool {
	return s != "" && len(s) <= 100 && strings.TrimSpace(s) == s && strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0
}

// words returns the valid words of t, or nil when it takes more than a list of words.
func words(t reflect.Type) []string {
	switch t {
	case reflect.TypeFor[protocol.Authority]():
		return list([]protocol.Authority{protocol.Unknown, protocol.Intune, protocol.SCCM, protocol.Office365})
	case reflect.TypeFor[protocol.Platform]():
		return list(protocol.Platforms[:])
	case reflect.TypeFor[protocol.Family]():
		return list(protocol.Families[:])
	case reflect.TypeFor[protocol.CommandKind]():
		return list(commands[:])
	case reflect.TypeFor[Gate]():
		return gateNames[1:]
	case reflect.TypeFor[Decider]():
		return deciderNames[1:]
	case reflect.TypeFor[Trouble]():
		return troubleNames[1:]
	case reflect.TypeFor[Outage]():
		return outageNames[1:]
	case reflect.TypeFor[Certificate]():
		return certificateNames[1:]
	case reflect.TypeFor[Regime]():
		return regimeNames[1:]
	case reflect.TypeFor[Licence]():
		return licenceNames[1:]
	case reflect.TypeFor[Consent]():
		return consentNames[1:]
	case reflect.TypeFor[Handshakes]():
		return []string{Full.String(), Resumed.String()}
	case reflect.TypeFor[Keeping]():
		return keepingNames[1:]
	}
	return nil
}

func list[T fmt.Stringer](values []T) []string {
	names := make([]string, len(values))
	for i, v := range values {
		names[i] = v.String()
	}
	return names
}

// fieldsOf returns the keys of the struct t, those of embedded structs among them.
func fieldsOf(t reflect.Type) map[string][]int {
	fields := map[string][]int{}
	for _, f := range reflect.VisibleFields(t) {
		if key := f.Tag.Get("yaml"); key != "" {
			fields[key] = f.Index
		}
	}
	return fields
}

func example(fields map[string][]int) string {
	keys := slices.Sorted(maps.Keys(fields))
	return strings.Join(keys[:min(3, len(keys))], ", ")
}

func scalar(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value, true
	}
	return "", false
}

// got shows a scalar, and says of anything else what it is.
func got(n ast.Node) string {
	if s, ok := scalar(n); ok {
		return strconv.Quote(clip(s))
	}
	return called(n)
}

func clip(s string) string {
	if len(s) > 60 {
		return s[:60] + "..."
	}
	return s
}

func called(n ast.Node) string {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.NullNode:
		return "nothing"
	case *ast.InfinityNode, *ast.NanNode:
		return "no number"
	}
	return "a single value"
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
