package ledger

import (
	"strings"
	"testing"

	"rollcall/agent/dialect"
	"rollcall/agent/link"
	"rollcall/protocol"
)

// ends closes the ledger, and holds what is found, in words, against what is wanted.
func (s *story) ends(t *testing.T, want string, words func(*Finding) string, between string) {
	t.Helper()
	s.Close(s.tick())
	r := s.Result()
	var got []string
	for i := range r.Findings {
		got = append(got, words(&r.Findings[i]))
	}
	if g := strings.Join(got, between); g != want {
		t.Errorf("found %q, want %q: %v", g, want, r.Findings)
	}
}

// What the requests of a device tell, one exchange after another.
func TestExchanged(t *testing.T) {
	report := func(uuid string, s protocol.Status, status int) link.Exchange {
		return link.Exchange{Step: dialect.Report, Command: "RestartDevice", UUID: uuid, Reported: s, Status: status, Received: 100}
	}
	last := func(x link.Exchange) link.Exchange { x.Received = 0; return x }
	repeat := func(x link.Exchange) link.Exchange { x.Repeat = true; return x }
	profile := func(x link.Exchange, command, identifier string) link.Exchange {
		x.Command, x.Profile, x.Version = command, identifier, "1"
		return x
	}
	idle := link.Exchange{Step: dialect.Idle, Status: 200}
	ack := protocol.Acknowledged
	for _, tt := range []struct {
		name string
		list []link.Exchange
		want string // faults in order
	}{
		{"both done", []link.Exchange{report(one, ack, 200), last(report(two, ack, 200))}, ""},
		{"answer lost, report repeated", []link.Exchange{report(one, ack, 0), repeat(report(one, ack, 200)), last(report(two, ack, 200))}, ""},
		{"503, report repeated", []link.Exchange{report(one, ack, 503), repeat(report(one, ack, 503)), repeat(report(one, ack, 200)), last(report(two, ack, 200))}, ""},
		{"handed out again after 503", []link.Exchange{report(one, ack, 503), report(one, ack, 200), last(report(two, ack, 200))}, ""},
		{"handed out again after 200", []link.Exchange{report(one, ack, 200), report(one, ack, 200), last(report(two, ack, 200))}, "doubled"},
		{"NotNow, and then done", []link.Exchange{report(one, protocol.NotNow, 200), last(report(two, ack, 200)), last(report(one, ack, 200))}, ""},
		{"error is an answer too", []link.Exchange{report(one, protocol.Failed, 200), last(report(two, protocol.CommandFormatError, 200))}, ""},
		{"no work, and two to do", []link.Exchange{idle}, "lost lost"},
		{"no work by 503 is none", []link.Exchange{{Step: dialect.Idle, Status: 503}}, ""},
		{"another step's empty answer says nothing of work", []link.Exchange{{Step: dialect.TokenUpdate, Status: 200}}, ""},
		{"one left out", []link.Exchange{last(report(two, ack, 200))}, "lost"},
		{"the wrong way round", []link.Exchange{report(two, ack, 200), last(report(one, ack, 200))}, "reordered"},
		{"profile installed and removed", []link.Exchange{
			report(one, ack, 200), report(two, ack, 200), profile(report(three, ack, 200), "InstallProfile", "mail"),
			profile(last(report("", ack, 200)), "RemoveProfile", "mail"),
		}, "never converged"},
		{"profile failed", []link.Exchange{
			report(one, ack, 200), report(two, ack, 200), profile(last(report(three, protocol.Failed, 200)), "InstallProfile", "mail"),
		}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := begin(1)
			s.order(1, one)
			s.order(1, two)
			if strings.HasPrefix(tt.name, "profile") {
				s.Wanted(s.tick(), 1, "mail", "1")
			}
			for i := range tt.list {
				at := s.tick()
				s.Exchanged(at, s.tick(), 1, &tt.list[i])
			}
			s.ends(t, tt.want, func(f *Finding) string { return f.Fault.String() }, " ")
		})
	}
}

