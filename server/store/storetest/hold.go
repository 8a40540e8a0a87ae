package storetest

import (
	"context"

	"rollcall/protocol"
	"rollcall/server/delivery"
)

func hold(s *suite) {
	d, e := s.make("A", nil), s.make("B", nil)
	const rounds, workers = 50, 8
	done := make(chan error)
	for range workers {
		go func() {
			for range rounds {
				tx, err := s.Begin(s.ctx, d)
				if err != nil {
					done <- err
					return
				}
				out := delivery.Outcome{State: *tx.State(), Changed: delivery.Core}
				out.State.Seq++ // lost, if two hold the device at once
				err = tx.Commit(at, &out)
				tx.End()
				if err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	tx, err := s.Begin(s.ctx, e) // nobody waits for another device
	s.must(err)
	tx.End()
	for range workers {
		s.must(<-done)
	}
	s.each(func(when string) {
		if got := s.state(d).Seq; got != rounds*workers {
			s.Errorf("%s%d of %d rounds are there", when, got, rounds*workers)
		}
	})
}

func holdEnds(s *suite) {
	d := s.make("A", nil)
	tx, err := s.Begin(s.ctx, d)
	s.must(err)
	ctx, cancel := context.WithCancel(s.ctx)
	cancel()
	_, err = s.Begin(ctx, d)
	s.wantErr("Begin of a held device with an ended context", err, context.Canceled)
	_, err = s.Create(ctx, "A")
	s.wantErr("Create of a held device with an ended context", err, context.Canceled)
	tx.End()
	tx, err = s.Begin(s.ctx, d) // who gave up must not keep it
	s.must(err)
	tx.End()
}

func twoCreate(s *suite) {
	first, err := s.Create(s.ctx, "A")
	s.must(err)
	got := make(chan protocol.Device)
	create := func() {
		tx, err := s.Create(s.ctx, "A")
		if err != nil {
			s.Error(err)
			got <- 0
			return
		}
		defer tx.End()
		out := delivery.Outcome{State: *tx.State(), Changed: delivery.Core}
		out.State.Seq++
		if err := tx.Commit(at, &out); err != nil {
			s.Error(err)
		}
		got <- out.State.Device
	}
	go create()
	go create()
	first.End() // without a commit: the next one makes the device
	a, b := <-got, <-got
	if a != b || s.state(a).Seq != 2 {
		s.Errorf("devices %d and %d, want one with two rounds", a, b)
	}
}
