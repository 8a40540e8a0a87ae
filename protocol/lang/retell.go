package lang

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"
)

// Retell says in l what the program has said in English, as an event log or an act that was played holds it: one or more sentences
// of the catalogue, and in the places of their arguments words of it. What it does not know it leaves as it is.
func (l Language) Retell(said string) string {
	if l == English || said == "" || len(said) > longestSaid {
		return said
	}
	if text, ok := l.retell(said, true); ok {
		return text
	}
	if head, rest, more := strings.Cut(said, ". "); more {
		return l.Retell(head+".") + " " + l.Retell(rest)
	}
	if text, ok := l.retell(said, false); ok {
		return text
	}
	return said
}

const longestSaid = 2000 // bytes; nothing of ours is longer

// retell finds the one sentence that said is; own: it must have some words of its own beside its arguments.
func (l Language) retell(said string, own bool) (string, bool) {
	for _, s := range sayings() {
		if own && s.plain < 8 && len(s.verbs) > 0 {
			break
		}
		m := s.form.FindStringSubmatch(said)
		if m == nil {
			continue
		}
		args := make([]any, len(s.verbs))
		for i, verb := range s.verbs {
			args[i] = l.argument(verb, m[i+1])
		}
		return l.Say(s.key, args...), true
	}
	if c := said[0]; 'A' <= c && c <= 'Z' { // a word that began the sentence
		if text, ok := l.retell(string(c+'a'-'A')+said[1:], own); ok {
			first, size := utf8.DecodeRuneInString(text)
			return string(unicode.ToUpper(first)) + text[size:], true
		}
	}
	return "", false
}

// argument reads what was written for a verb.
func (l Language) argument(verb, text string) any {
	switch verb {
	case "d":
		if n, err := strconv.Atoi(strings.ReplaceAll(text, ",", "")); err == nil {
			return n
		}
	case "q":
		if s, err := strconv.Unquote(text); err == nil {
			return s
		}
	}
	if d, ok := written(text); ok {
		return l.Span(d)
	}
	return decimal.ReplaceAllString(l.Retell(text), "${1}"+separators[l].decimals+"${2}${3}")
}

var (
	decimal = regexp.MustCompile(`\b([0-9]+)\.([0-9]+)(%| ms\b| s\b)`)
	length  = regexp.MustCompile(`^(?:([0-9]{1,5})d)?((?:[0-9]{1,5}h)?(?:[0-9]{1,5}m)?(?:[0-9]{1,5}s)?)$`)
)

// written reads a length of time as a plan has it: 8d12h.
func written(text string) (d time.Duration, ok bool) {
	m := length.FindStringSubmatch(text)
	if m == nil || text == "" {
		return 0, false
	}
	if m[2] != "" {
		d, _ = time.ParseDuration(m[2]) // its form is right
	}
	days, _ := strconv.Atoi(m[1]) // nothing: none
	return d + time.Duration(days)*day, true
}

// A saying is a sentence of the catalogue with what it looks like when it was said.
type saying struct {
	key   Key
	form  *regexp.Regexp
	verbs []string
	plain int // how much of it is not an argument
}

// sayings are the sentences of stories and of results, those with most words of their own first.
var sayings = sync.OnceValue(func() (all []saying) {
	forms := map[string]string{"d": `([0-9][0-9,]*)`, "q": `("(?:[^"\\]|\\.)*")`, "s": `(.+?)`}
	for _, p := range slices.Concat(pairs("story"), pairs("reasons"), pairs("steps"), pairs("loads")) {
		text := p[English]
		var form strings.Builder
		plain, last := 0, 0
		literal := func(to int) {
			plain += len(strings.TrimSpace(text[last:to]))
			form.WriteString(regexp.QuoteMeta(text[last:to]))
		}
		for last < len(text) {
			rest := text[last:]
			v, c := verbs.FindStringSubmatchIndex(rest), choices.FindStringSubmatchIndex(rest)
			switch {
			case c != nil && (v == nil || c[0] < v[0]):
				literal(last + c[0])
				form.WriteString("(?:" + regexp.QuoteMeta(rest[c[4]:c[5]]) + "|" + regexp.QuoteMeta(rest[c[6]:c[7]]) + ")")
				plain += c[5] - c[4]
				last += c[1]
			case v != nil:
				literal(last + v[0])
				form.WriteString(cmp.Or(forms[rest[v[4]:v[5]]], "%"))
				last += v[1]
			default:
				literal(len(text))
				last = len(text)
			}
		}
		if len(arguments(text)) == 0 {
			plain += longestSaid // it cannot be taken for another
		}
		all = append(all, saying{Key(text), regexp.MustCompile("^" + form.String() + "$"), arguments(text), plain})
	}
	slices.SortStableFunc(all, func(a, b saying) int { return cmp.Compare(b.plain, a.plain) })
	return all
})