// What the check-ins of an Android device tell: several reports in one, and profiles that came or left with them.
func TestExchangedOfAndroid(t *testing.T) {
	whole := func(x link.Exchange) link.Exchange { x.Whole = true; return x }
	did := func(id string) dialect.Order {
		return dialect.Order{Command: "LOCK", UUID: id, Status: protocol.Acknowledged}
	}
	again := func(id string) dialect.Order { o := did(id); o.Again = true; return o }
	has := func(profile string, s protocol.Status) dialect.Order {
		return dialect.Order{Command: dialect.ProfileOrder, Profile: profile, Status: s}
	}
	gone := dialect.Order{Command: dialect.ProfileOrder, Profile: "mail", Gone: true, Status: protocol.Acknowledged}
	round := func(status int, orders ...dialect.Order) link.Exchange {
		return link.Exchange{Step: dialect.CheckIn, Status: status, Received: 100, Orders: orders}
	}
	last := func(x link.Exchange) link.Exchange { x.Idle = true; return x }
	repeat := func(x link.Exchange) link.Exchange { x.Repeat = true; return x }
	ack, enrol := protocol.Acknowledged, link.Exchange{Step: dialect.Enroll, Status: 200}
	for _, tt := range []struct {
		name string
		list []link.Exchange
		want string // faults in order
	}{
		{"both done, and the profile there", []link.Exchange{round(200), last(round(200, has("mail", ack), did(one), did(two)))}, ""},
		{"answer lost, round repeated", []link.Exchange{round(0, has("mail", ack), did(one), did(two)), repeat(round(503, has("mail", ack), did(one), did(two))), last(repeat(round(200, has("mail", ack), did(one), did(two))))}, ""},
		{"nothing, and much to do", []link.Exchange{last(round(200))}, "lost lost never converged"},
		{"more to come is no end", []link.Exchange{round(200)}, ""},
		{"one left out", []link.Exchange{last(round(200, has("mail", ack), did(two)))}, "lost"},
		{"handed out again after 200", []link.Exchange{round(200, has("mail", ack), did(one), did(two)), last(round(200, again(one)))}, "doubled"},
		{"handed out again after 503", []link.Exchange{round(503, has("mail", ack), did(one), did(two)), last(round(200, again(one), again(two)))}, ""},
		{"the wrong way round", []link.Exchange{last(round(200, has("mail", ack), did(two), did(one)))}, "reordered"},
		{"another's command", []link.Exchange{last(round(200, has("mail", ack), did(one), did(two), did(three)))}, "misdelivered"},
		{"a whole report answers questions alone", []link.Exchange{last(whole(round(200, has("mail", ack), did(two))))}, "lost"},
		{"a whole report answers questions, once it is heard", []link.Exchange{whole(round(503, has("mail", ack))), last(round(200))}, "lost lost lost"},
		{"a whole report answers questions", []link.Exchange{round(200, has("mail", ack), did(one)), last(whole(round(200, did(two))))}, ""},
		{"profile taken off", []link.Exchange{round(200, has("mail", ack), did(one), did(two)), last(round(200, gone))}, "never converged"},
		{"profile failed", []link.Exchange{last(round(200, has("mail", protocol.Failed), did(one), did(two)))}, ""},
		{"enrolled anew: what was ordered before is void, and the profile comes again", []link.Exchange{enrol, round(200), last(round(200, has("mail", ack)))}, ""},
		{"enrolled anew without the profile", []link.Exchange{round(200, has("mail", ack)), enrol, round(200), last(round(200))}, "never converged"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := begin(2)
			s.Exchanged(s.tick(), s.tick(), 1, &enrol)
			first := round(200)
			s.Exchanged(s.tick(), s.tick(), 1, &first)
			s.order(1, one)
			s.order(1, two)
			s.order(2, three)
			s.Wanted(s.tick(), 1, "mail", "")
			if strings.Contains(tt.name, "question") {
				s.Ordered(s.tick(), 1, four, protocol.ProfileList.String(), 0)
				s.Taken(s.tick(), 1, four)
			}
			for i := range tt.list {
				at := s.tick()
				s.Exchanged(at, s.tick(), 1, &tt.list[i])
			}
			s.ends(t, tt.want, func(f *Finding) string { return f.Fault.String() }, " ")
		})
	}
}
