package rehearsal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"rollcall/certs"
	"rollcall/fleet"
	"rollcall/fleet/plan"
	"rollcall/protocol"
	"rollcall/protocol/lang"
	"rollcall/server"
	"rollcall/server/renewal"
)

// pushes are push certificates, with their keys, for the partitions to come to the same moment.
type pushes struct {
	mu   sync.Mutex
	made map[pushKind][]byte
}

// A pushKind is what a push certificate is made for.
type pushKind struct {
	topic     string
	from, end protocol.Time
}

// push makes a push certificate, or returns the one that was made before.
func (s *stage) push(x pushKind) ([]byte, error) {
	s.pushes.mu.Lock()
	defer s.pushes.mu.Unlock()
	if pem := s.pushes.made[x]; pem != nil {
		return pem, nil
	}
	made, err := certs.MakePush(s.ca, x.topic, x.from.Time(), x.end.Time())
	var pem []byte
	if err == nil {
		pem, err = made.PEM()
	}
	if err != nil {
		return nil, fmt.Errorf("make a push certificate: %w", err)
	}
	if s.pushes.made == nil {
		s.pushes.made = map[pushKind][]byte{}
	}
	s.pushes.made[x] = pem
	return pem, nil
}

// firstPush uploads the push certificate that there is when the story begins. One that has ended by then is a good one as long as
// devices enrol.
func (p *player) firstPush(ctx context.Context) (err error) {
	t, own := &p.plan.Tenant.APNs, &p.pop.Tenant.APNs
	topic, end := t.Topic, p.start.Add(time.Duration(t.Expires))
	if own.Topic != "" { // an export knows better
		topic = own.Topic
	}
	if own.Expires != 0 {
		end = max(own.Expires, p.start.Add(time.Second))
	}
	_, err = p.upload(ctx, p.now, topic, end.Sub(p.now))
	return err
}

// upload has the server take a push certificate.
func (p *player) upload(ctx context.Context, now protocol.Time, topic string, lifetime time.Duration) (stranded int, err error) {
	pem, err := p.push(pushKind{topic, now, now.Add(lifetime)})
	if err != nil {
		return 0, err
	}
	if p.first == nil {
		p.first = pem
	}
	core := p.part.loop.Server()
	var shown server.PushUpload
	if p.topic != "" && topic != p.topic { // it wants to hear how many devices it strands (HST-071)
		if shown, err = core.PreviewPush(ctx, now, pem, ""); err != nil {
			return 0, fmt.Errorf("preview a push certificate: %w", err)
		}
	}
	up, err := core.UploadPush(server.As(ctx, planner.Name), now, pem, "", "push@example.com", true, shown.Stranded)
	if err != nil {
		return 0, fmt.Errorf("upload a push certificate: %w", err)
	}
	p.topic, p.ends = topic, now.Add(lifetime)
	p.pushLife(now)
	return up.Stranded, nil
}

// pushLife has the devices looked at, and told, when the certificate that was uploaded now ends, and when its grace does; days before there
// are warnings (AUTH-33).
func (p *player) pushLife(now protocol.Time) {
	if !p.apple {
		return
	}
	end := p.ends
	told := func(at protocol.Time, turns bool, say func() fleet.Words) {
		if at <= max(now, p.start) || at >= p.end {
			return
		}
		p.insert(act{at: at, turns: turns, do: quiet(func(context.Context, *player, protocol.Time) error {
			if p.ends == end { // it was not renewed
				p.tell(at, say())
			}
			return nil
		})})
	}
	warnings := p.plan.Tenant.APNs.WarningDays()
	if warnings == nil {
		warnings = renewal.Warnings
	}
	for _, days := range warnings {
		told(end.Add(-time.Duration(days)*24*time.Hour), false, func() fleet.Words { return sayWarning(days) })
	}
	told(end, true, func() fleet.Words {
		p.silences = append(p.silences, fleet.Gap{Opened: end})
		return sayEnded(p.pushGrace())
	})
	told(end.Add(p.pushGrace()+time.Microsecond), true, func() fleet.Words { return sayLost(p.pushGrace()) })
}

