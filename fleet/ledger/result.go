package ledger

import (
	"rollcall/protocol"
	"rollcall/protocol/lang"
)

// A Fault is a way in which a command or a profile went wrong.
type Fault uint8

// The faults.
const (
	// Lost: taken by the administration, never delivered, and the server told the device afterwards that there was no work.
	Lost Fault = iota
	// Doubled: delivered again after the server had confirmed its final report.
	Doubled
	// Reordered: delivered after one that was asked for later.
	Reordered
	// Stuck: not answered for good within the bound, and nobody said that there was nothing.
	Stuck
	// Misdelivered: reached a device that it was not meant for.
	Misdelivered
	// NeverConverged: a profile that should be on the device, or should not, and within the bound that did not come about.
	NeverConverged

	faults = iota
)

var faultNames = [faults]string{"lost", "doubled", "reordered", "stuck", "misdelivered", "never converged"}

// said is how a finding of each is said: what it is about, the device, and why.
var said = [faults]lang.Key{
	lang.Key("lost: %s of device %s: %s"), lang.Key("doubled: %s of device %s: %s"), lang.Key("reordered: %s of device %s: %s"),
	lang.Key("stuck: %s of device %s: %s"), lang.Key("misdelivered: %s of device %s: %s"), lang.Key("never converged: %s of device %s: %s"),
}

func (f Fault) String() string { return faultNames[f%faults] }

// MarshalText gives the name that String gives.
func (f Fault) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// A Finding is one command or profile that went wrong.
type Finding struct {
	Fault   Fault         `json:"fault"`
	Device  string        `json:"device"`            // by Config.Name
	Command string        `json:"command,omitempty"` // its id as the server writes it; empty: the finding is about Profile
	Kind    string        `json:"kind,omitempty"`    // RequestType of Command; empty: not known
	Profile string        `json:"profile,omitempty"` // identifier
	At      protocol.Time `json:"at"`                // when it was found
	Detail  string        `json:"detail,omitempty"`
}

func (f Finding) String() string {
	what := lang.English.Say("profile %s", f.Profile)
	switch {
	case f.Kind != "":
		what = f.Kind + " " + f.Command
	case f.Command != "":
		what = lang.English.Say("command %s", f.Command)
	case f.Profile == Change:
		what = lang.English.Say("change of authority")
	}
	return lang.English.Say(said[f.Fault%faults], what, f.Device, f.Detail)
}

// Counts are how many commands and profiles a ledger saw, and how many went wrong.
type Counts struct {
	Ordered   uint64 `json:"ordered"`   // asked for
	Taken     uint64 `json:"taken"`     // of these, by the administration
	Delivered uint64 `json:"delivered"` // of Ordered, to their device
	Confirmed uint64 `json:"confirmed"` // of these, reported for good, and the server heard it
	Void      uint64 `json:"void"`      // ended with the enrolment before that
	Retries   uint64 `json:"retries"`   // delivered again before they were confirmed
	Unordered uint64 `json:"unordered"` // deliveries that the server began by itself
	Open      uint64 `json:"open"`      // not confirmed, and no fault yet

	Profiles uint64 `json:"profiles"` // wanted on a device, or taken off it
	Refused  uint64 `json:"refused"`  // of these, the device did not install it when last asked

	Lost           uint64 `json:"lost"`
	Doubled        uint64 `json:"doubled"`
	Reordered      uint64 `json:"reordered"`
	Stuck          uint64 `json:"stuck"`
	Misdelivered   uint64 `json:"misdelivered"`
	NeverConverged uint64 `json:"never_converged"`
}

// Faults returns how many commands and profiles went wrong.
func (c *Counts) Faults() uint64 {
	return c.Lost + c.Doubled + c.Reordered + c.Stuck + c.Misdelivered + c.NeverConverged
}

func (c *Counts) of(f Fault) *uint64 {
	return [faults]*uint64{&c.Lost, &c.Doubled, &c.Reordered, &c.Stuck, &c.Misdelivered, &c.NeverConverged}[f]
}

// A Result is what a ledger found. Its JSON is the section "ledger" of a job's result.
type Result struct {
	Counts
	Findings []Finding `json:"findings"` // the first [Kept] of them
}
