package device

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"rollcall/server/logs"
)

// Five times as many slow clients as the server keeps connections, who come again and again, change nothing for the others: their
// p99 stays within a fifth of what it is without them. A bubble of virtual time: what is measured is waiting.
func TestHST020OthersUndisturbed(t *testing.T) {
	p99 := func(slow int) (p99 time.Duration) {
		synctest.Test(t, func(*testing.T) {
			const most, devices, each = 40, 8, 60
			s := HTTPServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { time.Sleep(20 * time.Millisecond) }), nil, logs.New(io.Discard, true))
			p := newPipes()
			served := make(chan struct{})
			listener := quiet(most).Guard(s, p)
			go func() {
				defer close(served)
				s.Serve(listener)
			}()
			connect := func() net.Conn {
				ours, theirs := net.Pipe()
				select {
				case p.made <- theirs:
				case <-p.done:
					ours.Close()
				}
				return ours
			}
			var all sync.WaitGroup
			over := make(chan struct{})
			for i := range slow {
				all.Go(func() {
					time.Sleep(time.Duration(i) * 10 * time.Millisecond)
					for !closed(over) {
						c := connect()
						go io.Copy(io.Discard, c)
						drip(c, "GET /x HTTP/1.1\r\nHost: x\r\nX-A: aaaaaaaaaaaaaaaaaaaaaaaaa", 1, time.Second)
						c.Close()
					}
				})
			}
			time.Sleep(5 * time.Second)
			took := make([][]time.Duration, devices)
			var good sync.WaitGroup
			for i := range devices {
				good.Go(func() {
					time.Sleep(time.Duration(i) * 37 * time.Millisecond)
					var c *caller
					for range each {
						begun := time.Now()
						for answered := false; !answered; {
							if c == nil {
								conn := connect()
								c = &caller{Conn: conn, in: bufio.NewReader(conn)}
							}
							if answered = c.ask("/") != ""; !answered { // it was closed for room, between two requests
								c.Close()
								c = nil
							}
						}
						took[i] = append(took[i], time.Since(begun))
						time.Sleep(time.Second)
					}
					c.Close()
				})
			}
			good.Wait()
			close(over)
			p.Close()
			s.Close()
			all.Wait()
			<-served
			times := slices.Concat(took...)
			slices.Sort(times)
			p99 = times[len(times)*99/100]
		})
		return p99
	}
	alone, among := p99(0), p99(200)
	if among > alone*6/5 || among < alone*4/5 {
		t.Errorf("p99 %v among slow clients, %v without them", among, alone)
	}
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
