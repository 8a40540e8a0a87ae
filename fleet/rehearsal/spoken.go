package rehearsal

import (
	"cmp"
	"slices"

	"rollcall/agent/dialect"
	"rollcall/fleet/plan"
	"rollcall/fleet/report"
	"rollcall/protocol"
	"rollcall/protocol/lang"
)

// A Spoken is what went over the wire beside the rule, and where the two were not the same.
type Spoken struct {
	Share       plan.Share                      // of the devices with a voice that was asked for
	Devices     [len(protocol.Platforms)]uint32 // by platform ([protocol.Platform] minus one)
	Messages    [dialect.Steps]uint64           // by kind
	Signatures  uint64                          // of messages, MachineInfos among them, each made and verified
	Differs     uint64                          // devices of which something came out otherwise
	Parted      uint64                          // devices that went on by rule alone, after a fault amid a conversation
	Differences []Difference                    // the first [Kept], by time and then by device
}

// A Difference is something of a message that came out otherwise over the wire than by rule. From there on the device is played
// by rule alone: the rest would follow from it.
type Difference struct {
	At      protocol.Time `json:"at"`
	Device  string        `json:"device"`
	Message string        `json:"message"` // the kind, in the protocol's words
	Field   string        `json:"field"`
	Rule    string        `json:"rule"` // what it is by rule
	Wire    string        `json:"wire"` // and over the wire
}

func (d *Difference) String() string {
	nothing := lang.English.Say("nothing")
	return lang.English.Say("wire: %s, device %s, %s: %s is %s by rule and %s over the wire", d.At, d.Device, d.Message, d.Field, cmp.Or(d.Rule, nothing), cmp.Or(d.Wire, nothing))
}

// keep notes a difference, where there is room.
func (s *Spoken) keep(d *Difference) {
	if len(s.Differences) < Kept {
		s.Differences = append(s.Differences, *d)
	}
}

// certificates is how many certificates were issued, or asked for.
func (s *Spoken) certificates() uint64 {
	return s.Messages[dialect.Identify] + s.Messages[dialect.Certify]
}

// messages is how many messages went over the wire.
func (s *Spoken) messages() (n uint64) {
	for _, m := range s.Messages {
		n += m
	}
	return n
}

// devices is how many devices spoke.
func (s *Spoken) devices() (n uint64) {
	for _, of := range s.Devices {
		n += uint64(of)
	}
	return n
}

// proves tells whether devices of a platform spoke and all came out as by rule; of nil, no.
func (s *Spoken) proves(p protocol.Platform) bool {
	return s != nil && s.Differs == 0 && s.Devices[p-1] > 0
}

// section is a result's part about it.
func (s *Spoken) section() map[string]any {
	by, of := map[string]uint64{}, map[string]uint32{}
	for step, n := range s.Messages {
		if n > 0 {
			by[dialect.Step(step).String()] = n
		}
	}
	for _, p := range protocol.Platforms {
		if n := s.Devices[p-1]; n > 0 {
			of[p.String()] = n
		}
	}
	return map[string]any{
		"share": float64(s.Share) / float64(plan.Whole), "devices": s.devices(), "devices_by_platform": of, "messages": s.messages(), "messages_by_kind": by,
		"certificates": s.certificates(), "signatures": s.Signatures, "devices_that_differ": s.Differs, "devices_parted": s.Parted, "differences": append([]Difference{}, s.Differences...),
	}
}

// says is what there is to say of it in a sentence.
func (s *Spoken) says(l lang.Language) string {
	if s.Differs > 0 {
		return l.Say("Over the wire %d of %d {device|devices} came out otherwise than by rule: this result is not to be relied on.", s.Differs, s.devices())
	}
	text := l.Say("%d {device|devices} spoke {its|their} own protocol as well, in %d {message|messages} with %d {certificate|certificates}: all came out as by rule.", s.devices(), s.messages(), s.certificates())
	if s.Parted > 0 {
		text += " " + l.Say("%d {device|devices} of them went on by rule alone later, after a fault amid a conversation.", s.Parted)
	}
	return text
}

// tables are the platforms, how each of them was played, and what differs.
func (s *Spoken) tables(l lang.Language, of map[protocol.Platform]report.PlatformSize) []report.Table {
	t := report.Table{
		Title: l.Say("Over the wire"), Caption: l.Say("What a share of the devices says by rule went over the wire as well: through the encoders and decoders, the gate, SCEP, EST or WSTEP and the signatures that serve real devices, without network and TLS."),
		Columns: []report.Column{{Name: l.Say("Platform")}, {Name: l.Say("Devices")}, {Name: l.Say("Over the wire"), Bar: true}, {Name: l.Say("How it was played")}},
	}
	for _, p := range protocol.Platforms {
		size, there := of[p]
		if !there {
			continue
		}
		how := l.Say("by rule")
		switch {
		case s.proves(p):
			how = l.Say("wire proven")
		case s.Devices[p-1] > 0:
			how = l.Say("differs")
		}
		t.Rows = append(t.Rows, []any{p, size.Total, s.Devices[p-1], how})
	}
	d := report.Table{
		Title: l.Say("What differs over the wire"), Caption: l.Say("The first difference of a device; from there on it was played by rule."), Total: int(s.Differs),
		Columns: []report.Column{{Name: l.Say("When"), Whole: true}, {Name: l.Say("Device"), Whole: true}, {Name: l.Say("Message")}, {Name: l.Say("What")}, {Name: l.Say("By rule")}, {Name: l.Say("Over the wire")}},
	}
	for i := range s.Differences {
		x := &s.Differences[i]
		d.Rows = append(d.Rows, []any{x.At.Time(), x.Device, x.Message, x.Field, x.Rule, x.Wire})
	}
	return []report.Table{t, d}
}

func (s *Spoken) add(t *Spoken) {
	for i, n := range t.Devices {
		s.Devices[i] += n
	}
	for i, n := range t.Messages {
		s.Messages[i] += n
	}
	s.Signatures += t.Signatures
	s.Differs += t.Differs
	s.Parted += t.Parted
	s.Differences = append(s.Differences, t.Differences...)
	slices.SortStableFunc(s.Differences, func(a, b Difference) int {
		return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.Device, b.Device))
	})
	s.Differences = s.Differences[:min(len(s.Differences), Kept)]
}
