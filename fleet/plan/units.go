package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
)

// A unit is what a part of a limit counts in.
type unit byte

const (
	anyUnit unit = iota // not known before there is a result, or none: texts, truths, nought
	plainNumber
	lengthOfTime
)

// timedFigures are the figures of the common keys that are lengths of time.
var timedFigures = []string{
	"checkins.p50", "checkins.p99", "checkins.p999", "moved.p50", "moved.p95", "moved.p100", "virtual", "wall", "cpu",
}

func unitOf(key string) unit {
	section, _, _ := strings.Cut(key, ".")
	_, common := figures[section]
	switch {
	case slices.Contains(timedFigures, key):
		return lengthOfTime
	case !common || section == "verdict" || section == "command" || strings.Count(key, ".") > 1: // a platform's wire is true or not
		return anyUnit
	}
	return plainNumber
}

// A limitUnits finds where a limit holds a length of time against a number: its figure would be in nanoseconds, and the limit
// would break, or hold, whatever the run did.
type limitUnits struct {
	spelled map[int]bool // where spellOut wrote a length of time
	mixed   string       // the first operator between the two; empty: none
}

func (u *limitUnits) of(n ast.Node) unit {
	if key, ok := dotted(n); ok {
		return unitOf(key)
	}
	switch n := n.(type) {
	case *ast.IntegerNode:
		switch {
		case u.spelled[n.Location().From]:
			return lengthOfTime
		case n.Value == 0:
			return anyUnit
		}
		return plainNumber
	case *ast.FloatNode:
		return plainNumber
	case *ast.UnaryNode:
		return u.of(n.Node)
	case *ast.BinaryNode:
		return u.between(n.Operator, u.of(n.Left), u.of(n.Right))
	}
	return anyUnit
}

func (u *limitUnits) between(operator string, left, right unit) unit {
	switch operator {
	case "*":
		return max(left, right)
	case "/":
		if left == lengthOfTime && right == plainNumber {
			return lengthOfTime
		}
		return anyUnit
	case "and", "&&", "or", "||":
		return anyUnit
	}
	if left != right && left != anyUnit && right != anyUnit && u.mixed == "" {
		u.mixed = operator
	}
	if operator == "+" || operator == "-" {
		return max(left, right)
	}
	return anyUnit
}

// measured refuses a limit whose two sides count in different units.
func (l *Limit) measured(n ast.Node, spelled map[int]bool) error {
	u := limitUnits{spelled: spelled}
	if u.of(n); u.mixed == "" {
		return nil
	}
	return &limitError{message: fmt.Sprintf("%q: %s is between a length of time and a number; want a unit with each length, such as 50ms or 12h, and none with a count", clip(l.text), u.mixed)}
}
