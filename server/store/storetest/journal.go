package storetest

import (
	"rollcall/protocol"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

func journal(s *suite) {
	d := s.make("A", nil)
	want := []store.Line{
		{Seq: 1, At: at, Device: d, Actor: "device", Rule: "AUTH-11", What: delivery.WhatRegistered, Detail: "intune"},
		{Seq: 2, At: at, Device: d + 5, Rule: "HST-033", What: delivery.WhatWrongIdentity, Detail: "é\n"},
		{Seq: 3, At: at, Device: d, What: delivery.WhatEnded},
		{Seq: 4, At: at + 5, Actor: "token:ci", Rule: "AUTH-11", What: delivery.WhatTenant, Detail: "d"},
	}
	effects := func(lines []store.Line) (out []delivery.Effect) {
		for _, l := range lines {
			out = append(out, delivery.Effect{Kind: delivery.Journal, Device: l.Device, Actor: l.Actor, Rule: l.Rule, What: l.What, Detail: l.Detail})
		}
		return out
	}
	head, err := s.VerifyJournal(s.ctx)
	if err != nil || head != (store.Head{}) {
		s.Errorf("VerifyJournal of an empty journal = %+v, %v", head, err)
	}
	if end, err := s.JournalEnd(s.ctx); err != nil || end != 0 {
		s.Errorf("JournalEnd of an empty journal = %d, %v", end, err)
	}
	s.change(d, func(out *delivery.Outcome) { out.Effects = effects(want[:2]) })
	s.change(d, func(out *delivery.Outcome) { out.Effects = effects(want[2:3]) })
	s.must(s.Apply(s.ctx, at+5, &store.Change{Lines: effects(want[3:])}))
	for i := range want {
		head = head.Next(&want[i])
	}
	s.each(func(when string) {
		if end, err := s.JournalEnd(s.ctx); err != nil || end != head.Seq {
			s.Errorf("%sJournalEnd = %d, %v, want %d", when, end, err, head.Seq)
		}
		var got []store.Line
		for after := uint64(0); ; { // two at a time
			lines, err := s.Journal(s.ctx, store.LineFilter{After: after}, 2)
			s.must(err)
			if len(lines) == 0 {
				break
			}
			got = append(got, lines...)
			after = lines[len(lines)-1].Seq
		}
		s.equal(when+"journal", got, want)
		for _, tt := range []struct {
			f    store.LineFilter
			n    int
			want []store.Line
		}{
			{store.LineFilter{After: 1 << 60}, 2, nil},
			{store.LineFilter{Since: at + 1}, 9, want[3:]},
			{store.LineFilter{Since: at + 5, After: 3}, 9, want[3:]},
			{store.LineFilter{Devices: []protocol.Device{d}}, 9, []store.Line{want[0], want[2]}},
			{store.LineFilter{Devices: []protocol.Device{d}}, 1, want[:1]},
			{store.LineFilter{Devices: []protocol.Device{d}, After: 1}, 9, want[2:3]},
			{store.LineFilter{Actor: "token:ci"}, 9, want[3:]},
			{store.LineFilter{Rule: "AUTH-11"}, 9, []store.Line{want[0], want[3]}},
			{store.LineFilter{Rule: "AUTH-11", Actor: "device"}, 9, want[:1]},
			{store.LineFilter{Rule: protocol.Rule("AUTH-1' OR 1=1 --")}, 9, nil},
			{store.LineFilter{What: delivery.WhatEnded}, 9, want[2:3]},
			{store.LineFilter{What: delivery.WhatEnded, Rule: "AUTH-11"}, 9, nil},
		} {
			lines, err := s.Journal(s.ctx, tt.f, tt.n)
			s.must(err)
			s.equal(when+"lines", lines, tt.want)
		}
		got2, err := s.VerifyJournal(s.ctx)
		if err != nil || got2 != head {
			s.Errorf("%sVerifyJournal = %+v, %v, want %+v", when, got2, err, head)
		}
	})
}
