package lang

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestSay(t *testing.T) {
	for _, tt := range []struct {
		l    Language
		key  Key
		args []any
		want string
	}{
		{English, "%d {device|devices}", []any{1}, "1 device"},
		{English, "%d {device|devices}", []any{12345}, "12,345 devices"},
		{Dutch, "%d {device|devices}", []any{1}, "1 apparaat"},
		{Dutch, "%d {device|devices}", []any{uint64(12345)}, "12.345 apparaten"},
		{English, "%d of %d {limit|limits} held.", []any{1, 2}, "1 of 2 limits held."},
		{English, "Invariants were checked %d {time|times} and violated %d {time|times}.", []any{2, 1}, "Invariants were checked 2 times and violated 1 time."},
		{English, "%s with %d {device|devices}", []any{"x", 1}, "x with 1 device"},
		{Dutch, "%d {attempt|attempts} to enrol {1:was|were} refused meanwhile, of %d {device|devices}.", []any{1, 2}, "Ondertussen werd 1 poging tot inschrijving geweigerd, van 2 apparaten."},
		{Dutch, "no such sentence: %s", []any{"x"}, "no such sentence: x"},
	} {
		if got := tt.l.Say(tt.key, tt.args...); got != tt.want {
			t.Errorf("%s.Say(%q, %v) = %q, want %q", tt.l, tt.key, tt.args, got, tt.want)
		}
	}
}

func TestText(t *testing.T) {
	text := Later("%s with %d {device|devices}", Later("%d {device|devices}", 2), 1)
	if en, nl := text.String(), text.In(Dutch); en != "2 devices with 1 device" || nl != "2 apparaten met 1 apparaat" {
		t.Errorf("%q, %q", en, nl)
	}
	if nl := Later("%s with %d {device|devices}", Key("Device"), 3).In(Dutch); nl != "Apparaat met 3 apparaten" {
		t.Error(nl)
	}
}

func TestSet(t *testing.T) {
	for tag, want := range map[string]string{"en": "en", "nl": "nl", "nl-NL": "nl", "nl_BE.UTF-8": "nl", "EN-us": "en", "de": "en", "": "en"} {
		var l Language
		err := l.Set(tag)
		if l.String() != want || (err != nil) != (tag == "de" || tag == "") {
			t.Errorf("Set(%q): %s, %v; want %s", tag, l, err, want)
		}
	}
}

// Every sentence is there in both languages, once, with the same arguments and choices by the same numbers.
func TestPairsSayTheSame(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range pairs("*") {
		key := p[English]
		if seen[key] {
			t.Errorf("twice: %q", key)
		}
		seen[key] = true
		want := arguments(key)
		if slices.Contains(want, "") {
			t.Errorf("%q leaves an argument out", key)
		}
		for l, text := range p {
			if got := arguments(text); !slices.Equal(got, want) {
				t.Errorf("%q: arguments %q, want %q", text, got, want)
			}
			if got, want := chosen(text), chosen(key); !slices.Equal(got, want) {
				t.Errorf("%q chooses by arguments %v, %q by %v", text, got, key, want)
			}
			for _, n := range chosen(text) {
				if n < 1 || n > len(want) || want[n-1] != "d" {
					t.Errorf("%q chooses by argument %d, which is no number", text, n)
				}
			}
			if rest := choices.ReplaceAllString(text, ""); strings.ContainsAny(rest, "{}") || strings.TrimSpace(text) != text {
				t.Errorf("%q: a brace or a blank too many", text)
			}
			if Language(l) == English {
				continue
			}
			if text == key && !alike[text] {
				t.Errorf("%q is not in %s; where it is the same word there, add it to alike", key, Language(l))
			}
			if word := english.FindString(text); word != "" {
				t.Errorf("%s %q has the English word %q", Language(l), text, word)
			}
		}
	}
}

// alike are the sentences that are the same in both languages.
var alike = map[string]bool{
	"agent": true, "platform": true, "%d {iPhone|iPhones}": true, "%d {iPad|iPads}": true, "%d {Mac|Macs}": true, "per %s": true, "server": true, "Export": true,
	"%s in %s": true, "plan %s": true, "check-ins": true, "Over %s": true, "Plan": true, "Platform": true, "Protocol": true, "Records": true, "Check-ins": true,
	"%s, %s UTC": true, "Basic": true, "in bulk": true, "%s: %s.": true, "%d min": true, "%d s": true, "%s ms": true, "%s s": true, "%s min": true, "E-mail": true,
	"VPN": true, "Wi-Fi": true, "Intune": true, "open": true,
}

// english are words that no Dutch sentence has.
var english = regexp.MustCompile(`(?i)\b(the|and|device|devices|which|with|have|this|are|were|not|by|of the|enrolled)\b`)

// chosen lists the arguments that choices follow, in order, each once.
func chosen(text string) (all []int) {
	for _, at := range choices.FindAllStringSubmatchIndex(text, -1) {
		all = append(all, follows(text, at))
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Every sentence that the program says is in the catalogue, with as many arguments as it takes, and none is there that nobody says.
func TestCatalogueIsWhatIsSaid(t *testing.T) {
	has := map[string]int{}
	for _, p := range pairs("*") {
		has[p[English]] = len(arguments(p[English]))
	}
	said := map[string]bool{}
	check := func(place, key string, args int) {
		said[key] = true
		n, ok := has[key]
		switch {
		case !ok:
			t.Errorf("%s: not in the catalogue: %q", place, key)
		case args >= 0 && n != args:
			t.Errorf("%s: %q takes %d arguments and gets %d", place, key, n, args)
		}
	}
	teaches := regexp.MustCompile(`(?m)^teaches: "?(.+?)"?$`)
	inPages := regexp.MustCompile(`\.Say "((?:[^"\\]|\\.)*)"`)
	err := filepath.WalkDir(filepath.Join("..", ".."), func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && strings.HasPrefix(entry.Name(), ".") && len(entry.Name()) > 2:
			return fs.SkipDir
		case strings.HasSuffix(path, ".html"):
			page, err := os.ReadFile(path)
			for _, m := range inPages.FindAllSubmatch(page, -1) {
				check(path, string(m[1]), -1)
			}
			return err
		case filepath.ToSlash(filepath.Dir(path)) == "../../fleet/plan/plans" && strings.HasSuffix(path, ".yaml"):
			ready, err := os.ReadFile(path)
			for _, m := range teaches.FindAllSubmatch(ready, -1) {
				check(path, string(m[1]), -1)
			}
			return err
		case !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		files := token.NewFileSet()
		file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) == 0 {
				return true
			}
			key, literal := call.Args[0].(*ast.BasicLit)
			name := ""
			switch f := call.Fun.(type) {
			case *ast.SelectorExpr:
				name = f.Sel.Name
			case *ast.Ident: // within this package
				name = f.Name
			}
			if !literal || key.Kind != token.STRING || name != "Say" && name != "Key" && name != "Later" {
				return true
			}
			text, err := strconv.Unquote(key.Value)
			if err != nil {
				t.Fatal(err)
			}
			args := len(call.Args) - 1
			if name == "Key" || call.Ellipsis.IsValid() {
				args = -1
			}
			check(files.Position(call.Pos()).String(), text, args)
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for key := range has {
		if !said[key] && key != "%d {device|devices}" {
			t.Errorf("nobody says %q", key)
		}
	}
}
