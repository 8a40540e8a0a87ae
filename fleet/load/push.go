package load

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"rollcall/agent"
	"rollcall/agent/dialect"
	"rollcall/fleet"
	"rollcall/protocol"
	"rollcall/protocol/apple"
)

// A wake is a push that came, with what wakes the device.
type wake struct {
	device  int32
	address string
	at      time.Duration
}

// pushes tells whether a push service is there.
func (c *Config) pushes() bool { return c.Push != nil || c.FCM != nil || c.WNS != nil }

// announce has Apple's push service know a device that enrols: from its TokenUpdate on the server may push to it.
func (l *Load) announce(i int32) {
	if a, ok := l.config.Devices[i].(*dialect.Apple); ok && l.config.Push != nil {
		topic, token, _ := a.Push()
		l.config.Push.RegisterToken(topic, token)
	}
}

// channel opens a channel for a Windows device that has enrolled, where its server said for which app; the next session tells of it.
func (l *Load) channel(d fleet.Device) {
	w, ok := d.(*dialect.Windows)
	if !ok || l.config.WNS == nil {
		return
	}
	if pfn, _ := w.Push(); pfn != "" {
		w.SetChannel(protocol.At(l.now()), l.config.WNS.OpenChannel(pfn, w.DeviceID()), dialect.PushReady)
	}
}

// plug connects the devices to their push services, unplug takes them off.
func (l *Load) plug() {
	for i, d := range l.config.Devices {
		i := int32(i)
		switch d := d.(type) {
		case *dialect.Apple:
			topic, token, _ := d.Push()
			if l.config.Push == nil || token == nil {
				continue
			}
			l.config.Push.RegisterToken(topic, token)
			l.config.Push.Connect(token, func(payload []byte) {
				if magic, err := apple.DecodePush(payload); err == nil { // a device drops what is no MDM push
					l.pushed(i, magic)
				}
			})
		case *dialect.Android:
			if id := d.Push(); l.config.FCM != nil && id != "" {
				l.config.FCM.Connect(id, func() { l.pushed(i, id) })
			}
		case *dialect.Windows:
			if _, channel := d.Push(); l.config.WNS != nil && channel != "" {
				l.config.WNS.Connect(channel, func() { l.pushed(i, channel) })
			}
		}
	}
}

func (l *Load) unplug() {
	for _, d := range l.config.Devices {
		switch d := d.(type) {
		case *dialect.Apple:
			if _, token, _ := d.Push(); l.config.Push != nil && token != nil {
				l.config.Push.Disconnect(token)
			}
		case *dialect.Android:
			if id := d.Push(); l.config.FCM != nil && id != "" {
				l.config.FCM.Disconnect(id)
			}
		case *dialect.Windows:
			if _, channel := d.Push(); l.config.WNS != nil && channel != "" {
				l.config.WNS.Disconnect(channel)
			}
		}
	}
}

// catchUp has those come whom the server pushed to before the load, mostly for what their enrolment left: they are no arrivals of it, and how
// they fared is the server's business. Each comes once.
func (l *Load) catchUp(ctx context.Context) {
	l.begin = time.Now()
	came := map[int32]bool{}
	for more := true; more; {
		l.mu.Lock()
		wakes := l.wakes
		l.wakes = nil
		l.mu.Unlock()
		var talking errgroup.Group
		talking.SetLimit(l.config.Parallel)
		more = false
		for _, w := range wakes {
			d := l.config.Devices[w.device]
			if ctx.Err() != nil || came[w.device] || d.Phase() != agent.Enrolled || !d.Woken(w.address) {
				continue
			}
			came[w.device], more = true, true
			talking.Go(func() error {
				l.rise(w.device, time.Since(l.begin))
				_, _ = l.link.Converse(ctx, d, dialect.Pushed)
				return nil
			})
		}
		_ = talking.Wait()
	}
	l.turnOver()
}

// pushed takes a push for a device. Called by the push services.
func (l *Load) pushed(i int32, address string) {
	l.mu.Lock()
	l.wakes = append(l.wakes, wake{i, address, time.Since(l.begin)})
	l.mu.Unlock()
	l.nudge()
}
