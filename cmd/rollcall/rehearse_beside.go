//go:build !agentonly

package main

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"rollcall/fleet/plan"
	"rollcall/fleet/population"
	"rollcall/fleet/rehearsal"
	"rollcall/fleet/report"
	"rollcall/protocol/lang"
)

// A variant is one of the rehearsals that are put side by side.
type variant struct {
	id       string // in JSON
	name     string // as the reader calls it
	plan     *plan.Plan
	people   *population.Population
	imported bool
}

// alternatives are the plan and that of --compare, with the population of each, and what is to be said of them. Both have the first's
// seed: with another, the same devices would have other habits, and a resampled export other devices.
func (f *rehearseFlags) alternatives(cmd *cobra.Command, p *plan.Plan, pop *population.Population, imported bool) (all []variant, lead string, err error) {
	other, seed := f.who, p.Seed
	other.plan = ""
	q, people, _, err := other.load(cmd, []string{f.compare}, func(q *plan.Plan) (*plan.Plan, error) {
		seed, q.Seed = q.Seed, p.Seed
		return q, nil
	})
	if err != nil {
		return nil, "", err
	}
	name := q.Name
	if name == p.Name {
		name = f.compare
	}
	if seed != p.Seed {
		lead = f.language.Say("Both were played with the seed of %s, %s, and not %s with its own, %s: with one seed the same devices have the same habits.", p.Name, strconv.FormatUint(p.Seed, 10), name, strconv.FormatUint(seed, 10))
	}
	return []variant{{p.Name, p.Name, p, pop, imported}, {name, name, q, people, imported}}, lead, nil
}

// answersTo are the plans of the question that needs none, and what is to be said of them.
func (f *rehearseFlags) answersTo(seed uint64, pop *population.Population) (all []variant, lead string, err error) {
	for _, wait := range rehearsal.Waits {
		p, err := rehearsal.Question(wait, seed, pop)
		if err != nil {
			return nil, "", err
		}
		id, name := "at-once", f.language.Say("at once")
		if days := int(wait / (24 * time.Hour)); days > 0 {
			id, name = fmt.Sprintf("after-%dd", days), f.language.Say("after %d {day|days}", days)
		}
		all = append(all, variant{id, name, p, pop, true})
	}
	lead = f.language.Say("Intune is added a day after the beginning, and Apple's push certificate renewed at once, a day later, or four days later. Nobody has assigned profiles of Intune.")
	if pop.Unowned() {
		lead += " " + f.language.Say("The tenant owns no licence that entitles Intune, which it must before Intune can be added (AUTH-09): this is played as if it had bought some.")
	}
	return all, lead, nil
}

// besides plays variants, of which lead is to be said, and puts them side by side. Names is the population of the first with the names
// that stay here: of all variants, or itself.
func (f *rehearseFlags) besides(cmd *cobra.Command, variants []variant, lead string, names *population.Population, begun time.Time) error {
	if f.log != "" {
		return errors.New("--log: rehearsals side by side are several stories, and a log is of one; rehearse each plan by itself")
	}
	var columns []rehearsal.Column
	var named []*population.Population // of each column
	for _, v := range variants {
		bar := newProgress(cmd.ErrOrStderr(), f.language)
		played, err := f.play(cmd.Context(), v.plan, v.people, v.imported, bar.show)
		bar.done()
		if err != nil {
			return fmt.Errorf("%s: %w", v.name, err)
		}
		answers := played.Answer(float64(f.capacity))
		one := played.Result(answers)
		cpu, peak := usage()
		one.WallSeconds, one.CPUSeconds, one.PeakRSSBytes = time.Since(begun).Seconds(), cpu.Seconds(), peak
		played.Judge(one)
		own := names
		if names == variants[0].people {
			own = v.people
		}
		if played.Devices != nil {
			own = own.Only(played.Devices)
		}
		if played.Partial && len(columns) == 0 {
			answers.Lead = strings.TrimSpace(lead + " " + f.language.Say("This is of %q alone, the first of %d rehearsals to be put side by side; the others were not played.", v.name, len(variants)))
			return f.tell(cmd, one, answers, own)
		}
		if played.Partial {
			v.name = f.language.Say("%s (cut short)", v.name)
		}
		columns = append(columns, rehearsal.Column{ID: v.id, Name: v.name, Result: one, Answers: answers})
		named = append(named, own)
		if played.Partial {
			break
		}
	}
	c := rehearsal.Compare(columns[0], columns[1:]...)
	c.Lead = lead
	result := c.Result()
	err := f.writeBeside(result, c, named)
	if err != nil && asJSON(cmd) {
		return err
	}
	if asJSON(cmd) {
		err = report.WriteJSON(cmd.OutOrStdout(), result)
	} else {
		out, color := screenOf(cmd.OutOrStdout())
		err = errors.Join(err, report.Brief(out, result, c.Story(f.language, named[0]), color), f.whereReport(cmd))
	}
	return errors.Join(result.ErrIn(f.language), err)
}

// writeBeside writes the report, without the names that stay here, beside it what differs for each device and what is to be done about
// each; and with the names, which are of each column, the one of these lists that was asked for.
func (f *rehearseFlags) writeBeside(result *report.Result, c *rehearsal.Comparison, names []*population.Population) error {
	tokens := make([]*population.Population, len(c.Columns))
	for k := range c.Columns {
		tokens[k] = c.Columns[k].Population
	}
	list := func(rows func(lang.Language, []*population.Population, func(cells []string) error) error) listing {
		return func(w io.Writer, named bool) error {
			as := tokens
			if named {
				as = names
			}
			out := csv.NewWriter(w)
			err := rows(f.language, as, func(cells []string) error {
				for i, cell := range cells {
					cells[i] = harmless(cell)
				}
				return out.Write(cells)
			})
			out.Flush()
			return errors.Join(err, out.Error())
		}
	}
	entries, differences := list(c.Entries), list(c.Differences)
	asked := entries
	if f.compare != "" {
		asked = differences
	}
	return f.writeFiles(result, c.Story(f.language, tokens[0]), asked, map[string]listing{report.ListFile: entries, report.DifferencesFile: differences})
}
