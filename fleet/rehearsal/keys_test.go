package rehearsal

import (
	"encoding/json"
	"strings"
	"testing"

	"rollcall/fleet"
	"rollcall/fleet/plan"
	"rollcall/fleet/population"
	"rollcall/fleet/report"
	"rollcall/protocol"
)

// pathsOf adds the path of every key of v below path, as [Keys] writes them.
func pathsOf(paths map[string]bool, path string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for key, of := range v {
			below := strings.TrimPrefix(path+"."+key, ".")
			paths[below] = true
			pathsOf(paths, below, of)
		}
	case []any:
		for _, of := range v {
			paths[path+"[]"] = true
			pathsOf(paths, path+"[]", of)
		}
	}
}

// tellsOf tells whether a documented path is that of a key that was written.
func tellsOf(documented, written string) bool {
	d, w := strings.Split(documented, "."), strings.Split(written, ".")
	if len(w) > len(d) {
		return false
	}
	for i := range w { // what stands in between needs no line of its own
		if at := strings.TrimSuffix(d[i], "[]"); d[i] != "*" && d[i] != w[i] && (i < len(w)-1 || at != w[i]) {
			return false
		}
	}
	return true
}

// Every key of a rehearsal's JSON is documented, and every documented key is written.
func TestKeys(t *testing.T) {
	documented := map[string]bool{} // whether it was seen
	for line := range strings.Lines(Keys) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		path, means, _ := strings.Cut(line, " ")
		if strings.TrimSpace(means) == "" {
			t.Errorf("%s: nothing is said of it", path)
		}
		documented[path] = false
	}

	full := func() *Played {
		p := invented(1000)
		p.Wire = &Spoken{Share: plan.Whole, Devices: [5]uint32{2, 2, 2, 2, 2}, Differs: 1, Differences: []Difference{{Device: "device-3"}}}
		p.Wire.Messages[1] = 1
		p.Barred = map[protocol.Rule]Refusals{protocol.RulePushGap: {Attempts: 3, Devices: 2}}
		p.Silences = []fleet.Gap{{Opened: p.Start, Closed: p.End}}
		p.Population.Doubts = []population.Doubt{{Kind: "disabled"}}
		p.Population.Findings = []population.Finding{{}}
		p.Population.Assumed = []population.Assumption{{}}
		return p
	}
	one := full()
	answers := one.Answer(0)
	single := one.Result(answers)
	single.Limits = []report.Limit{{}}
	single.Devices.LeftOutBy = map[string]int{"agent": 1}
	single.Error = &report.Trouble{}
	single.Sections["floor"] = map[string]any{"program": "", "row": "", "events": 0, "seconds": 0, "cpu_seconds": 0, "ratio": 0, "cpu_ratio": 0} // as cmd adds it
	late := column("a", full())
	late.Result.Limits = single.Limits
	paths := map[string]bool{}
	for _, r := range []*report.Result{single, Compare(late, column("b", prompt(1000))).Result()} {
		text, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		var v any
		if err := json.Unmarshal(text, &v); err != nil {
			t.Fatal(err)
		}
		pathsOf(paths, "", v)
	}
	elsewhere := strings.NewReplacer("columns[].answers", "rehearsal.answers", "columns[].wire", "rehearsal.wire", "columns[].", "", "export", "rehearsal.export") // where the same is told of
	for path := range paths {
		told := false
		for _, as := range []string{path, elsewhere.Replace(path)} {
			for d := range documented {
				if tellsOf(d, as) {
					told = true
					documented[d] = documented[d] || strings.Count(d, ".") == strings.Count(as, ".")
				}
			}
		}
		if !told {
			t.Errorf("%s: is written, and no key tells of it", path)
		}
	}
	for path, seen := range documented {
		if !seen {
			t.Errorf("%s: is told of, and was not written", path)
		}
	}
}

// What scripts call a column is the same in every language.
func TestColumnsForScripts(t *testing.T) {
	c := Compare(Column{ID: "at-once", Name: "meteen", Result: &report.Result{}, Answers: invented(10).Answer(0)}, Column{ID: "after-1d", Name: "na 1 dag", Result: &report.Result{}, Answers: prompt(10).Answer(0)})
	for k, want := range []string{"at-once", "after-1d"} {
		if got := c.Sections()["columns"].([]any)[k].(map[string]any)["id"]; got != want {
			t.Errorf("column %d is %v, want %s", k, got, want)
		}
	}
}
