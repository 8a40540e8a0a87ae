package rehearsal

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"rollcall/fleet/plan"
	"rollcall/fleet/population"
	"rollcall/protocol/lang"
	"rollcall/server/delivery"
)

// logged plays a ready plan with so many devices and returns its log.
func loggedPlay(t testing.TB, name string, devices int) (*Played, []byte) {
	p, err := plan.BuiltIn(name)
	if err == nil {
		p, err = p.WithDevices(devices)
	}
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	pop := population.New(p)
	played, err := Play(context.Background(), Config{Plan: p, Population: pop, Log: &log, Source: Source{Made: true, Devices: len(pop.Devices)}})
	if err != nil {
		t.Fatal(err)
	}
	return played, log.Bytes()
}

// A log is a whole bug report: its header alone plays the same story again.
func TestLogPlaysAgain(t *testing.T) {
	played, text := loggedPlay(t, "gap", 40)
	log, err := OpenLog("story.jsonl", bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	p, err := log.Header.Replayed(nil)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Play(context.Background(), Config{Plan: p, Population: population.New(p), Start: log.Header.Start, Source: log.Header.Population, Partition: log.Header.Partition})
	if err != nil || again.LogSHA256 != played.LogSHA256 {
		t.Errorf("played again: %v, %s, want %s", err, again.LogSHA256, played.LogSHA256)
	}
	n := uint64(1)
	for range log.Lines() {
		n++
	}
	if log.Err() != nil || n != played.LogLines {
		t.Errorf("%d lines are read, want %d: %v", n, played.LogLines, log.Err())
	}
}

func TestLogErrors(t *testing.T) {
	const header = `{"event_log":1,"name":"x","plan":"until: 1d","seed":7,"population":{"made":true,"devices":1},"start":"2026-01-05T08:00:00Z","until_seconds":1,"partition":1}`
	for text, want := range map[string]string{
		"":                               "x: empty: no event log",
		"no\n":                           "x:1:1: no event log, which begins with a JSON object; rehearse --log writes one",
		`{"event_log":9}`:                "x:1:1: an event log of version 9: this program reads version 1",
		`{"event_log":1,"y":2}`:          `x:1:1: no header of an event log: unknown field "y"`,
		header[:40]:                      "x:1:1: no JSON: the line is cut off",
		header + "\n{\"at\":":            "x:2:1: no event: the line is cut off",
		header + "\n\n":                  "x:2:1: no event: the line is empty",
		"\ufeff" + header + "\r\n{}\r\n": "x:2:1: no event: it needs a moment (at) and what happened (what)",
		header + "\n{}":                  "x:2:1: no event: it needs a moment (at) and what happened (what)",
		header + "\n{\"at\":\"2026-01-05T08:00:00Z\",\"what\":\"x\",\"z\":1}": `x:2:1: no event: unknown field "z"`,
		header + "\n" + strings.Repeat("x", longestLine+1):                    "x:2:1: longer than 4194304 bytes",
	} {
		log, err := OpenLog("x", strings.NewReader(text))
		if err == nil {
			for range log.Lines() {
			}
			err = log.Err()
		}
		if err == nil || err.Error() != want {
			t.Errorf("%.60q: %v, want %s", text, err, want)
		}
	}
	live, err := OpenLog("x", strings.NewReader(`{"at":"2026-01-05T08:00:00Z","side":"plan","what":"x"}`))
	n := 0
	if err == nil {
		for range live.Lines() {
			n++
		}
	}
	if err != nil || live.Header != nil || n != 1 {
		t.Errorf("a log of a live run: %v, %d lines", err, n)
	}
}

func FuzzOpenLog(f *testing.F) {
	f.Add([]byte(`{"event_log":1,"name":"x","plan":"until: 1d","seed":7,"population":{"made":true,"devices":1},"start":"2026-01-05T08:00:00Z","until_seconds":1,"partition":1}` + "\n" + `{"at":"2026-01-05T08:00:00Z","side":"plan","what":"x"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		log, err := OpenLog("x", bytes.NewReader(data))
		if err != nil {
			return
		}
		if log.Header != nil {
			log.Header.Replayed(nil)
		}
		for line := range log.Lines() {
			explain(lang.Dutch, &line)
		}
	})
}

// A device's life reads as a story in both languages, and every event that a rehearsal logs has words.
func TestExplain(t *testing.T) {
	played, text := loggedPlay(t, "gap", 40)
	id := ""
	for i := range played.Lives {
		if l := &played.Lives[i]; l.Moved && l.Blocked > 0 {
			id = played.Population.Devices[i].UDID
			break
		}
	}
	for l, name := range map[lang.Language]string{lang.English: "en", lang.Dutch: "nl"} {
		log, err := OpenLog("story.jsonl", bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		life := Lived{Language: l}
		for line := range log.Lines() {
			if step := explain(l, &line); line.Side != OfPlan && happening[sight{line.Side, line.What}].plain == "" {
				t.Errorf("no words for %s: %s: %q", line.Side, line.What, step.Text)
			} else if word := english.FindString(step.Text + " " + step.Why); l == lang.Dutch && word != "" {
				t.Errorf("%q in %q, %q", word, step.Text, step.Why)
			}
			if line.Device == id || line.Device == "" {
				life.Add(&line)
			}
		}
		var got strings.Builder
		for _, s := range life.Steps {
			got.WriteString(strings.TrimSpace(l.Moment(s.At.Sub(log.Header.Start), 9*24*time.Hour) + "  " + s.Text + "  " + string(s.Rule) + " " + s.Why))
			got.WriteByte('\n')
		}
		golden(t, "explain."+name+".txt", []byte(got.String()))
	}
}

// Why an enrolment ended is told in the reader's language, as far as it is ours; what a plan's author or an administrator wrote is not.
func TestExplainDetailInDutch(t *testing.T) {
	for detail, want := range map[string]string{
		"the device left": "De server beëindigt de inschrijving: het apparaat vertrok", "of Ada's": "De server beëindigt de inschrijving: of Ada's",
	} {
		if got := explain(lang.Dutch, &Line{Side: OfServer, What: string(delivery.WhatEnded), Detail: detail}).Text; got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// A plan that breaks something is made small, as long as it still does.
func TestShrinkPlan(t *testing.T) {
	p, err := plan.BuiltIn("lab")
	if err != nil {
		t.Fatal(err)
	}
	plays := 0
	least, err := Shrink(context.Background(), p, func(_ context.Context, q *plan.Plan) bool {
		plays++
		for i := range q.Timeline {
			if a := &q.Timeline[i]; a.Authority != nil && time.Duration(a.At) < time.Duration(q.Until) {
				return true
			}
		}
		return false
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(least.Timeline) != 1 || len(least.Faults) != 0 || len(least.Acts) != 0 || least.Devices() > 3 || time.Duration(least.Until-least.Timeline[0].At) > time.Hour {
		t.Errorf("after %d plays: %d devices, %d actions, %d faults, %s\n%s", plays, least.Devices(), len(least.Timeline), len(least.Faults), least.Until, least.Source())
	}
	again, err := plan.Parse("again", []byte(least.Source()))
	if err != nil || again.Devices() != least.Devices() || len(again.Timeline) != len(least.Timeline) {
		t.Errorf("its text says something else: %v", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	stop()
	if _, err := Shrink(ctx, p, func(context.Context, *plan.Plan) bool { return true }); err != context.Canceled {
		t.Errorf("ended: %v", err)
	}
}
