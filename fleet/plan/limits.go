package plan

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/vm"
	"github.com/invopop/jsonschema"

	"rollcall/protocol"
)

// The bounds of a limit (HST-016).
const (
	maxLimitBytes  = 1_000
	maxLimitNodes  = 200
	maxLimitMemory = 10_000

	ruleExpression protocol.Rule = "HST-016"
)

// A Limit is one condition on a result, such as "checkins.p99 < 50ms": figures of result.json by their dotted
// keys, numbers, lengths of time, comparisons, arithmetic, and, or, not. A key that ends in _ms or _seconds is also
// known without that ending, as a length of time.
type Limit struct {
	text    string
	figures []string // dotted keys in the order of the text
	program *vm.Program
}

// OfDevices tells whether the limit depends on who the devices are: on how many of them do what, or on a job's own figures.
func (l *Limit) OfDevices() bool {
	return slices.ContainsFunc(l.figures, func(key string) bool {
		section, _, _ := strings.Cut(key, ".")
		_, common := figures[section]
		return !common || section == "devices" || section == "moved" || section == "preview"
	})
}

// Figures are the dotted keys that the limit speaks of.
func (l *Limit) Figures() []string { return slices.Clone(l.figures) }

// A LimitResult is what became of one limit.
type LimitResult struct {
	Limit string `json:"limit"`
	Got   string `json:"got"` // the figures of the limit as they came out
	OK    bool   `json:"ok"`
}

// limitError is an Error that does not know its place in the file.
type limitError struct {
	message, nearest string
	rule             protocol.Rule
}

func (e *limitError) Error() string { return e.message }

func (l Limit) String() string { return l.text }

// MarshalText gives what UnmarshalText took.
func (l Limit) MarshalText() ([]byte, error) { return []byte(l.text), nil }

// JSONSchema describes the text.
func (Limit) JSONSchema() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "string", MaxLength: new(uint64(maxLimitBytes)), Description: `a condition such as "checkins.p99 < 50ms"`}
}

// UnmarshalText compiles the condition.
func (l *Limit) UnmarshalText(b []byte) error {
	l.text = string(b)
	if len(b) > maxLimitBytes || strings.Count(l.text, "(")+strings.Count(l.text, "[")+strings.Count(l.text, "{") > maxDepth {
		return &limitError{message: fmt.Sprintf("a limit is at most %d characters with %d brackets", maxLimitBytes, maxDepth), rule: ruleExpression}
	}
	text, spelled, err := spellOut(l.text)
	if err != nil {
		return err
	}
	options := []expr.Option{expr.Env(map[string]any{}), expr.AllowUndefinedVariables(), expr.DisableAllBuiltins(), expr.MaxNodes(maxLimitNodes)}
	tree, err := parser.Parse(text)
	if err != nil {
		return l.misread(err)
	}
	gate := &limitGate{limit: l}
	ast.Walk(&tree.Node, gate)
	if err := cmp.Or(gate.err, gate.unknown); err != nil {
		return err
	}
	slices.SortFunc(l.figures, func(a, b string) int { return strings.Index(l.text, a) - strings.Index(l.text, b) })
	if !condition(tree.Node) {
		return &limitError{message: fmt.Sprintf("%q is no condition; want a comparison such as checkins.p99 < 50ms", clip(l.text))}
	}
	if len(l.figures) == 0 {
		return &limitError{message: fmt.Sprintf("%q names no figure of the result", clip(l.text))}
	}
	if err := l.measured(tree.Node, spelled); err != nil {
		return err
	}
	if l.program, err = expr.Compile(text, options...); err != nil {
		return l.misread(err)
	}
	return nil
}

func (l *Limit) misread(err error) error {
	e := &limitError{message: fmt.Sprintf("%q is no condition", clip(l.text))}
	var at *file.Error
	if errors.As(err, &at) {
		e.message += ": " + at.Message
		if strings.Contains(at.Message, "exceeds maximum allowed nodes") {
			e.rule = ruleExpression
		}
	}
	return e
}

// spellOut writes each length of time as nanoseconds, and tells where: the expression language has no units, and counts in runes.
// Texts in quotes and figures such as p99 stay as they are.
func spellOut(s string) (string, map[int]bool, error) {
	var b strings.Builder
	spelled := map[int]bool{}
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == '"' || c == '\'' || c == '`':
			end := strings.IndexByte(s[i+1:], c)
			if end < 0 {
				return "", nil, &limitError{message: "a text without its closing quote"}
			}
			b.WriteString(s[i : i+end+2])
			i += end + 2
		case letter(c):
			start := i
			for i < len(s) && (letter(s[i]) || digit(s[i])) {
				i++
			}
			b.WriteString(s[start:i])
		case digit(c):
			start := i
			for i < len(s) && (letter(s[i]) || digit(s[i]) || s[i] == '.') {
				i++
			}
			number := s[start:i]
			if strings.IndexFunc(number, func(r rune) bool { return letter(byte(r)) }) < 0 {
				b.WriteString(number)
				break
			}
			d, err := ParseDuration(number)
			if err != nil {
				return "", nil, &limitError{message: fmt.Sprintf("%q: %v", clip(number), err)}
			}
			spelled[utf8.RuneCountInString(b.String())] = d != 0
			b.WriteString(strconv.FormatInt(int64(d), 10))
		default:
			b.WriteByte(c)
			i++
		}
	}
	return b.String(), spelled, nil
}

func letter(c byte) bool { return c == '_' || c|0x20 >= 'a' && c|0x20 <= 'z' }
func digit(c byte) bool  { return c >= '0' && c <= '9' }

// A limitGate refuses what a limit does not need: whatever could loop, call or allocate (HST-016). It collects
// the figures and refuses those that no result can have.
type limitGate struct {
	limit   *Limit
	err     error
	unknown error // no such figure; told where nothing is refused, for a program has names of its own
}

