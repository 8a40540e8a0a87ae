package plan

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/invopop/jsonschema"
)

// An Arrival is how devices arrive in a live load, whatever the server does; a rehearsal does without it. There is a rate
// of CheckIns or of Enrolments, or Everyone.
type Arrival struct {
	CheckIns    PerSecond  `yaml:"checkins" jsonschema_description:"check-ins a second of devices that are enrolled"`
	Enrolments  PerSecond  `yaml:"enrolments" jsonschema_description:"in place of check-ins: enrolments a second"`
	Ramp        Duration   `yaml:"ramp" jsonschema_description:"the rate rises from 0 in this time"`
	Steps       []RateStep `yaml:"steps" jsonschema_description:"the rate changes, in order of time"`
	Spike       *Spike     `yaml:"spike" jsonschema_description:"a higher rate for a while"`
	Everyone    *Wave      `yaml:"everyone" jsonschema_description:"every device checks in once, beside the rate"`
	Poisson     bool       `yaml:"poisson" jsonschema_description:"arrivals by chance at that rate, not evenly"`
	Think       Duration   `yaml:"think" jsonschema_description:"planned from a step of a conversation to the next; default 100ms"`
	Handshakes  Handshakes `yaml:"handshakes" jsonschema_description:"full: each connection makes its own TLS session; resumed: it takes up the latest; 70% resumed: so many devices do; default full"`
	Connections Keeping    `yaml:"connections" jsonschema_description:"closed: after the empty answer, as real devices do; kept: for the next check-in; default closed"`
	Retries     bool       `yaml:"retries" jsonschema_description:"devices that were turned away come again when they would; default: they come when it is their turn"`
	Drain       Duration   `yaml:"drain" jsonschema_description:"how long what is under way at the end may take; default 30s"`
}

// A RateStep changes the rate at a moment.
type RateStep struct {
	At   Duration  `yaml:"at" jsonschema_description:"when, counted from the beginning"`
	Rate PerSecond `yaml:"rate" jsonschema_description:"the rate from then on"`
}

// A Spike is a rate for a while.
type Spike struct {
	At   Duration  `yaml:"at" jsonschema_description:"when it begins"`
	For  Duration  `yaml:"for" jsonschema_description:"how long it lasts"`
	Rate PerSecond `yaml:"rate" jsonschema_description:"the rate meanwhile"`
}

// A Wave is every device once.
type Wave struct {
	At   Duration `yaml:"at" jsonschema_description:"when it begins"`
	Over Duration `yaml:"over" jsonschema_description:"how long it takes; default 10s"`
}

// PerSecond is a number of arrivals in a second, in thousandths.
type PerSecond uint64

// UnmarshalText takes a number and /s, /m or /h: 500/s, 0.5/s, 30/m.
func (p *PerSecond) UnmarshalText(b []byte) error {
	number, unit, ok := strings.Cut(string(b), "/")
	per, known := map[string]float64{"s": 1, "m": 60, "h": 3600}[unit]
	f, err := strconv.ParseFloat(number, 64)
	if !ok || !known || err != nil || !(f >= 0) || strings.ContainsAny(number, "+-xXpPeEiInN_") {
		return errors.New("want a number of arrivals in a time, such as 500/s, 0.5/s or 30/m")
	}
	f = math.Round(f * 1000 / per)
	const most = 1e9
	if f > most {
		return fmt.Errorf("want at most %.0f/s", most/1000)
	}
	*p = PerSecond(f)
	return nil
}

// Rate returns p in arrivals a second.
func (p PerSecond) Rate() float64 { return float64(p) / 1000 }

func (p PerSecond) String() string { return strconv.FormatFloat(p.Rate(), 'f', -1, 64) + "/s" }

// MarshalText gives what String gives.
func (p PerSecond) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// JSONSchema describes the text.
func (PerSecond) JSONSchema() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "string", Pattern: `^[0-9.]+/(s|m|h)$`, Description: "a number of arrivals in a time, such as 500/s"}
}

// Handshakes is the share of devices that take up their latest TLS session when they connect; the others make a new one each
// time, as all do at first.
type Handshakes Share

// All devices in one way.
const (
	Full    Handshakes = 0
	Resumed            = Handshakes(Whole)
)

func (h Handshakes) String() string {
	switch h {
	case Full:
		return "full"
	case Resumed:
		return "resumed"
	}
	return Share(h).String() + resumedShare
}

const resumedShare = " resumed"

// Resumes tells whether the device of a number, from 1 on, takes up sessions. Of any long run of numbers, that share do.
func (h Handshakes) Resumes(n uint32) bool {
	const golden = 2654435769 // of 2^32: multiples of it are spread evenly
	return uint64(n*golden)*uint64(Whole)>>32 < uint64(h)
}

// MarshalText gives what String gives.
func (h Handshakes) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText takes full, resumed, and a share such as 70% resumed.
func (h *Handshakes) UnmarshalText(b []byte) error {
	share, mixed := strings.CutSuffix(string(b), resumedShare)
	switch {
	case string(b) == Full.String():
		*h = Full
	case string(b) == Resumed.String():
		*h = Resumed
	case !mixed || (*Share)(h).UnmarshalText([]byte(share)) != nil:
		return errors.New("want full, resumed, or a share such as 70% resumed")
	}
	return nil
}

// JSONSchema describes the text.
func (Handshakes) JSONSchema() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "string", Pattern: "^(full|resumed|" + sharePattern + resumedShare + ")$", Description: "full, resumed, or a share such as 70% resumed"}
}

// Keeping is what becomes of a connection after a conversation.
type Keeping uint8

// The ways.
const (
	Closed Keeping = iota + 1
	Kept
)

var keepingNames = []string{"", "closed", "kept"}

func (k Keeping) String() string { return keepingNames[k] }

// MarshalText gives what String gives.
func (k Keeping) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText takes closed and kept.
func (k *Keeping) UnmarshalText(b []byte) error { return word((*uint8)(k), keepingNames, b) }

// arrival checks what it says of itself.
func (c *checker) arrival() {
	a := c.plan.Arrival
	if a == nil {
		return
	}
	until := c.plan.Until
	switch {
	case a.CheckIns == 0 && a.Enrolments == 0 && a.Everyone == nil:
		c.fail("arrival", ruleContradiction, "nobody arrives; want checkins, enrolments or everyone")
	case a.CheckIns > 0 && a.Enrolments > 0:
		c.fail("arrival.enrolments", ruleContradiction, "check-ins and enrolments at once; want one of them")
	case a.Enrolments > 0 && a.Everyone != nil:
		c.fail("arrival.everyone", ruleContradiction, "a device that is enrolling cannot check in")
	}
	if a.Ramp > until {
		c.fail("arrival.ramp", ruleContradiction, "%s is longer than the load (until: %s)", a.Ramp, until)
	}
	before := a.Ramp
	for i, s := range a.Steps {
		if s.At < before || s.At >= until {
			c.fail(fmt.Sprintf("arrival.steps[%d].at", i), ruleContradiction, "%s is not between %s and the end (until: %s)", s.At, before, until)
		}
		before = max(before, s.At)
	}
	if s := a.Spike; s != nil && (s.For == 0 || s.At+s.For > until) {
		c.fail("arrival.spike", ruleContradiction, "it has no length, or ends after the load (until: %s)", until)
	}
	if w := a.Everyone; w != nil && w.At+w.Over > until {
		c.fail("arrival.everyone", ruleContradiction, "it ends after the load (until: %s)", until)
	}
}
