package courier

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"rollcall/protocol/wake"
)

// A service that says more than it could mean is left, and comes to be tried rarely: a Pong that nobody asked for, pushes without end. The push that was
// too many is not acknowledged: an honest service keeps it (HST-120).
func TestHST120AFloodEndsTheStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t)
		var why string
		s.config.Changed = func(state State) { why = state.Why }
		stop := s.run()
		ends := func(c interface{ Read([]byte) (int, error) }, want string) {
			t.Helper()
			if n, err := c.Read(make([]byte, 1)); err == nil {
				t.Errorf("the courier says %d bytes more", n)
			}
			synctest.Wait()
			if !strings.Contains(why, want) {
				t.Errorf("it ended because %q, want %q", why, want)
			}
		}
		c := s.welcome()
		s.want(c, wake.Ping, "")
		s.send(c, wake.Pong)
		s.send(c, wake.Pong)
		ends(c, "kind 6 from a service")

		left := time.Now()
		for round := range 5 {
			c = s.welcome()
			if most := firstWait << round; time.Since(left) < most/2 || time.Since(left) > most {
				t.Errorf("stream %d comes after %v, want half of %v to all of it", round, time.Since(left), most)
			}
			for range mostPushes {
				s.send(c, wake.Push, "0001", "{}")
				s.want(c, wake.Got, "0001")
			}
			s.send(c, wake.Push, "0002", `{"mdm":"magic"}`)
			ends(c, "more than 120 pushes a minute")
			left = time.Now()
		}
		if len(s.woken) > 0 {
			t.Error("what was too many woke")
		}

		c = s.welcome()
		for range 5 * mostPushes { // five minutes of just as many as may be
			s.send(c, wake.Push, "0001", "{}")
			s.want(c, wake.Got, "0001")
			time.Sleep(time.Minute / mostPushes)
		}
		stop()
	})
}

// A service that takes no answer does not hold the courier: another stream is made (HST-120).
func TestHST120AServiceThatDoesNotRead(t *testing.T) {
	for _, pushes := range []bool{true, false} { // else the beat is what it does not take
		synctest.Test(t, func(t *testing.T) {
			s := newScene(t)
			stop := s.run()
			c := s.welcome()
			begun, most := time.Now(), answerFor+wake.Beat+firstWait
			if pushes {
				s.send(c, wake.Push, "0001", `{"mdm":"magic"}`)
				most = answerFor + firstWait
			}
			s.welcome()
			if took := time.Since(begun); took > most {
				t.Errorf("pushes %v: another stream after %v, want at most %v", pushes, took, most)
			}
			stop()
		})
	}
}

// Whoever ends a courier does not wait, whatever the stream waits for, and what the service says of where it reaches the machine is told.
func TestACourierEndsAtOnce(t *testing.T) {
	for _, welcomed := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			s := newScene(t)
			reached := ""
			s.config.Reached = func(address string) { reached = address }
			stop := s.run()
			c := <-s.services
			s.want(c, wake.Hello, string(token)+topic)
			if welcomed {
				s.send(c, wake.Welcome, "https://push.example.org/1")
			}
			synctest.Wait()
			if (reached == "https://push.example.org/1") != welcomed {
				t.Errorf("welcomed %v: reached at %q", welcomed, reached)
			}
			begun := time.Now()
			stop()
			if took := time.Since(begun); took != 0 {
				t.Errorf("welcomed %v: it ends after %v", welcomed, took)
			}
		})
	}
}