// Visit is called for children before their parents.
func (g *limitGate) Visit(node *ast.Node) {
	if g.err != nil {
		return
	}
	switch n := (*node).(type) {
	case *ast.BinaryNode:
		if !slices.Contains([]string{"==", "!=", "<", "<=", ">", ">=", "and", "&&", "or", "||", "+", "-", "*", "/"}, n.Operator) {
			g.refuse("the operator " + n.Operator)
		}
		g.figure(n.Left)
		g.figure(n.Right)
	case *ast.UnaryNode:
		if !slices.Contains([]string{"not", "!", "-", "+"}, n.Operator) {
			g.refuse("the operator " + n.Operator)
		}
		g.figure(n.Node)
	case *ast.MemberNode:
		if _, ok := dotted(n); !ok {
			g.refuse("an index")
		}
	case *ast.IdentifierNode, *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.StringNode:
	case *ast.BuiltinNode, *ast.CallNode, *ast.PredicateNode, *ast.PointerNode:
		g.refuse("a call")
	case *ast.VariableDeclaratorNode, *ast.SequenceNode, *ast.ConditionalNode:
		g.refuse("a program")
	default:
		g.refuse("a list, a map or nothing at all")
	}
}

func (g *limitGate) refuse(what string) {
	g.err = &limitError{message: fmt.Sprintf("%q: %s has no place in a limit; want figures, numbers, lengths of time and comparisons", clip(g.limit.text), what), rule: ruleExpression}
}

// figure notes the dotted key that n is, if it is one.
func (g *limitGate) figure(n ast.Node) {
	key, ok := dotted(n)
	if !ok || slices.Contains(g.limit.figures, key) {
		return
	}
	if near, known := knownFigure(key); !known {
		hint := ""
		if names := inside(key); near == "" && len(names) > 0 {
			hint = "; want one inside it, such as " + key + "." + names[0]
		} else if near == "" && !strings.Contains(key, ".") {
			hint = "; want one inside a section, such as devices.stranded"
		}
		g.unknown = cmp.Or(g.unknown, error(&limitError{message: fmt.Sprintf("%q: a result has no figure %s%s", clip(g.limit.text), key, hint), nearest: near}))
	}
	g.limit.figures = append(g.limit.figures, key)
}

// dotted returns a.b.c for a chain of members.
func dotted(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.IdentifierNode:
		return n.Value, true
	case *ast.MemberNode:
		of, ok := dotted(n.Node)
		name, plain := n.Property.(*ast.StringNode)
		if ok && plain {
			return of + "." + name.Value, true
		}
	}
	return "", false
}

func condition(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.BinaryNode:
		return !slices.Contains([]string{"+", "-", "*", "/"}, n.Operator)
	case *ast.UnaryNode:
		return n.Operator == "not" || n.Operator == "!"
	}
	return false
}

// Evaluate compares result with p's limits. result is the object of result.json as encoding/json decodes it. A figure
// of the common keys that the result does not have belongs to another kind of run: that limit is not applicable, and
// holds.
func (p *Plan) Evaluate(result map[string]any) []LimitResult {
	env := timed(result)
	results := make([]LimitResult, len(p.Limits))
	for i := range p.Limits {
		results[i] = p.Limits[i].evaluate(env)
	}
	return results
}

// lengths are the endings of keys whose figures are lengths of time.
var lengths = map[string]time.Duration{"_ms": time.Millisecond, "_seconds": time.Second}

// timed copies the nested object o and adds to each x_ms and x_seconds the same in nanoseconds as x.
func timed(o map[string]any) map[string]any {
	env := maps.Clone(o)
	for key, v := range o {
		switch v := v.(type) {
		case map[string]any:
			env[key] = timed(v)
		case float64:
			for ending, unit := range lengths {
				name, ok := strings.CutSuffix(key, ending)
				if _, taken := o[name]; ok && !taken {
					env[name] = float64(v * float64(unit))
				}
			}
		}
	}
	return env
}

func (l *Limit) evaluate(env map[string]any) LimitResult {
	r := LimitResult{Limit: l.text}
	var shown []string
	for _, key := range l.figures {
		text, ok := show(env, key)
		if !ok {
			section, _, _ := strings.Cut(key, ".")
			if _, r.OK = figures[section]; r.OK {
				r.Got = "not applicable"
			} else {
				r.Got = "no figure " + key + " in this result"
			}
			return r
		}
		if len(l.figures) > 1 {
			text = key + " = " + text
		}
		shown = append(shown, text)
	}
	r.Got = strings.Join(shown, ", ")
	machine := vm.VM{MemoryBudget: maxLimitMemory}
	v, err := machine.Run(l.program, env)
	if err != nil {
		r.Got += "; not comparable"
	}
	r.OK, _ = v.(bool)
	return r
}

// show looks a dotted key up and writes its figure, a length of time as such.
func show(env map[string]any, key string) (string, bool) {
	section, name, inside := strings.Cut(key, ".")
	v, ok := env[section]
	if !ok {
		return "", false
	}
	if inside {
		within, _ := v.(map[string]any)
		return show(within, name)
	}
	f, number := v.(float64)
	switch _, ms := env[key+"_ms"]; {
	case !number:
		return fmt.Sprint(v), true
	case ms || env[key+"_seconds"] != nil:
		return span(time.Duration(f)), true
	}
	return strconv.FormatFloat(f, 'f', -1, 64), true
}

// span writes d as precisely as people read it.
func span(d time.Duration) string {
	switch {
	case d >= time.Minute:
		return Duration(d.Round(time.Second)).String()
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	}
	return d.Round(10 * time.Microsecond).String()
}
