package rehearsal

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"rollcall/fleet/plan"
	"rollcall/fleet/population"
)

// A firstOf notes which of the lines that are written to it is the first that differs from was, from 1 on, and wants no more then.
type firstOf struct {
	was, now []string
	line     int
}

var errSeen = errors.New("seen")

func (f *firstOf) Write(b []byte) (int, error) {
	for line := range bytes.Lines(b) {
		f.now = append(f.now, string(line))
		if n := len(f.now); n > len(f.was) || f.was[n-1] != f.now[n-1] {
			f.line = n
			return 0, errSeen
		}
	}
	return len(b), nil
}

// A log that differs is told from the story as it is played, and the first line that differs is the one that the whole story has: with
// any number of workers, whatever was done to the log. What differs early is found without the rest of the story.
func TestFirstDifference(t *testing.T) {
	p, err := plan.BuiltIn("gap")
	if err == nil {
		p, err = p.WithDevices(24)
	}
	if err != nil {
		t.Fatal(err)
	}
	pop := population.New(p)
	pop.Devices[3].UDID = `a "name" \ é` // of an export; JSON has it otherwise
	played := 0
	play := func(workers int, was []string) (*firstOf, error) {
		text := strings.Join(was, "")
		f := &firstOf{was: was}
		var lines atomic.Int64
		c := Config{Plan: p, Population: pop, Partition: 6, Workers: workers, Log: f, Lines: func(Line) { lines.Add(1) }}
		if was != nil {
			log, err := OpenLog("was", strings.NewReader(text))
			if err != nil {
				t.Fatal(err)
			}
			c.Against = log
		}
		_, err := Play(context.Background(), c)
		played = int(lines.Load())
		return f, err
	}
	var b bytes.Buffer
	if _, err := Play(context.Background(), Config{Plan: p, Population: pop, Partition: 6, Log: &b}); err != nil {
		t.Fatal(err)
	}
	story := slices.Collect(strings.Lines(b.String()))
	if f, err := play(2, story); err != nil || f.line != 0 || len(f.now) != len(story) {
		t.Fatalf("the same story: line %d of %d differs, %v", f.line, len(f.now), err)
	}
	whole := played
	of := func(what string, from int) int { // the first line after so many that says it
		n := slices.IndexFunc(story[from:], func(l string) bool { return strings.Contains(l, what) })
		if n < 0 {
			t.Fatalf("no line says %s", what)
		}
		return from + n
	}
	early, mid, last := of(`"what":"enrolled"`, 0), of(`"side":"device"`, len(story)/2), of(`"device":`, len(story)-200)
	odd := of(`a \"name\" \\ é`, 0)
	tenant := of(`"side":"plan","what":"Intune is added`, 1)
	edit := func(n int) []string {
		was := slices.Clone(story)
		was[n] = strings.Replace(was[n], `"what":"`, `"what":"another `, 1)
		return was
	}
	for name, tt := range map[string]struct {
		was  []string
		line int // from 0 on
	}{
		"early":            {edit(early), early},
		"in the middle":    {edit(mid), mid},
		"late":             {edit(last), last},
		"a name in quotes": {edit(odd), odd},
		"of the plan":      {edit(tenant), tenant},
		"of nobody":        {slices.Insert(slices.Clone(story), mid, `{"at":"x","device":"nobody"}`+"\n"), mid},
		"left out":         {slices.Delete(slices.Clone(story), mid, mid+1), mid},
		"once more":        {slices.Insert(slices.Clone(story), mid+1, story[mid]), mid + 1},
		"cut short":        {story[:mid], mid},
		"only a header":    {story[:1], 1},
		"another header":   {append([]string{strings.Replace(story[0], `"partition":6`, `"partition":7`, 1)}, story[1:]...), 0},
		"two":              {append(edit(mid)[:last:last], edit(last)[last:]...), mid},
	} {
		for _, workers := range []int{1, 3} {
			f, err := play(workers, tt.was)
			if !errors.Is(err, errSeen) || f.line != tt.line+1 || f.now[tt.line] != story[min(tt.line, len(story)-1)] {
				t.Errorf("%s, %d workers: line %d differs, %v; want line %d", name, workers, f.line, err, tt.line+1)
			}
			if workers == 1 && (tt.line < 2 && played > whole/2 || tt.line == 0 && played != 0) {
				t.Errorf("%s: %d of %d lines were played", name, played, whole)
			}
		}
	}
	if f, err := play(2, append(slices.Clone(story), story[len(story)-1])); err != nil || f.line != 0 {
		t.Errorf("one line more than the story: line %d, %v", f.line, err)
	}
	tooLong := append(slices.Clone(story[:5]), strings.Repeat("x", longestLine+1))
	_, err = play(1, tooLong)
	if at := new(plan.Error); !errors.As(err, &at) || at.Line != 6 {
		t.Errorf("a line that is too long: %v", err)
	}
}
