package google

import (
	"fmt"
	"slices"

	"rollcall/fleet/cloud"
)

// A Fault is one way to misbehave: an errorCode of FCM that the message is then refused with, or one of the words below. A fault
// strikes a message that would otherwise have been accepted; of all faults only [Drop] answers 200.
type Fault string

// The faults that are no refusals.
const (
	Drop  Fault = "Drop"  // 200, and the message is gone
	Half  Fault = "Half"  // the answer breaks off in the middle
	HTML  Fault = "HTML"  // 404 with a page, which means nothing of the registration
	Reset Fault = "Reset" // no answer, and the connection is cut
)

var special = []Fault{Drop, Half, HTML, Reset}

// Faults are the dials. The zero value is a service in good health. Chance is drawn for each registration by itself.
type Faults struct {
	Script []Fault           // used up first, one for each message; empty lets one pass
	Share  map[Fault]float64 // of messages that meet a fault, from 0 to 1 and together at most 1
}

func (f Faults) dials() (cloud.Dials[Fault], error) {
	return cloud.NewDials(f.Script, f.Share, func(name Fault) error {
		if _, ok := codes[string(name)]; ok || slices.Contains(special, name) {
			return nil
		}
		return fmt.Errorf("fault %q: want %v or an errorCode such as UNAVAILABLE", name, special)
	})
}
