package plan

import (
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// alike compares what two plans say, not where it stands in their files.
var alike = cmp.Options{
	cmpopts.IgnoreUnexported(Plan{}, Action{}), cmpopts.EquateEmpty(),
	cmp.Comparer(func(a, b Distribution) bool { return a.text == b.text }),
	cmp.Comparer(func(a, b Limit) bool { return a.text == b.text }),
}

// A plan that is written is read as the same plan.
func TestEncode(t *testing.T) {
	for _, name := range BuiltIns() {
		p, err := BuiltIn(name)
		if err != nil {
			t.Fatal(err)
		}
		text := p.Encode(map[string][]string{"": {"written by a program"}, "population.devices": {"two", "lines\nand an end"}, "timeline[0]": {"the first"}})
		again, err := Parse(name+".yaml", text)
		if err != nil {
			t.Errorf("%s is written as\n%s%v", name, text, err)
			continue
		}
		if diff := cmp.Diff(p, again, alike); diff != "" {
			t.Errorf("%s, written and read (-before +after):\n%s\n%s", name, diff, text)
		}
		if !strings.HasPrefix(string(text), "# written by a program\nname: ") || strings.Contains(string(text), "timeline:") && !strings.Contains(string(text), "  # the first\n  - {at: ") {
			t.Errorf("%s has not its notes:\n%s", name, text)
		}
	}
}

// Words that YAML would read as something else are in quotes.
func TestEncodeWords(t *testing.T) {
	for _, name := range []string{"null", "True", "12", "1e3", "0x10", "a: b", "#1", "- x", "café", `"`, `\`, "*", "&a", "[", "a,b", "{", "~", "on", "1_000", "-", "a #b", "@", "!t", "'", "1.5"} {
		p := &Plan{Name: name, Until: Duration(Day), Population: Population{Devices: 1, Mix: ByPlatform{IOS: 100}, Groups: map[string]int{name + " x": 5}}}
		text := p.Encode(nil)
		again, err := Parse("x.yaml", text)
		if err != nil || again.Name != name || !reflect.DeepEqual(again.Population.Groups, p.Population.Groups) {
			t.Errorf("%q is written as\n%s%v", name, text, err)
		}
	}
}
