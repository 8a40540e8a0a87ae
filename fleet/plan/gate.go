package plan

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"rollcall/protocol"
)

// The bounds of a plan (HST-004, HST-015).
const (
	maxBytes   = 1 << 20
	maxDepth   = 64
	maxNodes   = 1_000_000
	maxTokens  = 50_000
	maxAnchors = 1_000
	maxShown   = 100 // mistakes reported of one plan
)

var tooDeep = fmt.Sprintf("nested more than %d deep", maxDepth)

const ruleYAML protocol.Rule = "HST-015"

// parse returns the root of the only document in data, or nil after a mistake.
func (d *decoder) parse(data []byte) (root ast.Node) {
	if len(data) > maxBytes {
		d.refuse(nil, "", "a plan is at most 1 MiB")
		return nil
	}
	// The lexer and the parser are somebody else's code on bytes from outside.
	defer func() {
		if recover() != nil {
			root = nil
			d.refuse(nil, "", "not YAML that can be read")
		}
	}()
	if !d.utf8(data) || !d.tabs(data) {
		return nil
	}
	tokens := lexer.Tokenize(string(data))
	if !d.gate(tokens) {
		return nil
	}
	file, err := parser.Parse(tokens, 0)
	if err != nil {
		d.syntax(err)
		return nil
	}
	for _, doc := range file.Docs {
		if doc.Body == nil {
			continue
		}
		if root != nil {
			d.fail(doc.Body.GetToken(), "", "a second document; a file holds one plan")
			return nil
		}
		root = doc.Body
	}
	if root == nil {
		d.fail(nil, "", "the plan is empty; want at least population and until")
	}
	return root
}

// syntax takes in the library's error, whose text shows the line with a caret; only its first line is kept.
func (d *decoder) syntax(err error) {
	var located yaml.Error
	if !errors.As(err, &located) {
		d.fail(nil, "", "%v", err)
		return
	}
	e := d.fail(located.GetToken(), "", "%s", located.GetMessage())
	if strings.Contains(e.Message, "already defined") {
		e.Rule = ruleYAML
	}
}

// utf8 refuses bytes that are no UTF-8: an event log would repeat the plan with other ones.
func (d *decoder) utf8(data []byte) bool {
	line := 0
	for text := range bytes.Lines(data) {
		line++
		if !utf8.Valid(text) {
			d.refuse(&token.Token{Position: &token.Position{Line: line, Column: 1}}, "", "not UTF-8; save the file as UTF-8")
			return false
		}
	}
	return true
}

// tabs refuses a tab in the indentation, which YAML forbids and the library reads in its own way.
func (d *decoder) tabs(data []byte) bool {
	line := 0
	for text := range strings.Lines(string(data)) {
		line++
		if i := strings.IndexFunc(text, func(r rune) bool { return r != ' ' }); i >= 0 && text[i] == '\t' && strings.TrimSpace(text) != "" {
			d.refuse(&token.Token{Position: &token.Position{Line: line, Column: i + 1}}, "", "a tab in the indentation; want spaces")
			return false
		}
	}
	return true
}

// gate refuses tokens that a plan does not need and that hide what it says, and bounds what makes the library's
// parser recurse or take quadratic time.
func (d *decoder) gate(tokens token.Tokens) bool {
	if len(tokens) > maxTokens {
		d.refuse(tokens[maxTokens], "", "a plan has at most %d words and signs", maxTokens)
		return false
	}
	flow, anchors := 0, 0
	for i, t := range tokens {
		what := unwanted[t.Type]
		switch t.Type {
		case token.SequenceStartType, token.MappingStartType:
			flow++
		case token.SequenceEndType, token.MappingEndType:
			flow--
		case token.AnchorType:
			if anchors++; anchors > maxAnchors {
				what = fmt.Sprintf("more than %d anchors", maxAnchors)
			}
		case token.SequenceEntryType, token.MappingValueType:
			first := t
			if t.Type == token.MappingValueType && i > 0 {
				first = tokens[i-1]
			}
			if flow == 0 && first.Position.Column > 2*maxDepth {
				what = tooDeep
			}
		}
		if flow > maxDepth {
			what = tooDeep
		}
		if what != "" {
			d.refuse(t, "", "%s", what)
			return false
		}
	}
	return true
}

var unwanted = map[token.Type]string{
	token.TagType:        "a tag; a plan has none",
	token.MergeKeyType:   "a merge key; write out what it merges",
	token.MappingKeyType: "a complex key; want a plain word",
	token.DirectiveType:  "a directive; a plan has none",
}
