package plan

import (
	"cmp"
	"fmt"
	"slices"
)

// unroll makes licences of the waves, each at its moment among the other actions, and notes where in the file each action is.
// Waves that cannot be unrolled stay, for the check to refuse.
func (p *Plan) unroll() {
	var timeline, waves []Action
	for i, a := range p.Timeline {
		a.path = fmt.Sprintf("timeline[%d]", i)
		w := a.Waves
		if w == nil || len(a.kinds()) > 1 || len(w.To) == 0 {
			timeline = append(timeline, a)
			continue
		}
		for k, to := range w.To {
			waves = append(waves, Action{
				At: a.At + Duration(k)*cmp.Or(w.Every, Duration(Day)), Licences: &Licensing{Assign: cmp.Or(w.Assign, IntuneLicence), To: to, Over: w.Over},
				path: fmt.Sprintf("%s.waves.to[%d]", a.path, k), wave: true,
			})
		}
	}
	for _, w := range waves {
		at := slices.IndexFunc(timeline, func(a Action) bool { return a.At > w.At })
		if at < 0 {
			at = len(timeline)
		}
		timeline = slices.Insert(timeline, at, w)
	}
	p.Timeline = timeline
}

// waves refuses what cannot be unrolled.
func (c *checker) waves(path string, w *Waves) {
	if len(w.To) == 0 {
		c.fail(path, ruleContradiction, "waves of nobody; want to: [sales, 20%% of basic, basic] or so")
	}
}

// place returns where the i-th action is in the file.
func (p *Plan) place(i int) string {
	if path := p.Timeline[i].path; path != "" {
		return path
	}
	return fmt.Sprintf("timeline[%d]", i)
}

// Path returns the place in the file of what the i-th action of the timeline does, as errors name it:
// timeline[2].licences.
func (p *Plan) Path(i int) string {
	if a := &p.Timeline[i]; a.wave || a.Kind() == "" {
		return p.place(i)
	}
	return p.place(i) + "." + p.Timeline[i].Kind()
}
