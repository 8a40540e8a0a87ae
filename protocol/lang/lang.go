package lang

import (
	"embed"
	"fmt"
	"io/fs"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/text/feature/plural"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
	"golang.org/x/text/message/catalog"
)

// A Language is one that rollcall speaks. The zero Language is English.
type Language uint8

// The languages.
const (
	English Language = iota
	Dutch
)

var tags = [...]language.Tag{English: language.English, Dutch: language.Dutch}

// String returns the language's BCP 47 tag: en, nl.
func (l Language) String() string { return tags[l].String() }

// Set reads a tag, as a flag does: en or nl, with or without a region.
func (l *Language) Set(tag string) error {
	base, _, _ := strings.Cut(strings.ReplaceAll(strings.ToLower(tag), "_", "-"), "-")
	for i := range tags {
		if base == tags[i].String() {
			*l = Language(i)
			return nil
		}
	}
	return fmt.Errorf("%q: want en or nl", tag)
}

// Type is what a flag's help calls a Language.
func (l *Language) Type() string { return "LANGUAGE" }

// A Key is a sentence of the catalogue: the English one.
type Key string

// Say returns key's sentence in l, with args as fmt.Sprintf would put them in. A key that the catalogue lacks is said in English.
func (l Language) Say(key Key, args ...any) string {
	return printers()[l].Sprintf(string(key), args...)
}

// A Text is a sentence of the catalogue with its arguments, to be said in a language that is known later. An argument that is a Key or a
// Text itself is said in that language too.
type Text struct {
	Key  Key
	Args []any
}

// Later keeps key with args to be said later.
func Later(key Key, args ...any) Text { return Text{key, args} }

// In says t in l.
func (t Text) In(l Language) string {
	args := make([]any, len(t.Args))
	for i, arg := range t.Args {
		switch arg := arg.(type) {
		case Key:
			args[i] = l.Say(arg)
		case Text:
			args[i] = arg.In(l)
		default:
			args[i] = arg
		}
	}
	return l.Say(t.Key, args...)
}

// String says t in English.
func (t Text) String() string { return t.In(English) }

// MarshalText says t in English: what a program reads is not translated.
func (t Text) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

var printers = sync.OnceValue(func() (all [len(tags)]*message.Printer) {
	b := catalog.NewBuilder(catalog.Fallback(language.English))
	for _, p := range pairs("*") {
		for i, text := range p {
			if err := b.Set(tags[i], p[English], compile(text)); err != nil {
				panic(fmt.Sprintf("catalogue: %q: %v", text, err)) // it is ours, and the tests read all of it
			}
		}
	}
	for i, tag := range tags {
		all[i] = message.NewPrinter(tag, message.Catalog(b))
	}
	return all
})

//go:embed catalogue
var catalogue embed.FS

// pairs reads the catalogue, or one file of it: one sentence in all languages each.
func pairs(file string) (all [][len(tags)]string) {
	files, err := fs.Glob(catalogue, "catalogue/"+file+".txt")
	if err != nil {
		panic(err)
	}
	for _, name := range files {
		data, err := catalogue.ReadFile(name)
		if err != nil {
			panic(err)
		}
		var pair [len(tags)]string
		n := 0
		for line := range strings.Lines(string(data)) {
			if line = strings.TrimRight(line, "\r\n"); line == "" || strings.HasPrefix(line, "#") {
				continue
			}
			pair[n%len(tags)] = line
			if n++; n%len(tags) == 0 {
				all = append(all, pair)
			}
		}
	}
	return all
}

var (
	verbs   = regexp.MustCompile(`%(?:\[(\d+)\])?[-+# 0-9.]*([a-zA-Z%])`)
	choices = regexp.MustCompile(`\{(?:(\d+):)?([^{}|]*)\|([^{}|]*)\}`)
)

// compile makes of a line what the catalogue takes: the whole sentence for each outcome of its choices, since a
// choice alone would not use all arguments.
func compile(text string) catalog.Message {
	at := choices.FindStringSubmatchIndex(text)
	if at == nil {
		return catalog.String(text)
	}
	arg := follows(text, at)
	return plural.Selectf(arg, "%d", plural.One, compile(choose(text, arg, true)), plural.Other, compile(choose(text, arg, false)))
}

// choose settles the choices of text that follow an argument.
func choose(text string, arg int, one bool) string {
	var out strings.Builder
	last := 0
	for _, at := range choices.FindAllStringSubmatchIndex(text, -1) {
		if follows(text, at) != arg {
			continue
		}
		word := text[at[6]:at[7]]
		if one {
			word = text[at[4]:at[5]]
		}
		out.WriteString(text[last:at[0]] + word)
		last = at[1]
	}
	return out.String() + text[last:]
}

// follows returns which argument the choice that was found in text at these places follows.
func follows(text string, at []int) int {
	if at[2] >= 0 {
		n, err := strconv.Atoi(text[at[2]:at[3]])
		if err != nil {
			panic(err) // digits, by the expression
		}
		return n
	}
	return len(arguments(text[:at[0]]))
}

// arguments lists the verbs of a line in the order of the arguments that they print.
func arguments(text string) (all []string) {
	for _, m := range verbs.FindAllStringSubmatch(text, -1) {
		if m[2] == "%" {
			continue
		}
		n := len(all) + 1
		if m[1] != "" {
			var err error
			if n, err = strconv.Atoi(m[1]); err != nil {
				panic(err) // digits, by the expression
			}
		}
		for len(all) < n {
			all = append(all, "")
		}
		all[n-1] = m[2]
	}
	return all
}