// pushGrace is how long after its end a push certificate can be renewed with its topic (AUTH-33).
func (p *player) pushGrace() time.Duration {
	return cmp.Or(time.Duration(p.plan.Tenant.APNs.Grace), pushGrace)
}

// pushLost tells whether only a push certificate with another topic can be had now.
func (p *player) pushLost(now protocol.Time) bool { return now > p.ends.Add(p.pushGrace()) }

func inDays(d time.Duration) int { return int(d / (24 * time.Hour)) }

func sayWarning(days int) fleet.Words {
	return fleet.Words{
		Name: lang.English.Say("The push certificate ends in %d {day|days}", days),
		Text: lang.English.Say("A server warns of it: it is to be renewed with the Apple ID that it was made with."), Rule: protocol.RulePushExpired,
	}
}

func sayEnded(grace time.Duration) fleet.Words {
	return fleet.Words{
		Name: lang.English.Say("The push certificate has ended"),
		Text: lang.English.Say("No Apple device can be woken, so none checks in, until it is renewed; for %d {day|days} that brings all of them back.", inDays(grace)), Rule: protocol.RulePushExpired,
	}
}

func sayLost(grace time.Duration) fleet.Words {
	return fleet.Words{
		Name: lang.English.Say("The push certificate can be renewed no more"),
		Text: lang.English.Say("It ended more than %d {day|days} ago: only one with another topic can be had, and every Apple device must enrol again.", inDays(grace)), Rule: protocol.RulePushExpired,
	}
}

// tell notes what happens by itself to the tenant.
func (p *player) tell(at protocol.Time, w fleet.Words) {
	if slices.ContainsFunc(p.told, func(t told) bool { return t.Text == w.Text }) { // once is enough
		w.Text = ""
	}
	p.told = append(p.told, told{Act: fleet.Act{At: at, Name: w.Name, Text: w.Text, Rule: w.Rule}, side: OfServer})
}

// changePush uploads a certificate for another year, of the present topic or of another (AUTH-32).
func (p *player) changePush(ctx context.Context, now protocol.Time, c plan.Certificate) (out outcome, err error) {
	topic, lost, grace := p.topic, p.pushLost(now), inDays(p.pushGrace())
	if c == plan.OtherTopic || lost {
		topic += "-2"
	}
	out.n[0], err = p.upload(ctx, now, topic, 365*24*time.Hour)
	switch {
	case lost:
		out.says = func(n tally) string {
			return lang.English.Say("The old one ended more than %d {day|days} ago, so this one has another topic: it strands the %d devices that are enrolled.", grace, n[0])
		}
	case c == plan.OtherTopic:
		out.says = func(n tally) string { return lang.English.Say("It strands the %d devices that are enrolled.", n[0]) }
	}
	for _, open := range [...][]fleet.Gap{p.gaps, p.silences} {
		if g := len(open); g > 0 && open[g-1].Closed == 0 {
			open[g-1].Closed = now
		}
	}
	return out, err
}

// failUpload uploads a certificate that no server takes: that of the beginning again (AUTH-34), or one made with another
// Apple ID, whose topic nobody confirms (AUTH-32). The one in use stays.
func (p *player) failUpload(ctx context.Context, now protocol.Time, c plan.Certificate) (out outcome, err error) {
	pem := p.first
	if c == plan.OtherAppleID {
		if pem, err = p.push(pushKind{p.topic + "-2", now, now.Add(365 * 24 * time.Hour)}); err != nil {
			return out, err
		}
	}
	_, err = p.part.loop.Server().UploadPush(server.As(ctx, planner.Name), now, pem, "", "other@example.com", false, 0)
	no := new(protocol.Refusal)
	switch {
	case err == nil:
		return out, fmt.Errorf("a push certificate that is %s was taken: want a refusal", c)
	case !errors.As(err, &no):
		return out, err
	}
	out.says = func(tally) string { return lang.English.Say("Refused by %s.", no.Rule) }
	return out, nil
}
