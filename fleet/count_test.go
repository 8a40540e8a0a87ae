package fleet

import (
	"context"
	"errors"
	"testing"
	"time"

	"rollcall/agent/dialect"
	"rollcall/agent/link"
	"rollcall/protocol"
)

// A check-in is offered when it is due, started when it begins, and ends in one way: the server's no is a refusal, the
// network's and the server's nonsense a failure, and one that we broke off ourselves is none of these.
func TestConversed(t *testing.T) {
	said := link.Report{Steps: [dialect.Steps]uint16{dialect.Idle: 1}, Commands: 2, NotNow: 1, Dropped: 3}
	failure := func(status int) error {
		return &dialect.Failure{Step: dialect.Idle, Status: status, Err: errors.New("so it is")}
	}
	for _, tt := range []struct {
		name       string
		report     link.Report
		err        error
		begun, cut bool
		want       Counts // after one offer
	}{
		{"done", said, nil, true, false, Counts{Offered: 1, Started: 1, Done: 1}},
		{"done just as we were interrupted", said, nil, true, true, Counts{Offered: 1, Started: 1, Done: 1}},
		{"503", said, failure(503), true, false, Counts{Offered: 1, Started: 1, Refused: 1}},
		{"403", said, failure(403), true, false, Counts{Offered: 1, Started: 1, Refused: 1}},
		{"401, and nothing before", link.Report{Failed: 1}, failure(401), true, false, Counts{Offered: 1, Started: 1, Refused: 1}},
		{"no answer", said, failure(0), true, false, Counts{Offered: 1, Started: 1, Failed: 1}},
		{"no server", link.Report{Failed: 1}, failure(0), true, false, Counts{Offered: 1, Started: 1, Failed: 1}},
		{"nonsense", said, errors.New("nonsense"), true, false, Counts{Offered: 1, Started: 1, Failed: 1}},
		{"interrupted in the middle", said, context.Canceled, true, true, Counts{Offered: 1, Started: 1}},
		{"interrupted before it began", link.Report{}, context.Canceled, false, true, Counts{Offered: 1}},
		{"nothing to say", link.Report{Dropped: 3}, nil, true, false, Counts{}},
		{"nothing to say, had it begun", link.Report{}, nil, false, true, Counts{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, b := Counts{Offered: 1}, Bin{}
			if tt.begun {
				c.Started++
			}
			c.conversed(&b, &tt.report, tt.err, tt.begun, tt.cut)
			if c.Offered != tt.want.Offered || c.Started != tt.want.Started || c.Done != tt.want.Done || c.Failed != tt.want.Failed || c.Refused != tt.want.Refused {
				t.Errorf("%+v, want %+v", c, tt.want)
			}
			if b.Done != uint32(tt.want.Done) || b.Failed != uint32(tt.want.Failed) || b.Refused != uint32(tt.want.Refused) {
				t.Errorf("the chart has %+v, want %+v", b, tt.want)
			}
			if c.Commands != uint64(tt.report.Commands) || c.NotNow != uint64(tt.report.NotNow) || c.Expired != uint64(tt.report.Dropped) {
				t.Errorf("said %+v, counted %+v", tt.report, c)
			}
		})
	}
}

// A story of any length has bins that a chart can show: many enough to see something, and no more than there is room for.
func TestBins(t *testing.T) {
	for _, story := range []time.Duration{
		30 * time.Second, 2 * time.Minute, 10 * time.Minute, time.Hour, 6 * time.Hour, 24 * time.Hour, 6 * 24 * time.Hour, 14 * 24 * time.Hour, 90 * 24 * time.Hour, 200 * 24 * time.Hour,
	} {
		tally := newTally(1, story)
		if n := story / tally.width; n > mostBins || n < 60 && tally.width > time.Second {
			t.Errorf("a story of %s has %d bins of %s", story, n, tally.width)
		}
	}
	start := protocol.Time(1_000_000_000)
	tally := newTally(start, 2*time.Minute)
	tally.add(start-1, func(c *Counts, b *Bin) { c.Done++; b.Done++ }) // before the story: counted, and in no bin
	tally.add(start, func(_ *Counts, b *Bin) { b.Enrolled = 5 })
	tally.add(start.Add(3*tally.width), func(c *Counts, b *Bin) { c.Done++; b.Done++ })
	if len(tally.bins) != 4 || tally.bins[2].Enrolled != 5 || tally.bins[3].Done != 1 || tally.bins[0].Done != 0 || tally.snapshot().Done != 2 {
		t.Errorf("bins %+v, %d done", tally.bins, tally.snapshot().Done)
	}
}
